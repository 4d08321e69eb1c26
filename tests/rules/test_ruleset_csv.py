"""Rows of CSV through a compiled flow: column by column, and exactly what the interpreter decides row by row."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rulesets import both, ruleset_of

from router.batch import Batch
from rules.codecs import Csv, Json
from rules.columns import Constant
from rules.ruleset import SinkFacts

FLOWS = [
    "rules: [{name: r, when: event.n > 5, to: a}, {name: x, to: b}]",
    "rules: [{name: r, when: event.t.startsWith('x') && event.n >= 1, to: a}]\notherwise: {unmatched: drop}",
    "contract: {expect: {known: 'event.t in [\"x\"]'}}\nrules: [{name: x, to: [a, {sink: b, path: '${event.t}'}]}]",
    "rules: [{name: r, when: has(event.gone), to: a}, {name: x, when: event.gone == 'x', to: a}, {name: y, to: b}]",
    "rules: [{name: r, when: 'event == {}', to: a}, {name: x, when: size(event) > 2, to: a}, {name: y, to: b}]",
    "rules: [{name: s, set: {event.t: '${event.t}!'}}, {name: y, to: b}]",
    "rules: [{name: y, to: b}]",
]
ROWS = st.lists(
    st.sampled_from(
        [b"x,1,7", b"y,,5", b"xx,9,", b"x,no,1", b'"x,",3,4', b'"x\ny",6,1', b"a,b", b"", b"\xff,1,2", b'"', b"x,1,2,3"]
    ),
    max_size=8,
)
HEADERS: list[Sequence[object] | None] = [["t", "n", "u"], ["n", "t", "u"], ["t"], [], ["t", 5], None]


@given(st.sampled_from(FLOWS), ROWS, st.sampled_from(HEADERS), st.booleans(), st.booleans())
def test_what_is_compiled_decides_as_the_interpreter_does(
    flow: str, rows: list[bytes], header: Sequence[object] | None, constant: bool, configured: bool
) -> None:
    columns = ("t", "n", "u") if configured else None
    decode = Csv(columns=columns, types={"n": "integer"})
    facts = [SinkFacts("a", encode=Json()), SinkFacts("b", per_record=frozenset({"path"}))]
    known = Constant(header, len(rows)) if constant else [header] * len(rows)
    both(ruleset_of(flow, decode=decode, facts=facts), Batch(rows, attributes={"columns": known}))


@pytest.mark.parametrize("attributes", [{}, {"columns": [["t", "n"], None]}])
def test_rows_without_columns_are_lists(attributes: dict[str, Sequence[object]]) -> None:
    ruleset = ruleset_of(
        "rules: [{name: r, when: 'event[1] == \"2\"', to: a}]\notherwise: {unmatched: drop}", decode=Csv()
    )
    decisions = both(ruleset, Batch([b"1,2", b"3,2"], attributes=attributes))
    assert [list(delivery.indices) for delivery in decisions.deliveries] == [[0, 1] if not attributes else [1]]
