"""Checks of a sink alone: what is written, what is refused, what a cancelled write leaves."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest

from connectors.kit.judging import alike, same
from connectors.kit.promise import NOT_PROMISED, BrokenPromise, Unfit, check
from connectors.kit.sink_system import SinkSystem
from router import Batch, Constant, Lease, NotConnected, WriteError

KINDS = {
    "an empty payload": b"",
    "a text of other scripts": "Grüße, 世界, नमस्ते, 😀".encode(),
    "NUL bytes": b"a\x00b\x00",
    "bytes that are no UTF-8": b"\xff\xfe\x80",
    "newlines": b"one\ntwo\r\nthree\n",
    "JSON of several lines": b'{\n  "a": [1,\r\n 2.50]\n}',
    "white space at both ends": b" \t x \t ",
    "1 MiB": b'{"long":"' + b"x" * ((1 << 20) - 11) + b'"}',
}


class Writing(SinkSystem):
    """What writing promises."""

    @check("write")
    async def test_what_is_written_is_there_when_write_returns(self) -> None:
        """For anybody else to see, every record once, in order."""
        sink, values = await self._opened(), self._payloads(30)
        for end in (1, 10, 30):
            start = {1: 0, 10: 1, 30: 10}[end]
            await self._write(sink, values[start:end])
            await self._holds(values[:end])

    @check("write")
    async def test_a_full_batch_is_written(self) -> None:
        """10,000 records in one write, the router's default."""
        sink, values = await self._opened(), self._payloads(10_000)
        await self._write(sink, values)
        await self._holds(values)

    @check("write")
    async def test_payloads_of_every_kind_are_written_or_refused(self) -> None:
        """Each exactly as it is, or named by a WriteError that is not retryable, its neighbours written."""
        sink = await self._opened()
        wanted: list[bytes] = []
        for number, (kind, value) in enumerate(KINDS.items()):
            before, after = self._payloads(2, start=2 * number)
            refused = await self._is_refused(sink, kind, [before, value, after])
            wanted += [before, after] if refused else [before, value, after]
        found = list(await self.written())
        if len(found) == len(wanted):  # JSON of several lines may have become one
            found = [b if alike(a, b) else a for a, b in zip(found, wanted, strict=True)]
        same(f"{self._name}.write()", found, wanted)

    async def _is_refused(self, sink: Any, kind: str, values: list[bytes]) -> bool:
        __tracebackhide__ = True
        right = "write it as it is, or WriteError({index: reason}, retryable=False)"
        try:
            await self._within(f"write() of {kind}", sink.write(Batch(values)), right)
        except WriteError as error:
            if set(error.failed) != {1} or error.retryable or not all(error.failed.values()):
                raise BrokenPromise(
                    f"{self._name}.write() of {kind} between two good records raises WriteError({error.failed}, "
                    f"retryable={error.retryable})",
                    "WriteError({1: the reason}, retryable=False), and the two others written",
                ) from error
            return True
        return False

    @check("write")
    async def test_columns_that_it_has_no_use_for_do_no_harm(self) -> None:
        """Keys, headers, times and leases, with gaps or the same for all."""
        sink, values = await self._opened(), self._payloads(6)
        lease = Lease("0")
        await self._write(
            sink,
            Batch(
                values[:3],
                keys=[b"k", None, b"\xff"],
                headers=[[("a", b"1"), ("a", b"2")], None, []],
                times=[time.time_ns(), None, time.time_ns()],
                leases=[lease, None, lease],
            ),
        )
        await self._write(
            sink, Batch(values[3:], keys=Constant(b"k", 3), headers=Constant([("a", b"1")], 3), times=Constant(None, 3))
        )
        await self._holds(values)

    @check("write", needs=["refuse"])
    async def test_an_impossible_record_fails_alone(self) -> None:
        """It is named with its reason, for good; all others of the batch are durable."""
        if self.impossible is None:
            raise Unfit(f"{type(self).__name__}.impossible should be a payload that the system refuses; else say in "
                        "`cannot` why there is none, under 'refuse'")  # fmt: skip
        sink, values = await self._opened(), self._payloads(6)
        if not await self._is_refused(sink, "an impossible record", [values[0], self.impossible, values[1]]):
            raise BrokenPromise(
                f"{self._name}.write() returns although {self.impossible!r:.100} was not written",
                "WriteError({index: reason}, retryable=False) that names it",
            )
        await self._write(sink, values[2:])
        await self._holds(values)

    @check("write")
    async def test_a_sink_that_is_not_open_is_not_connected(self) -> None:
        """write() says so before open() and after close()."""
        sink = self._new()
        await self._is_not_connected(sink, "before open()")
        await self._open(sink)
        await self._close(sink)
        await self._is_not_connected(sink, "after close()")
        await self._open(sink)
        await self._write(sink, self._payloads(2))
        await self._holds(self._payloads(2))

    async def _is_not_connected(self, sink: Any, step: str) -> None:
        __tracebackhide__ = True
        try:
            await self._within(f"write() {step}", sink.write(Batch(self._payloads(2))), "raise NotConnected")
        except NotConnected:
            return
        raise BrokenPromise(f"{self._name}.write() {step} returns", "raise NotConnected")

    @check("write")
    async def test_a_cancelled_write_can_be_made_again(self) -> None:
        """Cancelled at any moment, closed and opened, the whole batch written again: nothing is missing."""
        sink, values = await self._opened(), list[bytes]()
        for turns in (0, 1, 2, 3, 5, 8, 13, 30, 100):
            batch = self._payloads(20, start=100 * turns)
            writing = asyncio.create_task(sink.write(Batch(batch)), name="a write that is cancelled")
            for _ in range(turns):
                await asyncio.sleep(0)
            await self._cancel(writing)
            await self._close(sink)
            await self._open(sink)
            await self._write(sink, batch)
            values += batch
        await self._holds(values, once=False)

    async def _cancel(self, writing: asyncio.Task[None]) -> None:
        __tracebackhide__ = True
        writing.cancel()
        right = "let CancelledError through: a write that takes longer than `timeout` is given up"
        with contextlib.suppress(asyncio.CancelledError):
            await self._within("write(), cancelled,", asyncio.shield(writing), right)

    @check("write")
    async def test_what_a_delivery_chose_is_honoured(self) -> None:
        """Each setting that is marked PerRecord, record by record; where one chose nothing, the configured value."""
        names = sorted(self.connector.Config.per_record() - self.traceless.keys())
        if not names:
            reasons = "; ".join(self.traceless.values()) or "it has no setting that a delivery may choose"
            pytest.skip(f"{NOT_PROMISED}{reasons}")
        for number, name in enumerate(names):
            if len(self.choices.get(name, ())) < 2:
                raise Unfit(f"{type(self).__name__}.choices should have two values for {name!r}")
            await self._honours(name, self._payloads(8, start=100 * number))

    async def _honours(self, name: str, values: list[bytes]) -> None:
        __tracebackhide__ = True
        one, other = self.choices[name][:2]
        sink, column = await self._opened(), [one, other, None, one]
        for part, choice in ((values[:4], column), (values[4:], Constant(one, 4))):
            await self._write(sink, _chosen(part, name, choice))
        await self._close(sink)
        wanted = [(one, [values[0], values[3], *values[4:]]), (other, [values[1]])]
        for choice, expected in wanted:
            found = list(await self.written(**{name: choice}))
            if found != expected:
                raise BrokenPromise(
                    f"where {name} is {choice!r}, {self._name} has written {found!r:.200}, not {expected!r:.200}",
                    f"batch.settings[{name!r}][i] for record i, where the column is there and the entry is not None",
                )
        if values[2] not in await self.written():
            raise BrokenPromise(
                f"{self._name} has not written a record that chose no {name} where its settings say",
                f"the configured {name} where the entry is None",
            )


def _chosen(values: list[bytes], name: str, column: Any) -> Batch:
    if name == "key":
        return Batch(values, keys=column)
    if name == "headers":
        return Batch(values, headers=column)
    return Batch(values, settings={name: column})
