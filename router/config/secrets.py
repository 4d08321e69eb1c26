"""What came from the environment and from files, kept out of everything that is shown."""

from __future__ import annotations

from collections.abc import Iterable

MASK = "***"


class Secrets:
    """Texts that must not be shown. Very short ones, which are part of every other word, mask nothing."""

    _SHORTEST = 4

    def __init__(self, texts: Iterable[str] = ()) -> None:
        found = {part for text in texts for part in (text, repr(text)[1:-1], text.strip())}
        self._texts = sorted((text for text in found if len(text) >= self._SHORTEST), key=len, reverse=True)

    def mask(self, text: str) -> str:
        """The text with every secret in it masked."""
        for secret in self._texts:
            text = text.replace(secret, MASK)
        return text

    def __repr__(self) -> str:
        return f"<{len(self._texts)} secret(s)>"
