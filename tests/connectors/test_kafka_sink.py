"""The sink ``kafka``, driven by hand against Kafka itself: what it sends, where to, and what it makes of refusals."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from kafka_sinks import away, batch, failure, make, new_topic, numbered, opened, read_all, trouble, values_in, write
from pydantic import ValidationError

from connectors.kafka.partitioning import partition_of
from router import Batch, Constant, NotConnected, Sink, Unavailable
from tests.certificates import Certificates
from tests.servers.kafka import PASSWORD, USER, KafkaAddresses

NOISE = random.Random(7)
DAY = 86_400_000


def noise(size: int) -> bytes:
    """Bytes that no compression makes smaller."""
    return NOISE.randbytes(size)


def test_it_is_a_sink() -> None:
    assert isinstance(make("a:1", "t"), Sink)


# What is sent


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_records_arrive_as_sent_with_every_compression(kafka: KafkaAddresses, compression: str) -> None:
    topic = await new_topic(kafka.plaintext)
    values = [b"", b"\x00\xff", "Grüße 😀".encode(), b"a" * 300_000, *numbered(2000)]
    keys = [None, b"", b"\xff", b"k", *[b"%d" % n for n in range(2000)]]
    headers: Any = [None, [], [("a", b"1"), ("a", b""), ("ü", b"\xff")], *[[("n", b"x")]] * 2001]
    times = [1_700_000_000_000_000_000 + n * 1_000_000 for n in range(2004)]
    async with opened(make(kafka.plaintext, topic, compression=compression)) as sink:
        await sink.write(Batch(values, keys=keys, headers=headers, times=times))
    found = await read_all(kafka.plaintext, topic)
    assert [record.value for record in found] == values
    assert [record.key for record in found] == keys
    assert [list(record.headers) for record in found] == [headers or [] for headers in headers]
    assert [record.timestamp for record in found] == [1_700_000_000_000 + n for n in range(2004)]


async def test_records_have_the_key_headers_and_time_of_the_settings_unless_they_chose_others(
    kafka: KafkaAddresses,
) -> None:
    topic = await new_topic(kafka.plaintext)
    settings: dict[str, Any] = {"key": "own", "headers": {"from": "here"}, "timestamp": "2026-01-02T03:04:05Z"}
    async with opened(make(kafka.plaintext, topic, **settings)) as sink:
        await sink.write(batch(b"a"))
        chosen: Any = [(("x", b"1"),), None]
        await sink.write(
            Batch([b"b", b"c"], keys=[b"k", None], headers=chosen, settings={"timestamp": [1_700_000_000_000, None]})
        )
    found = [(r.value, r.key, list(r.headers), r.timestamp) for r in await read_all(kafka.plaintext, topic)]
    own = (b"own", [("from", b"here")], 1767323045000)
    assert found == [(b"a", *own), (b"b", b"k", [("x", b"1")], 1_700_000_000_000), (b"c", *own)]


async def test_a_tombstone_has_a_key_and_no_value(kafka: KafkaAddresses) -> None:
    topic = await new_topic(kafka.plaintext, cleanup_policy="compact")
    async with opened(make(kafka.plaintext, topic)) as sink:
        gone = Batch([b"a", b"gone", b"c"], keys=[b"1", b"2", None], settings={"tombstone": [None, True, True]})
        error = await failure(sink, gone)
    assert error.failed == {2: "a tombstone needs a key: it says of that key that it is gone"}
    assert [(r.key, r.value) for r in await read_all(kafka.plaintext, topic)] == [(b"1", b"a"), (b"2", None)]


async def test_a_sink_of_tombstones_sends_nothing_else(kafka: KafkaAddresses) -> None:
    topic = await new_topic(kafka.plaintext)
    async with opened(make(kafka.plaintext, topic, tombstone=True)) as sink:
        await sink.write(Batch([b"a", b"b"], keys=Constant(b"k", 2), settings={"tombstone": [False, None]}))
    assert await values_in(kafka.plaintext, topic) == [b"a", None]


# Where to


async def test_records_with_a_key_go_to_its_partition_and_keep_their_order(kafka: KafkaAddresses) -> None:
    topic = await new_topic(kafka.plaintext, 5)
    values, keys = numbered(3000), [b"k%d" % (n % 97) for n in range(3000)]
    async with opened(make(kafka.plaintext, topic)) as sink:
        for start in range(0, 3000, 700):
            await sink.write(Batch(values[start : start + 700], keys=keys[start : start + 700]))
    found = await read_all(kafka.plaintext, topic)
    assert len(found) == 3000
    for key in set(keys):
        theirs = [record for record in found if record.key == key]
        assert {record.partition for record in theirs} == {partition_of(key, 5)}
        assert [record.value for record in theirs] == [v for v, k in zip(values, keys, strict=True) if k == key]


async def test_records_without_a_key_of_a_write_stay_together_and_writes_go_round(kafka: KafkaAddresses) -> None:
    topic = await new_topic(kafka.plaintext, 3)
    async with opened(make(kafka.plaintext, topic)) as sink:
        for write in range(6):
            await sink.write(batch(*numbered(10, 10 * write)))
    places: dict[int, list[int]] = {}
    for record in await read_all(kafka.plaintext, topic):
        places.setdefault(record.partition, []).append(record.value)
    assert sorted(map(len, places.values())) == [20, 20, 20]
    for write in range(6):
        assert any(set(numbered(10, 10 * write)) <= set(held) for held in places.values())


async def test_a_chosen_partition_comes_before_the_key_and_one_that_is_not_there_fails_its_record(
    kafka: KafkaAddresses,
) -> None:
    topic = await new_topic(kafka.plaintext, 3)
    by_key = partition_of(b"k", 3)
    async with opened(make(kafka.plaintext, topic)) as sink:
        chosen = [(by_key + 1) % 3, None, 3, -1, "1", True]
        error = await failure(sink, Batch(numbered(6), keys=Constant(b"k", 6), settings={"partition": chosen}))
    assert error.failed[2] == f"topic {topic} has 3 partition(s), and none is 3"
    assert set(error.failed) == {2, 3, 4, 5}
    assert not error.retryable
    found = {record.value: record.partition for record in await read_all(kafka.plaintext, topic)}
    assert found == {b'{"n":0}': (by_key + 1) % 3, b'{"n":1}': by_key}


async def test_a_configured_partition_takes_all(kafka: KafkaAddresses) -> None:
    topic = await new_topic(kafka.plaintext, 3)
    async with opened(make(kafka.plaintext, topic, partition=2)) as sink:
        await sink.write(Batch(numbered(9), keys=[b"%d" % n for n in range(9)]))
    assert [(r.partition, r.value) for r in await read_all(kafka.plaintext, topic)] == [(2, v) for v in numbered(9)]


async def test_records_choose_topics_and_one_that_does_not_exist_fails_its_records_alone(
    kafka: KafkaAddresses,
) -> None:
    own, other = await new_topic(kafka.plaintext), await new_topic(kafka.plaintext)
    missing = f"{own}-missing"
    async with opened(make(kafka.plaintext, own)) as sink:
        chosen = [other, None, missing, own, "no name", 7, other]
        error = await failure(sink, batch(*numbered(7), topic=chosen))
        began = time.monotonic()
        again = await failure(sink, batch(b"x", topic=[missing]))
    assert not error.retryable
    assert set(error.failed) == {2, 4, 5}
    assert f"topic {missing} does not exist" in error.failed[2]
    assert "'no name' is no name of a topic" in error.failed[4]
    assert error.failed[5] == "the topic is no text"
    assert again.failed == {0: error.failed[2]}
    assert time.monotonic() - began < 30  # it was not looked for again
    assert await values_in(kafka.plaintext, own) == [b'{"n":1}', b'{"n":3}']
    assert await values_in(kafka.plaintext, other) == [b'{"n":0}', b'{"n":6}']


async def test_a_sink_whose_topic_is_chosen_refuses_a_record_that_chose_none(kafka: KafkaAddresses) -> None:
    topic = await new_topic(kafka.plaintext)
    async with opened(make(kafka.plaintext, "events.${event.tenant}")) as sink:
        error = await failure(sink, batch(b"a", b"b", topic=[None, topic]))
    assert error.failed == {0: "no topic was chosen"}
    assert await values_in(kafka.plaintext, topic) == [b"b"]


async def test_a_configured_topic_that_does_not_exist_is_an_outage_that_says_what_to_do(kafka: KafkaAddresses) -> None:
    why = await away(make(kafka.plaintext, "nobody-has-made-this"))
    assert why.startswith("topic nobody-has-made-this does not exist: make it, or let the sink do so with `create:")


async def test_a_configured_topic_that_is_deleted_is_an_outage_until_it_is_there_again(kafka: KafkaAddresses) -> None:
    topic = await new_topic(kafka.plaintext)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.plaintext)
    sink = make(kafka.plaintext, topic)
    async with opened(sink):
        await sink.write(batch(b"a"))
        await admin.start()
        await admin.delete_topics([topic])
        await admin.close()
        for _ in range(20):  # the broker says of itself that it leads it, for a moment
            error = await trouble(sink, batch(b"b"))
            if "does not exist" in str(error):
                break
    assert not isinstance(error, Unavailable)
    assert f"topic {topic} does not exist" in await away(sink)


async def test_topics_are_made_when_that_is_the_plan(kafka: KafkaAddresses) -> None:
    name = (await new_topic(kafka.plaintext)) + "-made"
    create = {"partitions": 3, "replication": 1, "settings": {"cleanup.policy": "compact"}}
    async with opened(make(kafka.plaintext, name, create=create, key="k")) as sink:
        await write(sink, batch(b"a", b"b", topic=[None, f"{name}-too"]))
    assert await values_in(kafka.plaintext, name) == [b"a"]
    assert await values_in(kafka.plaintext, f"{name}-too") == [b"b"]
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.plaintext)
    await admin.start()
    described = await admin.describe_topics([name])
    await admin.close()
    assert len(described[0]["partitions"]) == 3


async def test_a_topic_that_the_cluster_does_not_make_is_told_with_its_reason(kafka: KafkaAddresses) -> None:
    create = {"partitions": 1, "replication": 50}
    why = await away(make(kafka.plaintext, "too-many-copies", create=create))
    assert why.startswith("topic too-many-copies does not exist, and the cluster does not make it: ")
    assert "replication factor" in why.lower()


async def test_partitions_that_are_added_get_their_keys(kafka: KafkaAddresses) -> None:
    """As with every producer of Kafka's, a key may belong to another partition from then on."""
    topic = await new_topic(kafka.plaintext, 1)
    keys = [b"k%d" % number for number in range(20)]
    async with opened(make(kafka.plaintext, topic, metadata_max_age="50ms")) as sink:
        await sink.write(Batch(numbered(20), keys=keys))
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.plaintext)
        await admin.start()
        await admin.create_partitions({topic: NewPartitions(4)})
        await admin.close()
        deadline = time.monotonic() + 30
        while len(await read_all(kafka.plaintext, topic)) == 20 or not await _is_spread(kafka.plaintext, topic):
            assert time.monotonic() < deadline
            await sink.write(Batch(numbered(20), keys=keys))
    last = {record.key: record.partition for record in await read_all(kafka.plaintext, topic) if record.partition}
    assert last == {key: partition_of(key, 4) for key in keys if partition_of(key, 4)}


