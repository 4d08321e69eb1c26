"""What was given up when a process ended is told by the next one, and goes on from there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from daemons import page

from connectors import memory
from router.config import load
from router.daemon import Daemon
from router.testing import until

CONFIG = """
state_dir: state
drain_timeout: 50ms
http: {listen: "127.0.0.1:0"}
sources: {orders: {type: memory, channel: orders, replays: false}}
sinks: {archive: {type: memory, channel: archive, retry: {backoff: 1ms}}}
flows: [flow.yaml]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    memory.forget()
    (tmp_path / "flow.yaml").write_text("from: orders\nrules: [{to: archive}]\n")
    (tmp_path / "sluiceway.yaml").write_text(CONFIG)
    return tmp_path / "sluiceway.yaml"


async def told_at_the_start(path: Path, gives_up: int) -> str:
    """What a daemon says of what was given up before, as it is scraped; then it ends while its sink is away."""
    memory.forget()
    daemon, ready = Daemon(load([path])), asyncio.Event()
    memory.sink("archive").down = True
    running = asyncio.create_task(daemon.run(ready.set))
    await ready.wait()
    _, metrics = await page(daemon, "/metrics")
    for number in range(gives_up):
        memory.source("orders").push(memory.records({"n": number}))
    await until(lambda: daemon.pipelines["orders"].unsettled_records == gives_up)
    daemon.stop()
    await running
    return next(line for line in metrics.splitlines() if line.startswith("sluiceway_abandoned_records_total{"))


async def test_the_next_process_counts_on_from_where_the_last_one_ended(path: Path) -> None:
    series = 'sluiceway_abandoned_records_total{source="orders"}'
    assert await told_at_the_start(path, 2) == f"{series} 0.0"
    assert await told_at_the_start(path, 3) == f"{series} 2.0"
    assert await told_at_the_start(path, 0) == f"{series} 5.0"
    assert await told_at_the_start(path, 0) == f"{series} 5.0"


async def test_what_a_cancelled_daemon_gives_up_is_told_as_well(path: Path) -> None:
    daemon, ready = Daemon(load([path])), asyncio.Event()
    memory.sink("archive").down = True
    running = asyncio.create_task(daemon.run(ready.set))
    await ready.wait()
    memory.source("orders").push(memory.records({"n": 1}))
    await until(lambda: daemon.pipelines["orders"].unsettled_records == 1)
    running.cancel()
    await asyncio.wait([running])
    assert (await told_at_the_start(path, 0)).endswith(" 1.0")
