"""The law of the compiler: for any flow and any records it decides what the exact interpreter decides."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rulesets import both, ruleset_of, summary, template

from router.batch import Batch
from rules import cel
from rules.cel.compiler import predicate
from rules.cel.evaluator import evaluator
from rules.cel.surroundings import Surroundings, Table, within
from rules.codecs import Json
from rules.plan import SinkFacts

NAMES = ["type", "n", "x", "user", "plan", "tags", "flag", "deep", "rows"]


def mostly(usual: st.SearchStrategy[Any], wild: st.SearchStrategy[Any], share: int = 8) -> st.SearchStrategy[Any]:
    """Of ``share`` values all but one usual."""
    return st.integers(1, share).flatmap(lambda number: wild if number == share else usual)


numbers = st.sampled_from(
    [
        *(0, 1, -1, 2, 500, 0.0, 1.5, -0.0, 500.0, 2**53, 2**53 + 1, 2.0**53),
        *(2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 2.0**64, 10**30, 1e300),
    ]
)
texts = st.sampled_from(["", "order", "pro", "a@b.c", "1", "é", "x" * 20, "\u0000", "\U0001f600"])
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)),
    max_leaves=8,
)
usual = st.fixed_dictionaries(
    {"type": texts, "n": numbers},
    optional={
        "x": numbers,
        "user": st.fixed_dictionaries({"plan": texts}, optional={"n": numbers, "x": texts}) | st.none(),
        "tags": st.lists(texts, max_size=3),
        "flag": st.booleans(),
        "rows": st.lists(
            mostly(st.fixed_dictionaries({"n": numbers}, optional={"x": numbers, "tags": st.lists(texts)}), values),
            max_size=4,
        ),
        "deep": st.dictionaries(st.sampled_from(NAMES), values, max_size=3),
    },
)
records = mostly(usual, st.one_of(st.dictionaries(st.sampled_from(NAMES), values, max_size=6), values), 4)


def literal(value: Any) -> str:
    """A JSON-like value as CEL writes it, as far as CEL has it."""
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return f"{value}u" if 0 <= value < 2**64 else f"{float(value)!r}"
    return json.dumps(value, ensure_ascii=False)


paths = st.builds(
    lambda root, rest: root + "".join(rest),
    st.sampled_from(["event", "event", "event", "meta", "vars"]),
    st.lists(
        st.sampled_from([*(f".{name}" for name in NAMES), '["n"]', "[0]", "[1]", ".topic", ".key"]),
        min_size=1,
        max_size=3,
    ),
)
literals = scalars.map(literal)
MACROS = ["exists", "all", "exists_one", "map", "filter"]
elements = st.sampled_from(["t", "t", "t.n", "t.x", "t.plan", "t.tags", "size(t)", "t == 'order'", "has(t.n)"])
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
        inner.map("!({})".format),
        inner.map("-({})".format),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds(
            "{}.{}({})".format, paths, st.sampled_from(["startsWith", "endsWith", "contains", "matches"]), text_literals
        ),
        st.builds("has({}.{})".format, paths.filter(lambda path: path.startswith("event")), st.sampled_from(NAMES)),
        inner.map("size({})".format),
        inner.map("string({})".format),
        own(inner),
        macros(inner),
    )


def own(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """The router's own functions, with values that they take and with others."""
    keys = st.one_of(paths, literals, inner)
    found = st.builds("lookup('t', {})".format, keys)
    return st.one_of(
        found.map("{}.hasValue()".format),
        st.builds("{}.?n.orValue({})".format, found, inner),
        st.builds("({}.orValue({}) {} {})".format, found, literals, st.sampled_from(["==", "<", "+"]), inner),
        st.builds("{}({}, {})".format, st.sampled_from(["merge", "deepMerge"]), paths, inner),
        st.builds("merge({}, {{'n': {}}}).n".format, st.sampled_from(["event", "event.deep"]), inner),
        inner.map("json.format({})".format),
        inner.map("json.parse({})".format),
        inner.map("json.parse(json.format({}))".format),
        st.builds("{}({})".format, st.sampled_from(["hash.md5", "hash.crc32", "mask.email", "mask.ip"]), inner),
        st.builds("mask.{}({}, {})".format, st.sampled_from(["keepLast", "digits"]), inner, literals),
        st.builds("hash.hmac({}, 's', {})".format, st.sampled_from(["'sha256'", "event.type"]), inner),
        st.builds("url.{}({})".format, st.sampled_from(["parse", "encode", "decode"]), inner),
    )


