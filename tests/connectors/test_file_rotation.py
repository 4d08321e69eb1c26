"""The file source where rotation happened unseen: several times, compressed, within the resolution of file times."""

from __future__ import annotations

import asyncio
import gzip
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard

from connectors.file import FileSource
from connectors.file.family import stem
from connectors.file.place import Place
from connectors.file.reader import Cutting, PlainReader
from router import Context, MemoryPositions, framing_of

PACKERS = [(".gz", gzip.compress), (".zst", zstandard.ZstdCompressor().compress)]


@asynccontextmanager
async def following(folder: Path, positions: MemoryPositions, **options: Any) -> AsyncIterator[FileSource]:
    config = FileSource.Config.model_validate({"path": "x.log", "follow": True, "poll": "5ms", **options})
    source = FileSource(config.within(Context("in", folder, positions)))
    await source.open()
    try:
        yield source
    finally:
        await source.close()


async def take(source: FileSource, count: int) -> list[bytes]:
    values: list[bytes] = []
    async with asyncio.timeout(60):
        while len(values) < count:
            batch = await source.read()
            values += batch.values
            await source.ack(batch.token)
    return values


def write(path: Path, content: bytes, age: int) -> None:
    """A file that was last changed so many seconds ago."""
    path.write_bytes(content)
    os.utime(path, (time.time() - age, time.time() - age))


def rotate(log: Path, pack: Callable[[bytes], bytes] | None = None, suffix: str = "") -> None:
    """As logrotate does it: x.log.2 becomes x.log.3 and so on, and x.log the first, perhaps compressed."""
    for number in range(9, 0, -1):
        for each in log.parent.glob(f"{log.name}.{number}*"):
            each.rename(log.parent / each.name.replace(f".log.{number}", f".log.{number + 1}"))
    log.rename(first := log.with_name(f"{log.name}.1"))
    if pack is not None:
        (packed := log.with_name(first.name + suffix)).write_bytes(pack(first.read_bytes()))
        os.utime(packed, ns=(first.stat().st_mtime_ns, first.stat().st_mtime_ns))
        first.unlink()


@pytest.mark.parametrize("path", ["x.log", "*.log"])
async def test_several_rotations_while_it_was_down(tmp_path: Path, path: str) -> None:
    """The rest of the last known file, what came and went between, in order, then the present one; all once."""
    log, positions = tmp_path / "x.log", MemoryPositions()
    write(tmp_path / "x.log.1", b"long ago\n", 1000)
    write(log, b"1\n2\n", 500)
    async with following(tmp_path, positions, path=path, read=2) as source:
        assert await take(source, 1) == [b"1"]
    for number in (3, 4):
        rotate(log)
        write(log, b"%d\n" % number, 400 - number)
    rotate(log)
    write(log, b"5\n", 0)
    for stranger in ("x.log.bak", "x.log.1.swp", "x.log-error", "x-2.log.1", "y.log.1"):
        write(tmp_path / stranger, b"not of this stream\n", 1)
    async with following(tmp_path, positions, path=path) as source:
        assert await take(source, 4) == [b"2", b"3", b"4", b"5"]
        rotate(log)
        write(log, b"6\n", 0)
        assert await take(source, 1) == [b"6"]
    log.write_bytes(b"6\n7\n")
    async with following(tmp_path, positions, path=path) as source:
        assert await take(source, 1) == [b"7"]


async def test_rotations_faster_than_the_poll(tmp_path: Path) -> None:
    """Files that had the path between two looks, under names that are not matched, are read, each once."""
    log, positions, count = tmp_path / "x.log", MemoryPositions(), 1500
    log.write_bytes(b"0\n")
    async with following(tmp_path, positions, poll="50ms") as source:
        values = await take(source, 1)
        for n in range(1, count):
            if n % 100 == 0:
                log.rename(tmp_path / f"x.log.{n}")
            with log.open("ab") as file:
                file.write(b"%d\n" % n)
            if n % 500 == 0:
                values += await take(source, n + 1 - len(values))
        values += await take(source, count - len(values))
    assert sorted(values, key=int) == [b"%d" % n for n in range(count)]


async def test_copied_and_truncated_several_times_while_it_was_down(tmp_path: Path) -> None:
    """The rest of the first copy, the later copies, then what is there now."""
    log, positions = tmp_path / "x.log", MemoryPositions()
    write(tmp_path / "x.log.1", b"long ago\n", 1000)
    write(log, b"1\n2\n", 500)
    async with following(tmp_path, positions, read=2) as source:
        assert await take(source, 1) == [b"1"]
    write(tmp_path / "x.log.2", b"1\n2\n", 400)
    write(tmp_path / "x.log.3", b"3\n", 300)
    write(log, b"four\n", 0)
    async with following(tmp_path, positions) as source:
        assert await take(source, 3) == [b"2", b"3", b"four"]


