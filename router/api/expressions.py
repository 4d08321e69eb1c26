"""What an expression comes to, and why a record goes where it goes: with records that are given, delivering nothing.

Both run in a thread, one request at a time, so that the data path goes on; what an expression of somebody else may cost
is bounded (``rules.cel.budget``), and so are the sizes of what is given.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from typing import Annotated, Any

from pydantic import Field

from router.admin import Subject
from router.api.endpoint import Call, Endpoint, Failed, Said
from router.api.explaining import Explanation, explain
from router.api.status import named
from router.batch import Batch
from rules import cel
from rules.cel import to_json
from rules.cel.budget import bounded
from rules.cel.temporal import Timestamp
from rules.faults import Fault, Place, Refused
from rules.meta import FIXED
from rules.model import Model

STEPS = 200_000
"""What an expression may cost."""
MAX_RECORD = 1 << 20
_EXPRESSION = "expression"


class Evaluated(Model):
    """An expression, and what it sees."""

    expression: Annotated[str, Field(max_length=10_000)]
    """CEL."""
    event: Any = None
    """What it sees as `event`; absent by default."""
    meta: dict[str, Any] | None = None
    """What it sees as `meta`; absent by default."""


class Value(Said):
    """What came of it: a value, or the reason why there is none."""

    value: Any = None
    """The value as JSON."""
    error: str | None = None
    """Why there is no value."""
    missing: bool = False
    """Whether that is a field that is not there: a `when` does not match then."""


class Explained(Model):
    """A record, as if from a source of the flow."""

    flow: Annotated[str, Field(max_length=500)]
    source: Annotated[str, Field(max_length=500)] | None = None
    """One of those that the flow reads; the first by default."""
    value: Any = None
    """The payload: any JSON value, which goes through the flow as its JSON text; a text that is no JSON, or in another
    format, stands under `text` or `base64` instead, with null here."""
    text: str | None = None
    """The payload as text."""
    base64: str | None = None
    """The payload as bytes."""
    key: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    time: str | None = None
    """The record's own time, such as `2026-01-31T12:00:00Z`."""
    meta: dict[str, Any] = Field(default_factory=dict)
    """What else the source knows of it, such as `{"topic": "orders"}`."""


async def _eval(_: Subject, call: Call) -> Value:
    return await asyncio.to_thread(_evaluate, call.body)


def _evaluate(asked: Evaluated) -> Value:
    try:
        compiled = cel.compile(asked.expression)
    except cel.CelSyntaxError as error:
        place = ((fault, Place(_EXPRESSION, fault.line, fault.column)) for fault in error.faults)
        raise Refused(Fault(at, fault.message) for fault, at in place) from error
    given = {"event": asked.event, "meta": asked.meta}
    bindings = {name: value for name, value in given.items() if name in asked.model_fields_set}
    try:
        value = to_json(bounded(compiled.node, STEPS)(bindings))
        json.dumps(value)
    except cel.CelMissing as missing:
        return Value(error=str(missing), missing=True)
    except (cel.CelError, ValueError, RecursionError) as error:
        return Value(error=str(error))
    return Value(value=value)


async def _explain(subject: Subject, call: Call) -> Explanation:
    asked: Explained = call.body
    flow = named("flow", asked.flow, {flow.name: flow for flow in subject.configuration.flows})
    sources = [name for name, _ in flow.sources]
    source = asked.source or sources[0]
    if source not in sources:
        raise Failed(400, f"source: the flow {flow.name} does not read {source!r}; it reads {', '.join(sources)}")
    ruleset = subject.running_ruleset(flow.name, source)
    if ruleset is None:
        raise Failed(404, f"the flow {flow.name} does not run")
    batch = _batch(asked)
    return await explain(subject, ruleset, batch, source)


def _batch(asked: Explained) -> Batch:
    for name in asked.meta:
        if name in FIXED:
            raise Failed(400, f"meta: {name} stands beside it, or is the source's")
    payload = _payload(asked)
    if len(payload) > MAX_RECORD:
        raise Failed(400, f"the record is longer than {MAX_RECORD:,} bytes")
    return Batch(
        values=[payload],
        keys=[None if asked.key is None else asked.key.encode()],
        headers=[[(name, value.encode()) for name, value in asked.headers.items()] or None],
        times=[_time(asked.time)],
        attributes={name: [value] for name, value in asked.meta.items()},
    )


def _payload(asked: Explained) -> bytes:
    given = [name for name in ("value", "text", "base64") if getattr(asked, name) is not None]
    if len(given) > 1:
        raise Failed(400, f"the record is given as {' and as '.join(given)}; should be one of them")
    if not given and "value" not in asked.model_fields_set:
        raise Failed(400, "give a record: as value, text or base64")
    try:
        if asked.text is not None:
            return asked.text.encode()
        if asked.base64 is not None:
            return base64.b64decode(asked.base64, validate=True)
        return json.dumps(asked.value, ensure_ascii=False).encode()
    except (binascii.Error, ValueError, RecursionError) as error:
        raise Failed(400, f"the record cannot be read: {error}") from error


def _time(text: str | None) -> int | None:
    try:
        return None if text is None else Timestamp.parse(text).total_nanos
    except cel.CelError as error:
        raise Failed(400, f"time: should be like 2026-01-31T12:00:00Z: {error}") from error


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/eval",
        summary="What a CEL expression comes to",
        handle=_eval,
        answer=Value,
        body=Evaluated,
        alone=True,
        failures={422: "It is no expression."},
    ),
    Endpoint(
        method="POST",
        path="/api/explain",
        summary="Why a record goes where it goes",
        handle=_explain,
        answer=Explanation,
        body=Explained,
        alone=True,
        failures={404: "There is no such flow."},
    ),
)
