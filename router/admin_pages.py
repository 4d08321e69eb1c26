"""The admin pages: metrics, health, status.

Open to everybody who can reach the port: ``/metrics``, ``/healthz``, ``/readyz``. Everything else needs the token when
the port is reachable from outside this host, and answers only to the names it was asked to listen on, so that a web
page open in somebody's browser cannot reach it by a name of its own (DNS rebinding).
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import socket
from collections.abc import Sequence
from ssl import SSLContext

from aiohttp import web
from aiohttp.typedefs import Handler

from router.admin import Subject

OPEN_PAGES = frozenset({"/metrics", "/healthz", "/readyz"})


class AdminPages:
    """The pages of one daemon, which is asked for at ``host``."""

    def __init__(self, subject: Subject, host: str, token: str | None) -> None:
        self._subject = subject
        self._host = host
        self._token = token

    def runner(self) -> web.AppRunner:
        """What serves them."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/api/status", self._status)
        return web.AppRunner(app, access_log=None)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in OPEN_PAGES:
            if self._token is not None:
                given = request.headers.get("Authorization", "")
                if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
                    raise web.HTTPUnauthorized(
                        text="a token is needed: Authorization: Bearer ...\n", headers={"WWW-Authenticate": "Bearer"}
                    )
            elif not self._is_own_name(request.host) or not self._is_own_origin(request.headers.get("Origin")):
                raise web.HTTPForbidden(text="this page answers only to the address that it listens on\n")
        return await handler(request)

    def _is_own_name(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        name = name.strip("[]").lower()
        return name in {"localhost", self._host.lower()} or _is_loopback(name)

    def _is_own_origin(self, origin: str | None) -> bool:
        return origin is None or self._is_own_name(origin.split("://", 1)[-1])

    async def _metrics(self, _request: web.Request) -> web.Response:
        self._subject.refresh()
        body, content_type = self._subject.metrics.page()
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        why = self._subject.not_ready
        return web.Response(text=f"{why or 'ok'}\n", status=503 if why else 200)

    async def _status(self, _request: web.Request) -> web.Response:
        self._subject.refresh()
        text = json.dumps(self._subject.status(), ensure_ascii=False)
        return web.Response(text=self._subject.masked(text), content_type="application/json")


async def serve(runner: web.AppRunner, sockets: Sequence[socket.socket], tls: SSLContext | None) -> None:
    """Serve on sockets that are bound."""
    await runner.setup()
    for each in sockets:
        await web.SockSite(runner, each, ssl_context=tls).start()


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
