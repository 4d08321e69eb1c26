"""What a term of a condition asks of one thing, and which terms are true whenever another one is."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from rules.cel import nodes
from rules.cel.nodes import Node
from rules.inference.kinds import EXACT

_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}

Key = tuple[str, object]
"""A constant: equal keys are equal constants, whatever the type of a number is."""


class Term(Struct, frozen=True):
    """``subject`` is one of the constants ``values`` (``in``), none of them (``not in``), less or more than the only
    one (``<`` and so on), or a text that has this one (``startsWith``, ``endsWith``, ``contains``)."""

    subject: Node
    asks: str
    values: frozenset[Key]

    @property
    def bound(self) -> object:
        """The only constant."""
        return next(iter(self.values))[1]


def term_of(node: Node) -> Term:
    """What a term asks. One that is not understood asks of itself that it is true."""
    negated = False
    while isinstance(node, nodes.Unary) and node.operator == "!":
        negated, node = not negated, node.operand
    found = _comparison(node) if isinstance(node, nodes.Binary) else _part(node)
    if found is None or (negated and found.asks not in ("in", "not in")):
        return Term(node, "in", frozenset({("bool", not negated)}))
    if not negated:
        return found
    return Term(found.subject, "in" if found.asks == "not in" else "not in", found.values)


def singly(term: Term) -> list[Term]:
    """The same as terms of which one is true: one for each constant."""
    if term.asks != "in":
        return [term]
    return [Term(term.subject, "in", frozenset({value})) for value in term.values]


def implies(later: Term, earlier: Term) -> bool:
    """Whether ``earlier`` is true, and does not err, whenever ``later`` is true."""
    if later.subject is not earlier.subject and later.subject != earlier.subject:
        return False
    if later.asks == "in":
        return all(holds(earlier, value) for value in later.values)
    if earlier.asks == "not in":
        if later.asks == "not in":
            return earlier.values <= later.values
        return not any(holds(later, value) for value in earlier.values)
    if later.asks[0] in "<>":
        return _is_wider(earlier, later)
    return _is_part(earlier, later)


def _is_wider(earlier: Term, later: Term) -> bool:
    if earlier.asks[0] != later.asks[0]:
        return False
    same = earlier.bound == later.bound and (earlier.asks == later.asks or earlier.asks.endswith("="))
    return same or holds(earlier, next(iter(later.values)))


def _is_part(earlier: Term, later: Term) -> bool:
    part, text = earlier.bound, later.bound
    if not isinstance(part, str) or not isinstance(text, str) or later.asks not in _TEXTS:
        return False
    if earlier.asks == later.asks:
        return holds(earlier, ("string", text))
    return earlier.asks == "contains" and part in text


_TEXTS: Final = ("startsWith", "endsWith", "contains")


def holds(term: Term, value: Key) -> bool:
    """Whether a term is true of a constant."""
    kind, plain = value
    match term.asks:
        case "in":
            return value in term.values
        case "not in":
            return value not in term.values
        case "startsWith" | "endsWith" | "contains" if isinstance(plain, str) and kind == "string":
            part = str(term.bound)
            tests = {"startsWith": plain.startswith(part), "endsWith": plain.endswith(part), "contains": part in plain}
            return tests[term.asks]
        case "<" | "<=" | ">" | ">=" if kind == "number":
            return _compare(plain, term.asks, term.bound)
    return False


def _compare(left: object, symbol: str, right: object) -> bool:
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        return False
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[symbol]


def _comparison(node: nodes.Binary) -> Term | None:
    if node.operator == "in":
        return _membership(node)
    symbol, subject, value = node.operator, node.left, _key(node.right)
    if symbol not in _MIRRORED:
        return None
    if value is None:
        symbol, subject, value = _MIRRORED[symbol], node.right, _key(node.left)
    if value is None or (symbol[0] in "<>" and value[0] != "number"):
        return None
    asks = {"==": "in", "!=": "not in"}.get(symbol, symbol)
    return Term(subject, asks, frozenset({value}))


def _membership(node: nodes.Binary) -> Term | None:
    """``subject in [constants]``."""
    if not isinstance(node.right, nodes.ListNode) or not node.right.elements or any(node.right.optional):
        return None
    found = [_key(element) for element in node.right.elements]
    values = frozenset(value for value in found if value is not None)
    return Term(node.left, "in", values) if None not in found else None


def _part(node: Node) -> Term | None:
    match node:
        case nodes.Call(name=("startsWith" | "endsWith" | "contains") as name, target=subject, args=(argument,)):
            value = _key(argument)
            if subject is not None and value is not None and value[0] == "string":
                return Term(subject, name, frozenset({value}))
    return None


def _key(node: Node) -> Key | None:
    """The constant that a node is."""
    sign = 1
    if isinstance(node, nodes.Unary) and node.operator == "-":
        sign, node = -1, node.operand
    if not isinstance(node, nodes.Literal):
        return None
    found = key_of(node.value)
    if found is None or sign == 1:
        return found
    return ("number", -found[1]) if isinstance(found[1], float) else None


def key_of(value: object) -> Key | None:
    """A constant; None of anything else, and of numbers that are too large to be compared exactly."""
    match value:
        case bool() as flag:
            return ("bool", flag)
        case int() | float() as number:
            return ("number", float(number)) if abs(number) < EXACT else None
        case str() as text:
            return ("string", text)
        case None:
            return ("null", None)
    return None
