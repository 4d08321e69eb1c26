"""What people write as text: durations (``500ms``, ``5m``), sizes (``64KiB``), addresses (``[::1]:9600``).

In the JSON Schema of each, ``x-words`` is what its values are called where settings are described.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_DURATION = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([A-Za-z]+)")


def parse_duration(value: Any) -> float:
    """Seconds from ``1h30m``, ``500ms`` or 0. Raises ValueError that shows how a duration is written."""
    return _parse(value, _DURATION, "a duration such as 500ms, 10s, 5m or 1h30m")


def parse_size(value: Any) -> int:
    """Bytes from ``64KiB``, ``1GiB``, ``10MB`` or a whole number of bytes. Raises ValueError with an example."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return int(_parse(value, _SIZE, "a size such as 64KiB, 10MB or 1GiB"))


def format_duration(seconds: float) -> str:
    """``250ms``, ``10s``, ``90m``: what ``parse_duration`` reads as that, to the nanosecond."""
    return _format(round(seconds * 1e9), [(unit, round(size * 1e9)) for unit, size in _DURATION.items()], "0s")


def format_size(size: int) -> str:
    """``1MiB``, ``10MB``, ``1536``: what ``parse_size`` reads as that."""
    return _format(size, [(unit, factor) for unit, factor in _SIZE.items() if unit != "B"], str(size))


def _format(amount: int, units: list[tuple[str, int]], otherwise: str) -> str:
    """In the unit that makes it the smallest whole number; ``otherwise`` when none does."""
    whole = [(amount // size, unit) for unit, size in units if amount and not amount % size]
    return "{}{}".format(*min(whole)) if whole else otherwise


def split_address(text: str) -> tuple[str, int]:
    """Host and port of ``127.0.0.1:9600`` or ``[::1]:9600``. Raises ValueError that shows how it is written."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ValueError(f"{text!r} should be host:port, such as 127.0.0.1:9600 or [::1]:9600")
    return host, int(port)


def _checked_address(text: str) -> str:
    split_address(text)
    return text


def _parse(value: Any, units: dict[str, Any], wanted: str) -> float:
    if value == 0 and not isinstance(value, bool):
        return 0.0
    if isinstance(value, float) and units is _DURATION and value >= 0:
        return value  # a default of the model, in seconds already
    if isinstance(value, str):
        text = value.replace(" ", "")
        found = _QUANTITY.findall(text)
        if found and "".join(a + b for a, b in found) == text and all(unit in units for _, unit in found):
            return float(sum(float(number) * units[unit] for number, unit in found))
    # Of a kind of its own: a text that only becomes a quantity when it is filled in for a record is no mistake.
    raise PydanticCustomError("quantity", "{value} should be {wanted}", {"value": repr(value), "wanted": wanted})


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "pattern": r"^(\d+(\.\d+)?(ns|us|ms|s|m|h|d))+$",
            "maximum": 0,
            "x-words": "duration",
        }
    ),
]
"""Seconds, written ``500ms``, ``10s``, ``5m``, ``1h30m``, or 0."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "pattern": r"^\d+(\.\d+)?([KMGT]i?)?B?$",
            "minimum": 0,
            "x-words": "size",
        }
    ),
]
"""Bytes, written ``64KiB``, ``10MB``, ``1GiB``, or a whole number."""

Address = Annotated[
    str,
    AfterValidator(_checked_address),
    WithJsonSchema({"type": "string", "pattern": r"^.+:\d{1,5}$", "x-words": "address"}),
]
"""A host and port to listen on or connect to, written ``127.0.0.1:9600`` or ``[::1]:9600``."""
