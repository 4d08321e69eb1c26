"""Explanations: that they tell what is decided, and why."""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rulesets import batch_of, ruleset_of, sinks_of, template
from test_ruleset_law import SETTINGS, endings, flows, records

from router.batch import Batch
from rules.cel.values import ABSENT, Optional, Type
from rules.codecs import Json
from rules.decisions import Outcome
from rules.explain import Explanation
from rules.explain.model import Changes, Evaluation
from rules.flow import DEAD_LETTER, DROP, REJECT
from rules.plan import SinkFacts
from rules.reader import read_flow
from rules.ruleset import compile_flow


def explained(text: str, event: object, **columns: Any) -> Explanation:
    """The explanation of one event, after making sure that it tells what is decided."""
    ruleset, batch = ruleset_of(text), batch_of(event, **columns)
    explanation = ruleset.explain(batch, 0, "s")
    tells(explanation, ruleset.interpret(batch, 0, "s"))
    return explanation


def tells(explanation: Explanation, outcome: Outcome) -> None:
    """Hold an explanation against the interpreter's answer."""
    assert repr(explanation.outcome) == repr(outcome)  # NaN is not equal to itself
    going = [(name, sending) for name, sending in explanation.goes()]
    dispatched = [sending.dispatch for _, sending in going if sending.dispatch is not None]
    assert list(map(id, dispatched)) == list(map(id, explanation.outcome.dispatches))
    assert [s.because for _, s in going if s.to == DEAD_LETTER] == outcome.letters
    assert sum(sending.to == DROP for _, sending in going) == len(outcome.dropped)
    assert [s.because for _, s in going if s.to == REJECT] == [because for because, _ in outcome.rejections]
    ends = len(outcome.letters) + len(outcome.dropped) + len(outcome.rejections)
    assert len(going) == len(outcome.dispatches) + ends
    for name, sending in going:
        assert sending.dispatch is None or sending.dispatch.rule == name
    undone = any(step.error for step in (*explanation.rules, *explanation.endings))
    if not undone:
        fates = [step.fate for step in explanation.rules]
        assert [number for number, fate in enumerate(fates) if fate == "matched"] == outcome.matched
        assert [number for number, fate in enumerate(fates) if fate == "missing"] == outcome.missing


def shown(evaluation: Evaluation | None) -> Any:
    """An evaluation in short."""
    assert evaluation is not None
    came = evaluation.value if evaluation.state == "value" else evaluation.state
    below: list[Any] = [shown(part) for part in evaluation.parts]
    below += [
        ({"decides": element.decides, **element.variables}, [shown(part) for part in element.parts])
        for element in evaluation.elements
    ]
    return (evaluation.text, came, below) if below else (evaluation.text, came)


undecodable = st.one_of(endings, st.just("b"))


@given(flows, undecodable, st.lists(records, max_size=6), st.data())
@SETTINGS
def test_an_explanation_tells_what_the_interpreter_decides(
    flow: Any, undecodable: Any, events: list[object], data: st.DataObject
) -> None:
    flow["otherwise"]["undecodable"] = "drop" if isinstance(undecodable, dict) else undecodable
    payloads = [json.dumps(event).encode() for event in events]
    payloads += data.draw(st.lists(st.sampled_from([b"", b"{", b"\xff", b"[" * 2000, b'{"n":1e999}']), max_size=2))
    count = len(payloads)
    batch = Batch(
        payloads,
        keys=data.draw(st.none() | st.lists(st.sampled_from([None, b"k", b"\xff"]), min_size=count, max_size=count)),
        attributes={"topic": data.draw(st.lists(st.sampled_from([None, "t", 5]), min_size=count, max_size=count))},
        spoiled=data.draw(st.dictionaries(st.integers(0, max(count - 1, 0)), st.just("cut off"), max_size=1)),
    )
    facts = [SinkFacts("b", encode=Json(), per_record=frozenset({"topic"}))]
    facts += [SinkFacts("c", templates={"topic": template("x.${event.type}")}, per_record=frozenset({"topic"}))]
    ruleset = ruleset_of(json.dumps(flow), names={"n": 5, "tags": ["order", 1]}, facts=facts)
    for index in range(count):
        tells(ruleset.explain(batch, index, "s"), ruleset.interpret(batch, index, "s"))


