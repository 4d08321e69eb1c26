"""The system behind the scripted doubles, as the contract kit asks for it: good ones, and broken ones of tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors import memory
from connectors.kit import SinkContract, SourceContract
from connectors.memory import MemorySink, MemorySource, records, refuse
from router import Batch, Settings


class MemorySourceContract(SourceContract):
    connector = MemorySource

    async def start(self) -> None:
        memory.forget()
        self.system = MemorySource(MemorySource.Config(channel="kit"))

    async def stop(self) -> None:
        memory.forget()

    def config(self) -> Settings:
        return MemorySource.Config(channel="kit")

    async def put(self, values: Sequence[bytes]) -> None:
        self.system.push(*map(records, values))

    async def end(self) -> None:
        self.system.end()

    async def go_away(self) -> None:
        self.system.down = True

    async def come_back(self) -> None:
        self.system.down = False


class MemorySinkContract(SinkContract):
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
        self.system = MemorySink(MemorySink.Config(channel="kit"))
        self.system.on_write = lambda batch: refuse(batch, b"impossible")

    async def stop(self) -> None:
        memory.forget()

    def config(self) -> Settings:
        return MemorySink.Config(channel="kit")

    async def written(self, **chosen: Any) -> Sequence[bytes]:
        return [value for batch in self.system.batches for value in _chosen(batch, chosen)]

    async def go_away(self) -> None:
        self.system.down = True

    async def come_back(self) -> None:
        self.system.down = False


def _chosen(batch: Batch, chosen: dict[str, Any]) -> list[bytes]:
    """The records of a batch that chose these."""
    columns = {"key": batch.keys, "headers": batch.headers, **batch.settings}
    named = {name: columns.get(name) or [None] * len(batch) for name in chosen}
    return [value for i, value in enumerate(batch.values) if all(named[name][i] == chosen[name] for name in chosen)]
