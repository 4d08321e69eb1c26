"""The source ``http_poll`` in a router that runs: killed, restarted, away, once."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from daemon_process import Daemon, total
from http_servers import RESET, Asked, HttpServer, Reply, serving

RULES = "from: [api]\nrules: [{name: all, to: out}]\n"
SOURCE = """{type: http_poll, url: 'URL/items', params: {since: "${cursor}"}, start: 0, interval: 20ms,
        records: response.body.items, next: response.body.next,
        cursor: records.last().?id.orValue(cursor)}"""


@pytest.fixture
def daemons() -> Iterator[list[Daemon]]:
    """What is started in a test ends with it."""
    started: list[Daemon] = []
    yield started
    for daemon in started:
        if daemon.runs:
            daemon.kill()


class Items:
    """An API of numbered items that grow in number, in pages of 40 that take a while."""

    def __init__(self) -> None:
        self.last = 0
        self.polls: list[int] = []

    async def __call__(self, asked: Asked) -> Reply:
        asks = {name: int(found[0]) for name, found in parse_qs(urlsplit(asked.url).query).items()}
        since, page = asks["since"], asks.get("page", 1)
        if page == 1:
            self.polls.append(since)
        await asyncio.sleep(0.002)
        first = since + 40 * (page - 1)
        found = [{"id": number} for number in range(first + 1, min(first + 40, self.last) + 1)]
        more = f"?since={since}&page={page + 1}" if first + 40 < self.last else None
        return 200, {"items": found, "next": more}


def configure(folder: Path, url: str, source: str = SOURCE) -> Path:
    (folder / "rules.yaml").write_text(RULES)
    path = folder / "sluiceway.yaml"
    path.write_text(
        "http: {listen: 127.0.0.1:0}\n"
        f"sources:\n  api: {source.replace('URL', url)}\n"
        "sinks: {out: {type: file, path: out.ndjson}}\n"
        "flows: [rules.yaml]\n"
    )
    return path


def written(folder: Path) -> list[Any]:
    path = folder / "out.ndjson"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line)["id"] for line in lines]


async def until(found: Callable[[], object], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not found():
            await asyncio.sleep(0.01)


async def test_killed_again_and_again_it_loses_nothing(tmp_path: Path, daemons: list[Daemon]) -> None:
    """What broke off comes again from its last position, and never from before that."""
    api, moments = Items(), random.Random(3)
    async with serving(api) as server:
        daemon = Daemon(configure(tmp_path, server.url))
        daemons.append(daemon)
        for _ in range(3):
            await asyncio.to_thread(daemon.start)
            api.last += 1000
            await until(lambda: api.polls and len(server.requests) > 30)
            await asyncio.sleep(moments.uniform(0.0, 0.2))
            await asyncio.to_thread(daemon.kill)
            server.requests.clear()
        await asyncio.to_thread(daemon.start)
        await until(lambda: set(written(tmp_path)) >= set(range(1, api.last + 1)))
        assert await asyncio.to_thread(daemon.stop) == 0
    found = written(tmp_path)
    assert set(found) == set(range(1, api.last + 1))
    assert max(Counter(found).values()) <= 10
    assert api.polls == sorted(api.polls)


async def test_after_a_restart_it_goes_on_where_it_was(tmp_path: Path, daemons: list[Daemon]) -> None:
    api = Items()
    async with serving(api) as server:
        daemon = Daemon(configure(tmp_path, server.url))
        daemons.append(daemon)
        for last in (100, 200, 300):
            api.last = last
            await asyncio.to_thread(daemon.start)
            await until(lambda: len(written(tmp_path)) == api.last)
            await until(lambda: api.polls[-1] == api.last)
            metrics = await asyncio.to_thread(daemon.metrics)
            assert await asyncio.to_thread(daemon.stop) == 0
    assert written(tmp_path) == list(range(1, 301))
    assert total(metrics, "sluiceway_source_records_total", "source=api") == 100
    assert total(metrics, "sluiceway_source_lag_seconds", "source=api") == 0


async def test_one_poll_ends_the_run(tmp_path: Path, daemons: list[Daemon]) -> None:
    api = Items()
    api.last = 90
    async with serving(api) as server:
        daemon = Daemon(configure(tmp_path, server.url, SOURCE.replace("interval: 20ms", "once: true")))
        daemons.append(daemon)
        for last in (90, 90, 91):
            api.last = last
            await asyncio.to_thread(daemon.start, wait=False)
            assert await asyncio.to_thread(daemon.wait, 60) == 0
    assert written(tmp_path) == list(range(1, 92))
    assert api.polls == [0, 90, 90]


async def test_a_server_that_comes_and_goes_loses_nothing(tmp_path: Path, daemons: list[Daemon]) -> None:
    api, answers = Items(), random.Random(5)
    api.last = 2000

    async def script(asked: Asked) -> Reply:
        reply = await api(asked)
        return answers.choices([reply, RESET, 500, 429], [40, 1, 1, 1])[0]

    server = HttpServer(script)
    await server.start()
    daemon = Daemon(configure(tmp_path, server.url))
    daemons.append(daemon)
    await asyncio.to_thread(daemon.start)
    await until(lambda: len(server.requests) > 20)
    await server.stop()
    await until(lambda: "cannot be reached" in daemon.log.read_text())
    assert (await asyncio.to_thread(daemon.status))["sources"]["api"]["connected"] is False
    await server.start()
    await until(lambda: set(written(tmp_path)) == set(range(1, 2001)), 120)
    assert await asyncio.to_thread(daemon.stop) == 0
    await server.stop()
