"""Avro container files (specification 1.12, "Object Container Files"): blocks of records behind a header.

A block is what stands before the next marker, whatever it says of its own size: so a block that is corrupt costs no
other one, and a marker found is always the end of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Literal, Self

from pydantic import PrivateAttr, model_validator

from router.errors import NotConnected
from router.framing.avro_header import LONGEST_HEADER, MARKER, Header, NoContainer, number_at, varint
from router.framing.base import PIECE, Framed, Framer, Framing, Pread, Remnant
from router.framing.packing import Codec, Corrupt, missing_library, pack, unpack
from router.interfaces import Json
from rules.codecs import Avro, Format
from rules.codecs.avro import ATTRIBUTE

_BLOCK = 1 << 20  # bytes of records in one block that is written
_READ = 1 << 20

Cut = Callable[[bytes, int], Sequence[bytes]]


class AvroFile(Framing):
    """An Avro container file. Its records are bare values, and the schema that it was written with goes with each.

    To be written it needs `encode: {type: avro, schema: ...}`. Every write is a block, or several if it is long. A
    file can be appended to as long as neither schema nor codec change.
    """

    type: Literal["avro"] = "avro"
    """Avro container files."""
    codec: Codec = "none"
    """How blocks that are written are compressed; what is read says so itself. `snappy` and `zstandard` need
    `pip install 'sluiceway[avro]'`."""

    _payloads: Format | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _has_a_library(self) -> Self:
        if why := missing_library(self.codec):
            raise ValueError(why)
        return self

    def of(self, payloads: Format) -> Framing:
        """The same for these payloads, whose schema the header holds."""
        bound = AvroFile(codec=self.codec)
        bound._payloads = payloads
        return bound

    @property
    def cannot_join(self) -> str:
        """Without a schema there is no file."""
        if self._payloads is None:
            return ""
        if not isinstance(self._payloads, Avro):
            return "an Avro file should have `encode: {type: avro, schema: ...}`"
        if self._payloads.encoding not in ("binary", "auto"):
            return "`encoding` should be `binary`: nothing stands before a value in an Avro file"
        return self._payloads.cannot_encode

    @cached_property
    def head(self) -> bytes:
        """The header. The marker is made of what else it says, so that the header of the same file is the same."""
        if not isinstance(self._payloads, Avro) or self._payloads.parsed is None:
            return b""
        return Header.made(self._payloads.parsed.json, self.codec)

    def framer(self, limit: int, *, offset: int = 0, state: Mapping[str, Json] | None = None) -> Framer:
        """What cuts a stream."""
        return AvroFramer(limit, offset, state or {})

    def opening(self, read: Pread) -> dict[str, Json]:
        """What the header says."""
        header = Header.of(read)
        return {} if header is None else header.state

    def join(self, values: Sequence[bytes]) -> tuple[bytes, dict[int, str]]:
        """The records in blocks."""
        if not self.head:
            return b"", dict.fromkeys(range(len(values)), self.cannot_join or "there is no schema to write by")
        failed: dict[int, str] = {}
        out: list[bytes] = []
        for start, stop in _runs(values):
            out += self._blocks(values[start:stop], start, failed)
        return b"".join(out), failed

    def _blocks(self, values: Sequence[bytes], start: int, failed: dict[int, str]) -> Iterator[bytes]:
        marker = self.head[-MARKER:]
        stored = pack(self.codec, b"".join(values))
        if marker not in stored:
            yield varint(len(values)) + varint(len(stored)) + stored + marker
        elif len(values) == 1:
            failed[start] = "a record that holds the marker of its file cannot be written into it"
        else:
            for index, value in enumerate(values):
                yield from self._blocks([value], start + index, failed)

    def whole(self, read: Pread, size: int) -> int:
        """The end of the last block that is there to its marker."""
        header = Header.of(read)
        if header is None:
            return 0
        end = size
        while end > header.size:
            start = max(header.size, end - _READ)
            at = read(end - start + MARKER - 1, start)[: size - start].rfind(header.marker)
            if at >= 0:
                return start + at + MARKER
            end = start
        return min(size, header.size)


def _runs(values: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Where to cut records into blocks."""
    start = size = 0
    for index, value in enumerate(values):
        if size and size + len(value) > _BLOCK:
            yield start, index
            start, size = index, 0
        size += len(value)
    if values:
        yield start, len(values)


# Reading


@lru_cache(64)
def _cutter(schema: str) -> Cut:
    """What cuts values of a schema apart. Raises NoContainer."""
    from rules.codecs.avro.generated import generate_cutter
    from rules.codecs.avro.resolution import resolve
    from rules.codecs.avro.schema import Schema

    try:
        found = Schema.parse(schema)
    except ValueError as error:
        raise NoContainer(f"the Avro file cannot be read: {error}") from error
    if found.is_bare:
        raise NoContainer("the records of the Avro file have no bytes, and cannot be told apart")
    return generate_cutter(resolve(found.type, found.type))


