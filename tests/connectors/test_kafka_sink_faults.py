"""The sink ``kafka`` while brokers die, hang, lose their connections or their memory: nothing is lost, nothing comes
out of order in its partition, and nothing comes twice that a broker can know again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from kafka_sinks import (
    SECONDS,
    away,
    batch,
    failure,
    make,
    new_topic,
    numbered,
    open_ready,
    opened,
    read_all,
    reopen,
    trouble,
    values_in,
    write,
)

from connectors.kafka import KafkaSink
from connectors.kafka.outgoing import Records
from connectors.kafka.producer import Identity, Parcel, Producer
from connectors.memory import MemorySource
from router import Batch, NotConnected, Unavailable
from router.testing import Line, until
from tests.certificates import Certificates
from tests.servers.fixtures import StartKafka
from tests.servers.kafka import PASSWORD, USER, KafkaCluster
from tests.servers.proxy import TcpProxy


def keyed(start: int, count: int, keys: int = 11) -> Batch:
    """Numbered records, each of one of a few keys."""
    return Batch(numbered(count, start), keys=[b"k%d" % (number % keys) for number in range(start, start + count)])


def number(value: bytes) -> int:
    return int(value[5:-1])


def in_order(found: Sequence[Any]) -> bool:
    """Whether each partition has its records in ascending order, none twice."""
    places: dict[int, list[int]] = {}
    for record in found:
        places.setdefault(record.partition, []).append(number(record.value))
    return all(numbers == sorted(set(numbers)) for numbers in places.values())


@pytest.mark.short
async def test_a_broker_that_is_killed_and_started_again_has_every_record_once_and_in_order(
    start_kafka: StartKafka, tmp_path: Path
) -> None:
    """In a router, which writes on meanwhile: what was not answered is sent again under the same number."""
    cluster = start_kafka()
    brokers = cluster.addresses.plaintext
    topic = await new_topic(brokers, 3)
    source = MemorySource(MemorySource.Config())
    pushed = 0
    async with Line(tmp_path, source, make(brokers, topic, request_timeout="5s")) as line:

        def acked() -> int:
            return sum(map(len, source.acked))

        (node,) = cluster.nodes
        for _ in range(3):
            for _ in range(60):
                source.push(keyed(pushed, 50))
                pushed += 50
            await until(lambda: acked() > pushed - 2500, SECONDS)  # noqa: B023 - it is awaited at once
            node.kill()
            await asyncio.to_thread(node.start)
        await until(lambda: acked() == pushed, SECONDS)
        assert await line.books.letters() == []
    found = await read_all(brokers, topic)
    assert in_order(found)
    assert sorted(number(record.value) for record in found) == list(range(pushed))


async def test_a_batch_whose_answer_is_lost_is_not_there_twice(start_kafka: StartKafka) -> None:
    """The connection hangs once the request is with the broker, and ends; another one is made."""
    cluster = start_kafka()
    brokers = cluster.addresses.plaintext
    (node,) = cluster.nodes
    topic = await new_topic(brokers, 2)
    async with TcpProxy(node.listeners["PROXIED"], node.proxy_port) as proxy:
        sink = make(cluster.addresses.proxied, topic)
        async with opened(sink):
            for turn in range(8):
                records = keyed(20 * turn, 20)
                proxy.slow(delay=0.3)
                writing = asyncio.create_task(sink.write(records))
                await _until_there(brokers, topic, 20 * turn + 20)
                proxy.cut()
                with pytest.raises(NotConnected) as caught:
                    await writing
                assert set(caught.value.unwritten or ()) == set(range(20))
                proxy.heal()
                await reopen(sink)
                await sink.write(records)
    found = await read_all(brokers, topic)
    assert in_order(found)
    assert len(found) == 160


async def _until_there(brokers: str, topic: str, count: int) -> None:
    async with asyncio.timeout(SECONDS):
        while len(await read_all(brokers, topic)) < count:
            pass


async def test_other_records_in_place_of_those_without_an_answer_are_not_taken_for_them(
    start_kafka: StartKafka,
) -> None:
    """As many of them, in the same partition: a broker that went by numbers alone would drop them."""
    cluster = start_kafka()
    brokers = cluster.addresses.plaintext
    (node,) = cluster.nodes
    topic = await new_topic(brokers, 1)
    async with TcpProxy(node.listeners["PROXIED"], node.proxy_port) as proxy:
        sink = make(cluster.addresses.proxied, topic)
        async with opened(sink):
            await sink.write(batch(b"first"))
            proxy.slow(delay=0.3)
            writing = asyncio.create_task(sink.write(batch(b"lost its answer")))
            await _until_there(brokers, topic, 2)
            proxy.cut()
            await asyncio.wait([writing])
            proxy.heal()
            await reopen(sink)
            await sink.write(batch(b"another"))
            await sink.write(batch(b"last"))
    assert await values_in(brokers, topic) == [b"first", b"lost its answer", b"another", b"last"]


async def test_a_broker_that_hangs_is_away_and_goes_on_where_it_was(start_kafka: StartKafka) -> None:
    """SIGSTOP: a write is given up after `request_timeout`, and the sink closes though nobody reads its connection."""
    cluster = start_kafka()
    brokers = cluster.addresses.plaintext
    (node,) = cluster.nodes
    topic = await new_topic(brokers, 1)
    sink = make(brokers, topic, timeout=5, request_timeout="1s", compression="none", max_request_size="16MiB")
    large = random.Random(3).randbytes(900_000)
    async with opened(sink):
        await sink.write(batch(b"before"))
        node.freeze()
        error = await trouble(sink, Batch([large] * 6))
        assert not isinstance(error, Unavailable)
        async with asyncio.timeout(10):
            await sink.close()
        assert "no answer in time" in await away(sink)
        node.thaw()
        await reopen(sink)
        await write(sink, Batch([large] * 6))
    assert [len(value) for value in await values_in(brokers, topic)] == [6, *[900_000] * 6]


async def test_one_of_three_brokers_that_dies_holds_up_nothing_for_long(start_kafka: StartKafka) -> None:
    """Its partitions get other leaders; what was on its way is there once, in order."""
    cluster = start_kafka(nodes=3)
    brokers = cluster.addresses.plaintext
    topic = await new_topic(brokers, 6)
    async with opened(make(brokers, topic, request_timeout="5s")) as sink:
        written = 0
        for node in cluster.nodes[:2]:
            for _ in range(5):
                await write(sink, keyed(written, 40, keys=60))
                written += 40
            node.kill()
            for _ in range(5):
                await write(sink, keyed(written, 40, keys=60))
                written += 40
            await asyncio.to_thread(node.start)
            await _all_in_sync(brokers, topic)
    found = await read_all(brokers, topic)
    assert in_order(found)
    assert sorted(number(record.value) for record in found) == list(range(written))


async def test_too_few_replicas_hold_up_records_and_cost_none(start_kafka: StartKafka) -> None:
    """Whatever a leader has appended meanwhile is not appended again when there are enough."""
    cluster = start_kafka(nodes=3)
    brokers = cluster.addresses.plaintext
    topic = await new_topic(brokers, min_insync_replicas="3")
    async with opened(make(brokers, topic, request_timeout="2s")) as sink:
        await write(sink, batch(b"before"))
        (partition,) = await partitions_of(brokers, topic)
        victim = next(node for node in cluster.nodes if node.number != partition["leader"])
        victim.kill()
        records = batch(b"a", b"b")
        for _ in range(4):  # at first the leader waits for the one that is gone
            error = await trouble(sink, records)
            assert isinstance(error, Unavailable)
            assert error.unwritten == {0, 1}
        assert "NOT_ENOUGH_REPLICAS" in str(error)
        await asyncio.to_thread(victim.start)
        await write(sink, records)
    assert await values_in(brokers, topic) == [b"before", b"a", b"b"]


async def _all_in_sync(brokers: str, topic: str) -> None:
    """Wait until each partition has its three copies again: without, the loss of another node would be an outage."""
    async with asyncio.timeout(2 * SECONDS):
        while not all(len(partition["isr"]) == 3 for partition in await partitions_of(brokers, topic)):
            await asyncio.sleep(0.1)


async def partitions_of(brokers: str, topic: str) -> list[dict[str, Any]]:
    """What the cluster says of a topic's partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        (told,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    found: list[dict[str, Any]] = told["partitions"]
    return found


