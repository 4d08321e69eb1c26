"""One source of the running configuration, which can be paused, exchanged for another of its name, and taken away.

Whatever is asked of it, the pipeline that runs stops reading, what it has read is settled, and its source is closed;
only then does the next one begin. So there are never two connectors of one name, and what was read first is first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

from router.load import Way
from router.metrics import Metrics
from router.pipeline import Pipeline
from router.supervision import supervise

log = logging.getLogger(__name__)

Make = Callable[[str, asyncio.Event], Pipeline]
"""Makes the pipeline of the source of this name, as the configuration has it now; it reads until the event is set."""

State = Literal["running", "pausing", "paused", "draining", "ended"]


class Intake:
    """The source of one name and ``type``. ``run`` is its task; ``pipeline`` is what reads it, or did last.

    ``grace`` gives the seconds that a source which replays has to settle what it has read, when another one is to take
    its place; after them that is given up, and read again. A source that does not replay has as long as it takes.
    """

    def __init__(self, name: str, type_: str, make: Make, grace: Callable[[], float], metrics: Metrics) -> None:
        self.name = name
        self.type = type_
        self._paused = metrics.source(name).paused
        self.is_paused = False
        self.is_leaving = False
        self._make = make
        self._grace = grace
        self._stop = asyncio.Event()
        self._is_stopped = False
        self._is_reading = False
        self._changed = asyncio.Event()
        self.pipeline = make(name, self._stop)

    @property
    def state(self) -> State:
        """What it does now."""
        if self.is_paused:
            return "pausing" if self._is_reading else "paused"
        if self._is_reading and self._stop.is_set():
            return "draining"
        return "ended" if self.has_ended else "running"

    @property
    def has_ended(self) -> bool:
        """Whether the source itself has come to its end."""
        return self.pipeline.ended and not self._stop.is_set()

    def status(self) -> dict[str, object]:
        """Its type, what it does, and what its pipeline tells, as JSON values."""
        return {"type": self.type, **self.pipeline.status(), "state": self.state}

    def uses(self, way: Way) -> bool:
        """Whether a record may still go this way."""
        return self._is_reading and self.pipeline.uses(way)

    def goes_through(self, flow: str) -> bool:
        """Whether a record may still go through this flow."""
        return self._is_reading and self.pipeline.goes_through(flow)

    def pause(self) -> None:
        """Read no more. What was read is settled, and then the source is closed."""
        if self.is_paused or self.has_ended:
            return
        self.is_paused = True
        self._paused.set(1)
        self._stop.set()
        log.info("source %s: paused", self.name)

    def resume(self) -> None:
        """Read on, with a connector made anew, as soon as what was read before the pause is settled."""
        if not self.is_paused:
            return
        self.is_paused = False
        self._paused.set(0)
        self._changed.set()
        log.info("source %s: resumed", self.name)

    def exchange(self) -> None:
        """Go on with a connector made anew; one that is paused stays so, and has it when it is resumed."""
        self.is_leaving = False
        self._stop.set()
        self._changed.set()

    def leave(self) -> None:
        """Settle what was read, close the source, and end."""
        self.is_leaving = True
        self._stop.set()
        self._changed.set()

    def stop(self) -> None:
        """The daemon stops: read no more, settle what was read, and end; how long that may take is for others to
        say."""
        self._is_stopped = True
        self._stop.set()
        self._changed.set()

    async def run(self) -> None:
        """Read until the source has ended, leaves, or the daemon stops, and return when all that was read is settled.

        When cancelled, what is not settled is given up, as by ``Pipeline.run``.
        """
        while True:
            await self._read()
            while self.is_paused and not self._is_over:
                self._changed.clear()
                await self._changed.wait()
            if self._is_over or self.has_ended:
                return
            self._changed.clear()
            self._stop = asyncio.Event()
            self.pipeline = self._make(self.name, self._stop)

    @property
    def _is_over(self) -> bool:
        return self._is_stopped or self.is_leaving

    async def _read(self) -> None:
        self._is_reading = True
        try:
            async with asyncio.TaskGroup() as group:
                run, name = self.pipeline.run, f"pipeline {self.name}"
                reading = group.create_task(supervise(name, run), name=name)
                asked = group.create_task(self._changed.wait(), name=f"changes of {self.name}")
                await asyncio.wait([reading, asked], return_when=asyncio.FIRST_COMPLETED)
                if not reading.done() and not self._is_stopped:
                    await self._wait_for_end(reading)
                    reading.cancel()
                asked.cancel()
        finally:
            self._is_reading = False

    async def _wait_for_end(self, reading: asyncio.Task[None]) -> None:
        grace = self._grace() if self.pipeline.source.replays else None
        done, _ = await asyncio.wait([reading], timeout=grace)
        if not done:
            records = self.pipeline.unsettled_records
            log.warning("source %s: %d record(s) are not settled in %g s, and read again", self.name, records, grace)
