"""The synthetic stream: typed placeholders, the same records for the same seed, rate, count, and going on."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.generate import GenerateSource, parse_rate
from router import Batch, Context, EndOfStream, MemoryPositions, Source


def make(template: Any, positions: MemoryPositions | None = None, **changed: Any) -> GenerateSource:
    config = GenerateSource.Config(template=template, **changed)
    return GenerateSource(config.within(Context("g", positions=positions or MemoryPositions())))


async def batches(source: GenerateSource) -> list[Batch]:
    await source.open()
    read = []
    while True:
        try:
            read.append(await source.read())
        except EndOfStream:
            return read


async def payloads(template: Any, count: int, **changed: Any) -> list[bytes]:
    read = await batches(make(template, count=count, **{"seed": 1, **changed}))
    return [value for batch in read for value in batch.values]


async def events(template: Any, count: int = 500, **changed: Any) -> list[Any]:
    return list(map(json.loads, await payloads(template, count, **changed)))


def test_it_is_a_source() -> None:
    """It satisfies the protocol, and can replay."""
    assert isinstance(make("x"), Source)
    assert GenerateSource.replays


async def test_the_sequence_counts_from_zero() -> None:
    """Alone it is a number, inside text it is text, and every record has the next one."""
    assert await events({"n": "{sequence}", "id": "o-{sequence}!"}, 700) == [
        {"n": n, "id": f"o-{n}!"} for n in range(700)
    ]


async def test_integers_reach_both_ends_and_nothing_else() -> None:
    """Of a small range every value comes; of an immense one, values far apart."""
    assert {event["v"] for event in await events({"v": "{int:-2:3}"})} == {-2, -1, 0, 1, 2, 3}
    assert {event["v"] for event in await events({"v": "{int:7:7}"})} == {7}
    big = [event["v"] for event in await events({"v": f"{{int:0:{10**30}}}"}, 50)]
    assert all(0 <= value <= 10**30 for value in big)
    assert max(big) - min(big) > 10**29


async def test_floats_have_the_decimals_asked_for() -> None:
    """Within the bounds, with two decimals at most, or with all there are."""
    texts = [value.decode() for value in await payloads("{float:-1:500:2}", 500)]
    assert all(re.fullmatch(r"-?\d+\.\d\d", text) and -1 <= float(text) <= 500 for text in texts)
    free = [event["v"] for event in await events({"v": "{float:0:1}"})]
    assert all(isinstance(value, float) and 0 <= value <= 1 for value in free)
    assert len(set(free)) == 500


async def test_the_other_placeholders() -> None:
    """choice, word and uuid are texts, bool is a truth value, now is the time; each within text as well."""
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    read = await events(
        {
            "c": '{choice:a|b b|ä"\\%}',
            "w": "{word}",
            "b": "{bool}",
            "u": "{uuid}",
            "now": "{now}",
            "t": "{bool}/{choice:x}",
        }
    )
    after = datetime.now(UTC)
    assert {event["c"] for event in read} == {"a", "b b", 'ä"\\%'}
    assert {event["b"] for event in read} == {True, False}
    assert {event["t"] for event in read} == {"true/x", "false/x"}
    assert all(event["w"].isalpha() for event in read)
    assert len({event["w"] for event in read}) > 20
    assert len({event["u"] for event in read}) == 500
    assert {UUID(event["u"]).version for event in read} == {4}
    assert {UUID(event["u"]).variant for event in read} == {"specified in RFC 4122"}
    assert all(before <= datetime.fromisoformat(event["now"]) <= after for event in read)
    assert all(event["now"].endswith("Z") for event in read)


async def test_a_text_is_taken_as_it_is() -> None:
    """A template that is one text is a payload, not JSON; %, quotes and doubled braces are nothing special."""
    assert await payloads('{{"n": {sequence}, "c": "{choice:"\n|"\n}"}} 100% %s', 1) == [
        b'{"n": 0, "c": ""\n"} 100% %s',
    ]
    assert await payloads("{int:5:5}", 1) == [b"5"]
    assert await payloads("", 1) == [b""]


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=10,
)


def doubled(value: Any) -> Any:
    """The template that makes this value: braces of texts are doubled."""
    if isinstance(value, str):
        return value.replace("{", "{{").replace("}", "}}")
    if isinstance(value, list):
        return [doubled(inner) for inner in value]
    if isinstance(value, dict):
        return {key: doubled(inner) for key, inner in value.items()}
    return value


@settings(max_examples=200, deadline=None)
@given(value=plain)
def test_what_holds_no_placeholder_comes_out_as_it_went_in(value: Any) -> None:
    """Any JSON value is a template of itself."""
    assert asyncio.run(events({"v": doubled(value), "n": "{sequence}"}, 2)) == [
        {"v": value, "n": 0},
        {"v": value, "n": 1},
    ]


TEMPLATE = [
    {"weight": 2, "template": {"n": "{sequence}", "a": "{int:0:1000000}", "u": "{uuid}"}},
    {"n": "{sequence}", "b": "{float:0:1}", "w": "{word}-{word}"},
]


async def test_weights() -> None:
    """A template of weight 2 comes about twice as often; one without has weight 1; weights need not be whole."""
    kinds = Counter("a" if "a" in event else "b" for event in await events(TEMPLATE, 3000))
    assert 1800 < kinds["a"] < 2200
    rare = [{"weight": 0.001, "template": "rare"}, {"weight": 1000, "template": "often"}]
    assert set(await payloads(rare, 500)) == {b"often"}


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(),
    stops=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=5),
    size=st.integers(1, 400),
)
def test_a_record_depends_on_seed_and_number_alone(seed: int, stops: list[tuple[int, int]], size: int) -> None:
    """However it is cut into batches, acknowledged and begun again, record n is the same."""

    async def interrupted() -> list[bytes]:
        positions = MemoryPositions()
        made: list[bytes] = []
        for reads, acks in stops:
            source = make(TEMPLATE, positions, seed=seed, count=2000, batch=size)
            await source.open()
            for number in range(min(reads, math.ceil((2000 - len(made)) / size))):
                batch = await source.read()
                if number < acks:
                    await source.ack(batch.token)
                    made += batch.values
            await source.close()
        rest = await batches(make(TEMPLATE, positions, seed=seed, count=2000, batch=size))
        return made + [value for batch in rest for value in batch.values]

    assert asyncio.run(interrupted()) == asyncio.run(payloads(TEMPLATE, 2000, seed=seed))


async def test_seeds_differ() -> None:
    """Another seed makes other records, and without a seed every new stream has its own."""
    assert await payloads("{uuid}", 50, seed=1) == await payloads("{uuid}", 50, seed=1)
    assert not set(await payloads("{uuid}", 50, seed=1)) & set(await payloads("{uuid}", 50, seed=2))
    assert await payloads("{uuid}", 50, seed=None) != await payloads("{uuid}", 50, seed=None)


async def test_a_seed_that_was_drawn_is_kept() -> None:
    """Without a seed, what was not acknowledged is made again as it was, after a restart too."""
    positions = MemoryPositions()
    first = await batches(make("{uuid}", positions, count=900, batch=300))
    source = make("{uuid}", positions, count=900, batch=300)
    await source.open()
    await source.ack(first[0].token)
    again = await batches(make("{uuid}", positions, count=900, batch=300))
    assert [batch.values for batch in again] == [batch.values for batch in first[1:]]


async def test_the_count_includes_restarts() -> None:
    """When all were acknowledged, there are none after a restart; a count of 0 has none at all."""
    positions = MemoryPositions()
    source = make("x", positions, count=25, batch=10)
    read = await batches(source)
    assert [len(batch) for batch in read] == [10, 10, 5]
    for batch in read:
        await source.ack(batch.token)
    assert await batches(make("x", positions, count=25)) == []
    assert await batches(make("x", count=0)) == []


async def test_times_are_now() -> None:
    """Each record carries the time at which it was made."""
    before = time.time_ns()
    (batch,) = await batches(make("x", count=3))
    assert batch.times is not None
    assert len(batch.times) == 3
    assert all(moment is not None and before <= moment <= time.time_ns() for moment in batch.times)


async def test_without_a_rate_the_loop_still_turns() -> None:
    """A reader that never waits does not starve the others."""
    source = make("x", batch=1)
    await source.open()
    turned = asyncio.Event()
    asyncio.get_running_loop().call_soon(turned.set)
    for _ in range(3):
        await source.read()
    assert turned.is_set()


async def test_a_low_rate_sends_the_first_at_once_and_then_waits() -> None:
    """The second record of an hourly stream is not there yet, and a cancelled wait makes none."""
    source = make("{sequence}", rate="1/h")
    await source.open()
    first = await source.read()
    assert first.values == [b"0"]
    assert (await source.lag())[0].records == 1
    await source.ack(first.token)
    assert (await source.lag())[0].records == 0
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(source.read(), 0.02)


async def test_a_rate_is_kept_over_what_was_held_up() -> None:
    """What became due meanwhile comes in one batch, bounded by the batch size, and is the lag until acknowledged."""
    source = make("{sequence}", rate="1000/s", batch=40)
    await source.open()
    await asyncio.sleep(0.1)
    batch = await source.read()
    assert len(batch) == 40
    (lag,) = await source.lag()
    assert lag.records is not None
    assert lag.records >= 100
    assert lag.seconds is not None
    assert lag.seconds >= 0.1
    await source.ack(batch.token)
    (later,) = await source.lag()
    assert later.records is not None
    assert later.records >= 60


async def test_a_rate_is_never_exceeded() -> None:
    """By the time n records have come, they were due."""
    source = make("x", rate="500/s", count=60)
    started = time.monotonic()
    assert sum(map(len, await batches(source))) == 60
    assert time.monotonic() - started >= 59 / 500


async def test_without_a_rate_the_lag_is_what_was_made() -> None:
    """Records that were made and not acknowledged."""
    source = make("x", batch=10)
    await source.open()
    batch = await source.read()
    await source.read()
    assert [(lag.records, lag.seconds) for lag in await source.lag()] == [(20, None)]
    await source.ack(batch.token)
    assert (await source.lag())[0].records == 10


@pytest.mark.parametrize(
    ("written", "expected"), [("100/s", 100), ("90/m", 1.5), (" 36 / h ", 0.01), ("0.5/s", 0.5), (20, 20), (None, None)]
)
def test_rates(written: Any, expected: float | None) -> None:
    """A rate is records per second, minute, hour or day."""
    assert parse_rate(written) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("written", ["100", "0/s", "-1/s", "x", "1/w", "", 0, -5, True, float("inf"), float("nan"), []])
def test_what_is_no_rate(written: Any) -> None:
    """The message shows how a rate is written."""
    with pytest.raises(ValueError, match="such as 100/s, 5/m or 1/h"):
        parse_rate(written)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{sequnce}", r"\{sequnce\} is no placeholder; did you mean \{sequence\}\?"),
        ("{}", r"\{\} is no placeholder; there are \{sequence\}, \{int\}"),
        ('{"a": 1}', r"braces themselves are written \{\{ and \}\}"),
        ("a { b", r"a single '\{'; a brace is written '\{\{'"),
        ({"a": ["}"]}, r"template\.a\.0\n  Value error, a single '\}'"),
        ("{int}", "written like {int:1:100}"),
        ({"a": "{int:a:b}"}, r"template\.a\n  Value error, {int:a:b} is not written like {int:1:100}"),
        ("{int:1}", "written like {int:1:100}"),
        ("{int:1:2:3}", "written like {int:1:100}"),
        ("{int:1.5:2}", "written like {int:1:100}"),
        ("{int:5:1}", "the second no lower than the first"),
        ("{float:a:b}", "written like {float:0:500}"),
        ("{float:nan:1}", "two finite numbers"),
        ("{float:0:inf}", "two finite numbers"),
        ("{float:0:1:x}", "from 0 to 17 decimals"),
        ("{float:0:1:99}", "from 0 to 17 decimals"),
        ("{word:5}", "takes nothing after its name"),
        ({"a": {"sequence": None}}, r"template\.a\n  Value error, {sequence} should stand in quotes"),
        ({"a": {"int:1:5": None}}, "{int:1:5} should stand in quotes"),
        ([], "an empty list"),
        ([{"weight": 0, "template": 1}], r"template\.0\.weight\n  Value error, should be a number above 0"),
        ([{"weight": "2", "template": 1}], "should be a number above 0"),
        (
            [1, {"weight": 1, "template": {"a": [{"b": "{int:a:b}"}]}}],
            r"template\.1\.template\.a\.0\.b\n  Value error, \{int:a:b\} is not",
        ),
        ({"a": float("nan")}, "finite|JSON compliant"),
        ("\ud800", "surrogates"),
    ],
)
def test_faulty_templates_are_refused_with_the_settings(template: Any, message: str) -> None:
    """Whatever is wrong is found when the configuration is checked, and said."""
    with pytest.raises(ValidationError, match=message):
        GenerateSource.Config(template=template)
