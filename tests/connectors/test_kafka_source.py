"""The source ``kafka`` reads what is in the topics of a real Kafka, goes on where it was, and never jumps silently."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewPartitions, NewTopic, RecordsToDelete
from kafka_peers import (
    SECONDS,
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
    refuses,
    source_of,
    stands_at,
    values,
)

from connectors.kafka.records import BATCH_BYTES
from connectors.memory import MemorySink
from router import Batch, Context, Lag
from router.testing import Line, until
from rules.codecs import Bytes
from tests.servers.kafka import KafkaAddresses
from tests.servers.topics import create_topic


async def lags(source: Any) -> dict[str, int | None]:
    """Records behind, by partition."""
    found: list[Lag] = await source.lag()
    return {lag.partition: lag.records for lag in found}


# What is read


async def test_a_record_comes_with_all_that_kafka_knows_of_it(kafka: KafkaAddresses) -> None:
    topic = await create_topic(kafka.plaintext, 2)
    then = time.time_ns() // 1_000_000 - 1000
    await put(kafka.plaintext, topic, b"one", partition=1, key=b"k", headers=[("h", b"1")], timestamp_ms=then)
    await put(kafka.plaintext, topic, None, partition=1, key=b"k")
    async with opened(source_of(kafka.plaintext, topic, new_group())) as source:
        (batch,) = await read(source, 2)
    assert batch.values == [b"one", b"null"]
    assert batch.keys == [b"k", b"k"]
    assert batch.headers == [[("h", b"1")], None]
    assert batch.times is not None
    assert batch.times[0] == then * 1_000_000
    assert {name: list(column) for name, column in batch.attributes.items()} == {
        "topic": [topic, topic],
        "partition": [1, 1],
        "offset": [0, 1],
        "tombstone": [False, True],
    }


async def test_a_tombstone_is_empty_where_payloads_are_not_json(kafka: KafkaAddresses) -> None:
    topic = await create_topic(kafka.plaintext)
    await put(kafka.plaintext, topic, None, key=b"k")
    context = Context(name="kafka", format=Bytes())
    async with opened(source_of(kafka.plaintext, topic, new_group(), context=context)) as source:
        assert values(await read(source, 1)) == [b""]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_records_are_read(kafka: KafkaAddresses, codec: str) -> None:
    topic = await create_topic(kafka.plaintext)
    async with AIOKafkaProducer(bootstrap_servers=kafka.plaintext, compression_type=codec) as producer:
        await producer.send_and_wait(topic, b"packed" * 100)
    async with opened(source_of(kafka.plaintext, topic, new_group())) as source:
        assert values(await read(source, 1)) == [b"packed" * 100]


async def test_what_was_compressed_well_comes_in_batches_that_are_not_too_large(kafka: KafkaAddresses) -> None:
    topic = await create_topic(kafka.plaintext)
    size = 1_000_000
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.plaintext, compression_type="zstd", max_batch_size=2**25, max_request_size=2**25
    ) as producer:
        await asyncio.gather(*[await producer.send(topic, b"%03d" % number + bytes(size - 3)) for number in range(20)])
    async with opened(source_of(kafka.plaintext, topic, new_group())) as source:
        batches = await read(source, 20)
    assert max(batch.bytes for batch in batches) <= BATCH_BYTES
    assert [value[:3] for value in values(batches)] == [b"%03d" % number for number in range(20)]


async def test_a_batch_has_no_more_records_than_it_may(kafka: KafkaAddresses) -> None:
    topic = await create_topic(kafka.plaintext)
    await put(kafka.plaintext, topic, *(b"%d" % number for number in range(25)))
    async with opened(source_of(kafka.plaintext, topic, new_group(), max_poll_records=10)) as source:
        batches = await read(source, 25)
    assert [len(batch) for batch in batches] == [10, 10, 5]
    assert values(batches) == [b"%d" % number for number in range(25)]


async def test_several_topics_are_read_each_partition_in_order(kafka: KafkaAddresses) -> None:
    topics = [await create_topic(kafka.plaintext, 3) for _ in range(2)]
    for topic in topics:
        for partition in range(3):
            await put(kafka.plaintext, topic, *(b"%d" % number for number in range(50)), partition=partition)
    async with opened(source_of(kafka.plaintext, topics, new_group())) as source:
        batches = await read(source, 300)
    found: dict[tuple[object, object], list[bytes]] = {}
    for batch in batches:
        where = zip(batch.attributes["topic"], batch.attributes["partition"], batch.values, strict=True)
        for name, number, value in where:
            found.setdefault((name, number), []).append(value)
    in_order = [b"%d" % number for number in range(50)]
    assert found == {(topic, partition): in_order for topic in topics for partition in range(3)}


async def test_a_pattern_matches_whole_names_and_finds_topics_that_come_later(kafka: KafkaAddresses) -> None:
    prefix = new_group()
    first = await create_topic(kafka.plaintext, prefix=f"{prefix}-a")
    other = await create_topic(kafka.plaintext, prefix=f"x-{prefix}-a")
    longer = await create_topic(kafka.plaintext, prefix=f"{prefix}-b")
    for topic in (first, other, longer):
        await put(kafka.plaintext, topic, topic.encode())
    source = source_of(kafka.plaintext, None, new_group(), pattern=f"{prefix}-a-[^-]*", metadata_max_age="500ms")
    async with opened(source):
        batches = await read(source, 1)
        assert values(batches) == [first.encode()]
        await ack(source, batches)
        await nothing_more(source)
        later = await create_topic(kafka.plaintext, prefix=f"{prefix}-a")
        await put(kafka.plaintext, later, b"later")
        assert values(await read(source, 1)) == [b"later"]


async def test_a_topic_that_does_not_exist_is_waited_for(kafka: KafkaAddresses) -> None:
    topic = f"later-{new_group()}"
    async with opened(source_of(kafka.plaintext, topic, new_group())) as source:
        await nothing_more(source)
        async with administered(kafka.plaintext) as admin:
            await admin.create_topics([NewTopic(topic, 1, 1)])
        await put(kafka.plaintext, topic, b"at last")
        assert values(await read(source, 1)) == [b"at last"]


async def test_partitions_that_are_added_are_read(kafka: KafkaAddresses) -> None:
    topic = await create_topic(kafka.plaintext)
    async with opened(source_of(kafka.plaintext, topic, new_group(), metadata_max_age="500ms")) as source:
        async with administered(kafka.plaintext) as admin:
            await admin.create_partitions({topic: NewPartitions(3)})
        await put(kafka.plaintext, topic, b"new", partition=2)
        assert values(await read(source, 1)) == [b"new"]
        assert len(await source.lag()) == 3


async def test_a_topic_that_is_deleted_stops_nothing_else(kafka: KafkaAddresses) -> None:
    gone, kept = await create_topic(kafka.plaintext), await create_topic(kafka.plaintext)
    await put(kafka.plaintext, gone, b"1")
    async with opened(source_of(kafka.plaintext, [gone, kept], new_group(), metadata_max_age="500ms")) as source:
        await ack(source, await read(source, 1))
        async with administered(kafka.plaintext) as admin:
            await admin.delete_topics([gone])
        await asyncio.sleep(1)
        spent = time.process_time()
        await nothing_more(source, 1)
        assert time.process_time() - spent < 0.5
        await put(kafka.plaintext, kept, b"2")
        assert values(await read(source, 1)) == [b"2"]
        async with asyncio.timeout(SECONDS):
            while set(await lags(source)) != {f"{kept}-0"}:
                await asyncio.sleep(0.1)


# Where reading begins and goes on


async def test_it_goes_on_after_what_was_acknowledged_and_commits_that_while_it_runs(kafka: KafkaAddresses) -> None:
    topic, group = await create_topic(kafka.plaintext), new_group()
    await put(kafka.plaintext, topic, b"0", b"1", b"2")
    async with opened(source_of(kafka.plaintext, topic, group, max_poll_records=1, commit_interval="50ms")) as source:
        batches = await read(source, 3)
        await ack(source, batches[:2])
        await stands_at(kafka.plaintext, group, topic, {0: 2})
    async with opened(source_of(kafka.plaintext, topic, group)) as source:
        assert values(await read(source, 1)) == [b"2"]


async def test_what_is_acknowledged_is_committed_when_it_closes(kafka: KafkaAddresses) -> None:
    topic, group = await create_topic(kafka.plaintext), new_group()
    await put(kafka.plaintext, topic, b"0", b"1")
    async with opened(source_of(kafka.plaintext, topic, group, commit_interval="1h")) as source:
        await source.ack((await read(source, 2))[-1].token)  # the first one goes out at once
        await stands_at(kafka.plaintext, group, topic, {0: 2})
        await put(kafka.plaintext, topic, b"2")
        await ack(source, await read(source, 1))
    assert await committed(kafka.plaintext, group, topic) == {0: 3}


async def test_latest_begins_at_the_end_and_skips_nothing_from_then_on(kafka: KafkaAddresses) -> None:
    """What comes between the first start and the first acknowledgement is not skipped by the second start."""
    topic, group = await create_topic(kafka.plaintext), new_group()
    await put(kafka.plaintext, topic, b"old")
    async with opened(source_of(kafka.plaintext, topic, group, offset_reset="latest")) as source:
        await nothing_more(source)
        assert await committed(kafka.plaintext, group, topic) == {0: 1}
        await put(kafka.plaintext, topic, b"new")
        assert values(await read(source, 1)) == [b"new"]
    async with opened(source_of(kafka.plaintext, topic, group, offset_reset="latest")) as source:
        assert values(await read(source, 1)) == [b"new"]


async def test_with_error_nothing_is_read_until_the_group_has_an_offset(kafka: KafkaAddresses) -> None:
    topic, group = await create_topic(kafka.plaintext), new_group()
    await put(kafka.plaintext, topic, b"0", b"1")
    source = source_of(kafka.plaintext, topic, group, offset_reset="error")
    assert await refuses(source) == f"group {group} has no offset in {topic}-0 (offset_reset is error)"
    await commit(kafka.plaintext, group, topic, 1)
    async with opened(source):
        assert values(await read(source, 1)) == [b"1"]


async def truncated(kafka: KafkaAddresses) -> tuple[str, str]:
    """A topic of ten records, of which the first seven are deleted, and a group that has read two."""
    topic, group = await create_topic(kafka.plaintext), new_group()
    await put(kafka.plaintext, topic, *(b"%d" % number for number in range(10)))
    await commit(kafka.plaintext, group, topic, 2)
    async with administered(kafka.plaintext) as admin:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(7)})
    return topic, group


@pytest.mark.parametrize(("policy", "wanted", "missed"), [("earliest", [b"7", b"8", b"9"], 5), ("latest", [], 8)])
async def test_records_that_were_deleted_before_they_were_read_are_told_and_counted(
    kafka: KafkaAddresses, policy: str, wanted: list[bytes], missed: int, caplog: pytest.LogCaptureFixture
) -> None:
    topic, group = await truncated(kafka)
    events = Events()
    context = Context(name="kafka", count=events)
    async with opened(source_of(kafka.plaintext, topic, group, offset_reset=policy, context=context)) as source:
        await nothing_more(source) if not wanted else None
        assert values(await read(source, len(wanted))) == wanted
        assert events["offset_out_of_range"] == 1
        assert events["missed_record"] == missed
        await put(kafka.plaintext, topic, b"new")
        assert values(await read(source, 1)) == [b"new"]
    async with opened(source_of(kafka.plaintext, topic, group, context=context)) as source:
        assert values(await read(source, len(wanted) + 1)) == [*wanted, b"new"]
        assert events["offset_out_of_range"] == 1, "it is told once"
    assert f"{topic}-0: offset 2 is out of range, there is 7 to 10; going on at {2 + missed}, {missed} " in caplog.text


async def test_with_error_an_offset_out_of_range_stops_the_reading(kafka: KafkaAddresses) -> None:
    topic, group = await truncated(kafka)
    said = await refuses(source_of(kafka.plaintext, topic, group, offset_reset="error"))
    assert said == f"{topic}-0: offset 2 is out of range, there is 7 to 10 (offset_reset is error)"
    assert await committed(kafka.plaintext, group, topic) == {0: 2}


async def test_a_topic_that_is_made_anew_is_read_from_its_beginning(kafka: KafkaAddresses) -> None:
    """And what is acknowledged of the old one is not committed as if it were of the new one."""
    topic, group = await create_topic(kafka.plaintext), new_group()
    await put(kafka.plaintext, topic, *(b"old %d" % number for number in range(5)))
    async with opened(source_of(kafka.plaintext, topic, group, metadata_max_age="500ms")) as source:
        old = await read(source, 5)
        async with administered(kafka.plaintext) as admin:
            await admin.delete_topics([topic])
            await asyncio.sleep(0.5)
            await admin.create_topics([NewTopic(topic, 1, 1)])
        await put(kafka.plaintext, topic, b"new")
        (new,) = await read(source, 1)
        assert new.values == [b"new"]
        await ack(source, old)
        await asyncio.sleep(1)
        assert (await committed(kafka.plaintext, group, topic)).get(0, 0) == 0
        await ack(source, [new])
        await stands_at(kafka.plaintext, group, topic, {0: 1})


# Transactions


async def in_transaction(kafka: KafkaAddresses, topic: str, *payloads: bytes, keep: bool) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.plaintext, transactional_id=new_group()) as producer:
        await producer.begin_transaction()
        for payload in payloads:
            await producer.send_and_wait(topic, payload)
        await (producer.commit_transaction() if keep else producer.abort_transaction())


async def test_what_a_transaction_took_back_is_not_read_and_is_no_lag(kafka: KafkaAddresses) -> None:
    """The marks of transactions take up offsets, which are passed by and committed as well."""
    topic, group = await create_topic(kafka.plaintext), new_group()
    await in_transaction(kafka, topic, b"kept", keep=True)
    await in_transaction(kafka, topic, b"taken back", keep=False)
    async with opened(source_of(kafka.plaintext, topic, group)) as source:
        await ack(source, await read(source, 1))
        await nothing_more(source)
        await stands_at(kafka.plaintext, group, topic, {0: 4})
        assert await lags(source) == {f"{topic}-0": 0}
    async with opened(source_of(kafka.plaintext, topic, new_group(), isolation_level="read_uncommitted")) as source:
        assert values(await read(source, 2)) == [b"kept", b"taken back"]


async def test_what_follows_a_transaction_that_is_open_waits_for_its_end(kafka: KafkaAddresses) -> None:
    topic = await create_topic(kafka.plaintext)
    async with AIOKafkaProducer(bootstrap_servers=kafka.plaintext, transactional_id=new_group()) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"first")
        await put(kafka.plaintext, topic, b"second")
        async with opened(source_of(kafka.plaintext, topic, new_group())) as source:
            await nothing_more(source)
            await producer.commit_transaction()
            assert values(await read(source, 2)) == [b"first", b"second"]


# Lag, and a sink that is down


async def test_lag_is_known_whether_anything_is_read_or_not(kafka: KafkaAddresses) -> None:
    topic = await create_topic(kafka.plaintext)
    async with opened(source_of(kafka.plaintext, topic, new_group())) as source:
        await nothing_more(source)
        assert await lags(source) == {f"{topic}-0": 0}
        old = round(time.time() * 1000) - 60_000
        await put(kafka.plaintext, topic, b"0", timestamp_ms=old)
        batches = await read(source, 1)
        await put(kafka.plaintext, topic, b"1", b"2")
        (lag,) = await source.lag()
        assert lag.records == 3
        assert lag.seconds is not None
        assert 60 <= lag.seconds < 60 + SECONDS
        await ack(source, batches)
        assert await lags(source) == {f"{topic}-0": 2}
        await ack(source, await read(source, 2))
        (lag,) = await source.lag()
        assert (lag.records, lag.seconds) == (0, 0)


async def test_a_sink_that_is_down_for_long_causes_no_rebalance(kafka: KafkaAddresses, tmp_path: Path) -> None:
    """Longer than the session, and than a consumer may go without polling; and nothing is read again afterwards."""
    topic, events = await create_topic(kafka.plaintext), Events()
    source = source_of(
        kafka.plaintext,
        topic,
        new_group(),
        session_timeout="1s",
        heartbeat_interval="200ms",
        revoke_timeout="200ms",
        max_poll_interval="1500ms",
        context=Context(name="kafka", count=events),
    )
    sink, gate = MemorySink(MemorySink.Config()), asyncio.Event()

    async def hang(_batch: Batch) -> None:
        await gate.wait()

    sink.on_write = hang
    async with Line(tmp_path, source, sink, queue_records=10, batch_records=10, timeout=60.0) as line:
        wanted = [b"%d" % number for number in range(2000)]
        await put(kafka.plaintext, topic, *wanted)
        await until(lambda: sink.writes, SECONDS)
        await asyncio.sleep(5)
        assert await lags(source) == {f"{topic}-0": 2000}
        gate.set()
        await until(lambda: len(sink.values) == 2000, SECONDS)
        assert line.pipeline.connected
    assert sink.values == wanted
    assert events["rebalance"] == 1
