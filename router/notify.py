"""Telling the service manager how the process is: the notification protocol of systemd, sd_notify(3).

It asks by its environment: ``NOTIFY_SOCKET`` is where it listens, ``WATCHDOG_USEC`` how long it waits for a sign of
life before it kills the process. Without them nothing is told.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

log = logging.getLogger(__name__)

STARTING, DRAINING, STOPPED = "starting", "draining", "stopped"
"""Phases of a daemon that the manager is told of; in any other one, it runs."""

ENDS = ("sources", "sinks")

_BEAT_SECONDS = 5.0
"""How often it is told, or twice as often as the watchdog wants it."""
_MORE_SECONDS = 30.0
"""So much longer a start or a stop may take, each time that it is told."""


def headline(status: Mapping[str, Any]) -> str:
    """A daemon's status in one line: ``running; 2 of 2 sources, 1 of 3 sinks connected: vip, archive are not``."""
    ends = {**status["sources"], **status["sinks"]}
    away = [name for name, end in ends.items() if not end["connected"] and not end.get("ended")]
    counts = ", ".join(
        f"{sum(name not in away for name in status[kind])} of {len(status[kind])} {kind}" for kind in ENDS
    )
    missing = f": {', '.join(away)} {'is' if len(away) == 1 else 'are'} not" if away else ""
    return f"{status['state']}; {counts} connected{missing}"


class ServiceManager:
    """Where to tell it. Every method is a datagram at most, never waits, and never fails: a manager that is gone, or
    does not listen, is no reason to stop routing.

    ``address``: the path of the socket, or ``@`` and the name of an abstract one; empty for nobody. ``watchdog``: so
    many seconds after the last ``beat`` the process is killed; 0 for never.
    """

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._watchdog = watchdog
        self._socket: socket.socket | None = None
        self._told = ""
        self._stopping = False

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> ServiceManager:
        """The manager that has started this process, if any."""
        of_this = environment.get("WATCHDOG_PID") in {None, str(os.getpid())}  # sd_watchdog_enabled(3)
        usec = environment.get("WATCHDOG_USEC", "")
        watchdog = int(usec) / 1e6 if of_this and usec.isdecimal() else 0.0
        return cls(environment.get("NOTIFY_SOCKET", ""), watchdog)

    @property
    def seconds(self) -> float:
        """The pause from one ``beat`` to the next."""
        return min(_BEAT_SECONDS, self._watchdog / 2) if self._watchdog else _BEAT_SECONDS

    def ready(self) -> None:
        """It runs: for the first time, or again after ``reloading``."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """A new configuration is looked at; ``ready`` ends that, whether it was taken or not."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """It drains, and ends then. Told once."""
        if not self._stopping:
            self._stopping = True
            self._tell("STOPPING=1")

    def status(self, text: str) -> None:
        """How it is, in one line for people; told when it is another than last time."""
        if text != self._told:
            self._told = text
            self._tell("STATUS=" + text.replace("\n", " "))

    def beat(self, *, more: bool = False) -> None:
        """A sign of life. ``more``: a start or a stop is under way, and takes longer."""
        told = ["WATCHDOG=1"] if self._watchdog else []
        if more:
            told.append(f"EXTEND_TIMEOUT_USEC={int((self.seconds + _MORE_SECONDS) * 1e6)}")
        if told:
            self._tell(*told)

    async def keep_informed(self, phase: Callable[[], str], status: Callable[[], str]) -> None:
        """Tell it of every phase and status, and that the loop turns, until cancelled; returns at once if nobody wants
        to know. ``status`` is not asked before the start is over.

        As long as nothing keeps the loop for longer than the watchdog allows, the process is not killed: not while it
        loads large tables, and not while it drains, however long that takes.
        """
        while self._address:
            now = phase()
            if now in {DRAINING, STOPPED}:
                self.stopping()
            self.beat(more=now in {STARTING, DRAINING, STOPPED})
            try:
                self.status(now if now == STARTING else status())
            except Exception as error:
                log.error("the status cannot be told: %s: %s", type(error).__name__, error, exc_info=error)
            await asyncio.sleep(self.seconds)

    def close(self) -> None:
        """No more is told. Idempotent."""
        self._address = ""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self, *assignments: str) -> None:
        if not self._address:
            return
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                self._socket.setblocking(False)
            self._socket.sendto("\n".join(assignments).encode(), self._address)
        except OSError as error:
            log.warning("the service manager cannot be told %s: %s", assignments[0], error)
