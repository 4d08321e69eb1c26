"""The base of every connector's settings, and what the router hands a connector through them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self, get_args

from msgspec import Struct, field
from pydantic import PrivateAttr

from router import interfaces
from router.expression import Template
from router.interfaces import Positions
from rules.codecs import Format, Json
from rules.model import Model


class MemoryPositions:
    """Positions that last as long as the process: of connectors that are used without a daemon."""

    def __init__(self) -> None:
        self.entries: dict[str, interfaces.Json] = {}

    def load(self) -> dict[str, interfaces.Json]:
        """Everything saved so far."""
        return dict(self.entries)

    async def save(self, entries: Mapping[str, interfaces.Json]) -> None:
        """Remember these; None forgets the key."""
        self.entries.update(entries)
        for key in [key for key, value in entries.items() if value is None]:
            del self.entries[key]


def _uncounted(event: str, number: int) -> None:
    """Nobody asks."""


class Context(Struct):
    """What a connector may know of its surroundings: its name, the folder that relative paths are relative to (that
    of the daemon's file), where it keeps its positions, the format of the payloads that it carries, and, for a sink,
    after how many seconds a write is cut off.

    ``count(event, number)`` counts what the router cannot see, such as who was disconnected: it is the metric
    ``sluiceway_connector_events_total``, so the events of a connector are few, and named in its docstring.
    """

    name: str = ""
    folder: Path = field(default_factory=Path)
    positions: Positions = field(default_factory=MemoryPositions)
    format: Format = field(default_factory=Json)
    write_timeout: float = 60.0
    count: Callable[[str, int], None] = _uncounted


class PerRecord:
    """Marks a sink's setting that each delivery may choose: ``path: Annotated[str, PerRecord()]``.

    Such a setting may hold ``${CEL}`` in the daemon's file and may be set on a target in a rules file. What a
    delivery chose arrives as ``batch.settings["path"]``, a column; without it, the configured value holds for all.
    """


class Settings(Model):
    """The base of a connector's ``Config``: unknown keys are refused, and a validated one never changes."""

    _context: Context = PrivateAttr(default_factory=Context)

    @property
    def context(self) -> Context:
        """The connector's surroundings, as the router set them."""
        return self._context

    def within(self, context: Context) -> Self:
        """The same settings in these surroundings."""
        copy = self.model_copy()
        copy._context = context  # noqa: SLF001 - its own class
        return copy

    def conflict(self, other: Settings) -> str:  # noqa: ARG002 - for connectors that share something
        """Why a connector with these settings cannot run beside one with the others; empty when it can."""
        return ""

    def advice(self) -> Mapping[str, tuple[str, str]]:
        """What is no fault and yet probably not meant: by the setting, what it does, and what would be right."""
        return {}

    def clashes(self, payloads: str) -> Mapping[str, tuple[str, str]]:  # noqa: ARG002 - for those that ask
        """What cannot be, with payloads of the format of this name: by the setting that is wrong, what is, and what
        would be right. For what only shows once the format is known, or has its place at one setting of several."""
        return {}

    def refusals(self, chosen: Mapping[str, object]) -> Mapping[str, str]:  # noqa: ARG002 - for those that ask
        """Of per-record settings that a target always sets so, why a delivery cannot choose them, by their names. They
        are of the types of the sink's own; for what its other settings and its surroundings forbid."""
        return {}

    def acknowledged(self) -> Literal["delivered", "buffered"] | None:
        """Of a source that tells whoever sent a record once it is safe: whether that means delivered, or in the disk
        buffer of its sink, so that every sink of its flow must have one. None: nobody is told."""
        return None

    def hint(self) -> str:
        """A command that lets a person try the connector once the daemon runs; empty when there is none."""
        return ""

    @classmethod
    def per_record(cls) -> frozenset[str]:
        """The names of the settings that each delivery may choose."""
        return frozenset(name for name, info in cls.model_fields.items() if any(map(_marks, info.metadata)))

    @classmethod
    def templates(cls) -> frozenset[str]:
        """The names of the settings in which the connector itself fills in ``${CEL}``."""
        return frozenset(name for name, info in cls.model_fields.items() if _holds_template(info.annotation))


def _marks(metadata: Any) -> bool:
    return isinstance(metadata, PerRecord) or metadata is PerRecord


def _holds_template(annotation: Any) -> bool:
    return annotation is Template or any(map(_holds_template, get_args(annotation)))
