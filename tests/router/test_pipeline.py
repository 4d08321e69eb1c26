"""The pipeline acknowledges only what is settled, begins again where it must, and drains when it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue
from routing import fate_of
from rulesets import lines_of, ruleset_of

from connectors.memory import MemorySink, MemorySource, Step, records
from router.batch import Batch
from router.errors import EndOfStream, NotConnected, StateError
from router.outlet import Outlet, Policy
from router.pipeline import Pipeline
from router.testing import Books, ruleset_to, running, until
from rules.ruleset import Ruleset


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books(tmp_path)
    yield made
    made.close()


class Line:
    """One source, one pipeline, and sinks ``a`` and ``b``."""

    def __init__(
        self, books: Books, ruleset: Ruleset | None = None, source: MemorySource | None = None, **config: object
    ) -> None:
        self.source = source or MemorySource(MemorySource.Config(**config))  # type: ignore[arg-type]
        self.sinks = {name: MemorySink(MemorySink.Config()) for name in ("a", "b")}
        self.stop = asyncio.Event()
        policy = Policy(backoff=0.001, attempts=2, timeout=5.0, queue_records=6)
        self.outlets = {
            name: Outlet(name, sink, policy, letters=books.box, metrics=books.metrics)
            for name, sink in self.sinks.items()
        }
        self.pipeline = Pipeline(
            "source",
            self.source,
            ruleset or ruleset_to(["a", "b"], ('event.to == "a"', ["a"]), ('event.to == "b"', ["b"])),
            self.outlets,
            letters=books.box,
            metrics=books.metrics,
            stop=self.stop,
        )
        self.pipeline.backoff.initial = 0.001

    async def run(self) -> None:
        """Run until the source has ended or ``stop`` is set, and everything is settled."""
        async with running(*(outlet.run for outlet in self.outlets.values())), asyncio.timeout(30):
            await self.pipeline.run()


def to(*sinks: str) -> Batch:
    events: list[JsonValue] = [{"to": sink, "n": number} for number, sink in enumerate(sinks)]
    return records(*events)


async def test_every_record_goes_where_its_rule_says_and_the_batch_is_acknowledged(books: Books) -> None:
    line = Line(books)
    batch = to("a", "b", "a", "nowhere")
    line.source.push(batch)
    line.source.end()
    await line.run()
    assert line.sinks["a"].values == [batch.values[0], batch.values[2]]
    assert line.sinks["b"].values == [batch.values[1]]
    assert [letter.value for letter in await books.letters()] == [batch.values[3]]
    assert [len(acked) for acked in line.source.acked] == [4]
    assert books.sample("sluiceway_source_records_total", source="source") == 4
    assert books.sample("sluiceway_flow_records_total", flow="flow") == 4
    assert books.sample("sluiceway_unmatched_records_total", flow="flow") == 1
    assert books.sample("sluiceway_routed_deliveries_total", flow="flow", sink="a") == 2


REJECTING = """
flow: flow
from: source
contract: {expect: {to is text: type(event.to) == string}}
rules: [{name: a, when: event.to == "a", to: a}, {name: b, when: event.to == "b", to: b}]
otherwise: {undecodable: reject, invalid: reject, unmatched: drop}
"""


@pytest.mark.parametrize("together", [1, 2, 6])
async def test_what_is_rejected_goes_back_with_what_it_came_with_and_counts_once(books: Books, together: int) -> None:
    """Nothing of a group is delivered, everything of the others is, and the accounts add up to the record."""
    line = Line(books, ruleset_of(REJECTING))
    line.source.together = together
    fates: list[JsonValue] = ["a", 1, "b", "nowhere", "b", "a", None, 2]
    events: list[JsonValue] = [{"to": fate, "n": number} for number, fate in enumerate(fates)]
    batch = records(*(b"{" if fate is None else event for fate, event in zip(fates, events, strict=True)))
    line.source.push(batch)
    line.source.end()
    await line.run()
    gone = {number // together for number in (1, 6, 7)}
    kept = [value for number, value in enumerate(batch.values) if number // together not in gone]
    assert line.source.rejected == [value for value in batch.values if value not in kept]
    assert line.sinks["a"].values == [value for value in kept if b'"a"' in value]
    assert line.sinks["b"].values == [value for value in kept if b'"b"' in value]
    assert [len(acked) for acked in line.source.acked] == [len(batch)]
    assert await books.letters() == []

    def counted(name: str, **labels: str) -> float:
        return books.sample(f"sluiceway_{name}_total", **labels)

    rejected = counted("rejected_records", flow="flow", source="source")
    dropped = counted("dropped_records", flow="flow", rule="otherwise.unmatched")
    routed = [counted("routed_deliveries", flow="flow", sink=sink) for sink in "ab"]
    assert (rejected, counted("source_records", source="source")) == (len(batch) - len(kept), len(batch))
    assert len(batch) == rejected + dropped + sum(routed)
    assert [counted("rule_records", flow="flow", rule=rule) for rule in "ab"] == routed
    assert counted("contract_violations", flow="flow", check="to is text") == 2


async def test_of_a_source_that_cannot_send_back_rejected_records_are_dead_letters(books: Books) -> None:
    """A replay, too, has nobody to tell."""
    line = Line(books, ruleset_of(REJECTING))
    vars(line.pipeline)["_rejects"] = None
    line.source.push(records({"to": 1}, b"{", {"to": "a"}))
    line.source.end()
    await line.run()
    assert [(letter.stage, letter.reason) for letter in await books.letters()] == [
        ("contract", "invalid"),
        ("decode", "undecodable"),
    ]
    assert len(line.sinks["a"].values) == 1
    assert books.sample("sluiceway_contract_violations_total", flow="flow", check="to is text") == 1


async def test_a_source_that_has_ended_is_told_from_one_that_is_away(books: Books) -> None:
    """Both are not connected; nobody has to be woken by the first."""
    line = Line(books)
    line.source.end()
    await line.run()
    shown = [books.sample(f"sluiceway_source_{state}", source="source") for state in ("ended", "paused")]
    assert (books.sample("sluiceway_connected", kind="source", name="source"), *shown) == (0, 1, 0)


async def test_a_whole_batch_that_goes_to_one_sink_is_passed_on_not_copied(books: Books) -> None:
    line = Line(books, ruleset_to(["a"], (None, ["a"])))
    batch = to("x", "y")
    line.source.push(batch)
    line.source.end()
    await line.run()
    assert line.sinks["a"].batches[0].values is batch.values
    assert line.sinks["a"].batches[0].token is None


async def test_nothing_is_acknowledged_before_every_part_is_settled(books: Books) -> None:
    line = Line(books)
    gate = asyncio.Event()

    async def wait(_batch: Batch) -> None:
        await gate.wait()

    line.sinks["b"].on_write = wait
    line.source.push(to("a", "b"), to("a"))
    line.source.end()
    async with asyncio.TaskGroup() as group:
        group.create_task(line.run())
        await until(lambda: len(line.sinks["a"].values) == 2)
        assert line.source.acked == []
        gate.set()
    assert [len(batch) for batch in line.source.acked] == [2, 1]


async def test_the_loop_turns_between_acknowledgements_that_can_all_be_made_at_once(books: Books) -> None:
    line, gate, turns, seen = Line(books), asyncio.Event(), 0, list[int]()

    def turn() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(turn)

    async def wait(_batch: Batch) -> None:
        await gate.wait()

    line.sinks["b"].on_write = wait
    line.source.on_ack = lambda _batch: seen.append(turns)
    line.source.push(to("b"), *[to("a")] * 5)
    line.source.end()
    async with asyncio.TaskGroup() as group:
        group.create_task(line.run())
        await until(lambda: len(line.sinks["a"].values) == 5)
        turn()
        gate.set()
        await until(lambda: len(seen) == 6)
    assert len(set(seen)) == 6


async def test_acknowledgements_of_a_source_that_allows_any_order_overtake(books: Books) -> None:
    line = Line(books, ack_order="any")
    gate = asyncio.Event()

    async def wait(_batch: Batch) -> None:
        await gate.wait()

    line.sinks["b"].on_write = wait
    line.source.push(to("b"), to("a", "a"))
    line.source.end()
    async with asyncio.TaskGroup() as group:
        group.create_task(line.run())
        await until(lambda: line.source.acked)
        assert [len(batch) for batch in line.source.acked] == [2]
        gate.set()
    assert [len(batch) for batch in line.source.acked] == [2, 1]


async def test_a_source_that_goes_away_is_opened_again_and_nothing_is_lost(books: Books) -> None:
    line = Line(books)
    line.source.push(to("a"), NotConnected("gone"), to("b"), ValueError("crashed"), to("a", "b"))
    line.source.end()
    await line.run()
    assert line.source.opens == 3
    assert sum(map(len, line.source.acked)) == 4
    assert set(line.sinks["b"].values) == {b'{"to":"b","n":0}', b'{"to":"b","n":1}'}


async def test_a_failed_acknowledgement_begins_a_new_epoch(books: Books) -> None:
    line, failures = Line(books), iter([RuntimeError("the coordinator moved")])

    def fail_once(_batch: Batch) -> None:
        for failure in failures:
            raise failure

    line.source.on_ack = fail_once
    line.source.push(to("a"))
    line.source.end()
    await line.run()
    assert line.source.opens == 2
    assert len(line.source.acked) == 1
    assert len(line.sinks["a"].values) == 2


async def test_a_position_that_cannot_be_kept_is_tried_again_without_repeating_records(books: Books) -> None:
    line, failures = Line(books), iter([StateError("disk full")])

    def fail_once(_batch: Batch) -> None:
        for failure in failures:
            raise failure

    line.source.on_ack = fail_once
    line.source.push(to("a"))
    line.source.end()
    await line.run()
    assert line.source.opens == 1
    assert len(line.sinks["a"].values) == 1


async def test_stop_reads_no_more_and_settles_what_was_read(books: Books) -> None:
    line = Line(books)
    gate = asyncio.Event()

    async def wait(_batch: Batch) -> None:
        await gate.wait()

    line.sinks["a"].on_write = wait
    line.source.push(to("a"))
    async with asyncio.TaskGroup() as group:
        run = group.create_task(line.run())
        await until(lambda: line.sinks["a"].writes)
        line.stop.set()
        await asyncio.sleep(0.02)
        assert not run.done()
        line.source.push(to("b"))
        gate.set()
    assert [len(batch) for batch in line.source.acked] == [1]
    assert line.sinks["b"].values == []
    assert not line.pipeline.ended


async def test_at_the_end_nothing_waits_for_company(books: Books) -> None:
    line = Line(books)
    for name, sink in line.sinks.items():
        line.outlets[name] = Outlet(name, sink, Policy(batch_wait=3600.0), letters=books.box, metrics=books.metrics)
    line.source.push(to("a"))
    line.source.end()
    await line.run()
    assert len(line.sinks["a"].values) == 1


async def test_what_a_source_that_cannot_replay_loses_at_a_forced_stop_is_counted(books: Books) -> None:
    line = Line(books, replays=False)
    line.sinks["a"].down = True
    line.source.push(to("a", "a", "a"))
    async with running(*(outlet.run for outlet in line.outlets.values())):
        task = asyncio.create_task(line.pipeline.run())
        await until(lambda: line.outlets["a"].queued_records)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert books.sample("sluiceway_abandoned_records_total", source="source") == 3


async def test_letters_of_what_cannot_be_read_again_are_kept_when_its_source_goes_away(books: Books) -> None:
    line = Line(books, replays=False)
    line.source.push(records("no json"), NotConnected("gone"), to("a"))
    line.source.end()
    await line.run()
    assert [letter.value for letter in await books.letters()] == [b"no json"]
    assert len(line.sinks["a"].values) == 1


class Finishing(MemorySource):
    """A source that has taken in what it could not take in again."""

    fails = False

    async def finish(self) -> None:
        """Take in nothing new."""
        if self.fails:
            raise RuntimeError("cannot finish")
        self.push(to("a", "a"))
        self.end()


@pytest.mark.parametrize("is_reading", [True, False])
async def test_a_source_that_can_finish_is_read_to_its_end_at_a_stop(books: Books, is_reading: bool) -> None:
    """Whether the reader waits for it at the moment or not."""
    line = Line(books, source=Finishing(MemorySource.Config()))
    if not is_reading:
        line.sinks["a"].on_write = lambda _: line.stop.set()
    line.source.push(*(to("a") for _ in range(20)))
    async with asyncio.TaskGroup() as group:
        group.create_task(line.run())
        await until(lambda: line.sinks["a"].values)
        line.stop.set()
    assert len(line.sinks["a"].values) == 22
    assert sum(len(batch) for batch in line.source.acked) == 22


async def test_a_source_that_cannot_finish_after_all_is_interrupted(books: Books) -> None:
    source = Finishing(MemorySource.Config())
    source.fails = True
    line = Line(books, source=source)
    source.push(to("a"))
    async with asyncio.TaskGroup() as group:
        group.create_task(line.run())
        await until(lambda: source.acked)
        line.stop.set()
    assert len(line.sinks["a"].values) == 1


async def test_a_sink_that_is_down_stops_reading_when_its_queue_is_full(books: Books) -> None:
    line = Line(books)
    line.sinks["a"].down = True
    line.source.push(*(to("a", "b", "b") for _ in range(20)))
    line.source.end()
    async with asyncio.TaskGroup() as group:
        group.create_task(line.run())
        await until(lambda: line.outlets["a"].queued_records == 6)
        await asyncio.sleep(0.05)
        assert books.sample("sluiceway_source_records_total", source="source") <= 21
        line.sinks["a"].down = False
    assert len(line.sinks["a"].values) == 20
    assert len(line.sinks["b"].values) == 40


async def test_a_spoiled_record_is_a_dead_letter_of_stage_decode(books: Books) -> None:
    line = Line(books)
    batch = to("a", "b")
    batch.spoiled = {0: "longer than 1 MiB"}
    line.source.push(batch)
    line.source.end()
    await line.run()
    [letter] = await books.letters()
    assert (letter.stage, letter.value) == ("decode", batch.values[0])
    assert "longer than 1 MiB" in letter.detail
    assert len(line.sinks["b"].values) == 1


async def test_lag_is_shown_by_partition(books: Books) -> None:
    line = Line(books)
    line.sinks["a"].down = True
    line.source.push(to("a", "a"))
    async with asyncio.TaskGroup() as group:
        group.create_task(line.run())
        await until(lambda: books.sample("sluiceway_source_lag_records", source="source", partition="0") == 2)
        line.sinks["a"].down = False
        line.source.end()
    assert books.sample("sluiceway_source_lag_records", source="source", partition="0") == 0


@given(
    batches=st.lists(st.lists(st.sampled_from("abx"), min_size=1, max_size=4), min_size=1, max_size=8),
    trouble=st.lists(st.tuples(st.integers(0, 8), st.sampled_from([NotConnected("n"), RuntimeError("r")])), max_size=3),
    fates=st.lists(st.sampled_from(["ok", "down", "crash", "retry", "refuse"]), max_size=12),
    acks=st.lists(st.booleans(), max_size=6),
    many=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_fails_in_whatever_order_no_record_is_lost(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[str]],
    trouble: list[tuple[int, Exception]],
    fates: list[str],
    acks: list[bool],
    many: int,
) -> None:
    """Be they in a list (0) or ``many`` in each block."""
    books = Books(tmp_path_factory.mktemp("state"))
    try:
        asyncio.run(_nothing_is_lost(books, batches, trouble, fates, acks, many))
    finally:
        books.close()


async def _nothing_is_lost(
    books: Books,
    batches: list[list[str]],
    trouble: list[tuple[int, Exception]],
    fates: list[str],
    acks: list[bool],
    many: int,
) -> None:
    line, fate, ack_script = Line(books), fate_of(fates), iter(acks)

    def ack(_batch: Batch) -> None:
        if not next(ack_script, True):
            raise RuntimeError("ack failed")

    for sink in line.sinks.values():
        sink.on_write = fate
    line.source.on_ack = ack
    sent: list[bytes] = []
    steps: list[Step] = []
    for number, names in enumerate(batches):
        events: list[JsonValue] = [{"to": name, "id": f"{number}.{i}"} for i, name in enumerate(names)]
        batch = records(*events)
        steps.append(replace(batch, values=lines_of(batch.values, many)) if many else batch)
        sent += batch.values
    for position, error in sorted(trouble, key=lambda pair: -pair[0]):
        steps.insert(min(position, len(steps)), error)
    line.source.push(*steps)
    line.source.end()
    await line.run()
    ended = {*line.sinks["a"].values, *line.sinks["b"].values, *(letter.value for letter in await books.letters())}
    assert ended == set(sent)
    assert sum(map(len, line.source.acked)) == len(sent)
    assert line.pipeline.unsettled_records == 0


async def test_what_an_epoch_leaves_under_way_stays_unsettled_until_it_has_landed(books: Books) -> None:
    """Of a source that cannot replay: nothing will be acknowledged, and yet it is not gone."""
    line = Line(books, replays=False)
    line.sinks["a"].down = True
    line.source.push(to("a", "b", "a"), NotConnected("away"), to("b"))
    line.source.end()
    async with running(*(outlet.run for outlet in line.outlets.values())), asyncio.timeout(30):
        task = asyncio.create_task(line.pipeline.run())
        await until(lambda: line.pipeline.ended)
        assert line.pipeline.unsettled_records == 3
        assert not task.done()
        line.sinks["a"].down = False
        await task
    assert line.pipeline.unsettled_records == 0
    assert (len(line.sinks["a"].values), len(line.sinks["b"].values)) == (2, 2)
    assert books.sample("sluiceway_abandoned_records_total", source="source") == 0


@pytest.mark.parametrize("replays", [True, False])
async def test_when_a_sink_has_ended_the_others_get_what_is_theirs_and_nothing_of_it_is_acknowledged(
    books: Books, *, replays: bool
) -> None:
    line = Line(books, replays=replays)

    def end(batch: Batch) -> None:
        if len(line.sinks["a"].values) >= 2:
            raise EndOfStream("gone")

    line.sinks["a"].on_write = end
    line.outlets["a"] = Outlet(
        "a", line.sinks["a"], Policy(batch_records=2), letters=books.box, metrics=books.metrics, ended=line.stop.set
    )
    line.pipeline.reroute(line.pipeline.ruleset, line.outlets)
    line.source.push(to("a", "a", "b"), *[to("a", "b", "a") for _ in range(20)])
    await line.run()
    read = 1 + len(line.sinks["b"].values)
    assert line.sinks["a"].values == to("a", "a").values
    assert len(line.source.acked) == 1
    assert read > 2
    assert line.outlets["a"].queued_records == 0
    abandoned = books.sample("sluiceway_abandoned_records_total", source="source")
    assert abandoned == (0 if replays else 3 * (len(line.sinks["b"].values) - 1))


class Telling(MemorySource):
    """A source that is told of each record as soon as it is safe."""

    settled: list[int]

    async def settle(self, token: object, indices: Sequence[int]) -> None:
        self.settled += indices


async def test_a_record_need_not_wait_for_those_that_came_beside_it(books: Books) -> None:
    """What is dropped, kept as a dead letter or delivered is told before what another sink does not take yet."""
    source = Telling(MemorySource.Config())
    source.settled = []
    line = Line(books, source=source)
    line.sinks["b"].down = True
    source.push(to("a", "b", "a", "nowhere"))
    source.end()
    running_line = asyncio.create_task(line.run())
    await until(lambda: sorted(source.settled) == [0, 2, 3])
    assert not source.acked
    line.sinks["b"].down = False
    await running_line
    assert sorted(source.settled) == [0, 2, 3]
    assert len(source.acked) == 1


async def test_what_was_told_to_be_safe_is_not_given_up(books: Books) -> None:
    """A forced stop counts as abandoned what is not delivered, and nothing twice."""
    source = Telling(MemorySource.Config(replays=False))
    source.settled = []
    line = Line(books, source=source)
    line.sinks["b"].down = True
    source.push(to("a", "b", "a", "b"))
    task = asyncio.create_task(line.run())
    await until(lambda: sorted(source.settled) == [0, 2])
    task.cancel()
    await asyncio.wait([task])
    assert books.sample("sluiceway_abandoned_records_total", source="source") == 2
