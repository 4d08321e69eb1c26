"""The type of an expression, and what is certainly or probably wrong with it.

What is wrong is reported once, at the smallest part that is, and has a dynamic type from there on: no part is blamed
for another. A type says what the exact evaluator can give; evaluation may always err, or find nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from rules.cel import functions, nodes
from rules.cel.errors import CelError
from rules.cel.evaluator import evaluator
from rules.cel.nodes import Node
from rules.cel.scope import from_record, inside, static_path
from rules.cel.values import TYPES
from rules.flow import Expr
from rules.inference import operations
from rules.inference.calls import result
from rules.inference.kinds import (
    BOOL,
    DYNAMIC,
    NEVER,
    NUMBERS,
    Type,
    describe,
    join,
    list_of,
    map_of,
    of,
    of_value,
    optional_of,
)
from rules.inference.words import as_number, differing, likely, ordered, shown
from rules.lets import Lets
from rules.suggest import did_you_mean

_NOTHING: Final[frozenset[str]] = frozenset()


Claim = Literal["fails", "absent", "never true", "always true", "no bool", "likely"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a part of an expression: with ``node``, at ``offset`` of the text. ``claim`` says what that
    part does, whatever the record is: an "absent" field fails, but for has() and ?; "likely" may be meant as it is."""

    expr: Expr
    offset: int
    what: str
    hint: str
    claim: Claim
    node: Node = field(compare=False)

    @property
    def certain(self) -> bool:
        """Whether it is wrong for every record."""
        return self.claim != "likely"


