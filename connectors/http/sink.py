"""The sink ``http``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from connectors.file.packed import Compression
from connectors.http.answers import Answer, shown_url
from connectors.http.client import Client, ClientSettings, checked_headers, checked_url
from connectors.http.delivery import Delivery, Request
from connectors.http.outgoing import (
    METHODS,
    NEVER_JSON,
    Addresser,
    Bodies,
    Body,
    Refused,
    Route,
    Wrap,
    fixed_origin,
    holds_json,
)
from connectors.http.results import AGAIN
from router import (
    FRAMINGS,
    Batch,
    Expression,
    Framing,
    FramingSetting,
    NotConnected,
    PerRecord,
    Settings,
    Unavailable,
    Variables,
    framing_of,
)

_OF_CREDENTIALS = frozenset({401, 407})
_ALIKE = [frozenset({403}), frozenset({502, 503, 504})]
"""Statuses that a request without any record would be answered with, too, as long as the server is not well."""
_LARGEST_RESULTS = 64 * 2**20
_ENOUGH_FOR_AN_EXCERPT = 64 * 2**10
_SHARE = 0.45
"""Of the time that a write has, what one request may take: a hung one does not use up that of the next."""
_COMPRESSED_ASIDE = 64 * 2**10
"""A body larger than this is compressed beside the event loop."""


class Healthcheck(Settings):
    """A request whose answer says whether the server is well: 2xx."""

    url: str
    """What to ask."""
    method: Literal["GET", "HEAD", "OPTIONS", "POST"] = "GET"
    """How to ask."""

    @field_validator("url")
    @classmethod
    def _can_be_asked(cls, url: str) -> str:
        return checked_url(url)


class HttpSinkConfig(ClientSettings):
    """The settings of the sink ``http``."""

    url: Annotated[str, Field(min_length=1), PerRecord()]
    """Where to. It may hold `${CEL}`; where that is not in the host, no record gets to another host. A value that may
    hold `/`, `?` and the like is encoded by `url.encode()`: `https://api.example.org/users/${url.encode(event.id)}`."""
    method: Annotated[str, PerRecord()] = "POST"
    """POST, PUT, PATCH or DELETE."""
    headers: Annotated[dict[str, str], PerRecord()] = Field(default_factory=dict)
    """What else to say, such as `{X-Api-Key: "${env:KEY}"}`. `Content-Type` is that of `body` unless it stands here."""
    body: Body = "stream"
    """What a request holds: `stream` (records one after the other, as `framing` says: NDJSON if they are JSON),
    `json_array` (all records as one array), `each` (one record as it is), or a text around and between records, such
    as `{before: '{"events": [', after: ']}'}`."""
    framing: FramingSetting | None = None
    """How records are told apart in a `stream`. By default it goes with their format: lines for JSON and text, rows
    under a header for CSV."""
    action: Annotated[str | dict[str, JsonValue] | None, PerRecord()] = None
    """What stands before each record: in a `stream` a line of its own, such as
    `{index: {_index: logs, _id: "${event.id}"}}` for the bulk API of Elasticsearch; in a text it stands right before
    the record. A mapping is written as JSON."""
    key: Annotated[str | None, PerRecord()] = None
    """What says which records must not overtake each other: those with the same key."""
    results: Annotated[Expression, Variables("response")] | None = None
    """CEL that reads what became of each record out of an answer 2xx, for bulk APIs: a list with a result for each
    record of the request, in their order. See **Results**. `response` has `status`, `headers` (names in lower case)
    and `body` (JSON, or text where it is none)."""
    compression: Compression = "none"
    """How bodies are compressed, as `Content-Encoding` says. Not every server takes it."""
    concurrency: Annotated[int, Field(ge=1)] = 1
    """How many requests are made at once. With more than one, order is kept only among records with the same `key`
    that go out one a request."""
    healthcheck: Healthcheck | Literal[False] | None = None
    """A request such as `{url: https://api.example.org/health}` that must be answered 2xx before anything is sent,
    after every outage. Without it, see **Away**; `false` asks nothing and only connects."""

    def refusals(self, chosen: Mapping[str, object]) -> Mapping[str, str]:
        """A URL that leads to another server than the sink's one."""
        try:
            if "url" in chosen:
                Addresser(self.method, self.url, {}).destination(chosen["url"])
        except (Refused, ValueError) as error:
            return {"url": str(error)}
        return {}

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        if "${" not in url:
            return checked_url(url)
        before = url.partition("${")[0]
        if not any(scheme.startswith(before) or before.startswith(scheme) for scheme in ("http://", "https://")):
            raise ValueError("url should be something that begins with http:// or https://")
        if fixed_origin(url) is not None:
            checked_url(before)
        return url

    @field_validator("method")
    @classmethod
    def _is_a_method(cls, method: str) -> str:
        if "${" not in method and method not in METHODS:
            raise ValueError(f"method should be one of {', '.join(METHODS)}")
        return method

    @field_validator("headers")
    @classmethod
    def _can_be_sent(cls, headers: dict[str, str]) -> dict[str, str]:
        return checked_headers(headers)

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.auth is not None and fixed_origin(self.url) is None:
            raise ValueError("auth should go to one server: the host of url should hold no `${...}` beside it")
        lines = self.body == "stream" and (self.framing is None or self.framing.type == "newline")
        if self.action is not None and not lines and not isinstance(self.body, Wrap):
            raise ValueError("action should stand beside lines (`body: stream`) or a text around records")
        if self.framing is not None and self.body != "stream":
            raise ValueError("framing should stand beside `body: stream`")
        if self.framing is not None and self.framing.cannot_join:
            raise ValueError(f"framing: {self.framing.type} does not go with a stream: {self.framing.cannot_join}")
        return self

    def asked(self) -> Sequence[str]:
        """The URL, and that of the healthcheck."""
        return [self.url, *([self.healthcheck.url] if isinstance(self.healthcheck, Healthcheck) else [])]

    def clashes(self, payloads: str) -> Mapping[str, tuple[str, str]]:
        """A body of JSON holds nothing but JSON."""
        found = dict(super().clashes(payloads))
        if holds_json(self.body) and payloads in NEVER_JSON:
            what = f"a body of JSON cannot hold what goes out in {payloads}"
            found["body"] = what, "should go with `encode: json`, or be `stream` or `each`"
        return found

    @property
    def stream(self) -> Framing | None:
        """How records are told apart in a body; None where that is not by a framing."""
        if self.body != "stream":
            return None
        lines = FRAMINGS["newline"]() if self.action is not None else None
        return framing_of(self.framing or lines, self.context.format)


