"""Transactions made on a thread of their own, and shared: what comes while one is under way waits for the next one, and
all of it for the disk but once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Generic, TypeVar

from router.sqlite import transaction

T = TypeVar("T")

_GROUP = 64
"""Writes that share a transaction at most, so that none waits for long."""


class Writer:
    """Writes to a connection that nobody else uses. ``check``, before each transaction, raises what makes it fail;
    ``translated`` makes other errors of those of SQLite."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        check: Callable[[], None],
        translated: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._connection = connection
        self._check = check
        self._translated = translated
        self._unwritten: deque[_Write[Any]] = deque()
        self._thread = ThreadPoolExecutor(1, "state-writer")

    def submit(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Run ``work`` within a transaction, after all that was submitted before, all of it or, if it fails, nothing;
        its result. Cancelled, it may or may not happen."""
        entry = _Write(work)
        self._unwritten.append(entry)
        self._thread.submit(self._write_some)
        return asyncio.wrap_future(entry.done)

    def close(self) -> None:
        """Finish what was submitted. Idempotent."""
        self._thread.shutdown()

    def _write_some(self) -> None:
        """Write, in one transaction, all that there is by now, or the first ``_GROUP``."""
        entries: list[_Write[Any]] = []
        while self._unwritten and len(entries) < _GROUP:
            entry = self._unwritten.popleft()
            if entry.done.set_running_or_notify_cancel():
                entries.append(entry)
        failed: Exception | None = None
        try:
            self._check()
            if len(entries) == 1:
                transaction(self._connection, entries[0].run)
            elif entries:
                transaction(self._connection, partial(_run_apart, entries))
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits for it is told
            failed = error
        for entry in entries:
            entry.settle(failed, self._translated)


class _Write(Generic[T]):
    """Something that is to be written, and what became of it."""

    def __init__(self, work: Callable[[sqlite3.Connection], T]) -> None:
        self.done: Future[T] = Future()
        self._work = work
        self._error: Exception | None = None
        self._result: list[T] = []

    def run(self, connection: sqlite3.Connection) -> None:
        """Do it, within a transaction."""
        self._result = [self._work(connection)]

    def fail(self, error: Exception) -> None:
        """It was not done, whatever becomes of the transaction."""
        self._error = error

    def settle(self, error: Exception | None, translated: Callable[[], AbstractContextManager[None]]) -> None:
        """Tell who waits: the transaction has ended, with this error if any."""
        try:
            with translated():
                if (failed := error or self._error) is not None:
                    raise failed
        except Exception as told:  # noqa: BLE001 - whatever it is, who waits for it is told
            self.done.set_exception(told)
        else:
            self.done.set_result(self._result[0])


def _run_apart(entries: Sequence[_Write[Any]], connection: sqlite3.Connection) -> None:
    """Do them so that none fails because of another. Raises only what has ended the whole transaction."""
    for entry in entries:
        connection.execute("SAVEPOINT one")
        try:
            entry.run(connection)
        except Exception as error:
            if not connection.in_transaction:  # SQLite rolled everything back, as it may when the disk is full
                raise
            connection.execute("ROLLBACK TO one")
            entry.fail(error)
        connection.execute("RELEASE one")
