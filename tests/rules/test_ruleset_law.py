"""The law of the compiler: for any flow and any records it decides what the exact interpreter decides."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from router.batch import Batch
from rules import cel
from rules.cel.compiler import predicate
from rules.plan import SinkFacts
from tests.rules.rulesets import both, ruleset_of, sinks_of, flow_of, template

NAMES = ["type", "n", "x", "user", "plan", "tags", "flag", "deep"]

numbers = st.sampled_from(
    [0, 1, -1, 2, 500, 0.0, 1.5, -0.0, 500.0, 2**53, 2**53 + 1, 2.0**53, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1]
    + [2**64 - 1, 2**64, 2.0**64, 10**30, 1e300]
)
texts = st.sampled_from(["", "order", "pro", "a@b.c", "1", "é", "x" * 20, "\u0000", "\U0001f600"])
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)),
    max_leaves=8,
)
records = st.one_of(st.dictionaries(st.sampled_from(NAMES), values, max_size=6), values)


def literal(value: Any) -> str:
    """A JSON-like value as CEL writes it, as far as CEL has it."""
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return f"{value}u" if 0 <= value < 2**64 else f"{float(value)!r}"
    return json.dumps(value, ensure_ascii=False)


paths = st.builds(
    lambda root, rest: root + "".join(rest),
    st.sampled_from(["event", "event", "event", "meta", "vars"]),
    st.lists(st.sampled_from([*(f".{name}" for name in NAMES), '["n"]', "[0]", "[1]", ".topic", ".key"]), min_size=1, max_size=3),
)
literals = scalars.map(literal)
text_literals = texts.map(literal)


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in"]), inner),
        st.builds("({} {} {})".format, paths, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), literals),
        st.builds("({} in [{}])".format, paths, st.lists(literals, max_size=3).map(", ".join)),
        st.builds("({} in {})".format, text_literals, paths),
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/", "%"]), inner),
        st.lists(inner, min_size=2, max_size=4).map(lambda terms: "(" + " && ".join(terms) + ")"),
        st.lists(inner, min_size=2, max_size=4).map(lambda terms: "(" + " || ".join(terms) + ")"),
        inner.map("!{}".format),
        inner.map("-({})".format),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("{}.{}({})".format, paths, st.sampled_from(["startsWith", "endsWith", "contains", "matches"]), text_literals),
        st.builds("has({}.{})".format, paths.filter(lambda path: path.startswith("event")), st.sampled_from(NAMES)),
        inner.map("size({})".format),
        inner.map("string({})".format),
        st.builds("event.tags.{}(t, t {} {})".format, st.sampled_from(["exists", "all", "filter"]), st.sampled_from(["==", ">"]), inner),
    )


expressions = st.recursive(st.one_of(paths, literals), grown, max_leaves=8)
conditions = st.one_of(grown(st.one_of(paths, literals)), expressions)

SETTINGS = settings(max_examples=100, deadline=None)


@given(conditions, st.lists(records, min_size=1, max_size=6))
@SETTINGS
def test_a_predicate_is_true_where_the_evaluator_says_true(text: str, events: list[object]) -> None:
    expression = cel.compile(text)
    fast = predicate(expression.node, "event")
    for event in events:
        try:
            exact = expression.evaluate({"event": event}) is True
        except cel.CelError:
            exact = False
        assert fast(event) is exact


event_paths = st.builds(
    lambda names: "event" + "".join(names),
    st.lists(st.sampled_from([*(f".{name}" for name in NAMES), "[0]", "[*]"]), min_size=1, max_size=3),
)
fillings = st.one_of(scalars, expressions.map(lambda text: f"${{{text}}}"), expressions.map(lambda text: f"a ${{{text}}} b"))
shapes = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"set": st.dictionaries(event_paths, fillings, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"unset": st.lists(event_paths, min_size=1, max_size=2)}),
    st.fixed_dictionaries(
        {"set": st.dictionaries(event_paths, fillings, min_size=1, max_size=2), "unset": st.lists(event_paths, min_size=1, max_size=2)}
    ),
    st.fixed_dictionaries({"emit": st.dictionaries(st.sampled_from(NAMES), fillings, max_size=3)}),
)
targets = st.builds(
    lambda sink, shape, chosen: {"sink": sink, **shape, **chosen},
    st.sampled_from(["a", "b", "c"]),
    shapes,
    st.dictionaries(st.sampled_from(["key", "topic"]), fillings, max_size=2),
)


@st.composite
def rules(draw: st.DrawFn) -> list[dict[str, object]]:
    made: list[dict[str, object]] = []
    for number in range(draw(st.integers(1, 5))):
        rule: dict[str, object] = {"name": f"r{number}"}
        if draw(st.booleans()):
            rule["when"] = draw(conditions)
        if draw(st.integers(0, 5)) == 0:
            rule["expect"] = {f"check {number}": draw(conditions)}
        rule |= draw(shapes)
        kind = draw(st.sampled_from(["step", "sink", "sink", "two", "drop", "letter", "split"]))
        if kind == "split" and "emit" not in rule:
            rule["split"] = {"each": draw(st.one_of(st.just("event.tags"), conditions)), "as": "item"}
        if kind in {"sink", "split"}:
            rule["to"] = draw(targets)
        elif kind == "two":
            rule["to"] = ["a", draw(targets.filter(lambda target: target["sink"] != "a"))]
        elif kind == "letter":
            rule["to"] = "dead_letter"
        elif kind == "drop":
            rule["to"] = "drop"
        if "to" in rule and kind != "drop" and draw(st.booleans()):
            rule["continue"] = True
        if "to" in rule or set(rule) & {"set", "unset", "emit", "expect"}:
            made.append(rule)
    return made or [{"name": "all", "to": "a"}]


endings = st.sampled_from(["drop", "dead_letter", "a", {"sink": "c", "key": "${event.n}"}])
flows = st.builds(
    lambda rules, lets, expect, error, unmatched, invalid: {
        "from": "s",
        "let": lets,
        "contract": {"expect": expect},
        "rules": rules,
        "otherwise": {"error": error, "unmatched": unmatched, "invalid": invalid},
    },
    rules(),
    st.fixed_dictionaries({"big": conditions, "other": conditions}),
    st.dictionaries(st.just("a check"), conditions, min_size=1),
    endings,
    endings,
    st.one_of(endings, st.just("pass")),
)


@given(flows, st.lists(records, max_size=8), st.data())
@SETTINGS
def test_a_compiled_flow_decides_what_the_interpreter_decides(flow: Any, events: list[object], data: st.DataObject) -> None:
    text = json.dumps(flow)
    payloads = [json.dumps(event).encode() for event in events]
    payloads += data.draw(st.lists(st.sampled_from([b"", b"{", b"\xff", b"[" * 2000, b'{"n":1e999}']), max_size=2))
    count = len(payloads)
    batch = Batch(
        payloads,
        keys=data.draw(st.none() | st.lists(st.sampled_from([None, b"k", b"\xff"]), min_size=count, max_size=count)),
        attributes={"topic": data.draw(st.lists(st.sampled_from([None, "t", 5]), min_size=count, max_size=count))},
    )
    facts = [SinkFacts("b", encode="json", per_record=frozenset({"topic"}))]
    facts += [SinkFacts("c", templates={"topic": template("x.${event.type}")}, per_record=frozenset({"topic"}))]
    both(ruleset_of(text, names={"n": 5, "tags": ["order", 1]}, facts=facts), batch)
