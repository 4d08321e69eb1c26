"""The file of a disk buffer: first in, first out, whole after a kill and a torn write, small again when it is empty."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.diskbuffer import DiskBuffer, Extent, file_of, waiting
from router.errors import StateError
from router.testing import part

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def buffer(tmp_path: Path) -> Iterator[DiskBuffer]:
    opened = DiskBuffer.open(tmp_path, "sink")
    yield opened
    opened.close()


async def everything(buffer: DiskBuffer) -> list[bytes]:
    """The payloads in the file, in order."""
    found: list[bytes] = []
    number = buffer.extent.first
    while number < buffer.extent.end:
        for first, one in await buffer.read(number, 1000, 1 << 20):
            assert first == number
            number += len(one.batch)
            found += one.batch.values
    return found


async def test_what_is_added_is_read_in_order_also_by_the_next_process(tmp_path: Path) -> None:
    buffer = DiskBuffer.open(tmp_path, "sink")
    assert buffer.extent == Extent(1, 1, 0)
    await buffer.commit([part(b"a", b"bb"), part(b"ccc")], 1)
    await buffer.commit([part(b"d")], 1)
    assert (buffer.extent, await everything(buffer)) == (Extent(1, 5, 7), [b"a", b"bb", b"ccc", b"d"])
    buffer.close()
    buffer = DiskBuffer.open(tmp_path, "sink")
    assert (buffer.extent, await everything(buffer)) == (Extent(1, 5, 7), [b"a", b"bb", b"ccc", b"d"])
    await buffer.commit([part(b"e")], 4)
    assert (buffer.extent, await everything(buffer)) == (Extent(4, 6, 2), [b"d", b"e"])
    await buffer.commit([], 6)
    assert (buffer.extent, await everything(buffer)) == (Extent(6, 6, 0), [])
    buffer.close()
    buffer.close()


async def test_reading_is_bounded_in_records_and_bytes_and_gives_one_part_at_least(buffer: DiskBuffer) -> None:
    await buffer.commit([part(b"1", b"2"), part(b"3"), part(b"x" * 100), part(b"4")], 1)

    async def numbers(number: int, records: int, size: int) -> list[int]:
        return [first for first, _ in await buffer.read(number, records, size)]

    assert await numbers(1, 3, 1000) == [1, 3]
    assert await numbers(1, 1, 1) == [1]
    assert await numbers(1, 100, 102) == [1, 3]
    assert await numbers(4, 100, 1) == [4]
    assert await numbers(6, 100, 1) == []


@pytest.mark.parametrize("sink", ["plain", "a/b", "..", "häuser 東京", "%2F", "a.db"])
async def test_every_sink_has_a_file_of_its_own_whatever_its_name(tmp_path: Path, sink: str) -> None:
    buffer = DiskBuffer.open(tmp_path, sink)
    await buffer.commit([part(b"a", b"b")], 1)
    buffer.close()
    assert file_of(tmp_path, sink).parent == tmp_path
    assert list(waiting(tmp_path)) == [(sink, file_of(tmp_path, sink), 2)]


def disk_use(file: Path) -> int:
    return sum(each.stat().st_size for each in file.parent.glob(file.name + "*"))


async def test_the_file_shrinks_while_it_is_emptied_and_its_log_stays_small(buffer: DiskBuffer) -> None:
    """However much there was: what is left on disk is never more than a few times what is in it, and some MiB."""
    parts = [part(os.urandom(1 << 19)) for _ in range(8)]
    log = buffer.file.with_name(buffer.file.name + "-wal")
    for _ in range(20):
        await buffer.commit(parts, 1)
        assert log.stat().st_size < 16 << 20
    assert disk_use(buffer.file) > 80 << 20
    for number in range(2, buffer.extent.end + 1):
        await buffer.commit([], number)
        await buffer.read(number, 1, 1)  # after whatever there was to tidy up
        assert disk_use(buffer.file) < 2.5 * buffer.extent.bytes + (60 << 20)
    assert disk_use(buffer.file) < 30 << 20
    buffer.close()
    assert disk_use(buffer.file) < 1 << 20


async def test_a_buffer_that_is_emptied_as_fast_as_it_is_filled_stays_small(buffer: DiskBuffer) -> None:
    parts = [part(os.urandom(1 << 17)) for _ in range(4)]
    for _ in range(300):
        await buffer.commit(parts, max(1, buffer.extent.end - 8))
    assert disk_use(buffer.file) < 24 << 20


FILLER = """
import asyncio, os, sys
from pathlib import Path
from router.diskbuffer import DiskBuffer
from router.testing import part
async def main():
    buffer = DiskBuffer.open(Path(sys.argv[1]), "sink")
    number = 0
    while True:
        parts = [part(b"%d" % (number + i) + b"." * (37 * (number + i) % 9000)) for i in range(1 + number % 5)]
        await buffer.commit(parts, max(1, buffer.extent.end - 400))
        number += len(parts)
        print(number, buffer.extent.first, flush=True)
