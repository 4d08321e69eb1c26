"""The sink ``mqtt``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from connectors.mqtt.connection import Connection, Distance, Listener
from connectors.mqtt.envelopes import Envelopes
from connectors.mqtt.flight import Flight, with_followers
from connectors.mqtt.settings import INSTEAD_OF_2, ClientSettings, QoS
from connectors.mqtt.topics import checked_name, checked_text
from router import Batch, Constant, Duration, NotConnected, PerRecord


class MqttSinkConfig(ClientSettings):
    """The settings of the sink ``mqtt``."""

    topic: Annotated[str, Field(min_length=1), PerRecord()]
    """Where to. It may hold `${CEL}`, such as `events/${event.tenant}`; `allow: {topic: [events/*]}` says which topics
    records may choose."""
    qos: QoS = 1
    """`0`: sent, and read by the broker; `1`: the broker has it; `2`: the same, with twice the packets."""
    retain: Annotated[bool, PerRecord()] = False
    """Whether the broker keeps the message for those who subscribe later, in place of what it kept of the topic."""
    headers: Annotated[dict[str, str], PerRecord()] = Field(default_factory=dict)
    """User properties. Version 5 alone; in 3.1.1, those that a delivery chose are left out."""
    content_type: Annotated[str | None, PerRecord()] = None
    """What the payload is, such as `application/json`. Version 5 alone."""
    message_expiry: Annotated[Duration | None, PerRecord()] = None
    """How long the broker keeps the message for those who are away. Version 5 alone."""
    response_topic: Annotated[str | None, PerRecord()] = None
    """Where an answer is wanted. Version 5 alone."""
    correlation_data: Annotated[str | None, PerRecord()] = None
    """By which the one who asked knows the answer. Version 5 alone."""
    inflight: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """How many messages may be under way before the first of them is answered. Without it, as many as the broker says
    that it takes, and 1000 at most; in version 3.1.1, in which it does not say, 20."""

    @field_validator("topic", "response_topic")
    @classmethod
    def _is_a_topic(cls, topic: str | None) -> str | None:
        return topic if topic is None or "${" in topic else checked_name(topic)

    @model_validator(mode="after")
    def _goes_with_version(self) -> Self:
        for name in ("headers", "content_type", "message_expiry", "response_topic", "correlation_data"):
            if getattr(self, name) and not self.is_v5:
                raise ValueError(f"{name} should stand beside `version: 5`; 3.1.1 has none")
        for text in (*self.headers, *self.headers.values()):
            checked_text(text)
        return self

    @property
    def window(self) -> int:
        """How many messages may be under way, unless the broker says less."""
        return self.inflight or (1000 if self.is_v5 else 20)

    @property
    def standard(self) -> dict[str, Any]:
        """What holds for a record that chose nothing."""
        headers = tuple((name, value.encode()) for name, value in self.headers.items() if "${" not in value)
        return {
            "topic": None if "${" in self.topic else self.topic,
            "retain": self.retain,
            "content_type": self.content_type,
            "message_expiry": self.message_expiry,
            "response_topic": self.response_topic,
            "correlation_data": self.correlation_data,
            "headers": headers,
        }

    def advice(self) -> Mapping[str, tuple[str, str]]:
        """QoS 2 is not what it seems."""
        if self.qos != 2:
            return {}
        what = "QoS 2 promises no more than QoS 1 here: what is under way when the connection ends is sent again as new"
        return {"qos": (what, INSTEAD_OF_2)}


class MqttSink:
    """Publishes records to an MQTT broker, of version 5 or 3.1.1.

    **Records** are published one by one, in order, with up to `inflight` under way at once.

    **Guarantee**: at least once. With QoS 1, the default, a record is written when the broker has acknowledged it
    (PUBACK), with QoS 2 when it has completed it (PUBCOMP). What is under way when the connection ends is published
    again, as a new message, so that QoS 2 promises no more than 1, and takes twice the packets: exactly once is to be
    had by QoS 1 and an id in each record by which the receiver knows repeats. With QoS 0 a record is written when the
    broker has read it, as far as it tells by answering to what is sent behind it. Whether the broker keeps a record for
    those who are away is a matter of their sessions.

    **Order** is kept in each topic: what follows a record that is to be published again is, too.

    **Refused** by the broker, in version 5, by a reason code: a record that it does not accept, for its topic, for its
    payload, or since we are not authorized, is a dead letter with that reason. An exceeded quota and an error of the
    broker's own are tried again, up to `retry.attempts` times. That there is no subscriber is no failure. A record that
    is larger than the broker takes, or whose topic, headers or other settings MQTT cannot carry, is a dead letter at
    once. Version 3.1.1 knows no refusal: a broker acknowledges what it throws away, or ends the connection, which
    finds the record that is to blame.

    **Away**: a broker that cannot be reached, does not let us in, ends the connection, falls silent or does not take
    the QoS is `NotConnected`, with its reason. The session is a new one each time. After another client has connected
    with the same `client_id`, the sink stays away for 10 s.
    """

    Config: ClassVar[type[MqttSinkConfig]] = MqttSinkConfig
    example: ClassVar[str] = """\
sinks:
  alarms:
    type: mqtt
    broker: 127.0.0.1:1883
    topic: "alarms/${event.site}"
    allow: {topic: ["alarms/*"]}
    headers: {source: sluiceway}
    message_expiry: 1h
    will: {topic: status/router, payload: gone, retain: true}
"""

    def __init__(self, config: MqttSinkConfig) -> None:
        self._config = config
        self._connection: Connection | None = None
        self._flight: Flight | None = None
        self._distance = Distance()
        self._change = asyncio.Event()
        self._envelopes = Envelopes(config.standard, is_v5=config.is_v5)

    async def open(self) -> None:
        """Connect, with a new session. Raises NotConnected."""
        self._distance.check()
        config = self._config
        listener = Listener(answered=self._on_answer, changed=self._change.set)
        self._connection = Connection(config, listener, clean_start=True)
        await self._connection.open()
        highest = getattr(self._connection.allows, "MaximumQoS", 2)
        if highest < config.qos:
            raise NotConnected(f"{config.broker} takes no QoS above {highest} (qos)")

    async def write(self, batch: Batch) -> None:
        """Publish the records. Raises WriteError, NotConnected. Cancelled, a part of them may have been published."""
        connection, config = self._connection, self._config
        if connection is None:
            raise NotConnected("the sink is not open")
        connection.check()
        flight = Flight(connection, len(batch), qos=config.qos, window=config.window, change=self._change)
        self._flight = flight
        topics = batch.settings.get("topic") or Constant(None, len(batch))
        try:
            await flight.publish(self._envelopes.of(batch), batch.values)
        except NotConnected as error:
            left = with_followers({*flight.left, *flight.failed}, topics)
            raise NotConnected(str(error), unwritten=left) from error
        if flight.failed:
            raise flight.refusal(topics)

    def _on_answer(self, identifier: int, code: int, words: str) -> None:
        if self._flight is not None:
            self._flight.answered(identifier, code, words)

    async def close(self) -> None:
        """Disconnect. Idempotent."""
        connection, self._connection = self._connection, None
        self._flight = None
        if connection is not None:
            self._distance.keep(connection.failure)
            await connection.close()
