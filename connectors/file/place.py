"""Where in a file a source is, and what tells that file from any other that ever has the same name or inode."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import blake2b
from typing import Self

from msgspec import Struct, field

from router import Json

WINDOW = 1024
"""How many bytes at most recognise a file: its first ones, and those just before the place."""


class Print(Struct, frozen=True):
    """A fingerprint of some bytes of a file."""

    length: int = 0
    digest: str = ""

    @classmethod
    def of(cls, fd: int, start: int, length: int) -> Self:
        """That of ``length`` bytes at ``start``, or of as many as there are."""
        return cls.over(os.pread(fd, length, start) if length else b"")

    @classmethod
    def over(cls, data: bytes) -> Self:
        """That of these bytes."""
        return cls(len(data), blake2b(data, digest_size=16).hexdigest() if data else "")

    @classmethod
    def load(cls, value: Json) -> Self:
        """From what was saved. Raises ValueError."""
        match value:
            case [int(length), str(digest)] if length >= 0:
                return cls(length, digest)
        raise ValueError(f"{value!r} is no fingerprint")


class Place(Struct, frozen=True):
    """A place in one file.

    ``offset`` counts bytes of the content, ``stored`` bytes of the file: they differ in a compressed one, where
    ``stored`` reaches the file's size only when all of it has been read. ``head`` covers what the file began with
    when the place was taken, as far as it is before the place, so that a file which grows keeps its identity;
    ``tail`` what stands just before the place. ``state`` is what else the framer must know to go on there.
    """

    offset: int = 0
    stored: int = 0
    head: Print = Print()
    tail: Print = Print()
    state: Mapping[str, Json] = field(default_factory=dict)

    @classmethod
    def at(cls, fd: int, offset: int, *, state: Mapping[str, Json] | None = None, before: Place | None = None) -> Place:
        """The place at ``offset`` of a file that is not compressed. ``before``, an earlier place in it, saves work."""
        known = before is not None and before.head.length == WINDOW
        head = before.head if before is not None and known else Print.of(fd, 0, min(WINDOW, offset))
        width = min(WINDOW, offset)
        return Place(offset, offset, head, Print.of(fd, offset - width, width), state or {})

    def fits(self, fd: int) -> bool:
        """Whether this file is the one that the place was taken in, with everything before the place still there."""
        if os.fstat(fd).st_size < self.stored:
            return False
        if self.head != Print.of(fd, 0, self.head.length):
            return False
        return self.tail == Print.of(fd, self.stored - self.tail.length, self.tail.length)

    def dump(self, path: str) -> dict[str, Json]:
        """What is saved of it; ``path`` is where the file was."""
        return {
            "path": path,
            "offset": self.offset,
            "stored": self.stored,
            "head": [self.head.length, self.head.digest],
            "tail": [self.tail.length, self.tail.digest],
            "state": dict(self.state),
        }

    @classmethod
    def load(cls, value: Json) -> tuple[str, Place]:
        """The path and the place, from what was saved. Raises ValueError."""
        match value:
            case {
                "path": str(path),
                "offset": int(offset),
                "stored": int(stored),
                "head": head,
                "tail": tail,
                "state": dict(state),
            } if min(offset, stored) >= 0:
                return path, cls(offset, stored, Print.load(head), Print.load(tail), state)
        raise ValueError(f"{value!r} is no place in a file")
