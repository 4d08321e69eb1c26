"""Texts of others on a terminal."""

from __future__ import annotations


def inert(text: str) -> str:
    """A payload must not drive the terminal that it is shown on."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" if c not in "\n\t" else " " for c in text)
