"""What a reload changed of a flow: which of its rules are new, gone, or not what they were, wherever they stand now."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import Struct

from router.config import Configuration
from rules.cel import Expression
from rules.faults import Place
from rules.flow import Flow

_PARTS: Final = {
    "from": "sources",
    "contract": "contract",
    "let": "lets",
    "otherwise": "otherwise",
    "tests": "tests",
    "vars": "vars",
}
"""What a flow means besides its rules, and where that stands in the model."""


@dataclass(frozen=True, slots=True)
class FlowChange:
    """What became of a flow: its version ``before`` (None where it is new) and now, the names of the rules that are
    different, and which other parts of it are."""

    before: str | None
    version: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    at: float = field(default_factory=time.time)


def flow_changes(old: Configuration, new: Configuration) -> dict[str, FlowChange]:
    """By name, every flow that is another one now."""
    before = {flow.name: flow for flow in old.flows}
    return {
        flow.name: _change(before.get(flow.name), flow)
        for flow in new.flows
        if flow.name not in before or before[flow.name].version != flow.version
    }


def _change(old: Flow | None, new: Flow) -> FlowChange:
    if old is None:
        return FlowChange(None, new.version, added=tuple(rule.name for rule in new.rules))
    before = {rule.name: _meaning(rule) for rule in old.rules}
    now = {rule.name: _meaning(rule) for rule in new.rules}
    return FlowChange(
        old.version,
        new.version,
        added=tuple(name for name in now if name not in before),
        removed=tuple(name for name in before if name not in now),
        changed=tuple(name for name in now if name in before and before[name] != now[name]),
        parts=tuple(
            name for name, part in _PARTS.items() if _meaning(getattr(old, part)) != _meaning(getattr(new, part))
        ),
    )


def _meaning(value: Any) -> Any:
    """A part of a flow without where it stands, in terms that can be compared."""
    if isinstance(value, Place):
        return None
    if isinstance(value, Expression):
        return value.text
    if isinstance(value, Struct):
        return type(value).__name__, [_meaning(getattr(value, name)) for name in value.__struct_fields__]
    if isinstance(value, Mapping):
        return {name: _meaning(inner) for name, inner in value.items()}
    return [_meaning(inner) for inner in value] if isinstance(value, tuple | list) else (type(value).__name__, value)
