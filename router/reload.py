"""What a reload changes: the running configuration and the new one compared, component by component."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from router.config import Configuration
from rules.faults import Fault

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Changes:
    """Names of components of one kind: those that are new, gone, and not what they were."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A reload that was taken. ``version`` is that of the configuration that runs now, ``previous`` that of the one
    before; ``warnings`` are what is no fault in the new one and yet probably not meant."""

    version: str
    previous: str
    cause: str
    sources: Changes = field(default_factory=Changes)
    sinks: Changes = field(default_factory=Changes)
    flows: Changes = field(default_factory=Changes)
    tables: Changes = field(default_factory=Changes)
    warnings: tuple[Fault, ...] = ()

    @property
    def changes(self) -> Mapping[str, Changes]:
        """What changed, by kind: ``sources``, ``sinks``, ``flows``, ``tables``; without kinds where nothing did."""
        kinds = {"sources": self.sources, "sinks": self.sinks, "flows": self.flows, "tables": self.tables}
        return {kind: changes for kind, changes in kinds.items() if changes}

    def as_json(self) -> dict[str, object]:
        """All of it as JSON values."""
        return {
            "version": self.version,
            "previous": self.previous,
            "cause": self.cause,
            "changes": {kind: asdict(changes) for kind, changes in self.changes.items()},
            "warnings": [str(warning) for warning in self.warnings],
        }


def compare(old: Configuration, new: Configuration, cause: str) -> Reloaded:
    """What is different in the new configuration."""
    return Reloaded(
        version=new.version,
        previous=old.version,
        cause=cause,
        sources=changes_of(old.sources, new.sources, lambda before, after: before == after),
        sinks=changes_of(old.sinks, new.sinks, lambda before, after: before == after),
        flows=changes_of(
            {flow.name: flow.version for flow in old.flows},
            {flow.name: flow.version for flow in new.flows},
            lambda before, after: before == after,
        ),
        tables=changes_of(old.tables, new.tables, lambda before, after: before.settings == after.settings),
        warnings=new.warnings,
    )


def changes_of(old: Mapping[str, T], new: Mapping[str, T], is_same: Callable[[T, T], bool]) -> Changes:
    """Names that are new, gone, or stand for something else now."""
    return Changes(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed=tuple(name for name in new if name in old and not is_same(old[name], new[name])),
    )
