"""What a sink says of a write shows nothing that is sensitive in the records: not in the log, nor on any page."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from api_daemons import SECRET, Client, client_of
from http_servers import Asked, serving

from connectors import memory
from router import EndOfStream
from router.batch import Batch
from router.errors import Unavailable, WriteError
from tests.commands import sluiceway

FLOW = """\
flow: orders
from: [orders]
contract: {sensitive: [event.user.email, event.user.name]}
rules:
  - {name: made, set: {event.contact: "${event.user.email.upperAscii()}"}}
  - {name: all, to: {sink: out, key: "${event.user.email.reverse()}"}}
"""
RECORD: Any = {"id": 7, "user": {"email": SECRET, "name": 'Zoë "Z" Quill'}}


@pytest.fixture(autouse=True)
def channels() -> None:
    """Every test has its own."""
    memory.forget()


def project(folder: Path, sink: str, source: str = "") -> Path:
    """The daemon's file, with this sink."""
    (folder / "orders.yaml").write_text(FLOW)
    path = folder / "sluiceway.yaml"
    path.write_text(
        'http: {listen: "127.0.0.1:0"}\n'
        f"sources: {{orders: {{type: memory, channel: orders{source}}}}}\n"
        f"sinks: {{out: {{{sink}, retry: {{backoff: 20ms, attempts: 50}}}}}}\n"
        "flows: [orders.yaml]\n"
    )
    return path


async def error_of(client: Client, begins: str) -> Any:
    """The sink as the API shows it, once its error begins so."""
    async with asyncio.timeout(10):
        while not ((shown := await client.get("/api/sinks/out"))["error"] or "").startswith(begins):
            await asyncio.sleep(0.01)
    return shown


async def told(client: Client) -> str:
    """All that is told of the components, as one text."""
    pages = [json.dumps(await client.get(page)) for page in ("/api/status", "/api/sinks/out", "/api/history")]
    async with client.session.get(client.url + "/metrics") as answer:
        return "".join((*pages, await answer.text()))


def shown_in(log: pytest.LogCaptureFixture) -> str:
    """The log as whoever reads it sees it, tracebacks included."""
    return "\n".join(
        "".join((record.getMessage(), record.exc_text or "", *_traceback(record.exc_info))) for record in log.records
    )


def _traceback(info: Any) -> list[str]:
    return traceback.format_exception(info[1]) if info else []


def assert_hidden(text: str) -> None:
    lowered = text.lower()
    assert "***" in text
    for hidden in ("ada@", "secret.example", "elpmaxe", "zoë", "zo\\u00eb", "quill"):
        assert hidden not in lowered


@pytest.mark.parametrize(
    ("status", "headers"), [(500, {}), (503, {}), (503, {"Retry-After": "0"}), (429, {}), (401, {}), (302, {})]
)
async def test_an_answer_that_repeats_the_record_does_not_show_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int, headers: dict[str, str]
) -> None:
    caplog.set_level(logging.INFO)

    def echo(asked: Asked) -> web.Response:
        is_tried = asked.method == "POST" and not healed
        return web.Response(status=status, headers=headers, body=asked.body) if is_tried else web.Response()

    healed: list[bool] = []
    memory.source("orders").push(memory.records(RECORD))
    async with serving(echo) as server, client_of(project(tmp_path, f"type: http, url: '{server.url}'")) as client:
        shown = await error_of(client, "POST ")
        assert '"id":7' in shown["error"]
        assert_hidden(shown["error"])
        text = await told(client)
        assert_hidden(text + shown_in(caplog))
        healed.append(True)


async def test_where_an_answer_is_cut_off_within_it_its_beginning_is_not_shown(tmp_path: Path) -> None:
    def echo(asked: Asked) -> web.Response:
        status = 500 if asked.method == "POST" and not healed else 200
        return web.Response(status=status, text="x" * 490 + SECRET)

    healed: list[bool] = []
    memory.source("orders").push(memory.records(RECORD))
    async with serving(echo) as server, client_of(project(tmp_path, f"type: http, url: '{server.url}'")) as client:
        shown = await error_of(client, "POST ")
        assert shown["error"].endswith("xx***…")
        healed.append(True)


