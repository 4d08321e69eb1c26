"""The type of what keeps to a JSON Schema: as much of it as can be told without a value.

What is not understood is left open. Keywords that a draft defines otherwise are read so that no more is concluded than
any draft allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from rules.cel.values import INT_MIN, UINT_MAX
from rules.inference.kinds import (
    DYNAMIC,
    JSON,
    NEVER,
    NUMBER,
    NUMBERS,
    STRING,
    WHOLE,
    Kind,
    ListOf,
    MapOf,
    Number,
    Part,
    Scalar,
    Type,
    join,
    list_of,
    map_of,
    of,
    of_value,
)
from rules.inference.meeting import meet
from rules.schema_references import referred

Schema = object

_TYPES: Final[Mapping[str, Type]] = {
    "null": of("null"),
    "boolean": of("bool"),
    "string": STRING,
    "number": NUMBER,
    "integer": WHOLE,
    "array": list_of(DYNAMIC),
    "object": map_of({}, DYNAMIC),
}
# How often a schema may come back to itself below itself, and how large a type may become: beyond, it is left open.
_MAX_RETURNS: Final = 1
_MAX_SIZE: Final = 20_000
_MODERN: Final = ("2019-09", "2020-12")


def type_of_schema(schema: Mapping[str, object] | bool) -> Type:
    """The type of what a schema accepts, as JSON is decoded. No more is promised than what is sure."""
    return _Reading(schema).read(schema, ())


class _Reading:
    def __init__(self, root: Mapping[str, object] | bool) -> None:
        self._root = root
        self._size = 0
        draft = str(root.get("$schema", "2020-12")) if isinstance(root, Mapping) else ""
        self._has_siblings = any(name in draft for name in _MODERN)
        self._has_prefixes = "2020-12" in draft
        self._has_constants = "draft-04" not in draft

    def read(self, schema: Schema, within: tuple[str, ...]) -> Type:
        """The type of a part of the schema. ``within`` are the references that lead to it."""
        self._size += 1
        if schema is False:
            return NEVER
        if not isinstance(schema, Mapping) or self._size > _MAX_SIZE:
            return DYNAMIC
        if "$id" in schema and schema is not self._root:
            return DYNAMIC  # where its references lead is another matter
        if "$ref" in schema and not self._has_siblings:
            return self._referred(schema["$ref"], within)
        found = meet(_type(schema), self._values(schema))
        found = meet(found, meet(_lengths(schema), meet(_numbers(schema), self._lists(schema, within))))
        found = meet(found, self._maps(schema, within))
        for part in self._both(schema, within):
            found = meet(found, part)
        return found

    def _both(self, schema: Mapping[str, object], within: tuple[str, ...]) -> Iterable[Type]:
        if "$ref" in schema:
            yield self._referred(schema["$ref"], within)
        for keyword in ("anyOf", "oneOf"):
            if isinstance(parts := schema.get(keyword), list) and parts:
                yield join(*(self.read(part, within) for part in parts))
        if isinstance(parts := schema.get("allOf"), list):
            yield from (self.read(part, within) for part in parts)

    def _referred(self, reference: object, within: tuple[str, ...]) -> Type:
        if not isinstance(reference, str) or within.count(reference) > _MAX_RETURNS:
            return DYNAMIC
        target = referred(self._root, reference)
        return DYNAMIC if target is None else self.read(target, (*within, reference))

    def _lists(self, schema: Mapping[str, object], within: tuple[str, ...]) -> Type:
        first, items = schema.get("prefixItems", []), schema.get("items", True)
        if isinstance(items, list):
            first, items = items, schema.get("additionalItems", True)
        if not isinstance(first, list) or (not first and items is True):
            return DYNAMIC
        elements = [self.read(part, within) for part in (*first, items)]
        is_in_order = isinstance(schema.get("items"), list) != self._has_prefixes
        return _json_with("list", ListOf(join(*elements), tuple(elements[:-1]) if is_in_order else ()))

    def _maps(self, schema: Mapping[str, object], within: tuple[str, ...]) -> Type:
        properties, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
        names = schema.get("required")
        required = (
            frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()
        )
        if not isinstance(properties, Mapping) or (not properties and rest is True and not required):
            return DYNAMIC
        fields = {name: self.read(part, within) for name, part in properties.items()}
        others: Type | None = DYNAMIC if "patternProperties" in schema else self.read(rest, within)
        return _json_with("map", MapOf(fields, None if others == NEVER else others, STRING, required))

    def _values(self, schema: Mapping[str, object]) -> Type:
        values = schema.get("enum")
        found = join(*map(_value, values)) if isinstance(values, list) else DYNAMIC
        return meet(found, _value(schema["const"])) if "const" in schema and self._has_constants else found


def _json_with(kind: Kind, part: Part) -> Type:
    """Anything at all; of one kind, with what is known of it."""
    return Type({**(JSON.parts or {}), kind: part})


def _type(schema: Mapping[str, object]) -> Type:
    said = schema.get("type")
    names = said if isinstance(said, list) else [said]
    return join(*(_TYPES.get(name, DYNAMIC) if isinstance(name, str) else DYNAMIC for name in names))


def _value(value: object) -> Type:
    """What JSON Schema takes for equal to a value: 1 and 1.0 are."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return (
            list_of(DYNAMIC)
            if isinstance(value, list)
            else map_of({}, DYNAMIC)
            if isinstance(value, dict)
            else of_value(value)
        )
    if _number(value) is None:
        return NUMBER
    kinds: tuple[Kind, ...] = NUMBERS if isinstance(value, int) or value.is_integer() else ("double",)
    return meet(NUMBER, Type(dict.fromkeys(kinds, Scalar(frozenset({value}), value, value))))


