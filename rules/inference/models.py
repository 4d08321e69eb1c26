"""The type of what a pydantic model accepts as JSON: what is decoded, before the model makes anything of it.

Read from the core schema, which says what is validated; a model's JSON Schema does not say that the text ``"5"`` is
taken for an integer, or that a field may come under another name. What a validator of the model's own sees first is
open, and so is whatever is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

from rules.inference.kinds import DYNAMIC, NUMBER, STRING, WHOLE, Type, join, list_of, map_of, of, of_value

_MAX_RETURNS: Final = 1
_LAX_BOOL: Final = join(of("bool"), NUMBER, STRING)

Core = Mapping[str, Any]


def type_of_model(model: Any) -> Type:
    """The type of the JSON that a model, or any type that pydantic takes, accepts."""
    import pydantic

    adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(model)
    return _Reading({}).read(adapter.core_schema, ())


class _Reading:
    def __init__(self, definitions: Mapping[str, Core]) -> None:
        self._definitions = dict(definitions)
        self._numbers_are_texts = False
        self._forbids = False

    def read(self, core: Any, within: tuple[str, ...]) -> Type:
        """The type of a part. ``within`` are the definitions that lead to it."""
        reader = _READERS.get(core["type"])
        return DYNAMIC if reader is None else reader(self, core, within)

    def inner(self, core: Core, within: tuple[str, ...]) -> Type:
        return self.read(core["schema"], within)

    def definitions(self, core: Core, within: tuple[str, ...]) -> Type:
        self._definitions |= {part["ref"]: part for part in core["definitions"]}
        return self.read(core["schema"], within)

    def reference(self, core: Core, within: tuple[str, ...]) -> Type:
        name = core["schema_ref"]
        if name not in self._definitions or within.count(name) > _MAX_RETURNS:
            return DYNAMIC
        return self.read(self._definitions[name], (*within, name))

    def nullable(self, core: Core, within: tuple[str, ...]) -> Type:
        return join(of("null"), self.inner(core, within))

    def union(self, core: Core, within: tuple[str, ...]) -> Type:
        choices = core["choices"]
        parts = list(choices.values()) if isinstance(choices, Mapping) else choices
        return join(*(self.read(part[0] if isinstance(part, tuple) else part, within) for part in parts))

    def number(self, core: Core, _: tuple[str, ...]) -> Type:
        is_int = core["type"] == "int"
        if core.get("strict"):
            return of("int", "uint") if is_int else NUMBER
        return join(WHOLE if is_int else NUMBER, STRING, of("bool"))

    def boolean(self, core: Core, _: tuple[str, ...]) -> Type:
        return of("bool") if core.get("strict") else _LAX_BOOL

    def text(self, core: Core, _: tuple[str, ...]) -> Type:
        return join(STRING, NUMBER) if core.get("coerce_numbers_to_str") or self._numbers_are_texts else STRING

    def time(self, core: Core, _: tuple[str, ...]) -> Type:
        return STRING if core.get("strict") else join(STRING, NUMBER)

    def literal(self, core: Core, _: tuple[str, ...]) -> Type:
        return join(*(_value(value) for value in core["expected"]))

    def enumeration(self, core: Core, _: tuple[str, ...]) -> Type:
        if core.get("missing") is not None or core.get("sub_type") in ("int", "float"):
            return DYNAMIC
        return join(*(_value(member.value) for member in core["members"]))

    def sequence(self, core: Core, within: tuple[str, ...]) -> Type:
        items = core.get("items_schema")
        return list_of(DYNAMIC if items is None else self.read(items, within))

    def mapping(self, core: Core, within: tuple[str, ...]) -> Type:
        values = core.get("values_schema")
        return map_of({}, DYNAMIC if values is None else self.read(values, within))

    def model(self, core: Core, within: tuple[str, ...]) -> Type:
        config = core.get("config") or {}
        self._numbers_are_texts |= bool(config.get("coerce_numbers_to_str"))
        outer, self._forbids = self._forbids, config.get("extra_fields_behavior") == "forbid"
        found = DYNAMIC if core.get("custom_init") else self.inner(core, within)
        self._forbids = outer
        return found

    def fields(self, core: Core, within: tuple[str, ...]) -> Type:
        """The fields, by the names under which they come."""
        found: dict[str, Type] = {}
        closed = core.get("extra_behavior", "forbid" if self._forbids else "") == "forbid"
        for name, part in core["fields"].items():
            alias = part.get("validation_alias", name)
            if isinstance(alias, str):
                found[alias] = self.read(part["schema"], within)
            if alias != name:  # which may be allowed, too, or lie elsewhere
                closed = False
        return map_of(found, None if closed else DYNAMIC)


def _value(value: object) -> Type:
    if isinstance(value, Enum):
        value = value.value
    return of_value(value) if isinstance(value, str) else DYNAMIC


_Reader = Callable[[_Reading, Core, tuple[str, ...]], Type]
_READERS: Final[Mapping[str, _Reader]] = {
    "none": lambda _, __, ___: of("null"),
    "bool": _Reading.boolean,
    "int": _Reading.number,
    "float": _Reading.number,
    "str": _Reading.text,
    "date": _Reading.time,
    "datetime": _Reading.time,
    "literal": _Reading.literal,
    "enum": _Reading.enumeration,
    "nullable": _Reading.nullable,
    "default": _Reading.inner,
    "list": _Reading.sequence,
    "set": _Reading.sequence,
    "frozenset": _Reading.sequence,
    "dict": _Reading.mapping,
    "union": _Reading.union,
    "tagged-union": _Reading.union,
    "model": _Reading.model,
    "model-fields": _Reading.fields,
    "typed-dict": _Reading.fields,
    "function-after": _Reading.inner,
    "definitions": _Reading.definitions,
    "definition-ref": _Reading.reference,
}
