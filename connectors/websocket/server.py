"""``websocket_server``: records for whoever connects and listens."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, SecretStr

from connectors.websocket.closing import GOING_AWAY, TRY_AGAIN_LATER
from connectors.websocket.messages import Outgoing, Wrapper
from connectors.websocket.pulse import Ping
from connectors.websocket.subscriber import Backlog, Parcel, Subscriber
from router import (
    Address,
    Batch,
    Duration,
    NotConnected,
    PerRecord,
    ServerTls,
    Unavailable,
    WriteError,
    split_address,
)

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, ServerRunner, StreamResponse

_log = logging.getLogger(__name__)

_SHUTDOWN_SECONDS = 1.0
_LARGEST_HEARD = 2**16
_LARGEST_WINDOW = 15


class WebSocketServerSinkConfig(Outgoing):
    """The settings of the sink ``websocket_server``."""

    listen: Address = "127.0.0.1:9602"
    """The host and port to listen on. Port 0 takes any free one, and the log says which."""
    path: Annotated[str, Field(pattern="^/")] = "/"
    """The path to connect to."""
    tls: ServerTls | None = None
    """Serve `wss` instead of `ws`; with `client_ca`, for clients with a certificate alone (mutual TLS)."""
    token: Annotated[SecretStr, Field(min_length=1)] | None = None
    """What subscribers must show, as `Authorization: Bearer ...`, or, since browsers cannot send headers here, as
    `?token=...`. A URL is written to logs more readily than a header is."""
    origins: tuple[str, ...] = ()
    """The origins, such as `https://example.org`, whose pages may subscribe; `*` is all. A browser says where a page
    comes from, so without this no page of any site can, be it open on this very machine."""
    channel: Annotated[str, PerRecord()] = ""
    """The channel of a record. Whoever connects with `?channel=a&channel=b` gets the records of these channels, and
    whoever names none gets all."""
    max_subscribers: Annotated[int, Field(gt=0)] = 1000
    """Connections at a time, at most; further ones are refused with 503."""
    backlog: Backlog = Backlog()
    """How much may wait for one subscriber."""
    slow: Literal["disconnect", "wait"] = "disconnect"
    """What happens to a subscriber whose backlog is full. `disconnect`: it is disconnected (1013), and nobody waits for
    it. `wait`: the flow waits for it, for `patience`, and only then disconnects it."""
    patience: Annotated[Duration, Field(gt=0)] = 30.0
    """How long the flow waits for a slow subscriber, with `slow: wait`; four fifths of `timeout` at most."""
    without_subscribers: Literal["discard", "wait"] = "discard"
    """What happens while nobody is connected. `discard`: records count as delivered, and are counted as discarded: a
    view that nobody looks at does not stop the flow. `wait`: the flow waits for the first subscriber."""
    drain: Annotated[Duration, Field(lt=8)] = 5.0
    """How long, when the sink closes, subscribers may take to read what waits for them."""
    ping: Ping | None = Ping()
    """How a subscriber that is gone is noticed. `null`: by the system's own means alone, which may take hours."""
    compression: bool = False
    """Send compressed messages (permessage-deflate, RFC 7692) to subscribers that offer it. Each costs its own work."""


