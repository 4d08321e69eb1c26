"""Reloads of a real process: under load, by files, by SIGHUP; ``python tests/faults reload`` is the long version."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import reloads
from daemon_process import Daemon

CONFIG = """\
http: {listen: "127.0.0.1:0"}
sources: {lines: {type: file, path: in.ndjson, follow: true, poll: 20ms}}
sinks: {out: {type: file, path: out.ndjson}, other: {type: file, path: other.ndjson}}
flows: [rules/*.yaml]
"""
RULES = "from: [lines]\nrules: [{to: %s}]\n"


def test_reloads_under_load_lose_and_repeat_nothing_and_wrong_ones_are_refused() -> None:
    with reloads.Rig(seed=3, count=20) as rig:
        rig.daemon.start()
        assert not reloads.run(rig, 12)
        assert not reloads.losses(rig.finish())


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/lines.yaml").write_text(RULES % "out")
    (tmp_path / "sluiceway.yaml").write_text(CONFIG)
    (tmp_path / "in.ndjson").touch()
    started = Daemon(tmp_path / "sluiceway.yaml")
    yield started
    if started.runs:
        started.kill()


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not become so"
        time.sleep(0.02)


def feed(daemon: Daemon, *numbers: int) -> None:
    with daemon.config.with_name("in.ndjson").open("a") as file:
        file.writelines(json.dumps({"n": number}) + "\n" for number in numbers)


def lines(daemon: Daemon, name: str) -> list[int]:
    file = daemon.config.with_name(name)
    return [json.loads(line)["n"] for line in file.read_text().splitlines()] if file.exists() else []


def test_a_process_takes_over_files_that_change_and_says_what_is_wrong_with_them(daemon: Daemon) -> None:
    daemon.start()
    rules = daemon.config.with_name("rules") / "lines.yaml"
    feed(daemon, 1)
    until(lambda: lines(daemon, "out.ndjson") == [1])
    rules.write_text(RULES % "elsewhere")
    until(lambda: "there is no sink `elsewhere`" in daemon.log.read_text())
    last = daemon.status()["config"]["last_reload"]
    assert (last["cause"], last["successful"]) == ("files", False)
    assert daemon.metrics()["sluiceway_config_last_reload_successful{}"] == 0
    rules.with_name("new").write_text(RULES % "other")
    rules.with_name("new").rename(rules)
    until(lambda: daemon.metrics()["sluiceway_config_last_reload_successful{}"] == 1)
    feed(daemon, 2)
    until(lambda: lines(daemon, "other.ndjson") == [2])
    assert daemon.stop() == 0
    assert lines(daemon, "out.ndjson") == [1]


def test_without_watching_a_process_reads_its_files_again_at_sighup_alone(daemon: Daemon) -> None:
    daemon.start(options=["--no-watch"])
    (daemon.config.with_name("rules") / "lines.yaml").write_text(RULES % "other")
    time.sleep(1)
    feed(daemon, 1)
    until(lambda: lines(daemon, "out.ndjson") == [1])
    daemon.hang_up()
    until(lambda: daemon.metrics().get("sluiceway_config_reloads_total{result=taken}") == 1)
    feed(daemon, 2)
    until(lambda: lines(daemon, "other.ndjson") == [2])
    assert daemon.stop() == 0
