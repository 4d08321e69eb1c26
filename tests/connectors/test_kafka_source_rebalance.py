"""When partitions move between members of a group, each record is delivered by whoever has its partition, in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from kafka_peers import (
    SECONDS,
    Events,
    ack,
    committed,
    new_group,
    nothing_more,
    opened,
    put,
    read,
    source_of,
    stands_at,
    values,
)

from connectors.kafka import KafkaSource
from connectors.memory import MemorySink
from router import Batch, Context, Lease
from router.testing import Line, until
from tests.servers.kafka import KafkaAddresses
from tests.servers.topics import create_topic


@contextlib.asynccontextmanager
async def joining(source: KafkaSource) -> AsyncIterator[asyncio.Task[None]]:
    """Another member that joins while the block runs."""
    task = asyncio.create_task(source.open())
    try:
        yield task
        async with asyncio.timeout(SECONDS):
            await task
    finally:
        task.cancel()
        await source.close()


def leases(batches: list[Batch]) -> set[Lease | None]:
    return {lease for batch in batches for lease in batch.leases or ()}


async def test_what_is_under_way_is_finished_and_committed_before_the_partitions_go(kafka: KafkaAddresses) -> None:
    topic, group = await create_topic(kafka.plaintext, 2), new_group()
    for partition in (0, 1):
        await put(kafka.plaintext, topic, b"a", b"b", partition=partition)
    other = source_of(kafka.plaintext, topic, group)
    async with opened(source_of(kafka.plaintext, topic, group, commit_interval="1h")) as source:
        batches = await read(source, 4)
        async with joining(other) as joined:
            await asyncio.sleep(1)
            assert not joined.done(), "the group does not wait"
            assert not any(lease.revoked for lease in leases(batches) if lease)
            await ack(source, batches)
            await joined
            assert all(lease.revoked for lease in leases(batches) if lease)
            assert await committed(kafka.plaintext, group, topic) == {0: 2, 1: 2}
            await asyncio.gather(nothing_more(source), nothing_more(other))


async def test_what_takes_too_long_is_left_to_the_next_owner(kafka: KafkaAddresses) -> None:
    """And what is acknowledged by then commits nothing, not even over what the next owner has committed."""
    topic, group = await create_topic(kafka.plaintext, 2), new_group()
    for partition in (0, 1):
        await put(kafka.plaintext, topic, b"a", b"b", b"c", partition=partition)
    other = source_of(kafka.plaintext, topic, group)
    async with opened(source_of(kafka.plaintext, topic, group, revoke_timeout="300ms")) as source:
        late = await read(source, 6)
        async with joining(other) as joined:
            await joined
            assert all(lease.revoked for lease in leases(late) if lease)
            for member in (source, other):
                batches = await read(member, 3)
                assert values(batches) == [b"a", b"b", b"c"]
                await ack(member, batches)
            await stands_at(kafka.plaintext, group, topic, {0: 3, 1: 3})
            await put(kafka.plaintext, topic, b"d", partition=0)
            await put(kafka.plaintext, topic, b"d", partition=1)
            for member in (source, other):
                await ack(member, await read(member, 1))
            await stands_at(kafka.plaintext, group, topic, {0: 4, 1: 4})
            await ack(source, late)
            await asyncio.sleep(1)
            assert await committed(kafka.plaintext, group, topic) == {0: 4, 1: 4}


class Ledger:
    """What was written by whom, in the order in which it was."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, bytes]] = []

    def sink(self, name: str) -> MemorySink:
        sink = MemorySink(MemorySink.Config())

        async def note(batch: Batch) -> None:
            await asyncio.sleep(0.002)
            self.entries.extend((name, value) for value in batch.values)

        sink.on_write = note
        return sink

    @property
    def by_partition(self) -> dict[bytes, list[int]]:
        found: dict[bytes, list[int]] = defaultdict(list)
        for _, value in self.entries:
            partition, _, number = value.partition(b":")
            found[partition].append(int(number))
        return found


async def produce(brokers: str, topic: str, partitions: int, stop: asyncio.Event) -> int:
    """Put numbered records into each partition until told to stop; how many there are in each."""
    number = 0
    async with AIOKafkaProducer(bootstrap_servers=brokers, linger_ms=5) as producer:
        while not stop.is_set():
            for _ in range(20):
                for partition in range(partitions):
                    await producer.send(topic, b"%d:%d" % (partition, number), partition=partition)
                number += 1
            await asyncio.sleep(0.01)
        await producer.flush()
    return number


