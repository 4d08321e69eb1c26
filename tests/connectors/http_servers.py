"""A real HTTP server for tests of clients: it keeps every request, and answers as the test says."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import zstandard
from aiohttp import web

HANG = "hang"
RESET = "reset"
HALF = "half"
"""Misfortunes: no answer, a connection that breaks before any answer, one that breaks in the middle of it."""

Reply = int | tuple[int, Any] | web.Response | str
Script = Callable[["Asked"], Reply | Awaitable[Reply]]


@dataclass(frozen=True)
class Asked:
    """A request that was received, its body unpacked."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def lines(self) -> list[bytes]:
        """The lines of the body."""
        return self.body.split(b"\n")[:-1]

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class HttpServer:
    """Listens on 127.0.0.1 while ``start`` is not followed by ``stop``; on the same port when it is started again."""

    def __init__(self, script: Script | Reply = 200, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.requests: list[Asked] = []
        self.connections = 0
        self.under_way = 0
        self.most_under_way = 0
        self._tls = tls
        self._runner: web.ServerRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self._port}"

    @property
    def bodies(self) -> list[bytes]:
        """The bodies of all requests but HEAD."""
        return [asked.body for asked in self.requests if asked.method != "HEAD"]

    async def start(self) -> None:
        """Listen."""
        self._runner = web.ServerRunner(web.Server(self._handle, auto_decompress=False), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close every connection and listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self._answer(request)
        finally:
            self.under_way -= 1

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        packing = request.headers.get("Content-Encoding")
        if packing == "gzip":
            body = gzip.decompress(body)
        elif packing == "zstd":
            body = zstandard.ZstdDecompressor().decompressobj().decompress(body)
        asked = Asked(request.method, request.raw_path, {k.lower(): v for k, v in request.headers.items()}, body)
        self.requests.append(asked)
        reply = self.script(asked) if callable(self.script) else self.script
        if isinstance(reply, Awaitable):
            reply = await reply
        if isinstance(reply, str):
            return await self._misfortune(reply, request)
        if isinstance(reply, web.Response):  # a copy: a response can be sent once
            return web.Response(status=reply.status, reason=reply.reason, body=reply.body, headers=reply.headers)
        status, content = reply if isinstance(reply, tuple) else (reply, None)
        return web.Response(status=status) if content is None else web.json_response(content, status=status)

    async def _misfortune(self, reply: str, request: web.BaseRequest) -> web.StreamResponse:
        if reply == HANG:
            await asyncio.sleep(3600)
        response = web.StreamResponse()
        if reply == HALF:
            response.content_length = 1000
            await response.prepare(request)
            await response.write(b"[1,")
        assert request.transport is not None
        request.transport.abort()
        return response


@asynccontextmanager
async def serving(script: Script | Reply = 200, tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpServer]:
    """A server that runs while the block does."""
    server = HttpServer(script, tls)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
