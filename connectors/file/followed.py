"""One file that is followed: what is known of it, and what cannot be followed but only be read to its end."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from connectors.file.packed import SUFFIXES, Packing, packing_of
from connectors.file.place import Place
from connectors.file.reader import PlainReader
from connectors.file.tracked import TrackedFile
from router import Framed

_COARSE = 2_000_000_000  # nanoseconds within which two changes may bear the same time, on the coarsest file systems


@dataclass(slots=True, eq=False)
class FollowedFile(TrackedFile):
    """A file that may grow.

    ``matched``: a pattern names it. ``rotated``: it was renamed or deleted since it was found. ``copy``: it is what a
    truncated file was copied to, so nobody writes to it.
    """

    modified: int = 0
    matched: bool = True
    rotated: bool = False
    copy: bool = False
    seen: tuple[int, int] | None = None
    """Size and time of change when the end was reached; the file is not looked into again before they differ."""
    grew_at: float = 0.0
    until: int = 0
    """Where to let the next file have its turn."""

    @property
    def plain(self) -> PlainReader:
        """The reader of what can be followed: of all but compressed files, which are only read once."""
        assert isinstance(self.reader, PlainReader)  # noqa: S101 - for the type checker
        return self.reader

    def is_as_seen(self, found: os.stat_result) -> bool:
        """Whether nothing can have changed since the end was reached: times tell that once they are not recent."""
        same = self.seen == (found.st_size, found.st_mtime_ns)
        return same and found.st_mtime_ns < time.time_ns() - _COARSE


def read_packed(file: FollowedFile, fd: int, state: tuple[int, int]) -> Framed | None:
    """What the next chunk of a compressed file holds; None at its end, which ``state``, size and time, is of."""
    lines = file.reader.read(fd)
    if lines is None:
        lines, file.seen = file.reader.finish(), state
    else:
        file.grew_at = time.monotonic()
    file.take(fd, lines)
    return lines if file.seen is None or lines.values else None


def look(path: str, place: Place) -> tuple[bool, Packing | None, int]:
    """Whether the file is the one that the place was taken in, and can be read on; how it is compressed; its time of
    change. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        packing = packing_of(path, os.pread(fd, 4, 0))
        readable = packing is None or path.endswith(tuple(SUFFIXES))
        return readable and place.fits(fd), packing, os.fstat(fd).st_mtime_ns
    finally:
        os.close(fd)


def modified_at(path: str) -> int:
    """When the file was changed last, in nanoseconds of Unix time; 0 if it is no more there."""
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0
