"""The commands against a daemon that runs, from the command line to the records: pause, resume, reload, tap, and what
the audit says of them."""

from __future__ import annotations

import itertools
import json
import select
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from processes import daemon_process, sluiceway, wait_until_ready

from tests.commands import Command
from tests.servers.ports import claim_port

RULES = """
from: [orders]
rules:
  - {name: big, when: event.n >= 100, to: vip}
  - {name: rest, to: drop}
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    with daemon_process(tmp_path, project(tmp_path)):
        yield tmp_path


def project(tmp_path: Path, vip: str = "vip.ndjson") -> int:
    """The files of a daemon, and the port that it will have."""
    port = claim_port()
    (tmp_path / "in.ndjson").touch()
    (tmp_path / "orders.yaml").write_text(RULES)
    (tmp_path / "sluiceway.yaml").write_text(
        f"http: {{listen: '127.0.0.1:{port}', token: s3cret}}\n"
        "sources: {orders: {type: file, path: in.ndjson, follow: true, poll: 50ms}}\n"
        f"sinks: {{vip: {{type: file, path: {vip}}}, other: {{type: file, path: other.ndjson}}}}\n"
        "flows: [orders.yaml]\n"
    )
    return port


def feed(folder: Path, *numbers: int) -> None:
    with (folder / "in.ndjson").open("a") as file:
        file.writelines(f'{{"n": {n}}}\n' for n in numbers)


def delivered(folder: Path, sink: str = "vip") -> list[int]:
    file = folder / f"{sink}.ndjson"
    return [json.loads(line)["n"] for line in file.read_text().splitlines()] if file.exists() else []


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def source(folder: Path) -> Any:
    return json.loads(sluiceway("status", "--json", cwd=folder).stdout)["sources"]["orders"]


def test_a_source_is_paused_and_resumed_and_nothing_is_lost(running: Path) -> None:
    feed(running, 100)
    until(lambda: delivered(running) == [100])
    paused = sluiceway("pause", "orders", cwd=running)
    assert (paused.returncode, paused.stderr) == (0, "")
    until(lambda: source(running)["state"] == "paused")
    assert "source orders paused;" in sluiceway("status", "--check", cwd=running).stdout, "who paused it knows"
    feed(running, 101)
    wrong = sluiceway("pause", "ordres", cwd=running)
    assert (wrong.returncode, "there is no source 'ordres'" in wrong.stderr) == (1, True)
    assert delivered(running) == [100]
    assert sluiceway("resume", "orders", cwd=running).returncode == 0
    until(lambda: delivered(running) == [100, 101])
    listed = sluiceway("audit", "list", "--action", "pause", "--action", "resume", cwd=running).stdout
    assert ["http 127.0.0.1" in line for line in listed.splitlines()] == [True, True], listed


def test_a_source_resumed_while_its_sink_is_down_is_said_to_be_read_later(tmp_path: Path) -> None:
    port = project(tmp_path, "away/vip.ndjson")
    (tmp_path / "away").touch()
    with daemon_process(tmp_path, port):
        feed(tmp_path, 100)
        until(lambda: source(tmp_path)["unsettled"]["records"])
        assert sluiceway("pause", "orders", cwd=tmp_path).returncode == 0
        assert source(tmp_path)["state"] == "pausing"
        said = sluiceway("resume", "orders", cwd=tmp_path).stdout
        assert said == "source orders is read again as soon as what was read before the pause is settled\n"
        assert source(tmp_path)["state"] == "draining"
        (tmp_path / "away").unlink()
        until(lambda: source(tmp_path)["state"] == "running")
        feed(tmp_path, 101)
        until(lambda: delivered(tmp_path, "away/vip") == [100, 101])


def test_a_reload_says_what_changed_or_why_it_is_refused(running: Path) -> None:
    """The daemon watches its files, so they may be taken already: what counts is what runs then."""
    rules = running / "orders.yaml"
    rules.write_text(RULES.replace("to: vip", "to: nowhere"))
    refused = sluiceway("reload", cwd=running)
    assert refused.returncode == 2
    assert "orders.yaml:4:43: there is no sink `nowhere`" in refused.stderr
    feed(running, 100)
    until(lambda: delivered(running) == [100])
    rules.write_text(RULES.replace("to: vip", "to: other"))
    assert sluiceway("reload", cwd=running).returncode == 0
    feed(running, 101)
    until(lambda: delivered(running, "other") == [101])
    assert "nothing has changed" in sluiceway("reload", cwd=running).stdout
    exported = sluiceway("audit", "export", cwd=running).stdout
    entries = [json.loads(line) for line in exported.splitlines()]
    assert {"reload", "reload_refused"} <= {entry["action"] for entry in entries}
    assert "s3cret" not in exported
    assert sluiceway("audit", "verify", cwd=running).returncode == 0


def test_a_tap_shows_records_that_its_condition_takes_with_where_they_go(running: Path) -> None:
    """While it is told to, beside a daemon that goes on."""
    feeding = itertools.cycle((1, 100))

    def tapped(*options: str) -> str:
        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(sluiceway, "tap", "orders", *options, cwd=running)
            while not told.done():
                feed(running, next(feeding))
                time.sleep(0.02)
        assert told.result().returncode == 0, told.result().stderr
        return told.result().stdout

    lines = tapped("--limit", "2").splitlines()
    ends = {line.partition("-> ")[2] for line in lines}
    assert len(lines) == 2
    assert ends <= {'drop by rest: {"n": 1}', 'vip by big: {"n": 100}'}, lines
    record = json.loads(tapped("--where", "event.n >= 100", "--limit", "1", "--json"))
    assert record["event"]["n"] == 100
    assert [end["to"] for end in record["ends"]] == ["vip"]
    wrong = sluiceway("tap", "orders", "--where", "event.", cwd=running)
    assert wrong.returncode == 1
    assert "where" in wrong.stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["lines", "json"])
def test_a_tap_whose_daemon_goes_says_so_and_fails(
    tmp_path: Path, how: signal.Signals, options: tuple[str, ...]
) -> None:
    port = project(tmp_path)
    log = tmp_path / "run.log"
    with log.open("wb") as file, Command("run", cwd=tmp_path, stdout=file, stderr=file) as daemon:
        wait_until_ready(daemon, port, log)
        with Command("tap", "orders", *options, cwd=tmp_path) as tap:

            def shows() -> bool:
                feed(tmp_path, 1)
                return bool(select.select([tap.stdout], [], [], 0.05)[0])

            until(shows)
            daemon.send_signal(how)
            _, errors = tap.communicate(timeout=30)
        daemon.wait(timeout=30)
    assert tap.returncode == 1
    assert "has ended the stream: the daemon stops or is gone" in errors
