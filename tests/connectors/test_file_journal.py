"""The file sink with records that have ids: each is written once, wherever it was cut off."""

from __future__ import annotations

import asyncio
import gzip
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.file import FileSink
from connectors.file.journal import KEPT, Append, Journal
from router import Batch, Context, Json, MemoryPositions


class Killed(Exception):
    """The process is gone."""


class Dying(MemoryPositions):
    """Positions of a process that dies right after so many saves."""

    def __init__(self, saves: int) -> None:
        super().__init__()
        self.left = saves

    async def save(self, entries: Mapping[str, Json]) -> None:
        """Remember these, and die if that was the last."""
        await super().save(entries)
        self.left -= 1
        if not self.left:
            raise Killed


def make(folder: Path, positions: MemoryPositions, path: str = "a.ndjson", **options: Any) -> FileSink:
    config = FileSink.Config.model_validate({"path": path, **options})
    return FileSink(config.within(Context("out", folder, positions)))


def batch(*names: str, path: Sequence[str] | None = None, last: float = 1000.0) -> Batch:
    settings = {} if path is None else {"path": path}
    return Batch([b'{"is":"%s"}' % name.encode() for name in names], ids=list(names), ids_last=last, settings=settings)


def names(file: Path) -> str:
    return "".join(line[7:-2].decode() for line in file.read_bytes().splitlines())


async def write(sink: FileSink, *batches: Batch) -> None:
    await sink.open()
    try:
        for each in batches:
            await sink.write(each)
    finally:
        await sink.close()


async def test_what_was_written_is_not_written_again(tmp_path: Path) -> None:
    """An id that comes again is passed over, in the same process and in the next; what has none is written."""
    positions = MemoryPositions()
    await write(make(tmp_path, positions), batch("a", "b"), batch("b", "c", "c"))
    mixed = Batch([b'{"is":"a"}', b'{"is":"x"}', b'{"is":"d"}'], ids=["a", None, "d"], ids_last=1000)
    await write(make(tmp_path, positions), mixed, Batch([b'{"is":"y"}']))
    assert names(tmp_path / "a.ndjson") == "abcxdy"


async def test_it_counts_them(tmp_path: Path) -> None:
    """Repeats are counted as events of the connector."""
    counted: list[tuple[str, int]] = []
    config = FileSink.Config.model_validate({"path": "a.ndjson"})
    context = Context("out", tmp_path, count=lambda event, number: counted.append((event, number)))
    await write(FileSink(config.within(context)), batch("a", "b"), batch("a", "b", "c"))
    assert counted == [("repeat", 2)]


@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_killed_before_anything_was_written(tmp_path: Path, compression: str) -> None:
    """What was only intended is written when it comes again."""
    positions = Dying(1)
    with pytest.raises(Killed):
        await write(make(tmp_path, positions, compression=compression), batch("a", "b"))
    await write(make(tmp_path, positions, compression=compression), batch("a", "b"))
    data = (tmp_path / "a.ndjson").read_bytes()
    assert (gzip.decompress(data) if compression == "gzip" else data) == b'{"is":"a"}\n{"is":"b"}\n'


async def test_a_write_that_was_cut_off_is_taken_back(tmp_path: Path) -> None:
    """What a kill left of a write goes, whole lines too, and all of it is written when it comes again."""
    positions = MemoryPositions()
    await write(make(tmp_path, positions), batch("a"), batch("b", "c"))
    file = tmp_path / "a.ndjson"
    file.write_bytes(file.read_bytes()[:-3])
    await write(make(tmp_path, positions), batch("a", "b", "c"))
    assert names(file) == "abc"
    assert [path.name for path in tmp_path.iterdir()] == ["a.ndjson"]


