"""One configuration, and where it sends records: nothing is delivered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from router.assembly import ruleset_of, tables_of
from router.batch import Batch
from router.config import Configuration, SourceSpec
from rules.codecs import Format, Json
from rules.decisions import Decisions, Delivery
from rules.explain import Explanation
from rules.flow import DEAD_LETTER, DROP, REJECT, Flow, Marked
from rules.gates import Crossing, Gates
from rules.outgoing import refusals
from rules.ruleset import Ruleset

UNREAD = "not_read"
"""The end of a record whose source no flow of a configuration reads."""
NOWHERE = "nowhere"
"""The end of a record that a rule takes and makes nothing of."""


class End(NamedTuple):
    """One end of a record: a delivery to the sink ``to``, or ``drop``, ``dead_letter``, ``reject``, ``not_read``.

    ``reason`` is that of a dead letter, or of what is rejected; ``rule`` what decides it; ``value`` and ``settings``
    (as they hold: those that the delivery chose, and the sink's own) are of deliveries.
    """

    to: str
    reason: str = ""
    rule: str = ""
    value: bytes | None = None
    settings: Mapping[str, object] = {}

    @property
    def label(self) -> str:
        """Where it is, in words."""
        return f"{self.to} ({self.reason})" if self.reason else self.to


Ends = Sequence[End]
"""All ends of one record, in the order of their sinks' names."""

_UNREAD: Ends = (End(UNREAD),)
_NOWHERE: Ends = (End(NOWHERE),)


class Side:
    """One of two configurations that are compared, ready to decide. Its gates are as if no record had come yet.

    Making one reads the tables of the configuration; raises ``rules.faults.Refused`` when they cannot be had.
    """

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._tables = tables_of(configuration)
        self._tables.load_now()
        self._beside: Side | None = None
        self._rulesets: dict[tuple[str, Format, tuple[Marked, ...]], Ruleset] = {}
        self._gates: dict[str, Gates | None] = {}
        self._ways: dict[tuple[str, str, bool], Way | None] = {}

    def stand_beside(self, other: Side) -> None:
        """Show nothing of a record that its flow on the other side marks as sensitive either."""
        self._beside = other

    def way(self, flow: str, source: str, *, replayed: bool = False) -> Way | None:
        """The way of records of this source, or of the first one of the flow when that is gone; ``replayed``: of dead
        letters, which go through the flow that they were in, whatever reads their source by now. None: there is none.
        """
        key = (flow, source, replayed)
        if key not in self._ways:
            self._ways[key] = self._find(flow, source, replayed=replayed)
        return self._ways[key]

    @property
    def has_gates(self) -> bool:
        """Whether any rule has a gate."""
        return any(rule.gates for flow in self.configuration.flows for rule in flow.rules)

    def _find(self, name: str, source: str, *, replayed: bool) -> Way | None:
        flow = self.flow_of(name, source, replayed=replayed)
        if flow is None:
            return None
        other = None if self._beside is None else self._beside.flow_of(name, source, replayed=replayed)
        if other is not None:
            marks = tuple(dict.fromkeys((*flow.contract.sensitive, *other.contract.sensitive)))
            flow = replace(flow, contract=replace(flow.contract, sensitive=marks))
        spec = self.configuration.sources.get(source)
        if spec is None and not replayed:
            source = _sources(flow)[0]
            spec = self.configuration.sources[source]
        return Way(self, flow, source, spec, replayed=replayed)

    def flow_of(self, name: str, source: str, *, replayed: bool) -> Flow | None:
        """The flow that records go through, chosen as ``way`` says."""
        flows = self.configuration.flows
        named = next((flow for flow in flows if flow.name == name), None)
        reading = next((flow for flow in flows if source in _sources(flow)), None)
        return named if replayed else reading or named

    def ruleset(self, flow: Flow, decode: Format) -> Ruleset:
        """The flow for records in this format."""
        key = (flow.name, decode, flow.contract.sensitive)
        if key not in self._rulesets:
            self._rulesets[key] = ruleset_of(self.configuration, flow, decode, self._tables)
        return self._rulesets[key]

    def gates(self, flow: Flow) -> Gates | None:
        """Those of a flow, shared by all of its sources; None where it has none."""
        if flow.name not in self._gates:
            self._gates[flow.name] = Gates(flow) if any(rule.gates for rule in flow.rules) else None
        return self._gates[flow.name]


class Way:
    """The way of one source's records through a flow of one configuration."""

    def __init__(self, side: Side, flow: Flow, source: str, spec: SourceSpec | None, *, replayed: bool) -> None:
        configuration = side.configuration
        self.flow = flow.name
        self.source = source
        self.is_guarded = bool(flow.contract.sensitive)
        """Whether something in its records must not be shown."""
        self.ruleset = side.ruleset(flow, Json() if spec is None else spec.decode)
        self._gates = side.gates(flow)
        self._rejects = spec is not None and hasattr(spec.connector, "reject") and not replayed
        self._held = {
            name: {
                setting: getattr(sink.settings, setting)
                for setting in sorted(sink.settings.per_record() - sink.templates.keys())
            }
            for name, sink in configuration.sinks.items()
        }

    @property
    def is_gated(self) -> bool:
        """Whether what becomes of a record depends on those before it."""
        return self._gates is not None

    def cross(self, arrived: int) -> Crossing | None:
        """A batch that arrived then begins to cross the flow's gates, if it has any."""
        return None if self._gates is None else self._gates.cross(arrived)

    def decide(self, batch: Batch, crossing: Crossing | None = None) -> list[Ends]:
        """The ends of each record."""
        decisions = self.ruleset.route(batch, self.source, crossing=crossing)
        if not self._rejects:
            decisions.keep_rejected()
        found: list[list[End]] = [[] for _ in range(len(batch))]
        for delivery in decisions.deliveries:
            self._deliver(delivery, found)
        _keep(decisions, found)
        return [_sorted(ends) if len(ends) > 1 else ends or _NOWHERE for ends in found]

    def explain(self, batch: Batch, index: int, crossing: Crossing | None = None) -> Explanation:
        """Why that becomes of one record."""
        return self.ruleset.explain(batch, index, self.source, crossing)

    def event(self, sink: str, payload: object) -> object:
        """What goes out to a sink, decoded. Raises what its codec raises for what cannot be."""
        assert isinstance(payload, bytes)  # noqa: S101 - what goes out always is
        return self.ruleset.encodings[sink].codec.decode_at(Batch([payload]), 0)

    def _deliver(self, delivery: Delivery, found: list[list[End]]) -> None:
        sink, values = delivery.sink, delivery.values
        held, allow = self._held[sink], self.ruleset.allow[sink]
        columns = list(delivery.settings.items())
        for place, (index, rule, value) in enumerate(zip(delivery.indices, delivery.rules, values, strict=True)):
            settings: Mapping[str, object] = held
            if columns:
                chosen = {name: column[place] for name, column in columns if column[place] is not None}
                if allow and refusals(allow, chosen):
                    found[index].append(End(DEAD_LETTER, "not_allowed", rule))
                    continue
                settings = {**held, **chosen}
            found[index].append(End(sink, "", rule, value, settings))


def _keep(decisions: Decisions, found: list[list[End]]) -> None:
    """Add what is not delivered."""
    for number, indices in decisions.drops.items():
        for index in indices:
            found[index].append(End(DROP, "", decisions.plan.labels[number]))
    for letter in decisions.letters:
        found[letter.index].append(End(DEAD_LETTER, letter.reason, letter.rule or ""))
    for rejection in decisions.rejections:
        found[rejection.index].append(End(REJECT, rejection.letter.reason, rejection.letter.rule or ""))


def _sorted(ends: list[End]) -> Ends:
    return sorted(ends, key=lambda end: (end.to, end.reason))


def _sources(flow: Flow) -> list[str]:
    return [name for name, _ in flow.sources]


def ends_of(way: Way | None, batch: Batch, crossing: Crossing | None = None) -> list[Ends]:
    """The ends of each record of a batch that goes this way; where there is none, nobody reads it."""
    return [_UNREAD] * len(batch) if way is None else way.decide(batch, crossing)
