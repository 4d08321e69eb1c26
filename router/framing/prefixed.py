"""Framings that say before each record how long it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from router.framing.base import PIECE, Framed, Framer, Framing, Pread, Remnant
from router.interfaces import Json

_BLOCK = 1 << 20
_VARINT = 10  # bytes of the longest one (64 bits)
_DIGITS = 10


class _Broken(Exception):
    """What stands there is no length."""


class _Prefixed(Framing):
    """``length_at``, ``prefix`` and ``may_be_empty`` are what the kinds differ in."""

    may_be_empty: ClassVar[bool] = False
    """Whether a length of 0 is that of a record."""

    def length_at(self, data: bytes, at: int) -> tuple[int, int] | None:
        """The length that stands at ``at``, and where its record begins; None when more bytes are needed.

        Raises _Broken.
        """
        raise NotImplementedError

    def prefix(self, value: bytes) -> bytes | None:
        """What stands before the record; None when its length cannot be said."""
        raise NotImplementedError

    def framer(self, limit: int, *, offset: int = 0, state: Mapping[str, Json] | None = None) -> Framer:
        """What cuts a stream."""
        return _PrefixedFramer(self, limit, offset, state or {})

    def join(self, values: Sequence[bytes]) -> tuple[bytes, dict[int, str]]:
        """Each record with its length before it."""
        out: list[bytes] = []
        failed: dict[int, str] = {}
        for index, value in enumerate(values):
            prefix = self.prefix(value)
            if prefix is None:
                failed[index] = f"the length before a record cannot say {len(value)} bytes"
            else:
                out += (prefix, value)
        return b"".join(out), failed

    def whole(self, read: Pread, size: int) -> int:
        """The end of the last record that is there to its end."""
        at, start, data = 0, 0, b""
        while at < size:
            if at - start + _BLOCK > len(data) and start + len(data) < size:
                start, data = at, read(2 * _BLOCK, at)
            try:
                found = self.length_at(data, at - start)
            except _Broken:
                return at
            if found is None or start + found[1] + found[0] > size:
                return at
            at = start + found[1] + found[0]
        return at


class Length(_Prefixed):
    """Before each record stands its length in bytes, as a binary number. A record may be empty."""

    may_be_empty = True

    type: Literal["length"] = "length"
    """Length-prefixed."""
    prefix_type: Literal["u8", "u16", "u32", "u64", "varint"] = "u32"
    """What the length is: an unsigned number of 1, 2, 4 or 8 bytes, or a varint as Protobuf has it."""
    order: Literal["big", "little"] = "big"
    """Which byte of the length comes first."""

    def length_at(self, data: bytes, at: int) -> tuple[int, int] | None:
        """The length that stands there."""
        if self.prefix_type == "varint":
            return _varint(data, at)
        start = at + self._width
        return (int.from_bytes(data[at:start], self.order), start) if start <= len(data) else None

    def prefix(self, value: bytes) -> bytes | None:
        """The length of the record."""
        if self.prefix_type == "varint":
            return _as_varint(len(value))
        width = self._width
        return None if len(value) >> 8 * width else len(value).to_bytes(width, self.order)

    @property
    def _width(self) -> int:
        return int(self.prefix_type[1:]) // 8


class OctetCounted(_Prefixed):
    """Before each record stands its length in bytes, in digits, and a space (RFC 6587, section 3.4.1). Empty records
    are none."""

    type: Literal["octet_counted"] = "octet_counted"
    """Octet-counted, as syslog over TCP."""

    def length_at(self, data: bytes, at: int) -> tuple[int, int] | None:
        """The length that stands there."""
        space = data.find(b" ", at, at + _DIGITS + 1)
        digits = data[at : space if space >= 0 else at + _DIGITS + 1]
        if not (digits.isdigit() or not digits) or (space >= 0 and not digits) or len(digits) > _DIGITS:
            raise _Broken
        return (int(digits), space + 1) if space >= 0 else None

    def prefix(self, value: bytes) -> bytes | None:
        """The length of the record."""
        return b"%d " % len(value) if value else None


class _PrefixedFramer(Remnant):
    def __init__(self, framing: _Prefixed, limit: int, offset: int, state: Mapping[str, Json]) -> None:
        super().__init__(limit, offset)
        self._framing = framing
        self.broken = bool(state.get("broken"))
        self._wanted = 0  # so much must be there before it is worth looking again

    def feed(self, chunk: bytes) -> Framed:
        """The records that the chunk ends."""
        if self.broken:
            return self.pass_over(chunk)
        if self.held + len(chunk) < self._wanted:
            self._pieces.append(chunk)
            self.held += len(chunk)
            return Framed()
        data, framed, at = self.take(chunk), Framed(), 0
        self._wanted = 0
        length_at, values = self._framing.length_at, framed.growing()
        while True:
            try:
                found = length_at(data, at)
            except _Broken:
                why = f"what stands at byte {self.offset + at} is no length: {data[at : at + 12]!r}"
                self.offset += at
                return self.give_up(framed, data[at:], why)
            if found is None:
                break
            length, start = found
            if length > PIECE:
                why = f"a record of {length} bytes at byte {self.offset + at}, longer than {PIECE}"
                self.offset += at
                return self.give_up(framed, data[at:], why)
            if start + length > len(data):
                self._wanted = start + length - at
                break
            if length > self.limit:
                framed.spoil(data[start : start + length], self._too_long(length, at))
            elif length or self._framing.may_be_empty:
                values.append(data[start : start + length])
            at = start + length
        self.keep(data[at:], at)
        return framed

    def finish(self) -> Framed:
        """A record that breaks off."""
        framed = Framed()
        if self.held:
            rest = self.take(b"")
            framed.spoil(rest, f"the stream ends inside the record at byte {self.offset}")
            self.keep(b"", len(rest))
        return framed

    def forget(self) -> None:
        """Drop what is held."""
        super().forget()
        self._wanted = 0

    def _too_long(self, length: int, at: int) -> str:
        return f"a record of {length} bytes at byte {self.offset + at}, longer than max_record ({self.limit})"


def _varint(data: bytes, at: int) -> tuple[int, int] | None:
    length = 0
    for place, byte in enumerate(data[at : at + _VARINT]):
        length |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return length, at + place + 1
    if len(data) - at >= _VARINT:
        raise _Broken
    return None


def _as_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
