"""One flow: its contract and its rules, as they are written, with what was counted of each, and what changed last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Field

from router.admin import Subject
from router.api.endpoint import Call, Endpoint, Said
from router.api.status import FlowTold, named, status_of
from router.aside import aside
from router.counted import by, by_two
from router.fields import Field as KnownField
from router.fields import fields_of
from router.metrics import Metrics
from rules.flow import Assignment, Check, Dedupe, Flow, Gate, Marked, Rule, Sample, Shape, Target, Template, Throttle
from rules.paths import write


class CheckTold(Said):
    """Something that a contract, or a rule, expects."""

    name: str
    expression: str
    violations: int


class ContractTold(Said):
    """What records must satisfy before any rule sees them."""

    schema_: Annotated[Any, Field(alias="schema")]
    """The JSON Schema; null where there is none."""
    model: str | None
    """The model that the daemon's file names so."""
    checks: list[CheckTold]
    sensitive: list[str]
    """What is not shown: paths, as they are written."""
    violations: dict[str, int]
    """By what was broken, whether it is a check or a part of the schema."""


class ShapeTold(Said):
    """What becomes of an event."""

    set: dict[str, Any]
    """Paths, and what is set there, as it is written."""
    unset: list[str]
    emit: Any
    """A whole new event; null where there is none."""


class TargetTold(ShapeTold):
    """Where records go."""

    sink: str
    """A sink, `drop`, `dead_letter` or `reject`."""
    settings: dict[str, Any]
    """What the delivery chooses of the sink's settings, as it is written."""


class GateTold(Said):
    """What records must pass because of those before them."""

    kind: str
    """`sample`, `throttle` or `dedupe`."""
    key: str | None
    settings: dict[str, Any]
    """Durations in seconds."""
    otherwise: TargetTold | None
    """Where a record goes that does not pass; null for on to the next rule."""
    records: dict[str, int]
    """By what became of them: `passed`, `held`, `missing_key`."""


class SplitTold(Said):
    """How one record becomes many."""

    each: str
    name: str


class RuleTold(ShapeTold):
    """A rule."""

    name: str
    when: str | None
    """Its condition, as it is written; null where it takes every record."""
    to: list[str]
    """Where it sends records; empty for a step."""
    continues: bool
    """Whether later rules see what it matched."""
    place: str
    """Where it stands: file, line, column."""
    file: str
    line: int
    expect: list[CheckTold]
    gates: list[GateTold]
    split: SplitTold | None
    targets: list[TargetTold]
    records: int
    """Records that it matched since the daemon started."""
    errors: int
    dropped: int


class ChangeTold(Said):
    """What the last reload that changed the flow has changed of it."""

    at: float
    """Unix seconds."""
    before: str | None
    """The version before; null where the flow was new."""
    version: str
    added: list[str]
    """Names of rules."""
    removed: list[str]
    changed: list[str]
    parts: list[str]
    """What else changed: `from`, `contract`, `let`, `otherwise`, `tests`, or the `vars` that it reads."""


class FlowDetail(FlowTold):
    """A flow, with its contract and its rules."""

    name: str
    file: str
    dead_letters: int
    """In the store now."""
    contract: ContractTold
    let: dict[str, str]
    detail: list[RuleTold]
    """Its rules, in order."""
    otherwise: dict[str, list[TargetTold] | str | None]
    """Where records go that no rule decides about: `undecodable`, `invalid`, `error`, `unmatched`; `pass` where an
    invalid one is only counted, null where it is not said."""
    changed: ChangeTold | None
    """Null where no reload has changed it."""
    records: int
    """Records since the daemon started."""
    unmatched: int
    dropped: int
    violations: int


class FieldTold(Said):
    """Something that expressions can read."""

    path: str
    """As it is written: `event.user.plan`; `[*]` stands for every element of a list."""
    types: list[str]
    """Of CEL; none where it may be anything."""
    known_by: Annotated[list[str], Field(alias="from")]
    """What it is known by: `contract`, `traffic`, `vars`, `let`."""
    enum: list[Any]
    """The only values that the contract allows; none where it says nothing."""
    sensitive: bool


class FieldsTold(Said):
    """What expressions of a flow can read."""

    fields: list[FieldTold]
    """At most 1,000."""


