"""A batch of the router's in Kafka's terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.outgoing import Defaults, Records, records_of, time_of
from router import Batch, Constant

MILLISECOND = 1_000_000


def records(batch: Batch, defaults: Defaults | None = None) -> Records:
    refused: dict[int, str] = {}
    made = records_of(batch, defaults or Defaults(), refused)
    assert refused == {}
    return made


def built(made: Records) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, 0, 1, 0, 0, 2**31 - 1)
    made.append_to(builder.append)
    return bytes(builder.build())


def test_records_without_anything_but_a_value_have_the_time_at_which_they_were_read() -> None:
    made = records(Batch([b"a", b"b"], arrived=5 * MILLISECOND + 1))
    assert (list(made.values), made.keys, made.headers, list(made.times)) == ([b"a", b"b"], None, None, [5, 5])


@pytest.mark.parametrize("times", [[7 * MILLISECOND, None], Constant(7 * MILLISECOND, 2)])
def test_records_have_the_time_that_their_source_gave_them(times: Sequence[int | None]) -> None:
    made = records(Batch([b"a", b"b"], times=times, arrived=5 * MILLISECOND))
    assert list(made.times) == [7, 5 if times[1] is None else 7]


def test_what_a_record_chose_comes_before_what_is_configured() -> None:
    headers: Any = [(("h", b"1"),), None]
    batch = Batch(
        [b"a", b"b"],
        keys=[b"k", None],
        headers=headers,
        times=[1, 1],
        settings={"timestamp": ["1970-01-01T00:00:01.5Z", None], "tombstone": [True, None]},
    )
    made = records(batch, Defaults(key=b"own", headers=[("own", b"x")], time=9))
    assert made.keys == [b"k", b"own"]
    assert made.headers == [[("h", b"1")], [("own", b"x")]]
    assert made.times == [1500, 9]
    assert made.values == [None, b"b"]


def test_a_record_that_chose_nonsense_is_refused_with_the_reason() -> None:
    refused: dict[int, str] = {}
    settings: dict[str, Sequence[object]] = {"timestamp": ["noon", None, None], "tombstone": [None, "yes", True]}
    records_of(Batch([b"a", b"b", b"c"], keys=[b"k", b"k", None], settings=settings), Defaults(), refused)
    assert set(refused) == {0, 1, 2}
    assert "timestamp 'noon' should be RFC 3339" in refused[0]
    assert "true or false, not 'yes'" in refused[1]
    assert "needs a key" in refused[2]


@pytest.mark.parametrize(
    ("value", "time"),
    [("1970-01-01T00:00:00Z", 0), ("2026-01-02T03:04:05.678+01:00", 1767319445678), (12, 12), (12.9, 12)],
)
def test_times_are_rfc_3339_or_milliseconds(value: object, time: int) -> None:
    assert time_of(value) == time


@pytest.mark.parametrize("value", ["", "soon", "2026-01-02T03:04:05", -1, 2**63, True, ["x"], float("inf"), None])
def test_what_is_no_time_is_none(value: object) -> None:
    with pytest.raises(ValueError):
        time_of(value)


COLUMNS = st.integers(1, 12).flatmap(
    lambda count: st.builds(
        Records,
        st.lists(st.one_of(st.none(), st.binary(max_size=9)), min_size=count, max_size=count),
        st.one_of(
            st.none(),
            st.lists(st.one_of(st.none(), st.binary(max_size=4)), min_size=count, max_size=count),
            st.just(Constant(b"k", count)),
        ),
        st.one_of(
            st.none(),
            st.lists(
                st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=3)), max_size=2),
                min_size=count,
                max_size=count,
            ),
        ),
        st.lists(st.integers(0, 2**40), min_size=count, max_size=count),
    )
)


@given(COLUMNS)
def test_a_batch_holds_the_records_as_they_are_and_takes_no_more_than_was_reckoned(made: Records) -> None:
    data = built(made)
    found = list(DefaultRecordBatch(bytearray(data)))
    assert [record.value for record in found] == list(made.values)
    assert [record.key for record in found] == (list(made.keys) if made.keys is not None else [None] * len(made))
    assert [record.headers for record in found] == (
        list(made.headers) if made.headers is not None else [[] for _ in found]
    )
    assert [record.timestamp for record in found] == list(made.times)
    assert len(data) - 61 <= made.size  # the head of a batch takes 61 bytes


@given(COLUMNS, st.data())
def test_records_are_the_same_if_and_only_if_they_make_the_same_batch(made: Records, data: st.DataObject) -> None:
    indices = sorted(data.draw(st.sets(st.integers(0, len(made) - 1), min_size=1)))
    other = made.pick(indices)
    assert [made.values[index] for index in indices] == list(other.values)
    assert made.is_same(other) == (built(made) == built(other))
