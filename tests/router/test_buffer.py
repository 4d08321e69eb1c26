"""The disk buffer before a sink: what is in it is safe, goes on in order, and is taken away when it has arrived."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from buffering import Buffered
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import force_setattr
from routing import fate_of

from connectors.memory import MemorySink, refuse
from router.batch import Batch, Lease
from router.diskbuffer import DiskBuffer
from router.errors import NotConnected, WriteError
from router.load import Receipt
from router.part import Part
from router.testing import part, part_of, running, until

Make = Callable[..., Buffered]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Buffered] = []

    def one(**settings: object) -> Buffered:
        made.append(Buffered(tmp_path, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for buffered in made:
        buffered.close()


def new_sink(*, down: bool = False) -> MemorySink:
    sink = MemorySink(MemorySink.Config())
    sink.down = down
    return sink


async def put(buffered: Buffered, *values: bytes) -> None:
    """Put parts of one record each, and wait until all are in the buffer."""
    receipts: list[Receipt] = [await buffered.outlet.put(part(value)) for value in values]
    await asyncio.gather(*receipts)


async def test_a_receipt_completes_while_the_sink_is_away_and_the_record_is_delivered_when_it_is_back(
    make: Make,
) -> None:
    buffered = make(sink=new_sink(down=True))
    async with running(buffered.outlet.run):
        await put(buffered, b"1", b"2", b"3")
        assert buffered.outlet.records == 3
        assert buffered.sink.values == []
        buffered.sink.down = False
        await until(lambda: not buffered.outlet.records)
    assert buffered.sink.values == [b"1", b"2", b"3"]
    assert buffered.file.extent.records == 0
    sample = buffered.books.sample
    assert (
        sample("sluiceway_sink_buffer_records", sink="sink") == sample("sluiceway_sink_buffer_bytes", sink="sink") == 0
    )
    assert sample("sluiceway_sink_records_total", sink="sink") == 3


async def test_what_is_in_the_buffer_is_delivered_first_after_a_restart(make: Make) -> None:
    buffered = make(sink=new_sink(down=True))
    async with running(buffered.outlet.run):
        await put(buffered, *(b"old %d" % number for number in range(30)))
    buffered.close()
    again = make(queue_records=7)
    assert again.books.sample("sluiceway_sink_restored_records_total", sink="sink") == 30
    assert again.books.sample("sluiceway_sink_buffer_records", sink="sink") == 30
    async with running(again.outlet.run):
        await put(again, *(b"new %d" % number for number in range(30)))
        await until(lambda: not again.outlet.records)
    assert again.sink.values == [b"%s %d" % (age, number) for age in (b"old", b"new") for number in range(30)]


async def test_a_window_is_in_memory_and_the_rest_on_disk_alone(make: Make) -> None:
    """However much is in the buffer, the outlet's queue holds no more than its bounds, and all comes in order."""
    sink = new_sink(down=True)
    buffered = make(sink=sink, queue_records=10, batch_records=4)
    sent: list[bytes] = []
    async with running(buffered.outlet.run):
        for round_ in range(30):
            values = [b"%d.%d" % (round_, number) for number in range(1 + round_ % 4)]
            await (await buffered.outlet.put(part(*values)))
            sent += values
        inner = buffered.outlet.outlet
        assert 0 < inner.queued_records <= 10
        sink.on_write = lambda _: _check_bound(inner.queued_records)
        sink.down = False
        await until(lambda: not buffered.outlet.records)
    assert sink.values == sent


def _check_bound(records: int) -> None:
    assert records <= 10


async def test_a_refused_record_from_the_buffer_is_one_dead_letter_whole_and_gone_from_the_buffer(make: Make) -> None:
    """Read back from the file, it has what came and what should have gone out."""
    sink = new_sink(down=True)
    buffered = make(sink=sink, queue_records=1)
    came = Batch([b"good", b"bad"], keys=[b"k", b"k"], headers=[[("h", b"1")], None], attributes={"topic": ["t", "u"]})
    one = part_of(came)
    async with running(buffered.outlet.run):
        await put(buffered, b"first")
        await (await buffered.outlet.put(one))
        sink.on_write = lambda batch: refuse(batch, b"bad", reason="too sour")
        sink.down = False
        await until(lambda: not buffered.outlet.records)
    [letter] = await buffered.books.letters()
    assert sink.values == [b"first", b"good"]
    assert (letter.stage, letter.sink, letter.flow, letter.source, letter.rule, letter.reason, letter.detail) == (
        "sink", "sink", "flow", "source", "rule", "refused", "too sour",
    )  # fmt: skip
    assert (letter.value, letter.key, dict(letter.attributes)) == (b"bad", b"k", {"topic": "u"})


