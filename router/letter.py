"""A dead letter: what could not be handled, and all that is known of why."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from msgspec import Struct, field

from router.batch import Batch, Headers

Stage = Literal["decode", "contract", "rule", "sink"]


class Original(Struct, frozen=True):
    """What somebody has put something else in the place of: of the ``record``, or of what was ``outgoing``, as it was
    first; ``amended`` is when that was, in Unix nanoseconds."""

    what: Literal["record", "outgoing"]
    value: bytes
    key: bytes | None
    headers: Headers | None
    amended: int


class Letter(Struct, kw_only=True):
    """A record or a delivery that could not be handled.

    ``value``, ``key``, ``headers``, ``record_time`` and ``attributes`` are the record's, as the source gave them. At
    stage ``sink`` the ``out_`` fields are what was to be delivered; ``out_value`` is None at the other stages. What
    comes back from the store has lists for tuples, and text for values of types that msgpack does not know.
    """

    id: int = 0
    """Given by the store, rising, never given twice; 0 before."""
    time: int
    """When it became a dead letter, in Unix nanoseconds."""
    flow: str
    stage: Stage
    source: str
    rule: str = ""
    sink: str = ""
    reason: str
    """What kind of failure it was: one of few, as in the metric's label."""
    detail: str = ""
    """What exactly went wrong."""
    attempts: int = 1
    """How often its handling was tried: one more with each replay."""
    version: str = ""
    """The ruleset's version."""
    value: bytes
    key: bytes | None = None
    headers: Headers | None = None
    record_time: int | None = None
    """The record's own time, or when it was read, in Unix nanoseconds: a replay sees the same ``meta.time``."""
    attributes: Mapping[str, object] = field(default_factory=dict)
    out_value: bytes | None = None
    out_key: bytes | None = None
    out_headers: Headers | None = None
    out_settings: Mapping[str, object] = field(default_factory=dict)
    original: Original | None = None
    """What came first, of a letter that was amended."""
    replaces: int = 0
    """The id of the letter whose replay this is what became of; 0 for what was never a letter. Not kept."""

    @property
    def is_spoiled(self) -> bool:
        """Whether the record is one that its source could not frame."""
        return self.reason == "spoiled" and self.original is None


SUMMARY = ("id", "time", "flow", "stage", "source", "rule", "sink", "reason", "detail", "attempts", "version", "value")
"""What a letter says in a list of many."""
_SUMMARY = frozenset(SUMMARY)
_NOTHING: tuple[Any, ...] = (None, {})


def as_json(letter: Letter) -> dict[str, Any]:
    """A letter as JSON values, those of ``SUMMARY`` first: bytes as text where they are UTF-8, else as
    ``{"base64": ...}``."""
    return {
        "id": letter.id,
        "time": time_text(letter.time),
        "flow": letter.flow,
        "stage": letter.stage,
        "source": letter.source,
        "rule": letter.rule or None,
        "sink": letter.sink or None,
        "reason": letter.reason,
        "detail": letter.detail,
        "attempts": letter.attempts,
        "version": letter.version,
        "value": _bytes(letter.value),
        "key": _bytes(letter.key),
        "headers": _headers(letter.headers),
        "record_time": None if letter.record_time is None else time_text(letter.record_time),
        "attributes": plain(letter.attributes),
        "out_value": _bytes(letter.out_value),
        "out_key": _bytes(letter.out_key),
        "out_headers": _headers(letter.out_headers),
        "out_settings": plain(letter.out_settings),
        "original": None if letter.original is None else _original(letter.original),
    }


def to_bytes(letter: Letter) -> bytes:
    """A letter as one line of JSON: all of ``SUMMARY``, and what else there is."""
    whole = {name: value for name, value in as_json(letter).items() if name in _SUMMARY or value not in _NOTHING}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def batch_of(letter: Letter) -> Batch:
    """The record of a letter, as it was read, as a batch of its own."""
    return Batch(
        values=[letter.value],
        keys=[letter.key],
        headers=[letter.headers],
        times=[letter.record_time],
        attributes={name: [value] for name, value in letter.attributes.items()},
        spoiled={0: letter.detail} if letter.is_spoiled else {},
    )


def time_text(nanoseconds: int) -> str:
    """A moment, given in Unix nanoseconds, as people read it."""
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _original(original: Original) -> dict[str, Any]:
    return {
        "what": original.what,
        "value": _bytes(original.value),
        "key": _bytes(original.key),
        "headers": _headers(original.headers),
        "amended": time_text(original.amended),
    }


def _bytes(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _headers(headers: Sequence[tuple[str, bytes]] | None) -> Any:
    return None if headers is None else [[name, _bytes(value)] for name, value in headers]


def plain(value: object) -> Any:
    """The value as JSON has it."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, bytes):
        return _bytes(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, Sequence) else str(value)
