"""The sink ``mqtt`` against Mosquitto: what is published, what the broker refuses, what an outage leaves."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mqtt_peers import (
    CONNECT,
    PUBLISH,
    UNSUBSCRIBE,
    Collector,
    client,
    payloads,
    publish,
    scripted,
    writable,
    written_down,
)

from connectors.memory import MemorySource, records
from connectors.mqtt import MqttSink
from connectors.mqtt.flight import with_followers
from router import Batch, Constant, Context, NotConnected, WriteError
from router.testing import Line, until
from tests.certificates import Certificates
from tests.servers.fixtures import StartMosquitto
from tests.servers.mosquitto import PASSWORD, USER, Mosquitto, MosquittoAddresses
from tests.servers.proxy import TcpProxy

Address = tuple[str, int]
Version = Literal[5, "3.1.1"]
VERSIONS: tuple[Version, ...] = (5, "3.1.1")


def sink(address: Address | str, **settings: Any) -> MqttSink:
    """A sink to the topic a/b, unless it is said otherwise."""
    broker = address if isinstance(address, str) else "{}:{}".format(*address)
    given = {"broker": broker, "topic": "a/b"} | settings
    return MqttSink(MqttSink.Config.model_validate(given).within(Context(name="sink", folder=Path("/"))))


@contextlib.asynccontextmanager
async def opened(one: MqttSink) -> AsyncIterator[MqttSink]:
    try:
        await one.open()
        yield one
    finally:
        await one.close()


@pytest.fixture
def broker(start_mosquitto: StartMosquitto) -> Mosquitto:
    return start_mosquitto(durable=False, settings=["max_inflight_messages 20", "queue_qos0_messages true"])


@pytest.fixture
async def collector(broker: Mosquitto) -> Collector:
    made = Collector(broker.addresses.plain)
    await made.subscribe()
    return made


def numbers(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


# What is published


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", VERSIONS)
async def test_more_than_the_broker_takes_at_once(
    broker: Mosquitto, collector: Collector, qos: int, version: Version
) -> None:
    """It takes 20 messages before the first is answered, and ends the connection of one who sends more."""
    async with opened(sink(broker.addresses.plain, qos=qos, version=version)) as one:
        await one.write(Batch(numbers(1000)))
    seen = await collector.collect()
    assert payloads(seen) == numbers(1000)
    assert {message.qos for message in seen} == {min(qos, 1)}


async def test_a_retained_record_waits_for_who_comes_later(broker: Mosquitto) -> None:
    """What the settings say, and what a delivery says."""
    async with opened(sink(broker.addresses.plain, retain=True)) as one:
        topics = ["kept", "not/kept", "kept/too"]
        await one.write(Batch(numbers(3), settings={"topic": topics, "retain": [None, False, True]}))
    async with client(broker.addresses.plain) as later:
        await later.subscribe("#", qos=1)
        await publish(broker.addresses.plain, "mark", [b"mark"])
        seen = []
        async for message in later.messages:
            if message.payload == b"mark":
                break
            seen.append((message.topic.value, message.payload, message.retain))
    assert sorted(seen) == [("kept", b"0", True), ("kept/too", b"2", True)]


async def test_what_the_settings_say_of_every_record(broker: Mosquitto, collector: Collector) -> None:
    said: dict[str, Any] = {
        "headers": {"source": "sluiceway", "Grüße": "世界"},
        "content_type": "text/plain",
        "message_expiry": "10m",
        "response_topic": "answers",
        "correlation_data": "7",
    }
    async with opened(sink(broker.addresses.plain, **said)) as one:
        await one.write(Batch([b"1", b"2"], headers=[None, [("n", b"1"), ("n", b"2")]]))
    first, second = await collector.collect()
    assert first.said["UserProperty"] == [("source", "sluiceway"), ("Grüße", "世界")]
    assert second.said["UserProperty"] == [("n", "1"), ("n", "2")]
    for seen in (first, second):
        assert 590 < seen.said["MessageExpiryInterval"] <= 600
        assert (seen.said["ContentType"], seen.said["ResponseTopic"]) == ("text/plain", "answers")
        assert seen.said["CorrelationData"] == b"7"


async def test_what_mqtt_cannot_carry_is_named_with_its_reason(broker: Mosquitto, collector: Collector) -> None:
    """And all others are written."""
    topics: list[object] = ["a/b", "a/+", "", "a\0b", "x" * 70_000, 7, ["a"], "a/c"]
    async with opened(sink(broker.addresses.plain)) as one:
        with pytest.raises(WriteError) as error:
            await one.write(Batch(numbers(8), settings={"topic": topics}))
        assert error.value.failed == {
            1: "topic should hold no wildcard, and 'a/+' does",
            2: "topic should not be empty",
            3: "topic 'a\\x00b' cannot be sent: it holds a NUL character",
            4: f"topic {'x' * 100!r} cannot be sent: it is longer than 65535 bytes",
            5: "topic should be text, not 7",
            6: "topic should be text, not ('a',)",
        }
        assert error.value.retryable == set()
        for settings, headers, why in (
            ({"retain": ["yes"]}, None, "retain should be true or false, not 'yes'"),
            ({"content_type": [7]}, None, "content_type should be text, not 7"),
            ({"message_expiry": ["soon"]}, None, "message_expiry should be seconds, or a duration such as 10m"),
            ({"message_expiry": [-1]}, None, "message_expiry should be seconds, or a duration such as 10m"),
            ({"response_topic": ["a/#"]}, None, "topic should hold no wildcard"),
            ({"correlation_data": ["\0"]}, None, "correlation_data '\\x00' cannot be sent: it holds a NUL character"),
            ({"topic": [{"a": 1}]}, None, "of no use"),
            ({}, [[("h", b"\xff")]], "header 'h' cannot be sent: "),
        ):
            with pytest.raises(WriteError) as error:
                await one.write(Batch([b"bad"], settings=settings, headers=headers))
            assert why in error.value.failed[0]
    assert payloads(await collector.collect()) == [b"0", b"7"]


async def test_where_the_topic_is_cel_a_delivery_without_one_is_refused(broker: Mosquitto) -> None:
    async with opened(sink(broker.addresses.plain, topic="events/${event.tenant}")) as one:
        with pytest.raises(WriteError) as error:
            await one.write(Batch([b"1", b"2"], settings={"topic": ["events/acme", None]}))
    assert error.value.failed == {1: "no topic was chosen"}


async def test_an_expiry_may_be_seconds(broker: Mosquitto, collector: Collector) -> None:
    """As ``meta.message_expiry`` is, or a duration in words."""
    async with opened(sink(broker.addresses.plain)) as one:
        await one.write(Batch(numbers(3), settings={"message_expiry": [600, "20m", 1200.4]}))
    expiries = [round(seen.said["MessageExpiryInterval"], -2) for seen in await collector.collect()]
    assert expiries == [600, 1200, 1200]


# What the broker refuses


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_record_that_the_broker_refuses_is_named(
    start_mosquitto: StartMosquitto, tmp_path: Path, qos: int
) -> None:
    """By its reason code: in PUBACK, and of QoS 2 in PUBREC, which the library passes over."""
    address, listener = writable(tmp_path, "a/#", "mark/#")
    # Without a bound to its queues, this Mosquitto ends the connection of whoever it refuses something.
    start_mosquitto(durable=False, settings=["max_queued_messages 1000", *listener])
    collector = Collector(address)
    await collector.subscribe()
    async with opened(sink(address, qos=qos)) as one:
        with pytest.raises(WriteError) as error:
            await one.write(Batch(numbers(4), settings={"topic": ["a/1", "secret", None, "secret"]}))
        assert error.value.failed == dict.fromkeys((1, 3), "the broker refused it: Not authorized")
        assert error.value.retryable == set()
        await one.write(Batch([b"4"]))
    assert payloads(await collector.collect()) == [b"0", b"2", b"4"]


def answering(code: int, *numbers: int) -> Any:
    """A broker that answers with this reason code to the messages of these numbers, counted from 0."""
    count = -1

    def talk(kind: int, body: bytes) -> bytes:
        nonlocal count
        if kind & 0xF0 != PUBLISH:
            return b""
        count += 1
        start = 2 + int.from_bytes(body[:2], "big")
        return b"\x40\x03" + body[start : start + 2] + bytes((code,)) if count in numbers else b""

    return talk


@pytest.mark.parametrize(
    ("code", "words", "is_again"),
    [
        (0x80, "Unspecified error", True),
        (0x83, "Implementation specific error", True),
        (0x90, "Topic name invalid", False),
        (0x97, "Quota exceeded", True),
        (0x99, "Payload format invalid", False),
    ],
)
async def test_each_reason_code(code: int, words: str, *, is_again: bool) -> None:
    """What may be otherwise a little later is tried again, with all that follows it in its topic; the rest is not."""
    async with scripted(answering(code, 1)) as address, opened(sink(address)) as one:
        with pytest.raises(WriteError) as error:
            await one.write(Batch(numbers(4), settings={"topic": ["a", "b", "a", "b"]}))
    follower = {3: "a record before it in its topic is to be published again"} if is_again else {}
    assert error.value.failed == {1: f"the broker refused it: {words}"} | follower
    assert error.value.retryable == ({1, 3} if is_again else set())


async def test_that_there_is_no_subscriber_is_no_failure() -> None:
    async with scripted(answering(0x10, 0, 1)) as address, opened(sink(address)) as one:
        await one.write(Batch(numbers(2)))


async def test_order_is_kept_in_each_topic_through_retries(tmp_path: Path) -> None:
    """Behind an outlet: a quota that is exceeded now and then; whoever reads a topic may see repeats, and the last time
    that each record comes is in order."""
    seen: list[tuple[bytes, bytes]] = []
    count = 0

    def talk(kind: int, body: bytes) -> bytes:
        nonlocal count
        if kind & 0xF0 != PUBLISH:
            return b""
        count += 1
        start = 2 + int.from_bytes(body[:2], "big")
        if count % 40 == 0:
            return b"\x40\x03" + body[start : start + 2] + b"\x97"
        seen.append((body[2:start], body[start + 3 :]))
        return b""

    async with scripted(talk) as address:
        source = MemorySource(MemorySource.Config())
        async with Line(tmp_path, source, sink(address), attempts=50) as line:
            source.push(*(Batch(numbers(30, 30 * turn)) for turn in range(10)))
            await until(lambda: len(source.acked) == 10)
            assert await line.books.letters() == []
    last = list(dict.fromkeys(reversed([payload for _, payload in seen])))[::-1]
    assert last == numbers(300)


@given(st.lists(st.sampled_from("abc"), max_size=20), st.data())
def test_followers_are_what_comes_after_the_first_of_a_topic(topics: list[str], data: st.DataObject) -> None:
    chosen = data.draw(st.sets(st.integers(0, len(topics) - 1))) if topics else set()
    wanted = [
        index
        for index, topic in enumerate(topics)
        if any(earlier <= index and topics[earlier] == topic for earlier in chosen)
    ]
    assert with_followers(chosen, topics) == wanted
    assert with_followers(chosen, Constant(None, len(topics))) == list(
        range(min(chosen, default=0), len(topics))
    ) * bool(chosen)


async def test_what_the_broker_says_that_it_takes_is_kept_to() -> None:
    """The largest packet, retained messages, the highest QoS, and how many at once (CONNACK of MQTT 5, 3.2.2.3)."""
    under_way: list[bytes] = []
    allowed = b"\x21\x00\x02" + b"\x24\x01" + b"\x25\x00" + b"\x27\x00\x00\x00\x64"
    greeting = bytes((0x20, 3 + len(allowed), 0, 0, len(allowed))) + allowed

    def talk(kind: int, body: bytes) -> bytes:
        if kind == CONNECT:
            return greeting
        if kind & 0xF0 == PUBLISH:
            under_way.append(body)
            if len(under_way) % 2 == 0:
                start = 2 + int.from_bytes(body[:2], "big")
                return b"".join(b"\x40\x02" + one[start : start + 2] for one in under_way[-2:])
            return b"\x00"[:0] or b"\xd0\x00"  # a pong, which nobody asked for and which changes nothing
        return b""

    async with scripted(talk) as address, opened(sink(address)) as one:
        with pytest.raises(WriteError) as error:
            await one.write(Batch([b"1", b"x" * 100, b"2", b"3"], settings={"retain": [None, None, True, None]}))
        assert error.value.failed == {
            1: "it is too large: its packet has 110 bytes, the broker takes 100",
            2: "the broker retains no messages",
        }
        two = sink(address, qos=2)
        with pytest.raises(NotConnected, match="takes no QoS above 1"):
            await two.open()
        await two.close()
    assert [body[8:] for body in under_way] == [b"1", b"3"]


async def test_qos_0_is_written_when_the_broker_has_read_it() -> None:
    """It is asked something behind the records; before it answers, nothing counts as written."""
    asked = asyncio.Event()
    heard: list[int] = []

    def talk(kind: int, body: bytes) -> bytes:
        heard.append(kind & 0xF0)
        if kind & 0xF0 == UNSUBSCRIBE:
            asked.set()
            return b"\xd0\x00"
        return b""

    async with scripted(talk) as address:
        one = sink(address, qos=0)
        await one.open()
        writing = asyncio.create_task(one.write(Batch(numbers(3))))
        await asked.wait()
        await asyncio.sleep(0.1)
        assert not writing.done()
        assert heard == [CONNECT, PUBLISH, PUBLISH, PUBLISH, UNSUBSCRIBE]
        await one.close()
        with pytest.raises(NotConnected) as error:
            await writing
    assert error.value.unwritten == [0, 1, 2]


# What an outage leaves


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_write_that_breaks_off_says_what_is_written(qos: int) -> None:
    """What was answered is; what follows the first that was not, in its topic, is to be written again."""
    count = 0

    def talk(kind: int, body: bytes) -> bytes | None:
        nonlocal count
        if kind & 0xF0 == PUBLISH:
            count += 1
            if count == 2:
                return b"\xd0\x00"
        return None if count == 5 else b""

    async with scripted(talk) as address, opened(sink(address, qos=qos, inflight=1 if qos == 2 else 100)) as one:
        topics = ["a", "b", "a", "b", "a", "a"]
        writing = asyncio.create_task(one.write(Batch(numbers(6), settings={"topic": topics})))
        if qos == 2:  # one at a time, so that it waits for the second for ever
            await until(lambda: count == 2)
            await one.close()
        with pytest.raises(NotConnected) as error:
            await writing
    unwritten = error.value.unwritten
    assert unwritten is not None
    assert set(unwritten) >= {1, 3}
    assert 0 not in unwritten


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_broker_that_is_killed_in_the_middle_of_writes_loses_nothing(
    start_mosquitto: StartMosquitto, tmp_path: Path, qos: int, version: Version
) -> None:
    """Twice; what it had on disk and what is written after are there, none a dead letter."""
    broker = start_mosquitto(durable=True)
    collector = Collector(broker.addresses.plain)
    await collector.subscribe()
    source = MemorySource(MemorySource.Config())
    one = sink(broker.addresses.plain, qos=qos, version=version)
    async with Line(tmp_path / "state", source, one, timeout=60) as line:
        for turn in range(3):
            source.push(records(*range(100 * turn, 100 * turn + 50)))
            await until(lambda turn=turn: len(source.acked) > 2 * turn, 60)  # type: ignore[misc]
            await written_down(broker.addresses.plain)
            if turn < 2:
                broker.freeze()
                source.push(records(*range(100 * turn + 50, 100 * turn + 100)))
                await asyncio.sleep(0.1)
                await asyncio.to_thread(broker.kill)
                await asyncio.to_thread(broker.start)
                await until(lambda turn=turn: len(source.acked) > 2 * turn + 1, 60)  # type: ignore[misc]
        assert await line.books.letters() == []
    found = {int(payload) for payload in payloads(await collector.collect(), "a/b")}
    assert found == set(range(250))


async def test_a_connection_that_is_cut_is_opened_again(
    broker: Mosquitto, collector: Collector, tmp_path: Path
) -> None:
    source = MemorySource(MemorySource.Config())
    async with TcpProxy("{}:{}".format(*broker.addresses.plain)) as proxy:
        async with Line(tmp_path, source, sink(proxy.address)):
            for turn in range(10):
                source.push(records(*range(100 * turn, 100 * turn + 100)))
                await asyncio.sleep(0.02)
                proxy.cut()
            await until(lambda: len(source.acked) == 10)
        await until(lambda: not proxy.open)
    seen = [int(payload) for payload in payloads(await collector.collect())]
    assert list(dict.fromkeys(seen)) == list(range(1000))


async def test_a_broker_that_falls_silent_is_noticed(broker: Mosquitto) -> None:
    """In the middle of a write, by its pings, and it does not hold up the closing."""
    async with opened(sink(broker.addresses.plain, keepalive="1s")) as one:
        broker.freeze()
        with pytest.raises(NotConnected, match="Keep alive timeout") as error:
            await one.write(Batch(numbers(10)))
        assert list(error.value.unwritten or ()) == list(range(10))
        began = time.monotonic()
        await one.close()
        assert time.monotonic() - began < 5
    broker.thaw()


# Who connects


async def test_user_password_and_tls(mosquitto: MosquittoAddresses, certificates: Certificates) -> None:
    """Both, and mutual TLS, with large records through it."""
    ca, folder = str(certificates.ca), certificates.folder
    login: dict[str, Any] = {"user": USER, "password": PASSWORD}
    large = [b"x" * 500_000] * 4
    async with opened(sink(mosquitto.tls, tls={"ca": ca}, **login)) as one:
        await one.write(Batch(large))
    mutual = {"ca": ca, "cert": str(folder / "client.pem"), "key": str(folder / "client.key")}
    async with opened(sink(mosquitto.mtls, tls=mutual)) as one:
        await one.write(Batch(large))
    wrong = sink(mosquitto.users, user=USER, password="wrong")
    with pytest.raises(NotConnected, match=r"refused the connection: (Not authorized|Bad user name or password)"):
        await wrong.open()
    await wrong.close()


async def test_its_will_is_published_when_it_is_cut_off(broker: Mosquitto) -> None:
    will = {"topic": "will/sink", "payload": "gone", "qos": 1}
    async with (
        TcpProxy("{}:{}".format(*broker.addresses.plain)) as proxy,
        client(broker.addresses.plain) as watcher,
    ):
        await watcher.subscribe("will/#", qos=1)
        async with opened(sink(proxy.address, will=will, version="3.1.1")):
            proxy.cut()
            async with asyncio.timeout(10):
                message = await anext(aiter(watcher.messages))
        await until(lambda: not proxy.open)
    assert (message.topic.value, message.payload) == ("will/sink", b"gone")