def written(value: Any) -> Any:
    """A value of a rules file, as JSON has it, with ``${CEL}`` in it as it is written."""
    if isinstance(value, Template):
        parts = (
            part.replace("${", "$${") if isinstance(part, str) else f"${{{part.cel.text}}}" for part in value.parts
        )
        return "".join(parts)
    if isinstance(value, Mapping):
        return {name: written(inner) for name, inner in value.items()}
    if isinstance(value, tuple | list):
        return [written(inner) for inner in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


def path_text(path: Marked) -> str:
    """A path of a record, from its root on."""
    root, *steps = path
    return str(root) + write(tuple(steps)).removeprefix("event")


class _Counted:
    """What was counted of one flow."""

    def __init__(self, metrics: Metrics, flow: str) -> None:
        def of(labels: Mapping[str, str]) -> bool:
            return labels["flow"] == flow

        self.records = by(metrics.rule_records, "rule", of)
        self.failed = by_two(metrics.rule_errors, "rule", "kind", of)
        self.dropped = by(metrics.dropped, "rule", of)
        self.violations = by(metrics.violations, "check", of)

        def gated(kind: str) -> dict[str, dict[str, float]]:
            return by_two(metrics.gate_records, "rule", "result", lambda labels: of(labels) and labels["gate"] == kind)

        self.gates = {kind: gated(kind) for kind in ("sample", "throttle", "dedupe")}
        self.all = int(by(metrics.flow_records, "flow", of).get(flow, 0))
        self.unmatched = int(by(metrics.unmatched, "flow", of).get(flow, 0))


async def _flow(subject: Subject, call: Call) -> FlowDetail:
    name, status = call.names["name"], status_of(subject)
    told = named("flow", name, status.flows)
    flow = next(known for known in subject.configuration.flows if known.name == name)
    counted, change = _Counted(subject.metrics, name), subject.changes.get(name)
    return FlowDetail(
        **told.model_dump(),
        name=name,
        file=flow.place.file,
        dead_letters=status.dead_letters.kept.get(name, 0),
        contract=_contract(flow, counted),
        let={let: expr.cel.text for let, expr in flow.lets.items()},
        detail=[_rule(rule, counted) for rule in flow.rules],
        otherwise=_otherwise(flow),
        changed=None if change is None else ChangeTold.model_validate(asdict(change)),
        records=counted.all,
        unmatched=counted.unmatched,
        dropped=int(sum(counted.dropped.values())),
        violations=int(sum(counted.violations.values())),
    )


def _contract(flow: Flow, counted: _Counted) -> ContractTold:
    contract = flow.contract
    return ContractTold.model_validate(
        {
            "schema": contract.schema,
            "model": contract.model,
            "checks": _checks(contract.expect, counted),
            "sensitive": [path_text(path) for path in contract.sensitive],
            "violations": {check: int(many) for check, many in counted.violations.items()},
        }
    )


def _checks(checks: Iterable[Check], counted: _Counted) -> list[CheckTold]:
    return [
        CheckTold(
            name=check.name, expression=check.expr.cel.text, violations=int(counted.violations.get(check.name, 0))
        )
        for check in checks
    ]


def _rule(rule: Rule, counted: _Counted) -> RuleTold:
    failed = counted.failed.get(rule.name, {})
    return RuleTold(
        name=rule.name,
        when=None if rule.when is None else rule.when.cel.text,
        to=[target.sink for target in rule.to],
        continues=rule.continues,
        place=str(rule.place),
        file=rule.place.file,
        line=rule.place.line,
        expect=_checks(rule.expect, counted),
        gates=[_gate(gate, counted.gates[gate.kind].get(rule.name, {})) for gate in rule.gates],
        split=None if rule.split is None else SplitTold(each=rule.split.each.cel.text, name=rule.split.name),
        targets=list(map(_target, rule.to)),
        records=int(counted.records.get(rule.name, 0)),
        errors=int(sum(failed.values())),
        dropped=int(counted.dropped.get(rule.name, 0)),
        **_shape(rule.shape),
    )


def _shape(shape: Shape) -> dict[str, Any]:
    def entry(assignment: Assignment) -> tuple[str, Any]:
        return write(assignment.path), written(assignment.value)

    return {
        "set": dict(map(entry, shape.set)),
        "unset": list(map(write, shape.unset)),
        "emit": written(shape.emit) if shape.has_emit else None,
    }


def _target(target: Target) -> TargetTold:
    settings = {name: written(value) for name, value in target.settings.items()}
    return TargetTold(sink=target.sink, settings=settings, **_shape(target.shape))


def _gate(gate: Gate, records: Mapping[str, float]) -> GateTold:
    settings: dict[str, Any] = {}
    if isinstance(gate, Sample):
        settings = {"ratio": float(gate.ratio)}
    elif isinstance(gate, Throttle):
        rate = float(gate.count / gate.nanos * 10**9)
        settings = {"records_per_second": rate, "burst": gate.burst, "max_keys": gate.max_keys}
    elif isinstance(gate, Dedupe):
        settings = {"within": gate.within / 1e9, "persist": gate.persist, "max_keys": gate.max_keys}
    return GateTold(
        kind=gate.kind,
        key=None if gate.key is None else gate.key.cel.text,
        settings=settings,
        otherwise=None if gate.held is None else _target(gate.held),
        records={result: int(many) for result, many in records.items()},
    )


def _otherwise(flow: Flow) -> dict[str, list[TargetTold] | str | None]:
    said, found = flow.otherwise, dict[str, list[TargetTold] | str | None]()
    for name in ("undecodable", "invalid", "error", "unmatched"):
        targets = getattr(said, name)
        found[name] = targets if targets is None or isinstance(targets, str) else list(map(_target, targets))
    return found


async def _fields(subject: Subject, call: Call) -> FieldsTold:
    configuration = subject.configuration
    flow = named("flow", call.names["name"], {known.name: known for known in configuration.flows})
    found = await aside(fields_of, configuration, flow, subject.samples.sample(flow.name))
    return FieldsTold.model_validate({"fields": list(map(_field, found))})


def _field(known: KnownField) -> dict[str, Any]:
    return {
        "path": path_text(known.path),
        "types": sorted(known.types),
        "from": sorted(known.known_by),
        "enum": known.enum,
        "sensitive": known.sensitive,
    }


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/flows/{name}",
        summary="One flow: its contract and rules, what was counted of each, and what changed last",
        handle=_flow,
        answer=FlowDetail,
        failures={404: "There is none of this name."},
    ),
    Endpoint(
        method="GET",
        path="/api/flows/{name}/fields",
        summary="What expressions of a flow can read: by its contract, and by records that were seen",
        handle=_fields,
        answer=FieldsTold,
        failures={404: "There is none of this name."},
    ),
)
