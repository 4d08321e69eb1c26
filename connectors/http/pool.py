"""aiohttp's pool of connections, without those on which a server has said something that nobody asked."""

from __future__ import annotations

from typing import Any

from aiohttp import TCPConnector


class Pool(TCPConnector):
    """A connection on which more came than the answers to what was asked is not used again.

    What comes so is no answer to the next request (RFC 9112, section 6.3), for which aiohttp would take it: it looks at
    what has come when it puts a connection back, and not when it takes it out again.
    """

    async def _get(self, key: Any, traces: Any) -> Any:
        for protocol, _ in self._conns.get(key, ()):
            if protocol.should_close:
                protocol.close()  # which aiohttp sees
        return await super()._get(key, traces)