def _numbers(schema: Mapping[str, object]) -> Type:
    """What a number is at least and at most. In an old draft an exclusive bound is none, but true."""
    lows = {key: low for key in ("minimum", "exclusiveMinimum") if (low := _number(schema.get(key))) is not None}
    highs = {key: high for key in ("maximum", "exclusiveMaximum") if (high := _number(schema.get(key))) is not None}
    found = JSON if lows or highs else DYNAMIC
    for key, low in lows.items():
        found = meet(found, _number_with(Scalar(low=low, over=key in _EXCLUSIVE)))
    for key, high in highs.items():
        found = meet(found, _number_with(Scalar(high=high, under=key in _EXCLUSIVE)))
    return found


def _number_with(part: Scalar) -> Type:
    return Type({**(JSON.parts or {}), **dict.fromkeys(NUMBERS, part)})


_EXCLUSIVE: Final = ("exclusiveMinimum", "exclusiveMaximum")


def _lengths(schema: Mapping[str, object]) -> Type:
    """How long a text is at least and at most."""
    low, high = _number(schema.get("minLength")), _number(schema.get("maxLength"))
    return DYNAMIC if low is None and high is None else _json_with("string", Scalar(low=low, high=high))


def _number(value: object) -> Number | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Beyond, integers are compared as the doubles that they are near to, and a bound is none.
    return value if isinstance(value, float) or INT_MIN <= value <= UINT_MAX else None


def as_other_formats_hold_it(known: Type) -> Type:
    """The type of what is checked as the JSON that it would be, and may hold more types: times and bytes are texts in
    JSON, an unsigned integer is an integer, and every key is a string."""
    if known.parts is None:
        return known
    parts: dict[Kind, Part] = {}
    for kind, part in known.parts.items():
        match part:
            case ListOf(element=element, first=first):
                parts[kind] = ListOf(as_other_formats_hold_it(element), tuple(map(as_other_formats_hold_it, first)))
            case MapOf(fields=fields, rest=rest):
                below = {name: as_other_formats_hold_it(content) for name, content in fields.items()}
                parts[kind] = MapOf(below, None if rest is None else as_other_formats_hold_it(rest), DYNAMIC)
            case _:
                parts[kind] = part
    if "string" in parts:
        parts |= dict.fromkeys(("bytes", "timestamp", "duration"), Scalar())
    if isinstance(whole := parts.get("int"), Scalar):
        parts["uint"] = replace(whole)
    return Type(parts)
