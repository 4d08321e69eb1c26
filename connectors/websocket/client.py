"""A WebSocket as a client: how it is opened, and what is heard and said on it until it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, cast
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, JsonValue, WithJsonSchema, model_validator

from connectors.http.answers import shown_url
from connectors.http.auth import Auth, Authorizer
from connectors.websocket.closing import GOING_AWAY, NO_CODE, NORMAL, is_unwelcome, told
from connectors.websocket.messages import TEXT, Message, to_text
from connectors.websocket.pulse import Ping, Pulse, Silent
from router import ClientTls, Duration, NotConnected, Settings

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession, ClientWebSocketResponse, WSMsgType

_log = logging.getLogger(__name__)

_CLOSE_SECONDS = 2.0
"""How long the other side may take to close, once we have."""
_LARGEST_WINDOW = 15
_OWN = frozenset({"connection", "upgrade", "host", "content-length", "transfer-encoding"})

Take = Callable[[bytes, bool], Awaitable[None] | None]
"""Takes a message and whether it is binary. What it returns is awaited before anything more is read."""


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or not url.isprintable() or " " in url:
        raise ValueError("url should be a WebSocket URL such as wss://example.org/feed")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url should hold no user and password; `auth: {basic: {user, password}}` takes them")
    if "#" in url:
        raise ValueError("url should be without a fragment (`#...`)")  # RFC 6455, section 3
    return url


WebSocketUrl = Annotated[str, AfterValidator(_checked_url), WithJsonSchema({"type": "string", "pattern": "^wss?://"})]


class ClientConfig(Settings):
    """What the clients of WebSocket servers share."""

    url: WebSocketUrl
    """The server: `ws://host/path`, or `wss://host/path` for TLS."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Headers of the opening request, such as `Origin`."""
    subprotocols: tuple[Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")], ...] = ()
    """The subprotocols that we speak, the best first. A server that chooses none of them is not talked to."""
    auth: Auth | None = None
    """How the opening request says who sends it: one of `bearer`, `basic` and `oauth2`."""
    tls: ClientTls = ClientTls()
    """How a `wss` server proves who it is, and we to it (mutual TLS)."""
    open_messages: tuple[JsonValue, ...] = ()
    """What is sent right after connecting, each time: subscriptions, a login. A text is sent as it is, anything else as
    JSON, such as `[{op: subscribe, channel: trades}]`."""
    ping: Ping | None = Ping()
    """How a server that is gone is noticed. `null`: by the system's own means alone, which may take hours."""
    compression: bool = False
    """Offer the server compressed messages (permessage-deflate, RFC 7692)."""
    connect_timeout: Annotated[Duration, Field(gt=0)] = 10.0
    """How long connecting may take, up to the last of `open_messages`."""

    @property
    def shown(self) -> str:
        """The URL, without what may be secret in it."""
        return shown_url(self.url)

    @model_validator(mode="after")
    def _fits_together(self) -> ClientConfig:
        for name in self.headers:
            if name.lower() in _OWN or name.lower().startswith("sec-websocket-"):
                raise ValueError(f"headers should not hold {name}: it is part of the WebSocket handshake")
            if name.lower() == "authorization" and self.auth is not None:
                raise ValueError("headers should not hold Authorization beside `auth`")
        if self.url.startswith("ws:") and self.tls != ClientTls():
            raise ValueError("url should begin with wss:// beside `tls`")
        return self


class Closed(NotConnected):
    """A connection that has ended. ``unwelcome``: coming back at once, unchanged, would end the same way."""

    def __init__(self, why: str, *, unwelcome: bool = False) -> None:
        super().__init__(why)
        self.unwelcome = unwelcome


class Client:
    """Opens connections as one configuration says."""

    def __init__(self, config: ClientConfig, *, max_message: int) -> None:
        self._config = config
        self._max_message = max_message
        self._authorizer: Authorizer | None = None

    async def connect(self, take: Take, ended: Callable[[], None]) -> Connection:
        """A connection: ``take`` gets its messages, ``ended`` is called at its end. Raises NotConnected."""
        from aiohttp import ClientSession, ClientTimeout

        # Its own session: cookies, a pool and limits would be shared with nobody.
        session = ClientSession(timeout=ClientTimeout(total=None), middlewares=(_refuse_redirect,))
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self._config.connect_timeout):
                websocket = await self._handshake(session)
                connection = Connection(websocket, session, self._config, take, ended)
                await connection.send((to_text(message), TEXT) for message in self._config.open_messages)
        except BaseException as error:
            await (session if connection is None else connection).close()
            if isinstance(error, TimeoutError):
                why = f"{self._config.shown}: connecting took longer than {self._config.connect_timeout:g} s"
                raise NotConnected(why) from error
            if isinstance(error, OSError):
                raise NotConnected(f"{self._config.shown} cannot be reached: {error}") from error
            raise
        return connection

    async def _handshake(self, session: ClientSession) -> ClientWebSocketResponse[bool]:
        from aiohttp import ClientError, ClientResponseError, ClientWSTimeout, WSServerHandshakeError

        config = self._config
        headers = await self._headers(session)
        try:
            websocket = await session.ws_connect(
                config.url,
                headers=headers,
                protocols=config.subprotocols,
                ssl=config.tls.context(config.context.folder) if config.url.startswith("wss:") else True,
                server_hostname=config.tls.server_name,
                compress=_LARGEST_WINDOW if config.compression else 0,
                # aiohttp refuses what is as large as its limit.
                max_msg_size=self._max_message + 1,
                timeout=ClientWSTimeout(ws_close=0.1),  # we have waited before
                # It would take a socket that is not read for one that is dead; and pongs are looked at here.
                heartbeat=None,
                autoping=False,
                autoclose=False,
                decode_text=False,
            )
        except WSServerHandshakeError as error:
            if error.status == HTTPStatus.UNAUTHORIZED and self._authorizer is not None:
                self._authorizer.forget(headers["Authorization"])
            raise NotConnected(f"{config.shown} refused the connection: {_refusal(error.status)}") from error
        except ClientResponseError as error:  # its text would tell the whole URL
            raise NotConnected(f"{config.shown} does not speak HTTP: {error.message}") from error
        except ClientError as error:
            raise NotConnected(f"{config.shown} cannot be reached: {error}") from error
        if config.subprotocols and websocket.protocol is None:
            await websocket.close()
            raise NotConnected(f"{config.shown} speaks none of these subprotocols: {', '.join(config.subprotocols)}")
        return websocket

    async def _headers(self, session: ClientSession) -> dict[str, str]:
        if self._config.auth is None:
            return self._config.headers
        if self._authorizer is None:
            self._authorizer = self._config.auth.authorizer(self._config.context.folder)
        return {**self._config.headers, "Authorization": await self._authorizer.authorization(session)}


