"""Dead letters: what could not be handled, kept whole in the state folder until it is replayed, moved to a sink,
purged, or too old or too much.

Everything here works while a daemon runs and while none does. Whatever changes many letters does so some hundred at a
time, so that a daemon and a command never keep each other waiting for long.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from functools import partial

from router.letter import Letter
from router.letter_amendment import Amendment, OnItsWay, amend
from router.letter_filter import Where
from router.letter_groups import LetterGroup, groups
from router.letter_table import LETTERS, add, delete, existing, select
from router.moves import Moves
from router.retention import Retention
from router.state import StateDir

PAGE_LETTERS = 500
PAGE_BYTES = 4 << 20
MOVED_LETTERS = 1_000

_EVERY = Where()
_OVERHEAD = 150
"""About so many bytes does a letter take besides its payload."""


class DeadLetters:
    """The dead letters of a state folder. Every method raises StateError when the store cannot be read or written."""

    def __init__(self, state: StateDir, retention: Retention | None = None) -> None:
        self.state = state
        self.news = asyncio.Event()
        """Set, once, when letters come; another one then takes its place."""
        self._retention = retention or Retention()
        self._busy: set[int] = set()
        self._taking = asyncio.Lock()

    def retain(self, retention: Retention) -> None:
        """From now on, keep letters within these bounds."""
        self._retention = retention

    async def add_many(self, letters: Sequence[Letter], *, replayed: Collection[int] = ()) -> Counter[str]:
        """Keep these letters, and let go of those with the ids in ``replayed``, whose replay has ended: all or nothing,
        durable when it returns. Cancelled, it may or may not have happened. No content of a letter makes it fail.

        Letters that replace another one are kept only if that is still there: what was purged stays purged. Where they
        find no room, the oldest letters go: returns how many, by flow.
        """
        if not letters and not replayed:
            return Counter()
        expired = await self.state.write(partial(_add, letters=letters, replayed=replayed, retention=self._retention))
        self.release(replayed)
        self.news.set()
        self.news = asyncio.Event()
        return expired

    def counts(self) -> dict[str, int]:
        """How many letters each flow has; a flow that had some stays, with 0. Takes microseconds, never waits."""
        return dict(self.state.look_up("SELECT flow, sum(letters) FROM kinds GROUP BY flow"))

    async def find(self, where: Where = _EVERY) -> AsyncIterator[Letter]:
        """The letters there are now, oldest first, read from disk some at a time."""
        last, left = 0, where.limit
        end = await self.state.read(_last_id)
        while left is None or left > 0:
            letters = await self.state.read(partial(_page, where=where, after=last, end=end, limit=left))
            if not letters:
                return
            for letter in letters:
                yield letter
            last = letters[-1].id
            left = None if left is None else left - len(letters)

    async def ids(self, where: Where = _EVERY) -> AsyncIterator[list[int]]:
        """The ids of the letters there are now, in pages, found without a lock, so that only a change holds one."""
        last, left = 0, where.limit
        end = await self.state.read(_last_id)
        while left is None or left > 0:
            ids = await self.state.read(partial(_id_page, where=where, after=last, end=end, limit=left))
            if not ids:
                return
            yield ids
            last = ids[-1]
            left = None if left is None else left - len(ids)

    async def groups(self, where: Where = _EVERY) -> list[LetterGroup]:
        """The letters there are now, counted by what became of them, the largest groups first. Looks at each letter,
        but not at its payload."""
        return await self.state.read(partial(groups, where=where))

    async def purge(
        self, pages: AsyncIterator[Collection[int]], also: Callable[[sqlite3.Connection], object] | None = None
    ) -> int:
        """Delete the letters with these ids; how many there were. The space is given back to the disk. Cancelled, or
        failed, some are deleted and others not.

        ``also`` is done in the transaction that deletes the first ones, once there is room: both happen, or neither.
        """
        purged = 0
        async for ids in pages:
            deleted = await self.state.write(partial(_purge, ids=ids, also=also))
            purged, also = purged + deleted.total(), None
        while purged and await self.give_back():
            pass
        return purged

    async def give_back(self, most: int = PAGE_LETTERS) -> int:
        """Return some free pages of the file to the disk, so many at most; how many are left."""
        return await self.state.write(partial(_give_back, most=most))

    async def take(self, read: Callable[[sqlite3.Connection, Collection[int]], list[Letter]]) -> list[Letter]:
        """Letters that ``read`` finds, besides those that are taken already, which it is given. They are taken until
        they are released, or deleted; a letter is not lost if the process dies meanwhile."""
        async with self._taking:
            taken = list(self._busy)
            letters = await self.state.read(lambda connection: read(connection, taken))
            self._busy.update(letter.id for letter in letters)
            return letters

    async def spare(self, write: Callable[[sqlite3.Connection, Collection[int]], int]) -> int:
        """What ``write`` returns, which is given the letters that are taken, to spare them."""
        async with self._taking:
            taken = list(self._busy)
            return await self.state.write(lambda connection: write(connection, taken))

    def release(self, ids: Iterable[int]) -> None:
        """These letters are not taken any more."""
        self._busy.difference_update(ids)

    async def amend(
        self,
        id_: int,
        amendment: Amendment,
        also: Callable[[sqlite3.Connection], object] | None = None,
    ) -> Letter:
        """Have a replay of a letter send something else; what came first is kept in it. ``also`` is done in the same
        transaction. Returns the letter. Raises LookupError where there is none, and OnItsWay where it is being replayed
        or moved, or is to be."""
        async with self._taking:
            if id_ in self._busy:
                raise OnItsWay(id_)
            return await self.state.write(partial(amend, id_=id_, amendment=amendment, also=also))

    async def movable(self, moves: Moves, sink: str, after: int) -> list[Letter]:
        """Take letters with ids above ``after`` that wait to be moved to a sink, some of the oldest."""
        return await self.take(partial(_movable, moves=moves, sink=sink, after=after))

    async def moved(self, ids: Collection[int], stuck: Collection[int]) -> None:
        """These letters are safe in the sink, and go; those are not wanted there, and stay."""
        await self.state.write(partial(_moved, ids=ids, stuck=stuck))
        self.release((*ids, *stuck))

    async def unstick(self) -> None:
        """What a sink did not want is to be tried again."""
        await self.state.write(lambda connection: connection.execute("DELETE FROM stuck"))

    async def expire(self, after: int) -> tuple[int | None, Counter[str]]:
        """Delete what is too old, of a page of letters with ids above ``after``; the id at which to go on, None at the
        end of the old ones, and how many are gone, by flow."""
        if self._retention.age is None:
            return None, Counter()
        return await self.state.write(partial(self._retention.expire, after=after, now=time.time_ns()))

    async def make_room(self) -> tuple[bool, Counter[str]]:
        """Delete some of the oldest letters, if all take more room than they may; whether to go on, and how many are
        gone, by flow."""
        if self._retention.size is None:
            return False, Counter()
        return await self.state.write(partial(self._retention.make_room, size=0))

    def pages(self) -> tuple[int, int, int]:
        """How many pages the file has, how many of them are free, and how many bytes a page is. Never waits."""
        [found] = self.state.look_up("SELECT * FROM pragma_page_count, pragma_freelist_count, pragma_page_size")
        return found


def _add(
    connection: sqlite3.Connection, *, letters: Sequence[Letter], replayed: Collection[int], retention: Retention
) -> Counter[str]:
    again = {letter.replaces for letter in letters if letter.replaces}
    if again:
        there = existing(connection, again)
        letters = [letter for letter in letters if not letter.replaces or letter.replaces in there]
    size = sum(_OVERHEAD + len(letter.value) + len(letter.out_value or b"") for letter in letters)
    _, expired = retention.make_room(connection, size)
    add(connection, letters)
    delete(connection, [id_ for id_ in replayed if id_ not in again], "delivered")
    delete(connection, again, "again")
    return expired


def _purge(
    connection: sqlite3.Connection, *, ids: Collection[int], also: Callable[[sqlite3.Connection], object] | None
) -> Counter[str]:
    deleted = delete(connection, ids)
    if also is not None:
        also(connection)
    return deleted


def _movable(
    connection: sqlite3.Connection, taken: Collection[int], *, moves: Moves, sink: str, after: int
) -> list[Letter]:
    goes, arguments = moves.condition(sink)
    return select(
        connection,
        f"{LETTERS} WHERE letters.id > ? AND {goes} "  # noqa: S608 - constants; values are bound
        "AND letters.id NOT IN (SELECT value FROM json_each(?)) "
        "AND NOT EXISTS (SELECT 1 FROM replays WHERE replays.id = letters.id) "
        "AND NOT EXISTS (SELECT 1 FROM stuck WHERE stuck.id = letters.id) ORDER BY letters.id",
        (after, *arguments, json.dumps(list(taken))),
        MOVED_LETTERS,
        PAGE_BYTES,
    )


def _moved(connection: sqlite3.Connection, *, ids: Collection[int], stuck: Collection[int]) -> None:
    delete(connection, ids)
    listed = (json.dumps(list(stuck)),)
    connection.execute(
        "INSERT OR IGNORE INTO stuck SELECT id FROM letters WHERE id IN (SELECT value FROM json_each(?))", listed
    )


def _give_back(connection: sqlite3.Connection, *, most: int) -> int:
    left: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    for _ in range(min(left, most)):
        connection.execute("PRAGMA incremental_vacuum(1)")  # Python's module takes one step of it, whatever the number
    return left - min(left, most)


def _last_id(connection: sqlite3.Connection) -> int:
    last: int = connection.execute("SELECT coalesce(max(id), 0) FROM letters").fetchone()[0]
    return last


def _page(connection: sqlite3.Connection, *, where: Where, after: int, end: int, limit: int | None) -> list[Letter]:
    condition, arguments = where.condition(after, end)
    return select(connection, f"{LETTERS} WHERE {condition} ORDER BY letters.id", arguments, _most(limit), PAGE_BYTES)


def _id_page(connection: sqlite3.Connection, *, where: Where, after: int, end: int, limit: int | None) -> list[int]:
    condition, arguments = where.condition(after, end)
    query = f"SELECT id FROM letters WHERE {condition} ORDER BY id LIMIT ?"  # noqa: S608 - constants; values are bound
    return [id_ for (id_,) in connection.execute(query, (*arguments, _most(limit)))]


def _most(limit: int | None) -> int:
    return PAGE_LETTERS if limit is None else min(limit, PAGE_LETTERS)
