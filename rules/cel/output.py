"""Values to JSON, for events that are written out."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rules.cel.errors import CelError
from rules.cel.values import Duration, Opaque, Optional, Timestamp, Type, UInt, a_type, type_name

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def to_json(value: object) -> Json:
    """A value as JSON has it.

    Timestamps, durations, types and addresses become text, bytes become base64, keys become strings, and an optional
    its content, or null. A CelError where JSON has nothing for a value: NaN, infinities, two keys that become one.
    """
    try:
        return _json(value)
    except RecursionError as error:
        raise CelError("the value nests too deeply for JSON") from error


def _json(value: object) -> Json:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, UInt):
        return int(value)
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise CelError(f"JSON has no {value}")
        return value
    if isinstance(value, list):
        return [_json(element) for element in value]
    if isinstance(value, Mapping):
        return _object(value)
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    if isinstance(value, Timestamp | Duration | Type | Opaque):
        return str(value)
    if isinstance(value, Optional):
        return _json(value.content) if value.present else None
    raise CelError(f"JSON has nothing for {a_type(value)}")


def _object(value: Mapping[object, object]) -> dict[str, Json]:
    made = {_key(key): _json(value[key]) for key in value}
    if len(made) != len(value):
        raise CelError("two keys of a map are one in JSON")
    return made


def _key(key: object) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int):
        return str(key)
    raise CelError(f"JSON has no keys of type {type_name(key)}")
