"""How the daemon is: all of it, its flows, its sources with their lag, its sinks with their queues."""

from __future__ import annotations

from typing import Any, TypeVar

from router.admin import Subject
from router.api.endpoint import Call, Endpoint, Failed, Handler, Said
from rules.suggest import did_you_mean

T = TypeVar("T")


class Unsettled(Said):
    """What was read and is neither delivered nor a dead letter yet."""

    batches: int
    records: int


class LagTold(Said):
    """How far a partition's acknowledged position is behind its end."""

    partition: str
    records: int | None = None
    """Records that are not acknowledged; null where the source cannot tell."""
    seconds: float | None = None
    """How long the oldest of them has waited; null where the source cannot tell."""
    bytes: int | None = None
    """Bytes that are not acknowledged, of sources that count so."""


class SourceTold(Said):
    """A source."""

    type: str
    flow: str
    """The flow that reads it."""
    state: str
    """`running`, `pausing`, `paused`, `draining` while it is closed to be opened anew or to go, `ended`."""
    connected: bool
    ended: bool
    """Whether it has no more records and never will have."""
    error: str | None
    """Why it is not connected."""
    since: float
    """When it was connected, or came apart, in Unix seconds."""
    unsettled: Unsettled
    lag: list[LagTold]


class Queue(Said):
    """What waits for a sink in memory."""

    records: int
    bytes: int
    waiting: int
    """How many batches wait for room in it."""


class Buffer(Said):
    """What waits for a sink on the disk."""

    file: str
    records: int
    bytes: int
    limit: int
    """How many bytes of payload it may hold."""
    full: bool
    waiting: int
    error: str | None


class SinkTold(Said):
    """A sink."""

    type: str
    connected: bool
    error: str | None
    """Why it is not connected, or what it said last."""
    since: float
    queue: Queue
    buffer: Buffer | None = None


class FlowTold(Said):
    """A flow."""

    version: str
    sources: list[str]
    rules: int
    """How many rules it has."""


class TableTold(Said):
    """A table that rules look into."""

    type: str
    rows: int
    age_seconds: float
    refresh_seconds: float | None
    error: str | None


class ConfigTold(Said):
    """The configuration that runs."""

    version: str
    files: list[str]
    last_reload: dict[str, Any] | None
    """When the files were last taken over, by whose wish, and whether they were taken or with which faults refused."""


class LettersTold(Said):
    """The dead letters."""

    kept: dict[str, int]
    """How many there are of each flow."""
    bytes: int
    """How much of the disk they use."""
    error: str | None
    """Why they cannot be written."""


class Status(Said):
    """Everything there is to say of a daemon."""

    version: str
    """That of Sluiceway."""
    config: ConfigTold
    started: float
    ready: bool
    """Whether it takes records in."""
    state: str
    """`running`, `starting`, `draining`, `stopped`."""
    sources: dict[str, SourceTold]
    sinks: dict[str, SinkTold]
    flows: dict[str, FlowTold]
    tables: dict[str, TableTold]
    dead_letters: LettersTold


class Sources(Said):
    """Every source, by its name."""

    sources: dict[str, SourceTold]


class Sinks(Said):
    """Every sink, by its name."""

    sinks: dict[str, SinkTold]


class Flows(Said):
    """Every flow, by its name."""

    flows: dict[str, FlowTold]


def status_of(subject: Subject) -> Status:
    """How it is now."""
    subject.refresh()
    return Status.model_validate(subject.status())


def named(kind: str, name: str, known: dict[str, T]) -> T:
    """What has this name. Raises Failed, 404."""
    if name in known:
        return known[name]
    hint = did_you_mean(name, known) if known else ""
    raise Failed(404, f"there is no {kind} {name!r}" + (f"; {hint}" if hint else ""))


async def _status(subject: Subject, _: Call) -> Status:
    return status_of(subject)


async def _sources(subject: Subject, _: Call) -> Sources:
    return Sources(sources=status_of(subject).sources)


async def _source(subject: Subject, call: Call) -> SourceTold:
    return named("source", call.names["name"], status_of(subject).sources)


async def _sinks(subject: Subject, _: Call) -> Sinks:
    return Sinks(sinks=status_of(subject).sinks)


async def _sink(subject: Subject, call: Call) -> SinkTold:
    return named("sink", call.names["name"], status_of(subject).sinks)


async def _flows(subject: Subject, _: Call) -> Flows:
    return Flows(flows=status_of(subject).flows)


def _get(path: str, summary: str, handle: Handler, answer: type[Said]) -> Endpoint:
    failures = {404: "There is none of this name."} if "{" in path else {}
    return Endpoint(method="GET", path=path, summary=summary, handle=handle, answer=answer, failures=failures)


ENDPOINTS = (
    _get("/api/status", "Everything there is to say of the daemon", _status, Status),
    _get("/api/flows", "Every flow", _flows, Flows),
    _get("/api/sources", "Every source: connection, lag, what is unsettled", _sources, Sources),
    _get("/api/sources/{name}", "One source", _source, SourceTold),
    _get("/api/sinks", "Every sink: connection, queue, buffer", _sinks, Sinks),
    _get("/api/sinks/{name}", "One sink", _sink, SinkTold),
)
