"""A flow compiled to one function over a batch: payload columns in, decisions out. No I/O, no asyncio.

>>> ruleset = compile_flow(flow, decode=Json(), sinks={"vip": SinkFacts("vip")}, vars={}, models={})
>>> for delivery in ruleset.route(batch, "orders").deliveries:
...     print(delivery.sink, delivery.indices)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from rules.cel.surroundings import NOWHERE, Surroundings
from rules.codecs import Format, Json
from rules.columns import Lines
from rules.contract import Validator, model_validator, schema_validator
from rules.decisions import Decisions, Delivery, Letter, Outcome
from rules.faults import Fault, Refused
from rules.flow import Flow, Target
from rules.gates import Crossing, Gates
from rules.generate import Generated, generate
from rules.interpret import Interpreter
from rules.lets import Lets
from rules.plan import Columns, Plan, SinkFacts, make_plan, sink_targets
from rules.reader.values import expressions
from rules.sensitive import NOTHING, guarded_validator, hidden_settings, sensitive_of
from rules.shaping import Filler
from rules.suggest import did_you_mean

if TYPE_CHECKING:
    from rules.explain import Explainer, Explanation  # only those who ask why pay for loading it

__all__ = ["Columns", "Decisions", "Delivery", "Letter", "Ruleset", "SinkFacts", "compile_flow"]

_ALWAYS = frozenset({"key", "headers"})
"""Settings that a target of any sink may have."""


class Ruleset:
    """A flow, ready to route. Made by ``compile_flow``; immutable, so that any number of batches may go through it.

    - ``version``: the flow's.
    - ``code``: the generated Python, for people who want to see what runs.
    - ``decode``: the format of what comes in; ``encodings``: by sink, the format of what goes out changed;
      ``allow``: by sink, which values of its settings a record may choose.
    """

    def __init__(
        self,
        flow: Flow,
        plan: Plan,
        decode: Format,
        interpreter: Interpreter,
        generated: Generated,
        explainer: Callable[[bool], Explainer],
    ) -> None:
        self.name = flow.name
        self.version = flow.version
        self.code = generated.source
        self.decode = decode
        self.encodings = {lane.sink: lane.encode for lane in plan.lanes}
        self.allow = {lane.sink: lane.allow for lane in plan.lanes}
        self._flow = flow
        self._plan = plan
        self._interpreter = interpreter
        self._route = generated.route
        self._takes_lines = generated.takes_lines
        self._explainer = explainer

    def gates(self) -> Gates:
        """The flow's gates, as if no record had come yet. The rulesets of a flow for several sources share them."""
        return Gates(self._flow)

    def route(
        self,
        columns: Columns,
        source: str,
        start: int = 0,
        stop: int | None = None,
        into: Decisions | None = None,
        crossing: Crossing | None = None,
    ) -> Decisions:
        """Decide about the records from ``start`` to ``stop`` of a batch that came from ``source``.

        With ``into``, the decisions about earlier records of the same batch, these are added to it; so a batch can be
        routed in slices. ``crossing`` is the batch's way through the flow's gates; by default, through such as no
        record has come to before. Never fails because of a record.
        """
        decisions = self._decisions(columns, crossing) if into is None else into
        stop = len(columns.values) if stop is None else stop
        if self._takes_lines and isinstance(columns.values, Lines):
            self._route_lines(columns, columns.values, source, start, stop, decisions)
            return decisions

        def slow(index: int) -> None:
            decisions.take_back(index)
            self._decide(decisions, columns, index, source)

        for spoiled in sorted(index for index in columns.spoiled if start <= index < stop):
            self._route(columns, columns.values[start:spoiled], source, start, decisions, slow)
            self._decide(decisions, columns, spoiled, source)
            start = spoiled + 1
        self._route(columns, columns.values[start:stop], source, start, decisions, slow)
        return decisions

    def _route_lines(
        self, columns: Columns, lines: Lines, source: str, start: int, stop: int, decisions: Decisions
    ) -> None:
        """Decide about lines, none of which is spoiled, block by block."""

        def slow(index: int) -> None:
            decisions.take_back(index)
            self._decide(decisions, columns, index, source, end=b"\n")

        for block_start, block_stop in lines.spans:
            first, after = max(start, block_start), min(stop, block_stop)
            if first < after:
                self._route(columns, lines.with_ends(first, after), source, first, decisions, slow)
                decisions.pack()

    def route_exactly(self, columns: Columns, source: str, crossing: Crossing | None = None) -> Decisions:
        """The same decisions by the exact interpreter alone: slow, and what ``route`` is held against."""
        decisions = self._decisions(columns, crossing)
        for index in range(len(columns.values)):
            self._decide(decisions, columns, index, source)
        return decisions

    def interpret(self, columns: Columns, index: int, source: str) -> Outcome:
        """What is decided about one record, by the exact interpreter."""
        return self._interpreter.decide(columns, index, source, self.gates().cross(columns.arrived))

    def explain(
        self, columns: Columns, index: int, source: str, crossing: Crossing | None = None, *, shows_all: bool = False
    ) -> Explanation:
        """Why that is decided about one record: each step of the exact interpreter. What the contract marks as
        sensitive, and what is made of it, is ``rules.sensitive.HIDDEN`` there, unless it ``shows_all``."""
        crossing = crossing or self.gates().cross(columns.arrived)
        return self._explainer(shows_all).explain(columns, index, source, crossing)

    def _decisions(self, columns: Columns, crossing: Crossing | None) -> Decisions:
        if crossing is None:
            crossing = self.gates().cross(columns.arrived) if self._plan.gates else Crossing(columns.arrived)
        return Decisions(self._plan, crossing)

    def _decide(self, decisions: Decisions, columns: Columns, index: int, source: str, end: bytes = b"") -> None:
        outcome = self._interpreter.decide(columns, index, source, decisions.crossing)
        decisions.add(index, columns.values[index] + end, outcome)