class WebSocketServerSink:
    """Sends records to everybody who is connected to it by WebSocket.

    **Records** go out in order, each as one message, text or binary as `message` says, or several in one (`framing`),
    to every subscriber that wants their `channel`, from when it is connected. What subscribers send is ignored.

    **Guarantee**: at most once for each subscriber. A write returns when the records are queued for everybody who is
    connected, so they are lost for a subscriber that loses its connection, is too slow, or is still to be sent to when
    the process is killed. When the sink closes, subscribers get what waits for them, for `drain` at most, and are
    then closed with 1001.

    **Subscribers** that are slow hold up nobody: each has a `backlog`, and who lets it fill up is disconnected with
    1013 (`slow`). While nobody is connected, records are discarded (`without_subscribers`). Counted as
    `sluiceway_connector_events_total`, with these events:

    | event | what |
    |---|---|
    | `subscribed` | connections |
    | `slow_subscriber` | disconnections for slowness |
    | `undelivered_record` | records that waited for a subscriber when it was disconnected or gone |
    | `discarded_record` | records that nobody was there for |

    **Access**: `token`, mutual TLS, and `origins` for pages in browsers. Refusals: 401 without the token, 403 for a
    page of another origin, 404 for another path, 426 for what is no WebSocket, 503 above `max_subscribers`.

    **Away**: an address that cannot be listened on is `NotConnected`, and so is a certificate that cannot be read.
    """

    Config: ClassVar[type[WebSocketServerSinkConfig]] = WebSocketServerSinkConfig
    example: ClassVar[str] = """\
sinks:
  live:
    type: websocket_server
    listen: 127.0.0.1:9602
    channel: "${event.symbol}"  # ws://127.0.0.1:9602/?channel=ACME gets these alone
    origins: [https://dashboard.example.org]
"""

    def __init__(self, config: WebSocketServerSinkConfig) -> None:
        self._config = config
        self._wrapper = config.wrapper()
        self._runner: ServerRunner | None = None
        self._subscribers: dict[Subscriber, None] = {}
        self._connections = 0
        self._is_closing = False
        self._change = asyncio.Event()

    @property
    def url(self) -> str:
        """Where to connect to: while it is open, with the port that was really taken."""
        port = split_address(self._config.listen)[1]
        if self._runner is not None and self._runner.addresses:
            port = self._runner.addresses[0][1]
        scheme = "ws" if self._config.tls is None else "wss"
        return f"{scheme}://{self._config.listen.rpartition(':')[0]}:{port}{self._config.path}"

    async def open(self) -> None:
        """Listen. Raises NotConnected when the address is taken, unknown or not allowed."""
        from aiohttp import web

        host, port = split_address(self._config.listen)
        tls = None if self._config.tls is None else self._config.tls.context(self._config.context.folder)
        self._is_closing = False
        server = web.Server(self._handle, access_log=None)  # no log line per request
        self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, ssl_context=tls).start()
        except OSError as error:
            await self.close()
            raise NotConnected(f"{self._config.listen} cannot be listened on: {error.strerror or error}") from error
        _log.info("listening on %s", self.url)

    async def write(self, batch: Batch) -> None:
        """Queue the records for everybody who is connected and wants them. Raises WriteError for those that cannot
        be sent, NotConnected, Unavailable. A cancelled call has queued nothing."""
        if self._runner is None:
            raise NotConnected("the sink is not open")
        failed = self._wrapper.check(batch.values)
        kept = [i for i in range(len(batch)) if i not in failed]
        round_ = _Round(self._wrapper, batch.values, kept, self._channels(batch))
        await self._wait_for_subscribers(round_)
        self._hand_out(round_)
        if failed:
            raise WriteError(failed, retryable=False)

    async def close(self) -> None:
        """Let subscribers take what waits for them, for ``drain`` at most, close with 1001 and listen no more.
        Idempotent."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self._is_closing = True
        try:
            for site in list(runner.sites):
                await site.stop()
            for subscriber in self._subscribers:
                subscriber.finish()
            if not await self._until(
                lambda: not self._connections, asyncio.get_running_loop().time() + self._config.drain
            ):
                _log.warning("%d subscriber(s) did not take everything in time", len(self._subscribers))
        finally:
            for subscriber in self._subscribers:
                subscriber.dismiss(GOING_AWAY, "")
            await runner.cleanup()

    def _channels(self, batch: Batch) -> Sequence[object]:
        default = self._config.channel
        return [default if name is None else name for name in batch.settings.get("channel") or [None] * len(batch)]

    async def _wait_for_subscribers(self, round_: _Round) -> None:
        """Wait for whom the settings say, and dismiss whoever has no room then. Raises Unavailable."""
        now = asyncio.get_running_loop().time()
        deadline = now + 0.8 * self._config.context.write_timeout
        while True:
            if self._config.slow == "wait":
                await self._until(lambda: not self._without_room(round_), min(deadline, now + self._config.patience))
            self._dismiss_slow(round_)
            if self._subscribers or self._config.without_subscribers == "discard":
                return
            if not await self._until(lambda: bool(self._subscribers), deadline):
                raise Unavailable(f"nobody is connected to {self.url}")

    async def _until(self, condition: Callable[[], bool], deadline: float) -> bool:
        """Wait until it holds. False: it did not in time."""
        try:
            async with asyncio.timeout_at(deadline):
                while not condition():
                    self._change.clear()
                    await self._change.wait()
        except TimeoutError:
            return False
        return True

    def _without_room(self, round_: _Round) -> list[Subscriber]:
        return [s for s in self._subscribers if not s.has_room(round_.parcel_for(s))]

    def _dismiss_slow(self, round_: _Round) -> None:
        for subscriber in self._without_room(round_):
            del self._subscribers[subscriber]
            self._count("slow_subscriber", 1)
            _log.warning("%s is too slow: disconnected with %d record(s) to go", subscriber.name, subscriber.records)
            subscriber.dismiss(TRY_AGAIN_LATER, "too slow")

    def _hand_out(self, round_: _Round) -> None:
        for subscriber in self._subscribers:
            parcel = round_.parcel_for(subscriber)
            if parcel.messages:
                subscriber.offer(parcel)
        self._count("discarded_record", round_.unwanted(self._subscribers))

    def _count(self, event: str, number: int) -> None:
        if number:
            self._config.context.count(event, number)

    # Connections

    async def _handle(self, request: BaseRequest) -> StreamResponse:
        from aiohttp import web

        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        websocket = web.WebSocketResponse(
            timeout=_SHUTDOWN_SECONDS,
            autoping=False,
            compress=self._config.compression,
            max_msg_size=_LARGEST_HEARD,
            decode_text=False,
        )
        self._connections += 1
        try:
            await websocket.prepare(request)
            await self._serve(Subscriber(websocket, request, self._config.backlog, self._config.ping, self._change.set))
        finally:
            self._connections -= 1
            self._change.set()
        return websocket

    async def _serve(self, subscriber: Subscriber) -> None:
        self._count("subscribed", 1)
        _log.debug("%s has subscribed", subscriber.name)
        if self._is_closing:
            subscriber.finish()
        self._subscribers[subscriber] = None
        self._change.set()
        try:
            await subscriber.run()
        finally:
            self._subscribers.pop(subscriber, None)
            self._count("undelivered_record", subscriber.records)
            _log.debug("%s is gone", subscriber.name)

    def _refusal(self, request: BaseRequest) -> StreamResponse | None:
        """The answer to a request that makes no subscriber."""
        from aiohttp import web

        origin = request.headers.get("Origin")
        if request.path != self._config.path:
            return web.Response(status=404, text=f"connect to {self._config.path}\n")
        if origin is not None and origin not in self._config.origins and "*" not in self._config.origins:
            return web.Response(status=403, text="pages of this origin may not subscribe\n")
        if not self._has_token(request):
            text = "a token is needed: Authorization: Bearer ...\n"
            return web.Response(status=401, text=text, headers={"WWW-Authenticate": "Bearer"})
        if request.headers.get("Upgrade", "").lower() != "websocket":
            headers = {"Upgrade": "websocket", "Connection": "Upgrade"}  # RFC 9110, section 15.5.22
            return web.Response(status=426, text="this is a WebSocket\n", headers=headers)
        if self._is_closing or self._connections >= self._config.max_subscribers:
            return web.Response(status=503, text="no more subscribers for now\n", headers={"Retry-After": "5"})
        return None

    def _has_token(self, request: BaseRequest) -> bool:
        if self._config.token is None:
            return True
        token = self._config.token.get_secret_value().encode()
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        given = shown.strip() if scheme.lower() == "bearer" else request.query.get("token", "")
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token)


class _Round:
    """One batch on its way to everybody: each choice of channels is made up once."""

    def __init__(
        self, wrapper: Wrapper, values: Sequence[bytes], indices: Sequence[int], channels: Sequence[object]
    ) -> None:
        self._wrapper = wrapper
        self._values = values
        self._indices = indices
        self._channels = channels
        self._parcels: dict[frozenset[str], Parcel] = {}

    def parcel_for(self, subscriber: Subscriber) -> Parcel:
        """What of the batch is for it."""
        found = self._parcels.get(subscriber.channels)
        if found is None:
            values = [self._values[i] for i in self._indices if subscriber.wants(self._channels[i])]
            found = Parcel(self._wrapper.wrap(values), len(values), sum(map(len, values)))
            self._parcels[subscriber.channels] = found
        return found

    def unwanted(self, subscribers: Iterable[Subscriber]) -> int:
        """How many records are for none of these."""
        everybody = list(subscribers)
        if any(not subscriber.channels for subscriber in everybody):
            return 0
        wanted = {channel for subscriber in everybody for channel in subscriber.channels}
        return sum(self._channels[i] not in wanted for i in self._indices)
