"""Disk buffers as a user meets them: sources are acknowledged, stops are quick, nothing is forgotten between runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from daemons import daemon_of, page

from connectors import memory
from router.config import load
from router.daemon import Daemon
from router.deadletters import DeadLetters
from router.errors import StateError
from router.replay_jobs import ReplayJobs
from router.state import StateDir
from router.testing import until
from rules.faults import Refused
from tests.commands import sluiceway

CONFIG = """
state_dir: state
http: {listen: "127.0.0.1:0"}
sources: {orders: {type: memory, channel: orders}}
sinks:
  vip: {type: memory, channel: vip, retry: {attempts: 2, backoff: 1ms}, buffer: {type: disk, bytes: 1MiB}}
flows: [flow.yaml]
"""
RULES = "flow: orders\nfrom: [orders]\nrules: [{name: all, to: vip}]\n"


@pytest.fixture(autouse=True)
def _fresh_channels() -> None:
    memory.forget()


def config(folder: Path, text: str = CONFIG, rules: str = RULES) -> Path:
    (folder / "flow.yaml").write_text(rules)
    path = folder / "sluiceway.yaml"
    path.write_text(text)
    return path


async def leave_in_the_buffer(path: Path, *values: Any) -> None:
    """Run a daemon whose sink is away, until these records are in its buffer."""
    memory.sink("vip").down = True
    async with daemon_of(path):
        memory.source("orders").push(memory.records(*values))
        await until(lambda: memory.source("orders").acked)
    assert memory.sink("vip").values == []


async def test_a_source_is_acknowledged_while_the_sink_is_away_and_all_is_told(tmp_path: Path) -> None:
    vip, orders = memory.sink("vip"), memory.source("orders")
    vip.down = True
    async with daemon_of(config(tmp_path)) as daemon:
        orders.push(memory.records({"n": 1}, {"n": 2}))
        await until(lambda: orders.acked)
        told = json.loads((await page(daemon, "/api/status"))[1])["sinks"]["vip"]
        assert told["connected"] is False
        assert told["buffer"] == {
            "file": str(tmp_path / "state" / "buffer.vip.db"), "records": 2, "bytes": 14, "limit": 1 << 20,
            "full": False, "waiting": 0, "error": None,
        }  # fmt: skip
        metrics = (await page(daemon, "/metrics"))[1].splitlines()
        for line in (
            'sluiceway_sink_buffer_records{sink="vip"} 2.0',
            'sluiceway_sink_buffer_bytes{sink="vip"} 14.0',
            'sluiceway_sink_buffer_limit_bytes{sink="vip"} 1.048576e+06',
            'sluiceway_sink_restored_records_total{sink="vip"} 0.0',
        ):
            assert line in metrics
        vip.down = False
        await until(lambda: len(vip.values) == 2)


async def test_what_a_stop_leaves_in_the_buffer_comes_first_in_the_next_run_and_the_accounts_hold(
    tmp_path: Path,
) -> None:
    path = config(tmp_path)
    await leave_in_the_buffer(path, {"n": 1}, {"n": 2})
    vip, orders = memory.sink("vip"), memory.source("orders")
    vip.down = False
    vip.on_write = lambda batch: memory.refuse(batch, b'{"n":2}')
    async with daemon_of(path) as daemon:
        orders.push(memory.records({"n": 3}))
        await until(lambda: len(vip.values) == 2)
        count = daemon.metrics.registry.get_sample_value
        routed = count("sluiceway_routed_deliveries_total", {"flow": "orders", "sink": "vip"})
        restored = count("sluiceway_sink_restored_records_total", {"sink": "vip"})
        delivered = count("sluiceway_sink_records_total", {"sink": "vip"})
        labels = {"flow": "orders", "stage": "sink", "sink": "vip", "reason": "refused"}
        assert (routed, restored, delivered, count("sluiceway_dead_letters_total", labels)) == (1, 2, 2, 1)
    assert vip.values == [b'{"n":1}', b'{"n":3}']


async def test_a_run_that_ends_by_itself_waits_until_the_buffer_is_empty(tmp_path: Path) -> None:
    vip, orders = memory.sink("vip"), memory.source("orders")
    vip.down = True
    daemon = Daemon(load([config(tmp_path, CONFIG.replace("backoff: 1ms}", "backoff: 1ms}, batch: {wait: 1h}"))]))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(daemon.run())
        orders.push(memory.records({"n": 1}))
        orders.end()
        await until(lambda: orders.acked)
        await asyncio.sleep(0.1)
        assert not task.done()
        vip.down = False
        async with asyncio.timeout(10):
            assert await task
    assert vip.values == [b'{"n":1}']


async def test_a_run_that_waits_for_its_buffers_can_be_stopped(tmp_path: Path) -> None:
    orders = memory.source("orders")
    memory.sink("vip").down = True
    async with daemon_of(config(tmp_path)):
        orders.push(memory.records({"n": 1}))
        orders.end()
        await until(lambda: orders.acked)


async def test_a_stop_repeats_nothing_of_what_is_being_written(tmp_path: Path) -> None:
    path = config(tmp_path, CONFIG.replace("backoff: 1ms}", "backoff: 1ms}, queue: {records: 3}, batch: {records: 2}"))
    vip, orders = memory.sink("vip"), memory.source("orders")

    async def slow(_: object) -> None:
        await asyncio.sleep(0.05)

    vip.on_write = slow
    async with daemon_of(path):
        orders.push(*(memory.records({"n": number}) for number in range(40)))
        await until(lambda: len(orders.acked) == 40)
        await until(lambda: vip.values)
    assert 0 < len(vip.values) < 40
    vip.on_write = None
    async with daemon_of(path):
        await until(lambda: len(vip.values) >= 40)
    assert vip.values == [b'{"n":%d}' % number for number in range(40)]


NO_SINK = CONFIG.replace("vip:", "other:"), RULES.replace("vip", "other")
NO_BUFFER = CONFIG.replace(", buffer: {type: disk, bytes: 1MiB}", ""), RULES
WITHOUT = [
    (*NO_SINK, "sluiceway.yaml: 2 record(s) wait in the disk buffer of `vip`, which is not among `sinks` any more"),
    (*NO_BUFFER, "sluiceway.yaml:6:3: 2 record(s) wait in the disk buffer of `vip`, which has no `buffer` any more"),
]


@pytest.mark.parametrize(("text", "rules", "what"), WITHOUT, ids=["sink gone", "buffer gone"])
async def test_a_buffer_in_which_records_wait_is_not_forgotten(
    tmp_path: Path, text: str, rules: str, what: str
) -> None:
    """Run and check refuse a configuration that does without it; once it is empty, it goes."""
    file = tmp_path / "state" / "buffer.vip.db"
    await leave_in_the_buffer(config(tmp_path), {"n": 1}, {"n": 2})
    path = config(tmp_path, text, rules)
    with pytest.raises(Refused, match="wait in the disk buffer"):
        await Daemon(load([path])).run()
    for command in ("check", "run"):
        ran = sluiceway(command, cwd=tmp_path)
        hint = (
            f"should have its `buffer` until they are delivered; to give them up, stop the daemon and move {file} away"
        )
        assert (ran.returncode, ran.stderr) == (2, f"{what}; {hint}\nrefused: 1 fault\n")
    memory.sink("vip").down = False
    async with daemon_of(config(tmp_path)):
        await until(lambda: len(memory.sink("vip").values) == 2)
    assert file.exists()
    async with daemon_of(config(tmp_path, text, rules)):
        assert not file.exists()


async def test_a_buffer_that_is_given_up_is_moved_away_as_the_message_says(tmp_path: Path) -> None:
    await leave_in_the_buffer(config(tmp_path), {"n": 1})
    (tmp_path / "state" / "buffer.vip.db").rename(tmp_path / "given up")
    async with daemon_of(config(tmp_path, *NO_SINK)):
        pass


async def test_a_damaged_buffer_stops_the_start_and_stays_as_it_is(tmp_path: Path) -> None:
    path = config(tmp_path)
    await leave_in_the_buffer(path, {"n": 1})
    file = tmp_path / "state" / "buffer.vip.db"
    file.write_bytes(b"\xa5" * 100_000)
    with pytest.raises(StateError, match=r"buffer\.vip\.db: the file is damaged"):
        await Daemon(load([path])).run()
    ran = sluiceway("run", cwd=tmp_path)
    assert ran.returncode == 1
    assert f"sluiceway: {file}: the file is damaged" in ran.stderr
    assert "move it away to begin anew, and try `sqlite3 FILE .recover` to save the records in it" in ran.stderr
    assert file.read_bytes() == b"\xa5" * 100_000


async def test_a_replay_goes_past_the_buffer_and_its_letter_stays_until_it_is_delivered(tmp_path: Path) -> None:
    vip, orders = memory.sink("vip"), memory.source("orders")
    vip.on_write = lambda batch: memory.refuse(batch, b'{"n":1}')
    async with daemon_of(config(tmp_path)) as daemon:
        orders.push(memory.records({"n": 1}, {"n": 2}))
        await until(lambda: vip.values)
        vip.down = True
        vip.on_write = None
        orders.push(memory.records({"n": 3}))
        await until(lambda: len(orders.acked) == 2)
        with StateDir.visit(tmp_path / "state") as state:
            store = DeadLetters(state)
            await until(lambda: store.counts() == {"orders": 1})
            jobs = ReplayJobs(store)
            job = await jobs.begin()
            async for ids in store.ids():
                await jobs.request(job, ids)
            await asyncio.sleep(1.2)  # longer than it takes to be noticed
            assert store.counts() == {"orders": 1}
            assert daemon.outlets["vip"].status()["buffer"]["records"] == 1  # type: ignore[index]
            vip.down = False
            await until(lambda: store.counts() == {"orders": 0})
    assert sorted(vip.values) == [b'{"n":1}', b'{"n":2}', b'{"n":3}']


HTTP = """
state_dir: state
http: null
sources: {events: {type: http, listen: "127.0.0.1:0", accept: buffered}}
sinks: {vip: {type: memory, channel: vip, buffer: {type: disk}}}
flows: [flow.yaml]
"""


async def test_an_answer_does_not_wait_for_a_sink_that_is_away(tmp_path: Path) -> None:
    memory.sink("vip").down = True
    path = config(tmp_path, HTTP, RULES.replace("[orders]", "[events]"))
    async with daemon_of(path) as daemon, aiohttp.ClientSession() as session:
        source = daemon.pipelines["events"]
        await until(lambda: source.connected)
        async with asyncio.timeout(10), session.post(source.source.url, data=b'{"n":1}') as answer:  # type: ignore[attr-defined]
            assert (answer.status, await answer.json()) == (200, {"accepted": 1})
    memory.sink("vip").down = False
    async with daemon_of(path):
        await until(lambda: memory.sink("vip").values)
    assert memory.sink("vip").values == [b'{"n":1}']
