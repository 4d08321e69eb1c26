"""Who may ask: with a token, without one, and what a page of another origin can do in somebody's browser."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from api_daemons import Client, client_of, project

from router.api import ENDPOINTS

TOKEN = {"Authorization": "Bearer s3cret"}
FOREIGN = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}


def filled(path: str) -> str:
    return path.replace("{name}", "orders").replace("{id}", "1").replace("{job}", "1")


async def state(client: Client) -> tuple[Any, ...]:
    """What writes would change."""
    daemon = client.daemon
    ids = [letter.id async for letter in daemon.store.find()]
    jobs = daemon.store.state.look_up("SELECT count(*) FROM jobs")
    return ids[:1], len(ids) > 0, jobs, {name: intake.state for name, intake in daemon.intakes.items()}


async def letters_there(client: Client) -> None:
    async with asyncio.timeout(10):
        while not [letter async for letter in client.daemon.store.find()]:
            await asyncio.sleep(0.05)


async def test_without_the_token_nothing_is_told_and_nothing_changes(tmp_path: Path) -> None:
    async with client_of(project(tmp_path, ", token: s3cret")) as client:
        await letters_there(client)
        before = await state(client)
        given = ("Bearer wrong", "Basic s3cret", "s3cret", "Bearer", "Bearers3cret", "bearer S3CRET")
        wrong: list[dict[str, str]] = [{}, *({"Authorization": text} for text in given)]
        for headers in wrong:
            for endpoint in ENDPOINTS:
                asked: dict[str, Any] = {"json": {"all": True}} if endpoint.method == "POST" else {}
                answer = await client.ask(endpoint.method, filled(endpoint.path), headers=headers, **asked)
                assert answer == (401, {"error": "a token is needed: Authorization: Bearer ..."})
        assert await state(client) == before
        assert (await client.ask("GET", "/api/status", headers=TOKEN))[0] == 200
        # By whatever name a token is shown, it is good; for a page of another origin, never.
        assert (await client.ask("GET", "/api/status", headers={**TOKEN, "Host": "sluiceway.example"}))[0] == 200
        assert (await client.ask("GET", "/api/status", headers={**TOKEN, **FOREIGN}))[0] == 403


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
async def test_the_scheme_of_a_token_is_no_matter_of_case(tmp_path: Path, scheme: str) -> None:
    async with client_of(project(tmp_path, ", token: s3cret")) as client:
        assert (await client.ask("GET", "/api/status", headers={"Authorization": f"{scheme} s3cret"}))[0] == 200


async def test_a_reload_may_bring_another_token(tmp_path: Path) -> None:
    """From the next request on, and with whatever else has changed."""
    file = project(tmp_path, ", token: s3cret")
    async with client_of(file) as client:
        file.write_text(file.read_text().replace("s3cret", "n3w"))
        status, told = await client.ask("POST", "/api/reload", headers=TOKEN, json={})
        token = {"added": [], "removed": [], "changed": ["http.token"]}
        assert (status, told["changes"]) == (200, {"settings": token})
        assert told["version"] == told["previous"]  # which everybody may see, and nobody guess the token by
        assert (await client.ask("GET", "/api/status", headers=TOKEN))[0] == 401
        assert (await client.ask("GET", "/api/status", headers={"Authorization": "Bearer n3w"}))[0] == 200


@pytest.mark.parametrize("path", ["/api/live", "/api/flows/orders/tap"])
async def test_a_stream_ends_when_the_token_that_opened_it_is_not_right_any_more(tmp_path: Path, path: str) -> None:
    """And not when a reload leaves the token as it is."""
    file = project(tmp_path, ", token: s3cret")
    async with client_of(file) as client, client.session.get(client.url + path, headers=TOKEN) as answer:
        assert await answer.content.readline()
        assert (await client.ask("POST", "/api/reload", headers=TOKEN, json={}))[0] == 200
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await answer.content.read()
        file.write_text(file.read_text().replace("s3cret", "n3w"))
        assert (await client.ask("POST", "/api/reload", headers=TOKEN, json={}))[0] == 200
        async with asyncio.timeout(5):
            await answer.content.read()
        assert answer.content.at_eof()
        new = {"Authorization": "Bearer n3w"}
        async with client.session.get(client.url + path, headers=new) as other:
            assert await other.content.readline()


@pytest.mark.parametrize(
    "headers",
    [
        FOREIGN,
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost.evil.example:9600"},
        {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
    ],
    ids=str,
)
async def test_a_page_of_another_origin_can_neither_read_nor_write(tmp_path: Path, headers: dict[str, str]) -> None:
    async with client_of(project(tmp_path)) as client:
        await letters_there(client)
        before = await state(client)
        for endpoint in ENDPOINTS:
            asked: dict[str, Any] = {"json": {"all": True}} if endpoint.method == "POST" else {}
            status, _ = await client.ask(endpoint.method, filled(endpoint.path), headers=headers, **asked)
            assert status == 403, endpoint.path
        assert await state(client) == before


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
async def test_what_a_form_can_post_changes_nothing(tmp_path: Path, kind: str | None) -> None:
    """Requests that a browser makes without asking first (a "simple" one), even without the headers that tell on it."""
    async with client_of(project(tmp_path)) as client:
        await letters_there(client)
        before = await state(client)
        headers = {} if kind is None else {"Content-Type": kind}
        for endpoint in ENDPOINTS:
            if endpoint.method == "POST":
                data = json.dumps({"all": True}).encode()
                status, _ = await client.ask("POST", filled(endpoint.path), headers=headers, data=data)
                assert status == 415, endpoint.path
        assert await state(client) == before


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "nope"])
async def test_a_packed_body_is_refused_by_every_write_whatever_it_holds(
    tmp_path: Path, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with client_of(project(tmp_path)) as client:
        headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
        for endpoint in ENDPOINTS:
            if endpoint.method == "POST":
                for body in (b"{}", gzip.compress(b"{}")):
                    answer = await client.ask("POST", filled(endpoint.path), headers=headers, data=body)
                    assert answer == (415, {"error": "a write takes its JSON as it is: no Content-Encoding"})
        assert (await client.ask("POST", "/api/eval", json={"expression": "1"}))[0] == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_preflight_is_granted_nothing(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        headers = {
            "Origin": "https://evil.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        for path in ("/api/reload", "/api/dead_letters/purge", "/api/status"):
            async with client.session.options(client.url + path, headers=headers) as answer:
                assert answer.status in (403, 405)
                assert not [name for name in answer.headers if name.lower().startswith("access-control")]


async def test_the_own_page_and_programs_may(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        port = client.url.rsplit(":", 1)[1]
        own = [
            {},
            {"Origin": client.url, "Sec-Fetch-Site": "same-origin"},
            {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"},
            {"Host": f"[::1]:{port}", "Origin": f"http://[::1]:{port}"},
            {"Host": "localhost:9000", "Origin": "http://localhost:9000"},
        ]
        for headers in own:
            assert (await client.ask("POST", "/api/eval", json={"expression": "1"}, headers=headers))[0] == 200, headers


async def test_what_is_no_json_too_much_or_for_another_method_is_refused_as_json(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        headers = {"Content-Type": "application/json"}
        for data, wanted in ((b"{", 400), (b"[]", 400), (b"[" * 100_000, 400), (b'{"nope":1}', 400), (b"\xff", 400)):
            status, told = await client.ask("POST", "/api/dead_letters/purge", data=data, headers=headers)
            assert (status, list(told)) == (wanted, ["error"]), data[:20]
        status, _ = await client.ask(
            "POST", "/api/eval", data=io.BytesIO(b'"' + b"x" * (4 << 20) + b'"'), headers=headers
        )
        assert status == 413
        assert (await client.ask("GET", "/api/reload"))[0] == 405
        assert (await client.ask("DELETE", "/api/dead_letters/1"))[0] == 405
