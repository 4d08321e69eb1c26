"""The law of rules without effect: one that no record is said to get to is the first match of none."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.cel import CelError
from rules.flow import Flow
from rules.inference import check_flow, type_of_schema
from rules.reader import read_flow

KINDS = ["a", "b", None]
conditions = st.one_of(
    st.sampled_from(['event.kind == "a"', 'event.kind == "b"', "event.kind == null", 'event.kind != "a"']),
    st.sampled_from(['event.kind in ["b", null]', '!(event.kind in ["a", "q"])', 'event.kind.startsWith("a")']),
    st.sampled_from(["event.flag", "!event.flag", "event.flag == false", "has(event.flag)", "!has(event.flag)"]),
    st.sampled_from(["event.n > 1", "event.n >= 2", "event.n == 2", "event.n < 5", "event.n in [1, 2.0]", "true"]),
)
conditions = st.recursive(
    conditions,
    lambda inner: st.builds("({} && {})".format, inner, inner) | st.builds("({} || {})".format, inner, inner),
    max_leaves=3,
)
schemas = st.fixed_dictionaries(
    {
        "type": st.just("object"),
        "properties": st.fixed_dictionaries(
            {
                "kind": st.sampled_from([{"enum": KINDS}, {"enum": ["a", "b"]}, {"const": "a"}, {}]),
                "flag": st.sampled_from([{"type": "boolean"}, {"type": ["boolean", "null"]}]),
                "n": st.sampled_from([{"type": "integer", "minimum": 1, "maximum": 3}, {"enum": [1, 2]}, {}]),
            }
        ),
        "required": st.lists(st.sampled_from(["kind", "flag", "n"]), unique=True, max_size=3),
    }
)


def flow_of(whens: list[tuple[str, bool]]) -> Flow:
    rules: list[dict[str, Any]] = [
        {"name": f"r{at}", "when": when, "to": "x", "continue": goes_on} for at, (when, goes_on) in enumerate(whens)
    ]
    text = json.dumps({"from": "s", "rules": [*rules, {"name": "rest", "to": "x"}]})
    flow, faults = read_flow(text, "flow.yaml", lambda _: b"")
    assert flow is not None
    assert not faults
    return flow


def events(schema: Any) -> st.SearchStrategy[dict[str, Any]]:
    values = {
        "kind": st.sampled_from(KINDS) | st.just("c") | st.just(1),
        "flag": st.booleans() | st.none(),
        "n": st.sampled_from([1, 2, 3, 1.0, 2.0, 9, "x"]),
    }
    needed = {name: values[name] for name in schema["required"]}
    return st.fixed_dictionaries(needed, optional={name: values[name] for name in values if name not in needed})


def is_true(flow: Flow, at: int, event: object) -> bool:
    when = flow.rules[at].when
    try:
        return when is None or when.cel.evaluate({"event": event}) is True
    except CelError:
        return False


@settings(max_examples=150, deadline=None)
@given(schemas, st.lists(st.tuples(conditions, st.integers(0, 4).map(lambda n: n == 0)), max_size=6), st.data())
def test_a_rule_that_no_record_gets_to_is_the_first_match_of_none(
    schema: Any, whens: list[tuple[str, bool]], data: st.DataObject
) -> None:
    flow = flow_of(whens)
    unreached = {found.rule.name for found in check_flow(flow, event=type_of_schema(schema)).rules}
    for event in data.draw(st.lists(events(schema), min_size=1, max_size=8)):
        if not jsonschema_rs.is_valid(schema, event):
            continue
        for at, rule in enumerate(flow.rules):
            if is_true(flow, at, event):
                assert rule.name not in unreached, event
                if not rule.continues:
                    break
