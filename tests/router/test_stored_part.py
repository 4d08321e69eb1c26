"""A part that was stored comes back as it was: what goes out, and all that a dead letter needs of what came."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rulesets import lines_of

from router.batch import Batch, Lease
from router.part import Origin, Part
from router.stored_part import pack_part, unpack_part
from rules.columns import Constant

texts = st.text(max_size=5)
payloads = st.binary(max_size=8)
headers = st.none() | st.lists(st.tuples(texts, payloads), max_size=2)
plain = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | texts | payloads | st.lists(st.integers(0, 9))


@st.composite
def columns(draw: st.DrawFn, count: int, values: st.SearchStrategy[Any]) -> Sequence[Any]:
    """A column of so many values, which may all be the same one."""
    if draw(st.booleans()):
        return Constant(draw(values), count)
    return draw(st.lists(values, min_size=count, max_size=count))


@st.composite
def parts(draw: st.DrawFn) -> Part:
    """Some records of a batch, each as it came or changed."""
    count = draw(st.integers(1, 6))
    bare = draw(st.lists(payloads, min_size=count, max_size=count))
    in_blocks = all(value and b"\n" not in value for value in bare) and draw(st.booleans())
    maybe = {name: draw(st.booleans()) for name in ("keys", "headers", "times", "out_keys", "out_headers")}
    read = Batch(
        values=lines_of(bare, 2) if in_blocks else bare,
        keys=draw(columns(count, st.none() | payloads)) if maybe["keys"] else None,
        headers=draw(columns(count, headers)) if maybe["headers"] else None,
        times=draw(columns(count, st.none() | st.integers(0, 2**62))) if maybe["times"] else None,
        attributes=draw(st.dictionaries(texts, columns(count, plain), max_size=2)),
    )
    indices = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=8).map(sorted) | st.just(range(count)))
    size = len(indices)
    picked = [read.values[index] for index in indices]
    out = Batch(
        values=picked if draw(st.booleans()) else draw(st.lists(payloads, min_size=size, max_size=size)),
        keys=draw(columns(size, st.none() | payloads)) if maybe["out_keys"] else None,
        headers=draw(columns(size, headers)) if maybe["out_headers"] else None,
        times=None if read.times is None else [read.times[index] for index in indices],
        settings=draw(st.dictionaries(texts, columns(size, plain), max_size=2)),
        ids=draw(columns(size, st.none() | texts)) if draw(st.booleans()) else None,
        ids_last=draw(st.floats(0, 1e6) | st.just(math.inf)),
        leases=[Lease("0")] * size if draw(st.booleans()) else None,
    )
    origin = Origin(read, flow=draw(texts), source=draw(texts), version=draw(texts))
    return Part(batch=out, origin=origin, indices=indices, rules=draw(columns(size, texts)))


def plainly(column: Sequence[Any] | None) -> list[Any] | None:
    return None if column is None else list(column)


def pairs(column: Sequence[Any] | None) -> list[Any] | None:
    return None if column is None else [None if one is None else list(map(tuple, one)) for one in column]


def named(found: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    return {name: list(column) for name, column in found.items()}


@given(parts())
def test_a_part_comes_back_as_it_was(part: Part) -> None:
    """Column by column, and every dead letter that could be made of it."""
    back = unpack_part(pack_part(part))
    assert list(back.batch.values) == list(part.batch.values)
    assert plainly(back.batch.keys) == plainly(part.batch.keys)
    assert pairs(back.batch.headers) == pairs(part.batch.headers)
    assert plainly(back.batch.times) == plainly(part.batch.times)
    assert named(back.batch.settings) == named(part.batch.settings)
    assert plainly(back.batch.ids) == plainly(part.batch.ids)
    assert back.batch.ids_last == part.batch.ids_last
    assert back.batch.leases is None
    for index in range(len(part.batch)):
        ours = back.letter(index, sink="s", reason="r", detail="d", attempts=2)
        theirs = part.letter(index, sink="s", reason="r", detail="d", attempts=2)
        for name in ("flow", "source", "version", "rule", "value", "key", "record_time", "out_value", "out_key"):
            assert getattr(ours, name) == getattr(theirs, name), name
        assert dict(ours.attributes) == dict(theirs.attributes)
        assert pairs([ours.headers, ours.out_headers]) == pairs([theirs.headers, theirs.out_headers])
        assert dict(ours.out_settings) == dict(theirs.out_settings)


def test_what_goes_out_as_it_came_is_stored_once() -> None:
    values = [b"x" * 1000, b"y" * 1000, b"z" * 1000]
    origin = Origin(Batch(values), flow="f", source="s", version="v")
    whole = Part(Batch(values), origin, range(3), ["r"] * 3)
    some = Part(Batch((values[0], values[2])), origin, [0, 2], ["r"] * 2)
    assert len(pack_part(whole)) < 3200
    assert len(pack_part(some)) < 2200
    assert list(unpack_part(pack_part(some)).batch.values) == [values[0], values[2]]


def test_how_long_a_record_has_been_on_its_way_is_remembered() -> None:
    origin = Origin(Batch([b"x"]), flow="f", source="s", version="v", read_at=time.monotonic() - 100)
    back = unpack_part(pack_part(Part(origin.batch, origin, range(1), ["r"])))
    assert 99 < time.monotonic() - back.origin.read_at < 110


class Odd:
    def __str__(self) -> str:
        return "odd \udc80"


def test_what_cannot_be_stored_becomes_text_and_the_payload_stays() -> None:
    """Whatever a connector puts into a batch: no content of a record makes storing it fail."""
    deep: Any = "bottom"
    for _ in range(5000):
        deep = [deep]
    read = Batch(
        [b"\xff\x00", b"ok"],
        headers=[[("h\udcff", b"\xff")], None],
        times=[2**70, 7],
        attributes={"big": [2**80, 1], "deep": [deep, 1], "t\udcff": ["\udcff", 1], "odd": [Odd(), Odd()]},
    )
    origin = Origin(read, flow="f", source="s\udc80", version="v")
    out = Batch(read.values, headers=read.headers, times=read.times, settings={"path": Constant("p\udc80", 2)})
    back = unpack_part(pack_part(Part(out, origin, range(2), Constant("r\ud800", 2))))
    assert back.batch.values == [b"\xff\x00", b"ok"]
    assert back.batch.times == [None, 7]
    assert list(back.batch.settings["path"]) == ["p\\udc80"] * 2
    assert pairs(back.batch.headers) == [[("h\\udcff", b"\xff")], None]
    assert back.origin.batch.attributes["big"] == [str(2**80), 1]
    assert back.origin.batch.attributes["odd"] == ["odd \\udc80"] * 2
    assert list(back.rules) == ["r\\ud800"] * 2
    assert back.origin.source == "s\\udc80"


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x90", b"\xff" * 30, "cut"])
def test_what_is_no_part_is_told(body: bytes | str) -> None:
    whole = Part(Batch([b"x"]), Origin(Batch([b"x"]), flow="f", source="s", version="v"), range(1), ["r"])
    with pytest.raises(ValueError):
        unpack_part(pack_part(whole)[:-3] if isinstance(body, str) else body)
