"""A YAML 1.2 text as plain data that still knows where everything stands.

Both kinds of file are read through this, so that every fault can be shown at its place.
"""

from __future__ import annotations

from rules.document.loading import load
from rules.document.nodes import Document, Key, Node, merge

__all__ = ["Document", "Key", "Node", "load", "merge"]
