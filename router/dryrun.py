"""A dry run: the real sources are read and decided about, and nothing comes of it.

Nothing is acknowledged and no sink is made. The state folder is looked into for where reading begins, and left as it
is. Sources that cannot be read unnoticed are refused, unless it is said that what they give may be lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from router.assembly import build_source
from router.config import Configuration, SourceSpec
from router.errors import EndOfStream, NotConnected, SluicewayError
from router.interfaces import Json, Peeks, Source
from router.preview.difference import Count, Where, counted
from router.preview.ends import Side, Way
from router.retry import Backoff
from router.settings import Context, MemoryPositions
from router.state import FILE

log = logging.getLogger(__name__)

_OPEN_SECONDS: Final = 60.0
_CLOSE_SECONDS: Final = 10.0


class Unpeekable(SluicewayError):
    """Sources that would notice, or lose something: ``why``, by name."""

    def __init__(self, why: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"source {name}: {text}" for name, text in why.items()))
        self.why = dict(why)


class Reading(Struct):
    """How it went with one source. ``error`` says why it is not connected; empty when it is, or has ended."""

    flow: str
    records: int = 0
    bytes: int = 0
    connected: bool = False
    was_connected: bool = False
    ended: bool = False
    error: str = "not opened yet"

    def as_json(self) -> dict[str, object]:
        """All of it as JSON values."""
        return {
            "flow": self.flow,
            "records": self.records,
            "bytes": self.bytes,
            "connected": self.was_connected,
            "ended": self.ended,
            "error": self.error or None,
        }


class Account(Struct):
    """What was read, and where it would have gone."""

    sources: dict[str, Reading] = field(default_factory=dict)
    ends: Counter[Where] = field(default_factory=Counter)

    @property
    def records(self) -> int:
        """How many were read in all."""
        return sum(reading.records for reading in self.sources.values())

    @property
    def counts(self) -> list[Count]:
        """By flow, sink and rule."""
        return counted(self.ends, self.ends)

    @property
    def is_connected(self) -> bool:
        """Whether every source could be opened."""
        return all(reading.was_connected for reading in self.sources.values())

    def as_json(self) -> dict[str, object]:
        """All of it as JSON values."""
        return {
            "records": self.records,
            "sources": {name: reading.as_json() for name, reading in self.sources.items()},
            "counts": [
                {
                    "flow": count.flow,
                    "to": count.to,
                    "reason": count.reason or None,
                    "rule": count.rule or None,
                    "records": count.new,
                }
                for count in self.counts
            ],
        }


class DryRun:
    """One dry run. ``account`` grows while it runs.

    ``consume``: sources that cannot be read unnoticed are read all the same, and what they give is lost, unless whoever
    sent it sends it again: nothing is acknowledged. ``most``: it ends after so many records in all.

    Making one reads the tables of the configuration. Raises ``Unpeekable``; ``rules.faults.Refused`` when a table
    cannot be had.
    """

    def __init__(self, configuration: Configuration, *, consume: bool = False, most: int | None = None) -> None:
        self.account = Account()
        self._most = most
        self._full = asyncio.Event()
        self._configuration = configuration
        kept = kept_positions(configuration.state_dir)
        self._sources: dict[str, Source] = {}
        self._ways: dict[str, Way] = {}
        for flow in configuration.flows:
            for name, _ in flow.sources:
                self._sources[name] = self._make(configuration.sources[name], kept.get(name, {}))
                self.account.sources[name] = Reading(flow.name)
        why = {name: text for name, source in self._sources.items() if (text := _why_not(source))}
        if why and not consume:
            raise Unpeekable(why)
        side = Side(configuration)
        for name, reading in self.account.sources.items():
            way = side.way(reading.flow, name)
            assert way is not None  # noqa: S101 - its flow is there
            self._ways[name] = way

    def _make(self, spec: SourceSpec, kept: Mapping[str, Json]) -> Source:
        positions = MemoryPositions()
        positions.entries.update(kept)
        context = Context(name=spec.name, folder=self._configuration.folder, positions=positions, format=spec.decode)
        return build_source(spec, context)

    async def run(self, stop: asyncio.Event) -> Account:
        """Read until ``stop`` is set, every source has ended, or there were as many records as there are to be."""
        async with asyncio.TaskGroup() as group:
            reading = [
                group.create_task(self._read_all(name, source), name=f"reading of {name}")
                for name, source in self._sources.items()
            ]
            ends = [
                group.create_task(stop.wait(), name="stop signal"),
                group.create_task(self._full.wait(), name="enough records"),
            ]
            running: set[asyncio.Task[None]] = set(reading)
            while running and not any(end.done() for end in ends):
                done, _ = await asyncio.wait([*running, *ends], return_when=asyncio.FIRST_COMPLETED)
                running -= done
            for task in (*reading, *ends):
                task.cancel()
        return self.account

    async def _read_all(self, name: str, source: Source) -> None:
        """Read a source to its end, and open it again, with backoff, when it is away."""
        reading, backoff = self.account.sources[name], Backoff()
        while not reading.ended:
            try:
                async with asyncio.timeout(_OPEN_SECONDS):
                    await source.open()
                reading.connected = reading.was_connected = True
                reading.error = ""
                await self._read(name, source, backoff)
            except EndOfStream:
                reading.ended = True
            except (NotConnected, TimeoutError, ConnectionError) as error:
                reading.error = str(error) or "not connected"
                log.warning("source %s: %s", name, reading.error)
            except Exception as error:
                reading.error = f"failed in an unforeseen way: {type(error).__name__}: {error}"
                log.error("source %s: %s", name, reading.error, exc_info=error)
            finally:
                reading.connected = False
                await _close(name, source)
            if not reading.ended:
                await asyncio.sleep(backoff.next())

    async def _read(self, name: str, source: Source, backoff: Backoff) -> None:
        way, reading = self._ways[name], self.account.sources[name]
        while True:
            batch = await source.read()
            backoff.reset()
            if self._most is not None and self.account.records + len(batch) >= self._most:
                arrived = batch.arrived
                batch = batch.select(range(self._most - self.account.records))
                batch.arrived = arrived
                self._full.set()
            crossing = way.cross(batch.arrived)
            for ends in way.decide(batch, crossing):
                self.account.ends.update((way.flow, end.to, end.reason, end.rule) for end in ends)
            if crossing is not None:
                crossing.settle()
            reading.records += len(batch)
            reading.bytes += batch.bytes
            if self._full.is_set():
                return
            await asyncio.sleep(0)  # a source that always has something lets others turn, too


def _why_not(source: Source) -> str:
    if isinstance(source, Peeks):
        return source.peek()
    return "what is read of it is gone, or others would notice"


async def _close(name: str, source: Source) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            try:
                await source.close()
            except Exception as error:  # noqa: BLE001 - what cannot be closed is left behind
                log.warning("source %s: close failed: %s", name, error)


def kept_positions(state_dir: Path) -> dict[str, dict[str, Json]]:
    """What a daemon has remembered, by source, read without a trace in the folder; nothing, where there is none.

    While a daemon runs, or after one was killed, SQLite reads its log too; otherwise the file is all there is, and
    nothing is made beside it.
    """
    file = state_dir / FILE
    if not file.exists():
        return {}
    mode = "mode=ro" if Path(f"{file}-wal").exists() else "mode=ro&immutable=1"
    found: dict[str, dict[str, Json]] = {}
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True)) as connection:
            for source, key, value in connection.execute("SELECT source, key, value FROM positions"):
                found.setdefault(source, {})[key.decode("utf-8", "surrogatepass")] = json.loads(value)
    except sqlite3.Error as error:
        log.warning("where the daemon is cannot be read of %s, so reading begins anew: %s", file, error)
    return found
