"""``sluiceway status``: how a daemon that runs is, once."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import typer
from msgspec import Struct

from router.cli.lines import inert
from router.cli.reach import Reach
from router.client import named


class Line(Struct, frozen=True):
    """What there is to say of one component. ``trouble`` is why it is down, and empty when it is not."""

    kind: str
    name: str
    state: str
    facts: tuple[str, ...] = ()
    trouble: str = ""


def status(reach: Reach, as_json: bool, check: bool) -> None:
    """Show it: a table on a terminal. With ``check``, exit status 1 when something is down."""
    told = reach.client().get(named("status"))
    lines = list(lines_of(told, time.time()))
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
    elif sys.stdout.isatty():
        _table(lines)
    else:
        for line in lines:
            print(" ".join(filter(None, (line.kind, inert(line.name), _said(line), ", ".join(line.facts)))))
    if check and (down := [line for line in lines if line.trouble]):
        for line in down:
            print(f"sluiceway: {line.kind} {inert(line.name)}: {inert(line.trouble)}", file=sys.stderr)
        raise typer.Exit(1)


def lines_of(told: Mapping[str, Any], now: float) -> Iterator[Line]:
    """What ``/api/status`` says, component by component. ``now`` is in Unix seconds."""
    yield _daemon(told, now)
    for name, flow in _parts(told, "flows"):
        reads = ", ".join(flow.get("sources", ()))
        yield Line("flow", name, "", (f"from {reads}", f"{flow.get('rules', 0)} rule(s)", f"version {flow['version']}"))
    for name, source in _parts(told, "sources"):
        yield _source(name, source, now)
    for name, sink in _parts(told, "sinks"):
        yield _sink(name, sink, now)
    for name, table in _parts(told, "tables"):
        error = str(table.get("error") or "")
        yield Line("table", name, "failing" if error else "loaded", (f"{table.get('rows')} row(s)",), error)
    letters = told.get("dead_letters") or {}
    kept = {flow: many for flow, many in (letters.get("kept") or {}).items() if many}
    error = str(letters.get("error") or "")
    facts = tuple(f"{flow} {many}" for flow, many in kept.items()) or ("none",)
    yield Line("dead", "letters", "cannot be kept" if error else "", facts, error)


def _daemon(told: Mapping[str, Any], now: float) -> Line:
    config = told.get("config") or {}
    age = f"for {span(now - told['started'])}" if "started" in told else ""
    facts = (f"sluiceway {told.get('version')}", f"configuration {config.get('version')}", age)
    state = str(told.get("state"))
    trouble = "" if told.get("ready") else "it takes nothing in"
    return Line(
        "daemon", "", state if told.get("ready") else f"{state}, not ready", tuple(filter(None, facts)), trouble
    )


def _source(name: str, source: Mapping[str, Any], now: float) -> Line:
    state, trouble = _state(source, now)
    lag = source.get("lag") or ()
    records = [part["records"] for part in lag if part.get("records") is not None]
    seconds = [part["seconds"] for part in lag if part.get("seconds") is not None]
    unsettled = (source.get("unsettled") or {}).get("records", 0)
    facts = [f"lag {sum(records)} record(s)"] if records else []
    facts += [f"oldest {span(max(seconds))}"] if seconds else []
    facts += [f"{unsettled} on the way"] if unsettled else []
    return Line("source", name, state, tuple(facts), trouble)


def _sink(name: str, sink: Mapping[str, Any], now: float) -> Line:
    state, trouble = _state(sink, now)
    queue, buffer = sink.get("queue") or {}, sink.get("buffer")
    facts = [f"{queue['records']} queued"] if queue.get("records") else []
    if buffer is not None:
        facts.append(f"{buffer['records']} in its buffer")
        state += ", buffer full" if buffer.get("full") else ""
        trouble = trouble or str(buffer.get("error") or "")
    return Line("sink", name, state, tuple(facts), trouble)


def state_of(component: Mapping[str, Any]) -> tuple[str, str]:
    """The state of a source or sink in a word, and why it is down."""
    if component.get("state") in ("paused", "pausing", "draining"):
        return component["state"], ""
    if component.get("ended"):
        return "ended", ""
    if component.get("connected"):
        return "connected", ""
    return "not connected", str(component.get("error") or "not connected yet")


def _state(component: Mapping[str, Any], now: float) -> tuple[str, str]:
    """The same, with how long it has been so where it is down."""
    state, trouble = state_of(component)
    since = component.get("since")
    age = f" for {span(now - since)}" if trouble and isinstance(since, int | float) else ""
    return state + age, trouble


def span(seconds: float) -> str:
    """A time that passed, as people say it: the two largest units at most."""
    left = max(0, round(seconds))
    if seconds < 10:
        return f"{max(0.0, seconds):.1f}s"
    parts = []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        many, left = divmod(left, size)
        if many:
            parts.append(f"{many}{unit}")
    return "".join(parts[:2])


def _parts(told: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from (told.get(kind) or {}).items()


def _said(line: Line) -> str:
    return f"{line.state}: {inert(line.trouble)};" if line.trouble else f"{line.state};" if line.state else ""


def _table(lines: list[Line]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("", "name", "state", "", "error", box=None, header_style="bold")
    for line in lines:
        style = "red" if line.trouble else "yellow" if line.state == "paused" else "green"
        texts = Text(inert(line.name)), Text(line.state, style), Text(", ".join(line.facts)), Text(inert(line.trouble))
        table.add_row(line.kind, *texts)
    Console().print(table)
