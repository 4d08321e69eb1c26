"""The state folder: what the router remembers across restarts, in one SQLite file, for one instance at a time.

The file is in WAL mode, so that ``sluiceway dead`` reads and writes it while a daemon runs. Three connections go to it:

- one on the event loop, for what is small and frequent: positions. A transaction without fsync takes about 15 µs there
  and 80 µs by way of a thread, so a save runs on the loop as long as nothing can make it wait: it never waits for a
  lock, and never copies the log back into the file.
- one on a thread of its own, for what must survive a power failure or may wait: every ``write()``, in order, those
  that wait together in one transaction, and the saves that found the file locked.
- one on another thread, for reading much.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from router.audit_chain import SCHEMA as AUDIT
from router.errors import StateError
from router.group_commit import Writer
from router.interfaces import Json, Positions
from router.retry import Backoff
from router.sqlite import WAIT, connect, is_busy, transaction, translated

log = logging.getLogger(__name__)

T = TypeVar("T")

FILE = "sluiceway.db"
LOCK = "lock"

_VERSION = 3
_OPEN_JOBS = "CREATE TABLE IF NOT EXISTS open_jobs (job INTEGER PRIMARY KEY, actor TEXT NOT NULL);"
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE positions (
    source TEXT NOT NULL,
    key BLOB NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (source, key)
) WITHOUT ROWID;
CREATE TABLE kinds (
    id INTEGER PRIMARY KEY,
    flow TEXT NOT NULL,
    stage TEXT NOT NULL,
    source TEXT NOT NULL,
    rule TEXT NOT NULL,
    sink TEXT NOT NULL,
    reason TEXT NOT NULL,
    version TEXT NOT NULL,
    letters INTEGER NOT NULL,
    UNIQUE (flow, stage, source, rule, sink, reason, version)
);
CREATE TABLE letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    record_time INTEGER,
    detail TEXT NOT NULL,
    key BLOB,
    came BLOB,
    goes BLOB,
    value BLOB NOT NULL,
    out_value BLOB
);
CREATE TABLE stuck (id INTEGER PRIMARY KEY);
CREATE TABLE replays (id INTEGER PRIMARY KEY, job INTEGER NOT NULL);
CREATE INDEX replays_by_job ON replays (job, id);
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    rate REAL,
    through_flow INTEGER NOT NULL,
    requested INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    again INTEGER NOT NULL DEFAULT 0,
    gone INTEGER NOT NULL DEFAULT 0
);
{_OPEN_JOBS}
{AUDIT}
PRAGMA user_version = {_VERSION};
COMMIT;
"""  # letters.id is AUTOINCREMENT: the id of a letter that is gone never names another one

_UPGRADES = {
    2: f"""
BEGIN IMMEDIATE;
ALTER TABLE jobs ADD COLUMN through_flow INTEGER NOT NULL DEFAULT 0;
{_OPEN_JOBS}
{AUDIT}
PRAGMA user_version = {_VERSION};
COMMIT;
""",
}
"""What makes of a file of an older version, that is still known, one of this version."""

_HOLDING = "dead letters and positions"
_SMALL = 100  # entries of a save that the loop itself may write
_SAVES_PER_SYNC = 250  # about 1000 pages of log, SQLite's own measure for copying it back into the file


