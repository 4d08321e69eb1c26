"""A batch keeps its columns in step, whatever is picked from it or joined to it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rulesets import lines_of

from router.batch import Batch, Lease, join
from rules.columns import Constant

values = st.lists(st.binary(max_size=5), min_size=1, max_size=8)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    payloads: Sequence[bytes] = draw(values)
    size = len(payloads)
    column = st.one_of(st.none(), st.lists(st.one_of(st.none(), st.binary(max_size=3)), min_size=size, max_size=size))
    times = draw(st.one_of(st.none(), st.just(Constant(7, size))))
    settings = {"topic": [f"t{i}" for i in range(size)]} if draw(st.booleans()) else {}
    if draw(st.booleans()):
        payloads = lines_of([value.replace(b"\n", b"") or b"-" for value in payloads], draw(st.integers(1, 3)))
    return Batch(values=payloads, keys=draw(column), times=times, settings=settings)


def rows(batch: Batch) -> list[tuple[object, ...]]:
    """The records of a batch, one by one."""
    size = len(batch)
    topics = batch.settings.get("topic")
    return [
        (
            batch.values[i],
            None if batch.keys is None else batch.keys[i],
            None if batch.times is None else batch.times[i],
            None if topics is None else topics[i],
        )
        for i in range(size)
    ]


@given(st.lists(batches(), min_size=1, max_size=4))
def test_joined_batches_hold_the_records_of_all_in_order(parts: list[Batch]) -> None:
    assert rows(join(parts)) == [row for part in parts for row in rows(part)]


@given(batches(), st.data())
def test_selected_records_keep_all_their_columns(batch: Batch, data: st.DataObject) -> None:
    at = st.integers(0, len(batch) - 1)
    indices = data.draw(st.lists(at) | st.builds(range, at, at))
    assert rows(batch.select(indices)) == [rows(batch)[i] for i in indices]


def test_a_batch_counts_its_bytes() -> None:
    assert Batch(values=[b"ab", b"", b"cde"]).bytes == 5


def test_a_constant_column_is_a_sequence() -> None:
    column = Constant("x", 3)
    assert (list(column), len(column), column[2], column[-1], list(column[1:])) == (["x"] * 3, 3, "x", "x", ["x"] * 2)
    with pytest.raises(IndexError):
        column[3]


def test_leases_survive_joining_and_selecting() -> None:
    mine, yours = Lease("0"), Lease("1")
    joined = join([Batch(values=[b"a"], leases=[mine]), Batch(values=[b"b"]), Batch(values=[b"c"], leases=[yours])])
    assert joined.leases == [mine, None, yours]
    assert joined.select([2]).leases == [yours]


def test_a_lease_that_has_run_out_stays_over() -> None:
    """Deliveries may have been left out in between, so that a later extension must not bring it back."""
    lease, now = Lease("0"), time.monotonic()
    seen = []
    for until in (now + 3600, now - 1, now + 3600):
        lease.until = until
        seen.append(lease.revoked)
    assert seen == [False, True, True]
