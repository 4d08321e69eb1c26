"""The data path in a test: parts made by hand, a letter box over a real store, a line from one source to one sink.

Everything is the real thing, so that what a test sees is what the daemon does. No part of the daemon imports this.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from router.audit import Audit
from router.batch import Batch, Lease
from router.deadletters import DeadLetters
from router.interfaces import Sink, Source
from router.letter import Letter
from router.letterbox import LetterBox
from router.metrics import Metrics
from router.outlet import Outlet, Policy
from router.part import Origin, Part
from router.pipeline import Pipeline
from router.state import StateDir
from rules import cel
from rules.codecs import Bytes, Format
from rules.faults import Place
from rules.flow import Contract, Expr, Flow, Otherwise, Rule, Target
from rules.ruleset import Ruleset, SinkFacts, compile_flow

RETRY_SECONDS = 0.002
"""The first delay before a connector is opened again. The daemon's would make tests slow."""


def part(
    *values: bytes, leases: Sequence[Lease | None] | None = None, settings: dict[str, Sequence[object]] | None = None
) -> Part:
    """A part of these payloads, each of which came as it goes out."""
    return part_of(Batch(values=list(values), leases=leases, settings=settings or {}))


def part_of(batch: Batch) -> Part:
    """The whole batch on its way to a sink, by the rule ``rule`` of the flow ``flow``."""
    origin = Origin(batch, flow="flow", source="source", version="v1")
    return Part(batch=batch, origin=origin, indices=range(len(batch)), rules=["rule"] * len(batch))


class Books:
    """A letter box with the store, metrics and audit behind it, in a state folder that ``close()`` gives back."""

    def __init__(self, folder: Path) -> None:
        self.state = StateDir.open(folder)
        self.store = DeadLetters(self.state)
        self.metrics = Metrics()
        self.box = LetterBox(self.store, self.metrics)
        self.audit = Audit(self.state, lambda: "", str, self.metrics)

    async def letters(self) -> list[Letter]:
        """Every dead letter, oldest first."""
        return [letter async for letter in self.store.find()]

    def sample(self, name: str, /, **labels: str) -> float:
        """The value of a metric, 0 when it was never counted."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def outlet(self, name: str, sink: Sink, **policy: float) -> Outlet:
        """The way to a sink, which fails fast unless the policy says otherwise."""
        settings: dict[str, Any] = {"backoff": RETRY_SECONDS, "attempts": 3, "timeout": 5.0} | policy
        return Outlet(name, sink, Policy(**settings), letters=self.box, metrics=self.metrics)

    def close(self) -> None:
        """Give the state folder back."""
        self.state.close()


@contextlib.asynccontextmanager
async def running(*runs: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """These components run while the block does."""

    async def run(component: Callable[[], Awaitable[None]]) -> None:
        await component()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(component)) for component in runs]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for something to become true. Raises TimeoutError when it does not."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - whatever it is that becomes true, it sets no event
            await asyncio.sleep(0.002)


def flow_of(*rules: tuple[str | None, Sequence[str]], continues: bool = False) -> Flow:
    """A flow of these rules, each a condition and its targets."""
    place = Place("flow.yaml", 1, 1)
    dead = (Target("dead_letter", place),)
    return Flow(
        name="flow",
        place=place,
        sources=(("source", place),),
        contract=Contract(),
        lets={},
        rules=tuple(
            Rule(
                name=f"rule-{number}",
                place=place,
                when=None if when is None else Expr(cel.compile(when), place),
                to=tuple(Target(sink, place) for sink in to),
                continues=continues,
            )
            for number, (when, to) in enumerate(rules, 1)
        ),
        otherwise=Otherwise(undecodable=dead, invalid=dead, error=dead, unmatched=dead),
        tests=(),
        version="v1",
    )


def ruleset_to(
    sinks: Sequence[str],
    *rules: tuple[str | None, Sequence[str]],
    continues: bool = False,
    decode: Format | None = None,
) -> Ruleset:
    """A ruleset of these rules over these sinks."""
    facts = {name: SinkFacts(name=name) for name in sinks}
    return compile_flow(flow_of(*rules, continues=continues), decode=decode, sinks=facts, vars={}, models={})


class Line:
    """One source to one sink, by way of a pipeline and an outlet: every record goes there as it came.

    Runs inside ``async with``; leaving the block stops reading, waits until what was read is settled, and closes both.
    Source and sink are called ``source`` and ``sink`` in metrics. ``policy`` is that of the outlet.
    """

    def __init__(self, folder: Path, source: Source, sink: Sink, **policy: float) -> None:
        self.books = Books(folder)
        self.stop = asyncio.Event()
        self.outlet = self.books.outlet("sink", sink, **policy)
        self.pipeline = Pipeline(
            "source",
            source,
            ruleset_to(["sink"], (None, ["sink"]), decode=Bytes()),
            {"sink": self.outlet},
            letters=self.books.box,
            metrics=self.books.metrics,
            stop=self.stop,
        )
        self.pipeline.backoff.initial = RETRY_SECONDS
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self.pipeline.run(), name="pipeline source"),
            asyncio.create_task(self.outlet.run(), name="outlet sink"),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        reading, writing = self._tasks
        self.stop.set()
        try:
            if kind is None:
                await asyncio.wait([reading, writing], return_when=asyncio.FIRST_COMPLETED, timeout=30)
        finally:
            for task in self._tasks:
                task.cancel()
            ends = await asyncio.gather(*self._tasks, return_exceptions=True)
            self.books.close()
        if kind is None:
            for end in ends:
                if isinstance(end, Exception):
                    raise end
            if isinstance(ends[0], asyncio.CancelledError):
                raise TimeoutError("what was read was not settled within 30 s")
