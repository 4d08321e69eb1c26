"""The sink ``http``, driven by hand against a real server: what it sends, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any

import pytest
from aiohttp import web
from http_servers import HALF, HANG, RESET, Asked, HttpServer, Reply, serving
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.http.sink import HttpSink
from router import Batch, Constant, Context, NotConnected, ServerTls, Sink, Unavailable, WriteError
from router.outlet import Outlet, Policy
from router.testing import Books, part, running
from rules.codecs import Bytes, Csv, Format, Json, Text
from tests.certificates import Certificates
from tests.servers.ports import claim_port


def make(url: str, folder: Path | None = None, timeout: float = 60.0, **own: Any) -> HttpSink:
    config = HttpSink.Config.model_validate({"url": url, **own})
    return HttpSink(config.within(Context("out", folder or Path(), write_timeout=timeout)))


@asynccontextmanager
async def opened(sink: HttpSink) -> AsyncIterator[HttpSink]:
    try:
        await sink.open()
        yield sink
    finally:
        await sink.close()


async def away(sink: HttpSink, match: str) -> str:
    """Why the sink cannot be opened."""
    with pytest.raises(NotConnected, match=match) as caught:
        await sink.open()
    await sink.close()
    return str(caught.value)


def batch(*values: bytes, keys: Sequence[bytes | None] | None = None, **settings: Sequence[object]) -> Batch:
    return Batch(list(values), keys=keys, settings=settings)


def numbered(count: int) -> list[bytes]:
    return [b'{"n":%d}' % number for number in range(count)]


async def failure(sink: HttpSink, written: Batch) -> WriteError:
    with pytest.raises(WriteError) as caught:
        await sink.write(written)
    return caught.value


async def trouble(sink: HttpSink, written: Batch) -> NotConnected:
    with pytest.raises(NotConnected) as caught:
        await sink.write(written)
    return caught.value


def refusing(*poison: bytes, status: int = 400) -> Any:
    """A server that refuses every body in which one of these is."""

    def script(asked: Asked) -> Reply:
        return (status, {"error": "bad"}) if any(bad in asked.body for bad in poison) else 200

    return script


def test_it_is_a_sink() -> None:
    assert isinstance(make("http://x/"), Sink)


# What is sent


@pytest.mark.parametrize(
    ("body", "sent", "content_type"),
    [
        ("stream", [b'{"a":1}\n{"b":2}\n'], "application/x-ndjson"),
        ("json_array", [b'[{"a":1},{"b":2}]'], "application/json"),
        ("each", [b'{"a":1}', b'{"b":2}'], "application/json"),
        ({"before": '{"events":[', "after": "]}"}, [b'{"events":[{"a":1},{"b":2}]}'], "application/json"),
        ({"between": "\r\n", "content_type": "text/plain"}, [b'{"a":1}\r\n{"b":2}'], "text/plain"),
    ],
)
async def test_each_form_of_body_holds_the_records_as_it_says(body: Any, sent: list[bytes], content_type: str) -> None:
    async with serving() as server, opened(make(server.url, body=body)) as sink:
        await sink.write(batch(b'{"a":1}', b'{"b":2}'))
    assert server.bodies == sent
    assert {asked.headers["content-type"] for asked in server.requests} == {content_type}
    assert {asked.method for asked in server.requests} == {"POST"}


@pytest.mark.parametrize(
    ("payloads", "settings", "sent", "content_type"),
    [
        (Csv(columns=("a", "b")), {}, [b"a,b\n1,2\n3,4\n"], "text/csv"),
        (Text(), {}, [b"1,2\n3,4\n"], "text/plain; charset=utf-8"),
        (Text(), {"body": "each"}, [b"1,2", b"3,4"], "text/plain; charset=utf-8"),
        (Bytes(), {"framing": "null"}, [b"1,2\x003,4\x00"], "application/octet-stream"),
        (Json(), {"framing": "length"}, [b"\0\0\0\x031,2\0\0\0\x033,4"], "application/octet-stream"),
        (Csv(), {"action": "x"}, [b"x\n1,2\nx\n3,4\n"], "text/csv"),
    ],
)
async def test_records_of_any_format_are_framed(
    payloads: Format, settings: Any, sent: list[bytes], content_type: str
) -> None:
    async with serving() as server:
        config = HttpSink.Config.model_validate({"url": server.url, **settings})
        async with opened(HttpSink(config.within(Context("out", format=payloads)))) as sink:
            await sink.write(batch(b"1,2", b"3,4"))
    assert server.bodies == sent
    assert {asked.headers["content-type"] for asked in server.requests} == {content_type}


async def test_payloads_are_sent_byte_for_byte() -> None:
    odd = b'{"a" : 1e400, "big": 123456789012345678901234567890, "u": "\\u00e4\xc3\xa4\x00"}'
    async with serving() as server, opened(make(server.url, body="each")) as sink:
        await sink.write(batch(odd, b"\xff\xfe no json", b""))
    assert server.bodies == [odd, b"\xff\xfe no json", b""]


async def test_json_that_holds_newlines_becomes_a_line_and_other_payloads_are_refused() -> None:
    async with serving() as server, opened(make(server.url)) as sink:
        error = await failure(sink, batch(b'{\n"a": 1}', b"two\nlines", b"", b"one"))
    assert server.bodies == [b'{"a":1}\none\n']
    assert error.failed.keys() == {1, 2}
    assert "cannot be written as one line" in error.failed[1]
    assert not any(error.is_retryable(index) for index in error.failed)


@pytest.mark.parametrize("body", ["json_array", {"before": '{"e":[', "after": "]}"}])
async def test_a_payload_that_is_not_json_never_gets_into_json(body: Any) -> None:
    async with serving() as server, opened(make(server.url, body=body)) as sink:
        error = await failure(sink, batch(b'{"a":1}', b'1,{"smuggled":1}', b"]", b"text", b"2"))
    assert error.failed.keys() == {1, 2, 3}
    assert b"smuggled" not in server.bodies[0]
    assert b'{"a":1},2' in server.bodies[0]


async def test_nothing_is_asked_when_every_record_is_refused_beforehand() -> None:
    async with serving() as server, opened(make(server.url, body="json_array")) as sink:
        assert (await failure(sink, batch(b"x"))).failed.keys() == {0}
    assert server.requests == []


async def test_an_action_is_a_line_before_each_record() -> None:
    own = {"index": {"_index": "logs"}}
    async with serving() as server, opened(make(server.url, action=own)) as sink:
        await sink.write(batch(b"1", b"2"))
        await sink.write(batch(b"3", b"4", action=[{"create": {"_id": "ü"}}, None]))
    assert server.bodies == [
        b'{"index":{"_index":"logs"}}\n1\n{"index":{"_index":"logs"}}\n2\n',
        '{"create":{"_id":"ü"}}\n3\n{"index":{"_index":"logs"}}\n4\n'.encode(),
    ]


async def test_an_action_that_cannot_be_a_line_is_refused() -> None:
    async with serving() as server, opened(make(server.url, action="${meta.line}")) as sink:
        error = await failure(sink, batch(b"1", b"2", b"3", action=["a\nb", None, "fine"]))
    assert error.failed == {0: "an action that holds a newline cannot be a line", 1: "no action was chosen"}
    assert server.bodies == [b"fine\n3\n"]


async def test_in_a_text_an_action_stands_right_before_its_record() -> None:
    body = {"before": "<", "between": "|", "after": ">"}
    async with serving() as server, opened(make(server.url, body=body, action="id=")) as sink:
        await sink.write(batch(b"1", b"2", action=["n:", None]))
    assert server.bodies == [b"<n:1|id=2>"]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
async def test_bodies_are_compressed(compression: str) -> None:
    values = [b"%d" % number * 50 for number in range(5000)]
    async with serving() as server, opened(make(server.url, compression=compression)) as sink:
        await sink.write(batch(b"small"))
        await sink.write(batch(*values))
    assert server.bodies == [b"small\n", b"\n".join([*values, b""])]
    assert {asked.headers["content-encoding"] for asked in server.requests} == {compression}
    assert int(server.requests[1].headers["content-length"]) < 100_000


async def test_headers_are_sent_and_the_content_type_may_be_another() -> None:
    headers = {"X-Api-Key": "kéy", "content-type": "application/vnd.x+json"}
    async with serving() as server, opened(make(server.url, headers=headers, method="PUT")) as sink:
        await sink.write(batch(b"1"))
    [asked] = server.requests
    assert (asked.method, asked.headers["content-type"]) == ("PUT", "application/vnd.x+json")
    assert asked.headers["x-api-key"].encode("utf-8", "surrogateescape").decode() == "kéy"


# What records choose


async def test_records_are_grouped_by_what_they_chose_and_keep_their_order() -> None:
    async with serving() as server, opened(make(f"{server.url}/${{event.t}}")) as sink:
        await sink.write(
            Batch(
                [b"1", b"2", b"3", b"4", b"5"],
                headers=[None, None, None, None, [("X-Five", b"5")]],
                settings={"url": [f"{server.url}/{name}" for name in "abaab"], "method": [None] * 3 + ["PUT", None]},
            )
        )
    told = [(asked.method, asked.url, asked.body, asked.headers.get("x-five")) for asked in server.requests]
    assert told == [
        ("POST", "/a", b"1\n3\n", None),
        ("POST", "/b", b"2\n", None),
        ("PUT", "/a", b"4\n", None),
        ("POST", "/b", b"5\n", "5"),
    ]


async def test_one_request_a_record_keeps_the_order_of_the_batch() -> None:
    async with serving() as server, opened(make(f"{server.url}/${{event.t}}", body="each")) as sink:
        await sink.write(batch(*b"1 2 3 4".split(), url=[f"{server.url}/{name}" for name in "abab"]))
    assert server.bodies == [b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize(
    ("chosen", "why"),
    [
        ("http://127.0.0.1:1/x", "leads away from the sink's server"),
        ("https://HOST/x", "leads away from the sink's server"),
        ("http://HOST@evil.example/x", "should hold no credentials|leads away"),
        ("ftp://HOST/x", "should be a URL"),
        ("/relative", "should be a URL"),
        ("http://HOST/a/../b", "a step to another folder"),
        ("http://HOST/a/%2e%2E/b", "a step to another folder"),
        ("http://HOST/a b", "should be a URL"),
        ("http://HOST/a\r\nX-Injected: 1", "should be a URL"),
        ("http://HOST/a\\b", "should be a URL"),
        ("http://HOST:99999/", "is no URL"),
        (7, "should be a URL"),
        (["a"], "is not text"),
        (None, "no url was chosen"),
    ],
)
async def test_a_url_that_leads_elsewhere_or_is_none_is_refused(chosen: object, why: str) -> None:
    async with serving() as server, opened(make(f"{server.url}/${{event.t}}")) as sink:
        host = server.url.removeprefix("http://")
        if isinstance(chosen, str):
            chosen = chosen.replace("HOST:99999", "127.0.0.1:99999").replace("HOST", host)
        error = await failure(sink, batch(b"1", b"2", url=[chosen, f"{server.url}/fine"]))
    assert error.failed.keys() == {0}
    with pytest.raises(ValueError, match=why):
        raise ValueError(error.failed[0])
    assert [asked.url for asked in server.requests] == ["/fine"]


async def test_where_the_host_is_chosen_records_go_to_several_servers() -> None:
    async with serving() as one, serving() as other, opened(make("${event.callback}")) as sink:
        await sink.write(batch(b"1", b"2", url=[f"{one.url}/x", f"{other.url}/y"]))
    assert (one.bodies, other.bodies) == ([b"1\n"], [b"2\n"])


@pytest.mark.parametrize(
    "headers", [[("bad name", b"x")], [("X", b"a\r\nb")], [("X", b"\xff")], [("Content-Length", b"1")]]
)
async def test_a_header_that_cannot_be_sent_fails_its_record_alone(headers: Any) -> None:
    async with serving() as server, opened(make(server.url)) as sink:
        error = await failure(sink, Batch([b"1", b"2"], headers=[headers, None]))
    assert error.failed.keys() == {0}
    assert server.bodies == [b"2\n"]


async def test_a_method_that_is_none_fails_its_record_alone() -> None:
    async with serving() as server, opened(make(server.url)) as sink:
        error = await failure(sink, batch(b"1", b"2", method=["BREW", Constant("PATCH", 1)[0]]))
    assert error.failed == {0: "method 'BREW' should be one of POST, PUT, PATCH, DELETE"}
    assert [asked.method for asked in server.requests] == ["PATCH"]


# What the answers mean


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_every_2xx_is_success(status: int) -> None:
    async with serving(status) as server, opened(make(server.url)) as sink:
        await sink.write(batch(b"1"))


@pytest.mark.parametrize("status", [402, 404, 405, 410, 415, 418, 451])
async def test_other_4xx_refuse_the_records_with_status_and_excerpt(status: int) -> None:
    reply = web.Response(status=status, reason="Sorry", text="  line one\n\tline\x00 two" + "x" * 5000)
    async with serving(reply) as server, opened(make(server.url)) as sink:
        error = await failure(sink, batch(b"1", b"2"))
    assert len(server.requests) == 1
    assert error.failed.keys() == {0, 1}
    assert error.failed[0].startswith(f"{status} Sorry: line one line\\x00 twoxxx")
    assert len(error.failed[0]) < 700
    assert "(to a request with 2 records)" in error.failed[0]
    assert error.retryable == set()


@pytest.mark.parametrize("status", [400, 409, 413, 422])
async def test_the_one_bad_record_of_a_request_is_found(status: int) -> None:
    values = numbered(1000)
    async with serving(refusing(b'"n":617}', status=status)) as server, opened(make(server.url)) as sink:
        error = await failure(sink, batch(*values))
        assert error.failed.keys() == {617}
        assert f"{status} " in error.failed[617]
        assert '{"error": "bad"}' in error.failed[617]
    taken = [line for asked in server.requests if b'"n":617}' not in asked.body for line in asked.lines]
    assert taken == [value for index, value in enumerate(values) if index != 617]
    assert len(server.requests) < 30


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 80), st.sets(st.integers(0, 79), max_size=12))
def test_whichever_records_are_bad_the_others_are_taken_once_and_in_order(count: int, bad: set[int]) -> None:
    values = numbered(count)
    bad = {index for index in bad if index < count}

    async def attempt() -> None:
        async with serving(refusing(*(values[index] for index in bad))) as server, opened(make(server.url)) as sink:
            if bad:
                assert (await failure(sink, batch(*values))).failed.keys() == bad
            else:
                await sink.write(batch(*values))
        bodies = [asked.lines for asked in server.requests]
        taken = [line for lines in bodies if not {values[index] for index in bad} & set(lines) for line in lines]
        assert taken == [value for index, value in enumerate(values) if index not in bad]

    asyncio.run(attempt())


async def test_where_every_request_is_refused_the_search_ends_early() -> None:
    async with serving(400) as server, opened(make(server.url)) as sink:
        error = await failure(sink, batch(*numbered(5000)))
    assert error.failed.keys() == set(range(5000))
    assert len(server.requests) < 80


async def test_a_body_that_is_too_large_is_halved_and_the_next_one_is_not_tried_again() -> None:
    def script(asked: Asked) -> Reply:
        return 413 if len(asked.body) > 1000 else 200

    async with serving(script) as server, opened(make(server.url)) as sink:
        await sink.write(batch(*numbered(800)))
        refused = sum(len(asked.body) > 1000 for asked in server.requests)
        assert refused == 3
        await sink.write(batch(*numbered(800)))
        assert sum(len(asked.body) > 1000 for asked in server.requests) == refused
        error = await failure(sink, batch(b"a", b"x" * 2000, b"b"))
    assert error.failed.keys() == {1}
    taken = [line for asked in server.requests if len(asked.body) <= 1000 for line in asked.lines]
    assert taken == [*numbered(800), *numbered(800), b"a", b"b"]


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 599, 408, 425])
async def test_5xx_are_an_outage(status: int) -> None:
    async with serving(status) as server, opened(make(server.url)) as sink:
        error = await trouble(sink, batch(b"1"))
    assert not isinstance(error, Unavailable)
    assert (list(error.unwritten or ()), f"answered {status}" in str(error)) == ([0], True)


@pytest.mark.parametrize(
    ("reply", "least", "most"),
    [
        (web.Response(status=429), 0, 0),
        (web.Response(status=429, headers={"Retry-After": "7"}), 7, 7),
        (web.Response(status=503, headers={"Retry-After": "7"}), 7, 7),
        (web.Response(status=429, headers={"Retry-After": "99999999999999999999"}), 300, 300),
        (web.Response(status=429, headers={"Retry-After": "-7"}), 0, 0),
        (web.Response(status=429, headers={"Retry-After": "soon"}), 0, 0),
    ],
)
async def test_an_overloaded_server_is_given_the_time_it_asks_for(reply: Reply, least: float, most: float) -> None:
    async with serving(reply) as server, opened(make(server.url)) as sink:
        error = await trouble(sink, batch(b"1"))
    assert isinstance(error, Unavailable)
    assert least <= error.after <= most


async def test_retry_after_may_be_a_date() -> None:
    when = formatdate(time() + 100, usegmt=True)
    async with serving(web.Response(status=503, headers={"Retry-After": when})) as server:
        async with opened(make(server.url)) as sink:
            error = await trouble(sink, batch(b"1"))
            assert isinstance(error, Unavailable)
            assert 60 < error.after <= 100
        async with opened(make(server.url, max_retry_after="5s")) as sink:
            error = await trouble(sink, batch(b"1"))
            assert isinstance(error, Unavailable)
            assert error.after == 5


async def test_what_was_sent_before_the_server_was_overloaded_counts_as_written() -> None:
    def script(asked: Asked) -> Reply:
        return 429 if asked.body == b"3" else 400 if asked.body == b"1" else 200

    async with serving(script) as server, opened(make(server.url, body="each")) as sink:
        error = await trouble(sink, batch(b"0", b"1", b"2", b"3", b"4"))
    assert (sorted(error.unwritten or ()), list(error.refused)) == ([3, 4], [1])
    assert server.bodies == [b"0", b"1", b"2", b"3"]


async def test_a_redirect_is_not_followed_and_says_where_it_leads() -> None:
    async with serving() as other, serving() as server, opened(make(server.url)) as sink:
        server.script = web.Response(status=307, headers={"Location": f"{other.url}/there?secret=1"})
        error = await trouble(sink, batch(b"1"))
        assert f"307 Temporary Redirect to {other.url}/there, which is not followed" in str(error)
        assert isinstance(error, Unavailable)
    assert other.requests == []


async def test_a_record_that_chose_a_url_that_redirects_is_refused() -> None:
    redirect = web.Response(status=301, headers={"Location": "/x"})
    async with serving(redirect) as server, opened(make(f"{server.url}/${{event.t}}")) as sink:
        error = await failure(sink, batch(b"1", url=[f"{server.url}/y"]))
    assert error.failed == {0: "301 Moved Permanently to /x, which is not followed"}


@pytest.mark.parametrize("status", [401, 407])
async def test_credentials_that_are_not_taken_are_no_fault_of_a_record(status: int) -> None:
    """However long it lasts, and whatever the server says without a record: it only has to be tried again."""
    with_head = lambda asked: 200 if asked.method == "HEAD" else status  # noqa: E731 - as a script is written
    async with serving(with_head) as server, opened(make(f"{server.url}/in")) as sink:
        assert isinstance(await trouble(sink, batch(b"1")), Unavailable)
        server.script = 200
        await sink.write(batch(b"1"))


@pytest.mark.parametrize("status", [403, 502, 503, 504])
async def test_after_a_failure_that_may_be_of_the_server_alone_it_is_asked_without_a_record(status: int) -> None:
    async with serving(status) as server, opened(make(f"{server.url}/in")) as sink:
        await trouble(sink, batch(b"1"))
        for _ in range(2):
            with pytest.raises(NotConnected, match=f"HEAD .* answered {status}"):
                await sink.open()
        assert [(asked.method, asked.url, asked.body) for asked in server.requests[1:]] == [("HEAD", "/in", b"")] * 2
        server.script = lambda asked: 405 if asked.method == "HEAD" else 200
        await sink.open()
        await sink.write(batch(b"1"))


async def test_a_record_that_alone_brings_a_502_does_not_look_like_an_outage() -> None:
    script = refusing(b"poison", status=502)
    async with serving(script) as server, opened(make(server.url)) as sink:
        await trouble(sink, batch(b"poison"))
        await sink.open()


@pytest.mark.parametrize("misfortune", [RESET, HANG])
async def test_after_a_request_without_an_answer_the_server_must_answer_something(misfortune: str) -> None:
    async with serving(misfortune) as server, opened(make(f"{server.url}/in", request_timeout="100ms")) as sink:
        await trouble(sink, batch(b"1"))
        with pytest.raises(NotConnected, match="HEAD"):
            await sink.open()
        server.script = lambda asked: 501 if asked.method == "HEAD" else 200
        await sink.open()
        await sink.write(batch(b"1"))


async def test_a_host_that_a_record_chose_answers_for_that_record_alone() -> None:
    async with serving(429) as busy, serving() as other, opened(make("${event.callback}")) as sink:
        error = await failure(sink, batch(b"1", b"2", url=[busy.url, other.url]))
        assert error.failed == {0: "429 Too Many Requests"}
        assert error.is_retryable(0)
        busy.script = 503
        await trouble(sink, batch(b"1", url=[busy.url]))
        await sink.open()
    assert other.bodies == [b"2\n"]
    assert [asked.method for asked in busy.requests] == ["POST", "POST"]


async def test_without_healthcheck_nothing_is_asked() -> None:
    async with serving(502) as server, opened(make(server.url, healthcheck=False)) as sink:
        await trouble(sink, batch(b"1"))
        await sink.open()
    assert [asked.method for asked in server.requests] == ["POST"]


async def test_a_healthcheck_must_be_answered_before_anything_is_sent() -> None:
    async with serving(lambda asked: 503 if asked.url == "/health" else 200) as server:
        check = {"url": f"{server.url}/health"}
        sink = make(server.url, healthcheck=check, headers={"X-Key": "1", "X-Id": "${event.id}"})
        await away(sink, r"healthcheck: GET .*/health answered 503")
        server.script = 204
        async with opened(sink):
            await sink.write(batch(b"1"))
        assert server.requests[-1].method == "POST"
        assert (server.requests[0].headers["x-key"], "x-id" in server.requests[0].headers) == ("1", False)


# Misfortunes


async def test_a_server_that_is_away_shows_when_it_is_opened() -> None:
    server = HttpServer()
    await server.start()
    await server.stop()
    sink = make(f"{server.url}/x?secret=1")
    assert "secret" not in await away(sink, r"127\.0\.0\.1:\d+ cannot be reached")
    await server.start()
    async with opened(sink):
        await sink.write(batch(b"1"))
        await server.stop()
        assert "secret" not in str(await trouble(sink, batch(b"2")))
        await server.start()
        await sink.open()
        await sink.write(batch(b"2"))
    await server.stop()
    assert server.bodies == [b"1\n", b"2\n"]


async def test_where_records_choose_the_host_there_is_nothing_to_connect_to() -> None:
    async with opened(make("http://${event.host}/")) as sink:
        error = await trouble(sink, batch(b"1", url=[f"http://127.0.0.1:{claim_port()}/"]))
        await sink.open()
    assert "Cannot connect" in str(error)


async def test_a_host_that_does_not_exist_is_away() -> None:
    await away(make("http://no-such-host.invalid/"), "cannot be reached")
    await away(make(f"http://{'a' * 64}.example/"), "cannot be reached")


@pytest.mark.parametrize("misfortune", [RESET, HALF])
async def test_a_connection_that_breaks_leaves_the_record_unwritten(misfortune: str) -> None:
    async with serving(misfortune) as server, opened(make(server.url)) as sink:
        error = await trouble(sink, batch(b"1"))
        assert list(error.unwritten or ()) == [0]
        server.script = 200
        await sink.open()
        await sink.write(batch(b"1"))


async def test_a_server_that_hangs_is_left_when_its_time_is_over() -> None:
    async with serving(HANG) as server, opened(make(server.url, request_timeout="200ms")) as sink:
        with pytest.raises(NotConnected, match=r"no answer within 0\.2 s"):
            await sink.write(batch(b"1"))


async def test_a_request_never_takes_as_long_as_a_write_may() -> None:
    async with serving(HANG) as server, opened(make(server.url, timeout=0.5)) as sink:
        with pytest.raises(NotConnected, match=r"no answer within 0\.225 s, all that .* `timeout` of 0\.5 s leaves"):
            await sink.write(batch(b"1"))


async def test_a_server_that_accepts_and_says_nothing_in_tls_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        await away(make(url, connect_timeout="200ms"), r"no connection within 0\.2 s")


async def test_what_is_not_http_is_not_connected() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with opened(make(f"http://127.0.0.1:{port}/?secret=1")) as sink:
        error = await trouble(sink, batch(b"1"))
    server.close()
    assert "secret" not in str(error)


async def test_an_endless_answer_is_read_only_as_far_as_needed() -> None:
    async def endless(asked: Asked) -> Reply:
        return web.Response(status=404, body=b"x" * (8 << 20))

    async with serving(endless) as server, opened(make(server.url)) as sink:
        error = await failure(sink, batch(b"1"))
        server.script = 200
        await sink.write(batch(b"2"))
    assert len(error.failed[0]) < 700


async def test_a_write_that_is_cancelled_leaves_the_sink_usable_after_open() -> None:
    async with serving(HANG) as server, opened(make(server.url)) as sink:
        writing = asyncio.create_task(sink.write(batch(b"1")), name="write")
        while not server.requests:
            await asyncio.sleep(0.001)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        server.script = 200
        await sink.close()
        await sink.open()
        await sink.write(batch(b"2"))


async def test_close_is_idempotent_and_a_closed_sink_is_not_connected() -> None:
    sink = make("http://127.0.0.1:1/")
    await sink.close()
    await away(sink, "cannot be reached")
    await sink.close()
    with pytest.raises(NotConnected, match="not open"):
        await sink.write(batch(b"1"))


async def test_a_write_that_would_take_too_long_says_how_far_it_came() -> None:
    async def slow(asked: Asked) -> Reply:
        await asyncio.sleep(0.1)
        return 200

    sink = make("http://x/", body="each", timeout=1.0)
    async with serving(slow) as server:
        sink = make(server.url, body="each", timeout=1.0)
        async with opened(sink):
            error = await trouble(sink, batch(*numbered(100)))
    assert isinstance(error, Unavailable)
    unwritten = sorted(error.unwritten or ())
    assert unwritten == list(range(100 - len(unwritten), 100))
    assert len(server.requests) == 100 - len(unwritten) > 0


# Several requests at once


async def test_requests_are_made_at_once_and_failures_are_those_of_their_records() -> None:
    async def script(asked: Asked) -> Reply:
        await asyncio.sleep(0.02)
        return 422 if asked.json["n"] % 7 == 3 else 200

    async with serving(script) as server, opened(make(server.url, body="each", concurrency=8)) as sink:
        error = await failure(sink, batch(*numbered(40)))
    assert error.failed.keys() == {n for n in range(40) if n % 7 == 3}
    assert server.most_under_way == 8
    assert sorted(asked.json["n"] for asked in server.requests) == list(range(40))


async def test_records_with_one_key_are_sent_one_after_the_other() -> None:
    async def script(asked: Asked) -> Reply:
        await asyncio.sleep(0.001 * (asked.json["n"] % 5))
        return 200

    keys: list[bytes | None] = [None if n % 10 == 9 else b"%d" % (n % 3) for n in range(60)]
    async with serving(script) as server, opened(make(server.url, body="each", concurrency=6)) as sink:
        await sink.write(batch(*numbered(60), keys=keys))
    seen = [asked.json["n"] for asked in server.requests]
    for key in {*keys} - {None}:
        of_key = [n for n in seen if keys[n] == key]
        assert of_key == sorted(of_key)


async def test_an_outage_stops_all_requests_and_tells_what_was_written() -> None:
    async def script(asked: Asked) -> Reply:
        await asyncio.sleep(0.005)
        return 500 if asked.json["n"] == 10 else 200

    async with serving(script) as server, opened(make(server.url, body="each", concurrency=4)) as sink:
        error = await trouble(sink, batch(*numbered(100)))
    sent = {asked.json["n"] for asked in server.requests}
    assert set(error.unwritten or ()) == set(range(100)) - sent | {10}
    assert len(sent) < 20


# Bulk APIs

BULK = 'response.body.items.map(i, {"status": i.s, "reason": i.?e.orValue("")})'


async def test_results_say_what_became_of_each_record() -> None:
    items = [{"s": 201}, {"s": 400, "e": "mapper"}, {"s": 500, "e": "shard"}, {"s": 200}]
    async with serving((200, {"items": items})) as server, opened(make(server.url, results=BULK)) as sink:
        error = await failure(sink, batch(*numbered(4)))
    assert error.failed == {1: "400: mapper", 2: "500: shard"}
    assert (error.is_retryable(1), error.is_retryable(2)) == (False, True)


async def test_items_for_which_the_server_is_overloaded_are_given_time() -> None:
    items = [{"s": 201}, {"s": 429, "e": "queue full"}, {"s": 400}]
    async with serving((200, {"items": items})) as server, opened(make(server.url, results=BULK)) as sink:
        error = await trouble(sink, batch(*numbered(3)))
    assert isinstance(error, Unavailable)
    assert (sorted(error.unwritten or ()), error.refused) == ([1], {2: "400"})
    assert "429: queue full" in str(error)


async def test_a_refused_item_is_sent_once_however_often_others_of_its_request_are(tmp_path: Path) -> None:
    statuses = {0: [201], 1: [429, 503, 200], 2: [400], 3: [429, 200]}

    def script(asked: Asked) -> Reply:
        numbers = [json.loads(line)["n"] for line in asked.body.splitlines()]
        return 200, {"items": [{"s": statuses[number].pop(0)} for number in numbers]}

    books = Books(tmp_path)
    async with serving(script) as server:
        sink = make(server.url, results=BULK)
        outlet = Outlet("sink", sink, Policy(backoff=0.001), letters=books.box, metrics=books.metrics)
        async with running(outlet.run):
            await (await outlet.put(part(*numbered(4))))
    assert [(letter.value, letter.reason, letter.attempts) for letter in await books.letters()] == [
        (b'{"n":2}', "refused", 1)
    ]
    assert statuses == {0: [], 1: [], 2: [], 3: []}
    books.close()


@pytest.mark.parametrize(
    ("result", "failed", "retried"),
    [
        (True, None, False),
        (False, "the server refused it", False),
        (204, None, False),
        (404, "404", False),
        (502, "502", True),
        ({"ok": True}, None, False),
        ({"ok": True, "status": 409}, None, False),
        ({"ok": False}, "the server refused it", False),
        ({"ok": False, "reason": "a\nb"}, "a b", False),
        ({"ok": False, "reason": {"type": "x"}}, '{"type": "x"}', False),
        ({"ok": False, "retry": True, "reason": "later"}, "later", True),
        ({"ok": False, "status": 200}, "200", False),
        ({"status": 409, "retry": True}, "409", True),
        ({"status": 200, "retry": True}, None, False),
    ],
)
async def test_a_result_may_be_a_boolean_a_status_or_a_map(result: Any, failed: str | None, retried: bool) -> None:
    async with serving((200, [result])) as server, opened(make(server.url, results="response.body")) as sink:
        if failed is None:
            await sink.write(batch(b"1"))
        else:
            error = await failure(sink, batch(b"1"))
            assert (error.failed, error.is_retryable(0)) == ({0: failed}, retried)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"items": []}, "it has 0 result"),
        ({"items": [{"s": 200}] * 3}, "it has 3 result"),
        ({"error": "x"}, "items"),
        ({"items": [{"s": "yes"}, {"s": 1}]}, "`status` of a result is yes"),
        ({"items": 7}, "7|map"),
    ],
)
async def test_an_answer_that_results_cannot_read_is_trouble_of_the_server(answer: Any, why: str) -> None:
    async with serving((200, answer)) as server, opened(make(server.url, results=BULK)) as sink:
        with pytest.raises(NotConnected, match=why):
            await sink.write(batch(b"1", b"2"))


async def test_an_answer_that_is_no_json_is_text_to_results() -> None:
    reply = web.Response(text="ok", headers={"X-Count": "2"})
    results = 'response.body == "ok" && response.headers["x-count"] == "2" ? [true, response.status] : []'
    async with serving(reply) as server, opened(make(server.url, results=results)) as sink:
        await sink.write(batch(b"1", b"2"))


async def test_what_follows_a_record_that_is_sent_again_follows_it_again() -> None:
    items = [{"s": 500}, {"s": 201}, {"s": 201}, {"s": 400}]
    async with serving((200, {"items": items})) as server, opened(make(server.url, results=BULK)) as sink:
        error = await failure(sink, batch(*numbered(4), keys=[b"a", b"a", b"b", b"a"]))
    assert error.failed.keys() == {0, 1, 3}
    assert [error.is_retryable(index) for index in (0, 1, 3)] == [True, True, False]


# TLS, proxies, credentials


async def test_mutual_tls(certificates: Certificates) -> None:
    server_tls = ServerTls(cert="server.pem", key="server.key", client_ca="ca.pem").context(certificates.folder)
    ours = {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}
    async with serving(tls=server_tls) as server:
        async with opened(make(server.url, certificates.folder, tls=ours)) as sink:
            await sink.write(batch(b"1"))
        await away(make(server.url, certificates.folder), "certificate")
        await away(make(server.url, certificates.folder, tls={"ca": "other-ca.pem"}), "certificate")
        nameless = make(server.url, certificates.folder, tls={"ca": "ca.pem"})
        with pytest.raises(NotConnected):  # TLS 1.3 tells a client that its certificate is missing when it first reads
            async with opened(nameless):
                await nameless.write(batch(b"1"))
        await away(make(server.url, certificates.folder, tls={"ca": "none.pem"}), r"none\.pem")
    assert server.bodies == [b"1\n"]


async def test_the_name_in_the_certificate_may_be_another(certificates: Certificates) -> None:
    server_tls = ServerTls(cert="server.pem", key="server.key").context(certificates.folder)
    async with serving(tls=server_tls) as server:
        named = {"ca": "ca.pem", "server_name": "localhost"}
        async with opened(make(server.url, certificates.folder, tls=named)) as sink:
            await sink.write(batch(b"1"))
        other = {**named, "server_name": "elsewhere.example"}
        await away(make(server.url, certificates.folder, tls=other), r"elsewhere\.example")


async def test_requests_go_through_the_proxy() -> None:
    async with serving() as proxy:
        sink = make("http://nowhere.invalid/x", proxy=proxy.url.replace("://", "://me:pässword@"))
        async with opened(sink):
            await sink.write(batch(b"1"))
        assert "pässword" not in repr(sink.config)
    [asked] = proxy.requests
    assert asked.url == "http://nowhere.invalid/x"
    assert asked.headers["proxy-authorization"].startswith("Basic ")
    await away(sink, "cannot be reached")


async def test_bearer_and_basic_go_with_every_request() -> None:
    async with serving() as server:
        for auth in ({"bearer": "abc"}, {"basic": {"user": "u", "password": "p"}}):
            async with opened(make(server.url, auth=auth, headers={"authorization": "mine"})) as sink:
                await sink.write(batch(b"1"))
    assert [asked.headers["authorization"] for asked in server.requests] == ["Bearer abc", "Basic dTpw"]


async def test_a_token_that_is_refused_is_renewed_once_within_a_write() -> None:
    good = ["2", "4"]

    def script(asked: Asked) -> Reply:
        if asked.url == "/token":
            tokens = sum(before.url == "/token" for before in server.requests)
            return 200, {"access_token": f"{tokens}", "token_type": "Bearer", "expires_in": 3600}
        return 200 if asked.headers["authorization"].removeprefix("Bearer ") in good else 401

    async with serving(script) as server:
        oauth2 = {"token_url": f"{server.url}/token", "client_id": "a", "client_secret": "b"}
        async with opened(make(f"{server.url}/in", auth={"oauth2": oauth2})) as sink:
            await sink.write(batch(b"1"))
            await sink.write(batch(b"2"))
            good.remove("2")
            error = await trouble(sink, batch(b"3"))
            assert "answered 401" in str(error)
            await sink.open()  # with a token of its own, the fourth
            await sink.write(batch(b"3"))
    told = [asked.url for asked in server.requests if asked.method == "POST"]
    assert told.count("/token") == 4


async def test_a_token_endpoint_that_is_away_shows_when_it_is_opened() -> None:
    """Else its outage would be counted against records."""
    async with serving() as server:
        away_ = {"token_url": f"http://127.0.0.1:{claim_port()}/", "client_id": "a", "client_secret": "b"}
        await away(make(server.url, auth={"oauth2": away_}), r"auth\.oauth2")
    assert server.requests == []


# Settings


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"url": "ftp://x/"}, "should be a URL"),
        ({"url": "http://"}, "should be a URL"),
        ({"url": "http://a b/"}, "should be a URL"),
        ({"url": "http://u:p@x/"}, "should hold no credentials"),
        ({"url": "x${event.a}"}, "begins with http"),
        ({"method": "FETCH"}, "should be one of POST"),
        ({"headers": {"a b": "c"}}, "no name of a header"),
        ({"headers": {"a": "b\nc"}}, "line end"),
        ({"headers": {"Content-Encoding": "gzip"}}, "made by the connector"),
        ({"url": "${event.u}", "auth": {"bearer": "x"}}, "auth should go to one server"),
        ({"url": "http://a${event.u}/", "auth": {"bearer": "x"}}, "auth should go to one server"),
        ({"body": "each", "action": "x"}, "action should stand beside"),
        ({"results": "response.body +"}, "1:16"),
        ({"results": "respone.body"}, "`respone` is not known here; known: response"),
        ({"proxy": "proxy:3128"}, "proxy should be a URL"),
        ({"healthcheck": {"url": "/health"}}, "should be a URL"),
        ({"healthcheck": True}, "healthcheck"),
        ({"body": "csv"}, "stream"),
        ({"framing": "whole"}, "does not go with a stream"),
        ({"framing": "null", "action": "x"}, "action should stand beside lines"),
        ({"framing": "newline", "body": "each"}, "framing should stand beside"),
        ({"concurrency": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        HttpSink.Config.model_validate({"url": "http://x/", **settings})


def test_what_records_may_choose() -> None:
    assert HttpSink.Config.per_record() == {"url", "method", "headers", "action", "key"}


async def test_large_batches_arrive_whole() -> None:
    values = [json.dumps({"n": n, "t": "x" * 200}).encode() for n in range(10_000)]
    async with serving(web.Response()) as server, opened(make(server.url, compression="zstd")) as sink:
        await sink.write(batch(*values))
    assert server.requests[0].lines == values
