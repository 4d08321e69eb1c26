"""Sources that are paused and resumed while the daemon runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from daemons import daemon_of

from connectors import memory
from router.testing import until

CONFIG = """
http: null
sources: {orders: {type: memory, channel: orders, decode: bytes}, other: {type: memory, channel: other, decode: bytes}}
sinks: {out: {type: memory, channel: out, retry: {backoff: 1ms}}}
flows: [orders.yaml]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    memory.forget()
    (tmp_path / "orders.yaml").write_text("from: [orders, other]\nrules: [{to: out}]\n")
    (tmp_path / "sluiceway.yaml").write_text(CONFIG)
    return tmp_path / "sluiceway.yaml"


async def test_a_paused_source_is_closed_and_reads_on_when_it_is_resumed(path: Path) -> None:
    source, sink = memory.source("orders"), memory.sink("out")
    async with daemon_of(path) as daemon:
        source.push(memory.records("a"))
        await until(lambda: source.acked)
        await daemon.pause("orders")
        await daemon.pause("orders")
        await until(lambda: daemon.intakes["orders"].state == "paused")
        assert source.closes == 1
        paused = daemon.metrics.registry.get_sample_value
        assert paused("sluiceway_source_paused", {"source": "orders"}) == 1
        source.push(memory.records("b"))
        memory.source("other").push(memory.records("c"))
        await until(lambda: memory.source("other").acked)
        assert sink.values == [b"a", b"c"]
        await daemon.resume("orders")
        await daemon.resume("orders")
        await until(lambda: len(source.acked) == 2)
        assert sink.values == [b"a", b"c", b"b"]
        assert daemon.intakes["orders"].state == "running"
        assert paused("sluiceway_source_paused", {"source": "orders"}) == 0


async def test_what_was_read_before_a_pause_is_settled_when_its_sink_is_back(path: Path) -> None:
    source, sink = memory.source("orders"), memory.sink("out")
    sink.down = True
    async with daemon_of(path) as daemon:
        source.push(memory.records("a"))
        await until(lambda: daemon.pipelines["orders"].unsettled_records)
        await daemon.pause("orders")
        assert daemon.intakes["orders"].state == "pausing"
        sink.down = False
        await until(lambda: daemon.intakes["orders"].state == "paused")
        assert sink.values == [b"a"]
        assert len(source.acked) == 1


async def test_a_source_resumed_before_it_is_drained_loses_nothing_and_repeats_nothing(path: Path) -> None:
    source, sink = memory.source("orders"), memory.sink("out")
    sink.down = True
    async with daemon_of(path) as daemon:
        source.push(memory.records("a"), memory.records("b"))
        await until(lambda: daemon.pipelines["orders"].unsettled_records)
        await daemon.pause("orders")
        await daemon.resume("orders")
        source.push(memory.records("c"))
        sink.down = False
        await until(lambda: len(sink.values) == 3)
        assert sink.values == [b"a", b"b", b"c"]


async def test_a_daemon_that_stops_does_not_wait_for_a_paused_source(path: Path) -> None:
    async with daemon_of(path) as daemon:
        await daemon.pause("orders")
        await until(lambda: daemon.intakes["orders"].state == "paused")


async def test_what_does_not_exist_cannot_be_paused(path: Path) -> None:
    async with daemon_of(path) as daemon:
        with pytest.raises(LookupError, match=r"there is no source `order`; .*orders"):
            await daemon.pause("order")
