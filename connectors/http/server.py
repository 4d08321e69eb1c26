"""The HTTP server under the source: connections in bounded number, and one way to answer what is no HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from connectors.http.reply import Refusal, reply

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)

_KEEPALIVE_SECONDS = 75.0  # longer than load balancers keep an idle connection, so that they close it and not we
_LINGER_SECONDS = 5.0  # for a client that is still sending a refused body, so that it sees the answer

_FULL = (
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b'Content-Length: 33\r\n\r\n{"error": "too many connections"}'
)


class Server(web.Server):
    """A server that takes so many connections at once; one more is answered 429 and closed."""

    def __init__(self, handler: Handler, connections: int) -> None:
        super().__init__(handler)
        self._most = connections
        self._open = 0

    def __call__(self) -> web.RequestHandler:
        """A new connection."""
        return Connection(
            self,
            self,
            loop=asyncio.get_running_loop(),
            access_log=None,  # no log line per request
            logger=_log,
            auto_decompress=False,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            lingering_time=_LINGER_SECONDS,
        )

    @property
    def is_full(self) -> bool:
        """Whether there are as many connections as there may be."""
        return self._open >= self._most

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Count it."""
        super().connection_made(handler, transport)
        self._open += 1

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Count it no longer."""
        super().connection_lost(handler, exc)
        self._open -= 1


class Connection(web.RequestHandler):
    """A connection on which what is wrong with a request is said in its answer, and logged nowhere."""

    __slots__ = ("_refused", "_server")

    def __init__(self, server: Server, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._server = server
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take it, or answer that there are too many; then nothing that comes on it is looked at."""
        self._refused = self._server.is_full
        if not self._refused:
            super().connection_made(transport)
        elif isinstance(transport, asyncio.WriteTransport):
            transport.write(_FULL)
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Take in what comes."""
        if not self._refused:
            super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Nobody answers any more to what came last, and was no HTTP."""
        if self._refused:
            return
        for message, _ in self._messages:
            _forget_frames(getattr(message, "exc", None))
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no HTTP, or to what we did wrong."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        _forget_frames(exc)
        return reply(Refusal(status, message or "this is not HTTP", close=True))


def _forget_frames(error: BaseException | None) -> None:
    """A traceback holds all that was received, in a cycle that only the garbage collector finds, much later."""
    while error is not None:
        error.__traceback__ = None
        error = error.__context__
