"""Types hold: what the exact evaluator gives is of the type that was found, and what is called wrong is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema_rs
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rules import cel
from rules.cel.evaluator import evaluator
from rules.cel.scope import free_variables
from rules.cel.values import normal, type_of
from rules.faults import Place
from rules.flow import Expr
from rules.inference.expressions import Inference
from rules.inference.kinds import NUMBERS, Scalar, Type
from rules.inference.schemas import type_of_schema
from rules.inference.walk import Finding
from rules.lets import Lets

NAMES = ("a", "b", "c")
TEXTS = ("x", "y", "zz", "5")
WORDS = {"null_type": "null", "google.protobuf.Timestamp": "timestamp", "google.protobuf.Duration": "duration"}
WORDS |= {"optional_type": "optional"}

numbers = st.one_of(st.integers(-3, 9), st.sampled_from([0.5, 2.0, -1.5, 2**63, 2**65]))
texts = st.sampled_from(TEXTS)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)


def bounded(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    low, high = st.sampled_from([-2, 0, 1, 2, 1.5]), st.sampled_from([2, 5, 7.5, 9])
    either = [{"minimum": low, "exclusiveMaximum": high}, {"exclusiveMinimum": low, "maximum": high}]
    return st.sampled_from(either).flatmap(
        lambda optional: st.fixed_dictionaries({"type": st.just(kind)}, optional=optional)
    )


leaves = st.one_of(
    st.sampled_from([{"type": "string"}, {"type": "boolean"}, {"type": ["string", "null"]}, {}, True, {"const": "x"}]),
    bounded("integer"),
    bounded("number"),
    st.sampled_from([{"type": "string", "maxLength": 1}, {"minLength": 2}, {"const": 2}, {"const": "zz"}]),
    st.lists(scalars, min_size=1, max_size=3).map(lambda values: {"enum": values}),
    st.lists(texts, min_size=1, max_size=2).map(lambda values: {"enum": values}),
)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        objects(inner),
        inner.map(lambda items: {"type": "array", "items": items}),
        st.lists(inner, min_size=1, max_size=2).map(lambda parts: {"anyOf": parts}),
        st.lists(inner, min_size=1, max_size=2).map(lambda parts: {"allOf": parts}),
        st.tuples(inner, inner).map(lambda parts: {"type": "array", "prefixItems": [parts[0]], "items": parts[1]}),
    )


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)},
        optional={"additionalProperties": st.sampled_from([False, True, {"type": "string"}])},
    )


schemas = objects(st.recursive(leaves, nested, max_leaves=5))


def events(schema: Any) -> st.SearchStrategy[Any]:
    """Mostly what keeps to a schema; what does not is left out afterwards."""
    if not isinstance(schema, Mapping):
        return scalars
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    if parts := schema.get("anyOf") or schema.get("allOf"):
        return st.one_of(*map(events, parts))
    kind = schema.get("type")
    if kind == "object":
        fields = {name: events(part) for name, part in schema["properties"].items()}
        more = {} if schema.get("additionalProperties") is False else {"c": texts}
        return st.fixed_dictionaries({}, optional={**more, **fields})
    if kind == "array":
        first = [events(part) for part in schema.get("prefixItems", [])]
        rest = st.lists(events(schema["items"]), max_size=2)
        return st.tuples(st.tuples(*first), rest).map(lambda both: [*both[0], *both[1]])
    found = {"string": texts, "boolean": st.booleans(), "integer": st.one_of(st.integers(-2, 9), st.just(3.0))}
    found["number"] = numbers | st.sampled_from([1.5, 1.25, 7.5])
    return found.get(str(kind), scalars)


paths = st.lists(st.sampled_from([".a", ".b", ".c", "[0]", "[1]", '["b"]', ".?a", "[?0]"]), min_size=1, max_size=2)
atoms = st.one_of(
    paths.map(lambda steps: "event" + "".join(steps)),
    st.sampled_from(
        ["1", "2", "0", "2.0", "1.5", "7.5", "1u", '"x"', '"5"', "true", "false", "null", "[1, 2]", '["x", "q"]']
    ),
    st.sampled_from(['{"a": 1}', "[]", 'duration("1s")', 'b"x"', "int"]),
)
FORMS = (
    *("({0} + {1})", "({0} - {1})", "({0} * {1})", "({0} / {1})", "({0} % {1})", "({0} == {1})", "({0} != {1})"),
    *("({0} < {1})", "({0} >= {1})", "({0} in {1})", "({0} && {1})", "({0} || {1})", "!{0}", "(-{0})"),
    *("({0} ? {1} : {2})", "size({0})", "string({0})", "int({0})", "double({0})", "{0}.contains({1})", "type({0})"),
    *("{0}.exists(v, {1} == v)", "{0}.map(v, v + {1})", "{0}.filter(v, v == {1})", "{0}.all(v, v > {1})"),
    *("{0}.map(v, v.a)", "cel.bind(v, {0}, v == {1})", "[{0}, {1}][0]", '{{"a": {0}}}.a', "has(event.a)", "{0}.b"),
    *("{0}.orValue({1})", "{0}.hasValue()", "{0}.optMap(v, v + {1})", "{0}.transformList(i, v, i)", "[?{0}]"),
    *("[{0}].sum()", "{0}.sum()", "{0}.first()", "math.greatest({0}, {1})", "math.abs({0})", "{0}[{1}]", "{0}.size()"),
    *("{0}.reverse()", "optional.of({0})", "{0}.transformMap(k, v, v)", "{0}.matches({1})", "dyn({0})"),
    *("({0} > {1} && {0} < {2})", "({0} != {1} && {0} != {2})", "!({0} in [{1}, {2}])", "({0} && {1} && !{0})"),
    *("({0} == {1} && {0} == {2})", "{0}.split({1})", "{0}.join()", "{0}.exists_one(k, v, v == k)"),
)


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(st.sampled_from(FORMS), inner, inner, inner).map(lambda made: made[0].format(*made[1:]))


texts_of_expressions = st.recursive(atoms, larger, max_leaves=6)


def is_of(value: object, known: Type) -> bool:
    """Whether a value is of a type."""
    if known.parts is None:
        return True
    name = type_of(value).name
    kind: Any = WORDS.get(name, name)
    if kind not in known.parts:
        return False
    if isinstance(value, list):
        elements = [normal(element) for element in value]
        is_each = all(is_of(element, known.list.at(at)) for at, element in enumerate(elements))
        return is_each and all(is_of(element, known.element) for element in elements)
    if isinstance(value, Mapping):
        return all(is_of(normal(content), known.map.field(str(key))) for key, content in value.items())
    if isinstance(value, cel.Optional):
        return not value.present or is_of(value.content, known.content)
    part = known.scalar(kind)
    if kind in NUMBERS and not is_within(value, part):
        return False
    if kind == "string" and not is_within(len(str(value)), part):
        return False
    return part.values is None or value in part.values


def is_within(value: Any, part: Scalar) -> bool:
    if value != value:
        return True
    if part.whole and value % 1:
        return False
    is_above = part.low is None or (value > part.low if part.over else value >= part.low)
    return is_above and (part.high is None or (value < part.high if part.under else value <= part.high))


def is_so(finding: Finding, event: object) -> bool:
    """Whether what is said of a part of an expression is so for this event."""
    try:
        value = evaluator(finding.node)({"event": event})
    except cel.CelError:
        return True
    if finding.claim == "absent":
        return value is False or (isinstance(value, cel.Optional) and not value.present)
    claims = {
        "never true": value is not True,
        "excluded": value is not True,
        "always true": value is True,
        "no bool": type(value) is not bool,
    }
    return claims.get(finding.claim, finding.claim == "likely")


@settings(max_examples=200, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.data())
def test_what_is_found_out_about_an_expression_is_so_for_every_event_of_the_schema(data: st.DataObject) -> None:
    schema, text = data.draw(schemas), data.draw(texts_of_expressions)
    try:
        expr = Expr(cel.compile(text), Place("x", 1, 1))
    except cel.CelSyntaxError:
        assume(False)
    event = data.draw(events(schema))
    assume(jsonschema_rs.is_valid(schema, event))
    assert is_of(event, type_of_schema(schema))
    findings: list[Finding] = []
    known = Inference(Lets({}), {}, {"event": type_of_schema(schema)}, findings.append).type_of(expr)
    for finding in findings:
        if free_variables(finding.node) <= {"event"}:
            assert is_so(finding, event), finding
    try:
        value = expr.cel.evaluate({"event": event})
    except cel.CelError:
        return
    assert is_of(value, known), (value, known)
