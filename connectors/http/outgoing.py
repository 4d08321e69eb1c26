"""From records to requests: which go to the same URL in the same way, and what a body is made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from connectors.http.client import Origin, checked_header, checked_url, origin_of
from router import PIECE, Batch, Constant, Framing, Headers, Settings

_TYPES = {
    "json": "application/json",
    "text": "text/plain; charset=utf-8",
    "csv": "text/csv",
    "msgpack": "application/msgpack",
}
"""What a payload of each format is; any other is `application/octet-stream`."""
NEVER_JSON = frozenset({"csv", "avro", "protobuf", "msgpack", "logfmt", "syslog"})
"""The formats whose payloads cannot stand in JSON. One of text, or of any bytes, may be JSON all the same."""
METHODS = ("POST", "PUT", "PATCH", "DELETE")
_AUTHORITY = re.compile(r"https?://[^/?#\s]+(?=[/?#])")


class Refused(Exception):
    """A record for which no request can be made."""


class Wrap(Settings):
    """A text around the records of a request."""

    before: str = ""
    """What the body begins with, such as `{"events": [`."""
    between: str = ","
    """What stands between two records."""
    after: str = ""
    """What the body ends with, such as `]}`."""
    content_type: str = "application/json"
    """What the body is."""

    @property
    def is_json(self) -> bool:
        """Whether records that are JSON make a body that is JSON."""
        return _is_json(f"{self.before}0{self.between}0{self.after}".encode())


Body = Literal["stream", "json_array", "each"] | Wrap


class Route(Struct, frozen=True):
    """Where and how requests go. ``chosen``: a record chose the URL."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    chosen: bool


def fixed_origin(url: str) -> Origin | None:
    """The origin of a configured URL, if no ``${CEL}`` stands in that part of it."""
    fixed, template, _ = url.partition("${")
    found = _AUTHORITY.match(fixed if template else f"{url}/")
    return None if found is None else origin_of(urlsplit(found[0]))


class Addresser:
    """Says where each record goes: what it chose itself, else what the sink's settings say.

    ``origin`` is that of the sink's one server; None where records choose the server, too.
    """

    def __init__(self, method: str, url: str, headers: Mapping[str, str]) -> None:
        self._method = method
        self._url = url
        self._headers = tuple(headers.items())
        self.origin = fixed_origin(url)
        self._known: dict[object, Route | Refused] = {}

    def routes(self, batch: Batch, refused: dict[int, str]) -> dict[Route, Sequence[int]]:
        """The records of each route, in their order, and routes in that of their first record. Those for which there
        is none go to ``refused``, with the reason."""
        none = Constant(None, len(batch))
        columns = (batch.settings.get("method"), batch.settings.get("url"), batch.headers)
        choices = [none if column is None else column for column in columns]
        if all(isinstance(column, Constant) for column in choices):
            return self._grouped([(_first(choices), range(len(batch)))], refused)
        groups: dict[Any, list[int]] = {}
        for index, choice in enumerate(zip(*choices, strict=True)):
            groups.setdefault(_hashable(choice), []).append(index)
        return self._grouped(groups.items(), refused)

    def _grouped(
        self, groups: Iterable[tuple[Any, Sequence[int]]], refused: dict[int, str]
    ) -> dict[Route, Sequence[int]]:
        found: dict[Route, Sequence[int]] = {}
        for choice, indices in groups:
            route = self._route(choice)
            if isinstance(route, Refused):
                refused.update(dict.fromkeys(indices, str(route)))
            else:
                found[route] = sorted([*found[route], *indices]) if route in found else indices
        return found

    def _route(self, choice: tuple[Any, Any, Any]) -> Route | Refused:
        known = self._known.get(choice)
        if known is None:
            if len(self._known) > 10_000:
                self._known.clear()
            try:
                known = self._resolved(*choice)
            except (Refused, ValueError) as error:
                known = Refused(str(error))
            self._known[choice] = known
        return known

    def _resolved(self, method: object, url: object, headers: Headers | None) -> Route:
        if method is not None and method not in METHODS:
            raise Refused(f"method {method!r} should be one of {', '.join(METHODS)}")
        pairs = self._headers if headers is None else tuple(map(_header, headers))
        return Route(str(method or self._method), self.destination(url), pairs, chosen=url is not None)

    def destination(self, url: object) -> str:
        """The URL of a record that chose this one, or None. Raises Refused, ValueError."""
        if url is None and "${" in self._url:
            raise Refused("no url was chosen")
        if url is None or url == self._url:
            return self._url
        if not isinstance(url, str):
            raise Refused(f"the url is not text but {url!r}"[:200])
        parts = urlsplit(checked_url(url))
        if self.origin is not None and origin_of(parts) != self.origin:
            raise Refused(f"the url {url!r} leads away from the sink's server {self.origin[1]}:{self.origin[2]}")
        if any(unquote(step) in (".", "..") for step in parts.path.split("/")):
            raise Refused(f"the url {url!r} holds a step to another folder, such as `..`")
        return url


