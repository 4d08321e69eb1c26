"""Named expressions mean what they say wherever they are used, whatever the macros around them call their variables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules import cel
from rules.cel.evaluator import evaluator
from rules.faults import Place, Refused
from rules.flow import Expr
from rules.lets import Lets

PLACE = Place("flow.yaml", 1, 1)


def lets(**texts: str) -> Lets:
    return Lets({name: Expr(cel.compile(text), PLACE) for name, text in texts.items()})


NAMES = st.sampled_from(["event", "x", "y", "big", "any"])


@given(NAMES, NAMES)
def test_no_variable_of_a_macro_captures_what_a_name_means(outer: str, inner: str) -> None:
    named = lets(big="event.n > 1", any="event.tags.exists(x, big && x > 0)")
    hidden = {outer, inner}
    used = " && ".join(name for name in ("big", "any", "true") if name not in hidden)
    node = named.inline(cel.compile(f"ones.all({outer}, ones.all({inner}, {used}))").node)
    holds = evaluator(node)
    assert holds({"event": {"n": 2, "tags": [1]}, "ones": [0]}) is True
    assert holds({"event": {"n": 0, "tags": [1]}, "ones": [0]}) is ("big" in hidden and "any" in hidden)
    assert holds({"event": {"n": 2, "tags": [0]}, "ones": [0]}) is ("any" in hidden)


def test_a_variable_of_the_same_name_hides_a_name() -> None:
    named = lets(big="event.n > 1")
    node = named.inline(cel.compile("event.tags.filter(big, big > 5) == [6] && cel.bind(big, 1, big == 1) && big").node)
    assert evaluator(node)({"event": {"n": 2, "tags": [1, 6]}}) is True


def test_names_may_use_names_in_any_order() -> None:
    named = lets(a="b + 1", b="c * 2", c="event.n")
    assert evaluator(named.inline(cel.compile("a").node))({"event": {"n": 5}}) == 11


def test_names_in_a_circle_are_refused() -> None:
    with pytest.raises(Refused, match="a -> b -> a"):
        lets(a="b", b="a || true")


def test_names_that_double_themselves_are_refused_before_they_are_made() -> None:
    names = {f"n{index}": f"n{index - 1} + n{index - 1}" for index in range(1, 40)}
    with pytest.raises(Refused, match="operations deep"):
        lets(n0="event.n", **names)


def test_what_only_grows_too_deep_where_it_is_used_is_a_fault_there() -> None:
    """Both halves are short enough, each by itself."""
    named = lets(sum=" + ".join(["event.n"] * 120))
    used = Expr(cel.compile(" + ".join(["sum", *["1"] * 120]) + " > 0"), Place("flow.yaml", 7, 9))
    (fault,) = named.faults([used])
    assert (fault.place, "operations deep" in fault.what) == (used.place, True)
    assert not list(named.faults([Expr(cel.compile("sum > 0"), PLACE)]))
