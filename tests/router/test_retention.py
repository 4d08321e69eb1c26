"""Dead letters that have been kept long enough, or take too much room: they go in small steps, counted and told."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.deadletters import DeadLetters
from router.keeper import Keeper
from router.letter import Letter
from router.letter_filter import Where
from router.letterbox import LetterBox
from router.metrics import Metrics
from router.moves import Moves
from router.replay_jobs import ReplayJobs
from router.retention import Retention
from router.state import StateDir

DAY = 86_400


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDir]:
    with StateDir.open(tmp_path / "state") as opened:
        yield opened


def letter(value: bytes = b"x", *, age: float = 0, **changed: Any) -> Letter:
    plain: dict[str, Any] = {"flow": "f", "stage": "rule", "source": "s", "reason": "error"}
    return Letter(value=value, time=time.time_ns() - int(age * 1e9), **{**plain, **changed})


async def values(store: DeadLetters, **where: Any) -> list[bytes]:
    return [found.value async for found in store.find(Where(**where))]


def used(store: DeadLetters) -> int:
    pages, free, size = store.pages()
    return (pages - free) * size


async def test_what_is_too_old_goes(state: StateDir, caplog: pytest.LogCaptureFixture) -> None:
    """More pages of it than one; it is counted by flow, and told; what is younger stays."""
    store, metrics = DeadLetters(state, Retention(age=DAY)), Metrics()
    await store.add_many([letter(age=2 * DAY, flow="g") for _ in range(3)])
    await store.add_many([letter(age=2 * DAY) for _ in range(1200)])
    await store.add_many([letter(b"young", age=DAY / 2)])
    with caplog.at_level(logging.WARNING):
        await Keeper(store, metrics).look()
    assert await values(store) == [b"young"]
    assert store.counts() == {"f": 1, "g": 0}
    expired = metrics.registry.get_sample_value
    assert expired("sluiceway_expired_letters_total", {"flow": "f", "setting": "retain"}) == 1200
    assert expired("sluiceway_expired_letters_total", {"flow": "g", "setting": "retain"}) == 3
    assert "dead letter(s) of flow g are deleted, the oldest: `dead_letters.retain`" in caplog.text


async def test_a_clock_that_jumped_hides_nothing_for_long(state: StateDir) -> None:
    """A page whose letters seem young ends the search; one such letter among old ones does not."""
    store = DeadLetters(state, Retention(age=DAY))
    await store.add_many([letter(age=2 * DAY), letter(b"from the future", age=-DAY), letter(age=2 * DAY)])
    await Keeper(store, Metrics()).look()
    assert await values(store) == [b"from the future"]


async def test_what_waits_does_not_expire(state: StateDir) -> None:
    """Neither what is to be replayed nor what is to be moved to a sink; what that sink refused may go."""
    moves = Moves((("moved", "lost"),))
    store = DeadLetters(state, Retention(age=DAY, size=1, moves=moves))
    await store.add_many([letter(b"%d" % n, age=2 * DAY, flow="moved" if n < 4 else "stays") for n in range(8)])
    jobs = ReplayJobs(store)
    await jobs.request(await jobs.begin(), [6])
    await store.moved([1], stuck=[2])
    keeper = Keeper(store, Metrics())
    await keeper.look()
    assert await values(store) == [b"2", b"3", b"5"]
    await store.unstick()
    await store.add_many([letter(b"new", flow="moved")])
    assert await values(store) == [b"2", b"3", b"5", b"new"]


async def test_behind_many_that_wait_room_is_made_nevertheless(state: StateDir) -> None:
    """The oldest that wait for nothing go, however many wait before them; when all wait, none does."""
    store, metrics = DeadLetters(state, Retention(size=1 << 20, moves=Moves((("moved", "lost"),)))), Metrics()
    keeper = Keeper(store, metrics)
    await store.add_many([letter(bytes(200), flow="moved") for _ in range(6000)])
    await keeper.look()
    assert store.counts() == {"moved": 6000}
    box = LetterBox(store, metrics)
    for _ in range(5):
        await box.put([letter(bytes(200)) for _ in range(500)])
    await keeper.look()
    assert store.counts() == {"moved": 6000, "f": 0}
    labels = {"flow": "f", "setting": "max_bytes"}
    assert metrics.registry.get_sample_value("sluiceway_expired_letters_total", labels) == 2500


async def test_letters_take_no_more_room_than_they_may(state: StateDir) -> None:
    """However many come: the newest are kept, the file does not grow, and all that went is counted."""
    store, metrics = DeadLetters(state, Retention(size=2 << 20)), Metrics()
    box, most = LetterBox(store, metrics), 0
    for batch in range(60):
        await box.put([letter(b"%06d" % (batch * 200 + n) + bytes(500)) for n in range(200)])
        most = max(most, store.pages()[0] * store.pages()[2])
    left = [int(value[:6]) for value in await values(store)]
    assert left == list(range(left[0], 12_000))
    assert len(left) > 1500
    assert most <= 2 << 20
    expired = metrics.registry.get_sample_value(
        "sluiceway_expired_letters_total", {"flow": "f", "setting": "max_bytes"}
    )
    assert expired == left[0]
    assert store.counts() == {"f": len(left)}


async def test_one_immense_letter_finds_room(state: StateDir) -> None:
    """It takes the place of as many as it needs; one that is larger than the bound is kept nevertheless, alone."""
    store = DeadLetters(state, Retention(size=1 << 20))
    await store.add_many([letter(bytes(500)) for _ in range(1200)])
    await store.add_many([letter(b"large" + bytes(900_000))])
    assert used(store) <= 1 << 20
    await store.add_many([letter(b"immense" + bytes(3 << 20))])
    assert [value[:7] for value in await values(store)] == [b"immense"]


async def test_a_bound_that_was_lowered_is_kept(state: StateDir) -> None:
    """At the next look, in steps; the room goes back to the disk at the one after, when nobody has used it again."""
    await DeadLetters(state).add_many([letter(bytes(2000)) for _ in range(3000)])
    store, metrics = DeadLetters(state, Retention(size=1 << 20)), Metrics()
    keeper = Keeper(store, metrics)
    await keeper.look()
    assert used(store) <= 1 << 20
    pages = store.pages()[0]
    await keeper.look()
    now, free, size = store.pages()
    assert now < pages / 3
    assert now * size <= 3 << 20
    assert free <= 256


async def test_without_bounds_nothing_goes(state: StateDir) -> None:
    """Letters are kept until somebody does something about them."""
    store = DeadLetters(state)
    await store.add_many([letter(age=10_000 * DAY) for _ in range(3)])
    await Keeper(store, Metrics()).look()
    assert store.counts() == {"f": 3}


steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "request", "withdraw", "look"]), st.integers(1, 60), st.integers(0, 20_000)
    ),
    max_size=25,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=steps)
def test_every_letter_is_kept_or_counted(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    """Whatever comes, waits and is withdrawn: kept and expired add up, and what waits is kept."""

    async def run(state: StateDir) -> None:
        store, metrics = DeadLetters(state, Retention(size=1 << 20)), Metrics()
        box, jobs, added = LetterBox(store, metrics), ReplayJobs(store), 0
        job = await jobs.begin()
        waiting: set[int] = set()
        for step, many, size in steps:
            if step == "add":
                await box.put([letter(bytes(size)) for _ in range(many)])
                added += many
            elif step == "request":
                ids = [found.id async for found in store.find(Where(limit=many))]
                await jobs.request(job, ids)
                waiting |= set(ids)
            elif step == "withdraw":
                await jobs.withdraw(job)
                waiting = set()
            else:
                await Keeper(store, metrics).look()
            kept = {found.id async for found in store.find()}
            labels = {"flow": "f", "setting": "max_bytes"}
            expired = metrics.registry.get_sample_value("sluiceway_expired_letters_total", labels) or 0
            assert len(kept) + expired == added
            assert waiting <= kept

    with StateDir.open(tmp_path_factory.mktemp("kept")) as state:
        asyncio.run(run(state))
