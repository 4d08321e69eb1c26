"""What each expression of a flow is for, so that it can be told when it has been evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rules.flow import Dedupe, Flow, Gate, Rule, Sample, Shape, Target, Template, Throttle, Value
from rules.paths import write
from rules.plan import Plan

_Meanings = Iterator[tuple[int, str]]


def meanings(flow: Flow, plan: Plan) -> dict[int, str]:
    """By the identity of the ``Expr``, of which no two are one: ``when``, ``expect``, ``gate`` (the key of one),
    ``each``, or what it fills in: ``set event.tier``, ``emit.id``, ``path``, ``headers.h``."""
    return dict(_of_flow(flow, plan))


def allows(gate: Gate) -> str:
    """What a gate lets pass, in words."""
    if isinstance(gate, Sample):
        return f"{float(gate.ratio * 100):g}%"
    if isinstance(gate, Throttle):
        return f"{float(gate.count):g} in {_time(gate.nanos)}, {gate.burst} at once"
    return f"once in {_time(gate.within)}" if isinstance(gate, Dedupe) else ""


def _time(nanos: int) -> str:
    for unit, size in (("h", 3600 * 10**9), ("m", 60 * 10**9), ("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if nanos % size == 0:
            return f"{nanos // size}{unit}"
    return f"{nanos}ns"


def _of_flow(flow: Flow, plan: Plan) -> _Meanings:
    for lane in plan.lanes:
        yield from _of_settings(lane.templates)
    yield from ((id(check.expr), "expect") for check in flow.contract.expect)
    for rule in flow.rules:
        yield from _of_rule(rule)
    otherwise = flow.otherwise
    for targets in (otherwise.undecodable, otherwise.invalid, otherwise.error, otherwise.unmatched or ()):
        for target in () if isinstance(targets, str) else targets:
            yield from _of_target(target)


def _of_rule(rule: Rule) -> _Meanings:
    if rule.when is not None:
        yield id(rule.when), "when"
    if rule.split is not None:
        yield id(rule.split.each), "each"
    yield from ((id(check.expr), "expect") for check in rule.expect)
    yield from ((id(gate.key), "gate") for gate in rule.gates)
    yield from _of_shape(rule.shape)
    for target in rule.targets:
        yield from _of_target(target)


def _of_target(target: Target) -> _Meanings:
    yield from _of_settings(target.settings)
    yield from _of_shape(target.shape)


def _of_shape(shape: Shape) -> _Meanings:
    for assignment in shape.set:
        yield from _of_value(f"set {write(assignment.path)}", assignment.value)
    if shape.has_emit:
        yield from _of_value("emit", shape.emit)


def _of_settings(settings: Mapping[str, Value]) -> _Meanings:
    for name, value in settings.items():
        yield from _of_value(name, value)


def _of_value(what: str, value: Value) -> _Meanings:
    if isinstance(value, Template):
        yield from ((id(part), what) for part in value.parts if not isinstance(part, str))
    elif isinstance(value, tuple):
        for index, element in enumerate(value):
            yield from _of_value(f"{what}[{index}]", element)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _of_value(f"{what}.{name}", inner)
