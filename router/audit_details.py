"""What the audit tells of a daemon's life: its details of starts, stops and reloads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from router.config import Configuration
from router.metrics import version
from router.reload import Reloaded
from rules.faults import Fault

FAULTS = 20
"""So many faults of a refused configuration are told; the log has all of them."""


def begun(configuration: Configuration) -> dict[str, Any]:
    """Of a start: what runs, and from which files."""
    return {
        "sluiceway": version(),
        "pid": os.getpid(),
        "files": [str(path.resolve()) for path in configuration.files],
        "flows": versions_of(configuration),
    }


def ended(*, asked: bool, failed: bool, drained: bool) -> dict[str, Any]:
    """Of a stop: why, and whether everything that was read is settled."""
    return {"why": "a sink has ended" if failed else "asked" if asked else "every source has ended", "drained": drained}


def taken(old: Configuration, new: Configuration, reloaded: Reloaded) -> dict[str, Any]:
    """Of a reload: what is different, and the versions of the flows that are, before and now; None where there was, or
    is, no such flow."""
    before, now = versions_of(old), versions_of(new)
    names = [name for name in before | now if before.get(name) != now.get(name)]
    told = reloaded.as_json()
    return {
        "cause": reloaded.cause,
        "from": reloaded.previous,
        "to": reloaded.version,
        "changes": told["changes"],
        "flows": {name: {"from": before.get(name), "to": now.get(name)} for name in names},
    }


def refused(cause: str, faults: Sequence[Fault]) -> dict[str, Any]:
    """Of a reload that was refused: its faults."""
    return {"cause": cause, "faults": [str(fault) for fault in faults[:FAULTS]], "count": len(faults)}


def versions_of(configuration: Configuration) -> dict[str, str]:
    """The versions of the flows, by name."""
    return {flow.name: flow.version for flow in configuration.flows}
