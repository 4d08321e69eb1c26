"""A connector as its code tells of it."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import Any

from msgspec import Struct

from router.config.model import SELECTORS, SinkCommon, SourceCommon
from router.metrics import Family, families_of
from router.plugins import Installed, Kind
from router.reference.settings import Setting, settings_of

_GUARANTEE = re.compile(r"^\*\*Guarantee\b.*?(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)


class Reference(Struct, frozen=True):
    """What there is to know about a source or a sink. Texts are Markdown."""

    kind: Kind
    type: str
    summary: str
    """The first line of the class's docstring."""
    description: str
    """The rest of it."""
    example: str
    """A part of the daemon's file, as YAML; empty when the class gives none."""
    settings: tuple[Setting, ...]
    """Its own, without those that every source or every sink takes."""
    schema: dict[str, Any]
    """The JSON Schema of its own settings."""
    metrics: tuple[Family, ...]

    @property
    def guarantee(self) -> str:
        """The paragraph of the description that states it; empty when none does."""
        found = _GUARANTEE.search(self.description)
        return found[0] if found else ""


def reference(connector: Installed) -> Reference:
    """What there is to know about a connector. Raises BrokenConnector."""
    cls = connector.load()
    summary, _, description = inspect.cleandoc(cls.__doc__ or "").partition("\n")
    return Reference(
        connector.kind,
        connector.type,
        summary,
        description.strip("\n"),
        textwrap.dedent(getattr(cls, "example", "")).strip("\n"),
        settings_of(cls.Config, cls.Config.per_record()),
        cls.Config.model_json_schema(),
        tuple(families_of(connector.kind)),
    )


def common_settings(kind: Kind) -> tuple[Setting, ...]:
    """What every source or every sink takes besides its own settings."""
    common = settings_of(SourceCommon if kind == "source" else SinkCommon)
    words = {"type": "text", "use": "text", "allow": "mapping of names to lists of texts"}
    chosen = [name for name in words if kind == "sink" or name != "allow"]
    selectors = [Setting(name, words[name], False, None, SELECTORS[name]) for name in chosen]
    return (*selectors[:2], *common, *selectors[2:])
