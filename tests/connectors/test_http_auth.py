"""The setting ``auth`` of HTTP connectors, against a real token endpoint."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web
from pydantic import ValidationError

from connectors.http.auth import Auth
from router import NotConnected
from tests.certificates import Certificates

ID, SECRET = "router", "s3cret:+ß"


class TokenEndpoint:
    """Gives a new token for each request, after what the test says."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, list[str]], str | None]] = []
        self.extra: dict[str, Any] = {"expires_in": 3600}
        self.answer: web.Response | None = None
        self.wait = asyncio.Event()
        self.wait.set()
        self.url = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append((parse_qs(await request.text()), request.headers.get("Authorization")))
        number = len(self.requests)
        await self.wait.wait()
        if self.answer is not None:
            return web.Response(status=self.answer.status, body=self.answer.body, headers=self.answer.headers)
        return web.json_response({"access_token": f"token-{number}", "token_type": "bearer", **self.extra})


@asynccontextmanager
async def serving(endpoint: TokenEndpoint, tls: Any = None) -> AsyncIterator[aiohttp.ClientSession]:
    runner = web.ServerRunner(web.Server(endpoint.handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    endpoint.url = f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}/token"
    try:
        async with aiohttp.ClientSession() as session:
            yield session
    finally:
        endpoint.wait.set()
        await runner.cleanup()


def oauth2(endpoint: TokenEndpoint, **settings: Any) -> Auth:
    return Auth.model_validate(
        {"oauth2": {"token_url": endpoint.url, "client_id": ID, "client_secret": SECRET, **settings}}
    )


@pytest.mark.parametrize(
    "settings",
    [{}, {"bearer": "x", "basic": {"user": "a", "password": "b"}}],
)
def test_auth_is_exactly_one_way(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="exactly one of bearer, basic and oauth2"):
        Auth.model_validate(settings)


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX-Injected: 1", "ä"])
def test_a_bearer_token_that_no_header_can_carry_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(ValidationError, match="printable ASCII") as caught:
        Auth.model_validate({"bearer": token})
    assert not token or token not in caught.value.errors(include_input=False)[0]["msg"]


def test_a_user_with_a_colon_is_refused() -> None:
    with pytest.raises(ValidationError, match="no colon"):
        Auth.model_validate({"basic": {"user": "a:b", "password": "c"}})


def test_secrets_are_not_in_what_settings_print() -> None:
    for settings in ({"bearer": "hidden"}, {"basic": {"user": "u", "password": "hidden"}}):
        auth = Auth.model_validate(settings)
        assert "hidden" not in repr(auth)
        assert "hidden" not in repr(auth.authorizer(Path()))


async def test_bearer_and_basic_give_the_same_header_each_time() -> None:
    async with aiohttp.ClientSession() as session:
        bearer = Auth.model_validate({"bearer": "abc"}).authorizer(Path())
        assert await bearer.authorization(session) == "Bearer abc"
        bearer.forget("Bearer abc")
        assert await bearer.authorization(session) == "Bearer abc"
        basic = Auth.model_validate({"basic": {"user": "ü", "password": "a:b"}}).authorizer(Path())
        assert base64.b64decode((await basic.authorization(session)).removeprefix("Basic ")).decode() == "ü:a:b"


async def test_a_token_is_asked_for_once_and_used_until_it_expires() -> None:
    endpoint = TokenEndpoint()
    async with serving(endpoint) as session:
        authorizer = oauth2(endpoint, scopes=["a", "b"], params={"audience": "x"}).authorizer(Path())
        assert [await authorizer.authorization(session) for _ in range(3)] == ["Bearer token-1"] * 3
        [(form, header)] = endpoint.requests
        assert form == {"grant_type": ["client_credentials"], "scope": ["a b"], "audience": ["x"]}
        assert header is not None
        assert base64.b64decode(header.removeprefix("Basic ")).decode() == "router:s3cret%3A%2B%C3%9F"


async def test_the_secret_may_stand_in_the_body() -> None:
    endpoint = TokenEndpoint()
    async with serving(endpoint) as session:
        await oauth2(endpoint, credentials="body").authorizer(Path()).authorization(session)
    [(form, header)] = endpoint.requests
    assert (form["client_id"], form["client_secret"], header) == ([ID], [SECRET], None)


async def test_many_at_once_ask_once_and_take_the_same_answer() -> None:
    endpoint = TokenEndpoint()
    async with serving(endpoint) as session:
        authorizer = oauth2(endpoint).authorizer(Path())
        endpoint.wait.clear()
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(authorizer.authorization(session), name=str(n)) for n in range(20)]
            while not endpoint.requests:
                await asyncio.sleep(0.001)
            endpoint.wait.set()
        assert {task.result() for task in asking} == {"Bearer token-1"}
        assert len(endpoint.requests) == 1


async def test_many_at_once_share_a_failure_and_the_next_one_asks_again() -> None:
    endpoint = TokenEndpoint()
    async with serving(endpoint) as session:
        authorizer = oauth2(endpoint).authorizer(Path())
        endpoint.answer = web.Response(status=503)
        results = await asyncio.gather(*(authorizer.authorization(session) for _ in range(20)), return_exceptions=True)
        assert {type(result) for result in results} == {NotConnected}
        assert len(endpoint.requests) == 1
        endpoint.answer = None
        assert await authorizer.authorization(session) == "Bearer token-2"


