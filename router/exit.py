"""One sink of the running configuration: the way to it, its disk buffer if it has one, and the tasks at work there."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine

from msgspec import Struct

from router.assembly import policy_of
from router.buffer import BufferedOutlet
from router.config import SinkSpec
from router.diskbuffer import DiskBuffer, delete
from router.interfaces import Sink
from router.load import Receipt, Way
from router.metrics import Metrics
from router.outlet import Outlet
from router.part import Part
from router.supervision import supervise

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.05
"""So often it is looked whether what a reload has taken away is needed no more."""


class Surroundings(Struct, frozen=True):
    """What an exit shares with others. ``is_used`` tells whether a record may still go some way; ``comes_again``
    whether the source of this name reads again what it was not told is safe; ``grace`` is in seconds."""

    tasks: asyncio.TaskGroup
    metrics: Metrics
    is_used: Callable[[Way], bool]
    comes_again: Callable[[str], bool]
    grace: Callable[[], float]


class Exit:
    """The sink of one name. ``way`` is what records are put into: the ``outlet``, or the ``buffer`` before it."""

    def __init__(self, spec: SinkSpec, outlet: Outlet, file: DiskBuffer | None, around: Surroundings) -> None:
        self.spec = spec
        self.outlet = outlet
        self.buffer: BufferedOutlet | None = None
        self.is_closing = False
        self._around = around
        self._emptying: asyncio.Task[None] | None = None
        self._tending: asyncio.Task[None] | None = None
        self.way: Way = outlet
        self._ways: list[Way] = [outlet]
        self._writing = self._start(f"outlet {self.name}", supervise(f"outlet {self.name}", outlet.run))
        if file is not None:
            self._add_buffer(file)

    @property
    def name(self) -> str:
        """The name of the sink."""
        return self.outlet.name

    @property
    def is_losing_buffer(self) -> bool:
        """Whether its buffer, which the configuration has no more, is not empty yet."""
        return self._emptying is not None and not self._emptying.done()

    def status(self) -> dict[str, object]:
        """Its type, the connection, the queue and the buffer, as JSON values."""
        shown = self.buffer or self.outlet
        return {"type": self.spec.type, **shown.status()}

    def _start(self, name: str, run: Coroutine[None, None, None]) -> asyncio.Task[None]:
        return self._around.tasks.create_task(run, name=name)

    # What a reload changes

    def change(self, spec: SinkSpec, sink: Sink | None, file: DiskBuffer | None) -> None:
        """Be what this says from now on: with another ``sink`` underneath, if there is one, and a buffer in this
        ``file``, if it had none before."""
        self.spec = spec
        if (policy := policy_of(spec)) != self.outlet.policy:
            self.outlet.change(policy)
        if sink is not None:
            self.outlet.replace(sink)
        if file is not None:
            self._add_buffer(file)
        elif spec.buffer is not None and self.buffer is not None:
            self.buffer.change(spec.buffer.bytes, spec.when_full)
        elif self.buffer is not None and not self.is_losing_buffer:
            self.way = behind = Behind(self.outlet)
            self._ways.append(behind)
            removing = self._remove_buffer(self.buffer, behind)
            self._emptying = self._start(f"last of the buffer of {self.name}", removing)

    def _add_buffer(self, file: DiskBuffer) -> None:
        settings = self.spec.buffer
        limit = 0 if settings is None else settings.bytes
        self.way = self.buffer = BufferedOutlet(self.outlet, file, limit, self.spec.when_full, self._around.metrics)
        self._ways.append(self.buffer)
        run = supervise(f"buffer of {self.name}", self.buffer.tend)
        self._tending = self._start(f"buffer of {self.name}", run)

    async def _remove_buffer(self, buffer: BufferedOutlet, behind: Behind) -> None:
        """What is in the buffer goes first; then it goes itself."""
        await until_true(lambda: not self._around.is_used(buffer))
        await buffer.drain()
        await self._end(self._tending)
        self.buffer, self.way = None, self.outlet
        behind.open.set()
        delete(buffer.close())
        self._around.metrics.forget_buffer(self.name)
        log.info("sink %s: its disk buffer is empty, and deleted", self.name)

    # The end

    async def retire(self) -> None:
        """Deliver what is still on its way here, close the sink, and end.

        What a sink that is away, or slow, does not take is given up after a while, as ``Outlet.give_up`` says; what is
        in a disk buffer never is. May be cancelled until ``is_closing``: then it goes on as before.
        """
        if self._emptying is not None:
            await asyncio.wait([self._emptying])
        if self.buffer is not None:
            await self._until_unused()
            await self.buffer.drain()
        else:
            await self._until_empty()
        self.is_closing = True
        await self._end(self._tending)
        await self._end(self._writing)
        await self.outlet.give_up(self._around.comes_again)
        await self._until_unused()
        if self.buffer is not None:
            delete(self.buffer.close())
        self._around.metrics.forget("sink", self.name)
        log.info("sink %s: removed", self.name)

    async def _end(self, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def cancel(self) -> None:
        """End everything here at once, as the daemon ends: what is not delivered stays unsettled."""
        for task in (self._writing, self._tending, self._emptying):
            if task is not None:
                task.cancel()

    def close(self) -> None:
        """Let go of the disk buffer, once all tasks have ended."""
        if self.buffer is not None:
            self.buffer.close()

    def revive(self) -> None:
        """It is not to retire after all."""
        if self.buffer is not None:
            self.buffer.go_on()

    async def _until_empty(self) -> None:
        """Until nothing waits, unless the sink is away, or is slow."""
        deadline = time.monotonic() + self._around.grace()
        await until_true(
            lambda: (
                (self.outlet.is_idle and not self._is_used) or not self.outlet.connected or time.monotonic() >= deadline
            )
        )
        if not self.outlet.is_idle:
            log.warning("sink %s: removed while %d record(s) wait for it", self.name, self.outlet.queued_records)

    async def _until_unused(self) -> None:
        await until_true(lambda: not self._is_used)

    @property
    def _is_used(self) -> bool:
        return any(map(self._around.is_used, self._ways))


class Behind:
    """The way past a disk buffer that is taken away: open once nothing is in it any more, so that order is kept."""

    def __init__(self, outlet: Outlet) -> None:
        self.open = asyncio.Event()
        self._outlet = outlet

    async def put(self, part: Part) -> Receipt:
        """Admit a part, once the buffer is empty. Returns its receipt. When cancelled while waiting, the part is not
        admitted."""
        await self.open.wait()
        return await self._outlet.put(part)

    def hurry(self) -> None:
        """What is admitted by now need not wait for company: no more may come."""
        self._outlet.hurry()


async def until_true(condition: Callable[[], bool]) -> None:
    """Look now and then, until it is so: for what ends by itself in the end."""
    while not condition():  # noqa: ASYNC110 - it is made true by any of many, seldom, and nobody hurries
        await asyncio.sleep(LOOK_SECONDS)
