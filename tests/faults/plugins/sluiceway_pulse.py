"""A sink that keeps nothing, and tells when it is closed what it was given and how long it ever had to wait for it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import ClassVar

from router import Batch, Settings

NUMBER = re.compile(rb'"n":(\d+)')
TICK = 0.001
Span = tuple[float, float, float]
"""Seconds by the clock, and of the processor's time that the process had in them: where others take the processor, the
former says nothing. The last is when, by the clock."""


class PulseSinkConfig(Settings):
    """The settings of a pulse sink."""

    report: Path
    """The file that it writes when it is closed."""
    mark: int = 0
    """Means nothing: one with another mark is another sink."""


class PulseSink:
    """Looks at the number ``n`` of the first and the last record of each batch.

    **Guarantee**: none; nothing is kept.
    """

    Config: ClassVar[type[PulseSinkConfig]] = PulseSinkConfig

    def __init__(self, config: PulseSinkConfig) -> None:
        self.config = config
        self._ticking: asyncio.Task[None] | None = None
        self._records = 0
        self._first = self._last = -1
        self._broken: list[str] = []
        self._gaps: list[Span] = []
        self._lags: list[Span] = []
        self._written = _now()

    async def open(self) -> None:
        """Begin to watch the loop."""
        self._ticking = asyncio.create_task(self._tick(), name="pulse")
        self._written = _now()

    async def _tick(self) -> None:
        while True:
            before = _now()
            await asyncio.sleep(TICK)
            self._lags.append(_since(before))

    async def write(self, batch: Batch) -> None:
        """Look at it."""
        self._gaps.append(_since(self._written))
        self._written = _now()
        first, last = _number(batch.values[0]), _number(batch.values[-1])
        if self._first < 0:
            self._first = first
        elif first != self._last + 1:
            self._broken.append(f"{first} comes after {self._last}")
        if last - first + 1 != len(batch):
            self._broken.append(f"{len(batch)} records from {first} to {last}")
        self._last = last
        self._records += len(batch)

    async def close(self) -> None:
        """Tell."""
        if self._ticking is None:
            return
        self._ticking.cancel()
        self._ticking = None
        told = {
            "records": self._records,
            "first": self._first,
            "last": self._last,
            "broken": self._broken[:10],
            "gaps": sorted(self._gaps, key=_own)[-20:],
            "lags": sorted(self._lags, key=_own)[-20:],
            "ticks": len(self._lags),
        }
        with self.config.report.open("a") as file:
            file.write(json.dumps(told) + "\n")


def _now() -> Span:
    return time.monotonic(), time.process_time(), time.time()


def _since(before: Span) -> Span:
    return time.monotonic() - before[0], time.process_time() - before[1], before[2]


def _own(span: Span) -> float:
    """What of it is of the process's own making."""
    return min(span[:2])


def _number(value: bytes) -> int:
    found = NUMBER.search(value)
    return -1 if found is None else int(found[1])
