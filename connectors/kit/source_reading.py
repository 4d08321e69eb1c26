"""Checks of a source alone: reading, acknowledging, its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Generator
from typing import Any

import pytest

from connectors.kit.judging import same
from connectors.kit.promise import NOT_PROMISED, BrokenPromise, check
from connectors.kit.source_system import AT_ONCE, SourceSystem
from router import Batch, EndOfStream

LARGE = b'{"long":"' + b"x" * ((1 << 20) - 11) + b'"}'
"""A record of 1 MiB."""


class Reading(SourceSystem):
    """What reading promises."""

    def test_the_class_says_how_it_acknowledges(self) -> None:
        """``replays`` is a boolean, ``ack_order`` is "read" or "any"."""
        replays, order = getattr(self.connector, "replays", None), getattr(self.connector, "ack_order", None)
        if not isinstance(replays, bool) or order not in ("read", "any"):
            raise BrokenPromise(
                f"{self._name} has replays = {replays!r} and ack_order = {order!r}",
                'replays: ClassVar[bool], and ack_order: ClassVar[Literal["read", "any"]]',
            )

    @check("read")
    async def test_what_is_put_is_read_whole_and_in_order(self) -> None:
        """Every record, once, as it was put, in batches that are in good order."""
        values = self._payloads(300)
        await self._collect(await self._opened(values), values)

    @check("read")
    async def test_payloads_of_every_kind_come_as_they_are(self) -> None:
        """Long ones, and bytes that are no text."""
        values = [self.payload(0)]
        if "be binary" not in self.cannot:
            values += [b"\x00\x01 NUL", b"\xff\xfe no UTF-8", bytes(byte for byte in range(256) if byte not in b"\r\n")]
        if "be large" not in self.cannot:
            values.append(LARGE)
        values.append(self.payload(1))
        await self._collect(await self._opened(values), values)

    @check("read", needs=["wait"])
    async def test_a_read_waits_for_records_without_work(self) -> None:
        """While nothing is there it does not spin, and it returns when something comes."""
        source = await self._opened([])
        read = Counted(source.read())
        reading = asyncio.create_task(read, name="a read that waits")
        shares = []
        for _ in range(3):  # the least of three: other work of the process may fall into one
            began, spent = time.monotonic(), time.process_time()
            await asyncio.sleep(0.1)
            shares.append((time.process_time() - spent) / (time.monotonic() - began))
        if reading.done():
            error = reading.exception()
            what = f"raises {type(error).__name__}: {error}" if error else f"returns {reading.result()!r:.200}"
            raise BrokenPromise(f"{self._name}.read() {what} while nothing is there", "wait until there is a record")
        if min(shares) > 0.2 or read.steps > 300:
            raise BrokenPromise(
                f"a read() of {self._name} that waits goes on {read.steps} times in 0.3 s, and the process uses "
                f"{min(shares):.0%} of a processor",
                "await what brings the next record; where one must look for it, sleep in between",
            )
        await self.put([self.payload(0)])
        batch = self._judged(source, await self._within("read()", reading, AT_ONCE))
        same(f"{self._name}.read()", batch.values, [self.payload(0)])

    @check("read", needs=["wait"])
    async def test_a_cancelled_read_loses_nothing(self) -> None:
        """Cancelled at any moment, closed and opened again, every record comes."""
        source = await self._opened([])
        reading = asyncio.create_task(source.read(), name="a read that is cancelled")
        await asyncio.sleep(0.01)
        await self._cancel(reading)
        source = await self._reopened(source, anew=False)
        open_values: list[bytes] = []
        for turns in (0, 1, 2, 3, 5, 8, 13, 30, 100):
            reading = asyncio.create_task(source.read(), name="a read that is cancelled")
            await asyncio.sleep(0)
            await self.put([self.payload(turns)])
            open_values.append(self.payload(turns))
            for _ in range(turns):
                await asyncio.sleep(0)
            batch = await self._cancel(reading)
            if batch is not None:
                await self._ack(source, [self._judged(source, batch)])
                open_values = [value for value in open_values if value not in batch.values]
            source = await self._reopened(source, anew=False)
        last = self.payload(1000)
        await self.put([last])
        await self._all_come(source, [last] if "keep" in self.cannot else [*open_values, last])

    @check("read", needs=["end"])
    async def test_the_end_is_the_end_every_time(self) -> None:
        """After the last record EndOfStream, again when asked again, and after everything is acknowledged."""
        values = self._payloads(5)
        source = await self._opened(values)
        await self.end()
        batches = await self._collect(source, values)
        for step in ("after the last record", "when asked again"):
            await self._is_at_its_end(source, step)
        await self._ack(source, batches)
        if source.replays:
            await self._is_at_its_end(await self._reopened(source, anew=True), "after a restart")

    async def _is_at_its_end(self, source: Any, step: str) -> None:
        __tracebackhide__ = True
        try:
            batch = await self._within(f"read() {step}", source.read(), "raise EndOfStream")
        except EndOfStream:
            return
        raise BrokenPromise(f"{self._name}.read() {step} gives {batch!r:.200}", "raise EndOfStream")


class Counted(Coroutine[Any, Any, Batch]):
    """A call of ``read()``, and how often it went on. A processor that others use as well hides a call that spins."""

    def __init__(self, call: Coroutine[Any, Any, Batch]) -> None:
        self.call = call
        self.steps = 0

    def send(self, value: Any) -> Any:
        """Go on."""
        self.steps += 1
        return self.call.send(value)

    def throw(self, *error: Any) -> Any:
        """Go on with an error."""
        return self.call.throw(*error)

    def close(self) -> None:
        """End it."""
        self.call.close()

    def __await__(self) -> Generator[Any, Any, Batch]:
        return self.call.__await__()


class Acknowledging(SourceSystem):
    """What acknowledging promises."""

    @check("open", "ack")
    async def test_what_is_not_acknowledged_comes_again(self) -> None:
        """After the next open(), and after a restart: nothing counts as safe before ack() says so."""
        values = self._payloads(30)
        source = await self._opened(values)
        self._spare_unless_again(source)
        await self._collect(source, values)
        for anew in (False, True):
            source = await self._reopened(source, anew=anew)
            await self._collect(source, values, again=True)

    @check("open", "ack")
    async def test_it_goes_on_after_what_was_acknowledged(self) -> None:
        """Opened again, it begins with the first record that was not; what was acknowledged never comes again."""
        values = self._payloads(200)
        source, rounds = await self._rounds(values)
        self._spare_unless_again(source)
        *done, rest = [*rounds, []] if len(rounds) < 2 else rounds
        for batches in done:
            await self._ack(source, batches)
        left = [value for batch in rest for value in batch.values]
        for anew in (False, True):
            source = await self._reopened(source, anew=anew)
            rest = await self._collect(source, left, again=True)
        await self._ack(source, rest)
        await self._has_nothing_more(await self._reopened(source, anew=True))

    async def _has_nothing_more(self, source: Any) -> None:
        __tracebackhide__ = True
        if "wait" not in self.cannot:
            await self.put([self.payload(1000)])
            await self._collect(source, [self.payload(1000)])
            return
        try:
            batch = await self._within("read()", source.read(), "raise EndOfStream")
        except EndOfStream:
            return
        raise BrokenPromise(
            f"{self._name}.read() gives again what was acknowledged: {batch!r:.200}", "raise EndOfStream"
        )

    @check("ack")
    async def test_an_acknowledgement_of_any_order_stands_for_its_batch_alone(self) -> None:
        """With ack_order "any", acknowledging a batch leaves those before it as they were."""
        source, rounds = await self._rounds(self._payloads(30))
        if source.ack_order != "any":
            pytest.skip(f'{NOT_PROMISED}acknowledgements come in the order of reading (ack_order = "read")')
        for batches in reversed(rounds[1:]):
            await self._ack(source, batches[::-1])
        self._spare_unless_again(source)
        first = [value for batch in rounds[0] for value in batch.values]
        await self._collect(await self._reopened(source, anew=False), first, again=True)

    @check("ack")
    async def test_positions_are_small_and_json(self) -> None:
        """What is kept in the router's state comes back as it was, and does not grow with what was read."""
        values = self._payloads(300)
        source = await self._opened(values)
        await self._ack(source, await self._collect(source, values))
        await self._close(source)

    @check("ack", "read", needs=["wait"])
    async def test_an_acknowledgement_may_come_while_a_read_waits(self) -> None:
        """The settler acknowledges beside the reader, who waits most of the time."""
        source = await self._opened(self._payloads(3))
        batches = await self._collect(source, self._payloads(3))
        reading = asyncio.create_task(source.read(), name="a read that waits")
        await asyncio.sleep(0.02)
        await self._ack(source, batches)
        await self.put([self.payload(9)])
        batch = self._judged(source, await self._within("read()", reading, AT_ONCE))
        same(f"{self._name}.read()", batch.values, [self.payload(9)])
