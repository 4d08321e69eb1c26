"""Checks of a sink whose system goes away, and of one that the router writes to."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, ClassVar

from connectors.kit.promise import BrokenPromise, check
from connectors.kit.sink_system import DURABLE, SinkSystem
from connectors.kit.source_routing import complain_of
from connectors.memory import MemorySource
from router import Batch, NotConnected
from router.testing import Line


class Away(SinkSystem):
    """What holds when the system is not there."""

    @check("open", needs=["be away"])
    async def test_a_system_that_is_away_is_not_connected(self) -> None:
        """open() says so, and works once the system is there."""
        sink = self._new()
        await self.go_away()
        for _ in range(2):
            await self._refuses_to_open(sink)
            await self._close(sink)
        await self.come_back()
        await self._open(sink)
        await self._write(sink, self._payloads(3))
        await self._holds(self._payloads(3))

    @check("write", needs=["go away"])
    async def test_a_system_that_goes_away_is_noticed(self) -> None:
        """write() raises NotConnected; after the next open() the same batch is written."""
        sink, values = await self._opened(), self._payloads(20)
        await self._write(sink, values[:10])
        await self.go_away()
        await self._loses_connection(sink, values[10:])
        await self._close(sink)
        await self.come_back()
        await self._open(sink)
        await self._write(sink, values[10:])
        await self._holds(values, once=False)

    async def _loses_connection(self, sink: Any, values: Sequence[bytes]) -> None:
        __tracebackhide__ = True
        right = "raise NotConnected: the router opens the sink again, with backoff, and no record loses an attempt"
        try:
            await self._within("write() while the system is away", sink.write(Batch(list(values))), right)
        except NotConnected:
            return
        raise BrokenPromise(f"{self._name}.write() returns although the system is away", DURABLE)

    @check("open", "write", needs=["go away"])
    async def test_reconnecting_loses_nothing(self) -> None:
        """Behind an outlet, whose system goes away and comes back twice: all in order, none a dead letter."""
        source, values = MemorySource(MemorySource.Config()), self._payloads(60)
        sink = Watched(self._new())
        async with Line(self.folder / "state", source, sink) as line:
            for outage in range(3):
                if outage:
                    await self.go_away()
                some = values[20 * outage : 20 * outage + 20]
                source.push(Batch(some[:10]), Batch(some[10:]))
                if outage:
                    await self._is_tried_again(sink)
                    await self.come_back()
                await self._eventually(
                    lambda count=20 * outage + 20: sum(map(len, source.acked)) == count,  # type: ignore[misc]
                    lambda: f"what was on its way to {self._name} is not written ({line.outlet.error})",
                    "open() connects when the system is there, write() writes",
                )
            letters = [letter.detail for letter in await line.books.letters()]
        if letters:
            raise BrokenPromise(
                f"{len(letters)} record(s) became dead letters in an outage of {self._name}: {letters[0]}",
                "open() raises NotConnected as long as a write cannot succeed",
            )
        await self._holds(values, once=False)

    async def _is_tried_again(self, sink: Watched) -> None:
        """Wait until the router has tried to open the sink a few times while its system is away."""
        __tracebackhide__ = True
        opens, connections = sink.opens, sink.connections
        right = "write() raises NotConnected, and so does open() until the system is back"
        await self._eventually(
            lambda: sink.opens >= opens + 4,
            lambda: f"the router does not open {self._name} again while its system is away",
            right,
        )
        if sink.connections > connections:
            raise BrokenPromise(f"the router takes {self._name} for connected while its system is away", right)


class Routed(SinkSystem):
    """What holds in the router."""

    @check("write")
    async def test_its_metrics_are_complete(self) -> None:
        """Connection, records, bytes, the time of a write, and the queue."""
        source, values = MemorySource(MemorySource.Config()), self._payloads(50)
        connected = {"kind": "sink", "name": "sink"}
        async with Line(self.folder / "state", source, self._new()) as line:
            sample = line.books.sample
            source.push(Batch(values[:25]), Batch(values[25:]))
            await self._eventually(
                lambda: len(source.acked) == 2, lambda: f"{self._name} does not write ({line.outlet.error})", DURABLE
            )
            shown = {"sluiceway_connected": (sample("sluiceway_connected", **connected), 1.0)}
            letters = [letter.detail for letter in await line.books.letters()]
        wanted = {
            "sluiceway_sink_records_total": len(values),
            "sluiceway_sink_bytes_total": sum(map(len, values)),
            "sluiceway_sink_queue_records": 0,
            "sluiceway_sink_queue_bytes": 0,
            "sluiceway_sink_retries_total": 0,
        }
        shown |= {name: (sample(name, sink="sink"), float(value)) for name, value in wanted.items()}
        shown["sluiceway_connected after close()"] = (sample("sluiceway_connected", **connected), 0)
        shown["sluiceway_sink_write_seconds_count > 0"] = (
            sample("sluiceway_sink_write_seconds_count", sink="sink") > 0,
            1,
        )
        shown["dead letters"] = (len(letters), 0)
        complain_of(self._name, len(values), shown)
        await self._holds(values)

    @check("close")
    async def test_a_stop_while_it_writes_leaves_it_closed(self) -> None:
        """Cancelled in the middle of a write, as at a forced stop, it closes, and is of use again."""
        sink, source = Watched(self._new()), MemorySource(MemorySource.Config())
        source.push(Batch(self._payloads(20)))
        with contextlib.suppress(_Stopped):
            async with Line(self.folder / "state", source, sink):
                await self._eventually(lambda: sink.writes, lambda: f"{self._name} does not connect", "connect")
                raise _Stopped
        await self._open(sink)
        await self._write(sink, self._payloads(3, start=100))
        found = list(await self.written())
        if found[-3:] != self._payloads(3, start=100):
            raise BrokenPromise(f"{self._name} has written {found[-3:]!r:.200} last after a stop", "open() begins anew")


class Watched:
    """A sink, and how often the router asked it for something."""

    Config: ClassVar[type[Any]]

    def __init__(self, sink: Any) -> None:
        self.sink = sink
        self.opens = self.connections = self.writes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sink, name)

    async def open(self) -> None:
        """Open it, and count."""
        self.opens += 1
        await self.sink.open()
        self.connections += 1

    async def write(self, batch: Batch) -> None:
        """Count, and write."""
        self.writes += 1
        await self.sink.write(batch)

    async def close(self) -> None:
        """Close it."""
        await self.sink.close()


class _Stopped(Exception):
    """The daemon was stopped for the second time."""