def _first(columns: Iterable[Sequence[Any]]) -> tuple[Any, ...]:
    return tuple(_hashable(column[0]) for column in columns)


def _hashable(value: Any) -> Any:
    """A choice in a form that can be looked up; one that is no text is told from others by what it looks like."""
    if isinstance(value, list | tuple):
        return tuple(map(_hashable, value))
    return value if value is None or isinstance(value, str | bytes) else repr(value)


def _header(pair: tuple[str, bytes]) -> tuple[str, str]:
    name, value = pair[0], pair[1].decode()
    checked_header(name, value)
    return name, value


def holds_json(body: Body) -> bool:
    """Whether all that stands in a body has to be JSON."""
    return body == "json_array" or (isinstance(body, Wrap) and body.is_json)


class Bodies:
    """Makes a request's body of records, which are of one format.

    ``content_type`` is what it is.
    """

    def __init__(self, body: Body, framing: Framing | None, action: object, payloads: str) -> None:
        self._body = body
        self._action = action
        self._needs_json = holds_json(body)
        self._framing = framing
        self.content_type = _content_type(body, framing, payloads)
        self.too_large: float = float("inf")
        """The size of the smallest body of many records that was too large for the server."""
        self._taken = 0

    @property
    def holds_many(self) -> bool:
        """Whether a request may have several records."""
        return self._body != "each"

    def was_taken(self, size: int) -> None:
        """The server took a body of this size."""
        self._taken = max(self._taken, size)

    def was_too_large(self, size: int) -> None:
        """The server said that a body of many records was too large; if it took larger ones, it meant one of them."""
        if size > self._taken:
            self.too_large = min(self.too_large, size)

    def check(self, batch: Batch, refused: dict[int, str]) -> None:
        """Find the records that cannot stand in a body; they go to ``refused``, with the reason."""
        if not self.holds_many:
            return
        if self._framing is not None:
            refused.update(self._framing.join(batch.values)[1])
        if self._framing is None or not self._framing.cut(self._framing.join([b""])[0], PIECE).values:
            empty = "an empty payload cannot be told from none in a body of many"
            refused.update({index: empty for index, value in enumerate(batch.values) if not value})
        if self._needs_json:
            for index, value in enumerate(batch.values):
                if index not in refused and not _is_json(value):
                    refused[index] = "a payload that is not JSON cannot stand in JSON"
        for index, action in enumerate(batch.settings.get("action", ())):
            if action is None and isinstance(self._action, str) and "${" in self._action:
                refused.setdefault(index, "no action was chosen")
            elif isinstance(action, str) and "\n" in action and self._framing is not None:
                refused.setdefault(index, "an action that holds a newline cannot be a line")

    def make(self, batch: Batch, indices: Sequence[int]) -> bytes:
        """The body of a request with these records, which have passed ``check``."""
        values = batch.values if len(indices) == len(batch) else [batch.values[index] for index in indices]
        if self._body == "each":
            return values[0]
        parts = self._with_actions(batch, indices, values)
        if isinstance(self._body, Wrap):
            return self._body.before.encode() + self._body.between.encode().join(parts) + self._body.after.encode()
        if self._framing is not None:
            return self._framing.document(parts)[0]
        return b"[" + b",".join(parts) + b"]"

    def _with_actions(self, batch: Batch, indices: Sequence[int], values: Sequence[bytes]) -> Sequence[bytes]:
        column = batch.settings.get("action")
        if column is None and self._action is None:
            return values
        own = _written(self._action)
        chosen = [None] * len(indices) if column is None else [column[index] for index in indices]
        actions = [own if action is None else _written(action) for action in chosen]
        if self._framing is not None:
            return [part for pair in zip(actions, values, strict=True) for part in pair if part]
        return [action + value for action, value in zip(actions, values, strict=True)]


def _content_type(body: Body, framing: Framing | None, payloads: str) -> str:
    if isinstance(body, Wrap):
        return body.content_type
    if body == "json_array":
        return "application/json"
    if framing is None or framing.type in ("newline", "csv"):
        lines = {"json": "application/x-ndjson"} if framing is not None else {}
        return {**_TYPES, **lines}.get(payloads, "application/octet-stream")
    return "application/octet-stream"


def _written(action: object) -> bytes:
    """An action as it stands in a body: text as it is, anything else as JSON."""
    if action is None:
        return b""
    if isinstance(action, str):
        return action.encode()
    import msgspec

    return msgspec.json.encode(action)


def _is_json(value: bytes) -> bool:
    import msgspec

    try:
        msgspec.json.decode(value, type=msgspec.Raw)
    except (ValueError, RecursionError):
        return False
    return True
