"""The console as it is served: to whom, under which policy, and whole from the wheel's own files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from api_daemons import Client, client_of, project
from multidict import CIMultiDictProxy

TOKEN = ", token: open-sesame"


async def _page(client: Client, path: str, **headers: str) -> tuple[int, CIMultiDictProxy[str], str]:
    async with client.session.get(client.url + path, headers=headers) as answer:
        return answer.status, answer.headers, await answer.text()


async def test_the_page_holds_no_data_and_needs_no_token(tmp_path: Path) -> None:
    async with client_of(project(tmp_path, TOKEN)) as client:
        status, headers, text = await _page(client, "/")
        assert status == 200
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert "orders" not in text
        assert (await client.ask("GET", "/api/status"))[0] == 401


async def test_all_that_the_page_names_is_there(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        _, _, text = await _page(client, "/")
        named = re.findall(r'(?:src|href)="(console/[^"]+)"', text)
        assert sorted(named) == ["console/console.css", "console/console.js"]
        for path in named:
            assert (await _page(client, f"/{path}"))[0] == 200
        assert "preact" in (await _page(client, "/console/LICENSES.txt"))[2]


async def test_what_did_not_change_is_not_sent_again(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        _, headers, _ = await _page(client, "/console/console.js")
        assert headers["Cache-Control"] == "no-cache"
        status, _, text = await _page(client, "/console/console.js", **{"If-None-Match": headers["ETag"]})
        assert (status, text) == (304, "")
        assert (await _page(client, "/console/console.js", **{"If-None-Match": '"other"'}))[0] == 200


async def test_its_policy_lets_nothing_else_run_and_nobody_frame_it(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        pages = [await _page(client, "/") for _ in range(2)]
        policy = pages[0][1]["Content-Security-Policy"]
        assert "unsafe" not in policy
        for rule in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "trusted-types 'none'"):
            assert rule in policy
        nonces = [re.findall(r'nonce="([^"]+)"', text) for _, _, text in pages]
        assert len(nonces[0]) == 1
        assert f"'nonce-{nonces[0][0]}'" in policy
        assert nonces[0] != nonces[1]
        assert pages[0][1]["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/console/console.js"])
async def test_by_a_name_of_somebody_else_it_is_refused(tmp_path: Path, path: str) -> None:
    async with client_of(project(tmp_path)) as client:
        assert (await _page(client, path, Host="evil.example"))[0] == 403


@pytest.mark.parametrize("path", ["/console/", "/console/other.js", "/console/..%2fpages.py", "/console/index.html"])
async def test_there_is_nothing_else(tmp_path: Path, path: str) -> None:
    async with client_of(project(tmp_path)) as client:
        assert (await _page(client, path))[0] == 404
