"""The WebSocket connectors keep the contract that the kit checks, with a server or subscribers at the other end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections import deque
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar

import aiohttp
from websocket_peers import Kind, Message, Peer, server, until

from connectors.kit import SinkContract, SourceContract
from connectors.websocket import WebSocketServerSink, WebSocketSink, WebSocketSource
from router import Settings


class Served:
    """A server that can go away and come back at its address."""

    kind: Kind = "websockets"

    async def start(self) -> None:
        self.port = 0
        self.exits: contextlib.AsyncExitStack | None = None
        self.outbox: deque[bytes] = deque()
        self.inbox: list[bytes] = []
        await self.come_back()

    async def stop(self) -> None:
        if self.exits is not None:
            await self.go_away()

    async def come_back(self) -> None:
        self.exits = contextlib.AsyncExitStack()
        options: dict[str, Any] = {"max_size": None} if self.kind == "websockets" else {"max_msg_size": 0}
        self.server = await self.exits.enter_async_context(server(self.kind, self.talk, port=self.port, **options))
        self.port = self.server.port

    async def go_away(self) -> None:
        assert self.exits
        for peer in self.server.peers:
            peer.abort()
        await self.exits.aclose()
        self.exits = None

    async def talk(self, peer: Peer) -> None:
        """Send what there is to be sent, and keep what comes, until the client is gone."""
        sending = asyncio.create_task(self.send(peer))
        try:
            while True:
                message = await peer.receive()
                self.hear(message if isinstance(message, bytes) else message.encode())
        except EOFError:
            pass
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await sending

    def hear(self, value: bytes) -> None:
        self.inbox.append(value)

    async def send(self, peer: Peer) -> None:
        while True:
            while self.outbox:
                value = self.outbox.popleft()
                await peer.send(_message(value))
            await asyncio.sleep(0.002)


def _message(value: bytes) -> Message:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


class TestWebSocketSource(Served, SourceContract):
    connector = WebSocketSource
    cannot = {"end": "a server goes on", "keep": "what a server sends while nobody is connected is for nobody"}

    def config(self) -> Settings:
        return WebSocketSource.Config(url=f"ws://127.0.0.1:{self.port}/feed")

    async def put(self, values: Sequence[bytes]) -> None:
        self.outbox += values


class TestWebSocketSourceOfAnotherServer(TestWebSocketSource):
    kind = "aiohttp"


class TestWebSocketSourceThatTells(TestWebSocketSource):
    """Of a server that keeps what it was not told of, and sends it again to whoever connects."""

    cannot = {"end": "a server goes on", "be binary": "what is no JSON cannot be told of"}

    def config(self) -> Settings:
        return WebSocketSource.Config.model_validate({"url": f"ws://127.0.0.1:{self.port}/feed", "ack": "message"})

    async def send(self, peer: Peer) -> None:
        """Everything that it was not told of, and then what is new."""
        sent: set[bytes] = set()
        while True:
            for value in [value for value in self.outbox if value not in sent]:
                await peer.send(value.decode())
                sent.add(value)
            await asyncio.sleep(0.002)

    def hear(self, value: bytes) -> None:
        self.outbox = deque(kept for kept in self.outbox if self.told_by(kept) != value)

    @staticmethod
    @cache
    def told_by(value: bytes) -> bytes:
        """What tells that this is delivered."""
        try:
            return json.dumps(json.loads(value), ensure_ascii=False).encode()
        except ValueError:
            return value


class TestWebSocketSink(Served, SinkContract):
    connector = WebSocketSink
    impossible: ClassVar[bytes | None] = b"\xff is no text"

    def config(self) -> Settings:
        return WebSocketSink.Config(url=f"ws://127.0.0.1:{self.port}/feed", message="text")

    async def written(self, **chosen: Any) -> Sequence[bytes]:
        return self.inbox


class TestWebSocketSinkOfAnyMessage(TestWebSocketSink):
    kind = "aiohttp"
    impossible = None
    cannot = {"refuse": "what is no text is sent as binary"}

    def config(self) -> Settings:
        return WebSocketSink.Config(url=f"ws://127.0.0.1:{self.port}/feed")


class TestWebSocketServerSink(SinkContract):
    """With subscribers that come back whenever they are disconnected, as a page in a browser does."""

    connector = WebSocketServerSink
    cannot = {"go away": "once it listens, nobody takes the address away"}
    impossible = b"\xff is no text"
    choices = {"channel": ["a", "b"]}

    async def start(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.other: socket.socket | None = None
        self.inboxes: dict[str, list[bytes]] = {query: [] for query in ("", "?channel=a", "?channel=b")}
        self.background(self.subscribe())

    async def stop(self) -> None:
        await self.come_back()

    def config(self) -> Settings:
        # Whoever writes before anybody is there would test nothing.
        return WebSocketServerSink.Config(
            listen=f"127.0.0.1:{self.port}", message="text", without_subscribers="wait", channel="rest"
        )

    async def go_away(self) -> None:
        """Somebody else has the address."""
        self.other = socket.create_server(("127.0.0.1", self.port))

    async def come_back(self) -> None:
        if self.other is not None:
            self.other.close()
            self.other = None

    async def after_open(self, connector: Any) -> None:
        await until(lambda: len(connector._subscribers) == len(self.inboxes))

    async def subscribe(self) -> None:
        """Whoever wants everything first: the sink waits for nobody else."""
        while True:
            if self.other is None and _is_listened_on(self.port):
                with contextlib.suppress(aiohttp.ClientError, ExceptionGroup):
                    await self.subscribe_once()
            await asyncio.sleep(0.01)

    async def subscribe_once(self) -> None:
        async with contextlib.AsyncExitStack() as connected, asyncio.TaskGroup() as listening:
            session = await connected.enter_async_context(aiohttp.ClientSession())
            for query, inbox in self.inboxes.items():
                # Closed explicitly, also when a test ends: a connection left to the garbage collector is a warning.
                connecting = session.ws_connect(
                    f"ws://127.0.0.1:{self.port}/{query}",
                    max_msg_size=0,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1),
                )
                websocket = await connected.enter_async_context(connecting)
                listening.create_task(self.listen(websocket, inbox))

    async def listen(self, websocket: aiohttp.ClientWebSocketResponse, inbox: list[bytes]) -> None:
        async for message in websocket:
            inbox.append(message.data.encode())  # noqa: PERF401 - it is looked at meanwhile

    async def written(self, **chosen: Any) -> Sequence[bytes]:
        """What has come, once nothing more does."""
        found = self.inboxes[f"?channel={chosen['channel']}" if chosen else ""]
        before = -1
        while len(found) != before:
            before = len(found)
            await asyncio.sleep(0.05)
        return found


def _is_listened_on(port: int) -> bool:
    """Without a descriptor that anybody could see meanwhile."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
