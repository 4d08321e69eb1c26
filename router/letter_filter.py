"""Which dead letters are meant: a filter, and the SQL of it."""

from __future__ import annotations

import json
from collections.abc import Collection

from msgspec import Struct

from router.letter_rows import KIND
from router.storable import tame_text


class BadChoice(ValueError):
    """One of the filters means nothing: its name, and what would be right."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name
        self.why = why


class Where(Struct, frozen=True, kw_only=True):
    """Which letters: those that agree with everything given, where several texts are given with any of them. ``since``
    and ``until`` (exclusive) are Unix nanoseconds; ``limit`` takes the oldest, of those with an id above ``after``."""

    flow: str | Collection[str] | None = None
    stage: str | Collection[str] | None = None
    sink: str | Collection[str] | None = None
    rule: str | Collection[str] | None = None
    source: str | Collection[str] | None = None
    reason: str | Collection[str] | None = None
    since: int | None = None
    until: int | None = None
    ids: Collection[int] | None = None
    limit: int | None = None
    after: int = 0

    def condition(self, after: int, end: int) -> tuple[str, list[object]]:
        """A condition on ``letters``, of those with an id above ``after`` up to ``end``, and what is bound in it."""
        conditions, arguments = ["letters.id > ?", "letters.id <= ?"], list[object]([max(after, self.after), end])
        for bound, value in (("time >= ?", self.since), ("time < ?", self.until)):
            if value is not None:
                conditions.append(bound)
                arguments.append(value)
        if self.ids is not None:
            conditions.append("letters.id IN (SELECT value FROM json_each(?))")
            arguments.append(json.dumps(list(self.ids)))
        kinds, texts = self._kinds()
        if kinds:
            conditions.append(f"kind IN (SELECT id FROM kinds WHERE {kinds})")  # noqa: S608 - constants; values are bound
        return " AND ".join(conditions), [*arguments, *texts]

    def _kinds(self) -> tuple[str, list[str]]:
        conditions: list[str] = []
        arguments: list[str] = []
        for name in KIND[:-1]:
            value = getattr(self, name)
            if value is not None:
                texts = [value] if isinstance(value, str) else list(value)
                conditions.append(f"{name} IN ({', '.join('?' * len(texts))})")
                arguments += map(tame_text, texts)
        return " AND ".join(conditions), arguments