SKIPPED_X = ("event.x == 'a'", "skipped")
INDEXED = (
    "event.list[event.n - 4]",
    8,
    [("event.list", [7, 8]), ("event.n - 4", 1, [("event.n", 5)])],
)
OR_VALUE = ("event.?x.orValue(3)", 3, [("event.?x", Optional(None, present=False))])
BOUND = [("event.n", 5), ("x == 5", True, [("x", 5)])]


def when(expression: str, event: object, **columns: Any) -> Any:
    """What an expression comes to, as a rule's ``when``, in short."""
    flow = {"rules": [{"name": "r", "when": expression, "to": "a"}], "otherwise": {"unmatched": "drop"}, "from": "s"}
    return shown(explained(json.dumps(flow), event, **columns).rules[0].when)


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("event.n == 5", ("event.n == 5", True, [("event.n", 5)])),
        ("event.flag", ("event.flag", True)),
        (
            "event.n > 9 && event.x == 'a'",
            ("event.n > 9 && event.x == 'a'", False, [("event.n > 9", False, [("event.n", 5)]), SKIPPED_X]),
        ),
        (
            "event.n < 9 || event.x == 'a'",
            ("event.n < 9 || event.x == 'a'", True, [("event.n < 9", True, [("event.n", 5)]), SKIPPED_X]),
        ),
        (
            "event.flag ? event.n == 5 : event.x",
            (
                "event.flag ? event.n == 5 : event.x",
                True,
                [("event.flag", True), ("event.n == 5", True, [("event.n", 5)]), ("event.x", "skipped")],
            ),
        ),
        ("event.gone.far == 1", ("event.gone.far == 1", "missing", [("event.gone.far", "missing")])),
        ("event.n > 'a'", ("event.n > 'a'", "error", [("event.n", 5)])),
        ("event.list[event.n - 4] == 8", ("event.list[event.n - 4] == 8", True, [INDEXED])),
        ("event.map['k'] == 1", ("event.map['k'] == 1", True, [("event.map['k']", 1)])),
        ("has(event.x.y)", ("has(event.x.y)", "missing")),
        ("event.?x.orValue(3) == 3", ("event.?x.orValue(3) == 3", True, [OR_VALUE])),
        ("event.n in [1, 5]", ("event.n in [1, 5]", True, [("event.n", 5)])),
        ("(event.n == 5)", ("(event.n == 5)", True, [("event.n", 5)])),
        ("cel.bind(x, event.n, x == 5)", ("cel.bind(x, event.n, x == 5)", True, BOUND)),
        (
            "event.n + 1 + event.m + event.n > 10",
            (
                "event.n + 1 + event.m + event.n > 10",
                "missing",
                [
                    (
                        "event.n + 1 + event.m + event.n",
                        "missing",
                        [("event.n", 5), ("event.m", "missing"), ("event.n", "skipped")],
                    )
                ],
            ),
        ),
        ("type(event.n) == int", ("type(event.n) == int", True, [("type(event.n)", Type("int"), [("event.n", 5)])])),
    ],
)
def test_each_sub_expression_is_told_with_its_value(expression: str, told: object) -> None:
    event = {"n": 5, "flag": True, "list": [7, 8], "map": {"k": 1}}
    assert when(expression, event) == told


def test_a_record_that_lacks_a_field_names_the_one_that_is_not_there() -> None:
    explanation = explained("rules: [{name: r, when: event.user.plan == 'pro', to: a}, {to: b}]", {"user": None})
    rule = explanation.rules[0]
    assert (rule.fate, rule.when and rule.when.culprit) == ("missing", "event.user.plan")
    explanation = explained("rules: [{name: r, when: event.user.plan == 'pro', to: a}, {to: b}]", {})
    assert explanation.rules[0].when is not None
    assert explanation.rules[0].when.culprit == "event.user"


def test_what_failed_inside_a_macro_is_named_by_its_innermost_part() -> None:
    text = "{rules: [{when: 'event.l.all(i, i.a.b > 0)', to: a}, {to: b}], from: s}"
    evaluation = explained(text, {"l": [{"a": {"b": 1}}, *[{"a": {"b": 2}}] * 9, {}]}).rules[0].when
    assert evaluation is not None
    assert (evaluation.state, evaluation.culprit) == ("missing", "i.a")