asyncio.run(main())
"""


async def test_after_a_kill_and_a_torn_write_everything_acknowledged_is_there_and_whole(tmp_path: Path) -> None:
    """kill -9 at chance moments: all that commit returned for, in order, none in part. What is more, the log may be cut
    off or filled with garbage from anywhere on: what is left is what was there at some moment before, in order."""
    rng = random.Random(5)
    for round_ in range(6):
        folder = tmp_path / str(round_)
        folder.mkdir()
        filler = subprocess.Popen(
            [sys.executable, "-c", FILLER, str(folder)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
        )
        assert filler.stdout is not None
        for _ in range(rng.randint(1, 300)):
            line = filler.stdout.readline()
        filler.kill()
        rest = filler.communicate()[0].split("\n")[:-1]
        added, first = map(int, (rest[-1] if rest else line).split())
        torn = tmp_path / f"{round_} torn"
        shutil.copytree(folder, torn)
        found = await numbers_in(folder)
        assert found == list(range(found[0], found[-1] + 1))
        assert found[-1] >= added - 1
        assert first - 1 <= found[0] <= first - 1 + 10
        log = file_of(torn, "sink").with_name(file_of(torn, "sink").name + "-wal")
        place = rng.randrange(log.stat().st_size)
        with log.open("r+b") as file:
            file.seek(place)
            file.truncate() if round_ % 2 else file.write(os.urandom(5000))
        found = await numbers_in(torn)
        assert found == list(range(found[0], found[-1] + 1) if found else ())


async def numbers_in(folder: Path) -> list[int]:
    buffer = DiskBuffer.open(folder, "sink")
    try:
        values = await everything(buffer)
    finally:
        buffer.close()
    for value in values:
        number = int(value.rstrip(b"."))
        assert value == b"%d" % number + b"." * (37 * number % 9000)
    return [int(value.rstrip(b".")) for value in values]


async def test_a_file_that_is_no_buffer_is_told_and_left_alone(tmp_path: Path) -> None:
    file = file_of(tmp_path, "sink")
    file.write_bytes(b"something else entirely" * 100)
    with pytest.raises(StateError, match=r"buffer\.sink\.db: the file is damaged .* move it away to begin anew"):
        DiskBuffer.open(tmp_path, "sink")
    with pytest.raises(StateError, match="damaged"):
        list(waiting(tmp_path))
    assert file.read_bytes() == b"something else entirely" * 100


async def test_a_file_with_broken_pages_gives_what_is_before_them_and_tells(tmp_path: Path) -> None:
    buffer = DiskBuffer.open(tmp_path, "sink")
    await buffer.commit([part(b"%d" % number + bytes(20_000)) for number in range(100)], 1)
    buffer.close()
    content = buffer.file.read_bytes()
    middle = len(content) // 2 & -16384
    buffer.file.write_bytes(content[:middle] + b"\xa5" * 32768 + content[middle + 32768 :])
    buffer = DiskBuffer.open(tmp_path, "sink")
    good = 0
    with pytest.raises(StateError, match=r"buffer\.sink\.db: the file is damaged"):
        while True:
            [(_, one)] = await buffer.read(1 + good, 1, 1)
            assert one.batch.values[0].startswith(b"%d" % good)
            good += 1
    assert 0 < good < 100
    buffer.close()


async def test_a_file_that_was_cut_short_is_told(tmp_path: Path) -> None:
    buffer = DiskBuffer.open(tmp_path, "sink")
    await buffer.commit([part(bytes(20_000)) for _ in range(100)], 1)
    buffer.close()
    os.truncate(buffer.file, 1 << 20)
    with pytest.raises(StateError, match="damaged"):
        for number in range(1, 101):
            opened = DiskBuffer.open(tmp_path, "sink")
            try:
                await opened.read(number, 1, 1)
            finally:
                opened.close()


async def test_what_recover_saves_can_be_put_in_its_place(tmp_path: Path) -> None:
    """A copy made by SQLite's own means has no version, and other pages."""
    buffer = DiskBuffer.open(tmp_path, "sink")
    await buffer.commit([part(b"a", b"b"), part(b"c")], 1)
    buffer.close()
    rows = sqlite3.connect(buffer.file)
    dump = "\n".join(rows.iterdump())
    rows.close()
    buffer.file.unlink()
    copy = sqlite3.connect(buffer.file)
    copy.executescript(dump)
    copy.close()
    buffer = DiskBuffer.open(tmp_path, "sink")
    await buffer.commit([part(b"d")], 1)
    assert await everything(buffer) == [b"a", b"b", b"c", b"d"]
    buffer.close()


async def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    buffer = DiskBuffer.open(tmp_path, "sink")
    buffer.close()
    connection = sqlite3.connect(buffer.file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StateError, match=r"newer version .* run that version until it is empty"):
        DiskBuffer.open(tmp_path, "sink")


async def test_a_file_that_was_never_finished_is_an_empty_buffer(tmp_path: Path) -> None:
    file_of(tmp_path, "sink").touch()
    assert [records for _, _, records in waiting(tmp_path)] == [0]
    buffer = DiskBuffer.open(tmp_path, "sink")
    assert buffer.extent.records == 0
    buffer.close()
