"""A rules file that is right becomes the flow that it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.cel import CelSyntaxError
from rules.cel import compile as compile_cel
from rules.flow import EachItem, Expr, Flow, Template
from rules.reader import read_flow
from rules.templates import Unclosed, parts

SCHEMA = b'{"type": "object"}'


def flow_of(text: str, schema: bytes = SCHEMA) -> Flow:
    flow, faults = read_flow(text, "rules/orders.yaml", lambda name: schema)
    assert faults == []
    assert flow is not None
    return flow


def rule_of(text: str) -> str:
    return f"from: a\nrules:\n  - {text}\n  - to: rest\n"


def test_the_smallest_flow_takes_its_name_from_its_file() -> None:
    flow = flow_of("from: orders\nrules: [{to: archive}]\n")
    assert flow.name == "orders"
    assert [name for name, _ in flow.sources] == ["orders"]
    assert [str(place) for _, place in flow.sources] == ["rules/orders.yaml:1:7"]
    (rule,) = flow.rules
    assert (rule.name, rule.when, [target.sink for target in rule.to]) == ("rule-1", None, ["archive"])
    assert flow.otherwise.unmatched is None
    assert [target.sink for target in flow.otherwise.error] == ["dead_letter"]


def test_a_flow_without_rules_says_where_everything_goes() -> None:
    flow = flow_of("from: a\notherwise: {unmatched: [x, {sink: y}], invalid: pass}\n")
    assert flow.rules == ()
    assert flow.otherwise.invalid == "pass"
    assert [target.sink for target in flow.otherwise.unmatched or ()] == ["x", "y"]


def test_the_parts_of_a_rule() -> None:
    flow = flow_of(
        rule_of(
            "{name: n, when: big, expect: {ok: event.b}, split: {each: event.items, as: item}, continue: true, "
            "set: {event.a: '${item.x}'}, unset: event.b, to: [x, {sink: y, key: '${item.id}', emit: null}]}"
        )
        + "let: {big: event.amount > 500.0}\n"
    )
    rule = flow.rules[0]
    assert rule.when is not None
    assert rule.when.cel.text == "big"
    assert [(check.name, check.expr.cel.text) for check in rule.expect] == [("ok", "event.b")]
    assert rule.split is not None
    assert (rule.split.name, rule.split.each.cel.text) == ("item", "event.items")
    assert rule.continues
    assert rule.shape.set[0].path == ("a",)
    assert rule.shape.unset == (("b",),)
    first, second = rule.to
    assert (first.sink, first.settings, bool(first.shape)) == ("x", {}, False)
    assert (second.shape.has_emit, second.shape.emit) == (True, None)
    key = second.settings["key"]
    assert isinstance(key, Template)
    assert key.whole is not None
    assert key.whole.cel.text == "item.id"
    assert not rule.is_step
    assert list(flow.lets) == ["big"]


def test_expressions_that_yaml_reads_as_numbers_and_booleans_are_expressions() -> None:
    flow = flow_of(rule_of("{when: true, to: x}") + "let: {limit: 500, rate: 0.5, no: False, nothing: null}\n")
    assert flow.rules[0].when is not None
    assert flow.rules[0].when.cel.evaluate({}) is True
    assert {name: expr.cel.evaluate({}) for name, expr in flow.lets.items()} == {
        "limit": 500,
        "rate": 0.5,
        "no": False,
        "nothing": None,
    }


def test_lets_may_use_each_other_in_any_order() -> None:
    flow = flow_of("let: {a: b && c, b: c, c: event.x}\n" + rule_of("to: x"))
    assert flow.lets["a"].cel.variables == {"b", "c"}


def test_expressions_know_their_place() -> None:
    flow = flow_of(rule_of('when: >-\n      event.a ==\n      1\n    set: {event.b: "x ${event.c} ${ event.d }"}'))
    assert flow.rules[0].when is not None
    assert str(flow.rules[0].when.place) == "rules/orders.yaml:4:7"
    value = flow.rules[0].shape.set[0].value
    assert isinstance(value, Template)
    assert [str(part.place) for part in value.parts if isinstance(part, Expr)] == [
        "rules/orders.yaml:6:25",
        "rules/orders.yaml:6:36",
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("event", ()),
        ("event.user.id", ("user", "id")),
        ('event["a-b"].c', ("a-b", "c")),
        ("event['it\\'s'].c", ("it's", "c")),
        ("event.items[*].price", ("items", EachItem(), "price")),
        ("event.items[ 3 ][ * ]", ("items", 3, EachItem())),
        ("event.größe._x", ("größe", "_x")),
    ],
)
def test_paths(path: str, expected: tuple[object, ...]) -> None:
    assert flow_of(rule_of(f"set:\n      {path}: 1")).rules[0].shape.set[0].path == expected


def test_values_keep_their_types_and_templates_their_parts() -> None:
    text = (
        "emit: {n: 1, l: [true, null, 'a'], t: 'a ${event.b}c', w: '${{\"}\": 1}}', d: '$${x} $$y', e: ''}\n    to: x"
    )
    emit = flow_of(rule_of(text)).rules[0].shape.emit
    assert isinstance(emit, dict)
    assert (emit["n"], emit["l"], emit["d"], emit["e"]) == (1, (True, None, "a"), "${x} $$y", "")
    assert [part if isinstance(part, str) else part.cel.text for part in emit["t"].parts] == ["a ", "event.b", "c"]
    assert emit["w"].whole.cel.evaluate({}) == {"}": 1}


def test_the_contract_and_its_schema() -> None:
    flow = flow_of("contract: {schema: s.yaml, expect: {a: event.x}}\n" + rule_of("to: y"), b"type: object\n")
    assert flow.contract.schema == {"type": "object"}
    assert str(flow.contract.schema_place) == "rules/orders.yaml:1:20"
    assert [check.name for check in flow.contract.expect] == ["a"]
    assert flow_of("contract: {model: order}\n" + rule_of("to: y")).contract.model == "order"


def test_tests_and_what_they_expect() -> None:
    flow = flow_of(
        rule_of("{when: event.a, to: x}")
        + """tests:
  - name: one
    given:
      - {event: {a: 1, t: "${b}"}, key: k, headers: {h: v}, time: 2026-01-31T12:00:00Z, source: a, meta: {topic: t}}
      - raw: {base64: AAE=}
      - raw: text
    then: {x: 2, drop: 0, dead_letter: [{stage: decode}], rest: []}
    exact: true
  - {given: {event: null}, then: {}}
