"""Whoever is connected to the sink ``websocket_server``, and what waits to be sent to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, cast

from msgspec import Struct
from pydantic import Field

from connectors.websocket.closing import GOING_AWAY, NO_CLOSE
from connectors.websocket.messages import Message
from connectors.websocket.pulse import Ping, Pulse, Silent
from router import Settings, Size

if TYPE_CHECKING:
    from aiohttp import WSMsgType
    from aiohttp.web import BaseRequest, WebSocketResponse

_CLOSE_SECONDS = 2.0
"""How long a subscriber may take to close, once we have."""


class Backlog(Settings):
    """How much may wait to be sent to one subscriber. What more than one of them waits for is in memory once."""

    records: Annotated[int, Field(gt=0)] = 50_000
    """Records; a batch that is larger by itself waits alone."""
    bytes: Annotated[Size, Field(gt=0)] = 16 * 2**20
    """Bytes of payload."""


class Parcel(Struct, frozen=True):
    """What is queued and sent together: messages, of so many records, of so many bytes."""

    messages: Sequence[Message]
    records: int
    size: int


class _Over(Exception):
    """Nothing more is to be said or heard."""


class Subscriber:
    """One connection. ``run`` is its life; everything else is synchronous."""

    def __init__(
        self,
        websocket: WebSocketResponse[bool],
        request: BaseRequest,
        bounds: Backlog,
        ping: Ping | None,
        sent: Callable[[], None],
    ) -> None:
        self.name = request.remote or "a subscriber"
        self.channels = frozenset(request.query.getall("channel", ()))
        """The channels that it wants; empty: everything."""
        self.records = 0
        """How many records wait."""
        self._websocket = websocket
        self._request = request
        self._bounds = bounds
        self._ping = ping
        self._sent = sent
        self._parcels: deque[Parcel] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._dismissed = asyncio.Event()
        self._parting = (GOING_AWAY, "")
        self._is_finishing = False
        self._pulse = Pulse(websocket)

    def wants(self, channel: object) -> bool:
        """Whether records of this channel are for it."""
        return not self.channels or channel in self.channels

    def has_room(self, parcel: Parcel) -> bool:
        """Whether the bounds allow it; what is larger than they are is let in alone."""
        return not (self._parcels and parcel.messages) or (
            self.records + parcel.records <= self._bounds.records and self._bytes + parcel.size <= self._bounds.bytes
        )

    def offer(self, parcel: Parcel) -> None:
        """Queue it."""
        self._parcels.append(parcel)
        self.records += parcel.records
        self._bytes += parcel.size
        self._wake.set()

    def finish(self) -> None:
        """Send what waits, and then close."""
        self._is_finishing = True
        self._wake.set()

    def dismiss(self, code: int, reason: str) -> None:
        """Close at once, whatever waits."""
        self._parting = (code, reason)
        self._dismissed.set()

    async def run(self) -> None:
        """Send what is offered, until either side closes, or the other one is gone."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send(), name=f"sender to {self.name}")
                group.create_task(self._listen(group), name=f"listener to {self.name}")
                group.create_task(self._until_dismissed(), name=f"end of {self.name}")
                if self._ping is not None:
                    group.create_task(self._pulse.beat(self._ping), name=f"heartbeat of {self.name}")
        except* (_Over, Silent, ConnectionError):
            pass
        finally:
            await self._close()

    async def _send(self) -> None:
        while True:
            while self._parcels:
                parcel = self._parcels[0]
                with self._pulse.waiting():
                    for payload, opcode in parcel.messages:
                        await self._websocket.send_frame(payload, cast("WSMsgType", opcode))
                self._parcels.popleft()
                self.records -= parcel.records
                self._bytes -= parcel.size
                self._sent()
                await asyncio.sleep(0)  # as long as the socket takes everything, nothing above yields
            if self._is_finishing:
                raise _Over
            self._wake.clear()
            await self._wake.wait()

    async def _listen(self, group: asyncio.TaskGroup) -> None:
        """Hear pongs, pings and the end; what else a subscriber says is ignored."""
        from aiohttp import WSMsgType

        answer: asyncio.Task[None] | None = None
        while True:
            message = await self._websocket.receive()
            self._pulse.hear()
            if message.type is WSMsgType.PONG:
                self._pulse.hear_pong(message.data)
            elif message.type is WSMsgType.PING:
                if answer is None or answer.done():
                    answer = group.create_task(self._websocket.pong(message.data), name=f"pong to {self.name}")
            elif message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                raise _Over

    async def _until_dismissed(self) -> None:
        await self._dismissed.wait()
        raise _Over

    async def _close(self) -> None:
        code, reason = self._parting
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._websocket.close(code=code, message=reason.encode())
        if self._websocket.close_code == NO_CLOSE and self._request.transport is not None:
            # One that does not read would never let its transport close by itself.
            self._request.transport.abort()