class StateDir:
    """The state folder of an instance.

    ``open()`` makes it and holds it alone until ``close()``; ``visit()`` looks into one, held by another process or
    not. Every failure of the folder, the file or the disk is a StateError that says which file and what to do.
    """

    def __init__(self, path: Path, lock: int | None) -> None:
        self.path = path
        self._lock = lock
        self._file = path / FILE
        self._saves = 0
        self._waiting_saves = 0
        self._insisting: dict[object, str] = {}
        with translated(self._file, _HOLDING):
            self._quick = connect(self._file, "NORMAL", wait=WAIT if lock is None else 0)
            self._quick.execute("PRAGMA wal_autocheckpoint = 0")
            self._writing = connect(self._file, "FULL", wait=WAIT)
            self._writing.execute("PRAGMA journal_size_limit = 67108864")
            self._reading = connect(self._file, "FULL", wait=WAIT)
            self._reading.execute("PRAGMA query_only = 1")
        self._identity = _identity(self._file)
        self._writer = Writer(self._writing, self._check, partial(translated, self._file, _HOLDING))
        self._reader = ThreadPoolExecutor(1, "state-reader")

    @classmethod
    def open(cls, path: str | Path) -> StateDir:
        """Make the folder if there is none, and hold it. Raises StateError when another process holds it, naming its
        pid. A process that is killed lets go of it."""
        folder = Path(path)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _take_lock(folder)
        except OSError as error:
            raise StateError(f"the state folder {folder} cannot be used: {error.strerror or error}") from error
        try:
            _prepare(folder / FILE)
            return cls(folder, lock)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def visit(cls, path: str | Path) -> StateDir:
        """Look into a state folder without holding it. Raises StateError when there is nothing in it."""
        folder = Path(path)
        file = folder / FILE
        if not file.exists() or not _version(file):
            raise StateError(f"the state folder {folder} is empty: no instance has run with it yet")
        return cls(folder, None)

    @property
    def is_held(self) -> bool:
        """Whether this process is the one that holds the folder."""
        return self._lock is not None

    def positions(self, source: str) -> Positions:
        """What the source of this name remembers."""
        return _SourcePositions(self, source)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in one transaction on the writing thread; what it wrote survives a power failure.

        Calls run in the order they were made; what came while another was under way shares a transaction, and with it
        the wait for the disk. Cancelled, or failed, it may or may not have happened, but never in part.
        """
        return await self._writer.submit(work)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work``, which only reads, on the reading thread. It sees what was committed when it began to read."""

        def run() -> T:
            with translated(self._file, _HOLDING):
                return work(self._reading)

        return await asyncio.get_running_loop().run_in_executor(self._reader, run)

    def look_up(self, query: str, arguments: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query, here and now: for what takes microseconds. Holding the folder, it never waits."""
        with translated(self._file, _HOLDING):
            return self._quick.execute(query, arguments).fetchall()

    async def save(self, source: str, entries: Mapping[str, Json]) -> None:
        """Save these entries of this source, all or nothing; they survive ``kill -9``, but maybe not a power failure.

        Saves of one source take effect in the order they were made.
        """
        await self.commit(_save(source, entries), len(entries))

    async def commit(self, work: Callable[[sqlite3.Connection], None], entries: int) -> None:
        """Run ``work``, which writes so many rows, in one transaction; it survives ``kill -9``, but maybe not a power
        failure. What few rows need is done here and now. All of these take effect in the order they were made."""
        self._saves += 1
        # A save that waits must not be overtaken, and now and then one has to go where the log is copied back.
        if entries <= _SMALL and not self._waiting_saves and self._saves % _SAVES_PER_SYNC:
            self._check()
            try:
                with translated(self._file, _HOLDING):
                    return transaction(self._quick, work)
            except StateError as error:
                if not is_busy(error.__cause__):
                    raise
        self._waiting_saves += 1
        saving = self._writer.submit(work)
        saving.add_done_callback(self._has_waited)
        # Shielded, because a cancelled one may be under way in the thread: it still counts as waiting.
        return await asyncio.shield(saving)

    async def insist(self, write: Callable[[], Awaitable[T]], what_waits: str) -> T:
        """What ``write`` returns. While it raises StateError it is tried again, for as long as it takes: ``error`` then
        says why, and the log what waits."""
        waiter, backoff = object(), Backoff()
        try:
            while True:
                try:
                    return await write()
                except StateError as error:
                    self._insisting[waiter] = str(error)
                    log.error("%s: %s", what_waits, error)
                await asyncio.sleep(backoff.next())
        finally:
            self._insisting.pop(waiter, None)

    @property
    def error(self) -> str:
        """Why the folder cannot be written, as long as something waits for it; empty when nothing does."""
        return next(iter(self._insisting.values()), "")

    def close(self) -> None:
        """Finish what is being written, and let go of the folder. Idempotent."""
        self._writer.close()
        self._reader.shutdown(cancel_futures=True)
        for connection in (self._reading, self._writing, self._quick):
            connection.close()
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self) -> None:
        """Raise StateError when the file is not there any more: SQLite would go on to write where nobody finds it."""
        if _identity(self._file) != self._identity:
            raise StateError(
                f"{self._file} was removed or replaced while it is in use; move it back, or restart to begin anew"
            )

    def _has_waited(self, _: object) -> None:
        self._waiting_saves -= 1


class _SourcePositions:
    """The positions of one source in a state folder."""

    def __init__(self, state: StateDir, source: str) -> None:
        self._state = state
        self._source = source

    def load(self) -> dict[str, Json]:
        """Everything saved so far."""
        rows = self._state.look_up("SELECT key, value FROM positions WHERE source = ?", (self._source,))
        return {key.decode("utf-8", "surrogatepass"): json.loads(value) for key, value in rows}

    async def save(self, entries: Mapping[str, Json]) -> None:
        """Remember these; None forgets the key."""
        await self._state.save(self._source, entries)


def _save(source: str, entries: Mapping[str, Json]) -> Callable[[sqlite3.Connection], None]:
    # Keys are bytes, because names of files need not be valid text.
    kept, forgotten = [], []
    for key, value in entries.items():
        name = key.encode("utf-8", "surrogatepass")
        if value is None:
            forgotten.append((source, name))
        else:
            kept.append((source, name, json.dumps(value)))

    def work(connection: sqlite3.Connection) -> None:
        connection.executemany(
            "INSERT INTO positions VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", kept
        )
        connection.executemany("DELETE FROM positions WHERE source = ? AND key = ?", forgotten)

    return work


def _take_lock(folder: Path) -> int:
    """The lock file, held by this process. flock, because the kernel lets go of it however the process ends."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        pid = os.read(lock, 32).decode("ascii", "replace").strip()
        os.close(lock)
        holder = f"process {pid}" if pid else "another process"
        raise StateError(
            f"the state folder {folder} is in use by {holder}; "
            "stop it first, or give this instance a state_dir of its own"
        ) from error
    except BaseException:
        os.close(lock)
        raise
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _identity(file: Path) -> tuple[int, int] | None:
    """What tells a file from another one at the same place; None when there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _prepare(file: Path) -> None:
    """Make the file, or bring it up to this version."""
    found = _version(file, _UPGRADES)
    if found == _VERSION:
        return
    with translated(file, _HOLDING):
        connection = connect(file, "FULL", wait=WAIT)
        try:
            if not found:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # so that a purge can give space back
                connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_UPGRADES[found] if found else _SCHEMA)
        finally:
            connection.close()


def _version(file: Path, taken: Collection[int] = ()) -> int:
    """The version of the schema in the file, 0 when there is none yet. Raises StateError for one that is neither this
    one nor among those ``taken``."""
    if not file.exists():
        return 0
    with translated(file, _HOLDING):
        connection = connect(file, "NORMAL", wait=WAIT)
        try:
            version: int = connection.execute("PRAGMA user_version").fetchone()[0]
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # reads the schema: is it a database?
        finally:
            connection.close()
    if version in _UPGRADES and version not in taken:
        raise StateError(f"{file} is of an older version of sluiceway; `sluiceway run` brings it up to date")
    if version not in (0, _VERSION, *taken):
        which = "a newer" if version > _VERSION else "an older"
        raise StateError(
            f"{file} is of {which} version of sluiceway (schema {version}; this one knows {_VERSION}); "
            "run that version, or give this instance another state_dir"
        )
    return version
