"""Server-sent events (WHATWG HTML, 9.2): a stream of JSON, each with the name of what it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from router.api.guard import GUARD
from router.api.server import SAFE, masked

WRITE_SECONDS = 30.0
"""Whoever takes nothing for so long is taken for gone."""


class Stream:
    """A stream that answers a request, for as long as the request would be granted: a token may be changed."""

    def __init__(self, request: web.Request) -> None:
        self.answer = web.StreamResponse(headers=SAFE)
        self._request = request
        self._guard = request.app[GUARD]

    async def begin(self) -> None:
        """Answer."""
        self.answer.content_type, self.answer.charset = "text/event-stream", "utf-8"
        await self.answer.prepare(self._request)

    async def write(self, text: str) -> None:
        """Write events, or comments, or nothing. Raises ConnectionError when whoever listened has gone, takes nothing
        any more, or may not listen any more."""
        if self._guard.refuses(self._request) is not None:
            raise ConnectionError("it is not granted any more")
        if not text:
            return
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self.answer.write(text.encode(errors="replace"))
        except TimeoutError as error:
            raise ConnectionError("it takes nothing") from error


def event(name: str, data: Mapping[str, Any], mask: Callable[[str], str]) -> str:
    """One event, without what must not be shown."""
    return f"event: {name}\ndata: {json.dumps(masked(data, mask), ensure_ascii=False)}\n\n"
