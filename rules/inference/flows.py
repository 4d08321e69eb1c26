"""A flow, checked before it runs: the type of each of its expressions, and the rules that no record reaches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field

from rules.cel import nodes
from rules.faults import Place, Refused
from rules.flow import PASS, Check, Expr, Flow, Rule, Target, Value
from rules.inference.expressions import Inference
from rules.inference.kinds import DYNAMIC, NEVER, Scalar, Type, describe, join, loosened, map_of, of, of_value, widened
from rules.inference.reach import Reach
from rules.inference.shapes import shaped, type_of_value
from rules.inference.walk import Finding
from rules.lets import Lets, resolvable
from rules.reader.values import expressions

Templates = Mapping[str, Mapping[str, Value]]
"""By sink, its settings that hold ``${CEL}``."""


class Unreached(Struct, frozen=True):
    """A rule that no record gets to, or that never matches, with the reason."""

    rule: Rule
    what: str
    hint: str


class Findings(Struct):
    """What is wrong with a flow's expressions, and which of its rules are without effect."""

    expressions: list[Finding] = field(default_factory=list)
    rules: list[Unreached] = field(default_factory=list)


def check_flow(
    flow: Flow,
    *,
    event: Type = DYNAMIC,
    variables: Mapping[str, object] | None = None,
    templates: Templates | None = None,
    unread: Sequence[Place] = (),
    changing: Sequence[Place] = (),
) -> Findings:
    """Check a flow whose records are of the type ``event`` where they keep to its contract.

    ``variables`` are the `vars` of the daemon's file, of which the types alone count, since their values change from
    place to place; None where they are not known. ``unread`` are the places of what could not be read of the flow's
    file, so that no more is concluded than what is there allows; ``changing`` are those among them where something may
    stand that changes the event. Of names of ``let`` that go round in circles nothing
    is known.
    """
    known = DYNAMIC if variables is None else widened(of_value(dict(variables)))
    names = {"meta": _meta(flow), "vars": known}
    return _Check(flow, _lets(flow), names, templates or {}, unread, changing).run(event)


def _lets(flow: Flow) -> Lets:
    try:
        return Lets(flow.lets)
    except Refused:
        return Lets(resolvable(flow.lets))


def _meta(flow: Flow) -> Type:
    """What every source knows; it may know more."""
    texts = of("string", "bytes")
    sources = frozenset(name for name, _ in flow.sources)
    fields = {
        "key": texts,
        "headers": map_of({}, texts, Type({"string": Scalar(lower=True)})),
        "time": of("timestamp"),
        "source": Type({"string": Scalar(sources)}) if sources else of("string"),
        "raw": of("bytes"),
    }
    return map_of(fields, DYNAMIC)