def test_names_under_let_are_told_with_what_they_stand_for_and_came_to() -> None:
    text = """
        let: {big: event.amount > 500, plan: event.user.plan, vip: big && plan == "pro"}
        rules: [{name: r, when: vip && plan.size() == 3, to: a}, {to: b}]
    """
    evaluation = explained(text, {"amount": 900, "user": {"plan": "pro"}}).rules[0].when
    assert evaluation is not None
    vip, size = evaluation.parts
    assert (vip.text, vip.let, vip.value) == ("vip", 'big && plan == "pro"', True)
    assert [(part.text, part.let) for part in vip.parts] == [("big", "event.amount > 500"), ('plan == "pro"', "")]
    assert shown(size) == ("plan.size() == 3", True, [("plan.size()", 3, [("plan", "pro")])])


def test_a_field_of_what_a_name_stands_for_tells_that_name() -> None:
    text = "{let: {user: event.user}, rules: [{name: r, when: user.plan == 'pro', to: a}, {to: b}], from: s}"
    evaluation = explained(text, {"user": {"plan": "pro"}}).rules[0].when
    assert evaluation is not None
    (plan,) = evaluation.parts
    assert (plan.text, plan.value, [part.let for part in plan.parts]) == ("user.plan", "pro", ["event.user"])


def test_a_variable_of_a_macro_that_would_hide_a_name_is_told_as_it_is_written() -> None:
    text = "let: {n: event.m}\nrules: [{name: r, when: 'event.list.exists(event, event == n)', to: a}, {to: b}]"
    evaluation = explained(text, {"m": 2, "list": [2]}).rules[0].when
    assert shown(evaluation) == (
        "event.list.exists(event, event == n)",
        True,
        [
            ("event.list", [2]),
            ({"decides": True, "event": 2}, [("event == n", True, [("event", 2), ("n", 2)])]),
        ],
    )


def numbers(evaluation: Evaluation | None) -> list[tuple[int, bool]]:
    """The elements that are told of a macro, and whether they decide."""
    assert evaluation is not None
    return [(element.number, element.decides) for element in evaluation.elements]


@pytest.mark.parametrize(
    ("expression", "items", "told", "visited"),
    [
        ("event.items.exists(i, i == 1)", [*[0] * 50, 1, 0], [(0, False), (1, False), (2, False), (50, True)], 51),
        ("event.items.exists(i, i == 1)", [0] * 50, [(0, False), (1, False), (2, False)], 50),
        ("event.items.all(i, i == 1)", [1] * 9 + [0], [(0, False), (1, False), (2, False), (9, True)], 10),
        ("event.items.all(i, i == 1)", [1, 1], [(0, False), (1, False)], 2),
        ("event.items.all(i, i > 0)", [1, 1, 1, 1, "x", 1], [(0, False), (1, False), (2, False), (4, True)], 6),
        ("event.items.exists_one(i, i == 1)", [0, 1, 0, 0, 0, 1], [(0, False), (1, True), (2, False), (5, True)], 6),
        ("event.items.filter(i, i == 1).size() == 2", [0, 0, 0, 0, 1, 0, 1], [], 0),
        ("event.items.exists(i, v, i == 2 && v == 5)", [5, 5, 5], [(0, False), (1, False), (2, True)], 3),
        ("event.items.exists(i, i == 1)", [], [], 0),
    ],
)  # fmt: skip
def test_of_a_macro_the_first_elements_are_told_and_those_that_decide(
    expression: str, items: list[object], told: object, visited: int
) -> None:
    evaluation = explained(f"{{rules: [{{when: '{expression}', to: a}}, {{to: b}}], from: s}}", {"items": items})
    (first, _) = evaluation.rules
    assert first.when is not None
    assert (numbers(first.when), first.when.visited) == (told, visited)


def test_a_macro_with_a_filter_tells_both_bodies_of_what_the_filter_lets_through() -> None:
    told = when("event.items.map(i, i > 1, i * 2) == [4]", {"items": [1, 2]})
    assert told[2] == [
        (
            "event.items.map(i, i > 1, i * 2)",
            [4],
            [
                ("event.items", [1, 2]),
                ({"decides": False, "i": 1}, [("i > 1", False, [("i", 1)])]),
                ({"decides": False, "i": 2}, [("i > 1", True, [("i", 2)]), ("i * 2", 4, [("i", 2)])]),
            ],
        )
    ]