class Connection:
    """An open WebSocket. It hears by itself: hands messages on, answers pings, notices when the other side is gone."""

    def __init__(
        self,
        websocket: ClientWebSocketResponse[bool],
        session: ClientSession,
        config: ClientConfig,
        take: Take,
        ended: Callable[[], None],
    ) -> None:
        self.failure: Closed | None = None
        """Why it has ended, once it has."""
        self._websocket = websocket
        self._session = session
        self._shown = config.shown
        self._ping = config.ping
        self._take = take
        self._ended = ended
        self._pulse = Pulse(websocket)
        self._is_leaving = False
        self._task = asyncio.create_task(self._live(), name=f"websocket {self._shown}")

    async def send(self, messages: Iterable[Message]) -> None:
        """Send payloads, each with its opcode; returns when there is room for more. Raises NotConnected."""
        async with self._saying():
            for payload, opcode in messages:
                await self._websocket.send_frame(payload, cast("WSMsgType", opcode))

    async def confirm(self) -> None:
        """Wait until the other side has read whatever was sent so far. Raises NotConnected.

        It says so by a pong that answers a ping sent behind it all (RFC 6455, section 5.5.3).
        """
        async with self._saying():
            number = await self._pulse.ping()
        while not self._pulse.is_answered(number):
            if self.failure is not None:
                raise self.failure
            self._pulse.answered.clear()
            await self._pulse.answered.wait()

    async def close(self) -> None:
        """Say that we go, and hear what is still on its way until the other side closes, too, for 2 s at most.
        Idempotent."""
        from aiohttp import WSMsgType

        try:
            if self.failure is None and not self._is_leaving:
                self._is_leaving = True
                with contextlib.suppress(NotConnected, TimeoutError):
                    async with asyncio.timeout(_CLOSE_SECONDS):
                        await self.send([(struct.pack("!H", GOING_AWAY), WSMsgType.CLOSE)])
                        await asyncio.wait({self._task})
        finally:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._end(Closed("closed"))
            await self._websocket.close()
            await self._session.close()

    @contextlib.asynccontextmanager
    async def _saying(self) -> AsyncIterator[None]:
        try:
            with self._pulse.waiting():
                yield
        except ConnectionError as error:
            # Why it ended is about to be heard, and says more.
            await asyncio.wait({self._task}, timeout=_CLOSE_SECONDS)
            raise self.failure or Closed(f"{self._shown}: the connection is lost: {error}") from error

    # Hearing

    async def _live(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                if self._ping is not None:
                    group.create_task(self._pulse.beat(self._ping), name=f"heartbeat {self._shown}")
                await self._hear(group)
        except* Silent as errors:
            self._end(Closed(f"{self._shown}: {errors.exceptions[0]}"))
        except* Closed as errors:
            self._end(errors.exceptions[0])
        except* Exception as errors:  # noqa: BLE001 - whoever waits for this connection must be told that it is over
            error = errors.exceptions[0]
            _log.error("%s failed in an unforeseen way", self._shown, exc_info=error)
            self._end(Closed(f"{self._shown}: {type(error).__name__}: {error}"))

    def _end(self, failure: BaseException) -> None:
        if self.failure is None and isinstance(failure, Closed):
            self.failure = failure
            self._pulse.answered.set()
            self._ended()

    async def _hear(self, group: asyncio.TaskGroup) -> None:
        from aiohttp import WSMsgType

        text, binary, pulse = WSMsgType.TEXT, WSMsgType.BINARY, self._pulse
        answer: asyncio.Task[None] | None = None
        while True:
            message: Any = await self._websocket.receive()
            pulse.hear()
            if message.type is text or message.type is binary:
                room = self._take(message.data, message.type is binary)
                if room is not None:
                    with pulse.waiting():
                        await room
                    pulse.hear()  # the silence until now was ours
            elif message.type is WSMsgType.PONG:
                pulse.hear_pong(message.data)
            elif message.type is not WSMsgType.PING:
                raise await self._parting(message)
            elif answer is None or answer.done():
                # A task, since it may wait for the other side to read, which may wait for us to read.
                answer = group.create_task(self._answer(message.data), name=f"pong {self._shown}")

    async def _answer(self, ping: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # what there is to hear tells
            await self._websocket.pong(ping)

    async def _parting(self, message: Any) -> Closed:
        """Why the connection has ended, with which message it did."""
        from aiohttp import WebSocketError, WSMsgType

        if message.type is WSMsgType.CLOSE:
            await self._websocket.close(code=message.data or NORMAL)
            code = message.data or NO_CODE
            why = f"the server closed the connection: {told(code, message.extra or '')}"
            return Closed(f"{self._shown}: {why}", unwelcome=is_unwelcome(code))
        if isinstance(message.data, WebSocketError):
            why = f"we closed the connection: {told(message.data.code, str(message.data))}"
            return Closed(f"{self._shown}: {why}", unwelcome=True)
        return Closed(f"{self._shown}: the connection broke off without being closed")


def _refusal(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


async def _refuse_redirect(request: Any, handler: Callable[[Any], Awaitable[ClientResponse]]) -> ClientResponse:
    """A redirect is not followed: it would carry headers and credentials to where nobody said they should go."""
    answer = await handler(request)
    if answer.status in (301, 302, 303, 307, 308):
        where = shown_url(answer.headers.get("Location", "nowhere"))
        answer.close()
        raise NotConnected(f"{shown_url(str(request.url))} redirects to {where}, which is not followed (url)")
    return answer
