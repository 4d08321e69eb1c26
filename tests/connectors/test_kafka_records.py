"""Records become columns that hold what each record holds, and no column that nothing stands in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.partitions import Partition
from connectors.kafka.records import BATCH_BYTES, batch_of, cut
from router import Constant, Lease


def record(offset: int, value: bytes | None = b"v", **others: Any) -> Any:
    given = {"timestamp": 1_700_000_000_000 + offset, "key": None, "headers": []} | others
    return SimpleNamespace(offset=offset, value=value, **given)


def partition(topic: str = "t", number: int = 0) -> Partition:
    return Partition((topic, number), Lease(f"{topic}-{number}"))


def test_a_batch_of_one_partition_has_nothing_but_constants_beside_its_records() -> None:
    one = partition("orders", 3)
    batch = batch_of([(one, [record(7), record(8)])], b"")
    assert batch.values == [b"v", b"v"]
    assert (batch.keys, batch.headers) == (None, None)
    assert batch.times == [1_700_000_000_007_000_000, 1_700_000_000_008_000_000]
    for name, value in {"topic": "orders", "partition": 3, "tombstone": False}.items():
        column = batch.attributes[name]
        assert isinstance(column, Constant)
        assert column.value == value
    assert batch.attributes["offset"] == range(7, 9)
    assert isinstance(batch.leases, Constant)
    assert batch.leases.value is one.lease


def test_a_batch_across_partitions_says_of_each_record_where_it_comes_from() -> None:
    one, two = partition("a", 0), partition("b", 0)
    batch = batch_of([(one, [record(5), record(9)]), (two, [record(2), record(8)])], b"")
    assert list(batch.attributes["topic"]) == ["a", "a", "b", "b"]
    assert list(batch.attributes["partition"]) == [0, 0, 0, 0]
    assert list(batch.attributes["offset"]) == [5, 9, 2, 8]
    assert list(batch.leases or ()) == [one.lease, one.lease, two.lease, two.lease]


def test_keys_and_headers_come_where_a_record_has_any() -> None:
    records = [record(0), record(1, key=b"k", headers=(("h", b"1"), ("h", None)))]
    batch = batch_of([(partition(), records)], b"")
    assert batch.keys == [None, b"k"]
    assert batch.headers == [None, [("h", b"1"), ("h", b"")]]


def test_a_tombstone_reads_as_what_stands_for_none() -> None:
    batch = batch_of([(partition(), [record(0, None), record(1, b"")])], b"null")
    assert batch.values == [b"null", b""]
    assert batch.attributes["tombstone"] == [True, False]


def test_a_record_of_a_time_without_times_has_none() -> None:
    batch = batch_of([(partition(), [record(0), record(1, timestamp=-1), record(2)])], b"")
    assert batch.times == [1_700_000_000_000_000_000, None, 1_700_000_000_002_000_000]


sizes = st.lists(
    st.lists(st.sampled_from([0, 1, BATCH_BYTES // 3, BATCH_BYTES, BATCH_BYTES + 1]), min_size=1), max_size=3
)


@given(sizes)
def test_pieces_hold_every_record_once_in_order_within_their_bounds(sizes: list[list[int]]) -> None:
    big = bytes(BATCH_BYTES + 1)
    found = [
        (partition("t", number), [record(offset, big[:size]) for offset, size in enumerate(of_one)])
        for number, of_one in enumerate(sizes)
    ]
    pieces = list(cut(found)) if found else []
    together: dict[int, list[int]] = {}
    for piece in pieces:
        held = [len(one.value or b"") for _, records in piece for one in records]
        assert held
        assert all(records for _, records in piece)
        assert len([size for size in held if size]) <= 1 or sum(held) <= BATCH_BYTES
        for part, records in piece:
            together.setdefault(part.key[1], []).extend(one.offset for one in records)
    assert together == {number: list(range(len(of_one))) for number, of_one in enumerate(sizes)}
