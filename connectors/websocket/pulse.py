"""Whether the other side of a WebSocket is still there: pings, pongs, and how long it has been silent."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
from collections.abc import Iterator
from typing import Annotated, Any, Protocol

from pydantic import Field

from router import Duration, Settings


class Ping(Settings):
    """How a side that is gone is noticed."""

    interval: Annotated[Duration, Field(gt=0)] = 20.0
    """How often a ping is sent."""
    timeout: Annotated[Duration, Field(gt=0)] = 20.0
    """How long anything at all may take to come after it, until the connection is given up."""


class Pingable(Protocol):
    """A WebSocket of aiohttp, as far as this module uses it."""

    async def ping(self, message: bytes) -> None:
        """Send a ping."""

    def get_extra_info(self, name: str) -> Any:
        """What the transport knows."""


class Silent(Exception):
    """Nothing came for too long."""


class Pulse:
    """The pulse of one WebSocket. Whoever reads it says what is heard; ``beat`` is a task that sends the pings."""

    def __init__(self, websocket: Pingable) -> None:
        self.answered = asyncio.Event()
        """Set when a pong comes; whoever waits for one clears it."""
        self._websocket = websocket
        self._heard = 0
        self._pings = self._pongs = 0
        self._waits = 0

    def hear(self) -> None:
        """Something came."""
        self._heard += 1

    def hear_pong(self, payload: bytes) -> None:
        """A pong answers every ping up to its own: others may have been skipped (RFC 6455, section 5.5.3)."""
        if payload.isdigit() and self._pongs < int(payload) <= self._pings:
            self._pongs = int(payload)
            self.answered.set()

    async def ping(self) -> int:
        """Send a ping, and return its number."""
        self._pings += 1
        number = self._pings
        await self._websocket.ping(b"%d" % number)
        return number

    def is_answered(self, number: int) -> bool:
        """Whether the ping of this number is answered, or a later one."""
        return self._pongs >= number

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """While we do not read, or wait for the other side to read, its silence says nothing."""
        self._waits += 1
        try:
            yield
        finally:
            self._waits -= 1

    async def beat(self, settings: Ping) -> None:
        """Send pings, until nothing comes after one: raises Silent."""
        while True:
            await asyncio.sleep(settings.interval)
            if self._waits:
                continue
            heard = self._heard
            with contextlib.suppress(TimeoutError, ConnectionError):  # what there is to hear tells
                async with asyncio.timeout(settings.timeout):
                    await self.ping()
            await asyncio.sleep(settings.timeout)
            if self._heard == heard and not self._waits and self._seconds_of_silence() > settings.timeout / 2:
                raise Silent(f"nothing was heard for {settings.timeout:g} s after a ping")

    def _seconds_of_silence(self) -> float:
        """How long no byte came: a large message may take its time. Infinite where the system does not tell."""
        try:
            info = self._websocket.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        except (AttributeError, OSError):
            return math.inf
        milliseconds: int = struct.unpack_from("I", info, 52)[0]  # tcpi_last_data_recv in <linux/tcp.h>
        return milliseconds / 1000
