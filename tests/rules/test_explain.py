"""Explanations: that they tell what is decided, and why."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rulesets import batch_of, ruleset_of, template
from test_ruleset_law import SETTINGS, endings, flows, records

from router.batch import Batch
from rules.decisions import Outcome
from rules.explain import Explanation
from rules.explain.model import Evaluation
from rules.flow import DEAD_LETTER, DROP
from rules.plan import SinkFacts


def explained(text: str, event: object, **columns: Any) -> Explanation:
    """The explanation of one event, after making sure that it tells what is decided."""
    ruleset, batch = ruleset_of(text), batch_of(event, **columns)
    explanation = ruleset.explain(batch, 0, "s")
    tells(explanation, ruleset.interpret(batch, 0, "s"))
    return explanation


def tells(explanation: Explanation, outcome: Outcome) -> None:
    """Hold an explanation against the interpreter's answer."""
    assert repr(explanation.outcome) == repr(outcome)  # NaN is not equal to itself
    going = [(name, sending) for name, sending in explanation.goes()]
    dispatched = [sending.dispatch for _, sending in going if sending.dispatch is not None]
    assert list(map(id, dispatched)) == list(map(id, explanation.outcome.dispatches))
    assert [s.because for _, s in going if s.to == DEAD_LETTER] == outcome.letters
    assert sum(sending.to == DROP for _, sending in going) == len(outcome.dropped)
    assert len(going) == len(outcome.dispatches) + len(outcome.letters) + len(outcome.dropped)
    for name, sending in going:
        assert sending.dispatch is None or sending.dispatch.rule == name
    undone = any(step.error for step in (*explanation.rules, *explanation.endings))
    if not undone:
        fates = [step.fate for step in explanation.rules]
        assert [number for number, fate in enumerate(fates) if fate == "matched"] == outcome.matched
        assert [number for number, fate in enumerate(fates) if fate == "missing"] == outcome.missing


def shown(evaluation: Evaluation | None) -> Any:
    """An evaluation in short."""
    assert evaluation is not None
    came = evaluation.value if evaluation.state == "value" else evaluation.state
    below: list[Any] = [shown(part) for part in evaluation.parts]
    below += [
        ({"decides": element.decides, **element.variables}, [shown(part) for part in element.parts])
        for element in evaluation.elements
    ]
    return (evaluation.text, came, below) if below else (evaluation.text, came)


undecodable = st.one_of(endings, st.just("b"))


@given(flows, undecodable, st.lists(records, max_size=6), st.data())
@SETTINGS
def test_an_explanation_tells_what_the_interpreter_decides(
    flow: Any, undecodable: Any, events: list[object], data: st.DataObject
) -> None:
    flow["otherwise"]["undecodable"] = "drop" if isinstance(undecodable, dict) else undecodable
    payloads = [json.dumps(event).encode() for event in events]
    payloads += data.draw(st.lists(st.sampled_from([b"", b"{", b"\xff", b"[" * 2000, b'{"n":1e999}']), max_size=2))
    count = len(payloads)
    batch = Batch(
        payloads,
        keys=data.draw(st.none() | st.lists(st.sampled_from([None, b"k", b"\xff"]), min_size=count, max_size=count)),
        attributes={"topic": data.draw(st.lists(st.sampled_from([None, "t", 5]), min_size=count, max_size=count))},
        spoiled=data.draw(st.dictionaries(st.integers(0, max(count - 1, 0)), st.just("cut off"), max_size=1)),
    )
    facts = [SinkFacts("b", encode="json", per_record=frozenset({"topic"}))]
    facts += [SinkFacts("c", templates={"topic": template("x.${event.type}")}, per_record=frozenset({"topic"}))]
    ruleset = ruleset_of(json.dumps(flow), names={"n": 5, "tags": ["order", 1]}, facts=facts)
    for index in range(count):
        tells(ruleset.explain(batch, index, "s"), ruleset.interpret(batch, index, "s"))
