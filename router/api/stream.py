"""Server-sent events (WHATWG HTML, 9.2): a stream of JSON, each with the name of what it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from router.api.server import SAFE, masked

WRITE_SECONDS = 30.0
"""Whoever takes nothing for so long is taken for gone."""


async def begin(request: web.Request) -> web.StreamResponse:
    """A stream that answers the request."""
    stream = web.StreamResponse(headers=SAFE)
    stream.content_type, stream.charset = "text/event-stream", "utf-8"
    await stream.prepare(request)
    return stream


async def write(stream: web.StreamResponse, text: str) -> None:
    """Write events, or comments. Raises ConnectionError when whoever listened has gone, or takes nothing any more."""
    try:
        async with asyncio.timeout(WRITE_SECONDS):
            await stream.write(text.encode(errors="replace"))
    except TimeoutError as error:
        raise ConnectionError("it takes nothing") from error


def event(name: str, data: Mapping[str, Any], mask: Callable[[str], str]) -> str:
    """One event, without what must not be shown."""
    return f"event: {name}\ndata: {json.dumps(masked(data, mask), ensure_ascii=False)}\n\n"
