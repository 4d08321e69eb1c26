"""The sink ``http`` in a router that runs: outages, poison, overload, what records choose, and a bulk API."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bulk_server import BulkApi
from daemon_process import Daemon, total
from http_servers import RESET, Asked, HttpServer, Reply, serving

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "deploy" / "examples" / "elasticsearch"
RULES = "from: [in]\nrules: [{name: all, to: out}]\n"


def events(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"n": number, **more} for number in range(count)]


@pytest.fixture
def daemons() -> Iterator[list[Daemon]]:
    """What is started in a test ends with it."""
    started: list[Daemon] = []
    yield started
    for daemon in started:
        if daemon.runs:
            daemon.kill()


def configure(folder: Path, records: list[Any], sink: str, rules: str = RULES) -> Path:
    """A daemon's file with a source that ends, and one sink."""
    (folder / "in.ndjson").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "rules.yaml").write_text(rules)
    path = folder / "sluiceway.yaml"
    path.write_text(
        "http: {listen: 127.0.0.1:0}\n"
        "sources: {in: {type: file, path: in.ndjson, follow: false}}\n"
        f"sinks:\n  out: {sink}\n"
        "flows: [rules.yaml]\n"
    )
    return path


async def run(path: Path, daemons: list[Daemon]) -> Daemon:
    """Start a daemon beside this loop, in which the servers run."""
    daemon = Daemon(path)
    daemons.append(daemon)
    await asyncio.to_thread(daemon.start, wait=False)
    return daemon


async def end(daemon: Daemon) -> None:
    """Wait until it ends by itself, all done."""
    assert await asyncio.to_thread(daemon.wait, 60) == 0


