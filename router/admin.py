"""Where the admin pages are served: an address that is bound when the daemon starts.

What serves the pages is loaded when somebody first asks for one: that takes as long as to load all of the rest, and a
run that is over in seconds can do without.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from importlib import import_module
from pathlib import Path
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from router.aside import aside
from router.changes import FlowChange
from router.config.model import Configuration, Http
from router.deadletters import DeadLetters
from router.errors import NotConnected, SluicewayError
from router.history import History
from router.metrics import Metrics
from router.sampling import Samples
from router.tables import Tables

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from aiohttp import web

    from router.reload import Reloaded
    from rules.ruleset import Ruleset

_BACKLOG = 128
_WARM_SECONDS = 30.0
"""A daemon that has run for this long will run for longer, and somebody will ask it how it is."""


class Subject(Protocol):
    """The daemon, as far as these pages show it."""

    @property
    def configuration(self) -> Configuration:
        """The one that runs; after a reload, another one."""

    @property
    def metrics(self) -> Metrics:
        """What ``/metrics`` shows."""

    @property
    def store(self) -> DeadLetters:
        """The dead letters."""

    @property
    def samples(self) -> Samples:
        """Some of the records that flow."""

    @property
    def changes(self) -> Mapping[str, FlowChange]:
        """By flow, what the last reload that changed it has changed."""

    @property
    def history(self) -> History:
        """The last hour."""

    @property
    def tables(self) -> Tables:
        """What rules look up."""

    def running_ruleset(self, flow: str, source: str) -> Ruleset | None:
        """The ruleset of a flow for a source, or for any of its sources when that one is gone."""

    @property
    def not_ready(self) -> str:
        """Why the daemon takes nothing in; empty when it does."""

    async def reload(self, cause: str, actor: str) -> Reloaded:
        """Take the files as they are now. Raises ``rules.faults.Refused``, and goes on as before; SluicewayError while
        it starts or stops."""

    async def pause(self, source: str) -> None:
        """Read no more from a source."""

    async def resume(self, source: str) -> None:
        """Read from it again."""

    def refresh(self) -> None:
        """Bring up to date what is not counted as it happens."""

    def status(self) -> dict[str, object]:
        """What ``/api/status`` shows: JSON values."""

    def masked(self, text: str) -> str:
        """The text without what must not be shown."""


class Recorder(Protocol):
    """What writes down who did what."""

    async def record(self, action: str, actor: str, detail: Mapping[str, Any], *, required: bool = False) -> None:
        """Write an entry. With ``required`` it raises StateError where it cannot be written: then the thing must not
        happen."""

    def writing(self, action: str, actor: str, detail: Mapping[str, Any]) -> Callable[[sqlite3.Connection], object]:
        """What writes an entry within a transaction that does the thing itself: both happen, or neither."""


@runtime_checkable
class Audited(Protocol):
    """A daemon that keeps an audit."""

    @property
    def audit(self) -> Recorder:
        """The audit."""


class AdminServer:
    """Serves the pages of one daemon. Files of ``tls`` are relative to ``folder``."""

    def __init__(self, subject: Subject, settings: Http, folder: Path) -> None:
        self._subject = subject
        self._settings = settings
        self._folder = folder
        self._port = settings.port
        self._sockets: list[socket.socket] = []
        self._tls: SSLContext | None = None
        self._asked = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where the pages are, once started."""
        host = self._settings.host
        scheme = "http" if self._settings.tls is None else "https"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self._port}"

    async def start(self) -> None:
        """Bind. Raises ``SluicewayError`` when the address cannot be had or the certificate not be used."""
        host, tls = self._settings.host, self._settings.tls
        try:
            self._tls = None if tls is None else tls.context(self._folder)
            self._sockets = await _bound(host, self._port)
        except NotConnected as error:
            raise SluicewayError(f"http.{error}") from error
        except OSError as error:
            why = f"cannot listen on {host}:{self._port} ({error.strerror or error})"
            raise SluicewayError(f"{why}; set http.listen to a free address") from error
        self._port = self._sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        for each in self._sockets:
            loop.add_reader(each, self._asked.set)

    async def run(self) -> None:
        """Serve, at the latest from the first connection on, until cancelled."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WARM_SECONDS):
                await self._asked.wait()
        loop = asyncio.get_running_loop()
        for each in self._sockets:
            loop.remove_reader(each)
        # In a thread, so that the data path goes on meanwhile; whoever has connected waits for it.
        pages = await aside(import_module, "router.admin_pages")
        self._runner = pages.AdminPages(self._subject, self._settings.host).runner()
        await pages.serve(self._runner, self._sockets, self._tls)
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Close the port. Idempotent."""
        loop = asyncio.get_running_loop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        for each in self._sockets:
            if each.fileno() >= 0:
                loop.remove_reader(each)
                each.close()
        self._sockets = []


async def _bound(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address of the host, on one port. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((entry[0], entry[4][0]) for entry in found):
            taken = made[0].getsockname()[1] if made else port
            made.append(socket.create_server((address, taken), family=family, backlog=_BACKLOG))
            made[-1].setblocking(False)
    except OSError:
        for each in made:
            each.close()
        raise
    return made
