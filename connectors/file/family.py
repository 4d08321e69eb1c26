"""The files that one path has held one after the other, by the names that rotation gives them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from msgspec import Struct

from connectors.file.matching import key_of
from connectors.file.packed import STEP, SUFFIXES, Corrupt, Packing, Unpacker, packing_of
from connectors.file.place import WINDOW, Place, Print

_APPENDED = re.compile(r"(.+?)[.\-_](?:\d[\dTZ:.+_-]*|old)")
_INSERTED = re.compile(r"(.+?)[.\-_]\d{4}-?\d\d-?\d\d[\dTZ:.+_-]*(\.[A-Za-z]\w*)")


class Sibling(Struct, frozen=True):
    """A file that a path has held before. ``modified`` in nanoseconds of Unix time."""

    path: str
    key: str
    modified: int
    packing: Packing | None


def stem(name: str) -> str:
    """The name before rotation: without ``.gz`` and the like, and the number, date or ``old`` that was added to it."""
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    if found := _INSERTED.fullmatch(name):
        return found[1] + found[2]
    found = _APPENDED.fullmatch(name)
    return found[1] if found else name


def siblings(path: str) -> list[Sibling]:
    """The other files of the same stem in the folder, the one changed longest ago first; none if it is not there.

    One that is compressed counts only when what it was made from is gone: until then it may not be complete.
    """
    wanted = stem(Path(path).name)
    found: list[Sibling] = []
    try:
        with os.scandir(Path(path).parent) as entries:
            names = {entry.name: entry for entry in entries}
    except OSError:
        return []
    for name, entry in names.items():
        plain = next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), None)
        if entry.path != path and plain not in names and stem(name) == wanted and (each := _sibling(entry)):
            found.append(each)
    return sorted(found, key=lambda each: (each.modified, each.path))


def find_packed(path: str, place: Place) -> Sibling | None:
    """The compressed file that ``path`` was rotated to, if its content begins with all that was before ``place``."""
    return next((each for each in siblings(path) if each.packing and holds(each, place)), None)


def holds(sibling: Sibling, place: Place) -> bool:
    """Whether a compressed file is known to begin with all that was before the place in a plain one."""
    if not place.offset or sibling.packing is None:
        return False
    head, tail, length = b"", b"", 0
    unpacker = Unpacker(sibling.packing)
    try:
        with Path(sibling.path).open("rb") as file:
            while length < place.offset and (stored := file.read(STEP)):
                content = unpacker.unpack(stored)[: place.offset - length]
                length += len(content)
                head += content[: max(0, place.head.length - len(head))]
                tail = (tail + content)[-WINDOW:]
    except (OSError, Corrupt):
        return False
    width = place.tail.length
    known = (place.head, place.tail)
    return length == place.offset and known == (Print.over(head), Print.over(tail[-width:] if width else b""))


def _sibling(entry: os.DirEntry[str]) -> Sibling | None:
    try:
        if not entry.is_file(follow_symlinks=False):
            return None
        fd = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = os.fstat(fd)
            return Sibling(entry.path, key_of(found), found.st_mtime_ns, packing_of(entry.name, os.pread(fd, 4, 0)))
        finally:
            os.close(fd)
    except OSError:
        return None  # it went away, or may not be read
