"""The proxy does to connections what it says, and nothing else."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.servers.proxy import ProxyThread, TcpProxy

SECONDS = 20.0
A_WHILE = 0.3
"""How long a test looks before it believes that nothing comes."""


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        pass
    finally:
        writer.close()


@pytest.fixture
async def target() -> AsyncIterator[str]:
    """A server that says what it is told."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"


@pytest.fixture
async def proxy(target: str) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(target) as proxy:
        yield proxy


class Client:
    """Somebody who has connected."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def hear(self, count: int) -> bytes:
        async with asyncio.timeout(SECONDS):
            return await self.reader.readexactly(count)

    async def ask(self, data: bytes) -> bytes:
        self.writer.write(data)
        return await self.hear(len(data))

    async def hears_nothing(self) -> bool:
        try:
            async with asyncio.timeout(A_WHILE):
                return not await self.reader.read(1)
        except TimeoutError:
            return True


@asynccontextmanager
async def client(proxy: TcpProxy) -> AsyncIterator[Client]:
    host, port = proxy.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


async def test_it_forwards_every_byte_both_ways_and_the_end(proxy: TcpProxy) -> None:
    data = bytes(range(256)) * 20_000
    async with client(proxy) as us:
        us.writer.write(data)
        us.writer.write_eof()
        async with asyncio.timeout(SECONDS):
            assert await us.reader.read() == data
    assert proxy.accepted == 1


async def test_a_cut_resets_what_is_open_and_nothing_after(proxy: TcpProxy) -> None:
    async with client(proxy) as us, client(proxy) as them:
        assert await us.ask(b"a") == await them.ask(b"a")
        assert proxy.cut() == 2
        for cut in (us, them):
            with pytest.raises(ConnectionResetError):
                await cut.hear(1)
        async with client(proxy) as again:
            assert await again.ask(b"b") == b"b"


async def test_a_delay_holds_for_each_direction_and_keeps_the_order(proxy: TcpProxy) -> None:
    async with client(proxy) as us:
        assert await us.ask(b"a") == b"a"
        proxy.slow(delay=0.2)
        asked = time.monotonic()
        assert await us.ask(b"0123456789") == b"0123456789"
        assert time.monotonic() - asked >= 0.4
        proxy.slow(delay=3600)
        us.writer.write(b"x")
        assert await us.hears_nothing()
        proxy.heal()
        assert await us.hear(1) == b"x"


async def test_a_rate_bounds_the_bytes_of_a_second(proxy: TcpProxy) -> None:
    proxy.slow(rate=100_000)
    async with client(proxy) as us:
        asked = time.monotonic()
        assert await us.ask(bytes(50_000)) == bytes(50_000)
        assert time.monotonic() - asked >= 0.5


async def test_a_black_hole_keeps_connections_and_their_bytes_to_itself(proxy: TcpProxy) -> None:
    async with client(proxy) as us:
        assert await us.ask(b"a") == b"a"
        proxy.black_hole()
        us.writer.write(b"b")
        async with client(proxy) as late:
            late.writer.write(b"c")
            assert await us.hears_nothing()
            assert await late.hears_nothing()
            proxy.heal()
            assert (await us.hear(1), await late.hear(1)) == (b"b", b"c")


async def test_refused_is_who_comes_new(proxy: TcpProxy) -> None:
    async with client(proxy) as us:
        assert await us.ask(b"a") == b"a"
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            async with client(proxy):
                pass
        assert await us.ask(b"b") == b"b"
        proxy.accept()
        async with client(proxy) as again:
            assert await again.ask(b"c") == b"c"


async def test_a_target_that_is_away_is_a_reset(proxy: TcpProxy, unused: str) -> None:
    proxy.target = unused
    async with client(proxy) as us:
        with pytest.raises(ConnectionResetError):
            await us.hear(1)


@pytest.fixture
def unused() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


async def test_a_reset_of_one_side_reaches_the_other(proxy: TcpProxy) -> None:
    async with client(proxy) as us:
        assert await us.ask(b"a") == b"a"
        us.writer.transport.abort()
        async with asyncio.timeout(SECONDS):
            while proxy.open:
                await asyncio.sleep(0.01)


async def test_one_in_a_thread_does_the_same(target: str) -> None:
    """Its methods block the caller, never the loop that it forwards in."""
    with ProxyThread(target) as thread:

        def talk() -> None:
            host, port = thread.address.split(":")
            with socket.create_connection((host, int(port)), timeout=SECONDS) as us:
                us.sendall(b"a")
                assert us.recv(1) == b"a"
                thread.black_hole()
                us.sendall(b"b")
                us.settimeout(A_WHILE)
                with pytest.raises(TimeoutError):
                    us.recv(1)
                us.settimeout(SECONDS)
                thread.heal()
                assert us.recv(1) == b"b"
                thread.slow(delay=0.01, rate=10_000)
                us.sendall(b"c")
                assert us.recv(1) == b"c"
                assert (thread.accepted, thread.open, thread.cut()) == (1, 1, 1)
                with pytest.raises(ConnectionResetError):
                    us.recv(1)
            thread.refuse()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host, int(port)), timeout=SECONDS)
            thread.accept()
            socket.create_connection((host, int(port)), timeout=SECONDS).close()

        await asyncio.to_thread(talk)
