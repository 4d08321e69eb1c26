"""Jobs that have letters replayed: each letter once, for whoever asked last, and every end is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from router.audit import Audit, find
from router.deadletters import DeadLetters
from router.letter import Letter
from router.replay_jobs import Progress, ReplayJobs, Waiting
from router.state import StateDir


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDir]:
    with StateDir.open(tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def store(state: StateDir) -> DeadLetters:
    return DeadLetters(state)


@pytest.fixture
def jobs(store: DeadLetters) -> ReplayJobs:
    return ReplayJobs(store)


def letters(count: int, **changed: Any) -> list[Letter]:
    plain: dict[str, Any] = {"time": 1, "flow": "f", "stage": "rule", "source": "s", "reason": "error"}
    return [Letter(**{"value": str(number).encode(), **plain, **changed}) for number in range(count)]


async def job_of(jobs: ReplayJobs, *ids: int, rate: float | None = None) -> int:
    job = await jobs.begin(rate)
    await jobs.request(job, ids)
    return job


async def claimed(jobs: ReplayJobs, job: int, **bounds: int) -> list[int]:
    return [letter.id for letter in await jobs.claim(job, **bounds)]


async def test_a_job_takes_each_letter_once(jobs: ReplayJobs, store: DeadLetters) -> None:
    """Oldest first, never one that is on its way, and never one that is not there; what is delivered is gone."""
    await store.add_many(letters(6))
    job = await job_of(jobs, 6, 2, 4, 99)
    assert jobs.progress(job) == Progress(requested=3, delivered=0, again=0, gone=0)
    assert await claimed(jobs, job, limit=2) == [2, 4]
    assert await claimed(jobs, job) == [6]
    assert await claimed(jobs, job) == []
    await store.add_many([], replayed=[2, 4])
    assert jobs.progress(job) == Progress(requested=3, delivered=2, again=0, gone=0)
    store.release([6])
    assert await claimed(jobs, job) == [6]
    assert store.counts() == {"f": 4}


async def test_two_that_claim_at_once_get_different_letters(jobs: ReplayJobs, store: DeadLetters) -> None:
    """No letter is given to both."""
    await store.add_many(letters(20))
    job = await job_of(jobs, *range(1, 21))
    claims = await asyncio.gather(*(claimed(jobs, job, limit=6) for _ in range(4)))
    assert [id_ for claim in claims for id_ in claim] == list(range(1, 21))


async def test_claims_are_bounded_in_bytes(jobs: ReplayJobs, store: DeadLetters) -> None:
    """A claim stops once its payloads, outgoing ones included, reach the size; one letter always comes."""
    await store.add_many(letters(5, value=bytes(60), out_value=bytes(40)))
    job = await job_of(jobs, 1, 2, 3, 4, 5)
    assert len(await claimed(jobs, job, size=250)) == 3
    assert len(await claimed(jobs, job, size=0)) == 1


async def test_every_end_is_told(jobs: ReplayJobs, store: DeadLetters) -> None:
    """Delivered, failed again, purged: the job counts each, and waits until all have come to one."""
    await store.add_many(letters(5))
    job = await job_of(jobs, 1, 2, 3, 4)
    [first] = letters(1, replaces=2)
    await store.add_many([first, *letters(1, replaces=2)], replayed=[1, 2])
    assert jobs.waiting() == [Waiting(job, None, False)]
    await store.purge(store.ids())
    assert jobs.progress(job) == Progress(requested=4, delivered=1, again=1, gone=2)
    assert jobs.progress(job).waiting == 0
    assert jobs.waiting() == []


async def test_who_asks_last_gets_the_letter(jobs: ReplayJobs, store: DeadLetters) -> None:
    """A letter that another job waits for is that of the newer job, and the older one does not wait for it."""
    await store.add_many(letters(3))
    older = await job_of(jobs, 1, 2, 3, rate=1.0)
    newer = await job_of(jobs, 2, 3)
    assert jobs.progress(older) == Progress(requested=3, delivered=0, again=0, gone=2)
    assert (await claimed(jobs, older), await claimed(jobs, newer)) == ([1], [2, 3])
    assert jobs.waiting() == [Waiting(older, 1.0, False), Waiting(newer, None, False)]


async def test_what_is_withdrawn_stays_where_it_is(jobs: ReplayJobs, store: DeadLetters) -> None:
    """The letters are kept, and no job waits for them; those of other jobs are."""
    await store.add_many(letters(1200))
    job, other = await job_of(jobs, *range(1, 1101)), await job_of(jobs, 1101)
    await jobs.withdraw(job)
    assert jobs.progress(job).waiting == 0
    assert await claimed(jobs, job) == []
    assert await claimed(jobs, other) == [1101]
    assert store.counts() == {"f": 1200}


async def test_what_is_on_its_way_when_a_job_is_withdrawn_is_counted_as_what_becomes_of_it(
    jobs: ReplayJobs, store: DeadLetters
) -> None:
    await store.add_many(letters(1200))
    job = await job_of(jobs, *range(1, 1201))
    on_its_way = await claimed(jobs, job, limit=4)
    await jobs.withdraw(job)
    assert jobs.progress(job) == Progress(requested=1200, delivered=0, again=0, gone=1196)
    assert jobs.waiting() == []
    await store.add_many(letters(1, replaces=1), replayed=on_its_way[:3])
    store.release(on_its_way)
    assert await claimed(jobs, job) == []
    await jobs.leave()
    assert jobs.progress(job) == Progress(requested=1200, delivered=2, again=1, gone=1197)
    assert store.counts() == {"f": 1198}


async def test_what_a_command_withdraws_beside_the_daemon_does_not_go_and_the_daemon_counts_it(
    jobs: ReplayJobs, store: DeadLetters, state: StateDir
) -> None:
    await store.add_many(letters(3))
    with StateDir.visit(state.path) as visitor:
        command = ReplayJobs(DeadLetters(visitor))
        job = await job_of(command, 1, 2, 3)
        assert await claimed(jobs, job, limit=1) == [1]
        await command.withdraw(job)
        assert await claimed(jobs, job) == []
        assert command.progress(job).waiting == 3
        await jobs.leave()
        assert command.progress(job) == Progress(requested=3, delivered=0, again=0, gone=2)
        await store.add_many([], replayed=[1])
        assert command.progress(job) == Progress(requested=3, delivered=1, again=0, gone=2)


async def test_what_was_withdrawn_on_its_way_does_not_go_after_a_kill(tmp_path: Path) -> None:
    with StateDir.open(tmp_path) as state:
        store = DeadLetters(state)
        jobs = ReplayJobs(store)
        await store.add_many(letters(2))
        job = await job_of(jobs, 1, 2)
        await claimed(jobs, job)
        await jobs.withdraw(job)
        assert jobs.progress(job).waiting == 2
    with StateDir.open(tmp_path) as state:
        jobs = ReplayJobs(DeadLetters(state))
        assert await claimed(jobs, job) == []
        await jobs.leave()
        assert jobs.progress(job) == Progress(requested=2, delivered=0, again=0, gone=2)


async def test_what_failed_again_waits_for_no_replay(jobs: ReplayJobs, store: DeadLetters) -> None:
    """The new letter is kept until it is asked for itself."""
    await store.add_many(letters(1))
    job = await job_of(jobs, 1)
    await jobs.claim(job)
    await store.add_many(letters(1, replaces=1), replayed=[1])
    assert await claimed(jobs, job) == []
    assert jobs.waiting() == []
    assert store.counts() == {"f": 1}


async def test_a_killed_replay_begins_again(tmp_path: Path) -> None:
    """What was claimed and did not come to an end is claimed by the next instance."""
    with StateDir.open(tmp_path) as state:
        store = DeadLetters(state)
        jobs = ReplayJobs(store)
        await store.add_many(letters(2))
        job = await job_of(jobs, 1, 2)
        assert await claimed(jobs, job) == [1, 2]
        await store.add_many([], replayed=[1])
    with StateDir.open(tmp_path) as state:
        jobs = ReplayJobs(DeadLetters(state))
        assert jobs.waiting() == [Waiting(job, None, False)]
        assert await claimed(jobs, job) == [2]


async def test_a_command_asks_beside_the_daemon(jobs: ReplayJobs, store: DeadLetters, state: StateDir) -> None:
    """A visitor's request is seen by the instance, and what became of the letters by the visitor."""
    await store.add_many(letters(3))
    with StateDir.visit(state.path) as visitor:
        command = ReplayJobs(DeadLetters(visitor))
        job = await job_of(command, 1, 3)
        assert await claimed(jobs, job) == [1, 3]
        await store.add_many([], replayed=[1, 3])
        assert command.progress(job) == Progress(requested=2, delivered=2, again=0, gone=0)


