"""Reading one file from a place in it, chunk by chunk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from connectors.file.packed import STEP, Corrupt, Packing, Unpacker
from connectors.file.place import WINDOW, Place, Print
from router import Framed, Framer, Framing, Json


class Reader(Protocol):
    """Reads one file; which descriptor it is open under may change between calls."""

    def read(self, fd: int) -> Framed | None:
        """What the next chunk completes, which may be nothing; None at the end of the file as it is now."""

    def finish(self) -> Framed:
        """What stands after the last newline, once ``read`` has said None."""

    def place(self, fd: int, before: Place) -> Place:
        """The place after everything handed over; ``before`` is an earlier one."""

    def at_end(self, fd: int) -> bool:
        """Whether nothing is in the file that has not been read."""


class Cutting(Struct, frozen=True):
    """How files are read: ``size`` bytes at a time, and cut into records of at most ``limit`` bytes."""

    framing: Framing
    limit: int
    size: int

    def framer(self, place: Place) -> Framer:
        """What cuts the content of a file from a place on."""
        return self.framing.framer(self.limit, offset=place.offset, state=place.state)

    def end(self, fd: int) -> Place:
        """The place after the last record that is in a file to its end."""

        def read(size: int, offset: int) -> bytes:
            return os.pread(fd, size, offset)

        offset = self.framing.whole(read, os.fstat(fd).st_size)
        return Place.at(fd, offset, state=self.framing.opening(read))


class PlainReader:
    """Reads a file that is not compressed."""

    def __init__(self, place: Place, cutting: Cutting) -> None:
        self._framer = cutting.framer(place)
        self._size = cutting.size
        self._recent = b""

    @property
    def position(self) -> int:
        """The byte that is read next."""
        return self._framer.offset + self._framer.held

    def read(self, fd: int) -> Framed | None:
        """What the next chunk completes; None at the end."""
        chunk = os.pread(fd, self._size, self.position)
        if not chunk:
            return None
        self._recent = chunk[-WINDOW:] if len(chunk) >= WINDOW else (self._recent + chunk)[-WINDOW:]
        return self._framer.feed(chunk)

    def unchanged(self, fd: int) -> bool:
        """Whether what was read last, up to a KiB, still stands before ``position``."""
        return os.pread(fd, len(self._recent), self.position - len(self._recent)) == self._recent

    def finish(self) -> Framed:
        """What stands after the last newline."""
        return self._framer.finish()

    def forget(self) -> None:
        """Read again what stands after the last newline: it may not be the same by then."""
        self._framer.forget()
        self._recent = b""

    def place(self, fd: int, before: Place) -> Place:
        """The place after everything handed over."""
        return Place.at(fd, self._framer.offset, state=self._framer.state, before=before)

    def at_end(self, fd: int) -> bool:
        """Whether all of the file has been read."""
        return os.fstat(fd).st_size <= self.position


class PackedReader:
    """Reads a compressed file.

    Going on at a place means to unpack, and skip, what is before it. When the file breaks off or is corrupt, what
    can be read comes first, then a spoiled record that says where it broke; it holds what there is of the broken line.
    That ends the file, until it grows: then it is read on after its last whole line.
    """

    def __init__(self, packing: Packing, place: Place, cutting: Cutting) -> None:
        self._packing = packing
        self._unpacker = Unpacker(packing)
        self._framer = cutting.framer(place)
        self._skip = place.offset
        self._size = cutting.size
        self._ended = self._broken = self._handed_over = False
        self._at = self._where()

    def read(self, fd: int) -> Framed | None:
        """What the next chunk of content completes; None at the end."""
        if self._ended:
            return None
        content, fault = self._unpack(fd)
        lines = self._framer.feed(content)
        self._at = self._where()
        if fault:
            self._broken = self._handed_over = True
            for value in self._framer.finish().values or [b""]:
                lines.spoil(value, f"{fault}; its content from byte {self._at[0]} on cannot be read")
        return lines

    def finish(self) -> Framed:
        """What stands after the last newline of the content."""
        if self._broken:
            return Framed()
        lines = self._framer.finish()
        self._at = self._where()
        self._handed_over = True
        return lines

    def place(self, fd: int, before: Place) -> Place:
        """The place after everything handed over."""
        size = os.fstat(fd).st_size
        head = before.head if before.head.length else Print.of(fd, 0, min(WINDOW, size))
        stored = size if self._handed_over else min(self._unpacker.taken, size - 1)
        offset, state = self._at
        return Place(offset, stored, head, Print(), state)

    def at_end(self, fd: int) -> bool:  # noqa: ARG002 - of the protocol
        """Whether all of the file has been read."""
        return self._ended

    def _where(self) -> tuple[int, Mapping[str, Json]]:
        return self._framer.offset, self._framer.state

    def _unpack(self, fd: int) -> tuple[bytes, str]:
        """Content up to ``size`` or the end, and what is wrong with the file if it ends there because of that."""
        out: list[bytes] = []
        amount, fault = 0, ""
        while amount < self._size and not self._ended:
            content, fault = self._step(fd)
            dropped = min(self._skip, len(content))
            self._skip -= dropped
            out.append(content[dropped:])
            amount += len(content)
        return b"".join(out), fault

    def _step(self, fd: int) -> tuple[bytes, str]:
        stored = os.pread(fd, STEP, self._unpacker.taken)
        if not stored:
            self._ended = True
            if self._unpacker.between:
                return b"", ""
            return b"", f"the {self._packing} file breaks off after {self._unpacker.taken} bytes"
        try:
            return self._unpacker.unpack(stored), ""
        except Corrupt as error:
            self._ended = True
            return error.content, str(error)