async def test_under_load_nothing_is_lost_or_out_of_order_while_members_come_and_go(
    kafka: KafkaAddresses, tmp_path: Path
) -> None:
    """Nor is anything written twice: members that go by themselves have finished."""
    topic, group = await create_topic(kafka.plaintext, 4), new_group()
    ledger, stop = Ledger(), asyncio.Event()
    producing = asyncio.create_task(produce(kafka.plaintext, topic, 4, stop))

    def line(name: str) -> Line:
        return Line(tmp_path / name, source_of(kafka.plaintext, topic, group), ledger.sink(name))

    async with line("stays"):
        for turn in range(5):
            async with line(f"comes-{turn}"):
                await until(lambda turn=turn: any(name == f"comes-{turn}" for name, _ in ledger.entries), SECONDS)  # type: ignore[misc]
                await asyncio.sleep(0.3)
        stop.set()
        count = await producing
        await until(lambda: len(ledger.entries) >= 4 * count, SECONDS)
    assert ledger.by_partition == {b"%d" % partition: list(range(count)) for partition in range(4)}


@pytest.mark.parametrize(("goes_on", "order"), [(True, ["old", "new"]), (False, ["new"])])
async def test_what_waits_for_a_sink_is_not_written_once_the_partitions_are_gone(
    kafka: KafkaAddresses, tmp_path: Path, goes_on: bool, order: list[str]
) -> None:
    """A write that is under way is waited for, so that the next owner's come after it; one that hangs is cut off."""
    topic, group = await create_topic(kafka.plaintext), new_group()
    wanted = [b"%d" % number for number in range(100)]
    await put(kafka.plaintext, topic, *wanted)
    slow, quick, seen = MemorySink(MemorySink.Config()), MemorySink(MemorySink.Config()), []

    async def hang_once(batch: Batch) -> None:
        slow.on_write = None
        (lease,) = set(batch.leases or ())
        assert lease is not None
        while not lease.revoked:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3 if goes_on else 3600)
        seen.append("old")

    async def note(_batch: Batch) -> None:
        seen.append("new")

    slow.on_write, quick.on_write = hang_once, note
    source = source_of(kafka.plaintext, topic, group, revoke_timeout="1500ms", client_id="z")
    async with Line(tmp_path / "a", source, slow, batch_records=10, timeout=3600.0) as old:
        await until(lambda: slow.writes, SECONDS)
        # Of two members, the one partition goes to the first by name.
        rival = source_of(kafka.plaintext, topic, group, client_id="a")
        async with Line(tmp_path / "b", rival, quick, batch_records=10):
            await until(lambda: len(quick.values) >= 100, SECONDS)
            await until(lambda: not old.outlet.queued_records, SECONDS)
            assert old.books.sample("sluiceway_sink_revoked_records_total", sink="sink") == 100 - len(slow.values)
    assert list(dict.fromkeys(seen)) == order
    assert quick.values == wanted
    assert slow.values == (wanted[:10] if "old" in order else [])


async def held(source: KafkaSource, count: int) -> set[str]:
    """The partitions of a member, once there are so many."""
    async with asyncio.timeout(SECONDS):
        while len(lags := await source.lag()) != count:
            await asyncio.sleep(0.05)
    return {lag.partition for lag in lags}


async def test_a_member_with_an_instance_id_comes_back_without_a_rebalance(kafka: KafkaAddresses) -> None:
    topic, group = await create_topic(kafka.plaintext, 2), new_group()
    events = Events()
    context = Context(name="kafka", count=events)
    async with opened(source_of(kafka.plaintext, topic, group, group_instance_id="one", context=context)) as one:
        await held(one, 2)
        async with opened(source_of(kafka.plaintext, topic, group, group_instance_id="two")) as two:
            before = await held(two, 1)
            await held(one, 1)
        rebalances = events["rebalance"]
        async with opened(source_of(kafka.plaintext, topic, group, group_instance_id="two")) as two:
            assert await held(two, 1) == before
        assert events["rebalance"] == rebalances


@pytest.mark.parametrize("assignment", ["roundrobin", "range", "sticky"])
async def test_members_share_the_partitions_and_take_over_those_of_one_that_leaves(
    kafka: KafkaAddresses, assignment: str
) -> None:
    topic, group = await create_topic(kafka.plaintext, 4), new_group()
    every = {f"{topic}-{partition}" for partition in range(4)}
    async with opened(source_of(kafka.plaintext, topic, group, assignment=assignment)) as one:
        assert await held(one, 4) == every
        async with opened(source_of(kafka.plaintext, topic, group, assignment=assignment)) as two:
            assert await held(one, 2) | await held(two, 2) == every
        assert await held(one, 4) == every
