"""Changing an event at a path, without touching the event that was: what lies on the way is copied, the rest shared.

Events are never changed in place, because the same one may be on its way to another sink.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from rules.cel.errors import CelError
from rules.cel.values import a_type
from rules.flow import EachItem, Path

_MISSING: Final = object()


def assign(event: object, path: Path, value: object) -> object:
    """The event with ``value`` at ``path``. Missing parents are made, as maps; ``[*]`` of a missing list does nothing.

    Raises CelError where the way leads through something that is neither missing nor what the path takes it for.
    """
    return _assign(event, path, 0, value)


def _assign(here: object, path: Path, depth: int, value: object) -> object:
    if depth == len(path):
        return value
    step = path[depth]
    if isinstance(step, str):
        return _assign_field(here, path, depth, step, value)
    if isinstance(step, EachItem):
        if here is _MISSING:
            return _MISSING
        items = _list_at(here, path, depth)
        return [_assign(item, path, depth + 1, value) for item in items]
    items = _list_at(here, path, depth)
    if not 0 <= step < len(items):
        raise CelError(f"{write(path[:depth])} has {len(items)} elements, so there is none at [{step}] to set")
    return [*items[:step], _assign(items[step], path, depth + 1, value), *items[step + 1 :]]


def _assign_field(here: object, path: Path, depth: int, name: str, value: object) -> object:
    if here is _MISSING:
        here = {}
    if not isinstance(here, Mapping):
        raise CelError(f"{write(path[:depth])} is {a_type(here)}, not a map in which {name} could be set")
    made = _assign(here.get(name, _MISSING), path, depth + 1, value)
    return here if made is _MISSING else {**here, name: made}


def _list_at(here: object, path: Path, depth: int) -> list[object]:
    if isinstance(here, list):
        return here
    what = "missing" if here is _MISSING else f"{a_type(here)}"
    raise CelError(f"{write(path[:depth])} is {what}, not a list with elements to set")


def remove(event: object, path: Path) -> object:
    """The event without what is at ``path``; the event itself where there is nothing. Never fails.

    An element that is removed from a list closes the gap; ``[*]`` at the end leaves an empty list. The event as a
    whole cannot be removed.
    """
    return _remove(event, path, 0) if path else event


def _remove(here: object, path: Path, depth: int) -> object:
    step, last = path[depth], depth == len(path) - 1
    if isinstance(step, str):
        if not isinstance(here, Mapping) or step not in here:
            return here
        if last:
            return {name: value for name, value in here.items() if name != step}
        return _replaced(here, step, _remove(here[step], path, depth + 1))
    if not isinstance(here, list):
        return here
    if isinstance(step, EachItem):
        return [] if last and here else _each(here, lambda item: _remove(item, path, depth + 1))
    if not 0 <= step < len(here):
        return here
    if last:
        return here[:step] + here[step + 1 :]
    made = _remove(here[step], path, depth + 1)
    return here if made is here[step] else [*here[:step], made, *here[step + 1 :]]


def _replaced(here: Mapping[object, object], name: str, made: object) -> object:
    return here if made is here[name] else {**here, name: made}


def _each(items: list[object], change: Callable[[object], object]) -> list[object]:
    made = [change(item) for item in items]
    return items if all(new is old for new, old in zip(made, items, strict=True)) else made


def write(path: Path) -> str:
    """A path as people write it: ``event.items[*].price``."""
    return "event" + "".join(map(_step, path))


def _step(step: str | int | EachItem) -> str:
    if isinstance(step, EachItem):
        return "[*]"
    if isinstance(step, int):
        return f"[{step}]"
    plain = step.isascii() and step.isidentifier()
    return f".{step}" if plain else '["' + step.replace("\\", "\\\\").replace('"', '\\"') + '"]'
