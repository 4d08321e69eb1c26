"""The file sink over real files: whole lines, paths, failures, rotation, compression, repair."""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.file import FileSink, FileSource
from router import Batch, Constant, Context, EndOfStream, NotConnected, Sink, WriteError


def make(folder: Path, path: str = "out/a.ndjson", **options: Any) -> FileSink:
    config = FileSink.Config.model_validate({"path": path, **options})
    return FileSink(config.within(Context("out", folder)))


@asynccontextmanager
async def opened(sink: FileSink) -> AsyncIterator[FileSink]:
    await sink.open()
    try:
        yield sink
    finally:
        await sink.close()


def batch(*values: bytes, path: list[object] | Constant[object] | None = None) -> Batch:
    return Batch(list(values), settings={} if path is None else {"path": path})


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_it_is_a_sink() -> None:
    """It satisfies the protocol, and its path may be chosen per record."""
    assert isinstance(make(Path()), Sink)
    assert FileSink.Config.per_record() == {"path"}


def test_settings() -> None:
    """What makes no sense is refused."""
    wrongs: list[dict[str, Any]] = [
        {"path": ""},
        {"max_open": 0},
        {"rotate": {}},
        {"rotate": {"keep": 3}},
        {"rotate": {"bytes": 0}},
        {"rotate": {"every": "1ms"}},
        {"rotate": {"bytes": 1, "keep": 0}},
        {"fsync": "sometimes"},
        {"mode": "w"},
        {"compression": "brotli"},
        {"fsync_interval": 0},
    ]
    for wrong in wrongs:
        with pytest.raises(ValueError):
            FileSink.Config.model_validate({"path": "a", **wrong})


# Writing


@pytest.mark.parametrize("fsync", ["batch", "interval", "never"])
async def test_it_appends_lines(tmp_path: Path, fsync: str) -> None:
    """Records are lines, there when write returns, after those that were there before; folders are made."""
    for n in range(2):
        async with opened(make(tmp_path, "deep/er/a.ndjson", fsync=fsync, fsync_interval="5ms")) as sink:
            await sink.write(batch(b"%d" % n, b"\xff\x00 \xe2\x80\xa8"))
            await sink.write(batch(b"more"))
            assert (tmp_path / "deep/er/a.ndjson").read_bytes() == b"0\n\xff\x00 \xe2\x80\xa8\nmore\n" * (n == 0) + (
                b"0\n\xff\x00 \xe2\x80\xa8\nmore\n1\n\xff\x00 \xe2\x80\xa8\nmore\n" * (n == 1)
            )


async def test_writes_that_wait_for_one_sync(tmp_path: Path) -> None:
    """With an interval, writes that wait together are all there, and acknowledged, in order."""
    async with opened(make(tmp_path, fsync="interval", fsync_interval="20ms")) as sink:
        await asyncio.gather(*(sink.write(batch(b"%d" % n)) for n in range(20)))
    assert (tmp_path / "out/a.ndjson").read_bytes() == b"".join(b"%d\n" % n for n in range(20))


async def test_closing(tmp_path: Path) -> None:
    """Closing twice or before opening is nothing; writing to a closed sink is an error; opening again works."""
    sink = make(tmp_path)
    await sink.close()
    with pytest.raises(NotConnected):
        await sink.write(batch(b"1"))
    await sink.open()
    await sink.open()
    await sink.write(batch(b"1"))
    await sink.close()
    await sink.close()
    with pytest.raises(NotConnected):
        await sink.write(batch(b"1"))


async def test_a_cancelled_write_does_not_tear(tmp_path: Path) -> None:
    """Whenever a write is cancelled, closing waits for it, and the file holds whole batches."""
    for wait in range(30):
        sink = make(tmp_path, fsync="never")
        await sink.open()
        writing = asyncio.ensure_future(sink.write(batch(*[b"x" * 100] * 5000)))
        for _ in range(wait % 5):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await sink.close()
    data = (tmp_path / "out/a.ndjson").read_bytes()
    assert len(data) % (101 * 5000) == 0
    assert set(data.split(b"\n")) <= {b"x" * 100, b""}


