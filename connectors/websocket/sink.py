"""``websocket``: records sent to a WebSocket server, one a message."""

from __future__ import annotations

from typing import ClassVar

from connectors.websocket.client import Client, ClientConfig, Connection
from connectors.websocket.messages import Outgoing
from router import Batch, NotConnected, WriteError

_LARGEST_HEARD = 2**20


class WebSocketSinkConfig(ClientConfig, Outgoing):
    """The settings of the sink ``websocket``."""

    flush: bool = True
    """Whether a write waits until the server has read all of it, as far as its answer to a ping tells. `false`: until
    the system has taken it, for servers that do not answer pings as they should."""


class WebSocketSink:
    """Sends records to a WebSocket server.

    **Records** go out in order, each as one message, text or binary as `message` says, or several in one (`framing`).
    What the server sends is read and ignored.

    **Guarantee**: at least once, as far as the server's WebSocket layer. WebSocket has no acknowledgement, so a write
    sends a ping behind its records and waits for the pong: a server answers pings in turn, so it has read everything
    before it. Whether its application has done anything with the records, nobody can tell. With `flush: false` a record
    counts as written when the operating system has taken it: what is on its way when the connection ends is lost, up to
    the size of its buffers.

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

    async def open(self) -> None:
        """Connect. Raises NotConnected."""
        self._connection = await self._client.connect(_ignore, _ignore)

    async def write(self, batch: Batch) -> None:
        """Send the records, in order. Raises WriteError for those that cannot be sent, NotConnected. When cancelled, a
        part of the batch may have been sent."""
        connection = self._connection
        if connection is None:
            raise NotConnected("the sink is not open")
        failed = self._wrapper.check(batch.values)
        values = [value for i, value in enumerate(batch.values) if i not in failed] if failed else batch.values
        await connection.send(self._wrapper.wrap(values))
        if self._config.flush:
            await connection.confirm()
        if failed:
            raise WriteError(failed, retryable=False)

    async def close(self) -> None:
        """Disconnect. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _ignore(*_: object) -> None:
    """What the server says is for nobody."""
