"""The compiler's fast path: it decides the plain cases itself, and says what the evaluator says in all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from rules import cel
from rules.cel.compile_code import Code
from rules.cel.compile_runtime import MISSING
from rules.cel.compiler import predicate


@pytest.mark.parametrize(
    ("text", "event", "holds"),
    [
        ('event.type == "order" && event.amount > 50.0', {"type": "order", "amount": 51}, True),
        ('event.type == "order" && event.amount > 50.0', {"type": "order", "amount": "51"}, False),
        ("event.n == 1", {"n": True}, False),
        ("event.n == 1", {"n": 1.0}, True),
        ("event.n in [1, 'a']", {"n": True}, False),
        ("event.n in [1, 'a']", {"n": [1]}, False),
        ("event.n > 9007199254740991.0", {"n": 2**53}, True),
        ("event.n == 9007199254740992.0", {"n": 2**53 + 1}, False),
        ("event.n > 9007199254740992.0", {"n": 2**53 + 1}, False),
        ("event.n == 18446744073709551616.0", {"n": 2**64 + 1}, True),
        ("event.n < 5", {"n": False}, False),
        ("event.n != 5", {}, False),
        ("!(event.n == 5)", {}, False),
        ("event.n == 5 || event.m == 5", {"m": 5}, True),
        ("event.n == 5 || event.m == 5", {"n": 5}, True),
        ("!(event.n == 5 && event.m == 5)", {"m": 4}, True),
        ("has(event.a.b)", {"a": "b"}, False),
        ("'b' in event.a", {"a": "abc"}, False),
        ("'b' in event.a", {"a": {"b": None}}, True),
        ("event.s.startsWith('a')", {"s": b"abc"}, False),
        ("event.s.contains('b')", {"s": ["b"]}, False),
        ("event.s.contains('{b}')", {"s": "a{b}"}, True),
        ("event.l[1] == 'b'", {"l": ["a", "b"]}, True),
        ("event.l[1] == 'b'", {"l": ["a"]}, False),
        ("event.n * 2 > 5", {"n": 2.6}, True),
        ("event.n * 2 > 5", {"n": 2**63 - 1}, False),
        ("event.n % -1 == 0", {"n": -(2**63) + 1}, True),
        ("event.n % -1 == 0", {"n": -(2**63)}, False),
        ("sets.contains(event.l, event.l)", {"l": [float("nan")]}, False),
        ("event.l.distinct().size() == 2", {"l": [float("nan")] * 2}, True),
        ("event == null", None, True),
        ("event.x", 5, False),
        ("other.x == 1", {}, False),
        ("true", {}, True),
        ("event.a == event.b", {"a": 1, "b": 1.0}, True),
        ("event.a < event.b", {"a": "a", "b": "b"}, True),
        ("event.a < event.b", {"a": "a", "b": 1}, False),
        ("event.t > timestamp('2024-01-01T00:00:00Z')", {"t": cel.Timestamp(1_800_000_000)}, True),
        ("event.l.exists(x, x > 1)", {"l": [None, "a", 2]}, True),
        ("event.l.exists(x, x > 1)", {"l": [2, "a"]}, True),
        ("event.l.exists(x, x > 1)", {"l": ["a", 1]}, False),
        ("event.l.exists(x, x.n > 1)", {"l": [{}, {"n": 2}]}, True),
        ("event.l.exists(x, x.n > 1)", {"l": [{}, {"n": 1}]}, False),
        ("event.l.all(x, x < 2)", {"l": ["a", 2]}, False),
        ("!event.l.all(x, x.n < 2)", {"l": [{}, {"n": 2}]}, True),
        ("!event.l.all(x, x.n < 2)", {"l": [{}, {"n": 1}]}, False),
        ("event.l.all(x, x < 2)", {"l": []}, True),
        ("event.l.all(x, x < 2)", {"l": "ab"}, False),
        ("event.l.all(x, x.startsWith('a'))", {"l": {"ab": 1, "a": 2}}, True),
        ("event.l.exists_one(x, x == 1)", {"l": [1, 2, 1.0]}, False),
        ("event.l.exists_one(x, x.n == 1)", {"l": [{"n": 1}, {}]}, False),
        ("event.l.filter(x, x > 1) == [2, 3]", {"l": [1, 2, 3]}, True),
        ("event.l.map(x, x > 1, x * 2) == [4, 6]", {"l": [1, 2, 3]}, True),
        ("event.l.map(x, x) == [18446744073709551615u]", {"l": [2**64 - 1]}, True),
        ("event.l.exists(x, x.exists(y, y == event.n))", {"l": [[1], [2]], "n": 2}, True),
        ("event.l.exists(x, event.l.exists(y, x == y + 1))", {"l": [1, 2]}, True),
        ("event.l.exists(x, x.exists(x, x == 2))", {"l": [[1], [2]]}, True),
        ("event.l.exists(event, event.n == 2)", {"l": [{"n": 2}], "n": 1}, True),
        ("event.l.exists(int, int == 2)", {"l": [2]}, True),
        ("[1, 2].exists(x, x + 1.0 == event.n)", {"n": 2.0}, False),
        ("event.l.map(x, x.map(y, [x, y])).exists(z, z[1] == [[1, 2], 2])", {"l": [[1, 2]]}, True),
    ],
)
def test_a_predicate_says_what_the_evaluator_says(text: str, event: Any, holds: bool) -> None:
    expression = cel.compile(text)
    assert expression.predicate("event")(event) is holds
    try:
        exact = expression.evaluate({"event": event}) is True
    except cel.CelError:
        exact = False
    assert exact is holds


def test_what_macros_inside_macros_visit_is_bounded_as_the_evaluator_bounds_it() -> None:
    expression = cel.compile("event.l.all(x, event.l.all(y, y >= 0))")
    assert expression.predicate("event")({"l": list(range(1000))})
    assert not expression.predicate("event")({"l": list(range(1001))})


def test_a_predicate_takes_any_variable_and_any_mapping() -> None:
    class Own(Mapping[str, object]):
        def __getitem__(self, key: str) -> object:
            return {"a": {"b": 1}}[key]

        def __iter__(self) -> Any:
            return iter(["a"])

        def __len__(self) -> int:
            return 1

    assert predicate(cel.compile("row.a.b == 1").node, "row")(Own())


def test_a_wide_and_a_tall_expression_compile() -> None:
    wide = " && ".join(f"event.n != {n}" for n in range(1, 300)) + " || " + " || ".join(["event.n == 5"] * 300)
    tall = "!" * 40 + "(" * 30 + "event.n == 0" + ")" * 30
    nested = "event.n == 0"
    for _ in range(30):
        nested = f"({nested} ? event.n == 0 || {nested.split(' ? ')[0].strip('(')} : false)"
    for text in (wide, tall, nested):
        assert cel.compile(text).predicate("event")({"n": 0})


@pytest.mark.parametrize("start", ["event.tags", "[1, 2]", "event.?tags.orValue([])"])
def test_a_chain_of_macros_is_compiled_in_steps_that_do_not_double_with_each_link(start: str) -> None:
    links = 60
    assert cel.compile(f"size({start}{'.map(x, x)' * links}) == 2").predicate("event")({"tags": [1, 2]})
    assert cel.compile(f"{start}{'.map(x, x + 0)' * links}").evaluate({"event": {"tags": [1, 2]}}) == [1, 2]


def test_what_is_known_in_a_block_is_forgotten_after_it() -> None:
    code = Code()
    with code.block("if True:"):
        code.known["x"] = code.constant(1)
    assert "x" not in code.known
    assert code.source == "if True:\n    pass\n"


def test_constants_without_an_exact_literal_stand_outside_the_code() -> None:
    code = Code()
    value = [1]
    assert code.constant(float("inf")).text == "K0"
    assert code.namespace[code.constant(value).text] is value
    assert code.constant("'\n").text == repr("'\n")


def test_what_is_missing_is_never_so() -> None:
    assert MISSING.get("x", None) is MISSING
    assert not MISSING.startswith("")
    assert [MISSING < 1, MISSING > 1, MISSING <= 1, MISSING >= 1] == [False] * 4
