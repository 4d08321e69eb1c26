"""What every SQLite file of the state folder has in common: how it is opened, written, and told about when it fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from router.errors import StateError

T = TypeVar("T")

WAIT = 30.0
"""Seconds that a thread waits for another process, which holds the lock for milliseconds at a time."""


def connect(file: Path, synchronous: str, *, wait: float = WAIT) -> sqlite3.Connection:
    """A connection for one thread at a time; which one may change between open() and close()."""
    connection = sqlite3.connect(file, timeout=wait, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    return connection


def transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """Run ``work`` in one transaction, all or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite may have rolled back by itself, when the disk is full
            connection.execute("ROLLBACK")
        raise
    return result


@contextmanager
def translated(file: Path, holding: str) -> Iterator[None]:
    """Raise what SQLite says about this file, which holds that, as a StateError that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise StateError(f"{file}: {_explain(error, holding)}") from error


def is_busy(error: BaseException | None) -> bool:
    """Whether SQLite gave up because another connection holds the lock."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _explain(error: sqlite3.Error, holding: str) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the upper bytes tell finer kinds apart
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return (
            f"the file is damaged ({error}); move it away to begin anew, "
            f"and try `sqlite3 FILE .recover` to save the {holding} in it"
        )
    if code == sqlite3.SQLITE_FULL:
        return f"the disk is full ({error}); make room, nothing was written in part"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"another process keeps the file locked ({error})"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"the file cannot be opened or written ({error}); check who owns it and the folder"
    if code == sqlite3.SQLITE_IOERR:
        return f"the disk failed ({error}); the system's log may know more, nothing was written in part"
    return str(error)
