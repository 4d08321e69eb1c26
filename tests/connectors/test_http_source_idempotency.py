"""The source ``http`` and requests that are sent again: answered alike, delivered once, across restarts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
from http_clients import NDJSON, Client, client

from connectors.http import idempotency
from connectors.http.idempotency import Idempotency, Memory, read_key
from connectors.http.reply import Refusal
from router import Json, MemoryPositions
from router.errors import StateError
from router.state import StateDir

REPLAYED = "Idempotency-Replayed"


def keyed(key: str = "k1", **headers: str) -> dict[str, str]:
    return {"Idempotency-Key": key, **NDJSON, **headers}


async def replayed(one: Client, body: bytes, headers: dict[str, str], accepted: int) -> None:
    """The request is answered without anybody reading or acknowledging anything."""
    assert await one.post(body, headers) == (200, {"accepted": accepted})
    assert one.headers[-1][REPLAYED] == "true"
    assert (await one.source.lag())[0].records == 0


async def test_a_request_that_is_sent_again_is_answered_again_and_not_delivered() -> None:
    """Also after the source was closed and opened; another key, or none, is another request."""
    positions = MemoryPositions()
    async with client(positions) as one:
        assert await one.accepted(b"1\n2", keyed()) == [b"1", b"2"]
        assert REPLAYED not in one.headers[-1]
        await replayed(one, b"1\n2", keyed(), 2)
        await one.source.close()
        await one.source.open()
        await replayed(one, b"1\n2", keyed(), 2)
        assert await one.accepted(b"1\n2", keyed("k2")) == [b"1", b"2"]
        assert await one.accepted(b"1\n2", NDJSON) == [b"1", b"2"]
    async with client(positions) as one:
        await replayed(one, b"1\n2", keyed(), 2)


async def test_a_key_with_another_body_is_refused() -> None:
    """Whether the first request is answered or on its way: the client confuses its requests."""
    async with client() as one:
        posting = one.posting(b"1", keyed())
        batch = await one.source.read()
        for body, headers in ((b"2", keyed()), (b"1", keyed() | {"Content-Type": "application/json"})):
            assert await one.post(body, headers) == (422, {"error": "this idempotency key was used with another body"})
        await one.source.ack(batch.token)
        assert (await posting)[0] == 200
        assert (await one.post(b"2", keyed()))[0] == 422
        await replayed(one, b"1", keyed(), 1)


async def test_a_repetition_waits_for_the_first() -> None:
    """While it is on its way, unread or read, all of them have one outcome and there is one delivery."""
    async with client() as one:
        postings = [one.posting(b"1", keyed())]
        await one.arrived(1)
        postings += [one.posting(b"1", keyed()) for _ in range(3)]
        await asyncio.sleep(0.05)
        batch = await one.source.read()
        assert batch.values == [b"1"]
        postings.append(one.posting(b"1", keyed()))
        done, _ = await asyncio.wait(postings, timeout=0.1)
        assert not done
        assert (await one.source.lag())[0].records == 1
        await one.source.ack(batch.token)
        assert await asyncio.gather(*postings) == [(200, {"accepted": 1})] * 5
        assert [headers.get(REPLAYED) for headers in one.headers].count("true") == 4


async def test_a_repetition_of_one_that_took_too_long_waits_for_its_delivery() -> None:
    """The client was told to come again; what it brings is on its way already, and is not delivered twice."""
    async with client(timeout="200ms") as one:
        posting = one.posting(b"1", keyed())
        batch = await one.source.read()
        assert (await posting)[0] == 503
        again = one.posting(b"1", keyed())
        await asyncio.sleep(0.05)
        await one.source.ack(batch.token)
        assert await again == (200, {"accepted": 1})
        await replayed(one, b"1", keyed(), 1)


async def test_a_repetition_outlives_the_first_that_nobody_read() -> None:
    """As long as anybody waits for a request it stays in the queue, and then no longer."""
    async with client(timeout="400ms") as one:
        first = one.posting(b"1", keyed())
        await one.arrived(1)
        await asyncio.sleep(0.2)
        second = one.posting(b"1", keyed())
        assert (await first)[0] == 503
        assert (await one.source.lag())[0].records == 1
        assert (await second)[0] == 503
        assert (await one.source.lag())[0].records == 0
        assert await one.accepted(b"1", keyed()) == [b"1"]


async def test_what_was_not_accepted_may_be_sent_again() -> None:
    """A key is taken by an answer of 200 alone: not by 400, 429, or 503."""
    async with client(pending={"records": 2}) as one:
        assert (await one.post(b"\n", keyed("a")))[0] == 400
        assert (await one.post(b"1\n2\n3", keyed("b")))[0] == 413
        lost = one.posting(b"lost", keyed("c"))
        await one.arrived(1)
        assert (await one.post(b"1\n2", keyed("d")))[0] == 429
        await one.source.close()
        assert (await lost)[0] == 503
        await one.source.open()
        for key in "abcd":
            assert await one.accepted(b"1", keyed(key)) == [b"1"]


async def test_the_answer_waits_until_the_key_is_kept() -> None:
    """While the state folder cannot be written nothing is answered, and ack() may be called again."""

    class Broken(MemoryPositions):
        broken = True

        async def save(self, entries: Mapping[str, Json]) -> None:
            if self.broken:
                raise StateError("the disk is full")
            await super().save(entries)

    positions = Broken()
    async with client(positions) as one:
        posting = one.posting(b"1", keyed())
        batch = await one.source.read()
        with pytest.raises(StateError):
            await one.source.ack(batch.token)
        assert not posting.done()
        positions.broken = False
        await one.source.ack(batch.token)
        assert (await posting)[0] == 200
        await replayed(one, b"1", keyed(), 1)


async def test_the_keys_of_a_batch_are_kept_at_once() -> None:
    """One save for all of its requests, and none for requests without a key."""

    class Counting(MemoryPositions):
        saves = 0

        async def save(self, entries: Mapping[str, Json]) -> None:
            self.saves += 1
            await super().save(entries)

    positions = Counting()
    async with client(positions) as one:
        postings = [one.posting(b"%d" % n, keyed(f"k{n}") if n % 2 else NDJSON) for n in range(20)]
        await one.arrived(20)
        await one.source.ack((await one.source.read()).token)
        await asyncio.gather(*postings)
        assert positions.saves == 1
        assert len(positions.entries) == 10
        assert await one.accepted(b"x") == [b"x"]
        assert positions.saves == 1


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ('"8e03978e-40d5-43dd-bc93-6894a57f9324"', "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        (' "a b, c;d" ', "a b, c;d"),
        ('"say \\"hi\\" \\\\"', 'say "hi" \\'),
        ("a" * 255, "a" * 255),
        ("order:17/retry=2~[x]", "order:17/retry=2~[x]"),
    ],
)
def test_a_key_may_be_quoted_or_not(header: str, key: str) -> None:
    """As the draft says, and as most clients do."""
    assert read_key(header) == key


@pytest.mark.parametrize(
    "header", ["", '""', "a b", "a,b", '"a', 'a"', '"a";x=1', '"a\\b"', '"ä"', "ä", "a" * 256, '"a"b"', "a\tb", "a\\b"]
)
async def test_what_is_no_key_is_refused(header: str) -> None:
    """Not taken for one that is almost right, and not ignored."""
    with pytest.raises(Refusal) as refused:
        read_key(header)
    assert refused.value.status == 400


async def test_two_keys_are_none() -> None:
    """And one that is malformed is answered 400."""
    async with client() as one:
        twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
        async with one.session.post(one.source.url, data=b"x", headers=twice) as answer:
            assert answer.status == 400
        assert (await one.post(b"x", keyed("a b")))[0] == 400


async def test_another_header_may_hold_the_key_or_none() -> None:
    """GitHub's deliveries have an id of their own; who turns it off delivers everything."""
    async with client(idempotency={"header": "X-GitHub-Delivery"}) as one:
        assert await one.accepted(b"1", {"X-GitHub-Delivery": "a", "Idempotency-Key": "x"}) == [b"1"]
        await replayed(one, b"1", {"X-GitHub-Delivery": "a", "Idempotency-Key": "y"}, 1)
    async with client(idempotency=None) as one:
        for _ in range(2):
            assert await one.accepted(b"1", keyed("a b")) == [b"1"]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


