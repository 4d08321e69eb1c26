"""Slices are as long as deciding about the last one allows, and whatever it took, each record is in just one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.batch import Batch
from router.pace import FIRST_BYTES, MOST_BYTES, SLICE_SECONDS, Pace
from rules.columns import Constant, Lines

BYTES = 100


def batch_of(records: int) -> Batch:
    return Batch([b"." * BYTES] * records, token=0, times=Constant(0, records))


def blocks_of(*lines: int) -> Batch:
    values = Lines()
    for many in lines:
        values.append((b"." * (BYTES - 1) + b"\n") * many, many)
    return Batch(values, token=0, times=Constant(0, len(values)))


def cut(pace: Pace, batch: Batch, seconds_per_record: float) -> list[tuple[int, int]]:
    found = []
    for start, stop in pace.slices(batch):
        found.append((start, stop))
        pace.took((stop - start) * seconds_per_record)
    return found


def test_the_first_slice_is_short_and_those_that_cost_little_are_long() -> None:
    pace = Pace()
    (first, *_) = cut(pace, batch_of(10_000), 1e-6)
    assert first == (0, round(FIRST_BYTES / BYTES))
    assert cut(pace, batch_of(10_000), 1e-6)[0] == (0, round(MOST_BYTES / BYTES))


def test_slices_that_cost_much_take_no_longer_than_they_may() -> None:
    pace = Pace()
    cut(pace, batch_of(1000), 1e-3)
    assert {stop - start for start, stop in cut(pace, batch_of(1000), 1e-3)} == {round(SLICE_SECONDS / 1e-3)}


def test_a_record_that_takes_longer_than_a_slice_may_is_one_by_itself() -> None:
    pace = Pace()
    cut(pace, batch_of(10), 5.0)
    assert cut(pace, batch_of(3), 5.0) == [(0, 1), (1, 2), (2, 3)]


def test_blocks_of_lines_stay_whole_while_they_cost_little() -> None:
    pace = Pace()
    cut(pace, batch_of(1000), 1e-7)
    assert cut(pace, blocks_of(10_000, 5), 1e-7) == [(0, 10_000), (10_000, 10_005)]


def test_an_empty_batch_has_no_slices() -> None:
    assert cut(Pace(), batch_of(0), 1.0) == cut(Pace(), blocks_of(), 1.0) == []


@given(
    st.lists(st.one_of(st.integers(0, 500).map(batch_of), st.lists(st.integers(1, 300)).map(lambda n: blocks_of(*n)))),
    st.lists(st.floats(0, 10), min_size=1),
)
def test_whatever_it_took_each_record_is_in_one_slice_and_in_order(batches: list[Batch], took: list[float]) -> None:
    pace, turn = Pace(), 0
    for batch in batches:
        at = 0
        for start, stop in pace.slices(batch):
            assert start == at
            assert stop > start
            at = stop
            pace.took(took[turn % len(took)])
            turn += 1
        assert at == len(batch)