def test_macros_inside_macros_are_told_within_bounds() -> None:
    items = [list(range(1000)) for _ in range(1000)]
    evaluation = explained(
        "rules: [{when: 'event.items.all(i, i.all(j, j >= 0))', to: a}, {to: b}]", {"items": items}
    ).rules[0].when  # fmt: skip
    assert evaluation is not None
    assert (evaluation.visited, len(evaluation.elements)) == (1000, 3)
    assert [len(element.parts[0].elements) for element in evaluation.elements] == [3, 3, 3]


def changes(found: Changes) -> list[tuple[str, object, object]]:
    return [(change.path, change.before, change.after) for change in found.listed]


def test_what_a_step_changes_is_told_and_later_rules_see_it() -> None:
    text = """
        rules:
          - {name: s, set: {event.a.b: "${event.n + 1}", event.n: "x ${event.n}", "event.l[0]": 1}, unset: event.gone}
          - {name: r, when: event.a.b == 6, to: a}
        otherwise: {unmatched: drop}
    """
    step, rule = explained(text, {"n": 5, "gone": 1, "l": [0, 2]}).rules
    assert changes(step.parcels[0].changes) == [
        ("event.n", 5, "x 5"),
        ("event.gone", 1, ABSENT),
        ("event.l[0]", 0, 1),
        ("event.a", ABSENT, {"b": 6}),
    ]
    assert [(filling.what, shown(filling.evaluation)) for filling in step.parcels[0].fillings] == [
        ("set event.a.b", ("event.n + 1", 6, [("event.n", 5)])),
        ("set event.n", ("event.n", 5)),
    ]
    assert (step.fate, step.is_step, rule.fate, rule.ends) == ("matched", True, "matched", True)
    assert shown(rule.when) == ("event.a.b == 6", True, [("event.a.b", 6)])


def test_many_changes_are_counted_and_some_of_them_told() -> None:
    before = {"items": [{"n": number} for number in range(5000)]}
    (step, _) = explained("rules: [{name: s, set: {'event.items[*].n': -1}}, {to: a}]", before).rules
    found = step.parcels[0].changes
    assert (found.total, len(found.listed), found.listed[0].path) == (5000, 100, "event.items[0].n")


def test_a_delivery_is_told_with_its_own_shape_and_settings() -> None:
    text = """
        rules:
          - name: r
            to:
              - a
              - {sink: b, key: "${event.id}", topic: "t-${event.n}", headers: {h: "${event.n}"}, unset: event.secret}
              - {sink: c, emit: {only: "${event.id}"}}
    """
    explanation = explained(text, {"id": "x", "n": 5, "secret": 1})
    a, b, c = explanation.rules[0].sendings
    assert (a.to, a.dispatch and a.dispatch.value) == ("a", None)
    assert changes(b.changes) == [("event.secret", 1, ABSENT)]
    assert [(filling.what, filling.evaluation.value) for filling in b.fillings] == [
        ("key", "x"), ("topic", 5), ("headers.h", 5),
    ]  # fmt: skip
    assert b.dispatch is not None
    assert b.dispatch.settings == {"key": b"x", "topic": "t-5", "headers": (("h", b"5"),)}
    assert b.dispatch.value == b'{"id":"x","n":5}'
    assert changes(c.changes) == [("event", {"id": "x", "n": 5, "secret": 1}, {"only": "x"})]
    assert [(name, sending.to) for name, sending in explanation.goes()] == [("r", "a"), ("r", "b"), ("r", "c")]


def test_split_tells_the_first_elements_in_full_and_the_rest_by_their_number() -> None:
    text = "rules: [{name: r, split: {each: event.items, as: i}, set: {event.id: '${event.id + i.n}'}, to: [a, b]}]"
    explanation = explained(text, {"id": 1, "items": [{"n": number} for number in range(50)]})
    rule = explanation.rules[0]
    assert rule.elements == 50
    assert [parcel.element for parcel in rule.parcels] == [{"n": number} for number in range(5)]
    assert [changes(parcel.changes) for parcel in rule.parcels][1] == [("event.id", ABSENT, 2)]
    assert [(sending.to, sending.element) for sending in rule.sendings[48:52]] == [
        ("a", 48), ("a", 49), ("b", 0), ("b", 1),
    ]  # fmt: skip
    empty = explained(text, {"id": 1, "items": []})
    assert [(name, sending.to) for name, sending in empty.goes()] == [("r", DROP)]


