"""``memory``: scripted doubles of a source and a sink, for tests of routers, rules and deployments.

A script says what the system at the other end does: which batches it has, when it is away, which records it refuses,
where it hangs. What the router did is there to be looked at: what was written, acknowledged, opened and closed.

    source, sink = MemorySource(MemorySource.Config()), MemorySink(MemorySink.Config())
    source.push(records("a", "b"), NotConnected("gone"), records({"n": 3}))
    source.end()
    sink.on_write = lambda batch: refuse(batch, b"a")

A connector that the router builds from a configuration is found by its ``channel``: ``memory.sink("orders")``, before
or after the router has built it. A channel stands for the system at the other end: every instance that names it has
the same script and the same records, so that a connector that is built again finds what the one before it left.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, JsonValue

from router import Batch, EndOfStream, Lag, NotConnected, PerRecord, Settings, Violation, WriteError

Step = Batch | BaseException | asyncio.Event
"""What a read comes to: a batch to return, an exception to raise once, an event to wait for."""

Hook = Callable[[], Awaitable[None] | None]
BatchHook = Callable[[Batch], Awaitable[None] | None]

_sources: dict[str, MemorySource] = {}
_sinks: dict[str, MemorySink] = {}


def source(channel: str) -> MemorySource:
    """The source of this channel, made now if no configuration has named it yet."""
    return _sources.get(channel) or MemorySource(MemorySource.Config(channel=channel))


def sink(channel: str) -> MemorySink:
    """The sink of this channel, made now if no configuration has named it yet."""
    return _sinks.get(channel) or MemorySink(MemorySink.Config(channel=channel))


def forget() -> None:
    """Forget every channel: what is built from now on begins empty."""
    _sources.clear()
    _sinks.clear()


def records(*values: bytes | JsonValue) -> Batch:
    """A batch of these payloads: bytes and texts as they are, anything else as compact JSON."""
    return Batch(list(map(_payload, values)))


def _payload(value: bytes | JsonValue) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def refuse(batch: Batch, *values: bytes, reason: str = "refused", retryable: bool = False) -> None:
    """For ``on_write``: raise the WriteError that names the records of the batch with one of these payloads."""
    failed = {index: reason for index, value in enumerate(batch.values) if value in values}
    if failed:
        raise WriteError(failed, retryable=retryable)


class SourceConfig(Settings):
    """The settings of the source ``memory``."""

    channel: str = ""
    """The name under which a test finds the source, to push to it and to end it."""
    records: list[JsonValue] = Field(default_factory=list)
    """Records that are there from the beginning, as one batch: texts as they are, other values as JSON. Without a
    channel the stream ends after them."""
    replays: bool = True
    """Whether what was not acknowledged is read again after the next open."""
    ack_order: Literal["read", "any"] = "read"
    """Whether acknowledgements come in the order of reading, or each as soon as it is settled."""


class MemorySource:
    """A scripted source, for tests of rules, deployments and connectors.

    **Records** are what the settings give, and what a test pushes. The docstrings of `connectors.memory` tell what a
    script may say, and where what the router did with it is to be found.

    **Guarantee**: at least once; with `replays: false` at most once. A token is the number of `open()` and the place of
    the batch in the script; one of an earlier `open()`, one that comes twice or against `ack_order` is a ValueError,
    which shows a router that breaks the contract.

    **Lag**: what was pushed and is not acknowledged, in records, unless the script says otherwise.

    **Away** it is while `down` is true, a read that waits included.
    """

    Config: ClassVar[type[SourceConfig]] = SourceConfig
    example: ClassVar[str] = """
        sources:
          given: {type: memory, records: [{n: 1}, {n: 2}, "no JSON"]}
    """
    replays: ClassVar[bool] = True
    ack_order: ClassVar[Literal["read", "any"]] = "read"

    opens: int
    """How often ``open()`` was called, failed ones included."""
    closes: int
    """How often ``close()`` was called."""
    acked: list[Batch]
    """What was acknowledged, in that order, batch by batch."""
    rejected: list[bytes]
    """What was sent back, payload by payload."""
    together: int
    """So many records that follow each other in a batch stand or fall together; 1 unless a test says otherwise."""
    lags: Sequence[Lag] | None
    """What ``lag()`` answers; None: what is true."""
    on_open: Hook | None
    """Called in ``open()``: may raise or wait."""
    on_read: Hook | None
    """Called at the beginning of each ``read()``: may raise or wait."""
    on_ack: BatchHook | None
    """Called in ``ack()`` with the batch, before it counts as acknowledged: may raise or wait."""

    _steps: list[Step]
    _settled: set[int]
    _next: int
    _floor: int
    _epoch: int
    _down: bool
    _ended: bool
    _begun: bool
    _more: asyncio.Event

    def __init__(self, config: SourceConfig) -> None:
        channel = config.channel
        if channel:
            self.__dict__ = vars(_sources.setdefault(channel, self))
        if "opens" not in vars(self):
            self.opens = self.closes = self._next = self._floor = self._epoch = 0
            self.acked, self.rejected, self._steps, self._settled = [], [], [], set()
            self.together = 1
            self.lags = self.on_open = self.on_read = self.on_ack = None
            self._down = self._ended = self._begun = False
            self._more = asyncio.Event()
        # The protocol has these two on the class; here a script may choose them.
        vars(self).update(replays=config.replays, ack_order=config.ack_order)
        if config.records and not self._begun:
            self._begun = True
            self.push(records(*config.records))
            self._ended = not channel

    @property
    def down(self) -> bool:
        """Whether the system is away."""
        return self._down

    @down.setter
    def down(self, down: bool) -> None:
        self._down = down
        self._more.set()

    def push(self, *steps: Step) -> None:
        """Add to the script: batches to return, exceptions to raise once, events to wait for."""
        self._steps += steps
        self._more.set()

    def end(self) -> None:
        """After what is in the script, the stream ends. Until this is called, a read waits for more."""
        self._ended = True
        self._more.set()

    def peek(self) -> str:
        """Without ``replays``, what is read is gone."""
        return "" if self.replays else "what it gives it gives once"

    async def open(self) -> None:
        """Begin at the first batch that is not acknowledged; without ``replays``, after what was read."""
        self.opens += 1
        await _run(self.on_open)
        self._check_down()
        self._epoch = self.opens
        if self.replays:
            self._next = 0

    async def read(self) -> Batch:
        """What the script says next. A cancelled call takes nothing from it."""
        self._check_open()
        await _run(self.on_read)
        while True:
            self._check_down()
            while self._next in self._settled:
                self._next += 1
            if self._next < len(self._steps):
                step = self._steps[self._next]
                if isinstance(step, Batch):
                    self._next += 1
                    return replace(step, token=(self._epoch, self._next - 1))
                if isinstance(step, asyncio.Event):
                    await step.wait()
                # Happened: it is no part of what comes again. Whatever lies before it is batches.
                del self._steps[self._next]
                if isinstance(step, BaseException):
                    raise step
            elif self._ended:
                raise EndOfStream
            else:
                self._more = asyncio.Event()
                await self._more.wait()

    async def ack(self, token: Any) -> None:
        """Note that the batch, and with ``ack_order`` "read" all before it, will not come again."""
        self._check_open()
        epoch, index = token
        if epoch != self._epoch:
            raise ValueError(f"the token is of open() number {epoch}, and this is number {self._epoch}")
        if index in self._settled:
            raise ValueError(f"batch {index} was acknowledged before, by itself or by a later one")
        for i in range(self._floor if self.ack_order == "read" else index, index + 1):
            batch = self._steps[i]
            assert isinstance(batch, Batch)  # noqa: S101 - before the place of reading there is nothing else
            await _run(self.on_ack, batch)
            self._settled.add(i)
            self.acked.append(batch)
            self._floor = i + 1 if self.ack_order == "read" else 0

    def reject(self, token: Any, violations: Mapping[int, Sequence[Violation]]) -> Collection[int]:
        """Note what is sent back: these records, and those that stand ``together`` with them."""
        batch = self._steps[token[1]]
        assert isinstance(batch, Batch)  # noqa: S101 - only batches have tokens
        groups = {index // self.together for index in violations}
        gone = [index for index in range(len(batch)) if index // self.together in groups]
        self.rejected += [batch.values[index] for index in gone]
        return gone

    async def lag(self) -> Sequence[Lag]:
        """``lags``, or what was pushed and is not acknowledged."""
        if self.lags is not None:
            return self.lags
        waiting = (step for i, step in enumerate(self._steps) if i not in self._settled)
        return [Lag("0", records=sum(len(step) for step in waiting if isinstance(step, Batch)))]

    async def close(self) -> None:
        """End the epoch."""
        self.closes += 1
        self._epoch = 0

    def _check_open(self) -> None:
        if not self._epoch:
            raise ValueError("the source is not open")

    def _check_down(self) -> None:
        if self._down:
            raise NotConnected("the source is down, as its script says")


class SinkConfig(Settings):
    """The settings of the sink ``memory``."""

    channel: str = ""
    """The name under which a test finds the sink and what was written to it."""
    keeps_order: bool = False
    """Report what follows a failed record with the same key as failed too, when it is to be written again."""
    path: Annotated[str | None, PerRecord()] = None
    """A path, kept with each record for a test to look at, as any of the following."""
    topic: Annotated[str | None, PerRecord()] = None
    """A topic."""
    key: Annotated[str | None, PerRecord()] = None
    """A key."""
    headers: Annotated[dict[str, str] | None, PerRecord()] = None
    """Headers."""
    subject: Annotated[str | None, PerRecord()] = None
    """A subject."""
    table: Annotated[str | None, PerRecord()] = None
    """A table."""


class MemorySink:
    """A scripted sink that keeps what it is given, for tests of rules, deployments and connectors.

    **Guarantee**: durable for as long as the process. `on_write` is called with each batch before any of it is kept:
    when it raises WriteError, the records that it does not name are kept; when it raises anything else or is cancelled,
    none is.

    **Away** it is while `down` is true.
    """

    Config: ClassVar[type[SinkConfig]] = SinkConfig
    example: ClassVar[str] = """
        sinks:
          seen: {type: memory, channel: seen}
    """

    opens: int
    """How often ``open()`` was called, failed ones included."""
    closes: int
    """How often ``close()`` was called."""
    writes: int
    """How often ``write()`` was called, failed ones included."""
    batches: list[Batch]
    """What was written, one entry for each write that wrote something."""
    down: bool
    """Whether the system is away."""
    on_open: Hook | None
    """Called in ``open()``: may raise or wait."""
    on_write: BatchHook | None
    """Called in ``write()`` with the batch, before anything is kept: may raise or wait."""

    _opened: set[int]

    def __init__(self, config: SinkConfig) -> None:
        if config.channel:
            self.__dict__ = vars(_sinks.setdefault(config.channel, self))
        if "opens" not in vars(self):
            self.opens = self.closes = self.writes = 0
            self.batches, self._opened = [], set()
            self.down = False
            self.on_open = self.on_write = None
        self.config = config

    @property
    def values(self) -> list[bytes]:
        """The payloads that were written, in order."""
        return [value for batch in self.batches for value in batch.values]

    async def open(self) -> None:
        """Connect, as far as the script allows."""
        self.opens += 1
        await _run(self.on_open)
        self._check_down()
        self._opened.add(id(self))

    async def write(self, batch: Batch) -> None:
        """Keep the batch, or what the script leaves of it."""
        if id(self) not in self._opened:
            raise NotConnected("the sink is not open")
        self.writes += 1
        self._check_down()
        try:
            await _run(self.on_write, batch)
        except WriteError as error:
            failed = self._with_followers(batch, error)
            self._keep_all_but(batch, failed)
            again: bool | Collection[int] = error.retryable
            if not isinstance(again, bool):
                again = {*again, *(failed.keys() - error.failed.keys())}
            raise WriteError(failed, retryable=again) from error
        except NotConnected as error:
            unwritten = range(len(batch)) if error.unwritten is None else error.unwritten
            self._keep_all_but(batch, {*unwritten, *error.refused})
            raise
        self.batches.append(batch)

    def _keep_all_but(self, batch: Batch, failed: Collection[int]) -> None:
        written = [i for i in range(len(batch)) if i not in failed]
        if written:
            self.batches.append(batch.select(written))

    async def close(self) -> None:
        """Disconnect."""
        self.closes += 1
        self._opened.discard(id(self))

    def _check_down(self) -> None:
        if self.down:
            raise NotConnected("the sink is down, as its script says")

    def _with_followers(self, batch: Batch, error: WriteError) -> dict[int, str]:
        """What failed, and what may not overtake it. What will never be written holds up nothing."""
        if not (self.config.keeps_order and error.retryable):
            return error.failed
        keys = batch.keys or batch.settings.get("key") or [None] * len(batch)
        failed, blocked = dict(error.failed), set[object]()
        for index, key in enumerate(keys):
            if index in failed:
                if error.is_retryable(index):
                    blocked.add(key)
            elif key in blocked:
                failed[index] = "follows a failed record with the same key"
        return failed


async def _run(hook: Callable[..., Awaitable[None] | None] | None, *arguments: object) -> None:
    outcome = None if hook is None else hook(*arguments)
    if outcome is not None:
        await outcome
