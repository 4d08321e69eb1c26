"""Rulesets from the text of a rules file, for the tests of the rules engine."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from router.batch import Batch
from rules.cel.surroundings import NOWHERE, Surroundings
from rules.codecs import Format
from rules.columns import Lines
from rules.decisions import Decisions
from rules.faults import Refused
from rules.flow import Flow, Value
from rules.plan import SinkFacts, sink_targets
from rules.reader import read_flow
from rules.ruleset import Ruleset, compile_flow


def flow_of(text: str, schema: object = None) -> Flow:
    """The flow that a text says; ``from`` may be left out. ``schema`` is what any file holds that it names."""
    text = textwrap.dedent(text)
    if not text.startswith("{") and "\nfrom: " not in text:
        text = "from: s\n" + text

    def read(name: str) -> bytes:
        if schema is None:
            raise OSError(name)
        return json.dumps(schema).encode()

    flow, faults = read_flow(text, "flow.yaml", read)
    if faults or flow is None:
        raise Refused(faults)
    return flow


def sinks_of(flow: Flow) -> dict[str, SinkFacts]:
    """Plain facts of every sink that a flow names, each with a per-record ``topic`` and ``path``."""
    otherwise = flow.otherwise
    many = [rule.targets for rule in flow.rules]
    many += [otherwise.undecodable, otherwise.error, otherwise.unmatched or ()]
    many += [otherwise.invalid] if isinstance(otherwise.invalid, tuple) else []
    names = [target.sink for targets in many for target in sink_targets(targets)]
    return {name: SinkFacts(name, per_record=frozenset({"topic", "path"})) for name in names}


def ruleset_of(
    text: str,
    *,
    decode: Format | None = None,
    names: Mapping[str, object] | None = None,
    models: Mapping[str, Any] | None = None,
    facts: Sequence[SinkFacts] = (),
    around: Surroundings = NOWHERE,
    schema: object = None,
) -> Ruleset:
    """The compiled ruleset of a text."""
    flow = flow_of(text, schema)
    sinks = sinks_of(flow) | {fact.name: fact for fact in facts}
    return compile_flow(flow, decode=decode, sinks=sinks, vars=names or {}, models=models or {}, around=around)


def template(text: str) -> Value:
    """A value of a configuration in which ``${CEL}`` is filled in."""
    flow = flow_of(f"rules: [{{name: r, emit: {{v: {text!r}}}, to: a}}]")
    emitted = flow.rules[0].shape.emit
    assert isinstance(emitted, Mapping)
    return emitted["v"]


def batch_of(*events: object, **columns: Any) -> Batch:
    """A batch of events; bytes stand for themselves."""
    values = [event if isinstance(event, bytes) else msgspec.json.encode(event) for event in events]
    return Batch(values, **columns)


def both(ruleset: Ruleset, batch: Batch, source: str = "s") -> Decisions:
    """What the compiled ruleset decides, after making sure that the exact interpreter decides the same, and so does the
    compiled one about lines that lie in blocks."""
    decisions = ruleset.route(batch, source)
    compiled, exact = summary(decisions), summary(ruleset.route_exactly(batch, source))
    in_blocks = compiled
    if not batch.spoiled and all(value and b"\n" not in value for value in batch.values):
        in_blocks = summary(ruleset.route(replace(batch, values=lines_of(batch.values)), source))
    for name, decided in compiled.items():
        if not decided == exact[name] == in_blocks[name]:
            told = f"compiled {decided}, exact {exact[name]}, in blocks {in_blocks[name]}"
            raise AssertionError(f"{name}: {told}\n{ruleset.code}")
    return decisions


def lines_of(values: Sequence[bytes], many: int = 3) -> Lines:
    """Lines in blocks of so many."""
    lines = Lines()
    for start in range(0, len(values), many):
        some = values[start : start + many]
        lines.append(b"".join(value + b"\n" for value in some), len(some))
    return lines


def summary(decisions: Decisions) -> dict[str, object]:
    """Everything that was decided, in a form that compares."""
    return {
        "deliveries": [
            (d.sink, list(d.indices), list(d.values), dict(d.settings), list(d.rules)) for d in decisions.deliveries
        ],
        "letters": decisions.letters,
        "rejections": decisions.rejections,
        "matched": decisions.matched,
        "missing": decisions.missing,
        "dropped": decisions.dropped,
        "unmatched": decisions.unmatched,
        "errors": decisions.errors,
        "violations": decisions.violations,
        "gated": decisions.gated,
    }


def sent(decisions: Decisions, batch: Batch) -> dict[str, list[object]]:
    """By sink, the events that go there, decoded from JSON."""
    found: dict[str, list[object]] = {}
    for delivery in decisions.deliveries:
        found[delivery.sink] = [msgspec.json.decode(value) for value in delivery.values]
    return found
