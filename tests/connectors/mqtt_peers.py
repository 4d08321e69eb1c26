"""Others who are connected to the broker of a test: some publish, some keep what is published."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

Address = tuple[str, int]


def properties(packet: int = PacketTypes.PUBLISH, **said: Any) -> Properties:
    """Properties by the names that paho has for them."""
    made = Properties(packet)
    for name, value in said.items():
        setattr(made, name, value)
    return made


def client(address: Address, **settings: Any) -> aiomqtt.Client:
    """A client of version 5."""
    return aiomqtt.Client(*address, protocol=aiomqtt.ProtocolVersion.V5, **settings)


async def publish(address: Address, topic: str, values: Iterable[bytes], *, qos: int = 1, **settings: Any) -> None:
    """Publish these, one after the other."""
    async with client(address) as publisher:
        for value in values:
            await publisher.publish(topic, value, qos=qos, **settings)


@dataclass(frozen=True)
class Seen:
    """A message that somebody else has seen."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    said: dict[str, Any]


class Collector:
    """Somebody who has subscribed to everything, with QoS 1, in which messages come in their order whatever they were
    published with. The broker keeps it until it is asked for."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.seen: list[Seen] = []
        self._id = f"collector-{uuid4().hex}"

    def _client(self) -> aiomqtt.Client:
        kept = properties(PacketTypes.CONNECT, SessionExpiryInterval=3600, ReceiveMaximum=65_535)
        return client(self.address, identifier=self._id, clean_start=False, properties=kept, timeout=30)

    async def subscribe(self) -> None:
        """From now on nothing is missed."""
        async with self._client() as collecting:
            await collecting.subscribe("#", options=SubscribeOptions(qos=1, retainAsPublished=True))

    async def collect(self) -> list[Seen]:
        """Everything that was published until now."""
        mark = uuid4().hex
        async with self._client() as collecting:
            await collecting.publish(f"mark/{mark}", qos=1)
            async with asyncio.timeout(60):
                async for message in collecting.messages:
                    if message.topic.value == f"mark/{mark}":
                        break
                    if not message.topic.value.startswith("mark/"):
                        self.seen.append(_seen(message))
        return self.seen


def _seen(message: aiomqtt.Message) -> Seen:
    payload = message.payload
    assert isinstance(payload, bytes)
    empty = vars(properties())
    said = {name: value for name, value in vars(message.properties).items() if name not in empty}
    return Seen(message.topic.value, payload, message.qos, message.retain, said)


def payloads(seen: Sequence[Seen], topic: str | None = None) -> list[bytes]:
    """What was published, to a topic or at all."""
    return [one.payload for one in seen if topic in (None, one.topic)]
