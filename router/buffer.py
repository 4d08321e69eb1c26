"""The disk buffer of a sink: what is in it is safe, and goes on from there to the sink, first in, first out.

    put ─► arriving ─► file ─► window ─► outlet ─► sink
                        ▲                             │
                        └── taken away once delivered ┘

A part is admitted to ``arriving`` while the buffer has room, and its receipt completes when it is in the file. What is
on its way from the file to the sink is in the window: bounded, as the outlet's queue is, and taken away from the file
only when it is delivered or dead letters, so that a kill repeats one window at most. A part that is added while
the window has room and nothing waits before it need not be read back from the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import Sequence

from router.admission import Admission
from router.diskbuffer import DiskBuffer
from router.errors import StateError
from router.interfaces import Sink
from router.load import Admitted, Receipt
from router.metrics import Metrics
from router.outlet import Outlet
from router.part import Part
from router.retry import Backoff

log = logging.getLogger(__name__)

GROUP_BYTES = 4 << 20
"""So many bytes of payload are added to the file at once, or one part that is larger."""
FREE_AGAIN = 0.75
"""A buffer that was full is so no longer when no more than this share of it is taken: it is told once, not each time
that a part leaves."""


class BufferedOutlet:
    """The way to one sink by way of its disk buffer, which holds ``limit`` bytes of payload at most.

    ``put`` admits parts; ``run`` is the task that adds them to the file and has the outlet deliver them. With
    ``when_full`` "dead_letter", what finds the buffer full becomes dead letters; with "block" it waits.
    """

    def __init__(self, outlet: Outlet, buffer: DiskBuffer, limit: int, when_full: str, metrics: Metrics) -> None:
        self.name = outlet.name
        self.outlet = outlet
        self.error = ""
        self.full = False
        self._file = buffer
        self._limit = limit
        self._when_full = when_full
        self._metrics = metrics.buffer(outlet.name)
        self._arriving: deque[Admitted] = deque()
        self._arriving_records = 0
        self._arriving_bytes = 0
        self._admission = Admission(self._has_room, self._take)
        # The window: records from the first one of the file up to, without, this one. Of those, what is not handed to
        # the outlet yet is in ``_ready``, and what is and has not come to its end in ``_handed``.
        self._next = buffer.extent.first
        self._window_bytes = 0
        self._ready: deque[tuple[int, Part]] = deque()
        self._handed: deque[tuple[int, Receipt]] = deque()
        self._delivered = buffer.extent.first
        self._draining = False
        self._halted = False
        self._to_commit, self._to_feed, self._to_settle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._changed = asyncio.Event()
        self._metrics.limit.set(limit)
        self._metrics.restored.inc(buffer.extent.records)
        self._count()

    @property
    def records(self) -> int:
        """Records that are in the buffer or on their way into it."""
        return self._file.extent.records + self._arriving_records

    @property
    def bytes(self) -> int:
        """Bytes of payload that are in the buffer or on their way into it."""
        return self._file.extent.bytes + self._arriving_bytes

    def status(self) -> dict[str, object]:
        """The connection, the queue and the buffer, as JSON values."""
        buffer = {
            "file": str(self._file.file),
            "records": self.records,
            "bytes": self.bytes,
            "limit": self._limit,
            "full": self.full,
            "waiting": self._admission.waiting,
            "error": self.error or None,
        }
        return {**self.outlet.status(), "buffer": buffer}

    # Admission

    async def put(self, part: Part) -> Receipt:
        """Admit a part, after all that asked before; waits while the buffer is full. Its receipt completes when it is
        in the file.

        A part larger than the buffer is admitted alone. When cancelled while waiting, the part is not admitted.
        """
        receipt: Receipt = asyncio.get_running_loop().create_future()
        entry = Admitted(part, receipt)
        if self._when_full == "dead_letter" and not self._fits(entry):
            await self.outlet.refuse(entry, "the disk buffer is full")
        else:
            await self._admission.enter(entry)
        return receipt

    def hurry(self) -> None:
        """Nothing waits for company on its way into the buffer."""

    def replace(self, sink: Sink) -> None:
        """Change the sink underneath."""
        self.outlet.replace(sink)

    def _fits(self, entry: Admitted) -> bool:
        fits = not self.bytes or self.bytes + entry.part.batch.bytes <= self._limit
        if not fits and not self.full:
            self.full = True
            log.warning("sink %s: its disk buffer is full: %d record(s), %d bytes", self.name, self.records, self.bytes)
        return fits

    def _has_room(self, entry: Admitted) -> bool:
        batch, policy = entry.part.batch, self.outlet.policy
        return self._fits(entry) and (
            not self._arriving
            or (
                self._arriving_records + len(batch) <= policy.queue_records
                and self._arriving_bytes + batch.bytes <= policy.queue_bytes
            )
        )

    def _take(self, entry: Admitted) -> None:
        self._arriving.append(entry)
        self._arriving_records += len(entry.part.batch)
        self._arriving_bytes += entry.part.batch.bytes
        self._count()
        self._to_commit.set()

    def _count(self) -> None:
        self._metrics.records.set(self.records)
        self._metrics.bytes.set(self.bytes)

    # Running

    async def run(self) -> None:
        """Add what is admitted to the file, and deliver what is in it, until cancelled.

        No failure of the sink or the disk ends it. What is admitted and not in the file when it is cancelled stays
        unsettled; what is in the file stays there.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.outlet.run(), name=f"deliveries from the buffer of {self.name}")
            tasks.create_task(self._commit(), name=f"commits to the buffer of {self.name}")
            tasks.create_task(self._feed(), name=f"feeder from the buffer of {self.name}")
            tasks.create_task(self._settle(), name=f"settler of the buffer of {self.name}")

    async def drain(self) -> None:
        """Return when the buffer is empty; nothing waits for company meanwhile."""
        self._draining = True
        self.outlet.hurry()
        while self.records:
            self._changed.clear()
            await self._changed.wait()

    def halt(self) -> None:
        """Hand no more to the sink: what is in the buffer stays there."""
        self._halted = True
        self.outlet.hurry()

    async def finish(self) -> None:
        """After ``halt()``: return when what the sink was handed is delivered and taken away, so that none of it is
        delivered again; at once while the sink is away."""
        while self.outlet.connected and (self._handed or self._delivered > self._file.extent.first):
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):  # the sink may go away, of which nobody tells
                    await self._changed.wait()

    # Into the file, and out of it

    async def _commit(self) -> None:
        """Add what has arrived, and take away what is delivered: whatever came while the last time took, together.

        While nothing can be added, because the disk is full, what is delivered is taken away all the same.
        """
        backoff, retry_at = Backoff(), 0.0
        while True:
            await self._work(retry_at)
            group = self._group() if time.monotonic() >= retry_at else []
            try:
                await self._commit_once(group)
            except StateError as error:
                self._fail(error, "cannot be written")
                retry_at = time.monotonic() + backoff.next()
                if not group:
                    await asyncio.sleep(retry_at - time.monotonic())
            else:
                if group or not self._arriving:
                    backoff.reset()
                    self.error = ""

    async def _work(self, retry_at: float) -> None:
        """Wait until there is something to take away, or, not before that time, to add."""
        while self._delivered <= self._file.extent.first:
            left = retry_at - time.monotonic() if self._arriving else math.inf
            if left <= 0:
                return
            self._to_commit.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if left == math.inf else left):
                    await self._to_commit.wait()

    async def _commit_once(self, group: Sequence[Admitted]) -> None:
        before = self._file.extent
        parts = [entry.part.freed() for entry in group]
        added = [part for part in parts if part is not None]
        await self._file.commit(added, self._delivered)
        self._window_bytes -= before.bytes + sum(part.batch.bytes for part in added) - self._file.extent.bytes
        number = before.end
        for entry, part in zip(group, parts, strict=True):
            self._arriving.popleft()
            self._arriving_records -= len(entry.part.batch)
            self._arriving_bytes -= entry.part.batch.bytes
            if part is not None:
                self._keep(number, part)
                number += len(part.batch)
            if not entry.receipt.done():
                entry.receipt.set_result(None)
        self._free()

    def _group(self) -> list[Admitted]:
        """What is added next, one part at least if any has arrived."""
        group: list[Admitted] = []
        size = 0
        for entry in self._arriving:
            size += entry.part.batch.bytes
            if group and size > GROUP_BYTES:
                break
            group.append(entry)
        return group

    def _free(self) -> None:
        """There is more room than before, everywhere."""
        self._admission.admit_waiting()
        if self.full and self.bytes <= FREE_AGAIN * self._limit:
            self.full = False
            log.info("sink %s: its disk buffer has room again: %d bytes are in it", self.name, self.bytes)
        self._count()
        self._to_feed.set()
        self._changed.set()

    def _fail(self, error: StateError, what: str) -> None:
        if str(error) != self.error:
            log.error("sink %s: its disk buffer %s, and is tried again: %s", self.name, what, error)
        self.error = str(error)

    # The window

    def _keep(self, number: int, part: Part) -> None:
        """A part that was just added goes on from memory, if it is the next one and there is room."""
        batch, policy = part.batch, self.outlet.policy
        held = self._next - self._file.extent.first
        if number == self._next and (
            held <= 0
            or (held + len(batch) <= policy.queue_records and self._window_bytes + batch.bytes <= policy.queue_bytes)
        ):
            self._enter_window(number, part)

    def _enter_window(self, number: int, part: Part) -> None:
        self._ready.append((number, part))
        self._next = number + len(part.batch)
        self._window_bytes += part.batch.bytes

    async def _feed(self) -> None:
        """Hand the outlet what is in the window, and fill the window from the file."""
        backoff = Backoff()
        while True:
            while self._halted or not (self._ready or self._can_refill()):
                self._to_feed.clear()
                await self._to_feed.wait()
            if self._ready:
                number, part = self._ready[0]
                receipt = await self.outlet.put(part)
                self._ready.popleft()
                self._handed.append((number + len(part.batch), receipt))
                self._to_settle.set()
                if self._draining:
                    self.outlet.hurry()
                continue
            try:
                await self._refill()
                backoff.reset()
            except StateError as error:
                self._fail(error, "cannot be read")
                await asyncio.sleep(backoff.next())

    def _can_refill(self) -> bool:
        """Whether there is more in the file, and the window half empty: so it is read in large pieces."""
        extent, policy = self._file.extent, self.outlet.policy
        return (
            self._next < extent.end
            and self._next - extent.first <= policy.queue_records // 2
            and self._window_bytes <= policy.queue_bytes // 2
        )

    async def _refill(self) -> None:
        policy = self.outlet.policy
        records = policy.queue_records - (self._next - self._file.extent.first)
        for number, part in await self._file.read(self._next, records, policy.queue_bytes - self._window_bytes):
            self._enter_window(number, part)

    async def _settle(self) -> None:
        """Await the receipts of what was handed over, in order; what they are for can be taken away."""
        while True:
            while not self._handed:
                self._to_settle.clear()
                await self._to_settle.wait()
            end, receipt = self._handed[0]
            await asyncio.wait([receipt])  # to await it would cancel it together with this task
            self._handed.popleft()
            self._delivered = end
            self._to_commit.set()
