"""The file of a disk buffer: parts on their way to one sink, first in, first out, in SQLite.

Records are numbered from 1 on as they come, and a part is stored under the number of its first one, with how many bytes
of payload came before it: so what there is in the buffer is known from its two ends. Parts are taken away from the
front alone.

One connection, on a thread of its own, does everything. Adding is one transaction that survives a power failure, for
as many parts as came meanwhile; taking away costs no fsync by itself, since all that its loss does is to repeat
deliveries. Large pages, because parts are large: with pages of 16 KiB a record costs half of what it does with 4 KiB.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from msgspec import Struct

from router.batch import Lease, leases_of
from router.errors import StateError
from router.part import Part
from router.sqlite import connect, transaction, translated
from router.stored_part import pack_part, unpack_part

_HOLDING = "records"
_PREFIX, _SUFFIX = "buffer.", ".db"

_VERSION = 1
_PAGE = 16 << 10
_LOG_BYTES = 4 << 20
"""The log is copied back into the file each time that about so much was written to it."""
_LOGGED_BESIDES = 4 * _PAGE
"""What a commit writes besides the parts, about."""
_SHRINK_BYTES = 16 << 20
"""A file is made smaller once so much of it, and more than half, is free."""
_SHRINK_PAGES = 512
"""By so many pages at a time, so that nothing waits for long: twice what a write of the usual size sets free."""
SPARE = 16 << 20
"""Bytes that a buffer leaves free on its disk: positions and dead letters need room, and so does taking away."""

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS parts (
    number INTEGER PRIMARY KEY,
    records INTEGER NOT NULL,
    position INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    body BLOB NOT NULL
);
PRAGMA user_version = {_VERSION};
COMMIT;
"""  # IF NOT EXISTS: what `.recover` makes of a damaged file has the table, and no version


class Extent(Struct, frozen=True):
    """What a buffer holds: records from ``first`` up to, without, ``end``, and as many bytes of payload."""

    first: int
    end: int
    bytes: int

    @property
    def records(self) -> int:
        """How many."""
        return self.end - self.first


