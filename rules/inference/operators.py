"""What operators make of their operands, and what is wrong with those."""

from __future__ import annotations

from rules.cel import nodes
from rules.cel.scope import from_record
from rules.inference import operands
from rules.inference.kinds import BOOL, DYNAMIC, NEVER, NUMBERS, Type, describe, join, of, of_value
from rules.inference.together import contradictions, left_out
from rules.inference.walk import Claim, Scope, Walk, is_constant
from rules.inference.words import as_number, differing, ordered


def unary(walk: Walk, node: nodes.Unary, scope: Scope) -> Type:
    """``!`` and ``-``."""
    before = walk.said
    operand = walk.visit(node.operand, scope)
    if node.operator == "!":
        if operand.may_be("bool"):
            if walk.said == before:
                left_out(walk, node, scope)
            return BOOL
        return walk.wrong(
            node, scope, f"! takes a bool, and `{walk.shown(node.operand, scope)}` is {describe(operand)}"
        )
    found = operands.negation(operand)
    if found != NEVER:
        return found
    return walk.wrong(node, scope, f"there is no - for {describe(operand)}")


def binary(walk: Walk, node: nodes.Binary, scope: Scope) -> Type:
    """Arithmetic and comparison."""
    left, right = walk.visit(node.left, scope), walk.visit(node.right, scope)
    if left == NEVER or right == NEVER:
        return DYNAMIC
    match node.operator:
        case "==" | "!=":
            return _equality(walk, node, scope, left, right)
        case "in":
            return _membership(walk, node, scope, left, right)
        case "<" | "<=" | ">" | ">=":
            return _order(walk, node, scope, left, right)
    return _arithmetic(walk, node, scope, left, right)


def _equality(walk: Walk, node: nodes.Binary, scope: Scope, left: Type, right: Type) -> Type:
    if not operands.never_equal(left, right):
        if node.operator == "!=":
            left_out(walk, node, scope)
        return BOOL
    is_null = frozenset({"null"}) in (left.kinds, right.kinds)
    if node.operator == "!=" and is_null:
        return BOOL  # a guard that is not needed does no harm
    if is_constant(node):
        return BOOL
    outcome: Claim = "never true" if node.operator == "==" else "always true"
    one, other = walk.shown(node.left, scope), walk.shown(node.right, scope)
    what, hint = differing(one, left, other, right)
    if is_null:
        hint = "a field that is missing is not null; has() tells whether it is there"
    return walk.wrong(node, scope, f"this is {outcome}: {what}", hint, outcome)


def _order(walk: Walk, node: nodes.Binary, scope: Scope, left: Type, right: Type) -> Type:
    one, other = walk.shown(node.left, scope), walk.shown(node.right, scope)
    if not operands.has_order(left, right):
        what, hint = differing(one, left, other, right)
        if left.kinds == right.kinds:
            what, hint = f"`{one}` and `{other}` are each {describe(left)}", "these have no order"
        return walk.wrong(node, scope, f"{node.operator} cannot compare these: {what}", hint)
    if operands.never_ordered(node.operator, left, right) and not is_constant(node):
        return walk.wrong(node, scope, f"this is never true: {ordered(one, left, other, right)}", "", "never true")
    return BOOL


def _membership(walk: Walk, node: nodes.Binary, scope: Scope, left: Type, right: Type) -> Type:
    one, other = walk.shown(node.left, scope), walk.shown(node.right, scope)
    if not right.may_be("list") and not right.may_be("map"):
        hint = "should be text.contains('part')" if right.may_be("string") else ""
        return walk.wrong(node, scope, f"'in' looks into a list or a map, and `{other}` is {describe(right)}", hint)
    is_map = right.kinds == {"map"}
    wanted = right.map.keys if is_map else right.element if right.kinds == {"list"} else DYNAMIC
    if not operands.never_equal(left, wanted):
        if isinstance(node.right, nodes.ListNode) and not left.is_dynamic:
            _superfluous(walk, left, one, node.right, scope)
        return BOOL
    if wanted == NEVER or is_constant(node):
        return BOOL
    what, hint = differing(one, left, f"each {'key' if is_map else 'element'} of {other}", wanted)
    return walk.wrong(node, scope, f"this is never true: {what}", hint, "never true")


