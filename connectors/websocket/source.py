"""``websocket``: records that a WebSocket server sends, one a message."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from connectors.websocket.client import Client, ClientConfig, Closed, Connection
from connectors.websocket.messages import TEXT, Message, to_json, to_text
from router import (
    Batch,
    Duration,
    EndOfStream,
    Expression,
    FramingSetting,
    Lag,
    NotConnected,
    Settings,
    Size,
    Variables,
    framing_of,
)

_log = logging.getLogger(__name__)

BATCH_RECORDS = 1000
BATCH_BYTES = 2**20
"""Messages that wait are gathered up to these; a larger one is a batch of its own."""


_Record = tuple[bytes, bool, int, str | None, Mapping[str, object]]
"""A payload, whether its message was binary, when it came, what is wrong with it, and what its message says of it."""
_NOTHING: Mapping[str, object] = {}


class Waiting(Settings):
    """How much may be received and not yet read by the flow."""

    records: Annotated[int, Field(gt=0)] = 10_000
    """Records; a message that goes over it is taken all the same, and none after it."""
    bytes: Annotated[Size, Field(gt=0)] = 16 * 2**20
    """Bytes of records, likewise."""


class WebSocketSourceConfig(ClientConfig):
    """The settings of the source ``websocket``."""

    framing: FramingSetting | None = None
    """How the records in one message are told apart: `newline`, `length`, ... Without it each message is a record; in
    CSV, it may be several rows."""
    max_message: Annotated[Size, Field(gt=0, le=2**30)] = 16 * 2**20
    """The largest message, also once it is unpacked. A server that sends a larger one is disconnected (1009), and not
    connected to again before `hold_off`: the message itself is lost."""
    pending: Waiting = Waiting()
    """How much may be received and not yet read by the flow. When it is full, nothing is read from the socket."""
    ack: Annotated[Expression, Variables("message")] | None = None
    """CEL that makes of each message what tells the server that it is delivered, for servers that send again what they
    were not told of: `{"messageId": message.messageId}`. `message` is its JSON, or a text where it is none. A text is
    sent as it is, anything else as JSON; nothing for a message without what the expression selects, or for null."""
    hold_off: Annotated[Duration, Field(gt=0)] = 30.0
    """How long to stay away from a server that closed the connection in a way that says not to come back."""

    @model_validator(mode="after")
    def _acknowledges_messages(self) -> Self:
        if self.ack is not None and self.framing is not None:
            raise ValueError("ack should not stand beside framing: it tells of whole messages")
        return self


class WebSocketSource:
    """Records that a WebSocket server sends.

    **Records** are the messages, text or binary, each whole, however it was cut into frames; with `framing`, each holds
    any number of them, and one that cannot be read is a dead letter. Rules see `meta.binary` (whether it was a binary
    message) and `meta.time` (when it came).

    **Guarantee**: at most once when the process is killed, since a WebSocket cannot be read again. As long as the
    process runs, nothing is lost that was received: it survives the end of the connection, and a stop, which tells
    the server first (1001) and takes in what is on its way until the server closes, too, for 2 s at most. What a
    server sends while nobody is connected is not received. With `ack`, at least once, as far as the server sends again
    what it was not told of. The token is a number.

    **Order** is that of the messages.

    **Lag** is what was received and is not acknowledged, in records, bytes, and the age of the oldest.

    **Backpressure**: when `pending` is full nothing is read from the socket, so that TCP holds the server up. Until
    there is room, its pings are not answered, and a server may close the connection for that.

    **Away**: a server that cannot be reached, refuses the handshake, closes the connection, or does not answer a ping
    is `NotConnected`, with its code and reason. After a code that says not to come back (1002, 1003, 1007 to 1010,
    3000, 3003, 4000 to 4999) the next attempt is made when `hold_off` is over. Redirects are not followed.
    """

    Config: ClassVar[type[WebSocketSourceConfig]] = WebSocketSourceConfig
    replays: ClassVar[bool] = False
    ack_order: ClassVar[Literal["read", "any"]] = "read"
    example: ClassVar[str] = """\
sources:
  trades:
    type: websocket
    url: wss://feed.example.org/v2
    auth: {bearer: "${env:FEED_TOKEN:-none}"}
    open_messages:
      - {op: subscribe, channel: trades}
