"""MessagePack objects, one after the other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from router.framing.base import PIECE, Framed, Framer, Framing, Pread, Remnant
from router.interfaces import Json

_BLOCK = 1 << 20


class MsgPackObjects(Framing):
    """Each record is a MessagePack object; nothing stands between them."""

    type: Literal["msgpack"] = "msgpack"
    """MessagePack objects."""

    def framer(self, limit: int, *, offset: int = 0, state: Mapping[str, Json] | None = None) -> Framer:
        """What cuts a stream."""
        return MsgPackFramer(limit, offset, state or {})

    def join(self, values: Sequence[bytes]) -> tuple[bytes, dict[int, str]]:
        """The objects. A record that is not exactly one is left out."""
        import msgspec

        skip = msgspec.msgpack.Decoder(msgspec.Raw).decode
        data, failed = b"".join(values), {}
        try:
            for value in values:
                skip(value)
        except (msgspec.DecodeError, RecursionError):
            why = "a payload that is not one MessagePack object cannot be told from its neighbours"
            failed = {index: why for index, value in enumerate(values) if not _is_one(value)}
            data = b"".join([value for index, value in enumerate(values) if index not in failed])
        return data, failed

    def whole(self, read: Pread, size: int) -> int:
        """The end of the last object that is there to its end."""
        framer = MsgPackFramer(PIECE, 0, {})
        at = 0
        while at < size and not framer.broken and (block := read(min(_BLOCK, size - at), at)):
            framer.feed(block)
            at += len(block)
        return framer.whole_until


def _is_one(value: bytes) -> bool:
    """Whether a payload is one object and nothing else."""
    skipper = _Skipper()
    try:
        return skipper.skip(value) and skipper.at == len(value)
    except _Broken:
        return False


class _Broken(Exception):
    """What stands there begins no object."""


def _spans() -> tuple[list[int], list[int]]:
    """By the first byte of an item, how many bytes it has, and how many items are in it. 0 bytes: see ``_SIZED``."""
    sizes = [1] * 256
    inside = [0] * 256
    for count in range(16):
        inside[0x80 + count] = 2 * count
        inside[0x90 + count] = count
    for size in range(32):
        sizes[0xA0 + size] = 1 + size
    sizes[0xC1] = 0
    for first, (size, _, _) in _SIZED.items():
        sizes[first] = 0 if size else 1
    widths = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
    widths |= {0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
    for first, width in widths.items():
        sizes[first] = 1 + width
    return sizes, inside


# Of items that say how large they are: in how many bytes, how many bytes there are besides, and how many items stand
# in one of what is counted (none: it is bytes that are counted).
_SIZED: Final = {
    **{0xC4 + place: (1 << place, 0, 0) for place in range(3)},  # binary
    **{0xC7 + place: (1 << place, 1, 0) for place in range(3)},  # extensions, with their number
    **{0xD9 + place: (1 << place, 0, 0) for place in range(3)},  # texts
    **{0xDC + place: (2 << place, 0, 1) for place in range(2)},  # lists
    **{0xDE + place: (2 << place, 0, 2) for place in range(2)},  # maps
}
_SIZES, _INSIDE = _spans()


class _Skipper:
    """Looks for the end of one object, in data that grows. ``at`` is how far it has got: the end, once it is found."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self._wanted = 1  # items that the object still has, which is all that there is to know of what is open

    def skip(self, data: bytes | bytearray) -> bool:
        """Go on; whether the end was found. ``data`` is the same as before, and more. Raises _Broken."""
        at, wanted, size = self.at, self._wanted, len(data)
        while wanted and at < size:
            first = data[at]
            if length := _SIZES[first]:
                wanted += _INSIDE[first] - 1
                at += length
                continue
            if first not in _SIZED:
                self.at = at
                raise _Broken
            width, more, each = _SIZED[first]
            if at + 1 + width > size:
                break
            count = int.from_bytes(data[at + 1 : at + 1 + width])
            at += 1 + width + more + (0 if each else count)
            wanted += each * count - 1
        self.at, self._wanted = at, wanted
        return not wanted and at <= size


