"""The tables of dead letters: what is done with them within a transaction.

Letters are counted by kind as they come and go, so that nobody has to count them.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Literal

from router.letter import Letter
from router.letter_rows import COLUMNS, KIND, Kind, Row, kind_of, letter_of, row_of, tamed
from router.storable import UNSTORABLE

End = Literal["delivered", "again", "gone"]
"""What became of a letter whose replay was requested: delivered, a new letter, or nothing that is known."""

LETTERS = "letters CROSS JOIN kinds ON kinds.id = kind"
"""Letters with their kinds, in the order of their ids."""
_NAMES = ", ".join(COLUMNS)
_WHOLE = f"letters.id, {_NAMES}, {', '.join(KIND)}"
_ROWS = 50
"""Letters that one statement adds: fewer statements are quicker, and interrupt the event loop less."""


def add(connection: sqlite3.Connection, letters: Sequence[Letter]) -> None:
    """Add letters. No content of one makes it fail."""
    connection.execute("SAVEPOINT plain")
    try:
        _insert(connection, letters)
    except (*UNSTORABLE, sqlite3.ProgrammingError, sqlite3.InterfaceError):
        # Something that UTF-8, msgpack or SQLite cannot hold, in some letter: rare, and no reason to lose any.
        connection.execute("ROLLBACK TO plain")
        _insert(connection, [tamed(letter) for letter in letters])
    connection.execute("RELEASE plain")


def _insert(connection: sqlite3.Connection, letters: Sequence[Letter]) -> None:
    kinds = list(map(kind_of, letters))
    numbers = {kind: _number(connection, kind, many) for kind, many in Counter(kinds).items()}
    rows: list[Row] = [row_of(letter, numbers[kind]) for letter, kind in zip(letters, kinds, strict=True)]
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        connection.execute(_insertion(len(some)), list(chain.from_iterable(some)))


def _insertion(rows: int) -> str:
    one = f"({', '.join('?' * len(COLUMNS))})"
    return f"INSERT INTO letters ({_NAMES}) VALUES {', '.join([one] * rows)}"  # noqa: S608 - constants


def _number(connection: sqlite3.Connection, kind: Kind, letters: int) -> int:
    """The id of a kind that gets so many letters more."""
    counted = connection.execute(
        f"UPDATE kinds SET letters = letters + ? WHERE ({', '.join(KIND)}) = (?, ?, ?, ?, ?, ?, ?) RETURNING id",  # noqa: S608 - constants
        (letters, *kind),
    ).fetchall()
    if counted:
        return int(counted[0][0])
    # Of a flow without letters one kind is enough to say so, and it now has this one.
    connection.execute("DELETE FROM kinds WHERE flow = ? AND letters = 0", kind[:1])
    made = connection.execute(
        f"INSERT INTO kinds ({', '.join(KIND)}, letters) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
        (*kind, letters),
    )
    return int(made.lastrowid or 0)


def existing(connection: sqlite3.Connection, ids: Collection[int]) -> set[int]:
    """Which of these letters there are."""
    listed = (json.dumps(list(ids)),)
    found = connection.execute("SELECT id FROM letters WHERE id IN (SELECT value FROM json_each(?))", listed)
    return {id_ for (id_,) in found}


def delete(connection: sqlite3.Connection, ids: Collection[int], end: End = "gone") -> Counter[str]:
    """Delete these letters; how many there were, by flow. ``end`` is what who asked for their replay is told."""
    if not ids:
        return Counter()
    listed = (json.dumps(list(ids)),)
    those = "WHERE id IN (SELECT value FROM json_each(?))"
    deleted = connection.execute(f"DELETE FROM letters {those} RETURNING kind", listed).fetchall()  # noqa: S608 - constants
    connection.execute(f"DELETE FROM stuck {those}", listed)  # noqa: S608 - constants
    jobs = connection.execute(f"DELETE FROM replays {those} RETURNING job", listed).fetchall()  # noqa: S608 - constants
    connection.executemany(
        f"UPDATE jobs SET {end} = {end} + ? WHERE id = ?",  # noqa: S608 - one of three words
        [(many, job) for (job,), many in Counter(jobs).items()],
    )
    return _uncount(connection, Counter(kind for (kind,) in deleted))


def _uncount(connection: sqlite3.Connection, kinds: Mapping[int, int]) -> Counter[str]:
    flows: Counter[str] = Counter()
    for kind, letters in kinds.items():
        [(flow,)] = connection.execute(
            "UPDATE kinds SET letters = letters - ? WHERE id = ? RETURNING flow", (letters, kind)
        ).fetchall()
        flows[flow] += letters
    return flows


def select(
    connection: sqlite3.Connection, source: str, arguments: Sequence[object], most: int, size: int
) -> list[Letter]:
    """The first letters of ``source`` (what stands behind FROM: ``letters``, ``kinds`` and so on), ``most`` at most,
    until their payloads reach ``size`` bytes; one at least."""
    letters: list[Letter] = []
    cursor = connection.execute(f"SELECT {_WHOLE} FROM {source} LIMIT ?", (*arguments, most))  # noqa: S608 - constants
    for row in cursor:
        letters.append(letter_of(row))
        size -= len(letters[-1].value) + len(letters[-1].out_value or b"")
        if size <= 0:
            break
    cursor.close()
    return letters