def _superfluous(walk: Walk, left: Type, one: str, elements: nodes.ListNode, scope: Scope) -> None:
    """Elements of a list that what is looked for in it can never be."""
    for element in elements.elements:
        if isinstance(element, nodes.Literal) and operands.never_equal(left, value := of_value(element.value)):
            what, hint = differing(one, left, walk.shown(element, scope), value)
            walk.wrong(element, scope, f"this element is never found: {what}", hint, "likely")


def _arithmetic(walk: Walk, node: nodes.Binary, scope: Scope, left: Type, right: Type) -> Type:
    promotes = from_record(node.left, scope.plain) or from_record(node.right, scope.plain)
    if is_constant(node):
        return join(left, right)  # which is made of it when it is evaluated
    found = operands.arithmetic(node.operator, left, right, promotes=promotes)
    one, other = walk.shown(node.left, scope), walk.shown(node.right, scope)
    if found == NEVER:
        if node.operator == "%" and operands.arithmetic("%", left, of("int", "uint"), promotes=True) != NEVER:
            return walk.wrong(node, scope, "this always fails: modulus by zero")
        what = f"`{one}` is {describe(left)}, and `{other}` is {describe(right)}"
        return walk.wrong(
            node, scope, f"there is no {node.operator} for these: {what}", _conversion(node.operator, left, right)
        )
    if node.operator == "/" and promotes and _is_untyped(left) and right.kinds == {"int"}:
        _two_readings(walk, node, scope, one, other)
    if node.operator == "%" and promotes:
        _two_kinds(walk, node, scope, left, right)
    return found


def _two_kinds(walk: Walk, node: nodes.Binary, scope: Scope, left: Type, right: Type) -> None:
    """A number of the record that may be a double has no remainder then, even if it is whole."""
    for part, known in ((node.left, left), (node.right, right)):
        if not known.is_dynamic and _is_untyped(known):
            one = walk.shown(part, scope)
            what = f"`{one}` may be an int or a double, as 4.0 is, for which there is no %"
            walk.wrong(part, scope, what, f"should be `int({one})`", "likely")


def _two_readings(walk: Walk, node: nodes.Binary, scope: Scope, one: str, other: str) -> None:
    """A number of the record may be an int or a double, and an int is divided without the rest."""
    if not isinstance(node.right, nodes.Literal) or not isinstance(divisor := node.right.value, int) or not divisor:
        return
    number = 5 if 5 % divisor else abs(divisor) + 1
    cut, exact = int(number / divisor), number / divisor
    if abs(divisor) == 1:
        return
    what = f"`{one}` may be an int or a double: {number} / {other} is {cut}, and {number}.0 / {other} is {exact:g}"
    hint = f"should be `{one} / {other}.0`, or `int({one}) / {other}` without the rest"
    walk.wrong(node, scope, what, hint, "likely")


def logic(walk: Walk, node: nodes.And | nodes.Or, scope: Scope) -> Type:
    """``&&`` and ``||``."""
    symbol = "&&" if isinstance(node, nodes.And) else "||"
    sound = []
    for term in node.terms:
        before = walk.said
        found = walk.visit(term, scope)
        if walk.said == before:
            sound.append(term)
        if not found.may_be("bool") and found != NEVER:
            what = f"{symbol} takes bools, and `{walk.shown(term, scope)}` is {describe(found)}"
            walk.wrong(term, scope, what, "", "no bool")
    if isinstance(node, nodes.And):
        contradictions(walk, node, sound, scope)
    return BOOL


def conditional(walk: Walk, node: nodes.Conditional, scope: Scope) -> Type:
    """``condition ? then : otherwise``."""
    condition = walk.visit(node.condition, scope)
    if not condition.may_be("bool") and condition != NEVER:
        what = f"the condition before ? is a bool, and `{walk.shown(node.condition, scope)}` is {describe(condition)}"
        walk.wrong(node.condition, scope, what, "", "no bool")
    return join(walk.visit(node.then, scope), walk.visit(node.otherwise, scope))


def _is_untyped(known: Type) -> bool:
    """Whether a number of the record may be an int or a double: JSON Schema takes 5.0 for an integer, too."""
    return {"int", "double"} <= known.kinds


def _conversion(symbol: str, left: Type, right: Type) -> str:
    if left.kinds | right.kinds <= frozenset(NUMBERS):
        return "convert one of them, as in double(x) or int(x)"
    if symbol == "+" and "string" in left.kinds | right.kinds:
        return "convert the other, as in string(x)"
    return as_number(left, right)
