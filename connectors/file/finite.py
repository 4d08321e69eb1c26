"""Reading every file that is there once."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Mapping

from connectors.file.matching import Match, Matcher, find_renamed, shown, unreadable
from connectors.file.packed import packing_of
from connectors.file.place import Place
from connectors.file.reader import Cutting, PackedReader, PlainReader, Reader
from connectors.file.tracked import TrackedFile
from router import Framed, Json, NotConnected

logger = logging.getLogger(__name__)


def saved_place(entries: Mapping[str, Json], key: str) -> tuple[str, Place] | None:
    """The path and place that were saved under ``key``; None, told once, if they cannot be understood."""
    value = entries.get(key)
    if value is None:
        return None
    try:
        return Place.load(value)
    except ValueError as error:
        logger.warning("a saved position is not understood and left aside: %s", error)
        return None


class FiniteFiles:
    """The files that match when it opens, each read to its end, in the order of their paths.

    Used from one thread. ``changes`` collects what is to be saved of positions; None forgets a key.
    """

    def __init__(self, matcher: Matcher, entries: Mapping[str, Json], cutting: Cutting) -> None:
        self._matcher = matcher
        self._entries = entries
        self._cutting = cutting
        self._queue: deque[TrackedFile] = deque()
        self.files: list[TrackedFile] = []
        self.changes: dict[str, Json] = {}

    def open(self) -> None:
        """Find the files. Raises NotConnected when one that is named is not there or may not be read."""
        matches = self._matcher.find()
        if self._matcher.missing:
            raise NotConnected(f"{shown(self._matcher.missing[0])} does not exist")
        if not matches:
            logger.warning("no file matches %s", ", ".join(map(shown, self._matcher.patterns)))
        for match in matches:
            self._begin(match)
        self._forget({match.key for match in matches})

    def next(self) -> tuple[TrackedFile, Framed] | None:
        """What the next chunk of the current file holds, which may be nothing; None at the end of all."""
        while self._queue:
            file = self._queue[0]
            try:
                fd = file.open()
                lines = file.reader.read(fd)
                ended = lines is None
                lines = file.reader.finish() if lines is None else lines
                file.take(fd, lines)
            except OSError as error:
                raise unreadable(file.path, error) from error
            if not ended:
                return file, lines
            file.close()
            self._queue.popleft()
            if lines.values:
                return file, lines
        return None

    def close(self) -> None:
        """Give back all descriptors."""
        for file in self.files:
            file.close()
        self._queue.clear()
        self.files = []

    def _begin(self, match: Match) -> None:
        saved = saved_place(self._entries, match.key)
        try:
            fd = os.open(match.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                place = saved[1] if saved and saved[1].fits(fd) else Place()
                packing = packing_of(match.path, os.pread(fd, 4, 0))
                ended = place.stored >= os.fstat(fd).st_size
            finally:
                os.close(fd)
        except OSError as error:
            raise unreadable(match.path, error) from error
        if saved and place.offset == 0 < saved[1].offset:
            logger.warning("%s is not what it was when it was read before: it is read from its beginning", match.path)
        reader: Reader
        if packing is not None:
            reader = PackedReader(packing, place, self._cutting)
        else:
            reader = PlainReader(place, self._cutting)
        file = TrackedFile(match.key, match.path, place, reader)
        self.files.append(file)
        if not ended:
            self._queue.append(file)

    def _forget(self, present: set[str]) -> None:
        """Forget the positions of files that are no longer in their folders, under any name."""
        for key in self._entries.keys() - present:
            saved = saved_place(self._entries, key) if ":" in key else None
            try:
                if saved and find_renamed(saved[0], key) is None:
                    self.changes[key] = None
            except OSError:
                continue  # the folder is away, perhaps not mounted: the file may come back