class _Check:
    def __init__(
        self,
        flow: Flow,
        lets: Lets,
        names: Mapping[str, Type],
        templates: Templates,
        unread: Sequence[Place],
        changing: Sequence[Place],
    ) -> None:
        self._flow = flow
        self._lets = lets
        self._names = names
        self._templates = templates
        self._found = Findings()
        # What the event is at one place of the flow or another.
        self._seen: list[Type] = []
        self._torn = _torn(flow, unread)
        self._changing = _torn(flow, changing)

    def run(self, event: Type) -> Findings:
        """Follow a record through the flow."""
        flow = self._flow
        if flow.otherwise.invalid == PASS:
            event = loosened(event)
        reach = Reach(self._lets)
        self._conditions(self._inference({"event": event}), flow.contract.expect)
        now = event
        for rule in flow.rules:
            if (why := reach.shut) is not None:
                self._found.rules.append(Unreached(rule, f"no record gets to rule `{rule.name}`", why))
            now = self._rule(rule, now, reach)
            self._seen.append(now)
        self._endings(event, now)
        self._unused_lets(join(event, *self._seen))
        return self._found

    def _inference(self, names: Mapping[str, Type]) -> Inference:
        return Inference(self._lets, self._flow.lets, {**self._names, **names}, self._found.expressions.append)

    def _conditions(self, inference: Inference, checks: Iterable[Check]) -> None:
        for check in checks:
            inference.condition(check.expr, "this expectation")

    def _rule(self, rule: Rule, event: Type, reach: Reach) -> Type:
        """Check one rule; the type of the event that later rules see."""
        torn = rule.name in self._torn
        inference = self._inference({"event": event})
        always = None if rule.when is None else inference.condition(rule.when, "this `when`")
        told = torn or reach.shut is not None
        if always is False and not told:
            self._found.rules.append(Unreached(rule, f"rule `{rule.name}` never matches", "its `when` is always false"))
        elif not told and (why := reach.hidden(rule)):
            self._found.rules.append(Unreached(rule, f"no record gets to rule `{rule.name}`", why))
            told = True
        self._conditions(inference, rule.expect)
        passes_by = self._gates(rule, event, inference)
        if rule.to:
            self._deliver(rule, event, inference)
            if not told and not passes_by:
                reach.take(rule, inference.part, always=always)
            return event
        if rule.name in self._changing:
            reach.forget()
            return DYNAMIC
        made = shaped(event, rule.shape, inference.type_of)
        if rule.shape:
            reach.forget()
        return made if (rule.when is None or always) and not passes_by and not torn else join(made, event)

    def _gates(self, rule: Rule, event: Type, inference: Inference) -> bool:
        """Check what keeps records from a rule; whether some of those that are kept from it go on to the next."""
        for gate in rule.gates:
            if gate.key is not None:
                inference.type_of(gate.key)
            if gate.held is not None:
                self._target(gate.held, event, {"event": event}, inference)
        return any(gate.held is None for gate in rule.gates)

    def _deliver(self, rule: Rule, event: Type, inference: Inference) -> None:
        names = {"event": event}
        parcel = event
        if rule.split is not None:
            elements = inference.type_of(rule.split.each)
            if not elements.may_be("list") and elements != NEVER:
                what = f"`each` is {describe(elements)}, not a list"
                node = rule.split.each.cel.node
                self._found.expressions.append(Finding(rule.split.each, 0, what, "", "fails", node))
            parcel = elements.element if elements.may_be("list") else DYNAMIC
            names[rule.split.name] = parcel
        inner = inference if rule.split is None else self._inference(names)
        made = shaped(parcel, rule.shape, inner.type_of)
        if rule.split is not None or rule.shape:
            self._seen.append(made)
        if rule.name in self._torn:
            made = DYNAMIC
        for target in rule.to:
            self._target(target, made, names, inner)

    def _target(self, target: Target, event: Type, names: Mapping[str, Type], inference: Inference) -> None:
        """A delivery of an event. What shapes it sees the names; its settings see what goes out as ``event``."""
        made = shaped(event, target.shape, inference.type_of)
        chosen = {**self._templates.get(target.sink, {}), **target.settings}
        if target.shape:
            self._seen.append(made)
        outgoing = self._inference({**names, "event": made})
        for value in chosen.values():
            type_of_value(value, outgoing.type_of)

    def _endings(self, event: Type, unmatched: Type) -> None:
        otherwise = self._flow.otherwise
        loose = loosened(event)
        parts: tuple[tuple[object, Type], ...] = (
            (otherwise.unmatched, unmatched), (otherwise.error, event), (otherwise.invalid, loose),
            (otherwise.undecodable, DYNAMIC),
        )  # fmt: skip
        for targets, known in parts:
            names = {"event": known}
            for target in targets if isinstance(targets, tuple) else ():
                self._target(target, known, names, self._inference(names))

    def _unused_lets(self, event: Type) -> None:
        """Named expressions that nothing uses may be meant for any place."""
        if not self._flow.lets:
            return
        used = {name for part in self._used() for name in part.cel.variables}
        while (
            more := {name for own in used & self._flow.lets.keys() for name in self._flow.lets[own].cel.variables}
            - used
        ):
            used |= more
        inference = self._inference({"event": event})
        for name, expr in self._flow.lets.items():
            if name not in used or name not in self._lets:
                inference.type_of(expr)

    def _used(self) -> Iterable[Expr]:
        return expressions((self._flow.contract, self._flow.rules, self._flow.otherwise))


def _is_in_value(rule: Rule, place: Place) -> bool:
    """Whether what could not be read is a condition, or a value that is set, of which it is known that it is there."""
    values = [(assignment.place, assignment.value is None) for assignment in rule.shape.set]
    if rule.when is not None:
        values.append((rule.when.place, isinstance(rule.when.cel.node, nodes.Gap)))
    before = [found for found in values if found[0] <= place]
    return bool(before) and max(before)[1]


def _torn(flow: Flow, unread: Sequence[Place]) -> frozenset[str]:
    """The rules of which something could not be read, or after which a rule may stand that could not."""
    found = set()
    for at, rule in enumerate(flow.rules):
        end = flow.rules[at + 1].place if at + 1 < len(flow.rules) else None
        within = [place for place in unread if rule.place <= place and (end is None or place < end)]
        if not all(_is_in_value(rule, place) for place in within):
            found.add(rule.name)
    return frozenset(found)
