"""Dead letters that somebody repairs: what a replay sends is another record from then on."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from router.batch import Headers
from router.errors import SluicewayError
from router.letter import Letter, Original
from router.letter_rows import COLUMNS, row_of
from router.letter_table import LETTERS, select

_CHANGED = ("key", "came", "goes", "value", "out_value")


class OnItsWay(SluicewayError):
    """A letter is being replayed or moved, or is to be: it is too late to change what goes out."""

    def __init__(self, id_: int) -> None:
        super().__init__(f"the dead letter {id_} is on its way; withdraw its replay, or wait for its end")


class Amendment(Struct, frozen=True):
    """What takes the place of parts of a letter: of the record or, at stage ``sink``, of what is to go out. None: as it
    is."""

    value: bytes | None = None
    key: bytes | None = None
    headers: Headers | None = None

    def of(self, letter: Letter) -> Letter:
        """The letter with these in it; the first that was there stays its original."""
        now = time.time_ns()
        if letter.stage == "sink" and letter.out_value is not None:
            value, key, headers = letter.out_value, letter.out_key, letter.out_headers
            return replace(
                letter,
                out_value=value if self.value is None else self.value,
                out_key=key if self.key is None else self.key,
                out_headers=headers if self.headers is None else self.headers,
                original=letter.original or Original("outgoing", value, key, headers, now),
            )
        return replace(
            letter,
            value=letter.value if self.value is None else self.value,
            key=letter.key if self.key is None else self.key,
            headers=letter.headers if self.headers is None else self.headers,
            original=letter.original or Original("record", letter.value, letter.key, letter.headers, now),
        )

    def told(self, letter: Letter) -> dict[str, Any]:
        """What the audit is told of it: which letter, and sizes, but no contents."""
        is_outgoing = letter.stage == "sink" and letter.out_value is not None
        before = (letter.out_value if is_outgoing else letter.value) or b""
        return {
            "letter": letter.id,
            "flow": letter.flow,
            "stage": letter.stage,
            "changed": [name for name in ("value", "key", "headers") if getattr(self, name) is not None],
            "bytes": {"before": len(before), "after": len(before if self.value is None else self.value)},
        }


def amend(
    connection: sqlite3.Connection,
    *,
    id_: int,
    amendment: Amendment,
    also: Callable[[sqlite3.Connection], object] | None = None,
) -> Letter:
    """Change a letter within a transaction. Raises LookupError and OnItsWay."""
    if connection.execute("SELECT 1 FROM replays WHERE id = ?", (id_,)).fetchone():
        raise OnItsWay(id_)
    found = select(connection, f"{LETTERS} WHERE letters.id = ?", (id_,), 1, 1)
    if not found:
        raise LookupError(f"there is no dead letter {id_}")
    amended = amendment.of(found[0])
    row = dict(zip(COLUMNS, row_of(amended, 0), strict=True))
    changes = ", ".join(f"{name} = ?" for name in _CHANGED)
    connection.execute(
        f"UPDATE letters SET {changes} WHERE id = ?",  # noqa: S608 - constants
        (*(row[name] for name in _CHANGED), id_),
    )
    connection.execute("DELETE FROM stuck WHERE id = ?", (id_,))  # its sink may want it now
    if also is not None:
        also(connection)
    return amended
