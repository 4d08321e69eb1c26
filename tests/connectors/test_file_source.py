"""The file source over real files: framing, positions, rotation, truncation, compression, lag."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from connectors.file import FileSource
from router import Batch, Context, EndOfStream, MemoryPositions, NotConnected, Source

POLL = "5ms"


def make(folder: Path, positions: MemoryPositions | None = None, **options: Any) -> FileSource:
    config = FileSource.Config.model_validate({"path": "*.log", **options})
    return FileSource(config.within(Context("in", folder, positions or MemoryPositions())))


@asynccontextmanager
async def opened(source: FileSource) -> AsyncIterator[FileSource]:
    await source.open()
    try:
        yield source
    finally:
        await source.close()


async def batches(source: FileSource, *, ack: bool = True) -> list[Batch]:
    found = []
    with suppress(EndOfStream):
        while True:
            found.append(await source.read())
            if ack:
                await source.ack(found[-1].token)
    return found


async def run(folder: Path, positions: MemoryPositions | None = None, **options: Any) -> list[bytes]:
    async with opened(make(folder, positions, **options)) as source:
        return [value for batch in await batches(source) for value in batch.values]


async def take(source: FileSource, count: int, *, ack: bool = True) -> list[bytes]:
    """The next ``count`` records of a source that follows."""
    values: list[bytes] = []
    async with asyncio.timeout(20):
        while len(values) < count:
            batch = await source.read()
            values += batch.values
            if ack:
                await source.ack(batch.token)
    return values


async def nothing_more(source: FileSource) -> None:
    """Some polls long, there is no record. (Cancels the read, so the source can only be closed after this.)"""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.06):
            await source.read()


async def eventually(holds: Callable[[], bool], source: FileSource) -> None:
    """Keep reading, which must give nothing, until something holds."""
    reading = asyncio.ensure_future(source.read())
    async with asyncio.timeout(20):
        while not holds():
            assert not reading.done()
            await asyncio.sleep(0.002)
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading


def test_it_is_a_source() -> None:
    """It satisfies the protocol that the router asks for."""
    source = make(Path())
    assert isinstance(source, Source)
    assert FileSource.replays
    assert FileSource.ack_order == "read"


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b"", []),
        (b"\n\r\n\n", []),
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\r\nb\n\r\n\nc\r\r\n", [b"a", b"b", b"c\r"]),
        (b"a\nlast", [b"a", b"last"]),
        (b"last\r", [b"last\r"]),
        (
            "\u65e5\u672c \u2028 \U0001f600\n".encode() + b"\xff\xfe\x00\n \n",
            [*["\u65e5\u672c \u2028 \U0001f600".encode()], b"\xff\xfe\x00", b" "],
        ),
    ],
)
async def test_framing(tmp_path: Path, content: bytes, records: list[bytes]) -> None:
    """Lines without their ending, no blank ones, the last one with or without newline, any bytes."""
    (tmp_path / "a.log").write_bytes(content)
    assert await run(tmp_path) == records


async def test_attributes_and_other_columns(tmp_path: Path) -> None:
    """A record knows the path it came from; there is no column that costs anything else."""
    (tmp_path / "a.log").write_bytes(b"1\n2\n")
    async with opened(make(tmp_path)) as source:
        batch = await source.read()
    assert list(batch.attributes["path"]) == [str(tmp_path / "a.log")] * 2
    assert (batch.keys, batch.headers, batch.times, batch.leases) == (None, None, None, None)
    assert batch.spoiled == {}


async def test_end_of_stream_stays(tmp_path: Path) -> None:
    """After the end there is the end again, until it is opened again."""
    (tmp_path / "a.log").write_bytes(b"1\n")
    async with opened(make(tmp_path)) as source:
        await batches(source)
        for _ in range(2):
            with pytest.raises(EndOfStream):
                await source.read()


async def test_closing(tmp_path: Path) -> None:
    """Closing twice or before opening is nothing; reading a closed source is an error; opening again works."""
    (tmp_path / "a.log").write_bytes(b"1\n")
    source = make(tmp_path)
    await source.close()
    with pytest.raises(NotConnected):
        await source.read()
    await source.open()
    await source.open()
    assert (await source.read()).values == [b"1"]
    await source.close()
    await source.close()
    assert await source.lag() == []
    with pytest.raises(NotConnected):
        await source.read()


# Which files


async def test_files_in_order_and_once(tmp_path: Path) -> None:
    """All matches in the order of their paths; one that several patterns or links name is read once."""
    for name in ("b.log", "a.log", "sub/c.log", "other.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode() + b"\n")
    (tmp_path / "link.log").symlink_to("a.log")
    (tmp_path / "hard.log").hardlink_to(tmp_path / "b.log")
    (tmp_path / "dangling.log").symlink_to("nowhere")
    (tmp_path / "folder.log").mkdir()
    assert await run(tmp_path, path=["**/*.log", "a.log", str(tmp_path / "*.txt")]) == [
        b"a.log",
        b"b.log",
        b"other.txt",
        b"sub/c.log",
    ]


async def test_a_name_that_looks_like_a_glob(tmp_path: Path) -> None:
    """A path that exists is that file, whatever characters it holds."""
    (tmp_path / "[a].log").write_bytes(b"brackets\n")
    (tmp_path / "a.log").write_bytes(b"plain\n")
    assert await run(tmp_path, path="[a].log") == [b"brackets"]


async def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    """A file whose name is no UTF-8 is read, and its path is text that can be encoded."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.log")).write_bytes(b"1\n")
    positions = MemoryPositions()
    async with opened(make(tmp_path, positions)) as source:
        [batch] = await batches(source)
    assert str(batch.attributes["path"][0]).encode().endswith("\ufffd.log".encode())
    assert await run(tmp_path, positions) == []


