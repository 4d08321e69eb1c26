"""``http``: records that are posted over HTTP, each request answered once all of its records are safe.

curl -d '{"type": "order"}' http://127.0.0.1:9601/events
{"accepted": 1}
"""

from __future__ import annotations

import asyncio
import logging
import shlex
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from connectors.http import idempotency
from connectors.http.body import check_size, coding_of, receive, unpack
from connectors.http.idempotency import Idempotency
from connectors.http.intake import Bounds, Intake, Request
from connectors.http.listener import Listener, Terms, listener
from connectors.http.records import Cutter, check_charset, media_type
from connectors.http.reply import REPLAYED, Outcome, Refusal, reply, stopping
from connectors.http.verify import Bearer, Claim, Secrets, Verify
from router import (
    Address,
    Batch,
    Duration,
    FramingSetting,
    Headers,
    Lag,
    NotConnected,
    ServerTls,
    Settings,
    Size,
    Violation,
    split_address,
)

if TYPE_CHECKING:
    from aiohttp import web

_log = logging.getLogger(__name__)

_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie"})


class Pending(Settings):
    """How much may wait for its answer. What would go over it is refused with 429."""

    records: Annotated[int, Field(gt=0)] = 10_000
    """Records; one request may hold as many."""
    bytes: Annotated[Size, Field(gt=0)] = 64 * 2**20
    """Bytes of bodies. Half of it, or `max_body` if that is more, is for bodies that are still coming in."""


