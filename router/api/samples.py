"""Records as they flow: the sample that is kept of each flow, and a tap: an event stream of some of them.

A tap never holds up the data path: it is given so many records a second and loses the oldest when whoever reads is
slow; how many went by unseen is told once a second. The stream is that of server-sent events (WHATWG HTML, 9.2).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from router.admin import Subject
from router.api import stream
from router.api.endpoint import Call, Endpoint, Failed, Said
from router.api.explaining import Explanation, explain
from router.api.status import named
from router.letter_choice import condition
from router.redaction import Redaction
from router.sampling import KEPT_RECORDS, Sampled, Tap, TooManyTaps
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
_GATHER_SECONDS = 0.2
_DIGITS = 18
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
    became: Literal["under_way", "delivered", "buffered", "dead_letter", "dropped"]
    """What became of it: `under_way` until all that was read with it is settled; `buffered` is delivered, or kept in
    the sink's disk buffer until it is."""
    reason: str | None
    """Of a dead letter, which a delivery to a sink becomes that refuses it, too."""
    detail: str | None
    """What exactly went wrong, as far as it may be shown; of what is too long the dead letter has all."""


class SampledTold(Said):
    """A record, with what was decided about it. What a contract marks as sensitive is `***`."""

    id: int
    """What to ask for all of it by, while it is kept."""
    read: float
    """When it was read, in Unix seconds."""
    time: float
    """When it was decided about, in Unix seconds."""
    settled: float | None
    """When all that was read with it was delivered, or kept as dead letters, in Unix seconds; null before."""
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


class SampleEnd(EndTold):
    """One of the ends of a record, with what went out."""

    out: Any = None
    """The payload as it went out: text, or `{"base64": ...}`; null where none did, it is too long to be kept, or the
    flow has sensitive fields."""


class SampleTold(SampledTold):
    """A record with all that is known of it."""

    ends: list[SampleEnd]  # type: ignore[assignment] # of the same things, more
    decided_by: str
    """The version of the rules that decided about it."""
    runs: str
    """That of the rules that run now."""
    explanation: Explanation | None
    """Why it goes where it goes by the rules that run now; null where it is too long to be kept."""


class Some(Model):
    """Which samples."""

    rule: Annotated[str, Field(max_length=500)] | None = None
    """Those with an end that this rule, or part of `otherwise`, decided."""
    to: Annotated[str, Field(max_length=500)] | None = None
    """Those with an end there: a sink, `drop` or `dead_letter`."""
    limit: Annotated[int, Field(ge=1, le=KEPT_RECORDS)] = KEPT_RECORDS
    """So many of the newest."""


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
    redaction, wanted = Redaction(subject.configuration), call.query
    kept = [
        sampled
        for sampled in subject.samples.sample(_flow(subject, call))
        if any(wanted.rule in (None, end.rule) and wanted.to in (None, end.to) for end in sampled.ends)
    ]
    return SamplesTold(samples=[SampledTold(**redaction.sampled(sampled)) for sampled in kept[-wanted.limit :]])


async def _sample(subject: Subject, call: Call) -> SampleTold:
    flow, text = _flow(subject, call), call.names["id"]
    is_number = text.isascii() and text.isdecimal() and len(text) <= _DIGITS
    sampled = subject.samples.find(flow, int(text)) if is_number else None
    ruleset = None if sampled is None else subject.running_ruleset(flow, sampled.source)
    if sampled is None or ruleset is None:
        raise Failed(404, f"the record {text} of the flow {flow} is not kept, or not any more")
    shown = Redaction(subject.configuration).sampled(sampled, outgoing=True)
    explanation = await explain(subject, ruleset, sampled.batch, sampled.source) if sampled.is_whole else None
    return SampleTold(**shown, decided_by=sampled.version, runs=ruleset.version, explanation=explanation)


async def _tap(subject: Subject, call: Call) -> web.StreamResponse:
    flow, wanted = _flow(subject, call), call.query
    where = None if wanted.where is None else condition(wanted.where, _VARIABLES, "a record", "where")
    Redaction(subject.configuration).refuse_probes(where, "where", flow)
    try:
        tap = subject.samples.tap(flow, wanted.rate * (1 if where is None else LOOKED_AT))
    except TooManyTaps as error:
        raise Failed(429, str(error)) from error
    try:
        events = stream.Stream(call.request)
        await events.begin()
        with contextlib.suppress(ConnectionError):  # whoever listened has gone, or may not any more
            await _Listener(subject, tap, where, wanted.rate).tell(events)
        return events.answer
    finally:
        tap.close()


class _Listener:
    """Writes what a tap gives into a stream, until either ends."""

    def __init__(self, subject: Subject, tap: Tap, where: cel.Expression | None, rate: float) -> None:
        self._subject = subject
        self._tap = tap
        self._redaction = Redaction(subject.configuration)
        self._takes = (lambda _: True) if where is None else _condition(subject, where)
        self._most = max(1, int(rate))
        self._left = self._most
        self._told = self._written = time.monotonic()

    async def tell(self, events: stream.Stream) -> None:
        """Write, some records at a time."""
        while not self._tap.ended:
            some = await self._tap.take(_GATHER_SECONDS, _TELL_SECONDS)
            now = time.monotonic()
            text = "".join(self._events(some, now))
            if not text and now - self._written > _SILENT_SECONDS:
                text = ": nothing yet\n\n"  # what lies between ends a connection on which nothing happens
            if text:
                self._written = now
            await events.write(text)

    def _events(self, some: Sequence[Sampled], now: float) -> Iterator[str]:
        if not self._redaction.is_of(self._subject.configuration):  # a reload has taken place
            self._redaction = Redaction(self._subject.configuration)
        for sampled in some:
            if self._left > 0 and self._takes(sampled):
                self._left -= 1
                yield stream.event("record", self._redaction.sampled(sampled), self._subject.masked)
            else:
                self._tap.skipped += 1
        if now - self._told >= _TELL_SECONDS:
            if self._tap.skipped:
                yield stream.event("skipped", {"records": self._tap.skipped}, self._subject.masked)
            self._told, self._tap.skipped, self._left = now, 0, self._most


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
        query=Some,
        failures=_NO_FLOW,
    ),
    Endpoint(
        method="GET",
        path="/api/flows/{name}/samples/{id}",
        summary="One of these, or of the last that a tap has shown: why it went where, when, and what went out",
        handle=_sample,
        answer=SampleTold,
        alone=True,
        failures={404: "There is no such flow, or no such record any more."},
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
