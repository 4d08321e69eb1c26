"""The JSON Schema (draft 2020-12) of a rules file, for editors: it completes keys and explains them.

It says less than the reader: what an expression or a path may hold, and which names exist, is checked there.
"""

from __future__ import annotations

from typing import Any

from rules.flow import REJECT

Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> Schema:
    """The schema, a new one at each call."""
    return {
        "$schema": DRAFT,
        "title": "A rules file of Sluiceway: one flow",
        **_mapping(
            {
                "flow": _name("The flow's name. Default: the file's name without its suffix."),
                "from": _one_or_more(_name("A source."), "The sources that it reads. No other flow may read them."),
                "contract": _contract(),
                "let": _map(_expression(), "Named expressions, which every expression below can use."),
                "rules": {
                    "type": "array",
                    "minItems": 1,
                    "items": _rule(),
                    "description": "Tried in order. The first that matches and has `to` ends, unless it `continue`s.",
                },
                "otherwise": _otherwise(),
                "tests": {"type": "array", "minItems": 1, "items": _test(), "description": "Run by `sluiceway test`."},
            },
            required=("from",),
        ),
        "$defs": {"value": _value(), "target": _target(), "targets": _targets()},
    }


def _mapping(properties: Schema, description: str = "", required: tuple[str, ...] = ()) -> Schema:
    schema: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    if required:
        schema["required"] = list(required)
    return schema | ({"description": description} if description else {})


def _map(values: Schema, description: str) -> Schema:
    return {"type": "object", "additionalProperties": values, "description": description}


def _name(description: str) -> Schema:
    return {"type": "string", "minLength": 1, "description": description}


def _one_or_more(item: Schema, description: str) -> Schema:
    return {"anyOf": [item, {"type": "array", "minItems": 1, "items": item}], "description": description}


def _flag(description: str) -> Schema:
    return {"type": "boolean", "default": False, "description": description}


def _expression(description: str = "") -> Schema:
    text = "A CEL expression over `event`, `meta`, `vars` and the names under `let`."
    return {"type": ["string", "number", "boolean"], "description": description or text}


def _ref(name: str, description: str) -> Schema:
    return {"$ref": f"#/$defs/{name}", "description": description}


def _value() -> Schema:
    return {"description": "Any value. `${CEL}` is filled in: typed when it stands alone, text when inside text."}


def _contract() -> Schema:
    return _mapping(
        {
            "schema": _name("A JSON Schema file, relative to this file."),
            "model": _name("A pydantic model, declared in the daemon's file under `models`."),
            "expect": _expect(),
            "sensitive": _one_or_more(
                {"type": "string", "pattern": r"^(event|meta)\W"},
                "Paths that are never shown, with all that is made of them: `event.user.email`, `event.card.*`, "
                '`meta.headers["authorization"]`. In the JSON Schema: `"sensitive": true`.',
            ),
        },
        "What a record must satisfy before any rule sees it.",
    ) | {"minProperties": 1, "not": {"required": ["schema", "model"]}}


def _expect() -> Schema:
    return _map(_expression(), "What must be true, by name. A record of which it is not is invalid.") | {
        "minProperties": 1
    }


def _shape() -> Schema:
    return {
        "set": _map(_ref("value", "What is set there."), "Paths below `event`, and what is set there.")
        | {"propertyNames": {"pattern": r"^event(\W|$)"}, "minProperties": 1},
        "unset": _one_or_more({"type": "string", "pattern": r"^event\W"}, "Paths below `event` that are taken away."),
        "emit": _ref("value", "A whole new event."),
    }


def _split() -> Schema:
    return _mapping(
        {
            "each": _expression("A list."),
            "as": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "description": "The name of an element."},
        },
        "One record becomes one for each element.",
        required=("each", "as"),
    )


_SPAN: Schema = {"type": "string", "pattern": r"^(\d+(\.\d+)?(ns|us|ms|s|m|h|d))+$"}


def _gate(description: str, required: tuple[str, ...], **properties: Schema) -> Schema:
    held = {"anyOf": [{"enum": ["drop", "next"]}, {"$ref": "#/$defs/target"}], "default": "drop"}
    held["description"] = "Where what does not pass goes: `drop`, `next` for on to the next rule, or a target."
    return _mapping({**properties, "else": held}, description, required)