@pytest.mark.parametrize("follow", [False, True])
async def test_a_missing_path_is_not_connected(tmp_path: Path, follow: bool) -> None:
    """A path that is no glob must be there, and the error names it; it can be opened when it is."""
    source = make(tmp_path, path="missing.log", follow=follow)
    with pytest.raises(NotConnected, match=r"missing\.log does not exist"):
        await source.open()
    (tmp_path / "missing.log").write_bytes(b"1\n")
    async with opened(source):
        assert (await source.read()).values == [b"1"]


async def test_a_glob_may_match_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is the end at once, and a warning."""
    assert await run(tmp_path) == []
    assert "no file matches" in caplog.text


@pytest.mark.parametrize("follow", [False, True])
async def test_what_is_no_file(tmp_path: Path, follow: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A folder or FIFO that is named is refused with a message; matched by a glob it is left out."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo.log")
    (tmp_path / "a.log").write_bytes(b"1\n")
    with pytest.raises(NotConnected, match=r"is a folder; to read the files in it, say .*/folder/\*"):
        await make(tmp_path, path="folder", follow=follow).open()
    with pytest.raises(NotConnected, match="no regular file"):
        await make(tmp_path, path="fifo.log", follow=follow).open()
    with pytest.raises(NotConnected, match="cannot be read"):
        await make(tmp_path, path="a.log/b", follow=follow).open()
    async with opened(make(tmp_path, follow=follow, poll=POLL)) as source:
        assert (await source.read()).values == [b"1"]
    assert "fifo.log matches, but is no regular file" in caplog.text


@contextmanager
def without_privilege() -> Iterator[Path]:
    """A folder as somebody who may not read everything, even if the tests run as root."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if root:
                os.seteuid(0)


async def test_permission_denied(caplog: pytest.LogCaptureFixture) -> None:
    """A file that may not be read is not connected; a glob that is followed goes on with the others and tries again."""
    with without_privilege() as folder:
        (folder / "a.log").write_bytes(b"secret\n")
        (folder / "a.log").chmod(0)
        (folder / "b.log").write_bytes(b"open\n")
        for path, follow in (("a.log", False), ("*.log", False), ("a.log", True)):
            with pytest.raises(NotConnected, match=r"a\.log cannot be read: Permission denied"):
                await make(folder, path=path, follow=follow).open()
        async with opened(make(folder, follow=True, poll=POLL)) as source:
            assert await take(source, 1) == [b"open"]
            assert caplog.text.count("a.log cannot be read") == 1
            (folder / "a.log").chmod(0o600)
            assert await take(source, 1) == [b"secret"]


# Too long lines


async def test_a_long_line_is_spoiled_whole(tmp_path: Path) -> None:
    """It is in the batch, marked, in its order, with limit, size and place in the reason."""
    (tmp_path / "a.log").write_bytes(b"ok\n" + b"x" * 5000 + b"\nfine\n")
    async with opened(make(tmp_path, max_record=1000, read=512)) as source:
        found = await batches(source)
    assert [value for batch in found for value in batch.values] == [b"ok", b"x" * 5000, b"fine"]
    reasons = [(batch.values[i], why) for batch in found for i, why in batch.spoiled.items()]
    assert reasons == [(b"x" * 5000, "a line of 5000 bytes at byte 3, longer than max_record (1000)")]


async def test_a_line_beyond_memory_comes_in_pieces(tmp_path: Path) -> None:
    """Above 64 MiB a line is handed over in pieces, restarts included, and the next line is whole."""
    size = (66 << 20) + 1000
    with (tmp_path / "a.log").open("wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(b"\nnext\n")
    positions = MemoryPositions()
    async with opened(make(tmp_path, positions)) as source:
        first = await source.read()
        await source.ack(first.token)
    assert [len(value) for value in first.values] == [64 << 20]
    assert first.spoiled[0].startswith("part 1 of a line at byte 0")
    async with opened(make(tmp_path, positions)) as source:
        [last] = await batches(source)
    assert [len(value) for value in last.values] == [(2 << 20) + 1000, 4]
    assert last.spoiled == {0: f"part 2, the last of a line at byte 0, longer than {64 << 20} bytes"}


def test_settings() -> None:
    """Limits are sizes up to 64 MiB, there is at least one path, and what is unknown is refused."""
    wrongs: list[dict[str, Any]] = [
        {"max_record": "65MiB"},
        {"max_record": 0},
        {"path": []},
        {"path": ""},
        {"tail": True},
        {"poll": 0},
    ]
    for wrong in wrongs:
        with pytest.raises(ValueError):
            make(Path(), **wrong)


# Restarts

LINES = st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), max_size=40)