async def _is_spread(brokers: str, topic: str) -> bool:
    return len({record.partition for record in await read_all(brokers, topic)}) == 4


# What is refused


async def test_a_record_over_the_limit_is_named_with_both_sizes_and_the_others_are_written(
    kafka: KafkaAddresses,
) -> None:
    topic = await new_topic(kafka.plaintext, 2)
    values = [noise(2000) for _ in range(8)]
    values[3] = noise(70_000)
    async with opened(make(kafka.plaintext, topic, max_request_size="64KiB")) as sink:
        error = await failure(sink, Batch(values))
    assert set(error.failed) == {3}
    assert not error.retryable
    assert "MESSAGE_SIZE_TOO_LARGE: it takes 70" in error.failed[3]
    assert error.failed[3].endswith("bytes, and max_request_size is 65536")
    assert await values_in(kafka.plaintext, topic) == values[:3] + values[4:]


@pytest.mark.parametrize("compression", ["none", "zstd"])
async def test_records_that_do_not_fit_into_one_batch_go_out_in_several_and_in_order(
    kafka: KafkaAddresses, compression: str
) -> None:
    topic = await new_topic(kafka.plaintext, 1)
    values = [noise(1000) for _ in range(500)]
    async with opened(make(kafka.plaintext, topic, max_request_size="64KiB", compression=compression)) as sink:
        for _ in range(3):
            await sink.write(Batch(values))
    assert await values_in(kafka.plaintext, topic) == values * 3


