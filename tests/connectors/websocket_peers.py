"""WebSocket servers for tests, over real sockets: one of aiohttp, and one of an implementation that shares no code with
it, so that not only aiohttp talks to itself."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import aiohttp
import websockets
from aiohttp import web

Kind = Literal["aiohttp", "websockets"]
KINDS: tuple[Kind, ...] = ("aiohttp", "websockets")
Message = str | bytes


class Peer(Protocol):
    """One connection, as the server sees it."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Those of the opening request."""

    async def send(self, message: Message) -> None:
        """Send a message."""

    async def receive(self) -> Message:
        """The next message. Raises EOFError when there will be none."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, and wait for the other side to do so."""

    def abort(self) -> None:
        """Break off, without a word."""


Talk = Callable[[Peer], Awaitable[None]]


@dataclass(eq=False)
class Server:
    """A server that is up; ``url`` reaches it."""

    url: str
    peers: list[Peer] = field(default_factory=list)
    """Every connection so far."""

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rsplit(":", 1)[1].split("/", 1)[0])


@contextlib.asynccontextmanager
async def server(
    kind: Kind, talk: Talk, *, port: int = 0, tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[Server]:
    """A server that talks so to each client; ``options`` are those of the implementation."""
    begin = _aiohttp if kind == "aiohttp" else _websockets
    async with begin(talk, port, tls, options) as found:
        yield found


async def idle(peer: Peer) -> None:
    """Keep a connection open until the other side ends it."""
    with contextlib.suppress(EOFError):
        while True:
            await peer.receive()


class _AiohttpPeer:
    def __init__(self, request: web.Request, websocket: web.WebSocketResponse) -> None:
        self.headers: Mapping[str, str] = request.headers
        self._request = request
        self._websocket = websocket

    async def send(self, message: Message) -> None:
        if isinstance(message, str):
            await self._websocket.send_str(message)
        else:
            await self._websocket.send_bytes(message)

    async def receive(self) -> Message:
        message = await self._websocket.receive()
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            data: Message = message.data
            return data
        raise EOFError(self._websocket.close_code)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._websocket.close(code=code, message=reason.encode())

    def abort(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()


@contextlib.asynccontextmanager
async def _aiohttp(
    talk: Talk, port: int, tls: ssl.SSLContext | None, options: Mapping[str, Any]
) -> AsyncIterator[Server]:
    found = Server("")

    async def handle(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(**options)
        await websocket.prepare(request)
        peer = _AiohttpPeer(request, websocket)
        found.peers.append(peer)
        await talk(peer)
        return websocket

    app = web.Application()
    app.router.add_get("/feed", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
    found.url = f"{'ws' if tls is None else 'wss'}://127.0.0.1:{runner.addresses[0][1]}/feed"
    try:
        yield found
    finally:
        await runner.cleanup()


class _WebsocketsPeer:
    def __init__(self, connection: websockets.ServerConnection) -> None:
        assert connection.request is not None
        self.headers: Mapping[str, str] = connection.request.headers
        self._connection = connection

    async def send(self, message: Message) -> None:
        await self._connection.send(message)

    async def receive(self) -> Message:
        try:
            return await self._connection.recv()
        except websockets.ConnectionClosed as error:
            raise EOFError(self._connection.close_code) from error

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._connection.close(code, reason)

    def abort(self) -> None:
        self._connection.transport.abort()


@contextlib.asynccontextmanager
async def _websockets(
    talk: Talk, port: int, tls: ssl.SSLContext | None, options: Mapping[str, Any]
) -> AsyncIterator[Server]:
    found = Server("")

    async def handle(connection: websockets.ServerConnection) -> None:
        peer = _WebsocketsPeer(connection)
        found.peers.append(peer)
        with contextlib.suppress(websockets.ConnectionClosed):
            await talk(peer)

    async with websockets.serve(handle, "127.0.0.1", port, ssl=tls, **options) as serving:
        port = next(iter(serving.sockets)).getsockname()[1]
        found.url = f"{'ws' if tls is None else 'wss'}://127.0.0.1:{port}/feed"
        yield found


async def until(condition: Callable[[], Any]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.005)
