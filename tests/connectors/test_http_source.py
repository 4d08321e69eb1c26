"""The source ``http``, driven by hand over real sockets: what it answers, when, and what becomes of the records."""

from __future__ import annotations

import asyncio
import io
import json
import shlex
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from http_clients import JSON, NDJSON, client, connect, raw, until
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.http import HttpSource
from connectors.http import intake as http
from router import Batch, Lag, NotConnected, Source


def test_it_is_a_source() -> None:
    """It satisfies the protocol that the router asks for."""
    assert isinstance(HttpSource(HttpSource.Config()), Source)


@pytest.mark.parametrize(
    "config",
    [
        {"listen": "9601"},
        {"listen": ":9601"},
        {"listen": "localhost:"},
        {"listen": "localhost:http"},
        {"listen": "127.0.0.1:65536"},
        {"listen": "127.0.0.1:١"},
        {"path": "events"},
        {"max_body": 0},
        {"timeout": "0s"},
        {"pending": {"records": 0}},
        {"max_body": "2MiB", "pending": {"bytes": "1MiB"}},
        {"port": 9601},
    ],
)
def test_settings_that_cannot_work_are_refused(config: dict[str, Any]) -> None:
    """Each of these is a fault of the configuration and not something that shows at run time."""
    with pytest.raises(ValidationError):
        HttpSource.Config.model_validate(config)


async def test_an_ipv6_address_is_listened_on() -> None:
    """Host and port are told apart by brackets."""
    async with client(listen="[::1]:0") as one:
        assert one.source.url.startswith("http://[::1]:")
        assert await one.accepted(b"{}") == [b"{}"]


@pytest.mark.parametrize(
    ("body", "headers", "records"),
    [
        (b'{"a": 1}', JSON, [b'{"a": 1}']),
        (b' {\n"a": 1\n}\n', JSON, [b'{\n"a": 1\n}']),
        (b'[{"a": 1}, {"a": 2}]', JSON, [b'{"a": 1}', b'{"a": 2}']),
        (
            b' [ {"a" : [1, 2]} ,\n"x,]", -1.50e+2,null,[] ]\n',
            JSON,
            [b'{"a" : [1, 2]}', b'"x,]"', b"-1.50e+2", b"null", b"[]"],
        ),
        (b'[{"a": 12345678901234567890.123, "a": 1}]', JSON, [b'{"a": 12345678901234567890.123, "a": 1}']),
        (b'["\xff", 1]', JSON, [b'"\xff"', b"1"]),
        (b"[1, 2", JSON, [b"[1, 2"]),
        (b"[1, 2] 3", JSON, [b"[1, 2] 3"]),
        (b"[" * 100_000, JSON, [b"[" * 100_000]),
        (b'{"a": [1, 2]}', JSON, [b'{"a": [1, 2]}']),
        (b"{not json", JSON, [b"{not json"]),
        (b'{"a": 1}', {"Content-Type": "application/cloudevents+json; charset=utf-8"}, [b'{"a": 1}']),
        (b'{"a": 1}\n{"a": 2}', NDJSON, [b'{"a": 1}', b'{"a": 2}']),
        (b'\r\n{"a": 1}\r\n\n\n{"a": 2}\r\n', NDJSON, [b'{"a": 1}', b'{"a": 2}']),
        (b"a\rb\r\nc\r", NDJSON, [b"a\rb", b"c\r"]),
        (b'{"a": 1}', {"Content-Type": "application/x-www-form-urlencoded"}, [b'{"a": 1}']),
        (b"a\nb\n", {"Content-Type": "text/plain; charset=utf-8"}, [b"a", b"b"]),
        (b"\xff\x00\n\xfe", {"Content-Type": "application/octet-stream"}, [b"\xff\x00", b"\xfe"]),
        ('{"gruß": "日本 🌊"}'.encode(), JSON, ['{"gruß": "日本 🌊"}'.encode()]),
    ],
)
async def test_what_a_record_is(body: bytes, headers: dict[str, str], records: list[bytes]) -> None:
    """JSON is one record, or one for each element of an array; of any other text every line that is not blank is one.
    All of it byte for byte."""
    async with client() as one:
        assert await one.accepted(body, headers) == records


