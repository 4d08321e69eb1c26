"""Replays: each letter once, where it belongs, no faster than asked; and what fails again takes its own place."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import memory
from router import Batch, WriteError
from router.deadletters import DeadLetters
from router.letter import Letter
from router.replay import Pace, Replayer
from router.replay_jobs import Progress, ReplayJobs
from router.state import StateDir
from router.testing import Books, ruleset_to, running, until
from rules.codecs import Json


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books(tmp_path)
    yield made
    made.close()


def letters(count: int, **changed: Any) -> list[Letter]:
    plain: dict[str, Any] = {
        "time": 1, "flow": "flow", "stage": "sink", "source": "source", "sink": "sink", "reason": "refused",
        "attempts": 2,
    }  # fmt: skip
    return [Letter(**{"value": b'{"n":%d}' % number, **plain, **changed}) for number in range(count)]


async def job_of(books: Books, rate: float | None = None, *, through_flow: bool = False) -> int:
    jobs = ReplayJobs(books.store)
    job = await jobs.begin(rate, through_flow=through_flow)
    async for ids in books.store.ids():
        await jobs.request(job, ids)
    return job


async def drained(books: Books, sinks: dict[str, memory.MemorySink]) -> None:
    """Replay all that is requested, through a flow that sends what has an ``n`` to every sink."""
    outlets = {name: books.outlet(name, sink) for name, sink in sinks.items()}
    ruleset = ruleset_to(list(sinks), ("event.n >= 0", list(sinks)), decode=Json())
    replayer = Replayer(
        books.store,
        outlets,
        lambda flow, source: ruleset if flow == "flow" else None,
        {},
        letters=books.box,
        metrics=books.metrics,
        audit=books.audit,
    )
    async with running(*(outlet.run for outlet in outlets.values())):
        await replayer.drain(asyncio.Event())


def sink(*refused: bytes) -> memory.MemorySink:
    made = memory.MemorySink(memory.MemorySink.Config())
    made.on_write = lambda batch: memory.refuse(batch, *refused, reason="not again")
    return made


async def test_a_delivery_that_is_refused_again_is_one_letter(books: Books) -> None:
    """Of a hundred, two come back, in the place of the old ones, with one attempt more and the new reason."""
    await books.store.add_many(letters(100, key=b"k", out_value=b"out", out_key=b"o"))
    await books.store.add_many(letters(2, out_value=b"bad"))
    job, there = await job_of(books), sink(b"bad")
    await drained(books, {"sink": there})
    assert there.values == [b"out"] * 100
    left = await books.letters()
    assert [(letter.id, letter.value, letter.attempts, letter.detail) for letter in left] == [
        (103, b'{"n":0}', 3, "not again"),
        (104, b'{"n":1}', 3, "not again"),
    ]
    assert ReplayJobs(books.store).progress(job) == Progress(requested=102, delivered=100, again=2, gone=0)
    counted = {"flow": "flow", "stage": "sink", "sink": "sink", "reason": "refused"}
    assert books.sample("sluiceway_dead_letters_total", **counted) == 2
    assert books.sample("sluiceway_replayed_letters_total", flow="flow", to="sink") == 102


async def test_what_a_sink_refused_goes_by_the_rules_of_now_where_that_is_asked_for(books: Books) -> None:
    """The record that came, not what was to go out."""
    await books.store.add_many(letters(2, out_value=b"what the rules of then made"))
    await job_of(books, through_flow=True)
    there = sink()
    await drained(books, {"sink": there})
    assert there.values == [b'{"n":0}', b'{"n":1}']
    assert await books.letters() == []
    assert books.sample("sluiceway_replayed_letters_total", flow="flow", to="flow") == 2


async def test_through_the_flow_a_letter_stays_until_every_delivery_is_safe(books: Books) -> None:
    """While one sink of two is away it is there; then it is gone, and what the other refused is a letter of its own."""
    await books.store.add_many(letters(3, stage="rule", sink=""))
    await job_of(books)
    slow, quick = sink(), sink(b'{"n":1}')
    slow.down = True
    replaying = asyncio.create_task(drained(books, {"slow": slow, "quick": quick}))
    await until(lambda: quick.values)
    assert [letter.stage for letter in await books.letters()] == ["rule"] * 3
    slow.down = False
    await replaying
    assert (len(slow.values), len(quick.values)) == (3, 2)
    [left] = await books.letters()
    assert (left.stage, left.sink, left.value, left.attempts) == ("sink", "quick", b'{"n":1}', 3)


async def test_what_the_flow_still_does_not_want_is_a_letter_again(books: Books) -> None:
    """With the stage and reason of now."""
    await books.store.add_many(letters(1, stage="rule", sink="", value=b"no json"))
    await job_of(books)
    await drained(books, {"sink": sink()})
    [left] = await books.letters()
    assert (left.id, left.stage, left.reason, left.attempts) == (2, "decode", "undecodable", 3)


@pytest.mark.parametrize(
    ("changed", "why"),
    [({"sink": "gone"}, "no sink 'gone'"), ({"stage": "rule", "sink": "", "flow": "gone"}, "no flow 'gone'")],
)
async def test_what_has_no_place_any_more_says_so(books: Books, changed: dict[str, Any], why: str) -> None:
    """The letter is kept, with what it was before in its detail, and is no delivery in the accounts."""
    await books.store.add_many(letters(1, detail="as it was", **changed))
    job = await job_of(books)
    await drained(books, {"sink": sink()})
    [left] = await books.letters()
    assert (left.reason, why in left.detail, "refused: as it was" in left.detail) == ("replay_impossible", True, True)
    assert (left.attempts, left.stage) == (3, changed.get("stage", "sink"))
    assert ReplayJobs(books.store).progress(job).again == 1
    assert b"sluiceway_dead_letters_total{" not in books.metrics.page()[0]


async def test_of_a_replay_that_is_withdrawn_all_that_is_delivered_is_counted_so(books: Books) -> None:
    """What is on its way to a sink that is away is neither delivered nor left yet."""
    await books.store.add_many(letters(100))
    job, jobs, there = await job_of(books, rate=50.0), ReplayJobs(books.store), sink()
    there.down = True
    outlet = books.outlet("sink", there)
    replayer = Replayer(
        books.store, {"sink": outlet}, lambda *_: None, {}, letters=books.box, metrics=books.metrics, audit=books.audit
    )
    async with running(outlet.run, replayer.run):
        await until(lambda: outlet.queued_records > 5)
        await jobs.withdraw(job)
        on_its_way = jobs.progress(job).waiting
        assert 5 < on_its_way < 100
        there.down = False
        await until(lambda: not jobs.progress(job).waiting)
    assert len(there.values) == on_its_way
    assert jobs.progress(job) == Progress(requested=100, delivered=on_its_way, again=0, gone=100 - on_its_way)
    assert len(await books.letters()) == 100 - on_its_way


async def test_a_drain_that_is_stopped_finishes_what_is_on_its_way(books: Books) -> None:
    """Nothing more is sent, and what was sent is settled."""
    await books.store.add_many(letters(50))
    job = await job_of(books, rate=50.0)
    there, stop = sink(), asyncio.Event()
    outlet = books.outlet("sink", there)
    replayer = Replayer(
        books.store, {"sink": outlet}, lambda *_: None, {}, letters=books.box, metrics=books.metrics, audit=books.audit
    )
    async with running(outlet.run):
        draining = asyncio.create_task(replayer.drain(stop))
        await until(lambda: there.values)
        stop.set()
        await draining
    delivered = len(there.values)
    assert 0 < delivered < 50
    assert ReplayJobs(books.store).progress(job) == Progress(requested=50, delivered=delivered, again=0, gone=0)
    assert len(await books.letters()) == 50 - delivered


@given(
    st.floats(0.01, 1e5),
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), min_size=1, max_size=50),
)
def test_a_pace_is_kept(rate: float, rounds: list[tuple[float, float]]) -> None:
    """However often it is asked and however much is then sent: over all no more than the rate, and what a few rounds
    may save up, or one."""
    pace, now, sent, begun = Pace(rate), 1000.0, 0, 1000.0
    for wait, part in rounds:
        now += wait
        allowed = pace.allowed(now)
        spent = int(allowed * part)
        pace.spend(spent)
        sent += spent
        assert sent <= rate * (now - begun) + max(1.0, 0.3 * rate) + 1e-6 * sent + 1


def test_a_pace_does_not_stall() -> None:
    """At any rate something goes after a while, and without one a page at once."""
    pace, sent = Pace(0.5), 0
    for second in range(100):
        allowed = pace.allowed(float(second))
        pace.spend(allowed)
        sent += allowed
    assert sent == 50
    assert Pace(None).allowed(0.0) == 500


FAILING = """
import asyncio, sys
from connectors import memory
from router import WriteError
from router.replay import Replayer
from router.replay_jobs import ReplayJobs
from router.testing import Books, running
from pathlib import Path
async def main():
    books = Books(Path(sys.argv[1]))
    sink = memory.MemorySink(memory.MemorySink.Config())
    def refuse(batch):
        raise WriteError(dict.fromkeys(range(len(batch)), "never"), retryable=False)
    sink.on_write = refuse
    outlet = books.outlet("sink", sink)
    more = {"letters": books.box, "metrics": books.metrics, "audit": books.audit}
    replayer = Replayer(books.store, {"sink": outlet}, lambda *_: None, {}, **more)
    async with running(outlet.run, replayer.run):
        jobs = ReplayJobs(books.store)
        for number in range(10**9):
            job = await jobs.begin()
            async for ids in books.store.ids():
                await jobs.request(job, ids)
            while jobs.progress(job).waiting:
                await asyncio.sleep(0.001)
            print(number, flush=True)
