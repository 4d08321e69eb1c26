"""The compiler: a syntax tree becomes Python statements that decide the plain cases natively.

The generated code has three answers for a condition, true, false and missing, and one way out, an exception: for a
type that an operator does not take, for an integer beyond 53 bits beside a double, for whatever is rare. Then the
exact evaluator decides. Where it does answer, it answers as the exact evaluator does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rules.cel import compile_runtime, functions, nodes
from rules.cel.compile_code import DEEPEST, Code, Operand
from rules.cel.errors import CelError, CelMissing
from rules.cel.evaluator import evaluator
from rules.cel.nodes import Node
from rules.cel.operators import ARITHMETIC, contains, negate
from rules.cel.scope import free_variables, from_record
from rules.cel.values import ABSENT, UInt, equal

_EXACT: Final = 2**53  # integers up to here are the same as a double
_ORDERINGS: Final = frozenset({"<", "<=", ">", ">="})
_LAZY: Final = frozenset({"or", "orValue"})
_MISSING: Final = Operand("M", missable=True)

RUNTIME: Final[Mapping[str, object]] = {
    "M": ABSENT,
    "Surprise": compile_runtime.Surprise,
    "surprise": compile_runtime.surprise,
    "no_fields": compile_runtime.no_fields,
    "has_none": compile_runtime.has_none,
    "not_that": compile_runtime.not_that,
    "element": compile_runtime.element,
    "exact": compile_runtime.exact,
    "ordered": compile_runtime.ordered,
    "call": compile_runtime.call,
}
"""What generated code finds under fixed names."""


@dataclass(frozen=True, slots=True)
class Cond:
    """A condition as Python expressions, to be asked in this order: is it ``true``; if not, is it ``missing``; if
    neither, it is false. ``missing`` is None where that cannot be."""

    true: str
    missing: str | None = None


class Compiler:
    """Writes expressions into ``code``. Subclasses say what the variables are.

    ``constants`` are variables whose values are the same for every record.
    """

    def __init__(self, code: Code, constants: Mapping[str, object]) -> None:
        self.code = code
        self.constants = constants
        code.namespace.update(RUNTIME)

    # What the variables are

    def variable(self, name: str) -> Operand | None:
        """The operand of a variable; None leaves whatever mentions it to the exact evaluator."""
        raise NotImplementedError

    def field(self, node: nodes.Select | nodes.Index, root: str, name: str) -> Operand | None:  # noqa: ARG002 - a hook
        """The operand of ``root.name`` where a variable is more than a value; None for the usual way."""
        return None

    def has_field(self, root: str, name: str) -> Cond | None:  # noqa: ARG002 - a hook
        """``has(root.name)`` where a variable is more than a value; None for the usual way."""
        return None

    def is_dict(self, operand: Operand) -> bool:  # noqa: ARG002 - a hook
        """Whether a value can be taken for a ``dict``, since anything else has no ``get``."""
        return False

    def bindings(self, names: frozenset[str]) -> str:
        """The text of a dict that binds these variables, for the exact evaluator."""
        entries = []
        for name in sorted(names):
            operand = self.variable(name)
            if operand is not None:
                entries.append(f"{name!r}: {operand.text}")
        return "{" + ", ".join(entries) + "}"

    # Conditions

    def branch(self, node: Node, yes: Callable[[], None], missing: Callable[[], None] | None = None) -> None:
        """Write what happens when a condition is true, and when it is missing. When it is false, control goes on."""
        if isinstance(node, nodes.And) and self.code.depth < DEEPEST:
            self._branch_all(_chunked(node), yes, missing)
            return
        self._dispatch(self.condition(node), yes, missing)

    def _dispatch(self, cond: Cond, yes: Callable[[], None], missing: Callable[[], None] | None) -> None:
        code = self.code
        if cond.true == "True":
            yes()
            return
        if cond.true != "False":
            with code.block(f"if {cond.true}:"):
                yes()
        if cond.missing is not None and missing is not None:
            with code.block(f"{'el' if cond.true != 'False' else ''}if {cond.missing}:"):
                missing()

    def _branch_all(self, terms: tuple[Node, ...], yes: Callable[[], None], missing: Callable[[], None] | None) -> None:
        """``a && b``: an ``if`` in an ``if``, entered also when a term is missing, since a later one may be false."""
        code = self.code
        flag = code.let("False")
        start, place = len(code.known), code.mark()
        flagged = False

        def descend(rest: tuple[Node, ...]) -> None:
            nonlocal flagged
            if not rest:
                if flagged:
                    if missing is not None:
                        with code.block(f"if {flag}:"):
                            missing()
                        with code.block("else:"):
                            yes()
                    else:
                        with code.block(f"if not {flag}:"):
                            yes()
                else:
                    yes()
                return
            cond = self.condition(rest[0])
            if cond.missing is None:
                header = cond.true
            else:
                flagged = True
                header = f"{cond.true} or {cond.missing} and ({flag} := True)"
            with code.block(f"if {header}:"):
                descend(rest[1:])

        descend(terms)
        del start, place
