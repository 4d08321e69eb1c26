"""One client of one HTTP server: what the sink ``http`` and the source ``http_poll`` have in common."""

from __future__ import annotations

import asyncio
import io
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr, field_validator

from connectors.http.answers import Answer, excerpt, read_at_most, shown_url
from connectors.http.auth import Auth, Authorizer
from router import ClientTls, Duration, NotConnected, Settings

if TYPE_CHECKING:
    from aiohttp import ClientSession

Header = tuple[str, str]
Origin = tuple[str, str, int]
"""Scheme, host and port: what credentials are for."""
T = TypeVar("T")

_LARGE = 2**20
"""aiohttp writes bytes at once, and a file bit by bit."""
_PORTS = {"http": 80, "https": 443}
_EXACT = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
"""A URL that is sent as it is (RFC 3986, section 2): signatures may be made of it. Any other is made one first."""
_URL = re.compile(r"https?://\S+")
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS = frozenset({"content-length", "content-encoding", "transfer-encoding", "connection", "upgrade", "te", "trailer"})


class ClientSettings(Settings):
    """How requests are made, whatever they are for."""

    auth: Auth | None = None
    """How requests say who sends them: `{bearer: ...}`, `{basic: {user, password}}` or `{oauth2: {...}}`."""
    tls: ClientTls = ClientTls()
    """For `https`: whose certificates are trusted, and our own, for servers that ask for one (mutual TLS)."""
    proxy: SecretStr | None = None
    """The proxy that requests go through, such as `http://user:password@proxy:3128`. The environment's variables for
    proxies are not looked at."""
    connect_timeout: Annotated[Duration, Field(gt=0)] = 10.0
    """How long a connection, with its TLS handshake, may take."""
    request_timeout: Annotated[Duration, Field(gt=0)] = 30.0
    """How long a request may take, from the connection to the last byte of its answer."""
    max_retry_after: Annotated[Duration, Field(gt=0)] = 300.0
    """The longest wait that a server's `Retry-After` is granted."""

    @field_validator("proxy")
    @classmethod
    def _names_a_proxy(cls, proxy: SecretStr | None) -> SecretStr | None:
        if proxy is not None and not re.match(r"https?://[^/\s]+/?$", proxy.get_secret_value()):
            raise ValueError("proxy should be a URL such as http://proxy:3128")
        return proxy

    def clashes(self, payloads: str) -> Mapping[str, tuple[str, str]]:  # noqa: ARG002 - they do not matter here
        """`tls` where no request is made by it."""
        urls = [*self.asked(), self.proxy_url or "http://"]
        if self.tls == ClientTls() or not all(url.startswith("http://") for url in urls):
            return {}
        return {"tls": ("`tls` beside a URL that begins with http:// does nothing", "should go with one of https://")}

    def asked(self) -> Sequence[str]:
        """The URLs that are asked for, or how they begin."""
        raise NotImplementedError

    @property
    def proxy_url(self) -> str | None:
        """The proxy's URL. Never to be logged or shown."""
        return None if self.proxy is None else self.proxy.get_secret_value()


