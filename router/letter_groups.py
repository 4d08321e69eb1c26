"""Dead letters by what became of them: alike are those of one flow, stage, source, sink, rule and reason."""

from __future__ import annotations

import sqlite3
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from router.letter_filter import Where

_EVER: Final = 1 << 62
_ALIKE: Final = ("flow", "stage", "source", "sink", "rule", "reason")

_COUNTS: Final = (
    # The length of a payload stands beside it: no page of a long one is read.
    "SELECT kind, count(*), sum(length(value)), min(time), max(time), max(letters.id) FROM letters"
)


class LetterGroup(Struct, frozen=True):
    """Letters that are alike: how many, the bytes of their payloads, and when the first and the last came (Unix
    nanoseconds)."""

    flow: str
    stage: str
    source: str
    sink: str
    rule: str
    reason: str
    count: int
    bytes: int
    oldest: int
    newest: int
    newest_id: int


def groups(connection: sqlite3.Connection, where: Where) -> list[LetterGroup]:
    """The groups of these letters, the largest first."""
    condition, arguments = where.condition(0, _EVER)
    counted = connection.execute(f"{_COUNTS} WHERE {condition} GROUP BY kind", arguments).fetchall()
    kinds = {
        id_: texts
        for id_, *texts in connection.execute(f"SELECT id, {', '.join(_ALIKE)} FROM kinds")  # noqa: S608 - constants
    }
    found: dict[tuple[str, ...], LetterGroup] = {}
    for kind, *counts in counted:  # versions of rules make several kinds of one group
        group = LetterGroup(*kinds[kind], *counts)
        key = tuple(kinds[kind])
        found[key] = _joined(found[key], group) if key in found else group
    return sorted(found.values(), key=lambda group: (-group.count, -group.newest_id))


def _joined(one: LetterGroup, other: LetterGroup) -> LetterGroup:
    return replace(
        one,
        count=one.count + other.count,
        bytes=one.bytes + other.bytes,
        oldest=min(one.oldest, other.oldest),
        newest=max(one.newest, other.newest),
        newest_id=max(one.newest_id, other.newest_id),
    )
