"""The source ``mqtt``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from msgspec import Struct
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions
from pydantic import BeforeValidator, Field, model_validator

from connectors.mqtt.connection import FAILED, Connection, Distance, Listener, Message
from connectors.mqtt.settings import INSTEAD_OF_2, LONGEST_WAIT, ClientSettings, QoS
from connectors.mqtt.topics import TopicFilter
from router import Batch, Constant, Duration, EndOfStream, Lag, NotConnected, Settings, Size

_log = logging.getLogger(__name__)

BATCH_RECORDS: Final = 10_000
BATCH_BYTES: Final = 1 << 20
"""Messages that wait are gathered up to these; a larger one is a batch of its own."""

Retained = Literal["new", "always", "never"]
_HANDLING: Final[Mapping[str, int]] = {"always": 0, "new": 1, "never": 2}
"""Retain Handling (MQTT 5, 3.8.3.1)."""


class Subscription(Settings):
    """A filter, and how what it matches comes."""

    topic: TopicFilter
    """Which topics: `+` stands for one level, `#` for all that follow, `$share/GROUP/FILTER` shares the messages among
    all that subscribe with the same group."""
    qos: QoS | None = None
    """The highest QoS in which messages come; without it, that of the source."""
    retained: Retained | None = None
    """As `retained` of the source, for this filter."""


def _as_mapping(entry: Any) -> Any:
    return {"topic": entry} if isinstance(entry, str) else entry


class Waiting(Settings):
    """How much may be received and not yet read by the flow."""

    records: Annotated[int, Field(gt=0)] = 10_000
    """Messages."""
    bytes: Annotated[Size, Field(gt=0)] = 16 * 2**20
    """Bytes of payload; a message that goes over it is taken all the same, and none after it."""


class MqttSourceConfig(ClientSettings):
    """The settings of the source ``mqtt``."""

    topics: Annotated[
        tuple[Annotated[Subscription, BeforeValidator(_as_mapping, json_schema_input_type=str | Subscription)], ...],
        Field(min_length=1),
    ]
    """What to subscribe to: filters such as `sensors/+/temperature`, or mappings such as `{topic: alarms/#, qos: 0}`.
    What is taken out of here is unsubscribed from."""
    qos: QoS = 1
    """The highest QoS in which messages come. One that was published with a lower QoS comes with that."""
    retained: Retained = "new"
    """Whether messages come that the broker has retained: `new`, when a filter is new to the session (in version 3.1.1,
    also when the router starts); `always`, each time that the source connects; `never`."""
    session_expiry: Annotated[Duration, Field(le=LONGEST_WAIT)] = 86_400.0
    """How long the broker keeps the session while we are away, and with it what comes meanwhile. `0`: not at all. In
    version 3.1.1 anything else means as long as the broker likes."""
    clean_start: bool = False
    """Have the broker forget, when the router starts, what it has kept for us. Version 5 alone."""
    receive_maximum: Annotated[int, Field(ge=1, le=65_535)] = 1000
    """How many messages of QoS 1 and 2 may have come and not be acknowledged; the broker keeps the others. Version 5
    alone: in 3.1.1 the broker decides (Mosquitto by `max_inflight_messages`, 20 by default)."""
    pending: Waiting = Waiting()
    """How much may be received and not yet read by the flow. When it is full, nothing is read from the socket."""

    @property
    def subscriptions(self) -> list[tuple[str, int, Retained]]:
        """Each filter with its QoS and what comes of retained messages."""
        return [
            (entry.topic, self.qos if entry.qos is None else entry.qos, entry.retained or self.retained)
            for entry in self.topics
        ]

    @property
    def levels(self) -> set[int]:
        """Every QoS that is subscribed with."""
        return {qos for _, qos, _ in self.subscriptions}

    @property
    def keeps_session(self) -> bool:
        """Whether the broker keeps what is not acknowledged when the connection ends."""
        return bool(self.session_expiry) and self.levels != {0}

    def advice(self) -> Mapping[str, tuple[str, str]]:
        """QoS 2 is not what it seems."""
        if 2 not in self.levels:
            return {}
        what = "QoS 2 promises less than QoS 1 here: what is not delivered when the router dies is lost"
        return {"qos" if self.qos == 2 else "topics": (what, INSTEAD_OF_2)}

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        filters = [entry.topic for entry in self.topics]
        for topic in filters:
            if filters.count(topic) > 1:
                raise ValueError(f"topics should hold {topic} once")
        if self.keeps_session and self.client_id is None:
            raise ValueError(
                "client_id is missing: by it the broker knows what is not delivered yet (or say `qos: 0`, or "
                "`session_expiry: 0`, if it may be lost)"
            )
        if not self.is_v5 and self.clean_start:
            raise ValueError(
                "clean_start should stand beside `version: 5`; in 3.1.1, `session_expiry: 0` keeps nothing"
            )
        if not self.is_v5 and any(retained == "never" for _, _, retained in self.subscriptions):
            raise ValueError("retained: never should stand beside `version: 5`; a rule may drop what is meta.retained")
        return self


class _Token(Struct, eq=False):
    """A batch that was read: what acknowledges it, on which connection, and what lag says of it."""

    connection: Connection | None
    answers: Sequence[tuple[int, int]]
    records: int
    size: int
    since: float


_Waiting = tuple[Message, float]


class MqttSource:
    """Messages from an MQTT broker, of version 5 or 3.1.1.

    **Records** are the messages, one each. Rules see `meta.topic`, `meta.qos`, `meta.retained` (whether the broker had
    kept it for new subscribers), and, where the publisher said so, `meta.content_type`, `meta.response_topic`,
    `meta.correlation_data` and `meta.message_expiry` (seconds that are left). User properties are `meta.headers`.

    **Guarantee**: at least once for QoS 1. A message is acknowledged when it is delivered, or kept as a dead letter,
    and not before: until then the broker keeps it in the session of `client_id` and sends it again to the next
    connection, also after `kill -9`, for as long as `session_expiry` says. How much a broker keeps is its own setting
    (Mosquitto drops what is more than `max_queued_messages`, 1000 by default). For QoS 0 and QoS 2, at most once: what
    was received survives the end of a connection and a stop, but not the death of the process, since the broker does
    not send it again. That is what QoS 2 is for, so exactly once is to be had by QoS 1 and an id in each message by
    which the receiver knows repeats. A sink with `buffer: {type: disk}` makes it at least once from there on. A message
    comes with the lower of the QoS that it was published with and that of the subscription. The token is the packet
    identifiers, and good for its connection alone.

    **Order** is that in which the broker sends. What comes again comes before what is new.

    **Lag** is what was received and is not acknowledged, in records, bytes, and the age of the oldest. How much waits
    in the broker it does not tell.

    **Backpressure**: the broker sends at most `receive_maximum` messages ahead of their acknowledgements, and keeps the
    others. When `pending` is full, which in version 3.1.1 and for QoS 0 is the only bound, nothing is read from the
    socket, and TCP holds the broker up. The connection stays alive all the while.

    **Sharing**: several routers, each with its own `client_id`, that subscribe to `$share/GROUP/FILTER` get each
    message once between them. Order is then kept only within each.

    **Away**: a broker that cannot be reached, does not let us in, refuses a subscription, ends the connection or falls
    silent is `NotConnected`, with its reason. After another client has taken over the session, the source stays away
    for 10 s. Counted as `session_lost`: a session that the broker has not kept; as `qos2_lost`: a message of QoS 2 that
    an earlier connection had received and not delivered. Both are logged.
    """

    Config: ClassVar[type[MqttSourceConfig]] = MqttSourceConfig
    replays: ClassVar[bool] = True
    ack_order: ClassVar[Literal["read", "any"]] = "read"
    example: ClassVar[str] = """\
