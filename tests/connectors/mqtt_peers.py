"""Others who are connected to the broker of a test: some publish, some keep what is published."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.servers.ports import claim_port

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


async def written_down(address: Address) -> None:
    """Wait until Mosquitto has its state on disk: it is retained messages that have it write, not others."""
    await publish(address, "written/down", [uuid4().bytes], retain=True)
    await asyncio.sleep(1)


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
            # What it has said it has got, the broker knows when it has answered what was said last.
            await collecting.publish("mark/end", qos=1)
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


def writable(folder: Path, *topics: str) -> tuple[Address, list[str]]:
    """A listener of Mosquitto for clients who may write to these topics alone, and read all: where it is, and the lines
    of the configuration that make it."""
    acl, port = folder / "acl", claim_port()
    acl.write_text("".join(f"topic write {topic}\n" for topic in topics) + "topic read #\n")
    return ("127.0.0.1", port), [f"listener {port} 127.0.0.1", "allow_anonymous true", f"acl_file {acl}"]


def readable(folder: Path, topic: str) -> tuple[Address, list[str]]:
    """The same for clients who may subscribe to this filter alone, which Mosquitto knows by a plugin."""
    kinds = ("publishClientSend", "publishClientReceive", "subscribe", "unsubscribe")
    rights = [{"acltype": "subscribePattern", "topic": topic, "allow": True}]
    config = folder / "dynamic-security.json"
    config.write_text(
        json.dumps(
            {
                "defaultACLAccess": {kind: kind != "subscribe" for kind in kinds},
                "roles": [{"rolename": "some", "acls": rights}],
                "groups": [{"groupname": "anybody", "roles": [{"rolename": "some"}]}],
                "anonymousGroup": "anybody",
            }
        )
    )
    port = claim_port()
    (plugin,) = Path("/usr/lib").glob("*/mosquitto_dynamic_security.so")
    listener = [f"listener {port} 127.0.0.1", "allow_anonymous true"]
    return ("127.0.0.1", port), [*listener, f"plugin {plugin}", f"plugin_opt_config_file {config}"]


Talk = Callable[[int, bytes], bytes | None]
"""What a scripted broker answers to a packet, by its type and body; None: it closes the connection."""


@contextlib.asynccontextmanager
async def scripted(talk: Talk) -> AsyncIterator[Address]:
    """A broker of version 5 that says what Mosquitto cannot be brought to say. What ``talk`` leaves unanswered, b"", it
    answers as a broker does that has nothing against anything."""

    open_ones: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while (answer := talk(*(asked := await _packet(reader)))) is not None:
                writer.write(answer or _usual(*asked))
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        open_ones.discard(asyncio.current_task())

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()
        async with asyncio.timeout(10):
            while open_ones:
                await asyncio.sleep(0.01)


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    (first,) = await reader.readexactly(1)
    size, shift = 0, 0
    while True:
        (byte,) = await reader.readexactly(1)
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return first >> 4 << 4 | first & 6, await reader.readexactly(size)


def _usual(kind: int, body: bytes) -> bytes:
    if kind == CONNECT:
        return b"\x20\x03\x00\x00\x00"
    if kind & 0xF0 == PUBLISH:
        start = 2 + int.from_bytes(body[:2], "big")
        return bytes((0x40 if kind & 2 else 0x50, 2)) + body[start : start + 2] if kind & 6 else b""
    if kind & 0xF0 in (SUBSCRIBE, UNSUBSCRIBE):
        return bytes((kind & 0xF0 | 0x10, 4)) + body[:2] + b"\x00\x01"
    return {PUBREL: b"\x70\x02" + body[:2], PINGREQ: b"\xd0\x00"}.get(kind & 0xF0, b"")


CONNECT, PUBLISH, PUBREL, SUBSCRIBE, UNSUBSCRIBE, PINGREQ = 0x10, 0x30, 0x60, 0x80, 0xA0, 0xC0
"""The types of packets that a client sends, as in their first byte."""
