"""What a ruleset decided about a batch: deliveries by sink, dead letters, and everything that is counted.

Decisions grow record by record, in order. All of it is index lists that are appended to and nothing else, so that
whatever a record has added can be taken back as long as it is the last one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from rules.columns import Constant, Lines
from rules.contract import Violation
from rules.gates import RESULTS, Crossing
from rules.plan import Lane, Plan

Stage = Literal["decode", "contract", "rule"]
Because = tuple[Stage, str | None, str, str]
"""Why a record is a dead letter: stage, rule, reason, detail."""


class Delivery(Struct, frozen=True):
    """What one sink gets of a batch, in order.

    - ``indices``: which records, ascending; one may stand there more than once.
    - ``values``: the outgoing payloads. ``changed``: some of them may not be as they came.
    - ``settings``: what each delivery chose of the sink's per-record settings, a column for each; None in a column
      means that the sink's configured value holds. ``key`` holds bytes, ``headers`` sequences of name and bytes.
    - ``rules``: the name of the rule (``otherwise.error`` and so on) that each delivery is owed to.
    """

    sink: str
    indices: Sequence[int]
    values: Sequence[bytes]
    settings: Mapping[str, Sequence[object]]
    rules: Sequence[str]
    changed: bool


class Letter(Struct, frozen=True):
    """A record that becomes a dead letter before any delivery of it, or because a rule says so.

    ``reason`` is one of a few labels: ``spoiled``, ``undecodable``, ``invalid``, ``error``, ``unmatched``, or ``rule``
    where a rule names ``dead_letter``. ``rule`` is the rule at which it happened; ``detail`` is for people.
    """

    index: int
    stage: Stage
    rule: str | None
    reason: str
    detail: str


class Rejection(Struct, frozen=True):
    """A record that goes back to who sent it, if its source can do that; else it is this dead letter.

    ``violations`` say why; of a record that cannot be decoded there is one, whose check is ``undecodable``.
    """

    letter: Letter
    violations: Sequence[Violation]

    @property
    def index(self) -> int:
        """Which record."""
        return self.letter.index


class Dispatch(Struct, frozen=True):
    """One delivery of one record: ``lane`` numbers the sink, ``value`` is None when it goes out as it came."""

    lane: int
    rule: str
    value: bytes | None
    settings: Mapping[str, object]


class Outcome(Struct):
    """What was decided about one record, and why: the exact interpreter's answer.

    ``matched`` and ``missing`` hold rules by number, ``dropped`` labels by number (rules, then the parts of
    ``otherwise``), ``errors`` label and kind, ``violations`` the names of the checks.
    """

    dispatches: list[Dispatch] = field(default_factory=list)
    letters: list[Because] = field(default_factory=list)
    matched: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    rejections: list[tuple[tuple[Stage, str | None, str, str], Sequence[Violation]]] = field(default_factory=list)
    unmatched: bool = False

    def undo(self) -> None:
        """Forget what the rules did; what was violated and what went wrong stays counted."""
        self.dispatches.clear()
        self.letters.clear()
        self.matched.clear()
        self.missing.clear()
        self.dropped.clear()
        self.unmatched = False


class LaneLists:
    """The growing columns of one sink. ``rules`` is read only where more than one rule delivers to the sink. ``lines``
    holds the first payloads, ``values`` those that were not packed into it yet, where payloads are lines."""

    __slots__ = ("columns", "indices", "lines", "rules", "values")

    def __init__(self, lane: Lane) -> None:
        self.indices: list[int] = []
        self.values: list[bytes] = []
        self.lines = Lines()
        self.columns: dict[str, list[object]] = {name: [] for name in lane.columns}
        self.rules: list[str] = []

    def trim(self) -> None:
        """Cut every column back to as many entries as there are indices."""
        length = len(self.indices)
        del self.values[length - len(self.lines) :]
        del self.rules[length:]
        for column in self.columns.values():
            del column[length:]


class Decisions:
    """What was decided about the records of one batch so far. A ruleset fills it; everything else only reads it.

    The index lists are for the ruleset's generated code: ``hits`` and ``missed`` by rule, ``drops`` by label.
    """

    def __init__(self, plan: Plan, crossing: Crossing) -> None:
        self.plan = plan
        self.crossing = crossing
        self.lanes = [LaneLists(lane) for lane in plan.lanes]
        self.hits: defaultdict[int, list[int]] = defaultdict(list)
        self.missed: defaultdict[int, list[int]] = defaultdict(list)
        self._together: dict[tuple[int, ...], list[int]] = {}
        self.drops: defaultdict[int, list[int]] = defaultdict(list)
        self.strays: list[int] = []
        self.letters: list[Letter] = []
        self.rejections: list[Rejection] = []
        """While there are any, nothing here is final: without what is rejected, the rest is to be decided anew."""
        self.errors: Counter[tuple[str, str]] = Counter()
        """Errors by rule (or ending) and kind: ``when``, ``set``, ``emit``, ``split``, ``setting``, ``encode``."""
        self.violations: Counter[str] = Counter()
        """Violations by the name of the check."""

    @property
    def deliveries(self) -> list[Delivery]:
        """One for each sink that got anything, in the order of the sinks' first mention in the flow."""
        pairs = zip(self.plan.lanes, self.lanes, strict=True)
        return [self._delivery(lane, lists) for lane, lists in pairs if lists.indices]

    @staticmethod
    def _delivery(lane: Lane, lists: LaneLists) -> Delivery:
        return Delivery(
            sink=lane.sink,
            indices=lists.indices,
            values=lists.lines or lists.values,
            settings=lists.columns,
            rules=lists.rules if lane.shared else Constant(lane.rules[0], len(lists.indices)),
            changed=lane.reshapes,
        )

    @property
    def matched(self) -> dict[str, int]:
        """How many records each rule matched. A record that ended in an error or a violation matched none."""
        plan = self.plan
        found = {plan.rules[number]: len(indices) for number, indices in self.hits.items() if indices}
        for lane, rules in plan.counted.items():
            lists = self.lanes[lane]
            if not lists.indices:
                continue
            if isinstance(rules, str):
                found[rules] = len(lists.indices)
            else:
                found |= {rule: count for rule, count in Counter(lists.rules).items() if rule in rules}
        return found

    @property
    def missing(self) -> dict[str, int]:
        """How many records each rule's ``when`` met a missing field in, and so did not match."""
        counts = Counter({number: len(indices) for number, indices in self.missed.items()})
        for numbers, found in self._together.items():
            counts.update(dict.fromkeys(numbers, len(found)))
        return {self.plan.rules[number]: count for number, count in counts.items() if count}

    @property
    def dropped(self) -> dict[str, int]:
        """How many records each rule, or part of ``otherwise``, dropped."""
        return {self.plan.labels[number]: len(found) for number, found in self.drops.items() if found}

    @property
    def gated(self) -> dict[tuple[str, str, str], int]:
        """How many records passed each gate or not, by rule, kind, and one of ``RESULTS``."""
        found = {}
        for (rule, kind), turn in zip(self.plan.gates, self.crossing.turns, strict=True):
            for result, indices in zip(RESULTS, (turn.passed, turn.held, turn.missing), strict=True):
                if indices:
                    found[rule, kind, result] = len(indices)
        return found

    @property
    def unmatched(self) -> int:
        """How many records no rule with a target matched."""
        return len(self.strays)

    def pack(self) -> None:
        r"""All payloads since the last call are lines with their ``\n``: keep them as blocks."""
        for lists in self.lanes:
            lists.lines.append(b"".join(lists.values), len(lists.values))
            lists.values.clear()

    def missed_together(self, numbers: tuple[int, ...]) -> list[int]:
        """The records in which all of these rules met a missing field: the same list at each call."""
        return self._together.setdefault(numbers, [])

    def add(self, index: int, raw: bytes, outcome: Outcome) -> None:
        """Take in what was decided about the record at ``index``, which comes after all that are in already."""
        for dispatch in outcome.dispatches:
            self._dispatch(index, raw, dispatch)
        for number in outcome.matched:
            if self.plan.tallies[number] is None:
                self.hits[number].append(index)
        for number in outcome.missing:
            self.missed[number].append(index)
        for number in outcome.dropped:
            self.drops[number].append(index)
        if outcome.unmatched:
            self.strays.append(index)
        for letter in outcome.letters:
            self.letters.append(Letter(index, *letter))
        for letter, why in outcome.rejections:
            self.rejections.append(Rejection(Letter(index, *letter), why))
        for error in outcome.errors:
            self.errors[error] += 1
        for check in outcome.violations:
            self.violations[check] += 1

    def _dispatch(self, index: int, raw: bytes, dispatch: Dispatch) -> None:
        lane, lists = self.plan.lanes[dispatch.lane], self.lanes[dispatch.lane]
        lists.values.append(raw if dispatch.value is None else dispatch.value)
        for name, column in lists.columns.items():
            column.append(dispatch.settings.get(name))
        if lane.shared:
            lists.rules.append(dispatch.rule)
        lists.indices.append(index)

    def keep_rejected(self) -> None:
        """Where there is nobody to send them back to, rejected records are dead letters."""
        self.letters += [rejection.letter for rejection in self.rejections]
        self.rejections.clear()

    def take_back(self, index: int) -> None:
        """Undo what the record at ``index``, the last one, has added, however far it came."""
        for lists in self.lanes:
            _pop(lists.indices, index)
            lists.trim()
        for many in (self.hits, self.missed, self._together, self.drops, {None: self.strays}):
            for found in many.values():
                if found and found[-1] == index:
                    _pop(found, index)
        while self.letters and self.letters[-1].index == index:
            self.letters.pop()
        self.crossing.take_back(index)


def _pop(indices: list[int], index: int) -> None:
    while indices and indices[-1] == index:
        indices.pop()