async def test_a_topic_that_takes_smaller_batches_gets_smaller_ones(kafka: KafkaAddresses) -> None:
    topic = await new_topic(kafka.plaintext, 1, max_message_bytes="10000")
    values = [noise(900) for _ in range(100)]
    values[40] = noise(20_000)
    async with opened(make(kafka.plaintext, topic)) as sink:
        error = await failure(sink, Batch(values))
        await sink.write(Batch(values[:40]))
    assert {index: "MESSAGE_SIZE_TOO_LARGE" in why for index, why in error.failed.items()} == {40: True}
    assert await values_in(kafka.plaintext, topic) == values[:40] + values[41:] + values[:40]


async def test_records_that_a_broker_refuses_are_those_that_it_names(kafka: KafkaAddresses) -> None:
    topic = await new_topic(kafka.plaintext, 1, cleanup_policy="compact")
    keys = [None if number in (5, 17) else b"k" for number in range(40)]
    async with opened(make(kafka.plaintext, topic)) as sink:
        error = await failure(sink, Batch(numbered(40), keys=keys))
        await sink.write(Batch([b"next"], keys=[b"k"]))
    assert set(error.failed) == {5, 17}
    assert not error.retryable
    assert "INVALID_RECORD" in error.failed[5]
    assert "key" in error.failed[5]
    kept = [value for value, key in zip(numbered(40), keys, strict=True) if key]
    assert await values_in(kafka.plaintext, topic) == [*kept, b"next"]