async def test_a_full_buffer_blocks_and_tells_once(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sink = new_sink(down=True)
    buffered = make(sink=sink, limit=10, batch_records=1)
    async with running(buffered.outlet.run):
        await put(buffered, b"4444", b"4444")
        waiting = [asyncio.create_task(buffered.outlet.put(part(b"%d" % n * 4))) for n in range(5)]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in waiting)
        told = {
            "file": str(buffered.file.file), "records": 2, "bytes": 8, "limit": 10, "full": True, "waiting": 5,
            "error": None,
        }  # fmt: skip
        assert buffered.outlet.status()["buffer"] == told
        sink.down = False
        for task in waiting:
            await (await task)
        await until(lambda: not buffered.outlet.records)
    assert sink.values == [b"4444", b"4444", *(b"%d" % n * 4 for n in range(5))]
    assert buffered.outlet.status()["buffer"] == {**told, "records": 0, "bytes": 0, "full": False, "waiting": 0}
    told_of = [record.message for record in caplog.records if record.name == "router.buffer"]
    assert told_of == [
        "sink sink: its disk buffer is full: 2 record(s), 8 bytes",
        "sink sink: its disk buffer has room again: 4 bytes are in it",
    ]


async def test_a_full_buffer_with_dead_letter_never_waits(make: Make) -> None:
    buffered = make(sink=new_sink(down=True), limit=5, when_full="dead_letter")
    async with running(buffered.outlet.run):
        await put(buffered, b"4444")
        receipt = await buffered.outlet.put(part(b"55", b"66"))
        assert receipt.done()
        await put(buffered, b"7")
    letters = [(letter.value, letter.reason, letter.detail) for letter in await buffered.books.letters()]
    assert letters == [(value, "queue_full", "the disk buffer is full") for value in (b"55", b"66")]
    assert buffered.outlet.records == 2


async def test_a_part_larger_than_the_buffer_is_admitted_alone(make: Make) -> None:
    buffered = make(limit=3, queue_records=1, queue_bytes=1)
    async with running(buffered.outlet.run), asyncio.timeout(10):
        await (await buffered.outlet.put(part(b"large", b"larger")))
        await put(buffered, b"x")
        await until(lambda: not buffered.outlet.records)
    assert buffered.sink.values == [b"large", b"larger", b"x"]


async def test_a_put_that_is_cancelled_admits_nothing_and_lets_the_next_one_in(make: Make) -> None:
    sink = new_sink(down=True)
    buffered = make(sink=sink, limit=10)
    async with running(buffered.outlet.run):
        await put(buffered, b"1" * 8)
        large = asyncio.create_task(buffered.outlet.put(part(b"2" * 8)))
        small = asyncio.create_task(buffered.outlet.put(part(b"33")))
        await asyncio.sleep(0.02)
        large.cancel()
        await (await small)
        sink.down = False
        await until(lambda: not buffered.outlet.records)
    assert sink.values == [b"1" * 8, b"33"]


class Counting(DiskBuffer):
    """A buffer file that notes how many parts each commit has added."""

    async def commit(self, parts: Sequence[Part], delivered: int) -> list[Part | None]:
        """Add and take away, and note it."""
        vars(self).setdefault("commits", []).append(len(parts))
        return await super().commit(parts, delivered)


async def test_many_parts_share_a_commit(make: Make, tmp_path: Path) -> None:
    file = Counting.open(tmp_path, "sink")
    buffered = make(sink=new_sink(down=True), file=file, queue_records=10_000)
    async with running(buffered.outlet.run):
        await put(buffered, *(b"%d" % number for number in range(2000)))
    commits = vars(file)["commits"]
    assert sum(commits) == 2000
    assert len(commits) < 20


