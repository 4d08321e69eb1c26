"""Sources that break one promise each, and what the contract kit is to say of them."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from connectors.memory import MemorySource
from connectors.memory import SourceConfig as Config
from router import Batch, EndOfStream, Lag, Lease, NotConnected, Settings

BROKEN: list[tuple[type[Any], str, str]] = []
"""Each with the check that finds it, and words of what that says."""

Type = type[Any]


def fails(check: str, words: str) -> Callable[[Type], Type]:
    """Note a broken connector."""

    def note(connector: Type) -> Type:
        BROKEN.append((connector, f"test_{check}", words))
        return connector

    return note


# Settings, docstring, constructor


class _Silent(Settings):
    said: int = 1
    """Said."""
    unsaid: int = 1


class _Nested(Config):
    inner: list[_Silent] | None = None
    """Settings of its own."""


class _Loose(Config):
    model_config: ClassVar[Any] = {"extra": "allow"}


@fails("every_setting_says_what_it_does", "do not say what they do: inner.unsaid")
class Undocumented(MemorySource):
    """Says nothing of a setting inside another one."""

    Config = _Nested


@fails("every_setting_says_what_it_does", "takes unknown keys")
class TakesAnything(MemorySource):
    """Takes unknown keys."""

    Config = _Loose


@fails("every_setting_says_what_it_does", "derived from router.Settings")
class NoSettings(MemorySource):
    """Has settings of another kind."""

    Config = BaseModel  # type: ignore[assignment]  # that is the fault


@fails("the_docstring_states_the_guarantee", "does not state its guarantee")
class Wordless(MemorySource):
    """A source."""


@fails("the_docstring_states_the_guarantee", "begins with")
class Rambling(MemorySource):
    """A source which begins with a sentence that goes on
    in the next line. Guarantee: none.
    """


@fails("the_constructor_takes_its_settings_and_does_nothing", "Config and nothing else")
class TakesTwo(MemorySource):
    """Wants more than its settings."""

    def __init__(self, config: Config, loop: object) -> None:
        super().__init__(config)


@fails("the_constructor_takes_its_settings_and_does_nothing", "raises NotConnected")
class ConnectsAtOnce(MemorySource):
    """Connects before it is opened."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._check_down()


@fails("the_constructor_takes_its_settings_and_does_nothing", "no running event loop")
class NeedsALoop(MemorySource):
    """Makes a future before there is a loop."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.future = asyncio.get_running_loop().create_future()


@fails("the_constructor_takes_its_settings_and_does_nothing", "leaves the thread 'too early'")
class StartsAThread(MemorySource):
    """Starts a thread before it is opened."""

    done = threading.Event()

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        threading.Thread(target=self.done.wait, args=[5], name="too early", daemon=True).start()


@fails("the_constructor_takes_its_settings_and_does_nothing", "leaves the file .*touched")
class TouchesAFile(MemorySource):
    """Makes a file before it is opened."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        (config.context.folder / "touched").touch()


@fails("the_constructor_takes_its_settings_and_does_nothing", "lag is not an `async def`")
class AnswersAtOnce(MemorySource):
    """Has a method that is no coroutine."""

    def lag(self) -> Sequence[Lag]:  # type: ignore[override]  # that is the fault
        return []


# Closing


@fails("close_may_come_twice_and_without_open", r"close\(\) without open\(\) raises AttributeError")
class ClosesWhatIsOpen(MemorySource):
    """Knows what to close only when it is open."""

    connection: asyncio.Event

    async def open(self) -> None:
        await super().open()
        self.connection = asyncio.Event()

    async def close(self) -> None:
        self.connection.set()
        await super().close()


@fails("close_may_come_twice_and_without_open", r"close\(\) twice after open\(\) raises ValueError")
class ClosesOnce(MemorySource):
    """Does not close twice."""

    async def close(self) -> None:
        if self.opens and not self._epoch:
            raise ValueError("closed")
        await super().close()


@fails("close_may_follow_an_open_that_failed", r"close\(\) after an open\(\) that failed raises RuntimeError")
class FailsTwice(MemorySource):
    """Cannot be closed after an open that failed."""

    async def close(self) -> None:
        if self.opens and self.down:
            raise RuntimeError("not open")
        await super().close()


