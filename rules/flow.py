"""What a rules file says, once it has been read: the model between the file's reader and the ruleset's compiler.

Everything here is immutable and already checked for form: every expression is parsed, every name that can be resolved
within the file is resolved. Whether the named sources, sinks and models exist is for whoever knows them to check.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import ClassVar, Literal

from msgspec import Struct, field

from rules.cel import Expression
from rules.faults import Place

DROP = "drop"
DEAD_LETTER = "dead_letter"
REJECT = "reject"
ENDS = frozenset({DROP, DEAD_LETTER, REJECT})
"""Words of the rules that stand where a sink may stand."""
PASS = "pass"  # noqa: S105 - a word of the rules file

ROOTS = frozenset({"event", "meta", "vars"})
"""Names that every expression can use; ``let`` and ``split.as`` may not take them."""


class Expr(Struct, frozen=True):
    """A CEL expression and where it stands, so that a fault in it can be shown in its own column."""

    cel: Expression
    place: Place


class Template(Struct, frozen=True):
    """A YAML text with ``${CEL}`` in it: typed when one expression is all of it, text when it stands inside text."""

    parts: tuple[str | Expr, ...]
    place: Place

    @property
    def whole(self) -> Expr | None:
        """The one expression that is all of the value, if it is."""
        return self.parts[0] if len(self.parts) == 1 and isinstance(self.parts[0], Expr) else None


Value = None | bool | int | float | str | Template | tuple["Value", ...] | Mapping[str, "Value"]
"""A value of a rules file: YAML in which ``${CEL}`` is filled in. Texts without ``${`` are plain ``str``."""


class EachItem(Struct, frozen=True):
    """``[*]`` in a path: every element of the list there."""


Path = tuple[str | int | EachItem, ...]
"""A path below ``event``: ``event.items[*].price`` is ``("items", EachItem(), "price")``; ``event`` is ``()``."""


Marked = tuple[str | int | EachItem, ...]
"""A path of a record, from its root on: ``event.card.*`` is ``("event", "card", EachItem())``, in which the last step
is every element of a list and every field of a map."""


class Assignment(Struct, frozen=True):
    """One entry of ``set``."""

    path: Path
    value: Value
    place: Place


class Shape(Struct, frozen=True):
    """What a rule or a target does to the event: ``set``, then ``unset``, or ``emit``, a whole new event.

    Every right side sees the record as it was before the rule.
    """

    set: tuple[Assignment, ...] = ()
    unset: tuple[Path, ...] = ()
    emit: Value | None = None
    has_emit: bool = False

    def __bool__(self) -> bool:
        return bool(self.set or self.unset or self.has_emit)


class Target(Struct, frozen=True):
    """A sink with the settings of this delivery, or one of ``ENDS``. ``shape`` shapes it alone."""

    sink: str
    place: Place
    settings: Mapping[str, Value] = field(default_factory=dict)
    shape: Shape = Shape()


class Split(Struct, frozen=True):
    """``split: {each: CEL, as: NAME}``: one record becomes one for each element."""

    each: Expr
    name: str


class Check(Struct, frozen=True):
    """A named expectation: a violation when it is not true."""

    name: str
    expr: Expr


class Gate(Struct, frozen=True, kw_only=True):
    """What a record must pass besides ``when``, because of others before it.

    ``key`` tells records apart; one of which it is missing or null passes. ``held`` is the ``else``: where a record
    goes that does not pass; None for on to the next rule, as if this one had not matched.
    """

    kind: ClassVar[str]
    place: Place
    key: Expr | None = None
    held: Target | None = None

    @property
    def settings(self) -> tuple[object, ...]:
        """What its state depends on, in terms that can be compared."""
        own = (getattr(self, name) for name in self.__struct_fields__ if name not in ("place", "key", "held"))
        return (self.kind, None if self.key is None else self.key.cel.text, *own)


class Sample(Gate, frozen=True, kw_only=True):
    """Lets through a share of the keys; without ``key``, of the payloads."""

    kind = "sample"
    ratio: Fraction


class Throttle(Gate, frozen=True, kw_only=True):
    """Lets through, of each key, ``count`` in ``nanos`` nanoseconds, and at most ``burst`` at once."""

    kind = "throttle"
    count: Fraction
    nanos: int
    burst: int
    max_keys: int


class Dedupe(Gate, frozen=True, kw_only=True):
    """Lets through the first record of each key ``within`` so many nanoseconds.

    ``identity`` is the same for two gates that hold keys of the same kind: of one flow, rule, and expression.
    """

    kind = "dedupe"
    within: int
    persist: bool
    max_keys: int
    identity: str = ""


class Rule(Struct, frozen=True):
    """One rule. Without ``to`` it is a step: its shape changes what later rules see.

    Of a record that matches ``when``: ``expect`` is checked first, on the record as it is before the rule (a violation
    sends it to ``otherwise.invalid``); then it comes to the ``gates``, one after the other; then, for a step, ``shape``
    is applied for good; with ``to``, ``shape`` and then each target's own shape make what goes to that target alone.
    """

    name: str
    place: Place
    when: Expr | None = None
    expect: tuple[Check, ...] = ()
    shape: Shape = Shape()
    split: Split | None = None
    to: tuple[Target, ...] = ()
    continues: bool = False
    gates: tuple[Gate, ...] = ()

    @property
    def is_step(self) -> bool:
        """Whether the rule only changes what later rules see, or whether they see the record at all."""
        return not self.to

    @property
    def targets(self) -> tuple[Target, ...]:
        """Where it can send records: by ``to``, or from its gates."""
        return (*self.to, *(gate.held for gate in self.gates if gate.held is not None))

    @property
    def takes_all(self) -> bool:
        """Whether no record gets past it."""
        lets_on = any(gate.held is None for gate in self.gates)
        return self.when is None and bool(self.to) and not self.continues and not lets_on


class Contract(Struct, frozen=True):
    """What a record must satisfy before any rule sees it."""

    schema: Mapping[str, object] | bool | None = None
    schema_place: Place | None = None
    model: str | None = None
    model_place: Place | None = None
    expect: tuple[Check, ...] = ()
    sensitive: tuple[Marked, ...] = ()
    """What must not be shown: what the file names, and what the schema marks."""


Disposition = Literal["pass"] | tuple[Target, ...]


class Otherwise(Struct, frozen=True):
    """Where records go that no rule decides about. ``unmatched`` is None when the file does not say.

    Targets here may be ``drop`` and ``dead_letter`` too. ``invalid`` may be "pass": counted, and on to the rules.
    ``undecodable`` and ``invalid`` may be ``reject`` alone: back to who sent it.
    """

    undecodable: tuple[Target, ...]
    invalid: Disposition
    error: tuple[Target, ...]
    unmatched: tuple[Target, ...] | None = None

    @property
    def rejecting(self) -> tuple[Target, ...]:
        """The targets that send records back to who sent them."""
        found = (*self.undecodable, *(() if isinstance(self.invalid, str) else self.invalid))
        return tuple(target for target in found if target.sink == REJECT)


class Given(Struct, frozen=True):
    """One record of a test: a decoded ``event``, or the payload itself as ``raw``. It arrives ``after`` so many
    nanoseconds, counted from the record before it."""

    event: object = None
    raw: bytes | None = None
    key: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    time: str | None = None
    after: int = 0
    source: str | None = None
    meta: Mapping[str, object] = field(default_factory=dict)


class Expected(Struct, frozen=True):
    """What one sink must get in a test: ``count`` records, or those of ``records``, in order.

    Each of ``records`` is a mapping: ``event`` (matched as a subset unless ``exact``), ``raw``, ``key``, ``headers``
    and any setting of the sink (``topic``, ``path``); for ``dead_letter`` and ``reject`` also ``stage`` and
    ``reason``.
    """

    count: int | None
    records: tuple[Mapping[str, object], ...] | None
    place: Place
    name_place: Place
    """Where the sink's name stands."""
    key_places: tuple[Mapping[str, Place], ...] = ()
    """Where the keys of each of ``records`` stand."""


class Test(Struct, frozen=True):
    """A test inside a rules file. What ``then`` does not name must get nothing."""

    __test__ = False  # pytest: this is no test class

    name: str
    given: tuple[Given, ...]
    then: Mapping[str, Expected]
    place: Place
    exact: bool = False


class Flow(Struct, frozen=True):
    """A rules file. ``vars`` are those of the daemon's that its expressions read, as they are written. ``version`` is a
    hash of everything it means, its schema file and these included."""

    name: str
    place: Place
    sources: tuple[tuple[str, Place], ...]
    contract: Contract
    lets: Mapping[str, Expr]
    rules: tuple[Rule, ...]
    otherwise: Otherwise
    tests: tuple[Test, ...]
    version: str
    vars: Mapping[str, object] = {}
