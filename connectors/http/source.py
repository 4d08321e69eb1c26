"""``http``: records that are posted over HTTP, each request answered once all of its records are safe.

curl -d '{"type": "order"}' http://127.0.0.1:9601/events
{"accepted": 1}
"""

from __future__ import annotations

import asyncio
import logging
import shlex
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import Field, model_validator

from router import Address, Batch, Constant, Duration, Headers, Lag, NotConnected, Settings, Size, split_address

if TYPE_CHECKING:
    from aiohttp import web

_log = logging.getLogger(__name__)
_server_log = logging.getLogger(f"{__name__}.server")

BATCH_RECORDS = 1000
BATCH_BYTES = 2**20
"""Requests are gathered whole up to these; a request that is larger than both allow is cut into several batches."""

_LINES = frozenset(
    {
        "application/jsonl",
        "application/jsonlines",
        "application/ndjson",
        "application/octet-stream",  # also what a request without a content type has (RFC 9110, section 8.3)
        "application/x-jsonlines",
        "application/x-ndjson",
        "application/x-www-form-urlencoded",  # what curl says unless it is told otherwise
    }
)
_SECRET = frozenset({"authorization", "proxy-authorization", "cookie"})
_RETRY = {"Retry-After": "1"}
_KEEPALIVE_SECONDS = 75.0  # longer than load balancers keep an idle connection, so that they close it and not we
_LINGER_SECONDS = 5.0  # for a client that is still sending a refused body, so that it sees the answer
_SHUTDOWN_SECONDS = 2.0  # for clients that do not take their last answer

T = TypeVar("T")


class Pending(Settings):
    """How much may wait for its answer. What would go over it is refused with 429."""

    records: Annotated[int, Field(gt=0)] = 10_000
    """Records; a request may hold as many lines."""
    bytes: Annotated[Size, Field(gt=0)] = 64 * 2**20
    """Bytes of bodies."""


class HttpSourceConfig(Settings):
    """The settings of the source ``http``."""

    listen: Address = "127.0.0.1:9601"
    """The host and port to listen on. Port 0 takes any free one, and the log says which."""
    path: Annotated[str, Field(pattern="^/")] = "/events"
    """The path to post to."""
    max_body: Annotated[Size, Field(gt=0)] = 8 * 2**20
    """The size of the largest body; a larger one is refused with 413."""
    pending: Pending = Pending()
    """How much may wait for its answer."""
    timeout: Annotated[Duration, Field(gt=0)] = 30.0
    """How long a request may take from its headers to its answer: 408 while its body is still coming, then 503."""
    example: str = '{"hello": "world"}'
    """A record that a person may post to try the source; the daemon shows how when it starts."""

    @property
    def url(self) -> str:
        """Where to post to."""
        return f"http://{self.listen}{self.path}"

    def hint(self) -> str:
        """A curl line that posts ``example``; none for port 0, since only the log says which port that became."""
        return f"curl -d {shlex.quote(self.example)} {self.url}" if split_address(self.listen)[1] else ""

    @model_validator(mode="after")
    def _every_body_fits(self) -> Self:
        if self.max_body > self.pending.bytes:
            raise ValueError("max_body should not be larger than pending.bytes, or the largest body could never enter")
        return self


class _Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None, *, close: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = headers
        self.close = close


def _busy() -> _Refusal:
    return _Refusal(429, "too much is waiting to be delivered", _RETRY)


def _unavailable() -> _Refusal:
    return _Refusal(503, "stopping: nothing of this request is promised", _RETRY, close=True)


@dataclass(slots=True, eq=False)
class _Request:
    """A request from its headers to its answer; longer, if the client left while its records were on their way."""

    deadline: asyncio.Timeout
    headers: Headers
    remote: str | None
    content_type: str
    arrived: float = field(default_factory=time.monotonic)
    time: int = field(default_factory=time.time_ns)
    size: int = 0
    values: Sequence[bytes] = ()
    read: int = 0
    """How many of the values are in batches by now."""
    settled: int = 0
    done: asyncio.Future[None] | None = None
    """Completes when all values are settled."""
    answered: bool = False

    @property
    def unread(self) -> int:
        return len(self.values) - self.read

    @property
    def is_settled(self) -> bool:
        return self.settled == len(self.values)

    def expire(self) -> None:
        """Wake its handler with TimeoutError, unless it is awake already."""
        if not self.answered and not self.deadline.expired():
            self.deadline.reschedule(0)


