"""How conditions and operands are put into Python: the small forms that the compiler's sentences are made of."""

from __future__ import annotations

import math
from typing import Final

from msgspec import Struct

from rules.cel import functions, nodes
from rules.cel.compile_code import Operand
from rules.cel.nodes import Node
from rules.cel.values import UInt

TALLEST: Final = 60
"""A taller tree is left to the evaluator, so that compiling never runs out of stack."""

_EXACT: Final = 2**53  # up to here an integer and its double are the same
_NUMBERS: Final = frozenset({int, float, UInt})
_WIDEST: Final = 12  # terms of one && that become nested ifs


class Cond(Struct, frozen=True):
    """A condition as Python expressions, to be asked in this order: is it ``true``; if not, is it ``missing``; if
    neither, it is false. ``missing`` is None where that cannot be."""

    true: str
    missing: str | None = None


def of(operand: Operand) -> Cond:
    """A value as a condition; anything but a bool is a surprise."""
    if operand.is_constant:
        return Cond(repr(operand.constant) if isinstance(operand.constant, bool) else "surprise()")
    text, missing = operand.text, either(operand)
    if operand.is_bool:
        return Cond(f"{text} is True" if operand.missable else text, missing)
    return Cond(f"({text} is True or {text} is not False and not_that({text}))", missing)


def negated(cond: Cond) -> Cond:
    """``!cond``: what is missing stays missing."""
    if cond.missing is None:
        return Cond(f"not {cond.true}")
    return Cond(f"(not {cond.true} and not ({cond.missing}))", cond.missing)


def either(*operands: Operand) -> str | None:
    """Whether any of the operands is missing; None where none can be."""
    asked = [f"{operand.text} is M" for operand in operands if operand.missable]
    return "(" + " or ".join(asked) + ")" if len(asked) > 1 else "".join(asked) or None


def unless(missing: str | None, asked: str) -> str:
    """``asked``, but only where nothing is missing."""
    return asked if missing is None else f"(not ({missing}) and {asked})"


def normal(operand: Operand) -> str:
    """An operand as CEL sees it: integers from outside find their type by their size."""
    return f"normal({operand.text})" if operand.raw else operand.text


def is_safe(value: object) -> bool:
    """Whether Python compares any number with this one as CEL does: the two agree on which is larger."""
    return type(value) in _NUMBERS and math.isfinite(value) and abs(value) < _EXACT  # type: ignore[arg-type]


def number(value: object) -> str:
    """A number that ``is_safe``, or a text, as a literal."""
    return repr(int(value)) if isinstance(value, UInt) else repr(value)


def in_list(text: str, elements: list[object]) -> str | None:
    """``text in elements`` by one look into a set, where Python's equality is CEL's for all of them."""
    if not elements:
        return "False"
    if not all(type(element) is str or is_safe(element) for element in elements):
        return None
    asked = f"{text} in {{{', '.join(dict.fromkeys(map(number, elements)))}}}"
    return asked if all(type(element) is str for element in elements) else f"({asked} and {text}.__class__ is not bool)"


def is_double(operand: Operand, *, promote: bool) -> str | None:
    """What to ask so that Python's arithmetic is that of doubles; empty for nothing, None where it never is."""
    if not operand.is_constant:
        return f"{operand.text}.__class__ is float"
    if type(operand.constant) is float or (promote and type(operand.constant) is int and is_safe(operand.constant)):
        return ""
    return None


def is_impure(node: Node) -> bool:
    """Whether equal records may give different values: ``now()``, ``uuid()``."""
    if isinstance(node, nodes.Call):
        function = functions.called(node)
        if function is not None and not function.pure:
            return True
    return any(map(is_impure, nodes.children(node)))


def height(node: Node) -> int:
    """How tall a tree is, as far as ``TALLEST`` and one more."""
    level, height = [node], 0
    while level and height <= TALLEST:
        level, height = [child for parent in level for child in nodes.children(parent)], height + 1
    return height


def chunked(terms: tuple[Node, ...], kind: type[nodes.And | nodes.Or] = nodes.And) -> tuple[Node, ...]:
    """The same terms, the last of them joined into one where they are many."""
    return terms if len(terms) <= _WIDEST else (*terms[: _WIDEST - 1], kind(terms[_WIDEST - 1 :]))
