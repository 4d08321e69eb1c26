"""A flow as one generated Python function over a batch.

The function decides every record that the plain paths cover. For any other, and on any surprise, it takes back what
the record had added and leaves that record alone to the exact interpreter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from rules import meta
from rules.cel import nodes
from rules.cel.compile_code import Code, Operand
from rules.cel.compile_runtime import Surprise
from rules.cel.compiler import Compiler, Cond, is_impure
from rules.cel.errors import CelError
from rules.cel.nodes import Node
from rules.cel.scope import free_variables
from rules.cel.values import INT_MIN, UINT_MAX, normal
from rules.codecs import codec, in_text, is_plain
from rules.contract import Validator
from rules.decisions import Letter
from rules.flow import DROP, ROOTS, Check, Expr, Flow, Path, Rule, Shape, Target, Template, Value
from rules.lets import Lets
from rules.outgoing import setting
from rules.paths import assign, remove
from rules.plan import UNMATCHED, Lane, Plan, unmatched_targets
from rules.shaping import copied_path

_CHEAP: Final = frozenset({"startsWith", "endsWith", "contains", "size"})
_FEW: Final = 50
"""Up to so many rules, the lists that rules append to are bound to locals before the loop."""


@dataclass(frozen=True, slots=True)
class _Form:
    """An event on its way to a sink: the local that holds it, and the expression that says whether it is changed."""

    local: str
    changed: str


class FlowCompiler(Compiler):
    """Writes the function of a flow."""

    def __init__(self, flow: Flow, plan: Plan, lets: Lets, names: Mapping[str, object], decode: str) -> None:
        super().__init__(Code(), {"vars": names})
        self._flow = flow
        self._plan = plan
        self._lets = lets
        self._decode = decode
        self._event = "event"
        self._split: dict[str, Operand] = {}
        self._bound: dict[str, str] = {}
        self._starts: dict[str, str] = {}
        self._changes = "False"
        self.code.namespace.update(_NAMESPACE)

    # Variables

    def variable(self, name: str) -> Operand | None:
        """``event`` as the rule sees it, ``meta`` as a whole, or the element of a split."""
        if name == "event":
            return Operand(self._event, raw=True)
        if name == "meta":
            self._start("whole_meta", "None")
            with self.code.block("if whole_meta is None:"):
                self.code.line("whole_meta = meta_of(columns, i, source)")
            return Operand("whole_meta")
        return self._split.get(name)

    def field(self, root: str, node: nodes.Select | nodes.Index) -> Operand | None:
        """A field of ``meta``, straight from its column."""
        if root != "meta":
            return None
        name = _field_name(node)
        if name == "source":
            return Operand("source")
        if name == "raw":
            return Operand("raw")
        return Operand(self._meta_field(name), missable=name != "headers", raw=name not in meta.FIXED)

    def _meta_field(self, name: str) -> str:
        if name in meta.FIXED:
            return self.code.let(f"{name}_of(columns, i)")
        column = self._bind(f"{self._attribute(name)} = columns.attributes.get({name!r})")
        found = self.code.let(f"M if {column} is None else {column}[i]")
        with self.code.block(f"if {found} is None:"):
            self.code.line(f"{found} = M")
        return found

    def _attribute(self, name: str) -> str:
        return f"at_{name}" if name.isascii() and name.isidentifier() else f"at_{name.encode().hex()}_"
