"""``sluiceway top`` and ``status``: what they show of a real daemon, on a real terminal and off it, and how rates,
order and keys work."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import SLUICEWAY, daemon_process, sluiceway
from rich.console import Console

from router.cli.figures import COLUMNS, KINDS, Look, Row, rows_of, samples_of
from router.cli.keyboard import keys_in
from router.cli.screen import Screen, scaled
from router.cli.status import lines_of, span
from router.metrics import Metrics
from tests.servers.ports import claim_port

CONFIG = """
drain_timeout: 200ms
http: {{listen: "127.0.0.1:{port}"}}
sources:
  made: {{type: generate, rate: 500/s, template: {{n: "{{sequence}}"}}}}
  read: {{type: file, path: in.ndjson, follow: true}}
sinks:
  kept: {{type: file, path: out.ndjson}}
  gone: {{type: http, url: "http://127.0.0.1:{nobody}/"}}
flows: [making.yaml, reading.yaml]
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A daemon with two flows, of which one has a sink that is away."""
    folder, port = tmp_path_factory.mktemp("top"), claim_port()
    (folder / "in.ndjson").write_text('{"n": 1}\n{"n": 2}\nno json\n')
    (folder / "making.yaml").write_text(
        "from: [made]\nrules: [{name: kept, when: event.n != '', to: kept}, {name: rest, to: drop}]\n"
    )
    (folder / "reading.yaml").write_text("from: [read]\nrules: [{name: all, to: gone}]\n")
    (folder / "sluiceway.yaml").write_text(CONFIG.format(port=port, nobody=claim_port()))
    with daemon_process(folder, port):
        yield folder


def test_status_says_of_each_component_whether_it_is_up(running: Path) -> None:
    """One line each; with --check it fails when one is down, and says which and why."""
    told = sluiceway("status", cwd=running)
    lines = {tuple(line.split()[:2]): line for line in told.stdout.splitlines()}
    assert told.returncode == 0
    assert "running; sluiceway" in lines["daemon", "running;"]
    assert "from made, 2 rule(s)" in lines["flow", "making"]
    assert "source made connected; lag" in lines["source", "made"]
    assert "sink gone not connected for" in lines["sink", "gone"]
    assert "2 queued" in lines["sink", "gone"]
    assert lines["dead", "letters"] == "dead letters reading 1"
    checked = sluiceway("status", "--check", cwd=running)
    assert (checked.returncode, checked.stdout.count("\n")) == (1, len(lines))
    assert checked.stderr.startswith("sluiceway: sink gone: 127.0.0.1:")
    assert set(json.loads(sluiceway("status", "--json", cwd=running).stdout)["sinks"]) == {"kept", "gone"}


def test_one_look_off_a_terminal_is_plain_or_json(running: Path) -> None:
    """Rates are those of one interval."""
    plain = sluiceway("top", "--once", "--interval", "0.5", cwd=running)
    lines = {tuple(line.split()[:2]): line for line in plain.stdout.splitlines()}
    assert plain.returncode == 0, plain.stderr
    assert "state=connected records_per_second=" in lines["source", "made"]
    assert "state=not connected" in lines["sink", "gone"]
    told = json.loads(sluiceway("top", "--once", "--json", cwd=running).stdout)
    assert told["sources"]["made"]["records_per_second"] > 0
    assert told["flows"]["making"]["rules"]["kept"]["records"] > 0
    assert told["flows"]["reading"]["dead_letters"] == 1
    assert told["sinks"]["gone"]["queue_records"] == 2
    assert told["sinks"]["gone"]["error"]
    assert told["sinks"]["kept"]["write_milliseconds"] > 0
    assert list(told["sinks"]["kept"]) == list(COLUMNS["sinks"])
    nowhere = sluiceway("top", cwd=running)
    assert (nowhere.returncode, "this is no terminal" in nowhere.stderr) == (2, True)


class Terminal:
    """A terminal of 24 lines, with a command in it."""

    def __init__(self, folder: Path, *command: str, columns: int = 100) -> None:
        self._file, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        # The first in a session of its own that opens a terminal has it to itself, with its Ctrl-C.
        program = ["sh", "-c", 'exec "$0" "$@" <"$TTY" >"$TTY" 2>&1', SLUICEWAY, *command]
        environment = {**os.environ, "TERM": "xterm-256color", "TTY": os.ttyname(theirs)}
        self.process = subprocess.Popen(program, cwd=folder, env=environment, start_new_session=True)
        self.screen = pyte.Screen(columns, 24)
        self._stream = pyte.ByteStream(self.screen)
        self._theirs = theirs
        self.sent = b""

    def press(self, keys: str) -> None:
        os.write(self._file, keys.encode())

    def shows(self, condition: Callable[[str], object], seconds: float = 30.0) -> str:
        """What is on it as soon as that is so."""
        deadline = time.monotonic() + seconds
        while not condition(text := "\n".join(self.screen.display)):
            assert time.monotonic() < deadline, text
            self._hear(0.1)
        return text

    def _hear(self, seconds: float) -> None:
        if select.select([self._file], [], [], seconds)[0]:
            heard = os.read(self._file, 65536)
            self.sent += heard
            self._stream.feed(heard)

    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self._file)[3] & termios.ECHO)

    def ended(self) -> int:
        """How it exits."""
        deadline = time.monotonic() + 30
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            self._hear(0.1)
        return self.process.returncode

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._file)
        os.close(self._theirs)


@contextmanager
def terminal(folder: Path, *command: str) -> Iterator[Terminal]:
    made = Terminal(folder, *command)
    try:
        yield made
    finally:
        made.close()


def test_top_on_a_terminal_shows_rates_hears_keys_and_leaves_it_as_it_was(running: Path) -> None:
    with terminal(running, "top") as top:
        shown = top.shows(lambda text: all(part in text for part in ("sources 2", "sinks 2", "q quit")))
        assert "configuration" in shown.splitlines()[0]
        top.shows(lambda text: any("made" in line and "50" in line for line in text.splitlines()))
        top.press("\x1b[Cs")  # the table of flows, sorted by its next figure
        top.shows(lambda text: "rec/s↓" in text)
        top.press("fgone")
        top.shows(lambda text: "filter: gone" in text and "sinks 1" in text and "sources 0" in text)
        top.press("\x1b")
        top.shows(lambda text: "sinks 2" in text)
        assert not top.echoes()
        top.press("q")
        assert top.ended() == 0
        top.shows(lambda _: b"\x1b[?1049l" in top.sent)
        assert top.echoes()
        assert top.sent.count(b"\x1b[?1049h") == top.sent.count(b"\x1b[?1049l") == 1


def test_ctrl_c_ends_top_well(running: Path) -> None:
    with terminal(running, "top") as top:
        top.shows(lambda text: "sources 2" in text)
        top.press("\x03")
        assert top.ended() == 0
        assert b"Traceback" not in top.sent


def test_top_says_when_the_daemon_is_gone_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    port = claim_port()
    (tmp_path / "rules.yaml").write_text("from: [never]\nrules: [{name: all, to: out}]\n")
    (tmp_path / "sluiceway.yaml").write_text(
        f"http: {{listen: '127.0.0.1:{port}'}}\nsources: {{never: {{type: memory, channel: never}}}}\n"
        "sinks: {out: {type: memory, channel: out}}\nflows: [rules.yaml]\n"
    )
    with terminal(tmp_path, "top", "--interval", "0.2") as top:
        assert top.ended() == 1  # nobody is there from the beginning
    with ExitStack() as exits:
        with daemon_process(tmp_path, port):
            top = exits.enter_context(terminal(tmp_path, "top", "--interval", "0.2"))
            top.shows(lambda text: "sources 1" in text)
        top.shows(lambda text: "no daemon answers" in text)
        with daemon_process(tmp_path, port):
            top.shows(lambda text: "no daemon answers" not in text and "sources 1" in text)
            top.press("q")
            assert top.ended() == 0


# Figures


def look(at: float, metrics: Metrics, **status: Any) -> Look:
    return Look(at, {"started": 1.0, **status}, samples_of(metrics.page()[0].decode()))


def test_rates_are_what_was_counted_between_two_looks() -> None:
    """Of exactly that component: errors without what only means that a rule did not match."""
    metrics = Metrics()
    told = {"flows": {"f": {"sources": ["s", "t"], "version": "v"}}, "sources": {}, "sinks": {}}

    def count(many: int) -> Look:
        for source in ("s", "t", "other"):
            metrics.source_records.labels(source).inc(many)
        metrics.rule_errors.labels("f", "r", "missing").inc(100)
        metrics.rule_errors.labels("f", "r", "type").inc(many)
        metrics.rule_records.labels("f", "r").inc(many)
        metrics.routed.labels("f", "a").inc(many)
        metrics.routed.labels("f", "b").inc(many)
        metrics.routed.labels("g", "b").inc(1000)
        metrics.dead_letters.labels("f", "rule", "", "error").inc(many)
        metrics.dead_letters_kept.labels("f").set(3)
        return look(10.0 + many, metrics, **told)

    first, second = count(0), count(4)
    rows = rows_of(second, first)
    (flow,), (rule, *_) = rows["flows"], rows["rules"]
    assert (flow.name, rule.name, rule.figures["flow"]) == ("f", "r", "f")
    assert flow.figures["records_per_second"] == 2.0
    assert flow.figures["deliveries_per_second"] == 2.0
    assert flow.figures["errors_per_second"] == rule.figures["errors_per_second"] == 1.0
    assert flow.figures["dead_letters_per_second"] == 1.0
    assert rule.figures["records_per_second"] == 1.0
    assert rows_of(second)["flows"][0].figures["records_per_second"] is None


def test_counters_of_another_process_are_not_compared() -> None:
    metrics = Metrics()
    metrics.source_records.labels("s").inc(1_000_000)
    told = {"sources": {"s": {"connected": True}}}
    before, after = look(1.0, metrics, **told), look(2.0, Metrics(), **{**told, "started": 2.0})
    assert rows_of(after, before)["sources"][0].figures["records_per_second"] is None


def row(name: str, rate: float | None, trouble: str = "") -> Row:
    figures = {**dict.fromkeys(COLUMNS["sinks"]), "state": "connected", "records_per_second": rate}
    return Row(name, figures, trouble)


def test_rows_are_in_the_order_that_the_keys_choose() -> None:
    """Names from a to z, numbers from the largest down, what is not known last; `r` the other way round."""
    screen, rows = Screen(kind="sinks"), [row("b", 1.0), row("a", None), row("c", 3.0)]

    def names() -> str:
        return "".join(row.name for row in screen.chosen("sinks", rows))

    assert names() == "abc"
    screen.press("r")
    assert names() == "cba"
    screen.press("r")
    for key in ("s", "s"):  # state, records_per_second
        screen.press(key)
    assert (screen.sorts["sinks"], names()) == ("records_per_second", "cba")
    for key in ("f", "b", "enter"):
        screen.press(key)
    assert names() == "b"
    screen.press("escape")
    assert names() == "cba"
    assert screen.press("q") is False


@settings(max_examples=40)
@given(
    st.dictionaries(st.sampled_from(KINDS), st.integers(0, 60)),
    st.integers(8, 60),
    st.lists(st.sampled_from(["up", "down", "page down", "left", "right", "s", "r"]), max_size=30),
)
def test_the_screen_is_never_higher_than_the_terminal(counts: dict[str, int], height: int, keys: list[str]) -> None:
    """However many rows there are, and wherever they are scrolled to; the chosen table is always there."""
    screen = Screen()
    figures = {kind: dict.fromkeys(COLUMNS[kind]) for kind in KINDS}
    rows = {kind: [Row(f"{kind}{n}", figures[kind]) for n in range(many)] for kind, many in counts.items()}
    console = Console(width=100, height=height)
    for key in [*keys, ""]:
        screen.press(key)
        with console.capture() as capture:
            console.print(screen.drawn("title", rows, height, "note"))
        drawn = capture.get().rstrip("\n").splitlines()
        assert len(drawn) <= height
        assert any(f" {screen.kind} " in line for line in drawn)


def test_keys_are_known_by_what_terminals_send() -> None:
    assert keys_in("q\x1b[A\x1bOB\x1b[5~é\x1b[1;5C\r\x7f\x1b") == [
        "q", "up", "down", "page up", "é", "enter", "backspace", "escape",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.25, "0.2"), (9999, "9999"), (12345, "12.3k"), (10_000_000, "10M"), (2e9, "2000M")],
)
def test_figures_are_short(value: float, text: str) -> None:
    assert scaled(value, 1000, ("", "k", "M", "G", "T")) == text


def test_spans_have_two_units_at_most() -> None:
    assert [span(n) for n in (-1, 0.04, 9.96, 59.6, 3600, 90061, 86400 * 3)] == [
        "0.0s", "0.0s", "10.0s", "1m", "1h", "1d1h", "3d",
    ]  # fmt: skip


def test_what_a_daemon_tells_of_others_cannot_drive_the_terminal() -> None:
    """Control characters in an error are shown as what they are."""
    error = "bad \x1b[2J"
    told = {"sinks": {"s": {"connected": False, "error": error}}}
    assert [line.trouble for line in lines_of(told, 0.0) if line.kind == "sink"] == [error]
    console = Console(width=200)
    with console.capture() as capture:
        console.print(Screen().drawn("t", {"sinks": [row("s", 1.0)]}, 40, error))
    assert "\x1b[2J" not in capture.get()
