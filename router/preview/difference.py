"""What a preview found: counts of both sides, the records that would move, and those that would go out changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from msgspec import Struct, field

from router.config import Configuration
from router.preview.ends import End, Ends
from rules.explain import Explanation
from rules.explain.model import Changes

GROUPS: Final = 200
"""So many groups of records are told apart; of all others it is counted how many records they have."""

Where = tuple[str, str, str, str]
"""A flow, and an end of its records: sink (or ``drop`` and so on), reason, rule."""


class Count(Struct, frozen=True):
    """How many ends there are of one kind on either side: of records, or, where a rule splits, of what it makes."""

    flow: str
    to: str
    reason: str
    rule: str
    old: int
    new: int

    @property
    def difference(self) -> int:
        """How many more there would be."""
        return self.new - self.old

    @property
    def label(self) -> str:
        """Where it is, in words."""
        return f"{self.to} ({self.reason})" if self.reason else self.to


class Change(Struct, frozen=True):
    """How what goes to the sink ``to`` differs though it goes to the same one: ``what`` is ``payload``, or a setting
    such as ``key``, ``headers`` or ``path``. ``before`` and ``after`` are what would go out. ``fields`` are where two
    payloads differ that can be decoded: none, when the same event is written otherwise."""

    to: str
    what: str
    before: object
    after: object
    fields: Changes | None = None

    @property
    def paths(self) -> list[str]:
        """Where two payloads differ, without what is there."""
        return [] if self.fields is None else [field.path for field in self.fields.listed]


class Example(Struct, frozen=True):
    """One record of a group. An explanation is missing on a side that does not read its source.

    ``ends`` are where it goes on either side; ``changes`` say what differs of what goes out to the same sink.
    """

    name: str
    source: str
    payload: bytes
    ends: tuple[Ends, Ends]
    explained: tuple[Explanation | None, Explanation | None]
    changes: tuple[Change, ...] = ()
    is_guarded: bool = False
    """Whether either side marks something in such records as sensitive."""

    @property
    def is_hidden(self) -> bool:
        """Whether what goes out is not to be shown: an explanation may then have another payload."""
        return self.is_guarded or any(one is not None and one.raw != self.payload for one in self.explained)

    @property
    def shown(self) -> bytes:
        """The payload, or what may be shown of it."""
        raws = (one.raw for one in self.explained if one is not None)
        return next((raw for raw in raws if raw != self.payload), self.payload)


class Group(Struct):
    """Records that move alike (``before`` and ``after`` differ), or go out changed alike (``changed`` says what of
    them); each of them a number of ends, in words. The first ones are told as examples."""

    flow: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    changed: tuple[str, ...] = ()
    records: int = 0
    examples: list[Example] = field(default_factory=list)


class Difference(Struct):
    """All of it.

    ``records`` were looked at, ``moved`` of which go elsewhere, ``changed`` go to the same sinks with another payload,
    key or setting. ``ungrouped`` of these are in no group, as there were too many. ``healed`` would be dead letters on
    the old side and are none on the new one, ``spoilt`` the reverse; of dead letters that are looked at, ``still`` are
    such on the new side. ``is_cut``: there were more than were looked at.
    """

    old: Configuration
    new: Configuration
    records: int = 0
    moved: int = 0
    changed: int = 0
    healed: int = 0
    spoilt: int = 0
    still: int = 0
    ungrouped: int = 0
    is_cut: bool = False
    notes: list[str] = field(default_factory=list)
    groups: dict[tuple[object, ...], Group] = field(default_factory=dict)
    ends: tuple[Counter[Where], Counter[Where]] = field(default_factory=lambda: (Counter(), Counter()))

    @property
    def is_none(self) -> bool:
        """Whether every record goes where it went, as it went."""
        return not (self.moved or self.changed)

    @property
    def moves(self) -> list[Group]:
        """The groups of records that move, the largest first."""
        return _largest(group for group in self.groups.values() if not group.changed)

    @property
    def changes(self) -> list[Group]:
        """The groups of records that go out changed, the largest first."""
        return _largest(group for group in self.groups.values() if group.changed)

    @property
    def counts(self) -> list[Count]:
        """By flow, sink and rule, sinks by name and ``drop`` and dead letters behind them."""
        return counted(*self.ends)

    @property
    def totals(self) -> list[Count]:
        """The same by flow and sink alone; of dead letters, by reason too."""
        found: dict[tuple[str, str, str], list[int]] = {}
        for count in self.counts:
            sums = found.setdefault((count.flow, count.to, count.reason), [0, 0])
            sums[0] += count.old
            sums[1] += count.new
        return [Count(*where, "", *sums) for where, sums in found.items()]

    def group(self, key: tuple[object, ...], made: Group) -> Group | None:
        """The group of this key, which is ``made`` if it is new; None when there are too many."""
        found = self.groups.get(key)
        if found is None and len(self.groups) < GROUPS:
            found = self.groups[key] = made
        if found is None:
            self.ungrouped += 1
        else:
            found.records += 1
        return found

    def as_json(self) -> dict[str, object]:
        """All of it as JSON values, each configuration's secrets masked."""
        from router.preview.telling import as_json

        return as_json(self)


def counted(old: Counter[Where], new: Counter[Where]) -> list[Count]:
    """Both sides together: by flow, sinks by name, and what is delivered nowhere behind them."""
    return [Count(*where, old[where], new[where]) for where in sorted({**old, **new}, key=_place)]


def labels(ends: Ends) -> tuple[str, ...]:
    """Where a record goes, in words."""
    return tuple(end.label for end in ends)


def changes_of(before: End, after: End) -> Iterator[Change]:
    """What differs of what goes to a sink."""
    if before.value != after.value:
        yield Change(before.to, "payload", before.value, after.value)
    if before.settings is not after.settings and before.settings != after.settings:
        for name in {**before.settings, **after.settings}:
            old, new = before.settings.get(name), after.settings.get(name)
            if old != new:
                yield Change(before.to, name, old, new)


def _largest(groups: Iterator[Group]) -> list[Group]:
    return sorted(groups, key=lambda group: -group.records)


_LAST: Final = ("drop", "reject", "dead_letter", "nowhere", "not_read")


def _place(where: Where) -> tuple[object, ...]:
    flow, to, reason, rule = where
    return (flow, _LAST.index(to) + 1 if to in _LAST else 0, to, reason, rule)