FAILING = """
rules:
  - {name: first, to: a, continue: true}
  - {name: bad, when: event.bad, to: [b, {sink: c, topic: "${event.id + 1}"}]}
  - {name: rest, to: a}
otherwise: {error: {sink: d, set: {event.why: "${event.why}"}}}
"""


def test_what_was_decided_before_an_error_is_told_as_taken_back() -> None:
    explanation = explained(FAILING, {"bad": True, "id": "x", "why": "no"})
    first, bad, rest = explanation.rules
    assert [(sending.to, sending.undone, sending.dispatch is None) for sending in first.sendings] == [
        ("a", True, False)
    ]
    assert [(s.to, s.undone, s.dispatch is None) for s in bad.sendings] == [("b", True, False), ("c", True, True)]
    assert (first.fate, bad.fate, rest.fate) == ("matched", "error", "not_reached")
    assert bad.error.startswith("setting: topic: there is no string + int")
    assert bad.sendings[1].fillings[0].evaluation.state == "error"
    assert [(name, sending.to) for name, sending in explanation.goes()] == [("otherwise.error", "d")]


def test_an_ending_that_fails_too_keeps_the_record_as_a_dead_letter() -> None:
    explanation = explained(FAILING, {"bad": True, "id": "x"})
    (ending,) = explanation.endings
    assert (ending.name, ending.fate) == ("otherwise.error", "error")
    assert ending.error == "set: event.why: there is no field 'why'"
    ((name, letter),) = explanation.goes()
    assert (name, letter.to, letter.because and letter.because[:3]) == (
        "otherwise.error", DEAD_LETTER, ("rule", "bad", "error"),
    )  # fmt: skip


CONTRACT = """
contract: {expect: {has an id: event.id != "", positive: event.n > 0}}
rules: [{name: r, expect: {small: event.n < 9}, to: a}]
"""


def test_each_check_of_the_contract_is_told_with_its_violation() -> None:
    explanation = explained(CONTRACT, {"n": -1})
    assert explanation.contract is not None
    told = [
        (check.name, check.violation and check.violation.message, shown(check.evaluation)[1])
        for check in explanation.contract.checks
    ]
    assert told == [("has an id", "there is no field 'id'", "missing"), ("positive", "event.n > 0 is false", False)]
    assert (explanation.contract.holds, explanation.rules[0].fate) == (False, "not_reached")
    assert [(name, sending.to) for name, sending in explanation.goes()] == [("otherwise.invalid", DEAD_LETTER)]


def test_an_expectation_of_a_rule_that_is_not_met_ends_the_way_there() -> None:
    explanation = explained(CONTRACT, {"id": "x", "n": 10})
    (rule,) = explanation.rules
    assert (rule.fate, rule.ends, [check.violation is None for check in rule.checks]) == ("violated", True, [False])
    assert explanation.endings[0].name == "otherwise.invalid"


def test_violations_that_pass_are_told_and_the_record_goes_on() -> None:
    explanation = explained(CONTRACT + "otherwise: {invalid: pass}\n", {"n": 10})
    assert explanation.contract is not None
    assert (explanation.contract.holds, explanation.contract.passes) == (False, True)
    assert explanation.rules[0].fate == "matched"
    assert [(name, sending.to) for name, sending in explanation.goes()] == [("r", "a")]


def test_a_schema_s_violations_are_told_with_their_places() -> None:
    schema = {"properties": {"n": {"type": "integer"}}, "required": ["id"]}
    flow = json.dumps({"from": ["s"], "contract": {"schema": "s.json"}, "rules": [{"to": "a"}]})
    read, faults = read_flow(flow, "flow.yaml", lambda _: json.dumps(schema).encode())
    assert read is not None, faults
    ruleset = compile_flow(read, sinks=sinks_of(read), vars={}, models={})
    contract = ruleset.explain(batch_of({"n": "x"}), 0, "s").contract
    assert contract is not None
    assert contract.validates == "schema"
    assert sorted((violation.check, violation.place) for violation in contract.violations) == [
        ("schema/properties/n/type", "/n"), ("schema/required", ""),
    ]  # fmt: skip


