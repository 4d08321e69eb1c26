"""MessagePack, read item by item: slowly, but it knows at which byte it is.

https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from rules.cel.errors import CelError
from rules.cel.temporal import Timestamp

Extend = Callable[[int, bytes], object]
"""What makes a value of an extension, of its number and its bytes. Raises ValueError."""

_FIX_MAP, _FIX_LIST, _FIX_TEXT, _NIL, _UNUSED = 0x80, 0x90, 0xA0, 0xC0, 0xC1
_NEGATIVE: Final = 0xE0
_CONSTANTS: Final = {0xC0: None, 0xC2: False, 0xC3: True}
_NUMBERS: Final = {
    0xCA: struct.Struct(">f"),
    0xCB: struct.Struct(">d"),
    **{0xCC + place: struct.Struct(">" + code) for place, code in enumerate("BHIQbhiq")},
}
# How many bytes say how long it is.
_BINARY: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_TEXT: Final = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_LIST: Final = {0xDC: 2, 0xDD: 4}
_MAP: Final = {0xDE: 2, 0xDF: 4}
_EXTENSION: Final = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIX_EXTENSION: Final = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}


def timestamp_of(data: bytes) -> Timestamp:
    """The timestamp that these bytes of extension -1 are. Raises ValueError."""
    number = int.from_bytes(data)
    try:
        match len(data):
            case 4:
                return Timestamp(number)
            case 8:
                return Timestamp(number & (1 << 34) - 1, number >> 34)
            case 12:
                return Timestamp(int.from_bytes(data[4:], signed=True), int.from_bytes(data[:4]))
    except CelError as error:
        raise ValueError(f"{error}") from error
    raise ValueError(f"a timestamp of {len(data)} bytes")


class Reader:
    """Reads one payload."""

    def __init__(self, payload: bytes, extend: Extend) -> None:
        self._payload = payload
        self._extend = extend
        self._at = 0

    def whole(self) -> object:
        """The object that the payload is. Raises ValueError, which says what is wrong and at which byte."""
        try:
            value = self._value()
        except RecursionError as error:
            raise ValueError("not MessagePack: nested too deep to be read") from error
        if self._at < len(self._payload):
            raise _wrong("another object, or something else, after the first", self._at)
        return value

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._payload):
            raise _wrong("it ends too early", len(self._payload))
        taken = self._payload[self._at : end]
        self._at = end
        return taken

    def _length(self, size: int) -> int:
        return int.from_bytes(self._take(size))

    def _value(self) -> object:
        kind = self._take(1)[0]
        if kind < _FIX_MAP:
            return kind
        if kind >= _NEGATIVE:
            return kind - 0x100
        if kind < _FIX_LIST:
            return self._map(kind - _FIX_MAP)
        if kind < _FIX_TEXT:
            return self._list(kind - _FIX_LIST)
        if kind < _NIL:
            return self._text(kind - _FIX_TEXT)
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if number := _NUMBERS.get(kind):
            return number.unpack(self._take(number.size))[0]
        return self._sized(kind)

    def _sized(self, kind: int) -> object:
        if kind in _TEXT:
            return self._text(self._length(_TEXT[kind]))
        if kind in _BINARY:
            return self._take(self._length(_BINARY[kind]))
        if kind in _LIST:
            return self._list(self._length(_LIST[kind]))
        if kind in _MAP:
            return self._map(self._length(_MAP[kind]))
        begin = self._at - 1
        if kind == _UNUSED:
            raise _wrong(f"0x{kind:02x}, which begins nothing,", begin)
        size = _FIX_EXTENSION.get(kind) or self._length(_EXTENSION[kind])
        code = int.from_bytes(self._take(1), signed=True)
        data = self._take(size)
        try:
            return self._extend(code, data)
        except (CelError, ValueError) as error:
            raise _wrong(f"{error},", begin) from error

    def _text(self, size: int) -> str:
        begin = self._at
        try:
            return self._take(size).decode()
        except UnicodeDecodeError as error:
            raise _wrong("not UTF-8", begin + error.start) from error

    def _list(self, size: int) -> list[object]:
        # Not a comprehension: it would need room for a size that may be a lie.
        made: list[object] = []
        for _ in range(size):
            made.append(self._value())  # noqa: PERF401
        return made

    def _map(self, size: int) -> dict[object, object]:
        made: dict[object, object] = {}
        for _ in range(size):
            begin = self._at
            key = _key(self._value())
            try:
                made[key] = self._value()
            except TypeError as error:
                raise _wrong("a map as the key of a map", begin) from error
        return made


def _key(value: object) -> object:
    """A list that is a key, as something that can be one."""
    return tuple(map(_key, value)) if isinstance(value, list) else value


def _wrong(why: str, at: int) -> ValueError:
    return ValueError(f"not MessagePack: {why} at byte {at}")
