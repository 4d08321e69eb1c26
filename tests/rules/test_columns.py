"""Columns are sequences, however they are kept."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rulesets import lines_of, ruleset_of, summary

from router.batch import Batch
from rules.columns import Lines, payloads_at

PAYLOADS = st.lists(st.binary(min_size=1, max_size=4).filter(lambda value: b"\n" not in value), max_size=12)
NUMBERS = st.none() | st.integers(-14, 14)


@given(PAYLOADS, st.integers(1, 5), st.data())
def test_lines_in_blocks_are_the_list_of_them(values: list[bytes], many: int, data: st.DataObject) -> None:
    """Whatever is asked of them, and in whatever order."""
    lines = lines_of(values, many)
    assert (len(lines), lines.size, b"".join(lines.blocks)) == (
        len(values),
        sum(map(len, values)),
        b"".join(value + b"\n" for value in values),
    )
    assert [number for span in lines.spans for number in range(*span)] == list(range(len(values)))
    for _ in range(6):
        asked = data.draw(st.sampled_from(["all", "one", "slice", "part", "with ends", "few"]))
        start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(values))] * 2)))
        chosen = data.draw(st.builds(slice, NUMBERS, NUMBERS, NUMBERS.filter(lambda step: step != 0)))
        if asked == "all":
            assert list(lines) == values
            assert lines == values
        elif asked == "one" and start < len(values):
            assert (lines[start], lines[start - len(values)]) == (values[start], values[start])
        elif asked == "slice":
            assert lines[chosen] == values[chosen]
        elif asked == "part":
            assert lines.part(start, stop) == values[start:stop]
        elif asked == "few":
            few = sorted(data.draw(st.sets(st.sampled_from(range(len(values)))))) if values else []
            assert payloads_at(lines, few) == payloads_at(values, few) == [values[index] for index in few]
        elif asked == "with ends" and start < stop:
            stop = min(stop, next(end for _, end in lines.spans if end > start))
            assert lines.with_ends(start, stop) == [value + b"\n" for value in values[start:stop]]


@given(PAYLOADS, PAYLOADS, st.integers(1, 5))
def test_what_is_joined_of_lines_lies_in_their_blocks(some: list[bytes], more: list[bytes], many: int) -> None:
    lines, others = lines_of(some, many), lines_of(more, many)
    blocks = [*lines.blocks, *others.blocks]
    lines.extend(others)
    assert lines == [*some, *more]
    assert lines.blocks == blocks


@given(st.integers(0, 12), st.integers(1, 4))
def test_a_part_of_whole_blocks_shares_them(count: int, many: int) -> None:
    lines = lines_of([b"x"] * count, many)
    for start, _ in lines.spans:
        part = lines.part(start, len(lines))
        assert isinstance(part, Lines)
        assert part.blocks == lines.blocks[start // many :]


def test_no_line_is_beyond_the_last() -> None:
    with pytest.raises(IndexError):
        lines_of([b"a"])[1]
    with pytest.raises(IndexError):
        lines_of([b"a"])[-2]


FLOW = """
rules:
  - {name: one, when: event.n == 1, to: a}
  - {name: two, when: event.n == 2.0, to: [a, b]}
  - {name: three, when: event.n == 3, to: dead_letter}
  - {name: four, when: event.n > 3, to: drop}
otherwise: {undecodable: c, unmatched: dead_letter}
"""
RULESET = ruleset_of(FLOW)


@given(
    st.lists(
        st.sampled_from([b'{"n":1}', b'{"n":2}', b'{"n":3}', b'{"n":4}', b'{"n":"x"}', b"{}", b"[", b'{"n":\xff}'])
    ),
    st.integers(1, 5),
    st.lists(st.integers(0, 12)),
)
def test_slices_of_lines_are_decided_about_as_those_of_a_list(values: list[bytes], many: int, cuts: list[int]) -> None:
    """Wherever a batch is cut between two turns of the loop, inside of blocks too."""
    decided = []
    for batch in (Batch(values), Batch(lines_of(values, many))):
        bounds = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
        decisions = RULESET.route(batch, "s", 0, bounds[1])
        for start, stop in pairwise(bounds[1:]):
            RULESET.route(batch, "s", start, stop, decisions)
        decided.append(summary(decisions))
    assert decided[0] == decided[1]
