"""Kafka as tests get it: every listener serves, kills lose nothing acknowledged, three nodes bear the loss of one."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from tests.certificates import Certificates
from tests.servers.fixtures import StartKafka
from tests.servers.kafka import KafkaAddresses
from tests.servers.kafka_clients import SECONDS, access, client_context, consume, produce
from tests.servers.proxy import TcpProxy
from tests.servers.topics import create_topic


@pytest.mark.parametrize("listener", ["plaintext", "ssl", "mtls", "sasl"])
async def test_each_listener_takes_and_gives(kafka: KafkaAddresses, certificates: Certificates, listener: str) -> None:
    how = access(kafka, certificates, listener)
    topic = await create_topic(kafka.plaintext)
    await produce(topic, b"one", b"two", **how)
    assert await consume(topic, 2, **how) == [b"one", b"two"]


async def test_a_killed_node_comes_back_with_its_records(start_kafka: StartKafka) -> None:
    cluster = start_kafka()
    brokers = cluster.addresses.plaintext
    topic = await create_topic(brokers)
    await produce(topic, b"one", bootstrap_servers=brokers)
    (node,) = cluster.nodes
    node.kill()
    assert not node.running
    await asyncio.to_thread(node.start)
    assert cluster.addresses.plaintext == brokers
    await produce(topic, b"two", bootstrap_servers=brokers)
    assert await consume(topic, 2, bootstrap_servers=brokers) == [b"one", b"two"]


async def test_three_nodes_bear_the_loss_of_one(start_kafka: StartKafka) -> None:
    cluster = start_kafka(nodes=3)
    brokers = cluster.addresses.plaintext
    topic = await create_topic(brokers, 3)
    await produce(topic, b"one", bootstrap_servers=brokers)
    cluster.nodes[0].kill()
    await produce(topic, b"two", bootstrap_servers=brokers)
    assert sorted(await consume(topic, 2, bootstrap_servers=brokers)) == [b"one", b"two"]


@pytest.mark.parametrize(
    ("listener", "changes"),
    [
        ("sasl", {"sasl_plain_password": "wrong"}),
        ("sasl", {"sasl_plain_username": "nobody"}),
        ("mtls", {"ssl_context": ssl.create_default_context()}),
    ],
)
async def test_whoever_shows_the_wrong_thing_is_not_let_in(
    kafka: KafkaAddresses, certificates: Certificates, listener: str, changes: dict[str, Any]
) -> None:
    how = {**access(kafka, certificates, listener), **changes}
    with pytest.raises(KafkaError):
        await produce("nothing", b"one", **how)


async def test_mutual_tls_wants_a_certificate(kafka: KafkaAddresses, certificates: Certificates) -> None:
    how = access(kafka, certificates, "mtls") | {"ssl_context": client_context(certificates)}
    with pytest.raises(KafkaError):
        await produce("nothing", b"one", **how)


async def test_a_topic_that_nobody_made_is_not_there(kafka: KafkaAddresses) -> None:
    """Asking for it does not make it."""
    with pytest.raises(KafkaError):
        await produce("never-made", b"one", bootstrap_servers=kafka.plaintext, request_timeout_ms=1000)


async def test_clients_of_a_proxy_stay_behind_it(start_kafka: StartKafka) -> None:
    """What they are told to connect to is the proxy: it sees all of them, and they bear a cut."""
    cluster = start_kafka()
    (node,) = cluster.nodes
    topic = await create_topic(cluster.addresses.plaintext)
    brokers = cluster.addresses.proxied
    async with TcpProxy(node.listeners["PROXIED"], node.proxy_port) as proxy:
        assert proxy.address == brokers
        async with AIOKafkaProducer(bootstrap_servers=brokers) as producer:
            await producer.send_and_wait(topic, b"one")
            assert proxy.cut()
            await producer.send_and_wait(topic, b"two")
            proxy.black_hole()
            held = await producer.send(topic, b"three")
            assert not (await asyncio.wait([held], timeout=0.3))[0]
            proxy.heal()
            await held
        assert await consume(topic, 3, bootstrap_servers=brokers) == [b"one", b"two", b"three"]


async def test_a_frozen_node_answers_once_it_is_thawed(start_kafka: StartKafka) -> None:
    cluster = start_kafka()
    (node,) = cluster.nodes
    topic = await create_topic(cluster.addresses.plaintext)
    async with asyncio.timeout(SECONDS), AIOKafkaProducer(bootstrap_servers=cluster.addresses.plaintext) as producer:
        await producer.send_and_wait(topic, b"one")
        node.freeze()
        assert node.running
        sent = await producer.send(topic, b"two")
        assert not (await asyncio.wait([sent], timeout=0.5))[0]
        node.thaw()
        await sent


async def test_rights_and_passwords_may_be_taken_and_given_back(
    start_kafka: StartKafka, certificates: Certificates
) -> None:
    cluster = start_kafka()
    how = access(cluster.addresses, certificates, "sasl")
    topic, other = [await create_topic(cluster.addresses.plaintext) for _ in range(2)]
    await asyncio.to_thread(cluster.deny, topic)
    with pytest.raises(TopicAuthorizationFailedError):
        await produce(topic, b"one", **how)
    await produce(other, b"one", **how)
    await asyncio.to_thread(cluster.allow, topic)
    await produce(topic, b"one", **how)
    await asyncio.to_thread(cluster.set_password, "another")
    with pytest.raises(KafkaError):
        await produce(topic, b"one", **how)
    await produce(topic, b"two", **how | {"sasl_plain_password": "another"})
    await asyncio.to_thread(cluster.remove_user)
    with pytest.raises(KafkaError):
        await produce(topic, b"two", **how | {"sasl_plain_password": "another"})
