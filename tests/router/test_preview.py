"""The comparison of two configurations over the same records, as a library."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from router.batch import Batch
from router.config import Configuration, load
from router.letter import Letter
from router.preview import Difference, Looked, of_file, of_letters, of_samples, of_told, preview
from rules.faults import Refused

DAEMON = """
http: null
vars: {token: "${env:TOKEN:-none}"}
sources: {orders: {type: memory}, lines: {type: memory, decode: text}}
sinks:
  vip: {type: file, path: vip.ndjson}
  rest: {type: file, path: "${event.tenant}.ndjson", allow: {path: ["a*"]}}
flows: [rules/*.yaml]
"""
ORDERS = """
flow: orders
from: [orders]
contract: {expect: {positive: event.amount > 0}}
rules:
  - {name: noise, when: event.type == "noise", to: drop}
  - {name: vip, when: event.amount > 500, to: vip}
  - {name: rest, to: rest}
"""


def made(folder: Path, rules: str = ORDERS, daemon: str = DAEMON, **environment: str) -> Configuration:
    (folder / "rules").mkdir(parents=True, exist_ok=True)
    (folder / "sluiceway.yaml").write_text(daemon)
    (folder / "rules" / "orders.yaml").write_text(rules)
    return load([folder / "sluiceway.yaml"], environment)


def looked(*events: Mapping[str, Any] | bytes, flow: str = "orders", source: str = "orders") -> list[Looked]:
    values = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    return [Looked(flow, source, Batch(values), [f"record {number}" for number in range(len(values))])]


def compared(folder: Path, new: str, records: Iterable[Looked], old: str = ORDERS, **options: Any) -> Difference:
    return preview(made(folder / "old", old), made(folder / "new", new), records, **options)


def told(difference: Difference) -> list[tuple[tuple[str, ...], tuple[str, ...], int]]:
    return [(group.before, group.after, group.records) for group in difference.moves]


A = {"amount": 300, "tenant": "a1"}
B = {"amount": 900, "tenant": "a1"}


def test_records_that_go_elsewhere_are_grouped_counted_and_explained_on_both_sides(tmp_path: Path) -> None:
    difference = compared(
        tmp_path,
        ORDERS.replace("> 500", "> 200").replace("> 0", "> 10"),
        looked(A, B, A, {"amount": 5, "tenant": "a1"}, b"no json", {"type": "noise", "amount": 900}),
        examples=1,
    )
    assert told(difference) == [(("rest",), ("vip",), 2), (("rest",), ("dead_letter (invalid)",), 1)]
    assert (difference.records, difference.moved, difference.changed, difference.spoilt, difference.healed) == (
        6, 3, 0, 1, 0,
    )  # fmt: skip
    assert [(c.to, c.reason, c.rule, c.old, c.new, c.difference) for c in difference.counts] == [
        ("rest", "", "rest", 3, 0, -3),
        ("vip", "", "vip", 1, 3, 2),
        ("drop", "", "noise", 1, 1, 0),
        ("dead_letter", "invalid", "", 0, 1, 1),
        ("dead_letter", "undecodable", "", 1, 1, 0),
    ]
    [example] = difference.moves[0].examples
    assert (example.name, example.payload) == ("record 0", json.dumps(A).encode())
    before, after = example.explained
    assert before is not None
    assert after is not None
    assert [(step.name, step.fate) for step in before.rules] == [
        ("noise", "missing"), ("vip", "unmatched"), ("rest", "matched"),
    ]  # fmt: skip
    assert [(step.name, step.fate) for step in after.rules][1] == ("vip", "matched")
    assert [name for name, _ in after.goes()] == ["vip"]


def test_of_a_record_that_moves_it_is_told_too_how_the_rest_of_it_changes(tmp_path: Path) -> None:
    new = ORDERS.replace("to: vip}", "to: vip, continue: true, set: {event.n: 1}}").replace("> 500", "> 100")
    old = ORDERS.replace("to: rest}", "to: rest}\n")
    difference = compared(tmp_path, new, looked(B), old=old)
    assert told(difference) == [(("vip",), ("rest", "vip"), 1)]
    [change] = difference.moves[0].examples[0].changes
    assert (change.to, change.what, difference.changed) == ("vip", "payload", 0)


def test_the_same_configuration_differs_in_nothing_whatever_is_random_or_of_the_moment(tmp_path: Path) -> None:
    """``now()``, ``uuid()`` and ``uuid.v7()`` are the same for both sides."""
    rules = ORDERS.replace(
        "to: vip", 'set: {event.id: "${uuid()}", event.v: "${uuid.v7()}", event.at: "${now()}"}, to: vip'
    )
    difference = compared(tmp_path, rules, looked(*[A, B] * 50), old=rules)
    assert difference.is_none
    assert not difference.groups


@given(st.lists(st.fixed_dictionaries({"amount": st.integers(-3, 9), "tenant": st.sampled_from(["a", "b"])})))
def test_the_counts_add_up(events: list[dict[str, Any]]) -> None:
    """Each record has one end on either side, and whatever goes elsewhere is in one group of moves."""
    old, new = _sides()
    difference = preview(old, new, looked(*events), examples=0)
    assert sum(count.old for count in difference.counts) == len(events) == difference.records
    assert sum(count.new for count in difference.counts) == len(events)
    assert sum(group.records for group in difference.moves) == difference.moved
    assert sum(abs(count.difference) for count in difference.totals) <= 2 * difference.moved


@pytest.fixture(scope="module", autouse=True)
def _made_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("sides")
    _SIDES.append((made(folder / "old"), made(folder / "new", ORDERS.replace("> 500", "> 2"))))


_SIDES: list[tuple[Configuration, Configuration]] = []


def _sides() -> tuple[Configuration, Configuration]:
    return _SIDES[0]


def test_what_goes_out_changed_to_the_same_sink_is_told_with_the_fields_that_differ(tmp_path: Path) -> None:
    old = ORDERS.replace("to: vip", "set: {event.tier: gold}, to: [{sink: vip, key: a}]")
    new = old.replace("gold", "silver").replace("key: a", "key: b")
    daemon = DAEMON.replace("{type: file, path: vip.ndjson}", "{type: memory}")
    sides = made(tmp_path / "old", old, daemon), made(tmp_path / "new", new, daemon)
    difference = preview(*sides, looked(A, B))
    assert (difference.moved, difference.changed) == (0, 1)
    [group] = difference.changes
    assert group.changed == ("vip: payload", "vip: key")
    [example] = group.examples
    payload, key = example.changes
    assert payload.fields is not None
    assert [(field.path, field.before, field.after) for field in payload.fields.listed] == [
        ("event.tier", "gold", "silver")
    ]
    assert (key.what, key.before, key.after) == ("key", b"a", b"b")


def test_a_sink_that_writes_elsewhere_changes_every_delivery_though_no_rule_is_another(tmp_path: Path) -> None:
    """Per-record settings count as they hold, whether a record chose them or not."""
    old = made(tmp_path / "old")
    new = made(tmp_path / "new", daemon=DAEMON.replace("vip.ndjson", "best.ndjson"))
    difference = preview(old, new, looked(A, B))
    [group] = difference.changes
    assert group.changed == ("vip: path",)
    assert group.records == 1


def test_the_same_event_that_is_written_otherwise_says_so(tmp_path: Path) -> None:
    new = ORDERS.replace("to: vip", "set: {event.amount: '${event.amount}'}, to: vip")
    difference = compared(tmp_path, new, looked(b'{ "amount":900 }'))
    [example] = difference.changes[0].examples
    assert example.changes[0].fields is not None
    assert example.changes[0].fields.total == 0


def test_what_allow_refuses_is_a_dead_letter_on_that_side(tmp_path: Path) -> None:
    difference = preview(
        made(tmp_path / "old"),
        made(tmp_path / "new", daemon=DAEMON.replace('["a*"]', '["b*"]')),
        looked(A),
    )
    assert told(difference) == [(("rest",), ("dead_letter (not_allowed)",), 1)]


def test_another_rule_to_the_same_sink_is_no_move_and_shows_in_the_counts(tmp_path: Path) -> None:
    difference = compared(tmp_path, ORDERS.replace("name: vip", "name: best"), looked(B))
    assert difference.is_none
    assert [(c.rule, c.old, c.new) for c in difference.counts] == [("best", 0, 1), ("vip", 1, 0)]


def test_a_source_that_nobody_reads_any_more_is_an_end_of_its_own(tmp_path: Path) -> None:
    new = made(tmp_path / "new", ORDERS.replace("flow: orders", "flow: all").replace("[orders]", "[lines]"))
    difference = preview(made(tmp_path / "old"), new, looked(A))
    assert told(difference) == [(("rest",), ("not_read",), 1)]
    assert difference.moves[0].examples[0].explained[1] is None


def test_a_renamed_flow_still_reads_its_source(tmp_path: Path) -> None:
    difference = compared(tmp_path, ORDERS.replace("flow: orders", "flow: sales"), looked(A))
    assert difference.is_none
    assert {count.flow for count in difference.counts} == {"orders", "sales"}


def test_gates_begin_anew_and_are_explained_as_they_were_when_the_record_came(tmp_path: Path) -> None:
    """A record is held in its explanation, too, and a preview has said what gates mean to it."""
    new = ORDERS.replace("to: rest}", "dedupe: {key: event.tenant, within: 1h}, to: rest}")
    difference = compared(tmp_path, new, looked(A, A, {"amount": 3, "tenant": "a2"}, A))
    assert told(difference) == [(("rest",), ("drop",), 2)]
    for example in difference.moves[0].examples:
        after = example.explained[1]
        assert after is not None
        assert [gate.result for step in after.rules for gate in step.gates] == ["held"]
    assert [(c.to, c.new) for c in difference.counts] == [("rest", 2), ("drop", 2)]
    assert len(difference.notes) == 1


def test_it_is_bounded_in_records_and_in_examples(tmp_path: Path) -> None:
    difference = compared(tmp_path, ORDERS.replace("> 500", "> 200"), looked(*[A] * 9), most=5, examples=2)
    assert (difference.records, difference.moved, difference.is_cut) == (5, 5, True)
    assert len(difference.moves[0].examples) == 2
    assert compared(tmp_path, ORDERS, looked(A), seconds=-1.0).is_cut
    assert not compared(tmp_path, ORDERS, looked(A), most=1).is_cut


def test_it_runs_in_a_thread_and_leaves_the_clock_of_others_alone(tmp_path: Path) -> None:
    rules = ORDERS.replace("to: vip", 'set: {event.id: "${uuid()}"}, to: vip')
    old, new = made(tmp_path / "old", rules), made(tmp_path / "new", rules)

    async def both() -> tuple[Difference, Difference]:
        first, second = await asyncio.gather(
            asyncio.to_thread(preview, old, new, looked(*[B] * 99)), asyncio.to_thread(preview, old, new, looked(B))
        )
        return first, second

    assert all(difference.is_none for difference in asyncio.run(both()))
    from rules import cel

    assert cel.compile("uuid() != uuid()").evaluate({}) is True


def test_a_file_is_framed_as_its_source_frames_it_in_blocks(tmp_path: Path) -> None:
    """However the blocks fall, each record is there once, by its number, with what is known of all of them."""
    configuration = made(tmp_path / "old", ORDERS.replace("event.amount > 500", 'meta.topic == "t"'))
    spec = configuration.sources["orders"]
    data = b"".join(b'{"amount": %d, "tenant": "a"}\n' % number for number in range(1, 20_001))
    seen: list[int] = []
    records = list(of_file("orders", spec, io.BytesIO(data), {"topic": "t"}, seen.append))
    assert len(records) > 1
    names = [name for one in records for name in (one.names[0], one.names[len(one.batch) - 1])]
    assert (names[0], names[-1]) == ("record 1", "record 20000")
    assert seen[-1] == len(data)
    difference = preview(configuration, configuration, records)
    assert [(c.to, c.old) for c in difference.counts] == [("vip", 20_000)]


def test_dead_letters_go_through_the_flow_that_they_were_in(tmp_path: Path) -> None:
    """Whatever reads their source by now; and it is counted which would fail again."""
    letters = [
        Letter(time=0, flow="orders", stage="contract", source="orders", reason="invalid", value=value, id=number)
        for number, value in enumerate([b'{"amount":-1,"tenant":"a"}', b'{"amount":-9}', b"{"] * 400, 1)
    ]
    difference = compared(tmp_path, ORDERS.replace("event.amount > 0", "event.amount > -5"), of_letters(letters))
    assert told(difference) == [(("dead_letter (invalid)",), ("rest",), 400)]
    assert (difference.records, difference.healed, difference.still) == (1200, 400, 800)
    assert difference.moves[0].examples[1].name == "dead letter 4"


def test_every_fault_of_both_sides_is_told(tmp_path: Path) -> None:
    table = "tables: {t: {type: csv, path: there-is-none.csv, key: k}}\n"
    old, new = made(tmp_path / "old", daemon=DAEMON + table), made(tmp_path / "new", daemon=DAEMON + table)
    with pytest.raises(Refused) as refused:
        preview(old, new, [])
    assert len(refused.value.faults) == 2


def test_its_json_masks_the_secrets_of_both_sides(tmp_path: Path) -> None:
    rules = ORDERS.replace("to: vip", "set: {event.t: '${vars.token}'}, to: vip")
    old = made(tmp_path / "old", rules, TOKEN="sesame-open")
    new = made(tmp_path / "new", rules, TOKEN="sesame-close")
    difference = preview(old, new, looked(B, {"amount": 900, "note": "sesame-close"}))
    whole = json.dumps(difference.as_json())
    assert difference.changed == 2
    assert "sesame" not in whole
    assert json.loads(whole)["changes"][0]["examples"][0]["changes"][0]["fields"][0]["path"] == "event.t"


@dataclass
class Kept:
    """What a daemon has kept of a flow, as far as a preview asks for it."""

    flow: str
    source: str
    batch: Batch
    is_whole: bool = True


def test_samples_of_a_daemon_are_looked_at_as_if_they_had_just_come(tmp_path: Path) -> None:
    """Of one that was too long to be kept nothing can be said."""
    batches = [looked(A)[0].batch, looked(B)[0].batch, Batch([b""])]
    samples = [Kept("orders", "orders", batch, is_whole=bool(batch.values[0])) for batch in batches]
    difference = compared(tmp_path, ORDERS.replace("> 500", "> 200"), of_samples(samples))
    assert (difference.records, told(difference)) == (2, [(("rest",), ("vip",), 1)])
    assert difference.moves[0].examples[0].name == "sample 1"


def test_samples_as_the_api_tells_them_are_written_again_as_their_source_decodes_them(tmp_path: Path) -> None:
    """With the key, the headers, the time and the attributes that they came with."""
    rules = ORDERS.replace(
        "event.amount > 500",
        'meta.key == "k" && meta.headers.h == "v" && meta.topic == "t" && string(meta.time) == "2026-01-01T00:00:00Z"',
    )
    meta = {"key": "k", "headers": {"h": "v"}, "topic": "t", "time": "2026-01-01T00:00:00Z"}
    common = {"flow": "orders", "source": "orders", "meta": meta, "value": None}
    samples: list[dict[str, Any]] = [
        {**common, "event": A},
        {**common, "event": None, "value": "no json"},
        {**common, "event": None, "value": {"base64": "/w=="}},
        {**common, "event": None},
        {**common, "event": A, "source": "gone"},
    ]
    configuration = made(tmp_path / "old", rules)
    difference = preview(configuration, configuration, of_told(samples, configuration.sources))
    assert [(c.to, c.reason, c.old) for c in difference.counts] == [("vip", "", 1), ("dead_letter", "undecodable", 2)]


def test_of_a_record_that_must_not_be_shown_whole_only_the_places_that_differ_are_told(tmp_path: Path) -> None:
    """An explanation that has another payload than the record says which one that is."""
    old = ORDERS.replace("to: vip", "set: {event.tier: gold}, to: vip")
    difference = compared(tmp_path, old.replace("gold", "silver"), looked(B), old=old)
    [group] = difference.changes
    [example] = group.examples
    assert not example.is_hidden
    before, after = example.explained
    assert before is not None
    group.examples[0] = replace(example, explained=(replace(before, raw=b'{"amount": "***"}'), after))
    [shown] = json.loads(json.dumps(difference.as_json()))["changes"][0]["examples"]
    assert shown["record"] == '{"amount": "***"}'
    assert shown["changes"] == [{"to": "vip", "what": "payload", "fields": [{"path": "event.tier"}]}]