async def test_a_body_without_a_content_type_is_lines() -> None:
    """A request that says nothing about its body is read line by line."""
    async with client() as one:
        async with one.session.post(one.source.url, data=b"", headers={}, skip_auto_headers=["Content-Type"]) as answer:
            assert answer.status == 400
        request = asyncio.create_task(
            raw(one.source, b"POST /events HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na\nb")
        )
        batch = await one.source.read()
        assert batch.values == [b"a", b"b"]
        await one.source.ack(batch.token)
        assert b'{"accepted": 2}' in await request


@settings(max_examples=30, deadline=None)
@given(lines=st.lists(st.binary(max_size=50).map(lambda line: line.replace(b"\n", b"").rstrip(b"\r")), max_size=30))
async def test_lines_arrive_whole_and_in_order(lines: list[bytes]) -> None:
    """Whatever is not blank between two newlines is a record, in every chunking of the body."""

    async def chunks() -> AsyncIterator[bytes]:
        body = b"\n".join(lines)
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    wanted = [line for line in lines if line]
    async with client() as one:
        if wanted:
            assert await one.accepted(chunks(), NDJSON) == wanted
        else:
            assert (await one.post(chunks(), NDJSON))[0] == 400


async def test_what_is_known_of_a_record() -> None:
    """Where a record came from, when, and with which headers goes along; credentials do not."""
    sent = {"X-Unicode": "grün 日本", "Authorization": "Bearer s3cret", "Cookie": "s3cret", **NDJSON}
    async with client(path="/in") as one:
        posting = one.posting(b"1\n2", sent)
        batch = await one.source.read()
        assert {name: list(column) for name, column in batch.attributes.items()} == {
            "method": ["POST", "POST"],
            "path": ["/in", "/in"],
            "remote": ["127.0.0.1", "127.0.0.1"],
            "content_type": ["application/x-ndjson", "application/x-ndjson"],
        }
        assert batch.headers is not None
        assert batch.times is not None
        assert all(time is not None and time > 1_700_000_000 * 10**9 for time in batch.times)
        headers = dict(batch.headers[1] or ())
        assert headers["content-type"] == b"application/x-ndjson"
        assert headers["x-unicode"] == "grün 日本".encode()
        assert b"s3cret" not in b"".join(headers.values())
        await one.source.ack(batch.token)
        await posting


async def test_the_answer_waits_for_the_acknowledgement() -> None:
    """Nothing is promised before the records are safe."""
    async with client() as one:
        posting = one.posting(b"{}")
        batch = await one.source.read()
        done, _ = await asyncio.wait([posting], timeout=0.2)
        assert not done
        await one.source.ack(batch.token)
        assert await posting == (200, {"accepted": 1})


async def test_a_slow_delivery_holds_back_no_other_answer() -> None:
    """Batches are acknowledged in any order, and each answers its own requests."""
    async with client() as one:
        slow = one.posting(b"slow")
        first = await one.source.read()
        fast = one.posting(b"fast")
        second = await one.source.read()
        await one.source.ack(second.token)
        assert await fast == (200, {"accepted": 1})
        assert not slow.done()
        await one.source.ack(first.token)
        assert await slow == (200, {"accepted": 1})


async def test_a_request_does_not_wait_for_those_that_it_was_gathered_with() -> None:
    """It is answered when all of its own records are safe, in whatever steps that comes about, and once."""
    async with client() as one:
        posting = [asyncio.create_task(one.post(body, JSON)) for body in (b"[1, 2]", b"3", b"[4, 5]")]
        await one.arrived(5)
        batch = await one.source.read()
        order = list(batch.values)
        await one.source.settle(batch.token, [order.index(value) for value in (b"1", b"3", b"4")])
        assert await posting[1] == (200, {"accepted": 1})
        await one.source.settle(batch.token, [order.index(b"1")])
        await one.source.settle(batch.token, [order.index(b"2")])
        assert await posting[0] == (200, {"accepted": 2})
        assert not posting[2].done()
        await one.source.ack(batch.token)
        assert await posting[2] == (200, {"accepted": 2})


