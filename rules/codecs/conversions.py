"""What a text can be read as, in formats in which every value is a text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, Literal

TextType = Literal["text", "integer", "number", "boolean", "json"]


def _integer(text: str) -> int | None:
    if not text:
        return None
    try:
        return int(text if text.isascii() and "_" not in text else "no integer")
    except ValueError:
        raise ValueError(f"{_shown(text)} is no integer") from None


def as_number(text: str) -> float | None:
    """What `number` is read as."""
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if "_" in text or not math.isfinite(number):
        raise ValueError(f"{_shown(text)} is no number")
    return number


_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False, "": None}


def _boolean(text: str) -> bool | None:
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError(f"{_shown(text)} is neither true nor false") from None


def _json(text: str) -> object:
    import msgspec

    try:
        return msgspec.json.decode(text) if text else None
    except msgspec.DecodeError as error:
        raise ValueError(f"{_shown(text)} is not JSON ({error})") from error


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")


def as_text(text: str) -> str:
    """What `text` is read as."""
    return text


CONVERSIONS: Final[Mapping[str, Callable[[str], object]]] = {
    "text": as_text,
    "integer": _integer,
    "number": as_number,
    "boolean": _boolean,
    "json": _json,
}
"""By type, what reads a text; an empty one is null, except as text. Each raises ValueError, which shows the text."""
