"""Checks of a source whose system goes away, and of one that the router reads: outages, lag, leases, metrics."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import pytest

from connectors.kit.promise import NOT_PROMISED, BrokenPromise, check
from connectors.kit.source_reading import LARGE
from connectors.kit.source_system import SourceSystem
from connectors.memory import MemorySink
from router import Batch, EndOfStream, Lag, Lease, NotConnected
from router.testing import Books, Line, part_of, running

QUEUE = {"queue_records": 50, "queue_bytes": 1 << 16, "batch_records": 50}
"""A queue that is soon full."""


class Away(SourceSystem):
    """What holds when the system is not there."""

    @check("open", needs=["be away"])
    async def test_a_system_that_is_away_is_not_connected(self) -> None:
        """open() says so, and works once the system is there."""
        source = self._new()
        await self.go_away()
        for _ in range(2):
            await self._refuses_to_open(source)
            await self._close(source)
        await self.come_back()
        await self._open(source)
        if "wait" not in self.cannot:
            await self.put(self._payloads(3))
            await self._collect(source, self._payloads(3))

    @check("read", needs=["go away", "wait"])
    async def test_a_system_that_goes_away_is_noticed(self) -> None:
        """A read that waits raises NotConnected, and the next open() goes on."""
        source = await self._opened([])
        reading = asyncio.create_task(source.read(), name="a read that waits")
        await asyncio.sleep(0.02)
        await self.go_away()
        await self._loses_connection(reading)
        await self._close(source)
        await self.come_back()
        await self._open(source)
        await self.put(self._payloads(3))
        await self._collect(source, self._payloads(3))

    @check("ack", "read", needs=["go away", "wait"])
    async def test_an_acknowledgement_after_the_system_went_away_does_no_harm(self) -> None:
        """It returns, or raises NotConnected; what was not acknowledged comes again, acknowledged or not."""
        source = await self._opened(self._payloads(3))
        batches = await self._collect(source, self._payloads(3))
        reading = asyncio.create_task(source.read(), name="a read that waits")
        await self.go_away()
        await self._loses_connection(reading)
        for batch in batches:
            with contextlib.suppress(NotConnected):
                await self._within("ack(), when the system is away,", source.ack(batch.token), "raise NotConnected")
        await self._close(source)
        await self.come_back()
        await self._open(source)
        await self.put(self._payloads(3, start=10))
        await self._all_come(source, self._payloads(3, start=10))

    async def _loses_connection(self, reading: asyncio.Task[Batch]) -> None:
        __tracebackhide__ = True
        right = "raise NotConnected: the router opens the source again, with backoff, for as long as it takes"
        try:
            batch = await self._within("read(), when the system goes away,", reading, right)
        except NotConnected:
            return
        except EndOfStream as error:
            raise BrokenPromise(f"{self._name}.read() raises EndOfStream when the system goes away", right) from error
        raise BrokenPromise(f"{self._name}.read() gives {batch!r:.200} when the system goes away", right)

    @check("open", "read", needs=["go away", "wait"])
    async def test_reconnecting_loses_nothing(self) -> None:
        """In a pipeline, whose system goes away and comes back twice."""
        sink = MemorySink(MemorySink.Config())
        async with Line(self.folder / "state", self._new(), sink) as line:
            for outage in range(3):
                if outage:
                    await self.go_away()
                    await self._shows(line, connected=False)
                    await self.come_back()
                await self._shows(line, connected=True)
                values = self._payloads(20, start=100 * outage)
                await self.put(values)
                await self._arrive(sink, values)


class Routed(SourceSystem):
    """What holds in the router."""

    @check("lag")
    async def test_lag_may_be_asked_at_any_time(self) -> None:
        """Before open(), beside a read() that waits, and after close(); what it says is never negative."""
        source = self._new()
        await self._lag(source, "before open()")
        await self._open(source)
        await self._lag(source, "after open()")
        if "wait" not in self.cannot:
            reading = asyncio.create_task(source.read(), name="a read that waits")
            for _ in range(5):
                await asyncio.sleep(0.002)
                await self._lag(source, "beside a read() that waits")
            await self.put(self._payloads(2))
            await self._within("read()", reading, "return what was put, whoever asks for the lag meanwhile")
            await self._lag(source, "after read()")
        await self._close(source)
        await self._lag(source, "after close()")

    @check("lag")
    async def test_lag_counts_what_is_not_acknowledged_and_nothing_else(self) -> None:
        """What is read still counts; when everything is acknowledged, nothing does."""
        values = self._payloads(10)
        source = await self._opened(values)
        batches = await self._collect(source, values)
        lags = await self._lag(source, "before ack()")
        if any(lag.records is not None for lag in lags) and not sum(lag.records or 0 for lag in lags):
            raise BrokenPromise(
                f"{self._name}.lag() is {lags} with {len(values)} records read and not acknowledged",
                "count from the acknowledged position, not from that of reading",
            )
        await self._ack(source, batches)
        deadline = time.monotonic() + self.patience
        while any(lag.records or lag.bytes or lag.seconds for lag in lags):
            if time.monotonic() > deadline:
                raise BrokenPromise(
                    f"{self._name}.lag() is {lags} when everything is acknowledged", "0: alerts watch it"
                )
            await asyncio.sleep(0.02)
            lags = await self._lag(source, "after ack()")

    @check("lag")
    async def test_a_cancelled_lag_does_no_harm(self) -> None:
        """It is given up when it takes long: what is read and acknowledged afterwards is as if nobody had asked."""
        values = self._payloads(4)
        source = await self._opened(values)
        for turns in (0, 1, 2, 5):
            asking = asyncio.create_task(source.lag(), name="a lag that is cancelled")
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            await self._within("lag(), cancelled,", asyncio.wait([asking]), "let CancelledError through")
        try:
            batches = await self._collect(source, values)
        except NotConnected:  # a connection that is no longer in step is best ended
            source = await self._reopened(source, anew=False)
            if not (source.replays or self.sends_again):
                await self.put(values)
            batches = await self._collect(source, values, again=True)
        await self._ack(source, batches)

    async def _lag(self, source: Any, step: str) -> Sequence[Lag]:
        __tracebackhide__ = True
        right = "a sequence of router.Lag, one for each partition; an empty one when nothing is known"
        try:
            lags: Sequence[Lag] = await self._within(f"lag() {step}", source.lag(), right)
        except NotConnected as error:
            raise BrokenPromise(f"{self._name}.lag() {step} raises NotConnected", right) from error
        if not isinstance(lags, Sequence) or not all(
            isinstance(lag, Lag) and type(lag.partition) is str for lag in lags
        ):
            raise BrokenPromise(f"{self._name}.lag() {step} is {lags!r:.200}", right)
        if any((value or 0) < 0 for lag in lags for value in (lag.records, lag.seconds, lag.bytes)):
            raise BrokenPromise(f"{self._name}.lag() {step} is {lags}", "0 or more; None for what is not known")
        if len({lag.partition for lag in lags}) < len(lags):
            raise BrokenPromise(f"{self._name}.lag() {step} names a partition twice: {lags}", "one entry for each")
        return lags

    @check("read")
    async def test_a_lost_partition_revokes_its_leases(self) -> None:
        """What was read of a partition that somebody else has now is not delivered any more."""
        source = await self._opened(self._payloads(3))
        batches = await self._collect(source, self._payloads(3))
        leases = [lease for batch in batches for lease in batch.leases or () if isinstance(lease, Lease)]
        if not leases:
            pytest.skip(f"{NOT_PROMISED}it gives no leases")
        reading = asyncio.create_task(source.read(), name="a read that waits")
        await self.lose_partition()
        await self._eventually(
            lambda: all(lease.revoked for lease in leases),
            lambda: f"{self._name} has not revoked the leases of the partitions that it lost",
            "lease.revoke() as soon as the partition is lost, before anything else",
        )
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        delivered = await self._deliver(batches)
        if delivered:
            raise BrokenPromise(
                f"{len(delivered)} record(s) of partitions that {self._name} lost are delivered: {delivered[0]!r}",
                "a lease in batch.leases for every record of a partition that can be lost",
            )

    async def _deliver(self, batches: Sequence[Batch]) -> list[bytes]:
        """What an outlet delivers of these."""
        sink = MemorySink(MemorySink.Config())
        books = Books(self.folder / "state")
        try:
            outlet = books.outlet("sink", sink)
            async with running(outlet.run):
                for batch in batches:
                    await (await outlet.put(part_of(batch)))
        finally:
            books.close()
        return sink.values

    @check("read")
    async def test_a_sink_that_hangs_stops_the_reading(self) -> None:
        """Batches are bounded: no more is read than the queue takes, and when the sink goes on, everything comes."""
        values = self._payloads(2000) if "be large" in self.cannot else _flood(self.payload(0))
        source, sink, gate = Watched(self._new()), MemorySink(MemorySink.Config()), asyncio.Event()
        async with self._routed(source, sink, gate, values):
            seen = -1
            while seen != len(source.batches):
                seen = len(source.batches)
                await asyncio.sleep(0.1)
            sizes = [self._judged(source, batch).bytes for batch in source.batches]
            gate.set()
            await self._arrive(sink, values)
        if sum(sizes) > QUEUE["queue_bytes"] + 2 * max(sizes):
            raise BrokenPromise(
                f"{sum(sizes)} bytes were read of {self._name} while the sink hung",
                "read() gives one batch for each call",
            )

    @contextlib.asynccontextmanager
    async def _routed(
        self, source: Watched, sink: MemorySink, gate: asyncio.Event, values: Sequence[bytes]
    ) -> AsyncIterator[Line]:
        """These records on their way to the sink, where the first write hangs until the gate is open."""

        async def hang(_batch: Batch) -> None:
            await gate.wait()

        sink.on_write = hang
        if "wait" in self.cannot:
            await self.put(values)
            source.source = self._new()
        async with Line(self.folder / "state", source, sink, **QUEUE) as line:
            await self._shows(line, connected=True)
            if "wait" not in self.cannot:
                self.background(self.put(values))
            await self._eventually(lambda: sink.writes, lambda: f"nothing comes from {self._name}", "give what was put")
            yield line

    @check("lag")
    async def test_its_metrics_are_complete(self) -> None:
        """Connection, records, bytes, what is unacknowledged, and lag; a stop ends a read that waits."""
        values = self._payloads(50)
        source, sink, gate = Watched(self._new()), MemorySink(MemorySink.Config()), asyncio.Event()
        async with self._routed(source, sink, gate, values) as line:
            sample = line.books.sample
            connected = ("sluiceway_connected", {"kind": "source", "name": "source"})
            shown = {
                "sluiceway_connected": (sample(connected[0], **connected[1]), 1),
                "sluiceway_source_unacked_batches > 0": (
                    sample("sluiceway_source_unacked_batches", source="source") > 0,
                    1,
                ),
            }
            gate.set()
            await self._arrive(sink, values)
        wanted = {
            "sluiceway_source_records_total": len(values),
            "sluiceway_source_bytes_total": sum(map(len, values)),
            "sluiceway_source_unacked_batches": 0,
        }
        shown |= {name: (sample(name, source="source"), value) for name, value in wanted.items()}
        shown["sluiceway_connected after close()"] = (sample(connected[0], **connected[1]), 0)
        for lag in source.lags:
            labels = {"source": "source", "partition": lag.partition}
            for unit in ("records", "bytes", "seconds"):
                if getattr(lag, unit) is not None:
                    name = f"sluiceway_source_lag_{unit}"
                    shown[f"{name} of {lag.partition!r}"] = (sample(name, **labels), 0)
        complain_of(self._name, len(values), shown)


class Watched:
    """A source, and what the router did with it."""

    Config: ClassVar[type[Any]]
    replays: ClassVar[bool]
    ack_order: ClassVar[Literal["read", "any"]]

    def __init__(self, source: Any) -> None:
        self.source = source
        self.batches: list[Batch] = []
        self.lags: Sequence[Lag] = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    async def read(self) -> Batch:
        """Read, and keep the batch."""
        batch: Batch = await self.source.read()
        self.batches.append(batch)
        return batch

    async def lag(self) -> Sequence[Lag]:
        """Ask for the lag, and keep the answer."""
        self.lags = await self.source.lag()
        return self.lags

    async def open(self) -> None:
        """Open it."""
        await self.source.open()

    async def ack(self, token: Any) -> None:
        """Acknowledge."""
        await self.source.ack(token)

    async def close(self) -> None:
        """Close it."""
        await self.source.close()


def complain_of(name: str, records: int, shown: Mapping[str, tuple[float, float]]) -> None:
    """Raise BrokenPromise that names the metrics which are not what they should be."""
    wrong = [f"{metric} is {found:g}, not {wanted:g}" for metric, (found, wanted) in shown.items() if found != wanted]
    if wrong:
        raise BrokenPromise(
            f"after {records} records by way of {name}: {'; '.join(wrong)}",
            "every record once; an open connector is connected until it is closed; no lag when all are acknowledged",
        )


def _flood(small: bytes) -> list[bytes]:
    """More than two batches may hold."""
    return [small, *(b"%06d" % number + LARGE[6:] for number in range(20))]
