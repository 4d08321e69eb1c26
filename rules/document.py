"""A YAML 1.2 text as plain data that still knows where everything stands.

Both kinds of file are read through this, so that every fault can be shown at its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rules.faults import Fault, Place

Key = tuple[str | int, ...]
"""A path in the data: ``("sinks", "vip", "topic")`` or ``("rules", 0, "when")``."""


@dataclass(slots=True)
class Document:
    """``data`` is plain (dict with str keys, list, str, int, float, bool, None)."""

    data: object

    def place(self, path: Key) -> Place:
        """Where the value at ``path`` begins; of a path that is not there, the nearest parent that is."""
        raise NotImplementedError

    def key_place(self, path: Key) -> Place:
        """Where the key begins that leads to ``path`` (the last element of it)."""
        raise NotImplementedError

    def text_place(self, path: Key, offset: int) -> Place:
        """Where the character at ``offset`` of the text at ``path`` stands in the file, quotes, escapes and block
        scalars taken into account."""
        raise NotImplementedError


def load(text: str, file: str) -> tuple[Document, list[Fault]]:
    """Read one YAML text. Syntax faults and duplicate keys come back as faults; the data is what could be read."""
    raise NotImplementedError


def merge(base: Document, over: Document) -> Document:
    """``over`` merged over ``base``: mappings key by key, everything else replaced. Places follow their values."""
    raise NotImplementedError
