"""Samples and taps: what is kept, what is given, and that nothing of it grows or waits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from rulesets import lines_of

from router.batch import Batch
from router.fate import LONGEST_DETAIL, Loss
from router.part import Origin, parts_of
from router.sampling import (
    KEPT_RECORDS,
    LONGEST,
    MAX_TAPS,
    WAITING_RECORDS,
    FlowSamples,
    Samples,
    TooManyTaps,
)
from rules.reader import read_flow
from rules.ruleset import Ruleset, SinkFacts, compile_flow

RULES = """
from: [orders]
rules:
  - {name: big, when: event.n > 500, to: [vip, {sink: all, key: "${string(event.n)}"}]}
  - {name: noise, when: event.n == 7, to: drop}
  - {name: odd, when: event.n == 8, to: dead_letter}
  - {name: rest, set: {event.seen: true}, to: all}
"""

TWICE = """
from: [orders]
rules:
  - {name: one, to: all, continue: true}
  - {name: other, to: all}
"""


@pytest.fixture
def ruleset() -> Ruleset:
    flow, faults = read_flow(RULES, "rules.yaml", lambda _: b"")
    assert flow is not None, faults
    return compile_flow(flow, sinks={name: SinkFacts(name) for name in ("vip", "all")}, vars={}, models={})


def look(samples: FlowSamples, ruleset: Ruleset, *values: bytes) -> None:
    batch = Batch(list(values))
    samples.look(batch, ruleset.route(batch, "orders"), "orders", ruleset)


def test_a_sample_says_where_the_record_goes_and_why(ruleset: Ruleset) -> None:
    samples = Samples()
    look(samples.of("f"), ruleset, b'{"n":501}', b'{"n":7}', b'{"n":8}', b"[")
    big, noise, odd, broken = samples.sample("f")
    assert [(end.to, end.rule, end.changed) for end in big.ends] == [("vip", "big", False), ("all", "big", False)]
    assert big.ends[1].settings == {"key": b"501"}
    assert [(end.to, end.rule) for end in noise.ends] == [("drop", "noise")]
    assert [(end.to, end.reason) for end in odd.ends] == [("dead_letter", "rule")]
    assert [(end.to, end.reason) for end in broken.ends] == [("dead_letter", "undecodable")]
    assert big.batch.values == [b'{"n":501}']
    assert big.version == ruleset.version


def test_a_delivery_that_became_a_dead_letter_is_told_by_record_and_sink_and_others_cost_nothing(
    ruleset: Ruleset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.sampling.KEPT_AT_ONCE", 1)
    samples, batch = Samples(), Batch([b'{"n":%d}' % number for number in (501, 502, 503)])
    decisions = ruleset.route(batch, "orders")
    fate = samples.of("f").look(batch, decisions, "orders", ruleset)
    assert fate is not None
    parts = dict(parts_of(decisions, Origin(batch, flow="f", source="orders", version="v", fate=fate)))
    for place in range(3):
        parts["vip"].lost(place, "vip", "refused", f"no {place}")
    [sampled] = samples.sample("f")
    assert sampled.losses() == [Loss("refused", f"no {sampled.index}"), None]
    assert len(fate.losses) == 1
    parts["all"].letter(sampled.index, sink="all", reason="", detail="", attempts=1)  # as it would be, if it were one
    assert sampled.losses()[1] is None
    parts["all"].lost(sampled.index, "all", "refused", "x" * (LONGEST_DETAIL + 1))
    assert sampled.losses()[1] == Loss("refused", "")


def test_of_deliveries_of_one_record_to_one_sink_that_one_is_told_that_was_lost() -> None:
    flow, faults = read_flow(TWICE, "rules.yaml", lambda _: b"")
    assert flow is not None, faults
    twice = compile_flow(flow, sinks={"all": SinkFacts("all")}, vars={}, models={})
    samples, batch = Samples(), Batch([b'{"n":1}'])
    decisions = twice.route(batch, "orders")
    fate = samples.of("f").look(batch, decisions, "orders", twice)
    [(_, part)] = parts_of(decisions, Origin(batch, flow="f", source="orders", version="v", fate=fate))
    part.lost(1, "all", "refused", "")
    assert samples.sample("f")[0].losses() == [None, Loss("refused", "")]


def test_a_sample_of_lines_that_lie_in_blocks_says_the_same(ruleset: Ruleset) -> None:
    """What goes out as it came is not taken for changed, and what is changed is shown."""
    batch, samples = Batch(lines_of([b'{"n":501}', b'{"n":9}', b"["], 2)), Samples()
    samples.of("f").look(batch, ruleset.route(batch, "orders"), "orders", ruleset)
    big, rest, broken = samples.sample("f")
    assert [(end.to, end.changed, end.out) for end in big.ends] == [("vip", False, None), ("all", False, None)]
    assert [(end.to, end.changed, end.out) for end in rest.ends] == [("all", True, b'{"n":9,"seen":true}')]
    assert [end.reason for end in broken.ends] == ["undecodable"]
    assert [one.batch.values for one in (big, rest, broken)] == [[b'{"n":501}'], [b'{"n":9}'], [b"["]]


def test_what_is_kept_of_a_flow_is_bounded(ruleset: Ruleset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.sampling.KEEP_SECONDS", 0.0)
    samples = Samples()
    for number in range(100):
        look(samples.of("f"), ruleset, *(b'{"n":%d}' % (number * 10 + one) for one in range(10)))
    assert len(samples.sample("f")) == KEPT_RECORDS
    for _ in range(40):
        look(samples.of("f"), ruleset, b'{"n":1,"x":"%b"}' % (b"x" * (LONGEST - 20)))
    assert 0 < len(samples.sample("f")) <= 16


def test_of_a_record_that_is_too_long_its_size_alone_is_kept(ruleset: Ruleset) -> None:
    samples = Samples()
    look(samples.of("f"), ruleset, b'{"n":1,"x":"%b"}' % (b"x" * LONGEST))
    (sampled,) = samples.sample("f")
    assert sampled.batch.values == [b""]
    assert sampled.size > LONGEST
    assert not sampled.is_whole


async def test_a_tap_is_given_no_more_than_its_rate_and_counts_the_rest(ruleset: Ruleset) -> None:
    samples = Samples()
    tap = samples.tap("f", rate=100)
    await asyncio.sleep(0.3)
    look(samples.of("f"), ruleset, *(b'{"n":%d}' % n for n in range(1000)))
    got = await tap.take(0, 1)
    assert 20 <= len(got) <= 25
    assert tap.skipped == 1000 - len(got)
    numbers = [int(sampled.batch.values[0][5:-1]) for sampled in got]
    assert numbers == sorted(numbers)
    assert max(numbers) > 500 > min(numbers)


@pytest.mark.parametrize("many", [1, 4, 5, 6, 7, 60])
def test_of_few_lines_in_a_block_none_is_taken_twice(ruleset: Ruleset, many: int) -> None:
    values = [b'{"n":%d}' % n for n in range(60)]
    batch = Batch(lines_of(values, many))
    decisions = ruleset.route(batch, "orders")
    for _ in range(200):
        samples = Samples()
        samples.of("f").look(batch, decisions, "orders", ruleset)
        taken = [sampled.batch.values[0] for sampled in samples.sample("f")]
        assert taken == sorted(set(taken), key=values.index)
        assert len(taken) == min(4, len(values))


class Broken(list[Any]):
    """A column that cannot be looked at, as nobody foresaw."""

    def __getitem__(self, index: Any) -> Any:
        raise ZeroDivisionError


def test_what_fails_unforeseen_in_taking_samples_costs_no_record(
    ruleset: Ruleset, caplog: pytest.LogCaptureFixture
) -> None:
    batch, samples = Batch([b'{"n":1}'], keys=Broken([b"k"])), Samples()
    assert samples.of("f").look(batch, ruleset.route(batch, "orders"), "orders", ruleset) is not None
    assert samples.sample("f") == []
    assert "no samples of a batch could be taken" in caplog.text


async def test_a_tap_of_lines_looks_into_one_block_and_takes_nothing_for_long(ruleset: Ruleset) -> None:
    """A few records of a large batch do not cost a look at all of its blocks, nor one look each."""
    batch, samples = Batch(lines_of([b'{"n":%d}' % n for n in range(1000)], 100)), Samples()
    decisions = ruleset.route(batch, "orders")
    tap = samples.tap("f", rate=100)
    samples.of("f").look(batch, decisions, "orders", ruleset)
    assert tap.skipped == 1000
    await asyncio.sleep(0.3)
    samples.of("f").look(batch, decisions, "orders", ruleset)
    got = await tap.take(0, 1)
    assert 20 <= len(got) <= 25
    assert len({int(sampled.batch.values[0][5:-1]) // 100 for sampled in got}) == 1
    assert [sampled.ends[-1].out for sampled in got if sampled.ends[-1].rule == "rest"] == [
        sampled.batch.values[0][:-1] + b',"seen":true}' for sampled in got if sampled.ends[-1].rule == "rest"
    ]


async def test_a_tap_that_nobody_reads_loses_its_oldest_records(ruleset: Ruleset) -> None:
    samples = Samples()
    tap = samples.tap("f", rate=1e9)
    for number in range(3):
        look(samples.of("f"), ruleset, *(b'{"n":%d}' % (number * 200 + one) for one in range(200)))
    got = await tap.take(0, 1)
    assert len(got) == WAITING_RECORDS
    assert tap.skipped == 600 - WAITING_RECORDS
    assert got[-1].batch.values == [b'{"n":599}']


async def test_a_tap_waits_until_there_is_something_or_it_is_ended(ruleset: Ruleset) -> None:
    samples = Samples()
    tap = samples.tap("f", rate=10)
    assert await tap.take(0, 0.01) == []
    taking = asyncio.create_task(tap.take(0, 10))
    await asyncio.sleep(0)
    look(samples.of("f"), ruleset, b'{"n":1}')
    assert [sampled.batch.values for sampled in await taking] == [[b'{"n":1}']]
    taking = asyncio.create_task(tap.take(0, 10))
    await asyncio.sleep(0)
    samples.close()
    assert await taking == []
    assert tap.ended


def test_there_are_only_so_many_taps_and_a_closed_one_makes_room() -> None:
    samples = Samples()
    taps = [samples.tap(f"f{number}", 1) for number in range(MAX_TAPS)]
    with pytest.raises(TooManyTaps):
        samples.tap("f", 1)
    taps[0].close()
    samples.tap("f", 1)


def test_of_a_flow_that_is_gone_nothing_is_kept_and_its_taps_end(ruleset: Ruleset) -> None:
    samples = Samples()
    for flow in ("gone", "stays"):
        look(samples.of(flow), ruleset, b'{"n":1}')
    gone, stays = samples.tap("gone", 1.0), samples.tap("stays", 1.0)
    samples.retain(["stays"])
    assert (gone.ended, stays.ended) == (True, False)
    assert (len(samples.sample("gone")), len(samples.sample("stays"))) == (0, 1)
    gone.close()
