"""What a delivery chose of a sink's per-record settings, in the form that the router passes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from rules.cel.errors import CelError
from rules.cel.output import to_json
from rules.cel.values import Optional, a_type
from rules.codecs import in_text

_AS_IT_IS: Final = frozenset({str, int, float, bool, type(None)})


def setting(name: str, value: object) -> object:
    """The value of one setting: bytes for ``key``, pairs of name and bytes for ``headers``, JSON-like for all others.

    Null, and an optional without a value, mean that nothing was chosen. Raises CelError where the value has no such
    form.
    """
    if isinstance(value, Optional):
        value = value.content if value.present else None
    if value is None:
        return None
    if name == "key":
        return _bytes(value)
    if name == "headers":
        return _headers(value)
    return value if type(value) in _AS_IT_IS else to_json(value)


def _headers(value: object) -> tuple[tuple[str, bytes], ...]:
    if not isinstance(value, Mapping):
        raise CelError(f"headers are a map of names to values, not {a_type(value)}")
    if not all(isinstance(name, str) for name in value):
        raise CelError("the names of headers are strings")
    return tuple((name, _bytes(content)) for name, content in value.items() if content is not None)


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return in_text(value).encode()
    except UnicodeEncodeError as error:
        raise CelError(f"it is not valid Unicode: {error}") from error


def refusals(allow: Mapping[str, Sequence[str]], chosen: Mapping[str, object]) -> list[str]:
    """What of the settings that a delivery chose ``allow`` does not permit, in words."""
    return [
        refusal(name, chosen[name], patterns)
        for name, patterns in allow.items()
        if chosen.get(name) is not None and not is_allowed(str(chosen[name]), patterns)
    ]


def refusal(name: str, value: object, patterns: Sequence[str]) -> str:
    """That a delivery chose what is not allowed, in words."""
    return f"{name} {str(value)!r} is not allowed; `allow` has {', '.join(patterns)}"


def is_allowed(value: str, patterns: Sequence[str]) -> bool:
    """Whether ``allow`` lets a record choose a value."""
    # A way up is never allowed: what it leads to is not what the pattern sees.
    return ".." not in value.split("/") and any(fnmatchcase(value, pattern) for pattern in patterns)
