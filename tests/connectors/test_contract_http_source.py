"""The source ``http`` keeps the contract that the kit checks, with clients that post until they get their answer."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Iterator, Sequence

import aiohttp

from connectors.http import HttpSource
from connectors.kit import SourceContract
from router import Settings

BODY = 4 << 20


class TestHttpSource(SourceContract):
    connector = HttpSource
    cannot = {
        "end": "a server goes on listening",
        "go away": "once it listens, nobody takes the address away",
    }
    sends_again = True

    async def start(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.session = aiohttp.ClientSession()
        self.other: socket.socket | None = None

    async def stop(self) -> None:
        await self.session.close()
        await self.come_back()

    def config(self) -> Settings:
        return HttpSource.Config(listen=f"127.0.0.1:{self.port}")

    async def put(self, values: Sequence[bytes]) -> None:
        for body in bodies(values):
            self.background(self.post(body))

    async def post(self, body: bytes) -> None:
        while True:
            try:
                async with self.session.post(f"http://127.0.0.1:{self.port}/events", data=io.BytesIO(body)) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.01)

    async def go_away(self) -> None:
        """Somebody else has the address."""
        self.other = socket.create_server(("127.0.0.1", self.port))

    async def come_back(self) -> None:
        if self.other is not None:
            self.other.close()
            self.other = None


def bodies(values: Sequence[bytes]) -> Iterator[bytes]:
    """Lines, as many in each body as fit."""
    body = b""
    for value in values:
        if body and len(body) + len(value) > BODY:
            yield body
            body = b""
        body += value + b"\n"
    if body:
        yield body
