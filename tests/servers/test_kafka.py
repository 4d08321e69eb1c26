"""Kafka as tests get it: every listener serves, kills lose nothing acknowledged, three nodes bear the loss of one."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.certificates import Certificates
from tests.servers.fixtures import StartKafka
from tests.servers.kafka import PASSWORD, USER, KafkaAddresses
from tests.servers.topics import create_topic

SECONDS = 30.0


def client_context(certificates: Certificates, *, certificate: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificates.ca))
    if certificate:
        context.load_cert_chain(certificates.folder / "client.pem", certificates.folder / "client.key")
    return context


def access(kafka: KafkaAddresses, certificates: Certificates, listener: str) -> dict[str, Any]:
    """How clients connect to a listener."""
    users = {"sasl_plain_username": USER, "sasl_plain_password": PASSWORD}
    settings: dict[str, dict[str, Any]] = {
        "plaintext": {},
        "ssl": {"security_protocol": "SSL", "ssl_context": client_context(certificates)},
        "mtls": {"security_protocol": "SSL", "ssl_context": client_context(certificates, certificate=True)},
        "sasl": {
            "security_protocol": "SASL_SSL",
            "ssl_context": client_context(certificates),
            "sasl_mechanism": "SCRAM-SHA-512",
            **users,
        },
    }
    return {"bootstrap_servers": getattr(kafka, listener), **settings[listener]}


async def produce(topic: str, *values: bytes, **access: Any) -> None:
    async with asyncio.timeout(SECONDS), AIOKafkaProducer(acks="all", **access) as producer:
        for value in values:
            await producer.send_and_wait(topic, value)


async def consume(topic: str, count: int, **access: Any) -> list[bytes]:
    """The first records of a topic, through a group."""
    consumer = AIOKafkaConsumer(topic, group_id=topic, auto_offset_reset="earliest", **access)
    async with asyncio.timeout(SECONDS), consumer:
        return [(await consumer.getone()).value for _ in range(count)]


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