def compile_flow(
    flow: Flow,
    *,
    decode: Format | None = None,
    sinks: Mapping[str, SinkFacts],
    vars: Mapping[str, object],  # noqa: A002 - the name that expressions know it by
    models: Mapping[str, Any],
    around: Surroundings = NOWHERE,
) -> Ruleset:
    """Compile a flow for sources whose payloads are in the format ``decode``, by default JSON.

    ``sinks`` are those that exist, ``vars`` the daemon's, ``models`` the registered pydantic types, and ``around`` its
    tables and secrets. Raises Refused with every fault: sinks, models and settings that do not exist, a schema that is
    not valid.
    """
    decode = decode or Json()
    faults = list(_faults(flow, sinks))
    validator: Validator | None = None
    try:
        validator = _validator(flow, decode, models)
    except Refused as refused:
        faults += refused.faults
    try:
        lets = Lets(flow.lets, around)
        faults += lets.faults(expressions(flow))
    except Refused as refused:
        faults += refused.faults
    if faults:
        raise Refused(faults)
    plan = make_plan(flow, decode, sinks)
    faults += _unwritable(flow, plan)
    if faults:
        raise Refused(faults)
    sensitive = sensitive_of(flow)
    validator = validator and guarded_validator(validator, sensitive)
    interpreter = Interpreter(flow, plan, Filler(lets, sensitive=sensitive), validator, decode, vars)
    generated = generate(flow, plan, lets, validator, decode, vars)

    @cache
    def explainer(shows_all: bool) -> Explainer:
        from rules.explain import Explainer

        hidden = {} if shows_all else hidden_settings(flow, sensitive, sinks.values())
        shown = NOTHING if shows_all else sensitive
        return Explainer(flow, plan, lets, validator, decode, vars, sensitive=shown, hidden_settings=hidden)

    return Ruleset(flow, plan, decode, interpreter, generated, explainer)


def _faults(flow: Flow, sinks: Mapping[str, SinkFacts]) -> Iterator[Fault]:
    for target in sink_targets(list(_targets(flow))):
        facts = sinks.get(target.sink)
        if facts is None:
            yield Fault(target.place, f"there is no sink {target.sink}", did_you_mean(target.sink, sinks))
            continue
        allowed = facts.per_record | _ALWAYS
        for name in target.settings:
            if name not in allowed:
                what = f"{name} is not a setting of the sink {facts.name} that a delivery may choose"
                yield Fault(target.place, what, did_you_mean(name, allowed))


def _unwritable(flow: Flow, plan: Plan) -> Iterator[Fault]:
    """Of each sink that gets records in their source's format, but not as they came, why they cannot be written."""
    for lane in plan.lanes:
        if lane.reshapes and not lane.always and (why := lane.encode.cannot_encode):
            place = next(target.place for target in _targets(flow) if target.sink == lane.sink)
            yield Fault(place, f"the sink {lane.sink} gets records that are written anew, in {lane.encode}: {why}")


def _targets(flow: Flow) -> Iterator[Target]:
    for rule in flow.rules:
        yield from rule.targets
    otherwise = flow.otherwise
    for targets in (otherwise.undecodable, otherwise.invalid, otherwise.error, otherwise.unmatched or ()):
        if not isinstance(targets, str):
            yield from targets


def _validator(flow: Flow, decode: Format, models: Mapping[str, Any]) -> Validator | None:
    contract = flow.contract
    if contract.model is not None:
        place = contract.model_place or flow.place
        if contract.model not in models:
            raise Refused([Fault(place, f"there is no model {contract.model}", did_you_mean(contract.model, models))])
        return model_validator(models[contract.model], decode)
    if contract.schema is None:
        return None
    try:
        return schema_validator(contract.schema, plain=decode.codec.decodes_plain, json=decode.type == "json")
    except ValueError as error:
        place = contract.schema_place or flow.place
        raise Refused([Fault(place, f"the schema is not valid: {error}")]) from error
