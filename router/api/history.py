"""The last hour, for charts."""

from __future__ import annotations

from typing import Annotated

import orjson
from aiohttp import web
from pydantic import Field

from router.admin import Subject
from router.api.endpoint import Call, Endpoint, Said
from router.api.server import response
from router.api.status import named
from router.aside import aside
from rules.model import Model

Series = list[float | None]


class Of(Model):
    """What of the last hour is wanted."""

    flow: Annotated[str, Field(max_length=500)] | None = None
    """Of flows only this one, with its rules."""


class SourceHistory(Said):
    """A source."""

    records: Series
    """Read, a second."""
    lag_records: Series
    """Not acknowledged, of all partitions; null where the source cannot tell."""
    lag_seconds: Series
    """How long the oldest of them has waited."""


class SinkHistory(Said):
    """A sink."""

    records: Series
    """Taken, a second."""
    queue: Series
    """Records that waited."""
    retries: Series
    """Writes made again, a second."""


class RuleHistory(Said):
    """A rule."""

    records: Series
    """Matched, a second."""
    errors: Series
    """Errors, a second."""


class FlowHistory(Said):
    """A flow."""

    records: Series
    """Decided about, a second."""
    dead_letters: Series
    """Written, a second."""
    p50: Series
    """From read to durable, in seconds: half of the deliveries were quicker."""
    p99: Series
    """The same of 99 of 100."""
    rules: dict[str, RuleHistory] | None = None
    """By name, where the flow was asked for by its own."""


class HistoryTold(Said):
    """The last hour at most, oldest first. Every series has as many points as `times`; null where nothing is known."""

    step: float
    """Seconds from one point to the next."""
    times: list[float]
    """Unix seconds."""
    sources: dict[str, SourceHistory]
    sinks: dict[str, SinkHistory]
    flows: dict[str, FlowHistory]
    left_out: list[str]
    """Flows whose rules are not kept: there are too many in all."""


async def _history(subject: Subject, call: Call) -> web.Response:
    flow = call.query.flow
    if flow is not None:
        named("flow", flow, {known.name: known for known in subject.configuration.flows})
    # Neither may hold up the loop: a flow may have a thousand rules.
    told = await aside(subject.history.told(flow).as_json)
    text: bytes = await aside(orjson.dumps, told)  # which makes null of what is no number
    return response(subject.masked(text.decode()))


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/history",
        summary="The last hour: rates, lag, queues and latencies, a point each ten seconds",
        handle=_history,
        answer=HistoryTold,
        query=Of,
        failures={404: "There is no such flow."},
    ),
)
