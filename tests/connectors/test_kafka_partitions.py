"""What is committed of a partition is what is safe, whatever is read, given out and acknowledged in which order."""

from __future__ import annotations

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.partitions import Assignment, Partition
from router import Lease

NOW = 1_700_000_000.0


def new_partition() -> Partition:
    return Partition(("t", 0), Lease("t-0"))


def test_nothing_is_said_of_a_position_from_which_nothing_was_read() -> None:
    assignment = Assignment([("t", 0)], time.monotonic() + 100)
    assert assignment.uncommitted(lambda key: 7) == []
    assert assignment.partitions["t", 0].committed == 7


def test_a_position_beyond_the_last_record_is_committed_once_that_is_acknowledged() -> None:
    """Control records, and gaps that compaction made, are passed by without being given to anybody."""
    assignment = Assignment([("t", 0)], time.monotonic() + 100)
    partition = assignment.partitions["t", 0]
    assignment.uncommitted(lambda key: 0)
    partition.pull(0, 10, 0)
    partition.give(10)
    assert assignment.uncommitted(lambda key: 12) == []
    assignment.ack([(partition, 10)])
    assert assignment.uncommitted(lambda key: 12) == [(partition, 12)]


def test_what_was_read_and_not_given_out_is_not_safe() -> None:
    partition = new_partition()
    partition.pull(0, 10, 0)
    partition.pull(10, 20, 0)
    partition.give(10)
    partition.ack(10)
    assert partition.is_quiet
    assert partition.safe(20) == 10


def test_an_acknowledgement_after_the_loss_changes_nothing() -> None:
    """What was read may have been left out of what was delivered."""
    partition = new_partition()
    partition.pull(0, 10, 0)
    partition.give(10)
    partition.lease.revoke()
    partition.ack(10)
    assert partition.safe(10) == 0


def test_a_partition_that_begins_again_ignores_what_was_read_before() -> None:
    assignment = Assignment([("t", 0)], time.monotonic() + 100)
    before = assignment.partitions["t", 0]
    before.pull(0, 10, 0)
    before.give(10)
    assignment.begin_again(("t", 0))
    assignment.ack([(before, 10)])
    assert assignment.uncommitted(lambda key: 3) == []
    assert assignment.partitions["t", 0].lease is before.lease


@given(st.lists(st.integers(1, 5), max_size=12), st.data())
def test_everything_before_what_is_safe_is_acknowledged(sizes: list[int], data: st.DataObject) -> None:
    """And what is safe never goes back, until all is."""
    partition, at, given_out, acked = new_partition(), 0, 0, 0
    ends: list[int] = []
    for size in sizes:
        partition.pull(at, at + size, 0)
        at += size
        ends.append(at)
        for _ in range(data.draw(st.integers(0, len(ends) - given_out))):
            partition.give(ends[given_out])
            given_out += 1
        for _ in range(data.draw(st.integers(0, given_out - acked))):
            partition.ack(ends[acked])
            acked += 1
        safe = ends[acked - 1] if acked else 0
        assert partition.safe(at) == safe
        assert partition.is_quiet == (acked == given_out)
        assert partition.lag(at, at, NOW).records == at - safe


def test_lag_in_seconds_is_the_age_of_the_oldest_that_is_read() -> None:
    partition = new_partition()
    partition.pull(0, 10, round((NOW - 60) * 1000))
    partition.pull(10, 20, round((NOW - 30) * 1000))
    assert partition.lag(25, 20, NOW).seconds == 60
    partition.give(20)
    partition.ack(10)
    assert partition.lag(25, 20, NOW).seconds == 30
    partition.ack(20)
    assert partition.lag(20, 20, NOW).seconds == 0


def test_lag_in_seconds_of_what_is_not_read_counts_from_when_it_was_seen() -> None:
    partition = new_partition()
    assert partition.lag(None, 5, NOW).records is None
    assert partition.lag(9, None, NOW).records is None
    assert partition.lag(9, 5, NOW).seconds == 0
    assert partition.lag(12, 5, NOW + 40).seconds == 40
    assert partition.lag(12, 12, NOW + 50).seconds == 0
    assert partition.lag(13, 12, NOW + 60).seconds == 0


async def test_quiet_is_when_everything_that_was_given_out_is_acknowledged_or_lost() -> None:
    assignment = Assignment([("t", 0), ("t", 1)], time.monotonic() + 100)
    first, second = assignment.partitions.values()
    for partition in (first, second):
        partition.pull(0, 1, 0)
        partition.give(1)
    waiting = asyncio.create_task(assignment.quiet())
    assignment.ack([(first, 1)])
    await asyncio.sleep(0.01)
    assert not waiting.done()
    assignment.ack([(second, 1)])
    await waiting
    first.pull(1, 2, 0)
    first.give(2)
    waiting = asyncio.create_task(assignment.quiet())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    assignment.revoke()
    await waiting
