"""``websocket``: records sent to a WebSocket server, one a message."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar, Self

from pydantic import model_validator

from connectors.http.answers import excerpt
from connectors.websocket.client import Client, ClientConfig, Connection
from connectors.websocket.messages import Outgoing, to_json
from router import Batch, Expression, NotConnected, Variables, WriteError

_log = logging.getLogger(__name__)

_LARGEST_HEARD = 2**20


class WebSocketSinkConfig(Outgoing, ClientConfig):
    """The settings of the sink ``websocket``."""

    flush: bool = True
    """Whether a write waits until the server has read all of it, as far as its answer to a ping tells. `false`: until
    the system has taken it, for servers that do not answer pings as they should."""
    confirm: Annotated[Expression, Variables("message")] | None = None
    """CEL that reads from each message of the server what became of the next record, for servers that answer every one
    in turn: `message.result == "ok"`. True: it is written; false: it becomes a dead letter; null, and a message
    without what the expression selects, say nothing. `message` is its JSON, or a text where it is none."""

    @model_validator(mode="after")
    def _confirms_records(self) -> Self:
        if self.confirm is not None and self.framing is not None:
            raise ValueError("confirm should not stand beside framing: an answer tells of one record")
        return self


class WebSocketSink:
    """Sends records to a WebSocket server.

    **Records** go out in order, each as one message, text or binary as `message` says, or several in one (`framing`).
    What the server sends is read and ignored, unless `confirm` reads it.

    **Guarantee**: at least once, as far as the server's WebSocket layer. WebSocket has no acknowledgement, so a write
    sends a ping behind its records and waits for the pong: a server answers pings in turn, so it has read everything
    before it. Whether its application has done anything with the records, nobody can tell. With `flush: false` a record
    counts as written when the operating system has taken it: what is on its way when the connection ends is lost, up to
    the size of its buffers. With `confirm`, a record is written when the server has said so.

    **Away**: a server that cannot be reached, refuses the handshake, closes the connection, or does not answer a ping
    is `NotConnected`, with its code and reason. The batch that was being written is written again, whole: the server
    may get a part of it twice. A record that makes the server close the connection each time (1009, message too big,
    for one) is found and becomes a dead letter. Redirects are not followed.
    """

    Config: ClassVar[type[WebSocketSinkConfig]] = WebSocketSinkConfig
    example: ClassVar[str] = """\
sinks:
  ticker:
    type: websocket
    url: wss://ticker.example.org/in
    tls: {ca: tls/ca.pem, cert: tls/client.pem, key: tls/client.key}  # mutual TLS
"""

    def __init__(self, config: WebSocketSinkConfig) -> None:
        self._config = config
        self._wrapper = config.wrapper()
        self._client = Client(config, max_message=_LARGEST_HEARD)
        self._connection: Connection | None = None
        self._answers: list[str] = []
        self._change = asyncio.Event()

    async def open(self) -> None:
        """Connect. Raises NotConnected."""
        self._connection = await self._client.connect(self._hear, self._change.set)

    async def write(self, batch: Batch) -> None:
        """Send the records, in order. Raises WriteError for those that cannot be sent or that the server refuses,
        NotConnected. When cancelled, a part of the batch may have been sent."""
        connection = self._connection
        if connection is None:
            raise NotConnected("the sink is not open")
        failed = self._wrapper.check(batch.values)
        sent = [index for index in range(len(batch)) if index not in failed]
        self._answers.clear()
        await connection.send(self._wrapper.wrap([batch.values[index] for index in sent] if failed else batch.values))
        if self._config.confirm is not None:
            failed |= await self._answered(connection, sent, failed)
        elif self._config.flush:
            await connection.confirm()
        if failed:
            raise WriteError(failed, retryable=False)

    async def _answered(self, connection: Connection, sent: Sequence[int], unsent: Iterable[int]) -> dict[int, str]:
        """Wait for the answers to these records; of those that were refused, the reason. Raises NotConnected."""
        while len(self._answers) < len(sent):
            if connection.failure is not None:
                written = {index for index, why in zip(sent, self._answers, strict=False) if not why}
                raise NotConnected(str(connection.failure), unwritten={*unsent, *sent} - written)
            self._change.clear()
            await self._change.wait()
        return {index: why for index, why in zip(sent, self._answers, strict=False) if why}

    def _hear(self, payload: bytes, is_binary: bool) -> None:  # noqa: ARG002 - whatever it came as
        if self._config.confirm is None:
            return
        try:
            said = self._config.confirm.evaluate({"message": to_json(payload)})
        except LookupError:
            return
        except ValueError as error:
            _log.warning("an answer of %s cannot be read: %s (confirm)", self._config.shown, error)
            return
        if said is not None:
            self._answers.append("" if said is True else f"the server refused it: {excerpt(payload)}")
            self._change.set()

    async def close(self) -> None:
        """Disconnect. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
