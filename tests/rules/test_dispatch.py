"""Rules that ask what one thing is are found by one look-up, and in their order."""

from __future__ import annotations

import json

from rulesets import both, ruleset_of

from router.batch import Batch
from rules.ruleset import Ruleset


def rules_of(*conditions: str, otherwise: str = "drop") -> Ruleset:
    rules = [{"name": f"r{number}", "when": when, "to": f"s{number % 3}"} for number, when in enumerate(conditions)]
    return ruleset_of(json.dumps({"from": "s", "rules": rules, "otherwise": {"unmatched": otherwise}}))


def matched(ruleset: Ruleset, *events: object) -> list[str]:
    """The rule that each event is matched by; the compiled flow and the interpreter agree."""
    found = []
    for event in events:
        decisions = both(ruleset, Batch([json.dumps(event).encode()]))
        found.append(" ".join(decisions.matched))
    return found


KINDS = [f'event.kind == "k{number}"' for number in range(6)]


def test_a_run_of_equalities_is_one_look_up() -> None:
    ruleset = rules_of(*KINDS)
    assert "KEYS0 = {'k0': (0, 'r0'), 'k1': (1, 'r1'), 'k2': (2, 'r2'), 'k3': (0, 'r3')," in ruleset.code
    assert ruleset.code.count("==") == 0
    assert matched(ruleset, {"kind": "k4"}, {"kind": "other"}, {"kind": 4}, {"kind": None}) == ["r4", "", "", ""]


def test_rules_that_do_more_than_send_a_record_on_stand_beside_those_that_do_not() -> None:
    rules: list[dict[str, object]] = [
        {"name": f"r{number}", "when": when, "to": "a"} for number, when in enumerate(KINDS)
    ]
    rules[1]["continue"] = True
    rules[2]["to"] = ["a", "b"]
    rules[3]["to"] = "drop"
    rules[4] |= {"set": {"event.new": 1}, "to": "c"}
    rules.append({"name": "one", "when": 'event.kind == "k1"', "to": "b"})
    ruleset = ruleset_of(json.dumps({"from": "s", "rules": rules, "otherwise": {"unmatched": "drop"}}))
    assert "KEYS0 = {'k0': (0, 'r0'), 'k1': 0, 'k2': 1, 'k3': 2, 'k4': 3, 'k5': (0, 'r5')}" in ruleset.code
    events = [{"kind": f"k{number}"} for number in range(6)]
    assert matched(ruleset, *events) == ["r0", "r1 one", "r2", "r3", "r4", "r5"]
    deliveries = both(ruleset, Batch([json.dumps(event).encode() for event in events])).deliveries
    assert {delivery.sink: list(delivery.indices) for delivery in deliveries} == {
        "a": [0, 1, 2, 5],
        "b": [1, 2],
        "c": [4],
    }


def test_the_first_rule_wins_also_inside_a_switch() -> None:
    first = rules_of('event.kind in ["k3", "k4"]', *KINDS)
    assert matched(first, {"kind": "k3"}, {"kind": "k4"}, {"kind": "k5"}) == ["r0", "r0", "r6"]


def test_what_else_a_rule_asks_is_asked_only_of_its_own_records() -> None:
    ruleset = rules_of('event.kind == "k1" && event.n > 5', *KINDS)
    assert matched(ruleset, {"kind": "k1", "n": 6}, {"kind": "k1", "n": 1}, {"kind": "k1"}) == ["r0", "r2", "r2"]


def test_what_lacks_the_field_is_counted_for_every_rule_that_asks_for_it() -> None:
    ruleset = rules_of(*KINDS, 'event.kind == "k1" && event.n > 5')
    decisions = both(ruleset, Batch([b"{}", b'{"n": 1}', b'{"kind": "k9"}']))
    assert decisions.missing == {**{f"r{number}": 2 for number in range(6)}, "r6": 1}


def test_numbers_are_found_by_what_they_are_worth() -> None:
    ruleset = rules_of(*(f"event.n == {number}" for number in (1, 2, 3)), "event.n == 4.0", "event.n == 1")
    found = matched(ruleset, {"n": 2.0}, {"n": 4}, {"n": True}, {"n": "1"}, {"n": 1}, {"n": [1]}, {"n": 1e400})
    assert found == ["r1", "r3", "", "", "r0", "", ""]


def test_a_rule_of_another_kind_ends_a_run_and_none_is_passed_over() -> None:
    ruleset = rules_of(*KINDS[:4], "event.n > 5", *KINDS)
    assert ruleset.code.count("KEYS") == 4  # two switches, each made and bound
    assert matched(ruleset, {"kind": "k5", "n": 6}, {"kind": "k5", "n": 1}, {"kind": "k1", "n": 9}) == [
        "r4",
        "r10",
        "r1",
    ]


def test_a_step_that_changes_the_event_ends_a_run() -> None:
    step = {"name": "step", "when": 'event.kind == "k1"', "set": {"event.kind": "k9"}}
    rules: list[object] = [{"name": f"r{number}", "when": when, "to": "a"} for number, when in enumerate(KINDS)]
    rules[1:1] = [step]
    rules.append({"name": "nine", "when": 'event.kind == "k9"', "to": "b"})
    ruleset = ruleset_of(json.dumps({"from": "s", "rules": rules, "otherwise": {"unmatched": "drop"}}))
    assert matched(ruleset, {"kind": "k1"}, {"kind": "k0"}) == ["step nine", "r0"]


def test_a_few_rules_are_asked_one_by_one() -> None:
    assert "KEYS" not in rules_of(*KINDS[:3]).code


def test_a_switch_that_would_make_too_much_code_is_none() -> None:
    everywhere = [
        f"event.kind in [{', '.join(json.dumps(f'{name}{n}') for n in range(30))}]" for name in "aaaaaaaaaaaa"
    ]
    spread = [f'event.kind in ["a{number}", "a{number + 1}"]' for number in range(12)]
    assert "KEYS" in rules_of(*everywhere).code
    assert "KEYS" in rules_of(*spread).code
    nested = [f"event.kind in [{', '.join(json.dumps(f'a{n}') for n in range(number + 1))}]" for number in range(12)]
    assert "KEYS" not in rules_of(*nested).code
    assert matched(rules_of(*nested), {"kind": "a11"}, {"kind": "a0"}) == ["r11", "r0"]