@fails("close_leaves_nothing_behind", "the task 'heartbeat'")
class LeavesATask(MemorySource):
    """Forgets a task."""

    async def open(self) -> None:
        await super().open()
        self.tasks = [*getattr(self, "tasks", []), asyncio.create_task(asyncio.sleep(60), name="heartbeat")]


@fails("close_leaves_nothing_behind", r"3 descriptor\(s\): /dev/null")
class LeavesADescriptor(MemorySource):
    """Forgets a file."""

    async def open(self) -> None:
        await super().open()
        self.files = [*getattr(self, "files", []), os.open("/dev/null", os.O_RDONLY)]

    def __del__(self) -> None:
        for file in vars(self).get("files", ()):
            os.close(file)


@fails("close_leaves_nothing_behind", "the thread 'poller'")
class LeavesAThread(MemorySource):
    """Forgets a thread."""

    done = threading.Event()

    async def open(self) -> None:
        await super().open()
        threading.Thread(target=self.done.wait, args=[5], name="poller", daemon=True).start()


# Reading


@fails("the_class_says_how_it_acknowledges", "has replays = 'yes' and ack_order = 'none'")
class SaysNothing(MemorySource):
    """Does not say how it acknowledges."""

    replays: ClassVar[bool] = "yes"  # type: ignore[assignment]  # that is the fault
    ack_order: ClassVar[Literal["read", "any"]] = "none"  # type: ignore[assignment]  # and that


class _Alters(MemorySource):
    """Changes each batch."""

    async def read(self) -> Batch:
        return self.alter(await super().read())

    def alter(self, batch: Batch) -> Batch:
        """The batch as it is given."""
        raise NotImplementedError


WHOLE = "what_is_put_is_read_whole_and_in_order"


def altered(words: str, alter: Callable[[Any], Any]) -> None:
    """Note a source that gives each batch so."""
    fails(WHOLE, words)(type("Altered", (_Alters,), {"alter": lambda _, batch: alter(batch)}))


altered("without records", lambda batch: replace(batch, values=[]))
altered("returns None", lambda _: None)
altered("with the value 'text'", lambda batch: replace(batch, values=["text"]))
altered("without a token", lambda batch: replace(batch, token=None))
altered("whose keys are 2 for 1 records", lambda batch: replace(batch, keys=[b"a", b"b"]))
altered(r"whose attributes\['topic'\] are 0 for 1", lambda batch: replace(batch, attributes={"topic": []}))
altered("with the key 'k'", lambda batch: replace(batch, keys=["k"]))
altered("with the headers", lambda batch: replace(batch, headers=[{"a": b"b"}]))
altered("with the time 1", lambda batch: replace(batch, times=[int(time.time())]))
altered("with the lease '0'", lambda batch: replace(batch, leases=["0"]))
altered("with settings: path", lambda batch: replace(batch, settings={"path": ["a"]}))
altered("with spoiled records", lambda batch: replace(batch, spoiled={0: "too long"}))
altered("of 100001 records", lambda batch: replace(batch, values=list(batch.values) * 100_001))
altered("as record 0, where", lambda batch: replace(batch, values=[batch.values[0][:-1]]))


@fails(WHOLE, "out of order")
class Swaps(MemorySource):
    """Gives later batches first."""

    async def read(self) -> Batch:
        if self._next == 0:
            self._steps.reverse()
        return await super().read()


@fails(WHOLE, "gave 299 of 300 records that were put; then: Forgets.read.. has not returned")
class Forgets(MemorySource):
    """Loses the last batch."""

    async def read(self) -> Batch:
        del self._steps[299:]
        return await super().read()


@fails(WHOLE, "gave 299 of 300 records that were put; then: EndOfStream")
class EndsEarly(MemorySource):
    """Ends before its end."""

    async def read(self) -> Batch:
        if self._next == 299:
            raise EndOfStream
        return await super().read()


@fails("payloads_of_every_kind_come_as_they_are", "where b'.x00.x01 NUL' was put")
class EndsAtNul(_Alters):
    """Takes a NUL byte for the end."""

    def alter(self, batch: Batch) -> Batch:
        return replace(batch, values=[value.split(b"\0")[0] for value in batch.values])


