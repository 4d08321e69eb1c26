"""The JSON Schemas (draft 2020-12) of both kinds of file, for editors.

Several daemon's files are merged, and a connection is merged with what uses it. So an entry that says its type and uses
no connection must be whole; any other may be a part of one, in which nothing is required, at any depth, and null takes
a key away. That ``type`` beside ``use`` is that of the connection is for the reader to check: no schema can.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

from pydantic import BaseModel

from router.config.loading import Top
from router.config.model import SELECTORS, DeadLetterPolicy, Http, SinkCommon, SourceCommon
from router.plugins import BrokenConnector, Kind, connector_class, types
from router.tables.settings import TABLES
from rules.schema import DRAFT
from rules.schema import json_schema as rules_schema

Schema = dict[str, Any]

_FILLED = {"type": "string", "pattern": r"\$\{"}
_NOTES = ("description", "title", "default", "examples")
_COMMON: dict[Kind, type[BaseModel]] = {"source": SourceCommon, "sink": SinkCommon}


def json_schema(kind: Literal["config", "rules"]) -> Schema:
    """The schema of the daemon's file or of a rules file. That of the daemon's file knows the settings of every
    connector that is installed and can be imported."""
    return _config_schema() if kind == "config" else rules_schema()


def _config_schema() -> Schema:
    definitions: Schema = {}
    top = _of(Top, "config", definitions)
    for kind in _COMMON:
        _define_connectors(kind, definitions)
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
            "tables": _named("Tables that `lookup` knows by these names.", _table(definitions)),
            "dead_letters": _of(DeadLetterPolicy, "dead-letters", definitions),
            "connections": _named("What several sources and sinks share.", _connection(definitions)),
            "models": _named(
                "Pydantic models that contracts may name.", {"type": "string", "examples": ["shop.models:Order"]}
            ),
            "defaults": _defaults(definitions),
            "sources": _named("Where records come from.", _component("source", definitions)),
            "sinks": _named("Where records go.", _component("sink", definitions)),
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


def _table(definitions: Schema) -> Schema:
    """A table; without a type it is a part of one that another file declares."""
    branches = []
    for type_, settings in TABLES.items():
        definitions[f"table-{type_}"] = _of(settings, f"table-{type_}", definitions)
        definitions[f"table-{type_}"]["description"] = inspect.cleandoc(settings.__doc__ or "")
        branches.append((type_, _ref(f"table-{type_}")))
    return _by_type("What it is read from.", TABLES, branches, {})


def _defaults(definitions: Schema) -> Schema:
    parts = {kind: _of(common, f"defaults-{kind}", definitions) for kind, common in _COMMON.items()}
    description = "What holds for every source and every sink that does not say otherwise."
    return {"type": "object", "additionalProperties": False, "properties": parts, "description": description}


def _component(kind: Kind, definitions: Schema) -> Schema:
    """A source or sink."""
    branches = []
    for type_ in _usable(kind):
        whole, part = _ref(f"{kind}-{type_}"), _ref(f"{kind}-{type_}-part")
        branches.append((type_, {"if": {"required": ["use"]}, "then": part, "else": whole}))
    return _by_type(f"The type of the {kind}.", types(kind), branches, _any_of([kind], types(kind), definitions))


def _connection(definitions: Schema) -> Schema:
    """What the sources and sinks of its type take."""
    kinds = list(_COMMON)
    known = sorted({type_ for kind in kinds for type_ in types(kind)})
    branches = [(type_, _any_of(kinds, [type_], definitions)) for type_ in known]
    described = "The type of the sources and sinks that use it."
    return _by_type(described, known, branches, _any_of(kinds, known, definitions))


def _by_type(described: str, known: Iterable[str], branches: list[tuple[str, Schema]], untyped: Schema) -> Schema:
    choices = [
        {"if": {"required": ["type"], "properties": {"type": {"const": type_}}}, "then": schema}
        for type_, schema in branches
    ]
    return {
        "type": ["object", "null"],
        "properties": {"type": {"enum": list(known), "description": described}},
        "if": {"type": "object"},
        "then": {"allOf": [*choices, {"if": {"required": ["type"]}, "else": untyped}]},
    }


def _any_of(kinds: list[Kind], types_: Iterable[str], definitions: Schema) -> Schema:
    """What some connector of these kinds and types takes. A setting that several have may be what it is in any."""
    places: dict[str, dict[str, list[str]]] = {}  # setting → its schemas, each once, by reference → whose it is
    known = [(kind, type_) for kind in kinds for type_ in types_ if type_ in types(kind)]
    usable = [(kind, type_) for kind, type_ in known if type_ in _usable(kind)]
    for kind, type_ in usable:
        part = f"{kind}-{type_}-part"
        for name, schema in definitions[part]["properties"].items():
            same = places.setdefault(name, {})
            at = next((at for at in same if _at(at, definitions) == schema), f"{part}/properties/{name}")
            same.setdefault(at, []).append(f"{kind} `{type_}`")
    properties = {name: _one_of_several(same, definitions) for name, same in places.items() if name != "type"}
    schema = {"type": "object", "properties": {"type": {}, **properties}}
    # What cannot be imported may take anything.
    return schema if usable != known else {**schema, "additionalProperties": False}


def _one_of_several(owners: dict[str, list[str]], definitions: Schema) -> Schema:
    if len(owners) == 1:
        return _ref(next(iter(owners)))
    notes: dict[str, list[str]] = {}
    for at, whose in owners.items():
        notes.setdefault(_at(at, definitions).get("description", ""), []).extend(whose)
    said = [f"{', '.join(whose)}: {note}" for note, whose in notes.items()] if len(notes) > 1 else list(notes)
    return {"anyOf": [_ref(at) for at in owners], "description": "\n\n".join(said)}


def _ref(at: str) -> Schema:
    return {"$ref": f"#/$defs/{at}"}


def _at(at: str, definitions: Schema) -> Schema:
    found: Schema = definitions
    for step in at.split("/"):
        found = found[step]
    return found


def _usable(kind: Kind) -> dict[str, type[Any]]:
    """The connectors of a kind that can be imported, by type."""
    found = {}
    for type_ in types(kind):
        try:
            found[type_] = connector_class(kind, type_)
        except BrokenConnector:
            continue
    return found


def _define_connectors(kind: Kind, definitions: Schema) -> None:
    """Each connector twice: ``source-file`` is a whole entry of that type, ``source-file-part`` a part of one."""
    for type_, connector in _usable(kind).items():
        for suffix, change in (("", dict), ("-part", _lenient)):
            own: Schema = {}
            own[f"{kind}-{type_}{suffix}"] = _entry(kind, type_, connector, suffix, own)
            definitions.update({name: change(schema) for name, schema in own.items()})


def _entry(kind: Kind, type_: str, connector: type[Any], suffix: str, definitions: Schema) -> Schema:
    own = _of(connector.Config, f"{kind}-{type_}{suffix}", definitions)
    shared = _of(_COMMON[kind], f"{kind}-common{suffix}", definitions)
    selectors: Schema = {
        "type": {"type": "string"},
        "use": {"type": "string", "description": SELECTORS["use"]},
    }
    if kind == "sink":
        selectors["allow"] = _allow(connector.Config.per_record())
    return {
        "type": "object",
        "description": inspect.cleandoc(connector.__doc__ or ""),
        "additionalProperties": False,
        "properties": {**own.get("properties", {}), **shared["properties"], **selectors},
        "required": own.get("required", []),
    }


def _allow(per_record: frozenset[str]) -> Schema:
    patterns = {"type": ["array", "string"], "items": {"type": "string"}}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": dict.fromkeys(sorted(per_record), patterns),
        "description": SELECTORS["allow"],
    }


def _of(model: type[BaseModel], name: str, definitions: Schema) -> Schema:
    """The schema of a model, with the definitions that it needs put among ``definitions`` under names of their own."""
    made = model.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
    for part, definition in made.pop("$defs", {}).items():
        definitions[f"{name}.{part}"] = _fillable(definition)
    return cast("Schema", _fillable(made))


def _fillable(schema: Any) -> Any:
    """The schema of what may also be written as a text in which ``${env:NAME}`` is filled in."""
    if isinstance(schema, dict) and _is_scalar(schema):
        notes = {key: value for key, value in schema.items() if key in _NOTES}
        return {"anyOf": [{key: value for key, value in schema.items() if key not in _NOTES}, _FILLED], **notes}
    return _within(schema, _fillable)


def _lenient(schema: Any) -> Any:
    """The schema of what other files or a connection may add to: nothing is required, and null takes a key away."""
    if not isinstance(schema, dict):
        return _within(schema, _lenient)
    kept = {"anyOf" if key == "oneOf" else key: value for key, value in schema.items() if key != "required"}
    made = cast("Schema", _within(kept, _lenient))
    if "properties" in made:
        made["properties"] = {name: _nullable(part) for name, part in made["properties"].items()}
    return made


def _nullable(schema: Schema) -> Schema:
    notes = {key: value for key, value in schema.items() if key in _NOTES}
    return {"anyOf": [{key: value for key, value in schema.items() if key not in _NOTES}, {"type": "null"}], **notes}


def _within(schema: Any, change: Callable[[Any], Any]) -> Any:
    """The schema with a change made to each schema that it is directly made of."""
    if isinstance(schema, list):
        return [change(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    changed = dict(schema)
    for key, value in schema.items():
        if key in ("properties", "patternProperties"):
            changed[key] = {name: change(part) for name, part in value.items()}
        elif key in ("anyOf", "oneOf", "allOf", "items", "prefixItems", "additionalProperties"):
            changed[key] = change(value)
    return changed


def _is_scalar(schema: Schema) -> bool:
    if "enum" in schema or "const" in schema:
        return True
    kinds = schema.get("type", ())
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    bounded = any(key in schema for key in ("pattern", "minLength", "maxLength", "format"))
    return bool(kinds & {"integer", "number", "boolean"}) or ("string" in kinds and bounded)
