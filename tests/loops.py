"""The loop that a test runs in."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any


class ClosingLoop(asyncio.SelectorEventLoop):
    """One that leaves no closed connection half open.

    Many close connections without waiting until they are. With TLS that takes an answer of the peer, and a loop
    that ends before it comes leaves the socket open: a ResourceWarning in whichever test runs when it is collected.
    """

    def __init__(self) -> None:
        super().__init__()
        self._connections: weakref.WeakSet[asyncio.BaseTransport] = weakref.WeakSet()

    def _make_ssl_transport(self, *args: Any, **kwargs: Any) -> asyncio.BaseTransport:
        """Of connections made and of those accepted; asyncio offers no other place where both can be seen."""
        transport: asyncio.BaseTransport = super()._make_ssl_transport(*args, **kwargs)  # type: ignore[misc]  # unlisted
        self._connections.add(transport)
        return transport

    def close(self) -> None:
        """Cut off the connections that were closed by this side alone, and end. Those that nobody closed are left as
        they are, so that a test is told of them."""
        closed = [found for found in self._connections if found.is_closing()]
        if closed and not self.is_closed():
            self.run_until_complete(_cut_off(closed))
        super().close()


async def _cut_off(connections: list[asyncio.BaseTransport]) -> None:
    for transport in connections:
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()
    await asyncio.sleep(0)  # in which their sockets are closed
    await asyncio.sleep(0)