async def test_a_producer_that_brokers_do_not_take_any_more_begins_anew_without_loss_or_disorder(
    start_kafka: StartKafka,
) -> None:
    """Somebody takes over its identity: by a later epoch, then by numbers that it has not used yet."""
    cluster = start_kafka()
    brokers = cluster.addresses.plaintext
    topic = await new_topic(brokers, 2)
    async with opened(make(brokers, topic)) as sink:
        await sink.write(keyed(0, 20))
        first = identity_of(sink)
        await send_as(brokers, topic, (first.id, first.epoch + 1, 0), [b'{"n":1000}'])
        records = keyed(20, 20)
        error = await trouble(sink, records)
        assert isinstance(error, Unavailable)
        assert "PRODUCER" in str(error)
        await write(sink, records.select(sorted(error.unwritten or ())))
        await write(sink, keyed(40, 20))
        second = identity_of(sink)
        assert second.id != first.id
        for partition in range(2):
            place = TopicPartition(topic, partition)
            taken = (second.id, second.epoch, second.next[place])
            await send_as(brokers, topic, taken, [b'{"n":2000}'], partition)
        records = keyed(60, 20)
        error = await trouble(sink, records)
        assert isinstance(error, Unavailable)
        assert "OUT_OF_ORDER_SEQUENCE_NUMBER" in str(error)
        await write(sink, records.select(sorted(error.unwritten or ())))
    found = [record for record in await read_all(brokers, topic) if number(record.value) < 1000]
    assert in_order(found)
    assert sorted(number(record.value) for record in found) == list(range(80))


