"""The audit's table, and the chain of hashes in it: each entry carries the hash of the one before it.

An entry's hash is the SHA-256, in hexadecimal, of the canonical JSON of all the rest of it: keys sorted, no white
space, everything beyond ASCII escaped. The first one follows ``BEGINNING``.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from router.interfaces import Json

BEGINNING = "0" * 64
"""What stands for the hash of the entry before the first one."""

SCHEMA = """
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time TEXT NOT NULL,
    action TEXT NOT NULL,
    actor TEXT NOT NULL,
    version TEXT NOT NULL,
    detail TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE TRIGGER audit_keeps_what_is_written BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only: nothing in it is changed'); END;
CREATE TRIGGER audit_keeps_all_entries BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only: nothing is taken out of it'); END;
CREATE TRIGGER audit_grows_at_its_end BEFORE INSERT ON audit
WHEN NEW.id IS NOT (SELECT coalesce(max(id), 0) + 1 FROM audit)
BEGIN SELECT RAISE(ABORT, 'the audit is append-only: the next entry comes after the last one'); END;
"""  # the last one also keeps INSERT OR REPLACE, which fires no trigger of deletion, from replacing an entry

TRIGGERS = frozenset({"audit_keeps_what_is_written", "audit_keeps_all_entries", "audit_grows_at_its_end"})


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that was done, by whom, and with which version of the configuration. ``detail`` is JSON text."""

    id: int
    time: str
    """When, in UTC, to the microsecond, as RFC 3339 has it."""
    action: str
    actor: str
    version: str
    detail: str
    previous: str
    hash: str = ""

    @property
    def digest(self) -> str:
        """The hash that the rest of the entry gives; empty when its detail is no JSON."""
        try:
            whole = self.as_json()
        except ValueError:
            return ""
        del whole["hash"]
        return hashlib.sha256(canonical(whole).encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values. Raises ValueError when its detail is no JSON."""
        return {name: getattr(self, name) for name in NAMES} | {"detail": json.loads(self.detail)}


NAMES = tuple(field.name for field in fields(Entry))
COLUMNS = ", ".join(NAMES)


def canonical(value: Json | Mapping[str, Any]) -> str:
    """The one JSON text of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def moment(seconds: float) -> str:
    """A time, given in Unix seconds, as entries have it: such texts sort as the times do."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def append(connection: sqlite3.Connection, time: str, action: str, actor: str, version: str, detail: str) -> Entry:
    """Write an entry after the last one; within a transaction that nobody else can write beside."""
    last = connection.execute("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    number, previous = last or (0, BEGINNING)
    entry = Entry(number + 1, time, action, actor, version, detail, previous)
    entry = replace(entry, hash=entry.digest)
    marks = ", ".join("?" * len(NAMES))
    values = [getattr(entry, name) for name in NAMES]
    connection.execute(f"INSERT INTO audit ({COLUMNS}) VALUES ({marks})", values)  # noqa: S608 - constants
    return entry


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of following the chain: how many entries are sound, the last of them, and what is wrong with the one
    after it, if anything. ``found`` is the entry whose hash was asked for."""

    sound: int
    last: Entry | None
    broken: str
    found: Entry | None = None


def follow(entries: Iterable[Entry], last_id: int, head: str | None = None) -> Checked:
    """Follow the chain to its end, or to the first entry that is not what it was. ``last_id`` is the highest id that
    was ever given; ``head`` is the hash of an entry that must be there."""
    last: Entry | None = None
    found: Entry | None = None
    for entry, following in _with_next(entries):
        if broken := _broken(last, entry, following):
            return Checked(0 if last is None else last.id, last, broken, found)
        last = entry
        if entry.hash == head:
            found = entry
    sound = 0 if last is None else last.id
    return Checked(sound, last, _gone(sound + 1, last_id) if last_id > sound else "", found)


def _with_next(entries: Iterable[Entry]) -> Iterator[tuple[Entry, Entry | None]]:
    """Each entry, and the one after it."""

    def and_the_end() -> Iterator[Entry | None]:
        yield from entries
        yield None

    for entry, following in pairwise(and_the_end()):
        if entry is not None:
            yield entry, following


def _broken(last: Entry | None, entry: Entry, following: Entry | None) -> str:
    """What is wrong with an entry, as far as it and those beside it tell; empty when nothing is."""
    number, previous = (1, BEGINNING) if last is None else (last.id + 1, last.hash)
    if entry.id != number:
        return _gone(number, entry.id - 1)
    if entry.digest == entry.hash:
        if entry.previous == previous:
            return ""
        if last is None:
            return f"{_named(entry)} is not the first one that was written: what came before it was removed"
        return f"{_named(last)} was written anew: the entry after it was made with another one before it"
    if replace(entry, previous=previous).digest == entry.hash:
        return f"`previous` of {_named(entry)} was changed"
    if following is None:
        return f"{_named(entry)} was changed: its content or its hash"
    if following.previous == entry.digest:
        return f"`hash` of {_named(entry)} was changed; its content is as it was"
    return f"the content of {_named(entry)} was changed: its time, action, actor, version or detail"


def _gone(first: int, last: int) -> str:
    return f"entry {first} was removed" if first == last else f"entries {first} to {last} were removed"


def _named(entry: Entry) -> str:
    return f"entry {entry.id} ({entry.action}, {entry.time})"