class HttpSourceConfig(Settings):
    """The settings of the source ``http``."""

    listen: Address = "127.0.0.1:9601"
    """The host and port to listen on. Sources with the same one share it, each with a `path` of its own. Port 0 takes
    any free one, and the log says which."""
    path: Annotated[str, Field(pattern="^/")] = "/events"
    """The path to post to."""
    tls: ServerTls | None = None
    """The certificate to show, and whose certificates to ask for. Without it, the source speaks plain HTTP."""
    connections: Annotated[int, Field(gt=0)] = 1000
    """How many there may be at once; one more is answered 429 and closed."""
    token: Secrets | None = None
    """What a request must show as `Authorization: Bearer ...`: a token, or a list of them of which any will do, so that
    one can be changed without a gap. Best given as `${env:NAME}` or `${file:PATH}`."""
    verify: Verify | None = None
    """How requests are signed. One without a right signature is answered 401."""
    framing: FramingSetting | None = None
    """How the records in a body are told apart. By default as `decode` needs it, and for JSON as the `Content-Type` of
    the request says."""
    max_body: Annotated[Size, Field(gt=0)] = 8 * 2**20
    """The size of the largest body, as it is sent and unpacked; a larger one is refused with 413."""
    pending: Pending = Pending()
    """How much may wait for its answer."""
    timeout: Annotated[Duration, Field(gt=0)] = 30.0
    """How long a request may take from its headers to its answer: 408 while its body is still coming, then 503."""
    accept: Literal["delivered", "buffered"] = "delivered"
    """When a request is answered 200: once its records are `delivered`, or once they are `buffered`, which takes a disk
    buffer at every sink of the flow: then no answer waits for a sink until its buffer is full."""
    idempotency: Idempotency | None = Idempotency()
    """How a request that is sent again is known; `null` does not look for it."""
    example: str = '{"hello": "world"}'
    """A record that a person may post to try the source; the daemon shows how when it starts."""

    @property
    def url(self) -> str:
        """Where to post to."""
        return f"{'http' if self.tls is None else 'https'}://{self.listen}{self.path}"

    def hint(self) -> str:
        """A curl line that posts ``example``; none for port 0, since only the log says which port that became, and
        none where requests are signed or the server's certificate is one that curl may not know."""
        if not split_address(self.listen)[1] or self.verify is not None or self.tls is not None:
            return ""
        token = "" if self.token is None else '-H "Authorization: Bearer $TOKEN" '
        return f"curl {token}-d {shlex.quote(self.example)} {self.url}"

    def acknowledged(self) -> Literal["delivered", "buffered"]:
        """As `accept` says."""
        return self.accept

    def conflict(self, other: Settings) -> str:
        """Sources may share an address if each has its own path, and all the same TLS and number of connections."""
        if not isinstance(other, HttpSourceConfig) or self.listen != other.listen or not split_address(self.listen)[1]:
            return ""
        if self.path == other.path:
            return f"both have the path {self.path} on {self.listen}"
        if self.terms != other.terms:
            return f"tls and connections should be the same for all that listen on {self.listen}"
        return ""

    @property
    def terms(self) -> Terms:
        """What others on the same address must have, too."""
        return Terms(self.tls, self.connections)

    @property
    def bounds(self) -> Bounds:
        """How much may wait."""
        pending = self.pending
        return Bounds(pending.records, pending.bytes, coming=max(self.max_body, pending.bytes // 2))

    @model_validator(mode="after")
    def _every_body_fits(self) -> Self:
        if self.max_body > self.pending.bytes:
            raise ValueError("max_body should not be larger than pending.bytes, or the largest body could never enter")
        return self


class HttpSource:
    """Takes records that are posted over HTTP, and answers each request once all of its records are safe.

    A POST to `path` is answered 200 and `{"accepted": n}` when all of its n records are delivered, dropped by a rule,
    or dead letters; with `accept: buffered`, when they are in the disk buffers of their sinks. A record that cannot be
    decoded or breaks its contract is thus accepted, too, unless the flow says
    [`otherwise: {invalid: reject}`](../rules.md#otherwise): then the request is answered 422 with the violations of
    each of its records, and nothing of it is kept. Whatever was not answered with 200 is to be sent again.

    **Records**: where payloads are JSON, a body is what its `Content-Type` says it is. One of `application/json`, or of
    a type that ends in `+json`, is one record for each element of an array, byte for byte, and one for anything else;
    of any other body every line that is not blank is one (`application/x-ndjson` and its kin, `text/*`, what curl says
    by itself, no type at all). With `framing`, or where `decode` is another format, all bodies are framed alike,
    whatever their type: `decode: csv` makes a record of each row below the header, `decode: bytes` one of the whole
    body. Rules see `meta.remote` (the client's address), `meta.content_type`, `meta.method`, `meta.path`, `meta.time`
    (when the request came) and `meta.headers`, without `Authorization`, `Proxy-Authorization` and `Cookie`.

    **Packed** bodies (`Content-Encoding: gzip`, and `zstd` with the extra `zstd`) are unpacked. `max_body` holds before
    and after.

    **Buffered** records are safe: of a sink with a [disk buffer](../configuration.md#disk-buffers) no answer waits for
    more. `accept: buffered` says that this is meant, and is refused unless every sink of the flow has one; without it,
    `sluiceway check` warns of each that has.

    | answer | |
    |---|---|
    | 200 | everything in the request is delivered (or buffered), dropped by a rule, or a dead letter |
    | 400 | the body holds no record or is not whole, packed or unpacked; or the idempotency key is none |
    | 401 | the bearer token or the signature is missing or not right, or its time is outside `tolerance` |
    | 404, 405 | another path, another method than POST |
    | 408 | the body took longer than `timeout` |
    | 413 | the body is larger than `max_body`, or has more records than `pending.records` |
    | 415 | a type, packing or character set that is not understood |
    | 422 | the flow rejects records (`records` says which, from 0, and why), or the key was used with another body |
    | 429 | more would wait than `pending` allows, or there are too many `connections`; `Retry-After` |
    | 503 | the source stops, or the delivery takes longer than `timeout` (it may still come about); `Retry-After` |

    **Guarantee**: at least once, for clients that send again whatever was not answered with 200; the source itself
    replays nothing. A token is the requests of a batch. Small requests are gathered into batches, none is cut, and each
    is answered when its own records are safe: a slow sink holds back those alone that it gets something of. A client
    that leaves takes nothing back: what was taken in whole is delivered.

    **Idempotency**: a request with an `Idempotency-Key` (in quotes or not, up to 255 characters) that was answered with
    200 is answered the same within `window`, with `Idempotency-Replayed: true`, and not delivered again, by this
    process or the next: the key is kept before the answer goes out. A repetition that comes while the first is on its
    way waits for the same answer, also when the first was answered 503 because it took too long. No other answer takes
    the key. Where the process is killed after a sink has a record and before its key is kept, the client learns
    nothing and sends again: a `file` sink knows such a record and does not write it twice; other sinks get it again,
    and rules see the key in `meta.headers`, so that those can be told how to know it.

    **Signatures** are checked over the body as it is sent, before it is unpacked:

    ```yaml config
    sources:
      pushes: {type: http, path: /github, verify: {scheme: github, secret: "${env:GITHUB_SECRET}"}}
      payments: {type: http, path: /stripe, verify: {scheme: stripe, secret: "${env:STRIPE_SECRET}"}}
      hooks:                                        # Standard Webhooks
        type: http
        path: /hooks
        verify:
          scheme: hmac
          secret: c2VjcmV0                          # what stands behind whsec_; better given as ${env:NAME}
          secret_encoding: base64
          header: webhook-signature
          prefix: "v1,"
          encoding: base64
          timestamp_header: webhook-timestamp
          signed: "{webhook-id}.{webhook-timestamp}.{body}"
        idempotency: {header: webhook-id}
    ```

    These three also show how sources share an address: each has a `path` of its own, and one that closes leaves the
    others untouched.

    **Order**: requests are read in the order in which they arrived whole.

    **Lag**: records taken in and not settled, and the age of the oldest.

    **Away** is an address that cannot be listened on, or a certificate that cannot be used. An address that only
    trusted clients reach, a `token`, a `verify` or `tls.client_ca` keeps others out; nothing else does.
    """

    Config: ClassVar[type[HttpSourceConfig]] = HttpSourceConfig
    example: ClassVar[str] = """
        sources:
          events:
            type: http
            listen: 127.0.0.1:9601
            path: /events
            token: ${env:EVENTS_TOKEN}
    """
    replays: ClassVar[bool] = False
    ack_order: ClassVar[Literal["read", "any"]] = "any"

    def __init__(self, config: HttpSourceConfig) -> None:
        self._config = config
        self._bearer = Bearer(config.token)
        self._cutter = Cutter(config.framing, config.context, config.pending.records)
        self._memory = (
            None if config.idempotency is None else idempotency.Memory(config.idempotency, config.context.positions)
        )
        self._listener: Listener | None = None
        self._intake: Intake | None = None

    @property
    def url(self) -> str:
        """Where to post to: while it is open, with the port that was really taken."""
        base = "" if self._listener is None else self._listener.base_url
        return base + self._config.path if base else self._config.url

    async def open(self) -> None:
        """Listen. Raises NotConnected when the address is taken, unknown or not allowed, and when another source has
        the path."""
        if self._memory is not None:
            self._memory.load()
        window = 0.0 if self._config.idempotency is None else self._config.idempotency.window
        self._intake = Intake(self._config.path, self._config.bounds, window)
        found = listener(self._config.listen)
        await found.join(self._config.path, self._handle, self._config.terms, self._config.context.folder)
        self._listener = found
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
        """Remember the keys of the requests in the batch, then answer them."""
        intake: Intake
        requests: Sequence[Request]
        intake, requests = token
        await self._settle(intake, intake.unsettled(requests))

    async def settle(self, token: Any, indices: Sequence[int]) -> None:
        """The same with the requests that wait for none but these records."""
        intake: Intake
        requests: Sequence[Request]
        intake, requests = token
        await self._settle(intake, intake.safe(requests, indices))

    async def _settle(self, intake: Intake, requests: Sequence[Request]) -> None:
        keyed = [request for request in requests if request.key]
        if keyed and self._memory is not None:
            await self._memory.keep({one.key: (one.fingerprint, len(one)) for one in keyed})
        intake.settle(requests)

    def reject(self, token: Any, violations: Mapping[int, Sequence[Violation]]) -> Collection[int]:
        """Answer 422 to the requests that these records came in."""
        intake: Intake
        requests: Sequence[Request]
        intake, requests = token
        return intake.reject(requests, violations)

    async def lag(self) -> Sequence[Lag]:
        """Records and bytes that wait for their answer, and the age of the oldest."""
        return [] if self._intake is None else [self._intake.lag()]

    async def close(self) -> None:
        """Answer 503 to what is not settled, and stop listening, unless others listen on the same address."""
        if self._intake is not None:
            self._intake.stop(unsettled=True)
        found, self._listener, self._intake = self._listener, None, None
        if found is not None:
            await found.leave(self._config.path)

    def _opened(self) -> Intake:
        if self._intake is None:
            raise NotConnected("the source is not open")
        return self._intake

    # A request

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answer(http)
        except Refusal as refusal:
            return reply(refusal)

    async def _answer(self, http: web.BaseRequest) -> web.StreamResponse:
        """The answer to a request, once all of its records are settled. Raises Refusal."""
        intake = self._intake
        if intake is None or intake.stopping:
            raise stopping()
        request = self._request(http)
        deadline = asyncio.get_running_loop().time() + self._config.timeout
        intake.enter(request)
        try:
            body = await self._body(http, request, intake, deadline)
            if request.key:
                request.fingerprint = idempotency.fingerprint(body, request.content_type)
                request.id = idempotency.identity(self._config.context.name, request.key, request.fingerprint)
                outcome = await self._repeated(request, intake, deadline)
                if outcome is not None:
                    return reply(outcome, REPLAYED)
            intake.admit(request, self._cutter.cut(body, request.content_type))
            return reply(await intake.outcome(request, deadline))
        finally:
            intake.leave(request)

    def _request(self, http: web.BaseRequest) -> Request:
        """What the head of a request says. Raises Refusal."""
        headers = http.headers
        if http.method != "POST":
            raise Refusal(405, "only POST is understood here", {"Allow": "POST"})
        self._bearer.check(headers)
        said = headers.get("Content-Type", "")
        check_charset(said)
        content_type = media_type(said)
        self._cutter.check_type(content_type)
        return Request(
            headers=_kept(http.raw_headers),
            remote=http.remote,
            content_type=content_type,
            key="" if self._memory is None else self._memory.key_in(headers),
        )

    async def _body(self, http: web.BaseRequest, request: Request, intake: Intake, deadline: float) -> bytes:
        """The body, unpacked, of a request that is signed as it should be. Raises Refusal."""
        coding = coding_of(http.headers.get("Content-Encoding", ""))
        claim = None if self._config.verify is None else self._config.verify.claim(http.headers, time.time())
        hold, limit = partial(intake.hold, request), self._config.max_body
        if coding is None and http.content.is_eof():  # as most are: nothing to wait for
            return self._verified(await receive(http, limit, hold), claim)
        try:
            async with asyncio.timeout_at(deadline) as request.patience:
                check_size(http.content_length or 0, limit)
                intake.check_room(http.content_length or 0)
                body = self._verified(await receive(http, limit, hold), claim)
                return body if coding is None else await unpack(body, coding, limit, hold)
        except TimeoutError as error:
            late = Refusal(408, f"the body took longer than {self._config.timeout:g} s", close=True)
            raise stopping() if intake.stopping else late from error

    def _verified(self, body: bytes, claim: Claim | None) -> bytes:
        if claim is not None and self._config.verify is not None:
            claim.check(body, self._config.verify)
        return body

    async def _repeated(self, request: Request, intake: Intake, deadline: float) -> Outcome | None:
        """What was answered to the same request before, or will be to the one that is on its way; None for a new one.
        Raises Refusal when it is another one with the same key."""
        answered = None if self._memory is None else self._memory.find(request.key)
        if answered is not None:
            idempotency.check_same(answered.fingerprint, request.fingerprint)
            return answered.accepted
        flying = intake.flying.get(request.key)
        if flying is None:
            return None
        idempotency.check_same(flying.fingerprint, request.fingerprint)
        intake.leave(request)
        return await intake.outcome(flying, deadline)


def _kept(raw: Sequence[tuple[bytes, bytes]]) -> Headers:
    """Headers without those that carry credentials: dead letters are kept for long."""
    named = ((name.decode("latin-1").lower(), value) for name, value in raw)
    return [(name, value) for name, value in named if name not in _CREDENTIALS]
