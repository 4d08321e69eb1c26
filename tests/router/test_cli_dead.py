"""The commands about dead letters, as a person or a script runs them, beside a daemon and without one."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from router.audit import Wanted, find
from router.cli.chosen import Chosen
from router.config import load
from router.deadletters import DeadLetters
from router.letter import Letter
from router.letter_choice import Choice
from router.state import StateDir
from tests.commands import SLUICEWAY, Command, sluiceway

CONFIG = """
http: null
state_dir: state
vars: {limit: 10}
sources: {orders: {type: file, path: in.ndjson, follow: FOLLOW}, rows: {type: file, path: "*.csv", decode: csv}}
sinks: {vip: {type: file, path: out/vip.ndjson}, rest: {type: file, path: out/rest.ndjson}}
flows: [orders.yaml, rows.yaml]
"""
ORDERS = """
from: [orders]
contract: {expect: {positive: event.amount > 0}}
rules:
  - {name: vip, when: event.amount > 500, to: vip}
  - {name: rest, to: rest}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "in.ndjson").touch()
    (tmp_path / "rows.csv").touch()
    (tmp_path / "orders.yaml").write_text(ORDERS)
    (tmp_path / "rows.yaml").write_text("from: [rows]\nrules: [{name: all, to: rest}]\n")
    (tmp_path / "sluiceway.yaml").write_text(CONFIG.replace("FOLLOW", "false"))
    return tmp_path


def keep(folder: Path, *letters: Letter) -> None:
    with StateDir.open(folder / "state") as state:
        asyncio.run(DeadLetters(state).add_many(letters))


def letter(value: bytes = b"{}", **changed: Any) -> Letter:
    plain: dict[str, Any] = {
        "time": 1_700_000_000_000_000_000, "flow": "orders", "source": "orders", "stage": "contract",
        "reason": "invalid",
    }  # fmt: skip
    return Letter(**{**plain, "value": value, **changed})


def left(folder: Path) -> list[Any]:
    return [json.loads(line) for line in sluiceway("dead", "list", "--json", cwd=folder).stdout.splitlines()]


def chosen(folder: Path, when: str) -> list[int]:
    async def find(letters: DeadLetters) -> list[int]:
        configuration = load([folder / "sluiceway.yaml"])
        return [found.id async for found in Chosen.by(None, None, when).find(letters, configuration)]

    with StateDir.visit(folder / "state") as state:
        return asyncio.run(find(DeadLetters(state)))


def lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def waited(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


WHEN = [
    ("event.amount < -1", [2]),
    ("event.amount < 0 || reason == 'undecodable'", [1, 2, 3]),
    ("meta.headers['tier'] == 'gold'", [2]),
    ("meta.key == 'k' && attempts > 1", [2]),
    ("meta.topic == 't'", [2]),
    ("stage == 'sink' && sink == 'vip' && rule == 'vip'", [4]),
    ("event.amount > vars.limit", [4]),
    ("time > timestamp('2024-01-01T00:00:00Z')", [5]),
    ("source == 'rows' && event.column_1 == 'a'", []),
    ("source == 'rows' && event[0] == 'a'", [5]),
    ("id in [1, 5, 7]", [1, 5]),
    ("detail.contains('boom')", [4]),
    ("version == '' && flow == 'orders'", [1, 2, 3, 4]),
]


def test_a_condition_chooses_letters(project: Path) -> None:
    """It sees the event as its source decodes it, what the source knew, and what is known of the failure; a field that
    is missing is no match."""
    keep(
        project,
        letter(b'{"amount":-1}'),
        letter(b'{"amount":-2}', key=b"k", attempts=2, headers=[("Tier", b"gold")], attributes={"topic": "t"}),
        letter(b"no json", stage="decode", reason="undecodable"),
        letter(b'{"amount":900}', stage="sink", rule="vip", sink="vip", reason="refused", detail="boom"),
        letter(b"a,b", source="rows", flow="rows", time=1_800_000_000_000_000_000),
    )
    for when, expected in WHEN:
        assert chosen(project, when) == expected, when
    listed = sluiceway("dead", "list", "--json", "--when", "event.amount < 0", "--limit", "1", cwd=project)
    assert len(listed.stdout.splitlines()) == 1
    purged = sluiceway("dead", "purge", "--when", "event.amount < 0", cwd=project)
    assert purged.stdout == "purged 2 dead letter(s)\n"
    assert [one["id"] for one in left(project)] == [3, 4, 5]


def test_a_condition_that_fails_on_a_letter_is_told(project: Path) -> None:
    """Where the value is no boolean, or an operator does not fit, the letter is not chosen, and how many those are is
    told."""
    keep(project, letter(b'{"amount":"much"}'), letter(b'{"amount":1}'))
    listed = sluiceway("dead", "list", "--json", "--when", "event.amount > 0", cwd=project)
    assert len(listed.stdout.splitlines()) == 1
    assert "--when fails on 1 letter(s), such as 1: " in listed.stderr
    assert "neither true nor false" in sluiceway("dead", "list", "--when", "event.amount", cwd=project).stderr


def test_a_dry_run_counts_and_changes_nothing(project: Path) -> None:
    """It says how many, and where they would go."""
    keep(
        project,
        *[letter(b'{"amount":1}')] * 3,
        *[letter(b'{"amount":1}', stage="sink", sink="vip", rule="vip", reason="refused")] * 2,
    )
    dry = sluiceway("dead", "replay", "--all", "--dry-run", cwd=project)
    assert (dry.returncode, dry.stdout) == (
        0,
        "would replay 5 dead letter(s)\n  3 through flow orders\n  2 straight to sink vip\n",
    )
    some = sluiceway("dead", "replay", "--when", "stage == 'sink'", "--dry-run", cwd=project)
    assert some.stdout == "would replay 2 dead letter(s)\n  2 straight to sink vip\n"
    assert len(left(project)) == 5
    assert not (project / "out").exists()


def test_nothing_to_replay_is_no_failure(project: Path) -> None:
    """Whether no daemon has run yet, or no letter is chosen."""
    for arguments in (("--all", "--dry-run"), ("--all",), ("--flow", "orders", "--stage", "sink")):
        replayed = sluiceway("dead", "replay", *arguments, cwd=project)
        assert (replayed.returncode, " 0 dead letter(s)" in replayed.stdout) == (0, True), replayed.stderr


@pytest.mark.parametrize("rate", [None, "100000", "2"])
def test_a_replay_without_a_daemon(project: Path, rate: str | None) -> None:
    """Each chosen letter once, at a rate or at once; the others stay."""
    keep(project, *(letter(b'{"amount":%d}' % n, reason="invalid" if n % 2 else "other") for n in range(1, 5)))
    at_rate = () if rate is None else ("--rate", rate)
    replayed = sluiceway("dead", "replay", "--reason", "invalid", *at_rate, cwd=project)
    assert (replayed.returncode, replayed.stdout) == (0, "replayed 2 dead letter(s)\n"), replayed.stderr
    assert lines(project / "out/rest.ndjson") == [{"amount": 1}, {"amount": 3}]
    assert [json.loads(one["value"])["amount"] for one in left(project)] == [2, 4]


@pytest.mark.parametrize("beside", [False, True], ids=["without a daemon", "beside a daemon"])
def test_an_interrupted_replay_leaves_the_rest_where_it_is(project: Path, beside: bool) -> None:
    """After Ctrl-C nothing more is sent, also when a daemon starts; each letter is at the sink or still there."""
    keep(project, *(letter(b'{"amount":%d}' % n) for n in range(1, 101)))
    config, output = project / "sluiceway.yaml", project / "out/rest.ndjson"
    if beside:
        config.write_text(config.read_text().replace("follow: false", "follow: true"))
    with Command("run", cwd=project, stderr=subprocess.DEVNULL) as daemon:
        daemon.stdout.readline()
        if not beside:
            assert daemon.wait(60) == 0
        with Command("dead", "replay", "--all", "--rate", "20", cwd=project, stderr=subprocess.DEVNULL) as replay:
            waited(lambda: lines(output))
            replay.send_signal(signal.SIGINT)
            told, _ = replay.communicate(timeout=60)
        assert replay.returncode == 1
        assert "left where they are" in told
        waited(lambda: len(lines(output)) + len(left(project)) == 100)
        delivered = len(lines(output))
        assert delivered < 100
        if not beside:
            assert sluiceway("run", cwd=project).returncode == 0
        time.sleep(0.3)
        daemon.terminate()
        daemon.communicate(timeout=60)
    assert len(lines(output)) == delivered
    assert {json.loads(one["value"])["amount"] for one in left(project)} == {*range(1, 101)} - {
        line["amount"] for line in lines(output)
    }


def test_a_daemon_replays_at_the_rate_that_is_asked_for(project: Path) -> None:
    """The command beside it sees every one delivered."""
    config = project / "sluiceway.yaml"
    config.write_text(config.read_text().replace("follow: false", "follow: true"))
    keep(project, *(letter(b'{"amount":%d}' % n) for n in range(1, 31)), letter(b'{"amount":-1}'))
    with Command("run", cwd=project, stderr=subprocess.DEVNULL) as run:
        run.stdout.readline()
        replayed = sluiceway("dead", "replay", "--all", "--rate", "30", cwd=project)
        run.terminate()
        run.wait(60)
    assert (replayed.returncode, replayed.stdout) == (1, "replayed 30 dead letter(s), 1 failed again\n")
    assert [line["amount"] for line in lines(project / "out/rest.ndjson")] == [*range(1, 31)]


def test_a_replay_to_a_sink_that_is_away_says_what_waits(project: Path) -> None:
    """After ``--wait`` without any progress; the next replay takes it up again."""
    keep(project, letter(b'{"amount":900}', stage="sink", sink="vip", rule="vip", reason="refused"))
    (project / "out/vip.ndjson").mkdir(parents=True)
    replayed = sluiceway("dead", "replay", "--all", "--wait", "500ms", cwd=project)
    assert (replayed.returncode, replayed.stdout) == (1, "replayed 0 dead letter(s), 1 still waiting\n")
    (project / "out/vip.ndjson").rmdir()
    replayed = sluiceway("dead", "replay", "--all", cwd=project)
    assert (replayed.returncode, replayed.stdout) == (0, "replayed 1 dead letter(s)\n")
    assert lines(project / "out/vip.ndjson") == [{"amount": 900}]


def test_on_a_terminal_progress_is_shown(project: Path) -> None:
    """A bar with how many are done, on stderr; stdout has the result alone."""
    keep(project, *(letter(b'{"amount":%d}' % n) for n in range(1, 21)))
    primary, secondary = pty.openpty()
    command = [SLUICEWAY, "dead", "replay", "--all", "--rate", "20"]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=secondary, text=True) as replay:
        os.close(secondary)
        shown = b""
        while True:
            try:
                shown += os.read(primary, 1 << 16)
            except OSError:
                break
        assert replay.stdout is not None
        assert replay.stdout.read() == "replayed 20 dead letter(s)\n"
    os.close(primary)
    assert b"replaying" in shown
    assert b"/20" in shown


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--all", "--wait", "soon"), "--wait: 'soon' should be a duration"),
        (("--all", "--rate", "0"), "--rate"),
        ((), "say which letters to replay"),
        (("--stage", "end"), "there is no stage 'end'"),
        (("--since", "yesterday"), "should be a time such as"),
        (("--when", "event.amount >"), "--when: "),
        (("--when", "evnt.amount > 0"), "did you mean `event`?"),
        (("--when", "attempts"), "--when: `attempts` is an int, never true or false"),
    ],
)
def test_wrong_usage(project: Path, arguments: tuple[str, ...], why: str) -> None:
    """Status 2, and what would be right."""
    refused = sluiceway("dead", "replay", *arguments, cwd=project)
    assert (refused.returncode, why in refused.stderr) == (2, True), refused.stderr