@settings(deadline=None, max_examples=60)
@given(
    lines=LINES,
    newline=st.booleans(),
    read=st.integers(1, 50),
    restarts=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=5),
    packing=st.sampled_from(["", ".gz", ".zst"]),
)
async def test_nothing_is_missing_and_only_the_unacknowledged_repeats(
    lines: list[bytes], newline: bool, read: int, restarts: list[tuple[int, int]], packing: str
) -> None:
    """Whatever the chunks and wherever it is stopped, records come in order, from the last acknowledged one on."""
    content = b"\n".join(lines) + (b"\n" if newline and lines else b"")
    assume(not content.startswith((b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd")))  # a plain file would not be plain
    *ended, rest = content.split(b"\n")
    expected = [line for line in [*(line.removesuffix(b"\r") for line in ended), rest] if line]
    packers: dict[str, Callable[[bytes], bytes]] = {
        "": bytes,
        ".gz": gzip.compress,
        ".zst": zstandard.ZstdCompressor().compress,
    }
    with tempfile.TemporaryDirectory() as name:
        half = len(content) // 2
        packed = packers[packing](content[:half]) + packers[packing](content[half:])
        (Path(name) / f"a.log{packing}").write_bytes(packed)
        positions, acked = MemoryPositions(), 0
        for reads, acks in [*restarts, (10**6, 10**6)]:
            async with opened(make(Path(name), positions, path="a.log*", read=read)) as source:
                at = acked
                with suppress(EndOfStream):
                    for index in range(reads):
                        batch = await source.read()
                        assert list(batch.values) == expected[at : at + len(batch)]
                        at += len(batch)
                        if index < acks:
                            await source.ack(batch.token)
                            acked = at
        assert acked == len(expected)
        assert await run(Path(name), positions, path="a.log*") == []


async def test_acknowledged_on_the_way(tmp_path: Path) -> None:
    """A batch that is read but not acknowledged comes again, the ones before it do not."""
    (tmp_path / "a.log").write_bytes(b"".join(b"%d\n" % n for n in range(10)))
    positions = MemoryPositions()
    async with opened(make(tmp_path, positions, read=4)) as source:
        first, _ = await source.read(), await source.read()
        await source.ack(first.token)
    assert await run(tmp_path, positions) == [b"%d" % n for n in range(2, 10)]


async def test_a_cancelled_read_comes_again(tmp_path: Path) -> None:
    """What a cancelled read had taken in is there after the next opening, however often that happens."""
    (tmp_path / "a.log").write_bytes(b"".join(b"%d\n" % n for n in range(1000)))
    positions = MemoryPositions()
    for wait in range(20):
        source = make(tmp_path, positions, read=16)
        await source.open()
        reading = asyncio.ensure_future(source.read())
        for _ in range(wait % 4):
            await asyncio.sleep(0)
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        await source.close()
    assert await run(tmp_path, positions) == [b"%d" % n for n in range(1000)]


async def test_finished_files_are_read_on_when_they_grew(tmp_path: Path) -> None:
    """A second run reads new files and what was added to old ones, nothing else."""
    positions = MemoryPositions()
    (tmp_path / "a.log").write_bytes(b"1\n\n")
    assert await run(tmp_path, positions) == [b"1"]
    assert await run(tmp_path, positions) == []
    with (tmp_path / "a.log").open("ab") as file:
        file.write(b"2\n")
    (tmp_path / "b.log").write_bytes(b"3\n")
    assert await run(tmp_path, positions) == [b"2", b"3"]


async def test_a_replaced_file_is_read_from_its_beginning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An inode with other content, even longer than what was read, is another file; a renamed one is the same."""
    positions = MemoryPositions()
    (tmp_path / "a.log").write_bytes(b"old 1\nold 2\n")
    await run(tmp_path, positions)
    (tmp_path / "a.log").rename(tmp_path / "z.log")
    assert await run(tmp_path, positions) == []
    (tmp_path / "z.log").write_bytes(b"new 1\nnew 2\nnew 3\n")  # same inode
    assert await run(tmp_path, positions) == [b"new 1", b"new 2", b"new 3"]
    assert "read from its beginning" in caplog.text


async def test_a_file_is_known_by_what_is_before_the_place_too(tmp_path: Path) -> None:
    """Same inode, same first KiB, other content before the place: begin again rather than in the middle."""
    positions = MemoryPositions()
    head = b"#" * 3000 + b"\n"
    (tmp_path / "a.log").write_bytes(head + b"old\n")
    await run(tmp_path, positions)
    (tmp_path / "a.log").write_bytes(head + b"new\nmore\n")
    assert await run(tmp_path, positions) == [b"#" * 3000, b"new", b"more"]


async def test_positions_of_deleted_files_are_forgotten(tmp_path: Path) -> None:
    """What is no longer in its folder leaves the state; what was only renamed, or whose folder is away, stays."""
    positions = MemoryPositions()
    for name in ("gone", "renamed", "kept"):
        (tmp_path / f"{name}.log").write_bytes(name.encode() + b"\n")
    (tmp_path / "mount").mkdir()
    (tmp_path / "mount" / "away.log").write_bytes(b"away\n")
    await run(tmp_path, positions, path="**/*.log")
    assert len(positions.entries) == 4
    (tmp_path / "gone.log").unlink()
    (tmp_path / "renamed.log").rename(tmp_path / "renamed.1")
    (tmp_path / "mount").rename(tmp_path / "elsewhere")
    assert await run(tmp_path, positions, path="*.log") == []
    assert sorted(Path(e["path"]).name for e in positions.entries.values()) == ["away.log", "kept.log", "renamed.log"]  # type: ignore[index,call-overload,arg-type]


@pytest.mark.parametrize("follow", [False, True])
async def test_positions_that_are_not_understood(
    tmp_path: Path, follow: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """They are told and left aside, and the file is read from its beginning: nothing is lost."""
    (tmp_path / "a.log").write_bytes(b"1\n")
    found = (tmp_path / "a.log").stat()
    positions = MemoryPositions()
    positions.entries = {f"{found.st_dev}:{found.st_ino}": {"offset": -1}, "1:2": 7}
    async with opened(make(tmp_path, positions, follow=follow, poll=POLL)) as source:
        assert (await source.read()).values == [b"1"]
    assert "not understood" in caplog.text


# Compressed files

PACKERS = [(".gz", gzip.compress), (".zst", zstandard.ZstdCompressor().compress)]


@pytest.mark.parametrize(("suffix", "pack"), PACKERS)
@pytest.mark.parametrize("named", [True, False])
async def test_compressed(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes], named: bool) -> None:
    """Recognised by name or content; several members are one stream; a restart goes on inside."""
    lines = [os.urandom(10).hex().encode() for n in range(50000)]
    content = b"\n".join(lines) + b"\n"
    (tmp_path / ("a.log" + suffix * named)).write_bytes(pack(content[:777]) + pack(b"") + pack(content[777:]))
    positions = MemoryPositions()
    async with opened(make(tmp_path, positions, path="a.log*", read=1000)) as source:
        first = await source.read()
        await source.ack(first.token)
        assert (await source.read()).values
    rest = await run(tmp_path, positions, path="a.log*")
    assert list(first.values) + rest == lines
    assert 0 < len(first) < len(lines)
    assert await run(tmp_path, positions, path="a.log*") == []


@pytest.mark.parametrize(("suffix", "pack"), PACKERS)
async def test_a_compressed_file_that_breaks_off(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    """What can be read comes, then one spoiled record that says where it broke, once; complete, it goes on there."""
    lines = [os.urandom(20).hex().encode() for n in range(20000)]
    whole = pack(b"\n".join(lines) + b"\n")
    file, positions = tmp_path / f"a.log{suffix}", MemoryPositions()
    file.write_bytes(whole[: len(whole) * 2 // 3])
    async with opened(make(tmp_path, positions, path="a.log*", read=5000)) as source:
        found = await batches(source)
    values = [value for batch in found for value in batch.values]
    *good, broken = values
    assert len(good) > 5000
    assert good == lines[: len(good)]
    assert lines[len(good)].startswith(broken)
    assert [list(batch.spoiled) for batch in found[:-1]] == [[]] * (len(found) - 1)
    [(index, reason)] = found[-1].spoiled.items()
    assert index == len(found[-1]) - 1
    assert f"breaks off after {len(whole) * 2 // 3} bytes" in reason
    assert f"from byte {sum(len(line) + 1 for line in good)} on" in reason
    assert await run(tmp_path, positions, path="a.log*") == []
    file.write_bytes(whole)
    assert await run(tmp_path, positions, path="a.log*") == lines[len(good) :]


@pytest.mark.parametrize(("suffix", "pack"), PACKERS)
async def test_a_corrupt_compressed_file(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    """Members before the corruption come, then a spoiled record; the next file is read."""
    (tmp_path / f"a.log{suffix}").write_bytes(pack(b"1\n2\n3") + b"garbage, not a member" + pack(b"4\n"))
    (tmp_path / "b.log").write_bytes(b"next\n")
    async with opened(make(tmp_path, path="*.log*")) as source:
        first, second = await batches(source)
    assert first.values == [b"1", b"2", b"3"]
    assert list(first.spoiled) == [2]
    assert "cannot be read" in first.spoiled[2]
    assert second.values == [b"next"]


async def test_a_name_that_promises_compression(tmp_path: Path) -> None:
    """Plain text in a file named .gz is told, not guessed; padding after the last member is none of the content."""
    (tmp_path / "a.log.gz").write_bytes(b"plain\n")
    (tmp_path / "b.log.gz").write_bytes(gzip.compress(b"good\n") + b"\0" * 10000)
    (tmp_path / "c.log.gz").write_bytes(b"")
    async with opened(make(tmp_path, path="*.gz")) as source:
        first, second = await batches(source)
    assert first.values == [b""]
    assert "not gzip after byte 0" in first.spoiled[0]
    assert (second.values, second.spoiled) == ([b"good"], {})


async def test_zstd_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening says what to install."""
    (tmp_path / "a.log").write_bytes(zstandard.ZstdCompressor().compress(b"1\n"))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(NotConnected, match=r'pip install "sluiceway\[zstd\]"'):
        await make(tmp_path).open()


async def test_compressed_files_are_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They are left out with one warning."""
    (tmp_path / "a.log").write_bytes(gzip.compress(b"1\n"))
    (tmp_path / "b.log").write_bytes(b"2\n")
    async with opened(make(tmp_path, follow=True, poll=POLL)) as source:
        assert await take(source, 1) == [b"2"]
        await nothing_more(source)
    assert caplog.text.count("a.log is gzip, which cannot be followed") == 1


# Following


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


async def test_following_gives_what_is_appended(tmp_path: Path) -> None:
    """New lines, new files, and a last line only when its newline has come."""
    log = tmp_path / "a.log"
    log.write_bytes(b"1\n2")
    async with opened(make(tmp_path, follow=True, poll=POLL)) as source:
        assert await take(source, 1) == [b"1"]
        append(log, b"")
        (tmp_path / "b.log").write_bytes(b"new\n")
        assert await take(source, 1) == [b"new"]
        append(log, b"2\r")
        await asyncio.sleep(0.02)
        append(log, b"\n3\n")
        assert await take(source, 2) == [b"22", b"3"]
        append(log, b"half")
        await nothing_more(source)


async def test_begin_at_the_end(tmp_path: Path) -> None:
    """Files there at the very first opening begin at their end, at a whole line; later ones at the beginning."""
    positions = MemoryPositions()
    (tmp_path / "a.log").write_bytes(b"old\nhalf")
    options: dict[str, Any] = {"follow": True, "start": "end", "poll": POLL}
    async with opened(make(tmp_path, positions, **options)) as source:
        await nothing_more(source)
    append(tmp_path / "a.log", b" whole\n")  # while it is down: still not seen before, but after the beginning
    (tmp_path / "b.log").write_bytes(b"appeared\n")
    async with opened(make(tmp_path, positions, **options)) as source:
        assert sorted(await take(source, 2)) == [b"appeared", b"half whole"]


async def test_begin_at_the_end_of_nothing(tmp_path: Path) -> None:
    """When no file was there at first, the first one to appear is read from its beginning, after a restart too."""
    positions = MemoryPositions()
    options: dict[str, Any] = {"follow": True, "start": "end", "poll": POLL}
    async with opened(make(tmp_path, positions, **options)):
        pass
    (tmp_path / "a.log").write_bytes(b"1\n")
    async with opened(make(tmp_path, positions, **options)) as source:
        assert await take(source, 1) == [b"1"]


async def test_begin_at_the_end_of_what_is_missing(tmp_path: Path) -> None:
    """A path that is missing at first has nothing to skip when it is there."""
    source = make(tmp_path, path="a.log", follow=True, start="end", poll=POLL)
    with pytest.raises(NotConnected):
        await source.open()
    (tmp_path / "a.log").write_bytes(b"1\n")
    async with opened(source):
        assert await take(source, 1) == [b"1"]


async def test_what_was_read_once_can_be_followed(tmp_path: Path) -> None:
    """Positions of a run that did not follow hold for one that does; those of compressed files stay out of it."""
    positions = MemoryPositions()
    (tmp_path / "a.log").write_bytes(b"1\n")
    (tmp_path / "b.log").write_bytes(gzip.compress(b"2\n"))
    (tmp_path / "c.log").write_bytes(gzip.compress(b"3\n"))
    assert await run(tmp_path, positions) == [b"1", b"2", b"3"]
    (tmp_path / "b.log").rename(tmp_path / "b.gone")
    append(tmp_path / "a.log", b"4\n")
    async with opened(make(tmp_path, positions, follow=True, poll=POLL)) as source:
        assert await take(source, 1) == [b"4"]
        append(tmp_path / "b.gone", b"5\n")
        append(tmp_path / "c.log", b"5\n")
        await nothing_more(source)


async def test_a_file_that_gets_the_inode_of_a_deleted_one(tmp_path: Path) -> None:
    """Even with the same first lines it is another file, and read whole."""
    log, positions = tmp_path / "a.log", MemoryPositions()
    log.write_bytes(b"header\n")
    (tmp_path / "b.log").write_bytes(b"")
    async with opened(make(tmp_path, positions, follow=True, poll=POLL)) as source:
        assert await take(source, 1) == [b"header"]
    async with opened(make(tmp_path, positions, follow=True, poll=POLL)) as source:
        log.unlink()
        await eventually(lambda: not positions.entries, source)
        for n in range(20):  # inodes are given out again at once on some file systems, later on others
            (tmp_path / f"{n}.log").write_bytes(b"header\n")
        assert await take(source, 20) == [b"header"] * 20


@pytest.mark.parametrize("name", ["a.log.1", "rotated.log"])
async def test_rotation_by_rename(tmp_path: Path, name: str) -> None:
    """The renamed file is read to its end, before the new one, whether its new name matches or not."""
    log = tmp_path / "a.log"
    log.write_bytes(b"1\n")
    async with opened(make(tmp_path, follow=True, poll=POLL)) as source:
        assert await take(source, 1) == [b"1"]
        append(log, b"2\n3\n")
        log.rename(tmp_path / name)
        log.write_bytes(b"4\n")
        assert await take(source, 3) == [b"2", b"3", b"4"]
        append(tmp_path / name, b"late\n")  # a writer that has not noticed yet
        assert await take(source, 1) == [b"late"]


async def test_an_unfinished_last_line_of_a_rotated_file(tmp_path: Path) -> None:
    """It becomes a record once the file has been quiet, for nobody will finish it."""
    log = tmp_path / "a.log"
    log.write_bytes(b"1\nunfinished")
    async with opened(make(tmp_path, follow=True, poll=POLL)) as source:
        assert await take(source, 1) == [b"1"]
        log.rename(tmp_path / "a.old")
        log.write_bytes(b"2\n")
        assert await take(source, 2) == [b"2", b"unfinished"]
        await nothing_more(source)


async def test_rotation_while_it_was_down(tmp_path: Path) -> None:
    """After a restart the rotated file is found by its inode and read on, before the new one."""
    log, positions = tmp_path / "a.log", MemoryPositions()
    log.write_bytes(b"1\n2\n3\n")
    async with opened(make(tmp_path, positions, follow=True, poll=POLL, read=2)) as source:
        assert await take(source, 1) == [b"1"]
    append(log, b"4\n")
    log.rename(tmp_path / "totally-different")
    log.write_bytes(b"5\n")
    async with opened(make(tmp_path, positions, follow=True, poll=POLL)) as source:
        assert await take(source, 4) == [b"2", b"3", b"4", b"5"]


async def test_a_rotated_file_whose_inode_was_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Another file that got the inode of one that is gone is never read: no pattern names it."""
    log, positions = tmp_path / "a.log", MemoryPositions()
    log.write_bytes(b"1\n")
    async with opened(make(tmp_path, positions, follow=True, poll=POLL)) as source:
        assert await take(source, 1) == [b"1"]
    log.rename(tmp_path / "letter.txt")
    (tmp_path / "letter.txt").write_bytes(b"private\n")
    async with opened(make(tmp_path, positions, follow=True, poll=POLL)) as source:
        await nothing_more(source)
    assert positions.entries == {}
    assert "a.log is gone" in caplog.text


async def test_a_rotated_file_that_is_overwritten(tmp_path: Path) -> None:
    """When a file is something else after it was rotated away, what it is then is not read."""
    log = tmp_path / "a.log"
    log.write_bytes(b"1\n")
    async with opened(make(tmp_path, follow=True, poll=POLL)) as source:
        assert await take(source, 1) == [b"1"]
        log.rename(tmp_path / "letter.txt")
        log.write_bytes(b"2\n")
        assert await take(source, 1) == [b"2"]
        (tmp_path / "letter.txt").write_bytes(b"private\n")
        await nothing_more(source)


async def test_the_oldest_first(tmp_path: Path) -> None:
    """Files that are followed begin with the one that was changed longest ago."""
    for age, name in enumerate(["b.log", "c.log", "a.log"]):
        (tmp_path / name).write_bytes(name.encode() + b"\n")
        os.utime(tmp_path / name, (1000 + age, 1000 + age))
    async with opened(make(tmp_path, follow=True, poll=POLL)) as source:
        assert await take(source, 3) == [b"b.log", b"c.log", b"a.log"]


async def test_a_busy_file_does_not_keep_others_waiting(tmp_path: Path) -> None:
    """A file that always has more has its turn up to where it ended when the turn began."""
    (tmp_path / "a.log").write_bytes(b"a\n" * 50)
    (tmp_path / "b.log").write_bytes(b"b\n")
    os.utime(tmp_path / "a.log", (1000, 1000))
    async with opened(make(tmp_path, follow=True, poll=POLL, read=10)) as source:
        for _ in range(30):
            if (await source.read()).values == [b"b"]:
                break
            append(tmp_path / "a.log", b"a\n" * 50)
        else:
            pytest.fail("the other file never had its turn")


async def test_a_literal_path_between_rotation_and_recreation(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The rotated file is read although nothing has taken its name yet; then what takes it."""
    log, positions = tmp_path / "a.log", MemoryPositions()
    log.write_bytes(b"1\n2\n")
    async with opened(make(tmp_path, positions, path="a.log", follow=True, poll=POLL, read=2)) as source:
        assert await take(source, 1) == [b"1"]
    log.rename(tmp_path / "a.log.1")
    async with opened(make(tmp_path, positions, path="a.log", follow=True, poll=POLL)) as source:
        assert await take(source, 1) == [b"2"]
        log.write_bytes(b"3\n")
        assert await take(source, 1) == [b"3"]
    assert "is followed once it does" in caplog.text


@pytest.mark.parametrize("copy", ["a.log.1", "a-copy.log"])
async def test_copy_and_truncate(tmp_path: Path, copy: str) -> None:
    """What was not read yet is read from the copy, what was read is not read again, then the file from its start."""
    log = tmp_path / "a.log"
    log.write_bytes(b"1\n2\n")
    async with opened(make(tmp_path, follow=True, poll=POLL)) as source:
        assert await take(source, 2) == [b"1", b"2"]
        append(log, b"3\n")
        shutil.copyfile(log, tmp_path / copy)
        os.truncate(log, 0)
        append(log, b"4\n")
        assert sorted(await take(source, 2)) == [b"3", b"4"]
        append(log, b"5\n")
        assert await take(source, 1) == [b"5"]
        await nothing_more(source)


async def test_copy_and_truncate_while_it_was_down(tmp_path: Path) -> None:
    """The same after a restart, when the file has even grown beyond the old position."""
    log, positions = tmp_path / "a.log", MemoryPositions()
    log.write_bytes(b"1\n2\n3\n")
    async with opened(make(tmp_path, positions, follow=True, poll=POLL, read=4)) as source:
        assert await take(source, 2) == [b"1", b"2"]
    shutil.copyfile(log, tmp_path / "a.log.1")
    log.write_bytes(b"new 4\nnew 5\n")
    for _ in range(2):
        async with opened(make(tmp_path, positions, follow=True, poll=POLL)) as source:
            assert await take(source, 3, ack=False) == [b"3", b"new 4", b"new 5"]


async def test_a_restart_while_a_copy_is_drained(tmp_path: Path) -> None:
    """What was acknowledged of the copy does not come again, although nothing of the truncated file has been yet."""
    log, positions = tmp_path / "a.log", MemoryPositions()
    log.write_bytes(b"1\n2\n3\n")
    async with opened(make(tmp_path, positions, follow=True, poll=POLL, read=2)) as source:
        assert await take(source, 1) == [b"1"]
    shutil.copyfile(log, tmp_path / "a.log.1")
    log.write_bytes(b"new 4\n")
    for expected in ([b"2"], [b"3"], [b"new 4"]):
        async with opened(
            make(tmp_path, positions, follow=True, poll=POLL, read=2 if len(expected[0]) == 1 else 99)
        ) as source:
            assert await take(source, 1) == expected


async def test_an_unfinished_line_that_is_taken_back(tmp_path: Path) -> None:
    """A last line that is replaced before its newline came is read as it is in the end."""
    log = tmp_path / "a.log"
    log.write_bytes(b"1\nhalf")
    async with opened(make(tmp_path, follow=True, poll=POLL)) as source:
        assert await take(source, 1) == [b"1"]
        reading = asyncio.ensure_future(source.read())
        await asyncio.sleep(0.05)
        os.truncate(log, 2)
        append(log, b"full\n")
        async with asyncio.timeout(20):
            assert (await reading).values == [b"full"]


async def test_truncated_without_a_copy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It begins again, regrown longer than before or not, and a warning says that something may be lost."""
    log = tmp_path / "a.log"
    log.write_bytes(b"1\n2\n")
    async with opened(make(tmp_path, follow=True, poll=POLL)) as source:
        held = await source.read()
        log.write_bytes(b"a\n")
        assert await take(source, 1) == [b"a"]
        log.write_bytes(b"regrown\nand longer\n")
        assert await take(source, 2) == [b"regrown", b"and longer"]
        await source.ack(held.token)  # of what is no more: does not disturb
        await nothing_more(source)
    assert caplog.text.count("was truncated") == 2


async def test_a_position_before_truncation_is_not_applied_after(tmp_path: Path) -> None:
    """A late acknowledgement of what was truncated away never makes a restart skip what is there now."""
    log, positions = tmp_path / "a.log", MemoryPositions()
    log.write_bytes(b"1\n2\n")
    async with opened(make(tmp_path, positions, follow=True, poll=POLL)) as source:
        held = await source.read()
        log.write_bytes(b"3\n4\n5\n")
        assert await take(source, 3, ack=False) == [b"3", b"4", b"5"]
        await source.ack(held.token)
    async with opened(make(tmp_path, positions, follow=True, poll=POLL)) as source:
        assert await take(source, 3) == [b"3", b"4", b"5"]


async def test_deleted_files_are_drained_and_forgotten(tmp_path: Path) -> None:
    """What a deleted file still held is read; then its position leaves the state."""
    log, positions = tmp_path / "a.log", MemoryPositions()
    log.write_bytes(b"1\n")
    (tmp_path / "b.log").write_bytes(b"b\n")
    async with opened(make(tmp_path, positions, follow=True, poll=POLL)) as source:
        assert sorted(await take(source, 2)) == [b"1", b"b"]
        append(log, b"2\nlast")
        log.unlink()
        assert await take(source, 2) == [b"2", b"last"]
        assert len(positions.entries) == 2
        await eventually(lambda: len(positions.entries) == 1, source)
        assert [lag.partition for lag in await source.lag()] == [str(tmp_path / "b.log")]


async def test_a_deleted_file_is_kept_until_acknowledged(tmp_path: Path) -> None:
    """Its position is not forgotten while a batch of it is under way."""
    log, positions = tmp_path / "a.log", MemoryPositions()
    log.write_bytes(b"1\n2\n")
    async with opened(make(tmp_path, positions, follow=True, poll=POLL, read=2)) as source:
        first, second = await source.read(), await source.read()
        log.unlink()
        await source.ack(first.token)
        await nothing_more(source)
        assert len(positions.entries) == 1
        await source.ack(second.token)
        await eventually(lambda: not positions.entries, source)


async def test_growing_from_nothing_keeps_identity(tmp_path: Path) -> None:
    """A file that is followed from its first byte on is never taken for another one, across restarts at every size."""
    log, positions, expected = tmp_path / "a.log", MemoryPositions(), []
    log.write_bytes(b"")
    for n in range(120):
        async with opened(make(tmp_path, positions, follow=True, poll=POLL)) as source:
            line = b"%d %s" % (n, b"x" * (n % 40))
            append(log, line + b"\n")
            expected += await take(source, 1)
            assert expected[-1] == line
    assert log.stat().st_size > 2048
    assert await run(tmp_path, positions) == []


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_more_files_than_are_held_open(tmp_path: Path) -> None:
    """Files beyond the bound on descriptors are closed and found again, renamed or not."""
    names = [tmp_path / f"{n:03}.log" for n in range(300)]
    for name in names:
        name.write_bytes(b"1\n")
    before = descriptors()
    async with opened(make(tmp_path, follow=True, poll=POLL)) as source:
        await take(source, 300)
        assert descriptors() - before <= 260
        names[0].rename(tmp_path / "renamed")
        append(tmp_path / "renamed", b"first\n")
        append(names[1], b"second\n")
        append(names[-1], b"last\n")
        assert sorted(await take(source, 3)) == [b"first", b"last", b"second"]
    assert descriptors() <= before + 1


def write_and_rotate(folder: Path, count: int, how: str) -> None:
    log, rotations = folder / "a.log", 0
    for n in range(count):
        append(log, b"record %06d\n" % n)
        if n % 97 == 96:
            rotations += 1
            if how == "rename":
                log.rename(folder / f"a.log.{rotations}")
            else:
                shutil.copyfile(log, folder / f"a.log.{rotations}")
                os.truncate(log, 0)


@pytest.mark.parametrize("how", ["rename", "copytruncate"])
async def test_rotation_under_a_writer_and_restarts(tmp_path: Path, how: str) -> None:
    """While a writer writes and rotates and the source restarts, every record comes, exactly once if acknowledged."""
    positions, values = MemoryPositions(), list[bytes]()
    (tmp_path / "a.log").write_bytes(b"")
    count = 3000
    async with opened(make(tmp_path, positions, path="a.log", follow=True, poll="1ms")):
        pass
    writer = threading.Thread(target=write_and_rotate, args=(tmp_path, count, how))
    writer.start()
    async with asyncio.timeout(60):
        while len(set(values)) < count:
            async with opened(
                make(tmp_path, positions, path=str(tmp_path / "a.log*"), follow=True, poll="1ms", read=500)
            ) as source:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.2 if how == "rename" else 60):
                        while len(set(values)) < count:
                            batch = await source.read()
                            values += batch.values
                            await source.ack(batch.token)
    writer.join()
    assert sorted(set(values)) == [b"record %06d" % n for n in range(count)]
    if how == "rename":
        assert len(values) == count


# Lag


async def test_lag(tmp_path: Path) -> None:
    """Bytes not acknowledged, the records these are, seconds; nothing once all is acknowledged."""
    log = tmp_path / "a.log"
    log.write_bytes(b"123456789\n" * 10 + b"\n\n")
    os.utime(log, (1_000_000_000, 1_000_000_000))
    async with opened(make(tmp_path, read=50)) as source:
        [before] = await source.lag()
        assert (before.partition, before.bytes, before.records) == (str(log), 102, None)
        assert before.seconds is not None
        assert before.seconds > 10**8
        first = await source.read()
        [lag] = await source.lag()
        assert (lag.bytes, lag.records) == (102, 10)
        await source.ack(first.token)
        [lag] = await source.lag()
        assert (lag.bytes, lag.records) == (52, 5)
        await batches(source)
        [lag] = await source.lag()
        assert (lag.bytes, lag.records, lag.seconds) == (0, 0, 0.0)


async def test_lag_of_what_is_followed(tmp_path: Path) -> None:
    """Blank lines at the end are no lag; seconds count from when the file last was acknowledged to its end."""
    log = tmp_path / "a.log"
    log.write_bytes(b"1\n")
    os.utime(log, (1_000_000_000, 1_000_000_000))
    async with opened(make(tmp_path, follow=True, poll=POLL)) as source:
        await take(source, 1)
        append(log, b"\n\r\n")
        reading = asyncio.ensure_future(source.read())
        async with asyncio.timeout(20):
            while (await source.lag())[0].bytes:
                await asyncio.sleep(0.002)
        append(log, b"22\n")
        batch = await reading
        [lag] = await source.lag()
        assert lag.bytes
        assert lag.seconds is not None
        assert 0 <= lag.seconds < 10**6
        await source.ack(batch.token)
        assert [lag.bytes for lag in await source.lag()] == [0]


async def test_lag_of_a_file_that_never_rests(tmp_path: Path) -> None:
    """Where there is always something under way, seconds are the age of that and do not add up."""
    log = tmp_path / "a.log"
    log.write_bytes(b"1\n")
    os.utime(log, (1_000_000_000, 1_000_000_000))
    async with opened(make(tmp_path, follow=True, poll=POLL)) as source:
        held = await source.read()
        for _ in range(5):
            append(log, b"22\n")
            batch = await source.read()
            await source.ack(held.token)
            held = batch
            [lag] = await source.lag()
            assert lag.bytes == 3
            assert lag.seconds is not None
            assert 0 <= lag.seconds < 10**6


async def test_lag_of_many_files_is_bounded(tmp_path: Path) -> None:
    """A hundred files by name, the rest as one."""
    for n in range(130):
        (tmp_path / f"{n:03}.log").write_bytes(b"12\n34\n")
    async with opened(make(tmp_path)) as source:
        lags = await source.lag()
        assert len(lags) == 101
        assert (lags[-1].partition, lags[-1].bytes, lags[-1].records) == ("other", 180, None)
        await batches(source)
        assert {(lag.bytes, lag.records, lag.seconds) for lag in await source.lag()} == {(0, 0, 0.0)}


async def test_lag_of_a_compressed_file(tmp_path: Path) -> None:
    """Stored bytes: all of them at first, none at the end."""
    (tmp_path / "a.log").write_bytes(packed := gzip.compress(b"1\n2\n"))
    async with opened(make(tmp_path)) as source:
        assert [lag.bytes for lag in await source.lag()] == [len(packed)]
        await batches(source)
        assert [lag.bytes for lag in await source.lag()] == [0]