async def test_payloads_with_newlines(tmp_path: Path) -> None:
    """JSON is compacted; another payload fails alone and for good, with a reason."""
    async with opened(make(tmp_path)) as sink:
        with pytest.raises(WriteError) as caught:
            await sink.write(batch(b"first", b'{"n":\n 12345678901234567890123}', b"not\njson", b"last"))
        assert list(caught.value.failed) == [2]
        assert "newline" in caught.value.failed[2]
        assert not caught.value.retryable
        with pytest.raises(WriteError):
            await sink.write(batch(b"\n"))
    assert (tmp_path / "out/a.ndjson").read_bytes() == b'first\n{"n":12345678901234567890123}\nlast\n'


# Paths

TEMPLATE = "out/${event.tenant}/a.ndjson"


async def test_chosen_paths(tmp_path: Path) -> None:
    """Each record goes to the path it chose, in order within each file; the same file by two names is one."""
    async with opened(make(tmp_path, TEMPLATE)) as sink:
        await sink.write(batch(b"1", b"2", b"3", b"4", path=["out/x/a", "out/y/a", "out/x//a", "out/x/../x/a"]))
        await sink.write(batch(b"5", b"6", path=Constant("out/y/a", 2)))
        await sink.write(batch(b"7", path=[str(tmp_path / "out/x/a")]))
    assert content(tmp_path) == {"out/x/a": b"1\n3\n4\n7\n", "out/y/a": b"2\n5\n6\n"}


async def test_paths_beside_a_fixed_one(tmp_path: Path) -> None:
    """A target may choose another file in the configured file's folder; no choice is the configured file."""
    async with opened(make(tmp_path)) as sink:
        await sink.write(batch(b"1", b"2", b"3", path=[None, "out/b", "out/a.ndjson"]))
        with pytest.raises(WriteError):
            await sink.write(batch(b"4", path=["a.ndjson"]))
    assert content(tmp_path) == {"out/a.ndjson": b"1\n3\n", "out/b": b"2\n"}