_Part = tuple[_Request, int]
"""So many records of a request, in one batch."""


class _Intake:
    """What one epoch has taken in and not answered yet, within its bounds. Everything but ``ready`` is synchronous."""

    def __init__(self, config: HttpSourceConfig) -> None:
        self.config = config
        self.requests: dict[_Request, None] = {}  # in the order of their arrival
        self.queue: deque[_Request] = deque()
        self.records = 0
        self.bytes = 0
        self.stopping = False
        self._arrival = asyncio.Event()

    def enter(self, request: _Request) -> None:
        """Account for a request until it is settled or has left."""
        self.requests[request] = None

    def check_size(self, coming: int, so_far: int = 0) -> None:
        """Whether a body may grow by this much. Raises _Refusal."""
        if so_far + coming > self.config.max_body:
            raise _Refusal(413, f"the body is larger than {self.config.max_body} bytes", close=True)
        if self.bytes + coming > self.config.pending.bytes:
            raise _busy()

    def grow(self, request: _Request, size: int) -> None:
        """Take in more of a request's body. Raises _Refusal."""
        self.check_size(size, request.size)
        request.size += size
        self.bytes += size

    def admit(self, request: _Request, values: Sequence[bytes]) -> asyncio.Future[None]:
        """Queue the records of a request; the future completes when all of them are settled. Raises _Refusal."""
        if self.stopping:
            raise _unavailable()
        if self.records + len(values) > self.config.pending.records:
            raise _busy()
        request.values = values
        request.done = asyncio.get_running_loop().create_future()
        self.records += len(values)
        self.queue.append(request)
        self._arrival.set()
        return request.done

    async def ready(self) -> None:
        """Wait until there is something to gather."""
        while not self.queue:
            self._arrival.clear()
            await self._arrival.wait()

    def gather(self) -> Batch:
        """The next batch: whole requests as long as they fit, or a cut of one that never would."""
        parts: list[_Part] = []
        values: list[bytes] = []
        size = 0
        while self.queue:
            request = self.queue[0]
            fits = len(values) + request.unread <= BATCH_RECORDS and size + request.size <= BATCH_BYTES
            if parts and not fits:
                break
            taken = request.values if fits and not request.read else _cut(request.values, request.read)
            request.read += len(taken)
            size += request.size
            values += taken
            parts.append((request, len(taken)))
            if request.unread:
                break
            self.queue.popleft()
        return self._batch(values, parts)

    def _batch(self, values: list[bytes], parts: list[_Part]) -> Batch:
        return Batch(
            values=values,
            token=(self, parts),
            headers=_column((request.headers, n) for request, n in parts),
            times=_column((request.time, n) for request, n in parts),
            attributes={
                "method": Constant("POST", len(values)),
                "path": Constant(self.config.path, len(values)),
                "remote": _column((request.remote, n) for request, n in parts),
                "content_type": _column((request.content_type, n) for request, n in parts),
            },
        )

    def settle(self, parts: Iterable[_Part]) -> None:
        """These records are safe elsewhere."""
        for request, n in parts:
            request.settled += n
            if request.is_settled:
                self._release(request)

    def leave(self, request: _Request) -> None:
        """The request is answered. What was not read of it never will be; what was counts until it is settled."""
        request.answered = True
        if request.unread:
            self.queue.remove(request)
            self.records -= request.unread
            request.values = request.values[: request.read]
        if request.is_settled:
            self._release(request)

    def _release(self, request: _Request) -> None:
        if request not in self.requests:
            return
        del self.requests[request]
        self.records -= len(request.values)
        self.bytes -= request.size
        if request.done is not None and not request.done.done():
            request.done.set_result(None)

    def stop(self, *, unsettled: bool) -> None:
        """Admit nothing more, and wake what will never be read; ``unsettled``: what is read but not settled as well."""
        self.stopping = True
        for request in self.requests:
            if unsettled or request.unread or request.done is None:
                request.expire()

    def lag(self) -> Lag:
        """What waits to be settled, and since when the oldest of it."""
        oldest = next((request.arrived for request in self.requests if request.done is not None), None)
        seconds = 0.0 if oldest is None else time.monotonic() - oldest
        return Lag(self.config.path, records=self.records, seconds=seconds, bytes=self.bytes)


