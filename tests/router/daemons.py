"""What tests of the whole daemon share: one that runs, and its pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from router.config import load
from router.daemon import Daemon


@asynccontextmanager
async def daemon_of(path: Path) -> AsyncIterator[Daemon]:
    """The daemon of a configuration, ready while the block runs; it has to stop well afterwards."""
    daemon = Daemon(load([path]))
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(daemon.run(ready.set))
        async with asyncio.timeout(10):
            await ready.wait()
        yield daemon
        daemon.stop()
        async with asyncio.timeout(20):
            assert await task


async def page(daemon: Daemon, path: str, **headers: str) -> tuple[int, str]:
    """The status and the text of one of its pages."""
    assert daemon.admin is not None
    async with aiohttp.ClientSession() as session, session.get(daemon.admin.url + path, headers=headers) as response:
        return response.status, await response.text()