"""

    def __init__(self, config: WebSocketSourceConfig) -> None:
        self._config = config
        self._framing = None
        # What is acknowledged is whole messages, so that with `ack` each is one record whatever its format.
        if config.framing is not None or (config.context.format.type == "csv" and config.ack is None):
            self._framing = framing_of(config.framing, config.context.format)
        self._client = Client(config, max_message=config.max_message)
        self._connection: Connection | None = None
        # Outlives connections: what was received before one ended comes all the same.
        self._waiting: deque[_Record] = deque()
        self._bytes = 0
        self._read = 0
        self._unsettled: deque[Batch] = deque()
        self._change = asyncio.Event()
        self._room = asyncio.Event()
        self._is_finishing = False
        self._stay_away = (0.0, "")
        vars(self).update(replays=config.ack is not None)

    async def open(self) -> None:
        """Connect. Raises NotConnected, for ``hold_off`` too after the server said not to come back."""
        until, why = self._stay_away
        if time.monotonic() < until:
            raise NotConnected(f"{why}; connecting again after {self._config.hold_off:g} s")
        self._is_finishing = False
        self._connection = await self._client.connect(self._take, self._change.set)

    async def read(self) -> Batch:
        """What has come. Raises EndOfStream after ``finish()``, NotConnected. A cancelled call has taken nothing."""
        while not self._waiting or (self._is_finishing and self.replays):
            self._check_connection()
            self._change.clear()
            await self._change.wait()
        return self._gather()

    async def ack(self, token: Any) -> None:
        """Tell the server, if it wants to be told. Raises NotConnected when it cannot be told."""
        if self._unsettled and self._unsettled[0].token == token:
            batch = self._unsettled.popleft()
            if self._config.ack is not None and self._connection is not None:
                await self._tell(self._connection, self._config.ack, batch)

    async def lag(self) -> Sequence[Lag]:
        """What was received and is not acknowledged."""
        records = len(self._waiting) + sum(map(len, self._unsettled))
        size = self._bytes + sum(batch.bytes for batch in self._unsettled)
        return [Lag(self._config.shown, records=records, seconds=self._age(), bytes=size)]

    async def finish(self) -> None:
        """Have the server end the connection, and take in what is on its way; then ``read()`` ends the stream. One that
        is told what is delivered sends the rest again: nothing more is read then."""
        self._is_finishing = True
        self._change.set()
        if self._connection is not None and not self.replays:
            await self._connection.close()

    async def close(self) -> None:
        """Disconnect. What was received and not read, or comes while the server closes, is for the next ``open()``,
        unless the server sends it again."""
        connection, self._connection = self._connection, None
        self._unsettled.clear()
        if connection is not None:
            await connection.close()
        if self.replays:
            self._waiting.clear()
            self._bytes = 0
            self._room.set()

    def _check_connection(self) -> None:
        """Raise why nothing more comes, if nothing does."""
        failure = NotConnected("the source is not open") if self._connection is None else self._connection.failure
        if self._is_finishing and (failure is not None or self.replays):
            raise EndOfStream
        if failure is None:
            return
        if isinstance(failure, Closed) and failure.unwelcome:
            self._stay_away = (time.monotonic() + self._config.hold_off, str(failure))
        raise failure

    async def _tell(self, connection: Connection, ack: Expression, batch: Batch) -> None:
        limit = self._config.connect_timeout
        try:
            async with asyncio.timeout(limit):
                await connection.send(_acknowledgements(ack, batch.values))
        except TimeoutError as error:
            why = f"{self._config.shown}: an acknowledgement could not be sent within {limit:g} s"
            raise NotConnected(why) from error

    def _take(self, value: bytes, is_binary: bool) -> Awaitable[None] | None:
        now = time.time_ns()
        if self._framing is None:
            self._waiting.append((value, is_binary, now, None, _NOTHING))
            self._bytes += len(value)
        else:
            framed = self._framing.cut(value, self._config.max_message)
            self._waiting.extend(
                (value, is_binary, now, framed.spoiled.get(index), framed.known)
                for index, value in enumerate(framed.values)
            )
            self._bytes += sum(map(len, framed.values))
        self._change.set()
        return None if self._has_room() else self._wait_for_room()

    def _has_room(self) -> bool:
        return len(self._waiting) < self._config.pending.records and self._bytes < self._config.pending.bytes

    async def _wait_for_room(self) -> None:
        while not self._has_room():
            self._room.clear()
            await self._room.wait()

    def _gather(self) -> Batch:
        taken: list[_Record] = []
        size = 0
        while self._waiting and len(taken) < BATCH_RECORDS:
            length = len(self._waiting[0][0])
            if taken and size + length > BATCH_BYTES:
                break
            taken.append(self._waiting.popleft())
            size += length
        self._bytes -= size
        self._room.set()
        self._read += 1
        batch = _batch(taken, self._read)
        self._unsettled.append(batch)
        return batch

    def _age(self) -> float:
        """Seconds since the oldest message came that is not acknowledged."""
        if self._unsettled:
            times = self._unsettled[0].times
            oldest = times[0] if times else None
        else:
            oldest = self._waiting[0][2] if self._waiting else None
        return 0.0 if oldest is None else max(0.0, (time.time_ns() - oldest) / 1e9)


def _batch(records: Sequence[_Record], token: int) -> Batch:
    known = [record[4] for record in records]
    attributes: dict[str, Sequence[object]] = {"binary": [record[1] for record in records]}
    for name in {name for one in known if one for name in one}:
        attributes[name] = [one.get(name) for one in known]
    return Batch(
        [record[0] for record in records],
        token=token,
        times=[record[2] for record in records],
        attributes=attributes,
        spoiled={index: record[3] for index, record in enumerate(records) if record[3] is not None},
    )


def _acknowledgements(ack: Expression, values: Sequence[bytes]) -> Iterator[Message]:
    for value in values:
        try:
            said = ack.evaluate({"message": to_json(value)})
        except LookupError:
            continue  # it has nothing to be told of
        except ValueError as error:
            _log.warning("a message cannot be acknowledged: %s (ack)", error)
            continue
        if said is not None:
            yield to_text(said), TEXT
