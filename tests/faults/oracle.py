"""The oracle: it knows every record that a source was given, works out on its own what must have become of each, and
looks for all of them where they ended.

It shares no code with the router's rules: a load restates them in plain Python.
"""

from __future__ import annotations

import json
import os
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

Id = tuple[str, int]
"""A record: its source, and its number among that source's lines."""

LETTERS = "dead letters"
"""The place of records that must become dead letters before they are routed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What must become of one record.

    ``sinks``: those that get it, each with what it gets: None for the line as it is, else the JSON value. ``letters``:
    how many dead letters it makes at each stage before the sinks'. Neither: a rule drops it. ``key``: records of one
    source and key keep their order.
    """

    sinks: Mapping[str, object] = field(default_factory=dict)
    letters: Mapping[str, int] = field(default_factory=dict)
    key: bytes = b""


class Load(Protocol):
    """The rules of a load of records, stated once more."""

    def identify(self, line: bytes) -> Id | None:
        """Whose line this is; None for what no source can have been given. Reads what goes out, too."""

    def judge(self, source: str, line: bytes) -> Verdict:
        """What must become of this line of a source."""


class Lines(Protocol):
    """The lines that one source was given so far, by number."""

    def __len__(self) -> int:
        """How many there are by now."""

    def line(self, number: int) -> bytes:
        """A line without its newline."""


class Ledger:
    """The lines that one source was given, by number, in a file: the truth that everything is held against."""

    def __init__(self, path: Path) -> None:
        self._offsets = array("Q", [0])
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        with path.open("rb") as lines:
            for line in lines:
                self._offsets.append(self._offsets[-1] + len(line))

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def append(self, lines: Iterable[bytes]) -> None:
        """Add lines, each with its newline."""
        added = list(lines)
        for line in added:
            self._offsets.append(self._offsets[-1] + len(line))
        os.write(self._fd, b"".join(added))

    def line(self, number: int) -> bytes:
        """A line without its newline."""
        start, end = self._offsets[number], self._offsets[number + 1]
        return os.pread(self._fd, end - start - 1, start)

    def close(self) -> None:
        """Give back the file."""
        os.close(self._fd)


@dataclass(slots=True)
class Findings:
    """What was found wrong at one place, in records, with a first example of each kind; and what was right."""

    expected: int = 0
    found: int = 0
    lost: int = 0
    unpromised: int = 0
    """Records that are not there, and that nobody had promised: no violation."""
    unknown: int = 0
    """Records that no source was given."""
    torn: int = 0
    """Lines that are no whole record."""
    altered: int = 0
    misrouted: int = 0
    """Records, whole, where no rule sends them."""
    disordered: int = 0
    stray: int = 0
    """Dead letters of stage sink for records that the sink was never to refuse."""
    repeats: int = 0
    bound: int = 0
    """How many repeats are promised at most."""
    repeated_bytes: int = 0
    examples: dict[str, str] = field(default_factory=dict)

    KINDS = ("lost", "unknown", "torn", "altered", "misrouted", "disordered", "stray")

    @property
    def violations(self) -> int:
        """How many records broke a promise."""
        wrong: int = sum(getattr(self, kind) for kind in self.KINDS)
        return wrong + max(0, self.repeats - self.bound)

    def note(self, kind: str, example: object) -> None:
        """Count one, and keep the first as an example."""
        setattr(self, kind, getattr(self, kind) + 1)
        self.examples.setdefault(kind, repr(example)[:300])


class _Place:
    """What has arrived at one place."""

    def __init__(self) -> None:
        self.findings = Findings()
        self.seen: dict[str, bytearray] = {}
        self.last: dict[tuple[str, bytes], int] = {}
        self.late: list[Id] = []


