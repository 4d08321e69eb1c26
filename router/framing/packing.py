"""The codecs of Avro container files: how a block is compressed, and unpacked into no more than is allowed."""

from __future__ import annotations

import zlib
from typing import Any, Final, Literal, get_args

from router.errors import NotConnected

Codec = Literal["none", "deflate", "bzip2", "xz", "snappy", "zstandard"]

CODECS: Final[tuple[Codec, ...]] = get_args(Codec)
_STEP: Final = 1024  # stored bytes that zstandard is given at once: 4 of them can become 128 KiB
_CHECKSUM: Final = 4
_XZ_MEMORY: Final = 256 << 20


class Corrupt(Exception):
    """The stored bytes are not what the codec says they should be, or far too much."""


def missing_library(codec: Codec) -> str:
    """What must be installed for a codec; empty if nothing is missing."""
    if codec not in ("snappy", "zstandard"):
        return ""
    try:
        _library(codec)
    except NotConnected as error:
        return str(error)
    return ""


def pack(codec: Codec, data: bytes) -> bytes:
    """The bytes, compressed. Raises NotConnected when the library for it is missing."""
    match codec:
        case "none":
            return data
        case "deflate":
            packer = zlib.compressobj(wbits=-15)
            return packer.compress(data) + packer.flush()
        case "bzip2":
            import bz2

            return bz2.compress(data)
        case "xz":
            import lzma

            return lzma.compress(data)
        case "snappy":
            checksum = zlib.crc32(data).to_bytes(_CHECKSUM, "big")
            return bytes(_library(codec).snappy.compress_raw(data)) + checksum
        case "zstandard":
            return bytes(_library(codec).ZstdCompressor().compress(data))


def unpack(codec: Codec, stored: bytes, limit: int) -> bytes:
    """What was compressed. Raises Corrupt, also for more than ``limit`` bytes, and NotConnected as ``pack`` does."""
    if codec == "none":
        return stored
    try:
        data = _snappy(stored, limit) if codec == "snappy" else _stream(codec, stored, limit)
    except (NotConnected, Corrupt):
        raise
    except Exception as error:  # each library has its own
        raise Corrupt(f"not {codec} ({error})") from error
    if len(data) > limit:
        raise Corrupt(f"its content is longer than {limit} bytes")
    return data


def _stream(codec: Codec, stored: bytes, limit: int) -> bytes:
    unpacker: Any
    match codec:
        case "deflate":
            unpacker = zlib.decompressobj(wbits=-15)
        case "bzip2":
            import bz2

            unpacker = bz2.BZ2Decompressor()
        case "xz":
            import lzma

            unpacker = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
        case _:
            return _zstandard(stored, limit)
    data: bytes = unpacker.decompress(stored, limit + 1)
    if not unpacker.eof and len(data) <= limit:
        raise Corrupt(f"its {codec} breaks off")
    return data


def _zstandard(stored: bytes, limit: int) -> bytes:
    unpacker = _library("zstandard").ZstdDecompressor().decompressobj()
    pieces: list[bytes] = []
    size = 0
    for at in range(0, len(stored), _STEP):
        pieces.append(unpacker.decompress(stored[at : at + _STEP]))
        size += len(pieces[-1])
        if size > limit or unpacker.eof:
            break
    if not unpacker.eof and size <= limit:
        raise Corrupt("its zstandard breaks off")
    return b"".join(pieces)


def _snappy(stored: bytes, limit: int) -> bytes:
    content, checksum = stored[:-_CHECKSUM], stored[-_CHECKSUM:]
    if _snappy_size(content) > limit:
        raise Corrupt(f"its content is longer than {limit} bytes")
    data = bytes(_library("snappy").snappy.decompress_raw(content))
    if zlib.crc32(data).to_bytes(_CHECKSUM, "big") != checksum:
        raise Corrupt("its checksum is another")
    return data


def _snappy_size(content: bytes) -> int:
    """How much there will be, as the content says at its beginning."""
    size = 0
    for place, byte in enumerate(content[:5]):
        size |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return size
    raise Corrupt("its snappy has no length")


def _library(codec: Codec) -> Any:
    try:
        if codec == "snappy":
            import cramjam

            return cramjam
        import zstandard

        return zstandard
    except ImportError as error:
        raise NotConnected(f"the codec {codec} needs a library: pip install 'sluiceway[avro]'") from error
