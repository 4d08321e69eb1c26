"""The audit: who did what, and when; and whether every entry is as it was written."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field

from router.admin import Subject
from router.api.endpoint import NO_STATE, Call, Endpoint, Said
from router.audit import Wanted, find, newest
from router.audit_chain import Entry
from router.letter_choice import moment
from rules.model import Model

Actions = Literal["start", "stop", "reload", "reload_refused", "pause", "resume", "replay", "purge", "apply", "amend"]


class Page(Model):
    """Some of the entries."""

    action: Annotated[list[Actions], Field(max_length=10)] = Field(default_factory=list)
    """Those of this action; may be repeated."""
    since: Annotated[str, Field(max_length=100)] | None = None
    """Those since then: a time such as `2026-01-31T12:00:00Z`, or an age such as `10m`."""
    until: Annotated[str, Field(max_length=100)] | None = None
    """Those before then: a time or an age."""
    after: Annotated[int, Field(ge=0, le=1 << 62)] = 0
    """Those with an id above this one: `next` of the page before."""
    newest: bool = False
    """Whether the newest come first."""
    before: Annotated[int, Field(ge=1, le=1 << 62)] | None = None
    """With `newest`: those with an id below this one, `next` of the page before."""
    limit: Annotated[int, Field(ge=1, le=500)] = 50
    """So many at most."""


class EntryTold(Said):
    """Something that was done."""

    id: int
    time: str
    action: str
    actor: str
    """Who: `http 127.0.0.1`, `user ops`, ..."""
    version: str
    """That of the configuration that ran."""
    detail: Any
    """What exactly."""
    previous: str
    """The hash of the entry before."""
    hash: str


class Entries(Said):
    """A page of entries."""

    entries: list[EntryTold]
    next: int | None
    """What to give as `after`, or with `newest` as `before`, for the next page; null when there is none."""


async def _list(subject: Subject, call: Call) -> Entries:
    query: Page = call.query
    since, until = (moment(text, name) for text, name in ((query.since, "since"), (query.until, "until")))
    wanted = Wanted(None if since is None else since / 1e9, None if until is None else until / 1e9, query.action)
    if query.newest:
        page = partial(newest, wanted=wanted, before=query.before, limit=query.limit)
        found = list(map(_told, await subject.store.state.read(page)))
        return Entries(entries=found, next=found[-1].id if len(found) == query.limit else None)
    found = []
    async for entry in find(subject.store.state, wanted, query.after):
        found.append(_told(entry))
        if len(found) == query.limit:
            return Entries(entries=found, next=entry.id)
    return Entries(entries=found, next=None)


def _told(entry: Entry) -> EntryTold:
    told = {name: getattr(entry, name) for name in EntryTold.model_fields if name != "detail"}
    return EntryTold(**told, detail=_detail(entry.detail))


def _detail(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # of an entry that somebody has changed
        return text


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/audit",
        summary="Who did what, oldest first, or the newest first",
        handle=_list,
        answer=Entries,
        query=Page,
        failures={503: NO_STATE},
    ),
)
