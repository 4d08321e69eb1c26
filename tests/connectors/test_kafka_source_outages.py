"""What brokers, networks and access rules do to the source ``kafka``: short outages are sat out, long ones are told."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiokafka import AIOKafkaProducer
from aiokafka.protocol.commit import OffsetFetchResponse_v3
from kafka_peers import (
    SECONDS,
    Events,
    ack,
    commit,
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

from connectors.memory import MemorySink
from router import Context, NotConnected
from router.testing import Line, until
from tests.certificates import Certificates
from tests.servers.fixtures import StartKafka
from tests.servers.kafka import PASSWORD, USER, KafkaAddresses, KafkaCluster
from tests.servers.proxy import TcpProxy
from tests.servers.topics import create_topic


async def produce(brokers: str, topic: str, numbers: range) -> None:
    """Put numbered records, one after the other, however long it takes."""
    async with AIOKafkaProducer(bootstrap_servers=brokers, acks="all", request_timeout_ms=60_000) as producer:
        for number in numbers:
            await producer.send_and_wait(topic, b"%d" % number, partition=number % 4)


def by_partition(found: list[bytes]) -> dict[int, list[int]]:
    """The numbers in the order in which they came."""
    numbers = [int(value) for value in found]
    return {partition: [number for number in numbers if number % 4 == partition] for partition in range(4)}


@pytest.mark.short
async def test_a_broker_that_is_killed_and_comes_back_is_sat_out(start_kafka: StartKafka, tmp_path: Path) -> None:
    """In one membership: nothing is lost and nothing is read again."""
    cluster, events = start_kafka(), Events()
    brokers = cluster.addresses.plaintext
    topic = await create_topic(brokers, 4)
    context = Context(name="kafka", count=events)
    source, sink = (
        source_of(brokers, topic, new_group(), session_timeout="3m", context=context),
        MemorySink(MemorySink.Config()),
    )
    async with Line(tmp_path, source, sink):
        await produce(brokers, topic, range(200))
        await until(lambda: len(sink.values) == 200, SECONDS)
        (node,) = cluster.nodes
        node.kill()
        await asyncio.to_thread(node.start)
        await produce(brokers, topic, range(200, 400))
        await until(lambda: len(sink.values) >= 400, SECONDS)
    assert by_partition(sink.values) == {part: list(range(part, 400, 4)) for part in range(4)}
    assert events["rebalance"] == 1


async def test_of_three_brokers_one_may_be_lost(start_kafka: StartKafka, tmp_path: Path) -> None:
    """The one that coordinates the group included: leaders and coordinators move, and the source goes on."""
    cluster = start_kafka(nodes=3)
    brokers = cluster.addresses.plaintext
    topic, group = await create_topic(brokers, 4), new_group()
    sink = MemorySink(MemorySink.Config())
    source = source_of(brokers, topic, group, session_timeout="3m", request_timeout="5s")
    async with Line(tmp_path, source, sink):
        await produce(brokers, topic, range(200))
        await until(lambda: len(sink.values) == 200, SECONDS)
        coordinator = source._member._consumer._coordinator.coordinator_id  # type: ignore[union-attr]
        (node,) = [node for node in cluster.nodes if node.number == coordinator]
        node.kill()
        await produce(brokers, topic, range(200, 400))
        await until(lambda: len(sink.values) >= 400, 60)
        await stands_at(brokers, group, topic, dict.fromkeys(range(4), 100))
    assert by_partition(sink.values) == {part: list(range(part, 400, 4)) for part in range(4)}


async def proxied(cluster: KafkaCluster) -> TcpProxy:
    (node,) = cluster.nodes
    return TcpProxy(node.listeners["PROXIED"], node.proxy_port)


async def test_a_group_that_is_not_heard_of_ends_what_was_read(start_kafka: StartKafka) -> None:
    """By then the partitions may be somebody else's: the leases are over before the session is, and the source says
    that it is not connected, though its connections are still open."""
    cluster = start_kafka()
    topic, group = await create_topic(cluster.addresses.plaintext), new_group()
    await put(cluster.addresses.plaintext, topic, b"0", b"1")
    async with await proxied(cluster) as proxy:
        source = source_of(cluster.addresses.proxied, topic, group, session_timeout="2s", heartbeat_interval="200ms")
        async with opened(source):
            batches = await read(source, 2)
            (lease,) = {lease for batch in batches for lease in batch.leases or () if lease is not None}
            before = lease.revoked
            silent = time.monotonic()
            proxy.black_hole()
            with pytest.raises(NotConnected, match=r"has not answered for 1\.8 s"):
                await read(source, 1)
            assert lease.until < silent + 2
            assert (before, lease.revoked) == (False, True)
            await ack(source, batches)
            proxy.heal()
        async with opened(source):
            assert values(await read(source, 2)) == [b"0", b"1"]


async def test_a_process_that_was_stopped_for_long_delivers_nothing_more(
    start_kafka: StartKafka, tmp_path: Path
) -> None:
    """Of what it had read: whoever has the partitions by now delivers it."""
    cluster = start_kafka()
    topic, group = await create_topic(cluster.addresses.plaintext), new_group()
    await put(cluster.addresses.plaintext, topic, *(b"%d" % number for number in range(100)))
    source = source_of(cluster.addresses.plaintext, topic, group, session_timeout="1s", heartbeat_interval="100ms")
    async with opened(source):
        batches = await read(source, 100)
        time.sleep(1.5)  # nothing turns, as when the process is stopped
        assert all(lease is not None and lease.revoked for batch in batches for lease in batch.leases or ())
        with pytest.raises(NotConnected):
            await nothing_more(source, SECONDS)


async def test_a_connection_that_is_cut_is_made_anew(start_kafka: StartKafka) -> None:
    cluster, events = start_kafka(), Events()
    topic = await create_topic(cluster.addresses.plaintext)
    async with await proxied(cluster) as proxy:
        context = Context(name="kafka", count=events)
        async with opened(source_of(cluster.addresses.proxied, topic, new_group(), context=context)) as source:
            for turn in range(5):
                assert proxy.cut()
                await put(cluster.addresses.plaintext, topic, b"%d" % turn)
                batches = await read(source, 1)
                assert values(batches) == [b"%d" % turn]
                await ack(source, batches)
        assert events["rebalance"] == 1


async def test_answers_that_make_no_sense_are_told(start_kafka: StartKafka, tmp_path: Path) -> None:
    """They end what fetches records. The source says so and begins anew, with nothing lost."""
    cluster, sink = start_kafka(), MemorySink(MemorySink.Config())
    topic = await create_topic(cluster.addresses.plaintext, 4)
    async with await proxied(cluster) as proxy:
        source = source_of(cluster.addresses.proxied, topic, new_group())
        async with Line(tmp_path, source, sink) as line:
            await produce(cluster.addresses.plaintext, topic, range(200))
            await until(lambda: len(sink.values) == 200, SECONDS)
            # The answer is to this request, and the rest of it has no topics.
            proxy.garble(lambda answer: answer[:8] + b"\xff" * (len(answer) - 8))
            await until(lambda: not line.pipeline.connected, SECONDS)
            proxy.heal()
            await produce(cluster.addresses.plaintext, topic, range(200, 400))
            await until(lambda: len(set(sink.values)) == 400, SECONDS)
    assert set(sink.values) == {b"%d" % number for number in range(400)}


def without_offsets(answers: bytes) -> bytes:
    """The answers as they are, but for those that tell where a group stands: they mention no partition.

    Several may arrive together, each behind its length; what is no whole answer is passed on.
    """
    (length,) = struct.unpack_from(">i", answers) if len(answers) > 4 else (len(answers),)
    answer, rest = answers[: 4 + length], answers[4 + length :]
    return _without_offset(answer) + (without_offsets(rest) if rest else b"")


def _without_offset(answer: bytes) -> bytes:
    body = answer[8:]
    try:
        told = OffsetFetchResponse_v3.decode(BytesIO(body))
    except (ValueError, struct.error, UnicodeDecodeError, TypeError, IndexError, MemoryError, OverflowError):
        return answer
    if told.encode() != body or not told.topics:
        return answer
    less: bytes = OffsetFetchResponse_v3(told.throttle_time_ms, [], told.error_code).encode()
    return struct.pack(">i", len(less) + 4) + answer[4:8] + less


async def test_a_group_whose_offsets_are_not_told_does_not_begin_anew(start_kafka: StartKafka) -> None:
    """Offsets that an answer leaves out are not taken for some that were never committed."""
    cluster, left_out = start_kafka(), 0
    topic, group = await create_topic(cluster.addresses.plaintext), new_group()
    await put(cluster.addresses.plaintext, topic, b"0", b"1", b"2", b"3")
    await commit(cluster.addresses.plaintext, group, topic, 2)

    def leave_out(answer: bytes) -> bytes:
        nonlocal left_out
        garbled = without_offsets(answer)
        left_out += garbled != answer
        return garbled

    async with await proxied(cluster) as proxy:
        proxy.garble(leave_out)
        async with opened(source_of(cluster.addresses.proxied, topic, group)) as source:
            await nothing_more(source, 2.0)
            proxy.heal()
            assert values(await read(source, 2)) == [b"2", b"3"]
    assert left_out > 1


async def test_who_could_not_say_goodbye_is_known_when_it_comes_back(start_kafka: StartKafka) -> None:
    """It does not wait for the end of its own session."""
    cluster = start_kafka()
    topic = await create_topic(cluster.addresses.plaintext)
    await put(cluster.addresses.plaintext, topic, b"0")
    async with await proxied(cluster) as proxy:
        source = source_of(cluster.addresses.proxied, topic, new_group(), session_timeout="2m")
        async with opened(source):
            await read(source, 1)
            proxy.refuse()
            proxy.cut()
        proxy.accept()
        async with opened(source):
            assert values(await read(source, 1)) == [b"0"]


async def test_a_record_that_is_damaged_is_never_passed_over(start_kafka: StartKafka) -> None:
    """It is told, again and again, and nothing after it is read or committed."""
    cluster = start_kafka()
    brokers, (node,) = cluster.addresses.plaintext, cluster.nodes
    topic, group = await create_topic(brokers), new_group()
    for value in (b"first", b"damaged", b"last"):
        await put(brokers, topic, value)
    await asyncio.to_thread(node.stop)
    (log,) = (node.folder / "data").glob(f"{topic}-0/*.log")
    log.write_bytes(log.read_bytes().replace(b"damaged", b"DAMAGED"))
    await asyncio.to_thread(node.start)
    source = source_of(brokers, topic, group)
    for _ in range(2):
        assert "CRC" in await refuses(source)
    await stands_at(brokers, group, topic, {0: 0})


# Who may come in


def secured(certificates: Certificates, listener: str) -> dict[str, Any]:
    """Settings for a listener."""
    trust = {"ca": str(certificates.ca)}
    own = {"cert": str(certificates.folder / "client.pem"), "key": str(certificates.folder / "client.key")}
    users = {"username": USER, "password": PASSWORD}
    return {
        "ssl": {"tls": trust},
        "mtls": {"tls": trust | own},
        "sasl": {"tls": trust, "sasl": {"mechanism": "SCRAM-SHA-512", **users}},
        "sasl256": {"tls": trust, "sasl": {"mechanism": "SCRAM-SHA-256", **users}},
    }[listener]


@pytest.mark.parametrize("listener", ["ssl", "mtls", "sasl", "sasl256"])
async def test_it_gets_in_where_it_can_show_who_it_is(
    kafka: KafkaAddresses, certificates: Certificates, listener: str
) -> None:
    topic = await create_topic(kafka.plaintext)
    await put(kafka.plaintext, topic, b"1")
    brokers = getattr(kafka, listener.removesuffix("256"))
    async with opened(source_of(brokers, topic, new_group(), **secured(certificates, listener))) as source:
        assert values(await read(source, 1)) == [b"1"]


async def test_a_certificate_must_carry_the_name_that_is_asked_for(
    kafka: KafkaAddresses, certificates: Certificates
) -> None:
    topic = await create_topic(kafka.plaintext)
    tls = {"ca": str(certificates.ca), "server_name": "localhost"}
    async with opened(source_of(kafka.ssl, topic, new_group(), tls=tls)):
        pass
    assert "example.org" in await refuses(
        source_of(kafka.ssl, topic, new_group(), tls=tls | {"server_name": "example.org"})
    )


async def test_why_it_does_not_get_in_is_told(kafka: KafkaAddresses, certificates: Certificates) -> None:
    topic = await create_topic(kafka.plaintext)
    other = {"tls": {"ca": str(certificates.folder / "other-ca.pem")}}
    assert "certificate verify failed" in await refuses(source_of(kafka.ssl, topic, new_group(), **other))
    trust = {"ca": str(certificates.ca)}
    wrong = {"tls": trust, "sasl": {"mechanism": "SCRAM-SHA-256", "username": USER, "password": "no"}}
    said = await refuses(source_of(kafka.sasl, topic, new_group(), **wrong))
    assert said.startswith(f"{kafka.sasl}: ")
    assert "authentication" in said.lower()
    said = await refuses(source_of("127.0.0.1:1,127.0.0.1:2", topic, new_group()))
    assert said.count("Connect call failed") == 2
    said = await refuses(
        source_of(kafka.sasl, topic, new_group(), tls=trust, sasl=wrong["sasl"] | {"mechanism": "PLAIN"})
    )
    assert said == f"{kafka.sasl}: the broker does not take PLAIN (sasl)"
    for brokers, settings in (
        (kafka.ssl, {}),
        (kafka.plaintext, {"tls": trust}),
        (kafka.sasl, {"tls": trust}),
        (kafka.mtls, {"tls": trust}),
        (kafka.plaintext, {"sasl": wrong["sasl"]}),
    ):
        said = await refuses(source_of(brokers, topic, new_group(), **settings))
        assert said.endswith("; does this listener of the broker want the same tls and sasl?")


async def test_what_is_forbidden_is_told_and_goes_on_once_it_is_allowed(
    start_kafka: StartKafka, certificates: Certificates
) -> None:
    """Whether it was never allowed, or is taken back while the source reads."""
    cluster = start_kafka()
    topic, group = await create_topic(cluster.addresses.plaintext), new_group()
    source = source_of(cluster.addresses.sasl, topic, group, **secured(certificates, "sasl"), metadata_max_age="500ms")

    async def rule(change: str, *what: str) -> None:
        who = ("--deny-principal", f"User:{USER}", *what)
        await asyncio.to_thread(cluster.command, "org.apache.kafka.tools.AclCommand", change, *who, "--force")

    async with opened(source):
        await put(cluster.addresses.plaintext, topic, b"0")
        await ack(source, await read(source, 1))
        await rule("--add", "--operation", "Read", "--topic", topic)
        with pytest.raises(NotConnected, match=topic):
            await nothing_more(source, SECONDS)
    assert topic in await refuses(source)
    await rule("--remove", "--operation", "Read", "--topic", topic)
    await rule("--add", "--operation", "Describe", "--topic", topic)
    assert await refuses(source) == f"{cluster.addresses.sasl}: {topic} may not be read (topics)"
    await rule("--remove", "--operation", "Describe", "--topic", topic)
    await rule("--add", "--operation", "Read", "--group", group)
    assert group in await refuses(source)
    await rule("--remove", "--operation", "Read", "--group", group)
    async with opened(source):
        await put(cluster.addresses.plaintext, topic, b"1")
        assert values(await read(source, 1)) == [b"1"]


def unsecured(claims: dict[str, object]) -> str:
    """A token that nobody has signed."""
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), ""])


async def test_a_token_of_an_oauth_server_lets_it_in(start_kafka: StartKafka, certificates: Certificates) -> None:
    login = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required"
    cluster = start_kafka(
        settings={
            "sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
            "listener.name.sasl.oauthbearer.sasl.jaas.config": f'{login} unsecuredLoginStringClaim_sub="broker";',
        }
    )
    topic = await create_topic(cluster.addresses.plaintext)
    await put(cluster.addresses.plaintext, topic, b"1")
    given = [0]

    async def give(request: web.Request) -> web.Response:
        form = await request.post()
        if form["client_secret"] != "right":
            return web.json_response({"error": "invalid_client"}, status=401)
        given[0] += 1
        token = unsecured({"sub": "alice", "iat": time.time(), "exp": time.time() + 600})
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": 600})

    application = web.Application()
    application.router.add_post("/token", give)
    async with TestServer(application) as server:

        def settings(secret: str) -> dict[str, Any]:
            oauth2 = {"client_id": "us", "client_secret": secret, "credentials": "body"}
            sasl = {"mechanism": "OAUTHBEARER", "oauth2": {"token_url": str(server.make_url("/token")), **oauth2}}
            return {"tls": {"ca": str(certificates.ca)}, "sasl": sasl}

        async with opened(source_of(cluster.addresses.sasl, topic, new_group(), **settings("right"))) as source:
            assert values(await read(source, 1)) == [b"1"]
        assert given == [1], "a token is asked for once"
        assert "invalid_client" in await refuses(
            source_of(cluster.addresses.sasl, topic, new_group(), **settings("no"))
        )
