"""Clients of a Kafka, for a few records."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.certificates import Certificates
from tests.servers.kafka import PASSWORD, USER, KafkaAddresses

SECONDS = 60.0
"""The longest that a call here waits for a cluster."""


def client_context(certificates: Certificates, *, certificate: bool = False) -> ssl.SSLContext:
    """Trusts the authority of the tests; with a certificate that it has issued, or without."""
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
    """Append records, one after the other. Raises KafkaError."""
    producer = AIOKafkaProducer(acks="all", **access)
    async with asyncio.timeout(SECONDS):
        try:
            await producer.start()
            for value in values:
                await producer.send_and_wait(topic, value)
        finally:
            await producer.stop()  # also of one that could not start: it is open


async def consume(topic: str, count: int, **access: Any) -> list[bytes]:
    """The first records of a topic, through a group."""
    consumer = AIOKafkaConsumer(topic, group_id=topic, auto_offset_reset="earliest", **access)
    async with asyncio.timeout(SECONDS), consumer:
        return [(await consumer.getone()).value for _ in range(count)]