def _gates() -> Schema:
    most = {"type": "integer", "minimum": 1, "default": 1_000_000, "description": "Keys that are held at most."}
    share = {"type": "string", "pattern": r"^\d+(\.\d+)?\s*%$"}
    return {
        "sample": _gate(
            "Lets a share of the records pass, by a hash.",
            ("ratio",),
            ratio={
                "anyOf": [share, {"type": "number", "exclusiveMinimum": 0, "maximum": 1}],
                "description": "The share: `10%`, or 0.1.",
            },
            key=_expression("What is hashed. Default: the payload."),
        ),
        "throttle": _gate(
            "Lets so many records pass in a time.",
            ("rate",),
            rate={
                "type": "string",
                "pattern": r"^\d+(\.\d+)?\s*/\s*[smh]$",
                "description": "`100/s`, `600/m`, `10/h`.",
            },
            burst={"type": "integer", "minimum": 1, "description": "So many at once. Default: the number in `rate`."},
            per=_expression("Records with different values are counted apart."),
            max_keys=most,
        ),
        "dedupe": _gate(
            "Lets the first record of each key pass.",
            ("key", "within"),
            key=_expression("What tells records apart."),
            within=_SPAN | {"description": "How long a key is remembered, counted from the arrival of its record."},
            persist=_flag("Keys are kept in the state folder, across restarts."),
            max_keys=most,
        ),
    }


def _rule() -> Schema:
    properties = {
        "name": _name("The rule's name, in metrics and dead letters. Default: rule-1 and so on."),
        "when": _expression("Which records it takes. Default: all."),
        "expect": _expect(),
        **_gates(),
        **_shape(),
        "split": _split(),
        "to": _ref("targets", "Where they go. Without it, the rule is a step that changes what later rules see."),
        "continue": _flag("Later rules see the record, too."),
    }
    return _mapping(properties) | {"dependentRequired": {"split": ["to"], "continue": ["to"]}}


def _target() -> Schema:
    return {
        "anyOf": [
            _name("A sink, `drop` or `dead_letter`.") | {"not": {"const": REJECT}},
            {
                "type": "object",
                "required": ["sink"],
                "properties": {"sink": _name("A sink.") | {"not": {"const": REJECT}}, **_shape()},
                "additionalProperties": _ref("value", "A setting of the sink, for this delivery."),
            },
        ]
    }


def _targets() -> Schema:
    one: Schema = {"$ref": "#/$defs/target"}
    return {"anyOf": [one, {"type": "array", "minItems": 1, "items": one}]}


def _rejectable(description: str) -> Schema:
    return {
        "anyOf": [{"$ref": "#/$defs/targets"}, {"enum": [REJECT, [REJECT], {"sink": REJECT}]}],
        "description": description,
    }


def _otherwise() -> Schema:
    return _mapping(
        {
            "undecodable": _rejectable(
                "Records that cannot be decoded; `reject` sends the request back. Default: dead_letter."
            ),
            "invalid": _rejectable(
                "Records that break the contract; `pass` counts them only, `reject` sends the request back. "
                "Default: dead_letter."
            ),
            "error": _ref("targets", "Records of which an expression fails. Default: dead_letter."),
            "unmatched": _ref("targets", "Records that no rule takes."),
        },
        "Where records go that no rule decides about.",
    )


def _test() -> Schema:
    payload = {
        "anyOf": [
            {"type": "string"},
            _mapping({"base64": {"type": "string", "contentEncoding": "base64"}}, required=("base64",)),
        ]
    }
    given = _mapping(
        {
            "event": {"description": "The record, decoded."},
            "raw": payload | {"description": "The payload, instead of `event`."},
            "key": payload | {"description": "`meta.key`."},
            "headers": _map({"type": "string"}, "`meta.headers`."),
            "time": {"type": "string", "format": "date-time", "description": "`meta.time`."},
            "after": _SPAN | {"description": "How long after the record before it it arrives. Default: at once."},
            "source": _name("`meta.source`: one of `from`."),
            "meta": {"type": "object", "description": "Anything else of `meta`."},
        }
    )
    records = {"type": "array", "items": {"type": "object"}}
    expected = {"anyOf": [{"type": "integer", "minimum": 0}, records]}
    return _mapping(
        {
            "name": _name("What the test shows."),
            "given": _one_or_more(given, "The records that come in."),
            "then": _map(expected, "What each sink, `drop` and `dead_letter` get; what is not named gets nothing."),
            "exact": _flag("Events must be equal; else what is not named in them may be anything."),
        },
        required=("given", "then"),
    )
