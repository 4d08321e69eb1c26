"""What tests of the data path share: parts made by hand, and a letter box over a real store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from router.batch import Batch, Lease
from router.deadletters import DeadLetters, Letter
from router.letterbox import LetterBox
from router.metrics import Metrics
from router.part import Origin, Part
from router.state import StateDir


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
