"""Connections that are used again, and those that are not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from connectors.http.sink import HttpSink
from router import Batch, NotConnected

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Talker:
    """A server that keeps bodies. It answers the first ``answered`` requests, and says ``more`` a moment later."""

    def __init__(self, more: bytes, answered: int) -> None:
        self.bodies: list[bytes] = []
        self.connections = 0
        self.said = asyncio.Event()
        self._more = more
        self._answered = answered

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Listen; the URL."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                found = re.search(rb"(?i)content-length: *(\d+)", head)
                body = await reader.readexactly(int(found[1]) if found else 0)
                if len(self.bodies) >= self._answered:
                    break
                self.bodies.append(body)
                writer.write(OK)
                await writer.drain()
                if self._more:
                    await asyncio.sleep(0.05)  # the answer before it has been read by then
                    writer.write(self._more)
                    await writer.drain()
                    self.said.set()
        except (asyncio.IncompleteReadError, OSError):
            pass  # it has gone
        finally:
            writer.close()


async def write(sink: HttpSink, *values: bytes) -> None:
    for value in values:
        await sink.write(Batch(values=[value]))


@pytest.mark.parametrize("more", [OK, b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", b"nonsense"])
async def test_what_comes_unasked_is_no_answer_to_the_next_request(more: bytes) -> None:
    """Or records would count as written that no server has."""
    talker = Talker(more, answered=1)
    async with talker.serving() as url:
        sink = HttpSink(HttpSink.Config(url=url, healthcheck=False))
        await sink.open()
        try:
            await write(sink, b"first")
            await talker.said.wait()
            await asyncio.sleep(0.05)  # until it has come
            with pytest.raises(NotConnected):
                await write(sink, b"second")
        finally:
            await sink.close()
    assert talker.bodies == [b"first\n"]


async def test_a_connection_is_used_again() -> None:
    """Where nothing but answers comes."""
    talker = Talker(b"", answered=3)
    async with talker.serving() as url:
        sink = HttpSink(HttpSink.Config(url=url, healthcheck=False))
        await sink.open()
        try:
            await write(sink, b"first", b"second", b"third")
        finally:
            await sink.close()
    assert talker.bodies == [b"first\n", b"second\n", b"third\n"]
    assert talker.connections == 2  # opening takes one of its own
