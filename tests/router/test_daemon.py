"""The daemon as a user meets it: files in, files out, pages over a socket, letters in the state folder."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from daemons import daemon_of, page

from connectors import memory
from router.config import load
from router.daemon import Daemon
from router.deadletters import DeadLetters
from router.errors import NotConnected, SluicewayError, StateError
from router.interfaces import Lag
from router.metrics import Metrics
from router.replay_jobs import ReplayJobs
from router.state import StateDir
from router.testing import until

RULES = """
flow: orders
from: [orders]
rules:
  - {name: noise, when: event.type == "heartbeat", to: drop}
  - {name: big, when: event.amount > 500.0, to: [vip, archive]}
  - {name: rest, to: archive}
"""


@pytest.fixture(autouse=True)
def _fresh_channels() -> None:
    memory.forget()


def config(folder: Path, text: str, rules: str = RULES) -> Path:
    (folder / "rules").mkdir()
    (folder / "rules" / "orders.yaml").write_text(rules)
    path = folder / "sluiceway.yaml"
    path.write_text(text)
    return path


MEMORY = """
state_dir: state
http: {listen: "127.0.0.1:0"}
sources: {orders: {type: memory, channel: orders}}
sinks:
  vip: {type: memory, channel: vip, retry: {attempts: 2, backoff: 1ms}}
  archive: {type: memory, channel: archive, retry: {backoff: 1ms}}