async def test_whoever_waits_for_one_that_was_cancelled_asks_itself() -> None:
    endpoint = TokenEndpoint()
    async with serving(endpoint) as session:
        authorizer = oauth2(endpoint).authorizer(Path())
        endpoint.wait.clear()
        async with asyncio.TaskGroup() as tasks:
            first, second = (tasks.create_task(authorizer.authorization(session), name=str(n)) for n in range(2))
            while not endpoint.requests:
                await asyncio.sleep(0.001)
            first.cancel()
            endpoint.wait.set()
        assert second.result() == "Bearer token-2"


async def test_a_token_is_renewed_shortly_before_it_expires() -> None:
    endpoint = TokenEndpoint()
    endpoint.extra = {"expires_in": 1}
    async with serving(endpoint) as session:
        authorizer = oauth2(endpoint).authorizer(Path())
        assert await authorizer.authorization(session) == "Bearer token-1"
        await asyncio.sleep(0.92)
        assert await authorizer.authorization(session) == "Bearer token-2"


@pytest.mark.parametrize("extra", [{}, {"expires_in": None}, {"expires_in": "soon"}, {"expires_in": "3600"}])
async def test_a_lifetime_that_is_not_said_or_said_as_text_does_no_harm(extra: dict[str, Any]) -> None:
    endpoint = TokenEndpoint()
    endpoint.extra = extra
    async with serving(endpoint) as session:
        authorizer = oauth2(endpoint).authorizer(Path())
        assert [await authorizer.authorization(session) for _ in range(2)] == ["Bearer token-1"] * 2


async def test_a_token_that_expires_at_once_is_used_once() -> None:
    endpoint = TokenEndpoint()
    endpoint.extra = {"expires_in": 0}
    async with serving(endpoint) as session:
        authorizer = oauth2(endpoint).authorizer(Path())
        assert [await authorizer.authorization(session) for _ in range(2)] == ["Bearer token-1", "Bearer token-2"]


async def test_a_refused_token_is_forgotten_and_a_newer_one_is_not() -> None:
    endpoint = TokenEndpoint()
    async with serving(endpoint) as session:
        authorizer = oauth2(endpoint).authorizer(Path())
        old = await authorizer.authorization(session)
        authorizer.forget(old)
        new = await authorizer.authorization(session)
        authorizer.forget(old)
        assert await authorizer.authorization(session) == new == "Bearer token-2"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (web.json_response({"error": "invalid_client", "error_description": "no\nsuch"}, status=401), "401 .*no such"),
        (web.Response(status=200, text="<html>"), "holds no access_token"),
        (web.json_response({"access_token": "a\nb"}), "holds no access_token"),
        (web.json_response([1]), "holds no access_token"),
        (web.json_response({"access_token": "a", "token_type": "mac"}), "of type mac"),
        (web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}), "302 Found"),
        (web.Response(status=200, body=b" " * (1 << 19)), "holds no access_token"),
    ],
)
async def test_an_answer_that_is_no_token_is_told_as_not_connected(answer: web.Response, why: str) -> None:
    endpoint = TokenEndpoint()
    endpoint.answer = answer
    async with serving(endpoint) as session:
        with pytest.raises(NotConnected, match=why) as caught:
            await oauth2(endpoint).authorizer(Path()).authorization(session)
        assert "s3cret" not in str(caught.value)


async def test_an_endpoint_that_is_away_is_not_connected() -> None:
    endpoint = TokenEndpoint()
    async with serving(endpoint):
        authorizer = oauth2(endpoint).authorizer(Path())
    async with aiohttp.ClientSession() as session:
        with pytest.raises(NotConnected, match=r"no token of http://127\.0\.0\.1:\d+/token: .*auth\.oauth2"):
            await authorizer.authorization(session)


async def test_an_endpoint_that_hangs_is_not_connected_when_its_time_is_over() -> None:
    endpoint = TokenEndpoint()
    async with serving(endpoint) as session:
        endpoint.wait.clear()
        with pytest.raises(NotConnected, match=r"longer than 0\.2 s"):
            await oauth2(endpoint, timeout="200ms").authorizer(Path()).authorization(session)


async def test_the_token_endpoint_has_tls_of_its_own(certificates: Certificates) -> None:
    from router import ServerTls

    endpoint = TokenEndpoint()
    server = ServerTls(cert="server.pem", key="server.key", client_ca="ca.pem").context(certificates.folder)
    async with serving(endpoint, server) as session:
        with pytest.raises(NotConnected, match="certificate"):
            await oauth2(endpoint).authorizer(Path()).authorization(session)
        tls = {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}
        authorizer = oauth2(endpoint, tls=tls).authorizer(certificates.folder)
        assert await authorizer.authorization(session) == "Bearer token-1"


def test_files_of_tls_that_are_not_there_are_not_connected(tmp_path: Path) -> None:
    auth = Auth.model_validate(
        {"oauth2": {"token_url": "https://x/", "client_id": "a", "client_secret": "b", "tls": {"ca": "none.pem"}}}
    )
    with pytest.raises(NotConnected, match=r"none\.pem"):
        auth.authorizer(tmp_path)
