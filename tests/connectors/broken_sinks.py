"""Sinks that break one promise each, and what the contract kit is to say of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from connectors.memory import MemorySink
from router import Batch, NotConnected, WriteError

BROKEN: list[tuple[type[Any], str, str]] = []
"""Each with the check that finds it, and words of what that says."""

Type = type[Any]


def fails(check: str, words: str) -> Callable[[Type], Type]:
    """Note a broken connector."""

    def note(connector: Type) -> Type:
        BROKEN.append((connector, f"test_{check}", words))
        return connector

    return note


class _Alters(MemorySink):
    """Changes each batch before it is written."""

    async def write(self, batch: Batch) -> None:
        await super().write(self.alter(batch))

    def alter(self, batch: Batch) -> Batch:
        """The batch as it is written."""
        raise NotImplementedError


def altered(check: str, words: str, alter: Callable[[Batch], Batch]) -> None:
    """Note a sink that writes each batch so."""
    fails(check, words)(type("Altered", (_Alters,), {"alter": lambda _, batch: alter(batch)}))


THERE = "what_is_written_is_there_when_write_returns"
KINDS = "payloads_of_every_kind_are_written_or_refused"

altered(THERE, "1 of 10 records are not there", lambda batch: batch.select(range(min(len(batch), 8))))
altered(THERE, "has written 2 records for 1", lambda batch: batch.select([*range(len(batch)), 0]))
altered(THERE, "record 1 is .*9", lambda batch: batch.select(range(len(batch) - 1, -1, -1)))
altered(
    "a_full_batch_is_written",
    "9000 of 10000 records are not there",
    lambda batch: batch.select(range(min(len(batch), 1000))),
)
altered(KINDS, "as record", lambda batch: replace(batch, values=[value.strip() for value in batch.values]))
altered(KINDS, "as record 1,", lambda batch: batch.select([i for i, value in enumerate(batch.values) if value]))


@fails(THERE, "1 of 1 records are not there")
class Buffers(MemorySink):
    """Writes a batch when the next one comes."""

    async def write(self, batch: Batch) -> None:
        held = vars(self).get("held")
        if held is not None:
            await super().write(held)
        self.held = batch


class _Fails(MemorySink):
    """Fails for payloads with a NUL byte."""

    async def write(self, batch: Batch) -> None:
        bad = [i for i, value in enumerate(batch.values) if b"\0" in value]
        if bad:
            await self.fail(batch, bad)
        else:
            await super().write(batch)

    async def fail(self, batch: Batch, bad: list[int]) -> None:
        """What becomes of a batch with such records."""
        raise NotImplementedError

    async def write_others(self, batch: Batch, bad: list[int]) -> None:
        """Write what can be written."""
        await super().write(batch.select([i for i in range(len(batch)) if i not in bad]))


@fails(KINDS, "of NUL bytes raises ValueError")
class Crashes(_Fails):
    """Raises what its library does."""

    async def fail(self, batch: Batch, bad: list[int]) -> None:
        raise ValueError("embedded null byte")


@fails(KINDS, "of NUL bytes between two good records raises WriteError")
class RefusesAll(_Fails):
    """Names every record of the batch."""

    async def fail(self, batch: Batch, bad: list[int]) -> None:
        raise WriteError(dict.fromkeys(range(len(batch)), "NUL"), retryable=False)


@fails(KINDS, "retryable=True")
class RefusesForNow(_Fails):
    """Says that it may be tried again."""

    async def fail(self, batch: Batch, bad: list[int]) -> None:
        await self.write_others(batch, bad)
        raise WriteError(dict.fromkeys(bad, "NUL"), retryable=True)


@fails(KINDS, "gives .* records, not|out of order|as record")
class RefusesAndWritesNothing(_Fails):
    """Names the record and leaves out the others."""

    async def fail(self, batch: Batch, bad: list[int]) -> None:
        raise WriteError(dict.fromkeys(bad, "NUL"), retryable=False)


@fails("columns_that_it_has_no_use_for_do_no_harm", "raises NotConnected: a key is missing")
class NeedsKeys(MemorySink):
    """Takes every record for one with a key."""

    async def write(self, batch: Batch) -> None:
        if batch.keys is not None and None in batch.keys:
            raise NotConnected("a key is missing")
        await super().write(batch)


@fails("an_impossible_record_fails_alone", "returns although b'impossible' was not written")
class SwallowsWhatFails(MemorySink):
    """Loses what cannot be written."""

    async def write(self, batch: Batch) -> None:
        try:
            await super().write(batch)
        except WriteError:
            return


@fails("a_sink_that_is_not_open_is_not_connected", r"write\(\) before open\(\) raises AttributeError")
class HasNoConnection(MemorySink):
    """Uses what open() makes."""

    connection: asyncio.Event

    async def open(self) -> None:
        await super().open()
        self.connection = asyncio.Event()

    async def write(self, batch: Batch) -> None:
        self.connection.set()
        await super().write(batch)


@fails("a_sink_that_is_not_open_is_not_connected", r"write\(\) before open\(\) returns")
class WritesAnyway(MemorySink):
    """Opens itself."""

    async def write(self, batch: Batch) -> None:
        self._opened.add(id(self))
        await super().write(batch)


@fails("a_cancelled_write_can_be_made_again", "20 of 180 records are not there|of 180 records are not there")
class RemembersWhatItBegan(MemorySink):
    """Takes a batch that it has seen for written."""

    async def write(self, batch: Batch) -> None:
        seen = vars(self).setdefault("seen", set())
        if batch.values[0] in seen:
            return
        seen.add(batch.values[0])
        await asyncio.sleep(0)
        await super().write(batch)


@fails("a_cancelled_write_can_be_made_again", r"write\(\), cancelled, has not returned")
class CannotBeCancelled(MemorySink):
    """Swallows the cancellation."""

    async def write(self, batch: Batch) -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            await asyncio.sleep(60)
        await super().write(batch)


CHOSEN = "what_a_delivery_chose_is_honoured"

altered(CHOSEN, r"where headers is .* has written \[\]", lambda batch: replace(batch, headers=None))
altered(CHOSEN, "where path is 'a'", lambda batch: replace(batch, settings={}))


@fails(CHOSEN, "has not written a record that chose no key")
class NeedsAChoice(MemorySink):
    """Leaves out what chose nothing."""

    async def write(self, batch: Batch) -> None:
        keys = batch.keys or [b""] * len(batch)
        await super().write(batch.select([i for i in range(len(batch)) if keys[i] is not None]))


# Away


class _Unchecked(MemorySink):
    """Does not look whether the system is there when it opens."""

    async def open(self) -> None:
        down, self.down = self.down, False
        try:
            await super().open()
        finally:
            self.down = down


AWAY = "a_system_that_is_away_is_not_connected"
GOES = "a_system_that_goes_away_is_noticed"


@fails(AWAY, r"open\(\) returns although the system is away")
class OpensNothing(_Unchecked):
    """Shakes no hands."""


@fails("reconnecting_loses_nothing", "takes OpensNothingInTheRouter for connected|became dead letters in an outage")
class OpensNothingInTheRouter(_Unchecked):
    """Shakes no hands."""


@fails(GOES, r"write\(\) returns although the system is away")
class WritesIntoTheVoid(MemorySink):
    """Takes what it has sent for written."""

    async def write(self, batch: Batch) -> None:
        try:
            await super().write(batch)
        except NotConnected:
            return


@fails(GOES, r"write\(\) while the system is away raises BrokenPipeError")
class RaisesItsOwn(MemorySink):
    """Raises what its library does."""

    def _check_down(self) -> None:
        if self.down:
            raise BrokenPipeError("broken")


@fails(GOES, "while the system is away has not returned")
class WaitsForEver(MemorySink):
    """Waits until the system is back."""

    async def write(self, batch: Batch) -> None:
        while self.down:
            await asyncio.sleep(0.01)
        await super().write(batch)


@fails("reconnecting_loses_nothing", "is not written .spent")
class ConnectsOnce(MemorySink):
    """Never comes back."""

    async def open(self) -> None:
        await super().open()
        if self.opens > 1:
            raise NotConnected("spent")


# In the router


@fails("its_metrics_are_complete", "sluiceway_sink_records_total is 49, not 50.*dead letters is 1")
class RefusesOne(MemorySink):
    """Refuses a good record."""

    async def write(self, batch: Batch) -> None:
        await super().write(batch)
        if b'"number": 7,' in batch.values[min(7, len(batch) - 1)]:
            raise WriteError({7: "a seven"}, retryable=False)


@fails("its_metrics_are_complete", "sluiceway_sink_retries_total is 1, not 0")
class TriesTwice(MemorySink):
    """Says that it is away when it is not."""

    async def write(self, batch: Batch) -> None:
        if self.writes == 0:
            self.writes = 1
            raise NotConnected("busy")
        await super().write(batch)


@fails("a_stop_while_it_writes_leaves_it_closed", "has written .* last after a stop|has not returned")
class HoldsOnAfterAStop(MemorySink):
    """Is of no use after a write that was cancelled."""

    async def write(self, batch: Batch) -> None:
        if vars(self).get("stuck"):
            await asyncio.sleep(60)
        self.stuck = True
        await asyncio.sleep(0.01)
        await super().write(batch)
        self.stuck = False
