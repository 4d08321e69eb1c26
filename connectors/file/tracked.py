"""One file that a source reads: how far it has been read, and how far that has been acknowledged."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from connectors.file.matching import key_of, shown
from connectors.file.place import Place
from connectors.file.reader import Reader
from router import Framed, Lag

_PARTITIONS = 100  # lag is told for this many files by name; the others are summed up


@dataclass(slots=True, eq=False)
class TrackedFile:
    """A file with its reader. ``place`` is up to where it has been read, ``delivered`` up to where the last batch
    went, ``acked`` up to where batches have been acknowledged."""

    key: str
    path: str
    place: Place
    reader: Reader
    delivered: Place = field(init=False)
    acked: Place = field(init=False)
    begun: Place = field(init=False)
    records: int = 0
    fd: int | None = None
    lost: bool = False
    ended_at: float | None = None
    """When the last batch was read, if the file then held nothing after it; Unix time in seconds."""
    level_at: float | None = None
    """When the file last held nothing that is not acknowledged by now."""
    met_at: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self.begun = self.delivered = self.acked = self.place

    def take(self, fd: int, lines: Framed) -> None:
        """The reader has come further: these are what it handed over."""
        self.take_at(self.reader.place(fd, self.place), fd, lines)

    def take_at(self, place: Place, fd: int, lines: Framed) -> None:
        """The same, when it is known at which place the reader is."""
        if lines.values:
            self.records += len(lines.values)
            self.ended_at = time.time() if self.reader.at_end(fd) else None
            self.delivered = place
        self.place = place  # after `delivered`: whoever compares the two from another thread errs on the safe side

    @property
    def settled(self) -> Place:
        """Up to where nothing is left to do: blank lines after the last acknowledged record are included."""
        place = self.place
        return place if self.acked is self.delivered else self.acked

    def open(self) -> int:
        """The descriptor to read from. Raises OSError."""
        if self.fd is None:
            self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        return self.fd

    def close(self) -> None:
        """Give back the descriptor."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def lag(self, now: float) -> Lag:
        """What of the file has not been acknowledged. ``now`` is Unix time in seconds."""
        found = self._stat()
        behind = 0 if found is None else max(0, found.st_size - self.settled.stored)
        if found is None or not behind:
            self.level_at = now
            return Lag(shown(self.path), records=0, seconds=0.0, bytes=0)
        since = self.level_at if self.level_at is not None else min(found.st_mtime, self.met_at)
        mean = (self.place.stored - self.begun.stored) / self.records if self.records else None
        records = max(1, round(behind / mean)) if mean else None
        return Lag(shown(self.path), records=records, seconds=max(0.0, now - since), bytes=behind)

    def _stat(self) -> os.stat_result | None:
        try:
            found = Path(self.path).stat() if self.fd is None else os.fstat(self.fd)
        except OSError:
            return None
        return found if key_of(found) == self.key else None


def lags(files: Iterable[TrackedFile]) -> list[Lag]:
    """The lag of each file, those furthest behind in time first; after the first hundred, one sum, ``other``."""
    now = time.time()
    each = sorted((file.lag(now) for file in files), key=lambda lag: -(lag.seconds or 0.0))
    named, others = each[:_PARTITIONS], each[_PARTITIONS:]
    if not others:
        return named
    known = [lag.records for lag in others if lag.records is not None]
    records = sum(known) if len(known) == len(others) else None
    seconds = max(lag.seconds or 0.0 for lag in others)
    return [*named, Lag("other", records=records, seconds=seconds, bytes=sum(lag.bytes or 0 for lag in others))]
