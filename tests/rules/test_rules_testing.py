"""The tests inside a rules file: what they hold, and what they say when they fail."""

from __future__ import annotations

import pytest
from rulesets import flow_of, sinks_of, template

from rules.plan import SinkFacts
from rules.ruleset import compile_flow
from rules.testing import TestResult, run_tests

RULES = """
flow: orders
from: s
let: {big: event.amount > 500.0}
rules:
  - name: tier
    set: {event.tier: "${event.user.plan == 'pro' ? 'gold' : 'plain'}"}
  - name: vip
    when: big && event.tier == "gold"
    to:
      - vip
      - {sink: tenant, key: "${event.user.id}", headers: {h: x}, set: {event.email: "${mask.email(event.email)}"}}
    continue: true
  - {name: noise, when: event.type == "heartbeat", to: drop}
  - {name: rest, to: archive}
tests:
"""


def results(tests: str) -> list[TestResult]:
    flow = flow_of(RULES + tests)
    sinks = sinks_of(flow)
    topics = {"topic": template("events.${event.tenant}")}
    sinks["tenant"] = SinkFacts("tenant", templates=topics, per_record=frozenset({"topic"}))
    return run_tests(flow, {"s": compile_flow(flow, sinks=sinks, vars={}, models={})})


BIG = "{type: order, tenant: acme, amount: 900, email: a@b.c, user: {id: u1, plan: pro}}"
SMALL = "{type: order, amount: 9, user: {plan: free}}"


@pytest.mark.parametrize(
    ("given", "then"),
    [
        (
            f"[{{event: {BIG}}}]",
            "{vip: 1, archive: 1, tenant: [{topic: events.acme, key: u1, event: {email: '*@b.c'}}]}",
        ),
        (f"[{{event: {BIG}}}]", "{vip: [{event: {user: {plan: pro}}}], archive: 1, tenant: [{headers: {h: x}}]}"),
        (f"[{{event: {SMALL}}}, {{event: {SMALL}}}]", "{archive: 2, vip: 0}"),
        (
            "[{event: {type: heartbeat, user: {plan: x}, amount: 1}, key: k}]",
            "{drop: [{event: {type: heartbeat}, key: k}]}",
        ),
        ("[{raw: 'nope'}]", "{dead_letter: [{stage: decode, reason: undecodable, raw: nope}]}"),
        ("[{event: {amount: 1}}]", "{dead_letter: [{stage: rule, reason: error, event: {amount: 1}}]}"),
        (f"[{{event: {SMALL}}}]", "{archive: [{event: {amount: 9.0}}]}"),
    ],
)
def test_a_test_that_holds_passes(given: str, then: str) -> None:
    (result,) = results(f"  - {{name: t, given: {given}, then: {then}}}\n")
    assert result.passed, str(result)


@pytest.mark.parametrize(
    ("given", "then", "said"),
    [
        (f"[{{event: {SMALL}}}]", "{vip: 1, archive: 1}", "1 expected, 0 records came"),
        (f"[{{event: {SMALL}}}]", "{}", "the test does not name it, so it must get nothing; it got 1 record"),
        (
            f"[{{event: {SMALL}}}]",
            "{archive: [{event: {tier: gold}}]}",
            '[0].event.tier: "gold" expected, "plain" there',
        ),
        (
            f"[{{event: {SMALL}}}]",
            "{archive: [{event: {user: {x: 1}}}]}",
            "[0].event.user.x: 1 expected, nothing there",
        ),
        (f"[{{event: {SMALL}}}]", "{archive: [{key: k}]}", '[0].key: "k" expected, nothing there'),
        ("[{event: {amount: 1}}]", "{archive: 1}", "set: event.tier: there is no field 'user'"),
        ("[{raw: nope}]", "{dead_letter: [{stage: rule}]}", '[0].stage: "rule" expected, "decode" there'),
    ],
)
def test_a_test_that_does_not_hold_says_why(given: str, then: str, said: str) -> None:
    (result,) = results(f"  - {{name: t, given: {given}, then: {then}}}\n")
    assert not result.passed
    sentences = [sentence for failure in result.failures for sentence in failure.differences]
    assert said in "\n".join([str(result), *sentences])
    assert str(result).startswith("flow.yaml:")


def test_an_exact_test_allows_no_more_fields() -> None:
    then = "{archive: [{event: {type: order, amount: 9, user: {plan: free}}}]}"
    (result,) = results(f"  - {{name: t, exact: true, given: [{{event: {SMALL}}}], then: {then}}}\n")
    assert [failure.differences for failure in result.failures] == [
        ('[0].event.tier: nothing expected, "plain" there',)
    ]


def test_records_are_matched_in_their_order() -> None:
    given = "[{event: {amount: 1, user: {plan: a}}}, {event: {amount: 2, user: {plan: b}}}]"
    good, bad = results(
        f"  - {{name: good, given: {given}, then: {{archive: [{{event: {{amount: 1}}}}, {{event: {{amount: 2}}}}]}}}}\n"
        f"  - {{name: bad, given: {given}, then: {{archive: [{{event: {{amount: 2}}}}, {{event: {{amount: 1}}}}]}}}}\n"
    )
    assert (good.passed, bad.passed) == (True, False)


def test_meta_of_a_given_record_is_what_the_rules_see() -> None:
    flow = flow_of(
        """
        from: [s, other]
        rules:
          - {name: r, when: meta.topic == "t" && meta.headers.h == "x" && meta.source == "other", to: a}
          - {name: late, when: meta.time > timestamp("2024-01-01T00:00:00Z"), to: b}
        otherwise: {unmatched: drop}
        tests:
          - name: t
            given:
              - {event: 1, meta: {topic: t}, headers: {H: x}, source: other}
              - {event: 2, meta: {topic: t}, headers: {H: x}, time: 2023-12-31T23:59:59Z}
              - {event: 3, time: 2025-01-01T00:00:00Z}
            then: {a: [{event: 1}], b: [{event: 3}], drop: 1}
        """
    )
    ruleset = compile_flow(flow, sinks=sinks_of(flow), vars={}, models={})
    (result,) = run_tests(flow, {"s": ruleset, "other": ruleset})
    assert result.passed, str(result)


def test_what_allow_does_not_permit_is_a_dead_letter_in_a_test_too() -> None:
    rules = """
from: s
rules: [{name: all, to: {sink: a, topic: "${event.t}"}}]
tests:
  - name: one may go, the other not, nor up
    given: [{event: {t: x.1}}, {event: {t: y}}, {event: {t: x.1/../y}}]
    then:
      a: [{topic: x.1}]
      dead_letter: [{stage: sink, reason: not_allowed, event: {t: y}}, {reason: not_allowed}]
"""
    flow = flow_of(rules)
    facts = SinkFacts("a", per_record=frozenset({"topic"}), allow={"topic": ("x.*",)})
    (result,) = run_tests(flow, {"s": compile_flow(flow, sinks={"a": facts}, vars={}, models={})})
    assert result.passed, result
