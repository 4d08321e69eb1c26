"""What the audit tells of a daemon's life: its details of starts, stops and reloads."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from router.config import Configuration, TextFile
from router.config.literals import Unreadable, without_secrets
from router.metrics import version
from router.reload import Reloaded
from rules.faults import Fault

FAULTS: Final = 20
"""So many faults of a refused configuration are told; the log has all of them."""
LONGEST_DIFF: Final = 64 << 10
"""So many characters of what was changed in a file are told."""
_LONGEST_TEXT: Final = 1 << 20
"""In longer files it is not looked for."""
APPLIED: Final = "apply"
"""The cause of a reload of texts of which the audit has told before they were written."""


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


def taken(
    old: Configuration, new: Configuration, reloaded: Reloaded, files: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Of a reload: what is different, and the versions of the flows that are, before and now; None where there was, or
    is, no such flow; and what was ``rewritten`` in the files."""
    before, now = versions_of(old), versions_of(new)
    names = [name for name in before | now if before.get(name) != now.get(name)]
    told = reloaded.as_json()
    return {
        "cause": reloaded.cause,
        "from": reloaded.previous,
        "to": reloaded.version,
        "changes": told["changes"],
        "flows": {name: {"from": before.get(name), "to": now.get(name)} for name in names},
        "files": files,
    }


def edits(path: str, before: str, after: str) -> dict[str, Any]:
    """What is different in the text of a file, as a unified diff."""
    if max(len(before), len(after)) > _LONGEST_TEXT:
        return {"path": path, "diff": "", "is_cut": True}
    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), n=1)
    diff = "".join(lines)
    return {"path": path, "diff": diff[:LONGEST_DIFF], "is_cut": len(diff) > LONGEST_DIFF}


def rewritten(old: Sequence[TextFile], new: Sequence[TextFile]) -> list[dict[str, Any]]:
    """By file, what was changed in it. A file that cannot be shown without its secrets is named alone. Takes long where
    much was."""
    return list(_rewritten(old, new))


def _rewritten(old: Sequence[TextFile], new: Sequence[TextFile]) -> Iterator[dict[str, Any]]:
    before, after = ({str(file.path): file for file in texts} for texts in (old, new))
    for path in before | after:
        one, other = before.get(path), after.get(path)
        if one is None or other is None or one.digest != other.digest:
            try:
                yield edits(path, _shown(one), _shown(other))
            except Unreadable as why:
                yield {"path": path, "diff": "", "is_cut": True, "why": str(why)}


def _shown(file: TextFile | None) -> str:
    if file is None:
        return ""
    is_main = file.kind == "main"
    return without_secrets(file.data, str(file.path)) if is_main else file.data.decode(errors="replace")


def refused(cause: str, faults: Sequence[Fault]) -> dict[str, Any]:
    """Of a reload that was refused: its faults."""
    return {"cause": cause, "faults": [str(fault) for fault in faults[:FAULTS]], "count": len(faults)}


def versions_of(configuration: Configuration) -> dict[str, str]:
    """The versions of the flows, by name."""
    return {flow.name: flow.version for flow in configuration.flows}