def test_what_cannot_be_decoded_or_was_not_framed_says_so() -> None:
    text = "{rules: [{to: a}], otherwise: {undecodable: quarantine}, from: s}"
    explanation = explained(text, b'{"n": ')
    assert (explanation.event, explanation.contract) == (ABSENT, None)
    (ending,) = explanation.endings
    assert ending.because == ("decode", None, "undecodable", "not JSON: it ends too early, at byte 6")
    assert [(name, sending.to) for name, sending in explanation.goes()] == [("otherwise.undecodable", "quarantine")]
    spoiled = explained(text, b"xx", spoiled={0: "too long"})
    (ending,) = spoiled.endings
    assert ending.because == ("decode", None, "spoiled", "too long")
    assert [(name, sending.to) for name, sending in spoiled.goes()] == [("otherwise.undecodable", "quarantine")]


def test_what_no_rule_takes_goes_where_otherwise_says() -> None:
    text = (
        "{rules: [{name: r, when: event.n == 1, to: a}], otherwise: {unmatched: {sink: b, key: '${event.n}'}}, from: s}"
    )
    explanation = explained(text, {"n": 2})
    (ending,) = explanation.endings
    assert (ending.name, ending.sendings[0].fillings[0].what) == ("otherwise.unmatched", "key")


def test_an_explanation_takes_no_more_stack_than_there_is() -> None:
    chain = f"event.n{' + 1' * 140} > 0"
    flow = {"from": "s", "rules": [{"name": "r", "when": chain, "to": "a"}, {"to": "b"}]}
    ruleset, batch = ruleset_of(json.dumps(flow)), batch_of({"n": 1})
    ruleset.explain(batch, 0, "s")
    usual, here = sys.getrecursionlimit(), len(inspect.stack(0))
    try:
        sys.setrecursionlimit(here + 220)
        outcome, explanation = ruleset.interpret(batch, 0, "s"), ruleset.explain(batch, 0, "s")
    finally:
        sys.setrecursionlimit(usual)
    tells(explanation, outcome)
    assert explanation.rules[0].when is not None
    assert (explanation.rules[0].when.value, explanation.rules[0].when.parts) == (True, [])


def test_an_explanation_forgets_the_record_before() -> None:
    ruleset = ruleset_of(FAILING)
    batch = batch_of({"bad": True, "id": "x"}, {"bad": False})
    ruleset.explain(batch, 0, "s")
    second = ruleset.explain(batch, 1, "s")
    assert (second.endings, [step.error for step in second.rules]) == ([], ["", "", ""])


def test_gates_are_told_with_their_keys_and_what_came_of_them() -> None:
    text = """
        rules:
          - {name: once, dedupe: {key: event.id, within: 90s}, set: {event.new: true}}
          - {name: few, sample: {ratio: 100%}, throttle: {rate: 1/s, per: event.t, else: next}, to: a}
          - {name: rest, to: b}
        """
    ruleset = ruleset_of(text)
    gates = ruleset.gates()
    told: list[list[object]] = []
    for number, event in enumerate(({"id": 1}, {"id": 1}, {"id": 2, "t": "x"}, {"id": 3, "t": "x"})):
        batch = batch_of(event, arrived=10**18 + number)
        steps = ruleset.explain(batch, 0, "s", gates.cross(batch.arrived)).rules
        told.append(
            [
                [(gate.kind, gate.allows, gate.key and gate.key.state, gate.result) for gate in step.gates]
                for step in steps
            ]
        )
        told[-1].append([step.fate for step in steps])
    once, sample = ("dedupe", "once in 90s", "value"), ("sample", "100%", None, "passed")
    few = ("throttle", "1 in 1s, 1 at once")
    assert told == [
        [[(*once, "passed")], [sample, (*few, "missing", "missing_key")], [], ["matched", "matched", "not_reached"]],
        [[(*once, "held")], [], [], ["matched", "not_reached", "not_reached"]],
        [[(*once, "passed")], [sample, (*few, "value", "passed")], [], ["matched", "matched", "not_reached"]],
        [[(*once, "passed")], [sample, (*few, "value", "held")], [], ["matched", "held", "matched"]],
    ]
