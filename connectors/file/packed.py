"""gzip and zstd: content cut into members (gzip, RFC 1952) or frames (zstd, RFC 8878), one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from router import NotConnected

Packing = Literal["gzip", "zstd"]

MAGIC: dict[Packing, bytes] = {"gzip": b"\x1f\x8b\x08", "zstd": b"\x28\xb5\x2f\xfd"}
SUFFIXES: dict[str, Packing] = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}

STEP = 4096
"""Bytes to unpack at a time: bounds what a file made to explode can do, for zstd unpacks 4 bytes to 128 KiB."""


class Corrupt(Exception):
    """The stored bytes are not what their format says they should be. ``content`` is what came before."""

    def __init__(self, reason: str, content: bytes) -> None:
        super().__init__(reason)
        self.content = content


def packing_of(name: str, head: bytes) -> Packing | None:
    """How a file is compressed, by its first bytes, else by its name if it has any bytes."""
    for packing, magic in MAGIC.items():
        if head.startswith(magic):
            return packing
    if not head:
        return None
    return next((packing for suffix, packing in SUFFIXES.items() if name.endswith(suffix)), None)


class Unpacker:
    """Unpacks a stream of members that comes in chunks, of ``STEP`` bytes if what is in them cannot be trusted. More
    than ``members`` of them are corrupt: an empty one costs more to unpack than to send.

    Raises NotConnected when made for zstd without the ``zstandard`` library.
    """

    def __init__(self, packing: Packing, *, members: int | None = None) -> None:
        self._packing = packing
        self._left = members
        self._new, self._errors = _decompressor(packing)
        self._member: Any = None
        self.taken = 0
        """How many stored bytes have been unpacked."""
        self.whole = 0
        """The stored byte after the last whole member."""

    @property
    def between(self) -> bool:
        """Whether nothing has been begun that is not complete."""
        return self._member is None

    def unpack(self, stored: bytes) -> bytes:
        """The content of ``stored``. Raises Corrupt, with the content of the members before the corrupt one."""
        out: list[bytes] = []
        while stored:
            if self._member is None:
                if self._packing == "gzip" and not stored.strip(b"\0") and self.whole:
                    self.taken += len(stored)  # tape padding, which gzip lets pass too
                    break
                self._begin(out)
            try:
                out.append(self._member.decompress(stored))
            except self._errors as error:
                reason = f"not {self._packing} after byte {self.taken} ({error})"
                raise Corrupt(reason, b"".join(out)) from error
            rest = self._member.unused_data if self._member.eof else b""
            self.taken += len(stored) - len(rest)
            if self._member.eof:
                self.whole, self._member = self.taken, None
            stored = rest
        return b"".join(out)

    def _begin(self, out: list[bytes]) -> None:
        if self._left is not None:
            if not self._left:
                raise Corrupt(f"{self._packing} in too many parts", b"".join(out))
            self._left -= 1
        self._member = self._new()


def packer(packing: Packing) -> Callable[[bytes], bytes]:
    """Makes one whole member of what it is given. Raises NotConnected when the library for it is missing."""
    if packing == "gzip":
        import gzip

        return lambda data: gzip.compress(data, compresslevel=6, mtime=0)
    compressor = _zstandard().ZstdCompressor()
    return lambda data: bytes(compressor.compress(data))


def _decompressor(packing: Packing) -> tuple[Callable[[], Any], type[Exception]]:
    if packing == "gzip":
        import zlib

        return lambda: zlib.decompressobj(wbits=31), zlib.error
    zstandard = _zstandard()
    return lambda: zstandard.ZstdDecompressor().decompressobj(), zstandard.ZstdError


def _is_there(compression: str) -> str:
    if compression == "zstd":
        try:
            _zstandard()
        except NotConnected as error:
            raise ValueError(str(error)) from error
    return compression


Compression = Annotated[Literal["none", "gzip", "zstd"], AfterValidator(_is_there)]
"""A setting: what is written is compressed with this."""


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise NotConnected('zstd needs the library zstandard: pip install "sluiceway[zstd]"') from error
    return zstandard
