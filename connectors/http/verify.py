"""Who sent a request: bearer tokens, and the signatures of webhooks.

All secrets are compared in constant time. Several secrets may hold at once, so that they can be changed without a gap.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal, Self

from msgspec import Struct
from pydantic import Field, SecretStr, model_validator

from connectors.http.reply import Refusal
from router import Duration, Settings

Secret = Annotated[SecretStr, Field(min_length=1)]
Secrets = Secret | Annotated[list[Secret], Field(min_length=1)]

_TIME = re.compile(r"[0-9]{1,12}")
_IN_BRACES = re.compile(r"\{([^{}]*)\}")
_SIGNED = {"WWW-Authenticate": 'Signature realm="sluiceway"'}


def secrets_of(setting: Secrets | None) -> list[bytes]:
    """The secrets themselves. Never to be logged or shown."""
    found = [] if setting is None else setting if isinstance(setting, list) else [setting]
    return [secret.get_secret_value().encode("utf-8", "surrogateescape") for secret in found]


class Bearer:
    """The tokens of which a request must show one (RFC 6750)."""

    def __init__(self, tokens: Secrets | None) -> None:
        self._tokens = secrets_of(tokens)

    def check(self, headers: Mapping[str, str]) -> None:
        """Raises Refusal for a request without a token that is right. Without tokens to show, all are let through."""
        if not self._tokens:
            return
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Refusal(401, "a bearer token is needed", {"WWW-Authenticate": 'Bearer realm="sluiceway"'})
        if not _is_any_of([token.strip().encode("utf-8", "surrogateescape")], self._tokens):
            challenge = 'Bearer realm="sluiceway", error="invalid_token"'
            raise Refusal(401, "the bearer token is not right", {"WWW-Authenticate": challenge})


def _is_any_of(shown: Iterable[bytes], right: Iterable[bytes]) -> bool:
    """In a time that does not tell which, or how much of it, is right."""
    found = False
    others = list(right)
    for one in shown:
        for other in others:
            found |= hmac.compare_digest(one, other)
    return found


class Claim(Struct, frozen=True):
    """What the headers of a request say of its body: one of these is the signature of it, between ``before`` and
    ``after``."""

    signatures: Sequence[bytes]
    before: bytes = b""
    after: bytes = b""

    def check(self, body: bytes, scheme: Scheme) -> None:
        """Raises Refusal when no signature is right for this body, as it was sent, with any of the secrets."""
        signed = b"".join((self.before, body, self.after))
        if not _is_any_of(self.signatures, [hmac.digest(key, signed, scheme.hash) for key in scheme.keys]):
            raise Refusal(401, "the signature is not right", _SIGNED)


class Scheme(Settings, ABC):
    """How requests are signed."""

    scheme: str
    """The scheme."""
    secret: Secrets
    """The secret of the signatures, or several of which any may be right; best given as `${env:NAME}` or
    `${file:PATH}`."""

    @property
    def keys(self) -> list[bytes]:
        """The secrets themselves."""
        return secrets_of(self.secret)

    @property
    def hash(self) -> str:
        """The hash function of the signatures."""
        return "sha256"

    @abstractmethod
    def claim(self, headers: Mapping[str, str], now: float) -> Claim:
        """What a request claims, of which the body is to come. Raises Refusal when it cannot be right whatever
        the body is. ``now`` is in Unix seconds."""


class Github(Scheme):
    """GitHub, and who signs alike: `X-Hub-Signature-256`, of the body alone."""

    scheme: Literal["github"]
    """As GitHub signs, in `X-Hub-Signature-256`."""

    def claim(self, headers: Mapping[str, str], now: float) -> Claim:  # noqa: ARG002 - there is no time in it
        """One signature."""
        kind, _, signature = _needed(headers, "X-Hub-Signature-256").partition("=")
        return Claim(_from_hex([signature] if kind == "sha256" else []))


class _Timed(Scheme):
    tolerance: Annotated[Duration, Field(gt=0)] = 300.0
    """The replay window: how far the time that is signed may be from now."""

    def _check_time(self, written: str, now: float) -> None:
        if not _TIME.fullmatch(written) or abs(int(written) - now) > self.tolerance:
            raise Refusal(401, f"the time of the signature is not within {self.tolerance:g} s of now", _SIGNED)


class Stripe(_Timed):
    """Stripe, and who signs alike: `Stripe-Signature`, of a time and the body."""

    scheme: Literal["stripe"]
    """As Stripe signs, in `Stripe-Signature`."""

    def claim(self, headers: Mapping[str, str], now: float) -> Claim:
        """One time, and while a secret is being changed, several signatures."""
        parts = [part.strip().partition("=") for part in _needed(headers, "Stripe-Signature").split(",")]
        time = next((value for name, _, value in parts if name == "t"), "")
        self._check_time(time, now)
        return Claim(_from_hex(value for name, _, value in parts if name == "v1"), before=f"{time}.".encode())


class Slack(_Timed):
    """Slack: `X-Slack-Signature`, of the time in `X-Slack-Request-Timestamp` and the body."""

    scheme: Literal["slack"]
    """As Slack signs, in `X-Slack-Signature`."""

    def claim(self, headers: Mapping[str, str], now: float) -> Claim:
        """One time, one signature."""
        time = _needed(headers, "X-Slack-Request-Timestamp")
        self._check_time(time, now)
        version, _, signature = _needed(headers, "X-Slack-Signature").partition("=")
        return Claim(_from_hex([signature] if version == "v0" else []), before=f"v0:{time}:".encode())


class Hmac(_Timed):
    """Any other that signs with HMAC (RFC 2104)."""

    scheme: Literal["hmac"]
    """Any other HMAC (RFC 2104), as the further settings say."""
    header: Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
    """The header that the signature stands in; where there are several, with spaces between them."""
    secret_encoding: Literal["text", "base64"] = "text"  # noqa: S105 - says how it is written, not what it is
    """How the secret is written."""
    algorithm: Literal["sha256", "sha1", "sha512"] = "sha256"
    """The hash function."""
    encoding: Literal["hex", "base64"] = "hex"
    """How the signature is written."""
    prefix: str = ""
    """What stands before it, such as `sha256=`."""
    timestamp_header: str | None = None
    """The header with the time, in Unix seconds, that must be within `tolerance` of now. Without it there is no replay
    window."""
    signed: str = "{body}"
    """What is signed: `{body}`, and in other braces headers by their name."""

    @model_validator(mode="after")
    def _signs_what_counts(self) -> Self:
        names = _IN_BRACES.findall(self.signed)
        if names.count("body") != 1:
            raise ValueError("signed should hold {body} once, such as {x-timestamp}.{body}")
        if self.timestamp_header is not None and self.timestamp_header.lower() not in map(str.lower, names):
            raise ValueError(f"signed should hold {{{self.timestamp_header}}}, or the time could be changed by anyone")
        try:
            bool(self.keys)
        except binascii.Error as error:
            raise ValueError("secret should be Base64, as secret_encoding says") from error
        return self

    @property
    def keys(self) -> list[bytes]:
        """The secrets, as bytes."""
        found = super().keys
        is_text = self.secret_encoding == "text"  # noqa: S105 - says how it is written, not what it is
        return found if is_text else [base64.b64decode(key, validate=True) for key in found]

    @property
    def hash(self) -> str:
        """The one that is set."""
        return self.algorithm

    def claim(self, headers: Mapping[str, str], now: float) -> Claim:
        """What the settings say."""
        if self.timestamp_header is not None:
            self._check_time(_needed(headers, self.timestamp_header), now)
        written = [
            text.removeprefix(self.prefix) for text in _needed(headers, self.header).split() if self._is_ours(text)
        ]
        before, _, after = self.signed.partition("{body}")
        return Claim(
            (_from_hex if self.encoding == "hex" else _from_base64)(written),
            before=_filled(before, headers),
            after=_filled(after, headers),
        )

    def _is_ours(self, text: str) -> bool:
        return text.startswith(self.prefix)


Verify = Annotated[Github | Stripe | Slack | Hmac, Field(discriminator="scheme")]


def _needed(headers: Mapping[str, str], name: str) -> str:
    found = headers.get(name)
    if found is None:
        raise Refusal(401, f"the header {name} is missing", _SIGNED)
    return found


def _filled(text: str, headers: Mapping[str, str]) -> bytes:
    filled = _IN_BRACES.sub(lambda found: _needed(headers, found[1]), text)
    return filled.encode("utf-8", "surrogateescape")


def _from_hex(written: Iterable[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in written if re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", text)]


def _from_base64(written: Iterable[str]) -> list[bytes]:
    found = []
    for text in written:
        try:
            found.append(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError):
            continue
    return found