flows: [rules/*.yaml]
"""


def event(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


async def test_a_file_is_routed_to_files_and_the_run_ends_by_itself(tmp_path: Path) -> None:
    lines = [event(type="order", amount=900.0), event(type="heartbeat"), event(type="order", amount=3.0), b"no json"]
    (tmp_path / "in.ndjson").write_bytes(b"\n".join(lines) + b"\n")
    path = config(
        tmp_path,
        """
        http: null
        sources: {orders: {type: file, path: in.ndjson}}
        sinks:
          vip: {type: file, path: out/vip.ndjson}
          archive: {type: file, path: out/archive.ndjson}
        flows: [rules/*.yaml]
        """,
    )
    daemon = Daemon(load([path]))
    async with asyncio.timeout(20):
        assert await daemon.run()
    assert (tmp_path / "out/vip.ndjson").read_bytes() == lines[0] + b"\n"
    assert (tmp_path / "out/archive.ndjson").read_bytes() == lines[0] + b"\n" + lines[2] + b"\n"
    with StateDir.visit(tmp_path / "state") as state:
        letters = [letter async for letter in DeadLetters(state).find()]
    assert [(letter.stage, letter.value) for letter in letters] == [("decode", b"no json")]


async def test_a_second_run_begins_where_the_first_one_ended(tmp_path: Path) -> None:
    source, target = tmp_path / "in.ndjson", tmp_path / "out.ndjson"
    rules = "from: [orders]\nrules: [{to: out}]\n"
    text = "http: null\nsources: {orders: {type: file, path: in.ndjson}}\n"
    text += "sinks: {out: {type: file, path: out.ndjson}}\nflows: [rules/*.yaml]\n"
    path = config(tmp_path, text, rules)
    source.write_bytes(b'{"n":1}\n')
    assert await Daemon(load([path])).run()
    source.write_bytes(b'{"n":1}\n{"n":2}\n')
    assert await Daemon(load([path])).run()
    assert target.read_bytes() == b'{"n":1}\n{"n":2}\n'


async def test_the_pages_tell_of_everything(tmp_path: Path) -> None:
    async with daemon_of(config(tmp_path, MEMORY)) as daemon:
        memory.source("orders").push(memory.records({"type": "order", "amount": 900.0}, {"type": "heartbeat"}))
        await until(lambda: memory.source("orders").acked)
        assert await page(daemon, "/healthz") == (200, "ok\n")
        assert await page(daemon, "/readyz") == (200, "ok\n")
        status, text = await page(daemon, "/metrics")
        assert status == 200
        for line in (
            'sluiceway_source_records_total{source="orders"} 2.0',
            'sluiceway_rule_records_total{flow="orders",rule="big"} 1.0',
            'sluiceway_dropped_records_total{flow="orders",rule="noise"} 1.0',
            'sluiceway_sink_records_total{sink="vip"} 1.0',
            'sluiceway_connected{kind="sink",name="archive"} 1.0',
            'sluiceway_dead_letters{flow="orders"} 0.0',
            "sluiceway_config_last_reload_successful 1.0",
        ):
            assert line in text.splitlines()
        status, text = await page(daemon, "/api/status")
        told = json.loads(text)
        assert told["ready"]
        assert told["sources"]["orders"]["connected"]
        assert told["sources"]["orders"]["flow"] == "orders"
        assert told["sinks"]["vip"]["queue"] == {"records": 0, "bytes": 0, "waiting": 0}


async def test_a_sink_that_is_down_shows_and_stalls_only_the_flows_that_use_it(tmp_path: Path) -> None:
    path = config(
        tmp_path,
        MEMORY.replace(
            "sources: {orders: {type: memory, channel: orders}}",
            "sources: {orders: {type: memory, channel: orders}, other: {type: memory, channel: other}}",
        ),
    )
    (tmp_path / "rules/other.yaml").write_text("flow: other\nfrom: [other]\nrules: [{to: archive}]\n")
    memory.sink("vip").down = True
    async with daemon_of(path) as daemon:
        memory.source("orders").push(memory.records({"type": "order", "amount": 900.0}))
        memory.source("other").push(memory.records({"n": 1}))
        await until(lambda: memory.source("other").acked)
        assert memory.source("orders").acked == []
        told = json.loads((await page(daemon, "/api/status"))[1])
        assert told["sinks"]["vip"]["connected"] is False
        assert "down" in told["sinks"]["vip"]["error"]
        assert 'sluiceway_connected{kind="sink",name="vip"} 0.0' in (await page(daemon, "/metrics"))[1]
        assert (await page(daemon, "/readyz"))[0] == 200
        memory.sink("vip").down = False
        await until(lambda: memory.source("orders").acked)


async def test_pages_but_the_open_ones_answer_only_to_their_own_name(tmp_path: Path) -> None:
    async with daemon_of(config(tmp_path, MEMORY)) as daemon:
        assert (await page(daemon, "/api/status", Host="evil.example"))[0] == 403
        assert (await page(daemon, "/api/status", Origin="http://evil.example"))[0] == 403
        assert (await page(daemon, "/api/status", Host="localhost:9600"))[0] == 200
        assert (await page(daemon, "/metrics", Host="prometheus.example"))[0] == 200


async def test_with_a_token_the_other_pages_want_it(tmp_path: Path) -> None:
    path = config(tmp_path, MEMORY.replace('"127.0.0.1:0"}', '"127.0.0.1:0", token: s3cret}'))
    async with daemon_of(path) as daemon:
        assert (await page(daemon, "/api/status"))[0] == 401
        assert (await page(daemon, "/api/status", Authorization="Bearer wrong"))[0] == 401
        assert (await page(daemon, "/api/status", Authorization="Bearer s3cret"))[0] == 200
        assert (await page(daemon, "/healthz"))[0] == 200


async def test_a_second_instance_on_the_same_state_is_refused_by_pid(tmp_path: Path) -> None:
    path = config(tmp_path, MEMORY)
    async with daemon_of(path):
        with pytest.raises(StateError, match=r"\bpid \d+|\d+"):
            await Daemon(load([path])).run()


async def test_a_port_that_is_taken_is_said_so(tmp_path: Path) -> None:
    async with daemon_of(config(tmp_path, MEMORY)) as daemon:
        assert daemon.admin is not None
        other = tmp_path / "other"
        other.mkdir()
        taken = MEMORY.replace("127.0.0.1:0", daemon.admin.url.removeprefix("http://"))
        with pytest.raises(SluicewayError, match=r"cannot listen on .* http\.listen"):
            await Daemon(load([config(other, taken)])).run()


async def request_replay(store: DeadLetters) -> None:
    jobs = ReplayJobs(store)
    job = await jobs.begin()
    async for ids in store.ids():
        await jobs.request(job, ids)


async def test_letters_are_replayed_to_the_sink_or_through_the_flow_each_once(tmp_path: Path) -> None:
    vip = memory.sink("vip")
    vip.on_write = lambda batch: memory.refuse(batch, *batch.values)
    async with daemon_of(config(tmp_path, MEMORY)):
        memory.source("orders").push(memory.records({"type": "order", "amount": 900.0}, "no json"))
        await until(lambda: memory.source("orders").acked)
        with StateDir.visit(tmp_path / "state") as state:
            store = DeadLetters(state)
            before = [(letter.stage, letter.attempts) async for letter in store.find()]
            assert sorted(before) == [("decode", 1), ("sink", 1)]
            vip.on_write = None
            await request_replay(store)
            async with asyncio.timeout(10):
                while [letter.stage async for letter in store.find()] != ["decode"] or not vip.values:
                    await asyncio.sleep(0.05)
            [again] = [letter async for letter in store.find()]
    assert vip.values == [b'{"type":"order","amount":900.0}']
    assert memory.sink("archive").values == [b'{"type":"order","amount":900.0}']
    assert again.attempts == 2


async def test_a_drain_that_takes_too_long_is_ended_and_told(tmp_path: Path) -> None:
    memory.sink("vip").down = True
    daemon = Daemon(load([config(tmp_path, "drain_timeout: 50ms\n" + MEMORY)]))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(daemon.run())
        memory.source("orders").push(memory.records({"type": "order", "amount": 900.0}))
        await until(lambda: memory.sink("archive").values)
        daemon.stop()
        async with asyncio.timeout(10):
            assert await task is False
    assert memory.source("orders").acked == []


async def test_what_came_from_the_environment_is_shown_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICEWAY_TEST_SECRET", "hunter2hunter2")
    text = MEMORY.replace("state_dir: state", 'state_dir: state\nvars: {s: "${env:SLUICEWAY_TEST_SECRET}"}')
    rules = "from: [orders]\nrules: [{name: r, when: int(vars.s) == event.n, to: vip}, {to: archive}]\n"
    source = memory.source("orders")
    source.lags = [Lag("hunter2hunter2.log", records=1)]
    memory.sink("vip").on_open = lambda: (_ for _ in ()).throw(NotConnected("no such user: hunter2hunter2"))
    async with daemon_of(config(tmp_path, text, rules)) as daemon:
        source.push(memory.records({"n": 1}))
        await until(lambda: source.acked)
        await until(lambda: "hunter2" in daemon.outlets["vip"].error)
        for path in ("/api/status", "/metrics"):
            assert "hunter2" not in (await page(daemon, path))[1]
        assert "***.log" in (await page(daemon, "/metrics"))[1]
        with StateDir.visit(tmp_path / "state") as state:
            [letter] = [letter async for letter in DeadLetters(state).find()]
    assert "***" in letter.detail
    assert "hunter2" not in letter.detail


def test_partitions_that_look_alike_once_they_are_masked_are_shown_together() -> None:
    """Topics whose names come from the environment: no partition's lag takes the place of another's."""
    metrics = Metrics(lambda text: text.replace("orders", "***").replace("clicks", "***"))

    def shown(partition: str) -> list[float | None]:
        labels = {"source": "all", "partition": partition}
        names = ("records", "seconds")
        return [metrics.registry.get_sample_value(f"sluiceway_source_lag_{name}", labels) for name in names]

    metrics.set_lag("all", [Lag("orders-0", records=3, seconds=2.0), Lag("clicks-0", records=4, seconds=1.0)])
    assert shown("***-0") == [7.0, 2.0]
    metrics.set_lag("all", [Lag("orders-1", records=1)])
    assert (shown("***-0"), shown("***-1")) == ([None, None], [1.0, None])


async def test_the_accounts_hold_after_a_replay(tmp_path: Path) -> None:
    rules = "from: [orders]\ncontract: {expect: {it is set: has(event.n)}}\nrules: [{to: archive}]\n"
    async with daemon_of(config(tmp_path, MEMORY, rules)) as daemon:
        memory.source("orders").push(memory.records({"n": 1}, {"m": 2}))
        await until(lambda: memory.source("orders").acked)
        with StateDir.visit(tmp_path / "state") as state:
            await request_replay(DeadLetters(state))
        count = daemon.metrics.registry.get_sample_value
        labels = {"flow": "orders", "to": "flow"}
        await until(lambda: count("sluiceway_replayed_letters_total", labels))
        buried = {"flow": "orders", "stage": "contract", "sink": "", "reason": "invalid"}
        came = count("sluiceway_source_records_total", {"source": "orders"}) or 0
        routed = count("sluiceway_routed_deliveries_total", {"flow": "orders", "sink": "archive"})
        assert (came + 1, routed, count("sluiceway_dead_letters_total", buried)) == (3, 1, 2)
        assert 'sluiceway_dead_letters{flow="orders"} 1.0' in (await page(daemon, "/metrics"))[1]
