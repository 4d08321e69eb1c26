"""The types of settings in words, from their JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from router.interfaces import Json
from router.units import format_duration, format_size

Schema = Mapping[str, Any]

_WRITTEN: Mapping[str, Callable[[Any], str]] = {"duration": format_duration, "size": format_size}
_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def in_words(schema: Schema, definitions: Mapping[str, Schema], *, plural: bool = False) -> str:
    """What a value may be, such as "text or list of texts"; ``definitions`` are what its references lead to. A type
    that has a name of its own gives it as ``x-words``."""
    words = dict.fromkeys(word for part in _members(schema, definitions) for word in _words(part, definitions, plural))
    *others, last = words or ["nothing"]
    return f"{', '.join(others)} or {last}" if others else last


def as_written(value: Json, schema: Schema, definitions: Mapping[str, Schema]) -> Json:
    """A default as it would stand in the daemon's file."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        for part in _members(schema, definitions):
            write = _WRITTEN.get(part.get("x-words", ""))
            if write is not None:
                return write(value)
    return value


def _members(schema: Schema, definitions: Mapping[str, Schema], behind: frozenset[str] = frozenset()) -> list[Schema]:
    """The alternatives that a schema is made of, without null; what leads back to itself is left out."""
    reference = schema.get("$ref")
    if reference is not None:
        name = reference.removeprefix("#/$defs/")
        return [] if name in behind else _members(definitions.get(name, {}), definitions, behind | {name})
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return [member for part in schema[key] for member in _members(part, definitions, behind)]
    if isinstance(schema.get("type"), list):
        return [{**schema, "type": type_} for type_ in schema["type"] if type_ != "null"]
    return [] if schema.get("type") == "null" else [schema]


def _words(schema: Schema, definitions: Mapping[str, Schema], plural: bool) -> Iterator[str]:
    if "x-words" in schema:
        yield _name(schema["x-words"], plural)
    elif "enum" in schema or "const" in schema:
        for value in schema.get("enum", [schema.get("const")]):
            yield f"`{value if isinstance(value, str) else json.dumps(value)}`"
    elif schema.get("type") == "boolean":
        yield from ("`true`", "`false`")
    elif schema.get("type") == "array":
        inside = in_words(schema["items"], definitions, plural=True) if "items" in schema else "values"
        yield f"{_name('list', plural)} of {inside}"
    elif schema.get("type") == "object":
        values = schema.get("additionalProperties")
        of = f" of names to {in_words(values, definitions, plural=True)}" if isinstance(values, dict) else ""
        yield f"{_name('mapping', plural)}{of}"
    else:
        yield _scalar(schema, plural)


def _scalar(schema: Schema, plural: bool) -> str:
    if schema.get("type") == "string":
        name = "secret" if schema.get("writeOnly") else "URL" if schema.get("format") == "uri" else "text"
        matching = f" that match{'' if plural else 'es'} `{schema['pattern']}`" if "pattern" in schema else ""
        return _name(name, plural) + matching
    name = {"integer": "whole number", "number": "number"}.get(schema.get("type", ""), "any value")
    bounds = " and ".join(f"{word} {schema[key]}" for key, word in _BOUNDS.items() if key in schema)
    if {"minimum", "maximum"} <= schema.keys():
        bounds = f"from {schema['minimum']} to {schema['maximum']}"
    return f"{_name(name, plural)} {bounds}".rstrip()


def _name(name: str, plural: bool) -> str:
    if plural and name == "any value":
        return "values"
    return f"{name}{'es' if name.endswith('s') else 's'}" if plural else name