async def test_keys_are_forgotten_after_the_window_some_at_a_time() -> None:
    """In memory and on disk; one that is over is not found even while it is still there."""
    clock, positions = Clock(), MemoryPositions()
    memory = Memory(Idempotency(window=100.0), positions, clock)
    for n in range(0, 1000, 100):
        await memory.keep({f"old-{n + i}": ("f", 1) for i in range(100)})
    clock.now += 99
    assert memory.find("old-0") is not None
    clock.now += 1
    assert memory.find("old-0") is None
    for n in range(100):
        before = len(positions.entries)
        await memory.keep({f"new-{n}": ("f", 1)})
        assert before - len(positions.entries) <= idempotency._AT_ONCE
        assert set(positions.entries) == set(memory._answered)
    assert len(memory) == 100
    assert memory.find("new-0") is not None


async def test_a_key_that_is_used_again_after_the_window_is_new() -> None:
    """It is remembered from then on with what was answered last."""
    clock = Clock()
    memory = Memory(Idempotency(window=100.0), MemoryPositions(), clock)
    await memory.keep({"a": ("f", 1), "b": ("f", 1)})
    clock.now += 150
    await memory.keep({"a": ("g", 2)})
    found = memory.find("a")
    assert found is not None
    assert (found.fingerprint, found.accepted) == ("g", 2)
    assert len(memory) == 1
    clock.now += 99
    assert memory.find("a") is not None