async def test_what_a_sink_takes_soon_never_gets_to_the_disk(make: Make) -> None:
    """Its receipt completes when it is delivered. What the sink takes too long for is written after all."""
    sink, gate = new_sink(), asyncio.Event()
    buffered = make(sink=sink, soon=1.0)
    async with running(buffered.outlet.run):
        await until(lambda: buffered.outlet.outlet.connected)
        for number in range(100):
            await put(buffered, b"%d" % number)
        assert len(sink.values) == 100
        assert buffered.file.extent.end == 1

        async def wait(_: Batch) -> None:
            await gate.wait()

        sink.on_write = wait
        begun = asyncio.get_running_loop().time()
        await put(buffered, b"slow", b"slower")
        assert asyncio.get_running_loop().time() - begun >= 0.9
        assert buffered.file.extent.records == 2
        gate.set()
        await buffered.outlet.drain()
    assert sink.values[100:] == [b"slow", b"slower"]


async def test_what_is_delivered_while_it_is_written_to_disk_is_not_delivered_again(make: Make, tmp_path: Path) -> None:
    """Nor does a stop come before it is taken away again."""
    written, go_on = asyncio.Event(), asyncio.Event()

    class Slow(DiskBuffer):
        async def commit(self, parts: Sequence[Part], delivered: int) -> list[Part | None]:
            added = await super().commit(parts, delivered)
            written.set()
            await go_on.wait()
            return added

    sink, gate = new_sink(), asyncio.Event()

    async def wait(_: Batch) -> None:
        await gate.wait()

    sink.on_write = wait
    buffered = make(sink=sink, file=Slow.open(tmp_path, "sink"), soon=0.01)
    async with running(buffered.outlet.run):
        await until(lambda: buffered.outlet.outlet.connected)
        receipt = await buffered.outlet.put(part(b"1"))
        await written.wait()
        assert not receipt.done()
        gate.set()
        await receipt
        assert sink.values == [b"1"]
        buffered.outlet.halt()
        finishing = asyncio.create_task(buffered.outlet.finish())
        await asyncio.sleep(0.02)
        assert not finishing.done()
        go_on.set()
        await finishing
    assert buffered.file.extent.records == buffered.outlet.records == 0


