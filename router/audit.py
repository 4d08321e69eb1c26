"""The audit: who did what to this instance, and when, in a table of the state folder to which entries are only added.

The daemon writes to it, and so do the commands that change something while no daemon runs; entries of all are one
chain (``router.audit_chain``).
"""

from __future__ import annotations

import logging
import os
import pwd
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from router.audit_chain import COLUMNS, TRIGGERS, Checked, Entry, append, canonical, follow, moment
from router.errors import StateError
from router.metrics import Metrics
from router.state import StateDir
from router.storable import tame_text

log = logging.getLogger(__name__)

ACTIONS = ("start", "stop", "reload", "reload_refused", "pause", "resume", "replay", "purge", "apply", "amend")
"""What is recorded."""
PAGE_ENTRIES = 500
WAITING_ENTRIES = 1000
"""So many entries that could not be written are kept in memory, to be written with the next one."""

_NOBODY = 4294967295
"""What the kernel has for the login of a process that nobody has logged in for."""


class Audit:
    """Writes the audit of a state folder. ``version`` gives that of the configuration that runs, which each entry
    carries; ``mask`` takes out what no entry may show."""

    def __init__(
        self,
        state: StateDir,
        version: Callable[[], str],
        mask: Callable[[str], str],
        metrics: Metrics | None = None,
    ) -> None:
        self._state = state
        self._version = version
        self._mask = mask
        self._metrics = metrics
        self._waiting: deque[Callable[[sqlite3.Connection], Entry]] = deque(maxlen=WAITING_ENTRIES)

    async def record(self, action: str, actor: str, detail: Mapping[str, Any], *, required: bool = False) -> None:
        """Write an entry; it survives a power failure when this returns.

        Where the state folder cannot be written, what was done goes on: the entry is logged as an error, counted in
        ``sluiceway_audit_failures_total``, and written, with its own time, before the next one that can be. With
        ``required`` it raises StateError instead: what is to be recorded must then not happen.
        """
        write = self.writing(action, actor, detail)
        before = list(self._waiting)
        self._waiting.clear()  # whoever records meanwhile must not write them, too
        try:
            entries = await self._state.write(partial(_write_all, writes=[*before, write]))
        except StateError as error:
            self._waiting.extendleft(reversed(before))
            if self._metrics is not None:
                self._metrics.audit_failures.labels(action).inc()
            log.error("the audit cannot be written (%s by %s: %s): %s", action, actor, canonical(detail), error)
            if required:
                raise
            self._waiting.append(write)
            return
        tell(entries[-1])

    def writing(self, action: str, actor: str, detail: Mapping[str, Any]) -> Callable[[sqlite3.Connection], Entry]:
        """What writes an entry, with the time it is now, within a transaction that does something else, too: both
        happen, or neither."""
        text = canonical(_masked(detail, self._mask))
        return partial(
            append, time=moment(time.time()), action=action, actor=self._mask(tame_text(actor)),
            version=self._version(), detail=text,
        )  # fmt: skip


def tell(entry: Entry) -> None:
    """Have the log say that an entry was written."""
    log.info("audit: %s by %s (entry %d, %s)", entry.action, entry.actor, entry.id, entry.hash)


class Wanted(Struct, frozen=True):
    """Which entries: those since then and before then (Unix seconds), and of one of these actions."""

    since: float | None = None
    until: float | None = None
    actions: Collection[str] = ()

    def condition(self) -> tuple[str, list[object]]:
        """A condition on ``audit``, and what is bound in it."""
        conditions, arguments = ["id > ?"], list[object]()
        for bound, seconds in (("time >= ?", self.since), ("time < ?", self.until)):
            if seconds is not None:
                conditions.append(bound)
                arguments.append(moment(seconds))
        if self.actions:
            conditions.append(f"action IN ({', '.join('?' * len(self.actions))})")
            arguments += self.actions
        return " AND ".join(conditions), arguments


_EVERY = Wanted()
_NO_ID = 1 << 62
"""Above every id."""


async def find(state: StateDir, wanted: Wanted = _EVERY, after: int = 0) -> AsyncIterator[Entry]:
    """The entries that are wanted, with ids above ``after``, the oldest first, read some at a time."""
    while page := await state.read(partial(_page, wanted=wanted, after=after)):
        for entry in page:
            yield entry
        after = page[-1].id


async def verify(state: StateDir, head: str | None = None) -> Checked:
    """Follow the whole chain; ``head`` is the hash of an entry that must be in it."""
    return await state.read(partial(_verify, head=head))


def os_user() -> str:
    """Who runs this process, as the system knows: with who has logged in, where that is somebody else."""
    name = _user(os.getuid())
    try:
        login = int(Path("/proc/self/loginuid").read_text())
    except (OSError, ValueError):
        login = _NOBODY
    return f"user {name}" if login in (_NOBODY, os.getuid()) else f"user {name}, logged in as {_user(login)}"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    """A JSON value with its texts masked."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {mask(str(name)): _masked(inner, mask) for name, inner in value.items()}
    if isinstance(value, Collection) and not isinstance(value, bytes):
        return [_masked(inner, mask) for inner in value]
    return value


def _write_all(
    connection: sqlite3.Connection, *, writes: Collection[Callable[[sqlite3.Connection], Entry]]
) -> list[Entry]:
    return [write(connection) for write in writes]


def newest(
    connection: sqlite3.Connection, *, wanted: Wanted = _EVERY, before: int | None = None, limit: int = PAGE_ENTRIES
) -> list[Entry]:
    """So many of the entries that are wanted, with ids below ``before``, the newest first."""
    condition, arguments = wanted.condition()
    query = f"SELECT {COLUMNS} FROM audit WHERE {condition} AND id < ? ORDER BY id DESC LIMIT ?"  # noqa: S608 - constants; values are bound
    return [Entry(*row) for row in connection.execute(query, (0, *arguments, before or _NO_ID, limit))]


def _page(connection: sqlite3.Connection, *, wanted: Wanted, after: int) -> list[Entry]:
    condition, arguments = wanted.condition()
    query = f"SELECT {COLUMNS} FROM audit WHERE {condition} ORDER BY id LIMIT ?"  # noqa: S608 - constants; values are bound
    return [Entry(*row) for row in connection.execute(query, (after, *arguments, PAGE_ENTRIES))]


def _verify(connection: sqlite3.Connection, *, head: str | None) -> Checked:
    connection.execute("BEGIN")  # one look at all of it, whoever writes meanwhile
    try:
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
        given = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").fetchone()
        rows = connection.execute(f"SELECT {COLUMNS} FROM audit ORDER BY id")  # noqa: S608 - constants
        checked = follow((Entry(*row) for row in rows), given[0] if given else 0, head)
    finally:
        connection.execute("COMMIT")
    if not checked.broken and (gone := TRIGGERS - there):
        what = f"what keeps the table append-only was taken away ({', '.join(sorted(gone))})"
        return Checked(checked.sound, checked.last, what, checked.found)
    return checked
