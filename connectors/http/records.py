"""The records in a body."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache

from connectors.http.reply import Refusal
from router import FRAMINGS, Context, Framed, Framing, framing_of

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
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]*)", re.IGNORECASE)
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_SPACE = re.compile(r"[ \t\r\n]*")
_BLANK = b" \t\r\n"
"""What RFC 8259 allows around a value."""
_DENSE = 20
"""An array with more commas for each record that it may hold is counted before it is cut: it may hold very many."""
_SLICE = 64 << 10
"""So much of a body is framed before its records are counted again."""


@lru_cache(256)
def media_type(header: str) -> str:
    """The media type that a ``Content-Type`` says, in lower case; ``application/octet-stream`` for none."""
    found = _MEDIA_TYPE.fullmatch(header)
    return found[1].lower() if found else "application/octet-stream"


def check_charset(header: str) -> None:
    """Raises Refusal for a body that a ``Content-Type`` says to be in anything but UTF-8, or ASCII, which is a part of
    it."""
    found = _CHARSET.search(header)
    if found and found[1].lower() not in _CHARSETS:
        raise Refusal(415, "send the body in UTF-8")


class Cutter:
    """Cuts bodies into at most so many records each.

    A framing that is set holds for all bodies, and so does the one of payloads that are not JSON. Where they are, a
    body is what it says it is: a value or an array, or lines.
    """

    def __init__(self, setting: Framing | None, context: Context, most: int) -> None:
        by_type = setting is None and context.format.type == "json"
        self._framing = None if by_type else framing_of(setting, context.format, messages=True)
        self._lines = FRAMINGS["newline"]()
        self._most = most

    def check_type(self, content_type: str) -> None:
        """Raises Refusal for a body of a type that says nothing about its records."""
        if self._framing is None and not (
            _is_json(content_type) or content_type in _LINES or content_type.startswith("text/")
        ):
            what = "send application/json for one record or an array of them, or application/x-ndjson for lines"
            raise Refusal(415, what)

    def cut(self, body: bytes, content_type: str) -> Framed:
        """The records in a body. Raises Refusal when there are none, or too many."""
        if self._framing is not None:
            framed = self._framed(body, self._framing)
        elif _is_json(content_type):
            framed = Framed(self._values(body))
        elif b"\n" in body:
            framed = self._framed(body, self._lines)
        else:
            framed = Framed([body] if body else [])
        if not framed.values:
            raise Refusal(400, "the body holds no record")
        return framed

    def _framed(self, body: bytes, framing: Framing) -> Framed:
        framer = framing.framer(max(1, len(body)))
        found = framer.feed(body[:_SLICE])
        for start in range(_SLICE, len(body), _SLICE):
            self._check(found)
            found.add(framer.feed(body[start : start + _SLICE]))
        found.add(framer.finish())
        self._check(found)
        return found

    def _values(self, body: bytes) -> list[bytes]:
        """The elements of an array, byte for byte; anything else, invalid JSON too, is one record."""
        import msgspec

        body = body.strip(_BLANK)
        if not body.startswith(b"["):
            return [body] if body else []
        if body.count(b",") > _DENSE * self._most and _holds_more(body, self._most):
            raise self._too_many()
        try:
            values = list(map(bytes, msgspec.json.decode(body, type=list[msgspec.Raw])))
        except (msgspec.DecodeError, RecursionError):
            return [body]
        if len(values) > self._most:
            raise self._too_many()
        return values

    def _check(self, found: Framed) -> None:
        if len(found.values) > self._most:
            raise self._too_many()

    def _too_many(self) -> Refusal:
        return Refusal(413, f"the body has more than {self._most} records", close=True)


def _is_json(content_type: str) -> bool:
    return content_type == "application/json" or content_type.endswith("+json")


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