"""
    )
    first, second = flow.tests
    assert (first.name, first.exact, second.name, second.exact) == ("one", True, "test-2", False)
    given, binary, text = first.given
    assert (given.event, given.key, given.headers, given.source) == ({"a": 1, "t": "${b}"}, b"k", {"h": "v"}, "a")
    assert (given.time, given.meta) == ("2026-01-31T12:00:00Z", {"topic": "t"})
    assert (binary.raw, text.raw) == (b"\0\1", b"text")
    assert (first.then["x"].count, first.then["x"].records) == (2, None)
    assert (first.then["dead_letter"].count, first.then["dead_letter"].records) == (None, ({"stage": "decode"},))
    assert first.then["rest"].records == ()


def test_the_version_is_of_what_the_file_means() -> None:
    text = "contract: {schema: s.json}\n" + rule_of("to: y")
    version = flow_of(text).version
    assert len(version) == 12
    assert flow_of("# a comment\n" + text).version == version
    assert flow_of(text.replace("to: y", "to: z")).version != version
    assert flow_of(text, b'{"type": "array"}').version != version


def test_a_rule_may_use_every_name_that_is_there() -> None:
    flow = flow_of(
        "let: {big: vars.limit > 1}\n"
        + rule_of("{when: 'big && meta.key == event.k && event.l.all(e, e > 0) && cel.bind(z, 1, z > 0)', to: x}")
    )
    assert flow.rules[0].when is not None
    assert flow.rules[0].when.cel.variables == {"big", "meta", "event"}


@given(
    st.lists(st.sampled_from(["a", "$", "{", "}", "${", "$${", "'", '"', "r'", "\\", "//", "\n", "'''"]), max_size=12)
)
def test_the_parts_of_a_template_are_all_of_its_text(pieces: list[str]) -> None:
    text = "".join(pieces)
    start: int | None = None
    try:
        found = list(parts(text))
    except Unclosed as error:
        start = error.start
    if start is not None:
        assert text.startswith("${", start)
        return
    again = "".join(part.text.replace("${", "$${") if part.literal else f"${{{part.text}}}" for part in found)
    assert again == text
    assert all(part.text == text[part.start : part.start + len(part.text)] for part in found if not part.literal)


@given(st.text("ab'\"{}\\rb/ ", max_size=12))
def test_a_template_ends_where_its_expression_does(inner: str) -> None:
    """Whatever is an expression is read whole, however many braces its strings hold."""
    text = f"{{'k': {inner!r}}}"
    try:
        compile_cel(text)
    except CelSyntaxError:
        return
    assert [part.text for part in parts(f"x ${{{text}}} y")] == ["x ", text, " y"]


@given(st.text(max_size=80) | st.text("abc:- \n{}[]'\"!&*#|>?,$\\%@`=.()", max_size=80))
def test_no_text_breaks_the_reader(text: str) -> None:
    flow, faults = read_flow(text, "f.yaml", lambda name: SCHEMA)
    assert flow is not None or faults
    flow, faults = read_flow(f"from: a\nrules:\n  - when: {text}\n    to: x\n", "f.yaml", lambda name: SCHEMA)
    assert flow is not None or faults
