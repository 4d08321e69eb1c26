"""Dead letters: list, show, replay, purge, by the filters of the command line."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from msgspec.structs import replace
from pydantic import Field

from router.admin import Subject
from router.api.control import Nothing, record
from router.api.endpoint import NO_STATE, Call, Endpoint, Failed, Said
from router.letter import SUMMARY
from router.letter import Letter as DeadLetter
from router.letter_choice import Choice
from router.letter_filter import Where
from router.redaction import Redaction
from router.replay_jobs import ReplayJobs
from rules.model import Model

STEPS = 10_000
"""What a condition may cost of each letter."""
SCANNED = 5_000
"""So many letters are held against a condition for one page."""
_EVER = 1 << 62
_LONG = 1 << 20

Name = Annotated[str, Field(max_length=500)]
Stages = Literal["decode", "contract", "rule", "sink"]
Id = Annotated[int, Field(ge=1, le=_EVER)]


class Kinds(Model):
    """Which letters: those that agree with everything given; of several texts of one kind, with any of them."""

    id: Annotated[list[Id], Field(max_length=10_000)] = Field(default_factory=list)
    flow: Annotated[list[Name], Field(max_length=100)] = Field(default_factory=list)
    stage: Annotated[list[Stages], Field(max_length=4)] = Field(default_factory=list)
    sink: Annotated[list[Name], Field(max_length=100)] = Field(default_factory=list)
    rule: Annotated[list[Name], Field(max_length=100)] = Field(default_factory=list)
    source: Annotated[list[Name], Field(max_length=100)] = Field(default_factory=list)
    reason: Annotated[list[Name], Field(max_length=100)] = Field(default_factory=list)
    since: Annotated[str, Field(max_length=100)] | None = None
    """Those since then: a time such as `2026-01-31T12:00:00Z`, or an age such as `10m`."""
    until: Annotated[str, Field(max_length=100)] | None = None
    """Those before then: a time or an age."""

    def choice(self) -> Choice:
        """What it means. Raises BadChoice."""
        return self.choice_when(None)

    def choice_when(self, when: str | None) -> Choice:
        """The same of those that a condition takes, too."""
        kinds = ("flow", "stage", "sink", "rule", "source", "reason")
        exact: dict[str, Any] = {name: list(getattr(self, name)) for name in kinds}
        return Choice.by(self.since, self.until, when, STEPS, ids=list(self.id), **exact)


class Filter(Kinds):
    """Which letters: those that agree with everything given; of several texts of one kind, with any of them."""

    when: Annotated[str, Field(max_length=2_000)] | None = None
    """A condition in CEL over the letter's fields, `event`, `meta` and `vars`: `attempts > 3 && event.type == "order"`.
    It may not read what a contract marks as sensitive."""

    def choice(self) -> Choice:
        """What it means. Raises BadChoice."""
        return self.choice_when(self.when)


class Page(Filter):
    """Some of these letters, oldest first."""

    id: Annotated[list[Id], Field(max_length=100)] = Field(default_factory=list)
    after: Annotated[int, Field(ge=0, le=_EVER)] = 0
    """Those with an id above this one: `next` of the page before."""
    limit: Annotated[int, Field(ge=1, le=500)] = 50
    """So many at most."""
    cut: Annotated[int, Field(ge=0, le=_LONG)] | None = None
    """So many characters of each payload at most; all of it by default."""


class Shown(Model):
    """How much of a letter."""

    cut: Annotated[int, Field(ge=0, le=_LONG)] | None = None
    """So many characters of each payload at most; all of it by default."""


class Meant(Filter):
    """Which letters; all of them only if that is said."""

    all: bool = False
    """Every letter; needed where no filter is given."""


class ReplayOf(Meant):
    """Which letters to replay, and how fast."""

    rate: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)] | None = None
    """So many a second at most; as fast as they go by default."""
    through_flow: bool = False
    """Have those of stage `sink`, too, go through their flow, by the rules as they are now: to every sink that these
    choose, also to those that have had the record."""


class Listed(Said):
    """What a letter says in a list of many. Bytes are text where they are UTF-8, else `{"base64": ...}`; what a
    contract marks as sensitive is `***`."""

    id: int
    time: str
    flow: str
    stage: str
    source: str
    rule: str | None
    sink: str | None
    reason: str
    detail: str
    attempts: int
    version: str
    size: int
    """How many bytes the payload has."""
    value: Any
    """The payload; null where none of it may be shown."""


class Letter(Listed):
    """All of a letter: what it says in a list; the record's key, headers, time and attributes; and, at stage `sink`,
    what was to go out."""

    key: Any
    headers: list[list[Any]] | None
    record_time: str | None
    attributes: dict[str, Any]
    out_value: Any
    out_size: int | None
    """How many bytes it has."""
    out_key: Any
    out_headers: list[list[Any]] | None
    out_settings: dict[str, Any]
    original: Any
    """Of a letter that was amended, what came first: `what` (the `record`, or what was `outgoing`), `value`, `key`,
    `headers`, and when it was `amended`; null of others."""


class Letters(Said):
    """A page of letters."""

    letters: list[Listed]
    next: int | None
    """What to give as `after` for the next page; null when there is none. A page may be short, or empty, where a
    condition takes few of many."""


class Replay(Said):
    """A replay that was asked for, in letters."""

    job: int
    """What to ask by how it goes on."""
    requested: int
    waiting: int
    """Still to be replayed, or on their way."""
    delivered: int
    again: int
    """Came back as letters of their own."""
    gone: int
    """Purged, withdrawn, or taken over by another job."""


class Purged(Said):
    """What was purged."""

    purged: int


async def _list(subject: Subject, call: Call) -> Letters:
    query: Page = call.query
    choice, redaction = query.choice(), Redaction(subject.configuration)
    redaction.refuse_probes(choice.when, "when")
    last, seen, listed = query.after, 0, list[Listed]()
    judge = choice.judge(subject.configuration)
    most = query.limit if judge is None else SCANNED
    async for letter in subject.store.find(replace(choice.where, after=query.after, limit=most)):
        seen += 1
        last = letter.id
        if judge is not None and judge.is_due:
            await asyncio.sleep(0)
        if judge is None or judge.takes(letter):
            whole = _cut(redaction.letter(letter), query.cut)
            listed.append(Listed(**{name: whole[name] for name in (*SUMMARY, "size")}))
            if len(listed) == query.limit:
                break
    is_end = seen < most and len(listed) < query.limit
    return Letters(letters=listed, next=None if is_end else last)


async def _show(subject: Subject, call: Call) -> Letter:
    return shown(await the_letter(subject, call), Redaction(subject.configuration), call.query.cut)


def shown(letter: DeadLetter, redaction: Redaction, characters: int | None = None) -> Letter:
    """What may be shown of a letter; of each payload so many characters at most, if that is said."""
    size = None if letter.out_value is None else len(letter.out_value)
    return Letter(**_cut(redaction.letter(letter), characters), out_size=size)


async def the_letter(subject: Subject, call: Call) -> DeadLetter:
    """The one that the path names. Raises Failed, 404."""
    async for letter in subject.store.find(Where(ids=[_number(call.names["id"], "dead letter")])):
        return letter
    raise Failed(404, f"there is no dead letter {call.names['id']}")


async def _replay(subject: Subject, call: Call) -> Replay:
    asked: ReplayOf = call.body
    choice = _meant(subject, asked, "replay")
    jobs = ReplayJobs(subject.store)
    job = await jobs.begin(asked.rate, through_flow=asked.through_flow)
    how = {"rate": asked.rate, **({"through_flow": True} if asked.through_flow else {})}
    which = {"letters": choice.as_json() or "all", **how}
    await record(subject, "replay", call, {"step": "begun", "job": job, **which})
    try:
        async for ids in choice.pages(subject.store, subject.configuration):
            await jobs.request(job, ids)
    finally:
        await jobs.close(job, call.actor)
    return _progress(jobs, job)


async def _replayed(subject: Subject, call: Call) -> Replay:
    return _progress(ReplayJobs(subject.store), _number(call.names["job"], "replay"))


async def _withdraw(subject: Subject, call: Call) -> Replay:
    job, jobs = _number(call.names["job"], "replay"), ReplayJobs(subject.store)
    _progress(jobs, job)
    await record(subject, "replay", call, {"step": "withdrawn", "job": job})
    await jobs.withdraw(job)
    return _progress(jobs, job)


async def _purge(subject: Subject, call: Call) -> Purged:
    choice = _meant(subject, call.body, "purge")
    await record(subject, "purge", call, {"step": "begun", "letters": choice.as_json() or "all"})
    purged = await subject.store.purge(choice.pages(subject.store, subject.configuration))
    await record(subject, "purge", call, {"step": "ended", "purged": purged})
    return Purged(purged=purged)


def _cut(whole: dict[str, Any], characters: int | None) -> dict[str, Any]:
    """What is shown of a letter, with so much of each payload."""
    if characters is None:
        return whole
    cut: dict[str, Any] = {name: _beginning(whole[name], characters) for name in ("value", "out_value")}
    if original := whole["original"]:
        cut["original"] = {**original, "value": _beginning(original["value"], characters)}
    return whole | cut


def _beginning(payload: Any, characters: int) -> Any:
    if isinstance(payload, dict):
        return {"base64": payload["base64"][: characters // 4 * 4]}
    return payload if payload is None else payload[:characters]


def _meant(subject: Subject, asked: Meant, action: str) -> Choice:
    choice = asked.choice()
    Redaction(subject.configuration).refuse_probes(choice.when, "when")
    if choice.is_everything and not asked.all:
        raise Failed(400, f'say which letters to {action}: a filter such as flow, sink or id, or "all": true')
    return choice


def _progress(jobs: ReplayJobs, job: int) -> Replay:
    progress = jobs.find(job)
    if progress is None:
        raise Failed(404, f"there is no replay {job}")
    return Replay(
        job=job,
        requested=progress.requested,
        waiting=progress.waiting,
        delivered=progress.delivered,
        again=progress.again,
        gone=progress.gone,
    )


def _number(text: str, kind: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise Failed(404, f"there is no {kind} {text!r}")
    return int(text)


_JOB = {404: "There is no such replay.", 503: NO_STATE}

ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/dead_letters",
        summary="Some of the dead letters, oldest first",
        handle=_list,
        answer=Letters,
        query=Page,
        failures={503: NO_STATE},
    ),
    Endpoint(
        method="GET",
        path="/api/dead_letters/{id}",
        summary="All of one dead letter",
        handle=_show,
        answer=Letter,
        query=Shown,
        failures={404: "There is no such dead letter.", 503: NO_STATE},
    ),
    Endpoint(
        method="POST",
        path="/api/dead_letters/replay",
        summary="Replay dead letters, each once: of stage sink straight to it, others through their flow",
        handle=_replay,
        answer=Replay,
        body=ReplayOf,
        failures={503: NO_STATE},
    ),
    Endpoint(
        method="GET",
        path="/api/dead_letters/replays/{job}",
        summary="How a replay goes on",
        handle=_replayed,
        answer=Replay,
        failures=_JOB,
    ),
    Endpoint(
        method="POST",
        path="/api/dead_letters/replays/{job}/withdraw",
        summary="What is not on its way yet stays a dead letter",
        handle=_withdraw,
        answer=Replay,
        body=Nothing,
        failures=_JOB,
    ),
    Endpoint(
        method="POST",
        path="/api/dead_letters/purge",
        summary="Delete dead letters",
        handle=_purge,
        answer=Purged,
        body=Meant,
        failures={503: NO_STATE},
    ),
)