async def letters(daemon: Daemon) -> list[dict[str, Any]]:
    done = await asyncio.to_thread(daemon.command, "dead", "list", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


async def until(found: Callable[[], object], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not found():
            await asyncio.sleep(0.01)


def received(server: HttpServer) -> list[int]:
    """The numbers of the records that were received, in order."""
    return [json.loads(line)["n"] for body in server.bodies for line in body.splitlines()]


async def test_a_server_that_was_down_gets_everything_once_it_is_up(tmp_path: Path, daemons: list[Daemon]) -> None:
    server = HttpServer()
    await server.start()
    await server.stop()
    daemon = await run(configure(tmp_path, events(500), f"{{type: http, url: '{server.url}'}}"), daemons)
    await until(lambda: "cannot be reached" in daemon.log.read_text())
    await server.start()
    await end(daemon)
    await server.stop()
    assert received(server) == list(range(500))
    assert await letters(daemon) == []


async def test_a_connection_that_is_reset_again_and_again_loses_nothing(tmp_path: Path, daemons: list[Daemon]) -> None:
    count = Counter[str]()

    def script(asked: Asked) -> Reply:
        if asked.method == "HEAD":
            return 405
        count["posted"] += 1
        return RESET if count["posted"] % 3 else 200

    async with serving(script) as server:
        sink = f"{{type: http, url: '{server.url}', batch: {{records: 50}}, retry: {{backoff: 10ms}}}}"
        daemon = await run(configure(tmp_path, events(300), sink), daemons)
        await end(daemon)
        taken = [body for number, body in enumerate(server.bodies, 1) if number % 3 == 0]
    assert [json.loads(line)["n"] for body in taken for line in body.splitlines()] == list(range(300))
    assert await letters(daemon) == []


async def test_an_overload_of_many_answers_costs_no_record(tmp_path: Path, daemons: list[Daemon]) -> None:
    left = [9]  # the pauses double, and a test is not to take an hour

    def script(asked: Asked) -> Reply:
        left[0] -= 1
        return 429 if left[0] >= 0 else 200

    async with serving(script) as server:
        sink = f"{{type: http, url: '{server.url}', retry: {{attempts: 2, backoff: 1ms}}}}"
        daemon = await run(configure(tmp_path, events(10), sink), daemons)
        await end(daemon)
    assert received(server)[-10:] == list(range(10))
    assert await letters(daemon) == []


async def test_the_one_record_that_always_brings_a_500_becomes_a_dead_letter(
    tmp_path: Path, daemons: list[Daemon]
) -> None:
    def script(asked: Asked) -> Reply:
        return (500, {"error": "stack trace"}) if b'"n": 7}' in asked.body else 200

    async with serving(script) as server:
        sink = f"{{type: http, url: '{server.url}', retry: {{backoff: 1ms}}}}"
        daemon = await run(configure(tmp_path, events(30), sink), daemons)
        await end(daemon)
        taken = [body for body in server.bodies if b'"n": 7}' not in body]
    assert [json.loads(line)["n"] for body in taken for line in body.splitlines()] == [n for n in range(30) if n != 7]
    [letter] = await letters(daemon)
    assert (json.loads(letter["value"])["n"], letter["reason"]) == (7, "brings_sink_down")
    assert '500 Internal Server Error: {"error": "stack trace"}' in letter["detail"]


async def test_a_gateway_whose_backend_is_away_costs_no_record(tmp_path: Path, daemons: list[Daemon]) -> None:
    state = {"status": 502}
    async with serving(lambda asked: state["status"]) as server:
        sink = f"{{type: http, url: '{server.url}', retry: {{backoff: 1ms}}}}"
        daemon = await run(configure(tmp_path, events(3), sink), daemons)
        await until(lambda: sum(asked.method == "HEAD" for asked in server.requests) > 8)
        state["status"] = 200
        await end(daemon)
        posts = [asked for asked in server.requests if asked.method == "POST"]
    assert len(posts) == 2
    assert await letters(daemon) == []


async def test_wrong_credentials_hold_records_back_until_they_are_right(tmp_path: Path, daemons: list[Daemon]) -> None:
    good = ["nobody's"]

    def script(asked: Asked) -> Reply:
        return 200 if asked.headers.get("authorization") in good else (401, {"error": "who are you?"})

    async with serving(script) as server:
        sink = f"{{type: http, url: '{server.url}', auth: {{bearer: abc}}, retry: {{backoff: 1ms}}}}"
        daemon = await run(configure(tmp_path, events(3), sink), daemons)
        await until(lambda: len(server.requests) > 6)
        good.append("Bearer abc")
        await end(daemon)
    assert "answered 401 Unauthorized" in daemon.log.read_text()
    assert await letters(daemon) == []


async def test_records_choose_their_url_where_it_is_allowed(tmp_path: Path, daemons: list[Daemon]) -> None:
    rules = """
from: [in]
rules:
  - name: all
    to: {sink: out, headers: {X-Number: "${event.n}"}}
tests:
  - name: each tenant has a path of its own
    given: [{event: {n: 1, tenant: a/b}}]
    then: {out: [{url: "URL/t/a%2Fb", headers: {X-Number: "1"}}]}
"""
    records = [{"n": n, "tenant": tenant} for n, tenant in enumerate(["good", "bad", "good", "../up"])]
    async with serving() as server:
        sink = (
            f"{{type: http, url: '{server.url}/t/${{url.encode(event.tenant)}}', body: each, "
            f"allow: {{url: ['*/t/good', '*/t/*up', '*/t/a*']}}}}"
        )
        path = configure(tmp_path, records, sink, rules.replace("URL", server.url))
        tested = await asyncio.to_thread(Daemon(path).command, "test")
        assert tested.returncode == 0, tested.stdout + tested.stderr
        daemon = await run(path, daemons)
        await end(daemon)
    told = [(asked.url, asked.headers["x-number"]) for asked in server.requests]
    assert told == [("/t/good", "0"), ("/t/good", "2"), ("/t/..%2Fup", "3")]
    [letter] = await letters(daemon)
    assert letter["reason"] == "not_allowed"


def test_the_bulk_example_is_in_order() -> None:
    """There is no fault in it, and the tests in its rules file pass."""
    example = Daemon(EXAMPLE / "sluiceway.yaml")
    for command in ("check", "test"):
        done = example.command(command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("3 passed, 0 failed\n")


async def test_the_bulk_example_keeps_the_accounts_of_partial_failures(tmp_path: Path, daemons: list[Daemon]) -> None:
    """Of 400 documents some are there already, some are refused, some are delayed and taken later."""
    overloaded = Counter[str]()

    def judge(id_: str, document: Any) -> tuple[int, str]:
        if document["message"] == "bad":
            return 400, "mapper_parsing_exception"
        overloaded[id_] += 1
        if int(id_) % 50 == 0 and overloaded[id_] < 3:
            return 429, "es_rejected_execution_exception"
        return 201, ""

    api = BulkApi(judge)
    for name in ("sluiceway.yaml", "rules/logs.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((EXAMPLE / name).read_text().replace("127.0.0.1:9600", "127.0.0.1:0"))
    (tmp_path / "logs").mkdir()
    log = [
        {"id": str(n), "time": "2026-05-04T03:02:01Z", "level": "info", "message": "bad" if n % 90 == 1 else f"m{n}"}
        for n in range(400)
    ]
    (tmp_path / "logs" / "a.ndjson").write_text("".join(json.dumps(event) + "\n" for event in log))
    api.documents["logs-2026.05.04", "7"] = {"message": "there already"}
    async with serving(api) as server:
        daemon = Daemon(tmp_path / "sluiceway.yaml", environment={"ELASTICSEARCH_URL": server.url})
        daemons.append(daemon)
        await asyncio.to_thread(daemon.start)
        await until(lambda: len(api.documents) == 395)
        api.down = True
        with (tmp_path / "logs" / "a.ndjson").open("a") as file:
            file.write(json.dumps({**log[0], "id": "400"}) + "\n")
        await until(lambda: "healthcheck" in daemon.log.read_text())
        api.down = False
        await until(lambda: ("logs-2026.05.04", "400") in api.documents)
        metrics = await asyncio.to_thread(daemon.metrics)
        assert await asyncio.to_thread(daemon.stop) == 0
        assert {asked.headers["content-encoding"] for asked in server.requests if asked.method == "POST"} == {"gzip"}
        assert all(asked.headers["authorization"].startswith("Basic ") for asked in server.requests)
    assert {id_ for _, id_ in api.documents} == {str(n) for n in range(401) if n % 90 != 1}
    assert api.documents["logs-2026.05.04", "7"] == {"message": "there already"}
    assert {200, 201} >= {status for status in api.statuses if status < 300}
    assert {400, 409, 429} <= set(api.statuses)
    dead = await letters(daemon)
    assert sorted(json.loads(letter["value"])["id"] for letter in dead) == sorted(str(n) for n in range(1, 400, 90))
    assert {letter["reason"] for letter in dead} == {"refused"}
    assert all("400: " in letter["detail"] and "mapper_parsing_exception" in letter["detail"] for letter in dead)
    assert total(metrics, "sluiceway_sink_records_total", "sink=search") == 396
