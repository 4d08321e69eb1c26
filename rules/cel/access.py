"""Selections: ``.f``, ``["f"]``, ``[i]``, their optional forms, and ``has``. What finds nothing is a CelMissing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rules.cel.errors import CelError, CelMissing
from rules.cel.values import ABSENT, NONE, Optional, UInt, a_type, lookup, normal

_WHOLE: Final = frozenset({int, UInt, float})


def select(value: object, field: str) -> object:
    """``value.field``."""
    if isinstance(value, Mapping):
        found = lookup(value, field)
        if found is ABSENT:
            raise CelMissing(f"there is no field {field!r}")
        return found
    if isinstance(value, Optional):
        return select_optional(value, field)
    raise _no_fields(value, field)


def select_optional(value: object, field: str) -> Optional:
    """``value.?field``: an optional, of which a missing field makes none."""
    if isinstance(value, Optional):
        return select_optional(value.content, field) if value.present else NONE
    if isinstance(value, Mapping):
        found = lookup(value, field)
        return NONE if found is ABSENT else Optional(found)
    raise _no_fields(value, field)


def is_present(value: object, field: str) -> bool:
    """``has(value.field)``."""
    if isinstance(value, Mapping):
        return lookup(value, field) is not ABSENT
    if isinstance(value, Optional):
        return value.present and is_present(value.content, field)
    raise _no_fields(value, field)


def index(value: object, key: object) -> object:
    """``value[key]``."""
    if isinstance(value, Optional):
        return index_optional(value, key)
    found = _find(value, key)
    if found is not ABSENT:
        return found
    if isinstance(value, list):
        if int(key) < 0:  # type: ignore[call-overload]  # a whole number, or it would not have been found wanting
            raise CelError(f"the index {key} is negative: the last element is list[size(list) - 1]")
        raise CelMissing(f"there is no element {key} in a list of {len(value)}")
    raise CelMissing(f"there is no key {key!r}")


def index_optional(value: object, key: object) -> Optional:
    """``value[?key]``."""
    if isinstance(value, Optional):
        return index_optional(value.content, key) if value.present else NONE
    found = _find(value, key)
    return NONE if found is ABSENT else Optional(found)


def _find(value: object, key: object) -> object:
    if isinstance(value, Mapping):
        return lookup(value, key)
    if isinstance(key, str):
        raise _no_fields(value, key)
    if type(key) not in _WHOLE or (isinstance(key, float) and not key.is_integer()):
        raise CelError(f"an index is a whole number or a string, not {a_type(key)}")
    if not isinstance(value, list):
        raise CelMissing(f"{a_type(value)} has no elements")
    place = int(key)  # type: ignore[call-overload]  # a whole number
    return normal(value[place]) if 0 <= place < len(value) else ABSENT


def _no_fields(value: object, field: str) -> CelMissing:
    return CelMissing(f"{a_type(value)} has no field {field!r}")