class DiskBuffer:
    """An open buffer file. Every method raises StateError when the file cannot be read or written.

    ``extent`` is what it holds, as of the last commit.
    """

    def __init__(self, file: Path, connection: sqlite3.Connection) -> None:
        self.file = file
        self._end, self._end_position = _end(connection)
        self.extent = self._measured(connection)
        self._connection = connection
        self._synchronous = "FULL"
        self._logged = 0
        self._thread = ThreadPoolExecutor(1, f"buffer {file.name}")

    @classmethod
    def open(cls, folder: Path, sink: str) -> DiskBuffer:
        """Open the buffer of a sink, and make it if there is none. What is in it stays."""
        file = file_of(folder, sink)
        with translated(file, _HOLDING):
            connection = connect(file, "FULL")
            try:
                _prepare(file, connection)
                return cls(file, connection)
            except BaseException:
                connection.close()
                raise

    async def commit(self, parts: Sequence[Part], delivered: int) -> list[Part | None]:
        """Add parts at the end, and take away all parts before the record with this number: both or nothing.

        Returns what was added of each part: it without leases, and without the records whose lease was revoked before
        this began; None where that leaves nothing. What was added survives a power failure. Cancelled, it may or may
        not have happened. In either case whoever has revoked a lease and waits for its writes waits for this, too,
        which nothing can cut off.
        """
        future = self._thread.submit(self._commit, parts, delivered)
        _hold_leases(future, leases_of(part.batch for part in parts))
        # The extent is known when the caller knows of it, not when the thread does.
        self.extent, added = await asyncio.wrap_future(future)
        self._thread.submit(self._tidy)  # whoever waits for what was added need not wait for this
        return added

    async def read(self, number: int, records: int, size: int) -> list[tuple[int, Part]]:
        """Parts from a record on, with the numbers of their first records: at most so many records and bytes of
        payload, but one part at least if there is any."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, number, records, size)

    def close(self) -> None:
        """Finish what is being done, and let go of the file; an empty one is made as small as it can be. Idempotent."""
        self._thread.shutdown()
        with contextlib.suppress(sqlite3.Error):  # the disk is full, or it was closed before: nothing is lost by that
            if not self.extent.records:
                self._connection.executescript("PRAGMA incremental_vacuum")
        self._connection.close()

    # On the thread

    def _commit(self, parts: Sequence[Part], delivered: int) -> tuple[Extent, list[Part | None]]:
        rows: list[tuple[int, int, int, int, bytes]] = []
        number, position = self._end, self._end_position
        added = [part.freed() for part in parts]
        for part in added:
            if part is None:
                continue
            records, size = len(part.batch), part.batch.bytes
            rows.append((number, records, position, size, pack_part(part)))
            number, position = number + records, position + size
        stored = sum(len(row[-1]) for row in rows)

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT INTO parts VALUES (?, ?, ?, ?, ?)", rows)
            connection.execute("DELETE FROM parts WHERE number < ?", (delivered,))

        with translated(self.file, _HOLDING):
            self._check_room(stored)
            self._synchronize("FULL" if rows else "NORMAL")
            transaction(self._connection, work)
            self._end, self._end_position = number, position
            self._logged += stored + _LOGGED_BESIDES
            return self._measured(self._connection), added

    def _check_room(self, stored: int) -> None:
        """Raises StateError when so many bytes more would not leave enough of the disk free."""
        needed = 2 * stored  # they are written to the log, and then to the file
        if not stored or self._pragma("freelist_count") * _PAGE >= needed:
            return
        try:
            disk = os.statvfs(self.file.parent)
        except OSError as error:
            raise StateError(f"{self.file}: the disk cannot be used: {error.strerror}") from error
        if disk.f_bavail * disk.f_frsize < SPARE + needed:
            raise StateError(
                f"{self.file}: the disk is all but full; make room: the last {SPARE >> 20} MiB are for other things"
            )

    def _pragma(self, name: str) -> int:
        value: int = self._connection.execute(f"PRAGMA {name}").fetchone()[0]
        return value

    def _synchronize(self, synchronous: str) -> None:
        if synchronous != self._synchronous:
            self._connection.execute(f"PRAGMA synchronous = {synchronous}")
            self._synchronous = synchronous

    def _measured(self, connection: sqlite3.Connection) -> Extent:
        row = connection.execute("SELECT number, position FROM parts ORDER BY number LIMIT 1").fetchone()
        first, position = row or (self._end, self._end_position)
        return Extent(first, self._end, self._end_position - position)

    def _read(self, number: int, records: int, size: int) -> list[tuple[int, Part]]:
        found: list[tuple[int, Part]] = []
        with translated(self.file, _HOLDING):
            rows = self._connection.execute(
                "SELECT number, records, bytes, body FROM parts WHERE number >= ? ORDER BY number", (number,)
            )
            try:
                for first, count, length, body in rows:
                    records, size = records - count, size - length
                    if found and (records < 0 or size < 0):
                        break
                    found.append((first, self._unpacked(first, body)))
            finally:
                rows.close()
        return found

    def _unpacked(self, number: int, body: bytes) -> Part:
        try:
            return unpack_part(body)
        except ValueError as error:
            raise StateError(
                f"{self.file}: the file is damaged: what begins with record number {number} cannot be read ({error}); "
                "move the file away to begin anew"
            ) from error

    def _tidy(self) -> None:
        """Keep log and file small."""
        with contextlib.suppress(sqlite3.Error):  # which a commit will meet, too, and tell
            if self._shrink() or self._logged >= _LOG_BYTES:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                self._logged = 0

    def _shrink(self) -> bool:
        """Give some free pages back to the disk, if there are too many; whether any."""
        free = self._pragma("freelist_count")
        if free * _PAGE < _SHRINK_BYTES or free * 2 < self._pragma("page_count"):
            return False
        # By a script, because of a single statement that has no rows Python's module takes one step alone.
        self._connection.executescript(f"PRAGMA incremental_vacuum({_SHRINK_PAGES})")
        return True


def _hold_leases(writing: Future[Any], leases: Collection[Lease]) -> None:
    """Tell these leases of a write, until it has ended on its thread, or never will begin."""
    loop = asyncio.get_running_loop()

    def end() -> None:
        for lease in leases:
            lease.end_write(None)

    def ended(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(end)

    for lease in leases:
        lease.begin_write(None)
    if leases:
        writing.add_done_callback(ended)


def file_of(folder: Path, sink: str) -> Path:
    """Where the buffer of a sink is."""
    return folder / f"{_PREFIX}{quote(sink, safe='')}{_SUFFIX}"


def delete(file: Path) -> None:
    """Delete a buffer, which nobody has open."""
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def waiting(folder: Path) -> Iterator[tuple[str, Path, int]]:
    """Every buffer in a state folder: its sink, its file, and how many records wait in it. Changes nothing.

    Raises StateError for a file that cannot be read.
    """
    for file in sorted(folder.glob(f"{_PREFIX}*{_SUFFIX}")):
        with translated(file, _HOLDING):
            connection = connect(file, "FULL")
            try:
                records = _records(connection)
            finally:
                connection.close()
        yield unquote(file.name.removeprefix(_PREFIX).removesuffix(_SUFFIX)), file, records


def _records(connection: sqlite3.Connection) -> int:
    if not connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'parts'").fetchone()[0]:
        return 0  # somebody was killed while making it
    first = connection.execute("SELECT number FROM parts ORDER BY number LIMIT 1").fetchone()
    return _end(connection)[0] - int(first[0]) if first else 0


def _prepare(file: Path, connection: sqlite3.Connection) -> None:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > _VERSION:
        raise StateError(
            f"{file} is of a newer version of sluiceway (schema {version}; this one knows {_VERSION}); "
            "run that version until it is empty"
        )
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # reads the schema: is it a database?
    if not version:
        connection.execute(f"PRAGMA page_size = {_PAGE}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    # Some builds overwrite what is deleted with zeros, which would make taking away as expensive as adding.
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute(f"PRAGMA journal_size_limit = {2 * _LOG_BYTES}")


def _end(connection: sqlite3.Connection) -> tuple[int, int]:
    """The number of the record that comes next, and how many bytes of payload came before it."""
    last = connection.execute(
        "SELECT number + records, position + bytes FROM parts ORDER BY number DESC LIMIT 1"
    ).fetchone()
    return (last[0], last[1]) if last else (1, 0)
