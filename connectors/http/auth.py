"""How HTTP connectors say who they are: the setting ``auth``, and what makes an ``Authorization`` header of it."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, Self
from urllib.parse import quote_plus

from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.http.answers import excerpt, read_at_most, shown_url
from router import ClientTls, Duration, NotConnected, Settings

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

_TOKEN = re.compile(r"[\x21-\x7e]+")
"""What a token is made of, as far as a header may carry it."""
_LARGEST_ANSWER = 1 << 18
_SHOWN = 200
_OF_LIFETIME, _AT_MOST = 0.1, 60.0
"""A token is renewed when a tenth of its lifetime is left, or a minute: it must not expire on its way."""


class Authorizer(Protocol):
    """Gives the ``Authorization`` header of each request."""

    async def authorization(self, session: ClientSession) -> str:
        """The header's value. Raises NotConnected when it cannot be had. May be called by many at once."""

    def forget(self, authorization: str) -> None:
        """The server refused this value with 401: it is not given again if there may be a better one."""


class Basic(Settings):
    """A user and a password (RFC 7617)."""

    user: str
    """The name, without a colon."""
    password: SecretStr
    """The password; best given as `${env:NAME}` or `${file:PATH}`."""

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> Self:
        if ":" in self.user:
            raise ValueError("user should hold no colon: it ends the name")
        return self


class OAuth2(Settings):
    """Client credentials (RFC 6749, section 4.4): a token is asked for, used until shortly before it expires, and
    asked for anew then, or when the server answers 401."""

    token_url: Annotated[str, Field(pattern="^https?://[^/]")]
    """Where tokens are had. Only `https` keeps the secret one."""
    client_id: str
    """Who asks."""
    client_secret: SecretStr
    """With which secret; best given as `${env:NAME}` or `${file:PATH}`."""
    scopes: tuple[str, ...] = ()
    """What the token is to be good for."""
    params: dict[str, str] = Field(default_factory=dict)
    """What else the token endpoint wants to be told, such as `{audience: https://api.example.org}`."""
    credentials: Literal["header", "body"] = "header"
    """Where the id and the secret stand: in the `Authorization` header, which every server must understand (RFC 6749,
    section 2.3.1), or in the body."""
    timeout: Annotated[Duration, Field(gt=0)] = 10.0
    """How long the token endpoint may take."""
    tls: ClientTls | None = None
    """TLS towards the token endpoint; without it, that of the connector."""


class Auth(Settings):
    """How requests say who sends them: exactly one of these."""

    bearer: SecretStr | None = None
    """A token that does not change (RFC 6750); best given as `${env:NAME}` or `${file:PATH}`."""
    basic: Basic | None = None
    """A user and a password."""
    oauth2: OAuth2 | None = None
    """OAuth 2.0 client credentials."""

    @field_validator("bearer")
    @classmethod
    def _can_be_sent(cls, bearer: SecretStr | None) -> SecretStr | None:
        if bearer is not None and not _TOKEN.fullmatch(bearer.get_secret_value()):
            raise ValueError("bearer should be printable ASCII without spaces")
        return bearer

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(part is not None for part in (self.bearer, self.basic, self.oauth2)) != 1:
            raise ValueError("auth should be exactly one of bearer, basic and oauth2")
        return self

    def authorizer(self, folder: Path) -> Authorizer:
        """What gives the header; files of ``tls`` are relative to ``folder``. Raises NotConnected for those that
        cannot be used."""
        if self.bearer is not None:
            return _Fixed(f"Bearer {self.bearer.get_secret_value()}")
        if self.basic is not None:
            return _Fixed(_basic(self.basic.user, self.basic.password.get_secret_value()))
        assert self.oauth2 is not None  # noqa: S101 - exactly one is there
        tls = self.oauth2.tls
        return _Tokens(self.oauth2, True if tls is None else tls.context(folder))


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class _Fixed:
    """The same value for every request."""

    value: str = field(repr=False)

    async def authorization(self, session: ClientSession) -> str:  # noqa: ARG002 - the protocol's
        return self.value

    def forget(self, authorization: str) -> None:
        """There is no other."""


