"""How long dead letters are kept: by age and by the room they take, a page of them at a time.

What waits to be replayed or to be moved is never deleted: it has a place to go to.
"""

from __future__ import annotations

import sqlite3
from collections import Counter

from msgspec import Struct, field

from router.letter_table import delete
from router.moves import Moves

PAGE = 500
_PAGES_AT_ONCE = 8


class Retention(Struct):
    """``age`` in seconds, ``size`` in bytes of the file; None: no bound."""

    age: float | None = None
    size: int | None = None
    moves: Moves = field(default_factory=Moves)
    reached: int = 0
    """The id up to which room was last made: where to go on, round and round."""

    def make_room(self, connection: sqlite3.Connection, size: int) -> tuple[bool, Counter[str]]:
        """Within a transaction, delete the oldest letters until so many bytes more fit in, or some pages of them were
        looked at; whether to go on with the next ones, and how many are gone, by flow."""
        expired: Counter[str] = Counter()
        if self.size is None:
            return False, expired
        for _ in range(_PAGES_AT_ONCE):
            if used_bytes(connection) + size <= self.size or not self._can_make_room(connection):
                return False, expired
            page = self._page(connection, self.reached)
            self.reached = page[-1][0] if page else 0
            expired += delete(connection, [id_ for id_, _, waits in page if not waits])
            if not page:
                return False, expired
        return True, expired

    def _can_make_room(self, connection: sqlite3.Connection) -> bool:
        """Whether there are letters that wait for nothing: it would be in vain to look at a million that do."""
        moved, arguments = self.moves.condition()
        query = (
            f"SELECT (SELECT coalesce(sum(letters), 0) FROM kinds WHERE NOT {moved}) "  # noqa: S608 - constants; values are bound
            "+ EXISTS (SELECT 1 FROM stuck)"
        )
        return bool(connection.execute(query, arguments).fetchone()[0] > 0)

    def expire(self, connection: sqlite3.Connection, after: int, now: int) -> tuple[int | None, Counter[str]]:
        """Within a transaction, delete what is too old, of a page of letters with ids above ``after``; the id at which
        to go on, None at the end of the old ones, and how many are gone, by flow. ``now`` in Unix nanoseconds."""
        if self.age is None:
            return None, Counter()
        oldest = now - int(self.age * 1e9)
        page = self._page(connection, after)
        expired = delete(connection, [id_ for id_, time, waits in page if time < oldest and not waits])
        # Times rise with ids, but for what a change of the clock did.
        goes_on = any(time < oldest for _, time, _ in page)
        return page[-1][0] if goes_on else None, expired

    def _page(self, connection: sqlite3.Connection, after: int) -> list[tuple[int, int, int]]:
        """The id and the time of letters, and whether they wait for something."""
        moved, arguments = self.moves.condition()
        return connection.execute(
            "SELECT letters.id, time, "  # noqa: S608 - constants; values are bound
            "EXISTS (SELECT 1 FROM replays WHERE replays.id = letters.id) "
            f"OR ({moved} AND NOT EXISTS (SELECT 1 FROM stuck WHERE stuck.id = letters.id)) "
            "FROM letters CROSS JOIN kinds ON kinds.id = kind WHERE letters.id > ? ORDER BY letters.id LIMIT ?",
            (*arguments, after, PAGE),
        ).fetchall()


def used_bytes(connection: sqlite3.Connection) -> int:
    """How much of the file is in use."""
    (pages,), (free,), (size,) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
