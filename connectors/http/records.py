"""The records in a body."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache

from connectors.http.reply import Refusal

_LINES = frozenset(
    {
        "application/jsonl",
        "application/jsonlines",
        "application/ndjson",
        "application/octet-stream",  # also what a request without a content type has (RFC 9110, section 8.3)
        "application/x-jsonlines",
        "application/x-ndjson",
        "application/x-www-form-urlencoded",  # what curl says unless it is told otherwise
    }
)
_MEDIA_TYPE = re.compile(r"\s*([^\s;/]+/[^\s;/]+)\s*(?:;.*)?", re.DOTALL)
_SPACE = re.compile(r"[ \t\r\n]*")
_BLANK = b" \t\r\n"
"""What RFC 8259 allows around a value."""
_DENSE = 20
"""An array with more commas for each record that it may hold is counted before it is cut: it may hold very many."""


@lru_cache(256)
def media_type(header: str) -> str:
    """The media type that a ``Content-Type`` says, in lower case; ``application/octet-stream`` for none. Raises Refusal
    for one that no body here has."""
    match = _MEDIA_TYPE.fullmatch(header)
    found = match[1].lower() if match else "application/octet-stream"
    if not (_is_json(found) or found in _LINES or found.startswith("text/")):
        raise Refusal(415, "send application/json for one record or an array, or application/x-ndjson for lines")
    return found


def cut(body: bytes, content_type: str, most: int) -> list[bytes]:
    """The records in a body. Raises Refusal when there are none, or more than so many."""
    values = _values(body, most) if _is_json(content_type) else _lines(body, most)
    if len(values) > most:
        raise _too_many(most)
    if not values:
        raise Refusal(400, "the body holds no record")
    return values


def _is_json(content_type: str) -> bool:
    return content_type == "application/json" or content_type.endswith("+json")


def _lines(body: bytes, most: int) -> list[bytes]:
    if body.count(b"\n") + (not body.endswith(b"\n")) > most:
        raise _too_many(most)
    return list(filter(None, body.replace(b"\r\n", b"\n").split(b"\n")))


def _values(body: bytes, most: int) -> list[bytes]:
    """The elements of an array, byte for byte; anything else, invalid JSON too, is one record."""
    import msgspec

    body = body.strip(_BLANK)
    if not body.startswith(b"["):
        return [body] if body else []
    if body.count(b",") > _DENSE * most and _holds_more(body, most):
        raise _too_many(most)
    try:
        return list(map(bytes, msgspec.json.decode(body, type=list[msgspec.Raw])))
    except (msgspec.DecodeError, RecursionError):
        return [body]


def _holds_more(body: bytes, most: int) -> bool:
    """Whether an array has more elements, found out without making all of them at once."""
    try:
        return sum(1 for _ in zip(range(most + 1), _elements(body.decode()), strict=False)) > most
    except (ValueError, RecursionError):
        return False


def _elements(text: str) -> Iterator[int]:
    """Where each element ends. Raises ValueError, RecursionError where there is none."""
    decode = json.JSONDecoder().raw_decode
    at = 0
    while text[at] != "]":
        _, at = decode(text, _end_of_space(text, at + 1))
        at = _end_of_space(text, at)
        yield at
        if text[at : at + 1] not in {",", "]"}:
            raise ValueError


def _end_of_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _too_many(most: int) -> Refusal:
    return Refusal(413, f"the body has more than {most} records", close=True)
