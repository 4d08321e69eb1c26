"""``sluiceway run --dry-run``: what the daemon would do, with the real sources, and without a trace."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from connectors import memory
from router.config import Configuration, load
from router.dryrun import Account, DryRun, Unpeekable, kept_positions
from router.errors import NotConnected
from router.state import StateDir
from router.testing import until
from tests.commands import Command, sluiceway

RULES = """
flow: orders
from: [orders]
contract: {expect: {positive: event.amount > 0}}
rules:
  - {name: vip, when: event.amount > 500, to: vip}
  - {name: rest, dedupe: {key: event.amount, within: 1h}, to: rest}
"""
STARTS = "dry run: reading; SIGINT or SIGTERM ends it\n"
FILE = "{type: file, path: in.ndjson, follow: false}"


def project(folder: Path, source: str = FILE) -> Path:
    (folder / "orders.yaml").write_text(RULES)
    config = folder / "sluiceway.yaml"
    config.write_text(
        f"http: null\nsources: {{orders: {source}}}\n"
        "sinks: {vip: {type: file, path: out/vip.ndjson}, rest: {type: file, path: out/rest.ndjson}}\n"
        "flows: [orders.yaml]\n"
    )
    (folder / "in.ndjson").write_text('{"amount": 900}\n{"amount": 1}\n{"amount": 1}\n{"amount": -1}\nbad\n')
    return config


def loaded(folder: Path, source: str = FILE) -> Configuration:
    return load([project(folder, source)])


def went(account: Account) -> dict[str, int]:
    return {count.label: count.new for count in account.counts}


async def run(dry: DryRun, stop: asyncio.Event | None = None) -> Account:
    async with asyncio.timeout(20):
        return await dry.run(stop or asyncio.Event())


def contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


def test_it_counts_what_would_go_where_and_leaves_nothing_behind(tmp_path: Path) -> None:
    project(tmp_path)
    before = contents(tmp_path)
    done = sluiceway("run", "--dry-run", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, STARTS)
    assert done.stdout == (
        "source orders: 5 record(s), 58 byte(s); ended\n"
        "orders -> rest by rest: 1\n"
        "orders -> vip by vip: 1\n"
        "orders -> drop by rest: 1\n"
        "orders -> dead_letter (invalid): 1\n"
        "orders -> dead_letter (undecodable): 1\n"
        f"note: {done.stdout.partition('note: ')[2].splitlines()[0]}\n"
        "dry run: 5 record(s) decided; nothing was written or acknowledged, no sink was opened\n"
    )
    assert contents(tmp_path) == before


def test_it_begins_where_the_daemon_would_and_leaves_its_state_as_it_is(tmp_path: Path) -> None:
    """After a run, what came since; and the run after it reads that, too, as if nobody had looked."""
    project(tmp_path)
    assert sluiceway("run", cwd=tmp_path).returncode == 0
    with (tmp_path / "in.ndjson").open("a") as file:
        file.write('{"amount": 901}\n')
    before = contents(tmp_path)
    told = json.loads(sluiceway("run", "--dry-run", "--json", cwd=tmp_path).stdout)
    assert (told["records"], told["counts"][0]["to"]) == (1, "vip")
    assert contents(tmp_path) == before
    assert sluiceway("run", cwd=tmp_path).returncode == 0
    assert (tmp_path / "out/vip.ndjson").read_text() == '{"amount": 900}\n{"amount": 901}\n'


def test_positions_are_seen_while_a_daemon_holds_the_folder(tmp_path: Path) -> None:
    with StateDir.open(tmp_path / "state") as state:
        asyncio.run(state.positions("orders").save({"a": 1, "\udcff": [2]}))
        assert kept_positions(tmp_path / "state") == {"orders": {"a": 1, "\udcff": [2]}}
    assert kept_positions(tmp_path / "state") == {"orders": {"a": 1, "\udcff": [2]}}
    assert kept_positions(tmp_path / "none") == {}


def test_it_runs_beside_the_daemon(tmp_path: Path) -> None:
    """Which goes on, and has its folder alone."""
    project(tmp_path, FILE.replace("false", "true"))
    with Command("run", cwd=tmp_path) as daemon:
        wait_for(lambda: (tmp_path / "out/vip.ndjson").exists())
        done = sluiceway("run", "--dry-run", "--for", "1s", "--json", cwd=tmp_path)
        assert (done.returncode, json.loads(done.stdout)["sources"]["orders"]["connected"]) == (0, True)
        with (tmp_path / "in.ndjson").open("a") as file:
            file.write('{"amount": 902}\n')
        wait_for(lambda: "902" in (tmp_path / "out/vip.ndjson").read_text())
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate(timeout=30)
    assert daemon.returncode == 0


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_signal_ends_it_with_the_counts(tmp_path: Path) -> None:
    project(tmp_path, "{type: generate, template: {amount: 900}, rate: 1000/s}")
    with Command("run", "--dry-run", cwd=tmp_path) as dry:
        assert dry.stderr.readline() == STARTS
        dry.send_signal(signal.SIGINT)
        out, errors = dry.communicate(timeout=30)
    assert (dry.returncode, errors) == (0, "")
    assert out.startswith("source orders: ")
    assert out.endswith("nothing was written or acknowledged, no sink was opened\n")
    assert not (tmp_path / "state").exists()


async def test_it_ends_after_so_many_records(tmp_path: Path) -> None:
    dry = DryRun(loaded(tmp_path, "{type: generate, template: {amount: 900}, batch: 7}"), most=20)
    assert went(await run(dry)) == {"vip": 20}


async def test_nothing_is_acknowledged_and_a_source_that_goes_away_is_opened_again(tmp_path: Path) -> None:
    channel = f"dry-{tmp_path.name}"
    source = memory.source(channel)
    source.push(memory.records({"amount": 900}), NotConnected("away"), memory.records({"amount": 901}))
    dry = DryRun(loaded(tmp_path, f"{{type: memory, channel: {channel}}}"))
    stop = asyncio.Event()
    running = asyncio.create_task(run(dry, stop))
    await until(lambda: source.opens >= 2 and dry.account.records >= 3)
    stop.set()
    account = await running
    assert (source.acked, source.rejected, source.opens) == ([], [], source.closes)
    assert went(account) == {"vip": 3}, "what is not acknowledged comes again"


@pytest.mark.parametrize(
    "source",
    [
        "{type: stdin}",
        "{type: memory, replays: false}",
        "{type: http, listen: 127.0.0.1:0}",
        "{type: mqtt, broker: 127.0.0.1:1, topics: [a/b], client_id: c}",
    ],
)
def test_a_source_that_would_notice_is_refused_and_is_not_opened(tmp_path: Path, source: str) -> None:
    with pytest.raises(Unpeekable) as refused:
        DryRun(loaded(tmp_path, source))
    assert list(refused.value.why) == ["orders"]


def test_the_command_says_what_to_do_instead_and_reads_it_when_it_may(tmp_path: Path) -> None:
    project(tmp_path, "{type: stdin}")
    refused = sluiceway("run", "--dry-run", cwd=tmp_path, given='{"amount": 900}\n')
    assert refused.returncode == 2
    assert "source orders (stdin): " in refused.stderr
    assert "--consume" in refused.stderr
    read = sluiceway("run", "--dry-run", "--consume", cwd=tmp_path, given='{"amount": 900}\n')
    assert (read.returncode, "orders -> vip by vip: 1\n" in read.stdout) == (0, True)


def test_a_source_that_cannot_be_opened_is_told_and_fails_the_command(tmp_path: Path) -> None:
    project(tmp_path, "{type: file, path: nothing.ndjson}")
    done = sluiceway("run", "--dry-run", "--for", "1s", cwd=tmp_path)
    assert done.returncode == 1
    assert "source orders: 0 record(s), 0 byte(s); " in done.stdout
    assert "nothing.ndjson" in done.stdout


def test_its_options_go_with_it_alone(tmp_path: Path) -> None:
    project(tmp_path)
    assert sluiceway("run", "--consume", cwd=tmp_path).returncode == 2
    assert sluiceway("run", "--dry-run", "--for", "soon", cwd=tmp_path).returncode == 2
    assert not (tmp_path / "state").exists()


async def test_records_that_a_source_could_have_back_are_not_sent_back(tmp_path: Path) -> None:
    """``otherwise.invalid: reject`` is counted, and nobody hears of it."""
    channel = f"reject-{tmp_path.name}"
    source = memory.source(channel)
    source.push(memory.records({"amount": -1}))
    source.end()
    configuration: Any = project(tmp_path, f"{{type: memory, channel: {channel}}}")
    (tmp_path / "orders.yaml").write_text(RULES + "otherwise: {invalid: reject}\n")
    account = await run(DryRun(load([configuration])))
    assert (went(account), source.rejected) == ({"reject (invalid)": 1}, [])
