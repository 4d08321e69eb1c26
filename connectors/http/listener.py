"""What listens: one socket for all sources with the same address, each of which has a path of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from connectors.http.reply import Refusal, reply, stopping
from router import NotConnected, ServerTls, split_address

if TYPE_CHECKING:
    from aiohttp import web

    Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)
_server_log = logging.getLogger(f"{__name__}.server")

_KEEPALIVE_SECONDS = 75.0  # longer than load balancers keep an idle connection, so that they close it and not we
_LINGER_SECONDS = 5.0  # for a client that is still sending a refused body, so that it sees the answer
_SHUTDOWN_SECONDS = 2.0  # for clients that do not take their last answer

_FULL = (
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b'Content-Length: 35\r\n\r\n{"error": "too many connections"}\r\n'
)


@dataclass(frozen=True)
class Terms:
    """What all sources with the same address must agree on: TLS, and how many connections there may be at once."""

    tls: ServerTls | None
    connections: int


class Listener:
    """A socket that listens while any source has joined it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._terms: Terms | None = None
        self._paths: dict[str, Handler | None] = {}
        self._runner: web.ServerRunner | None = None
        self._lock = asyncio.Lock()  # one join or leave after the other

    @property
    def base_url(self) -> str:
        """Where it listens, with the port that was really taken; empty when it does not."""
        if self._runner is None or self._terms is None or not self._runner.addresses:
            return ""
        port = self._runner.addresses[0][1]
        return f"{'http' if self._terms.tls is None else 'https'}://{self.address.rpartition(':')[0]}:{port}"

    async def join(self, path: str, handler: Handler, terms: Terms, folder: Path) -> None:
        """Have requests to a path handled. Raises NotConnected when the address cannot be listened on, or others on it
        have the path already or other terms."""
        async with self._lock:
            if self._paths.get(path) is not None:
                raise NotConnected(f"another source has the path {path} on {self.address} already")
            if self._runner is None:
                await self._start(terms, folder)
            elif terms != self._terms:
                raise NotConnected(f"another source on {self.address} has other settings of tls or connections")
            self._paths[path] = handler

    async def leave(self, path: str) -> None:
        """Answer 503 to what comes for a path, and stop listening when it was the last one."""
        self._paths[path] = None
        async with self._lock:
            if self._runner is None or any(self._paths.values()):
                return
            runner, self._runner = self._runner, None
            await runner.cleanup()
            self._paths.clear()

    async def _start(self, terms: Terms, folder: Path) -> None:
        from aiohttp import web

        host, port = split_address(self.address)
        context = None if terms.tls is None else terms.tls.context(folder)
        _server_log.addFilter(_is_ours)
        runner = web.ServerRunner(_server(self._handle, terms.connections), shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, ssl_context=context).start()
            self._runner, self._terms = runner, terms
        except OSError as error:
            raise NotConnected(f"{self.address} cannot be listened on: {error.strerror or error}") from error
        finally:
            if self._runner is None:
                await runner.cleanup()

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """Pass a request on to whom its path belongs."""
        handler = self._paths.get(http.raw_path, _handle_nothing)
        if handler is _handle_nothing:
            handler = self._paths.get(http.path, _handle_nothing)
        return reply(stopping()) if handler is None else await handler(http)


async def _handle_nothing(_: web.BaseRequest) -> web.StreamResponse:
    return reply(Refusal(404, "there is nothing here"))


def _server(handler: Handler, most: int) -> web.Server:
    """A server that takes so many connections at once; others are answered 429 and closed."""
    from aiohttp import web

    class Server(web.Server):
        open = 0

        def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
            super().connection_made(handler, transport)
            self.open += 1
            if self.open > most:
                transport.write(_FULL)
                handler.force_close()

        def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
            super().connection_lost(handler, exc)
            self.open -= 1

    return Server(
        handler,
        access_log=None,  # no log line per request
        logger=_server_log,
        auto_decompress=False,
        keepalive_timeout=_KEEPALIVE_SECONDS,
        lingering_time=_LINGER_SECONDS,
    )


def _is_ours(line: logging.LogRecord) -> bool:
    """Whether a log line of the server is about us: what is wrong with a request is said in its answer alone."""
    from aiohttp.http_exceptions import HttpProcessingError

    return not (line.exc_info and isinstance(line.exc_info[1], HttpProcessingError))


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Listener]] = WeakKeyDictionary()


def listener(address: str) -> Listener:
    """The listener of an address, for all who name it in the same words; for port 0 one of its own each time."""
    if not split_address(address)[1]:
        return Listener(address)
    return _shared.setdefault(asyncio.get_running_loop(), {}).setdefault(address, Listener(address))
