"""The admin pages: metrics, health, status.

Open to everybody who can reach the port: ``/metrics``, ``/healthz``, ``/readyz``. Everything else needs the token when
the port is reachable from outside this host, and answers only to the names it was asked to listen on, so that a web
page open in somebody's browser cannot reach it by a name of its own (DNS rebinding).
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from pathlib import Path
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler

from router.config.model import Http
from router.errors import NotConnected, SluicewayError
from router.metrics import Metrics

OPEN_PAGES = frozenset({"/metrics", "/healthz", "/readyz"})


class Subject(Protocol):
    """The daemon, as far as these pages show it."""

    @property
    def metrics(self) -> Metrics:
        """What ``/metrics`` shows."""

    @property
    def not_ready(self) -> str:
        """Why the daemon takes nothing in; empty when it does."""

    def refresh(self) -> None:
        """Bring up to date what is not counted as it happens."""

    def status(self) -> dict[str, object]:
        """What ``/api/status`` shows: JSON values."""

    def masked(self, text: str) -> str:
        """The text without what must not be shown."""


class AdminServer:
    """Serves the pages of one daemon from ``start`` to ``stop``. Files of ``tls`` are relative to ``folder``."""

    def __init__(self, subject: Subject, settings: Http, folder: Path) -> None:
        self._subject = subject
        self._host = settings.host
        self._port = settings.port
        self._token = settings.token_text
        self._tls = settings.tls
        self._folder = folder
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where the pages are, once started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'http' if self._tls is None else 'https'}://{host}:{self._port}"

    async def start(self) -> None:
        """Bind and serve. Raises ``SluicewayError`` when the address cannot be had or the certificate not be used."""
        try:
            tls = None if self._tls is None else self._tls.context(self._folder)
        except NotConnected as error:
            raise SluicewayError(f"http.{error}") from error
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/api/status", self._status)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            await self.stop()
            raise SluicewayError(
                f"cannot listen on {self._host}:{self._port} ({error.strerror or error}); "
                "set http.listen to a free address"
            ) from error
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port. Idempotent."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
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


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
