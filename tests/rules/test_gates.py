"""Gates: what passes, what is held, and where that goes."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from rulesets import batch_of, both, flow_of, ruleset_of, sent

from rules.cel.errors import CelError
from rules.cel.temporal import Duration, Timestamp
from rules.cel.values import NONE, UInt
from rules.decisions import Decisions
from rules.faults import Refused
from rules.gates import Crossing, Gates, canonical
from rules.ruleset import Ruleset

SECOND = 10**9
NOW = 1_700_000_000 * SECOND


def goes(ruleset: Ruleset, *events: object, crossing: Crossing | None = None) -> dict[str, list[object]]:
    """By sink, the events that come there; both paths agree on it where no state is given."""
    batch = batch_of(*events, arrived=NOW if crossing is None else crossing.arrived)
    decisions = both(ruleset, batch) if crossing is None else ruleset.route(batch, "s", crossing=crossing)
    found = sent(decisions, batch)
    return found | ({"drop": list(decisions.dropped.values())} if decisions.dropped else {})


def held(decisions: Decisions) -> list[int]:
    return [*decisions.crossing.turns[0].held]


# Keys


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *((5, 5.0), (UInt(5), 5), (0.0, -0.0), (2**63, float(2**63)), (10**400, float("inf"))),
        *(([1, 2.0], [1.0, 2]), ({"a": 1, "b": 2}, {"b": 2.0, "a": 1})),
    ],
)
def test_values_that_are_equal_are_one_key(one: object, other: object) -> None:
    assert canonical(one) == canonical(other)


def test_values_that_differ_are_different_keys() -> None:
    values: list[object] = [
        *(5, 5.5, "5", b"5", True, False, "true", None, "", b"", [], {}, [5], ["5"], [[5]], {"5": 5}, {"5": "5"}),
        *(["a", "b"], ["ab"], ["a", ["b"]], {"a": {"b": 1}}, 2**53 + 1, float(2**53), float("nan"), float("inf")),
        *(Timestamp.parse("2026-01-31T12:00:00Z"), Duration.parse("5s"), "\ud800", "é"),
    ]
    assert len({canonical(value) for value in values}) == len(values)


def test_what_is_no_value_of_its_own_is_no_key() -> None:
    with pytest.raises(CelError, match="a key cannot be an optional_type"):
        canonical(NONE)


# Samples


def test_a_sample_chooses_the_same_keys_everywhere() -> None:
    """These hashes are the promise: they must not change with a version of Python or of this program."""
    ruleset = ruleset_of("rules: [{name: r, sample: {ratio: 25%, key: event.id}, to: a}]\notherwise: {unmatched: drop}")
    passed = [event["id"] for event in goes(ruleset, *({"id": n} for n in range(40)))["a"]]  # type: ignore[index]
    assert passed == [0, 1, 10, 15, 16, 17, 25, 35, 37, 38]
    texts = goes(ruleset, *({"id": f"user-{n}"} for n in range(20)))["a"]
    assert texts == [{"id": f"user-{n}"} for n in (2, 4, 6, 7, 9, 16, 17, 18)]


@pytest.mark.parametrize("ratio", ["10%", "0.1", "2.5%", "100%"])
def test_a_sample_lets_its_share_pass(ratio: str) -> None:
    text = f"rules: [{{name: r, sample: {{ratio: {ratio}}}, to: a}}]\notherwise: {{unmatched: drop}}"
    passed = len(goes(ruleset_of(text), *({"id": n} for n in range(10_000)))["a"])
    share = float(ratio.rstrip("%")) / (100 if "%" in ratio else 1)
    assert abs(passed - 10_000 * share) < 4 * (10_000 * share * (1 - share)) ** 0.5 + 1


def test_without_a_key_it_is_the_payload_that_is_drawn() -> None:
    ruleset = ruleset_of("rules: [{name: r, sample: {ratio: 50%}, to: a}]\notherwise: {unmatched: drop}")
    same = goes(ruleset, *([{"id": 1}] * 20), *([{"id": 2}] * 20), *([{"id": 3}] * 20), *([{"id": 4}] * 20))
    assert {count % 20 for count in Counter(map(str, same["a"])).values()} == {0}
    keyed = "rules: [{name: r, sample: {ratio: 50%, key: meta.raw}, to: a}]\notherwise: {unmatched: drop}"
    events = [{"id": n} for n in range(100)]
    assert goes(ruleset, *events) == goes(ruleset_of(keyed), *events)


# Throttles


def throttle(more: str = "", rate: str = "2/s") -> Ruleset:
    return ruleset_of(f"rules: [{{name: r, throttle: {{rate: {rate}, {more}}}, to: a}}]")


def passing(ruleset: Ruleset, gates: Gates, seconds: float, *events: object) -> list[object]:
    return goes(ruleset, *events, crossing=gates.cross(NOW + int(seconds * SECOND))).get("a", [])


def test_a_throttle_lets_a_burst_pass_and_then_its_rate() -> None:
    ruleset = throttle("burst: 3")
    gates = ruleset.gates()
    assert [len(passing(ruleset, gates, at, *range(10))) for at in (0, 0, 0.49, 0.5, 1, 10, 10.6)] == [
        3,
        0,
        0,
        1,
        1,
        3,
        1,
    ]


def test_without_a_burst_it_is_as_many_as_the_rate_says() -> None:
    assert len(goes(throttle(rate="7/m"), *range(20))["a"]) == 7
    assert len(goes(throttle(rate="0.5/m"), *range(20))["a"]) == 1


def test_each_key_has_a_bucket_of_its_own() -> None:
    ruleset = throttle("per: event.t")
    events = [{"t": tenant} for tenant in ("x", "y", "x", "x", 1, 1.0, 1)] + [{}, {"t": None}, {"t": None}, {}]
    decisions = both(ruleset, batch_of(*events))
    assert held(decisions) == [3, 6]
    assert decisions.gated == {
        ("r", "throttle", "passed"): 5,
        ("r", "throttle", "held"): 2,
        ("r", "throttle", "missing_key"): 4,
    }


def test_a_clock_that_is_set_back_closes_no_throttle() -> None:
    ruleset = throttle("burst: 2")
    gates = ruleset.gates()
    assert len(passing(ruleset, gates, 0, 1, 2, 3)) == 2
    assert len(passing(ruleset, gates, -3600, 1, 2, 3)) == 2
    assert len(passing(ruleset, gates, -3599.5, 1, 2, 3)) == 1
    assert len(passing(ruleset, gates, -3600, 1, 2, 3)) == 0  # a batch that was overtaken by another


def test_a_throttle_forgets_full_buckets_first_and_holds_no_more_than_it_may() -> None:
    ruleset = throttle("per: event, burst: 2, max_keys: 3")
    gates = ruleset.gates()
    passing(ruleset, gates, 0, *range(10))
    passing(ruleset, gates, 0)
    assert gates.sizes() == [3]
    assert gates.forgotten() == [7]
    assert gates.forgotten() == [0]
    passing(ruleset, gates, 60)
    assert gates.sizes() == [0]
    assert gates.forgotten() == [0]


# Dedupes


def dedupe(more: str = "within: 10m") -> Ruleset:
    return ruleset_of(f"rules: [{{name: r, dedupe: {{key: event.id, {more}}}, to: a}}]")


def test_the_first_of_a_key_passes_until_the_time_is_over() -> None:
    ruleset = dedupe()
    gates = ruleset.gates()
    once, again = {"id": 1, "v": 1}, {"id": 1.0, "v": 2}
    assert passing(ruleset, gates, 0, once, again, {"id": 2}) == [once, {"id": 2}]
    assert passing(ruleset, gates, 599, again, {"id": 3}) == [{"id": 3}]
    assert passing(ruleset, gates, 600, again, once) == [again]
    assert passing(ruleset, gates, 1199, once) == []


def test_records_without_a_key_pass_and_are_counted() -> None:
    decisions = both(dedupe(), batch_of({}, {}, {"id": None}, {"id": None}, {"id": ""}, {"id": ""}))
    assert decisions.gated == {
        ("r", "dedupe", "passed"): 1,
        ("r", "dedupe", "held"): 1,
        ("r", "dedupe", "missing_key"): 4,
    }


def test_a_clock_that_is_set_back_far_loses_no_record() -> None:
    ruleset = dedupe()
    gates = ruleset.gates()
    assert passing(ruleset, gates, 0, {"id": 1}) == [{"id": 1}]
    assert passing(ruleset, gates, -3, {"id": 1}) == []
    assert passing(ruleset, gates, -600, {"id": 1}) == [{"id": 1}]


def test_it_holds_no_more_keys_than_it_may_and_forgets_the_oldest() -> None:
    ruleset = dedupe("within: 10m, max_keys: 4")
    gates = ruleset.gates()
    passing(ruleset, gates, 0, *({"id": n} for n in range(6)))
    assert passing(ruleset, gates, 1, {"id": 0}, {"id": 5}) == [{"id": 0}]
    assert gates.forgotten() == [2]
    passing(ruleset, gates, 600.5)
    assert gates.sizes() == [1]
    assert gates.forgotten() == [0]


@pytest.mark.parametrize(
    ("rules", "first"),
    [
        ("[{name: r, dedupe: DEDUPE, set: {event.n: '${1 / event.n}'}, to: a}]", {"id": 1, "n": 0}),
        (
            "[{name: r, dedupe: ONCE, to: a, continue: true}, {name: s, when: 1 / event.n > 0, to: a}]",
            {"id": 1, "n": 0},
        ),
        ("[{name: s, dedupe: DEDUPE}, {name: r, when: event.n == 0, to: drop}, {name: t, to: a}]", {"id": 1, "n": 0}),
        (
            "[{name: s, dedupe: DEDUPE}, {name: r, when: event.n == 0, to: dead_letter}, {name: t, to: a}]",
            {"id": 1, "n": 0},
        ),
        ("[{name: s, dedupe: DEDUPE}, {name: t, when: event.n > 0, to: a}]", {"id": 1, "n": 0}),
        ("[{name: r, dedupe: DEDUPE, split: {each: event.n, as: n}, to: a}]", {"id": 1, "n": []}),
        ("[{name: r, dedupe: DEDUPE, throttle: {rate: 1/h}, to: a}]", None),
        (
            "[{name: s, dedupe: DEDUPE, expect: {n: event.n > 0}}, {name: r, expect: {m: event.n > 5}, to: a}]",
            {"id": 1, "n": 3},
        ),
    ],
)
def test_a_record_that_is_not_delivered_has_brought_no_key(rules: str, first: object) -> None:
    """An error, a violation, a drop, a letter, no element, and another gate: whatever keeps it from being delivered."""
    once = "key: event.id, within: 10m"
    rules = rules.replace("DEDUPE", f"{{{once}}}").replace("ONCE", f"{{{once}, else: next}}")
    text = f"rules: {rules}\notherwise: {{unmatched: drop}}"
    ruleset = ruleset_of(text)
    gates, n = ruleset.gates(), [7] if "split" in rules else 7
    before = [first] if first is not None else [{"id": 0, "n": n}, {"id": 1, "n": n}]
    came = passing(ruleset, gates, 0, *before)
    assert came == before[:-1]
    assert len(passing(ruleset, gates, 3599 if first is None else 1, {"id": 1, "n": n})) == (first is not None)
    assert len(passing(ruleset, gates, 3601, {"id": 1, "n": n})) == 1
    both(ruleset, batch_of(*before, {"id": 1, "n": n}, {"id": 1, "n": n}))


def test_what_is_undone_has_not_happened() -> None:
    """A batch that comes again is decided as if it had never come; a later batch leans on what is pending."""
    ruleset = ruleset_of("""
        rules:
          - {name: r, dedupe: {key: event.id, within: 10m}, throttle: {rate: 2/h}, to: a}
        """)
    gates = ruleset.gates()
    batch = batch_of({"id": 1}, {"id": 2}, {"id": 1}, {"id": 3})
    first, second = gates.cross(NOW), gates.cross(NOW + 1)
    assert ruleset.route(batch, "s", crossing=first).gated == ruleset.route_exactly(batch, "s").gated
    assert list(first.brought()) == [(0, key) for key in map(digest_of, (1, 2))]
    assert goes(ruleset, {"id": 1}, {"id": 9}, crossing=second) == {"drop": [2]}
    assert list(second.leans_on) == [first]
    first.forget()
    assert goes(ruleset, {"id": 1}, {"id": 2}, {"id": 3}, crossing=gates.cross(NOW + 2)) == {
        "a": [{"id": 1}, {"id": 2}],
        "drop": [1],
    }


def digest_of(value: object) -> bytes:
    from rules.gates import digest

    return digest(value)


def test_however_many_keys_a_batch_brings_the_next_one_finds_no_more_than_there_may_be() -> None:
    throttle = "{throttle: {rate: 1/h, per: event.id, max_keys: 4}, to: a}"
    for ruleset in (dedupe("within: 10m, max_keys: 4"), ruleset_of(f"rules: [{throttle}]")):
        gates = ruleset.gates()
        for turn in range(2):
            passing(ruleset, gates, turn, *({"id": 30_000 * turn + n} for n in range(30_000)))
            passing(ruleset, gates, turn)
            assert gates.sizes() == [4]


def test_what_is_settled_is_not_forgotten_any_more() -> None:
    ruleset = dedupe()
    gates = ruleset.gates()
    first = gates.cross(NOW)
    goes(ruleset, {"id": 1}, {"id": 2}, {"id": 3}, crossing=first)
    first.settle({0})
    first.forget({1})
    first.forget()
    first.forget()
    third = gates.cross(NOW + 1)
    assert goes(ruleset, {"id": 1}, {"id": 2}, {"id": 3}, crossing=third) == {"a": [{"id": 2}, {"id": 3}], "drop": [1]}
    assert not third.leans_on


def test_keys_of_before_are_remembered() -> None:
    ruleset = dedupe()
    gates = ruleset.gates()
    gates.remember(0, NOW - 300 * SECOND, [digest_of(1)])
    assert passing(ruleset, gates, 0, {"id": 1}, {"id": 2}) == [{"id": 2}]
    assert passing(ruleset, gates, 300, {"id": 1}) == [{"id": 1}]


def test_of_keys_of_before_no_more_are_remembered_than_there_may_be() -> None:
    ruleset = dedupe("within: 10m, max_keys: 2")
    gates = ruleset.gates()
    gates.remember(0, NOW - SECOND, [digest_of(n) for n in range(5)])
    assert gates.sizes() == [2]
    assert passing(ruleset, gates, 0, {"id": 4}, {"id": 0}) == [{"id": 0}]


# Where what is held goes


def test_next_is_as_if_the_rule_had_not_matched() -> None:
    text = """
        rules:
          - {name: few, when: event.n > 0, throttle: {rate: 1/s, else: next}, set: {event.few: true}, to: a}
          - {name: rest, to: b}
        """
    decisions = both(ruleset_of(text), batch := batch_of({"n": 1}, {"n": 2}, {"n": 0}))
    assert sent(decisions, batch) == {"a": [{"n": 1, "few": True}], "b": [{"n": 2}, {"n": 0}]}
    assert decisions.matched == {"few": 1, "rest": 2}


def test_a_target_takes_what_is_held_as_the_rule_found_it() -> None:
    text = """
        rules:
          - {name: s, set: {event.s: 1}}
          - name: few
            throttle: {rate: 1/s, else: {sink: over, topic: "over.${event.n}", set: {event.over: true}}}
            set: {event.few: true}
            to: a
        """
    decisions = both(ruleset_of(text), batch := batch_of({"n": 1}, {"n": 2}))
    assert sent(decisions, batch) == {"a": [{"n": 1, "s": 1, "few": True}], "over": [{"n": 2, "s": 1, "over": True}]}
    assert [list(d.settings.get("topic", ())) for d in decisions.deliveries] == [[], ["over.2"]]
    assert decisions.matched == {"s": 2, "few": 2}


def test_a_dead_letter_says_which_gate_held_it() -> None:
    [letter] = both(
        ruleset_of("rules: [{name: r, throttle: {rate: 1/s, else: dead_letter}, to: a}]"), batch_of(1, 2)
    ).letters
    assert (letter.index, letter.stage, letter.rule, letter.detail) == (1, "rule", "r", "held by throttle")


def test_a_step_is_a_gate_for_all_that_follow() -> None:
    text = """
        rules:
          - {name: once, when: has(event.id), dedupe: {key: event.id, within: 1m}}
          - {name: a, when: event.n > 1, to: a}
          - {name: b, to: b}
        """
    decisions = both(
        ruleset_of(text), batch := batch_of({"id": 1, "n": 1}, {"id": 1, "n": 2}, {"id": 2, "n": 2}, {"n": 0})
    )
    assert sent(decisions, batch) == {"a": [{"id": 2, "n": 2}], "b": [{"id": 1, "n": 1}, {"n": 0}]}
    assert decisions.dropped == {"once": 1}
    assert decisions.matched == {"once": 3, "a": 1, "b": 2}


def test_a_step_with_a_gate_changes_what_passes_alone() -> None:
    text = """
        rules:
          - {name: mark, sample: {ratio: 50%, key: event.id, else: next}, set: {event.marked: true}}
          - {name: rest, to: a}
        """
    events = goes(ruleset_of(text), *({"id": n} for n in range(100)))["a"]
    assert 25 < sum("marked" in event for event in events) < 75  # type: ignore[operator]


def test_a_rule_that_lets_later_rules_see_the_record_does_so_for_what_it_holds() -> None:
    text = """
        rules:
          - {name: look, throttle: {rate: 1/s, else: next}, to: look, continue: true}
          - {name: over, throttle: {rate: 1/s, else: over}, to: look, continue: true}
          - {name: rest, to: a}
        """
    decisions = both(ruleset_of(text), batch := batch_of(1, 2, 3))
    assert sent(decisions, batch) == {"look": [1, 1], "over": [2, 3], "a": [1, 2, 3]}


def test_gates_of_a_rule_apply_in_the_order_written() -> None:
    """What a later one holds has not gone through an earlier one."""
    events = [{"id": n // 2} for n in range(8)]
    once = "dedupe: {key: event.id, within: 1m}"
    few = "throttle: {rate: 2/s}"
    for gates in (f"{once}, {few}", f"{few}, {once}"):
        ruleset = ruleset_of(f"rules: [{{name: r, {gates}, to: a}}]")
        assert goes(ruleset, *events)["a"] == [{"id": 0}, {"id": 1}]
    decisions = both(ruleset_of(f"rules: [{{name: r, {few}, {once}, to: a}}]"), batch_of(*events))
    assert decisions.gated[("r", "throttle", "passed")] == 3


def test_an_error_in_a_key_is_an_error_of_the_record() -> None:
    decisions = both(
        ruleset_of("rules: [{name: r, throttle: {rate: 1/s, per: event.n / 0}, to: a}]"), batch_of({"n": 1})
    )
    assert decisions.errors == {("r", "throttle"): 1}
    [letter] = decisions.letters
    assert (letter.reason, letter.rule) == ("error", "r")
    assert not decisions.gated


# The file


@pytest.mark.parametrize(
    ("rule", "where", "said"),
    [
        ("sample: {ratio: 0, key: event.id}, to: a", "0", "`ratio` is 0; should be more than 0% and at most 100%"),
        ("sample: {ratio: 150%}, to: a", "150%", "`ratio` is 150%; should be more than 0% and at most 100%"),
        ("sample: {ratio: ten}, to: a", "ten", "`ratio` is ten; should be"),
        ("sample: {key: event.id}, to: a", "sample", "`ratio` is missing; should be more than 0%"),
        ("sample: {ratio: 1%, per: event.id}, to: a", "per", "`per` is not known here; known: ratio, key, else"),
        ("sample: 10%, to: a", "10%", "`sample` is text; should be a mapping such as {ratio: 10%, key: event.id}"),
        ("throttle: {rate: fast}, to: a", "fast", "`rate` is fast; should be a rate such as 100/s, 600/m or 10/h"),
        ("throttle: {rate: 100}, to: a", "100", "`rate` is 100; should be a rate such as 100/s"),
        ("throttle: {rate: 0/s}, to: a", "0/s", "`rate` is 0/s; should be a rate such as 100/s"),
        ("throttle: {rate: 1/s, burst: 0}, to: a", "0}", "`burst` is 0; should be a whole number, 1 or more"),
        ("throttle: {rate: 1/s, bursts: 2}, to: a", "bursts", "`bursts` is not known here; did you mean `burst`?"),
        ("throttle: {burst: 2}, to: a", "throttle", "`rate` is missing; should be a rate such as 100/s"),
        ("dedupe: {key: event.id, within: 10}, to: a", "10}", "`within` is 10; should be a duration such as 30s, 10m"),
        ('dedupe: {key: event.id, within: "10"}, to: a', '"10"', '`within` is "10"; should be a duration such as 30s'),
        ("dedupe: {key: event.id}, to: a", "dedupe", "`within` is missing; should be a duration such as 30s, 10m"),
        ("dedupe: {within: 1m}, to: a", "dedupe", "`key` is missing; should be a CEL expression such as event.id"),
        ("dedupe: {key: '1', within: 1m}, to: a", "'1'", "`key` is the same for every record; should be like event.id"),
        ("dedupe: {key: evnt.id, within: 1m}, to: a", "evnt", "`evnt` is not known here; did you mean `event`?"),
        (
            "dedupe: {key: event.id, within: 1m, persist: 1}, to: a",
            "1}",
            "`persist` is a number; should be true or false",
        ),
        ("dedupe: {key: event.id, within: 1m, max_keys: 0}, to: a", "0}", "`max_keys` is 0; should be a whole number"),
        ("dedupe: {key: event.id, within: 1m}, to: dead_letter", "dedupe", "`dedupe` in a rule that delivers nothing"),
        ("dedup: {key: event.id, within: 1m}, to: a", "dedup", "`dedup` is not known here; did you mean `dedupe`?"),
        ("sample: {ratio: 1%, else: [a, b]}, to: a", "[a", "`else` is a list; should be `drop`, `next` or one target"),
        ("sample: {ratio: 1%, else: reject}, to: a", "reject", "`reject` does not go here"),
        ("sample: {ratio: 1%, else: next}", "next", "this `sample` does nothing; should be `drop` or a target"),
        ("sample: {ratio: 1%, else: {topic: x}}, to: a", "else", "`sink` is missing; should be the name of a sink"),
        (
            "sample: {ratio: 1%}, to: a, continue: true",
            "{ratio",
            "`continue` with a `sample` that drops what it holds; what is dropped does not go on",
        ),
    ],
)
def test_faults_are_shown_where_they_are(rule: str, where: str, said: str) -> None:
    text = f"rules:\n  - {{name: r, {rule}}}\notherwise: {{unmatched: drop}}\n"
    with pytest.raises(Refused) as refused:
        flow_of(text)
    [fault] = refused.value.faults
    assert str(fault).split(": ", 1)[1].startswith(said)
    line = text.splitlines()[1]
    assert fault.place.line == 3
    assert line[fault.place.column - 1 :].startswith(where)


def test_what_a_last_rule_lets_on_must_go_somewhere() -> None:
    with pytest.raises(Refused, match="what happens to records that no rule takes is not said"):
        flow_of("rules: [{name: r, throttle: {rate: 1/s, else: next}, to: a}]")


def test_the_keys_of_a_dedupe_are_those_of_its_expression() -> None:
    """Another expression, or another meaning of a name in it, is another set of keys; nothing else is."""

    def identity(text: str) -> Any:
        return vars_of(flow_of(text))

    base = "let: {k: event.id, other: event.x}\nrules: [{name: r, dedupe: {key: k, within: 1m}, to: a}]\n"
    base += "otherwise: {unmatched: drop}"
    assert identity(base) == identity(base.replace("1m", "9m"))
    assert identity(base) == identity(base.replace("name: r, ", "name: r, when: event.y, "))
    assert identity(base) != identity(base.replace("key: k", "key: other"))
    assert identity(base) != identity(base.replace("k: event.id", "k: event.no"))


def vars_of(flow: Any) -> object:
    return flow.rules[0].gates[0].identity


def test_any_slices_of_a_batch_come_to_the_same() -> None:
    text = """
        rules:
          - {name: a, when: event.n > 1, dedupe: {key: event.id, within: 1m, else: next}, to: a}
          - {name: b, throttle: {rate: 3/s, per: event.id % 2, else: b}, sample: {ratio: 50%, key: event.id}, to: a}
        """
    ruleset, rng = ruleset_of(text), random.Random(5)
    events = [{"id": rng.choice([1, 2, 3, "x"]), "n": rng.choice([1, 2, None])} for _ in range(50)]
    batch = batch_of(*events, arrived=NOW)
    whole = both(ruleset, batch)
    crossing = ruleset.gates().cross(NOW)
    into: Decisions | None = None
    for start in range(0, 50, 7):
        into = ruleset.route(batch, "s", start, min(start + 7, 50), into, crossing)
    assert into is not None
    assert into.gated == whole.gated
    assert [list(d.indices) for d in into.deliveries] == [list(d.indices) for d in whole.deliveries]
