"""How the daemon is, as it goes on: an event a second, made once for all who listen, and only while somebody does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from aiohttp import web

from router.admin import Subject
from router.api import stream
from router.api.endpoint import Call, Endpoint, Failed, Said
from router.api.status import FlowTold, LettersTold, SinkTold, SourceTold, TableTold
from router.counted import by, by_two
from router.last_minute import LastMinute
from router.metrics import Metrics

MAX_LISTENERS = 16
SECONDS = 1.0


class LiveSource(SourceTold):
    """A source, and what it has read since the daemon started."""

    records: int
    bytes: int


class SinkMinute(Said):
    """What failed at a sink in the last minute."""

    retries: int
    letters: int


class FlowMinute(Said):
    """What failed in a flow in the last minute."""

    dead_letters: int
    rule_errors: int


class LiveSink(SinkTold):
    """A sink, and what it has taken since the daemon started."""

    records: int
    bytes: int
    retries: int
    """Writes made again."""
    letters: int
    """Dead letters of what was on its way to it."""
    minute: SinkMinute
    """Of these, those of the last minute."""


class LiveFlow(FlowTold):
    """A flow, and what it has decided since the daemon started."""

    records: int
    unmatched: int
    dropped: int
    dead_letters: int
    """Written since the daemon started."""
    letters_kept: int
    """In the store now."""
    rule_errors: int
    """Errors in its rules; a `when` over a missing field is none."""
    to: dict[str, int]
    """Deliveries decided on, by sink."""
    minute: FlowMinute
    """Of all this, what failed in the last minute."""


class LiveConfig(Said):
    """The configuration that runs."""

    version: str
    last_reload: dict[str, Any] | None


class Live(Said):
    """How the daemon is. What is counted is counted since it started, and begins anew with it."""

    time: float
    """When this was so, in Unix seconds."""
    started: float
    """When the daemon started, in Unix seconds."""
    state: str
    ready: bool
    config: LiveConfig
    sources: dict[str, LiveSource]
    sinks: dict[str, LiveSink]
    flows: dict[str, LiveFlow]
    tables: dict[str, TableTold]
    dead_letters: LettersTold


class Broadcast:
    """What all who listen to one daemon are told: made by the first who asks in a second."""

    def __init__(self, subject: Subject) -> None:
        self.listeners = 0
        self.closed = asyncio.Event()
        self._subject = subject
        self._tick = -1
        self._text = ""

    def text(self) -> str:
        """The event of this second."""
        tick = int(time.monotonic() / SECONDS)
        if tick != self._tick:
            self._tick = tick
            self._text = stream.event("status", told(self._subject), self._subject.masked)
        return self._text

    async def next(self) -> None:
        """Return in the next second, or when it is closed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SECONDS - time.monotonic() % SECONDS + 0.001):
                await self.closed.wait()


BROADCAST = web.AppKey("broadcast", Broadcast)


def told(subject: Subject) -> dict[str, Any]:
    """How it is now, as JSON values."""
    subject.refresh()
    status: dict[str, Any] = subject.status()
    metrics, kept = subject.metrics, status["dead_letters"]["kept"]
    config = {name: status["config"][name] for name in ("version", "last_reload")}
    shown = {name: status[name] for name in ("started", "state", "ready", "tables", "dead_letters")}
    minute = subject.history.last_minute
    return {
        "time": time.time(),
        **shown,
        "config": config,
        "sources": _sources(metrics, status["sources"]),
        "sinks": _sinks(metrics, status["sinks"], minute),
        "flows": _flows(metrics, status["flows"], kept, minute),
    }


def _sources(metrics: Metrics, told: dict[str, Any]) -> dict[str, Any]:
    counted = {"records": by(metrics.source_records, "source"), "bytes": by(metrics.source_bytes, "source")}
    return _joined(told, counted)


def _sinks(metrics: Metrics, told: dict[str, Any], minute: LastMinute) -> dict[str, Any]:
    counted = {
        "records": by(metrics.sink_records, "sink"),
        "bytes": by(metrics.sink_bytes, "sink"),
        "retries": by(metrics.sink_retries, "sink"),
        "letters": by(metrics.dead_letters, "sink"),
    }
    sinks, failed = _joined(told, counted), minute.of_sinks()
    for name, sink in sinks.items():
        sink["minute"] = {"retries": 0, "letters": 0, **failed.get(name, {})}
    return sinks


def _flows(metrics: Metrics, told: dict[str, Any], kept: dict[str, int], minute: LastMinute) -> dict[str, Any]:
    counted: dict[str, dict[str, float]] = {
        "records": by(metrics.flow_records, "flow"),
        "unmatched": by(metrics.unmatched, "flow"),
        "dropped": by(metrics.dropped, "flow"),
        "dead_letters": by(metrics.dead_letters, "flow"),
        "rule_errors": by(metrics.rule_errors, "flow"),
    }
    flows, ways = _joined(told, counted), by_two(metrics.routed, "flow", "sink")
    failed = minute.of_flows()
    for name, flow in flows.items():
        flow["letters_kept"] = kept.get(name, 0)
        flow["to"] = {sink: int(many) for sink, many in ways.get(name, {}).items()}
        flow["minute"] = {"dead_letters": 0, "rule_errors": 0, **failed.get(name, {})}
    return flows


def _joined(told: dict[str, Any], counted: dict[str, dict[str, float]]) -> dict[str, Any]:
    return {
        name: {**one, **{what: int(values.get(name, 0)) for what, values in counted.items()}}
        for name, one in told.items()
    }


async def _live(_: Subject, call: Call) -> web.StreamResponse:
    broadcast = call.request.app[BROADCAST]
    if broadcast.listeners >= MAX_LISTENERS:
        raise Failed(429, f"there are {MAX_LISTENERS} listeners already; end one of them")
    broadcast.listeners += 1
    try:
        events = stream.Stream(call.request)
        await events.begin()
        with contextlib.suppress(ConnectionError):  # whoever listened has gone, or may not any more
            while not broadcast.closed.is_set():
                await events.write(broadcast.text())
                await broadcast.next()
        return events.answer
    finally:
        broadcast.listeners -= 1


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/live",
        summary="How the daemon is, once a second, as server-sent events",
        handle=_live,
        answer=None,
        failures={429: "There are too many listeners already."},
        events={"status": Live},
    ),
)
