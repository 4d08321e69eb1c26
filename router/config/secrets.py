"""What came from the environment and from files, kept out of everything that is shown."""

from __future__ import annotations

from collections.abc import Iterable

MASK = "***"


class Secrets:
    """Texts that must not be shown. Very short ones, which are part of every other word, are only masked on
    demand."""

    _SHORTEST = 4

    def __init__(self, texts: Iterable[str] = ()) -> None:
        found = {part for text in texts for part in (text, repr(text)[1:-1], text.strip())}
        self._texts = sorted(found - {""}, key=len, reverse=True)

    def mask(self, text: str, *, every: bool = False) -> str:
        """The text with every secret in it masked; with ``every``, very short ones too."""
        for secret in self._texts:
            if every or len(secret) >= self._SHORTEST:
                text = text.replace(secret, MASK)
        return text

    def joined(self, other: Secrets) -> Secrets:
        """These and the others."""
        return Secrets((*self._texts, *other._texts))

    def __repr__(self) -> str:
        return f"<{len(self._texts)} secret(s)>"