async def test_a_lease_that_is_revoked_after_the_commit_takes_nothing_away(make: Make) -> None:
    """Its source has the record's acknowledgement by then. One revoked before is not written."""
    sink, mine, lost = new_sink(down=True), Lease("0"), Lease("1")
    buffered = make(sink=sink)
    lost.revoke()
    async with running(buffered.outlet.run):
        await (await buffered.outlet.put(part(b"a", b"b", b"c", leases=[mine, lost, mine])))
        await (await buffered.outlet.put(part(b"d", leases=[lost])))
        mine.revoke()
        sink.down = False
        await until(lambda: not buffered.outlet.records)
    assert sink.values == [b"a", b"c"]
    assert buffered.books.sample("sluiceway_sink_revoked_records_total", sink="sink") == 2


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Nothing is added to a buffer meanwhile: who writes to it waits for the lock."""
    other = sqlite3.connect(file, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


async def being_written(lease: Lease) -> None:
    """Return when a write under the lease is under way."""
    done = True
    while done:
        waiting = asyncio.create_task(lease.written())
        await asyncio.sleep(0.01)
        done = waiting.done()
        waiting.cancel()


async def test_who_revokes_a_lease_can_wait_until_nothing_of_it_enters_the_buffer_any_more(make: Make) -> None:
    """What is being added by then is in the buffer first, and cannot be cut off; what follows never is added."""
    sink, lost, mine = new_sink(down=True), Lease("0"), Lease("1")
    buffered = make(sink=sink)
    async with running(buffered.outlet.run):
        with locked(buffered.file.file):
            receipts = [await buffered.outlet.put(part(b"begun", leases=[lost]))]
            await being_written(lost)
            receipts.append(await buffered.outlet.put(part(b"late", b"mine", leases=[lost, mine])))
            lost.revoke()
            lost.abandon()
            waiting = asyncio.create_task(lost.written())
            await asyncio.sleep(0.05)
            assert not waiting.done()
        await waiting
        await asyncio.gather(*receipts)
        await buffered.outlet.put(part(b"later", leases=[lost]))
        sink.down = False
        await buffered.outlet.drain()
    assert sink.values == [b"begun", b"mine"]


async def test_a_lease_waits_for_what_is_being_added_also_when_nobody_else_does(tmp_path: Path) -> None:
    """A stop does not wait for the disk, but the next owner of the partition does."""
    file, lease = DiskBuffer.open(tmp_path, "sink"), Lease("0")
    with locked(file.file):
        adding = asyncio.create_task(file.commit([part(b"begun", leases=[lease])], 1))
        await asyncio.sleep(0.05)
        behind = asyncio.create_task(file.commit([part(b"waits", leases=[lease])], 1))
        await asyncio.sleep(0)
        adding.cancel()
        behind.cancel()
        await asyncio.wait([adding, behind])
        lease.revoke()
        waiting = asyncio.create_task(lease.written())
        await asyncio.sleep(0.05)
        assert not waiting.done()
    await waiting
    file.close()
    again = DiskBuffer.open(tmp_path, "sink")
    assert again.extent.records == 1
    again.close()


async def test_what_the_sink_has_is_taken_away_before_the_end(make: Make) -> None:
    """A stop waits for what is being written, hands over no more, and so repeats nothing at the next start."""
    sink, gate = new_sink(), asyncio.Event()

    async def wait(_batch: Batch) -> None:
        await gate.wait()

    sink.on_write = wait
    buffered = make(sink=sink, queue_records=2)
    async with running(buffered.outlet.run):
        await put(buffered, *(b"%d" % number for number in range(9)))
        await until(lambda: sink.writes)
        buffered.outlet.halt()
        finishing = asyncio.create_task(buffered.outlet.finish())
        await asyncio.sleep(0.05)
        assert not finishing.done()
        gate.set()
        await finishing
    assert 0 < len(sink.values) < 9
    assert buffered.outlet.records == 9 - len(sink.values)
    buffered.close()
    again = make()
    async with running(again.outlet.run):
        await again.outlet.drain()
    assert sink.values + again.sink.values == [b"%d" % number for number in range(9)]


async def test_an_end_does_not_wait_for_a_sink_that_is_away(make: Make) -> None:
    buffered = make(sink=new_sink(down=True))
    async with running(buffered.outlet.run), asyncio.timeout(5):
        await put(buffered, b"1")
        buffered.outlet.halt()
        await buffered.outlet.finish()
    assert buffered.outlet.records == 1


async def test_nothing_waits_for_company_when_the_buffer_is_drained(make: Make) -> None:
    buffered = make(batch_wait=3600.0, queue_records=2)
    async with running(buffered.outlet.run), asyncio.timeout(10):
        await put(buffered, *(b"%d" % number for number in range(9)))
        await buffered.outlet.drain()
    assert len(buffered.sink.values) == 9


async def test_end_to_end_is_counted_when_the_sink_has_it(make: Make) -> None:
    """Not when the buffer has it; and the time in the buffer counts, from one process to the next."""
    buffered = make(sink=new_sink(down=True))
    old = part(b"1")
    force_setattr(old.origin, "read_at", old.origin.read_at - 100)
    async with running(buffered.outlet.run):
        await (await buffered.outlet.put(old))
        assert not buffered.books.sample("sluiceway_end_to_end_seconds_count", source="source", sink="sink")
    buffered.close()
    again = make()
    async with running(again.outlet.run):
        await again.outlet.drain()
    assert again.books.sample("sluiceway_end_to_end_seconds_count", source="source", sink="sink") == 1
    assert 99 < again.books.sample("sluiceway_end_to_end_seconds_sum", source="source", sink="sink") < 200


async def test_poison_in_the_buffer_is_found(make: Make) -> None:
    sink = new_sink(down=True)

    def drop(batch: Batch) -> None:
        if b"7" in batch.values:
            raise NotConnected("reset by peer")

    sink.on_write = drop
    buffered = make(sink=sink, queue_records=5)
    async with running(buffered.outlet.run):
        await put(buffered, *(b"%d" % number for number in range(12)))
        sink.down = False
        await until(lambda: not buffered.outlet.records)
    assert [letter.value for letter in await buffered.books.letters()] == [b"7"]
    assert sink.values == [b"%d" % number for number in range(12) if number != 7]


@example(
    lives=[([5, 2, 2], ["ok", "ok", "refuse", "refuse", "ok"], "cut off"), ([5, 2, 2], ["ok"], "drained")],
    bounds={"queue_records": 1, "batch_records": 4, "soon": 0.0},
    limit=2,
)
@given(
    lives=st.lists(
        st.tuples(
            st.lists(st.integers(1, 5), max_size=8),
            st.lists(st.sampled_from(["ok", "down", "crash", "retry", "refuse"]), max_size=10),
            st.sampled_from(["drained", "halted", "cut off"]),
        ),
        min_size=1,
        max_size=4,
    ),
    bounds=st.fixed_dictionaries(
        {"queue_records": st.integers(1, 8), "batch_records": st.integers(1, 6), "soon": st.sampled_from([0.0, 0.01])}
    ),
    limit=st.integers(1, 60),
)
@settings(max_examples=60, deadline=None)
def test_whatever_fails_and_however_often_it_is_opened_again_nothing_is_lost(
    lives: list[tuple[list[int], list[str], str]],
    bounds: dict[str, Any],
    limit: int,
) -> None:
    """Every record whose receipt completed is delivered or dead; first deliveries keep the order; and only what was cut
    off in the middle repeats anything."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # hundreds of files, each with its fsyncs
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        asyncio.run(_nothing_is_lost(Path(folder), lives, bounds, limit))


