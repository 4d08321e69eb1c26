"""The MQTT connectors keep the contract that the kit checks, with Mosquitto at the other end."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
from mqtt_peers import Collector, Seen, publish

from connectors.kit import SinkContract, SourceContract
from connectors.mqtt import MqttSink, MqttSource
from router import Settings
from tests.servers.fixtures import StartMosquitto
from tests.servers.mosquitto import Mosquitto

# Clients of 3.1.1 cannot say how many messages they take; those that are away are to see QoS 0, too.
SETTINGS = ["max_inflight_messages 0", "queue_qos0_messages true"]


class Brokered:
    """A broker of one's own, which keeps what it has when it is stopped."""

    patience = 30.0  # of QoS 2, 10,000 records take 40,000 packets
    version: ClassVar[Any] = 5
    broker: Mosquitto

    @pytest.fixture(autouse=True)
    def _with_a_broker(self, start_mosquitto: StartMosquitto) -> None:
        self.broker = start_mosquitto(durable=False, settings=SETTINGS)

    @property
    def address(self) -> str:
        return "{}:{}".format(*self.broker.addresses.plain)

    async def go_away(self) -> None:
        await asyncio.to_thread(self.broker.stop)

    async def come_back(self) -> None:
        await asyncio.to_thread(self.broker.start)


class TestMqttSource(Brokered, SourceContract):
    connector = MqttSource
    cannot = {"end": "a broker goes on"}

    def config(self) -> Settings:
        return MqttSource.Config.model_validate(
            {"broker": self.address, "version": self.version, "client_id": "kit", "topics": ["kit/#"], **self.more}
        )

    more: ClassVar[dict[str, Any]] = {}
    qos: ClassVar[int] = 1

    async def put(self, values: Sequence[bytes]) -> None:
        await publish(self.broker.addresses.plain, "kit/a", values, qos=self.qos)


class TestMqttSourceOfTheOldVersion(TestMqttSource):
    version = "3.1.1"


class TestMqttSourceThatIsShared(TestMqttSource):
    more = {"topics": ["$share/kit/kit/#"]}


LOST = "what comes while no connection is open is for nobody"


class TestMqttSourceOfQoS0(TestMqttSource):
    cannot = {"end": "a broker goes on", "keep": LOST}
    more = {"qos": 0}


class TestMqttSourceOfQoS2(TestMqttSource):
    cannot = {"end": "a broker goes on", "keep": "what was received is not sent again"}
    more = {"qos": 2}
    qos = 2


class TestMqttSink(Brokered, SinkContract):
    connector = MqttSink
    impossible = b"x" * 2_000_000
    choices: ClassVar[dict[str, Sequence[Any]]] = {
        "topic": ["kit/b", "kit/c"],
        "headers": [[("name", b"one")], [("name", b"two"), ("name", b"three")]],
        "content_type": ["text/plain", "application/json"],
        "message_expiry": [1000, 2000],
        "response_topic": ["answers/1", "answers/2"],
        "correlation_data": ["one", "two"],
    }
    traceless = {"retain": "it has but two values, one of which is the configured one"}
    qos: ClassVar[int] = 1

    @pytest.fixture(autouse=True)
    def _with_a_broker(self, start_mosquitto: StartMosquitto) -> None:
        self.broker = start_mosquitto(durable=False, settings=[*SETTINGS, "max_packet_size 1500000"])

    def config(self) -> Settings:
        return MqttSink.Config.model_validate(
            {"broker": self.address, "version": self.version, "topic": "kit/a", "qos": self.qos}
        )

    async def start(self) -> None:
        self.collector = Collector(self.broker.addresses.plain)
        await self.collector.subscribe()

    async def written(self, **chosen: Any) -> Sequence[bytes]:
        ((name, value),) = chosen.items() or [("topic", "kit/a")]
        return [one.payload for one in await self.collector.collect() if CHOSEN[name](one) == value]


def _expiry(seen: Seen) -> int:
    left: int = seen.said.get("MessageExpiryInterval", 0)
    return math.ceil(left / 1000) * 1000


CHOSEN: dict[str, Callable[[Seen], Any]] = {
    "topic": lambda seen: seen.topic,
    "headers": lambda seen: [(name, value.encode()) for name, value in seen.said.get("UserProperty", ())],
    "content_type": lambda seen: seen.said.get("ContentType"),
    "message_expiry": _expiry,
    "response_topic": lambda seen: seen.said.get("ResponseTopic"),
    "correlation_data": lambda seen: seen.said.get("CorrelationData", b"").decode(),
}


class TestMqttSinkOfQoS2(TestMqttSink):
    qos = 2


class TestMqttSinkOfQoS0(TestMqttSink):
    qos = 0

    async def written(self, **chosen: Any) -> Sequence[bytes]:
        await asyncio.sleep(0.3)  # nothing tells when a message has arrived that nobody acknowledges
        found = await super().written(**chosen)
        await asyncio.sleep(0.3)  # nor when the broker knows that who collects has gone, and keeps what comes for it
        return found


class TestMqttSinkOfTheOldVersion(TestMqttSink):
    version = "3.1.1"
    cannot = {"refuse": "in version 3.1.1 nothing says what a broker takes"}
    traceless = dict.fromkeys(
        ("retain", "headers", "content_type", "message_expiry", "response_topic", "correlation_data"),
        "version 3.1.1 has no such, or but two values",
    )