def macros(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Macros over what is a list or a map, and over what is not; one inside the other; with names that hide others."""
    names = st.sampled_from(["t", "t", "t", "u", "event", "int", "n"])
    bodies = st.one_of(
        inner,
        st.builds("({} {} {})".format, elements, st.sampled_from(["==", "<", ">=", "+", "in"]), inner),
        st.builds("({} {} {})".format, elements, st.sampled_from(["==", ">", "!="]), literals),
        st.builds("({} {} {})".format, elements, st.sampled_from(["&&", "||"]), elements),
        elements,
        st.builds("{}.exists(u, u == {})".format, st.one_of(elements, paths), elements),
        st.builds(
            "{}.{}(u, {} {} u)".format, elements, st.sampled_from(["all", "map", "filter"]), elements, st.just("==")
        ),
        st.builds("{}.map(u, [u, {}])".format, paths, elements),
    )
    containers = st.one_of(paths, st.just("event.tags"), st.just("event.deep"), st.just("event.rows"), inner)
    return st.one_of(
        st.builds(over, st.just("{}.{}({}, {})"), containers, st.sampled_from([*MACROS, "sortBy"]), names, bodies),
        st.builds(over, st.just("{}.{}({}, {}, [{}])"), containers, st.just("map"), names, bodies, bodies),
        st.builds(over, st.just("size({}.{}({}, {})) > 1"), containers, st.just("filter"), names, bodies),
    )


def over(form: str, container: str, macro: str, name: str, *bodies: str) -> str:
    """A macro in which the element, which is called ``t`` in the bodies, goes by a name."""
    return form.format(container, macro, name, *(re.sub(r"\bt\b", name, body) for body in bodies))


# What people write, so that most of it means something for the usual records.
simple = st.one_of(
    st.builds("event.type {} {}".format, st.sampled_from(["==", "!="]), text_literals),
    st.builds("event.n {} {}".format, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), numbers.map(literal)),
    st.builds("event.{} < event.{}".format, st.sampled_from(["n", "x"]), st.sampled_from(["n", "x", "user.n"])),
    st.builds("event.user.plan in [{}]".format, st.lists(text_literals, max_size=3).map(", ".join)),
    st.builds("{} in event.tags".format, text_literals),
    st.builds(
        "event.{}.{}({})".format,
        st.sampled_from(["type", "user.plan", "user.x"]),
        st.sampled_from(["startsWith", "contains"]),
        text_literals,
    ),
    st.builds("has(event.{})".format, st.sampled_from(["x", "flag", "user.n", "deep.n", "type.n"])),
    st.builds("event.n {} {} > {}".format, st.sampled_from("+-*/"), numbers.map(literal), numbers.map(literal)),
    st.builds("size(event.tags) > {}".format, st.integers(0, 2)),
    st.builds("event.tags.exists(t, t == {})".format, text_literals),
    st.builds(
        "event.rows.{}(t, t.{} {} {})".format,
        st.sampled_from(["exists", "all", "exists_one"]),
        st.sampled_from(["n", "x"]),
        st.sampled_from(["<", ">=", "=="]),
        numbers.map(literal),
    ),
    st.builds(
        "event.rows.exists(t, t.n > {} && t.tags.{}(u, u == {}))".format,
        numbers.map(literal),
        st.sampled_from(MACROS[:3]),
        text_literals,
    ),
    st.builds("size(event.rows.filter(t, has(t.x)).map(t, t.n)) > {}".format, st.integers(0, 2)),
    st.sampled_from(
        ["event.flag", "big", "!other", "meta.topic == 't'", "has(meta.key)", "vars.n == 5", "event.type in vars.tags"]
    ),
    st.sampled_from(
        [
            "lookup('t', event.type).hasValue()",
            "lookup('t', event.n).?n.orValue(0) > 1",
            "lookup('t', event.user.plan).value() == 'gold'",
            "merge(event.user, event.deep).plan == 'pro'",
            "hash.crc32(event.type) < '8'",
        ]
    ),
)
usual_conditions = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=4).map(lambda terms: "(" + " && ".join(terms) + ")"),
        st.lists(inner, min_size=2, max_size=4).map(lambda terms: "(" + " || ".join(terms) + ")"),
        inner.map("!({})".format),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
    ),
    max_leaves=5,
)
usual_values = st.one_of(
    scalars,
    st.sampled_from(
        [
            "event.type",
            "event.n",
            "event",
            "event.user",
            "event.n + 1",
            "event.tags",
            "string(event.n)",
            "event.rows.map(t, t.n)",
            "event.rows.filter(t, t.n > 0)",
            "event.rows.map(t, t.n > 0, {'n': t.n, 'tags': t.tags.map(u, u + '!')})",
            "event.deep.map(t, t)",
            "event.type + 'x'",
            "lookup('t', event.type)",
            "lookup('t', event.type).orValue({'n': event.n})",
            "merge(event, {'new': event.user})",
            "json.format(event.rows)",
            "mask.token(event.type, 's')",
        ]
    ).map("${{{}}}".format),
    st.sampled_from(["x ${event.type}", "${event.n}-${event.type}", "${event.user}!"]),
)

expressions = st.recursive(st.one_of(paths, literals), grown, max_leaves=8)
wild = st.one_of(grown(st.one_of(paths, literals)), expressions)


def is_condition(text: str) -> bool:
    """Whether the reader takes an expression as a condition: not a constant that is neither true nor false."""
    expression = cel.compile(text)
    if expression.variables:
        return True
    try:
        return type(expression.evaluate({})) is bool
    except cel.CelError:
        return True


wild_conditions = wild.filter(is_condition)
conditions = mostly(usual_conditions, wild_conditions)

AROUND = Surroundings({"t": Table({"order": {"n": 2}, "1": {"n": 1.5, "x": None}, "pro": "gold"})}, {"s": "secret"})
SETTINGS = settings(max_examples=80, deadline=None)


@given(
    st.one_of(usual_conditions.filter(lambda text: "big" not in text and "other" not in text), wild),
    st.lists(records, min_size=1, max_size=6),
)
@SETTINGS
def test_a_predicate_is_true_where_the_evaluator_says_true(text: str, events: list[object]) -> None:
    node = within(cel.compile(text).node, AROUND)
    fast, exactly = predicate(node, "event"), evaluator(node)
    for event in events:
        try:
            exact = exactly({"event": event}) is True
        except cel.CelError:
            exact = False
        assert fast(event) is exact


wild_paths = st.builds(
    lambda names: "event" + "".join(names),
    st.lists(st.sampled_from([*(f".{name}" for name in NAMES), "[0]", "[*]"]), min_size=1, max_size=3),
)
usual_paths = st.sampled_from(
    ["event.type", "event.tier", "event.new.plan", "event.user.plan", "event.user.x", "event.tags[*]"]
)
event_paths = mostly(usual_paths, wild_paths)
fillings = mostly(usual_values, expressions.flatmap(lambda text: st.sampled_from([f"${{{text}}}", f"a ${{{text}}} b"])))
shapes = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"set": st.dictionaries(event_paths, fillings, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"unset": st.lists(event_paths, min_size=1, max_size=2)}),
    st.fixed_dictionaries(
        {
            "set": st.dictionaries(event_paths, fillings, min_size=1, max_size=2),
            "unset": st.lists(event_paths, min_size=1, max_size=2),
        }
    ),
    st.fixed_dictionaries({"emit": st.dictionaries(st.sampled_from(NAMES), fillings, max_size=3)}),
)
targets = st.builds(
    lambda sink, shape, chosen: {"sink": sink, **shape, **chosen},
    st.sampled_from(["a", "b", "c"]),
    shapes,
    st.dictionaries(st.sampled_from(["key", "topic"]), fillings, max_size=2),
)


keys = mostly(
    st.sampled_from(["event.type", "event.n", "event.x", "event.user.plan", "event.tags", "event", "meta.key", "big"]),
    conditions.filter(lambda text: bool(cel.compile(text).variables)),
)


@st.composite
def gates(draw: st.DrawFn, rule: dict[str, object]) -> dict[str, object]:
    """Gates for a rule that is whole but for them."""
    kinds = ["sample", "throttle", *([] if rule.get("to") in ("drop", "dead_letter") else ["dedupe"])]
    held = [{"sink": "c", "topic": "${event.type}"}, "b", "dead_letter"]
    held += [] if "continue" in rule else ["drop", "drop"]
    held += ["next"] if "to" in rule or set(rule) & {"set", "unset", "emit"} else []
    made: dict[str, object] = {}
    for kind in draw(st.lists(st.sampled_from(kinds), unique=True, max_size=3)):
        gate: dict[str, object] = {"else": draw(st.sampled_from(held))}
        if kind == "sample":
            gate["ratio"] = draw(st.sampled_from(["50%", 0.2, "100%"]))
        elif kind == "throttle":
            gate |= {"rate": "1/s", "burst": draw(st.integers(1, 3)), "max_keys": draw(st.integers(1, 3))}
        else:
            gate |= {"within": draw(st.sampled_from(["1s", "1h"])), "max_keys": draw(st.integers(1, 4))}
        if kind == "dedupe" or draw(st.booleans()):
            gate["per" if kind == "throttle" else "key"] = draw(keys)
        made[kind] = gate
    return made


@st.composite
def rules(draw: st.DrawFn) -> list[dict[str, object]]:
    made: list[dict[str, object]] = []
    for number in range(draw(st.integers(1, 5))):
        rule: dict[str, object] = {"name": f"r{number}"}
        if draw(st.booleans()):
            rule["when"] = draw(conditions)
        if draw(st.integers(0, 5)) == 0:
            rule["expect"] = {f"check {number}": draw(mostly(st.just("event.n >= 0.0"), conditions, 3))}
        rule |= draw(shapes)
        kind = draw(st.sampled_from(["step", "sink", "sink", "two", "drop", "letter", "split"]))
        if kind == "split" and "emit" not in rule:
            rule["split"] = {"each": draw(mostly(st.just("event.tags"), conditions)), "as": "item"}
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
        if draw(st.integers(0, 2)) == 0:
            rule |= draw(gates(rule))
        if "to" in rule or set(rule) & {"set", "unset", "emit", "expect", "sample", "throttle", "dedupe"}:
            made.append(rule)
    return made or [{"name": "all", "to": "a"}]


endings = st.sampled_from(["drop", "dead_letter", "a", {"sink": "c", "key": "${event.n}"}])
flows = st.builds(
    lambda rules, lets, expect, error, unmatched, invalid: {
        "from": "s",
        "let": lets,
        **({"contract": {"expect": expect}} if expect else {}),
        "rules": rules,
        "otherwise": {"error": error, "unmatched": unmatched, "invalid": invalid},
    },
    rules(),
    st.just({"big": "event.n > 100.0", "other": "event.user.plan == 'pro' && event.tags.exists(t, t == 'order')"}),
    st.dictionaries(st.sampled_from(["one", "two"]), mostly(st.just("has(event.type)"), conditions), max_size=2),
    endings,
    endings,
    st.one_of(endings, st.just("pass")),
)


@given(flows, st.lists(records, max_size=8), st.data())
@SETTINGS
def test_a_compiled_flow_decides_what_the_interpreter_decides(
    flow: Any, events: list[object], data: st.DataObject
) -> None:
    run_flow(flow, events, data)


plain_rules = st.lists(
    st.fixed_dictionaries(
        {
            "when": mostly(usual_conditions, wild_conditions),
            "to": st.one_of(
                st.sampled_from(["a", "drop", "dead_letter"]),
                st.builds(
                    lambda sink, chosen: {"sink": sink, **chosen},
                    st.sampled_from(["a", "c"]),
                    st.dictionaries(st.sampled_from(["key", "topic"]), fillings, max_size=2),
                ),
            ),
        },
    ),
    min_size=1,
    max_size=4,
).map(lambda made: [{"name": f"r{number}", **rule} for number, rule in enumerate(made)])


@given(plain_rules, st.sampled_from(["drop", "dead_letter", "a"]), st.lists(records, max_size=8), st.data())
@SETTINGS
def test_a_flow_that_decodes_only_what_it_reads_decides_what_the_interpreter_decides(
    rules: Any, unmatched: str, events: list[object], data: st.DataObject
) -> None:
    lets = {"big": "event.n > 100.0", "other": "event.user.plan == 'pro' && event.x < 3"}
    rules = [rule | data.draw(gates(rule)) if data.draw(st.integers(0, 3)) == 0 else rule for rule in rules]
    run_flow({"from": "s", "let": lets, "rules": rules, "otherwise": {"unmatched": unmatched}}, events, data)


@st.composite
def runs(draw: st.DrawFn) -> list[dict[str, object]]:
    """Rules that ask one after the other what one thing is, with a different one in between now and then."""
    subject = draw(st.sampled_from(["event.type", "event.n", "event.user.plan", "meta.topic", "event.x", "event.flag"]))
    keys = draw(st.sampled_from([text_literals, numbers.map(literal), literals]))
    equal = st.one_of(
        st.builds("{} == {}".format, st.just(subject), keys),
        st.builds("{} == {}".format, keys, st.just(subject)),
        st.builds("{} in [{}]".format, st.just(subject), st.lists(keys, min_size=1, max_size=3).map(", ".join)),
        st.builds("({0} == {1} || {0} == {2})".format, st.just(subject), keys, keys),
    )
    asked = st.one_of(equal, equal, st.builds("{} && {}".format, equal, usual_conditions), usual_conditions)
    made = []
    for number, when in enumerate(draw(st.lists(mostly(equal, asked, 3), min_size=4, max_size=10))):
        rule: dict[str, object] = {"name": f"r{number}", "when": when, "to": draw(st.sampled_from(["a", "b", "c"]))}
        rule |= draw(mostly(st.just({}), shapes, 6))
        if draw(st.integers(0, 3)) == 0:
            rule["continue"] = True
        if draw(st.integers(0, 5)) == 0:
            rule["expect"] = {f"check {number}": "event.n >= 0.0"}
        made.append(rule)
    return made


@given(runs(), st.sampled_from(["drop", "dead_letter", "a"]), st.lists(records, max_size=8), st.data())
@SETTINGS
def test_a_flow_that_finds_its_rules_by_one_look_up_decides_what_the_interpreter_decides(
    rules: Any, unmatched: str, events: list[object], data: st.DataObject
) -> None:
    lets = {"big": "event.n > 100.0", "other": "event.user.plan == 'pro' && event.x < 3"}
    run_flow({"from": "s", "let": lets, "rules": rules, "otherwise": {"unmatched": unmatched}}, events, data)


def run_flow(flow: Any, events: list[object], data: st.DataObject) -> None:
    text = json.dumps(flow)
    payloads = [json.dumps(event).encode() for event in events]
    payloads += data.draw(st.lists(st.sampled_from([b"", b"{", b"\xff", b"[" * 2000, b'{"n":1e999}']), max_size=2))
    count = len(payloads)
    batch = Batch(
        payloads,
        keys=data.draw(st.none() | st.lists(st.sampled_from([None, b"k", b"\xff"]), min_size=count, max_size=count)),
        attributes={"topic": data.draw(st.lists(st.sampled_from([None, "t", 5]), min_size=count, max_size=count))},
    )
    facts = [SinkFacts("b", encode=Json(), per_record=frozenset({"topic"}))]
    facts += [SinkFacts("c", templates={"topic": template("x.${event.type}")}, per_record=frozenset({"topic"}))]
    ruleset = ruleset_of(text, names={"n": 5, "tags": ["order", 1]}, facts=facts, around=AROUND)
    both(ruleset, batch)
    if not decided_by_gates(flow):
        return
    exact, sliced, step = ruleset.gates(), ruleset.gates(), data.draw(st.integers(1, 3))
    for arrived in data.draw(st.lists(st.integers(0, 3 * 10**9), min_size=1, max_size=3)):
        batch.arrived = 10**18 + arrived
        crossing, into = sliced.cross(batch.arrived), None
        for start in range(0, count, step):
            into = ruleset.route(batch, "s", start, min(start + step, count), into, crossing)
        whole = summary(ruleset.route_exactly(batch, "s", known := exact.cross(batch.arrived)))
        assert summary(into) == whole if into is not None else not count, ruleset.code
        assert exact.sizes() == sliced.sizes()
        if data.draw(st.booleans()):
            crossing.forget()
            known.forget()
    assert exact.sizes() == sliced.sizes()


def decided_by_gates(flow: Any) -> bool:
    return any({"sample", "throttle", "dedupe"} & set(rule) for rule in flow["rules"])
