"""The law of conditions: where one is said to be true whenever another one is, it is so, of every value."""

from __future__ import annotations

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from rules import cel
from rules.cel.evaluator import evaluator
from rules.cel.scope import static_path
from rules.inference.conditions import implies, singly, term_of
from rules.inference.kinds import DYNAMIC, of_value
from rules.inference.together import excludes

NUMBERS = [-2, -1, 0, 1, 2, -1.5, -0.0, 0.5, 1.0, 1.5, 9007199254740991, 9007199254740993, 1e300]
TEXTS = ["", "a", "ab", "b", "ba", "abc", "A", "é", "1"]
VALUES = [*NUMBERS, *TEXTS, True, False, None, [], ["a"], {}, {"a": 1}]

constants = st.sampled_from([*NUMBERS, *TEXTS, True, False, None]).map(json.dumps)
subjects = st.sampled_from(["event.x", "event.x", "event.x", "event.y"])
comparisons = st.builds(
    "{} {} {}".format, subjects, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.sampled_from(NUMBERS)
)
conditions = st.one_of(
    comparisons,
    st.builds("{} {} {}".format, constants, st.sampled_from(["==", "!=", "<", ">="]), subjects),
    st.builds("{} {} {}".format, subjects, st.sampled_from(["==", "!="]), constants),
    st.builds("{} in [{}]".format, subjects, st.lists(constants, min_size=1, max_size=4).map(", ".join)),
    st.builds(
        "{}.{}({})".format,
        subjects,
        st.sampled_from(["startsWith", "endsWith", "contains"]),
        st.sampled_from(TEXTS).map(json.dumps),
    ),
    subjects,
)
conditions |= conditions.map("!({})".format) | conditions.map("!!({})".format)


def is_true(condition: str, value: object) -> bool:
    """Whether it is true of an event that has this value; one that errs is not."""
    try:
        return evaluator(cel.compile(condition).node)({"event": {"x": value, "y": value}}) is True
    except cel.CelError:
        return False


@settings(max_examples=300)
@given(conditions, conditions, st.lists(st.sampled_from(VALUES) | st.integers() | st.floats() | st.text(), max_size=5))
@example("event.x == 1", "event.x >= 1", [])
@example("event.x < 1", "event.x < 2", [])
@example("event.x.startsWith('ab')", "event.x.startsWith('a')", [])
def test_what_is_implied_is_true(later: str, earlier: str, more: list[object]) -> None:
    if implies(term_of(cel.compile(later).node), term_of(cel.compile(earlier).node)):
        for value in [*VALUES, *more]:
            assert not is_true(later, value) or is_true(earlier, value), value


@settings(max_examples=300)
@given(st.lists(conditions, min_size=2, max_size=3), st.lists(st.sampled_from(VALUES) | st.integers(), max_size=5))
@example(["event.x > 1", "event.x < 1"], [])
@example(["event.x >= 9007199254740991", "event.x <= 9007199254740991"], [])
def test_what_is_excluded_is_never_all_true(texts: list[str], more: list[object]) -> None:
    terms = [term_of(cel.compile(text).node) for text in texts]
    if len({term.subject for term in terms}) > 1:
        return
    for value in [*VALUES, *more]:
        if all(is_true(text, value) for text in texts):
            assert not excludes(terms, DYNAMIC), value
            assert not static_path(terms[0].subject) or not excludes(terms, of_value(value)), value


@given(conditions)
def test_a_term_for_each_constant_says_the_same(condition: str) -> None:
    """Whatever is true of one of the constants of a list implies the list, and nothing else does."""
    whole = term_of(cel.compile(condition).node)
    parts = singly(whole)
    assert all(implies(part, whole) for part in parts)
    assert {value for part in parts for value in part.values} == set(whole.values)
