"""Payloads to events and back, by the codec's name.

Adding a codec is one function that makes it and one entry in ``_CODECS``; each is made when it is first asked for.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from rules.cel.errors import CelError
from rules.cel.output import to_json
from rules.cel.values import a_type


@dataclass(frozen=True, slots=True)
class Codec:
    """How payloads of one format are read and written.

    - ``decode`` raises ValueError for a payload that is none, which says why and at which byte.
    - ``decode_plain`` does the same faster, and may raise for a payload that ``decode`` reads.
    - ``encode`` takes any value of an expression; it raises CelError for one that has no form in this format.
    - ``encode_plain`` does the same faster, for a value that is decoded data with ``is_plain`` values set into it.
    """

    name: str
    decode: Callable[[bytes], object]
    decode_plain: Callable[[bytes], object]
    encode: Callable[[object], bytes]
    encode_plain: Callable[[object], bytes]


# Not the time types: msgspec writes them as the dataclasses that they are, and asks nobody.
_ATOMS: Final = frozenset({str, int, bool, type(None)})


def is_plain(value: object) -> bool:
    """Whether ``encode_plain`` writes the value as ``encode`` does: anything but NaN, infinities and rare types."""
    kind = type(value)
    if kind in _ATOMS:
        return True
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type]  # its class was just asked for
    if isinstance(value, dict):
        return kind is dict and all(type(key) is str for key in value) and all(map(is_plain, value.values()))
    return isinstance(value, list) and all(map(is_plain, value))


def in_text(value: object) -> str:
    """A value as it stands inside text: text as it is, everything else as JSON, without the quotes of JSON texts."""
    if type(value) is str:
        return value
    shown = to_json(value)
    return shown if isinstance(shown, str) else _json().encode(shown).decode()


@cache
def codec(name: str) -> Codec:
    """The codec of that name. Raises KeyError when there is none."""
    return _CODECS[name]()


def codec_names() -> list[str]:
    """All codecs that there are."""
    return sorted(_CODECS)


@cache
def _json() -> Codec:
    # msgspec, not orjson: it keeps integers of any size, and is as strict as RFC 8259 and RFC 3629 are.
    import msgspec

    write = msgspec.json.Encoder().encode

    def encode(value: object) -> bytes:
        try:
            return write(to_json(value))
        except (TypeError, ValueError, RecursionError) as error:
            raise CelError(f"it cannot be written as JSON: {error}") from error

    read, skip = msgspec.json.Decoder().decode, msgspec.json.Decoder(msgspec.Raw).decode

    def exactly(payload: bytes) -> object:
        try:
            return read(payload)
        except msgspec.ValidationError:
            # Of untyped data only a number can be invalid: one that no double holds. It is JSON all the same, if the
            # rest is.
            skip(payload)
            return json.loads(payload.decode(), parse_int=_integer)

    def decode(payload: bytes) -> object:
        try:
            return exactly(payload)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not JSON: {_not_json(payload, error)}") from error

    return Codec("json", decode, read, encode, write)


_HALF: Final = re.compile(rb"(?<!\\)(?:\\\\)*(\\u[dD][89abAB][0-9a-fA-F]{2})(?!\\u)")
"""The escape of the first half of a character, without the second."""
_AT: Final = re.compile(r"(?:JSON is malformed: )?(.*) \(byte (\d+)\)", re.DOTALL)


def _not_json(payload: bytes, error: Exception) -> str:
    """Why a payload is not JSON, and at which of its bytes."""
    if isinstance(error, RecursionError):
        return "nested too deep to be read"
    if not payload.strip(b" \t\r\n"):
        return "nothing but white space" if payload else "no bytes at all"
    try:
        payload.decode()
    except UnicodeDecodeError as found:
        return f"not UTF-8 at byte {found.start}"
    if at := _AT.fullmatch(str(error)):
        # Of what follows the value, msgspec names the byte behind the first one.
        return f"{at[1]} at byte {int(at[2]) - (at[1] == 'trailing characters')}"
    if half := _HALF.search(payload):
        return f"{half[1].decode()} is half of a character at byte {half.start(1)}"
    return f"it ends too early, at byte {len(payload)}"


def _integer(digits: str) -> int | float:
    """An integer of any size that Python reads; beyond that, as every number beyond the doubles, infinity."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _text() -> Codec:
    def encode(value: object) -> bytes:
        try:
            return in_text(value).encode()
        except UnicodeEncodeError as error:
            raise CelError(f"it cannot be written as text: {error}") from error

    def decode(payload: bytes) -> object:
        try:
            return payload.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"not text: not UTF-8 at byte {error.start}") from error

    return Codec("text", decode, bytes.decode, encode, encode)


def _bytes() -> Codec:
    def encode(value: object) -> bytes:
        if isinstance(value, bytes):
            return value
        if isinstance(value, str):
            return value.encode()
        raise CelError(f"{a_type(value)} has no bytes to write: only bytes and strings do")

    return Codec("bytes", bytes, bytes, encode, encode)


_CODECS: Final[Mapping[str, Callable[[], Codec]]] = {"json": _json, "text": _text, "bytes": _bytes}