async def test_a_file_that_was_made_anew_is_left_alone(tmp_path: Path) -> None:
    """What somebody else put under the same name is neither cut nor taken for what was written."""
    positions = MemoryPositions()
    await write(make(tmp_path, positions), batch("a", "b"))
    file = tmp_path / "a.ndjson"
    file.rename(tmp_path / "aside")
    file.write_bytes(b'{"is":"z"}\n')
    await write(make(tmp_path, positions), batch("b", "c"))
    assert names(file) == "zbc"


async def test_rotation_and_many_files(tmp_path: Path) -> None:
    """Ids hold across files: those chosen by a record, and those that are moved aside."""
    positions = MemoryPositions()
    options: dict[str, Any] = {"path": "x.ndjson", "max_open": 1, "rotate": {"bytes": 12}}
    batches = [batch(*"abc", path=["1", "2", "1"]), batch(*"cd", path=["1", "2"]), batch(*"abcde", path=[*"12121"])]
    await write(make(tmp_path, positions, **options), *batches)
    await write(make(tmp_path, positions, **options), *batches)
    written = sorted("".join(names(path) for path in tmp_path.iterdir() if path.is_file()))
    assert written == list("abcde")


async def test_an_id_is_forgotten_in_its_time(tmp_path: Path) -> None:
    """After as long as its source said, the same id is another record's."""
    now = 1000.0
    journal = Journal(MemoryPositions(), lambda: now)
    await journal.recover(lambda look: asyncio.to_thread(look))
    (tmp_path / "f").touch()
    found = (tmp_path / "f").stat()
    append = Append(tmp_path / "f", (found.st_dev, found.st_ino), 0, b"x", ["a"])
    await journal.intend([append], 60)
    assert journal.unwritten(["a"]) == [0]
    journal.done()
    assert journal.unwritten(["a"]) == []
    now = 1060.0
    assert journal.unwritten(["a"]) == [0]


async def test_it_stays_bounded() -> None:
    """The oldest are forgotten, and so is what is kept of them."""
    positions = MemoryPositions()
    journal = Journal(positions)
    await journal.recover(lambda look: asyncio.to_thread(look))
    size = KEPT // 8
    for number in range(12):
        await journal.intend([Append(Path("f"), (0, 0), 0, b"x", [f"{number}:{i}" for i in range(size)])], 1000)
        journal.done()
    assert journal.unwritten(["0:0", "3:0", "4:0", "11:0"]) == [0, 1]
    assert sorted(positions.entries) == sorted(["intent", *map(str, range(5, 13))])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_law(data: st.DataObject) -> None:
    """Wherever the process dies in whatever order batches come and come again, each record is there once."""

    async def run(folder: Path) -> None:
        positions = Dying(0)
        wanted: set[str] = set()
        for _ in range(data.draw(st.integers(1, 5), label="lives")):
            positions.left = data.draw(st.integers(0, 4), label="saves")
            sink = make(folder, positions, path="x", max_open=1)
            try:
                await sink.open()
                for _ in range(data.draw(st.integers(1, 3), label="batches")):
                    some = data.draw(st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1))
                    await sink.write(batch(*some, path=["1" if name < "d" else "2" for name in some]))
                    wanted |= set(some)
            except Killed:
                pass
            finally:
                await sink.close()
            for file, start in _intended(positions):  # the last append may have been under way
                size = file.stat().st_size
                os.truncate(file, data.draw(st.integers(min(start, size), size), label="size"))
        positions.left = 0
        sink = make(folder, positions, path="x")
        everything = sorted(wanted | set("ah"))
        await write(sink, batch(*everything, path=["1" if name < "d" else "2" for name in everything]))
        there = "".join(names(file) for file in folder.iterdir())
        assert sorted(there) == sorted(set(there))
        assert set(there) >= wanted

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


def _intended(positions: MemoryPositions) -> list[tuple[Path, int]]:
    """The files of the append that was intended last, and where it begins in each."""
    intents: Any = positions.entries.get("intent", [])
    return [(Path(bytes.fromhex(path).decode()), start) for path, _, _, start, _, _ in intents]