class HttpSink:
    """Sends records to an HTTP server.

    **Records** of a batch go out together, as `body` says. Records that chose another `url`, `method` or `headers` go
    into requests of their own. `batch: {records, bytes, wait}` says how many records a request holds at most. What
    cannot stand in such a body is a dead letter: among lines an empty payload, or one with newlines that is not JSON;
    in an array what is not JSON. To send an event of another shape, let the rule `emit` it.

    **Guarantee**: at least once. Records are written when the server has answered 2xx and the answer has arrived whole.
    A request whose answer is lost is made again; an `Idempotency-Key` or an id in the record lets the server see that.
    What a server says unasked is the answer to nothing: that connection is not used again.

    **Order**: requests are made in the order of their first record, one after the other, unless `concurrency` says
    otherwise. When a record of a bulk API is sent again, the records of the same `key` behind it are, too.

    **Results**: with `results`, an answer 2xx says of each record what became of it: `true`, `false`, a status, or a
    map with `ok` or `status`, and if need be `reason` and `retry: true`. A status means what it means for a request:
    2xx is written, 429 and 503 mean that the server takes no more for now, other 5xx are tried again up to
    `retry.attempts` times, and so is what has `retry`; all else is a dead letter with its reason. An answer that
    `results` cannot read is an outage.

    **Answers**:

    | answer | what happens |
    |---|---|
    | 2xx | the records are written, or `results` says of each |
    | 429, 503 with `Retry-After` | the server is overloaded: all is sent again then, and no attempt is used up |
    | 400, 409, 413, 422 | halves of the request are sent, to find the records that are to blame: dead letters |
    | other 4xx | the records of the request are dead letters |
    | 401, 407 | a new OAuth 2.0 token is tried once; then all is sent again, until the credentials are right |
    | 3xx | all is sent again, until the settings are right; a dead letter where the record chose the URL |
    | 408, 425, other 5xx | an outage; after `retry.attempts`, the record that brings it about is found: a dead letter |
    | 403 | the same, and a dead letter at once where the record chose the URL |

    Dead letters hold the status and the beginning of the answer. Redirects are not followed. A body as large as one
    that was answered 413 is halved beforehand.

    **Away**: a server that cannot be reached, breaks the connection, does not answer in time or answers as the table
    says is away, and records wait. To open the sink is to get a token, and to connect to the server, or to be answered
    2xx by `healthcheck`. After a request without an answer, 403, 502, 503 or 504, the URL is asked with
    HEAD instead, unless `healthcheck` says otherwise, and while that gives the same, the server is still away: so an
    outage behind a load balancer is told from a record that the server cannot digest. A request may take
    `request_timeout`, but no more than 45 % of the sink's `timeout`, which is for a whole write.

    **Hosts**: where `url` names the host, no record gets to another one, and a step like `..` in a chosen URL is
    refused. Where records choose the host, `allow: {url: [...]}` should say which, and `auth` is not to be had. Then
    429 uses up an attempt, and the records for a host that stays away become dead letters.
    """

    example: ClassVar[str] = """
sinks:
  warehouse:
    type: http
    url: https://api.example.org/v1/events
    headers: {X-Source: sluiceway}
    auth:
      oauth2: {token_url: https://login.example.org/token, client_id: router, client_secret: "${env:SECRET:-changeme}"}
    compression: gzip
  hooks:                                # each record on its own, where its tenant wants it
    type: http
    url: "https://hooks.example.org/${url.encode(event.tenant)}"
    headers: {Idempotency-Key: "${event.id}"}
    body: each
    concurrency: 8
    allow: {url: ["https://hooks.example.org/*"]}
    batch: {records: 500}
"""

    Config: ClassVar[type[HttpSinkConfig]] = HttpSinkConfig

    def __init__(self, config: HttpSinkConfig) -> None:
        self.config = config
        self._addresser = Addresser(config.method, config.url, config.headers)
        self._bodies = Bodies(config.body, config.stream, config.action, config.context.format.type)
        self._client: Client | None = None
        self._doubt: tuple[Route, frozenset[int]] | None = None
        self._longest = config.request_timeout
        self._why = ""
        write_timeout = config.context.write_timeout
        if self._longest > write_timeout * _SHARE:
            self._longest = write_timeout * _SHARE
            self._why = f", all that the sink's `timeout` of {write_timeout:g} s leaves for one request"

    async def open(self) -> None:
        """Connect, and after a failure see whether the server is well. Raises NotConnected."""
        await self.close()
        config = self.config
        self._client = Client(config, connections=config.concurrency)
        await self._client.open()
        if isinstance(config.healthcheck, Healthcheck):
            await self._check_health(config.healthcheck)
        elif self._doubt is not None:
            await self._settle_doubt(*self._doubt)
        elif self._addresser.origin is not None:
            scheme, host, port = self._addresser.origin
            await self._client.reach(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}")

    async def _check_health(self, check: Healthcheck) -> None:
        headers = [(name, value) for name, value in self.config.headers.items() if "${" not in value]
        answer = await self._ask(check.method, check.url, headers)
        if not answer.is_success:
            raise NotConnected(f"healthcheck: {check.method} {shown_url(check.url)} answered {answer}")

    async def _settle_doubt(self, route: Route, alike: frozenset[int]) -> None:
        """Whether the server, without any record, still answers as it did to the last write."""
        answer = await self._ask("HEAD", route.url, route.headers)
        if answer.status in alike:
            raise NotConnected(f"HEAD {shown_url(route.url)} answered {answer}, as the last write was")
        self._doubt = None

    async def write(self, batch: Batch) -> None:
        """Send the records. Raises WriteError, NotConnected, Unavailable.

        Cancelled, the records may have been received: they are repeated when they come again.
        """
        self._opened()
        delivery = Delivery(batch, self._post, self._bodies, self.config.results)
        requests = self._requests(batch, delivery.refused)
        until = asyncio.get_running_loop().time() + self.config.context.write_timeout - self._longest * 1.1
        try:
            await delivery.run(requests, concurrency=self.config.concurrency, until=until)
        except Unavailable as error:
            error.after = min(error.after, self.config.max_retry_after)
            raise

    async def close(self) -> None:
        """Disconnect. Idempotent."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _requests(self, batch: Batch, refused: dict[int, str]) -> list[Request]:
        """The requests to make, in the order of their first record; what cannot be sent goes to ``refused``."""
        self._bodies.check(batch, refused)
        routes = self._addresser.routes(batch, refused)
        if refused:
            routes = {route: [i for i in indices if i not in refused] for route, indices in routes.items()}
        if self._bodies.holds_many:
            return [(route, indices) for route, indices in routes.items() if indices]
        requests: list[Request] = [(route, [index]) for route, indices in routes.items() for index in indices]
        return sorted(requests, key=lambda request: request[1][0])

    async def _post(self, route: Route, body: bytes) -> Answer:
        """The answer to a request, if it is about the records. Raises NotConnected where it is about the server."""
        headers = list(route.headers)
        if not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", self._bodies.content_type))
        if self.config.compression != "none" and body:
            headers.append(("Content-Encoding", self.config.compression))
            body = await self._packed(body)
        most = _ENOUGH_FOR_AN_EXCERPT if self.config.results is None else _LARGEST_RESULTS
        try:
            answer = await self._opened().request(
                route.method, route.url, headers=headers, body=body, limit=self._longest, most=most, why=self._why
            )
        except NotConnected:
            self._suspect(route, frozenset())
            raise
        self._judge(route, answer)
        return answer

    async def _packed(self, body: bytes) -> bytes:
        pack = _packer(self.config.compression)  # one for each body: zstd's must not be shared by threads
        return pack(body) if len(body) < _COMPRESSED_ASIDE else await asyncio.to_thread(pack, body)

    def _judge(self, route: Route, answer: Answer) -> None:
        """Raise NotConnected or Unavailable for an answer that is not about the records of the request."""
        status, told = answer.status, f"{route.method} {shown_url(route.url)} answered {answer}"
        if status == 429 or (status == 503 and answer.retry_after is not None):
            if self._is_ours(route):
                raise Unavailable(told, after=answer.retry_after or 0.0)
        elif status >= 300 and self._is_of_the_server(route, status):
            if status in _OF_CREDENTIALS or status < 400:
                raise Unavailable(told)  # no record brings that about
            self._suspect(route, next((alike for alike in _ALIKE if status in alike), None))
            raise NotConnected(told, answered=True)

    def _suspect(self, route: Route, alike: frozenset[int] | None) -> None:
        """When the sink is opened next, ask whether the server is well: without an answer, or with one of these, it is
        not. None: it is, whatever was answered."""
        if alike is not None and self.config.healthcheck is None and self._is_ours(route):
            self._doubt = (route, alike)

    def _is_ours(self, route: Route) -> bool:
        """Whether a request goes to the one server that the sink is for, and not to one that a record chose."""
        return self._addresser.origin is not None or not route.chosen

    def _is_of_the_server(self, route: Route, status: int) -> bool:
        """Whether a status speaks of the server or of the sink's settings, not of records or what they chose."""
        if status in _OF_CREDENTIALS:
            return self.config.auth is not None or not route.chosen
        if status < 400 or status == 403:
            return not route.chosen
        return status >= 500 or status in AGAIN

    async def _ask(self, method: str, url: str, headers: Sequence[tuple[str, str]]) -> Answer:
        return await self._opened().request(method, url, headers=headers, most=_ENOUGH_FOR_AN_EXCERPT)

    def _opened(self) -> Client:
        if self._client is None:
            raise NotConnected("the sink is not open")
        return self._client


def _packer(compression: str) -> Callable[[bytes], bytes]:
    from connectors.file.packed import packer

    return packer("zstd" if compression == "zstd" else "gzip")
