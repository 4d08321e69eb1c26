"""How a flow's targets come together at its sinks: which columns each sink's deliveries have, and how they are counted.

The interpreter, the generated code and the decisions all follow the same plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field

from rules.codecs import Format
from rules.codecs.format import Columns as Payloads
from rules.flow import DEAD_LETTER, ENDS, Flow, Rule, Target, Value

UNDECODABLE = "otherwise.undecodable"
INVALID = "otherwise.invalid"
ERROR = "otherwise.error"
UNMATCHED = "otherwise.unmatched"
ENDINGS = (UNDECODABLE, INVALID, ERROR, UNMATCHED)
"""What decides about a record when no rule does; they are counted as if they were rules."""

Headers = Sequence[tuple[str, bytes]]


class Columns(Payloads, Protocol):
    """Records that travel together, column by column, as the router's batches hold them."""

    @property
    def keys(self) -> Sequence[bytes | None] | None:
        """Where the source has them."""

    @property
    def headers(self) -> Sequence[Headers | None] | None:
        """Where the source has them."""

    @property
    def times(self) -> Sequence[int | None] | None:
        """Unix nanoseconds, where the source has them."""

    @property
    def arrived(self) -> int:
        """When the records were read, in Unix nanoseconds: their time where the source has none."""

    @property
    def is_ascii(self) -> bool:
        """Whether the payloads hold nothing but ASCII."""

    @property
    def spoiled(self) -> Mapping[int, str]:
        """Records that the source could not frame, by index, with the reason."""


class SinkFacts(Struct, frozen=True):
    """What a ruleset must know of a sink.

    ``encode`` is the format of what goes out; None: unchanged records go out byte for byte, changed ones in the
    source's format. ``templates`` are the sink's own per-record settings that hold ``${CEL}``; a target's settings
    replace them. ``per_record`` names the settings that a target may set, besides ``key`` and ``headers``,
    and ``allow`` says which values a record may choose, as patterns.
    """

    name: str
    encode: Format | None = None
    templates: Mapping[str, Value] = field(default_factory=dict)
    per_record: frozenset[str] = frozenset()
    allow: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Lane(Struct, frozen=True):
    """The deliveries of a flow to one sink.

    ``encode`` is the format of what goes out changed, ``always`` says that unchanged records are encoded too;
    ``rewrites`` names the attribute with which they must have come for that, where it is not always so.
    ``reshapes``: payloads may differ from what came in. ``rules`` are the labels that deliver here.
    """

    number: int
    sink: str
    encode: Format
    always: bool
    rewrites: str
    reshapes: bool
    columns: tuple[str, ...]
    templates: Mapping[str, Value]
    rules: tuple[str, ...]
    allow: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def shared(self) -> bool:
        """Whether more than one rule delivers here, so that each delivery must say which."""
        return len(self.rules) > 1


class Plan(Struct, frozen=True):
    """``labels`` are the rules and the endings; ``tallies`` says for each rule which lane counts its matches, or None
    where it is counted on its own. ``counted`` says of each lane that counts which rules it does for: one by its name
    where nothing else delivers there. ``gates`` are, by number, the rule and the kind of each."""

    rules: tuple[str, ...]
    labels: tuple[str, ...]
    lanes: tuple[Lane, ...]
    lane_of: Mapping[str, int]
    tallies: tuple[int | None, ...]
    counted: Mapping[int, str | frozenset[str]]
    gates: tuple[tuple[str, str], ...] = ()


class _Use(Struct, frozen=True):
    """One target of one rule or ending. ``changes``: what goes to it may differ from what came in."""

    label: str
    target: Target
    changes: bool


def sink_targets(targets: Sequence[Target]) -> list[Target]:
    """The targets that are sinks."""
    return [target for target in targets if target.sink not in ENDS]


def unmatched_targets(flow: Flow) -> tuple[Target, ...]:
    """Where unmatched records go. A file need not say when its last rule takes everything; should one be unmatched
    nevertheless, it is not lost."""
    found = flow.otherwise.unmatched
    return (Target(DEAD_LETTER, flow.place),) if found is None else found


def make_plan(flow: Flow, decode: Format, sinks: Mapping[str, SinkFacts]) -> Plan:
    """Lay out the lanes of a flow. Every sink that the flow names is in ``sinks``."""
    uses: dict[str, list[_Use]] = {}
    for use in _uses(flow):
        uses.setdefault(use.target.sink, []).append(use)
    lanes = tuple(_lane(number, sinks[sink], decode, found) for number, (sink, found) in enumerate(uses.items()))
    lane_of = {lane.sink: lane.number for lane in lanes}
    tallies = tuple(_tally(rule, lane_of) for rule in flow.rules)
    names = tuple(rule.name for rule in flow.rules)
    counted = {lane.number: _counted(lane, names, tallies) for lane in lanes if lane.number in tallies}
    gates = tuple((rule.name, gate.kind) for rule in flow.rules for gate in rule.gates)
    return Plan(names, names + ENDINGS, lanes, lane_of, tallies, counted, gates)


def _uses(flow: Flow) -> Iterator[_Use]:
    changed = False
    for rule in flow.rules:
        if rule.is_step:
            changed = changed or bool(rule.shape)  # also for what its gates hold, which costs but a look
        reshaped = changed or bool(rule.shape) or rule.split is not None
        for target in sink_targets(rule.to):
            yield _Use(rule.name, target, reshaped or bool(target.shape))
        for target in sink_targets(rule.targets[len(rule.to) :]):
            yield _Use(rule.name, target, changed or bool(target.shape))
    otherwise = flow.otherwise
    for target in sink_targets(unmatched_targets(flow)):
        yield _Use(UNMATCHED, target, changed or bool(target.shape))
    parts = ((UNDECODABLE, otherwise.undecodable), (INVALID, otherwise.invalid), (ERROR, otherwise.error))
    for label, targets in parts:
        for target in sink_targets(() if isinstance(targets, str) else targets):
            yield _Use(label, target, bool(target.shape))


def _lane(number: int, facts: SinkFacts, decode: Format, uses: Sequence[_Use]) -> Lane:
    columns = {name: None for use in uses for name in use.target.settings} | dict.fromkeys(facts.templates)
    rewrites = decode.codec.attribute if facts.encode is None and decode.codec.rewrites else ""
    return Lane(
        number=number,
        sink=facts.name,
        encode=facts.encode or decode,
        always=facts.encode is not None,
        rewrites=rewrites,
        reshapes=facts.encode is not None or bool(rewrites) or any(use.changes for use in uses),
        columns=tuple(columns),
        templates=facts.templates,
        rules=tuple(dict.fromkeys(use.label for use in uses)),
        allow=facts.allow,
    )


def _counted(lane: Lane, names: Sequence[str], tallies: Sequence[int | None]) -> str | frozenset[str]:
    rules = [name for name, tally in zip(names, tallies, strict=True) if tally == lane.number]
    return frozenset(rules) if lane.shared else rules[0]


def _tally(rule: Rule, lane_of: Mapping[str, int]) -> int | None:
    found = sink_targets(rule.to)
    if rule.split is not None or rule.gates or not found:
        return None
    return lane_of[found[0].sink]