@pytest.mark.parametrize("ever", ["99999999999h", "0001-01-01T00:00:00Z", "1700-06-01"])
@pytest.mark.parametrize("never", ["9999-12-31T23:59:59Z", "2262-05-01T00:00:00Z", "9999-12-31"])
def test_times_that_no_store_can_hold_mean_ever_and_never(project: Path, ever: str, never: str) -> None:
    keep(project, letter())
    with StateDir.visit(project / "state") as state:

        async def found(**bounds: Any) -> int:
            choice = Choice.by(bounds.get("since"), bounds.get("until"), None)
            assert choice.as_json().keys() == bounds.keys()
            letters = [letter async for letter in choice.find(DeadLetters(state), load([project / "sluiceway.yaml"]))]
            seconds = [None if ns is None else ns / 1e9 for ns in (choice.where.since, choice.where.until)]
            assert [entry async for entry in find(state, Wanted(since=seconds[0], until=seconds[1]))] == []
            return len(letters)

        assert asyncio.run(found(since=ever)) == asyncio.run(found(until=never)) == 1
        assert asyncio.run(found(since=never)) == asyncio.run(found(until=ever)) == 0


def test_amend_has_a_replay_send_what_is_given_and_show_tells_what_came_first(project: Path) -> None:
    keep(project, letter(b'{"amount":-1}'), letter(b"{}", stage="sink", sink="vip", out_value=b"old"))
    (project / "good").write_bytes(b'{"amount":600}')
    assert sluiceway("dead", "amend", "1", "--file", "good", cwd=project).returncode == 0
    assert (
        sluiceway("dead", "amend", "2", "--value", "new", "--key", "k", "--header", "a=b", cwd=project).returncode == 0
    )
    shown = json.loads(sluiceway("dead", "show", "1", "--json", cwd=project).stdout)
    assert (shown["value"], shown["original"]["value"]) == ('{"amount":600}', '{"amount":-1}')
    assert sluiceway("dead", "replay", "--all", cwd=project).returncode == 0
    assert sorted((project / "out/vip.ndjson").read_text().splitlines()) == ["new", '{"amount":600}']
    assert sluiceway("audit", "verify", cwd=project).returncode == 0
    assert sluiceway("audit", "list", "--action", "amend", "--json", cwd=project).stdout.count('"amend"') == 2


def test_amend_wants_to_be_told_what_and_a_letter_that_is_there(project: Path) -> None:
    keep(project, letter())
    for arguments, status in (
        (["1"], 2),
        (["1", "--value", "a", "--file", "b"], 2),
        (["1", "--file", "nope"], 2),
        (["1", "--value", "a", "--header", "b"], 2),
        (["9", "--value", "a"], 1),
    ):
        assert sluiceway("dead", "amend", *arguments, cwd=project).returncode == status
    assert left(project)[0]["value"] == "{}"
