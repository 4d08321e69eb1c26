"""``sluiceway top``: the figures of a daemon that runs, anew every second."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import typer

from router.cli.figures import COLUMNS, KINDS, Look, Row, rows_of
from router.cli.keyboard import Keyboard
from router.cli.lines import inert
from router.cli.reach import Reach
from router.cli.status import span
from router.client import Client
from router.errors import SluicewayError

WAKE_SECONDS = 0.1
"""So soon what has come in is drawn, at the latest."""


def top(reach: Reach, *, interval: float, once: bool, as_json: bool) -> None:
    """Show them until ``q``; or, with ``once``, the rates of one interval. As JSON, one object an interval."""
    client = reach.client()
    if once or as_json:
        _lines(client, interval, once, as_json)
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print("sluiceway: this is no terminal to draw on; take --once or --json", file=sys.stderr)
        raise typer.Exit(2)
    _draw(client, interval)


def _lines(client: Client, interval: float, once: bool, as_json: bool) -> None:
    before = Look.at_now(client)
    while True:
        time.sleep(interval)
        now = Look.at_now(client)
        rows = rows_of(now, before)
        if as_json:
            print(json.dumps(_values(now, rows), ensure_ascii=False), flush=True)
        else:
            _print(now, rows)
        if once:
            return
        before = now


def _values(look: Look, rows: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """All figures as JSON values. Rules are below their flows, whose names they may share."""
    told: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "version": (look.status.get("config") or {}).get("version"),
        "ready": look.status.get("ready"),
    }
    for kind in KINDS:
        if kind != "rules":
            told[kind] = {row.name: {**row.figures} for row in rows[kind]}
    for row in rows["rules"]:
        flow = told["flows"].setdefault(str(row.figures["flow"]), {})
        flow.setdefault("rules", {})[row.name] = {
            name: row.figures[name] for name in COLUMNS["rules"] if name != "flow"
        }
    return told


def _print(look: Look, rows: Mapping[str, Sequence[Row]]) -> None:
    from router.cli.screen import Screen, shown

    if sys.stdout.isatty():
        from rich.console import Console

        everything = sum(map(len, rows.values())) + 100
        Console().print(Screen().drawn(_title(look), rows, everything, keys=False))
        return
    print(_title(look))
    for kind in KINDS:
        for row in rows[kind]:
            told = ((name, shown(name, row.figures[name])) for name in COLUMNS[kind])
            print(kind.removesuffix("s"), inert(row.name), *(f"{name}={inert(text)}" for name, text in told if text))


def _title(look: Look) -> str:
    config = look.status.get("config") or {}
    state = look.status.get("state") if look.status.get("ready") else f"{look.status.get('state')}, not ready"
    started = look.status.get("started")
    age = f", for {span(time.time() - started)}" if isinstance(started, int | float) else ""
    return f"sluiceway {look.status.get('version')}, configuration {config.get('version')}: {state}{age}"


class _Poll:
    """Looks at the daemon once an interval, in a thread, so that keys are heard while it does not answer."""

    def __init__(self, client: Client, interval: float) -> None:
        self._client = client
        self._interval = interval
        self._stop = threading.Event()
        self.looks: tuple[Look, Look | None] | None = None
        self.error = ""
        self.count = 0
        """How often it has looked, or tried to."""

    def start(self) -> None:
        """Begin. It ends with the process."""
        threading.Thread(target=self._run, name="poll", daemon=True).start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                look = Look.at_now(self._client)
            except SluicewayError as error:
                self.error = str(error)
            else:
                self.looks, self.error = (look, None if self.looks is None else self.looks[0]), ""
            self.count += 1
            self._stop.wait(self._interval)

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()


def _draw(client: Client, interval: float) -> None:
    from rich.console import Console
    from rich.live import Live

    from router.cli.screen import Screen

    first = Look.at_now(client)  # what is wrong from the beginning is told without a screen
    poll, screen, console = _Poll(client, interval), Screen(), Console()
    poll.looks = (first, None)
    poll.start()
    drawn = -1
    with Keyboard() as keyboard, Live(console=console, screen=True, auto_refresh=False) as live:
        try:
            while True:
                keys = keyboard.wait(WAKE_SECONDS)
                if not all(screen.press(key) for key in keys):
                    return
                if keys or poll.count != drawn:
                    drawn, (look, before) = poll.count, poll.looks
                    picture = screen.drawn(_title(look), rows_of(look, before), console.height, poll.error)
                    live.update(picture, refresh=True)
        except (KeyboardInterrupt, EOFError):
            return
        finally:
            poll.stop()