@fails("payloads_of_every_kind_come_as_they_are", "long")
class CutsLong(_Alters):
    """Has a buffer of 64 KiB."""

    def alter(self, batch: Batch) -> Batch:
        return replace(batch, values=[value[: 1 << 16] for value in batch.values])


@fails("a_read_waits_for_records_without_work", "of a processor")
class Spins(MemorySource):
    """Looks again and again."""

    async def read(self) -> Batch:
        while self._next >= len(self._steps):
            await asyncio.sleep(0)
        return await super().read()


@fails("a_read_waits_for_records_without_work", "raises EndOfStream:  while nothing is there")
class TakesNothingForTheEnd(MemorySource):
    """Ends when nothing is there."""

    async def read(self) -> Batch:
        if self._next >= len(self._steps):
            raise EndOfStream
        return await super().read()


@fails("a_read_waits_for_records_without_work", "the event loop stood still for")
class Blocks(MemorySource):
    """Makes a blocking call."""

    async def read(self) -> Batch:
        for _ in range(1000):
            time.sleep(0.01)
        return await super().read()


@fails("a_cancelled_read_loses_nothing", "of . records still to come, has not returned")
class AcknowledgesWhatItReads(MemorySource):
    """Takes a record out of the system before anybody has it."""

    async def read(self) -> Batch:
        batch = await super().read()
        await super().ack(batch.token)
        for _ in range(10):
            await asyncio.sleep(0)
        return batch

    async def ack(self, token: Any) -> None:
        """It is too late."""


@fails("a_cancelled_read_loses_nothing", r"read\(\), cancelled, has not returned")
class CannotBeCancelled(MemorySource):
    """Swallows the cancellation."""

    async def read(self) -> Batch:
        while True:
            try:
                return await super().read()
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is not None:
                    task.uncancel()


@fails("the_end_is_the_end_every_time", r"read\(\) when asked again has not returned")
class EndsOnce(MemorySource):
    """Says only once that it has ended."""

    async def read(self) -> Batch:
        try:
            return await super().read()
        except EndOfStream:
            self._ended = False
            raise


# Acknowledging


@fails("what_is_not_acknowledged_comes_again", "gave 0 of 30 records")
class CommitsInRead(AcknowledgesWhatItReads):
    """Acknowledges by itself."""


@fails("it_goes_on_after_what_was_acknowledged", "as record 0, where")
class ForgetsAcknowledgements(MemorySource):
    """Begins at the beginning every time."""

    async def ack(self, token: Any) -> None:
        """Forgotten."""


@fails("it_goes_on_after_what_was_acknowledged", "gave 65 of 68 records that were put")
class AcknowledgesTooMuch(MemorySource):
    """Acknowledges five at a time."""

    async def ack(self, token: Any) -> None:
        if token[1] not in self._settled:
            await super().ack(token)
            self._settled |= set(range(token[1], token[1] + 5))


@fails("an_acknowledgement_of_any_order_stands_for_its_batch_alone", "gave 0 of 10 records")
class AcknowledgesAllBefore(MemorySource):
    """Says "any" and means "read"."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        vars(self).update(ack_order="any")

    async def ack(self, token: Any) -> None:
        self._settled |= set(range(token[1] + 1))


@fails("an_acknowledgement_may_come_while_a_read_waits", r"ack\(\) has not returned")
class AcknowledgesBetweenReads(MemorySource):
    """Holds its connection while it waits."""

    lock = asyncio.Lock()

    async def read(self) -> Batch:
        async with self.lock:
            return await super().read()

    async def ack(self, token: Any) -> None:
        async with self.lock:
            await super().ack(token)


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


@fails("reconnecting_loses_nothing", "1 of 20 records have not come through the pipeline")
class LosesOneInEachOutage(MemorySource):
    """Loses what comes first after an outage."""

    async def read(self) -> Batch:
        batch = await super().read()
        if self.opens > 1 and self._settled and vars(self).setdefault("lost", 0) < self.opens:
            self.lost = self.opens
            self._settled.add(self._next - 1)
            batch = await super().read()
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
