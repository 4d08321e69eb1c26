"""What functions find around an expression, and not in it: the tables and the secrets of the daemon's file.

``lookup("countries", event.country)`` names a table, and ``hash.hmac("sha256", "pepper", text)`` a secret. Whoever has
them puts an expression ``within`` their ``Surroundings``; without, such a call is an error that says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from rules.cel import nodes
from rules.cel.errors import CelError
from rules.cel.nodes import Node
from rules.cel.values import NONE, Optional, UInt, a_type

if TYPE_CHECKING:
    from rules.cel.functions.registry import Function

NAMES: Final[Mapping[tuple[str, int], str]] = {
    ("lookup", 0): "tables",
    ("hash.hmac", 1): "secrets",
    ("mask.token", 1): "secrets",
}
"""Arguments that name something of the daemon's file: by function and place, the key under which it stands there."""


Rows = dict[str, Optional]
"""Rows as they are found, each made an optional once."""


class Table:
    """Rows by key, by the text of it: ``5``, ``5u``, ``5.0`` and ``"5"`` are one key, and so are true and ``"true"``.

    ``replace`` may be called while expressions are evaluated, in the same thread: an evaluation finds in all of the
    table what was there before, or what is there now.
    """

    __slots__ = ("_rows",)

    def __init__(self, rows: Mapping[str, object] | None = None) -> None:
        self._rows = filed(rows or {})

    def __len__(self) -> int:
        return len(self._rows)

    def replace(self, rows: Rows) -> Rows:
        """Have these rows, and no others; back come those that were there."""
        before, self._rows = self._rows, rows
        return before

    def find(self, key: object) -> Optional:
        """The row of a key, or none. Nothing is filed under null. A CelError for what can be no key."""
        text = key if type(key) is str else key_text(key)
        return NONE if text is None else self._rows.get(text, NONE)


def filed(rows: Mapping[str, object]) -> Rows:
    """Rows by ``key_text`` of their keys, as a table keeps them."""
    return {text: Optional(row) for text, row in rows.items()}


def key_text(key: object) -> str | None:
    """What a key is filed under; None for null, under which nothing is."""
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int | UInt):
        return int.__repr__(key)
    if isinstance(key, float):
        return int.__repr__(int(key)) if key.is_integer() else repr(key)
    if key is None:
        return None
    raise CelError(f"the key of a table is a text, a number or a bool, not {a_type(key)}")


class Surroundings:
    """The tables and the secrets that expressions may name. Secrets are found by functions alone: no expression has one
    for its value, and the ``repr`` of this shows none."""

    def __init__(self, tables: Mapping[str, Table] | None = None, secrets: Mapping[str, str] | None = None) -> None:
        self._tables = tables
        self._secrets = secrets
        self._functions: dict[Function, Function] = {}

    def table(self, name: str) -> Table:
        """The table of that name. Raises CelError."""
        if self._tables is None:
            raise CelError(f"there is no table {name!r} here: only a flow of a daemon's file has tables; {_ELSEWHERE}")
        found = self._tables.get(name)
        if found is None:
            raise _unknown("table", name, self._tables)
        return found

    def secret(self, name: str) -> str:
        """The secret of that name. Raises CelError, with names alone."""
        if self._secrets is None:
            raise CelError(f"there is no secret {name!r} here: only a flow of a daemon's file has any; {_ELSEWHERE}")
        found = self._secrets.get(name)
        if found is None:
            raise _unknown("secret", name, self._secrets)
        return found

    def function(self, function: Function) -> Function:
        """The function, as it is called within these surroundings: each time the same."""
        if function not in self._functions:
            self._functions[function] = function.within(self)
        return self._functions[function]


def _unknown(kind: str, name: str, known: Collection[str]) -> CelError:
    from rules.suggest import did_you_mean  # only a mistake pays for loading it

    return CelError(f"there is no {kind} {name[:40]!r}: {did_you_mean(name[:40], known)}")


_ELSEWHERE: Final = "try it with `sluiceway explain`"
NOWHERE: Final = Surroundings()
"""What is around an expression that belongs to no flow: neither tables nor secrets."""


def within(node: Node, around: Surroundings) -> Node:
    """The expression, where its functions find these surroundings. One that needs none is the same object."""
    if not any(map(_needs, _all(node))):
        return node
    match node:
        case nodes.Macro(target=target, bodies=bodies):
            return replace(node, target=within(target, around), bodies=tuple(within(body, around) for body in bodies))
        case nodes.Bind(value=value, body=body):
            return replace(node, value=within(value, around), body=within(body, around))
    made = nodes.rebuilt(node, lambda child: within(child, around))
    if isinstance(made, nodes.Call) and (function := _needs(made)):
        return replace(made, bound=around.function(function))
    return made


def named(node: Node) -> Iterator[tuple[str, nodes.Literal]]:
    """The names in an expression of what stands in the daemon's file, as far as they are literals: each with the key
    under which it should stand there."""
    for inner in _all(node):
        if isinstance(inner, nodes.Call) and inner.target is None:
            for place, arg in enumerate(inner.args):
                key = NAMES.get((inner.name, place))
                if key is not None and isinstance(arg, nodes.Literal) and isinstance(arg.value, str):
                    yield key, arg


def _needs(node: Node) -> Function | None:
    """The function that a node calls, if that is one that looks around."""
    from rules.cel import functions

    found = functions.called(node) if isinstance(node, nodes.Call) else None
    return found if found is not None and found.looks_around else None


def _all(node: Node) -> Iterator[Node]:
    below = [node]
    while below:
        here = below.pop()
        yield here
        below += nodes.children(here)
