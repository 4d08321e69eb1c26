"""The source ``http_poll``."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urljoin, urlsplit

from msgspec import Struct, field
from msgspec.structs import replace
from pydantic import Field, JsonValue, field_validator, model_validator

from connectors.http.answers import Answer, shown_url
from connectors.http.client import Client, ClientSettings, Header, checked_header, checked_url, origin_of
from connectors.http.pages import Page, Reading, as_text, filled_headers, filled_url, next_url
from router import (
    Batch,
    Constant,
    Duration,
    EndOfStream,
    Expression,
    Framing,
    FramingSetting,
    Json,
    Lag,
    NotConnected,
    Size,
    Template,
    Variables,
    framing_of,
)

BATCH_RECORDS = 1000
BATCH_BYTES = 2**20
"""A page with more than these becomes several batches."""

_KEY = "poll"
_TRIES = 3
_PATIENCE = 30.0
"""So often is a page that is not the first asked for, and so many seconds waited, before the poll begins anew."""
_REDIRECTS = 5
_MOVED = frozenset({301, 302, 303, 307, 308})

OfCursor = Annotated[Template, Variables("cursor")]


class HttpPollConfig(ClientSettings):
    """The settings of the source ``http_poll``."""

    url: OfCursor
    """What to ask. `${cursor}`, or any CEL over it, is filled in and encoded; as all of the text, it is the URL."""
    params: dict[str, OfCursor] = Field(default_factory=dict)
    """Parameters of the query, such as `{since: "${cursor}", limit: 100}`. One that is null is left out."""
    headers: dict[str, OfCursor] = Field(default_factory=dict)
    """What else to say, such as `{X-Api-Key: "${env:KEY}"}`. One that is null is left out."""
    method: Literal["GET", "POST"] = "GET"
    """How to ask. `POST` is for searches: it is sent as often as need be."""
    body: OfCursor | None = None
    """What a POST sends. It is `application/json` unless `headers` say otherwise."""
    interval: Annotated[Duration, Field(gt=0)] = 60.0
    """From the beginning of one poll to that of the next, which waits for the end of the one before it."""
    records: Annotated[Expression, Variables("response")] | None = None
    """CEL that gives the list of records in an answer, such as `response.body.items`. `response` has `status`,
    `headers` (names in lower case), `body` (JSON, or text where it is none; a list where it is NDJSON) and `url`.
    Without it, see **Records**."""
    framing: FramingSetting | None = None
    """How records in an answer are told apart, where not by `records`. By default it goes with their format: JSON is
    described under **Records**, text is lines, CSV is rows, anything else is one record an answer."""
    next: Annotated[Expression, Variables("response", "records", "cursor", "page")] | None = None
    """CEL that says where the next page is: a URL, also a relative one, or a map of parameters that change, such as
    `{"page": page + 1}`; null, or a field that is not there, where there is none. `records` are those of this page,
    `page` is its number, from 1."""
    cursor: Annotated[Expression, Variables("response", "records", "cursor")] | None = None
    """CEL that gives the position behind a page: any JSON value. It is evaluated for each page of a poll, with
    `cursor` as it was before; what it is at the end is filled in by the next poll. A field that is not there changes
    nothing."""
    start: JsonValue = None
    """The cursor of the very first poll."""
    once: bool = False
    """Whether the stream ends after one complete poll."""
    max_body: Annotated[Size, Field(gt=0)] = 16 * 2**20
    """The largest answer, unpacked."""

    def asked(self) -> Sequence[str]:
        """The URL; nothing is known of one that the cursor makes."""
        return ["" if self.url.constant is None else str(self.url.constant)]

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, url: Template) -> Template:
        if url.constant is not None:
            checked_url(str(url.constant))
        return url

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.start is None and self.url.constant is None:
            raise ValueError("start should say what `${cursor}` in `url` is at first")
        if self.records is not None and self.framing is not None:
            raise ValueError("framing should not stand beside records, which says what records are")
        if self.body is not None and self.method != "POST":
            raise ValueError("body should stand beside `method: POST`")
        for name, value in self.headers.items():
            checked_header(name, str(value.constant or ""))
        try:
            filled_url(self.url, self.params, self.start)
        except NotConnected as error:
            what = "url and params, with start filled in, make no URL such as https://api.example.org/events?since=0"
            raise ValueError(what) from error
        return self

    @property
    def body_framing(self) -> Framing | None:
        """How records in an answer are told apart; None where they are JSON, which says so itself."""
        if self.framing is None and self.context.format.type == "json":
            return None
        return framing_of(self.framing, self.context.format, messages=True)

    @property
    def looks_at_answers(self) -> bool:
        """Whether expressions look at answers, besides `records`."""
        return self.next is not None or self.cursor is not None


class Position(Struct, frozen=True):
    """What is kept between polls: the cursor, and what makes the first request of the next poll conditional."""

    cursor: Json = None
    url: str = ""
    etag: str | None = None
    modified: str | None = None

    def to_json(self) -> Json:
        """As it is kept."""
        return {"cursor": self.cursor, "url": self.url, "etag": self.etag, "modified": self.modified}


class _Unacked(Struct, eq=False):
    """A batch that is not acknowledged. ``position``: that of its poll, if nothing of the poll comes after it."""

    records: int
    since: float
    position: Position | None = None


class _Poll(Struct):
    """A poll under way: the next request, and what the pages so far have changed."""

    url: str
    cursor: Json
    begun: float = field(default_factory=time.monotonic)
    first: str = ""
    number: int = 1
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.first = self.url


class HttpPollSource:
    """Records that an HTTP API has, asked for on an interval.

    **Records**: `records` says what of an answer they are; each goes on as JSON. Without it, each element of a JSON
    array is a record, each line of NDJSON is one, and any other answer is one; with another `decode`, or a `framing`,
    the body is cut as that says, whatever its `Content-Type`. No body, no record. Rules see `meta.url` (without its
    query) and `meta.status`.

    **Pages**: with `next`, an answer says where the next one is to be had. A poll ends with the page that has no next.
    What leads to another server, or back to a page of the same poll, is an error.

    **Position**: what `cursor` makes of the pages of a poll, with `start` for the first one. It is kept across restarts
    once every record of the poll is acknowledged. `ETag` and `Last-Modified` of a poll with one page are kept beside
    it, and the next request to the same URL is made with them: 304 means that there is nothing new.

    **Guarantee**: at least once. A poll that breaks off, whether the server, the router or the machine fails, is made
    anew from its first page, so what came of it comes again. Each page but the first is asked for three times before
    that. Without a cursor, and without 304, every poll brings everything there is. **Token**: a page, or a part of one
    that is larger than a batch.

    **Order**: as the pages come. There never are two polls at once.

    **Lag**: in records, what is read and not acknowledged, for nobody knows what the server holds; in seconds, the age
    of the oldest of them, or, if that is more, for how long a poll has been overdue, once it is by more than
    `request_timeout`.

    **Away**: a server that cannot be reached, does not answer in time, answers neither 2xx nor 304, or answers what the
    settings cannot read. It is asked again with growing pauses, after `Retry-After` if it says so, and after 401 with a
    new OAuth 2.0 token. Redirects are followed within the same server.
    """

    example: ClassVar[str] = """
