"""Who may post to the source ``http``: bearer tokens, and the signatures of GitHub, Stripe, Slack and others.

The signatures are computed here as the providers' documentation says that they are.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any

import pytest
from http_clients import client, connect, source_of
from pydantic import ValidationError

from connectors.http import HttpSource

SECRET = "It's a Secret to Everybody"
BODY = b"Hello, World!"
Headers = dict[str, str]
Sign = Callable[[bytes, int, str], Headers]


def digest(secret: str, signed: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(secret.encode(), signed, getattr(hashlib, algorithm)).digest()


def github(body: bytes, _: int, secret: str) -> Headers:
    return {"X-Hub-Signature-256": "sha256=" + digest(secret, body).hex()}


def stripe(body: bytes, at: int, secret: str) -> Headers:
    signature = digest(secret, b"%d.%b" % (at, body)).hex()
    return {"Stripe-Signature": f"t={at},v0={signature},v1={'0' * 64},v1={signature}"}


def slack(body: bytes, at: int, secret: str) -> Headers:
    signature = digest(secret, b"v0:%d:%b" % (at, body)).hex()
    return {"X-Slack-Request-Timestamp": str(at), "X-Slack-Signature": f"v0={signature}"}


def shopify(body: bytes, _: int, secret: str) -> Headers:
    return {"X-Shopify-Hmac-Sha256": base64.b64encode(digest(secret, body)).decode()}


def standard(body: bytes, at: int, secret: str) -> Headers:
    signature = base64.b64encode(digest(secret, b"msg_1.%d.%b" % (at, body))).decode()
    return {"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": f"v1,AAAA v1a,x v1,{signature}"}


def old(body: bytes, at: int, secret: str) -> Headers:
    return {"X-Time": str(at), "X-Sign": digest(secret, body + b"|%d" % at, "sha512").hex().upper()}


STANDARD = {
    "scheme": "hmac",
    "header": "webhook-signature",
    "encoding": "base64",
    "prefix": "v1,",
    "timestamp_header": "webhook-timestamp",
    "signed": "{webhook-id}.{webhook-timestamp}.{body}",
}
OLD = {
    "scheme": "hmac",
    "header": "x-sign",
    "algorithm": "sha512",
    "timestamp_header": "X-Time",
    "signed": "{body}|{x-time}",
}
SCHEMES: list[tuple[dict[str, Any], Sign]] = [
    ({"scheme": "github"}, github),
    ({"scheme": "stripe"}, stripe),
    ({"scheme": "slack"}, slack),
    ({"scheme": "hmac", "header": "X-Shopify-Hmac-Sha256", "encoding": "base64"}, shopify),
    (STANDARD, standard),
    (OLD, old),
]
TIMED = [pair for pair in SCHEMES if pair[0]["scheme"] in ("stripe", "slack") or "timestamp_header" in pair[0]]
each_scheme = pytest.mark.parametrize(("scheme", "sign"), SCHEMES, ids=lambda value: getattr(value, "__name__", ""))
each_timed = pytest.mark.parametrize(("scheme", "sign"), TIMED, ids=lambda value: getattr(value, "__name__", ""))


def now() -> int:
    return int(time.time())


async def test_githubs_own_example_is_accepted() -> None:
    """The values of its documentation, https://docs.github.com/en/webhooks (Validating webhook deliveries)."""
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    async with client(verify={"scheme": "github", "secret": SECRET}) as one:
        assert await one.accepted(BODY, {"X-Hub-Signature-256": signature}) == [BODY]


