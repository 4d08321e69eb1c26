"""The header of Avro container files: the schema and codec, and the marker at the end of every block."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from router.framing.base import Pread
from router.framing.packing import CODECS, Codec
from router.interfaces import Json

MARKER: Final = 16
"""How many bytes a marker has."""
LONGEST_HEADER: Final = 16 << 20
"""The bytes that a header has at most."""

_MAGIC: Final = b"Obj\x01"
_READ: Final = 1 << 20
_LONGEST: Final = 10  # bytes of a varint of 64 bits
_SCHEMA: Final = "avro.schema"
_CODEC: Final = "avro.codec"
_CODECS: Final[Mapping[str, Codec]] = {"null" if codec == "none" else codec: codec for codec in CODECS}


class NoContainer(Exception):
    """A stream is no container file, or one that cannot be read. Says why."""


class Header(Struct, frozen=True):
    """What a header says, and how many bytes it has (0 where that is not known)."""

    schema: str
    codec: Codec
    marker: bytes
    size: int = 0

    @staticmethod
    def made(schema: str, codec: Codec) -> bytes:
        """The bytes of a header. The marker is made of what else it says: the same file has the same header."""
        entries = {_SCHEMA: schema, _CODEC: next(name for name, own in _CODECS.items() if own == codec)}
        out = bytearray(_MAGIC)
        out += varint(len(entries))
        for name, value in entries.items():
            for text in (name.encode(), value.encode()):
                out += varint(len(text)) + text
        out.append(0)
        return bytes(out) + blake2b(out, digest_size=MARKER).digest()

    @classmethod
    def parse(cls, data: bytes) -> Header | None:
        """The header that a stream begins with; None when more bytes are needed. Raises NoContainer."""
        if not data.startswith(_MAGIC[: len(data)]):
            raise NoContainer(f"an Avro file begins with {_MAGIC!r}, and this with {data[: len(_MAGIC)]!r}")
        try:
            entries, at = _entries(data, len(_MAGIC))
        except IndexError:
            return None
        if len(data) < at + MARKER:
            return None
        try:
            schema, codec = entries[_SCHEMA].decode(), entries.get(_CODEC, b"null").decode()
        except (KeyError, UnicodeDecodeError) as error:
            raise NoContainer("the header of the Avro file has no schema, or no codec, that can be read") from error
        if codec not in _CODECS:
            raise NoContainer(f"the codec of the Avro file is {codec!r}, which is not known")
        return cls(schema, _CODECS[codec], data[at : at + MARKER], at + MARKER)

    @classmethod
    def of(cls, read: Pread) -> Header | None:
        """The header of a file; None if it has none that can be read."""
        size = _READ
        while size <= LONGEST_HEADER:
            data = read(size, 0)
            try:
                header = cls.parse(data)
            except NoContainer:
                return None
            if header is not None or len(data) < size:
                return header
            size *= 4
        return None

    @classmethod
    def load(cls, state: Mapping[str, Json]) -> Header | None:
        """The header that a state holds."""
        match state:
            case {"schema": str(schema), "codec": str(codec), "sync": str(marker)} if codec in CODECS:
                return cls(schema, codec, bytes.fromhex(marker))
        return None

    @property
    def state(self) -> dict[str, Json]:
        """All that is needed to go on behind it."""
        return {"schema": self.schema, "codec": self.codec, "sync": self.marker.hex()}


def _entries(data: bytes, at: int) -> tuple[dict[str, bytes], int]:
    """A map of bytes, and where it ends. Raises IndexError when more bytes are needed, NoContainer."""
    found: dict[str, bytes] = {}
    count, at = number_at(data, at)
    while count:
        if count < 0:
            count = -count
            _, at = number_at(data, at)
        for _ in range(count):
            name, at = _bytes(data, at)
            found[name.decode(errors="replace")], at = _bytes(data, at)
        count, at = number_at(data, at)
    return found, at


def _bytes(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = number_at(data, at)
    if not 0 <= size <= LONGEST_HEADER:
        raise NoContainer(f"the header of the Avro file is corrupt: before byte {at} it says that {size} bytes follow")
    if at + size > len(data):
        raise IndexError
    return data[at : at + size], at + size


def number_at(data: bytes, at: int) -> tuple[int, int]:
    """The number that stands there (zigzag varint), and where it ends.

    Raises IndexError when more bytes are needed, NoContainer when it has more than 64 bits.
    """
    number = 0
    for place in range(_LONGEST):
        byte = data[at + place]
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at + place + 1
    raise NoContainer(f"the header of the Avro file is corrupt: the number at byte {at} does not end")


def varint(number: int) -> bytes:
    """A number that is not negative, as it stands in headers and blocks (zigzag varint)."""
    out = bytearray()
    number <<= 1
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
