"""A source ``kafka`` that only looks reads what the group would, and the group of a real Kafka does not notice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewPartitions, RecordsToDelete
from kafka_peers import (
    Events,
    ack,
    administered,
    commit,
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
from router import Context, NotConnected
from router.config import load
from router.dryrun import DryRun
from router.testing import until
from tests.servers.kafka import KafkaAddresses
from tests.servers.topics import create_topic


def onlooker(brokers: str, topics: Any, group: str, **settings: Any) -> KafkaSource:
    source = source_of(brokers, topics, group, **settings)
    assert source.peek() == ""
    return source


async def members(brokers: str, group: str) -> tuple[str, list[str]]:
    """The state of a group, and who is in it."""
    async with administered(brokers) as admin:
        (answer,) = await admin.describe_consumer_groups([group])
    ((_, _, state, _, _, who, *_),) = answer.groups
    return state, sorted(member[0] for member in who)


async def test_it_reads_from_where_the_group_stands_and_moves_nothing(kafka: KafkaAddresses) -> None:
    topic, group = await create_topic(kafka.plaintext, 2), new_group()
    for partition in (0, 1):
        await put(kafka.plaintext, topic, b"a", b"b", b"c", partition=partition)
    await commit(kafka.plaintext, group, topic, 2, 0)
    async with opened(onlooker(kafka.plaintext, topic, group)) as source:
        batches = await read(source, 4)
        await ack(source, batches)
        await put(kafka.plaintext, topic, b"d", partition=0)
        batches += await read(source, 1)
        await nothing_more(source)
        assert list(await source.lag()) == []
    assert sorted(values(batches)) == [b"a", b"b", b"c", b"c", b"d"]
    assert await committed(kafka.plaintext, group, topic) == {0: 2}
    assert await members(kafka.plaintext, group) == ("Empty", [])


async def test_the_members_of_the_group_keep_their_partitions_and_their_offsets(kafka: KafkaAddresses) -> None:
    """No rebalance comes of it, and nothing is taken away from who reads."""
    topic, group = await create_topic(kafka.plaintext, 3), new_group()
    events = Events()
    context = Context(name="kafka", count=events)
    async with opened(source_of(kafka.plaintext, topic, group, context=context)) as member:
        await put(kafka.plaintext, topic, b"a", partition=0)
        batches = await read(member, 1)
        await ack(member, batches)
        await stands_at(kafka.plaintext, group, topic, {0: 1, 1: 0, 2: 0})
        before = await members(kafka.plaintext, group)
        assert (before[0], len(before[1])) == ("Stable", 1)
        async with opened(onlooker(kafka.plaintext, topic, group)) as source:
            await put(kafka.plaintext, topic, b"b", partition=1)
            assert values(await read(source, 1)) == [b"b"]
            assert await members(kafka.plaintext, group) == before
            assert values(await read(member, 1)) == [b"b"]
        assert await members(kafka.plaintext, group) == before
        assert await committed(kafka.plaintext, group, topic) == {0: 1, 1: 0, 2: 0}
        assert events["rebalance"] == 1


@pytest.mark.parametrize(("policy", "came"), [("earliest", [b"a", b"b"]), ("latest", [b"b"])])
async def test_a_group_that_is_nowhere_is_not_made(kafka: KafkaAddresses, policy: str, came: list[bytes]) -> None:
    topic, group = await create_topic(kafka.plaintext), new_group()
    await put(kafka.plaintext, topic, b"a")
    async with opened(onlooker(kafka.plaintext, topic, group, offset_reset=policy)) as source:
        await put(kafka.plaintext, topic, b"b")
        assert values(await read(source, len(came))) == came
    assert await committed(kafka.plaintext, group, topic) == {}
    assert (await members(kafka.plaintext, group))[0] == "Dead"


async def test_without_a_policy_a_group_that_is_nowhere_cannot_be_looked_at(kafka: KafkaAddresses) -> None:
    topic = await create_topic(kafka.plaintext)
    source = onlooker(kafka.plaintext, topic, new_group(), offset_reset="error")
    with pytest.raises(NotConnected, match="has no offset"):
        await source.open()
    await source.close()


async def test_topics_and_partitions_that_come_later_are_read_too(kafka: KafkaAddresses) -> None:
    """And nothing of the others comes again for that."""
    first = await create_topic(kafka.plaintext, prefix="late")
    prefix = first + "-"
    async with opened(onlooker(kafka.plaintext, None, new_group(), pattern=f"{first}(-.*)?")) as source:
        await put(kafka.plaintext, first, b"a")
        assert values(await read(source, 1)) == [b"a"]
        async with administered(kafka.plaintext) as admin:
            await admin.create_partitions({first: NewPartitions(total_count=2)})
        second = await create_topic(kafka.plaintext, prefix=prefix)
        await put(kafka.plaintext, second, b"b")
        await put(kafka.plaintext, first, b"c", partition=1)
        assert sorted(values(await read(source, 2))) == [b"b", b"c"]
        await nothing_more(source)


async def test_what_was_deleted_before_the_group_read_it_is_passed_over(kafka: KafkaAddresses) -> None:
    topic, group = await create_topic(kafka.plaintext), new_group()
    await put(kafka.plaintext, topic, b"a", b"b", b"c")
    await commit(kafka.plaintext, group, topic, 0)
    async with administered(kafka.plaintext) as admin:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(2)})
    async with opened(onlooker(kafka.plaintext, topic, group)) as source:
        assert values(await read(source, 1)) == [b"c"]
    assert await committed(kafka.plaintext, group, topic) == {0: 0}


async def test_a_dry_run_beside_a_member_leaves_the_group_and_the_sinks_topic_alone(
    kafka: KafkaAddresses, tmp_path: Path
) -> None:
    topic, out, group = await create_topic(kafka.plaintext), await create_topic(kafka.plaintext), new_group()
    await put(kafka.plaintext, topic, b'{"n": 1}', b'{"n": 2}', b"no")
    await commit(kafka.plaintext, group, topic, 1)
    (tmp_path / "rules.yaml").write_text("from: [orders]\nrules: [{name: all, to: out}]\n")
    (tmp_path / "sluiceway.yaml").write_text(
        f"http: null\nconnections: {{main: {{type: kafka, brokers: '{kafka.plaintext}'}}}}\n"
        f"sources: {{orders: {{use: main, topics: [{topic}], group: {group}}}}}\n"
        f"sinks: {{out: {{use: main, topic: {out}}}}}\nflows: [rules.yaml]\n"
    )
    dry, stop = DryRun(load([tmp_path / "sluiceway.yaml"])), asyncio.Event()
    running = asyncio.create_task(dry.run(stop))
    await until(lambda: dry.account.records == 2)
    stop.set()
    account = await running
    assert [(count.label, count.new) for count in account.counts] == [("out", 1), ("dead_letter (undecodable)", 1)]
    assert await committed(kafka.plaintext, group, topic) == {0: 1}
    assert await members(kafka.plaintext, group) == ("Empty", [])
    async with opened(source_of(kafka.plaintext, out, new_group())) as sink_topic:
        await nothing_more(sink_topic)
    assert not (tmp_path / "state").exists()
