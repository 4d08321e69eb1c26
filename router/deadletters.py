"""Dead letters: what could not be handled, kept whole in the state folder until it is replayed or purged.

A letter is deleted for one of three reasons: it was purged, its replay is delivered, or its replay became letters of
its own. Everything here works while a daemon runs and while none does. Whatever changes many letters does so some
hundred at a time, so that a daemon and a command never keep each other waiting for long.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from router.batch import Headers
from router.state import StateDir
from router.storable import UNSTORABLE, pack, tame, tame_headers, tame_text, tame_time, unpack

Stage = Literal["decode", "contract", "rule", "sink"]


@dataclass(slots=True, kw_only=True)
class Letter:
    """A record or a delivery that could not be handled.

    ``value``, ``key``, ``headers``, ``record_time`` and ``attributes`` are the record's, as the source gave them. At
    stage ``sink`` the ``out_`` fields are what was to be delivered; ``out_value`` is None at the other stages. What
    comes back from the store has lists for tuples, and text for values of types that msgpack does not know.
    """

    id: int = 0
    """Given by the store, rising, never given twice; 0 before."""
    time: int
    """When it became a dead letter, in Unix nanoseconds."""
    flow: str
    stage: Stage
    source: str
    rule: str = ""
    sink: str = ""
    reason: str
    """What kind of failure it was: one of few, as in the metric's label."""
    detail: str = ""
    """What exactly went wrong."""
    attempts: int = 1
    """How often its handling was tried: one more with each replay."""
    version: str = ""
    """The ruleset's version."""
    value: bytes
    key: bytes | None = None
    headers: Headers | None = None
    record_time: int | None = None
    """The record's own time, or when it was read, in Unix nanoseconds: a replay sees the same ``meta.time``."""
    attributes: Mapping[str, object] = field(default_factory=dict)
    out_value: bytes | None = None
    out_key: bytes | None = None
    out_headers: Headers | None = None
    out_settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which letters: those that agree with everything given, where several texts are given with any of them. ``since``
    and ``until`` (exclusive) are Unix nanoseconds; ``limit`` takes the oldest."""

    flow: str | None = None
    stage: str | Collection[str] | None = None
    sink: str | Collection[str] | None = None
    rule: str | Collection[str] | None = None
    source: str | Collection[str] | None = None
    reason: str | Collection[str] | None = None
    since: int | None = None
    until: int | None = None
    ids: Collection[int] | None = None
    limit: int | None = None


_EVERY = Where()

_COLUMNS = (
    # Short ones first: SQLite then finds them without reading the pages of a long payload.
    *("time", "flow", "stage", "source", "rule", "sink", "reason", "detail", "attempts", "version", "record_time"),
    *("key", "headers", "attributes", "out_key", "out_headers", "out_settings", "value", "out_value"),
)
_NAMES = ", ".join(_COLUMNS)
_INSERT = f"INSERT INTO letters ({_NAMES}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - constants
_CHANGED = {"time": "?", "reason": "?", "detail": "?", "attempts": "attempts + 1"}
_INSERT_AGAIN = (
    f"INSERT INTO letters ({_NAMES}) "  # noqa: S608 - constants
    f"SELECT {', '.join(_CHANGED.get(name, name) for name in _COLUMNS)} FROM letters WHERE id = ?"
)
_SELECT_REQUESTED = (
    f"SELECT letters.id, {_NAMES} FROM replays CROSS JOIN letters USING (id) "  # noqa: S608 - constants
    "WHERE replays.id NOT IN (SELECT value FROM json_each(?)) ORDER BY replays.id LIMIT ?"
)
_PAGE_LETTERS = 500
_PAGE_BYTES = 4 << 20


class DeadLetters:
    """The dead letters of a state folder. Every method raises StateError when the store cannot be read or written."""

    def __init__(self, state: StateDir) -> None:
        self._state = state
        self._claimed: set[int] = set()
        self._claiming = asyncio.Lock()

    async def add_many(self, letters: Sequence[Letter], *, replacing: Collection[int] = ()) -> None:
        """Keep these letters, in the place of those with the ids in ``replacing``: all or nothing, durable when it
        returns. Cancelled, it may or may not have happened. No content of a letter makes it fail."""
        if letters or replacing:
            await self._state.write(partial(_add, letters=letters, replacing=replacing))
            self._claimed.difference_update(replacing)

    def counts(self) -> dict[str, int]:
        """How many letters each flow has; a flow that had some stays, with 0. Takes microseconds, never waits."""
        return dict(self._state.look_up("SELECT flow, letters FROM letter_counts"))

    async def find(self, where: Where = _EVERY) -> AsyncIterator[Letter]:
        """The letters there are now, oldest first, read from disk some at a time."""
        last, left = 0, where.limit
        end = await self._state.read(_last_id)
        while left is None or left > 0:
            letters = await self._state.read(partial(_page, where=where, after=last, end=end, limit=left))
            if not letters:
                return
            for letter in letters:
                yield letter
            last = letters[-1].id
            left = None if left is None else left - len(letters)

    async def purge(self, where: Where) -> int:
        """Delete letters of those there are now; how many. The space is given back to the disk. Cancelled, or failed,
        some are deleted and others not."""
        purged = 0
        async for ids in self._ids(where):
            purged += await self._state.write(partial(_delete, ids=ids))
        while purged and await self._state.write(_give_back):
            pass
        return purged

    async def request_replay(self, where: Where) -> int:
        """Have letters of those there are now replayed, by the daemon that runs or the next one; how many that were
        not already waiting for it. Cancelled, or failed, some are requested and others not."""
        requested = 0
        async for ids in self._ids(where):
            requested += await self._state.write(partial(_request, ids=ids))
        return requested

    async def claim(self, limit: int = _PAGE_LETTERS, size: int = _PAGE_BYTES) -> list[Letter]:
        """Letters whose replay was requested, oldest first, at most ``limit`` and about ``size`` bytes of payload.

        A claimed letter is not claimed again until ``release()``, nor lost if the process dies: it stays until
        ``complete()``, ``fail()`` or an ``add_many()`` that replaces it.
        """
        async with self._claiming:
            letters = await self._state.read(partial(_requested, but=list(self._claimed), limit=limit, size=size))
            self._claimed.update(letter.id for letter in letters)
            return letters

    async def complete(self, ids: Collection[int]) -> None:
        """These claimed letters are delivered, durably: they go."""
        await self._state.write(partial(_delete, ids=ids))
        self._claimed.difference_update(ids)

    async def fail(self, failures: Mapping[int, tuple[str, str]]) -> None:
        """These claimed letters failed again, with this reason and detail: each becomes a new letter with one attempt
        more, whose replay is not requested. One that was purged meanwhile stays purged."""
        await self._state.write(partial(_fail, failures=failures))
        self._claimed.difference_update(failures)

    def release(self, ids: Iterable[int]) -> None:
        """These claimed letters were not tried to the end: they can be claimed again."""
        self._claimed.difference_update(ids)

    async def _ids(self, where: Where) -> AsyncIterator[list[int]]:
        """Ids in pages, found without a lock, so that only the change itself holds one."""
        last, left = 0, where.limit
        end = await self._state.read(_last_id)
        while left is None or left > 0:
            ids = await self._state.read(partial(_id_page, where=where, after=last, end=end, limit=left))
            if not ids:
                return
            yield ids
            last = ids[-1]
            left = None if left is None else left - len(ids)


def _add(connection: sqlite3.Connection, *, letters: Sequence[Letter], replacing: Collection[int]) -> None:
    connection.execute("SAVEPOINT plain")
    try:
        connection.executemany(_INSERT, map(_row, letters))
    except (*UNSTORABLE, sqlite3.ProgrammingError, sqlite3.InterfaceError):
        # Something that UTF-8, msgpack or SQLite cannot hold, in some letter: rare, and no reason to lose any.
        connection.execute("ROLLBACK TO plain")
        connection.executemany(_INSERT, map(_row, map(_tamed, letters)))
    connection.execute("RELEASE plain")
    _count(connection, Counter(tame_text(letter.flow) for letter in letters))
    _delete(connection, replacing)


def _delete(connection: sqlite3.Connection, ids: Collection[int]) -> int:
    listed = (json.dumps(list(ids)),)
    deleted = connection.execute(
        "DELETE FROM letters WHERE id IN (SELECT value FROM json_each(?)) RETURNING flow", listed
    ).fetchall()
    connection.execute("DELETE FROM replays WHERE id IN (SELECT value FROM json_each(?))", listed)
    flows = Counter(flow for (flow,) in deleted)
    _count(connection, {flow: -letters for flow, letters in flows.items()})
    return flows.total()


def _fail(connection: sqlite3.Connection, failures: Mapping[int, tuple[str, str]]) -> None:
    now = time.time_ns()
    listed = (json.dumps(list(failures)),)
    there = connection.execute(
        "SELECT flow FROM letters WHERE id IN (SELECT value FROM json_each(?))", listed
    ).fetchall()
    rows = [(now, tame_text(reason), tame_text(detail), id_) for id_, (reason, detail) in failures.items()]
    connection.executemany(_INSERT_AGAIN, rows)
    _count(connection, Counter(flow for (flow,) in there))
    _delete(connection, failures)


def _count(connection: sqlite3.Connection, flows: Mapping[str, int]) -> None:
    connection.executemany(
        "INSERT INTO letter_counts VALUES (?, ?) ON CONFLICT DO UPDATE SET letters = letters + excluded.letters",
        flows.items(),
    )


def _request(connection: sqlite3.Connection, ids: Sequence[int]) -> int:
    # Through letters: what was purged since the ids were found has no replay.
    return connection.execute(
        "INSERT OR IGNORE INTO replays SELECT id FROM letters WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(ids),),
    ).rowcount


def _give_back(connection: sqlite3.Connection) -> int:
    """Return some free pages to the disk; how many are left."""
    left: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    for _ in range(min(left, _PAGE_LETTERS)):
        connection.execute("PRAGMA incremental_vacuum(1)")  # Python's module takes one step of it, whatever the number
    return left - min(left, _PAGE_LETTERS)


def _last_id(connection: sqlite3.Connection) -> int:
    last: int = connection.execute("SELECT coalesce(max(id), 0) FROM letters").fetchone()[0]
    return last


def _page(connection: sqlite3.Connection, *, where: Where, after: int, end: int, limit: int | None) -> list[Letter]:
    cursor = _select(connection, f"id, {_NAMES}", where, after, end, limit)
    return _letters(cursor, _PAGE_BYTES)


def _id_page(connection: sqlite3.Connection, *, where: Where, after: int, end: int, limit: int | None) -> list[int]:
    return [id_ for (id_,) in _select(connection, "id", where, after, end, limit)]


def _requested(connection: sqlite3.Connection, *, but: list[int], limit: int, size: int) -> list[Letter]:
    return _letters(connection.execute(_SELECT_REQUESTED, (json.dumps(but), limit)), size)


def _select(
    connection: sqlite3.Connection, names: str, where: Where, after: int, end: int, limit: int | None
) -> sqlite3.Cursor:
    condition, arguments = _condition(where, after, end)
    most = _PAGE_LETTERS if limit is None else min(limit, _PAGE_LETTERS)
    return connection.execute(
        f"SELECT {names} FROM letters WHERE {condition} ORDER BY id LIMIT ?",  # noqa: S608 - constants; values are bound
        (*arguments, most),
    )


def _condition(where: Where, after: int, end: int) -> tuple[str, list[object]]:
    conditions, arguments = ["id > ?", "id <= ?"], list[object]([after, end])
    for name in ("flow", "stage", "sink", "rule", "source", "reason"):
        value = getattr(where, name)
        if value is not None:
            texts = [value] if isinstance(value, str) else list(value)
            conditions.append(f"{name} IN ({', '.join('?' * len(texts))})")
            arguments += map(tame_text, texts)
    if where.since is not None:
        conditions.append("time >= ?")
        arguments.append(where.since)
    if where.until is not None:
        conditions.append("time < ?")
        arguments.append(where.until)
    if where.ids is not None:
        conditions.append("id IN (SELECT value FROM json_each(?))")
        arguments.append(json.dumps(list(where.ids)))
    return " AND ".join(conditions), arguments


def _letters(cursor: sqlite3.Cursor, size: int) -> list[Letter]:
    """Letters until their payloads reach ``size``, one at least."""
    letters: list[Letter] = []
    for row in cursor:
        letters.append(_letter(row))
        size -= len(letters[-1].value) + len(letters[-1].out_value or b"")
        if size <= 0:
            break
    cursor.close()
    return letters


_EMPTY = b"\x80"  # an empty map


def _letter(row: tuple[Any, ...]) -> Letter:
    columns = dict(zip(("id", *_COLUMNS), row, strict=True))
    for name in ("headers", "out_headers"):
        packed = columns[name]
        columns[name] = None if packed is None else [(header, value) for header, value in unpack(packed)]
    for name in ("attributes", "out_settings"):
        columns[name] = unpack(columns[name])
    return Letter(**columns)


def _row(letter: Letter) -> tuple[object, ...]:
    return (
        letter.time,
        letter.flow,
        letter.stage,
        letter.source,
        letter.rule,
        letter.sink,
        letter.reason,
        letter.detail,
        letter.attempts,
        letter.version,
        letter.record_time,
        letter.key,
        None if letter.headers is None else pack(letter.headers),
        pack(letter.attributes) if letter.attributes else _EMPTY,
        letter.out_key,
        None if letter.out_headers is None else pack(letter.out_headers),
        pack(letter.out_settings) if letter.out_settings else _EMPTY,
        letter.value,
        letter.out_value,
    )


def _tamed(letter: Letter) -> Letter:
    """The letter without what cannot be stored: text that is no UTF-8 is escaped, immense integers become text."""
    tamed = replace(
        letter,
        record_time=tame_time(letter.record_time),
        headers=tame_headers(letter.headers),
        attributes=tame(letter.attributes),
        out_headers=tame_headers(letter.out_headers),
        out_settings=tame(letter.out_settings),
    )
    for name in ("flow", "stage", "source", "rule", "sink", "reason", "detail", "version"):
        setattr(tamed, name, tame_text(getattr(letter, name)))
    return tamed
