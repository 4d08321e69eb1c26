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
from router import Batch, EndOfStream, Lag, Settings

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


@fails("a_read_waits_for_records_without_work", "goes on .* times in 0.3 s")
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


class _Saves(MemorySource):
    """Keeps positions."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.context = config.context

    async def ack(self, token: Any) -> None:
        await super().ack(token)
        await self.save(token[1])

    async def save(self, index: int) -> None:
        """Keep that this was acknowledged."""
        raise NotImplementedError


@fails("positions_are_small_and_json", "a position is no JSON: Object of type bytes")
class SavesBytes(_Saves):
    """Keeps what is no JSON."""

    async def save(self, index: int) -> None:
        await self.context.positions.save({"at": b"%d" % index})  # type: ignore[dict-item]  # that is the fault


@fails("positions_are_small_and_json", "a position comes back from JSON as {'at': {'0': 1}}")
class SavesNumbersAsKeys(_Saves):
    """Keeps what is another thing when it comes back."""

    async def save(self, index: int) -> None:
        await self.context.positions.save({"at": {index: 1}})  # type: ignore[dict-item]  # that is the fault


@fails("positions_are_small_and_json", "the positions take 6.... bytes")
class SavesRecords(_Saves):
    """Keeps more with every record."""

    async def save(self, index: int) -> None:
        await self.context.positions.save({str(index): "x" * 1000})


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