async def _nothing_is_lost(
    folder: Path, lives: list[tuple[list[int], list[str], str]], bounds: dict[str, Any], limit: int
) -> None:
    sent: list[bytes] = []
    safe: set[bytes] = set()
    arrived: list[bytes] = []
    unkept: set[bytes] = set()  # refused in a life that was cut off, maybe before the dead letter was kept
    may_repeat = False
    for number, (sizes, fates, end) in enumerate([*lives, ([], [], "drained")]):
        may_repeat |= end == "cut off" or (end == "halted" and not {"down", "crash"}.isdisjoint(fates))
        buffered = Buffered(folder, limit=limit, backoff=0.0002, **bounds)
        refused: set[bytes] = set()
        buffered.sink.on_write = _noting(fate_of(fates), refused)
        receipts: list[tuple[list[bytes], Receipt]] = []
        async with running(buffered.outlet.run), asyncio.timeout(30):
            for place, size in enumerate(sizes):
                values = [b"%d.%d.%d" % (number, place, index) for index in range(size)]
                sent += values
                receipts.append((values, await buffered.outlet.put(part(*values))))
                if place % 3 == 0:
                    await receipts[-1][1]
            if end != "cut off":
                await asyncio.gather(*(receipt for _, receipt in receipts))
            if end == "drained":
                await buffered.outlet.drain()
            elif end == "halted":
                buffered.outlet.halt()
                await buffered.outlet.finish()
        safe.update(value for values, receipt in receipts if receipt.done() for value in values)
        arrived += buffered.sink.values
        dead = {letter.value for letter in await buffered.books.letters()}
        unkept |= refused if end == "cut off" else set()
        if end == "drained":
            assert buffered.file.extent.records == buffered.file.extent.bytes == 0
        buffered.close()
    assert safe <= {*arrived, *dead} <= set(sent)
    # What was cut off around its becoming a dead letter comes again, and may be delivered then: a record that was
    # refused holds up none that came with it.
    firsts = [value for value in dict.fromkeys(arrived) if value not in dead | unkept]
    assert firsts == sorted(firsts, key=sent.index)
    assert may_repeat or len(arrived) == len(set(arrived))


def _noting(fate: Callable[[Batch], None], refused: set[bytes]) -> Callable[[Batch], None]:
    """The same, with a note of what is refused for good."""

    def noted(batch: Batch) -> None:
        try:
            fate(batch)
        except WriteError as error:
            refused.update(batch.values[index] for index in error.failed if not error.is_retryable(index))
            raise

    return noted
