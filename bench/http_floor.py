"""The floors of ``bench.http``: bare aiohttp handlers that append the body to a file, and answer when it is synced.

``python http_floor.py each|grouped FILE``. ``each`` is what somebody would write by hand: write, sync, answer.
``grouped`` does the best that can be done about the disk: what comes while a sync is under way shares the next one.
Neither looks at what it was sent. It prints its port.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

import uvloop
from aiohttp import web


class Each:
    """A sync for each request."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    async def append(self, body: bytes) -> None:
        """Return when it is on the disk."""
        os.write(self._fd, body + b"\n")
        os.fdatasync(self._fd)


class Grouped:
    """One sync for all that came while the one before was under way."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._bodies: list[bytes] = []
        self._done = asyncio.get_running_loop().create_future()
        self._came = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def append(self, body: bytes) -> None:
        """Return when it is on the disk."""
        self._bodies.append(body)
        self._came.set()
        await self._done

    async def _run(self) -> None:
        while True:
            await self._came.wait()
            bodies, done = self._bodies, self._done
            self._bodies, self._done = [], asyncio.get_running_loop().create_future()
            self._came.clear()
            await asyncio.get_running_loop().run_in_executor(None, self._write, bodies)
            done.set_result(None)

    def _write(self, bodies: list[bytes]) -> None:
        os.write(self._fd, b"\n".join([*bodies, b""]))
        os.fdatasync(self._fd)


def handler(append: Callable[[bytes], Awaitable[None]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """What answers a request."""

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        await append(body)
        return web.json_response({"accepted": body.count(b"\n") + 1})

    return handle


async def serve(policy: str, path: str) -> None:
    """Serve until killed."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    app = web.Application(client_max_size=1 << 24)
    writer = Each(fd) if policy == "each" else Grouped(fd)
    app.router.add_post("/events", handler(writer.append))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], sys.argv[2]))
