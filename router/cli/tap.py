"""``sluiceway tap``: records of a flow as they pass through a daemon that runs."""

from __future__ import annotations

import json

from router.cli.lines import inert
from router.cli.reach import Reach
from router.client import named


def tap(reach: Reach, flow: str, where: str | None, limit: int | None, as_json: bool) -> None:
    """Print them until Ctrl-C, or until there were ``limit``."""
    events = reach.client().events(named("flows", flow, "tap"), where=where, limit=limit)
    for name, told in events:
        print(json.dumps(told, ensure_ascii=False) if as_json else f"{name} {inert(json.dumps(told))}", flush=True)
