"""Evaluations with a budget: what they may cost, and that they come to the same otherwise."""

from __future__ import annotations

import pytest

from rules import cel
from rules.cel.budget import bounded


def bomb(first: str, grow: str, times: int) -> str:
    """An expression whose value doubles so many times."""
    made = f"x{times}"
    for number in range(times, 0, -1):
        made = f"cel.bind(x{number}, {grow.replace('x', f'x{number - 1}')}, {made})"
    return f"cel.bind(x0, {first}, {made})"


@pytest.mark.parametrize(
    "text",
    [
        "lists.range(100000).map(a, lists.range(1000).map(b, b))",
        "lists.range(1000000)",
        bomb("'aaaaaaaaaa'", "x + x", 30),
        bomb("[1]", "[x, x]", 40),
        bomb("{'a': 1}", "{'a': x, 'b': x}", 40),
        "lists.range(100000).all(a, lists.range(100).all(b, b >= 0))",
    ],
)
def test_what_explodes_is_stopped(text: str) -> None:
    with pytest.raises(cel.CelError, match=r"too large|more than"):
        bounded(cel.compile(text).node, 100_000)({})


def test_what_explodes_is_stopped_even_where_its_error_is_absorbed() -> None:
    text = "lists.range(100000).exists(a, lists.range(1000).exists(b, b < 0) || false)"
    with pytest.raises(cel.CelError):
        bounded(cel.compile(text).node, 10_000)({})


@pytest.mark.parametrize("text", ["event.a + 1", "[1, 2].map(x, x * event.a)", "'a' + 'b'", "size([event])"])
def test_what_is_cheap_comes_to_the_same_as_often_as_it_is_asked(text: str) -> None:
    compiled = cel.compile(text)
    run = bounded(compiled.node, 100)
    for _ in range(50):
        assert run({"event": {"a": 2}}) == compiled.evaluate({"event": {"a": 2}})
