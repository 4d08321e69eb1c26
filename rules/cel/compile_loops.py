"""Macros as loops: ``all exists exists_one map filter`` of one variable, over a list or over the keys of a map.

As everywhere in generated code, whatever is not plain is a surprise. So an element whose condition fails ends the loop,
and the exact evaluator finds out whether another element decides all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rules.cel import compile_forms as forms
from rules.cel import nodes
from rules.cel.compile_code import Operand
from rules.cel.comprehensions import MAX_STEPS
from rules.cel.nodes import Node
from rules.cel.scope import from_record

if TYPE_CHECKING:
    from rules.cel.compiler import Compiler

_LOOPS: Final = frozenset({"all", "exists", "exists_one", "map", "filter"})
_DEEPEST: Final = 4  # of twenty blocks inside each other that CPython takes, others are in use


def has_loop(node: Node) -> bool:
    """Whether a macro is in an expression."""
    return isinstance(node, nodes.Macro) or any(map(has_loop, nodes.children(node)))


def is_loop(node: Node, depth: int = 1) -> bool:
    """Whether a macro, and every macro inside it, can be a loop over something that comes from the record.

    What does not come from it has stricter arithmetic inside, and what an inner macro visits counts for the outer one.
    """
    if not isinstance(node, nodes.Macro):
        return all(is_loop(child, depth) for child in nodes.children(node))
    if node.name not in _LOOPS or len(node.variables) > 1 or depth > _DEEPEST or not from_record(node.target):
        return False
    return is_loop(node.target, depth) and all(is_loop(body, depth + 1) for body in node.bodies)


class Loops:
    """Writes macros for a compiler. ``bound`` are the variables of the loops around the place that is written to."""

    def __init__(self, compiler: Compiler) -> None:
        self.bound: dict[str, Operand] = {}
        self._compiler = compiler
        self._steps = ""

    def counts(self, node: Node) -> bool:
        """Whether an expression must be computed anew wherever it stands, since what its macros visit is counted."""
        return bool(self.bound) and has_loop(node)

    def write(self, node: nodes.Macro) -> Operand:
        """Write the loop that a macro is."""
        code = self._compiler.code
        target = self._compiler.value(node.target)
        result = code.name("r")
        if target.missable:
            with code.block(f"if {target.text} is M:"):
                code.line(f"{result} = M")
            with code.block("else:"):
                missable = self._looped(node, target, result)
        else:
            missable = self._looped(node, target, result)
        is_bool = node.name not in {"map", "filter"}
        return Operand(result, missable=missable or target.missable, is_bool=is_bool)

    def _looped(self, node: nodes.Macro, target: Operand, result: str) -> bool:
        """Write the loop itself, and say whether its value may be missing."""
        code = self._compiler.code
        code.line(f"if {target.text}.__class__ is not list and {target.text}.__class__ is not dict: surprise()")
        saved = self._steps
        if saved:
            self._count(target.text)
        else:
            self._steps = code.let(str(MAX_STEPS))
        missable = _WRITERS[node.name](self, node, target, result)
        self._steps = saved
        return missable

    @contextmanager
    def _each(self, node: nodes.Macro, target: Operand) -> Iterator[str]:
        """The block that is done for each element, whose name is given."""
        (variable,) = node.variables
        local = self._compiler.code.name("x")
        saved = self.bound
        with self._compiler.code.block(f"for {local} in {target.text}:"):
            self.bound = saved | {variable: Operand(local, raw=True)}
            yield local
            self.bound = saved

    def _count(self, made: str) -> None:
        code = self._compiler.code
        code.line(f"{self._steps} -= len({made})")
        code.line(f"if {self._steps} < 0: surprise()")

    def _quantifier(self, node: nodes.Macro, target: Operand, result: str) -> bool:
        code, deciding = self._compiler.code, node.name == "exists"
        code.line(f"{result} = {not deciding}")
        with self._each(node, target):
            cond = self._compiler.condition(node.bodies[0])
            with code.block(f"if {cond.true}:"):
                if deciding:
                    code.line(f"{result} = True")
                    code.line("break")
            if cond.missing is not None:
                with code.block(f"elif {cond.missing}:"):
                    code.line(f"{result} = M")
            if not deciding:
                with code.block("else:"):
                    code.line(f"{result} = False")
                    code.line("break")
        return cond.missing is not None

    def _chosen(self, condition: Node, result: str, chosen: Callable[[], bool]) -> bool:
        """Write what is done where a condition is true; a missing one ends the loop. Whether there may be one."""
        code = self._compiler.code
        cond = self._compiler.condition(condition)
        with code.block(f"if {cond.true}:"):
            missable = chosen()
        if cond.missing is not None:
            with code.block(f"elif {cond.missing}:"):
                code.line(f"{result} = M")
                code.line("break")
        return missable or cond.missing is not None

    def _exists_one(self, node: nodes.Macro, target: Operand, result: str) -> bool:
        code = self._compiler.code
        found = code.let("0")

        def chosen() -> bool:
            code.line(f"{found} += 1")
            return False

        with self._each(node, target):
            missable = self._chosen(node.bodies[0], result, chosen)
        with code.block("else:"):
            code.line(f"{result} = {found} == 1")
        return missable

    def _filter(self, node: nodes.Macro, target: Operand, result: str) -> bool:
        code = self._compiler.code
        code.line(f"{result} = []")
        with self._each(node, target) as local:

            def chosen() -> bool:
                code.line(f"{result}.append(normal({local}))")
                return False

            return self._chosen(node.bodies[0], result, chosen)

    def _map(self, node: nodes.Macro, target: Operand, result: str) -> bool:
        code = self._compiler.code
        code.line(f"{result} = []")

        def made() -> bool:
            operand = self._compiler.value(node.bodies[-1])
            if operand.missable:
                with code.block(f"if {operand.text} is M:"):
                    code.line(f"{result} = M")
                    code.line("break")
            value = code.let(forms.normal(operand))
            with code.block(f"if {value}.__class__ is list:"):
                self._count(value)
            code.line(f"{result}.append({value})")
            return operand.missable

        with self._each(node, target):
            return made() if len(node.bodies) == 1 else self._chosen(node.bodies[0], result, made)


_WRITERS: Final[dict[str, Callable[[Loops, nodes.Macro, Operand, str], bool]]] = {
    "all": Loops._quantifier,  # noqa: SLF001 - its own class
    "exists": Loops._quantifier,  # noqa: SLF001 - its own class
    "exists_one": Loops._exists_one,  # noqa: SLF001 - its own class
    "filter": Loops._filter,  # noqa: SLF001 - its own class
    "map": Loops._map,  # noqa: SLF001 - its own class
}
