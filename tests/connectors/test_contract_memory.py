"""The scripted doubles keep the contract that the kit checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors import memory
from connectors.kit import SinkContract, SourceContract
from connectors.memory import MemorySink, MemorySource, records, refuse
from router import Batch, Settings


class TestMemorySource(SourceContract):
    connector = MemorySource

    async def start(self) -> None:
        memory.forget()

    async def stop(self) -> None:
        memory.forget()

    @property
    def system(self) -> MemorySource:
        return memory.source("kit")

    def config(self) -> Settings:
        return MemorySource.Config(channel="kit")

    async def put(self, values: Sequence[bytes]) -> None:
        for value in values:
            self.system.push(records(value))

    async def end(self) -> None:
        self.system.end()

    async def go_away(self) -> None:
        self.system.down = True

    async def come_back(self) -> None:
        self.system.down = False


class TestMemorySourceOfAnyOrder(TestMemorySource):
    def config(self) -> Settings:
        return MemorySource.Config(channel="kit", ack_order="any")


class TestMemorySourceThatForgets(TestMemorySource):
    def config(self) -> Settings:
        return MemorySource.Config(channel="kit", replays=False)


class TestMemorySink(SinkContract):
    connector = MemorySink
    impossible = b"impossible"
    choices = {
        "path": ["a", "b"],
        "topic": ["a", "b"],
        "subject": ["a", "b"],
        "table": ["a", "b"],
        "key": [b"a", b"b"],
        "headers": [[("h", b"a")], [("h", b"b")]],
    }

    async def start(self) -> None:
        memory.forget()
        memory.sink("kit").on_write = lambda batch: refuse(batch, self.impossible)

    async def stop(self) -> None:
        memory.forget()

    def config(self) -> Settings:
        return MemorySink.Config(channel="kit")

    async def written(self, **chosen: Any) -> Sequence[bytes]:
        return [value for batch in memory.sink("kit").batches for value in _chosen(batch, chosen)]

    async def go_away(self) -> None:
        memory.sink("kit").down = True

    async def come_back(self) -> None:
        memory.sink("kit").down = False


def _chosen(batch: Batch, chosen: dict[str, Any]) -> list[bytes]:
    """The records of a batch that chose these."""
    columns = {"key": batch.keys, "headers": batch.headers, **batch.settings}
    named = {name: columns.get(name) or [None] * len(batch) for name in chosen}
    return [value for i, value in enumerate(batch.values) if all(named[name][i] == chosen[name] for name in chosen)]