@pytest.mark.parametrize(("suffix", "pack"), PACKERS)
async def test_rotated_and_compressed_while_it_was_down(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    """The rest of the known file is read from what it was compressed to, so is what came between, over restarts."""
    log, positions = tmp_path / "x.log", MemoryPositions()
    old = [b"old %d" % n for n in range(5000)]
    write(log, b"\n".join([*old, b""]), 500)
    async with following(tmp_path, positions, read=4000) as source:
        batch = await source.read()
        await source.ack(batch.token)
    values = list(batch.values)
    rotate(log, pack, suffix)
    write(log, b"between\n", 300)
    rotate(log, pack, suffix)
    write(log, b"new\n", 0)
    async with following(tmp_path, positions, read=4000) as source:
        batch = await source.read()
        await source.ack(batch.token)
    values += batch.values
    async with following(tmp_path, positions) as source:
        values += await take(source, 5002 - len(values))
    assert values == [*old, b"between", b"new"]


async def test_what_is_compressed_is_something_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A compressed file, even corrupt, that does not begin with what was read is left alone, and the loss is told."""
    log, positions = tmp_path / "x.log", MemoryPositions()
    log.write_bytes(b"1\n")
    async with following(tmp_path, positions) as source:
        assert await take(source, 1) == [b"1"]
    log.rename(tmp_path / "kept")  # so that its inode is not given out again
    (tmp_path / "x.log.1.gz").write_bytes(gzip.compress(b"another\n"))
    (tmp_path / "x.log.2.gz").write_bytes(b"\x1f\x8b\x08 corrupt")
    (tmp_path / "x.log.3.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "kept").rename(tmp_path.parent / f"{tmp_path.name}-kept")
    log.write_bytes(b"2\n")
    async with following(tmp_path, positions) as source:
        assert await take(source, 1) == [b"2"]
    assert "x.log is gone; what it held after byte 2, if anything, is lost" in caplog.text


async def test_a_change_that_file_times_do_not_show(tmp_path: Path) -> None:
    """A file that is rewritten at the same size within the resolution of its times is looked into all the same."""
    log = tmp_path / "x.log"
    write(log, b"1\n2\n", -3600)  # a time that has not come is as recent as one can be
    before = log.stat().st_mtime_ns
    async with following(tmp_path, MemoryPositions()) as source:
        assert await take(source, 2) == [b"1", b"2"]
        reading = asyncio.ensure_future(source.read())
        await asyncio.sleep(0.05)
        with log.open("r+b") as file:
            file.write(b"3\n4\n")
            file.flush()
            os.utime(log, ns=(before, before))
        async with asyncio.timeout(60):
            assert (await reading).values == [b"3", b"4"]


def test_a_place_is_not_taken_in_what_replaced_the_file(tmp_path: Path) -> None:
    """Between reading a chunk and taking its fingerprint a file may be truncated and grow again: that is found out."""
    log = tmp_path / "x.log"
    log.write_bytes(b"1\n2\n")
    reader = PlainReader(Place(), Cutting(framing_of(None, Context().format), limit=100, size=100))
    with log.open("rb") as file:
        assert reader.read(file.fileno()) is not None
        assert reader.unchanged(file.fileno())
        with log.open("ab") as more:
            more.write(b"3\n")
        assert reader.unchanged(file.fileno())
        log.write_bytes(b"4\n5\n6\n")
        assert not reader.unchanged(file.fileno())
        os.truncate(log, 0)
        assert not reader.unchanged(file.fileno())


def test_an_unfinished_line_is_not_joined_with_what_replaced_it(tmp_path: Path) -> None:
    """A line that comes in two chunks is of one file, however much of it was there at first."""
    log = tmp_path / "x.log"
    log.write_bytes(b"1\nhalf")
    reader = PlainReader(Place(), Cutting(framing_of(None, Context().format), limit=100, size=100))
    with log.open("rb") as file:
        assert reader.read(file.fileno()) is not None
        log.write_bytes(b"1\nfull\n")
        assert reader.read(file.fileno()) is not None
        assert not reader.unchanged(file.fileno())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x.log", "x.log"),
        ("x.log.1", "x.log"),
        ("x.log.10.gz", "x.log"),
        ("x.log-20260101.zst", "x.log"),
        ("x.log.2026-01-01T10:00:00Z", "x.log"),
        ("x.log.old", "x.log"),
        ("x-20260101T100000Z-0.log", "x.log"),
        ("x.2026-01-01.log.gz", "x.log"),
        ("x-2.log", "x-2.log"),
        ("x.log.bak", "x.log.bak"),
        ("x.log.1.swp", "x.log.1.swp"),
        (".1", ".1"),
        ("1", "1"),
    ],
)
def test_what_rotation_makes_of_a_name(name: str, expected: str) -> None:
    """Numbers, dates and `old` after the name, dates before its ending; nothing that may be another stream."""
    assert stem(name) == expected