class AvroFramer(Remnant):
    """Cuts a container file into records. A block is handed over whole, or as one spoiled record."""

    def __init__(self, limit: int, offset: int, state: Mapping[str, Json]) -> None:
        super().__init__(limit, offset)
        self.broken = bool(state.get("broken"))
        self._header = Header.load(state)
        self._tail = b""  # the last bytes that are held, in which a marker may have begun
        parts, block = state.get("parts"), state.get("block")
        self._parts = parts if isinstance(parts, int) else 0  # pieces that were handed over of a block too long
        self._block = block if isinstance(block, int) else 0  # where that block begins

    @property
    def state(self) -> dict[str, Json]:
        """The header, and how far a block has come that is handed over in pieces."""
        if self.broken or self._header is None:
            return super().state
        return self._header.state | ({"parts": self._parts, "block": self._block} if self._parts else {})

    def feed(self, chunk: bytes) -> Framed:
        """The records of the blocks that the chunk ends. Raises NotConnected if it takes a library that is missing."""
        if self.broken:
            return self.pass_over(chunk)
        if self._header is None:
            return self._begin(chunk)
        framed = self._framed()
        try:
            self._feed(chunk, self._header, framed)
        except NoContainer as error:
            return self.give_up(framed, self.take(chunk), str(error))
        while self.held > PIECE:
            data = self.take(b"")
            self._add_piece(framed, data[:PIECE], last=False)
            self.keep(data[PIECE:], PIECE)
        return framed

    def finish(self) -> Framed:
        """A block, or a header, that breaks off."""
        framed = self._framed()
        if self.held:
            rest = self.take(b"")
            if self._parts:
                self._add_piece(framed, rest, last=True)
            else:
                what = "header" if self._header is None else "block"
                framed.spoil(rest, f"the Avro file ends inside the {what} at byte {self.offset}")
            self.keep(b"", len(rest))
            self._tail = b""
        return framed

    def forget(self) -> None:
        """Drop what is held."""
        super().forget()
        self._tail = b""

    def _framed(self) -> Framed:
        return Framed(known={} if self._header is None else {ATTRIBUTE: self._header.schema})

    def _begin(self, chunk: bytes) -> Framed:
        data = self.take(chunk)
        try:
            self._header = Header.parse(data)
            if self._header is None and len(data) > LONGEST_HEADER:
                raise NoContainer(f"the header of the Avro file is longer than {LONGEST_HEADER} bytes")
        except NoContainer as error:
            return self.give_up(Framed(), data, str(error))
        if self._header is None:
            self.keep(data, 0)
            return Framed()
        self.keep(b"", self._header.size)
        return self.feed(data[self._header.size :])

    def _feed(self, chunk: bytes, header: Header, framed: Framed) -> None:
        cut, marker = _cutter(header.schema), header.marker
        if why := missing_library(header.codec):
            raise NotConnected(why)
        if marker in self._tail + chunk:
            data, at = self.take(chunk), 0
            while (end := data.find(marker, at)) >= 0:
                self._add_block(framed, data[at:end], self.offset + at, header.codec, cut)
                at = end + MARKER
            chunk, self._tail = data[at:], b""
            self.keep(chunk, at)
        elif chunk:
            self._pieces.append(chunk)
            self.held += len(chunk)
        self._tail = (self._tail + chunk)[-(MARKER - 1) :]

    def _add_block(self, framed: Framed, body: bytes, at: int, codec: Codec, cut: Cut) -> None:
        if self._parts:
            self._add_piece(framed, body, last=True)
            return
        try:
            count, data = _unpacked(body, codec)
            values = cut(data, count)
        except Corrupt as error:
            framed.spoil(body, f"the block at byte {at} of the Avro file is corrupt: {error}")
        except Exception:  # noqa: BLE001 - whatever a generated reader raises
            why = f"its content is not {count} records of its schema"
            framed.spoil(body, f"the block at byte {at} of the Avro file is corrupt: {why}")
        else:
            self._add(framed, values, at)

    def _add(self, framed: Framed, values: Sequence[bytes], at: int) -> None:
        if not values or max(map(len, values)) <= self.limit:
            framed.growing().extend(values)
            return
        for value in values:
            if len(value) > self.limit:
                size = len(value)
                why = f"a record of {size} bytes in the block at byte {at}, longer than max_record ({self.limit})"
                framed.spoil(value, why)
            else:
                framed.growing().append(value)

    def _add_piece(self, framed: Framed, value: bytes, *, last: bool) -> None:
        if not self._parts:
            self._block = self.offset
        self._parts += 1
        end = ", the last" if last else ""
        framed.spoil(value, f"part {self._parts}{end} of the block at byte {self._block}, longer than {PIECE} bytes")
        if last:
            self._parts = 0


def _unpacked(body: bytes, codec: Codec) -> tuple[int, bytes]:
    """How many records a block has, and the bytes that they are together. Raises Corrupt."""
    try:
        count, at = number_at(body, 0)
        size, at = number_at(body, at)
    except (IndexError, NoContainer) as error:
        raise Corrupt("it does not begin with two numbers") from error
    if size != len(body) - at:
        raise Corrupt(f"it says that it has {size} bytes, and its end is marked after {len(body) - at}")
    data = unpack(codec, body[at:], PIECE)
    if not 0 <= count <= len(data):
        raise Corrupt(f"it says that it has {count} records, in {len(data)} bytes")
    return count, data
