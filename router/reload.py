"""What a reload changes: the running configuration and the new one compared, by components and settings."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field

from router.assembly import Assembly, is_sink_changed, is_source_changed
from router.config import Configuration
from router.config.model import Http
from rules.faults import Fault, Place


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
    before; both are the same where only secrets or values that were filled in are others. ``settings`` are those that
    belong to no component; ``warnings`` are what is no fault in the new one and yet probably not meant."""

    version: str
    previous: str
    cause: str
    sources: Changes = field(default_factory=Changes)
    sinks: Changes = field(default_factory=Changes)
    flows: Changes = field(default_factory=Changes)
    tables: Changes = field(default_factory=Changes)
    settings: Changes = field(default_factory=Changes)
    warnings: tuple[Fault, ...] = ()
    taken: LastReload | None = None
    """The reload that this configuration came with, where this one found nothing new."""

    def __str__(self) -> str:
        """What changed, in one line: ``flows changed orders; sinks added a, b``."""
        told = [
            f"{kind} {how} {', '.join(names)}"
            for kind, changes in self.changes.items()
            for how, names in asdict(changes).items()
            if names
        ]
        return "; ".join(told) or "nothing that runs is changed"

    @property
    def changes(self) -> Mapping[str, Changes]:
        """What changed, by kind: ``sources``, ``sinks``, ``flows``, ``tables``, ``settings``; without kinds where
        nothing did."""
        kinds = ("sources", "sinks", "flows", "tables", "settings")
        return {kind: changes for kind in kinds if (changes := getattr(self, kind))}

    @property
    def is_same(self) -> bool:
        """Whether it found nothing new."""
        return self.version == self.previous and not self.changes

    def as_json(self) -> dict[str, object]:
        """All of it as JSON values."""
        return {
            "version": self.version,
            "previous": self.previous,
            "cause": self.cause,
            "changes": {kind: asdict(changes) for kind, changes in self.changes.items()},
            "warnings": [str(warning) for warning in self.warnings],
            "taken": None if self.taken is None else {"time": self.taken.time, "cause": self.taken.cause},
        }


@dataclass(frozen=True, slots=True)
class LastReload:
    """How the last reload ended: well, or with these faults."""

    cause: str
    faults: tuple[Fault, ...] = ()
    time: float = field(default_factory=time.time)

    def as_json(self) -> dict[str, object]:
        """All of it as JSON values."""
        return {
            "time": self.time,
            "cause": self.cause,
            "successful": not self.faults,
            "faults": [
                {
                    "file": fault.place.file,
                    "line": fault.place.line,
                    "column": fault.place.column,
                    "what": fault.what,
                    "hint": fault.hint,
                }
                for fault in self.faults
            ],
        }


def compare(old: Assembly, new: Assembly, cause: str) -> Reloaded:
    """What is different in the new configuration."""
    before, after = old.configuration, new.configuration
    return Reloaded(
        version=after.version,
        previous=before.version,
        cause=cause,
        sources=_changes(before.sources, after.sources, lambda name: not is_source_changed(before, after, name)),
        sinks=_changes(before.sinks, after.sinks, lambda name: _is_same_sink(before, after, name)),
        flows=_changes(old.versions(), new.versions(), lambda name: old.versions()[name] == new.versions()[name]),
        tables=_changes(
            before.tables, after.tables, lambda name: before.tables[name].settings == after.tables[name].settings
        ),
        settings=_settings(before, after),
        warnings=after.warnings,
    )


def _settings(old: Configuration, new: Configuration) -> Changes:
    """What belongs to no component and may change while the daemon runs: by name alone, as some of it is secret."""
    pairs = {
        "vars": (_exact(old.vars), _exact(new.vars)),
        "secrets": (old.named_secrets, new.named_secrets),
        "models": (old.models, new.models),
        "drain_timeout": (old.drain_timeout, new.drain_timeout),
        "dead_letters": (old.dead_letters, new.dead_letters),
        "http.token": (_token(old.http), _token(new.http)),
    }
    return Changes(changed=tuple(name for name, (before, after) in pairs.items() if before != after))


def _exact(values: object) -> str:
    """Of JSON values a text, which is another one for 1, 1.0 and true."""
    return json.dumps(values, sort_keys=True)


def _token(http: Http | None) -> str | None:
    return None if http is None else http.token_text


def needs_restart(old: Configuration, new: Configuration) -> list[Fault]:
    """A fault for everything that only a restart can change."""
    pairs = {"state_dir": (old.state_dir, new.state_dir), "http": (_but_token(old.http), _but_token(new.http))}
    return [
        Fault(
            new.places.get(key, Place(str(new.files[0]))),
            f"`{key}` cannot change while the daemon runs",
            "should be as it was until the daemon is started again",
        )
        for key, (before, after) in pairs.items()
        if before != after
    ]


def _but_token(http: Http | None) -> Http | None:
    """The settings of the address that is listened on; the token is asked for with each request."""
    return None if http is None else http.model_copy(update={"token": None})


def _is_same_sink(old: Configuration, new: Configuration, name: str) -> bool:
    before, after = old.sinks[name], new.sinks[name]
    return not is_sink_changed(old, new, name) and (before.common, before.allow) == (after.common, after.allow)


def _changes(old: Iterable[str], new: Iterable[str], is_same: Callable[[str], bool]) -> Changes:
    """Names that are new, gone, or stand for something else now."""
    before, after = set(old), set(new)
    return Changes(
        added=tuple(name for name in new if name not in before),
        removed=tuple(name for name in old if name not in after),
        changed=tuple(name for name in new if name in before and not is_same(name)),
    )
