"""Files of other framings than lines: read, followed, gone on with after a restart, written, mended after a crash."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from connectors.file import FileSink, FileSource
from router import Batch, Context, EndOfStream, MemoryPositions, NotConnected
from rules.codecs import Csv, Format, Json

TABLE = b'id,note\n1,"two\nlines"\n2,plain\n3,"a ""quote"""\n'
ROWS = [b'1,"two\nlines"', b"2,plain", b'3,"a ""quote"""']


@asynccontextmanager
async def reading(
    folder: Path, payloads: Format, positions: MemoryPositions | None = None, **options: Any
) -> AsyncIterator[FileSource]:
    config = FileSource.Config.model_validate(options)
    source = FileSource(config.within(Context("in", folder, positions or MemoryPositions(), payloads)))
    await source.open()
    try:
        yield source
    finally:
        await source.close()


async def read_all(folder: Path, payloads: Format, positions: MemoryPositions | None = None, **options: Any) -> Batch:
    """Everything up to the end, as one batch, acknowledged."""
    values: list[bytes] = []
    columns: list[object] = []
    async with reading(folder, payloads, positions, **options) as source:
        with suppress(EndOfStream):
            while True:
                batch = await source.read()
                values += batch.values
                columns += batch.attributes.get("columns", [None] * len(batch))
                await source.ack(batch.token)
    return Batch(values, attributes={"columns": columns})


@asynccontextmanager
async def writing(folder: Path, payloads: Format, **options: Any) -> AsyncIterator[FileSink]:
    sink = FileSink(FileSink.Config.model_validate(options).within(Context("out", folder, format=payloads)))
    await sink.open()
    try:
        yield sink
    finally:
        await sink.close()


@pytest.mark.parametrize("size", [1, 7, 64])
@pytest.mark.parametrize("packed", [False, True])
async def test_rows_know_the_columns_of_their_file(tmp_path: Path, size: int, packed: bool) -> None:
    """However the file is read, its header is no record, and goes with each that is one."""
    (tmp_path / "t.csv").write_bytes(gzip.compress(TABLE) if packed else TABLE)
    batch = await read_all(tmp_path, Csv(), path="t.csv", read=size)
    assert batch.values == ROWS
    assert batch.attributes["columns"] == [["id", "note"]] * 3


async def test_the_header_is_kept_across_restarts(tmp_path: Path) -> None:
    """A source that is opened again in the middle of a file has the columns, and begins at the row not acknowledged."""
    (tmp_path / "t.csv").write_bytes(TABLE)
    positions, options = MemoryPositions(), {"path": "t.csv", "read": 24}
    async with reading(tmp_path, Csv(), positions, **options) as source:
        first = await source.read()
        await source.ack(first.token)
        lost = await source.read()  # not acknowledged
    rest = await read_all(tmp_path, Csv(), positions, **options)
    assert [*first.values, *rest.values] == ROWS
    assert rest.values[: len(lost)] == lost.values
    assert rest.attributes["columns"] == [["id", "note"]] * len(rest)
    with (tmp_path / "t.csv").open("ab") as file:
        file.write(b"4,more\n")
    more = await read_all(tmp_path, Csv(), positions, **options)
    assert (more.values, more.attributes["columns"]) == ([b"4,more"], [["id", "note"]])


async def test_a_table_is_followed_from_its_end_with_its_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(TABLE)
    async with reading(tmp_path, Csv(), path="t.csv", follow=True, start="end", poll="5ms") as source:
        with (tmp_path / "t.csv").open("ab") as file:
            file.write(b'4,"half\n')
            file.flush()
            file.write(b'whole"\n')
        batch = await source.read()
    assert (list(batch.values), list(batch.attributes["columns"])) == ([b'4,"half\nwhole"'], [["id", "note"]])


