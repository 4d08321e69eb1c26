"""The settings of a model, nested ones unfolded."""

from __future__ import annotations

import types
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Union, cast, get_args, get_origin

from msgspec import Struct
from msgspec.structs import replace
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from router.interfaces import Json
from router.reference.words import as_written, in_words
from rules.model import descriptions


class Setting(Struct, frozen=True):
    """A setting by its full name: ``rotate.bytes``, ``columns[].type`` in each entry of a list, ``topics.*.key`` in
    each entry of a mapping."""

    name: str
    type: str
    """In words."""
    required: bool
    """Whether it must be there: a nested one, where what it is in is there."""
    default: Json
    """As it would be written; None where there is none, and where what is in it has defaults of its own."""
    description: str
    """Markdown."""
    per_record: bool = False
    """Whether each delivery may choose it."""


def settings_of(model: type[BaseModel], per_record: Collection[str] = ()) -> tuple[Setting, ...]:
    """Every setting of a model, in its order; ``per_record`` are the names of those that a delivery may choose."""
    made = _unfolded(model, "", {}, (model,))
    return tuple(replace(setting, per_record=setting.name in per_record) for setting in made)


def _unfolded(
    model: type[BaseModel], prefix: str, given: Mapping[str, Json], within: tuple[type[BaseModel], ...]
) -> Iterator[Setting]:
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    if "$ref" in schema:  # a model that holds itself
        schema = definitions[schema["$ref"].removeprefix("#/$defs/")]
    for field, info in model.model_fields.items():
        name = info.alias or field
        part = schema["properties"][name]
        nested = list(dict.fromkeys(_models_in(info.annotation)))
        default = given[name] if name in given else _default(info, part)
        inner_defaults = default if isinstance(default, dict) and "" in dict(nested) else {}
        yield Setting(
            f"{prefix}{name}",
            in_words(part, definitions),
            info.is_required(),
            None if inner_defaults else as_written(default, part, definitions),
            _description(descriptions(model).get(field), nested),
        )
        unfolded = [
            list(_unfolded(inner, f"{prefix}{name}{step}.", {} if step else inner_defaults, (*within, inner)))
            for step, inner in nested
            if inner not in within
        ]
        yield from _joined(unfolded)


def _default(info: FieldInfo, schema: Mapping[str, Any]) -> Json:
    """As JSON; a schema has every default that is not made anew each time."""
    if "default" in schema or info.is_required():
        return cast("Json", schema.get("default"))
    made: Json = to_jsonable_python(info.get_default(call_default_factory=True, validated_data={}), fallback=str)
    return made


def _description(written: str | None, nested: list[tuple[str, type[BaseModel]]]) -> str:
    if written is None and len(nested) == 1:
        return (nested[0][1].__doc__ or "").strip()
    return written or ""


def _models_in(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """The models that a value of this type is, or holds: each with the way to it, as a part of a setting's name."""
    annotation = getattr(annotation, "__value__", annotation)  # what a `type` statement names
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "", annotation
    elif origin is Annotated:
        yield from _models_in(arguments[0])
    elif origin in (Union, types.UnionType):
        for argument in arguments:
            yield from _models_in(argument)
    elif isinstance(origin, type):
        step = ".*" if issubclass(origin, Mapping) else "[]"
        for argument in arguments:
            yield from ((f"{step}{rest}", model) for rest, model in _models_in(argument))


def _joined(alternatives: list[list[Setting]]) -> list[Setting]:
    """The settings of alternative models by name: one that several have is required if it is in all of them, and what
    differs stands side by side."""
    found: dict[str, list[Setting]] = {}
    for settings in alternatives:
        for setting in settings:
            found.setdefault(setting.name, []).append(setting)
    return [
        Setting(
            name,
            " or ".join(dict.fromkeys(setting.type for setting in same)),
            len(same) == len(alternatives) and all(setting.required for setting in same),
            same[0].default,
            " ".join(dict.fromkeys(setting.description for setting in same if setting.description)),
        )
        for name, same in found.items()
    ]