_HEAD: Final = 5  # bytes of the head of a list of up to 2**32 objects
_MOST: Final = 1024  # objects that are looked for at once
_FEW: Final = 16
_TRAILING: Final = re.compile(r"trailing characters \(byte (\d+)\)")


class MsgPackFramer(Remnant):
    """Cuts a stream of objects.

    Objects are skipped by msgspec, many at once, as if they were the elements of a list; only what it does not take as
    one (the object at the end that is not all there, or one that nests very deep) is skipped item by item.
    """

    def __init__(self, limit: int, offset: int, state: Mapping[str, Json]) -> None:
        import msgspec

        super().__init__(limit, offset)
        self.broken = bool(state.get("broken"))
        self._read = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
        self._not_so_many = (msgspec.DecodeError, RecursionError)
        # What is held, with room before it for the head of a list.
        self._data = bytearray(_HEAD)
        self._skipper = _Skipper(_HEAD)
        self.whole_until = offset
        """Up to where there are whole objects: unlike ``offset``, not beyond what cannot be read."""

    def feed(self, chunk: bytes) -> Framed:
        """The objects that the chunk ends."""
        if self.broken:
            return self.pass_over(chunk)
        framed = Framed()
        data = self._data
        data += chunk
        at = _HEAD
        try:
            while self._skipper.skip(data):
                self._add(framed, bytes(data[at : self._skipper.at]), at)
                at = self._many(framed, self._skipper.at)
                self._skipper = _Skipper(at)
        except _Broken:
            where = self.offset + self._skipper.at - _HEAD
            return self._give_up(framed, at, f"what stands at byte {where} begins no MessagePack object")
        if len(data) - at > PIECE:
            where = self.offset + at - _HEAD
            return self._give_up(framed, at, f"an object at byte {where}, longer than {PIECE} bytes")
        self._consume(at)
        return framed

    def finish(self) -> Framed:
        """An object that breaks off."""
        framed = Framed()
        if self.held:
            framed.spoil(bytes(self._data[_HEAD:]), f"the stream ends inside the object at byte {self.offset}")
            self.offset += self.held
            self.forget()
        return framed

    def forget(self) -> None:
        """Drop what is held."""
        self.held = 0
        self._data = bytearray(_HEAD)
        self._skipper = _Skipper(_HEAD)

    def _many(self, framed: Framed, at: int) -> int:
        """Add whole objects that stand at ``at``; where they end. Some may be left."""
        data, count = self._data, _FEW
        view = memoryview(data)
        while count and at < len(data):
            # The head of a list takes the place of the end of the object before, which has been copied.
            data[at - _HEAD : at] = b"\xdd" + count.to_bytes(4)
            end = self._end_of_list(view[at - _HEAD :])
            if end == 0:
                count //= 2
                continue
            for raw in self._read(view[at - _HEAD : at - _HEAD + end]):
                value = bytes(raw)
                self._add(framed, value, at)
                at += len(value)
            count = min(2 * count, _MOST)
        return at

    def _end_of_list(self, view: memoryview) -> int:
        """Where the list ends that begins there; 0 if it has not so many elements."""
        try:
            self._read(view)
        except self._not_so_many as error:
            found = _TRAILING.search(f"{error}")
            return int(found[1]) if found else 0
        return len(view)

    def _add(self, framed: Framed, value: bytes, at: int) -> None:
        if len(value) > self.limit:
            where = self.offset + at - _HEAD
            framed.spoil(
                value, f"an object of {len(value)} bytes at byte {where}, longer than max_record ({self.limit})"
            )
        else:
            framed.growing().append(value)

    def _give_up(self, framed: Framed, at: int, why: str) -> Framed:
        self._consume(at)
        rest = bytes(self._data[_HEAD:])
        self.forget()
        return self.give_up(framed, rest, why)

    def _consume(self, at: int) -> None:
        """Everything before ``at`` has been handed over."""
        if at > _HEAD:
            self.offset += at - _HEAD
            self._data = bytearray(_HEAD) + self._data[at:]
            self._skipper.at -= at - _HEAD
        self.held = len(self._data) - _HEAD
        self.whole_until = self.offset
