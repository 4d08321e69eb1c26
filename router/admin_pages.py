"""The admin pages: metrics, health, the API, and the console, which shows what the API tells.

Open to everybody who can reach the port: ``/metrics``, ``/healthz``, ``/readyz``. For everything else, ``router.api``
says who may ask.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ssl import SSLContext

from aiohttp import web

from router.admin import Subject
from router.api import ENDPOINTS
from router.api.guard import GUARD, Guard
from router.api.live import BROADCAST, Broadcast
from router.api.server import MAX_BODY, Api
from router.console import Console

LONGEST_LINE = 64 << 10
"""A condition in a query is long when it is escaped."""


class AdminPages:
    """The pages of one daemon, which is asked for at ``host``."""

    def __init__(self, subject: Subject, host: str) -> None:
        self._subject = subject
        self._guard = Guard(host, self._token)
        self._api = Api(subject, self._guard, ENDPOINTS)
        self._console = Console(self._guard.refuses_page)

    def runner(self) -> web.AppRunner:
        """What serves them."""
        app = web.Application(middlewares=[self._api.middleware], client_max_size=MAX_BODY)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        self._api.mount(app)
        self._console.mount(app)
        app[GUARD] = self._guard
        app[BROADCAST] = Broadcast(self._subject)
        app.on_shutdown.append(self._end_streams)
        # Bodies are read as they are sent: the API refuses those that are packed, and a false one fails nowhere else.
        return web.AppRunner(app, access_log=None, max_line_size=LONGEST_LINE, auto_decompress=False)

    def _token(self) -> str | None:
        """The one of the configuration that runs: a reload may change it."""
        http = self._subject.configuration.http
        return None if http is None else http.token_text

    async def _end_streams(self, app: web.Application) -> None:
        self._subject.samples.close()
        app[BROADCAST].closed.set()

    async def _metrics(self, _request: web.Request) -> web.Response:
        self._subject.refresh()
        body, content_type = self._subject.metrics.page()
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        why = self._subject.not_ready
        return web.Response(text=f"{why or 'ok'}\n", status=503 if why else 200)


async def serve(runner: web.AppRunner, sockets: Sequence[socket.socket], tls: SSLContext | None) -> None:
    """Serve on sockets that are bound."""
    await runner.setup()
    for each in sockets:
        await web.SockSite(runner, each, ssl_context=tls).start()
