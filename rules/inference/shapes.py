"""What steps and deliveries make of an event, by its type."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rules.flow import EachItem, Expr, Path, Shape, Template, Value
from rules.inference.kinds import (
    DYNAMIC,
    NEVER,
    STRING,
    Kind,
    ListOf,
    MapOf,
    Part,
    Type,
    join,
    list_of,
    map_of,
    of_value,
)

TypeOf = Callable[[Expr], Type]


def type_of_value(value: Value, type_of: TypeOf) -> Type:
    """The type of YAML in which expressions are filled in, each of which has the type that ``type_of`` says."""
    if isinstance(value, Template):
        for part in value.parts:
            if isinstance(part, Expr):
                found = type_of(part)
        return found if value.whole is not None else STRING
    if isinstance(value, Mapping):
        return map_of({name: type_of_value(content, type_of) for name, content in value.items()})
    if isinstance(value, tuple):
        return list_of(join(*(type_of_value(item, type_of) for item in value)) if value else DYNAMIC)
    return DYNAMIC if value is None else of_value(value)  # it may stand for what could not be read


def shaped(event: Type, shape: Shape, type_of: TypeOf) -> Type:
    """The type of an event in its new shape. The right sides are of the types that ``type_of`` says."""
    if shape.has_emit:
        return type_of_value(shape.emit, type_of)
    made = event
    for path, value in [(assignment.path, type_of_value(assignment.value, type_of)) for assignment in shape.set]:
        made = assigned(made, path, value)
    for path in shape.unset:
        made = removed(made, path)
    return made


def assigned(event: Type, path: Path, value: Type, *, is_there: bool = True) -> Type:
    """The type of what ``rules.paths.assign`` makes. Where the event may not be there, it is made for what is assigned
    alone."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        fields = event.map if event.may_be("map") else MapOf({}, None, STRING)
        inner = fields.fields.get(step, NEVER if fields.rest is None else DYNAMIC)
        required = fields.required if is_there else frozenset()
        # Only a map takes a field; anything else is an error, after which there is no event.
        made = {**fields.fields, step: assigned(inner, rest, value, is_there=step in required)}
        return Type({"map": MapOf(made, fields.rest, join(fields.keys, of_value(step)), required)})
    if not event.may_be("list"):
        return DYNAMIC
    element = assigned(event.element, rest, value)
    if isinstance(step, EachItem):
        return list_of(element)
    return list_of(join(element, event.element))


def removed(event: Type, path: Path) -> Type:
    """The type of what ``rules.paths.remove`` leaves. A field of one element of several may be left in the others."""
    step, rest = path[0], path[1:]
    if event.parts is None:
        return event
    if not isinstance(step, str):
        if not event.may_be("list"):
            return event
        # Where an element is taken away, those behind it move up; and a change of one may be any's.
        element = removed(event.element, rest) if rest else event.element
        element = element if isinstance(step, EachItem) else join(element, event.element)
        parts: Mapping[Kind, Part] = {**event.parts, "list": ListOf(element)}
        return Type(parts)
    if not event.may_be("map"):
        return event
    fields, required = dict(event.map.fields), event.map.required
    if rest and step in fields:
        fields[step] = removed(fields[step], rest)
    elif not rest:
        fields.pop(step, None)
        required -= {step}
    return Type({**event.parts, "map": MapOf(fields, event.map.rest, event.map.keys, required)})
