"""The disk buffer of a sink: what is in it is safe, and goes on from there to the sink, first in, first out.

    put ─► arriving ─► file ─► window ─► outlet ─► sink
               │        ▲        ▲          │
               └────────┼────────┘          │
                        └── taken away ◄────┘

A part is admitted to ``arriving`` while the buffer has room. Its receipt completes when it is in the file, or when it
has come to its end, whichever is first: while the sink keeps up, parts go straight on to the window, and most are
delivered before they would be written to disk, so that a buffer costs little until it is needed, and a disk that fails
does not stop a sink that works. Once the sink falls behind, parts wait in the file alone, and come to the window from
there.

The window is bounded as the outlet's queue is, and a part is taken away from the file only when it is delivered: so a
kill repeats one window at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from router.admission import Admission
from router.diskbuffer import DiskBuffer
from router.errors import StateError
from router.load import Admitted, Receipt
from router.metrics import Metrics
from router.outlet import Outlet
from router.part import Part
from router.retry import Backoff
from router.window import Passage, Window

log = logging.getLogger(__name__)

SOON = 0.02
"""So many seconds a sink that keeps up has to take a part before the part is written to disk."""
GROUP_BYTES = 4 << 20
"""So many bytes of payload are added to the file at once, or one part that is larger."""
FREE_AGAIN = 0.75
"""A buffer that was full is so no longer when no more than this share of it is taken: it is told once, not each time
that a part leaves."""


class BufferedOutlet:
    """The way to one sink by way of its disk buffer, which holds ``limit`` bytes of payload at most.

    ``put`` admits parts; ``run`` is the task that adds them to the file and has the outlet deliver them. With
    ``when_full`` "dead_letter", what finds the buffer full becomes dead letters; with "block" it waits. A sink that
    keeps up has ``soon`` seconds to take a part before it is written to disk.
    """

    def __init__(
        self, outlet: Outlet, buffer: DiskBuffer, limit: int, when_full: str, metrics: Metrics, *, soon: float = SOON
    ) -> None:
        self.name = outlet.name
        self.outlet = outlet
        self.error = ""
        self.full = False
        self._file = buffer
        self._limit = limit
        self._when_full = when_full
        self._soon = soon
        self._metrics = metrics.buffer(outlet.name)
        self._arriving: deque[Passage] = deque()
        self._arriving_records = 0
        self._arriving_bytes = 0
        self._committing = False
        self._admission = Admission(self._has_room, self._take)
        self._window = Window(outlet.policy.queue_records, outlet.policy.queue_bytes)
        # Records of the file up to, without, these numbers have entered the window, and are delivered.
        self._entered = self._delivered = buffer.extent.first
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
        in the file, or delivered.

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

    def change(self, limit: int, when_full: str) -> None:
        """From now on, hold so many bytes of payload, and do that when it is full; the outlet's policy has changed
        before."""
        self._limit, self._when_full = limit, when_full
        self._window.bound(self.outlet.policy.queue_records, self.outlet.policy.queue_bytes)
        self._metrics.limit.set(limit)
        self._free()

    @property
    def lags(self) -> bool:
        """Whether records wait in it because the sink is away, or does not keep up."""
        is_behind = not self.outlet.connected or self._entered < self._file.extent.end
        return bool(self.records) and is_behind

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in it, nobody waits to put something there, and nothing is to be done about it."""
        return not (self.records or self._admission.waiting or self._is_unfinished())

    def close(self) -> Path:
        """Let go of the file, and say which it is."""
        self._file.close()
        return self._file.file

    def _fits(self, entry: Admitted) -> bool:
        fits = not self.bytes or self.bytes + entry.part.batch.bytes <= self._limit
        if not fits and not self.full:
            self.full = True
            log.warning("sink %s: its disk buffer is full: %d record(s), %d bytes", self.name, self.records, self.bytes)
        return fits

    def _has_room(self, entry: Admitted) -> bool:
        batch, policy = entry.part.batch, self.outlet.policy
        return self._fits(entry) and (
            not self._arriving_records
            or (
                self._arriving_records + len(batch) <= policy.queue_records
                and self._arriving_bytes + batch.bytes <= policy.queue_bytes
            )
        )

    def _take(self, entry: Admitted) -> None:
        passage, batch = Passage(entry.part, entry.receipt, entry.since), entry.part.batch
        self._arriving.append(passage)
        self._arriving_records += len(batch)
        self._arriving_bytes += batch.bytes
        if len(self._arriving) == 1 or self._arriving[-2].entered:
            self._try_enter(passage)
        self._count()
        if self._arriving[0] is passage:  # when it has to be in the file depends on the first one
            self._to_commit.set()

    def _try_enter(self, passage: Passage) -> bool:
        """What comes next enters the window from memory, if nothing waits before it in the file and there is room."""
        # Whose lease can be revoked waits for the file: from then on nobody else will deliver it.
        is_bound = passage.part.batch.leases is not None or passage.committing
        if is_bound or self._entered < self._file.extent.end or not self._window.has_room(passage.part):
            return False
        self._window.enter(passage)
        self._to_feed.set()
        return True

    def _go_on(self) -> None:
        """There is room in the window: what has arrived and could not enter it at once does so now."""
        if self._arriving and not self._arriving[-1].entered:
            for passage in self._arriving:
                if not passage.entered and not self._try_enter(passage):
                    break

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
            tasks.create_task(self.tend(), name=f"buffer of {self.name}")

    async def tend(self) -> None:
        """The same while somebody else runs the outlet."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._commit(), name=f"commits to the buffer of {self.name}")
            tasks.create_task(self._feed(), name=f"feeder from the buffer of {self.name}")
            tasks.create_task(self._settle(), name=f"settler of the buffer of {self.name}")

    async def drain(self) -> None:
        """Return when the buffer is empty; nothing waits for company meanwhile."""
        self._draining = True
        self.outlet.hurry()
        while self.records or self._is_unfinished():
            self._changed.clear()
            await self._changed.wait()

    def go_on(self) -> None:
        """After ``drain()``, which was cancelled: parts wait for company again."""
        self._draining = False

    def halt(self) -> None:
        """Hand no more to the sink: what is in the buffer stays there."""
        self._halted = True
        self.outlet.hurry()

    async def finish(self) -> None:
        """After ``halt()``: return when what the sink was handed is delivered and taken away, so that none of it is
        delivered again; at once while the sink is away."""
        while self._is_unfinished() or (self.outlet.connected and self._window.handed):
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):  # the sink may go away, of which nobody tells
                    await self._changed.wait()

    def _is_unfinished(self) -> bool:
        """Whether something delivered may be in the file."""
        return self._committing or self._delivered > self._file.extent.first

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
                self._leave()  # what was delivered meanwhile
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
            left = max(retry_at, self._due()) - time.monotonic()
            if left <= 0:
                return
            self._to_commit.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if left == math.inf else left):
                    await self._to_commit.wait()

    def _due(self) -> float:
        """When there will be something to add, by the monotonic clock."""
        self._drop_delivered()
        if not self._arriving:
            return math.inf
        first = self._arriving[0]
        return first.since + self._soon if first.entered and self.outlet.connected else 0.0

    def _drop_delivered(self) -> None:
        while self._arriving and self._arriving[0].delivered:
            self._arriving.popleft()

    def _group(self) -> list[Passage]:
        """What is added next, one part at least if any has arrived."""
        self._drop_delivered()
        group: list[Passage] = []
        size = 0
        for passage in self._arriving:
            size += passage.part.batch.bytes
            if group and size > GROUP_BYTES:
                break
            group.append(passage)
        return group

    async def _commit_once(self, group: Sequence[Passage]) -> None:
        number, delivered = self._file.extent.end, self._delivered
        self._set_committing(group, True)
        try:
            added = await self._file.commit([passage.part for passage in group], delivered)
        finally:
            self._set_committing(group, False)
        for passage, part in zip(group, added, strict=True):
            self._arriving.popleft()
            self._metrics.revoked.inc(len(passage.part.batch) - (0 if part is None else len(part.batch)))
            if not passage.delivered:
                self._complete(passage)
            if part is not None:
                passage.part = part
                number += len(part.batch)
                self._added(passage, number)
        self._window.take_away(delivered)
        self._free()

    def _set_committing(self, group: Sequence[Passage], committing: bool) -> None:
        self._committing = committing
        for passage in group:
            passage.committing = committing

    def _complete(self, passage: Passage) -> None:
        """A part that had arrived is safe."""
        self._arriving_records -= len(passage.part.batch)
        self._arriving_bytes -= passage.part.batch.bytes
        if passage.receipt is not None and not passage.receipt.done():
            passage.receipt.set_result(None)

    def _added(self, passage: Passage, end: int) -> None:
        """A part is in the file. If it is the next one and there is room, it goes on from memory, unless it did so
        already."""
        start = end - len(passage.part.batch)
        if not passage.entered and start == self._entered and self._window.has_room(passage.part):
            self._window.enter(passage)
        passage.end = end
        if passage.entered:
            self._entered = end
        if passage.delivered:
            self._delivered = end

    def _free(self) -> None:
        """There is more room than before, everywhere."""
        self._go_on()
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

    async def _feed(self) -> None:
        """Hand the outlet what is in the window, and fill the window from the file."""
        backoff = Backoff()
        while True:
            while self._halted or not (self._window.ready or self._can_refill()):
                self._to_feed.clear()
                await self._to_feed.wait()
            if self._window.ready:
                self._window.hand(await self.outlet.put(self._window.ready[0].part))
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
        """Whether there is more in the file, and much room: it is read in large pieces."""
        return self._entered < self._file.extent.end and self._window.is_half_empty

    async def _refill(self) -> None:
        for number, part in await self._file.read(self._entered, *self._window.room):
            self._entered = number + len(part.batch)
            self._window.enter(Passage(part, end=self._entered))

    async def _settle(self) -> None:
        """Await the receipts of what was handed over, in order, and have it taken away."""
        while True:
            while not self._window.handed:
                self._to_settle.clear()
                await self._to_settle.wait()
            receipt = self._window.handed[0][1]
            await asyncio.wait([receipt])  # to await it would cancel it together with this task
            if receipt.exception() is not None:
                return  # the sink has ended: what is in the file stays there
            self._settle_delivered(self._window.deliver())

    def _settle_delivered(self, passage: Passage) -> None:
        if passage.end is not None:
            self._delivered = passage.end
            self._to_commit.set()
            return
        self._complete(passage)
        if not passage.committing:
            self._leave()

    def _leave(self) -> None:
        """What is delivered and not in the file makes room."""
        self._window.take_away(self._file.extent.first)
        self._free()
