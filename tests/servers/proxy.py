"""A TCP proxy that does to connections what networks do: cuts, delays, throttles, swallows, refuses.

    async with TcpProxy("127.0.0.1:9092") as proxy:
        ...                         # connect to proxy.address
        proxy.slow(delay=0.2)       # from now on, every byte comes that many seconds later, each way
        proxy.cut()                 # the connections that are open now are reset

A test without a loop, or one that blocks its loop, has it in a thread: ``ProxyThread``.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Self, TypeVar

from tests.servers.ports import claim_port

CHUNK_BYTES = 64 * 1024
HELD_CHUNKS = 16
"""How many chunks one direction of a connection holds while they are delayed; past that the sender has to wait."""
NOTICE_SECONDS = 0.05
"""How soon bytes that wait for their time notice that it has changed."""
THREAD_SECONDS = 60.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

T = TypeVar("T")


class TcpProxy:
    """Forwards what connects to ``address`` to the target, ``host:port``. If nobody listens there, the connection is
    reset. What is set holds for open connections and for new ones. ``port``: where it listens; any free one when 0."""

    def __init__(self, target: str, port: int = 0) -> None:
        self.target = target
        self.address = f"127.0.0.1:{port or claim_port()}"
        self.delay = 0.0
        self.rate: int | None = None
        self.accepted = 0
        """Connections so far."""
        self._forwarding = asyncio.Event()
        self._forwarding.set()
        self._listener: socket.socket | None = None
        self._connections: set[_Connection] = set()

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    async def __aenter__(self) -> Self:
        self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        tasks = [connection.task for connection in self._connections]
        self.cut()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports that were aborted close in the next turn of the loop

    def cut(self) -> int:
        """Reset every open connection on both sides; how many there were."""
        for connection in self._connections:
            connection.task.cancel()
        return len(self._connections)

    def slow(self, *, delay: float = 0.0, rate: int | None = None) -> None:
        """Bytes come ``delay`` seconds later in each direction, and at most ``rate`` a second in each direction of each
        connection; None: as many as come."""
        self.delay, self.rate = delay, rate

    def black_hole(self) -> None:
        """Forward nothing: connections stay open and new ones are accepted, and nobody answers."""
        self._forwarding.clear()

    def heal(self) -> None:
        """Be neither slow nor a black hole. What was held back arrives, as what TCP sends again does."""
        self.slow()
        self._forwarding.set()

    def refuse(self) -> None:
        """Refuse new connections; open ones stay."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def accept(self) -> None:
        """Take new connections, as it does from the start."""
        if self._listener is None:
            self._listener = socket.create_server(_split(self.address))
            self._listener.setblocking(False)
            asyncio.get_running_loop().add_reader(self._listener, self._serve)

    # Not by asyncio's servers: one that is closed loses connections that it has accepted in the same turn of the loop.
    def _serve(self) -> None:
        assert self._listener is not None
        try:
            client, _ = self._listener.accept()
        except OSError:  # it has gone again
            return
        self.accepted += 1
        connection = _Connection(self, client)
        self._connections.add(connection)
        connection.task.add_done_callback(lambda _: self._connections.discard(connection))

    async def until_due(self, since: float) -> None:
        """Return when what came at that time of the loop may be forwarded."""
        now = asyncio.get_running_loop().time
        while (left := since + self.delay - now()) > 0:
            await asyncio.sleep(min(left, NOTICE_SECONDS))
        await self._forwarding.wait()


class _Connection:
    """One client's, to the target and back, until both sides have ended; it is reset when one is, or its task is
    cancelled."""

    def __init__(self, proxy: TcpProxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._writers: list[asyncio.StreamWriter] = []
        self.task = asyncio.create_task(self._forward())
        self.task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        """Reset what is still open; also when the task was cancelled before it began."""
        for writer in self._writers:
            if not writer.transport.is_closing():
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()
        if not self._writers:
            self._client.close()
        failure = None if task.cancelled() else task.exception()
        if isinstance(failure, BaseExceptionGroup):
            failure = failure.split(OSError)[1]
        if failure is not None and not isinstance(failure, OSError):
            raise failure

    async def _forward(self) -> None:
        reader, writer = await asyncio.open_connection(sock=self._client, limit=CHUNK_BYTES)
        self._writers.append(writer)
        await self._proxy.until_due(asyncio.get_running_loop().time())
        upstream, target = await asyncio.open_connection(*_split(self._proxy.target), limit=CHUNK_BYTES)
        self._writers.append(target)
        await self._forward_both(((reader, target), (upstream, writer)))
        for each in self._writers:
            each.close()
            await each.wait_closed()

    async def _forward_both(self, ways: Iterable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for source, destination in ways:
                held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(HELD_CHUNKS)
                tasks.create_task(self._take(source, held))
                tasks.create_task(self._give(held, destination))

    async def _take(self, source: asyncio.StreamReader, held: asyncio.Queue[tuple[float, bytes]]) -> None:
        now = asyncio.get_running_loop().time
        while data := await source.read(CHUNK_BYTES):
            await held.put((now(), data))
        await held.put((now(), b""))

    async def _give(self, held: asyncio.Queue[tuple[float, bytes]], destination: asyncio.StreamWriter) -> None:
        while True:
            since, data = await held.get()
            await self._proxy.until_due(since)
            if not data:
                destination.write_eof()
                return
            while data:
                data = await self._give_some(data, destination)
                await self._proxy.until_due(since)

    async def _give_some(self, data: bytes, destination: asyncio.StreamWriter) -> bytes:
        """Forward as much as the rate allows in a short while; what is left."""
        rate = self._proxy.rate
        size = len(data) if rate is None else max(1, int(rate * NOTICE_SECONDS))
        piece, rest = data[:size], data[size:]
        if rate is not None:
            await asyncio.sleep(len(piece) / rate)
        destination.write(piece)
        await destination.drain()
        return rest


class ProxyThread:
    """A ``TcpProxy`` in a thread of its own. Its methods do what they do there, and return when it is done."""

    def __init__(self, target: str, port: int = 0) -> None:
        self._proxy = TcpProxy(target, port)
        self._thread = threading.Thread(target=asyncio.run, args=[self._run()], name="tcp-proxy", daemon=True)
        self._runs = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._leave: asyncio.Event

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._proxy.address

    @property
    def accepted(self) -> int:
        """Connections so far."""
        return self._proxy.accepted

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return self._proxy.open

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._runs.wait(THREAD_SECONDS), "the proxy does not listen"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join(THREAD_SECONDS)

    async def _run(self) -> None:
        self._loop, self._leave = asyncio.get_running_loop(), asyncio.Event()
        async with self._proxy:
            self._runs.set()
            await self._leave.wait()

    def cut(self) -> int:
        """Reset every open connection on both sides; how many there were."""
        return self._call(self._proxy.cut)

    def slow(self, *, delay: float = 0.0, rate: int | None = None) -> None:
        """Delay and throttle."""
        self._call(lambda: self._proxy.slow(delay=delay, rate=rate))

    def black_hole(self) -> None:
        """Forward nothing."""
        self._call(self._proxy.black_hole)

    def heal(self) -> None:
        """Be neither slow nor a black hole."""
        self._call(self._proxy.heal)

    def refuse(self) -> None:
        """Refuse new connections."""
        self._call(self._proxy.refuse)

    def accept(self) -> None:
        """Take new connections."""
        self._call(self._proxy.accept)

    def _call(self, change: Callable[[], T]) -> T:
        async def in_the_loop() -> T:
            return change()

        return asyncio.run_coroutine_threadsafe(in_the_loop(), self._loop).result(THREAD_SECONDS)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)