FAILURES: list[Callable[[str], Exception]] = [
    RuntimeError,
    ConnectionResetError,
    Unavailable,
    lambda text: WriteError({0: text}, retryable=True),
]


@pytest.mark.parametrize("failure", FAILURES)
async def test_whatever_a_sink_raises_does_not_show_the_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, failure: Callable[[str], Exception]
) -> None:
    caplog.set_level(logging.INFO)
    failing = [True]

    def fail(batch: Batch) -> None:
        if failing:
            raise failure(f"no: {batch.values[0].decode()}") from ValueError(f"because of {SECRET}")

    async def fail_to_open() -> None:
        if failing and sink.writes:
            raise RuntimeError(f"still no: {SECRET}")

    sink = memory.sink("out")
    sink.on_write, sink.on_open = fail, fail_to_open
    memory.source("orders").push(memory.records(RECORD))
    async with client_of(project(tmp_path, "type: memory, channel: out")) as client:
        async with asyncio.timeout(10):
            while "***" not in (text := await told(client)):
                await asyncio.sleep(0.01)
        assert_hidden(text)
        assert_hidden(f"*** {shown_in(caplog)}")
        failing.clear()


async def test_the_end_of_a_sink_does_not_show_the_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def end(batch: Batch) -> None:
        raise EndOfStream(f"no more after {batch.values[0].decode()}")

    memory.sink("out").on_write = end
    memory.source("orders").push(memory.records(RECORD))
    with pytest.raises(ExceptionGroup):  # a daemon whose sink has ended does not stop well
        async with client_of(project(tmp_path, "type: memory, channel: out")):
            async with asyncio.timeout(10):
                while "no more after" not in caplog.text:
                    await asyncio.sleep(0.01)
    assert_hidden(shown_in(caplog))


async def test_of_a_payload_that_cannot_be_decoded_no_word_is_repeated(tmp_path: Path) -> None:
    failing = [True]

    def fail(batch: Batch) -> None:
        if failing:
            raise Unavailable(f"cannot take this: {batch.values[0].decode()}")

    memory.sink("out").on_write = fail
    memory.source("orders").push(memory.records(b'{"user": {"email": "%s"' % SECRET.encode()))
    path = project(tmp_path, "type: memory, channel: out")
    (tmp_path / "orders.yaml").write_text(FLOW + "otherwise: {undecodable: out}\n")
    async with client_of(path) as client:
        shown = await error_of(client, "cannot take this: ")
        assert_hidden(shown["error"])
        failing.clear()


async def refused(client: Client) -> None:
    """Wait until the sink has refused a record, whose dead letter says why."""
    async with asyncio.timeout(10):
        while not (await client.get("/api/dead_letters"))["letters"]:
            await asyncio.sleep(0.01)


def refuse(batch: Batch) -> None:
    raise WriteError({0: f"refused, as {SECRET} is"}, retryable=False)


async def test_no_condition_sees_more_of_the_detail_of_a_dead_letter_than_is_shown(tmp_path: Path) -> None:
    memory.sink("out").on_write = refuse
    memory.source("orders").push(memory.records(RECORD))
    path = project(tmp_path, "type: memory, channel: out")
    async with client_of(path) as client:
        await refused(client)
        probe = 'detail.contains("ada")'
        assert (await client.get("/api/dead_letters", when=probe))["letters"] == []
        assert (await client.post("/api/dead_letters/replay", when=probe))["requested"] == 0
        assert (await client.post("/api/dead_letters/purge", when=probe)) == {"purged": 0}
        (letter,) = (await client.get("/api/dead_letters", when='detail == "refused, as *** is"'))["letters"]
        assert letter["detail"] == "refused, as *** is"
    for condition, found in ((probe, 0), ('detail.contains("***")', 1)):
        done = sluiceway("dead", "list", path, "--when", condition, cwd=tmp_path)
        assert (done.returncode, len(done.stdout.splitlines())) == (0, found), done.stderr