sources:
  tickets:
    type: http_poll
    url: https://api.example.org/v2/tickets
    params: {updated_since: "${cursor}", limit: 100}
    start: "2026-01-01T00:00:00Z"
    auth: {bearer: "${env:API_TOKEN:-changeme}"}
    interval: 5m
    records: response.body.tickets
    next: response.body.links.next
    cursor: records.last().?updated_at.orValue(cursor)
"""

    Config: ClassVar[type[HttpPollConfig]] = HttpPollConfig
    replays: ClassVar[bool] = True
    ack_order: ClassVar[Literal["read", "any"]] = "read"

    def __init__(self, config: HttpPollConfig) -> None:
        self.config = config
        self._reading = Reading(config.records, config.body_framing, config.max_body, parse=config.looks_at_answers)
        self._client: Client | None = None
        self._position = Position()
        self._kept = Position()
        self._poll: _Poll | None = None
        self._due = 0.0
        self._not_before = 0.0
        self._succeeded = 0.0
        self._ended = False
        self._ready: deque[Batch] = deque()
        self._unacked: deque[_Unacked] = deque()
        self._keeping = asyncio.Lock()

    def peek(self) -> str:
        """To ask once more changes nothing for others; what is kept of it is the position alone."""
        return ""

    async def open(self) -> None:
        """Connect, and begin at the position that is kept. Raises NotConnected."""
        await self.close()
        wait = self._not_before - time.monotonic()
        if wait > 0:
            raise NotConnected(f"the server asks to wait for another {wait:.0f} s")
        self._position = self._kept = self._loaded()
        url = filled_url(self.config.url, self.config.params, self._position.cursor)
        client = Client(self.config)
        self._client = client
        await client.open()
        await client.reach(url)
        self._succeeded = self._succeeded or time.monotonic()

    def _loaded(self) -> Position:
        kept = self.config.context.positions.load().get(_KEY)
        if not isinstance(kept, dict):
            return Position(cursor=self.config.start)
        etag, modified = (None if (found := kept.get(name)) is None else str(found) for name in ("etag", "modified"))
        return Position(kept.get("cursor"), str(kept.get("url")), etag, modified)

    async def read(self) -> Batch:
        """The records of a page, or a part of them. Raises EndOfStream with ``once``, NotConnected."""
        while not self._ready:
            if self._ended:
                raise EndOfStream
            await self._fetch()
        return self._ready.popleft()

    async def ack(self, token: Any) -> None:
        """Keep the position of the poll, if this is the last of its batches."""
        async with self._keeping:
            batch = self._unacked[0]
            if batch is not token:
                raise ValueError("this batch is not the one to be acknowledged")
            while batch.position is not None and batch.position != self._kept:
                await self._keep(batch.position)
            self._unacked.popleft()

    async def lag(self) -> Sequence[Lag]:
        """The records that are read and not acknowledged, and for how long the position has been out of date."""
        if self._client is None:
            return []
        now = time.monotonic()
        overdue = now - self._succeeded - self.config.interval
        behind = [now - batch.since for batch in self._unacked]
        if overdue > self.config.request_timeout:  # before that, the poll is under way and may well succeed
            behind.append(overdue)
        return [Lag("", records=sum(batch.records for batch in self._unacked), seconds=max(behind, default=0.0))]

    async def close(self) -> None:
        """Disconnect. Idempotent."""
        client, self._client, self._poll = self._client, None, None
        self._ready.clear()
        self._unacked.clear()
        self._ended, self._due = False, 0.0
        if client is not None:
            await client.close()

    # Polls

    async def _fetch(self) -> None:
        """Ask for the next page, of a new poll if none is under way, once that is due."""
        poll = self._poll
        if poll is None:
            await asyncio.sleep(self._due - time.monotonic())
            cursor = self._position.cursor
            poll = _Poll(filled_url(self.config.url, self.config.params, cursor), cursor)
        answer = await self._answer(poll)
        self._poll = poll
        if answer.status == 304:
            await self._finish(poll, self._position)
            return
        page = self._reading.page(answer, poll.url)
        following = self._turn(poll, page)
        self._take(page, poll)
        if following is not None:
            return
        position = Position(poll.cursor, poll.first)
        if poll.number == 1:  # of several pages, the first may stay as it is while others change
            etag, modified = answer.headers.get("etag"), answer.headers.get("last-modified")
            position = replace(position, etag=etag, modified=modified)
        await self._finish(poll, position)

    def _turn(self, poll: _Poll, page: Page) -> str | None:
        """What a page says of the cursor and of the page after it, whose URL is the poll's from now on."""
        bindings = {"response": page.response, "records": page.found, "cursor": poll.cursor}
        cursor = _value(self.config.cursor, "cursor", bindings, poll.cursor)
        said = _value(self.config.next, "next", {**bindings, "cursor": cursor, "page": poll.number}, None)
        following = next_url(poll.url, poll.first, said)
        poll.cursor = cursor
        poll.seen.add(poll.url)
        if following is not None:
            if following in poll.seen:
                raise NotConnected(f"`next` leads back to a page of this poll: {shown_url(following)}")
            poll.url, poll.number = following, poll.number + 1
        return following

    def _take(self, page: Page, poll: _Poll) -> None:
        known = {**page.framed.known, "url": shown_url(str(page.response["url"])), "status": page.response["status"]}
        for part in _cut(page.framed.values):
            token = _Unacked(len(part), poll.begun)
            self._unacked.append(token)
            spoiled = {i - part.start: why for i, why in page.framed.spoiled.items() if i in part}
            values = page.framed.values[part.start : part.stop]
            attributes = {name: Constant(value, len(part)) for name, value in known.items()}
            self._ready.append(Batch(values, token=token, attributes=attributes, spoiled=spoiled))

    async def _finish(self, poll: _Poll, position: Position) -> None:
        """The poll is complete: its position is kept when all that came before it is acknowledged."""
        self._poll, self._position = None, position
        self._succeeded = time.monotonic()
        self._due = poll.begun + self.config.interval
        self._ended = self.config.once
        if self._unacked:
            self._unacked[-1].position = position
        elif position != self._kept:
            async with self._keeping:
                await self._keep(position)

    async def _keep(self, position: Position) -> None:
        await self.config.context.positions.save({_KEY: position.to_json()})
        self._kept = position

    # Requests

    async def _answer(self, poll: _Poll) -> Answer:
        """The answer to the poll's next request: 2xx, or 304. Raises NotConnected."""
        tries = _TRIES if poll.number > 1 else 1
        while True:
            try:
                return await self._followed(poll)
            except NotConnected:
                # What came of the pages before would come again.
                tries -= 1
                wait = max(self._not_before - time.monotonic(), float(_TRIES - tries))
                if tries <= 0 or wait > _PATIENCE:
                    raise
            await asyncio.sleep(wait)

    async def _followed(self, poll: _Poll) -> Answer:
        url = poll.url
        for _ in range(_REDIRECTS):
            answer = await self._ask(url, poll)
            where = answer.headers.get("location")
            if answer.status not in _MOVED or where is None or self.config.method != "GET":
                return self._judged(answer, url)
            url = _redirected(url, where)
        raise NotConnected(f"{shown_url(poll.url)} redirects more than {_REDIRECTS} times")

    async def _ask(self, url: str, poll: _Poll) -> Answer:
        config, cursor = self.config, self._position.cursor
        headers: list[Header] = filled_headers(config.headers, cursor)
        named = {name.lower() for name, _ in headers}
        if "accept" not in named:
            headers.append(("Accept", "application/json, application/x-ndjson, */*;q=0.1"))
        body = None
        if config.body is not None:
            body = _text(config.body, {"cursor": cursor}).encode()
            headers += [] if "content-type" in named else [("Content-Type", "application/json")]
        if config.method == "GET" and poll.number == 1 and poll.first == self._position.url:
            conditions = (("If-None-Match", self._position.etag), ("If-Modified-Since", self._position.modified))
            headers += [(name, value) for name, value in conditions if value is not None]
        if self._client is None:
            raise NotConnected("the source is not open")
        return await self._client.request(config.method, url, headers=headers, body=body, most=config.max_body)

    def _judged(self, answer: Answer, url: str) -> Answer:
        if answer.retry_after is not None and not answer.is_success:
            self._not_before = time.monotonic() + min(answer.retry_after, self.config.max_retry_after)
        if not answer.is_success and answer.status != 304:
            raise NotConnected(f"{self.config.method} {shown_url(url)} answered {answer}")
        if not answer.whole:
            raise NotConnected(f"the answer of {shown_url(url)} is larger than max_body ({self.config.max_body} bytes)")
        return answer


