"""What a text can be read as, in formats in which every value is a text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, Literal

TextType = Literal["text", "integer", "number", "boolean", "json"]


def _integer(text: str) -> int | None:
    if not text:
        return None
    if text.isascii() and text.lstrip("+-").isdecimal():
        return int(text)
    raise ValueError(f"{_shown(text)} is no integer")


def _number(text: str) -> float | None:
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


def _text(text: str) -> str:
    return text


CONVERSIONS: Final[Mapping[str, Callable[[str], object]]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "json": _json,
}
"""By type, what reads a text; an empty one is null, except as text. Each raises ValueError, which shows the text."""
