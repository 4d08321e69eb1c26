"""Records as they flow: the sample that is kept of each flow, and a tap: an event stream of some of them.

A tap never holds up the data path: it is given so many records a second and loses the oldest when whoever reads is
slow; how many went by unseen is told once a second. The stream is that of server-sent events (WHATWG HTML, 9.2).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from router.admin import Subject
from router.api.endpoint import Call, Endpoint, Failed, Said
from router.api.server import SAFE, masked
from router.api.status import named
from router.letter_choice import condition
from router.redaction import Redaction
from router.sampling import Sampled, Tap, TooManyTaps
from rules import cel
from rules.cel.budget import bounded
from rules.meta import meta_of
from rules.model import Model

MAX_RATE = 200
LOOKED_AT = 3
"""With a condition, so many times as many records are looked at as may be shown."""
_STEPS = 2_000
"""What the condition may cost of each record."""
_TELL_SECONDS = 1.0
_SILENT_SECONDS = 15.0
_GATHER_SECONDS = 0.1
_VARIABLES = ("event", "meta", "vars")


class EndTold(Said):
    """One of the ends of a record."""

    to: str
    """A sink, `drop` or `dead_letter`."""
    rule: str | None
    """The rule, or the part of `otherwise`, that decided it."""
    settings: dict[str, Any]
    """What the delivery chose of the sink's settings."""
    changed: bool
    """Whether it does not go out as it came."""
    reason: str | None
    detail: str | None


class SampledTold(Said):
    """A record, with what was decided about it. What a contract marks as sensitive is `***`."""

    time: float
    """When it was decided about, in Unix seconds."""
    flow: str
    source: str
    version: str
    """That of the flow's rules."""
    size: int
    """How many bytes the payload has."""
    event: Any
    """The payload, decoded; null where it cannot be decoded, or is too long to be kept."""
    value: Any
    """The payload where it cannot be decoded, if it may be shown: text, or `{"base64": ...}`."""
    meta: dict[str, Any]
    """What the source knows of it."""
    ends: list[EndTold]


class SamplesTold(Said):
    """Some of the records of a flow, oldest first."""

    samples: list[SampledTold]


class Skipped(Said):
    """What went by unseen since the last such event."""

    records: int


class Wanted(Model):
    """What of a flow is to be shown, and how fast."""

    where: Annotated[str, Field(max_length=2_000)] | None = None
    """A condition in CEL over `event`, `meta` and `vars`. One that fails does not match. It may not read what the
    contract marks as sensitive."""
    rate: Annotated[float, Field(gt=0, le=MAX_RATE, allow_inf_nan=False)] = 100.0
    """So many records a second at most."""


def _flow(subject: Subject, call: Call) -> str:
    return named("flow", call.names["name"], {flow.name: flow.name for flow in subject.configuration.flows})


async def _samples(subject: Subject, call: Call) -> SamplesTold:
    redaction = Redaction(subject.configuration)
    kept = subject.samples.sample(_flow(subject, call))
    return SamplesTold(samples=[SampledTold(**redaction.sampled(sampled)) for sampled in kept])


async def _tap(subject: Subject, call: Call) -> web.StreamResponse:
    flow, wanted = _flow(subject, call), call.query
    where = None if wanted.where is None else condition(wanted.where, _VARIABLES, "a record", "where")
    Redaction(subject.configuration).refuse_probes(where, "where", flow)
    try:
        tap = subject.samples.tap(flow, wanted.rate * (1 if where is None else LOOKED_AT))
    except TooManyTaps as error:
        raise Failed(429, str(error)) from error
    try:
        stream = web.StreamResponse(headers=SAFE)
        stream.content_type, stream.charset = "text/event-stream", "utf-8"
        await stream.prepare(call.request)
        await _Listener(subject, tap, where, wanted.rate).tell(stream)
        return stream
    except ConnectionError:  # whoever listened has gone
        return stream
    finally:
        tap.close()


class _Listener:
    """Writes what a tap gives into a stream, until either ends."""

    def __init__(self, subject: Subject, tap: Tap, where: cel.Expression | None, rate: float) -> None:
        self._subject = subject
        self._tap = tap
        self._takes = (lambda _: True) if where is None else _condition(subject, where)
        self._most = max(1, int(rate))
        self._left = self._most
        self._told = self._written = time.monotonic()

    async def tell(self, stream: web.StreamResponse) -> None:
        """Write, some records at a time."""
        while not self._tap.ended:
            some = await self._tap.take(_GATHER_SECONDS, _TELL_SECONDS)
            now = time.monotonic()
            text = "".join(self._events(some, now))
            if not text and now - self._written > _SILENT_SECONDS:
                text = ": nothing yet\n\n"  # what lies between ends a connection on which nothing happens
            if text:
                self._written = now
                await stream.write(text.encode(errors="replace"))

    def _events(self, some: Sequence[Sampled], now: float) -> Iterator[str]:
        redaction = Redaction(self._subject.configuration)
        for sampled in some:
            if self._left > 0 and self._takes(sampled):
                self._left -= 1
                yield _event("record", redaction.sampled(sampled), self._subject.masked)
            else:
                self._tap.skipped += 1
        if now - self._told >= _TELL_SECONDS:
            if self._tap.skipped:
                yield _event("skipped", {"records": self._tap.skipped}, self._subject.masked)
            self._told, self._tap.skipped, self._left = now, 0, self._most


def _event(name: str, data: Mapping[str, Any], mask: Callable[[str], str]) -> str:
    return f"event: {name}\ndata: {json.dumps(masked(data, mask), ensure_ascii=False)}\n\n"


def _condition(subject: Subject, where: cel.Expression) -> Callable[[Sampled], bool]:
    run = bounded(where.node, _STEPS)

    def takes(sampled: Sampled) -> bool:
        if not sampled.is_whole or sampled.batch.spoiled:
            return False
        try:
            bindings: dict[str, object] = {"vars": subject.configuration.vars}
            if "event" in where.variables:
                bindings["event"] = sampled.decode.codec.decode_at(sampled.batch, 0)
            if "meta" in where.variables:
                bindings["meta"] = meta_of(sampled.batch, 0, sampled.source)
            return run(bindings) is True
        except (ValueError, RecursionError, cel.CelError):
            return False

    return takes


_NO_FLOW = {404: "There is no such flow."}

ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/flows/{name}/samples",
        summary="The sample that is kept of a flow's records, each with what was decided about it",
        handle=_samples,
        answer=SamplesTold,
        failures=_NO_FLOW,
    ),
    Endpoint(
        method="GET",
        path="/api/flows/{name}/tap",
        summary="Some of a flow's records, as they come, as server-sent events",
        handle=_tap,
        answer=None,
        query=Wanted,
        failures=_NO_FLOW | {429: "There are too many taps already."},
        events={"record": SampledTold, "skipped": Skipped},
    ),
)