async def test_a_record_from_the_far_future_is_refused_and_its_neighbours_are_not(kafka: KafkaAddresses) -> None:
    topic = await new_topic(kafka.plaintext, 1, message_timestamp_after_max_ms=str(DAY))
    now = int(time.time() * 1000)
    async with opened(make(kafka.plaintext, topic)) as sink:
        error = await failure(sink, batch(*numbered(3), timestamp=[now, now + 2 * DAY, now]))
    assert set(error.failed) == {1}
    assert "INVALID_TIMESTAMP" in error.failed[1]
    assert await values_in(kafka.plaintext, topic) == [b'{"n":0}', b'{"n":2}']


# Connecting


@pytest.mark.parametrize(
    ("listener", "more"),
    [
        ("ssl", {"tls": {"ca": "ca.pem"}}),
        ("mtls", {"tls": {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}}),
        (
            "sasl",
            {
                "tls": {"ca": "ca.pem"},
                "sasl": {"mechanism": "SCRAM-SHA-512", "username": USER, "password": PASSWORD},
            },
        ),
    ],
)
async def test_each_kind_of_listener_is_written_to(
    kafka: KafkaAddresses, certificates: Certificates, listener: str, more: dict[str, Any]
) -> None:
    topic = await new_topic(kafka.plaintext)
    async with opened(make(getattr(kafka, listener), topic, certificates.folder, **more)) as sink:
        await sink.write(batch(b"a"))
    assert await values_in(kafka.plaintext, topic) == [b"a"]


async def test_a_wrong_password_is_told(kafka: KafkaAddresses, certificates: Certificates) -> None:
    sasl = {"mechanism": "SCRAM-SHA-512", "username": USER, "password": "guessed"}
    why = await away(make(kafka.sasl, "t", certificates.folder, tls={"ca": "ca.pem"}, sasl=sasl))
    assert "uthentication" in why
    assert "guessed" not in why


@pytest.mark.parametrize("acks", [1, 0])
async def test_fewer_acknowledgements_do(kafka: KafkaAddresses, acks: int) -> None:
    topic = await new_topic(kafka.plaintext)
    async with opened(make(kafka.plaintext, topic, acks=acks)) as sink:
        for write in range(3):
            await sink.write(batch(*numbered(5, 5 * write)))
    deadline = time.monotonic() + 30
    while len(found := await values_in(kafka.plaintext, topic)) < 15:  # with 0, nobody has said that it is there
        assert time.monotonic() < deadline
    assert found == numbered(15)


async def test_a_cancelled_write_that_is_made_again_is_there_once(kafka: KafkaAddresses) -> None:
    """The broker knows the batch by its number, also by way of another connection."""
    topic = await new_topic(kafka.plaintext)
    sink = make(kafka.plaintext, topic)
    async with opened(sink):
        for turns in range(1, 30):
            again = Batch(numbered(10, 10 * turns))
            writing = asyncio.create_task(sink.write(again))
            for _ in range(turns):
                await asyncio.sleep(0)
            writing.cancel()
            await asyncio.wait([writing])
            if writing.cancelled():
                await sink.close()
                await sink.open()
                await sink.write(again)
    assert await values_in(kafka.plaintext, topic) == numbered(290, 10)


# Settings


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"acks": 1, "idempotence": True}, "idempotence should stand beside `acks: all`"),
        ({"acks": 2}, "acks"),
        ({"timestamp": "noon"}, "timestamp should be RFC 3339"),
        ({"partition": -1}, "greater than or equal to 0"),
        ({"compression": "brotli"}, "compression"),
        ({"create": {"partitions": 1}}, "replication"),
        ({"topic": ""}, "topic"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        make("a:1", **{"topic": "t", **settings})


def test_idempotence_is_off_without_all_acknowledgements() -> None:
    assert make("a:1", "t").config.is_idempotent
    assert not make("a:1", "t", acks=1).config.is_idempotent


async def test_a_sink_that_is_not_open_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotConnected, match="not open"):
        await make("a:1", "t", tmp_path).write(batch(b"a"))