async def test_small_requests_are_gathered_into_one_batch() -> None:
    """What has come in by the time of a read is one batch, and its acknowledgement answers all of it."""
    async with client() as one:
        posting = [one.posting(b"%d\n%d" % (n, n)) for n in range(40)]
        await one.arrived(80)
        batch = await one.source.read()
        assert sorted(batch.values) == sorted(b"%d" % n for n in range(40) for _ in range(2))
        assert all(batch.values[i] == batch.values[i + 1] for i in range(0, 80, 2))
        assert batch.headers is not None
        assert len(batch.headers) == len(batch.attributes["remote"]) == 80
        await one.source.ack(batch.token)
        assert await asyncio.gather(*posting) == [(200, {"accepted": 2})] * 40


async def test_a_request_is_never_cut() -> None:
    """It stands or falls as a whole, so it is in one batch, by itself where it is larger than a batch may be."""
    large = [b"%d" % n for n in range(2 * http.BATCH_RECORDS + 5)]
    async with client() as one:
        posting = [one.posting(b"first")]
        await one.arrived(1)
        posting.append(one.posting(b"\n".join(large)))
        await one.arrived(1 + len(large))
        posting.append(one.posting(b"last"))
        await one.arrived(2 + len(large))
        batches = [await one.source.read() for _ in range(3)]
        assert [batch.values for batch in batches] == [[b"first"], large, [b"last"]]
        for batch in batches:
            await one.source.ack(batch.token)
        assert [status for status, _ in await asyncio.gather(*posting)] == [200] * 3


