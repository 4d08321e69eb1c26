"""Records go to the partitions that Kafka's own producers would choose."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.partitioning import Sticky, by_partition, partition_of, partitions_of
from router import Constant

KEYS = st.binary(max_size=80)


@pytest.mark.parametrize(
    ("key", "hash_in_java"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_a_key_has_the_hash_that_the_tests_of_kafka_give(key: bytes, hash_in_java: int) -> None:
    """The vectors of ``UtilsTest.testMurmur2``; the sign is cut off, as ``Utils.toPositive`` does."""
    assert partition_of(key, 2**31) == hash_in_java & 0x7FFFFFFF


@given(st.lists(st.one_of(st.none(), KEYS), max_size=30), st.integers(1, 5000), st.data())
def test_partitions_agree_with_aiokafkas_partitioner(keys: list[bytes | None], count: int, data: st.DataObject) -> None:
    otherwise = data.draw(st.integers(0, count - 1))
    every = list(range(count))
    wanted = [otherwise if key is None else DefaultPartitioner()(key, every, every) for key in keys]
    assert partitions_of(keys, count, otherwise) == wanted
    for key, partition in zip(keys, wanted, strict=True):
        assert partitions_of(Constant(key, 3), count, otherwise) == [partition] * 3


@given(st.lists(st.integers(0, 5), max_size=50))
def test_grouping_keeps_every_record_once_and_in_order(partitions: list[int]) -> None:
    groups = by_partition(partitions)
    assert set(groups) == set(partitions)
    assert sorted(index for indices in groups.values() for index in indices) == list(range(len(partitions)))
    for partition, indices in groups.items():
        assert list(indices) == [index for index, other in enumerate(partitions) if other == partition]


def test_records_without_a_key_stay_in_a_partition_until_they_are_written_and_then_go_round() -> None:
    sticky = Sticky()
    first = sticky.of("t", [0, 1, 2])
    assert sticky.of("t", [0, 1, 2]) == first
    seen = [first]
    for _ in range(5):
        sticky.move_on(["t"])
        seen.append(sticky.of("t", [0, 1, 2]))
    assert seen == [(first + turn) % 3 for turn in range(6)]


def test_records_without_a_key_leave_a_partition_that_has_lost_its_leader() -> None:
    sticky = Sticky()
    present = sticky.of("t", [0, 1, 2])
    others = [number for number in range(3) if number != present]
    assert sticky.of("t", others) in others
