"""What a test class says of the system behind a source, and how checks work with both."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from connectors.kit.contract import Contract
from connectors.kit.judging import in_good_order, same
from connectors.kit.promise import NOT_PROMISED, BrokenPromise, Unfit
from connectors.memory import MemorySink
from router import Batch, EndOfStream, Source
from router.testing import Line, until

AT_ONCE = "return what was put as soon as it is there"


class SourceSystem(Contract):
    """The base of ``SourceContract``: what a test class may say, beside what ``Contract`` asks."""

    protocol = Source
    abilities: ClassVar[Mapping[str, str]] = {
        "wait": "records cannot be put while the source is open: everything is there when it is made",
        "end": "the stream has no end",
        "keep": "what comes while no connection is open, or is under way when it is closed, is lost",
        "be away": "the system cannot be away when the source opens",
        "go away": "the system cannot go away under an open source",
        "be large": "a record of 1 MiB cannot be put",
        "be binary": "a record with NUL bytes or invalid UTF-8 cannot be put",
    }
    sends_again: ClassVar[bool] = False
    """Whether the system itself sends again what was not acknowledged, though the source does not replay (an HTTP
    client that tries until it gets its answer). The order in which it comes again is not looked at then."""

    async def put(self, values: Sequence[bytes]) -> None:
        """Put these records into the system, after what is there; return when the source can find them.

        For a source that is sent its records: hand them over in the ``background``, as a client would who tries until
        it succeeds.
        """
        raise Unfit(f"{type(self).__name__} should write put(): how {len(values)} records get into the system")

    async def end(self) -> None:
        """After what is there, the stream ends."""
        raise self._unwritten("end", "end")

    async def lose_partition(self) -> None:
        """Take away from the open source every partition that it has. Only for sources that give leases."""
        raise Unfit(f"{type(self).__name__} should write lose_partition(), since {self._name} gives leases")

    # What checks use

    async def _opened(self, values: Sequence[bytes]) -> Any:
        """An open source of these records."""
        __tracebackhide__ = True
        if "wait" in self.cannot:
            await self.put(values)
        source = self._new()
        await self._open(source)
        if "wait" not in self.cannot and values:
            await self.put(values)
        return source

    async def _read(self, source: Any) -> Batch:
        """The next batch, which must be there, in good order."""
        __tracebackhide__ = True
        return self._judged(source, await self._within("read()", source.read(), AT_ONCE))

    def _judged(self, source: Any, batch: Batch) -> Batch:
        """The batch, if it is in good order. Raises BrokenPromise."""
        __tracebackhide__ = True
        in_good_order(self._name, batch, needs_token=bool(source.replays))
        return batch

    async def _collect(self, source: Any, values: Sequence[bytes], *, again: bool = False) -> list[Batch]:
        """The batches that hold exactly these records; ``again``: they were read before."""
        __tracebackhide__ = True
        batches: list[Batch] = []
        found: list[bytes] = []
        while len(found) < len(values):
            try:
                batch = await self._within("read()", source.read(), AT_ONCE)
            except (BrokenPromise, EndOfStream) as error:
                then = error.what if isinstance(error, BrokenPromise) else "EndOfStream"
                so_far = f"{self._name} gave {len(found)} of {len(values)} records that were put; then: {then}"
                raise BrokenPromise(so_far, "every record that was put, as soon as it is there") from error.__cause__
            batches.append(self._judged(source, batch))
            found += batch.values
        if again and self.sends_again:
            found, values = sorted(found), sorted(values)
        same(f"{self._name}.read()", found, values)
        return batches

    async def _rounds(self, values: Sequence[bytes]) -> tuple[Any, list[list[Batch]]]:
        """An open source, and these records in groups of batches, in order, none acknowledged: three, or, where
        everything is there when it opens, one for each batch."""
        __tracebackhide__ = True
        if "wait" in self.cannot:
            source = await self._opened(values)
            return source, [[batch] for batch in await self._collect(source, values)]
        third = len(values) // 3
        source, found = await self._opened([]), []
        for group in (values[:third], values[third : 2 * third], values[2 * third :]):
            await self.put(group)
            found.append(await self._collect(source, group))
        return source, found

    async def _all_come(self, source: Any, values: Sequence[bytes]) -> None:
        __tracebackhide__ = True
        missing = set(values)
        while missing:
            call = f"read(), with {len(missing)} of {len(values)} records still to come,"
            read = self._within(call, source.read(), "give everything that is not acknowledged")
            batch = self._judged(source, await read)
            missing -= set(batch.values)

    async def _ack(self, source: Any, batches: Sequence[Batch]) -> None:
        """Acknowledge, one after the other."""
        __tracebackhide__ = True
        for batch in batches:
            await self._within("ack()", source.ack(batch.token), "return when the position is safe")

    async def _reopened(self, source: Any, *, anew: bool) -> Any:
        """The same source opened again, as after an outage, or a new one, as after a restart."""
        __tracebackhide__ = True
        await self._close(source)
        source = self._new() if anew else source
        await self._open(source)
        return source

    async def _cancel(self, reading: asyncio.Task[Batch]) -> Batch | None:
        """Cancel a read, as on the way to close(). What it gives if it was done at that moment."""
        __tracebackhide__ = True
        reading.cancel()
        call, right = "read(), cancelled,", "let CancelledError through: stopping the daemon waits for it"
        try:
            return await self._within(call, asyncio.shield(reading), right)
        except (asyncio.CancelledError, EndOfStream):
            return None

    def _spare_unless_again(self, source: Any) -> None:
        """Skip the check of a source whose records never come again."""
        if not (source.replays or self.sends_again):
            pytest.skip(f"{NOT_PROMISED}it does not replay, and its system does not send again")

    async def _arrive(self, sink: MemorySink, values: Sequence[bytes]) -> None:
        """Wait until all of these are written to the sink of a line. Raises BrokenPromise."""
        __tracebackhide__ = True

        def missing() -> set[bytes]:
            return set(values) - set(sink.values)

        with contextlib.suppress(TimeoutError):
            return await until(lambda: len(sink.values) >= len(values) and not missing(), self.patience)
        lost = missing()
        raise BrokenPromise(
            f"{len(lost)} of {len(values)} records have not come through the pipeline, such as {min(lost)!r:.100}",
            "begin each open() at the last acknowledged position",
        )

    async def _shows(self, line: Line, *, connected: bool) -> None:
        """Wait until the metrics of a line show the source so. Raises BrokenPromise."""
        __tracebackhide__ = True
        await self._eventually(
            lambda: line.books.sample("sluiceway_connected", kind="source", name="source") == connected,
            lambda: (
                f"the pipeline takes {self._name} for {'not ' if connected else ''}connected ({line.pipeline.error})"
            ),
            "open() returns when the system is there, read() raises NotConnected when it goes",
        )

    async def _use(self, connector: Any) -> None:
        """Read and acknowledge a record, and let a read wait."""
        if "wait" in self.cannot:
            with contextlib.suppress(EndOfStream):
                await self._read(connector)
            return
        self._used = getattr(self, "_used", 0) + 1
        await self.put([self.payload(self._used)])
        await self._ack(connector, await self._collect(connector, [self.payload(self._used)]))
        reading = asyncio.create_task(connector.read(), name="a read that waits")
        await asyncio.sleep(0.01)
        await self._cancel(reading)