Report = Callable[[Finding], None]


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean: a name that is not among them is dynamic. ``bound`` by macros, ``plain`` as the evaluator has
    it. ``expr`` is the one that the text of a node belongs to."""

    names: Mapping[str, Type]
    expr: Expr
    bound: frozenset[str] = _NOTHING
    plain: frozenset[str] = _NOTHING

    def within(self, names: Mapping[str, Type], value: Node) -> Scope:
        """The scope where a macro binds names, to a value or to its elements."""
        plain = inside(self.plain, tuple(names), record=from_record(value, self.plain))
        return replace(self, names={**self.names, **names}, bound=self.bound.union(names), plain=plain)


@dataclass(slots=True)
class _Walk:
    """A method for each kind of node."""

    lets: Lets
    written: Mapping[str, Expr]
    names: Mapping[str, Type]
    report: Report
    _known: dict[int, Type] = field(default_factory=dict)
    _said: int = 0

    def visit(self, node: Node, scope: Scope) -> Type:
        """The type of a node."""
        name = self.lets.name_of(node)
        if name is None:
            return self._visit(node, scope)
        if id(node) not in self._known:
            self._known[id(node)] = self._visit(node, Scope(self.names, self.written[name]))
        return self._known[id(node)]

    def _visit(self, node: Node, scope: Scope) -> Type:
        before = self._said
        found: Type = _HANDLERS[type(node)](self, node, scope)
        if self._said != before or isinstance(node, nodes.Literal) or not _is_constant(node):
            return found
        try:
            return of_value(evaluator(node)({}))
        except CelError as error:
            return self._wrong(node, scope, f"this always fails: {error}")

    # Reports

    def _wrong(self, node: Node, scope: Scope, what: str, hint: str = "", claim: Claim = "fails") -> Type:
        """Report what is wrong; the type to go on with."""
        self._said += 1
        self.report(Finding(scope.expr, self._offset(node, scope.expr), what, hint, claim, node))
        return DYNAMIC

    def _offset(self, node: Node, expr: Expr) -> int:
        """Where a node stands in the text of an expression. What a name of let stands for was written elsewhere."""
        name = self.lets.name_of(node)
        if name is None or expr is self.written.get(name):
            return node.start
        return next((offset for used, offset in expr.cel.uses if used == name), 0)

    def _shown(self, node: Node, scope: Scope) -> str:
        return shown(self.lets.name_of(node) or scope.expr.cel.text[node.start : node.end])

    # Names and selections

    def literal(self, node: nodes.Literal, _: Scope) -> Type:
        return of_value(node.value)

    def ident(self, node: nodes.Ident, scope: Scope) -> Type:
        if node.name in TYPES and node.name not in scope.bound:
            return of("type")
        return scope.names.get(node.name, DYNAMIC)

    def select(self, node: nodes.Select, scope: Scope) -> Type:
        found = self._field(node, node.operand, node.field, scope)
        return optional_of(found) if node.optional and not found.is_dynamic else DYNAMIC if node.optional else found

    def has(self, node: nodes.Has, scope: Scope) -> Type:
        self._field(node, node.operand, node.field, scope)
        return BOOL

    def index(self, node: nodes.Index, scope: Scope) -> Type:
        if isinstance(node.index, nodes.Literal) and isinstance(name := node.index.value, str):
            found = self._field(node, node.operand, name, scope)
        else:
            found = self._element(node, scope)
        return optional_of(found) if node.optional and not found.is_dynamic else DYNAMIC if node.optional else found

    def _field(self, node: Node, operand: Node, name: str, scope: Scope) -> Type:
        """What a field is. Of an optional, an optional."""
        of_what = self.visit(operand, scope)
        if of_what.is_dynamic:
            return DYNAMIC
        inner = of_what.content if of_what.may_be("optional") else NEVER
        if of_what.may_be("optional"):
            return DYNAMIC if inner.is_dynamic else self._field_of(inner, node, operand, name, scope, wraps=True)
        return self._field_of(of_what, node, operand, name, scope, wraps=False)

    def _field_of(self, known: Type, node: Node, operand: Node, name: str, scope: Scope, *, wraps: bool) -> Type:
        if known.is_dynamic:
            return DYNAMIC
        here = self._shown(operand, scope)
        if not known.may_be("map"):
            if known == NEVER or known.may_be("optional"):
                return DYNAMIC
            what = f"`{here}` is {describe(known)}, which has no field `{name}`"
            return self._wrong(node, scope, what, "", "absent")
        fields = known.map
        found = fields.field(name)
        if found == NEVER:
            hint = did_you_mean(name, fields.fields)
            return self._wrong(node, scope, f"`{here}` has no field `{name}`", hint, "absent")
        if name not in fields.fields and (meant := likely(name, fields.fields)):
            what = f"`{name}` is no field of `{here}` that is declared"
            self._wrong(node, scope, what, f"did you mean `{meant}`?", "likely")
        return optional_of(found) if wraps and not found.is_dynamic else DYNAMIC if wraps else found

    def _element(self, node: nodes.Index, scope: Scope) -> Type:
        of_what, key = self.visit(node.operand, scope), self.visit(node.index, scope)
        low, high = operations.bounds(key) if key.kinds <= frozenset(NUMBERS) else (None, None)
        if of_what.is_dynamic or of_what.may_be("optional"):
            return DYNAMIC
        if not of_what.may_be("list") and not of_what.may_be("map"):
            what = f"`{self._shown(node.operand, scope)}` is {describe(of_what)}, which has no elements"
            return DYNAMIC if of_what == NEVER else self._wrong(node, scope, what)
        if of_what.kinds == {"list"} and high is not None and low is not None and high < 0:
            what = f"the index {self._shown(node.index, scope)} is negative"
            return self._wrong(node, scope, what, "the last element is list[size(list) - 1]")
        maps = of_what.map
        values = [*maps.fields.values(), maps.rest or NEVER] if of_what.may_be("map") else []
        return _some(join(*values, of_what.element if of_what.may_be("list") else NEVER))

    # Operators

    def unary(self, node: nodes.Unary, scope: Scope) -> Type:
        operand = self.visit(node.operand, scope)
        if node.operator == "!":
            if operand.may_be("bool"):
                return BOOL
            return self._wrong(
                node, scope, f"! takes a bool, and `{self._shown(node.operand, scope)}` is {describe(operand)}"
            )
        found = operations.negation(operand)
        if found != NEVER:
            return found
        return self._wrong(node, scope, f"there is no - for {describe(operand)}")

    def binary(self, node: nodes.Binary, scope: Scope) -> Type:
        left, right = self.visit(node.left, scope), self.visit(node.right, scope)
        if left == NEVER or right == NEVER:
            return DYNAMIC
        match node.operator:
            case "==" | "!=":
                return self._equality(node, scope, left, right)
            case "in":
                return self._membership(node, scope, left, right)
            case "<" | "<=" | ">" | ">=":
                return self._order(node, scope, left, right)
        return self._arithmetic(node, scope, left, right)

    def _equality(self, node: nodes.Binary, scope: Scope, left: Type, right: Type) -> Type:
        if not operations.never_equal(left, right):
            return BOOL
        is_null = frozenset({"null"}) in (left.kinds, right.kinds)
        if node.operator == "!=" and is_null:
            return BOOL  # a guard that is not needed does no harm
        if _is_constant(node):
            return BOOL
        outcome: Claim = "never true" if node.operator == "==" else "always true"
        one, other = self._shown(node.left, scope), self._shown(node.right, scope)
        what, hint = differing(one, left, other, right)
        if is_null:
            hint = "a field that is missing is not null; has() tells whether it is there"
        return self._wrong(node, scope, f"this is {outcome}: {what}", hint, outcome)

    def _order(self, node: nodes.Binary, scope: Scope, left: Type, right: Type) -> Type:
        one, other = self._shown(node.left, scope), self._shown(node.right, scope)
        if not operations.has_order(left, right):
            what, hint = differing(one, left, other, right)
            if left.kinds == right.kinds:
                what, hint = f"`{one}` and `{other}` are each {describe(left)}", "these have no order"
            return self._wrong(node, scope, f"{node.operator} cannot compare these: {what}", hint)
        if operations.never_ordered(node.operator, left, right) and not _is_constant(node):
            return self._wrong(node, scope, f"this is never true: {ordered(one, left, other, right)}", "", "never true")
        return BOOL

    def _membership(self, node: nodes.Binary, scope: Scope, left: Type, right: Type) -> Type:
        one, other = self._shown(node.left, scope), self._shown(node.right, scope)
        if not right.may_be("list") and not right.may_be("map"):
            hint = "should be text.contains('part')" if right.may_be("string") else ""
            return self._wrong(
                node, scope, f"'in' looks into a list or a map, and `{other}` is {describe(right)}", hint
            )
        if right.kinds != {"list"} or not operations.never_equal(left, right.element):
            if isinstance(node.right, nodes.ListNode) and not left.is_dynamic:
                self._superfluous(left, one, node.right, scope)
            return BOOL
        if right.element == NEVER or _is_constant(node):
            return BOOL
        what, hint = differing(one, left, f"each element of {other}", right.element)
        return self._wrong(node, scope, f"this is never true: {what}", hint, "never true")

    def _superfluous(self, left: Type, one: str, elements: nodes.ListNode, scope: Scope) -> None:
        """Elements of a list that what is looked for in it can never be."""
        for element in elements.elements:
            if isinstance(element, nodes.Literal) and operations.never_equal(left, value := of_value(element.value)):
                what, hint = differing(one, left, self._shown(element, scope), value)
                self._wrong(element, scope, f"this element is never found: {what}", hint, "likely")

    def _arithmetic(self, node: nodes.Binary, scope: Scope, left: Type, right: Type) -> Type:
        promotes = from_record(node.left, scope.plain) or from_record(node.right, scope.plain)
        if _is_constant(node):
            return join(left, right)  # which is made of it when it is evaluated
        found = operations.arithmetic(node.operator, left, right, promotes=promotes)
        one, other = self._shown(node.left, scope), self._shown(node.right, scope)
        if found == NEVER:
            if node.operator == "%" and operations.arithmetic("%", left, of("int", "uint"), promotes=True) != NEVER:
                return self._wrong(node, scope, "this always fails: modulus by zero")
            what = f"`{one}` is {describe(left)}, and `{other}` is {describe(right)}"
            return self._wrong(
                node, scope, f"there is no {node.operator} for these: {what}", _conversion(node.operator, left, right)
            )
        if node.operator == "/" and promotes and _is_untyped(left) and right.kinds == {"int"}:
            self._two_readings(node, scope, one, other)
        return found

    def _two_readings(self, node: nodes.Binary, scope: Scope, one: str, other: str) -> None:
        """A number of the record may be an int or a double, and an int is divided without the rest."""
        if not isinstance(node.right, nodes.Literal) or not isinstance(divisor := node.right.value, int) or not divisor:
            return
        number = 5 if 5 % divisor else abs(divisor) + 1
        cut, exact = int(number / divisor), number / divisor
        if abs(divisor) == 1:
            return
        what = f"`{one}` may be an int or a double: {number} / {other} is {cut}, and {number}.0 / {other} is {exact:g}"
        hint = f"should be `{one} / {other}.0`, or `int({one}) / {other}` without the rest"
        self._wrong(node, scope, what, hint, "likely")

    def logic(self, node: nodes.And | nodes.Or, scope: Scope) -> Type:
        symbol = "&&" if isinstance(node, nodes.And) else "||"
        for term in node.terms:
            found = self.visit(term, scope)
            if not found.may_be("bool") and found != NEVER:
                what = f"{symbol} takes bools, and `{self._shown(term, scope)}` is {describe(found)}"
                self._wrong(term, scope, what, "", "no bool")
        if isinstance(node, nodes.And):
            self._contradictions(node, scope)
        return BOOL

    def _contradictions(self, node: nodes.And, scope: Scope) -> None:
        """One thing cannot be equal to two others."""
        first: dict[Node, tuple[Node, nodes.Literal]] = {}
        for term in node.terms:
            match term:
                case nodes.Binary(operator="==", left=left, right=nodes.Literal() as value) if static_path(left):
                    earlier, its = first.setdefault(left, (term, value))
                    if operations.never_equal(of_value(its.value), of_value(value.value)):
                        beside = self._shown(earlier, scope)
                        what = f"`{beside}` and `{self._shown(term, scope)}` are never both true"
                        hint = "should be || between them, or 'in' a list"
                        self._wrong(node, scope, what, hint, "never true")
                        return

    def conditional(self, node: nodes.Conditional, scope: Scope) -> Type:
        condition = self.visit(node.condition, scope)
        if not condition.may_be("bool") and condition != NEVER:
            what = (
                f"the condition before ? is a bool, and `{self._shown(node.condition, scope)}` is {describe(condition)}"
            )
            self._wrong(node.condition, scope, what, "", "no bool")
        return join(self.visit(node.then, scope), self.visit(node.otherwise, scope))

    # Lists, maps, calls and macros

    def list(self, node: nodes.ListNode, scope: Scope) -> Type:
        found = [self.visit(element, scope) for element in node.elements]
        elements = [
            known.content if is_optional else known for known, is_optional in zip(found, node.optional, strict=True)
        ]
        return list_of(join(*elements) if elements else DYNAMIC)

    def map(self, node: nodes.MapNode, scope: Scope) -> Type:
        fields: dict[str, Type] = {}
        keys: list[Type] = []
        for (key, value), is_optional in zip(node.entries, node.optional, strict=True):
            keys.append(self.visit(key, scope))
            found = self.visit(value, scope)
            found = found.content if is_optional else found
            if isinstance(key, nodes.Literal) and isinstance(key.value, str):
                fields[key.value] = found
            else:
                return self._loose_map(node, scope)
        return map_of(fields, None, join(*keys) if keys else DYNAMIC)

    def _loose_map(self, node: nodes.MapNode, scope: Scope) -> Type:
        for entry in node.entries[1:]:
            for part in entry:
                self.visit(part, scope)
        return map_of({}, DYNAMIC, DYNAMIC)

    def call(self, node: nodes.Call, scope: Scope) -> Type:
        parts = node.args if node.target is None else (node.target, *node.args)
        arguments = [self.visit(part, scope) for part in parts]
        if NEVER in arguments:
            return DYNAMIC
        found, signatures = result(node, arguments)
        if not signatures:
            return found
        given = ", ".join(describe(known) for known in arguments)
        return self._wrong(node, scope, f"{node.name}() does not take ({given})", f"it takes {signatures}")

    def macro(self, node: nodes.Macro, scope: Scope) -> Type:
        target = self.visit(node.target, scope)
        optional = node.name in ("optMap", "optFlatMap")
        wanted = ("optional",) if optional else ("list", "map")
        if target != NEVER and not any(target.may_be(kind) for kind in wanted):  # type: ignore[arg-type]  # words of Kind
            whats = "is a method of optionals" if optional else "goes over a list or a map"
            what = f"{node.name}() {whats}, and `{self._shown(node.target, scope)}` is {describe(target)}"
            target = self._wrong(node, scope, what)
        inner = scope.within(_bound(node, target), node.target)
        bodies = [self.visit(body, inner) for body in node.bodies]
        conditions = node.bodies if node.name in _TESTS else node.bodies[:-1]
        for body, found in zip(conditions, bodies, strict=False):
            if not found.may_be("bool") and found != NEVER:
                what = (
                    f"the condition of {node.name}() is a bool, and `{self._shown(body, inner)}` is {describe(found)}"
                )
                self._wrong(body, inner, what, "", "no bool")
        return _made(node, target, bodies[-1])

    def bind(self, node: nodes.Bind, scope: Scope) -> Type:
        value = self.visit(node.value, scope)
        return self.visit(node.body, scope.within({node.name: value}, node.value))

    def gap(self, _: nodes.Gap, __: Scope) -> Type:
        return DYNAMIC


@dataclass(slots=True)
class Inference(_Walk):
    """Finds types where these names have these types. What ``let`` names is looked at once, where it is first used."""

    def type_of(self, expr: Expr) -> Type:
        """The type of an expression."""
        return self.visit(self.lets.inline(expr.cel.node), Scope(self.names, expr))

    def condition(self, expr: Expr, what: str) -> bool | None:
        """Check what is to be true or false; whether it is always the same, and which."""
        node = self.lets.inline(expr.cel.node)
        found = self.visit(node, Scope(self.names, expr))
        if not found.may_be("bool") and found != NEVER:
            self._wrong(
                node, Scope(self.names, expr), f"{what} is {describe(found)}, never true or false", "", "no bool"
            )
        values = found.scalar("bool").values if _is_constant(node) and found.kinds == {"bool"} else None
        return None if values is None else next(iter(values)) is True


_TESTS: Final = frozenset({"all", "exists", "exists_one", "existsOne", "filter"})


def _bound(node: nodes.Macro, target: Type) -> Mapping[str, Type]:
    """What the variables of a macro are."""
    if node.name in ("optMap", "optFlatMap"):
        return {node.variables[0]: target.content}
    has_lists, has_maps = target.may_be("list"), target.may_be("map")
    maps = target.map
    keys = maps.keys if has_maps else NEVER
    values = join(*maps.fields.values(), maps.rest or NEVER) if has_maps else NEVER
    elements = target.element if has_lists else NEVER
    if len(node.variables) == 1:
        return {node.variables[0]: _some(join(elements, keys))}
    first = join(of("int") if has_lists else NEVER, keys)
    return dict(zip(node.variables, (_some(first), _some(join(elements, values))), strict=True))


def _some(known: Type) -> Type:
    return DYNAMIC if known == NEVER else known


def _made(node: nodes.Macro, target: Type, body: Type) -> Type:
    """The type of what a macro makes."""
    match node.name:
        case "map" | "transformList":
            return list_of(_some(body))
        case "filter":
            return list_of(next(iter(_bound(node, target).values())))
        case "transformMap" | "transformMapEntry":
            return map_of({}, DYNAMIC, DYNAMIC)
        case "optMap":
            return optional_of(_some(body))
        case "optFlatMap":
            return optional_of(body.content)
    return BOOL


def _is_untyped(known: Type) -> bool:
    """Whether a number of the record may be an int or a double, and nothing says that it is whole."""
    return {"int", "double"} <= known.kinds and not known.scalar("double").whole


def _conversion(symbol: str, left: Type, right: Type) -> str:
    if left.kinds | right.kinds <= frozenset(NUMBERS):
        return "convert one of them, as in double(x) or int(x)"
    if symbol == "+" and "string" in left.kinds | right.kinds:
        return "convert the other, as in string(x)"
    return as_number(left, right)


# What of an expression is evaluated once and for all. What goes over lists is not: it may take its time.
_FIXED: Final = (
    nodes.Literal, nodes.Unary, nodes.Binary, nodes.And, nodes.Or, nodes.Conditional, nodes.ListNode, nodes.MapNode,
    nodes.Select, nodes.Index,
)  # fmt: skip
_SLOW: Final = frozenset({"lists.range", "replace", "join", "format"})


def _is_constant(node: Node) -> bool:
    """Whether a node has the same value for every record, which is found quickly."""
    if isinstance(node, nodes.Call):
        function = functions.find(node.name, len(node.args), is_method=node.target is not None)
        if function is None or not function.pure or node.name in _SLOW:
            return False
    elif not isinstance(node, _FIXED):
        return False
    return all(map(_is_constant, nodes.children(node)))


_HANDLERS: Final[Mapping[type[Node], Callable[[_Walk, Any, Scope], Type]]] = {
    nodes.Literal: _Walk.literal,
    nodes.Ident: _Walk.ident,
    nodes.Select: _Walk.select,
    nodes.Has: _Walk.has,
    nodes.Index: _Walk.index,
    nodes.Unary: _Walk.unary,
    nodes.Binary: _Walk.binary,
    nodes.And: _Walk.logic,
    nodes.Or: _Walk.logic,
    nodes.Conditional: _Walk.conditional,
    nodes.ListNode: _Walk.list,
    nodes.MapNode: _Walk.map,
    nodes.Call: _Walk.call,
    nodes.Macro: _Walk.macro,
    nodes.Bind: _Walk.bind,
    nodes.Gap: _Walk.gap,
}