async def test_no_condition_sees_the_record_of_a_flow_that_is_no_more(tmp_path: Path) -> None:
    """But that of the owner of the state folder."""
    memory.sink("out").on_write = refuse
    memory.source("orders").push(memory.records(RECORD))
    path = project(tmp_path, "type: memory, channel: out")
    async with client_of(path) as client:
        await refused(client)
    (tmp_path / "orders.yaml").write_text("flow: other\nfrom: [orders]\nrules: [{to: out}]\n")
    async with client_of(path) as client:
        for condition in ("event.user.email.startsWith('ada')", "meta.raw != b''"):
            assert (await client.get("/api/dead_letters", when=condition))["letters"] == []
        assert len((await client.get("/api/dead_letters", when="flow == 'orders'"))["letters"]) == 1
    done = sluiceway("dead", "list", path, "--when", "event.user.email.startsWith('ada')", cwd=tmp_path)
    assert len(done.stdout.splitlines()) == 1, done.stderr


async def test_what_is_said_of_a_write_of_many_shows_nothing_of_any_of_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failing = [True]

    def fail(batch: Batch) -> None:
        if failing:
            raise Unavailable("away: " + ", ".join(value.decode() for value in batch.values[::-1]))

    memory.sink("out").on_write = fail
    names = [f"user-{number}@secret.example" for number in range(500)]
    records: list[Any] = [{"user": {"email": name}} for name in names]
    memory.source("orders").push(memory.records(*records))
    async with client_of(project(tmp_path, "type: memory, channel: out")) as client:
        shown = await error_of(client, "away: ")
        assert shown["error"].count('"email":"***"') == len(names)
        assert "secret" not in shown["error"] + caplog.text
        failing.clear()


async def test_a_dead_letter_shows_nothing_of_the_other_records_of_its_request(tmp_path: Path) -> None:
    def echo(asked: Asked) -> web.Response:
        return web.Response(status=404, body=asked.body)

    records: list[Any] = [{"user": {"email": f"user-{number}@secret.example"}} for number in range(3)]
    memory.source("orders").push(memory.records(*records))
    async with serving(echo) as server, client_of(project(tmp_path, f"type: http, url: '{server.url}'")) as client:
        await refused(client)
        letters = (await client.get("/api/dead_letters"))["letters"]
        assert len(letters) == len(records)
        for letter in letters:
            assert letter["detail"].count("***") >= len(records)
            assert "secret.example" not in json.dumps(letter)


@pytest.mark.parametrize("is_sensitive", [True, False])
async def test_a_sink_that_dead_letters_are_moved_to_shows_nothing_of_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, is_sensitive: bool
) -> None:
    """And all that it says, where nothing in them is sensitive."""
    failing = [True]

    def fail(batch: Batch) -> None:
        if failing:
            failing.clear()
            raise Unavailable(f"the sink is away: {batch.values[0].decode()}")
        raise WriteError({0: f"the sink refuses {batch.values[0].decode()}"}, retryable=False)

    memory.sink("out").on_write = refuse
    memory.sink("lost").on_write = fail
    memory.source("orders").push(memory.records(RECORD))
    path = project(tmp_path, "type: memory, channel: out}, lost: {type: memory, channel: lost")
    path.write_text(path.read_text() + "dead_letters: {to: lost}\n")
    if not is_sensitive:
        (tmp_path / "orders.yaml").write_text("flow: orders\nfrom: [orders]\nrules: [{to: out}]\n")
    async with client_of(path):
        async with asyncio.timeout(10):
            while "stay in the state folder" not in caplog.text:
                await asyncio.sleep(0.01)
    if is_sensitive:
        assert "secret.example" not in caplog.text
        assert "Quill" not in caplog.text
    else:
        assert caplog.text.count(SECRET) > 1
        assert "the sink is away" in caplog.text
