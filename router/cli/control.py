"""``sluiceway pause``, ``resume`` and ``reload``: what a daemon that runs is told to do."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import typer

from router.cli.faults import as_json as lines_of
from router.cli.faults import show
from router.cli.lines import inert
from router.cli.reach import Reach
from router.client import Faulty, named


def pause(reach: Reach, source: str) -> None:
    """Have no more read from a source; what was read is still delivered."""
    reach.client().post(named("sources", source, "pause"))
    print(f"source {inert(source)} is paused: nothing more is read from it until `sluiceway resume {inert(source)}`")


def resume(reach: Reach, source: str) -> None:
    """Have a source read again; at once, or when what was read before is settled."""
    told = reach.client().post(named("sources", source, "resume"))
    when = " as soon as what was read before the pause is settled" if told.get("state") == "draining" else ""
    print(f"source {inert(source)} is read again{when}")


def reload(reach: Reach, as_json: bool) -> None:
    """Have the files taken as they are now. Exit status 2, with every fault, when they are refused."""
    try:
        told = reach.client().post(named("reload"))
    except Faulty as faulty:
        if as_json:
            print("\n".join(lines_of(faulty.faults, "fault")))
        else:
            show(faulty.faults)
        raise typer.Exit(2) from faulty
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
        return
    print(*_changes(told), sep="\n")


def _changes(told: Mapping[str, Any]) -> list[str]:
    version, previous = told.get("version"), told.get("previous")
    changed = [
        f"  {kind}: {how} {', '.join(map(inert, names))}"
        for kind, changes in (told.get("changes") or {}).items()
        for how, names in changes.items()
        if names
    ]
    warnings = [f"  warning: {inert(_text(warning))}" for warning in told.get("warnings") or ()]
    same = f"nothing has changed: version {version}{_already(told.get('taken'))}"
    if version == previous:
        first = f"reloaded: {version}, with other secrets or values that are filled in" if changed else same
    else:
        first = f"reloaded: {previous} -> {version}"
    return [first, *changed, *warnings]


def _already(taken: Any) -> str:
    """When and why the version that runs was taken, where that was a reload."""
    if not isinstance(taken, Mapping):
        return ""
    then = time.localtime(float(taken.get("time") or 0))
    is_today = then[:3] == time.localtime()[:3]
    at = time.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M:%S", then)
    return f", already taken at {at} ({inert(str(taken.get('cause')))})"


def _text(warning: Any) -> str:
    if not isinstance(warning, Mapping):
        return str(warning)
    hint = f"; {warning['hint']}" if warning.get("hint") else ""
    return f"{warning.get('file')}:{warning.get('line')}:{warning.get('column')}: {warning.get('what')}{hint}"
