"""What was read from a source and is not safe yet, and its acknowledgement once it is."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from router.batch import Batch
from router.errors import EndOfStream
from router.fate import Fate
from router.gatekeeper import Gatekeeper
from router.interfaces import Settles, Source
from router.metrics import SourceMetrics
from router.settling import Share, safe_in_turn
from router.state import StateDir
from rules.gates import Crossing

log = logging.getLogger(__name__)

UNSETTLED_BATCHES = 256
UNSETTLED_BYTES = 16 << 20
"""So much of a source may be unsettled before no more of it is read."""


@dataclass(slots=True, eq=False)
class Unsettled:
    """A batch whose deliveries are under way: all of them, once it ``is_whole``."""

    batch: Batch
    gates: Gatekeeper | None
    receipts: list[asyncio.Future[None]] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)
    """The receipts, each with the records of the batch that it is about; none where some went back."""
    is_whole: bool = False
    crossing: Crossing | None = None
    """What it has done to the gates of a flow that has any."""
    fate: Fate | None = None
    """Of those of its records that were sampled."""
    told: int = 0
    """How many of its records the source has been told of already that they are safe."""

    @property
    def is_landed(self) -> bool:
        """Whether it is known what became of each delivery that is under way."""
        return all(receipt.done() for receipt in self.receipts)

    @property
    def is_settled(self) -> bool:
        """Whether everything is delivered or a dead letter."""
        return self.is_whole and all(
            receipt.done() and not receipt.cancelled() and receipt.exception() is None for receipt in self.receipts
        )

    async def remember_keys(self, only: frozenset[int] | None = None) -> None:
        """Before who sent records is told that they are safe, their keys are."""
        if self.gates is not None and self.crossing is not None:
            await self.gates.remember(self.crossing, only)

    def forget_keys(self) -> None:
        """Its records will come again: they are no repetitions then."""
        if self.gates is not None and self.crossing is not None:
            self.gates.forget(self.crossing)


class Settler:
    """Keeps count of what is unsettled, bounded, and acknowledges it in the order that the source asks for."""

    def __init__(self, name: str, source: Source, state: StateDir, metrics: SourceMetrics) -> None:
        self.batches = 0
        self.records = 0
        self._name = name
        self._source = source
        self._settles = source if isinstance(source, Settles) else None
        self._state = state
        self._metrics = metrics
        self._bytes = 0
        self._under_way: dict[Unsettled, None] = {}
        self._changed = asyncio.Event()
        self._is_cut_off = False  # a sink has ended: of what it did not take nothing may be acknowledged any more

    async def wait_for_room(self, batch: Batch) -> None:
        """Return once this may be taken in beside all that is unsettled."""
        while self.batches and (self.batches >= UNSETTLED_BATCHES or self._bytes + batch.bytes > UNSETTLED_BYTES):
            self._changed.clear()
            await self._changed.wait()

    async def wait_until_empty(self) -> None:
        """Return once nothing is unsettled."""
        while self._under_way:
            self._changed.clear()
            await self._changed.wait()

    def take_in(self, batch: Batch, gates: Gatekeeper | None) -> Unsettled:
        """From now on this is unsettled. It goes into the queue of ``run`` once it is whole."""
        entry = Unsettled(batch, gates)
        self._under_way[entry] = None
        self._count(batch, 1)
        return entry

    async def run(self, queue: asyncio.Queue[Unsettled | None], work: asyncio.TaskGroup) -> None:
        """Acknowledge what comes through the queue, until None does: in its order, or where the source takes
        acknowledgements in any order as soon as each can be."""
        while (entry := await queue.get()) is not None:
            if self._source.ack_order == "read":
                await self._settle(entry)
                await asyncio.sleep(0)  # many may be safe at once, and each acknowledgement may be made without waiting
            else:
                work.create_task(self._settle(entry), name=f"settling of {self._name}")

    def forget(self) -> None:
        """The epoch has ended, and nothing of it will be acknowledged any more. What cannot be read again stays
        unsettled until its deliveries, which go on, have landed."""
        for entry in list(self._under_way):
            if self._source.replays:
                entry.forget_keys()
                self._leave(entry)
                continue
            for receipt in entry.receipts:
                receipt.add_done_callback(partial(self._land, entry))
            self._land(entry)

    def give_up(self) -> None:
        """Nothing is waited for any more: what is unsettled and cannot be read again is counted as abandoned."""
        if self._source.replays:
            self.forget()
        self._abandon(list(self._under_way))

    async def _settle(self, entry: Unsettled) -> None:
        if self._settles is not None:
            await self._settle_in_turn(self._settles, entry)
        for receipt in entry.receipts:
            if not receipt.done():
                await asyncio.wait([receipt])  # to await it would cancel it together with this task
            try:
                receipt.result()
            except EndOfStream:  # of a sink: the daemon ends, and what goes to others is delivered before
                self._is_cut_off = True
        if self._is_cut_off:
            return
        if entry.fate is not None:
            entry.fate.settled = time.time()
        await self._acknowledge(entry)
        self._leave(entry)

    async def _settle_in_turn(self, source: Settles, entry: Unsettled) -> None:
        """Tell the source of each record as soon as it is safe, but for the last ones, which go with the batch."""
        total = len(entry.batch)
        async for safe in safe_in_turn(total, entry.shares):
            if entry.told + len(safe) < total:
                tell = partial(self._tell, source, entry, safe)
                await self._state.insist(tell, f"source {self._name}: it cannot answer, so it waits")
                entry.told += len(safe)

    async def _tell(self, source: Settles, entry: Unsettled, safe: Sequence[int]) -> None:
        await entry.remember_keys(frozenset(safe))
        await source.settle(entry.batch.token, safe)

    async def _acknowledge(self, entry: Unsettled) -> None:
        """Acknowledge; while the state folder cannot be written, again and again: to read anew would repeat records."""

        async def acknowledge() -> None:
            await entry.remember_keys()
            await self._source.ack(entry.batch.token)

        await self._state.insist(acknowledge, f"source {self._name}: the position cannot be kept, so it waits")

    def _land(self, entry: Unsettled, _: object = None) -> None:
        if entry.is_landed and entry in self._under_way:
            if not entry.is_settled:
                self._abandon([entry])
                entry.forget_keys()
            self._leave(entry)

    def _leave(self, entry: Unsettled) -> None:
        del self._under_way[entry]
        self._count(entry.batch, -1)

    def _count(self, batch: Batch, sign: int) -> None:
        self.batches += sign
        self._bytes += sign * batch.bytes
        self.records += sign * len(batch)
        self._metrics.unacked.set(self.batches)
        self._changed.set()

    def _abandon(self, entries: Sequence[Unsettled]) -> None:
        records = sum(len(entry.batch) - entry.told for entry in entries)
        if records and not self._source.replays:
            self._metrics.abandoned.inc(records)
            log.error("source %s: %d record(s) given up: it cannot replay them", self._name, records)