async def test_base_folders(tmp_path: Path) -> None:
    """The base is what stands before the last slash before the first ${; $${ is no template."""
    outside = {"event-${x}.log": "event-1.log", "a/b-${x}/c": "a/b-1/c", "${x}": "1"}
    for number, (template, chosen) in enumerate(outside.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with opened(make(folder, template)) as sink:
            await sink.write(batch(b"1", path=[chosen]))
            with pytest.raises(WriteError, match="leads out of"):
                await sink.write(batch(b"1", path=[f"../{number + 10}/x"]))
        assert content(folder) == {chosen: b"1\n"}
    async with opened(make(tmp_path, "$${x}")) as sink:
        await sink.write(batch(b"1"))
    assert (tmp_path / "${x}").read_bytes() == b"1\n"


@pytest.mark.parametrize(
    "path",
    [
        "out/../secret",
        "../secret",
        "secret",
        "/etc/sluiceway-was-here",
        "out/link/secret",
        "out/file-link",
        "out/./../out/../secret",
        "",
        "out/nul\0",
        "out/",
        "out",
        "out/.",
        "out/folder",
        "out/folder/..",
        "out/folder/",
        "out/fifo",
        "out/file/below",
        "out/file/be/low",
        "out/" + "n" * 300,
        "out/" + "/".join(["d" * 200] * 30),
        "out/loop",
        "out/\ud800",
        "out/dangling/x",
        None,
        7,
        b"out/x",
        ["out/x"],
        {"a": 1},
    ],
)
async def test_paths_that_cannot_be(tmp_path: Path, path: object) -> None:
    """A path that leaves the base or is no file fails its own record, for good; the others are written."""
    (tmp_path / "out/folder").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "secret").write_bytes(b"secret\n")
    (tmp_path / "out/file").write_bytes(b"file\n")
    (tmp_path / "out/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "out/file-link").symlink_to(tmp_path / "secret")
    (tmp_path / "out/loop").symlink_to("loop")
    (tmp_path / "out/dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "out/fifo")
    before = content(tmp_path)
    async with opened(make(tmp_path, "out/${x}")) as sink:
        with pytest.raises(WriteError) as caught:
            await sink.write(batch(b"1", b"2", b"3", path=["out/good", path, "out/good"]))
        with pytest.raises(WriteError):
            await sink.write(batch(b"2", b"2", path=Constant(path, 2)))
    assert list(caught.value.failed) == [1]
    assert caught.value.failed[1]
    assert not caught.value.retryable
    assert content(tmp_path) == before | {"out/good": b"1\n3\n"}


async def test_links_inside_the_base(tmp_path: Path) -> None:
    """A link that stays inside is followed, and so is the configured file itself wherever it leads."""
    (tmp_path / "out/real").mkdir(parents=True)
    (tmp_path / "out/link").symlink_to("real")
    (tmp_path / "out/a.ndjson").symlink_to(tmp_path / "far.ndjson")
    async with opened(make(tmp_path)) as sink:
        await sink.write(batch(b"1", b"2", path=["out/link/x", None]))
    assert content(tmp_path)["out/real/x"] == b"1\n"
    assert (tmp_path / "far.ndjson").read_bytes() == b"2\n"


SEGMENT = st.sampled_from(["..", ".", "", "a", "b", "link", "up", "/", "etc", "out", "\u00e9"])


@settings(deadline=None, max_examples=150)
@given(st.lists(SEGMENT, max_size=7).map("/".join))
async def test_no_path_leaves_the_base(path: str) -> None:
    """Whatever is chosen, nothing outside the base folder changes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "w"
        (folder / "out/a").mkdir(parents=True)
        (folder / "etc").mkdir()
        (folder / "out/link").symlink_to("a")
        (folder / "out/up").symlink_to("..")
        async with opened(make(folder, "out/${x}")) as sink:
            try:
                await sink.write(batch(b"1", path=[path]))
            except WriteError:
                assert content(Path(name)) == {}
            else:
                assert [key.startswith("w/out/") for key in content(Path(name))] == [True]


async def test_more_files_than_may_be_open(tmp_path: Path) -> None:
    """No more than max_open descriptors are held, in one batch or over many, and every record is in its file."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    async with opened(make(tmp_path, "${x}", max_open=3)) as sink:
        for n in range(3):
            await sink.write(batch(*[b"%d" % n] * 20, path=[f"{i}.log" for i in range(20)]))
            assert len(list(Path("/proc/self/fd").iterdir())) <= before + 3
    assert content(tmp_path) == {f"{i}.log": b"0\n1\n2\n" for i in range(20)}


async def test_a_file_that_is_moved_away(tmp_path: Path) -> None:
    """When somebody renames or deletes the file, the next batch makes it anew."""
    path = tmp_path / "out/a.ndjson"
    async with opened(make(tmp_path)) as sink:
        await sink.write(batch(b"1"))
        path.rename(tmp_path / "out/a.old")
        await sink.write(batch(b"2"))
        path.unlink()
        await sink.write(batch(b"3"))
        path.unlink()
        path.parent.joinpath("a.old").unlink()
        path.parent.rmdir()
        await sink.write(batch(b"4"))
    assert content(tmp_path) == {"out/a.ndjson": b"4\n"}


async def test_two_sinks_on_one_file(tmp_path: Path) -> None:
    """The second one is told, and can be opened when the first has been closed."""
    first, second = make(tmp_path), make(tmp_path)
    await first.open()
    with pytest.raises(NotConnected, match="another process or another sink"):
        await second.open()
    await first.close()
    async with opened(second):
        pass


# Failures of the system


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A file system of its own, where root may mount one."""
    with tempfile.TemporaryDirectory() as name:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", name], capture_output=True)
        if mounted.returncode:
            pytest.skip("no file system can be mounted here")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", name], check=True)


@pytest.mark.parametrize("fsync", ["batch", "interval", "never"])
async def test_a_full_disk(fsync: str) -> None:
    """It is not connected, nothing of the batch remains in any file, and all is well when there is room again."""
    with small_disk("1m") as disk:
        (disk / "ballast").write_bytes(b"x" * 500_000)
        sink = make(disk, "${x}", fsync=fsync, fsync_interval="1ms", max_open=2)
        await sink.open()
        await sink.write(batch(b"1", b"1", b"1", path=["a", "b", "c"]))
        large = batch(b"2", b"2", b"y" * 700_000, b"2", path=["a", "b", "c", "d"])
        with pytest.raises(NotConnected, match="No space left"):
            await sink.write(large)
        with pytest.raises(NotConnected):
            await sink.write(batch(b"3", path=["a"]))  # not before it is opened again
        await sink.close()
        assert {name: len(data) for name, data in content(disk).items() if data and name != "ballast"} == dict.fromkeys(
            "abc", 2
        )
        (disk / "ballast").unlink()
        async with opened(sink):
            await sink.write(large)
        assert content(disk) == {"a": b"1\n2\n", "b": b"1\n2\n", "c": b"1\n" + b"y" * 700_000 + b"\n", "d": b"2\n"}


async def test_a_full_disk_stays_an_outage_until_there_is_room() -> None:
    """It cannot be opened before what failed would fit, so that the router does not take its records for poison."""
    with small_disk("1m") as disk:
        ballast = disk / "ballast"
        sink = make(disk)
        await sink.open()
        ballast.write_bytes(b"x" * 900_000)
        with pytest.raises(NotConnected, match="No space left"):
            await sink.write(batch(b"y" * 400_000))
        for _ in range(2):
            await sink.close()
            with pytest.raises(NotConnected, match="No space left"):
                await sink.open()
        ballast.unlink()
        await sink.open()
        await sink.write(batch(b"y" * 400_000))
        await sink.close()
        assert content(disk) == {"out/a.ndjson": b"y" * 400_000 + b"\n"}


async def test_a_limit_on_the_size_of_a_file(tmp_path: Path) -> None:
    """A short write because of such a limit is no room either: taken back whole, other files too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with opened(make(tmp_path, "${x}")) as sink:
        await sink.write(batch(b"1", b"1", path=["a", "b"]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            with pytest.raises(NotConnected, match="File too large"):
                await sink.write(batch(b"2", b"z" * 5000, path=["a", "b"]))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert content(tmp_path) == {"a": b"1\n", "b": b"1\n"}


@contextmanager
def without_privilege() -> Iterator[Path]:
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


async def test_permission_denied() -> None:
    """The configured file: not connected, when it is opened. A chosen one: its record fails."""
    with without_privilege() as folder:
        (folder / "out").mkdir()
        (folder / "out/a.ndjson").write_bytes(b"")
        (folder / "out/a.ndjson").chmod(0o444)
        with pytest.raises(NotConnected, match=r"a\.ndjson cannot be written: Permission denied"):
            await make(folder).open()
        async with opened(make(folder, "out/${x}")) as sink:
            with pytest.raises(WriteError, match="Permission denied") as caught:
                await sink.write(batch(b"1", b"2", path=["out/a.ndjson", "out/b"]))
            assert list(caught.value.failed) == [0]
        assert content(folder) == {"out/a.ndjson": b"", "out/b": b"2\n"}
        (folder / "out").chmod(0o555)
        with pytest.raises(NotConnected, match="out cannot be written: permission denied"):
            await make(folder, "out/${x}").open()


@pytest.mark.parametrize(
    ("path", "why"), [("folder", "Is a directory"), ("fifo", "no regular file"), ("file/x", "Not a directory")]
)
async def test_a_configured_path_that_is_no_file(tmp_path: Path, path: str, why: str) -> None:
    """It is not connected, with the reason, until somebody mends it."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NotConnected, match=why):
        await make(tmp_path, path).open()
    (tmp_path / "good").mkdir()
    sink = make(tmp_path, "good/a")
    await sink.open()
    await sink.write(batch(b"1"))
    (tmp_path / "good/a").unlink()
    (tmp_path / "good/a").mkdir()
    with pytest.raises(NotConnected, match="Is a directory"):
        await sink.write(batch(b"2"))
    await sink.close()


# Repair


@pytest.mark.parametrize("tail", [b"torn", b'{"half": "of a', b"\0" * 5000, b"x" * 200_000])
@pytest.mark.parametrize("whole", [b"", b"1\n2\n", b"1\n" * 100_000])
async def test_a_torn_last_line(tmp_path: Path, whole: bytes, tail: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """It is moved beside the file, with a warning that counts its bytes, and writing goes on after whole lines."""
    (tmp_path / "a").write_bytes(whole + tail)
    async with opened(make(tmp_path, "a")) as sink:
        await sink.write(batch(b"new"))
    assert content(tmp_path) == {"a": whole + b"new\n", "a.torn": tail + b"\n"}
    assert f"ended in {len(tail)} bytes" in caplog.text


async def test_a_whole_file_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is repaired, or said, when nothing is torn; two torn lines are both kept."""
    (tmp_path / "a").write_bytes(b"1\n")
    async with opened(make(tmp_path, "a")):
        pass
    assert content(tmp_path) == {"a": b"1\n"}
    assert not caplog.records
    for tail in (b"x", b"y"):
        with (tmp_path / "a").open("ab") as file:
            file.write(tail)
        async with opened(make(tmp_path, "a")):
            pass
    assert content(tmp_path) == {"a": b"1\n", "a.torn": b"x\ny\n"}


PACKERS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("zstd", zstandard.ZstdCompressor().compress),
]


def unpack(compression: str, data: bytes) -> bytes:
    if compression == "gzip":
        return gzip.decompress(data)
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        return reader.read()


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
async def test_compression(tmp_path: Path, compression: str) -> None:
    """The file can be unpacked after every write, by any program, and the file source reads it."""
    expected = b""
    for n in range(3):
        async with opened(make(tmp_path, "a.packed", compression=compression)) as sink:
            for m in range(3):
                await sink.write(batch(*[b"record %d %d" % (n, m)] * 100))
                expected += b"record %d %d\n" % (n, m) * 100
                assert unpack(compression, (tmp_path / "a.packed").read_bytes()) == expected
    source = FileSource(FileSource.Config.model_validate({"path": str(tmp_path / "a.packed")}))
    await source.open()
    assert b"".join(value + b"\n" for value in (await source.read()).values) == expected
    with pytest.raises(EndOfStream):
        await source.read()
    await source.close()


@pytest.mark.parametrize(("compression", "pack"), PACKERS)
@pytest.mark.parametrize("kept", [1, 3, 9, -1])
async def test_a_torn_member(tmp_path: Path, compression: str, pack: Callable[[bytes], bytes], kept: int) -> None:
    """What stands after the last whole member is moved away; the members before it stay."""
    whole, torn = pack(b"1\n" * 50_000) + pack(b"2\n"), pack(os.urandom(9000) + b"\n")[:kept]
    (tmp_path / "a").write_bytes(whole + torn)
    async with opened(make(tmp_path, "a", compression=compression)) as sink:
        await sink.write(batch(b"3"))
    assert unpack(compression, (tmp_path / "a").read_bytes()) == b"1\n" * 50_000 + b"2\n3\n"
    assert (tmp_path / "a.torn").read_bytes() == torn
    (tmp_path / "b").write_bytes(torn)
    async with opened(make(tmp_path, "b", compression=compression)) as sink:
        await sink.write(batch(b"3"))
    assert unpack(compression, (tmp_path / "b").read_bytes()) == b"3\n"


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
async def test_a_foreign_file_is_not_appended_to(tmp_path: Path, compression: str) -> None:
    """A file that is not compressed as configured is left as it is."""
    (tmp_path / "a").write_bytes(b"plain text\n")
    with pytest.raises(NotConnected, match=f"is there already and is not {compression}"):
        await make(tmp_path, "a", compression=compression).open()
    assert content(tmp_path) == {"a": b"plain text\n"}


KILLED = """
import asyncio, sys
from pathlib import Path
from connectors.file import FileSink
from router import Batch, Context
async def main():
    config = FileSink.Config.model_validate({"path": "a", "compression": sys.argv[2]})
    sink = FileSink(config.within(Context("", Path(sys.argv[1]))))
    await sink.open()
    n = int(sys.argv[3])
    while True:
        await sink.write(Batch([b"%08d " % (n + i) + b"x" * 500 for i in range(500)]))
        n += 500
        print(n, flush=True)
asyncio.run(main())
"""


@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_killed_while_writing(tmp_path: Path, compression: str) -> None:
    """After kill -9 at any moment everything acknowledged is there, in order, and no line is torn."""
    acknowledged = 0
    for round_ in range(4):
        arguments = [sys.executable, "-c", KILLED, str(tmp_path), compression, str(acknowledged)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(3 + round_):
                acknowledged = int(process.stdout.readline())
            process.kill()
            acknowledged = max([acknowledged, *(int(line) for line in process.stdout if line.endswith(b"\n"))])
    async with opened(make(tmp_path, "a", compression=compression)):
        pass
    data = (tmp_path / "a").read_bytes()
    lines = (data if compression == "none" else unpack(compression, data)).split(b"\n")
    assert lines.pop() == b""
    assert all(re.fullmatch(rb"\d{8} x{500}", line) for line in lines)
    numbers = [int(line[:8]) for line in lines]
    assert set(range(acknowledged)) <= set(numbers)
    assert len(numbers) <= acknowledged + 4 * 500


def test_zstd_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration says what to install."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(ValidationError, match=r'pip install "sluiceway\[zstd\]"'):
        make(tmp_path, compression="zstd")


# Rotation

ASIDE = re.compile(r"a-\d{8}T\d{6}Z-\d+\.ndjson")


async def test_rotation_by_size(tmp_path: Path) -> None:
    """A file is moved aside before it would grow too large; no name is used twice, nothing is lost."""
    async with opened(make(tmp_path, "a.ndjson", rotate={"bytes": 20})) as sink:
        for n in range(30):
            await sink.write(batch(b"record %02d" % n))
        await sink.write(batch(b"y" * 100))
        await sink.write(batch(b"z"))
    files = content(tmp_path)
    assert files.pop("a.ndjson") == b"z\n"
    assert all(ASIDE.fullmatch(name) for name in files)
    written = b"".join(sorted(files.values()))
    assert written.split() == [*(word for n in range(30) for word in (b"record", b"%02d" % n)), b"y" * 100]
    assert sorted(len(data) for data in files.values()) == [20] * 15 + [101]


async def test_rotation_never_overwrites(tmp_path: Path) -> None:
    """Names that are taken, whatever by, are left alone."""
    (tmp_path / "out").mkdir()
    async with opened(make(tmp_path, "out/a.ndjson", rotate={"bytes": 5})) as sink:
        for n in range(200):
            await sink.write(batch(b"%04d" % n))
    assert len(content(tmp_path)) == 200
    assert b"".join(sorted(content(tmp_path).values())) == b"".join(b"%04d\n" % n for n in range(200))


async def test_rotation_keeps_some(tmp_path: Path) -> None:
    """The oldest beyond ``keep`` are deleted, and no file of another name."""
    others = ["a-notes.ndjson", "a-20200101T000000Z-0.txt", "ba-20200101T000000Z-0.ndjson"]
    for name in others:
        (tmp_path / name).write_bytes(b"mine\n")
    (tmp_path / "a-20200101T000000Z-0.ndjson").write_bytes(b"old\n")
    async with opened(make(tmp_path, "a.ndjson", rotate={"bytes": 5, "keep": 3})) as sink:
        for n in range(15):
            await sink.write(batch(b"%04d" % n))
    files = content(tmp_path)
    assert [files.pop(name) for name in others] == [b"mine\n"] * 3
    assert b"".join(sorted(files.values())) == b"0011\n0012\n0013\n0014\n"


async def test_rotation_by_time(tmp_path: Path) -> None:
    """A file last written in an earlier period is moved aside by the first write of this one, restarts included."""
    path = tmp_path / "a.ndjson"
    async with opened(make(tmp_path, "a.ndjson", rotate={"every": "1d"})) as sink:
        await sink.write(batch(b"1"))
    os.utime(path, (0, 0))
    async with opened(make(tmp_path, "a.ndjson", rotate={"every": "1d"})) as sink:
        await sink.write(batch(b"2"))
    assert path.read_bytes() == b"2\n"
    assert sorted(content(tmp_path).values()) == [b"1\n", b"2\n"]


async def test_rotation_within_a_second(tmp_path: Path) -> None:
    """While it runs, a file is moved aside when its period has passed; an empty one never."""
    async with opened(make(tmp_path, "a.ndjson", rotate={"every": "1s"})) as sink:
        await asyncio.sleep(1.1)
        await sink.write(batch(b"1"))
        await asyncio.sleep(1.1)
        await sink.write(batch(b"2"))
    assert sorted(content(tmp_path).values()) == [b"1\n", b"2\n"]


@pytest.mark.parametrize(
    ("name", "aside"),
    [("a.ndjson.gz", r"a-\S+Z-0\.ndjson\.gz"), ("a", r"a-\S+Z-0"), (".a", r"\.a-\S+Z-0"), ("a.gz", r"a-\S+Z-0\.gz")],
)
async def test_rotated_names(tmp_path: Path, name: str, aside: str) -> None:
    """Time and number go before the suffix, both suffixes of a compressed file."""
    compression = "gzip" if name.endswith("gz") else "none"
    async with opened(make(tmp_path, name, rotate={"bytes": 1}, compression=compression)) as sink:
        await sink.write(batch(b"1"))
        await sink.write(batch(b"2"))
    assert sorted(bool(re.fullmatch(aside, each)) for each in content(tmp_path)) == [False, True]


async def test_rotation_of_chosen_files(tmp_path: Path) -> None:
    """Each file rotates for itself, however few may be open, and a failing disk takes back only what is not whole."""
    async with opened(make(tmp_path, "${x}", max_open=1, rotate={"bytes": 4})) as sink:
        for n in range(4):
            await sink.write(batch(*[b"%d" % n] * 3, path=["a.x", "b.x", "a.x"]))
    files = content(tmp_path)
    assert sorted(data for name, data in files.items() if name.startswith("a")) == [
        b"%d\n%d\n" % (n, n) for n in range(4)
    ]
    assert sorted(data for name, data in files.items() if name.startswith("b")) == [b"0\n1\n", b"2\n3\n"]


# Together


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.lists(st.tuples(st.binary(min_size=1, max_size=30), st.sampled_from("abc")), min_size=1, max_size=8),
        max_size=8,
    ),
    st.sampled_from(["none", "gzip", "zstd"]),
    st.integers(1, 3),
)
async def test_every_record_is_written_or_reported(
    written: list[list[tuple[bytes, str]]], compression: str, max_open: int
) -> None:
    """For any records and paths: each is a line of its file, in order, or named in a WriteError."""
    expected: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as name:
        async with opened(make(Path(name), "${x}", compression=compression, max_open=max_open, fsync="never")) as sink:
            for records in written:
                failed: dict[int, str] = {}
                try:
                    await sink.write(batch(*(value for value, _ in records), path=[path for _, path in records]))
                except WriteError as error:
                    failed = error.failed
                for index, (value, path) in enumerate(records):
                    if index in failed:
                        assert b"\n" in value
                    else:
                        kept = value.replace(b"\n", b"")  # of JSON, which white space may go from
                        expected[path] = expected.get(path, b"") + kept + b"\n"
        for path, data in expected.items():
            found = (Path(name) / path).read_bytes()
            assert re.sub(rb"[ \t\r]", b"", found if compression == "none" else unpack(compression, found)) == re.sub(
                rb"[ \t\r]", b"", data
            )


async def test_a_lock_is_given_back(tmp_path: Path) -> None:
    """After closing, anybody may lock the file."""
    async with opened(make(tmp_path, "a")) as sink:
        await sink.write(batch(b"1"))
    with (tmp_path / "a").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