class Client:
    """One session: connections that are kept, credentials, TLS. Requests raise NotConnected and nothing else.

    ``connections`` is how many requests are made at once, at most.
    """

    def __init__(self, settings: ClientSettings, *, connections: int = 1) -> None:
        self._settings = settings
        self._connections = connections
        self._session: ClientSession | None = None
        self._authorizer: Authorizer | None = None
        self._tls: ssl.SSLContext | Literal[True] = True

    async def open(self) -> None:
        """Make the session, and get a token if need be. Raises NotConnected, also when a file of ``tls`` cannot be
        used."""
        from aiohttp import ClientSession, ClientTimeout, DummyCookieJar

        from connectors.http.pool import Pool

        settings, folder = self._settings, self._settings.context.folder
        self._tls = True if settings.tls == ClientTls() else settings.tls.context(folder)
        self._authorizer = None if settings.auth is None else settings.auth.authorizer(folder)
        self._session = ClientSession(
            connector=Pool(limit=self._connections + 1, ssl=self._tls),  # one for tokens
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=None, sock_connect=settings.connect_timeout),
            headers={"User-Agent": "sluiceway"},
            proxy=settings.proxy_url,
        )
        if self._authorizer is not None:
            await self._authorizer.authorization(self._session)

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def reach(self, url: str) -> None:
        """Connect to the server of a URL, or to the proxy on the way to it, and disconnect. Raises NotConnected."""
        scheme, host, port = origin_of(urlsplit(self._settings.proxy_url or url))
        tls = self._tls if scheme == "https" and self._settings.proxy is None else None
        name = (self._settings.tls.server_name or host) if tls is not None else None
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                _, writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=name)
        except TimeoutError as error:
            why = f"no connection within {self._settings.connect_timeout:g} s"
            raise NotConnected(f"{host}:{port} cannot be reached: {why}") from error
        except (OSError, ValueError) as error:  # a ValueError is a name that is none, such as one of 64 characters
            raise NotConnected(f"{host}:{port} cannot be reached: {error}") from error
        writer.transport.abort()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[Header],
        body: bytes | None = None,
        limit: float | None = None,
        most: int,
        why: str = "",
    ) -> Answer:
        """Send a request, and once more with a new token when the first is answered 401 and there may be a new one.

        ``limit`` is how many seconds all of it may take, and ``why`` says why so many; ``most`` is how many bytes of
        the answer's body are read. Redirects are answers like any other.
        """
        limit = self._settings.request_timeout if limit is None else limit
        try:
            async with asyncio.timeout(limit):
                return await self._authorized(method, url, headers, body, most)
        except TimeoutError as error:
            raise NotConnected(f"{method} {shown_url(url)}: no answer within {limit:g} s{why}") from error

    async def _authorized(
        self, method: str, url: str, headers: Sequence[Header], body: bytes | None, most: int
    ) -> Answer:
        authorizer = self._authorizer
        if authorizer is None:
            return await self._send(method, url, headers, body, most)
        plain = [(name, value) for name, value in headers if name.lower() != "authorization"]
        token = await authorizer.authorization(self._opened())
        answer = await self._send(method, url, [*plain, ("Authorization", token)], body, most)
        if answer.status == 401:
            authorizer.forget(token)
            renewed = await authorizer.authorization(self._opened())
            if renewed != token:
                return await self._send(method, url, [*plain, ("Authorization", renewed)], body, most)
        return answer

    async def _send(self, method: str, url: str, headers: Sequence[Header], body: bytes | None, most: int) -> Answer:
        from aiohttp import ClientError
        from yarl import URL

        try:
            async with self._opened().request(
                method,
                URL(url, encoded=_EXACT.fullmatch(url) is not None),
                headers=headers,
                data=io.BytesIO(body) if body is not None and len(body) >= _LARGE else body,
                allow_redirects=False,
                server_hostname=self._settings.tls.server_name,
            ) as answer:
                content, whole = await read_at_most(answer, most)
                named = {name.lower(): value for name, value in answer.headers.items()}
                return Answer(answer.status, answer.reason or "", named, content, whole)
        except (ClientError, OSError, ValueError) as error:
            raise NotConnected(f"{method} {shown_url(url)}: {self._why(error)}") from error

    def _why(self, error: Exception) -> str:
        from aiohttp import ClientResponseError, ConnectionTimeoutError

        if isinstance(error, ConnectionTimeoutError):
            return f"no connection within {self._settings.connect_timeout:g} s"
        said = error.message if isinstance(error, ClientResponseError) else str(error)
        return excerpt(_URL.sub(lambda url: shown_url(url[0]), said)) or type(error).__name__

    def _opened(self) -> ClientSession:
        if self._session is None:
            raise NotConnected("it is not open")
        return self._session


def origin_of(url: SplitResult) -> Origin:
    """The origin (RFC 6454) of a URL that ``checked_url`` accepts."""
    return url.scheme, (url.hostname or "").lower(), url.port or _PORTS[url.scheme]


def checked_url(text: str) -> str:
    """The URL itself. Raises ValueError for one that cannot be asked for."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise ValueError(f"`{shown_url(text)}` is no URL: {error}") from error
    if url.scheme not in _PORTS or not url.hostname or _UNSAFE.search(text) or port == 0:
        raise ValueError(f"`{shown_url(text)}` should be a URL such as https://api.example.org/events")
    if url.username is not None or url.password is not None:
        raise ValueError(f"`{shown_url(text)}` should hold no credentials; `auth: {{basic: ...}}` is for them")
    return text


def checked_header(name: str, value: str) -> None:
    """Raises ValueError for a header that cannot be sent, or that the client makes itself."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a header")
    if name.lower() in _OURS:
        raise ValueError(f"the header {name} is made by the connector itself")
    if _NOT_IN_VALUE.search(value):
        raise ValueError(f"the header {name} holds a line end or another control character")


def checked_headers(headers: dict[str, T], text: Callable[[T], str] = str) -> dict[str, T]:
    """The headers themselves. Raises ValueError for the first that cannot be sent."""
    for name, value in headers.items():
        checked_header(name, text(value))
    return headers
