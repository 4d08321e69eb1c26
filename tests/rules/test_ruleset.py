"""What a flow means, rule by rule. Every case is decided by the compiled code and by the interpreter alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rulesets import batch_of, both, flow_of, ruleset_of, sent, sinks_of, summary, template

from router.batch import Batch
from rules.codecs import Bytes, Json, Text
from rules.columns import Constant
from rules.decisions import Decisions, Letter
from rules.faults import Refused
from rules.gates import Crossing
from rules.generate import generate
from rules.lets import Lets
from rules.plan import SinkFacts, make_plan
from rules.ruleset import compile_flow


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
    assert decisions.deliveries[0].values == [raw]


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
            to:
              - a
              - {sink: b, set: {event.y: "${event.n}", event.x: "${has(event.x)}"}}
              - {sink: c, emit: {only: "${event.n}"}}
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
          - {name: past, when: 'event.list[2] == 1', to: a}
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
    )
    assert got == {}
    assert [(x.index, x.stage, x.rule, x.reason) for x in decisions.letters] == [(0, "rule", "bad", "error")]
    assert decisions.errors == {("bad", "when"): 1}
    assert decisions.matched == {}


def test_an_error_outweighs_a_missing_and_a_decided_term_outweighs_both() -> None:
    decisions, got = decided(
        """
        rules:
          - {name: r, when: event.gone == 1 && event.n > 5 && event.ok == 1, to: a}
          - {name: rest, to: b}
        """,
        {"n": "text", "ok": 0},
        {"n": "text", "ok": 1},
        {"n": "text"},
        {"n": 6},
    )
    assert got == {"b": [{"n": "text", "ok": 0}, {"n": 6}]}
    assert [letter.index for letter in decisions.letters] == [1, 2]
    assert decisions.missing == {"r": 1}


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ('set: {event.x: "${event.gone}"}', "set"),
        ("set: {event.text.x: 1}", "set"),
        ("set: {event.none.x: 1}", "set"),
        ("set: {'event.list[5]': 1}", "set"),
        ("set: {'event.text[*]': 1}", "set"),
        ('emit: {x: "${event.gone}"}', "emit"),
        ('emit: {x: "${0.0 / 0.0}"}', "encode"),
    ],
)
def test_a_failing_shape_is_an_error_before_any_delivery(shape: str, kind: str) -> None:
    decisions, got = decided(
        f"""
        rules:
          - {{name: first, to: a, continue: true}}
          - {{name: bad, {shape}, to: b}}
        otherwise: {{error: c, unmatched: drop}}
        """,
        {"text": "t", "none": None, "list": [1]},
    )
    assert got == {"c": [{"text": "t", "none": None, "list": [1]}]}
    assert decisions.errors == {("bad", kind): 1}
    assert [list(d.rules) for d in decisions.deliveries] == [["otherwise.error"]]


def test_set_makes_missing_parents_and_goes_into_every_element() -> None:
    _, got = decided(
        """
        rules:
          - name: r
            set: {event.a.b.c: 1, 'event.items[*].seen': true, 'event.gone[*].x': 1, 'event.list[0]': "${event.list}"}
            unset: [event.nothing.there, 'event.items[*].price', 'event.list[7]', event.n]
            to: a
        """,
        {"items": [{"price": 1}, {"price": 2, "id": 2}], "list": [1, 2], "n": 1},
    )
    assert got == {
        "a": [{"items": [{"seen": True}, {"id": 2, "seen": True}], "list": [[1, 2], 2], "a": {"b": {"c": 1}}}]
    }


def test_unset_of_what_is_not_there_leaves_the_record_as_it_came() -> None:
    raw = b'{ "n": 1 }'
    decisions, _ = decided("rules: [{name: r, unset: [event.x.y, 'event.n[0]'], to: a}]", raw)
    assert decisions.deliveries[0].values == [raw]


def test_an_event_that_is_no_map_can_be_routed_but_not_set() -> None:
    decisions, got = decided(
        """
        rules:
          - {name: list, when: size(event) > 1, set: {event.x: 1}, to: a}
          - {name: rest, to: b}
        """,
        [1, 2],
        [1],
        "x",
        None,
    )
    assert got == {"b": [[1], "x"]}
    assert decisions.errors == {("list", "set"): 1, ("list", "when"): 1}


def test_split_makes_one_record_of_each_element() -> None:
    decisions, got = decided(
        """
        rules:
          - name: items
            split: {each: event.items, as: item}
            set: {event.order: "${event.id}", event.cents: "${int(item.price * 100.0)}"}
            to: [a, {sink: b, emit: {id: "${event.id}", price: "${item.price}"}, key: "${event.id}"}]
          - {name: rest, to: c}
        """,
        {"id": 7, "items": [{"price": 1.5}, {"price": 2.0}]},
        {"id": 8, "items": []},
        {"id": 9, "items": {}},
        {"id": 10},
    )
    assert got["a"] == [{"price": 1.5, "order": 7, "cents": 150}, {"price": 2.0, "order": 7, "cents": 200}]
    assert got["b"] == [{"id": 7, "price": 1.5}, {"id": 7, "price": 2.0}]
    assert [list(d.indices) for d in decisions.deliveries] == [[0, 0], [0, 0]]
    assert decisions.deliveries[1].settings == {"key": [b"7", b"7"]}
    assert decisions.dropped == {"items": 1}
    assert decisions.matched == {"items": 2}
    assert decisions.errors == {("items", "split"): 2}


def test_a_split_with_a_bad_element_delivers_none_of_it() -> None:
    decisions, got = decided(
        "rules: [{name: r, split: {each: event.items, as: i}, set: {event.x: '${i.n + 1}'}, to: a}]",
        {"items": [{"n": 1}, {"n": "x"}, {"n": 3}]},
        {"items": [{"n": 1}]},
    )
    assert got == {"a": [{"n": 1, "x": 2}]}
    assert decisions.errors == {("r", "set"): 1}


def test_drop_and_dead_letter_are_targets() -> None:
    decisions, got = decided(
        """
        rules:
          - {name: noise, when: event.n == 0, to: drop}
          - {name: odd, when: event.n == 1, to: [a, dead_letter]}
        otherwise: {unmatched: dead_letter}
        """,
        {"n": 0},
        {"n": 1},
        {"n": 2},
    )
    assert got == {"a": [{"n": 1}]}
    assert decisions.dropped == {"noise": 1}
    assert decisions.letters == [
        Letter(1, "rule", "odd", "rule", ""),
        Letter(2, "rule", None, "unmatched", "no rule matched"),
    ]
    assert decisions.matched == {"noise": 1, "odd": 1}


def test_what_otherwise_drops_is_counted_by_its_part() -> None:
    decisions, _ = decided(
        """
        contract: {expect: {positive: event.n > 0}}
        rules: [{name: r, when: event.n > event.m, to: a}]
        otherwise: {undecodable: drop, invalid: drop, error: drop, unmatched: drop}
        """,
        b"nope",
        {"n": -1},
        {"n": 1, "m": "x"},
        {"n": 1, "m": 2},
    )
    assert decisions.dropped == dict.fromkeys(
        ["otherwise.undecodable", "otherwise.invalid", "otherwise.error", "otherwise.unmatched"], 1
    )


def test_an_ending_that_fails_is_a_dead_letter_for_the_first_reason() -> None:
    text = """
        rules: [{name: r, to: a}]
        otherwise: {undecodable: [b, {sink: c, key: "${meta.key}"}]}
        """
    decisions = both(ruleset_of(text), batch_of(b"nope", b"also", keys=[b"k", None]))
    assert [(d.sink, list(d.indices), d.values) for d in decisions.deliveries] == [
        ("b", [0], [b"nope"]),
        ("c", [0], [b"nope"]),
    ]
    assert [(letter.index, letter.stage, letter.reason) for letter in decisions.letters] == [
        (1, "decode", "undecodable")
    ]
    assert "otherwise.undecodable failed: setting: key" in decisions.letters[0].detail
    assert decisions.errors == {("otherwise.undecodable", "setting"): 1}


def test_an_error_of_unmatched_is_an_error_of_the_record() -> None:
    decisions, got = decided(
        """
        rules: [{name: r, when: event.n > 5, to: a}]
        otherwise: {unmatched: {sink: b, key: "${event.id}"}, error: c}
        """,
        {"n": 1},
        {"n": 1, "id": "k"},
    )
    assert got == {"b": [{"n": 1, "id": "k"}], "c": [{"n": 1}]}
    assert decisions.unmatched == 1
    assert decisions.errors == {("otherwise.unmatched", "setting"): 1}


def test_an_erroneous_record_goes_out_as_it_came_whatever_the_steps_did() -> None:
    decisions, got = decided(
        """
        rules:
          - {name: step, set: {event.n: 5}}
          - {name: bad, when: event.n > "x", to: a}
        otherwise: {unmatched: drop, error: b}
        """,
        {"n": 1},
    )
    assert got == {"b": [{"n": 1}]}
    assert not decisions.deliveries[0].changed


def test_unmatched_records_go_out_as_the_steps_left_them() -> None:
    _, got = decided(
        "rules: [{name: s, set: {event.x: 1}}, {name: r, when: event.n > 5, to: a}]\notherwise: {unmatched: b}",
        {"n": 1},
    )
    assert got == {"b": [{"n": 1, "x": 1}]}


def test_settings_see_what_goes_out_and_a_targets_replace_the_sinks() -> None:
    facts = [
        SinkFacts("a", templates={"topic": template("t.${event.tenant}")}, per_record=frozenset({"topic", "path"})),
    ]
    decisions, _ = decided(
        """
        rules:
          - {name: own, when: event.n > 5, to: {sink: a, topic: "own.${event.n}", path: p, set: {event.n: 0}}}
          - name: sinks
            set: {event.tenant: acme}
            to: {sink: a, key: "${event.n}", headers: {h: "${meta.key}", n: "${event.n}", none: null}}
        """,
        {"n": 6},
        {"n": 1},
        columns={"keys": [b"k0", b"\xff"]},
        facts=facts,
    )
    assert dict(decisions.deliveries[0].settings) == {
        "topic": ["own.0", "t.acme"],
        "path": ["p", None],
        "key": [None, b"1"],
        "headers": [None, (("h", b"\xff"), ("n", b"1"))],
    }


def test_a_setting_that_cannot_be_computed_is_an_error_of_the_rule() -> None:
    facts = [SinkFacts("a", templates={"topic": template("t.${event.tenant}")}, per_record=frozenset({"topic"}))]
    decisions, _ = decided("rules: [{name: r, to: a}]", {"n": 1}, {"tenant": "x"}, facts=facts)
    assert decisions.errors == {("r", "setting"): 1}
    assert decisions.deliveries[0].settings == {"topic": ["t.x"]}


def test_meta_is_what_the_source_knows() -> None:
    decisions, got = decided(
        """
        rules:
          - name: r
            emit:
              key: "${meta.key}"
              source: "${meta.source}"
              topic: "${meta.topic}"
              header: "${meta.headers['trace']}"
              time: "${meta.time}"
              raw: "${meta.raw}"
              has: "${[has(meta.key), has(meta.gone), 'trace' in meta.headers, has(meta.headers.trace)]}"
            to: a
        otherwise: {error: drop}
        """,
        {"n": 1},
        {"n": 2},
        columns={
            "keys": [b"k", None],
            "headers": [[("Trace", b"t1"), ("TRACE", b"t2")], None],
            "times": [1_500_000_000, None],
            "attributes": {"topic": Constant("orders", 2)},
        },
    )
    assert got == {
        "a": [
            {
                "key": "k",
                "source": "s",
                "topic": "orders",
                "header": "t2",
                "time": "1970-01-01T00:00:01.5Z",
                "raw": "eyJuIjoxfQ==",
                "has": [True, False, True, True],
            }
        ]
    }
    assert decisions.dropped == {"otherwise.error": 1}


def test_meta_decides_natively_and_what_is_absent_is_missing() -> None:
    text = """
        rules:
          - {name: topic, when: meta.topic == "orders" && meta.key.startsWith("k"), to: a}
          - {name: header, when: 'meta.headers["type"] == "x" || has(meta.seen)', to: b}
          - {name: late, when: "'type' in meta.headers", to: c}
          - {name: rest, to: d}
        """
    batch = batch_of(
        *[{"n": n} for n in range(5)],
        keys=[b"k1", None, b"\xff\xfe", None, b"k"],
        headers=[None, [("Type", b"x")], [("type", b"y")], None, None],
        attributes={"topic": ["orders", None, "orders", "other", "other"], "seen": [None, None, None, 5, None]},
    )
    decisions = both(ruleset_of(text), batch)
    assert {d.sink: list(d.indices) for d in decisions.deliveries} == {"a": [0], "b": [1, 3], "d": [4]}
    assert [(letter.index, letter.rule) for letter in decisions.letters] == [(2, "topic")]
    assert decisions.missing == {"topic": 1, "header": 1}


def test_vars_are_constants() -> None:
    decisions, got = decided(
        """
        rules:
          - name: r
            when: event.region in vars.regions && event.n < vars.limits.n
            set: {event.all: "${vars.regions}"}
            to: a
          - {name: gone, when: event.n == vars.gone, to: b}
          - {name: rest, to: c}
        """,
        {"region": "eu", "n": 1},
        {"region": "xx", "n": 1},
        names={"regions": ["eu", "us"], "limits": {"n": 5}},
    )
    assert got == {"a": [{"region": "eu", "n": 1, "all": ["eu", "us"]}], "c": [{"region": "xx", "n": 1}]}
    assert decisions.missing == {"gone": 1}


def test_a_let_is_seen_against_the_event_as_it_is_at_the_rule() -> None:
    _, got = decided(
        """
        let: {big: event.n > limit, limit: 5, any: "event.tags.exists(event, big)"}
        rules:
          - {name: before, when: big, to: a, continue: true}
          - {name: step, set: {event.n: 9}}
          - {name: after, when: big && any, to: b}
        otherwise: {unmatched: c}
        """,
        {"n": 1, "tags": [0]},
        {"n": 6, "tags": []},
    )
    assert got == {"a": [{"n": 6, "tags": []}], "b": [{"n": 9, "tags": [0]}]}


def test_a_costly_let_is_computed_once_while_the_event_stays_the_same() -> None:
    ruleset = ruleset_of(
        """
        let: {low: event.name.lowerAscii()}
        rules:
          - {name: one, when: event.n > 5 && low == "a", to: a}
          - {name: two, when: low == "b", to: b}
          - {name: step, set: {event.name: B}}
          - {name: three, when: low == "b", to: c}
        otherwise: {unmatched: drop}
        """
    )
    batch = batch_of({"n": 6, "name": "A"}, {"n": 6, "name": "B"}, {"n": 1, "name": "x"}, {"n": 1})
    decisions = both(ruleset, batch)
    assert {d.sink: list(d.indices) for d in decisions.deliveries} == {"a": [0], "b": [1], "c": [2, 3]}
    assert ruleset.code.count("is U:") == 3


def test_the_contract_makes_one_dead_letter_of_all_violations() -> None:
    text = """
        contract: {expect: {positive: event.n > 0, named: 'event.name != ""', typed: event.n + "x" == ""}}
        rules: [{name: r, to: a}]
        """
    decisions, got = decided(text, {"n": -1})
    assert got == {}
    assert [(letter.stage, letter.reason) for letter in decisions.letters] == [("contract", "invalid")]
    for name in ("positive at /n: event.n > 0 is false", "named at /name: there is no field 'name'", "typed at /n: "):
        assert name in decisions.letters[0].detail
    assert decisions.violations == {"positive": 1, "named": 1, "typed": 1}


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("event.a.b == event['x/y~z']", "c at /a/b, /x~1y~0z: event.a.b == event['x/y~z'] is false"),
        ("size(event) == 0", "c: size(event) == 0 is false"),
        ("vars.no == 1", "c: vars.no == 1 is false"),
        ("low", "c at /a/b: low is false"),
        ("event.items.all(i, i > event.a.b)", "c at /a/b, /items: event.items.all(i, i > event.a.b) is false"),
        ("0 == 1 &&\n  event.a.b == 7", "c at /a/b: 0 == 1 && event.a.b == 7 is false"),
        (
            " && ".join(f"event.f{n} == 1" for n in range(50)),
            "c at /f0, /f1, /f10, /f11, /f12 and 45 more: "
            + " && ".join(f"event.f{n} == 1" for n in range(50))[:300]
            + "... is false",
        ),
    ],
)
def test_a_violation_says_what_is_false_and_where_but_not_what_the_record_holds(expression: str, said: str) -> None:
    text = f"""
        let: {{low: event.a.b < 0}}
        contract: {{expect: {{c: {json.dumps(expression)}}}}}
        rules: [{{name: r, to: a}}]
        """
    event = {"a": {"b": 987}, "x/y~z": 654, "items": [1], **{f"f{n}": 321 for n in range(50)}}
    decisions, _ = decided(text, event, names={"no": 2})
    assert [letter.detail for letter in decisions.letters] == [said]


def test_invalid_pass_counts_and_goes_on() -> None:
    decisions, got = decided(
        """
        contract: {expect: {positive: event.n > 0}}
        rules: [{name: r, expect: {small: event.n < 5}, to: a}]
        otherwise: {invalid: pass}
        """,
        {"n": -1},
        {"n": 9},
    )
    assert got == {"a": [{"n": -1}, {"n": 9}]}
    assert decisions.violations == {"positive": 1, "small": 1}


def test_what_is_rejected_is_kept_nowhere_and_says_why() -> None:
    """Every violation is told as such, a record that no decoder takes and one that no frame held by one of its own."""
    ruleset = ruleset_of(
        """
        contract: {expect: {positive: event.n > 0, whole: has(event.id)}}
        rules: [{name: r, expect: {small: event.n < 5}, to: a}]
        otherwise: {undecodable: reject, invalid: reject}
        """
    )
    batch = batch_of({"n": -1}, b"{", b"cut", {"n": 9, "id": 1}, {"n": 1, "id": 2}, spoiled={2: "too long"})
    decisions = both(ruleset, batch)
    assert [list(delivery.indices) for delivery in decisions.deliveries] == [[4]]
    assert decisions.letters == []
    assert [
        (rejection.index, [(violation.check, violation.place) for violation in rejection.violations])
        for rejection in decisions.rejections
    ] == [
        (0, [("positive", "/n"), ("whole", "/id")]),
        (1, [("undecodable", "")]),
        (2, [("spoiled", "")]),
        (3, [("small", "/n")]),
    ]
    assert decisions.rejections[2].violations[0].message == "too long"
    assert decisions.matched == {"r": 1}
    decisions.keep_rejected()
    assert [(letter.index, letter.stage, letter.reason) for letter in decisions.letters] == [
        (0, "contract", "invalid"),
        (1, "decode", "undecodable"),
        (2, "decode", "spoiled"),
        (3, "contract", "invalid"),
    ]
    assert decisions.rejections == []


def test_a_rules_expect_sends_the_whole_record_to_invalid() -> None:
    decisions, got = decided(
        """
        rules:
          - {name: step, set: {event.x: 1}}
          - {name: first, to: a, continue: true}
          - {name: vip, when: event.n > 5, expect: {id: has(event.id)}, to: b}
          - {name: rest, to: c}
        otherwise: {invalid: d}
        """,
        {"n": 6},
        {"n": 6, "id": 1},
    )
    assert got == {"d": [{"n": 6}], "a": [{"n": 6, "id": 1, "x": 1}], "b": [{"n": 6, "id": 1, "x": 1}]}
    assert decisions.violations == {"id": 1}
    assert decisions.matched == {"step": 1, "first": 1, "vip": 1}


def test_spoiled_records_are_dead_letters_between_the_others() -> None:
    ruleset = ruleset_of("rules: [{name: r, to: a}]")
    batch = Batch([b'{"n":1}', b"long", b'{"n":2}', b""], spoiled={3: "too long", 1: "too long"})
    decisions = both(ruleset, batch)
    assert list(decisions.deliveries[0].indices) == [0, 2]
    assert decisions.letters == [Letter(index, "decode", None, "spoiled", "too long") for index in (1, 3)]


def test_a_batch_may_be_routed_in_slices() -> None:
    ruleset = ruleset_of("rules: [{name: one, when: event.n > 2, to: a, continue: true}, {name: r, to: a}]")
    batch = batch_of(*[{"n": n} for n in range(5)], b"nope", {"n": 9})
    into = None
    for start, stop in ((0, 2), (2, 2), (2, 6), (6, 7)):
        into = ruleset.route(batch, "s", start, stop, into)
    assert into is not None
    assert summary(into) == summary(ruleset.route(batch, "s"))


def test_an_empty_batch_decides_nothing() -> None:
    decisions, got = decided("rules: [{name: r, to: a}]")
    assert (decisions.deliveries, decisions.letters, got) == ([], [], {})


def test_encode_writes_unchanged_records_anew_and_same_does_not() -> None:
    decisions, _ = decided(
        "rules: [{name: r, to: [a, b]}]", b'{ "n": 1 }', facts=[SinkFacts("a", encode=Json()), SinkFacts("b")]
    )
    assert decisions.deliveries[0].values == [b'{"n":1}']
    assert decisions.deliveries[1].values == [b'{ "n": 1 }']


def test_integers_of_any_size_survive_being_copied_and_written() -> None:
    decisions, _ = decided(
        """
        rules:
          - name: r
            set: {event.copy: "${event.big}", event.text: "${event.big} "}
            to: {sink: a, key: "${event.big}"}
        """,
        b'{"big":123456789012345678901234567890,"neg":-99999999999999999999}',
        b'{"big":18446744073709551615}',
    )
    first, second = decisions.deliveries[0].values or []
    assert first.startswith(
        b'{"big":123456789012345678901234567890,"neg":-99999999999999999999,"copy":1234567890123456789012'
    )
    assert second == b'{"big":18446744073709551615,"copy":18446744073709551615,"text":"18446744073709551615 "}'
    assert decisions.deliveries[0].settings["key"] == [b"123456789012345678901234567890", b"18446744073709551615"]


def test_values_outside_json_are_written_as_text() -> None:
    _, got = decided(
        """
        rules:
          - name: r
            set:
              event.at: "${timestamp(event.at)}"
              event.wait: "${duration('90s')}"
              event.raw: "${b'abc'}"
              event.u: "${5u}"
            to: a
        """,
        {"at": "2024-05-06T07:08:09.5Z"},
    )
    assert got == {"a": [{"at": "2024-05-06T07:08:09.5Z", "wait": "90s", "raw": "YWJj", "u": 5}]}


def test_text_and_bytes_are_decoded_too() -> None:
    text = """
        rules:
          - {name: error, when: event.startsWith("ERROR"), to: a}
          - {name: wrap, emit: {line: "${event}"}, to: b}
        """
    ruleset = ruleset_of(text, decode=Text(), facts=[SinkFacts("b", encode=Json())])
    decisions = both(ruleset, batch_of(b"ERROR x", b"fine \xc3\xa9", b"\xff"))
    assert decisions.deliveries[0].values == [b"ERROR x"]
    assert decisions.deliveries[1].values == ['{"line":"fine é"}'.encode()]
    assert [letter.reason for letter in decisions.letters] == ["undecodable"]
    ruleset = ruleset_of("rules: [{name: r, when: size(event) > 1, to: a}, {name: x, to: b}]", decode=Bytes())
    decisions = both(ruleset, batch_of(b"\xff\xfe", b""))
    assert {d.sink: list(d.indices) for d in decisions.deliveries} == {"a": [0], "b": [1]}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"   ",
        b"{",
        b'{"a":1} x',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1e999,"b":NaN}',
        b'{"a":1e999,"b":"\xff"}',
        b'{"a":1e999,"b":"\\ud800"}',
        b'{"a":"\xff"}',
        b'{"\xed\xa0\x80":1}',
        b'{"a":"\\ud800"}',
        b'\xef\xbb\xbf{"a":1}',
        b"01",
        b"'a'",
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    ],
)
def test_what_is_not_json_is_undecodable_and_never_passes(payload: bytes) -> None:
    decisions, got = decided("rules: [{name: r, to: a}]\notherwise: {invalid: pass}", payload)
    assert got == {}
    assert [(letter.stage, letter.reason) for letter in decisions.letters] == [("decode", "undecodable")]


def test_a_very_long_text_and_duplicate_keys_pass() -> None:
    long = b'{"n":1,"text":"' + b"x" * 10_000_000 + b'"}'
    decisions, _ = decided(
        "rules: [{name: r, when: 'event.n == 2 || size(event.text) == 10000000', to: a}]\notherwise: {unmatched: drop}",
        long,
        b'{"n":1,"n":2}',
    )
    assert list(decisions.deliveries[0].indices) == [0, 1]


def test_deep_events_are_decided_without_harm() -> None:
    deep: Any = 1
    for _ in range(400):
        deep = {"d": [deep]}
    decisions, _ = decided(
        """
        rules: [{name: r, when: event.d == event.d, set: {event.x: "${event.d}"}, to: a}]
        otherwise: {unmatched: drop}
        """,
        deep,
    )
    assert len(decisions.letters) + len(decisions.deliveries) == 1


def test_a_thousand_rules_and_long_conditions_compile() -> None:
    rules = [{"name": f"r{n}", "when": f"event.n == {n}", "to": f"s{n % 7}"} for n in range(1000)]
    rules += [{"name": "long", "when": " && ".join(f"event.n > {n}" for n in range(200)), "to": "long"}]
    rules += [{"name": "or", "when": " || ".join(f"event.n == -{n}" for n in range(200)), "to": "or"}]
    _, got = decided(
        json.dumps({"from": "s", "rules": rules, "otherwise": {"unmatched": "drop"}}),
        *[{"n": n} for n in (0, 999, 5000, -7, 1000)],
    )
    assert {sink: [event["n"] for event in events] for sink, events in got.items()} == {
        "s0": [0],
        "s5": [999],
        "long": [5000, 1000],
        "or": [-7],
    }


def test_plain_records_never_reach_the_interpreter() -> None:
    flow = flow_of(
        """
        contract: {expect: {positive: event.n >= 0}}
        let: {big: event.n > 5}
        rules:
          - name: step
            when: has(event.user.plan)
            set: {event.tier: "${event.user.plan == 'pro' ? 'gold' : 'plain'}"}
          - name: vip
            when: big && event.tier == "gold"
            to: [a, {sink: b, key: "${event.user.id}", set: {event.user.id: x}}]
          - name: items
            when: size(event.items) > 1
            split: {each: event.items, as: item}
            emit: {i: "${item}"}
            to: a
          - {name: text, when: 'event.name.startsWith("x") || event.name.matches("^y+$") || event.n in [1, 2]', to: b}
          - {name: noise, when: meta.topic == "noise", to: drop}
        otherwise: {unmatched: dead_letter}
        """
    )
    plan = make_plan(flow, Json(), sinks_of(flow))
    generated = generate(flow, plan, Lets(flow.lets), None, Json(), {})
    batch = batch_of(
        {"n": 6, "user": {"plan": "pro", "id": "u"}},
        {"n": 1, "items": [1, 2]},
        {"n": 0, "name": "yy", "user": None},
        {"n": 2, "items": [1], "name": "z"},
        {"n": 7.5, "name": "z"},
        attributes={"topic": ["noise", None, "noise", "noise", "noise"]},
    )
    surprises: list[int] = []
    decisions = Decisions(plan, Crossing(0))
    generated.route(batch, batch.values, "s", 0, decisions, surprises.append)
    assert surprises == []
    assert decisions.matched == {"step": 1, "vip": 1, "items": 1, "text": 2, "noise": 1}


def test_the_generated_code_is_the_same_for_the_same_flow() -> None:
    text = (
        'rules: [{name: r, when: \'event.a in ["x", "y"] && event.b == vars.b\', to: a}]\notherwise: {unmatched: drop}'
    )
    assert ruleset_of(text, names={"b": 1}).code == ruleset_of(text, names={"b": 1}).code


def test_texts_of_the_file_never_become_code() -> None:
    evil = "x'); raise SystemExit('{0}"
    flow = {
        "from": "s",
        "rules": [
            {
                "name": evil,
                "when": f'event["{evil}"] == "{evil}"',
                "set": {f'event["{evil}"]': evil},
                "to": "a",
                "continue": True,
            },
            {"name": "rest", "when": f'event.x.startsWith("{evil}")', "to": {"sink": "a", "topic": evil}},
        ],
        "otherwise": {"unmatched": "drop"},
    }
    decisions, _ = decided(json.dumps(flow), {evil: evil, "x": evil})
    assert list(decisions.deliveries[0].rules) == [evil, "rest"]


def test_unknown_sinks_models_and_settings_are_refused_together() -> None:
    flow = flow_of(
        """
        contract: {model: oder}
        rules: [{name: r, to: [archiv, {sink: vip, topi: x}]}]
        """
    )
    sinks = {"archive": SinkFacts("archive"), "vip": SinkFacts("vip", per_record=frozenset({"topic"}))}
    with pytest.raises(Refused) as refused:
        compile_flow(flow, sinks=sinks, vars={}, models={"order": int})
    shown = "\n".join(map(str, refused.value.faults))
    assert len(refused.value.faults) == 3
    for hint in ("`archive`", "`topic`", "`order`"):
        assert f"did you mean {hint}" in shown


@pytest.mark.parametrize("rule", ["event.n == 1", "event.n == 1 && size(event) == 2"])
@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"9" * 400, b"9" * 5000, b"1" * 400 + b".5"])
def test_a_number_that_no_double_holds_is_json_and_passes_as_it_came(number: bytes, rule: str) -> None:
    payload = b'{"n":1,"x":' + number + b"}"
    ruleset = ruleset_of(f"rules: [{{name: r, when: '{rule}', to: a}}]\notherwise: {{unmatched: drop}}")
    [delivery] = both(ruleset, batch_of(payload)).deliveries
    assert delivery.values == [payload]


PROJECTED = (
    "rules: [{name: r, when: 'event.a.b == 1 || has(event.a.c) || event[\"d-e\"] > 2', to: a}, {name: s, to: b}]"
)


@pytest.mark.parametrize(
    ("payload", "sink"),
    [
        (b'{"a":{"b":1}}', "a"),
        (b'{"a":{"c":null}}', "a"),
        (b'{"a":{"b":2},"d-e":3}', "a"),
        (b'{"a":null,"d-e":3}', "a"),
        (b'{"a":null}', "b"),
        (b'{"a":{}}', "b"),
        (b"{}", "b"),
        (b'{"a":"text"}', "b"),
        (b'{"a":[1]}', "b"),
        (b'{"a":{"b":1},"a":{"b":2}}', "b"),
        (b'{"\\u0061":{"b":1}}', "a"),
        ('{"a":{"b":1},"x":"é"}'.encode(), "a"),
    ],
)
def test_decoding_only_what_is_read_decides_the_same(payload: bytes, sink: str) -> None:
    ruleset = ruleset_of(PROJECTED)
    assert "event.get" not in ruleset.code
    decisions = both(ruleset, batch_of(payload))
    if payload not in (b'{"a":"text"}', b'{"a":[1]}'):
        assert [delivery.sink for delivery in decisions.deliveries] == [sink]


@pytest.mark.parametrize("payload", [b'{"x":"\xff"}', b'{"\xff":1}', b'{"x":"\\ud800"}', b'{"x":NaN}', b'{"x":[1,,2]}'])
def test_what_is_no_json_is_undecodable_even_where_nothing_reads_it(payload: bytes) -> None:
    [letter] = both(ruleset_of(PROJECTED), batch_of(payload)).letters
    assert (letter.stage, letter.reason) == ("decode", "undecodable")


def test_an_event_that_is_read_as_a_whole_is_decoded_as_a_whole() -> None:
    ruleset = ruleset_of("rules: [{name: r, when: 'event.tags.exists(t, t == event.x)', to: a}, {name: s, to: b}]")
    decisions = both(ruleset, batch_of({"tags": ["p", "q"], "x": "q"}, {"tags": [], "x": 1}))
    assert [(d.sink, list(d.indices)) for d in decisions.deliveries] == [("a", [0]), ("b", [1])]


def test_a_record_without_a_time_of_its_own_has_the_time_at_which_it_was_read() -> None:
    ruleset = ruleset_of("""
        rules:
          - {name: r, when: 'has(meta.time)', to: {sink: a, path: "${time.format(meta.time, '%Y-%m-%d')}"}}
          - {name: s, to: b}
        """)
    batch = batch_of({}, {}, times=[0, None], arrived=86_400 * 10**9)
    [delivery] = both(ruleset, batch).deliveries
    assert delivery.settings == {"path": ["1970-01-01", "1970-01-02"]}


def test_an_optional_without_a_value_chooses_nothing() -> None:
    """So a key is passed on where there is one, whatever bytes it is."""
    ruleset = ruleset_of('rules: [{name: r, to: {sink: a, key: "${meta.?key}", topic: "${event.?t}"}}]')
    decisions = both(ruleset, batch_of({"t": "x"}, {}, {"t": "y"}, keys=[b"\xff\x00", None, b"k"]))
    assert decisions.letters == []
    assert dict(decisions.deliveries[0].settings) == {"key": [b"\xff\x00", None, b"k"], "topic": ["x", None, "y"]}
