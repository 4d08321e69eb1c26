"""The command, as a person or a script runs it: what it prints, where, and how it exits."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.commands import SLUICEWAY, Command, sluiceway


def project(folder: Path, *, lines: str = "", vip: str = "{type: file, path: out/vip.ndjson}") -> Path:
    (folder / "in.ndjson").write_text(lines)
    (folder / "orders.yaml").write_text(
        "from: [orders]\n"
        "contract: {expect: {positive: event.amount > 0}}\n"
        "rules:\n"
        "  - {name: vip, when: event.amount > 500, to: vip}\n"
        "  - {name: rest, to: rest}\n"
        "tests:\n"
        "  - name: big ones are vip\n"
        "    given: [{event: {amount: 501}}]\n"
        "    then: {vip: 1}\n"
    )
    (folder / "sluiceway.yaml").write_text(
        "http: null\n"
        "sources: {orders: {type: file, path: in.ndjson}}\n"
        f"sinks: {{vip: {vip}, rest: {{type: file, path: out/rest.ndjson}}}}\n"
        "flows: [orders.yaml]\n"
    )
    return folder


def test_the_example_of_init_checks_tests_and_runs(tmp_path: Path) -> None:
    made = sluiceway("init", "demo", cwd=tmp_path)
    assert made.returncode == 0
    assert sluiceway("init", "demo", cwd=tmp_path).returncode == 2, "what is there is not overwritten"
    assert sluiceway("check", "demo/sluiceway.yaml", cwd=tmp_path).stderr == ""
    tested = sluiceway("test", "demo/sluiceway.yaml", cwd=tmp_path)
    assert tested.stdout.endswith("3 passed, 0 failed\n")
    config = tmp_path / "demo/sluiceway.yaml"
    config.write_text(config.read_text().replace("rate: 10/s", "count: 200").replace("127.0.0.1:9600", "127.0.0.1:0"))
    ran = sluiceway("run", "demo/sluiceway.yaml", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "flow orders: orders -> " in ran.stdout
    assert {path.name for path in (tmp_path / "demo/out").iterdir()} >= {"free.ndjson", "pro.ndjson", "team.ndjson"}


def test_run_ends_by_itself_and_dead_letters_can_be_seen_replayed_and_purged(tmp_path: Path) -> None:
    project(tmp_path, lines='{"amount": 900}\n{"amount": -1}\nno json\n{"amount": 1}\n')
    ran = sluiceway("run", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "out/vip.ndjson").read_text() == '{"amount": 900}\n'
    assert (tmp_path / "out/rest.ndjson").read_text() == '{"amount": 1}\n'
    listed = [json.loads(line) for line in sluiceway("dead", "list", "--json", cwd=tmp_path).stdout.splitlines()]
    stages = {letter["stage"]: letter["value"] for letter in listed}
    assert stages == {"contract": '{"amount": -1}', "decode": "no json"}
    assert list(listed[0]) == [
        "id", "time", "flow", "stage", "source", "rule", "sink", "reason", "detail", "attempts", "version", "value",
    ]  # fmt: skip
    shown = json.loads(sluiceway("dead", "show", str(listed[0]["id"]), "--json", cwd=tmp_path).stdout)
    assert shown["value"] == listed[0]["value"]
    assert sluiceway("dead", "show", "999", cwd=tmp_path).returncode == 1
    assert sluiceway("dead", "purge", cwd=tmp_path).returncode == 2, "it wants to be told which"
    rules = tmp_path / "orders.yaml"
    rules.write_text(rules.read_text().replace("event.amount > 0", "event.amount > -5"))
    replayed = sluiceway("dead", "replay", "--stage", "contract", cwd=tmp_path)
    assert (replayed.returncode, replayed.stdout) == (0, "replayed 1 dead letter(s)\n")
    assert (tmp_path / "out/rest.ndjson").read_text() == '{"amount": 1}\n{"amount": -1}\n'
    again = sluiceway("dead", "replay", "--all", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (1, "replayed 0 dead letter(s), 1 failed again\n")
    [letter] = [json.loads(line) for line in sluiceway("dead", "list", "--json", cwd=tmp_path).stdout.splitlines()]
    assert letter["attempts"] == 2
    assert sluiceway("dead", "purge", "--all", cwd=tmp_path).stdout == "purged 1 dead letter(s)\n"
    assert sluiceway("dead", "list", cwd=tmp_path).stdout == ""


def test_sigterm_drains_and_exits_with_0(tmp_path: Path) -> None:
    project(tmp_path, lines='{"amount": 900}\n')
    config = tmp_path / "sluiceway.yaml"
    config.write_text(config.read_text().replace("path: in.ndjson", "path: in.ndjson, follow: true"))
    with Command("run", cwd=tmp_path) as run:
        deadline = time.monotonic() + 20
        while not (tmp_path / "out/vip.ndjson").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        second = sluiceway("run", cwd=tmp_path)
        assert (second.returncode, str(run.pid) in second.stderr) == (1, True), "the other instance is named by its pid"
        run.send_signal(signal.SIGTERM)
        _, errors = run.communicate(timeout=20)
    assert run.returncode == 0, errors
    assert all(json.loads(line) for line in errors.splitlines())


def test_a_replay_beside_a_running_daemon_says_what_failed_again(tmp_path: Path) -> None:
    project(tmp_path, lines='{"amount": -1}\n{"amount": 1}\n')
    config = tmp_path / "sluiceway.yaml"
    config.write_text(config.read_text().replace("path: in.ndjson", "path: in.ndjson, follow: true"))
    with Command("run", cwd=tmp_path) as run:
        deadline = time.monotonic() + 20
        while not sluiceway("dead", "list", cwd=tmp_path).stdout and time.monotonic() < deadline:
            time.sleep(0.1)
        replayed = sluiceway("dead", "replay", "--all", cwd=tmp_path)
        run.send_signal(signal.SIGTERM)
        _, errors = run.communicate(timeout=20)
    assert (replayed.returncode, replayed.stdout) == (1, "replayed 0 dead letter(s), 1 failed again\n"), errors


def test_a_sighup_that_comes_while_the_files_are_read_reads_them_again(tmp_path: Path) -> None:
    """And does not end the process, as it would by itself. A pipe tells when they are read, once and again."""
    project(tmp_path, lines="")
    config, late = tmp_path / "sluiceway.yaml", tmp_path / "late"
    text = config.read_text().replace("path: in.ndjson", "path: in.ndjson, follow: true")
    config.write_text(text + "vars: {late: '${file:late}'}\n")
    os.mkfifo(late)

    def opened() -> int:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):  # nobody reads it yet
                return os.open(late, os.O_WRONLY | os.O_NONBLOCK)
            assert run.poll() is None, run.stderr.read()
            time.sleep(0.05)
        raise AssertionError("it is not read")

    with Command("run", "--no-watch", cwd=tmp_path) as run:
        for number in (signal.SIGHUP, signal.SIGTERM):
            writer = opened()
            run.send_signal(number)
            os.write(writer, b"x")
            os.close(writer)
            assert number == signal.SIGTERM or run.stdout.readline(), "it runs"
        _, errors = run.communicate(timeout=20)
    assert run.returncode == 0, errors


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    project(tmp_path, lines='{"amount": 900}\n', vip="{type: file, path: out/vip.ndjson, retry: {backoff: 10s}}")
    config = tmp_path / "sluiceway.yaml"
    config.write_text(config.read_text().replace("path: in.ndjson", "path: in.ndjson, follow: true"))
    (tmp_path / "out" / "vip.ndjson").mkdir(parents=True)  # it can never be opened: the drain has no end
    with Command("run", cwd=tmp_path) as run:
        run.stdout.readline()
        time.sleep(0.5)
        os.kill(run.pid, signal.SIGTERM)
        time.sleep(0.5)
        assert run.poll() is None
        os.kill(run.pid, signal.SIGTERM)
        run.communicate(timeout=20)
    assert run.returncode == 1


def test_check_reports_every_fault_with_its_place_and_exits_with_2(tmp_path: Path) -> None:
    project(tmp_path)
    rules = tmp_path / "orders.yaml"
    rules.write_text(rules.read_text().replace("to: vip}", "to: vipp}").replace("event.amount > 0", "event.amount >"))
    checked = sluiceway("check", cwd=tmp_path)
    assert checked.returncode == 2
    faults = checked.stderr.splitlines()
    assert re.match(r"\S*orders\.yaml:2:\d+: ", faults[0])
    assert re.match(r"\S*orders\.yaml:4:\d+: .*vip", faults[1])
    assert faults[-1] == "refused: 2 faults"
    as_json = [json.loads(line) for line in sluiceway("check", "--json", cwd=tmp_path).stdout.splitlines()]
    assert [fault["line"] for fault in as_json] == [2, 4]
    assert sluiceway("run", cwd=tmp_path).returncode == 2


def test_a_failing_test_is_told_and_exits_with_1(tmp_path: Path) -> None:
    project(tmp_path)
    rules = tmp_path / "orders.yaml"
    rules.write_text(rules.read_text().replace("then: {vip: 1}", "then: {rest: 1}"))
    tested = sluiceway("test", "--junit", "junit.xml", cwd=tmp_path)
    assert tested.returncode == 1
    assert tested.stdout.endswith("0 passed, 1 failed\n")
    assert "vip" in tested.stdout
    suite = ET.parse(tmp_path / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    assert suite.find("testcase/failure") is not None


@pytest.mark.parametrize(
    ("expression", "given", "status", "printed"),
    [
        ("1 + 1", None, 0, "2\n"),
        ("event.user.name + '!'", '{"user": {"name": "Ann"}}', 0, '"Ann!"\n'),
        ("[1, 2.5, true, null, 'é']", None, 0, '[1, 2.5, true, null, "é"]\n'),
        ("event.n > 1.0", '{"n": 1e400}', 0, "true\n"),
        ("event.missing", "{}", 1, ""),
        ("1 +", None, 2, ""),
    ],
)
def test_eval(tmp_path: Path, expression: str, given: str | None, status: int, printed: str) -> None:
    options = [] if given is None else ["--event", "-"]
    done = sluiceway("eval", expression, *options, cwd=tmp_path, given=given or "")
    assert (done.returncode, done.stdout) == (status, printed)
    assert bool(done.stderr) == bool(status)
    assert "Traceback" not in done.stderr


def test_eval_tells_every_fault_with_a_caret_under_its_place(tmp_path: Path) -> None:
    done = sluiceway("eval", "foo(1) &&\n  event.a = 'x'", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "1:1: there is no function foo",
        "  foo(1) &&",
        "  ^",
        "2:11: '=' is not CEL: use == to compare",
        "    event.a = 'x'",
        "            ^",
    ]


def test_connectors_and_schemas_are_listed(tmp_path: Path) -> None:
    listed = sluiceway("connectors", cwd=tmp_path).stdout
    for name in ("file", "stdin", "stdout", "generate", "http", "memory"):
        assert f" {name} " in listed
    missing = sluiceway("connectors", "fil", cwd=tmp_path)
    assert missing.returncode == 2
    for kind in ("config", "rules"):
        assert json.loads(sluiceway("schema", kind, cwd=tmp_path).stdout)["$schema"]
    assert sluiceway("schema", "nonsense", cwd=tmp_path).returncode == 2


def test_all_about_a_connector_is_told(tmp_path: Path) -> None:
    """Its settings, guarantee, an example and its metrics; of a name that is a source and a sink, both."""
    told = sluiceway("connectors", "file", cwd=tmp_path)
    assert (told.returncode, told.stderr) == (0, "")
    source, sink = told.stdout.split("# Sink `file`\n")
    assert source.startswith("# Source `file`\n\nReads lines")
    for part in ("- `poll` (duration; default `250ms`)", "**Guarantee**", "follow: true", "sluiceway_source_lag_bytes"):
        assert part in source
    for part in ("- `path` (text; required; per record)", "- `rotate.bytes` (size)", "**Guarantee**", "keep: 14"):
        assert part in sink
    assert "sluiceway_sink_retries_total{sink}" in sink
    assert "# Source" not in sluiceway("connectors", "stdout", cwd=tmp_path).stdout


def test_what_every_source_and_sink_takes_is_told_alone_or_with_a_connector(tmp_path: Path) -> None:
    alone = sluiceway("connectors", "--common", cwd=tmp_path).stdout
    assert alone.startswith("# Every source\n")
    for part in (
        "# Every sink\n",
        "- `decode` (",
        "- `retry.attempts` (whole number above 0; default `10`)",
        "- `allow`",
    ):
        assert part in alone
    assert sluiceway("connectors", "stdin", "--common", cwd=tmp_path).stdout == (
        sluiceway("connectors", "stdin", cwd=tmp_path).stdout + "\n" + alone
    )


def test_all_about_a_connector_is_told_to_tools(tmp_path: Path) -> None:
    """One JSON value a line: a connector, or what every one takes."""
    source, sink = map(json.loads, sluiceway("connectors", "file", "--json", cwd=tmp_path).stdout.splitlines())
    assert (source["kind"], source["type"], sink["kind"]) == ("source", "file", "sink")
    assert source["guarantee"].startswith("**Guarantee**")
    assert {"name": "path", "required": True, "per_record": True}.items() <= sink["settings"][0].items()
    assert sink["schema"]["properties"]["fsync"]["default"] == "batch"
    assert {"name": "sluiceway_sink_retries_total", "type": "counter", "labels": ["sink"]}.items() <= next(
        family for family in sink["metrics"] if "retries" in family["name"]
    ).items()
    assert "rotate:" in sink["example"]
    common = [*map(json.loads, sluiceway("connectors", "--common", "--json", cwd=tmp_path).stdout.splitlines())]
    assert [part["kind"] for part in common] == ["source", "sink"]
    assert "timeout" in [setting["name"] for setting in common[1]["settings"]]
    every = sluiceway("connectors", "--json", cwd=tmp_path).stdout.splitlines()
    assert len(every) == len(sluiceway("connectors", cwd=tmp_path).stdout.splitlines())


def test_on_a_terminal_what_is_told_is_rendered(tmp_path: Path) -> None:
    master, terminal = os.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "90"}
    process = subprocess.Popen([SLUICEWAY, "connectors", "generate"], stdout=terminal, env=environment, cwd=tmp_path)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal says that nobody writes to it any more
        while piece := os.read(master, 65536):
            shown += piece
    os.close(master)
    assert process.wait(timeout=60) == 0
    assert b"\x1b[1m" in shown
    text = re.sub(r"\x1b\[[\d;]*m", "", shown.decode())
    assert "**" not in text
    assert "```" not in text
    assert "{choice:a|b|c}" in text
    assert max(map(len, text.splitlines())) <= 90


def test_a_connector_of_others_is_told_of_and_one_that_cannot_be_used_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source that works is shown beside a sink of its name that does not; the list of all shows both."""
    info = tmp_path / "site" / "others-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[sluiceway.sources]\nothers = others:Source\n[sluiceway.sinks]\nothers = no_such_module:Sink\n"
    )
    (tmp_path / "site" / "others.py").write_text(
        "from router import Settings\n\nclass Config(Settings):\n    speed: int = 3\n\n"
        "class Source:\n    Config = Config\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    told = sluiceway("connectors", "others", cwd=tmp_path)
    assert told.returncode == 1
    assert told.stderr == "sluiceway: sink others needs no_such_module, which is not installed\n"
    assert "- `speed` (whole number; default `3`)" in told.stdout
    lines = sluiceway("connectors", "others", "--json", cwd=tmp_path).stdout.splitlines()
    assert json.loads(lines[1])["error"] == "sink others needs no_such_module, which is not installed"
    assert "cannot be used: sink others needs" in sluiceway("connectors", cwd=tmp_path).stdout
    pages = [sys.executable, "-m", "scripts.connector_docs", "--check"]
    checked = subprocess.run(pages, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stderr) == (0, ""), "the pages are about our own alone"


def test_records_flow_from_stdin_to_stdout_and_nothing_else_is_printed(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("from: [in]\nrules: [{when: event.n > 1, to: out}, {to: drop}]\n")
    (tmp_path / "sluiceway.yaml").write_text(
        "http: null\nsources: {in: {type: stdin}}\nsinks: {out: {type: stdout}}\nflows: [rules.yaml]\n"
    )
    done = sluiceway("run", cwd=tmp_path, given='{"n": 1}\n{"n": 2}\n{"n": 3}')
    assert (done.returncode, done.stdout) == (0, '{"n": 2}\n{"n": 3}\n')


def test_closed_standard_streams_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("from: [in]\nrules: [{to: out}]\n")
    (tmp_path / "sluiceway.yaml").write_text(
        "http: null\ndrain_timeout: 200ms\nsources: {in: {type: stdin}}\n"
        "sinks: {out: {type: stdout}}\nflows: [rules.yaml]\n"
    )
    line = f"{SLUICEWAY} run"
    ended = subprocess.run(["bash", "-c", f"{line} <&-"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    closed = subprocess.run(
        ["bash", "-c", f"exec {line} >&-"], cwd=tmp_path, input="1\n", capture_output=True, text=True, timeout=60
    )
    assert (closed.returncode, "standard output is closed" in closed.stderr) == (1, True), closed.stderr
    assert "trying again" not in closed.stderr, "what is closed does not come back"
    assert sluiceway("dead", "list", cwd=tmp_path).stdout == "", "an outage condemns no record"


def test_eval_takes_an_expression_that_begins_with_a_minus(tmp_path: Path) -> None:
    assert sluiceway("eval", "-5 + 2", cwd=tmp_path).stdout == "-3\n"


def test_a_missing_file_is_a_fault_not_a_traceback(tmp_path: Path) -> None:
    done = sluiceway("run", cwd=tmp_path)
    assert done.returncode == 2
    assert "sluiceway.yaml" in done.stderr
    assert "Traceback" not in done.stderr
