"""What a file sink remembers of deliveries that have an id, so that each is written once, whatever dies when."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from msgspec import Struct

from router import Json, Positions

log = logging.getLogger(__name__)

LONGEST = 86_400
"""Seconds for which a delivery is remembered at most."""
KEPT = 100_000
"""How many are remembered at most."""

_INTENT = "intent"
_AT_ONCE = 10  # entries that are forgotten with one save, besides the one that it adds
_BLOCK = 1 << 20


class Append(Struct, frozen=True):
    """Bytes for the end of a file, and the ids of the deliveries in them. ``file`` is its device and inode, ``start``
    its size by now."""

    path: Path
    file: tuple[int, int]
    start: int
    data: bytes
    ids: Sequence[str] = ()


class _Intent(Struct, frozen=True):
    """Where an append was to be made, as far as it takes to find out whether it was."""

    path: str
    file: tuple[int, int]
    start: int
    size: int
    digest: str

    @classmethod
    def of(cls, append: Append) -> _Intent:
        digest = hashlib.blake2b(append.data, digest_size=16).hexdigest()
        return cls(os.fsdecode(append.path), append.file, append.start, len(append.data), digest)

    def dump(self) -> Json:
        # Names of files need not be valid text.
        return [self.path.encode("utf-8", "surrogateescape").hex(), *self.file, self.start, self.size, self.digest]

    @classmethod
    def load(cls, value: Json) -> _Intent:
        match value:
            case [str(path), int(device), int(inode), int(start), int(size), str(digest)]:
                name = bytes.fromhex(path).decode("utf-8", "surrogateescape")
                return cls(name, (device, inode), start, size, digest)
        raise ValueError(f"no intent: {value!r}")

    def find_out(self) -> bool:
        """Whether it was made. What was written in part is taken away."""
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENOENT:
                log.warning("%s cannot be looked into (%s): records in it may repeat", self.path, error.strerror)
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return self._is_in(fd)
        except OSError as error:
            log.warning("%s cannot be looked into (%s): records in it may repeat", self.path, error.strerror)
            return False
        finally:
            os.close(fd)

    def _is_in(self, fd: int) -> bool:
        found = os.fstat(fd)
        if (found.st_dev, found.st_ino) != self.file:
            return False  # it was made anew, by whomever
        if found.st_size >= self.start + self.size:
            digest = hashlib.blake2b(digest_size=16)
            for block in _blocks(fd, self.start, self.size):
                digest.update(block)
            os.fsync(fd)
            return digest.hexdigest() == self.digest
        if found.st_size > self.start:
            log.warning(
                "%s: %d bytes of a write that was cut off are taken back", self.path, found.st_size - self.start
            )
            os.ftruncate(fd, self.start)
            os.fsync(fd)
        return False


class Journal:
    """The ids of deliveries that were written, across restarts: for a day at most, and at most 100,000 of them.

    ``recover`` comes first. ``intend`` keeps what is about to be appended; then it is, and ``done`` says so. Where the
    process died between the two, or the write was cancelled or failed, the next ``recover`` finds out from the files
    what was appended. Nothing else may be written to them until then.
    """

    def __init__(self, positions: Positions, clock: Callable[[], float] = time.time) -> None:
        self._positions = positions
        self._clock = clock
        self._entries: dict[int, tuple[int, list[list[str]]]] = {}  # oldest first: until when, and the ids by file
        self._written: dict[str, int] = {}  # until when
        self._last = 0

    def unwritten(self, ids: Sequence[str | None]) -> list[int]:
        """The indices of those that have not been written yet; of the same id, the first."""
        until, now = self._written, self._clock()
        seen: set[str] = set()
        indices = []
        for index, name in enumerate(ids):
            if name is not None:
                if name in seen or until.get(name, 0) > now:
                    continue
                seen.add(name)
            indices.append(index)
        return indices

    async def recover(self, run: Callable[[Callable[[], list[bool]]], Awaitable[list[bool]]]) -> None:
        """Remember what was written, by this process or one before it. ``run`` runs what looks into files.

        Raises StateError.
        """
        kept = self._positions.load()
        intent = kept.pop(_INTENT, None)
        self._entries = dict(sorted((int(key), _entry(value)) for key, value in kept.items()))
        self._last = next(reversed(self._entries), 0)
        if intent is not None and self._last:
            await self._conclude(intent, run)
        self._written = {name: until for until, by_file in self._entries.values() for ids in by_file for name in ids}

    async def _conclude(self, intent: Json, run: Callable[[Callable[[], list[bool]]], Awaitable[list[bool]]]) -> None:
        """Keep of the last entry what was written."""
        intents = [_Intent.load(value) for value in intent] if isinstance(intent, list) else []
        made = await run(lambda: [one.find_out() for one in intents])
        until, by_file = self._entries.pop(self._last)
        by_file = [ids for ids, is_made in zip(by_file, made, strict=True) if is_made]
        if by_file:
            self._entries[self._last] = (until, by_file)
        entry: Json = [until, *_json(by_file)] if by_file else None
        await self._positions.save({f"{self._last}": entry, _INTENT: None})

    async def intend(self, appends: Sequence[Append], last: float) -> None:
        """Keep what is about to be appended, to be remembered for ``last`` seconds; it survives ``kill -9`` when it
        returns. Raises StateError."""
        now, by_file = self._clock(), [list(append.ids) for append in appends]
        until = int(now + min(last, LONGEST))
        over = list(self._to_forget(sum(map(len, by_file)), now))
        entries: dict[str, Json] = {f"{number}": None for number in over}
        entries[f"{self._last + 1}"] = [until, *_json(by_file)]
        entries[_INTENT] = [_Intent.of(append).dump() for append in appends]
        await self._positions.save(entries)
        for number in over:
            for ids in self._entries.pop(number)[1]:
                for name in ids:
                    self._written.pop(name, None)
        self._last += 1
        self._entries[self._last] = (until, by_file)

    def done(self) -> None:
        """What was intended has been appended."""
        until, by_file = self._entries[self._last]
        for ids in by_file:
            self._written.update(dict.fromkeys(ids, until))

    def _to_forget(self, coming: int, now: float) -> Iterator[int]:
        """The oldest entries, as far as their time is over or they are too many."""
        too_many = len(self._written) + coming - KEPT
        for number, (until, by_file) in islice(self._entries.items(), _AT_ONCE):
            if too_many <= 0 and until > now:
                return
            too_many -= sum(map(len, by_file))
            yield number


def _entry(value: Json) -> tuple[int, list[list[str]]]:
    match value:
        case [int(until), *by_file]:
            return until, [[str(name) for name in ids] for ids in by_file if isinstance(ids, list)]
    return 0, []


def _json(by_file: list[list[str]]) -> list[Json]:
    return [[*ids] for ids in by_file]


def _blocks(fd: int, start: int, size: int) -> Iterator[bytes]:
    end = start + size
    while start < end and (block := os.pread(fd, min(_BLOCK, end - start), start)):
        yield block
        start += len(block)