async def test_batches_are_bounded_in_bytes() -> None:
    """A request that does not fit waits for the next batch; one that is larger than a batch travels alone."""
    sizes = [http.BATCH_BYTES // 2, http.BATCH_BYTES * 3 // 4, http.BATCH_BYTES * 2, 10, http.BATCH_BYTES // 4]
    async with client() as one:
        posting = []
        for n, size in enumerate(sizes):
            posting.append(one.posting(io.BytesIO(b"x" * size), JSON))
            await one.arrived(n + 1)
        batches = [await one.source.read() for _ in range(4)]
        assert [[len(value) for value in batch.values] for batch in batches] == [
            *([size] for size in sizes[:3]),
            sizes[3:],
        ]
        for batch in batches:
            await one.source.ack(batch.token)
        assert [status for status, _ in await asyncio.gather(*posting)] == [200] * len(sizes)


@pytest.mark.parametrize(
    ("body", "headers"), [(b"", JSON), (b"", NDJSON), (b"\n\r\n\n", JSON), (b"\n\r\n\n", NDJSON), (b" [ ]\n", JSON)]
)
async def test_a_body_without_a_record_is_refused(body: bytes, headers: dict[str, str]) -> None:
    """An empty body is a mistake of the client and not a success."""
    async with client() as one:
        assert await one.post(body, headers) == (400, {"error": "the body holds no record"})


async def test_other_paths_methods_and_types_are_refused() -> None:
    """Each refusal says what would be right, and the connection stays usable."""
    async with client() as one:
        url = one.source.url
        assert await one.post(b"{}", url=url + "/") == (404, {"error": "there is nothing here"})
        async with one.session.get(url) as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        for kind in (
            "image/png",
            "application/json; charset=UTF-16",
            "text/plain;charset=latin1",
            'text/plain; boundary=x; charset="utf-32le"',
        ):
            assert (await one.post(b"{}", {"Content-Type": kind}))[0] == 415
        for coding in ("br", "gzip, gzip", "deflate"):
            assert (await one.post(b"{}", {"Content-Encoding": coding, **JSON}))[0] == 415
            assert one.headers[-1]["Accept-Encoding"] == "gzip, zstd"
        assert await one.accepted(b"{}", {"Content-Encoding": "identity"}) == [b"{}"]
        assert len(one.session.connector._conns) == 1  # type: ignore[union-attr]


async def chunked(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 1000):
        yield b"x" * 999 + b"\n"


async def test_a_body_that_is_too_large_is_refused_with_and_without_a_length() -> None:
    """The bound holds for what arrives and not only for what is announced, and nothing of the body is taken in."""
    async with client(max_body="100KB") as one:
        assert (await one.post(b"x" * 100_001))[0] == 413
        assert (await one.post(chunked(101_000)))[0] == 413
        assert (await one.source.lag())[0] == Lag("/events", records=0, seconds=0.0, bytes=0)
        assert len(await one.accepted(chunked(100_000))) == 100


async def test_a_body_with_too_many_lines_is_refused() -> None:
    """What could never enter is not told to try again; what just fits enters."""
    async with client(pending={"records": 3}) as one:
        assert (await one.post(b"1\n2\n3\n4"))[0] == 413
        assert (await one.post(b"1\n2\n3\n4\n"))[0] == 413
        assert await one.accepted(b"1\n2\n3\n") == [b"1", b"2", b"3"]


@pytest.mark.parametrize("pending", [{"records": 5}, {"bytes": 9}])
async def test_a_full_queue_is_told_to_the_client(pending: dict[str, int]) -> None:
    """What would go over a bound is refused with 429 and a time to come again, and enters once there is room."""
    async with client(pending=pending, max_body=9) as one:
        first = one.posting(b"1\n2\n3\n4")
        await one.arrived(4)
        for body in (b"5\n6", chunked_pair()):
            status, _ = await one.post(body, NDJSON)
            assert (status, one.headers[-1]["Retry-After"]) == (429, "1")
        batch = await one.source.read()
        assert batch.values == [b"1", b"2", b"3", b"4"]
        assert (await one.post(b"5\n6", NDJSON))[0] == 429
        await one.source.ack(batch.token)
        assert (await first)[0] == 200
        assert await one.accepted(b"5\n6") == [b"5", b"6"]


async def chunked_pair() -> AsyncIterator[bytes]:
    yield b"5\n"
    yield b"66"


async def test_closing_answers_503_to_what_is_not_settled() -> None:
    """Whether it was read or not, nothing is promised of it, and the client is told when to come again."""
    async with client() as one:
        read = one.posting(b"read")
        batch = await one.source.read()
        unread = one.posting(b"unread")
        await one.arrived(2)
        await one.source.close()
        for posting in (read, unread):
            assert (await posting)[0] == 503
        assert [headers["Retry-After"] for headers in one.headers] == ["1", "1"]
        await one.source.ack(batch.token)
        await one.source.close()
        with pytest.raises(aiohttp.ClientConnectionError):
            await one.post(b"{}")


async def test_closing_ends_a_request_whose_body_is_still_coming() -> None:
    """A slow client does not hold up the end."""
    async with client() as one:
        reader, writer = await connect(one.source)
        writer.write(b"POST /events HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nbegun")
        await until(lambda lag: lag.bytes == 5, one.source)
        await one.source.close()
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        writer.close()


async def test_after_a_close_it_opens_again_with_nothing_of_the_past() -> None:
    """An epoch that ends without acknowledgement is forgotten; the next begins empty and works."""
    async with client() as one:
        lost = one.posting(b"lost")
        stale = await one.source.read()
        await one.source.close()
        assert (await lost)[0] == 503
        await one.source.open()
        await one.source.ack(stale.token)
        assert (await one.source.lag())[0].records == 0
        assert await one.accepted(b"again") == [b"again"]


async def test_a_cancelled_read_takes_nothing_and_begins_the_end() -> None:
    """Once reading has stopped, what is not read and what comes is answered 503; what was read may still be settled."""
    async with client() as one:
        posting = one.posting(b"on its way")
        batch = await one.source.read()
        reading = asyncio.create_task(one.source.read())
        done, _ = await asyncio.wait([reading], timeout=0.05)
        assert not done
        reading.cancel()
        await asyncio.wait([reading])
        assert (await one.post(b"late"))[0] == 503
        await one.source.ack(batch.token)
        assert await posting == (200, {"accepted": 1})


async def test_a_read_that_is_cancelled_as_a_record_arrives_loses_nothing() -> None:
    """Either the record is in the batch, or its client learns that it is not."""
    async with client() as one:
        for _ in range(20):
            reading = asyncio.create_task(one.source.read())
            posting = one.posting(b"{}")
            while not (await one.source.lag())[0].records:
                await asyncio.sleep(0)
            reading.cancel()
            outcome = await asyncio.gather(reading, return_exceptions=True)
            if isinstance(outcome[0], Batch):
                await one.source.ack(outcome[0].token)
            assert (await posting)[0] == (200 if isinstance(outcome[0], Batch) else 503)
            await one.source.close()
            await one.source.open()


async def test_a_delivery_that_takes_too_long_is_answered_503() -> None:
    """The client learns that nothing is promised; what was read still counts as waiting until it is settled."""
    async with client(timeout="200ms") as one:
        posting = one.posting(b"read")
        batch = await one.source.read()
        assert (await posting)[0] == 503
        assert (await one.post(b"never read"))[0] == 503
        assert (await one.source.lag())[0].records == 1
        await one.source.ack(batch.token)
        assert (await one.source.lag())[0].records == 0
        assert await one.accepted(b"next") == [b"next"]


async def test_a_body_that_takes_too_long_is_answered_408() -> None:
    """A client that sends nothing more is not waited for, and what it had sent is not held."""
    async with client(timeout="200ms") as one:
        reader, writer = await connect(one.source)
        writer.write(b"POST /events HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nbegun")
        assert (await reader.read(1000)).startswith(b"HTTP/1.1 408 ")
        writer.close()
        assert (await one.source.lag())[0].bytes == 0


async def test_a_client_that_leaves_takes_nothing_back() -> None:
    """What was taken in is delivered and acknowledged, though nobody waits for the answer."""
    async with client() as one:
        for read_first in (False, True):
            _, writer = await connect(one.source)
            writer.write(b"POST /events HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nkept")
            await one.arrived(1)
            batch = await one.source.read() if read_first else None
            writer.close()
            await writer.wait_closed()
            batch = batch or await one.source.read()
            assert batch.values == [b"kept"]
            await one.source.ack(batch.token)
            await one.arrived(0)
        assert await one.accepted(b"next") == [b"next"]


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 100\r\n\r\nhalf a rec",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhalf \r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhalf \r\nno chunk\r\n",
    ],
)
async def test_half_a_body_is_no_record(head: bytes) -> None:
    """A body that breaks off or is broken leaves nothing behind."""
    async with client() as one:
        _, writer = await connect(one.source)
        writer.write(b"POST /events HTTP/1.1\r\nHost: h\r\n" + head)
        writer.write_eof()
        await asyncio.sleep(0.05)
        writer.close()
        await until(lambda lag: lag.bytes == 0, one.source)
        assert await one.accepted(b"next") == [b"next"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /events HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /events HTTP/1.1\r\nX-\xc3\x9c: 1\r\n\r\n",
        b"POST /events HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_answered_and_not_logged(garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Anybody can send nonsense: it is answered 400, fills no log, and harms nobody else."""
    async with client() as one:
        reader, writer = await connect(one.source)
        writer.write(garbage)
        assert (await reader.read(12)).split()[1:] == [b"400"]
        writer.close()
        assert await one.accepted(b"next") == [b"next"]
    assert [line for line in caplog.records if line.levelname in {"ERROR", "WARNING"}] == []


async def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    """Expect: 100-continue is answered before the body, or refused without it."""
    async with client(max_body=100) as one:
        reader, writer = await connect(one.source)
        head = b"POST /events HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % 2)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        batch = await one.source.read()
        await one.source.ack(batch.token)
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
        writer.write(head % 101)
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 413 ")
        writer.close()


async def test_a_connection_serves_many_requests_also_pipelined() -> None:
    """Keep-alive connections are kept, and requests that are sent ahead are answered in order."""
    async with client() as one:
        reader, writer = await connect(one.source)
        writer.write(b"".join(b"POST /events HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n%d" % n for n in range(3)))
        for n in range(3):
            batch = await one.source.read()
            assert batch.values == [b"%d" % n]
            await one.source.ack(batch.token)
            assert b'{"accepted": 1}' in await reader.readuntil(b"}")
        writer.close()


async def test_lag_is_what_waits_and_since_when() -> None:
    """Records and bytes count until they are settled; the age is that of the oldest."""
    async with client() as one:
        assert await one.source.lag() == [Lag("/events", records=0, seconds=0.0, bytes=0)]
        posting = one.posting(b"123\n456")
        batch = await one.source.read()
        (lag,) = await one.source.lag()
        assert (lag.records, lag.bytes) == (2, 7)
        assert lag.seconds is not None
        assert lag.seconds > 0
        await one.source.ack(batch.token)
        await posting
        assert await one.source.lag() == [Lag("/events", records=0, seconds=0.0, bytes=0)]
        await one.source.close()
        assert await one.source.lag() == []


async def test_the_hint_posts_the_example_as_curl_would() -> None:
    """What the daemon shows at its start can be pasted into a shell, whatever quotes the example holds."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    example = '{"it\'s": "$HOME"}'
    async with client(listen=f"127.0.0.1:{port}", example=example) as one:
        config = HttpSource.Config(listen=f"127.0.0.1:{port}", example=example)
        program, option, body, url = shlex.split(config.hint())
        assert (program, option, url) == ("curl", "-d", one.source.url)
        said_by_curl = {"Content-Type": "application/x-www-form-urlencoded"}
        assert await one.accepted(body.encode(), said_by_curl) == [example.encode()]
    assert HttpSource.Config(listen="127.0.0.1:0").hint() == ""


async def test_an_address_that_is_taken_counts_as_away() -> None:
    """The message names the address and the reason, and a later open succeeds once it is free."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        source = HttpSource(HttpSource.Config(listen=f"127.0.0.1:{port}"))
        with pytest.raises(NotConnected, match=rf"127\.0\.0\.1:{port} cannot be listened on: .*in use"):
            await source.open()
    await source.open()
    assert source.url == f"http://127.0.0.1:{port}/events"
    await source.close()


async def test_a_host_that_is_not_ours_counts_as_away() -> None:
    """An address of another machine is no crash."""
    source = HttpSource(HttpSource.Config(listen="192.0.2.1:0"))
    with pytest.raises(NotConnected, match=r"192\.0\.2\.1:0 cannot be listened on: "):
        await source.open()
    await source.close()


async def test_a_source_that_was_never_opened_can_be_closed_and_has_no_lag() -> None:
    """close() may come first, and read() says what is missing."""
    source = HttpSource(HttpSource.Config())
    await source.close()
    assert await source.lag() == []
    with pytest.raises(NotConnected, match="not open"):
        await source.read()


async def test_many_clients_at_once_are_all_answered_for_what_they_sent() -> None:
    """Under concurrency every record is read once and every answer counts its own records."""
    async with client() as one:
        seen: list[bytes] = []

        async def serve() -> None:
            while len(seen) < 300:
                batch = await one.source.read()
                seen.extend(batch.values)
                await one.source.ack(batch.token)

        serving = one.tasks.create_task(serve())
        bodies = ["\n".join(json.dumps({"client": n, "line": i}) for i in range(n % 5 + 1)) for n in range(100)]
        posting = [one.posting(body.encode(), NDJSON) for body in bodies]
        replies = await asyncio.gather(*posting)
        await serving
        assert replies == [(200, {"accepted": n % 5 + 1}) for n in range(100)]
        assert sorted(seen) == sorted(line.encode() for body in bodies for line in body.split("\n"))