def _redirected(url: str, where: str) -> str:
    try:
        there = checked_url(urljoin(url, where))
    except ValueError as error:
        raise NotConnected(f"{shown_url(url)} redirects to what is no URL: {error}") from error
    if origin_of(urlsplit(there)) != origin_of(urlsplit(url)):
        raise NotConnected(f"{shown_url(url)} redirects to another server: `url` should be {shown_url(there)}")
    return there


def _value(expression: Expression | None, name: str, bindings: Mapping[str, object], missing: Json) -> Json:
    if expression is None:
        return missing
    try:
        return expression.evaluate(bindings)
    except LookupError:
        return missing
    except ValueError as error:
        raise NotConnected(f"`{name}` cannot be evaluated: {error}") from error


def _text(template: Template, bindings: Mapping[str, object]) -> str:
    try:
        found = template.fill(bindings)
    except (LookupError, ValueError) as error:
        raise NotConnected(f"`body` cannot be filled in: {error}") from error
    return as_text(found)


def _cut(values: Sequence[bytes]) -> Iterator[range]:
    """The indices of the values, in pieces of the size of a batch."""
    start = size = 0
    for end, value in enumerate(values):
        if end > start and (end - start >= BATCH_RECORDS or size + len(value) > BATCH_BYTES):
            yield range(start, end)
            start, size = end, 0
        size += len(value)
    if values:
        yield range(start, len(values))
