"""JSON (RFC 8259), as strictly as it is written there, and integers of any size."""

from __future__ import annotations

import json
import re
from typing import Final, Literal

from rules.codecs.format import Codec, Format, write_json


class Json(Format):
    """One JSON value."""

    type: Literal["json"] = "json"
    """JSON."""

    def make(self) -> Codec:
        """The codec."""
        # msgspec, not orjson: it keeps integers of any size, and is as strict as RFC 8259 and RFC 3629 are.
        import msgspec

        read, skip = msgspec.json.Decoder().decode, msgspec.json.Decoder(msgspec.Raw).decode

        def exactly(payload: bytes) -> object:
            try:
                return read(payload)
            except msgspec.ValidationError:
                # Of untyped data only a number can be invalid: one that no double holds. It is JSON all the same, if
                # the rest is.
                skip(payload)
                return json.loads(payload.decode(), parse_int=_integer)

        def decode(payload: bytes) -> object:
            try:
                return exactly(payload)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"not JSON: {_not_json(payload, error)}") from error

        write = msgspec.json.Encoder().encode
        return Codec(decode=decode, decode_plain=read, encode=write_json, encode_plain=write)


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
    if b"\\u" in payload and (half := _HALF.search(payload)):
        return f"{half[1].decode()} is half of a character at byte {half.start(1)}"
    return f"it ends too early, at byte {len(payload)}"


def _integer(digits: str) -> int | float:
    """An integer of any size that Python reads; beyond that, as every number beyond the doubles, infinity."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)