class HttpSource:
    """Records posted over HTTP.

    A POST to `path` is answered 200 and `{"accepted": n}` when all n records are delivered, dropped by a rule, or
    dead letters; a record that cannot be decoded or violates its contract is thus accepted, too.

    - A body of `application/json`, or a type that ends in `+json`, is one record. Every line of any other body is
      one (`application/x-ndjson`, `text/*`, what curl sends by itself, no type at all); blank lines are none.
    - 400: no record in it, or the body did not arrive whole. 404, 405: another path, another method. 408: the body
      took longer than `timeout`. 413: larger than `max_body`, or more lines than `pending.records`. 415: another
      type, or a compressed body. 429 with Retry-After: more would wait than `pending` allows. 503 with Retry-After:
      the source stops, or the delivery took longer than `timeout`; the records may still be delivered.
    - Rules see `meta.remote` (the client's address), `meta.content_type`, `meta.method`, `meta.path`,
      `meta.time` (the arrival) and `meta.headers`, without the ones that carry credentials.

    **Guarantee**: at least once for clients that send again whatever was not answered with 200. The source itself
    replays nothing. A token is the requests in the batch; small ones are gathered, and one that waits holds back only
    the requests in its own batch. A client that leaves takes nothing back: what was taken in is delivered.

    **Lag**: records taken in and not settled, and the age of the oldest.

    **Away** is an address that cannot be listened on.
    """

    Config: ClassVar[type[HttpSourceConfig]] = HttpSourceConfig
    example: ClassVar[str] = """
        sources:
          events:
            type: http
            listen: 127.0.0.1:9601
            path: /events
    """
    replays: ClassVar[bool] = False
    ack_order: ClassVar[Literal["read", "any"]] = "any"

    def __init__(self, config: HttpSourceConfig) -> None:
        self._config = config
        self._runner: web.ServerRunner | None = None
        self._intake: _Intake | None = None

    @property
    def url(self) -> str:
        """Where to post to: while it is open, with the port that was really taken."""
        if self._runner is None or not self._runner.addresses:
            return self._config.url
        port = self._runner.addresses[0][1]
        return self._config.model_copy(update={"listen": f"{self._config.listen.rpartition(':')[0]}:{port}"}).url

    async def open(self) -> None:
        """Listen. Raises NotConnected when the address is taken, unknown or not allowed."""
        from aiohttp import web

        host, port = split_address(self._config.listen)
        self._intake = _Intake(self._config)
        _server_log.addFilter(_is_ours)
        server = web.Server(
            self._handle,
            access_log=None,  # no log line per request
            logger=_server_log,
            auto_decompress=False,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            lingering_time=_LINGER_SECONDS,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self.close()
            raise NotConnected(f"{self._config.listen} cannot be listened on: {error.strerror or error}") from error
        _log.info("listening on %s", self.url)

    async def read(self) -> Batch:
        """What was posted. A cancelled call has taken nothing; from then on everything unread is answered 503."""
        intake = self._opened()
        try:
            await intake.ready()
        except asyncio.CancelledError:
            intake.stop(unsettled=False)
            raise
        return intake.gather()

    async def ack(self, token: Any) -> None:
        """Answer the requests of the batch whose other batches, if they were cut, are acknowledged too."""
        intake, parts = token
        intake.settle(parts)

    async def lag(self) -> Sequence[Lag]:
        """Records and bytes that wait for their answer, and the age of the oldest."""
        return [] if self._intake is None else [self._intake.lag()]

    async def close(self) -> None:
        """Stop listening, answer 503 to what is not settled, and finish the connections."""
        if self._intake is not None:
            self._intake.stop(unsettled=True)
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = self._intake = None

    def _opened(self) -> _Intake:
        if self._intake is None:
            raise NotConnected("the source is not open")
        return self._intake

    async def _handle(self, http: web.BaseRequest) -> web.Response:
        from aiohttp import web

        try:
            return web.json_response({"accepted": await self._accept(http)})
        except _Refusal as refusal:
            answer = web.json_response({"error": refusal.reason}, status=refusal.status, headers=refusal.headers)
            if refusal.close:
                answer.force_close()
            return answer

    async def _accept(self, http: web.BaseRequest) -> int:
        """The number of records, once all of them are settled. Raises _Refusal."""
        intake = self._intake
        if intake is None or intake.stopping:
            raise _unavailable()
        self._check(http)
        intake.check_size(http.content_length or 0)
        deadline = asyncio.timeout(self._config.timeout)
        request = _Request(deadline, _headers(http), http.remote, http.content_type)
        intake.enter(request)
        try:
            async with deadline:
                body = await self._body(http, request, intake)
                values = _frame(body, http.content_type, self._config.pending.records)
                await intake.admit(request, values)
        except TimeoutError as error:
            if request.done is None or not request.is_settled:
                raise self._too_late(request, intake) from error
        finally:
            intake.leave(request)
        return len(values)

    def _check(self, http: web.BaseRequest) -> None:
        if http.path != self._config.path:
            raise _Refusal(404, f"post to {self._config.path}")
        if http.method != "POST":
            raise _Refusal(405, "only POST is understood here", {"Allow": "POST"})
        if http.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise _Refusal(415, "a compressed body is not understood", {"Accept-Encoding": "identity"})
        if not (_is_json(http.content_type) or http.content_type in _LINES or http.content_type.startswith("text/")):
            raise _Refusal(415, "send application/json for one record, or application/x-ndjson for one on each line")

    async def _body(self, http: web.BaseRequest, request: _Request, intake: _Intake) -> bytes:
        from aiohttp import web

        if http.headers.get("Expect", "").lower() == "100-continue":
            await http.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            http.writer.output_size = 0  # else an answer is taken to have begun
        body = bytearray()
        try:
            while chunk := await http.content.readany():
                intake.grow(request, len(chunk))
                body += chunk
        except (web.RequestPayloadError, ConnectionError) as error:
            raise _Refusal(400, "the body did not arrive whole", close=True) from error
        return bytes(body)

    def _too_late(self, request: _Request, intake: _Intake) -> _Refusal:
        if intake.stopping:
            return _unavailable()
        if request.done is None:
            return _Refusal(408, f"the body took longer than {self._config.timeout:g} s", close=True)
        return _Refusal(503, f"not delivered within {self._config.timeout:g} s, but it may still be", _RETRY)


def _is_ours(line: logging.LogRecord) -> bool:
    """Whether a log line of the server is about us: what is wrong with a request is said in its answer alone."""
    from aiohttp.http_exceptions import HttpProcessingError

    return not (line.exc_info and isinstance(line.exc_info[1], HttpProcessingError))


def _is_json(content_type: str) -> bool:
    return content_type == "application/json" or content_type.endswith("+json")


def _frame(body: bytes, content_type: str, most: int) -> list[bytes]:
    """The records in a body. Raises _Refusal when there are none, or more than so many lines."""
    if _is_json(content_type):
        body = body.strip(b" \t\r\n")  # what RFC 8259 allows around a value
        values = [body] if body else []
    else:
        if body.count(b"\n") + (not body.endswith(b"\n")) > most:
            raise _Refusal(413, f"the body has more than {most} lines", close=True)
        values = list(filter(None, body.replace(b"\r\n", b"\n").split(b"\n")))
    if not values:
        raise _Refusal(400, "the body holds no record")
    return values


def _headers(http: web.BaseRequest) -> Headers:
    """Without those that carry credentials: dead letters are kept for long."""
    named = ((name.decode("latin-1").lower(), value) for name, value in http.raw_headers)
    return [(name, value) for name, value in named if name not in _SECRET]


def _cut(values: Sequence[bytes], start: int) -> Sequence[bytes]:
    """As many values as a batch may hold, and always one."""
    end, size = start, 0
    while end < min(len(values), start + BATCH_RECORDS) and (end == start or size + len(values[end]) <= BATCH_BYTES):
        size += len(values[end])
        end += 1
    return values[start:end]


def _column(parts: Iterable[tuple[T, int]]) -> list[T]:
    return [value for value, n in parts for _ in range(n)]
