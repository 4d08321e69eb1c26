"""Pages of an API: what to ask, and what an answer holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

from msgspec import Struct, field

from connectors.http.answers import Answer, excerpt
from connectors.http.client import checked_url, origin_of
from router import FRAMINGS, Expression, Framed, Framing, Json, NotConnected, Template

_LINES = frozenset(
    {
        "application/jsonl",
        "application/jsonlines",
        "application/ndjson",
        "application/x-jsonlines",
        "application/x-ndjson",
    }
)
_UNSAID = frozenset({"", "application/octet-stream", "text/plain"})
"""Types under which servers send JSON, too."""

Params = Mapping[str, Json]


def filled_url(url: Template, params: Mapping[str, Template], cursor: Json) -> str:
    """The URL to ask first. Raises NotConnected for what is none with this cursor."""
    bindings = {"cursor": cursor}
    try:
        found = url.fill(bindings, _encoded)
        return with_params(checked_url(str(found)), {name: value.fill(bindings) for name, value in params.items()})
    except (LookupError, ValueError) as error:
        raise NotConnected(f"no URL can be made of `url` and `params`: {error} (cursor: {_shown(cursor)})") from error


def filled_headers(headers: Mapping[str, Template], cursor: Json) -> list[tuple[str, str]]:
    """The headers to ask with; without those that are null. Raises NotConnected."""
    try:
        found = {name: value.fill({"cursor": cursor}) for name, value in headers.items()}
    except (LookupError, ValueError) as error:
        raise NotConnected(f"`headers` cannot be filled in: {error} (cursor: {_shown(cursor)})") from error
    return [(name, as_text(value)) for name, value in found.items() if value is not None]


def with_params(url: str, params: Params) -> str:
    """The URL with these parameters in its query, instead of those of the same names; null takes one away."""
    if not params:
        return url
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in params]
    query += [(name, as_text(value)) for name, value in params.items() if value is not None]
    return urlunsplit(parts._replace(query=urlencode(query)))


def next_url(url: str, first: str, said: Json) -> str | None:
    """The URL of the page after ``url``, by what ``next`` says. ``first`` is that of the first page.

    Raises NotConnected for one that is none, or that leads to another server.
    """
    if said is None or said is False or said == "" or said == {}:
        return None
    if isinstance(said, dict):
        return with_params(first, said)
    if not isinstance(said, str):
        raise NotConnected(f"`next` is neither a URL nor a map of parameters but {_shown(said)}")
    try:
        found = checked_url(urljoin(url, said))
    except ValueError as error:
        raise NotConnected(f"`next`: {error}") from error
    if origin_of(urlsplit(found)) != origin_of(urlsplit(first)):
        raise NotConnected(f"`next` leads to another server: {_shown(found)}")
    return found


class Page(Struct, frozen=True):
    """What an answer holds. ``found`` are the records as expressions see them, if any will."""

    response: Mapping[str, Any]
    framed: Framed
    found: list[Any] = field(default_factory=list)


class Reading(Struct, frozen=True):
    """How answers are read: by an expression, by a framing, or, with neither, as JSON. ``parse``: expressions will
    look at them."""

    records: Expression | None
    framing: Framing | None
    limit: int
    parse: bool

    def page(self, answer: Answer, url: str) -> Page:
        """What an answer holds. Raises NotConnected for one that cannot be read so."""
        response: dict[str, Any] = {"status": answer.status, "headers": answer.headers, "url": url}
        try:
            if self.parse or self.records is not None:
                response["body"] = answer.content() if self.framing is not None else _content(answer)
            if self.records is not None:
                return _selected(self.records, response)
            framed = self._framed(answer)
        except (LookupError, ValueError) as error:
            what = "it is" if self.records is None else "`records`:"
            raise NotConnected(f"the answer cannot be read: {what} {error}; it is {answer}") from error
        return Page(response, framed, list(map(_value, framed.values)) if self.parse else [])

    def _framed(self, answer: Answer) -> Framed:
        if self.framing is not None:
            return self.framing.cut(answer.body, self.limit)
        if answer.media_type in _LINES:
            return FRAMINGS["newline"]().cut(answer.body, self.limit)
        return Framed(_elements(answer))


def _selected(records: Expression, response: Mapping[str, Any]) -> Page:
    import msgspec

    found = records.evaluate({"response": response})
    if found is None:
        found = []
    if not isinstance(found, list):
        raise ValueError(f"is no list but {_shown(found)}")  # noqa: TRY004 - it is the answer that is wrong
    return Page(response, Framed(list(map(msgspec.json.encode, found))), found)


def _elements(answer: Answer) -> list[bytes]:
    """The elements of a JSON array, byte for byte as they stand there; any other body is one record."""
    import msgspec

    if not _may_be_json(answer):
        return [answer.body] if answer.body else []
    body = answer.body.strip(b" \t\r\n")
    if body[:1] != b"[":
        return [body] if body else []
    try:
        return list(map(bytes, msgspec.json.decode(body, type=list[msgspec.Raw])))
    except (msgspec.DecodeError, RecursionError) as error:
        if _must_be_json(answer):
            raise ValueError(f"no JSON: {error}") from error
        return [body]


def _value(payload: bytes) -> Any:
    """A payload as expressions see it: JSON where it is that, else text."""
    import msgspec

    try:
        return msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError):
        return payload.decode("utf-8", "replace")


def _content(answer: Answer) -> Any:
    """The body as expressions see it."""
    if answer.media_type in _LINES:
        return list(map(_value, FRAMINGS["newline"]().cut(answer.body, len(answer.body)).values))
    if not answer.body.strip():
        return None
    if _must_be_json(answer):
        return answer.json()
    return answer.content() if _may_be_json(answer) else answer.body.decode("utf-8", "replace")


def _must_be_json(answer: Answer) -> bool:
    return answer.media_type == "application/json" or answer.media_type.endswith("+json")


def _may_be_json(answer: Answer) -> bool:
    return _must_be_json(answer) or answer.media_type in _UNSAID


def as_text(value: Json) -> str:
    """A value as it stands in a query or a header: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _encoded(text: str) -> str:
    return quote(text, safe="")


def _shown(value: Json) -> str:
    return excerpt(as_text(value), 100)
