"""How an event differs from what it was: paths, each with what was there and what is there now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rules.cel.values import ABSENT
from rules.explain.model import Change, Changes
from rules.flow import Path
from rules.paths import write

_LISTED: Final = 100
_DEEPEST: Final = 50


def changes_between(before: object, after: object) -> Changes:
    """The differences, those deepest inside the event; where it is too deep for that, the value that holds them."""
    found = Changes()
    _compare(found, (), before, after)
    return found


def _compare(found: Changes, path: Path, before: object, after: object) -> None:
    if before is after:
        return
    if len(path) < _DEEPEST:
        if isinstance(before, Mapping) and isinstance(after, Mapping) and _has_names(before) and _has_names(after):
            for name in {**before, **after}:
                _compare(found, (*path, name), before.get(name, ABSENT), after.get(name, ABSENT))
            return
        if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
            for index, (old, new) in enumerate(zip(before, after, strict=True)):
                _compare(found, (*path, index), old, new)
            return
    if not _same(before, after):
        found.total += 1
        if len(found.listed) < _LISTED:
            found.listed.append(Change(write(path), before, after, path))


def _has_names(value: Mapping[object, object]) -> bool:
    return all(isinstance(key, str) for key in value)


def _same(before: object, after: object) -> bool:
    """Whether two values are written alike: 1 and 1.0 are not."""
    try:
        return type(before) is type(after) and bool(before == after)
    except RecursionError:
        return False