def identity_of(sink: KafkaSink) -> Identity:
    """Who the sink is to the brokers by now."""
    assert sink._writer is not None
    assert sink._writer._identity is not None
    copy = Identity()
    copy.id, copy.epoch, copy.next = (
        sink._writer._identity.id,
        sink._writer._identity.epoch,
        {**sink._writer._identity.next},
    )
    return copy


async def send_as(
    brokers: str, topic: str, identity: tuple[int, int, int], values: list[bytes], partition: int = 0
) -> None:
    """Write as another producer with this id, epoch and next number would."""
    place = TopicPartition(topic, partition)
    other = Identity()
    other.id, other.epoch, other.next[place] = identity
    client = AIOKafkaClient(bootstrap_servers=brokers)
    await client.bootstrap()
    try:
        await client.set_topics([topic])
        producer = Producer(client, other, acks=-1, compression="none", limit=1 << 20, timeout=10)
        records = Records(values, None, None, [0] * len(values))
        (answer,) = await producer.send([Parcel(place, range(len(values)), records)])
        assert answer.is_written, answer
    finally:
        await client.close()


async def test_rights_that_are_lacking_are_told_and_records_wait_for_them(
    start_kafka: StartKafka, certificates: Certificates
) -> None:
    cluster = start_kafka()
    brokers = cluster.addresses.plaintext
    topic, other = await new_topic(brokers), await new_topic(brokers)
    sasl = {"mechanism": "SCRAM-SHA-512", "username": USER, "password": PASSWORD}
    sink = make(cluster.addresses.sasl, topic, certificates.folder, tls={"ca": "ca.pem"}, sasl=sasl)
    await open_ready(sink)
    await sink.write(batch(b"before"))
    await allow(cluster, topic, "Describe")
    error = await trouble(sink, batch(b"a"))
    assert isinstance(error, Unavailable)
    assert f"{topic}, partition 0: TOPIC_AUTHORIZATION_FAILED" in str(error)
    await allow(cluster, topic, "Write")
    await write(sink, batch(b"a"))
    await allow(cluster, other, "Describe")
    refused = await failure(sink, batch(b"b", b"c", topic=[other, None]))
    assert set(refused.failed) == {0}
    assert not refused.retryable
    assert "it takes the right Write" in refused.failed[0]
    await sink.close()
    hidden = await new_topic(brokers)
    await allow(cluster, hidden, "Read", "User:bob")
    assert "the cluster does not let us see topic" in await away(
        make(cluster.addresses.sasl, hidden, certificates.folder, tls={"ca": "ca.pem"}, sasl=sasl)
    )
    assert await values_in(brokers, topic) == [b"before", b"a", b"c"]


async def allow(cluster: KafkaCluster, topic: str, operation: str, user: str = f"User:{USER}") -> None:
    """Give a user a right to a topic; from the first one on, nobody has any other."""
    await asyncio.to_thread(
        cluster.command,
        "org.apache.kafka.tools.AclCommand",
        *("--add", "--allow-principal", user, "--operation", operation, "--topic", topic),
    )
    await asyncio.sleep(0.5)  # until the broker has it, too
