"""What an explanation says: the whole decision about one record, from its bytes to where it goes.

The values here are the record's own, of any size and content: whoever shows them cuts them and makes them safe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct, field

from rules.cel.values import ABSENT
from rules.contract import Violation
from rules.decisions import Because, Dispatch, Outcome
from rules.faults import Place
from rules.flow import Path

State = Literal["value", "missing", "error", "skipped"]
"""What came of a sub-expression: a value, a field that is not there, another error, or it was not needed."""
Fate = Literal["matched", "unmatched", "missing", "error", "violated", "held", "not_reached"]
"""What came of a rule. ``missing``: its ``when`` met a missing field, and so did not match; ``violated``: an
expectation of it is not met; ``held``: a gate let it on to the next rule; ``not_reached``: the record's way had ended
before."""


class Evaluation(Struct):
    """A sub-expression, as it is written, and what came of it.

    ``let`` is what the name stands for, where ``text`` is a name under ``let``. ``parts`` are its sub-expressions in
    the order of the text, without literals; a field (``event.user.plan``) has none. ``error`` says why there is no
    value; ``culprit`` is the text of the innermost sub-expression that failed.
    """

    text: str
    state: State
    value: object = None
    error: str = ""
    culprit: str = ""
    let: str = ""
    binds: str = ""
    """Of ``cel.bind``: the name that its first part has in the second."""
    parts: list[Evaluation] = field(default_factory=list)
    elements: list[Element] = field(default_factory=list)
    """Of a macro: some of the elements that it visited."""
    visited: int = 0
    """Of a macro: how many elements it visited."""


class Element(Struct):
    """What a macro made of one element: what its variables were, and the parts of its body. ``decides``: the macro's
    value (or failure) is owed to this one."""

    number: int
    variables: Mapping[str, object]
    parts: list[Evaluation]
    decides: bool = False


class Filling(Struct):
    """An expression that fills in a value: ``what`` is ``set event.tier``, ``emit``, ``path``, ``headers.h``."""

    what: str
    evaluation: Evaluation


class Change(Struct, frozen=True):
    """What is different at a path of the event. ``ABSENT`` stands for nothing there."""

    path: str
    before: object
    after: object
    steps: Path = ()
    """The path, step by step."""


class Changes(Struct):
    """How an event differs from what it was: the first of the changes, and how many there are in all."""

    listed: list[Change] = field(default_factory=list)
    total: int = 0

    def __bool__(self) -> bool:
        return self.total > 0


class Check(Struct):
    """An expectation. ``violation`` says how it is not met; None when it is."""

    name: str
    evaluation: Evaluation | None
    violation: Violation | None


class Gate(Struct):
    """A gate of a rule: its ``kind``, with what it allows in words; its key, where it has one; and what came of it."""

    kind: str
    allows: str
    key: Evaluation | None
    result: str


class Contract(Struct):
    """``validates`` says what the event was held against (``schema``, ``model``, or nothing), with what is wrong in
    ``violations``; ``checks`` are the expectations. ``passes``: ``otherwise.invalid: pass`` lets it on all the same."""

    validates: Literal["schema", "model", ""] = ""
    violations: list[Violation] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    passes: bool = False

    @property
    def holds(self) -> bool:
        """Whether nothing is violated."""
        return not self.violations and all(check.violation is None for check in self.checks)


class Parcel(Struct):
    """What the shape of a rule made for all of its targets; with ``split``, of one ``element``."""

    element: object = ABSENT
    changes: Changes = field(default_factory=Changes)
    fillings: list[Filling] = field(default_factory=list)


class Sending(Struct):
    """One end of the record: a delivery to the sink ``to``, or ``drop``, or ``dead_letter``.

    ``dispatch`` says how a delivery goes out; one that failed has none, nor have the other ends, of which a dead
    letter has the reason in ``because``.
    ``element`` numbers the element of ``split``. ``changes`` and ``fillings`` are those of the target's own shape and
    settings. ``forbidden`` are those settings of the delivery that are not shown and that the sink's ``allow`` refuses.
    ``undone``: it was decided, and then taken back, because something later failed.
    """

    to: str
    element: int | None = None
    changes: Changes = field(default_factory=Changes)
    fillings: list[Filling] = field(default_factory=list)
    dispatch: Dispatch | None = None
    forbidden: tuple[str, ...] = ()
    because: Because | None = None
    undone: bool = False


class Step(Struct):
    """A rule, or a part of ``otherwise``, and what it did with the record.

    ``error`` says what failed in it. ``elements`` is how many ``split`` made; ``parcels`` are those of the first ones.
    """

    name: str
    place: Place | None = None
    is_step: bool = False
    continues: bool = False
    to: tuple[str, ...] = ()
    fate: Fate = "not_reached"
    when: Evaluation | None = None
    checks: list[Check] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    each: Evaluation | None = None
    elements: int | None = None
    parcels: list[Parcel] = field(default_factory=list)
    sendings: list[Sending] = field(default_factory=list)
    error: str = ""
    because: Because | None = None
    """Of a part of ``otherwise``: why it decides."""
    ends: bool = False
    """The record's way ended here."""


class Explanation(Struct):
    """The whole decision about one record.

    ``decode`` is the codec; ``event`` what it made of ``raw``, ``ABSENT`` where it made nothing of it, and the first
    of the ``endings`` says why. ``size`` is the payload's; ``raw`` is what may be shown of it. ``rules`` are all rules
    in order, ``endings`` the parts of ``otherwise`` that had a say, in order; one without a name holds the dead letter
    of a record that the source could not frame.
    """

    flow: str
    version: str
    source: str
    decode: str
    raw: bytes
    size: int
    meta: Mapping[str, object]
    outcome: Outcome
    rules: list[Step]
    event: object = ABSENT
    contract: Contract | None = None
    endings: list[Step] = field(default_factory=list)

    def goes(self) -> Iterator[tuple[str, Sending]]:
        """Where the record goes: everything that was decided and not taken back, with the name of what decided it."""
        for step in (*self.rules, *self.endings):
            yield from ((step.name, sending) for sending in step.sendings if not sending.undone)