sources:
  sensors:
    type: mqtt
    broker: broker.example.org:8883
    tls: {ca: tls/ca.pem}
    client_id: sluiceway-sensors
    user: sluiceway
    password: "${env:MQTT_PASSWORD:-none}"
    topics:
      - sensors/+/temperature
      - {topic: alarms/#, retained: always}
"""

    def __init__(self, config: MqttSourceConfig) -> None:
        self._config = config
        self._connection: Connection | None = None
        self._listener = Listener(take=self._take, lost=self._on_lost, changed=self._on_change)
        # Outlives connections: what the broker does not send again comes all the same.
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._unsettled: deque[_Token] = deque()
        self._change = asyncio.Event()
        self._was_open = False
        self._is_finishing = False
        self._distance = Distance()
        self._received: set[int] = set()
        vars(self).update(replays=config.keeps_session and not config.clean_start and config.levels == {1})

    # Opening

    async def open(self) -> None:
        """Connect, go on with the session, and subscribe. Raises NotConnected."""
        self._distance.check()
        self._is_finishing = False
        connection = self._connection = Connection(
            self._config, self._listener, clean_start=self._is_clean, properties=self._properties()
        )
        await connection.open()
        known = self._remembered()
        self._look_at_session(connection, known)
        try:
            async with asyncio.timeout(self._config.connect_timeout):
                await self._subscribe(connection, known)
        except TimeoutError as error:
            why = f"{self._config.broker}: subscribing took longer than {self._config.connect_timeout:g} s"
            raise NotConnected(why) from error
        self._was_open = True

    def _look_at_session(self, connection: Connection, known: Sequence[str]) -> None:
        """Tell of a session that is not there any more, or will not be for as long as was asked."""
        config = self._config
        if not config.keeps_session:
            return
        if known and not self._is_clean and not connection.session_present:
            config.context.count("session_lost", 1)
            _log.warning("%s has no session of %s any more: what it kept is lost", config.broker, config.client_id)
        granted: int | None = getattr(connection.allows, "SessionExpiryInterval", None)
        if granted is not None and granted < round(config.session_expiry):
            _log.warning("%s keeps the session of %s for %d s alone", config.broker, config.client_id, granted)

    @property
    def _is_clean(self) -> bool:
        """Whether the session that was there is to be forgotten."""
        return not self._config.keeps_session or (self._config.clean_start and not self._was_open)

    def _properties(self) -> Properties:
        said = Properties(PacketTypes.CONNECT)
        said.ReceiveMaximum = self._config.receive_maximum
        if self._config.keeps_session:
            said.SessionExpiryInterval = max(1, round(self._config.session_expiry))
        return said

    def _remembered(self) -> list[str]:
        """The filters that the session may be subscribed to."""
        kept = self._config.context.positions.load().get(self._config.client_id or "")
        return [str(topic) for topic in kept] if isinstance(kept, list) else []

    async def _subscribe(self, connection: Connection, known: Sequence[str]) -> None:
        """Have the session hold these subscriptions and no others."""
        config = self._config
        wanted = [topic for topic, _, _ in config.subscriptions]
        if config.keeps_session and not set(wanted) <= set(known):
            await self._remember(sorted({*known, *wanted}))
        # In 3.1.1 each subscribing brings the retained messages.
        is_there = self._was_open and connection.session_present
        if config.is_v5 or not is_there or any(retained == "always" for _, _, retained in config.subscriptions):
            self._judge(await connection.subscribe_to([_asked(*entry) for entry in config.subscriptions]))
        gone = [topic for topic in known if topic not in wanted]
        if gone and connection.session_present:
            await connection.unsubscribe_from(gone)
        if config.keeps_session and gone:
            await self._remember(wanted)

    async def _remember(self, topics: Sequence[str]) -> None:
        await self._config.context.positions.save({str(self._config.client_id): list(topics)})

    def _judge(self, codes: Sequence[int]) -> None:
        """Raise NotConnected for subscriptions that the broker refuses; tell of those that it grants in part."""
        for (topic, wanted, _), code in zip(self._config.subscriptions, codes, strict=False):
            if code >= FAILED:
                words = ReasonCode(PacketTypes.SUBACK, identifier=code)
                raise NotConnected(f"{self._config.broker} refuses the subscription to {topic}: {words}")
            if code < wanted:
                _log.warning("%s grants QoS %d for %s, not %d", self._config.broker, code, topic, wanted)

    # Reading

    def _take(self, message: Message) -> None:
        self._waiting.append((message, time.time()))
        self._bytes += len(message.payload)
        if message.qos == 2:
            self._received.discard(message.identifier)  # which means this one from now on
        if not self._has_room:
            self._pause()

    @property
    def _has_room(self) -> bool:
        return len(self._waiting) < self._config.pending.records and self._bytes < self._config.pending.bytes

    def _pause(self) -> None:
        if self._connection is not None:
            self._connection.pause()

    def _on_change(self) -> None:
        self._change.set()

    def _on_lost(self, identifier: int) -> None:
        if identifier in self._received:
            return  # by this process, which has it still
        self._config.context.count("qos2_lost", 1)
        _log.warning(
            "%s: a message of QoS 2 is lost with the connection that had received it; QoS 1 would have it sent again",
            self._config.broker,
        )

    async def read(self) -> Batch:
        """What has come. Raises EndOfStream after ``finish()``, NotConnected. A cancelled call has taken nothing."""
        while True:
            connection = self._connection
            failure = NotConnected("the source is not open") if connection is None else connection.failure
            if failure is not None:
                self._forget_what_comes_again()
            if self._waiting and not (self._is_finishing and self.replays):
                return self._gather()
            if self._is_finishing:
                raise EndOfStream
            if failure is not None:
                raise failure
            self._change.clear()
            await self._change.wait()

    def _forget_what_comes_again(self) -> None:
        """What the broker keeps is sent again to the next connection. The rest is not, and what it is to be answered by
        means nothing there."""
        if self._config.keeps_session:
            self._waiting = deque(entry for entry in self._waiting if entry[0].qos != 1)
            self._bytes = sum(len(message.payload) for message, _ in self._waiting)
        for message, _ in self._waiting:
            if message.qos == 2 and message.identifier:
                self._received.add(message.identifier)
            message.identifier = 0

    def _gather(self) -> Batch:
        taken = self._taken()
        size = sum(len(message.payload) for message, _ in taken)
        self._bytes -= size
        messages = [message for message, _ in taken]
        answers = [(message.identifier, message.qos) for message in messages if message.identifier]
        token = _Token(self._connection, answers, len(messages), size, taken[0][1])
        self._unsettled.append(token)
        if self._connection is not None and self._has_room and not self._is_finishing:
            self._connection.resume()
        return _batch(messages, token)

    def _taken(self) -> list[_Waiting]:
        """What is there, or as much of it as a batch may hold."""
        if self._bytes <= BATCH_BYTES and len(self._waiting) <= BATCH_RECORDS:
            taken = list(self._waiting)
            self._waiting.clear()
            return taken
        taken, size = [], 0
        while self._waiting and len(taken) < BATCH_RECORDS:
            size += len(self._waiting[0][0].payload)
            if taken and size > BATCH_BYTES:
                break
            taken.append(self._waiting.popleft())
        return taken

    async def ack(self, token: Any) -> None:
        """Acknowledge to the broker. Raises NotConnected where the connection that brought the batch has ended: its
        identifiers mean other messages, or none, to another one."""
        if not isinstance(token, _Token):
            raise TypeError(f"{token!r} is no token of this source")
        if token.answers:
            connection = token.connection
            if connection is None or connection is not self._connection:
                raise NotConnected("the connection on which these messages came is closed")
            connection.acknowledge(token.answers)
        if self._unsettled and self._unsettled[0] is token:
            self._unsettled.popleft()

    async def lag(self) -> Sequence[Lag]:
        """What was received and is not acknowledged."""
        records = len(self._waiting) + sum(token.records for token in self._unsettled)
        size = self._bytes + sum(token.size for token in self._unsettled)
        partition = self._config.client_id or self._config.broker
        return [Lag(partition, records=records, seconds=self._age(), bytes=size)]

    def _age(self) -> float:
        """Seconds since the oldest message came that is not acknowledged."""
        if not self._unsettled and not self._waiting:
            return 0.0
        since = self._unsettled[0].since if self._unsettled else self._waiting[0][1]
        return max(0.0, time.time() - since)

    # Ending

    async def finish(self) -> None:
        """Take nothing more in. ``read()`` gives what the broker would not send again, and ends the stream."""
        self._is_finishing = True
        self._pause()
        self._change.set()

    async def close(self) -> None:
        """Disconnect. What was received and the broker would not send again is for the next ``open()``."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._distance.keep(connection.failure)
        await connection.close()
        self._received |= {identifier for token in self._unsettled for identifier, qos in token.answers if qos == 2}
        self._unsettled.clear()
        self._forget_what_comes_again()


def _asked(topic: str, qos: int, retained: Retained) -> tuple[str, SubscribeOptions]:
    return topic, SubscribeOptions(qos=qos, retainHandling=_HANDLING[retained])


def _batch(messages: Sequence[Message], token: _Token) -> Batch:
    attributes: dict[str, Sequence[object]] = {"topic": [message.topic for message in messages]}
    attributes["qos"] = _column([message.qos for message in messages])
    attributes["retained"] = _column([message.retained for message in messages])
    headers = None
    if any(message.said for message in messages):
        said = [message.said or {} for message in messages]
        names = {name for one in said for name in one}
        attributes |= {
            name: [_readable(one.get(theirs)) for one in said]
            for name, theirs in _ATTRIBUTES.items()
            if theirs in names
        }
        if "UserProperty" in names:
            headers = [[(name, value.encode()) for name, value in one.get("UserProperty", ())] for one in said]
    return Batch(
        [message.payload for message in messages], token=token, headers=headers, attributes=attributes, size=token.size
    )


def _column(values: Sequence[object]) -> Sequence[object]:
    return Constant(values[0], len(values)) if len(set(values)) == 1 else values


def _readable(value: object) -> object:
    """Bytes as text, where they are."""
    if isinstance(value, bytes):
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode()
    return value


_ATTRIBUTES: Final[Mapping[str, str]] = {
    "content_type": "ContentType",
    "response_topic": "ResponseTopic",
    "correlation_data": "CorrelationData",
    "message_expiry": "MessageExpiryInterval",
}
