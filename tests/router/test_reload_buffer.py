"""Disk buffers across reloads: they come, go once they are empty, and are not taken away while records wait in them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from daemons import daemon_of

from connectors import memory
from router.daemon import Daemon
from router.diskbuffer import DiskBuffer
from router.testing import until
from rules.faults import Refused

BUFFER = ", buffer: {type: disk, bytes: 1MiB}"
SINK = "  vip: {type: memory, channel: vip, retry: {backoff: 1ms}%s}\n"
CONFIG = """
http: null
sources: {orders: {type: memory, channel: orders, decode: bytes}}
sinks:
  archive: {type: memory, channel: archive}
%sflows: [orders.yaml]
"""
RULES = "from: [orders]\nrules: [{to: %s}]\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    memory.forget()
    write(tmp_path / "sluiceway.yaml", SINK % BUFFER, "vip")
    return tmp_path / "sluiceway.yaml"


def write(path: Path, sink: str, to: str) -> None:
    path.write_text(CONFIG % sink)
    path.with_name("orders.yaml").write_text(RULES % to)


def buffers(path: Path) -> list[str]:
    return [file.name for file in path.with_name("state").glob("buffer.*.db")]


async def read(daemon: Daemon, *values: str) -> None:
    """Read records, and wait until they are safe."""
    source = memory.source("orders")
    before = len(source.acked)
    source.push(*(memory.records(value) for value in values))
    await until(lambda: len(source.acked) == before + len(values))


async def test_a_sink_with_records_in_its_buffer_is_not_removed_until_they_are_delivered(path: Path) -> None:
    vip = memory.sink("vip")
    vip.down = True
    async with daemon_of(path) as daemon:
        await read(daemon, "a", "b")
        for sink, gone in (("", "is not among `sinks`"), (SINK % "", "has no `buffer`")):
            write(path, sink, "archive")
            with pytest.raises(Refused, match=f"2 record.* wait in the disk buffer of `vip`, which {gone} any more"):
                await daemon.reload("test")
        assert memory.sink("archive").values == []
        vip.down = False
        await until(lambda: vip.values == [b"a", b"b"])
        write(path, "", "archive")
        async with asyncio.timeout(10):
            while True:
                try:
                    await daemon.reload("test")
                    break
                except Refused:
                    await asyncio.sleep(0.05)
        await read(daemon, "c")
        await until(lambda: not buffers(path))
        assert (vip.values, memory.sink("archive").values) == ([b"a", b"b"], [b"c"])
        assert vip.closes == vip.opens
        assert 'sink="vip"' not in daemon.metrics.page()[0].decode()


async def test_of_a_reload_that_is_refused_no_buffer_remains_but_what_was_there_before(path: Path) -> None:
    memory.sink("vip").down = True
    async with daemon_of(path) as daemon:
        await read(daemon, "a")
        DiskBuffer.open(path.with_name("state"), "older").close()
        renamed = "".join((SINK % BUFFER).replace("  vip", f"  {name}") for name in ("newer", "older"))
        write(path, renamed, "[newer, older]")
        with pytest.raises(Refused, match="disk buffer of `vip`"):
            await daemon.reload("test")
        assert sorted(buffers(path)) == ["buffer.older.db", "buffer.vip.db"]
        assert not list(path.with_name("state").glob("buffer.newer*"))
        memory.sink("vip").down = False
        await until(lambda: memory.sink("vip").values == [b"a"])


async def test_a_sink_that_is_down_is_repaired_behind_its_buffer(path: Path) -> None:
    memory.sink("vip").down = True
    async with daemon_of(path) as daemon:
        await read(daemon, "a", "b")
        path.write_text(path.read_text().replace("channel: vip", "channel: mended"))
        await daemon.reload("test")
        await read(daemon, "c")
        await until(lambda: memory.sink("mended").values == [b"a", b"b", b"c"])


async def test_a_buffer_comes_and_goes_under_traffic_and_nothing_is_lost_repeated_or_overtaken(path: Path) -> None:
    source, vip = memory.source("orders"), memory.sink("vip")
    expected = [f"{number}".encode() for number in range(400)]
    async with daemon_of(path) as daemon:
        for number in range(0, 400, 4):
            source.push(*(memory.records(f"{number + more}") for more in range(4)))
            if number % 100 == 0:
                has_buffer = BUFFER in path.read_text()
                write(path, SINK % ("" if has_buffer else BUFFER), "vip")
                await daemon.reload("test")
                await until(lambda: not daemon._fleet.exits["vip"].is_losing_buffer)  # type: ignore[union-attr]
        await until(lambda: len(source.acked) == 400)
        await until(lambda: len(vip.values) >= 400)
        assert vip.values == expected
        assert vip.opens == 1
        assert len(buffers(path)) == (BUFFER in path.read_text())


async def test_the_size_of_a_buffer_and_what_it_does_when_it_is_full_can_change(path: Path) -> None:
    memory.sink("vip").down = True
    async with daemon_of(path) as daemon:
        write(path, SINK % ", when_full: dead_letter, buffer: {type: disk, bytes: 2}", "vip")
        await daemon.reload("test")
        await read(daemon, "a", "b", "c")
        assert [letter.value async for letter in daemon.store.find()] == [b"c"]
        memory.sink("vip").down = False
        await until(lambda: memory.sink("vip").values == [b"a", b"b"])
