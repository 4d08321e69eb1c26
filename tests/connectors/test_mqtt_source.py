"""The source ``mqtt`` against Mosquitto: what comes, what comes again, what holds it up, why it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest
from mqtt_peers import SUBSCRIBE, client, properties, publish, readable, scripted, written_down

from connectors.mqtt import MqttSource
from router import Batch, Context, EndOfStream, MemoryPositions, NotConnected
from router.testing import until
from tests.certificates import Certificates
from tests.servers.fixtures import StartMosquitto
from tests.servers.mosquitto import PASSWORD, USER, Mosquitto, MosquittoAddresses
from tests.servers.proxy import TcpProxy

Version = Literal[5, "3.1.1"]
VERSIONS: tuple[Version, ...] = (5, "3.1.1")


class Known:
    """What a source may know of its surroundings, kept over several of them."""

    def __init__(self, folder: Path) -> None:
        self.positions = MemoryPositions()
        self.events: dict[str, int] = {}
        self.folder = folder

    def count(self, event: str, number: int) -> None:
        self.events[event] = self.events.get(event, 0) + number

    def source(self, address: tuple[str, int] | str, **settings: Any) -> MqttSource:
        """A source of the topics a/#, unless it is said otherwise."""
        broker = address if isinstance(address, str) else "{}:{}".format(*address)
        given = {"broker": broker, "client_id": self.folder.name, "topics": ["a/#"]} | settings
        context = Context(name="source", folder=self.folder, positions=self.positions, count=self.count)
        return MqttSource(MqttSource.Config.model_validate(given).within(context))


@pytest.fixture
def known(tmp_path: Path) -> Known:
    return Known(tmp_path)


@pytest.fixture
def broker(start_mosquitto: StartMosquitto) -> Mosquitto:
    return start_mosquitto(durable=False, settings=["max_inflight_messages 0"])


@contextlib.asynccontextmanager
async def opened(source: MqttSource) -> AsyncIterator[MqttSource]:
    try:
        await source.open()
        yield source
    finally:
        await source.close()


async def read(source: MqttSource, count: int, *, acknowledge: bool = False) -> list[Batch]:
    """Batches of so many records in all."""
    batches: list[Batch] = []
    async with asyncio.timeout(20):
        while sum(map(len, batches)) < count:
            batches.append(await source.read())
            if acknowledge:
                await source.ack(batches[-1].token)
    return batches


def values(batches: list[Batch]) -> list[bytes]:
    return [value for batch in batches for value in batch.values]


def column(batches: list[Batch], name: str) -> list[object]:
    return [value for batch in batches for value in batch.attributes[name]]


