"""The JSON Schemas (draft 2020-12) of both kinds of file, for editors."""

from __future__ import annotations

import inspect
from typing import Any, Literal, cast

from pydantic import BaseModel

from router.config.loading import Top
from router.config.model import Http, SinkCommon, SourceCommon
from router.plugins import BrokenConnector, Kind, connector_class, types
from rules.schema import DRAFT
from rules.schema import json_schema as rules_schema

Schema = dict[str, Any]

_FILLED = {"type": "string", "pattern": r"\$\{"}
_NOTES = ("description", "title", "default", "examples")


def json_schema(kind: Literal["config", "rules"]) -> Schema:
    """The schema of the daemon's file or of a rules file. That of the daemon's file knows the settings of every
    connector that is installed and can be imported."""
    return _config_schema() if kind == "config" else rules_schema()


def _config_schema() -> Schema:
    definitions: Schema = {}
    top = _of(Top, "config", definitions)
    return {
        "$schema": DRAFT,
        "title": "The configuration of Sluiceway",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **top["properties"],
            "http": {
                "anyOf": [_of(Http, "http", definitions), {"enum": [False, None]}],
                "description": "Where metrics, health and the admin pages are served. `false`: nowhere.",
            },
            "connections": _named("What several sources and sinks share.", _connection()),
            "models": _named(
                "Pydantic models that contracts may name.", {"type": "string", "examples": ["shop.models:Order"]}
            ),
            "defaults": _defaults(definitions),
            "sources": _named("Where records come from.", _components("source", SourceCommon, definitions)),
            "sinks": _named("Where records go.", _components("sink", SinkCommon, definitions)),
            "flows": {
                "type": ["array", "string"],
                "items": {"type": "string"},
                "minItems": 1,
                "minLength": 1,
                "description": "The rules files, as patterns relative to this file.",
            },
        },
        "$defs": definitions,
    }


def _named(description: str, values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values, "description": description}


def _connection() -> Schema:
    known = sorted({*types("source"), *types("sink")})
    return {"type": "object", "required": ["type"], "properties": {"type": {"enum": known}}}


def _defaults(definitions: Schema) -> Schema:
    parts = {
        "source": _of(SourceCommon, "defaults-source", definitions),
        "sink": _of(SinkCommon, "defaults-sink", definitions),
    }
    description = "What holds for every source and every sink that does not say otherwise."
    return {"type": "object", "additionalProperties": False, "properties": parts, "description": description}


def _components(kind: Kind, common: type[BaseModel], definitions: Schema) -> Schema:
    """One entry: whatever its type says. Without a type it has a connection, which says the type."""
    branches = []
    for type_ in types(kind):
        try:
            connector = connector_class(kind, type_)
        except BrokenConnector:
            continue
        name = f"{kind}-{type_}"
        definitions[name] = _component(kind, connector, common, definitions, name)
        branches.append(
            {
                "if": {"required": ["type"], "properties": {"type": {"const": type_}}},
                "then": {"$ref": f"#/$defs/{name}"},
            }
        )
    return {
        "type": "object",
        "anyOf": [{"required": ["type"]}, {"required": ["use"]}],
        "properties": {"type": {"enum": list(types(kind)), "description": f"The type of the {kind}."}},
        "allOf": branches,
    }


def _component(kind: Kind, connector: type[Any], common: type[BaseModel], definitions: Schema, name: str) -> Schema:
    own = _of(connector.Config, name, definitions)
    shared = _of(common, f"{kind}-common", definitions)
    selectors: Schema = {
        "type": {"type": "string"},
        "use": {"type": "string", "description": "A connection, whose settings hold here too."},
    }
    if kind == "sink":
        selectors["allow"] = _allow(connector.Config.per_record())
    schema: Schema = {
        "type": "object",
        "description": inspect.cleandoc(connector.__doc__ or ""),
        "additionalProperties": False,
        "properties": {**own.get("properties", {}), **shared["properties"], **selectors},
    }
    if own.get("required"):
        schema["anyOf"] = [{"required": own["required"]}, {"required": ["use"]}]
    return schema


def _allow(per_record: frozenset[str]) -> Schema:
    patterns = {"type": ["array", "string"], "items": {"type": "string"}}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": dict.fromkeys(sorted(per_record), patterns),
        "description": "Which values a record may choose, as patterns, by setting.",
    }


def _of(model: type[BaseModel], name: str, definitions: Schema) -> Schema:
    """The schema of a model, with the definitions that it needs put among ``definitions`` under names of their own."""
    made = model.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
    for part, definition in made.pop("$defs", {}).items():
        definitions[f"{name}.{part}"] = _fillable(definition)
    return cast("Schema", _fillable(made))


def _fillable(schema: Any) -> Any:
    """The schema of what may also be written as a text in which ``${env:NAME}`` is filled in."""
    if isinstance(schema, list):
        return [_fillable(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if _is_scalar(schema):
        notes = {key: value for key, value in schema.items() if key in _NOTES}
        return {"anyOf": [{key: value for key, value in schema.items() if key not in _NOTES}, _FILLED], **notes}
    return {key: _inside(key, value) for key, value in schema.items()}


def _inside(key: str, value: Any) -> Any:
    if key in ("properties", "patternProperties"):
        return {name: _fillable(part) for name, part in value.items()}
    return (
        _fillable(value)
        if key in ("anyOf", "oneOf", "allOf", "items", "prefixItems", "additionalProperties")
        else value
    )


def _is_scalar(schema: Schema) -> bool:
    if "enum" in schema or "const" in schema:
        return True
    kinds = schema.get("type", ())
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    bounded = any(key in schema for key in ("pattern", "minLength", "maxLength", "format"))
    return bool(kinds & {"integer", "number", "boolean"}) or ("string" in kinds and bounded)
