"""What names and selections mean: fields that are there, and those that were meant."""

from __future__ import annotations

from rules.cel import nodes
from rules.cel.nodes import Node
from rules.cel.values import TYPES
from rules.inference import operands
from rules.inference.kinds import (
    BOOL,
    DYNAMIC,
    NEVER,
    NUMBERS,
    ListOf,
    Scalar,
    Type,
    describe,
    join,
    of,
    of_value,
    optional_of,
    some,
)
from rules.inference.walk import Scope, Walk
from rules.inference.words import likely
from rules.suggest import did_you_mean


def literal(_: Walk, node: nodes.Literal, __: Scope) -> Type:
    """A constant."""
    return of_value(node.value)


def ident(_: Walk, node: nodes.Ident, scope: Scope) -> Type:
    """A variable, or a type."""
    if node.name in TYPES and node.name not in scope.bound:
        return of("type")
    return scope.names.get(node.name, DYNAMIC)


def select(walk: Walk, node: nodes.Select, scope: Scope) -> Type:
    """``operand.field``."""
    found = _field(walk, node, node.operand, node.field, scope)
    return optional_of(found) if node.optional and not found.is_dynamic else DYNAMIC if node.optional else found


def has(walk: Walk, node: nodes.Has, scope: Scope) -> Type:
    """``has(operand.field)``."""
    _field(walk, node, node.operand, node.field, scope)
    return BOOL


def index(walk: Walk, node: nodes.Index, scope: Scope) -> Type:
    """``operand[index]``."""
    if isinstance(node.index, nodes.Literal) and isinstance(name := node.index.value, str):
        found = _field(walk, node, node.operand, name, scope)
    else:
        found = _element(walk, node, scope)
    return optional_of(found) if node.optional and not found.is_dynamic else DYNAMIC if node.optional else found


def _field(walk: Walk, node: Node, operand: Node, name: str, scope: Scope) -> Type:
    """What a field is. Of an optional, an optional."""
    of_what = walk.visit(operand, scope)
    if of_what.is_dynamic:
        return DYNAMIC
    inner = of_what.content if of_what.may_be("optional") else NEVER
    if of_what.may_be("optional"):
        return DYNAMIC if inner.is_dynamic else _field_of(walk, inner, node, operand, name, scope, wraps=True)
    return _field_of(walk, of_what, node, operand, name, scope, wraps=False)


def _field_of(walk: Walk, known: Type, node: Node, operand: Node, name: str, scope: Scope, *, wraps: bool) -> Type:
    if known.is_dynamic:
        return DYNAMIC
    here = walk.shown(operand, scope)
    if not known.may_be("map"):
        if known == NEVER or known.may_be("optional"):
            return DYNAMIC
        what = f"`{here}` is {describe(known)}, which has no field `{name}`"
        return walk.wrong(node, scope, what, "", "absent")
    fields = known.map
    found = fields.field(name)
    if found == NEVER:
        hint = did_you_mean(name, fields.fields)
        return walk.wrong(node, scope, f"`{here}` has no field `{name}`", hint, "absent")
    if fields.keys.scalar("string").lower and operands.never_equal(fields.keys, of_value(name)):
        what = f"`{here}` has no field `{name}`: each of its names is in lower case"
        return walk.wrong(node, scope, what, _in_lower_case(node, here, name), "absent")
    if name not in fields.fields and (meant := likely(name, fields.fields)):
        what = f"`{name}` is no field of `{here}` that is declared"
        walk.wrong(node, scope, what, f"did you mean `{meant}`?", "likely")
    return optional_of(found) if wraps and not found.is_dynamic else DYNAMIC if wraps else found


def _in_lower_case(node: Node, here: str, name: str) -> str:
    """What would be right instead of a name with capital letters: often that of a header."""
    plain = name.lower()
    with_dashes = f"`{here}[{plain.replace('_', '-')!r}]`"
    if isinstance(node, nodes.Index):
        return f"should be {with_dashes if '_' not in plain else f'`{here}[{plain!r}]`'}"
    return f"should be `{here}.{plain}`{f' or {with_dashes}' if '_' in plain else ''}"


def _element(walk: Walk, node: nodes.Index, scope: Scope) -> Type:
    of_what, key = walk.visit(node.operand, scope), walk.visit(node.index, scope)
    where = operands.bounds(key) if key.kinds <= frozenset(NUMBERS) else Scalar()
    if of_what.is_dynamic or of_what.may_be("optional"):
        return DYNAMIC
    if not of_what.may_be("list") and not of_what.may_be("map"):
        what = f"`{walk.shown(node.operand, scope)}` is {describe(of_what)}, which has no elements"
        return DYNAMIC if of_what == NEVER else walk.wrong(node, scope, what)
    if of_what.kinds == {"list"} and where.high is not None and where.low is not None and where.high < 0:
        what = f"the index {walk.shown(node.index, scope)} is negative"
        return walk.wrong(node, scope, what, "the last element is list[size(list) - 1]")
    maps = of_what.map
    values = [*maps.fields.values(), maps.rest or NEVER] if of_what.may_be("map") else []
    return some(join(*values, _at(of_what.list, where) if of_what.may_be("list") else NEVER))


def _at(elements: ListOf, where: Scalar) -> Type:
    """What the element at an index is: at a known one, that one."""
    if where.whole and where.low is not None and 0 <= where.low == where.high:
        return elements.at(int(where.low))
    return elements.element


def gap(_: Walk, __: nodes.Gap, ___: Scope) -> Type:
    """What could not be read."""
    return DYNAMIC
