"""What tests of the data path share: parts made by hand, and a letter box over a real store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from connectors.memory import refuse
from router.batch import Batch, Lease
from router.deadletters import DeadLetters, Letter
from router.errors import NotConnected
from router.letterbox import LetterBox
from router.metrics import Metrics
from router.part import Origin, Part
from router.state import StateDir
from rules import cel
from rules.faults import Place
from rules.flow import Contract, Expr, Flow, Otherwise, Rule, Target
from rules.ruleset import Ruleset, SinkFacts, compile_flow


def part(
    *values: bytes, leases: Sequence[Lease] | None = None, settings: dict[str, Sequence[object]] | None = None
) -> Part:
    """A part of these payloads, each of which came as it goes out."""
    batch = Batch(values=list(values), leases=leases, settings=settings or {})
    origin = Origin(batch, flow="flow", source="source", version="v1")
    return Part(batch=batch, origin=origin, indices=range(len(values)), rules=["rule"] * len(values))


class Books:
    """A letter box with the store and the metrics behind it."""

    def __init__(self, folder: Path) -> None:
        self.state = StateDir.open(folder)
        self.store = DeadLetters(self.state)
        self.metrics = Metrics()
        self.box = LetterBox(self.store, self.metrics)

    async def letters(self) -> list[Letter]:
        """Every dead letter, oldest first."""
        return [letter async for letter in self.store.find()]

    def sample(self, name: str, **labels: str) -> float:
        """The value of a metric, 0 when it was never counted."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


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
    """Wait for something to become true; it is an error when it does not."""
    async with asyncio.timeout(seconds):
        while not condition():
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


def ruleset_to(sinks: Sequence[str], *rules: tuple[str | None, Sequence[str]], continues: bool = False) -> Ruleset:
    """A ruleset of these rules over these sinks."""
    facts = {name: SinkFacts(name=name) for name in sinks}
    return compile_flow(flow_of(*rules, continues=continues), sinks=facts, vars={}, models={})


def fate_of(fates: Sequence[str]) -> Callable[[Batch], None]:
    """What happens to a sink's writes, one after the other: ok, down, crash, retry (the last record) or refuse (the
    first one); ok when the list is at its end."""
    script = iter(fates)

    def fate(batch: Batch) -> None:
        match next(script, "ok"):
            case "down":
                raise NotConnected("down")
            case "crash":
                raise RuntimeError("crash")
            case "retry":
                refuse(batch, batch.values[-1], retryable=True)
            case "refuse":
                refuse(batch, batch.values[0])

    return fate
