"""What an outlet writes at once is cut within the bounds of a write, and every record of it is in one cut."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from rulesets import lines_of

from router.batch import Batch
from router.load import Admitted, Load
from router.testing import part_of
from rules.columns import Lines

PARTS = st.lists(st.lists(st.binary(min_size=1, max_size=9).filter(lambda v: b"\n" not in v), max_size=9), min_size=1)


def load_of(parts: list[list[bytes]], many: int) -> Load:
    """So many lines in each block; 0 is none in any."""
    loop = asyncio.new_event_loop()
    batches = [Batch(lines_of(values, many) if many else values) for values in parts]
    load = Load([Admitted(part_of(batch), loop.create_future()) for batch in batches])
    loop.close()
    return load


@given(PARTS, st.integers(0, 4), st.integers(1, 12), st.integers(1, 40), st.sets(st.integers(0, 30)))
def test_segments_hold_each_record_once_and_in_order_within_the_bounds(
    parts: list[list[bytes]], many: int, records: int, size: int, excluded: set[int]
) -> None:
    load = load_of(parts, many)
    values = [value for part in parts for value in part]
    load.exclude(excluded)
    segments = load.segments(records, size)
    assert [index for segment in segments for index in segment.indices] == [
        index for index in range(len(values)) if index not in excluded
    ]
    for segment in segments:
        written = load.take(segment)
        assert written.values == [values[index] for index in segment.indices]
        assert len(written) <= records
        assert written.bytes <= size or len(written) == 1


@given(PARTS, st.integers(1, 4), st.integers(4, 12))
def test_lines_are_written_in_their_blocks_where_these_are_no_larger_than_a_write(
    parts: list[list[bytes]], many: int, records: int
) -> None:
    load = load_of(parts, many)
    segments = load.segments(records, 36)
    assert all(isinstance(load.take(segment).values, Lines) for segment in segments)
