"""Gates in a pipeline: what is pending, what is remembered, what comes again, and what survives a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue
from rulesets import flow_of, sinks_of

from connectors.memory import MemorySink, MemorySource, records
from router.batch import Batch, Lease
from router.errors import NotConnected, StateError
from router.gatekeeper import Gatekeeper, gatekeepers
from router.outlet import Outlet, Policy
from router.pipeline import Pipeline
from router.replay import Replayer
from router.replay_jobs import ReplayJobs
from router.testing import Books, running, until
from rules.flow import Flow
from rules.gates import digest
from rules.ruleset import compile_flow

SECOND = 10**9

ONCE = """
flow: flow
from: [source, other]
rules:
  - {name: once, dedupe: {key: event.id, within: 1h, persist: true}, to: a, when: event.to == "a"}
  - {name: both, dedupe: {key: event.id, within: 1h}, to: [a, b], when: event.to == "both"}
otherwise: {unmatched: drop}
"""


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books(tmp_path / "state")
    yield made
    made.close()


class Line:
    """Sources ``source`` and ``other`` of one flow to sinks ``a`` and ``b``."""

    def __init__(self, books: Books, gates: Gatekeeper | None, text: str = ONCE, **config: object) -> None:
        flow = flow_of(text)
        self.sources = [MemorySource(MemorySource.Config(**config)) for _ in flow.sources]  # type: ignore[arg-type]
        self.sinks = {name: MemorySink(MemorySink.Config()) for name in ("a", "b")}
        self.stop = asyncio.Event()
        policy = Policy(backoff=0.001, attempts=2, timeout=5.0)
        self.outlets = {
            name: Outlet(name, sink, policy, letters=books.box, metrics=books.metrics)
            for name, sink in self.sinks.items()
        }
        self.ruleset = compile_flow(flow, sinks=sinks_of(flow), vars={}, models={})
        self.pipelines = [
            Pipeline(
                name, source, self.ruleset, self.outlets,
                letters=books.box, metrics=books.metrics, stop=self.stop, gates=gates,
            )
            for (name, _), source in zip(flow.sources, self.sources, strict=True)
        ]  # fmt: skip
        for pipeline in self.pipelines:
            pipeline.backoff.initial = 0.001

    async def run(self) -> None:
        """Run until both sources have ended and everything is settled."""
        async with running(*(outlet.run for outlet in self.outlets.values())), asyncio.timeout(30):
            await asyncio.gather(*(pipeline.run() for pipeline in self.pipelines))


async def keeper(books: Books, text: str = ONCE) -> Gatekeeper:
    return (await gatekeepers([flow_of(text)], books.state, books.metrics))["flow"]


def came(number: int, to: str = "a", **more: JsonValue) -> JsonValue:
    return {"id": number, "to": to, **more}


def kept(books: Books) -> list[tuple[int, bytes]]:
    """The digests in the state folder, by gate."""
    rows = books.state.look_up("SELECT gate, digests FROM gate_keys ORDER BY id")
    return [(gate, found[at : at + 16]) for gate, found in rows for at in range(0, len(found), 16)]


def sample(books: Books, result: str, rule: str = "once") -> float:
    labels = {"flow": "flow", "rule": rule, "gate": "dedupe", "result": result}
    return books.sample("sluiceway_gate_records_total", **labels)


async def test_keys_are_kept_before_the_acknowledgement_and_found_at_the_next_start(books: Books) -> None:
    line = Line(books, await keeper(books))
    line.sources[0].on_ack = lambda batch: seen.append((len(batch), len(kept(books))))
    seen: list[tuple[int, int]] = []
    line.sources[0].push(records(came(1), came(2), came(1), {"to": "a"}, came(1, "both")), records(came(3), came(2)))
    for source in line.sources:
        source.end()
    await line.run()
    assert seen == [(5, 2), (2, 3)]
    assert len(line.sinks["a"].values) == 5
    assert (sample(books, "passed"), sample(books, "held"), sample(books, "missing_key")) == (3, 2, 1)
    assert books.sample("sluiceway_gate_keys", flow="flow", rule="once", gate="dedupe") == 3
    assert books.sample("sluiceway_dropped_records_total", flow="flow", rule="once") == 2

    again = Line(books, await keeper(books))
    again.sources[1].push(records(came(2), came(4), came(1, "both")))
    for source in again.sources:
        source.end()
    await again.run()
    assert again.sinks["a"].values == records(came(4), came(1, "both")).values


async def test_what_is_dropped_by_a_gate_adds_up(books: Books) -> None:
    line = Line(books, await keeper(books))
    events = [came(n % 7, ("a", "both", "nowhere")[n % 3]) for n in range(100)]
    line.sources[0].push(records(*events[:30]), records(*events[30:]))
    for source in line.sources:
        source.end()
    await line.run()

    def counted(name: str, **labels: str) -> float:
        return books.sample(f"sluiceway_{name}_total", flow="flow", **labels)

    dropped = [counted("dropped_records", rule=rule) for rule in ("once", "both", "otherwise.unmatched")]
    routed = [counted("routed_deliveries", sink=sink) for sink in ("a", "b")]
    twice = sample(books, "passed", "both")
    assert books.sample("sluiceway_source_records_total", source="source") == 100
    assert sum(dropped) + sum(routed) - twice == 100
    assert [sample(books, "held", rule) for rule in ("once", "both")] == dropped[:2]


async def test_a_record_whose_delivery_fails_comes_again_and_is_no_duplicate(books: Books) -> None:
    """An acknowledgement fails after the first write, so everything since comes again, its held records included."""
    line = Line(books, await keeper(books))
    source = line.sources[0]
    opened: list[int] = []

    def hook() -> None:
        opened.append(len(kept(books)))

    source.on_open = hook
    source.push(records(came(1)), NotConnected("gone"), records(came(1), came(2)))
    for one in line.sources:
        one.end()
    gone = asyncio.Event()

    async def hang(_: Batch) -> None:
        if not gone.is_set():
            await gone.wait()

    line.sinks["a"].on_write = hang
    running_line = asyncio.create_task(line.run())
    await until(lambda: source.opens == 2)
    gone.set()
    await running_line
    # The first write could not be called back: that is the repeat of at least once, and its key is pending no more.
    assert line.sinks["a"].values == records(came(1), came(1), came(2)).values
    assert [len(batch) for batch in source.acked] == [1, 2]
    assert sample(books, "held") == 1


async def test_a_duplicate_from_another_source_waits_for_the_first(books: Books) -> None:
    """It is not acknowledged before the first has landed; when that is given up, both come again."""
    line = Line(books, await keeper(books))
    first, second = line.sources
    gone = asyncio.Event()

    async def hang(_: Batch) -> None:
        await gone.wait()

    line.sinks["a"].on_write = hang
    first.push(records(came(1)))
    running_line = asyncio.create_task(line.run())
    await until(lambda: line.sinks["a"].writes == 1)
    second.push(records(came(1, again=True)))
    await until(lambda: sample(books, "held") == 1)
    await asyncio.sleep(0.02)
    assert second.acked == []
    first.push(NotConnected("gone"))
    await until(lambda: second.opens == 2 and first.opens == 2)
    gone.set()
    for source in line.sources:
        source.end()
    await running_line
    assert [len(source.acked) for source in line.sources] == [1, 1]
    assert line.sinks["a"].values[0] == records(came(1)).values[0]


async def test_sources_that_lean_on_each_other_do_not_wait_for_ever(books: Books) -> None:
    line = Line(books, await keeper(books))
    gone = asyncio.Event()

    async def hang(_: Batch) -> None:
        await gone.wait()

    line.sinks["a"].on_write = hang
    running_line = asyncio.create_task(line.run())
    for number, source in enumerate(line.sources):
        source.push(records(came(number)))
    await until(lambda: sample(books, "passed") == 2)
    for number, source in enumerate(line.sources):
        source.push(records(came(1 - number), came(2 + number)))
    await until(lambda: sample(books, "held") == 2)
    for number, source in enumerate(line.sources):
        source.push(records(came(3 - number)))
        source.end()
    await until(lambda: sample(books, "held") == 4)
    gone.set()
    await running_line
    assert len(line.sinks["a"].values) == 4
    assert [sum(map(len, source.acked)) for source in line.sources] == [4, 4]


async def test_keys_that_cannot_be_kept_hold_up_the_acknowledgement(books: Books) -> None:
    gates = await keeper(books)
    line = Line(books, gates)
    real, failures = books.state.commit, [StateError("the disk is full")] * 2

    async def failing(work: object, entries: int) -> None:
        if failures:
            raise failures.pop()
        await real(work, entries)  # type: ignore[arg-type]

    vars(books.state)["commit"] = failing
    line.sources[0].push(records(came(1)))
    for source in line.sources:
        source.end()
    await line.run()
    assert failures == []
    assert kept(books) == [(1, digest(1))]
    assert line.sources[0].opens == 1


async def test_what_is_left_to_another_reader_has_brought_no_key(books: Books) -> None:
    """A lease that is revoked before the delivery: should the partition come back, the record is decided anew."""
    gates = await keeper(books)
    line = Line(books, gates)
    lost, held = Lease("0"), Lease("1")
    lost.revoke()
    batch = replace(records(came(1), came(2)), leases=[lost, held])
    line.sources[0].push(batch, replace(records(came(1), came(2)), leases=[held, held]))
    for source in line.sources:
        source.end()
    await line.run()
    assert sorted(line.sinks["a"].values) == sorted(records(came(1), came(2)).values)
    assert [key for _, key in kept(books)] == [digest(2), digest(1)]


async def test_a_dead_letter_of_the_flow_is_replayed_through_its_gates(books: Books) -> None:
    """What was an error has brought no key, so its replay passes; a second one with its key is held."""
    text = ONCE.replace("to: a,", "to: {sink: a, set: {event.x: '${event.n + 1}'}},")
    gates = await keeper(books, text)
    line = Line(books, gates, text)
    line.sources[0].push(records(came(1), came(1)))
    for source in line.sources:
        source.end()
    await line.run()
    assert len(await books.letters()) == 2
    mended = compile_flow(flow := flow_of(ONCE), sinks=sinks_of(flow), vars={}, models={})
    replayer = Replayer(
        books.store,
        line.outlets,
        lambda *_: mended,
        {"flow": gates},
        letters=books.box,
        metrics=books.metrics,
        audit=books.audit,
    )
    jobs = ReplayJobs(books.store)
    await jobs.request(await jobs.begin(None), [letter.id for letter in await books.letters()])
    async with running(*(outlet.run for outlet in line.outlets.values())):
        await replayer.drain(asyncio.Event())
    assert line.sinks["a"].values == records(came(1)).values
    assert await books.letters() == []
    assert kept(books) == [(1, digest(1))]


async def test_expired_keys_are_neither_read_nor_kept(books: Books) -> None:
    text = ONCE.replace("1h, persist", "1s, persist")
    gates = await keeper(books, text)
    for age in (0, 3):
        crossing = gates.cross(Batch([]).arrived - age * SECOND)
        crossing.turns[0].admits(0, f"key {age}")
        await gates.remember(crossing)
    assert len(kept(books)) == 2
    again = await keeper(books, text)
    assert [key for _, key in kept(books)] == [digest("key 0")]
    crossing = again.cross(Batch([]).arrived)
    assert [crossing.turns[0].admits(0, f"key {age}") for age in (0, 3)] == [False, True]


async def test_keys_belong_to_a_flow_a_rule_and_an_expression(books: Books) -> None:
    """Whatever else is changed, they stay; with another expression, it begins anew."""

    async def knows(text: str, gate: int = 0) -> bool:
        return not (await keeper(books, text)).cross(Batch([]).arrived).turns[gate].admits(0, 1)

    first = (await keeper(books)).cross(Batch([]).arrived)
    first.turns[0].admits(0, 1)
    await (await keeper(books)).remember(first)
    moved = ONCE.replace("rules:\n", "rules:\n  - {name: new, sample: {ratio: 1%}, to: b, when: event.x}\n")
    assert await knows(ONCE)
    assert await knows(moved, 1)
    assert await knows(ONCE.replace("1h", "2h"))
    assert not await knows(ONCE.replace("name: once", "name: twice"))
    assert not await knows(ONCE.replace("event.id, within: 1h, persist", "event.no, within: 1h, persist"))
    assert not await knows(ONCE.replace(", persist: true", ""))


async def test_flows_without_gates_have_no_keeper(books: Books) -> None:
    flow: Flow = flow_of("flow: plain\nfrom: s\nrules: [{name: r, to: a}]")
    assert await gatekeepers([flow], books.state, books.metrics) == {}
