"""What tests of the source ``http`` share: clients of one source over real sockets."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from connectors.http import HttpSource
from router import Context, Lag, MemoryPositions, Positions
from rules.codecs import Format, Json

NDJSON = {"Content-Type": "application/x-ndjson"}
JSON = {"Content-Type": "application/json"}

Reply = tuple[int, Any]


class Client:
    """Posts to one source."""

    def __init__(self, session: aiohttp.ClientSession, source: HttpSource, tasks: asyncio.TaskGroup) -> None:
        self.session = session
        self.source = source
        self.tasks = tasks
        self.headers: list[dict[str, str]] = []

    async def post(self, body: Any, headers: dict[str, str] | None = None, url: str | None = None) -> Reply:
        """Status and answer of one request."""
        async with self.session.post(url or self.source.url, data=body, headers=headers) as answer:
            self.headers.append(dict(answer.headers))
            return answer.status, await answer.json()

    def posting(self, body: Any, headers: dict[str, str] | None = None) -> asyncio.Task[Reply]:
        """The same, in the background."""
        return self.tasks.create_task(self.post(body, headers), name="post")

    async def accepted(self, body: Any, headers: dict[str, str] | None = None) -> list[bytes]:
        """The records of a request that is acknowledged as soon as it is read."""
        posting = self.posting(body, headers)
        batch = await self.source.read()
        await self.source.ack(batch.token)
        assert await posting == (200, {"accepted": len(batch)})
        return list(batch.values)

    async def serve(self) -> None:
        """Acknowledge whatever comes, until cancelled."""
        while True:
            await self.source.ack((await self.source.read()).token)

    async def arrived(self, records: int) -> None:
        """Wait until the source has taken in so many records that are not settled."""
        await until(lambda lag: lag.records == records, self.source)


async def until(condition: Callable[[Lag], bool], source: HttpSource) -> None:
    async with asyncio.timeout(10):
        while not condition((await source.lag())[0]):
            await asyncio.sleep(0.005)


def source_of(
    positions: Positions | None = None, folder: Path = Path(), decode: Format | None = None, **config: Any
) -> HttpSource:
    """A source with these settings, on any free port unless they say another one."""
    context = Context("events", folder, positions or MemoryPositions(), decode or Json())
    return HttpSource(HttpSource.Config.model_validate({"listen": "127.0.0.1:0", **config}).within(context))


@asynccontextmanager
async def client(
    positions: Positions | None = None,
    folder: Path = Path(),
    tls: ssl.SSLContext | None = None,
    decode: Format | None = None,
    **config: Any,
) -> AsyncIterator[Client]:
    """A client of an open source, with this context if the source has ``server_tls``."""
    if "server_tls" in config:
        config["tls"] = config.pop("server_tls")
    source = source_of(positions, folder, decode, **config)
    await source.open()
    connector = None if tls is None else aiohttp.TCPConnector(ssl=tls)
    try:
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            asyncio.timeout(30),
            asyncio.TaskGroup() as tasks,
        ):
            yield Client(session, source, tasks)
            await source.close()
    finally:
        await source.close()


async def connect(source: HttpSource) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    port = int(source.url.split(":")[2].split("/")[0])
    return await asyncio.open_connection("127.0.0.1", port)


async def raw(source: HttpSource, request: bytes) -> bytes:
    """The answer to a request that no client library would send."""
    reader, writer = await connect(source)
    writer.write(request)
    answer = await reader.readuntil(b"}")
    writer.close()
    return answer
