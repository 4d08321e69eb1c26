"""Bodies of the source ``http``: packed, unpacked, too large, broken, arrays of very many records."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import random
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from http_clients import JSON, NDJSON, client, connect, until
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.http.records import Cutter
from connectors.http.reply import Refusal
from router import Context, Lag
from rules.codecs import Bytes, Csv, Format, Json, Text

GZIP = {"Content-Encoding": "gzip", **NDJSON}
ZSTD = {"Content-Encoding": "zstd", **NDJSON}
LINES = b"\n".join(b'{"n": %d}' % n for n in range(2000))


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def cut(body: bytes, content_type: str, most: int) -> list[bytes]:
    return list(Cutter(None, Context(), most).cut(body, content_type).values)


def bomb(coding: str, size: int) -> bytes:
    """So many newlines and zeros, packed as small as it goes."""
    if coding == "zstd":
        return zstandard.ZstdCompressor(level=19).compress(b"0" * size)
    return gzipped(b"0" * size)


def zstd_of_unknown_size(content: bytes) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(content) + packer.flush()


def zstd_blocks(count: int) -> bytes:
    """A frame of so many blocks, each of them 128 KiB of the same byte in four bytes."""
    header = b"\x28\xb5\x2f\xfd\x00\x50"  # no content size, a window of 1 MiB
    block = (1 << 1 | 131072 << 3).to_bytes(3, "little") + b"\n"
    last = (1 | 1 << 1 | 131072 << 3).to_bytes(3, "little") + b"\n"
    return header + block * (count - 1) + last


@pytest.mark.parametrize(
    ("headers", "packed"),
    [
        (GZIP, gzipped(LINES)),
        (GZIP, gzipped(LINES[:5000]) + gzipped(LINES[5000:])),
        (GZIP | {"Content-Encoding": "X-GZIP"}, gzipped(LINES)),
        (ZSTD, zstandard.ZstdCompressor().compress(LINES)),
        (ZSTD, zstd_of_unknown_size(LINES)),
        (ZSTD, zstandard.ZstdCompressor().compress(LINES[:5000]) + zstandard.ZstdCompressor().compress(LINES[5000:])),
    ],
)
async def test_a_packed_body_is_unpacked(headers: dict[str, str], packed: bytes) -> None:
    """gzip and zstd, also in several parts, and in whatever chunks it comes."""

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(packed), 700):
            yield packed[start : start + 700]

    async with client() as one:
        assert await one.accepted(packed, headers) == LINES.split(b"\n")
        assert await one.accepted(chunks(), headers) == LINES.split(b"\n")
        assert await one.source.lag() == [Lag("/events", records=0, seconds=0.0, bytes=0)]


@pytest.mark.parametrize(
    "packed",
    [
        gzipped(LINES)[:-1],
        gzipped(LINES)[:10],
        gzipped(LINES) + b"x",
        gzipped(LINES) + b"\0" * 20,
        gzipped(LINES)[:-8] + b"\0" * 8,
        b"no gzip",
        LINES,
        zlib.compress(LINES),
        b"",
    ],
)
async def test_gzip_that_is_not_whole_is_refused(packed: bytes) -> None:
    """Cut off, with something behind it, with a wrong checksum, or something else altogether."""
    async with client() as one:
        status, answer = await one.post(packed, GZIP)
        assert status == 400
        assert "body" in answer["error"]
        assert (await one.source.lag())[0].bytes == 0
        assert await one.accepted(b"next") == [b"next"]


@pytest.mark.parametrize(
    "packed",
    [
        zstandard.ZstdCompressor().compress(LINES)[:-1],
        zstandard.ZstdCompressor(write_checksum=True).compress(LINES)[:-1] + b"\0",
        zstandard.ZstdCompressor().compress(LINES) + b"x",
        gzipped(LINES),
        b"\x28\xb5\x2f\xfd",
    ],
)
async def test_zstd_that_is_not_whole_is_refused(packed: bytes) -> None:
    """The same as of gzip."""
    async with client() as one:
        assert (await one.post(packed, ZSTD))[0] == 400
        assert await one.accepted(b"next") == [b"next"]


@pytest.mark.parametrize(
    ("headers", "pack"),
    [
        (GZIP, lambda: bomb("gzip", 1 << 28)),
        (ZSTD, lambda: bomb("zstd", 1 << 28)),
        (ZSTD, lambda: zstd_blocks(5000)),
        (GZIP, lambda: gzipped(bomb("gzip", 1 << 28)) + b"x"),
    ],
    ids=["gzip", "zstd", "zstd blocks", "gzip in gzip"],
)
async def test_a_body_made_to_explode_is_refused_without_exploding(
    headers: dict[str, str], pack: Callable[[], bytes]
) -> None:
    """The limit holds while it is unpacked, and nothing stays."""
    packed = pack()
    async with client(max_body="1MiB") as one:
        before = _resident()
        for _ in range(10):
            assert (await one.post(packed, headers))[0] in (400, 413)
        assert _resident() - before < 64 << 20
        assert (await one.source.lag())[0].bytes == 0
        assert await one.accepted(b"next") == [b"next"]


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_a_body_of_very_many_empty_parts_is_refused() -> None:
    """An empty gzip member costs twenty bytes to send and much more to unpack."""
    async with client() as one:
        status, answer = await one.post(gzipped(b"") * 1001, GZIP)
        assert (status, answer) == (400, {"error": "the body is gzip in too many parts"})
        assert (await one.post(gzipped(b"") * 1000, GZIP))[0] == 400  # no record
        assert await one.accepted(gzipped(b"") * 999 + gzipped(b"x"), GZIP) == [b"x"]


async def test_without_zstandard_a_body_packed_with_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is said, and what else would do."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    async with client() as one:
        status, answer = await one.post(b"x", ZSTD)
        assert status == 415
        assert "zstandard" in answer["error"]
        assert one.headers[-1]["Accept-Encoding"] == "gzip"


async def test_the_limit_holds_for_what_was_packed() -> None:
    """Both as it is sent and unpacked: a body that is larger either way is refused, one that just fits is not."""
    noise = random.Random(1).randbytes(60_000).replace(b"\n", b"x").replace(b"\r", b"x")
    fits, too_large = gzipped(b"a" * 50_000), gzipped(b"a" * 50_001)
    async with client(max_body="50KB", pending={"bytes": "50KB"}) as one:
        assert await one.accepted(fits, GZIP) == [b"a" * 50_000]
        assert (await one.post(too_large, GZIP))[0] == 413
        assert (await one.post(gzipped(noise), GZIP))[0] == 413


@given(st.lists(st.binary(max_size=80).map(lambda line: line.translate(None, b"\r\n")), max_size=20), st.randoms())
@settings(max_examples=30, deadline=None)
async def test_whatever_is_packed_arrives(lines: list[bytes], random_: random.Random) -> None:
    """By either coding, in one part or two."""
    body = b"\n".join(lines)
    parts = [body[: (at := random_.randrange(len(body) + 1))], body[at:]]
    wanted = [line for line in lines if line]
    async with client() as one:
        for headers, pack in ((GZIP, gzipped), (ZSTD, zstandard.ZstdCompressor().compress)):
            packed = b"".join(map(pack, parts))
            if wanted:
                assert await one.accepted(packed, headers) == wanted
            else:
                assert (await one.post(packed, headers))[0] == 400


Value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(Value, max_size=10), st.integers(0, 3))
@settings(deadline=None)
def test_an_array_is_cut_between_its_elements(values: list[Any], indent: int) -> None:
    """Each element comes out as it stood there, however it is laid out."""
    text = json.dumps(values, indent=indent or None, ensure_ascii=indent % 2 == 0).encode("utf-8", "surrogatepass")
    if not values:
        with pytest.raises(Refusal):
            cut(text, "application/json", 100)
        return
    found = cut(text, "application/json", 100)
    assert [json.loads(record.decode("utf-8", "surrogatepass")) for record in found] == values
    assert all(record in text for record in found)


@pytest.mark.parametrize(
    ("elements", "most", "fits"),
    [
        (["1"] * 10, 10, True),
        (["1"] * 11, 10, False),
        (["1"] * 500_000, 10, False),
        (["[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23]"] * 10, 10, True),
        ([" [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23]\n"] * 11, 10, False),
        (['"' + "," * 1000 + '"'] * 10, 10, True),
        (['{"a": "]\\"],["}'] * 10, 10, True),
    ],
)
def test_an_array_may_have_so_many_elements(elements: list[str], most: int, fits: bool) -> None:
    """It is counted before it is cut, so that one of millions does no harm; what commas are inside does not count."""
    body = ("[" + ",".join(elements) + "]").encode()
    if fits:
        assert cut(body, "application/json", most) == [element.strip().encode() for element in elements]
        return
    with pytest.raises(Refusal) as refused:
        cut(body, "application/json", most)
    assert refused.value.status == 413


@pytest.mark.parametrize(
    "body", [b"[" + b"1," * 100 + b"}", b"[" + b"1," * 100, b"[" * 100_000 + b"," * 100, b'["' + b"," * 100, b"[,,,,]"]
)
def test_what_is_no_array_is_one_record_whatever_it_looks_like(body: bytes) -> None:
    """It is no JSON, and its dead letter shall say so."""
    assert cut(body, "application/json", 1000) == [body]
    assert cut(body, "application/vnd.x+json", 1000) == [body]


CSV = {"Content-Type": "text/csv"}
PLAIN = {"Content-Type": "image/png"}
ROWS = b'id,text\r\n1,"a\nb"\r\n\r\n2,c'


@pytest.mark.parametrize(
    ("decode", "framing", "body", "headers", "records"),
    [
        (Csv(), None, ROWS, CSV, [b'1,"a\nb"', b"2,c"]),
        (Csv(), None, ROWS, JSON, [b'1,"a\nb"', b"2,c"]),
        (Csv(header=False), None, ROWS, CSV, [b"id,text", b'1,"a\nb"', b"2,c"]),
        (Bytes(), None, b"\x00\n\xff\n", PLAIN, [b"\x00\n\xff\n"]),
        (Text(), None, b"a\nb\n", {"Content-Type": "text/plain"}, [b"a", b"b"]),
        (Text(), "whole", b"a\nb\n", PLAIN, [b"a\nb\n"]),
        (Json(), "octet_counted", b'7 {"a":1}3 [2]', JSON, [b'{"a":1}', b"[2]"]),
        (Json(), "null", b"1\x00[2,3]\x00", JSON, [b"1", b"[2,3]"]),
        (Json(), "newline", b"[1,2]\n3", JSON, [b"[1,2]", b"3"]),
        (Json(), {"type": "length", "prefix_type": "u16"}, b"\x00\x01a\x00\x02bc", PLAIN, [b"a", b"bc"]),
    ],
)
async def test_a_framing_tells_records_apart(
    decode: Format, framing: object, body: bytes, headers: dict[str, str], records: list[bytes]
) -> None:
    """One that is set, or goes with a format that is not JSON, holds for all bodies, whatever they say they are."""
    async with client(decode=decode, framing=framing) as one:
        assert await one.accepted(body, headers) == records


async def test_the_header_of_a_csv_body_is_known_of_its_rows_alone() -> None:
    """Also where requests with other headers are in the same batch."""
    async with client(decode=Csv()) as one:
        postings = []
        for n, body in enumerate((b"a,b\n1,2\n3,4", b"c\n5", b"c\n6")):
            postings.append(one.posting(body, CSV))
            await one.arrived((2, 3, 4)[n])
        batch = await one.source.read()
        assert batch.values == [b"1,2", b"3,4", b"5", b"6"]
        assert list(batch.attributes["columns"]) == [["a", "b"], ["a", "b"], ["c"], ["c"]]
        await one.source.ack(batch.token)
        assert [(await posting)[0] for posting in postings] == [200] * 3
        assert (await one.post(b"only,a,header\n", CSV))[0] == 400


async def test_what_cannot_be_framed_is_spoiled_at_its_place() -> None:
    """Its reason goes to the dead letters, or back to the client."""
    async with client(decode=Csv(header=False)) as one:
        postings = [one.posting(b"1,2", CSV)]
        await one.arrived(1)
        postings.append(one.posting(b'3,4\n"open', CSV))
        await one.arrived(3)
        batch = await one.source.read()
        assert batch.values == [b"1,2", b"3,4", b'"open']
        assert list(batch.spoiled) == [2]
        assert "not closed" in batch.spoiled[2]
        await one.source.ack(batch.token)
        assert [(await posting)[0] for posting in postings] == [200] * 2


@pytest.mark.parametrize(
    ("decode", "framing", "record"),
    [
        (Csv(header=False), None, b"1\n"),
        (Json(), None, b"1\n"),
        (Json(), "null", b"1\x00"),
        (Json(), "octet_counted", b"1 1"),
    ],
)
async def test_a_body_may_have_so_many_records(decode: Format, framing: object, record: bytes) -> None:
    """However they are told apart, and found out before millions of them are made."""
    async with client(decode=decode, framing=framing, pending={"records": 100}) as one:
        assert len(await one.accepted(record * 100, NDJSON)) == 100
        before = _resident()
        for count in (101, 2_000_000):
            assert (await one.post(io.BytesIO(record * count), NDJSON))[0] == 413
        assert _resident() - before < 64 << 20


async def test_slow_bodies_leave_room_for_the_others() -> None:
    """Half of what may be pending is for bodies that are not whole yet; a request that comes at once enters still."""
    async with client(max_body=1000, pending={"bytes": 4000}) as one:
        slow = []
        for n in range(3):
            reader, writer = await connect(one.source)
            writer.write(b"POST /events HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.write(b"x" * 900)
            slow.append((reader, writer))
            if n < 2:
                await until(lambda lag, n=n: lag.bytes == 900 * (n + 1), one.source)  # type: ignore[misc]
        assert (await slow[2][0].readline()).split()[1] == b"429"
        assert await one.accepted(b"y" * 1000) == [b"y" * 1000]
        for _, writer in slow:
            writer.close()
        await until(lambda lag: lag.bytes == 0, one.source)


async def test_a_connection_too_many_is_told_and_closed(caplog: pytest.LogCaptureFixture) -> None:
    """Others are served on, there is room again once somebody has left, and no log tells of it."""
    async with client(connections=2) as one:
        first, second = [await connect(one.source) for _ in range(2)]
        reader, third = await connect(one.source)
        assert (await reader.read()).startswith(b"HTTP/1.1 429 ")
        third.close()
        request = b"POST /events HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"
        serving = one.tasks.create_task(one.serve())
        for reader, writer in (first, second):
            writer.write(request)
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
        second[1].close()
        await second[1].wait_closed()
        while True:
            reader, writer = await connect(one.source)
            writer.write(request)
            status = (await reader.readline()).split()[1]
            writer.close()
            if status == b"200":
                break
            assert status == b"429"
        serving.cancel()
        first[1].close()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_the_answer_to_a_connection_too_many_is_well_formed() -> None:
    """It is written by hand."""
    from connectors.http import server

    head, _, body = vars(server)["_FULL"].partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body) == {"error": "too many connections"}
