"""Messages without what must not be shown: texts of a record that whoever wrote the message may have put into it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from urllib.parse import quote

from router.config.secrets import MASK, Secrets
from rules.sensitive import HIDDEN

SHORTEST = 4
"""Texts that are shorter are part of every other word, and are not looked for in messages."""

_CUT = "…"
_WORD = re.compile(r"[^\s\"'<>(){}\[\],;:=]{%d,}" % SHORTEST)  # noqa: UP031 - braces mean something here


def within(texts: Iterable[str], message: str) -> set[str]:
    """What may be in the message of these texts, as they are or as JSON, URLs and messages write them."""
    written = {writing for text in set(texts) for writing in _writings(text) if len(writing) >= SHORTEST}
    is_cut = _CUT in message
    return {text for text in written if text in message or (is_cut and text[:SHORTEST] in message)}


def without(found: Collection[str], message: str) -> str:
    """The message with nothing in it of what was found ``within`` it."""
    stem, cut, rest = Secrets(found).mask(message).rpartition(_CUT)
    return _without_beginning(found, stem) + cut + rest if cut else rest


def without_words(payload: bytes, message: str) -> str:
    """The message without the words that are in a payload, of which nobody knows what in it must not be shown."""
    text = payload.decode(errors="replace")
    return _WORD.sub(lambda word: MASK if word[0].strip(f".!?{_CUT}") in text else word[0], message)


def hidden_texts(value: object, redacted: object) -> Iterator[str]:
    """What is in a value and not in what may be shown of it, as text."""
    if redacted is HIDDEN:
        yield from texts_in(value)
    elif isinstance(value, Mapping) and isinstance(redacted, Mapping):
        for name, inner in value.items():
            yield from hidden_texts(inner, redacted[name])
    elif isinstance(value, list) and isinstance(redacted, list):
        for inner, shown in zip(value, redacted, strict=True):
            yield from hidden_texts(inner, shown)


def texts_in(value: object) -> Iterator[str]:
    """Every single value within a value, as text."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from texts_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts_in(inner)
    elif isinstance(value, bytes):
        yield value.decode(errors="replace")
    elif not isinstance(value, bool | None):
        yield str(value)


def _writings(text: str) -> tuple[str, ...]:
    if text.isascii() and text.isalnum():
        return (text,)
    as_json = (json.dumps(text, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False))
    as_message = repr(text)[1:-1], " ".join(text.split())
    return text, text.strip(), *as_json, *as_message, quote(text, safe="", errors="replace")


def _without_beginning(texts: Collection[str], stem: str) -> str:
    """What stands before the place where a message was cut off, which may be the beginning of a text."""
    longest = 0
    for text in texts:
        if text[:SHORTEST] in stem[-len(text) :]:
            sizes = range(min(len(text), len(stem)), longest, -1)
            longest = next((size for size in sizes if stem.endswith(text[:size])), longest)
    return stem[:-longest] + MASK if longest >= SHORTEST else stem