@pytest.mark.parametrize(
    ("framing", "content", "values"),
    [
        ("null", b"a\0b\nc\0", [b"a", b"b\nc"]),
        ("octet_counted", b"3 a\nb1 c", [b"a\nb", b"c"]),
        ({"type": "length", "prefix_type": "u16"}, b"\0\2ab\0\1c", [b"ab", b"c"]),
        ({"type": "length", "prefix_type": "varint"}, b"\2ab\1c", [b"ab", b"c"]),
        ("whole", b"a\nb\0", [b"a\nb\0"]),
        ("newline", b"a\nb\n", [b"a", b"b"]),
    ],
)
async def test_every_framing_reads_and_writes_files(
    tmp_path: Path, framing: object, content: bytes, values: list[bytes]
) -> None:
    (tmp_path / "in").write_bytes(content)
    assert (await read_all(tmp_path, Json(), path="in", framing=framing, read=2)).values == values
    if framing != "whole":
        async with writing(tmp_path, Json(), path="out", framing=framing) as sink:
            for value in values:
                await sink.write(Batch([value]))
        assert (tmp_path / "out").read_bytes() == content


def test_framings_that_do_not_go_with_files_are_refused() -> None:
    with pytest.raises(ValueError, match="whole does not go with follow"):
        FileSource.Config.model_validate({"path": "a", "follow": True, "framing": "whole"})
    with pytest.raises(ValueError, match="whole does not go with a file: a stream holds one record only"):
        FileSink.Config.model_validate({"path": "a", "framing": "whole"})


async def test_what_is_no_length_ends_the_file_and_is_told(tmp_path: Path) -> None:
    """What was framed before it is read; what comes is one spoiled record; the next file is read all the same."""
    (tmp_path / "1.bin").write_bytes(b"1 a" + b"no length" * 3)
    (tmp_path / "2.bin").write_bytes(b"1 b")
    async with reading(tmp_path, Json(), path="*.bin", framing="octet_counted", read=4) as source:
        found = [await source.read() for _ in range(2)]
        with pytest.raises(EndOfStream):
            await source.read()
    assert [list(batch.values) for batch in found] == [[b"a", b"n"], [b"b"]]
    assert found[0].spoiled[1].startswith("what stands at byte 3 is no length")


async def test_a_table_begins_with_its_header_once(tmp_path: Path) -> None:
    """Written at the beginning of every file, and not again by whoever appends to it later."""
    table = Csv(columns=("id", "note"))
    for value in ROWS[:2]:
        async with writing(tmp_path, table, path="t.csv") as sink:
            await sink.write(Batch([value]))
    assert (tmp_path / "t.csv").read_bytes() == b'id,note\n1,"two\nlines"\n2,plain\n'


async def test_rotated_tables_begin_with_their_header(tmp_path: Path) -> None:
    table = Csv(columns=("id",))
    async with writing(tmp_path, table, path="t.csv", rotate={"bytes": 6}) as sink:
        for value in (b"1", b"22", b"333"):
            await sink.write(Batch([value]))
    found = sorted(path.read_bytes() for path in tmp_path.iterdir())
    assert found == [b"id\n1\n", b"id\n22\n", b"id\n333\n"]


@pytest.mark.parametrize("torn", [b'id,note\n1,"two\nli', b"id,no", b'id,note\n1,"two\nlines"\n2,pl'])
async def test_a_torn_row_is_moved_aside(tmp_path: Path, torn: bytes) -> None:
    """The end of a line inside quotes ends no row."""
    (tmp_path / "t.csv").write_bytes(torn)
    async with writing(tmp_path, Csv(columns=("id", "note")), path="t.csv") as sink:
        await sink.write(Batch([b"9,new"]))
    whole = b'1,"two\nlines"\n' if torn.endswith(b"pl") else b""
    assert (tmp_path / "t.csv").read_bytes() == b"id,note\n" + whole + b"9,new\n"
    assert torn.endswith((tmp_path / "t.csv.torn").read_bytes().removesuffix(b"\n"))


async def test_a_table_of_other_columns_is_not_appended_to(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"other\n1\n")
    with pytest.raises(
        NotConnected, match=r"t\.csv is there already, and begins with b'other\\n1\\n' instead of b'id\\n'"
    ):
        async with writing(tmp_path, Csv(columns=("id",)), path="t.csv"):
            pass
    assert (tmp_path / "t.csv").read_bytes() == b"other\n1\n"