def numbers(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


async def has_nothing(source: MqttSource) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            return not await source.read()
    return True


# What comes


@pytest.mark.parametrize("version", VERSIONS)
async def test_topics_are_filters_each_with_its_qos(broker: Mosquitto, known: Known, version: Version) -> None:
    """Wildcards of both kinds; a message comes with the lower of its QoS and that of the filter."""
    topics = ["rooms/+/heat", {"topic": "doors/#", "qos": 0}, {"topic": "alarms", "qos": 2}]
    async with (
        opened(known.source(broker.addresses.plain, topics=topics, version=version)) as source,
        client(broker.addresses.plain) as publisher,
    ):
        for topic, qos in (
            ("rooms/1/heat", 2),
            ("rooms/2/heat", 0),
            ("rooms/2/light", 1),
            ("doors/front/bell", 2),
            ("alarms", 2),
        ):
            await publisher.publish(topic, topic, qos=qos)
        batches = await read(source, 4)
    found = zip(column(batches, "topic"), column(batches, "qos"), values(batches), strict=True)
    assert sorted(found, key=str) == [
        ("alarms", 2, b"alarms"),
        ("doors/front/bell", 0, b"doors/front/bell"),
        ("rooms/1/heat", 1, b"rooms/1/heat"),
        ("rooms/2/heat", 0, b"rooms/2/heat"),
    ]


async def test_properties_are_what_rules_see(broker: Mosquitto, known: Known) -> None:
    """User properties as headers, repeated ones too; content type, response topic, correlation data, expiry; a message
    without any beside one that has all."""
    said = properties(
        ContentType="application/json",
        ResponseTopic="answers/7",
        CorrelationData=b"\xff7",
        MessageExpiryInterval=600,
        UserProperty=[("Name", "Grüße"), ("n", "1"), ("n", "2")],
    )
    async with (
        opened(known.source(broker.addresses.plain)) as source,
        client(broker.addresses.plain) as publisher,
    ):
        await publisher.publish("a/1", b"all", qos=1, properties=said)
        await publisher.publish("a/2", b"none", qos=1)
        batches = await read(source, 2)
        await source.ack(batches[-1].token)
    (whole,) = batches if len(batches) == 1 else [None]
    first = batches[0]
    assert first.headers is not None
    assert list(first.headers[0] or ()) == [("Name", "Grüße".encode()), ("n", b"1"), ("n", b"2")]
    names = ("content_type", "response_topic", "correlation_data")
    assert [first.attributes[name][0] for name in names] == ["application/json", "answers/7", b"\xff7"]
    expiry = first.attributes["message_expiry"][0]
    assert isinstance(expiry, int)
    assert 590 < expiry <= 600
    if whole is not None:
        assert [whole.attributes[name][1] for name in (*names, "message_expiry")] == [None] * 4
        assert list((whole.headers or [])[1] or ()) == []


@pytest.mark.parametrize(
    ("retained", "wanted"), [("new", [True, False, False]), ("always", [True, True, True]), ("never", [False] * 3)]
)
async def test_retained_messages_come_as_is_said(
    broker: Mosquitto, known: Known, retained: str, wanted: list[bool]
) -> None:
    """At the first connection, at a second one, and after a restart."""
    await publish(broker.addresses.plain, "a/kept", [b"kept"], retain=True)
    source, found = known.source(broker.addresses.plain, retained=retained), []
    for turn in range(3):
        if turn == 2:
            source = known.source(broker.addresses.plain, retained=retained)
        async with opened(source):
            await publish(broker.addresses.plain, "a/new", [b"new"])
            batches = await read(source, 1, acknowledge=True)
            if b"new" not in values(batches):
                batches += await read(source, 1, acknowledge=True)
            flags = dict(zip(values(batches), column(batches, "retained"), strict=True))
            assert flags.pop(b"new") is False
            found.append(flags.pop(b"kept", False) is True)
            assert not flags
    assert found == wanted


async def test_of_the_old_version_retained_messages_come_once_in_a_process(broker: Mosquitto, known: Known) -> None:
    await publish(broker.addresses.plain, "a/kept", [b"kept"], retain=True)
    source = known.source(broker.addresses.plain, version="3.1.1")
    async with opened(source):
        assert values(await read(source, 1, acknowledge=True)) == [b"kept"]
    async with opened(source):
        assert await has_nothing(source)


async def test_two_that_share_a_subscription_get_each_message_once(broker: Mosquitto, tmp_path: Path) -> None:
    """Between them everything, and each of them something."""
    ones = [Known(tmp_path / name).source(broker.addresses.plain, topics=["$share/g/a/#"]) for name in ("one", "two")]
    async with opened(ones[0]), opened(ones[1]):
        await publish(broker.addresses.plain, "a/b", numbers(200))
        found: list[list[bytes]] = [[], []]

        async def gather(number: int) -> None:
            while True:
                batch = await ones[number].read()
                await ones[number].ack(batch.token)
                found[number] += batch.values

        tasks = [asyncio.create_task(gather(number)) for number in (0, 1)]
        await until(lambda: len(found[0]) + len(found[1]) >= 200)
        for task in tasks:
            task.cancel()
    assert sorted(found[0] + found[1]) == sorted(numbers(200))
    assert found[0]
    assert found[1]


async def test_what_is_taken_out_of_the_settings_is_unsubscribed_from(broker: Mosquitto, known: Known) -> None:
    """The session would go on with it for as long as it lives."""
    async with opened(known.source(broker.addresses.plain, topics=["a/#", "b/#"])):
        pass
    await publish(broker.addresses.plain, "b/1", [b"from before"])
    async with opened(known.source(broker.addresses.plain, topics=["a/#", "c/#"])) as source:
        for topic in ("b", "c", "a"):
            await publish(broker.addresses.plain, topic + "/1", [topic.encode()])
        assert values(await read(source, 3, acknowledge=True)) == [b"from before", b"c", b"a"]
    async with opened(known.source(broker.addresses.plain, topics=["c/#"])) as source:
        for topic in ("b", "a", "c"):
            await publish(broker.addresses.plain, topic + "/1", [topic.encode()])
        assert values(await read(source, 1, acknowledge=True)) == [b"c"]


# What comes again


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_acknowledgement_never_reaches_a_later_connection(
    broker: Mosquitto, known: Known, version: Version
) -> None:
    """Identifiers of packets begin anew there, so that it would acknowledge other messages."""
    source = known.source(broker.addresses.plain, version=version)
    async with opened(source):
        await publish(broker.addresses.plain, "a/b", numbers(5))
        old = await read(source, 5)
    await publish(broker.addresses.plain, "a/b", numbers(5, 5))
    async with opened(source):
        again = await read(source, 10)
        assert values(again) == numbers(10)
        for batch in old:
            with pytest.raises(NotConnected, match="connection on which these messages came is closed"):
                await source.ack(batch.token)
    async with opened(known.source(broker.addresses.plain, version=version)) as other:
        assert values(await read(other, 10)) == numbers(10)


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_what_the_broker_does_not_send_again_comes_after_the_next_open(
    broker: Mosquitto, known: Known, qos: int
) -> None:
    """Received and not read when the connection ends, it comes once, and its old identifier acknowledges nothing."""
    source = known.source(broker.addresses.plain, qos=qos, session_expiry=0 if qos == 1 else "1h", receive_maximum=100)
    async with opened(source):
        await publish(broker.addresses.plain, "a/b", numbers(20), qos=qos)
        await until(lambda: len(source._waiting) == 20)
    async with opened(source):
        await publish(broker.addresses.plain, "a/b", numbers(20, 20), qos=qos)
        assert values(await read(source, 40, acknowledge=True)) == numbers(40)
        assert await has_nothing(source)
        lag = await source.lag()
    assert (lag[0].records, lag[0].bytes, lag[0].seconds) == (0, 0, 0.0)
    assert known.events == {}, "what this process has still is not lost"


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_broker_that_is_killed_loses_nothing(
    start_mosquitto: StartMosquitto, known: Known, version: Version
) -> None:
    """With its session on disk: what was not acknowledged comes again, what was does not, and what came meanwhile."""
    broker = start_mosquitto(durable=True, settings=["max_inflight_messages 0"])
    source = known.source(broker.addresses.plain, version=version)
    async with opened(source):
        await publish(broker.addresses.plain, "a/b", numbers(10))
        done = await read(source, 10, acknowledge=True)
        assert values(done) == numbers(10)
        await publish(broker.addresses.plain, "a/b", numbers(10, 10))
        await read(source, 10)
        await written_down(broker.addresses.plain)
        await asyncio.to_thread(broker.kill)
        with pytest.raises(NotConnected, match="the connection is lost"):
            await read(source, 1)
    with pytest.raises(NotConnected, match=r"cannot be reached: .*refused"):
        await source.open()
    await source.close()
    await asyncio.to_thread(broker.start)
    async with opened(source):
        await publish(broker.addresses.plain, "a/b", numbers(5, 20))
        assert values(await read(source, 15)) == numbers(15, 10)
    assert known.events == {}


async def test_a_session_that_the_broker_has_lost_is_told(
    start_mosquitto: StartMosquitto, known: Known, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted, subscribed to anew, and what comes then comes."""
    broker = start_mosquitto(durable=False)
    source = known.source(broker.addresses.plain)
    async with opened(source):
        pass
    await asyncio.to_thread(broker.kill)
    await asyncio.to_thread(broker.start)
    with caplog.at_level(logging.WARNING):
        async with opened(source):
            await publish(broker.addresses.plain, "a/b", [b"new"])
            assert values(await read(source, 1)) == [b"new"]
    assert known.events == {"session_lost": 1}
    assert "has no session of" in caplog.text


async def test_a_clean_start_forgets_at_the_start_alone(broker: Mosquitto, known: Known) -> None:
    """What waited is gone; what waits at a later connection of the same process is not."""
    async with opened(known.source(broker.addresses.plain)):
        pass
    await publish(broker.addresses.plain, "a/b", [b"before"])
    source = known.source(broker.addresses.plain, clean_start=True)
    assert not source.replays
    async with opened(source):
        assert await has_nothing(source)
    await publish(broker.addresses.plain, "a/b", [b"between"])
    async with opened(source):
        assert values(await read(source, 1, acknowledge=True)) == [b"between"]
    assert known.events == {}


async def test_a_session_ends_when_it_is_said_to(broker: Mosquitto, known: Known) -> None:
    source = known.source(broker.addresses.plain, session_expiry="1s")
    async with opened(source):
        pass
    await publish(broker.addresses.plain, "a/b", [b"meanwhile"])
    async with opened(source):
        assert values(await read(source, 1)) == [b"meanwhile"]
    await asyncio.sleep(2.5)
    async with opened(source):
        assert await has_nothing(source)
    assert known.events == {"session_lost": 1}


async def test_qos_2_is_lost_with_the_process_and_that_is_told(
    broker: Mosquitto, known: Known, caplog: pytest.LogCaptureFixture
) -> None:
    """What one process had received and not delivered is not sent to the next; its identifiers are given back, or the
    broker would have none left."""
    settings: dict[str, Any] = {"qos": 2, "receive_maximum": 5}
    for turn in range(4):
        source = known.source(broker.addresses.plain, **settings)
        assert not source.replays
        async with opened(source):
            await publish(broker.addresses.plain, "a/b", numbers(5, 5 * turn), qos=2)
            assert values(await read(source, 5)) == numbers(5, 5 * turn)
    await until(lambda: known.events.get("qos2_lost") == 15)
    assert "QoS 1 would have it sent again" in caplog.text


# What holds it up


async def test_the_broker_sends_no_more_than_is_said(broker: Mosquitto, known: Known) -> None:
    """Until something is acknowledged; the rest stays with it, and nothing is lost of it."""
    async with opened(known.source(broker.addresses.plain, receive_maximum=10)) as source:
        await publish(broker.addresses.plain, "a/b", numbers(100))
        first = await read(source, 10)
        assert values(first) == numbers(10)
        assert await has_nothing(source)
        await source.ack(first[0].token)
        for batch in first[1:]:
            await source.ack(batch.token)
        assert values(await read(source, 90, acknowledge=True)) == numbers(90, 10)


@pytest.mark.parametrize(("version", "qos"), [(5, 0), ("3.1.1", 1), ("3.1.1", 0), (5, 2)])
async def test_a_full_source_stays_connected_and_bounded(
    broker: Mosquitto, known: Known, version: Version, qos: int
) -> None:
    """While ``pending`` is full nothing is read, for longer than ``keepalive``; then everything comes."""
    settings: dict[str, Any] = {"qos": qos, "pending": {"bytes": "64KiB"}, "keepalive": "2s", "receive_maximum": 65_535}
    payloads = [b"%06d" % number + b"x" * 1000 for number in range(3000)]
    async with opened(known.source(broker.addresses.plain, version=version, **settings)) as source:
        connection = source._connection
        await publish(broker.addresses.plain, "a/b", payloads[:100], qos=qos)
        sending = asyncio.create_task(publish(broker.addresses.plain, "a/b", payloads[100:], qos=qos))
        await until(lambda: source._bytes >= 65_536)
        most = 0
        began = time.monotonic()
        while time.monotonic() < began + 7:
            most = max(most, source._bytes)
            await asyncio.sleep(0.05)
        assert most < 2 * 65_536, "what goes over it is what was being read"
        batches = await read(source, 3000, acknowledge=True)
        await sending
        assert values(batches) == payloads
        await asyncio.sleep(5)
        await publish(broker.addresses.plain, "a/b", [b"last"])
        assert values(await read(source, 1)) == [b"last"]
        assert source._connection is connection
        assert connection is not None
        assert connection.failure is None


async def test_when_it_stops_it_gives_what_it_has_and_takes_nothing_more(broker: Mosquitto, known: Known) -> None:
    source = known.source(broker.addresses.plain, qos=0)
    async with opened(source):
        await publish(broker.addresses.plain, "a/b", numbers(10), qos=0)
        await until(lambda: len(source._waiting) == 10)
        await source.finish()
        await publish(broker.addresses.plain, "a/b", [b"too late"], qos=0)
        assert values(await read(source, 10, acknowledge=True)) == numbers(10)
        with pytest.raises(EndOfStream):
            await source.read()


async def test_when_it_stops_it_leaves_to_the_broker_what_that_keeps(broker: Mosquitto, known: Known) -> None:
    source = known.source(broker.addresses.plain)
    async with opened(source):
        await publish(broker.addresses.plain, "a/b", numbers(10))
        await until(lambda: len(source._waiting) == 10)
        await source.finish()
        with pytest.raises(EndOfStream):
            await source.read()
    async with opened(known.source(broker.addresses.plain)) as other:
        assert values(await read(other, 10)) == numbers(10)


# Who is there, and who is not


@pytest.mark.parametrize("version", VERSIONS)
async def test_user_and_password(mosquitto: MosquittoAddresses, known: Known, version: Version) -> None:
    settings = {"version": version, "user": USER}
    async with opened(known.source(mosquitto.users, password=PASSWORD, **settings)):
        pass
    wrong = known.source(mosquitto.users, password="wrong", **settings)
    with pytest.raises(NotConnected, match=r"refused the connection: (Not authorized|Bad user name or password)"):
        await wrong.open()
    await wrong.close()


async def test_tls(mosquitto: MosquittoAddresses, known: Known, certificates: Certificates) -> None:
    """With the authority that vouches for the broker, and with none that does; for another name."""
    login = {"user": USER, "password": PASSWORD}
    async with opened(known.source(mosquitto.tls, tls={"ca": str(certificates.ca)}, **login)) as source:
        assert await has_nothing(source)
    for tls, why in (
        ({"ca": str(certificates.folder / "other-ca.pem")}, "certificate verify failed"),
        ({"ca": str(certificates.ca), "server_name": "example.org"}, "Hostname mismatch"),
        ({"ca": str(certificates.folder / "absent.pem")}, "absent.pem cannot be used"),
    ):
        other = known.source(mosquitto.tls, tls=tls, **login)
        with pytest.raises(NotConnected, match=why):
            await other.open()
        await other.close()
    named = {"ca": str(certificates.ca), "server_name": "localhost"}
    async with opened(known.source(mosquitto.tls, tls=named, **login)):
        pass
    async with opened(known.source(mosquitto.tls, tls={"verify": False}, **login)):
        pass


async def test_mutual_tls(mosquitto: MosquittoAddresses, known: Known, certificates: Certificates) -> None:
    """More than one record of TLS at once, both ways; without a certificate of ours nobody is let in, and told why."""
    folder, large = certificates.folder, [b"%d" % number + b"x" * 50_000 for number in range(50)]
    tls = {"ca": str(certificates.ca), "cert": str(folder / "client.pem"), "key": str(folder / "client.key")}
    topics = [f"{known.folder.name}/#"]
    async with opened(known.source(mosquitto.mtls, tls=tls, topics=topics)) as source:
        await publish(mosquitto.plain, f"{known.folder.name}/a", large)
        assert values(await read(source, 50, acknowledge=True)) == large
    trust = {"ca": str(certificates.ca)}
    for broker, settings in ((mosquitto.mtls, {"tls": trust}), (mosquitto.tls, {}), (mosquitto.plain, {"tls": trust})):
        stranger = known.source(broker, topics=topics, **settings)
        with pytest.raises(NotConnected, match="does this listener of the broker want the same tls, or a certificate"):
            await stranger.open()
        await stranger.close()


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_subscription_that_is_refused_is_an_outage(
    start_mosquitto: StartMosquitto, known: Known, tmp_path: Path, version: Version
) -> None:
    """With the filter and the reason, until the broker grants it."""
    address, listener = readable(tmp_path, "a/#")
    start_mosquitto(settings=listener)
    source = known.source(address, topics=["a/#", "secrets/#"], version=version)
    with pytest.raises(NotConnected, match="refuses the subscription to secrets/#: "):
        await source.open()
    await source.close()
    async with opened(known.source(address, version=version)):
        pass


async def test_one_whose_place_is_taken_stays_away_for_a_while(known: Known) -> None:
    """Two of one name would throw each other out for ever."""

    def talk(kind: int, _: bytes) -> bytes:
        return b"\x90\x04\x00\x01\x00\x01\xe0\x01\x8e" if kind & 0xF0 == SUBSCRIBE else b""

    async with scripted(talk) as address:
        source = known.source(address)
        async with opened(source):
            with pytest.raises(NotConnected, match="it ended the connection: Session taken over"):
                await read(source, 1)
            await source.close()
            with pytest.raises(NotConnected, match="Session taken over; connecting again after 10 s"):
                await source.open()


async def test_a_broker_that_falls_silent_is_noticed(broker: Mosquitto, known: Known) -> None:
    """By its pings that are not answered, and it does not hold up the closing."""
    async with opened(known.source(broker.addresses.plain, keepalive="1s")) as source:
        broker.freeze()
        began = time.monotonic()
        with pytest.raises(NotConnected, match="Keep alive timeout"):
            await read(source, 1)
        assert time.monotonic() - began < 15
    broker.thaw()


def test_one_that_accepts_and_says_nothing_is_given_up(known: Known) -> None:
    """Within ``connect_timeout``, and so is the connection."""

    async def connect() -> None:
        source = known.source(silent.getsockname(), connect_timeout="300ms")
        with pytest.raises(NotConnected, match=r"connecting took longer than 0\.3 s|timed out"):
            await source.open()
        await source.close()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        asyncio.run(connect())


async def test_what_is_no_mqtt_is_said_at_once(known: Known) -> None:
    async with scripted(lambda *_: b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"?" * 100) as address:
        source = known.source(address)
        began = time.monotonic()
        with pytest.raises(NotConnected, match="it ended the connection before it let us in"):
            await source.open()
        assert time.monotonic() - began < 5
        await source.close()


async def test_a_connection_that_is_cut_is_noticed(broker: Mosquitto, known: Known) -> None:
    """And the next one goes on where it was."""
    async with TcpProxy("{}:{}".format(*broker.addresses.plain)) as proxy:
        source = known.source(proxy.address)
        async with opened(source):
            await publish(broker.addresses.plain, "a/b", numbers(3))
            await read(source, 3)
            proxy.cut()
            with pytest.raises(NotConnected, match="the connection is lost"):
                await read(source, 1)
        async with opened(source):
            assert values(await read(source, 3)) == numbers(3)


async def test_its_will_is_published_when_it_is_cut_off_and_not_when_it_stops(broker: Mosquitto, known: Known) -> None:
    will = {"topic": "will/source", "payload": "gone", "qos": 1, "retain": True}
    async with (
        TcpProxy("{}:{}".format(*broker.addresses.plain)) as proxy,
        client(broker.addresses.plain) as watcher,
    ):
        await watcher.subscribe("will/#", qos=1)
        async with opened(known.source(proxy.address, will=will)):
            pass
        source = known.source(proxy.address, will=will)
        async with opened(source):
            await publish(broker.addresses.plain, "will/mark", [b"mark"])
            proxy.cut()
            seen = []
            async with asyncio.timeout(10):
                async for message in watcher.messages:
                    seen.append((message.topic.value, message.payload, message.qos))
                    if len(seen) == 2:
                        break
    assert seen == [("will/mark", b"mark", 1), ("will/source", b"gone", 1)]


async def test_a_will_may_wait(broker: Mosquitto, known: Known) -> None:
    """One who comes back in time is not announced as gone."""
    will = {"topic": "will/source", "payload": "gone", "qos": 1, "delay": "1s"}
    async with (
        TcpProxy("{}:{}".format(*broker.addresses.plain)) as proxy,
        client(broker.addresses.plain) as watcher,
    ):
        await watcher.subscribe("will/#", qos=1)
        source = known.source(proxy.address, will=will)
        async with opened(source):
            proxy.cut()
            with pytest.raises(NotConnected):
                await read(source, 1)
        async with opened(source):
            await asyncio.sleep(2.5)
            await publish(broker.addresses.plain, "will/mark", [b"mark"])
            async with asyncio.timeout(10):
                first = await anext(aiter(watcher.messages))
            assert first.topic.value == "will/mark"
            proxy.cut()
            async with asyncio.timeout(10):
                second = await anext(aiter(watcher.messages))
            assert second.topic.value == "will/source"


async def test_a_broker_may_say_how_often_it_wants_to_hear(start_mosquitto: StartMosquitto, known: Known) -> None:
    """Then that holds: it would end the connection otherwise."""
    broker = start_mosquitto(durable=False, settings=["max_keepalive 10"])
    async with opened(known.source(broker.addresses.plain, keepalive="1h")) as source:
        connection = source._connection
        assert connection is not None
        await asyncio.sleep(16)
        assert connection.failure is None
        await publish(broker.addresses.plain, "a/b", [b"still there"])
        assert values(await read(source, 1)) == [b"still there"]
