"""Python source as it is being generated: lines, blocks, names, and what is known at the place that is written to.

Nothing from outside ever becomes part of the source except as its ``repr``; all that has no exact ``repr`` stands in
the namespace under a name made here. So the source is harmless, and the same for the same input.
"""

from __future__ import annotations

import linecache
import math
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from msgspec import Struct, field

from rules.cel.compile_aside import compiled

_LITERAL: Final = frozenset({str, bytes, bool, int, type(None)})
# CPython refuses code that is indented more than a hundred times.
DEEPEST: Final = 60


class Operand(Struct, frozen=True):
    """A value in generated code: a local name, or a literal.

    - ``missable``: it may be ``MISSING``, and whoever uses it must ask.
    - ``raw``: it may be an integer from outside, whose CEL type depends on its size.
    - ``is_bool``: if not missing, it is a bool.
    - ``is_plain``: its value is known to be written as JSON as it is.
    - ``is_constant``: ``constant`` is its value.
    """

    text: str
    missable: bool = False
    raw: bool = False
    is_bool: bool = False
    is_plain: bool = False
    is_constant: bool = False
    constant: object = None


class Code(Struct):
    """A module of generated functions. ``known`` maps what has been computed at this place to its operand."""

    namespace: dict[str, Any] = field(default_factory=dict)
    known: dict[Hashable, Operand] = field(default_factory=dict)
    depth: int = 0
    _lines: list[str] = field(default_factory=list)
    _names: int = 0
    _outside: dict[str, int] = field(default_factory=dict)

    def line(self, text: str) -> None:
        """Write a statement."""
        self._lines.append("    " * self.depth + text)

    def reserve(self) -> Callable[..., None]:
        """Leave room for statements here, which may be written later."""
        place, indent = len(self._lines), "    " * self.depth
        self._lines.append("")

        def write(*texts: str) -> None:
            self._lines[place] = "\n".join(indent + text for text in texts)

        return write

    @contextmanager
    def block(self, header: str) -> Iterator[None]:
        """Write what follows under ``header``. What becomes known inside is forgotten after it."""
        self.line(header)
        before, known = len(self._lines), self.known
        self.known = dict(known)
        self.depth += 1
        yield
        if not any(self._lines[before:]):
            self.line("pass")
        self.depth -= 1
        self.known = known

    def name(self, prefix: str = "t") -> str:
        """A local name that is not used yet."""
        self._names += 1
        return f"{prefix}{self._names}"

    def let(self, text: str) -> str:
        """Write an assignment to a new local name."""
        name = self.name()
        self.line(f"{name} = {text}")
        return name

    def outside(self, value: object, prefix: str = "K") -> str:
        """A name for an object that the generated code is to see."""
        number = self._outside.get(prefix, 0)
        self._outside[prefix] = number + 1
        name = f"{prefix}{number}"
        self.namespace[name] = value
        return name

    def constant(self, value: object) -> Operand:
        """A constant, as a literal where it has one."""
        kind = type(value)
        plain = kind in _LITERAL or (kind is float and math.isfinite(value))  # type: ignore[arg-type]  # a float
        text = repr(value) if plain else self.outside(value)
        return Operand(text, is_bool=kind is bool, is_constant=True, constant=value)

    @property
    def source(self) -> str:
        """All of it."""
        return "\n".join(filter(None, self._lines)) + "\n"

    def function(self, name: str, file: str) -> Callable[..., Any]:
        """Compile everything, and return the function of that name. Tracebacks show its lines, under ``file``."""
        source = self.source
        exec(compiled(source, file), self.namespace)  # noqa: S102 - nothing from outside stands in it
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        function: Callable[..., Any] = self.namespace[name]
        return function