async def test_the_audit_tells_once_how_a_closed_job_ended(
    jobs: ReplayJobs, store: DeadLetters, state: StateDir
) -> None:
    """Also of one without letters, and with whoever asked; one that still waits, or still grows, has not ended."""
    await store.add_many(letters(3))
    audit = Audit(state, lambda: "v1", lambda text: text)
    waits, empty = await job_of(jobs, 1, 2, 3), await jobs.begin()
    await jobs.tell_ends(audit)
    await jobs.close(waits, "user ada")
    await jobs.close(empty, "http 127.0.0.1")
    await jobs.tell_ends(audit)
    await store.add_many([], replayed=[1])
    await store.add_many(letters(1), replayed=[2])
    await jobs.withdraw(waits)
    await asyncio.gather(jobs.tell_ends(audit), ReplayJobs(store).tell_ends(audit))
    await jobs.tell_ends(audit)
    told = [(entry.action, entry.actor, json.loads(entry.detail)) async for entry in find(state)]
    nothing = {"requested": 0, "delivered": 0, "again": 0, "gone": 0}
    progress = asdict(jobs.progress(waits))
    assert told == [
        ("replay", "http 127.0.0.1", {"step": "ended", "job": empty, **nothing}),
        ("replay", "user ada", {"step": "ended", "job": waits, **progress}),
    ]
    assert progress["delivered"] + progress["again"] + progress["gone"] == 3
