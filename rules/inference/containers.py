"""What lists, maps, calls and macros make, and what is wrong with what they are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rules.cel import nodes
from rules.inference.calls import result
from rules.inference.kinds import BOOL, DYNAMIC, NEVER, Type, describe, join, list_of, map_of, of, optional_of, some
from rules.inference.walk import Scope, Walk


def list_(walk: Walk, node: nodes.ListNode, scope: Scope) -> Type:
    """``[a, b]``."""
    found = [walk.visit(element, scope) for element in node.elements]
    elements = [
        known.content if is_optional else known for known, is_optional in zip(found, node.optional, strict=True)
    ]
    return list_of(join(*elements) if elements else DYNAMIC)


def map_(walk: Walk, node: nodes.MapNode, scope: Scope) -> Type:
    """``{k: v}``."""
    fields: dict[str, Type] = {}
    keys: list[Type] = []
    for (key, value), is_optional in zip(node.entries, node.optional, strict=True):
        keys.append(walk.visit(key, scope))
        found = walk.visit(value, scope)
        found = found.content if is_optional else found
        if isinstance(key, nodes.Literal) and isinstance(key.value, str):
            fields[key.value] = found
        else:
            return _loose_map(walk, node, scope)
    return map_of(fields, None, join(*keys) if keys else DYNAMIC)


def _loose_map(walk: Walk, node: nodes.MapNode, scope: Scope) -> Type:
    for entry in node.entries[1:]:
        for part in entry:
            walk.visit(part, scope)
    return map_of({}, DYNAMIC, DYNAMIC)


def call(walk: Walk, node: nodes.Call, scope: Scope) -> Type:
    """A function or a method."""
    parts = node.args if node.target is None else (node.target, *node.args)
    arguments = [walk.visit(part, scope) for part in parts]
    if NEVER in arguments:
        return DYNAMIC
    found, signatures = result(node, arguments)
    if not signatures:
        return found
    given = ", ".join(describe(known) for known in arguments)
    return walk.wrong(node, scope, f"{node.name}() does not take ({given})", f"it takes {signatures}")


def macro(walk: Walk, node: nodes.Macro, scope: Scope) -> Type:
    """What goes over a list, a map or an optional."""
    target = walk.visit(node.target, scope)
    optional = node.name in ("optMap", "optFlatMap")
    wanted = ("optional",) if optional else ("list", "map")
    if target != NEVER and not any(target.may_be(kind) for kind in wanted):  # type: ignore[arg-type]  # words of Kind
        whats = "is a method of optionals" if optional else "goes over a list or a map"
        what = f"{node.name}() {whats}, and `{walk.shown(node.target, scope)}` is {describe(target)}"
        target = walk.wrong(node, scope, what)
    inner = scope.within(_bound(node, target), node.target)
    bodies = [walk.visit(body, inner) for body in node.bodies]
    conditions = node.bodies if node.name in _TESTS else node.bodies[:-1]
    for body, found in zip(conditions, bodies, strict=False):
        if not found.may_be("bool") and found != NEVER:
            what = f"the condition of {node.name}() is a bool, and `{walk.shown(body, inner)}` is {describe(found)}"
            walk.wrong(body, inner, what, "", "no bool")
    return _made(node, target, bodies[-1])


def bind(walk: Walk, node: nodes.Bind, scope: Scope) -> Type:
    """``cel.bind()``."""
    value = walk.visit(node.value, scope)
    return walk.visit(node.body, scope.within({node.name: value}, node.value))


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
        return {node.variables[0]: some(join(elements, keys))}
    first = join(of("int") if has_lists else NEVER, keys)
    return dict(zip(node.variables, (some(first), some(join(elements, values))), strict=True))


def _made(node: nodes.Macro, target: Type, body: Type) -> Type:
    """The type of what a macro makes."""
    match node.name:
        case "map" | "transformList":
            return list_of(some(body))
        case "filter" | "sortBy":
            return list_of(next(iter(_bound(node, target).values())))
        case "transformMap" | "transformMapEntry":
            return map_of({}, DYNAMIC, DYNAMIC)
        case "optMap":
            return optional_of(some(body))
        case "optFlatMap":
            return optional_of(body.content)
    return BOOL