class _Tokens:
    """Tokens of an OAuth 2.0 server, one at a time."""

    def __init__(self, settings: OAuth2, tls: ssl.SSLContext | Literal[True]) -> None:
        self._settings = settings
        self._tls = tls
        self._value = ""
        self._good_until = 0.0
        self._failure = ""
        self._asked = 0
        self._asking = asyncio.Lock()

    async def authorization(self, session: ClientSession) -> str:
        asked = self._asked
        if not self._is_good():
            async with self._asking:
                # Whoever waited for another's question takes its answer, the bad one too: a server in trouble is not
                # asked again by each of them.
                if not self._is_good():
                    if self._asked != asked and self._failure:
                        raise NotConnected(self._failure)
                    await self._ask(session)
        return self._value

    def forget(self, authorization: str) -> None:
        if authorization == self._value:
            self._value = ""

    def _is_good(self) -> bool:
        return bool(self._value) and time.monotonic() < self._good_until

    async def _ask(self, session: ClientSession) -> None:
        try:
            token, lifetime = await self._fetch(session)
        except NotConnected as error:
            self._asked, self._failure, self._value = self._asked + 1, str(error), ""
            raise
        self._asked, self._failure, self._value = self._asked + 1, "", f"Bearer {token}"
        self._good_until = time.monotonic() + lifetime - min(_AT_MOST, lifetime * _OF_LIFETIME)

    async def _fetch(self, session: ClientSession) -> tuple[str, float]:
        """A token, and for how many seconds it is good. Raises NotConnected."""
        from aiohttp import ClientError, ClientTimeout

        settings, headers = self._settings, {"Accept": "application/json"}
        form = {"grant_type": "client_credentials", **settings.params}
        if settings.scopes:
            form["scope"] = " ".join(settings.scopes)
        secret = settings.client_secret.get_secret_value()
        if settings.credentials == "header":
            headers["Authorization"] = _basic(quote_plus(settings.client_id), quote_plus(secret))
        else:
            form |= {"client_id": settings.client_id, "client_secret": secret}
        try:
            async with session.post(
                settings.token_url,
                data=form,
                headers=headers,
                ssl=self._tls,
                allow_redirects=False,  # the secret goes nowhere else
                timeout=ClientTimeout(total=settings.timeout),
            ) as answer:
                body, whole = await read_at_most(answer, _LARGEST_ANSWER)
                return self._token_of(answer, body if whole else b"")
        except TimeoutError as error:
            raise self._failed(f"it took longer than {settings.timeout:g} s") from error
        except (ClientError, OSError) as error:
            raise self._failed(str(error) or type(error).__name__) from error

    def _token_of(self, answer: ClientResponse, body: bytes) -> tuple[str, float]:
        try:
            said: Any = json.loads(body)
        except ValueError:
            said = None
        said = said if isinstance(said, dict) else {}
        if answer.status != 200:
            raise self._failed(f"{answer.status} {excerpt(answer.reason or '', _SHOWN)}{_error_of(said)}")
        token, kind = said.get("access_token"), said.get("token_type", "Bearer")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise self._failed("its answer holds no access_token")
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise self._failed(
                f"its token is of type {excerpt(str(kind), _SHOWN)}, and only bearer tokens are understood"
            )
        return token, _seconds(said.get("expires_in"))

    def _failed(self, why: str) -> NotConnected:
        return NotConnected(f"no token of {shown_url(self._settings.token_url)}: {why} (auth.oauth2)")


def _error_of(said: Mapping[str, Any]) -> str:
    """What the server says went wrong (RFC 6749, section 5.2); nothing else of its answer, which may hold secrets."""
    parts = [excerpt(str(said[name]), _SHOWN) for name in ("error", "error_description") if said.get(name)]
    return "".join(f": {part}" for part in parts)


def _seconds(lifetime: object) -> float:
    """What ``expires_in`` says; where it says nothing that can be understood, the token is good until it is refused."""
    if isinstance(lifetime, bool) or not isinstance(lifetime, str | int | float):
        return float("inf")
    try:
        return max(0.0, float(lifetime))
    except (ValueError, OverflowError):
        return float("inf")
