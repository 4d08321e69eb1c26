"""``sluiceway tap``: records of a flow as they pass through a daemon that runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from router.cli.lines import inert
from router.cli.reach import Reach
from router.client import named
from router.letter import time_text

_STYLES = {"drop": "yellow", "dead_letter": "red"}


def tap(reach: Reach, flow: str, where: str | None, limit: int | None, as_json: bool) -> None:
    """Print them until Ctrl-C, or there were ``limit``. What goes by unseen, because it is more than anybody can read,
    is counted on stderr. Raises NoDaemon when the daemon stops."""
    told = _told(reach.client().events(named("flows", flow, "tap"), where=where), limit)
    try:
        _print(told, as_json)
    except KeyboardInterrupt:
        return


def _told(events: Iterator[tuple[str, Any]], limit: int | None) -> Iterator[Mapping[str, Any]]:
    left = limit
    for name, event in events:
        if name == "record":
            yield event
            left = None if left is None else left - 1
            if left == 0:
                return
        elif name == "skipped":
            print(f"sluiceway: {event.get('records')} more went by", file=sys.stderr)


def _print(told: Iterator[Mapping[str, Any]], as_json: bool) -> None:
    if as_json:
        for record in told:
            print(json.dumps(record, ensure_ascii=False), flush=True)
    elif sys.stdout.isatty():
        _draw(told)
    else:
        for record in told:
            ends = "; ".join(_end(end) for end in record.get("ends") or ())
            print(f"{_when(record)} {inert(record.get('source', ''))} -> {ends}: {_payload(record)}", flush=True)


def _draw(told: Iterator[Mapping[str, Any]]) -> None:
    """The same with colours, and with each end in a line of its own."""
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    for record in told:
        console.print(Text.assemble((_when(record), "dim"), f" {inert(record.get('source', ''))} ", _payload(record)))
        for end in record.get("ends") or ():
            console.print(Text.assemble("  -> ", (_end(end), _STYLES.get(end.get("to", ""), "green"))))


def _when(record: Mapping[str, Any]) -> str:
    return time_text(int(record.get("time", 0) * 1e9))


def _end(end: Mapping[str, Any]) -> str:
    """Where it went, by which rule, with what that chose, and why it did not go on."""
    rule = f" by {end['rule']}" if end.get("rule") else ""
    settings = f" {json.dumps(end['settings'], ensure_ascii=False)}" if end.get("settings") else ""
    changed = ", changed" if end.get("changed") else ""
    why = ": ".join(str(end[name]) for name in ("reason", "detail") if end.get(name))
    return inert(f"{end.get('to')}{rule}{settings}{changed}" + (f" ({why})" if why else ""))


def _payload(record: Mapping[str, Any]) -> str:
    """The event; or the payload as it came, where it is none; or how long it is, where it is not shown."""
    if record.get("event") is not None:
        return inert(json.dumps(record["event"], ensure_ascii=False))
    if record.get("value") is not None:
        value = record["value"]
        return inert(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return f"{record.get('size')} byte(s)"
