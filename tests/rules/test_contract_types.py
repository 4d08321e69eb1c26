"""The law of types for contracts: a record that they take keeps to the schema; what they leave is decided exactly."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rulesets import batch_of, both, ruleset_of

from router.batch import Batch
from rules.codecs import Json
from rules.contract import schema_validator
from rules.contract_types import Kept
from rules.projection import Tree

SETTINGS = settings(max_examples=80, deadline=None)
NAMES = ["a", "b", "c", "d"]
DRAFT_7 = "http://json-schema.org/draft-07/schema#"

texts = st.sampled_from(["", "a", "ab", "abc", "é", "\U0001f600", "12", "x@y.z", "a\n"])
whole = st.sampled_from([0, 1, -1, 2, 3, 20, 2**53, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**30])
fractions = st.sampled_from([0.0, -0.0, 1.0, 2.0, 0.5, -1.5, 3.25, 2.0**53, 2.0**63, 1e300])
scalars = st.one_of(st.none(), st.booleans(), whole, fractions, texts)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)
lengths = st.integers(0, 3)
bounds = st.sampled_from([0, 1, -1, 2, 20, 0.5, 1.5, -1.5, 3.0, 2**53, 2**53 + 1, 2**63, 1e300])
types = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
RARE = [
    {"pattern": "^a"},
    {"pattern": "^\\d+$"},
    {"multipleOf": 0.5},
    {"format": "email"},
    {"not": {"type": "string"}},
    {"allOf": [{"minLength": 2}, {"maxLength": 2}]},
    {"anyOf": [{"type": "integer"}, {"type": "number", "minimum": 2}]},
    {"oneOf": [{"type": "integer"}, {"minimum": 2}]},
    {"uniqueItems": True},
    {"minProperties": 1},
    {"patternProperties": {"^a": {"type": "string"}}},
    {"additionalProperties": {"type": "integer"}},
    {"enum": [1, 2.0, True, "a", [1], {"a": 1}]},
    {"const": 1},
    {"contains": {"const": "a"}},
    {"dependentRequired": {"a": ["b"]}},
    {"if": {"type": "string"}, "then": {"minLength": 1}},
    {"x-unheard-of": 1},
    {"unheard of": 1},
    {"$ref": "#/$defs/node"},
    {"$ref": "#/$defs/short", "minLength": 1},
]


def of_fields(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"properties": st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)},
        optional={
            "type": st.just("object"),
            "required": st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
            "additionalProperties": st.booleans(),
        },
    )


strings = st.fixed_dictionaries({}, optional={"minLength": lengths, "maxLength": lengths})
numbers = st.one_of(
    st.fixed_dictionaries({}, optional={"minimum": bounds, "maximum": bounds}),
    st.fixed_dictionaries({}, optional={"exclusiveMinimum": bounds, "exclusiveMaximum": bounds}),
)
enums = st.one_of(
    st.builds(lambda values: {"enum": values}, st.lists(texts | st.none(), min_size=1, max_size=3, unique=True)),
    st.builds(lambda value: {"const": value}, texts | st.none()),
)


def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.fixed_dictionaries({}, optional={"items": inner, "minItems": lengths, "maxItems": lengths})
    nullable = st.builds(lambda part: {"anyOf": [{"type": "null"}, {"type": "string"} | part]}, strings)
    either = st.builds(lambda part: {"oneOf": [{"type": "null"}, {"type": "object"} | part]}, of_fields(inner))
    return st.one_of(
        of_fields(inner),
        st.builds(lambda *parts: {key: part[key] for part in parts for key in part}, of_fields(inner), strings, lists),
        lists,
        st.just({"type": "array"}).flatmap(lambda said: lists.map(said.__or__)),
        nullable,
        either,
    )


common = st.one_of(
    st.builds(lambda said, part: {"type": said} | part, st.lists(types, min_size=1, max_size=3, unique=True), strings),
    st.builds(lambda said, part: {"type": said} | part, st.sampled_from(["integer", "number"]), numbers),
    st.builds(lambda said, part: {"type": said} | part, st.just("string"), strings),
    st.builds(lambda said, part: {"type": said} | part, types, enums),
    numbers,
    strings,
    enums,
    st.booleans(),
    st.just({"type": "string", "title": "T", "x-unit": "m", "description": "d"}),
    st.just({"$ref": "#/$defs/short"}),
)
parts = st.recursive(st.one_of(common, common, st.sampled_from(RARE)), grown, max_leaves=6)
DEFINITIONS = {
    "short": {"type": "string", "maxLength": 2},
    "node": {"properties": {"a": {"$ref": "#/$defs/node"}, "b": {"$ref": "#/$defs/short"}}},
}
roots = st.builds(
    lambda part, rare, draft: part | rare | ({"$schema": DRAFT_7} if draft == 1 else {}) | {"$defs": DEFINITIONS},
    of_fields(parts),
    st.sampled_from([{}, {}, {}, {}, {}, *RARE[:-2], {"$id": "http://a/b"}, {"not": {"$ref": "#/$defs/node"}}]),
    st.integers(1, 6),
)
TREES: list[Tree] = [
    {},
    {"a": None},
    {"a": {"b": None}, "c": None},
    {"a": {"b": {"c": None}, "d": None}, "b": {"a": None}},
]


@st.composite
def close(draw: st.DrawFn, schema: Any, depth: int = 0) -> Any:
    """A value that keeps to a schema more often than not."""
    if not isinstance(schema, dict) or depth > 4 or draw(st.integers(0, 14)) == 0:
        return draw(values)
    if "$ref" in schema:
        return draw(close(DEFINITIONS.get(schema["$ref"].rsplit("/", 1)[1], {}), depth + 1))
    if "enum" in schema or "const" in schema:
        return draw(st.sampled_from(schema.get("enum", [schema.get("const")])))
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return draw(close(draw(st.sampled_from(schema[choice])), depth + 1))
    kinds = schema.get("type", "object" if "properties" in schema else "array" if "items" in schema else None)
    kind = draw(st.sampled_from(kinds if isinstance(kinds, list) else [kinds]))
    if kind == "object":
        properties = {name: schema.get("properties", {}).get(name, True) for name in schema.get("required", ())}
        properties |= {name: part for name, part in schema.get("properties", {}).items() if draw(st.integers(0, 3))}
        return {name: draw(close(part, depth + 1)) for name, part in properties.items()}
    if kind == "array":
        count = draw(st.integers(schema.get("minItems", 0), max(schema.get("maxItems", 3), schema.get("minItems", 0))))
        return [draw(close(schema.get("items", True), depth + 1)) for _ in range(count)]
    found = {"string": texts, "integer": whole | fractions, "number": whole | fractions, "boolean": st.booleans()}
    return draw(found.get(kind, st.none() if kind == "null" else values))


@st.composite
def written(draw: st.DrawFn, value: Any) -> bytes:
    """A value as JSON, where a name may come twice, escaped, and between white space."""
    if isinstance(value, list):
        return b"[%b]" % b",".join([draw(written(part)) for part in value])
    if not isinstance(value, dict):
        text = json.dumps(value, ensure_ascii=draw(st.booleans()))
        return text.encode()
    fields = [(name, draw(written(part))) for name, part in value.items()]
    if fields and draw(st.integers(0, 5)) == 0:
        odd = st.sampled_from([b"1", b'"a"', b"null", b"{}", b'{"a":"a"}', b"1e999", b"01", b'"\xff"', b"1" * 30])
        fields.insert(draw(st.integers(0, len(fields))), (draw(st.sampled_from(NAMES)), draw(odd)))
    name = {"a": b'"\\u0061"'} if draw(st.integers(0, 9)) == 0 else {}
    return b"{%b}" % b", ".join(b"%b: %b" % (name.get(key, json.dumps(key).encode()), part) for key, part in fields)


def taken(kept: Kept, payload: bytes) -> bool:
    """Whether types take a payload, and what is asked about beside them is so."""
    assert kept.projection.decode is not None
    try:
        payload.decode()  # what is skipped is not looked at, so whoever decodes asks first
        event = kept.projection.decode(payload)
    except (ValueError, RecursionError):
        return False
    return all(check.keeps(found) for check in kept.checks for found in _at(kept, event, check.path))


def _at(kept: Kept, event: Any, path: tuple[str, ...]) -> list[Any]:
    part = kept.projection.root
    for name in path:
        if event.__class__ is not part.cls:
            return []
        attribute, below = part.fields[name]
        event, part = getattr(event, attribute), below or part
    from rules.cel.compile_runtime import MISSING

    return [] if event is MISSING else [event]


def kept_by(schema: Any, tree: Tree) -> Kept | None:
    found = schema_validator(schema, json=True).types
    assert found is not None
    return found.keeping(tree)


FLOWS = [
    "rules: [{name: all, to: a}]",
    "rules: [{name: one, when: event.a == 'a' || event.b.a > 1, to: a}]\notherwise: {unmatched: drop}",
    "rules: [{when: event.a.b.c != 1, to: {sink: a, key: '${event.d}'}}]\notherwise: {invalid: pass, unmatched: a}",
    "rules: [{name: one, set: {event.new: '${event.a}'}, to: a}]",
    "rules: [{name: one, when: size(event) > 1 && size(event.b) > 0, to: a}]\notherwise: {unmatched: drop}",
]


@given(roots, st.sampled_from(FLOWS), st.data())
@SETTINGS
def test_a_flow_with_a_schema_decides_what_the_interpreter_decides(schema: Any, flow: str, data: st.DataObject) -> None:
    """Verdict, reasons and all that follows, whatever of the schema there are types for."""
    ruleset = ruleset_of("contract: {schema: schema.json}\n" + flow, schema=schema)
    payloads = [data.draw(close(schema).flatmap(written)) for _ in range(data.draw(st.integers(1, 4)))]
    both(ruleset, Batch(payloads))


@given(roots, st.sampled_from(TREES), st.data())
@SETTINGS
def test_what_the_types_take_keeps_to_the_schema_and_reads_as_it_is(
    schema: Any, tree: Tree, data: st.DataObject
) -> None:
    kept, valid = kept_by(schema, tree), jsonschema_rs.validator_for(schema).is_valid
    if kept is None:
        return
    for _ in range(4):
        event = data.draw(close(schema))
        payload = data.draw(written(event))
        if taken(kept, payload):
            decoded: Any = Json().codec.decode(payload)
            assert valid(decoded), payload
            assert kept.projection.decode is not None
            same(kept.projection.decode(payload), kept.projection.root, tree, decoded)


def same(found: Any, part: Any, tree: Tree, event: Any) -> None:
    """That the fields in a tree hold what the whole event holds, the kind of each number included."""
    for name, below in tree.items():
        attribute, inner = part.fields[name]
        value = getattr(found, attribute)
        if name not in event:
            assert repr(value) != "1"
            assert value.__class__.__name__ == "Missing"
        elif below is not None and inner is not None and value.__class__ is inner.cls:
            same(value, inner, below, event[name])
        elif below is None or not isinstance(event[name], dict | list):
            assert repr(value) == repr(event[name])


@given(st.recursive(common, of_fields, max_leaves=5).flatmap(lambda part: of_fields(st.just(part))), st.data())
@SETTINGS
def test_of_common_keywords_the_types_say_all(schema: Any, data: st.DataObject) -> None:
    """So that no record that keeps its contract needs the exact way."""
    schema |= {"$defs": DEFINITIONS}
    kept, valid = kept_by(schema, {}), jsonschema_rs.validator_for(schema).is_valid
    assert kept is not None
    event = data.draw(close(schema).filter(lambda event: isinstance(event, dict)))
    assert taken(kept, json.dumps(event).encode()) == valid(event)


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {"type": "array"},
        {"minProperties": 1},
        {"$schema": "http://json-schema.org/draft-04/schema#", "properties": {"a": {"type": "integer"}}},
        {"properties": {"a": {"$ref": "#"}}},
        {"properties": {"a": {"$id": "http://a/b", "type": "string"}}},
    ],
)
def test_a_schema_that_means_something_else_elsewhere_has_no_types(schema: Any) -> None:
    assert kept_by(schema, {}) is None


def test_a_field_with_more_than_types_say_is_asked_about_alone() -> None:
    schema = {
        "required": ["user"],
        "properties": {
            "user": {"type": "object", "properties": {"mail": {"pattern": "^[a-z]+@"}, "age": {"type": "integer"}}},
            "codes": {"items": {"$ref": "#/$defs/code"}},
        },
        "$defs": {"code": {"pattern": "^[A-Z]{2}$"}},
    }
    kept = kept_by(schema, {"user": {"age": None}})
    assert kept is not None
    assert [check.path for check in kept.checks] == [("codes",), ("user", "mail")]
    text = "contract: {schema: schema.json}\nrules: [{name: r, when: event.user.age > 17, to: a}]"
    ruleset = ruleset_of(text + "\notherwise: {unmatched: drop}", schema=schema)
    assert "decode(raw)" in ruleset.code
    assert "holds" not in ruleset.code
    good, young = {"user": {"age": 18, "mail": "a@b"}, "codes": ["DE"]}, {"user": {"age": 1}}
    bad = [{"user": {"age": 18, "mail": "@"}}, {"user": {"age": 18}, "codes": ["D"]}, {}, {"user": 1}]
    decisions = both(ruleset, batch_of(good, *bad, young, {"user": {"age": 18.0}}))
    assert list(decisions.deliveries[0].indices) == [0, 6]
    assert [letter.index for letter in decisions.letters] == [1, 2, 3, 4]


def test_a_flow_that_changes_records_holds_them_to_the_types_first() -> None:
    schema = {"properties": {"n": {"type": "integer", "minimum": 1}}, "additionalProperties": False}
    text = "contract: {schema: schema.json}\nrules: [{name: r, set: {event.m: '${event.n}'}, to: a}]"
    ruleset = ruleset_of(text, schema=schema)
    assert "if not keeps(raw) and not holds(event, raw): raise Surprise" in ruleset.code
    assert "# Event.f0, 'n': Union[Annotated[int, Meta(ge=1)], Annotated[float, Meta(ge=1.0," in ruleset.code
    batch = batch_of({"n": 1}, {"n": 0}, {"n": 2.0}, {"n": 1, "k": 1}, b'{"n":0,"n":3}', b'{"n":3,"n":0}')
    decisions = both(ruleset, batch)
    assert list(decisions.deliveries[0].indices) == [0, 2, 4]
