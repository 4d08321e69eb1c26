"""What records carry, as msgpack: everything can be stored, if need be without what no store can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from router.batch import Headers

UNSTORABLE = (TypeError, ValueError, OverflowError, RecursionError)
"""What ``pack`` raises: something in it msgpack or UTF-8 cannot hold, so that it has to be tamed."""

_DEEPEST = 100


def _plain(value: object) -> object:
    """What msgpack knows, of what it does not know."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence | AbstractSet) and not isinstance(value, str | bytes):
        return list(value)
    return str(value)


pack = msgspec.msgpack.Encoder(enc_hook=_plain).encode
"""Values as bytes: tuples become lists, and values of types that msgpack does not know, text."""

unpack = msgspec.msgpack.Decoder().decode


def tame(value: Any, depth: int = 0) -> Any:
    """The value without what cannot be stored: text that is no UTF-8 is escaped, immense integers become text."""
    if value is None or isinstance(value, bool | float | bytes):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        return int(value)
    if depth > _DEEPEST:
        return "(nested too deeply)"
    if isinstance(value, Mapping):
        return {tame_text(name): tame(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, Sequence | AbstractSet) and not isinstance(value, str):
        return [tame(inner, depth + 1) for inner in value]
    return tame_text(value)


def tame_headers(headers: Headers | None) -> Headers | None:
    """Headers whose names are valid text."""
    return None if headers is None else [(tame_text(name), value) for name, value in headers]


def tame_time(nanoseconds: int | None) -> int | None:
    """A time, or None where it is too far away to be stored."""
    return None if abs(nanoseconds or 0) >= 2**63 else nanoseconds


def tame_text(value: object) -> str:
    """Valid text, with escapes in the place of what is none."""
    return str(value).encode("utf-8", "backslashreplace").decode()
