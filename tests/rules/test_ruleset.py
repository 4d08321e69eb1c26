"""What a flow means, rule by rule. Every case is decided by the compiled code and by the interpreter alike."""

from __future__ import annotations

from typing import Any

import pytest

from router.batch import Batch, Constant
from rules.decisions import Decisions, Letter
from rules.faults import Refused
from rules.generate import generate
from rules.lets import Lets
from rules.plan import SinkFacts, make_plan
from tests.rules.rulesets import batch_of, both, flow_of, ruleset_of, sent, sinks_of, summary, template


def decided(text: str, *events: object, columns: dict[str, Any] | None = None, **options: Any) -> tuple[Decisions, Any]:
    """The decisions about events, and by sink the events that go there."""
    batch = batch_of(*events, **columns or {})
    decisions = both(ruleset_of(text, **options), batch)
    return decisions, sent(decisions, batch)


def test_the_first_match_with_a_target_ends() -> None:
    decisions, got = decided(
        """
        rules:
          - {name: one, when: event.n > 5, to: a}
          - {name: two, when: event.n > 3, to: b}
          - {name: rest, to: c}
        """,
        {"n": 6},
        {"n": 4},
        {"n": 1},
    )
    assert got == {"a": [{"n": 6}], "b": [{"n": 4}], "c": [{"n": 1}]}
    assert decisions.matched == {"one": 1, "two": 1, "rest": 1}


def test_continue_lets_later_rules_see_the_record_and_counts_as_a_match() -> None:
    decisions, got = decided(
        """
        rules:
          - {name: one, when: event.n > 5, to: a, continue: true}
          - {name: two, when: event.n > 3, to: b, continue: true}
        otherwise: {unmatched: c}
        """,
        {"n": 6},
        {"n": 1},
    )
    assert got == {"a": [{"n": 6}], "b": [{"n": 6}], "c": [{"n": 1}]}
    assert decisions.unmatched == 1
    assert [d.rules[0] for d in decisions.deliveries] == ["one", "two", "otherwise.unmatched"]


def test_two_rules_that_name_one_sink_make_two_deliveries_in_record_order() -> None:
    decisions, _ = decided(
        """
        rules:
          - {name: one, when: event.n > 5, to: a, continue: true}
          - {name: two, to: a}
        """,
        {"n": 6},
        {"n": 1},
        {"n": 7},
    )
    (delivery,) = decisions.deliveries
    assert list(delivery.indices) == [0, 0, 1, 2, 2]
    assert list(delivery.rules) == ["one", "two", "two", "one", "two"]
    assert decisions.matched == {"one": 2, "two": 3}


def test_an_unchanged_record_goes_out_byte_for_byte() -> None:
    raw = b' {"n" : 1.50, "n2":12345678901234567890123456789012345678901234567890} '
    decisions, _ = decided("rules: [{name: r, when: event.n > 1, to: a}, {name: rest, to: drop}]", raw)
    assert decisions.deliveries[0].values is None


def test_a_step_changes_what_later_rules_see() -> None:
    decisions, got = decided(
        """
        rules:
          - {name: tier, when: event.n > 5, set: {event.tier: gold}}
          - {name: gold, when: event.tier == "gold", to: a}
          - {name: rest, to: b}
        """,
        {"n": 6},
        b'{"n": 1}',
    )
    assert got == {"a": [{"n": 6, "tier": "gold"}], "b": [{"n": 1}]}
    assert decisions.deliveries[1].values == [b'{"n": 1}']
    assert decisions.missing == {"gold": 1}


def test_a_shape_beside_to_and_one_in_a_target_shape_that_delivery_alone() -> None:
    _, got = decided(
        """
        rules:
          - name: r
            set: {event.x: 1}
            to: [a, {sink: b, set: {event.y: "${event.n}", event.x: "${has(event.x)}"}}, {sink: c, emit: {only: "${event.n}"}}]
            continue: true
          - {name: rest, to: d}
        """,
        {"n": 5},
    )
    assert got == {"a": [{"n": 5, "x": 1}], "b": [{"n": 5, "x": False, "y": 5}], "c": [{"only": 5}], "d": [{"n": 5}]}


def test_right_sides_see_the_record_as_it_was_before_the_rule() -> None:
    _, got = decided(
        'rules: [{name: swap, set: {event.a: "${event.b}", event.b: "${event.a}"}, unset: [event.c], to: a}]',
        {"a": 1, "b": 2, "c": 3},
    )
    assert got == {"a": [{"a": 2, "b": 1}]}


def test_set_never_touches_what_goes_elsewhere() -> None:
    _, got = decided(
        """
        rules:
          - {name: one, set: {event.user.email: hidden}, to: a, continue: true}
          - {name: two, to: b}
        """,
        {"user": {"email": "a@b.c", "id": 1}},
    )
    assert got == {"a": [{"user": {"email": "hidden", "id": 1}}], "b": [{"user": {"email": "a@b.c", "id": 1}}]}


def test_a_when_over_a_missing_field_does_not_match_and_is_counted() -> None:
    decisions, got = decided(
        """
        rules:
          - {name: deep, when: event.a.b.c == 1, to: a}
          - {name: past, when: event.list[2] == 1, to: a}
          - {name: rest, to: b}
        """,
        {},
        {"a": None, "list": [1]},
        {"a": {"b": 5}, "list": []},
        {"a": {"b": {"c": 1}}},
        {"a": {"b": {}}, "list": [0, 0, 1]},
    )
    assert got["a"] == [{"a": {"b": {"c": 1}}}, {"a": {"b": {}}, "list": [0, 0, 1]}]
    assert decisions.missing == {"deep": 4, "past": 3}
    assert decisions.errors == {}


def test_a_missing_term_counts_only_where_the_others_do_not_decide() -> None:
    decisions, got = decided(
        """
        rules:
          - {name: and, when: event.x == 1 && event.n > 5, to: a}
          - {name: or, when: event.x == 1 || event.n > 5, to: b}
          - {name: rest, to: c}
        """,
        {"n": 6},
        {"n": 1},
    )
    assert got == {"b": [{"n": 6}], "c": [{"n": 1}]}
    assert decisions.missing == {"and": 1, "or": 1}


@pytest.mark.parametrize(
    ("when", "event"),
    [
        ("event.n > 5", {"n": "6"}),
        ("event.n > 5", {"n": True}),
        ("event.n", {"n": 1}),
        ("event.n + 1 > 0", {"n": 2**63 - 1}),
        ("event.n == 1 && int(event.s) > 0", {"n": 1, "s": "x"}),
        ("event.missing == 1 && event.n > 5", {"n": "6"}),
        ("event.n > 5 || event.missing == 1", {"n": None}),
    ],
)
def test_any_other_error_sends_the_whole_record_to_the_error_ending(when: str, event: dict[str, object]) -> None:
    decisions, got = decided(
        f"""
        rules:
          - {{name: first, to: a, continue: true}}
          - {{name: bad, when: '{when}', to: b}}
          - {{name: rest, to: c}}
        """,
        event,
        {"n": 1, "s": "1", "missing": 0},
    )
    assert [event for events in got.values() for event in events] == [{"n": 1, "s": "1", "missing": 0}] * 2 or "n + 1" in when or when == "event.n"
    assert [(letter.index, letter.stage, letter.rule, letter.reason) for letter in decisions.letters][0] == (0, "rule", "bad", "error")
    assert 0 not in [index for delivery in decisions.deliveries for index in delivery.indices]
    assert decisions.errors[("bad", "when")] >= 1