def test_slacks_own_example_is_accepted() -> None:
    """The values of its documentation, https://api.slack.com/authentication/verifying-requests-from-slack."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = {
        "X-Slack-Request-Timestamp": "1531420618",
        "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    }
    config = HttpSource.Config.model_validate(
        {"verify": {"scheme": "slack", "secret": "8f742231b10e8888abcd99yyyzzz85a5"}}
    )
    assert config.verify is not None
    config.verify.claim(headers, 1531420620.0).check(body, config.verify)


@each_scheme
async def test_what_is_signed_is_accepted(scheme: dict[str, Any], sign: Sign) -> None:
    """With any of the secrets that hold, over the bytes of the body as they are sent, whatever these are."""
    packed = gzip.compress(b"1\n2")
    async with client(verify={"secret": ["another", SECRET], **scheme}) as one:
        assert await one.accepted(BODY, sign(BODY, now(), SECRET)) == [BODY]
        assert await one.accepted(BODY, sign(BODY, now(), "another")) == [BODY]
        assert await one.accepted(b"\xff\x00", sign(b"\xff\x00", now(), SECRET)) == [b"\xff\x00"]
        headers = {**sign(packed, now(), SECRET), "Content-Encoding": "gzip"}
        assert await one.accepted(packed, headers) == [b"1", b"2"]


@each_scheme
async def test_what_is_not_signed_right_is_refused(scheme: dict[str, Any], sign: Sign) -> None:
    """Without headers, with other ones, for another body, or with another secret: 401, and nothing is taken in."""
    right = sign(BODY, now(), SECRET)
    wrong = [
        {},
        sign(b"hello, World!", now(), SECRET),
        sign(BODY, now(), "guess"),
        *({**right, name: ""} for name in right),
        *({**right, name: value[:-1]} for name, value in right.items()),
        *({**right, name: value[:-1] + "é"} for name, value in right.items()),
        *({**right, name: "="} for name in right),
        *({other: value for other, value in right.items() if other != name} for name in right),
    ]
    async with client(verify={"secret": SECRET, **scheme}) as one:
        for headers in wrong:
            assert (await one.post(BODY, headers))[0] == 401, headers
            assert one.headers[-1]["WWW-Authenticate"].startswith("Signature ")
        assert (await one.source.lag())[0].bytes == 0
        assert await one.accepted(BODY, right) == [BODY]


@each_timed
async def test_what_was_signed_long_ago_is_refused(scheme: dict[str, Any], sign: Sign) -> None:
    """A request that somebody has recorded is good for the replay window and no longer; so is one from the future."""
    async with client(verify={"secret": SECRET, "tolerance": "2m", **scheme}) as one:
        for seconds in (-1000, -125, 125, 10**9):
            status, answer = await one.post(BODY, sign(BODY, now() + seconds, SECRET))
            assert (status, answer) == (401, {"error": "the time of the signature is not within 120 s of now"})
        for seconds in (-100, 100):
            assert await one.accepted(BODY, sign(BODY, now() + seconds, SECRET)) == [BODY]


async def test_headers_that_cannot_be_right_are_refused_before_the_body() -> None:
    """Nobody may send megabytes before he is told."""
    async with client(verify={"scheme": "github", "secret": SECRET}) as one:
        reader, writer = await connect(one.source)
        writer.write(b"POST /events HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
        writer.close()


def test_a_secret_may_be_written_in_base64() -> None:
    """As Standard Webhooks give it."""
    key = bytes(range(24))
    config = HttpSource.Config.model_validate(
        {"verify": {**STANDARD, "secret": base64.b64encode(key).decode(), "secret_encoding": "base64"}}
    )
    assert config.verify is not None
    signed = b"msg_1.1700000000.{}"
    signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    headers = {"webhook-id": "msg_1", "webhook-timestamp": "1700000000", "webhook-signature": f"v1,{signature}"}
    config.verify.claim(headers, 1_700_000_000.0).check(b"{}", config.verify)


@pytest.mark.parametrize(
    "verify",
    [
        {"scheme": "gitlab", "secret": "s"},
        {"secret": "s"},
        {"scheme": "github"},
        {"scheme": "github", "secret": ""},
        {"scheme": "github", "secret": []},
        {"scheme": "github", "secret": "s", "tolerance": "5m"},
        {"scheme": "stripe", "secret": "s", "tolerance": 0},
        {"scheme": "hmac", "secret": "s"},
        {"scheme": "hmac", "secret": "s", "header": "X Y"},
        {"scheme": "hmac", "secret": "s", "header": "X", "signed": "{time}"},
        {"scheme": "hmac", "secret": "s", "header": "X", "signed": "{body}{body}"},
        {"scheme": "hmac", "secret": "s", "header": "X", "timestamp_header": "X-Time"},
        {"scheme": "hmac", "secret": "no base64", "header": "X", "secret_encoding": "base64"},
    ],
)
def test_schemes_that_cannot_work_are_refused(verify: dict[str, Any]) -> None:
    """A time that is not signed, a signature of nothing, an unknown scheme."""
    with pytest.raises(ValidationError):
        HttpSource.Config.model_validate({"verify": verify})


async def test_a_bearer_token_is_needed() -> None:
    """Any of those that hold, told apart from none and from wrong ones, and kept nowhere."""
    async with client(token=["first", "sécond"]) as one:
        for token in ("first", "sécond"):
            posting = one.posting(b"x", {"Authorization": f"bearer {token}"})
            batch = await one.source.read()
            assert batch.headers is not None
            assert token.encode() not in b"".join(value for _, value in batch.headers[0] or ())
            await one.source.ack(batch.token)
            assert (await posting)[0] == 200
        for header in (None, "Basic Zmlyc3Q6", "first", "Bearer"):
            assert (await one.post(b"x", None if header is None else {"Authorization": header}))[0] == 401
            assert one.headers[-1]["WWW-Authenticate"].startswith("Bearer ")
        for wrong in ("Bearer x", "Bearer firs", "Bearer first,", "Bearer first sécond", "Bearer  "):
            assert (await one.post(b"x", {"Authorization": wrong}))[0] == 401
            assert "error=" in one.headers[-1]["WWW-Authenticate"]


async def test_a_path_that_is_not_there_is_told_nothing_else() -> None:
    """Whoever has no token learns of no path but those he guesses."""
    async with client(token="t") as one:
        assert (await one.post(b"x", url=one.source.url + "x"))[0] == 404
        assert (await one.post(b"x"))[0] == 401


@pytest.mark.parametrize("config", [{"token": "hush"}, {"verify": {"scheme": "github", "secret": "hush"}}])
def test_secrets_show_nowhere(config: dict[str, Any]) -> None:
    """Neither in what is logged of the settings nor in the line that tries the source."""
    source = source_of(**config, listen="127.0.0.1:1234")
    settings = vars(source)["_config"]
    assert "hush" not in repr(settings) + str(settings) + settings.hint() + repr(vars(source))


def test_the_hint_has_a_place_for_the_token() -> None:
    """It stands in the shell and not in the line."""
    config = HttpSource.Config.model_validate({"listen": "127.0.0.1:1234", "token": "hush", "example": "{}"})
    assert config.hint() == "curl -H \"Authorization: Bearer $TOKEN\" -d '{}' http://127.0.0.1:1234/events"
