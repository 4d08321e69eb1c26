"""Sources that break one promise each when their system goes away, or in the router, and what the kit is to say."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from broken_sources import BROKEN, fails

from connectors.memory import MemorySource
from router import Batch, Lag, Lease, NotConnected

__all__ = ["BROKEN", "Leasing"]

# Away


class _Unchecked(MemorySource):
    """Does not look whether the system is there."""

    def _check_down(self) -> None:
        if self.down and not self._epoch:
            self.missing()

    def missing(self) -> None:
        """What open() does when the system is away."""


AWAY = "a_system_that_is_away_is_not_connected"


@fails(AWAY, r"open\(\) returns although the system is away")
class OpensNothing(_Unchecked):
    """Shakes no hands."""


@fails(AWAY, r"open\(\) raises ConnectionRefusedError: refused")
class RaisesItsOwn(_Unchecked):
    """Raises what its library does."""

    def missing(self) -> None:
        raise ConnectionRefusedError("refused")


@fails(AWAY, r"open\(\) raises NotConnected without a word")
class SaysNotWhy(_Unchecked):
    """Does not say what is wrong."""

    def missing(self) -> None:
        raise NotConnected


@fails(AWAY, r"open\(\) has not returned")
class WaitsForEver(MemorySource):
    """Waits until the system is there."""

    async def open(self) -> None:
        while self.down:
            await asyncio.sleep(0.01)
        await super().open()


@fails("a_system_that_goes_away_is_noticed", r"when the system goes away, has not returned")
class NoticesNothing(_Unchecked):
    """Waits on, whatever becomes of the connection."""


@fails("a_system_that_goes_away_is_noticed", r"when the system goes away, raises ConnectionResetError")
class RaisesFromRead(_Unchecked):
    """Raises what its library does."""

    def _check_down(self) -> None:
        if self.down:
            raise ConnectionResetError("reset")


@fails("a_system_that_goes_away_is_noticed", r"read\(\) gives Batch")
class GivesRubbish(MemorySource):
    """Takes the end of a connection for a record."""

    async def read(self) -> Batch:
        try:
            return await super().read()
        except NotConnected:
            return Batch([b""], token=0)


@fails("an_acknowledgement_after_the_system_went_away_does_no_harm", "when the system is away, raises RuntimeError")
class AcknowledgesOverAConnection(MemorySource):
    """Writes to a connection that is closed."""

    async def ack(self, token: Any) -> None:
        if self.down:
            raise RuntimeError("the handler is closed")
        await super().ack(token)


@fails("reconnecting_loses_nothing", "1 of 20 records have not come through the pipeline")
class LosesOneInEachOutage(MemorySource):
    """Loses the first of what is new after an outage."""

    async def read(self) -> Batch:
        batch = await super().read()
        given, lost = vars(self).setdefault("given", set()), vars(self).setdefault("lost", 1)
        if self.opens > lost and self._next - 1 not in given:
            self.lost = self.opens
            self._settled.add(self._next - 1)
            batch = await super().read()
        given.add(self._next - 1)
        return batch


@fails("reconnecting_loses_nothing", "for not connected")
class ConnectsOnce(MemorySource):
    """Never comes back."""

    async def open(self) -> None:
        await super().open()
        if self.opens > 1:
            raise NotConnected("spent")


# In the router


LAG = "lag_may_be_asked_at_any_time"


@fails(LAG, r"lag\(\) before open\(\) raises ValueError")
class LagsWhenOpen(MemorySource):
    """Asks a connection that is not there."""

    async def lag(self) -> Sequence[Lag]:
        self._check_open()
        return ()


@fails(LAG, "lag.. after open.. is .*records=-1")
class LagsBehindNothing(MemorySource):
    """Is ahead of its end."""

    async def lag(self) -> Sequence[Lag]:
        return [Lag("0", records=-1)] if self._epoch else []


@fails(LAG, "names a partition twice")
class LagsTwice(MemorySource):
    """Counts a partition twice."""

    async def lag(self) -> Sequence[Lag]:
        return [Lag("0", records=1), Lag("0", records=2)]


@fails(LAG, "lag.. before open.. is 5")
class LagsByANumber(MemorySource):
    """Gives a number."""

    async def lag(self) -> Any:
        return 5


@fails(LAG, r"lag\(\) beside a read\(\) that waits has not returned")
class LagsBetweenReads(MemorySource):
    """Holds its connection while it waits."""

    lock = asyncio.Lock()

    async def read(self) -> Batch:
        async with self.lock:
            return await super().read()

    async def lag(self) -> Sequence[Lag]:
        async with self.lock:
            return ()


@fails("a_cancelled_lag_does_no_harm", "raises ValueError: the answer to another question")
class LagsOutOfStep(MemorySource):
    """Leaves the answer to a question that it gave up to the next one."""

    asked = False

    async def lag(self) -> Sequence[Lag]:
        self.asked = True
        await asyncio.sleep(0.05)
        self.asked = False
        return ()

    async def read(self) -> Batch:
        if self.asked:
            raise ValueError("the answer to another question")
        return await super().read()


@fails("a_cancelled_lag_does_no_harm", "lag.., cancelled, has not returned")
class LagsOn(MemorySource):
    """Swallows the cancellation."""

    async def lag(self) -> Sequence[Lag]:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            await asyncio.sleep(60)
        return ()


class _LagsBy(MemorySource):
    behind = 0

    async def lag(self) -> Sequence[Lag]:
        return [Lag("0", records=self.behind)]


@fails("lag_counts_what_is_not_acknowledged_and_nothing_else", "with 10 records read and not acknowledged")
class LagsNever(_LagsBy):
    """Counts from where it reads."""


@fails("lag_counts_what_is_not_acknowledged_and_nothing_else", "when everything is acknowledged")
class LagsAlways(_LagsBy):
    """Never comes to its end."""

    behind = 7


@fails("its_metrics_are_complete", "sluiceway_source_lag_records of '0' is 7, not 0")
class ShowsLag(LagsAlways):
    """Never comes to its end."""


@fails("its_metrics_are_complete", "sluiceway_source_records_total is 100, not 50")
class Repeats(MemorySource):
    """Gives everything twice."""

    async def read(self) -> Batch:
        self.calls = vars(self).get("calls", 0) + 1
        if self.calls % 2:
            self.last = await super().read()
            return self.last
        return replace(self.last, token=None)

    async def ack(self, token: Any) -> None:
        if token is not None:
            await super().ack(token)


class Leasing(MemorySource):
    """Gives leases of its one partition, and loses it: as it should be."""

    lease = Lease("0")

    async def read(self) -> Batch:
        batch = await super().read()
        return replace(batch, leases=[self.lease] * len(batch))

    def lose(self) -> None:
        """Somebody else has the partition."""
        self.lease.revoke()


@fails("a_lost_partition_revokes_its_leases", "has not revoked the leases")
class KeepsItsLeases(Leasing):
    """Does not revoke."""

    def lose(self) -> None:
        return


@fails("a_lost_partition_revokes_its_leases", "2 record.s. of partitions that LeasesSome lost are delivered")
class LeasesSome(Leasing):
    """Gives leases for some records only."""

    async def read(self) -> Batch:
        batch = await super().read()
        return batch if self._next == 1 else replace(batch, leases=None)


@fails("a_sink_that_hangs_stops_the_reading", "gives a batch of 21 records and 20971.* bytes")
class GivesAllAtOnce(MemorySource):
    """Gives everything as one batch."""

    async def read(self) -> Batch:
        first = await super().read()
        rest = [step for step in self._steps[self._next :] if isinstance(step, Batch)]
        self._next = len(self._steps)
        values = [value for batch in [first, *rest] for value in batch.values]
        return replace(first, values=values, token=(self._epoch, self._next - 1))