async def test_with_too_many_keys_the_oldest_are_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    """Memory stays bounded, and the log says once that the window is not kept."""
    positions = MemoryPositions()
    memory = Memory(Idempotency(max_keys=100), positions, Clock())
    with caplog.at_level(logging.WARNING):
        for n in range(300):
            await memory.keep({f"{n}": ("f", 1)})
    assert len(memory) == len(positions.entries) == 100
    assert memory.find("199") is None
    assert memory.find("200") is not None
    assert [line.getMessage() for line in caplog.records] == [
        "more than 100 idempotency keys within 86400 s: the oldest are forgotten before their time"
    ]
    await memory.keep({f"many-{n}": ("f", 1) for n in range(150)})
    assert len(memory) == 150


async def test_keys_survive_in_the_state_folder(tmp_path: Path) -> None:
    """In the order of their answers, whatever order the folder has them in; what it cannot read is no key."""
    clock = Clock()
    with StateDir.open(tmp_path) as state:
        memory = Memory(Idempotency(), state.positions("events"), clock)
        for n in (5, 3, 9, 1):
            await memory.keep({f"k{n}": (f"f{n}", n)})
            clock.now += 1
        await state.positions("events").save({"strange": {"a": 1}})
    with StateDir.open(tmp_path) as state:
        memory = Memory(Idempotency(max_keys=4), state.positions("events"), clock)
        memory.load()
        assert memory.find("strange") is None
        await memory.keep({"k7": ("f7", 7)})
        assert [(key, found is not None) for key in ("k5", "k3", "k9", "k1") for found in [memory.find(key)]] == [
            ("k5", False),
            ("k3", True),
            ("k9", True),
            ("k1", True),
        ]
        found = memory.find("k9")
        assert found is not None
        assert (found.fingerprint, found.accepted) == ("f9", 9)
