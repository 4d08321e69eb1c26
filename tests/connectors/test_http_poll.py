"""The source ``http_poll``, driven by hand against a real server: what it asks, what it makes of answers and keeps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from http_servers import HALF, HANG, RESET, Asked, HttpServer, Reply, serving
from pydantic import ValidationError

from connectors.http.poll import HttpPollSource
from router import Batch, Context, EndOfStream, MemoryPositions, NotConnected, ServerTls, Source
from rules.codecs import Bytes, Csv, Format, Json, Text
from tests.certificates import Certificates
from tests.servers.ports import claim_port

SOON = "10ms"


def make(
    url: str, positions: MemoryPositions | None = None, folder: Path | None = None, **settings: Any
) -> HttpPollSource:
    config = HttpPollSource.Config.model_validate({"url": url, "interval": SOON, **settings})
    return HttpPollSource(config.within(Context("in", folder or Path(), positions or MemoryPositions())))


@asynccontextmanager
async def opened(source: HttpPollSource) -> AsyncIterator[HttpPollSource]:
    try:
        await source.open()
        yield source
    finally:
        await source.close()


async def away(source: HttpPollSource, match: str) -> str:
    """Why the source cannot be opened."""
    with pytest.raises(NotConnected, match=match) as caught:
        await source.open()
    await source.close()
    return str(caught.value)


async def values(source: HttpPollSource, *, ack: bool = True) -> list[Any]:
    """The records of the next batch, as JSON."""
    batch = await source.read()
    if ack:
        await source.ack(batch.token)
    return [json.loads(value) for value in batch.values]


async def everything(source: HttpPollSource, *, ack: bool = True) -> list[Batch]:
    """The batches up to the end of the stream."""
    found = []
    with pytest.raises(EndOfStream):
        while True:
            found.append(await source.read())
            if ack:
                await source.ack(found[-1].token)
    return found


def payloads(batches: list[Batch]) -> list[bytes]:
    return [value for batch in batches for value in batch.values]


def kept(positions: MemoryPositions) -> Any:
    return positions.entries.get("poll")


def query(asked: Asked) -> dict[str, str]:
    return {name: found[0] for name, found in parse_qs(urlsplit(asked.url).query, keep_blank_values=True).items()}


class Feed:
    """An API: items with ascending numbers, by ``since``, in pages of ``size`` that name the next one."""

    def __init__(self, items: int = 0, size: int = 3) -> None:
        self.items = list(range(1, items + 1))
        self.size = size

    def __call__(self, asked: Asked) -> tuple[int, Any]:
        asks = query(asked)
        since, page = int(asks.get("since", 0)), int(asks.get("page", 1))
        found = [item for item in self.items if item > since]
        part = found[(page - 1) * self.size : page * self.size]
        more = len(found) > page * self.size
        return 200, {
            "items": [{"id": item} for item in part],
            "next": f"?since={since}&page={page + 1}" if more else None,
        }

    settings: dict[str, Any] = {
        "params": {"since": "${cursor}"},
        "start": 0,
        "records": "response.body.items",
        "next": "response.body.next",
        "cursor": "size(records) > 0 ? records[size(records) - 1].id : cursor",
    }


def test_it_is_a_source() -> None:
    assert isinstance(make("http://x/"), Source)


# What an answer holds


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (
            b'[{"a": 1.10}, 123456789012345678901234567890, "x", null]',
            "application/json",
            [b'{"a": 1.10}', b"123456789012345678901234567890", b'"x"', b"null"],
        ),
        (b" \n[1,\n 2]\n", "application/vnd.api+json; charset=utf-8", [b"1", b"2"]),
        (b"[]", "application/json", []),
        (b' {"a": 1}\n', "application/json", [b'{"a": 1}']),
        (b'{"broken', "application/json", [b'{"broken']),
        (b'{"a":1}\r\n\n{"b":2}', "application/x-ndjson", [b'{"a":1}', b'{"b":2}']),
        (b"[1,2]", "text/plain", [b"1", b"2"]),
        (b"[1,2", "text/plain", [b"[1,2"]),
        (b"[section]\nkey=1\n", "", [b"[section]\nkey=1"]),
        (b"a,b\n1,2\n", "text/csv", [b"a,b\n1,2\n"]),
        (b"\xff\x00", "application/octet-stream", [b"\xff\x00"]),
        (b"", "application/json", []),
        (b" \n", "application/json", []),
    ],
)
async def test_without_settings_the_body_says_what_records_are(
    body: bytes, content_type: str, expected: list[bytes]
) -> None:
    reply = web.Response(body=body, headers={"Content-Type": content_type})
    async with serving(reply) as server, opened(make(server.url, once=True)) as source:
        assert payloads(await everything(source)) == expected
        assert await source.lag() == await source.lag()


@pytest.mark.parametrize(
    ("form", "settings", "body", "expected"),
    [
        (Text(), {}, b"[1,\n2]\r\n", [b"[1,", b"2]"]),
        (Bytes(), {}, b"[1,\n2]\r\n", [b"[1,\n2]\r\n"]),
        (Bytes(), {"framing": "null"}, b"a\0b\0", [b"a", b"b"]),
        (Json(), {"framing": "newline"}, b"[1]\n[2]\n", [b"[1]", b"[2]"]),
        (Csv(), {}, b'n,t\n1,"a\nb"\n2,c\n', [b'1,"a\nb"', b"2,c"]),
        (Csv(), {"cursor": "size(records)"}, b"n,t\n1,a\n", [b"1,a"]),
    ],
)
async def test_answers_of_other_formats_are_framed(
    form: Format, settings: Any, body: bytes, expected: list[bytes]
) -> None:
    reply = web.Response(body=body, headers={"Content-Type": "application/json"})
    async with serving(reply) as server:
        config = HttpPollSource.Config.model_validate({"url": server.url, "once": True, **settings})
        async with opened(HttpPollSource(config.within(Context("in", format=form)))) as source:
            batches = await everything(source)
    assert payloads(batches) == expected
    if isinstance(form, Csv):
        assert [column[0] for name, column in batches[0].attributes.items() if name not in ("url", "status")] == [
            ["n", "t"]
        ]


async def test_what_cannot_be_framed_is_spoiled_in_its_place() -> None:
    rows = [b"%d,x" % n for n in range(1500)]
    body = b"n,t\n" + b"\n".join(rows) + b'\n7,"never closed'
    async with serving(web.Response(body=body)) as server:
        config = HttpPollSource.Config.model_validate({"url": server.url, "once": True})
        async with opened(HttpPollSource(config.within(Context("in", format=Csv())))) as source:
            first, second = await everything(source)
    assert (len(first), len(second), first.spoiled) == (1000, 501, {})
    assert second.spoiled.keys() == {500}


async def test_records_are_what_the_expression_gives() -> None:
    big = {"data": {"list": [{"n": 123456789012345678901234567890}, [1, 1.5, "ü"], None, True]}}
    async with (
        serving((200, big)) as server,
        opened(make(server.url, once=True, records="response.body.data.list")) as source,
    ):
        assert payloads(await everything(source)) == [
            b'{"n":123456789012345678901234567890}',
            '[1,1.5,"ü"]'.encode(),
            b"null",
            b"true",
        ]


async def test_records_may_come_from_lines_and_from_text() -> None:
    lines = web.Response(
        body=b'{"d":{"n":1}}\nno json\n{"d":{"n":2}}\n', headers={"Content-Type": "application/x-ndjson"}
    )
    async with serving(lines) as server:
        expression = "response.body.filter(l, type(l) == map).map(l, l.d)"
        async with opened(make(server.url, once=True, records=expression)) as source:
            assert payloads(await everything(source)) == [b'{"n":1}', b'{"n":2}']
    async with (
        serving(web.Response(text="a=1;b=2")) as server,
        opened(make(server.url, once=True, records="response.body.split(';')")) as source,
    ):
        assert payloads(await everything(source)) == [b'"a=1"', b'"b=2"']


async def test_null_records_are_none() -> None:
    async with (
        serving((200, {"items": None})) as server,
        opened(make(server.url, once=True, records="response.body.items")) as source,
    ):
        assert await everything(source) == []


@pytest.mark.parametrize(
    ("answer", "records", "why"),
    [
        ({"a": 1}, "response.body.items", "`records`.*items"),
        ({"items": 7}, "response.body.items", "is no list but 7"),
        ({"items": "abc"}, "response.body.items.map(i, i)", "`records`"),
    ],
)
async def test_an_answer_without_its_records_is_told_and_nothing_is_kept(answer: Any, records: str, why: str) -> None:
    positions = MemoryPositions()
    async with serving((200, answer)) as server, opened(make(server.url, positions, records=records)) as source:
        with pytest.raises(NotConnected, match=why):
            await source.read()
    assert kept(positions) is None


async def test_an_array_that_breaks_off_is_an_answer_that_cannot_be_read() -> None:
    reply = web.Response(body=b"[1,2", content_type="application/json")
    async with serving(reply) as server, opened(make(server.url)) as source:
        with pytest.raises(NotConnected, match="no JSON"):
            await source.read()


async def test_a_body_larger_than_allowed_is_told() -> None:
    async with serving((200, "x" * 5000)) as server, opened(make(server.url, max_body="4KB")) as source:
        with pytest.raises(NotConnected, match=r"larger than max_body \(4000 bytes\)"):
            await source.read()


async def test_a_compressed_body_is_measured_unpacked() -> None:
    import gzip

    reply = web.Response(body=gzip.compress(b"x" * (8 << 20)), headers={"Content-Encoding": "gzip"})
    async with serving(reply) as server, opened(make(server.url, max_body="1MiB")) as source:
        with pytest.raises(NotConnected, match="larger than max_body"):
            await source.read()


async def test_a_large_page_is_read_in_several_batches() -> None:
    items = [{"n": n, "t": "x" * (3000 if n % 2 else 10)} for n in range(2500)]
    positions = MemoryPositions()
    async with (
        serving((200, items)) as server,
        opened(make(server.url, positions, once=True, cursor="size(records)")) as source,
    ):
        batches = [await source.read() for _ in range(4)]
        assert all(len(batch) <= 1000 and batch.bytes <= 2**20 for batch in batches)
        rest = await everything(source, ack=False)
        assert [json.loads(value)["n"] for value in payloads(batches + rest)] == list(range(2500))
        for batch in batches + rest:
            assert kept(positions) is None
            await source.ack(batch.token)
        assert kept(positions)["cursor"] == 2500


async def test_rules_can_see_where_a_record_came_from() -> None:
    async with serving((203, [1])) as server, opened(make(f"{server.url}/a?token=secret", once=True)) as source:
        [batch] = await everything(source)
    assert {name: column[0] for name, column in batch.attributes.items()} == {"url": f"{server.url}/a", "status": 203}


# Pages


async def test_pages_are_followed_to_the_last_one() -> None:
    feed, positions = Feed(items=8), MemoryPositions()
    async with (
        serving(feed) as server,
        opened(make(f"{server.url}/items", positions, once=True, **feed.settings)) as source,
    ):
        batches = await everything(source, ack=False)
        assert [[json.loads(value)["id"] for value in batch.values] for batch in batches] == [
            [1, 2, 3],
            [4, 5, 6],
            [7, 8],
        ]
        for number, batch in enumerate(batches):
            assert kept(positions) is None, number
            await source.ack(batch.token)
    assert kept(positions)["cursor"] == 8
    assert [asked.url for asked in server.requests] == [
        "/items?since=0",
        "/items?since=0&page=2",
        "/items?since=0&page=3",
    ]


async def test_the_next_page_may_be_parameters_that_change() -> None:
    feed = Feed(items=7)
    settings: dict[str, Any] = {**feed.settings, "next": 'size(records) == 3 ? {"page": page + 1, "gone": null} : null'}
    async with (
        serving(feed) as server,
        opened(make(f"{server.url}/i?page=1&gone=x&q=a%20b", once=True, **settings)) as source,
    ):
        assert len(payloads(await everything(source))) == 7
    assert [query(asked) for asked in server.requests] == [
        {"page": "1", "gone": "x", "q": "a b", "since": "0"},
        {"page": "2", "q": "a b", "since": "0"},
        {"page": "3", "q": "a b", "since": "0"},
    ]


async def test_next_links_may_stand_in_a_header() -> None:
    def script(asked: Asked) -> Reply:
        link = {"Link": "</items?page=2>; rel=next"} if "page" not in asked.url else {}
        return web.json_response([len(asked.url)], headers=link)

    expression = 'response.headers.link.split(">")[0].replace("<", "")'
    async with serving(script) as server, opened(make(f"{server.url}/items", once=True, next=expression)) as source:
        assert payloads(await everything(source)) == [b"6", b"13"]


@pytest.mark.parametrize("nothing", ["null", "false", '""', "{}", "response.body.absent"])
async def test_nothing_ends_the_pages(nothing: str) -> None:
    async with serving((200, {"a": 1})) as server, opened(make(server.url, once=True, next=nothing)) as source:
        assert payloads(await everything(source)) == [b'{"a": 1}']
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ('"/"', "leads back"),
        ('"http://127.0.0.1:1/x"', "leads to another server"),
        ('"//evil.example/x"', "leads to another server"),
        ('"javascript:alert(1)"', "should be a URL"),
        ("7", "neither a URL nor a map"),
        ("response.body + 1", "cannot be evaluated"),
    ],
)
async def test_a_next_that_leads_nowhere_is_told(said: str, why: str) -> None:
    async with serving((200, {"a": 1})) as server, opened(make(f"{server.url}/", once=True, next=said)) as source:
        with pytest.raises(NotConnected, match=why):
            await source.read()


async def test_a_page_that_fails_is_asked_for_again_before_the_poll_begins_anew() -> None:
    feed, failures = Feed(items=5), list[Reply]([RESET, 500])

    def script(asked: Asked) -> Reply:
        return failures.pop() if failures and "page=2" in asked.url else feed(asked)

    async with serving(script) as server, opened(make(f"{server.url}/", once=True, **feed.settings)) as source:
        assert len(payloads(await everything(source))) == 5
    assert [query(asked).get("page") for asked in server.requests] == [None, "2", "2", "2"]


async def test_what_broke_off_in_the_middle_comes_again_and_nothing_is_lost() -> None:
    feed, positions = Feed(items=9), MemoryPositions()

    def script(asked: Asked) -> Reply:
        return 404 if "page=3" in asked.url and not mended else feed(asked)

    mended: list[bool] = []
    async with serving(script) as server:
        source = make(f"{server.url}/", positions, once=True, **feed.settings)
        async with opened(source):
            assert await values(source) == [{"id": 1}, {"id": 2}, {"id": 3}]
            assert await values(source) == [{"id": 4}, {"id": 5}, {"id": 6}]
            with pytest.raises(NotConnected, match="404"):
                await source.read()
        assert kept(positions) is None
        mended.append(True)
        async with opened(source):
            assert len(payloads(await everything(source))) == 9
    assert kept(positions)["cursor"] == 9


# Cursors and positions


async def test_the_next_poll_asks_from_where_the_one_before_it_ended() -> None:
    feed, positions = Feed(items=2), MemoryPositions()
    async with serving(feed) as server, opened(make(f"{server.url}/", positions, **feed.settings)) as source:
        assert await values(source) == [{"id": 1}, {"id": 2}]
        feed.items += [3]
        assert await values(source) == [{"id": 3}]
        feed.items += [4]
        async with opened(make(f"{server.url}/", positions, **feed.settings)) as source:
            assert await values(source) == [{"id": 4}]
    assert {query(asked)["since"] for asked in server.requests} == {"0", "2", "3"}


async def test_what_is_not_acknowledged_comes_again() -> None:
    feed, positions = Feed(items=2), MemoryPositions()
    async with serving(feed) as server:
        source = make(f"{server.url}/", positions, **feed.settings)
        async with opened(source):
            assert await values(source, ack=False) == [{"id": 1}, {"id": 2}]
            feed.items += [3]
            assert await values(source, ack=False) == [{"id": 3}]
        async with opened(source):
            assert await values(source) == [{"id": 1}, {"id": 2}, {"id": 3}]


async def test_a_poll_without_records_is_not_kept_before_the_records_before_it_are_safe() -> None:
    answers = [{"c": 1, "items": [1]}, {"c": 2, "items": []}, {"c": 3, "items": []}]
    positions = MemoryPositions()

    def script(asked: Asked) -> Reply:
        return 200, answers[min(len(server.requests), 3) - 1]

    settings: dict[str, Any] = {"records": "response.body.items", "cursor": "response.body.c", "start": 0}
    async with serving(script) as server, opened(make(server.url, positions, **settings)) as source:
        batch = await source.read()
        waiting = asyncio.create_task(source.read(), name="read")
        while len(server.requests) < 5:
            await asyncio.sleep(0.001)
        assert kept(positions) is None
        await source.ack(batch.token)
        assert kept(positions)["cursor"] == 3
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_an_empty_last_page_moves_the_position_with_the_page_before_it() -> None:
    positions = MemoryPositions()

    def script(asked: Asked) -> Reply:
        return (200, {"items": [], "c": 9}) if "page=2" in asked.url else (200, {"items": [1], "c": 5})

    settings: dict[str, Any] = {
        "records": "response.body.items",
        "cursor": "response.body.c",
        "next": 'page == 1 ? {"page": 2} : null',
        "once": True,
    }
    async with serving(script) as server, opened(make(server.url, positions, **settings)) as source:
        [batch] = await everything(source, ack=False)
        assert kept(positions) is None
        await source.ack(batch.token)
    assert kept(positions)["cursor"] == 9


async def test_an_acknowledgement_that_fails_can_be_made_again() -> None:
    class Full(MemoryPositions):
        failing = True

        async def save(self, entries: Any) -> None:
            if self.failing:
                raise OSError("no space left")
            await super().save(entries)

    positions = Full()
    async with serving((200, [1])) as server, opened(make(server.url, positions, once=True)) as source:
        [batch] = await everything(source, ack=False)
        with pytest.raises(OSError, match="no space"):
            await source.ack(batch.token)
        assert [lag.records for lag in await source.lag()] == [1]
        positions.failing = False
        await source.ack(batch.token)
        assert [lag.records for lag in await source.lag()] == [0]
    assert kept(positions) is not None


async def test_a_token_of_an_earlier_open_is_not_taken() -> None:
    async with serving((200, [1])) as server:
        source = make(server.url)
        async with opened(source):
            old = await source.read()
        async with opened(source):
            await source.read()
            with pytest.raises(ValueError, match="not the one"):
                await source.ack(old.token)


async def test_a_cursor_in_the_url_is_encoded_and_one_that_is_the_url_is_not() -> None:
    async with serving((200, {"a": 1})) as server:
        async with opened(
            make(f"{server.url}/f/${{cursor.day}}?t=${{cursor.time}}", start={"day": "a/b", "time": "1+1&ü"})
        ) as source:
            await source.read()
        link = f"{server.url}/delta?token=a%2Fb"
        async with opened(make("${cursor}", start=link)) as source:
            await source.read()
    assert [asked.url for asked in server.requests] == ["/f/a%2Fb?t=1%2B1%26%C3%BC", "/delta?token=a%2Fb"]


async def test_params_and_headers_that_are_null_are_left_out() -> None:
    settings: dict[str, Any] = {
        "params": {"since": "${cursor}", "n": 5, "flag": True, "list": "${[1, 2]}", "t": "a${1}b"},
        "headers": {"X-Since": "${cursor}", "X-N": 5},
        "cursor": '"c&d"',
    }
    async with serving((200, [1])) as server, opened(make(server.url, **settings)) as source:
        await values(source)
        await values(source)
    assert [query(asked) for asked in server.requests[:2]] == [
        {"n": "5", "flag": "true", "list": "[1,2]", "t": "a1b"},
        {"n": "5", "flag": "true", "list": "[1,2]", "t": "a1b", "since": "c&d"},
    ]
    assert [asked.headers.get("x-since") for asked in server.requests[:2]] == [None, "c&d"]
    assert server.requests[0].headers["x-n"] == "5"


async def test_a_search_is_posted() -> None:
    settings: dict[str, Any] = {"method": "POST", "body": '{"after": ${cursor}}', "start": [1, "x"], "once": True}
    async with serving((200, [1])) as server, opened(make(server.url, **settings)) as source:
        await everything(source)
    [asked] = server.requests
    assert (asked.method, asked.json, asked.headers["content-type"]) == (
        "POST",
        {"after": [1, "x"]},
        "application/json",
    )


async def test_a_kept_cursor_that_no_longer_fits_is_told() -> None:
    positions = MemoryPositions()
    await positions.save({"poll": {"cursor": "text", "url": ""}})
    assert "cursor: text" in await away(
        make("http://x/?a=${cursor.id}", positions, start={"id": 1}), "no URL can be made"
    )


# Conditional requests


async def test_what_has_not_changed_is_not_sent_again_even_after_a_restart() -> None:
    positions, changed = MemoryPositions(), "Mon, 04 May 2026 03:02:01 GMT"

    def script(asked: Asked) -> Reply:
        if asked.headers.get("if-none-match") == tag[0]:
            assert asked.headers["if-modified-since"] == changed
            return 304
        return web.json_response([tag[0]], headers={"ETag": tag[0], "Last-Modified": changed})

    tag = ['"a"']
    async with serving(script) as server, opened(make(server.url, positions)) as source:
        assert await values(source) == ['"a"']
        waiting = asyncio.create_task(source.read(), name="read")
        while len(server.requests) < 4:
            await asyncio.sleep(0.001)
        assert not waiting.done()
        tag[0] = '"b"'
        batch = await waiting
        assert [json.loads(value) for value in batch.values] == ['"b"']
        async with opened(make(server.url, positions, once=True)) as source:
            assert [json.loads(value) for value in payloads(await everything(source))] == [
                '"b"'
            ]  # was not acknowledged
        async with opened(make(server.url, positions, once=True)) as source:
            assert await everything(source) == []


async def test_the_first_of_several_pages_is_never_asked_for_conditionally() -> None:
    """It may be as it was while the last one has grown."""
    feed = Feed(items=3)

    def script(asked: Asked) -> Reply:
        _, content = feed(asked)
        return web.json_response(content, headers={"ETag": '"always"'})

    settings: dict[str, Any] = {
        name: value for name, value in feed.settings.items() if name not in ("cursor", "params")
    }
    async with serving(script) as server, opened(make(f"{server.url}/", **settings)) as source:
        await values(source)
        feed.items += [4]
        await values(source)
        await values(source)
        await values(source)
        assert [asked.headers.get("if-none-match") for asked in server.requests[:4]] == [None, '"always"', None, None]


async def test_another_cursor_makes_another_url_which_is_asked_for_unconditionally() -> None:
    reply = web.json_response([1], headers={"ETag": '"x"'})
    settings: dict[str, Any] = {"params": {"since": "${cursor}"}, "cursor": "cursor == null ? 1 : 2"}
    async with serving(reply) as server, opened(make(server.url, **settings)) as source:
        for _ in range(4):
            await values(source)
    assert [asked.headers.get("if-none-match") for asked in server.requests[:4]] == [None, None, None, '"x"']


# Time


async def test_polls_never_overlap_and_keep_their_interval() -> None:
    async def script(asked: Asked) -> Reply:
        await asyncio.sleep(0.05)
        return 200, [1]

    async with serving(script) as server, opened(make(server.url, interval="1ms")) as source:
        for _ in range(5):
            await source.read()
    assert server.most_under_way == 1
    async with serving((200, [1])) as server, opened(make(server.url, interval="1h")) as source:
        await values(source)
        waiting = asyncio.create_task(source.read(), name="read")
        await asyncio.sleep(0.1)
        assert len(server.requests) == 1
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_lag_is_what_is_not_acknowledged_and_how_long_a_poll_is_overdue() -> None:
    source = make("http://127.0.0.1:1/")
    assert await source.lag() == []
    async with serving((200, [1, 2])) as server:
        source = make(server.url, interval="20ms", request_timeout="500ms")
        async with opened(source):
            [lag] = await source.lag()
            assert lag.records == 0
            batch = await source.read()
            [lag] = await source.lag()
            assert (lag.records, lag.seconds is not None and lag.seconds > 0) == (2, True)
            await source.ack(batch.token)
            assert (await source.lag())[0].seconds == 0
            server.script = 500
            while (await source.lag())[0].seconds == 0:
                with pytest.raises(NotConnected):
                    await source.read()
    assert await source.lag() == []


async def test_once_ends_after_one_poll_and_polls_again_when_it_is_opened_again() -> None:
    async with serving((200, [1])) as server:
        source = make(server.url, once=True)
        for _ in range(2):
            async with opened(source):
                assert payloads(await everything(source)) == [b"1"]
                with pytest.raises(EndOfStream):
                    await source.read()
    assert len(server.requests) == 2


# Trouble


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503])
async def test_what_is_not_2xx_is_not_connected(status: int) -> None:
    reply = web.Response(status=status, text="no\x00pe")
    async with serving(reply) as server, opened(make(f"{server.url}/?secret=1")) as source:
        with pytest.raises(NotConnected, match=rf"GET .*/ answered {status} .*: no\\x00pe") as caught:
            await source.read()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("misfortune", [RESET, HALF])
async def test_a_connection_that_breaks_is_not_connected(misfortune: str) -> None:
    async with serving(misfortune) as server, opened(make(server.url)) as source:
        with pytest.raises(NotConnected):
            await source.read()
        server.script = (200, [1])
    async with serving((200, [1])) as server, opened(make(server.url)) as source:
        assert await values(source) == [1]


async def test_a_server_that_hangs_is_left_when_its_time_is_over() -> None:
    async with serving(HANG) as server, opened(make(server.url, request_timeout="100ms")) as source:
        with pytest.raises(NotConnected, match=r"no answer within 0\.1 s"):
            await source.read()


async def test_a_server_that_asks_to_wait_is_not_asked_before() -> None:
    reply = web.Response(status=503, headers={"Retry-After": "100"})
    async with serving(reply) as server:
        source = make(server.url)
        async with opened(source):
            with pytest.raises(NotConnected, match="503"):
                await source.read()
        assert "another" in await away(source, "asks to wait for another (100|99) s")
        assert len(server.requests) == 1
        server.script = (200, [1])
        patient = make(server.url, max_retry_after="50ms")
        server.script = reply
        async with opened(patient):
            with pytest.raises(NotConnected, match="503"):
                await patient.read()
        await asyncio.sleep(0.06)
        server.script = (200, [1])
        async with opened(patient):
            assert await values(patient) == [1]


async def test_a_server_that_is_away_shows_when_it_is_opened() -> None:
    server = HttpServer((200, [1]))
    await server.start()
    await server.stop()
    source = make(server.url)
    await away(source, "cannot be reached")
    await server.start()
    async with opened(source):
        assert await values(source) == [1]
        await server.stop()
        with pytest.raises(NotConnected):
            await source.read()


async def test_a_read_that_is_cancelled_takes_nothing() -> None:
    async with serving(HANG) as server:
        source = make(server.url)
        async with opened(source):
            waiting = asyncio.create_task(source.read(), name="read")
            while not server.requests:
                await asyncio.sleep(0.001)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        server.script = (200, [1])
        async with opened(source):
            assert await values(source) == [1]


async def test_closed_it_is_not_connected() -> None:
    source = make("http://127.0.0.1:1/")
    await source.close()
    await source.close()
    with pytest.raises(NotConnected):
        await source.read()


async def test_redirects_are_followed_within_the_server() -> None:
    def script(asked: Asked) -> Reply:
        if asked.url == "/old":
            return web.Response(status=308, headers={"Location": "new?a=1"})
        if asked.url == "/away":
            return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/?secret=1"})
        if asked.url == "/round":
            return web.Response(status=301, headers={"Location": "/round"})
        return 200, [asked.url]

    async with serving(script) as server, opened(make(f"{server.url}/old", auth={"bearer": "x"})) as source:
        assert await values(source) == ["/new?a=1"]
        assert server.requests[-1].headers["authorization"] == "Bearer x"
        for path, why in (
            ("/away", r"another server: `url` should be http://127\.0\.0\.1:1/$"),
            ("/round", "more than 5"),
        ):
            async with opened(make(f"{server.url}{path}")) as source:
                with pytest.raises(NotConnected, match=why):
                    await source.read()


# TLS, credentials, settings


async def test_mutual_tls_and_tokens(certificates: Certificates) -> None:
    server_tls = ServerTls(cert="server.pem", key="server.key", client_ca="ca.pem").context(certificates.folder)
    tokens: list[str] = []

    def script(asked: Asked) -> Reply:
        if asked.url == "/token":
            tokens.append(f"t{len(tokens)}")
            return 200, {"access_token": tokens[-1], "token_type": "Bearer", "expires_in": 3600}
        return (200, [1]) if asked.headers["authorization"] == f"Bearer {good[0]}" else 401

    good = ["t0"]
    async with serving(script, server_tls) as server:
        oauth2 = {"token_url": f"{server.url}/token", "client_id": "a", "client_secret": "b"}
        tls = {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}
        source = make(server.url, folder=certificates.folder, tls=tls, auth={"oauth2": oauth2})
        async with opened(source):
            assert await values(source) == [1]
            good[0] = "t1"
            assert await values(source) == [1]
        await away(make(server.url, folder=certificates.folder), "certificate")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"url": "ftp://x/"}, "should be a URL"),
        ({"url": "http://x/${cursor}"}, "start should say"),
        ({"url": "http://x/${cursr}", "start": 1}, "`cursr` is not known here"),
        ({"url": "http://x/${cursor", "start": 1}, "never closed"),
        ({"url": "http://x/${cursor +}", "start": 1}, "1:9"),
        ({"url": "${cursor}", "start": 7}, "make no URL"),
        ({"headers": {"a b": "c"}}, "no name of a header"),
        ({"headers": {"a": "b\r\nc"}}, "line end"),
        ({"records": "response.body."}, "1:"),
        ({"records": "page"}, "`page` is not known here"),
        ({"body": "x"}, "body should stand beside"),
        ({"framing": "newline", "records": "[]"}, "framing should not stand beside records"),
        ({"method": "PUT"}, "GET"),
        ({"interval": 0}, "greater than 0"),
        ({"max_body": 0}, "greater than 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        HttpPollSource.Config.model_validate({"url": "http://x/", **settings})


async def test_a_port_that_nothing_listens_on_is_away() -> None:
    await away(make(f"http://127.0.0.1:{claim_port()}/"), "cannot be reached")