asyncio.run(main())
"""


def test_killed_while_replays_fail_no_letter_is_doubled_or_lost(tmp_path: Path) -> None:
    """The new letter and the old one are never both there, and never neither."""
    with StateDir.open(tmp_path) as state:
        asyncio.run(DeadLetters(state).add_many(letters(300)))
    for wait in (0.0, 0.013, 0.03, 0.05):
        command = [sys.executable, "-c", FAILING, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as failing:
            assert failing.stdout is not None
            failing.stdout.readline()
            time.sleep(wait)
            failing.send_signal(signal.SIGKILL)
        with StateDir.visit(tmp_path) as state:
            kept = Counter(letter.value for letter in asyncio.run(_all(state)))
        assert kept == {b'{"n":%d}' % number: 1 for number in range(300)}


async def _all(state: StateDir) -> list[Letter]:
    return [letter async for letter in DeadLetters(state).find()]


async def test_a_sink_that_refuses_for_now_uses_up_attempts_once(books: Books) -> None:
    """The attempts of a replay are added to those before."""
    await books.store.add_many(letters(1))
    await job_of(books)
    busy = sink()

    def refuse(batch: Batch) -> None:
        raise WriteError({0: "busy"}, retryable=True)

    busy.on_write = refuse
    await drained(books, {"sink": busy})
    [left] = await books.letters()
    assert (left.reason, left.attempts) == ("attempts_exhausted", 2 + 3)
