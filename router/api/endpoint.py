"""What an endpoint of the API is: its place, what it takes, what it can answer, and who answers.

The table of endpoints is all that there is: the routes are made from it, and so is the OpenAPI document, so that
neither can say what the other does not do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web
from pydantic import ConfigDict

from router.admin import Subject
from rules.faults import Fault
from rules.model import Model


class Said(Model):
    """An answer. Of what a component tells, more than is described here may be in it."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Error(Model):
    """Why a request was not granted."""

    error: str
    """What is wrong, and what would be right."""


class FaultTold(Model):
    """One thing that is wrong in a text."""

    file: str
    """The file, or what of the request the text is: `expression`."""
    line: int
    """Counted from 1; 0 for the whole of it."""
    column: int
    """Counted from 1."""
    what: str
    """What is wrong."""
    hint: str
    """What would be right; empty where the other says it."""

    @classmethod
    def of(cls, fault: Fault) -> FaultTold:
        """The same fault."""
        place = fault.place
        return cls(file=place.file, line=place.line, column=place.column, what=fault.what, hint=fault.hint)


class Faults(Model):
    """Everything that is wrong with what was given: nothing of it was taken."""

    faults: list[FaultTold]


class NoQuery(Model):
    """An endpoint without parameters."""


class Failed(Exception):
    """The request cannot be granted: an HTTP status that the endpoint declares, and why."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the names in its path, its ``query`` and its ``body`` as the endpoint's models have them, and who
    asks (``http 127.0.0.1``). ``request`` is for those that stream."""

    names: Mapping[str, str]
    query: Any
    body: Any
    actor: str
    request: web.Request


Answer = Model | web.StreamResponse
Handler = Callable[[Subject, Call], Awaitable[Answer]]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One method of one path.

    ``failures`` are the statuses that it can answer besides those of every request, each with its reason; 422 is told
    with faults, all others with an error. ``answer`` is None for an event stream, whose events are ``events``.
    """

    method: Literal["GET", "POST"]
    path: str
    summary: str
    handle: Handler
    answer: type[Model] | None
    query: type[Model] = NoQuery
    body: type[Model] | None = None
    failures: Mapping[int, str] = field(default_factory=dict)
    events: Mapping[str, type[Model]] = field(default_factory=dict)
    alone: bool = False
    """Whether it has a thread busy, so that one request is answered at a time."""

    @property
    def all_failures(self) -> dict[int, str]:
        """Every status besides 200, with its reason."""
        found = {401: "A token is needed, and the one that was given is not it.", 403: ANOTHER_PAGE}
        if self.query is not NoQuery or self.method == "POST":
            found[400] = "What was given is not what it should be."
        if self.method == "POST":
            found |= {413: "The body is too large.", 415: "The body is not `application/json`, or is compressed."}
        return dict(sorted((found | dict(self.failures)).items()))


ANOTHER_PAGE = "The request comes from a page of another origin, or asks by a name that is not this server's."
NO_STATE = "The state folder cannot be read or written."