class Oracle:
    """Judges what became of the records of some ledgers, from the numbers in ``since`` on.

    Feed it every line of every sink and every dead letter, in the order in which they are there; then ask
    ``findings()``. Records before ``since`` were judged earlier: seen again, they are repeats. It may go on after that:
    with ``conclude()``, or with more of the same.
    """

    def __init__(self, load: Load, ledgers: Mapping[str, Lines], since: Mapping[str, int] | None = None) -> None:
        self._load = load
        self._ledgers = ledgers
        self._since = {source: (since or {}).get(source, 0) for source in ledgers}
        self._places: dict[str, _Place] = {}
        self._refusable: dict[str, set[Id]] = {}
        self._refused: dict[str, set[Id]] = {}
        self._unpromised: dict[str, range] = {}
        self._safe: dict[str, set[Id]] = {}
        self._letters: Counter[tuple[Id, str]] = Counter()

    # What the test did

    def refusable(self, sink: str, records: Iterable[Id]) -> None:
        """These may end as dead letters of this sink instead of in it: the test had it refuse them."""
        self._refusable.setdefault(sink, set()).update(records)

    def may_repeat(self, place: str, records: int) -> None:
        """So many records more may be at this place, or at a dead-letter stage, a second time."""
        self._place(place).findings.bound += records

    def may_be_missing(self, source: str, numbers: range) -> None:
        """Nobody has promised these records of a source; what ``is_safe`` says of any of them counts for more."""
        self._unpromised[source] = numbers

    def is_safe(self, sink: str, records: Iterable[Id]) -> None:
        """These were on their way to a sink in what survives every fault: they have to arrive there."""
        self._safe.setdefault(sink, set()).update(records)

    # What became of it

    def arrived(self, sink: str, line: bytes) -> bool:
        """One line of a sink, without its newline. True for a record that was there before: a repeat."""
        place = self._place(sink)
        record = self._load.identify(line)
        if record is None:
            place.findings.note("unknown" if _is_whole(line) else "torn", line)
            return False
        source, number = record
        if source not in self._ledgers or not 0 <= number < len(self._ledgers[source]):
            place.findings.note("unknown", line)
            return False
        verdict = self._load.judge(source, given := self._ledgers[source].line(number))
        if sink not in verdict.sinks:
            place.findings.note("misrouted" if _is_whole(line) else "torn", line)
            return False
        if not _is_same(line, given, verdict.sinks[sink]):
            place.findings.note("altered" if _is_whole(line) else "torn", line)
            return False
        return self._count(place, source, number, verdict.key, len(line))

    def lettered(self, source: str, stage: str, sink: str, value: bytes) -> None:
        """One dead letter: the record as it was read, and where it failed."""
        place = self._place(LETTERS)
        record = self._load.identify(value)
        if record is None or record[0] != source or not 0 <= record[1] < len(self._ledgers.get(source, ())):
            place.findings.note("unknown", value)
            return
        given = self._ledgers[source].line(record[1])
        if value != given:
            place.findings.note("altered", value)
        elif stage == "sink":
            self._letter_of_sink(sink, record, self._load.judge(source, given), value)
        else:
            self._letter_before_routing(place, record, stage, self._load.judge(source, given), value)

    def _letter_of_sink(self, sink: str, record: Id, verdict: Verdict, value: bytes) -> None:
        findings = self._place(sink).findings
        if sink not in verdict.sinks:
            findings.note("misrouted", value)
        elif record not in self._refusable.get(sink, ()):
            findings.note("stray", value)
        refused = self._refused.setdefault(sink, set())
        if record in refused:
            findings.note("repeats", value)
        refused.add(record)

    def _letter_before_routing(self, place: _Place, record: Id, stage: str, verdict: Verdict, value: bytes) -> None:
        wanted = verdict.letters.get(stage, 0)
        if not wanted:
            place.findings.note("misrouted", (stage, value))
            return
        self._letters[record, stage] += 1
        if self._letters[record, stage] > wanted or record[1] < self._since[record[0]]:
            place.findings.note("repeats", value)
            place.findings.repeated_bytes += len(value)

    def _count(self, place: _Place, source: str, number: int, key: bytes, size: int) -> bool:
        seen = place.seen.get(source)
        if seen is None:
            seen = place.seen[source] = bytearray()
        if len(seen) <= number:
            seen.extend(bytes(len(self._ledgers[source]) - len(seen)))
        if seen[number] or number < self._since[source]:
            place.findings.note("repeats", (source, number))
            place.findings.repeated_bytes += size
            return True
        seen[number] = 1
        place.findings.found += 1
        if number < place.last.get((source, key), -1):
            place.late.append((source, number))
        else:
            place.last[source, key] = number
        return False

    # The answer

    def findings(self) -> dict[str, Findings]:
        """What was found at each place: every sink that gets or should get something, and the dead letters."""
        for place in self._places.values():
            place.findings.expected = place.findings.lost = place.findings.unpromised = 0
        for source, ledger in self._ledgers.items():
            for number in range(self._since[source], len(ledger)):
                self._look_for(source, number, ledger.line(number))
        for name, place in self._places.items():
            refusable = self._refusable.get(name, set())
            place.findings.disordered = 0
            for record in place.late:
                if record not in refusable:  # what is replayed from the dead letters comes late by its nature
                    place.findings.note("disordered", record)
        return {name: place.findings for name, place in sorted(self._places.items())}

    def _look_for(self, source: str, number: int, line: bytes) -> None:
        verdict = self._load.judge(source, line)
        for sink in verdict.sinks:
            place = self._place(sink)
            place.findings.expected += 1
            seen = place.seen.get(source, b"")
            refused = (source, number) in self._refused.get(sink, ())
            if not (number < len(seen) and seen[number]) and not refused:
                self._note_missing(sink, (source, number), line)
        for stage, wanted in verdict.letters.items():
            place = self._place(LETTERS)
            place.findings.expected += wanted
            there = min(wanted, self._letters[(source, number), stage])
            for _ in range(wanted - there):
                self._note_missing(LETTERS, (source, number), (stage, line))

    def _note_missing(self, name: str, record: Id, example: object) -> None:
        is_promised = record[1] not in self._unpromised.get(record[0], ()) or record in self._safe.get(name, ())
        self._place(name).findings.note("lost" if is_promised else "unpromised", example)

    # In the middle of it

    def exposed(self, floors: Mapping[str, int]) -> dict[str, int]:
        """How many records have arrived at each place that have such a number, by source, or a later one: those that
        come again, once, when whoever sent them begins anew there."""
        found = {
            name: sum(seen.count(1, floors.get(source, 0)) for source, seen in place.seen.items())
            for name, place in self._places.items()
        }
        return found | {LETTERS: sum(number >= floors.get(source, 0) for (source, number), _ in self._letters)}

    def conclude(self) -> None:
        """What was judged by now is not judged again: it may only come again, which is a repeat."""
        self._since = {source: len(ledger) for source, ledger in self._ledgers.items()}
        self._letters.clear()
        self._unpromised.clear()
        self._safe.clear()
        for place in self._places.values():
            place.findings = Findings()
            place.late.clear()

    def _place(self, name: str) -> _Place:
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = _Place()
        return place


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _is_same(line: bytes, given: bytes, wanted: object) -> bool:
    if wanted is None:
        return line == given
    try:
        return bool(json.loads(line) == wanted)
    except ValueError:
        return False


def lines_of(path: Path, start: int = 0) -> Iterable[bytes]:
    """The lines of a file from an offset on, without their newlines; an unfinished last one is one, too."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            yield line.removesuffix(b"\n") if line.endswith(b"\n") else line + b"\0 (no newline)"
