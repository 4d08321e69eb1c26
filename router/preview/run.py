"""The comparison itself: both configurations decide about each record, and what differs is gathered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final

from msgspec.structs import replace

from router.config import Configuration
from router.preview.difference import Change, Difference, Example, Group, Where, changes_of, labels
from router.preview.ends import End, Ends, Side, Way, ends_of
from router.preview.records import Looked
from rules.cel.chance import held
from rules.cel.errors import CelError
from rules.explain import Explanation
from rules.explain.changes import changes_between
from rules.faults import Refused
from rules.flow import DEAD_LETTER

EXAMPLES: Final = 3
GATES_NOTE: Final = (
    "gates (sample, throttle, dedupe) are crossed as if no record had come before: what a running daemon holds back "
    "because of earlier ones is not known here, and a throttle sees all records of a file arrive at once"
)


def preview(
    old: Configuration,
    new: Configuration,
    records: Iterable[Looked],
    *,
    examples: int = EXAMPLES,
    most: int | None = None,
    seconds: float | None = None,
    tell: Callable[[int], None] = lambda _: None,
) -> Difference:
    """Have both configurations decide about the same records, and say what differs.

    At most ``examples`` records of each group are explained. It looks at ``most`` records at most, and for so many
    ``seconds``; what it leaves out shows in ``is_cut``. ``tell`` hears how many records it has looked at. It blocks, so
    a daemon runs it in a thread. ``now()`` is one moment, and ``uuid()`` one value, throughout.

    Raises ``rules.faults.Refused`` with every fault of both sides that shows only now: tables that cannot be had.
    """
    old_side, new_side = _sides(old, new)
    difference = Difference(old, new)
    if old_side.has_gates or new_side.has_gates:
        difference.notes.append(GATES_NOTE)
    comparison = _Comparison(difference, old_side, new_side, examples)
    deadline = None if seconds is None else time.monotonic() + seconds
    with held(time.time_ns()):
        for looked in records:
            is_late = deadline is not None and time.monotonic() > deadline
            room = None if most is None else most - difference.records
            if is_late or room == 0:
                difference.is_cut = True
                break
            if room is not None and room < len(looked.batch):
                difference.is_cut = True
                looked = _first(looked, room)
            comparison.look(looked)
            tell(difference.records)
    return difference


def _sides(old: Configuration, new: Configuration) -> tuple[Side, Side]:
    made, faults = [], []
    for configuration in (old, new):
        try:
            made.append(Side(configuration))
        except Refused as refused:
            faults += refused.faults
    if faults:
        raise Refused(faults)
    made[0].stand_beside(made[1])
    made[1].stand_beside(made[0])
    return made[0], made[1]


def _first(looked: Looked, many: int) -> Looked:
    batch = looked.batch.select(range(many))
    batch.arrived = looked.batch.arrived
    return Looked(looked.flow, looked.source, batch, looked.names, looked.replayed)


class _Comparison:
    """Gathers what differs."""

    def __init__(self, difference: Difference, old: Side, new: Side, examples: int) -> None:
        self._difference = difference
        self._sides = (old, new)
        self._examples = examples

    def look(self, looked: Looked) -> None:
        """Compare what becomes of these records."""
        ways = tuple(side.way(looked.flow, looked.source, replayed=looked.replayed) for side in self._sides)
        old, new = ways[0], ways[1]
        self._difference.records += len(looked.batch)
        if any(way is not None and way.is_gated for way in (old, new)):
            for index in range(len(looked.batch)):
                self._look_at_one(looked, index, old, new)
            return
        before, after = ends_of(old, looked.batch), ends_of(new, looked.batch)
        self._count(looked, (old, new), (before, after))
        for index, pair in enumerate(zip(before, after, strict=True)):
            if pair[0] != pair[1]:
                self._compare(looked, index, (old, new), pair, partial(_explained, looked, index, old, new))

    def _look_at_one(self, looked: Looked, index: int, old: Way | None, new: Way | None) -> None:
        """One record after the other, where it matters: so that each can be explained with the gates as they were when
        it came to them."""
        batch = looked.single(index)
        crossings = [None if way is None else way.cross(batch.arrived) for way in (old, new)]
        before, after = ends_of(old, batch, crossings[0]), ends_of(new, batch, crossings[1])
        self._count(looked, (old, new), (before, after))

        def explained() -> tuple[Explanation | None, Explanation | None]:
            told: list[Explanation | None] = []
            for number, way in enumerate((old, new)):
                crossing = crossings[number]
                if crossing is not None and way is not None:
                    crossing.forget()
                    crossings[number] = way.cross(batch.arrived)
                told.append(None if way is None else way.explain(batch, 0, crossings[number]))
            return told[0], told[1]

        if before != after:
            self._compare(looked, index, (old, new), (before[0], after[0]), explained)
        for crossing in crossings:
            if crossing is not None:
                crossing.settle()

    def _count(self, looked: Looked, ways: tuple[Way | None, Way | None], found: tuple[list[Ends], list[Ends]]) -> None:
        if looked.replayed:
            self._difference.still += sum(any(end.to == DEAD_LETTER for end in ends) for ends in found[1])
        for counter, way, ends in zip(self._difference.ends, ways, found, strict=True):
            flow = looked.flow if way is None else way.flow
            counter.update(_wheres(flow, ends))

    def _compare(
        self,
        looked: Looked,
        index: int,
        ways: tuple[Way | None, Way | None],
        ends: tuple[Ends, Ends],
        explain: Callable[[], tuple[Explanation | None, Explanation | None]],
    ) -> None:
        difference = self._difference
        before, after = labels(ends[0]), labels(ends[1])
        lost = [any(end.to == DEAD_LETTER for end in side) for side in ends]
        difference.healed += lost[0] and not lost[1]
        difference.spoilt += lost[1] and not lost[0]
        changed: tuple[str, ...] = ()
        changes = [change for one, other in _common(ends) for change in changes_of(one, other)]
        if before == after:
            if not changes:  # another rule sends it to the same place, which only the counts tell
                return
            changed = tuple(dict.fromkeys(f"{change.to}: {change.what}" for change in changes))
            difference.changed += 1
        else:
            difference.moved += 1
        made = Group(looked.flow, before, after, changed)
        group = difference.group((looked.flow, before, after, changed), made)
        if group is not None and len(group.examples) < self._examples:
            payload = bytes(looked.batch.values[index])
            told = tuple(_detailed(change, ways) for change in changes)
            guarded = any(way is not None and way.is_guarded for way in ways)
            example = Example(looked.names[index], looked.source, payload, ends, explain(), told, guarded)
            group.examples.append(example)


def _explained(
    looked: Looked, index: int, old: Way | None, new: Way | None
) -> tuple[Explanation | None, Explanation | None]:
    batch = looked.single(index)
    found = [None if way is None else way.explain(batch, 0) for way in (old, new)]
    return found[0], found[1]


def _common(ends: tuple[Ends, Ends]) -> Iterator[tuple[End, End]]:
    """The ends that both sides have, in pairs."""
    left = list(ends[1])
    for one in ends[0]:
        place = next((place for place, other in enumerate(left) if other.label == one.label), None)
        if place is not None:
            yield one, left.pop(place)


def _detailed(change: Change, ways: tuple[Way | None, Way | None]) -> Change:
    """A change of a payload with the fields that differ, where both can be decoded."""
    if change.what != "payload" or ways[0] is None or ways[1] is None:
        return change
    try:
        before, after = ways[0].event(change.to, change.before), ways[1].event(change.to, change.after)
    except (ValueError, RecursionError, CelError):
        return change
    return replace(change, fields=changes_between(before, after))


def _wheres(flow: str, ends: Iterable[Ends]) -> Iterator[Where]:
    return ((flow, end.to, end.reason, end.rule) for one in ends for end in one)
