"""The outlet admits in order, writes in batches, retries, tells an outage from poison, and dead-letters the rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from routing import fate_of
from rulesets import lines_of

from connectors.memory import MemorySink, refuse
from router.batch import Batch, Lease
from router.errors import EndOfStream, NotConnected, Unavailable, WriteError
from router.letterbox import LetterBox
from router.outlet import Outlet, Policy
from router.testing import Books, part, part_of, running, until


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books(tmp_path)
    yield made
    made.close()


def outlet_to(sink: MemorySink, books: Books, **policy: object) -> Outlet:
    defaults: dict[str, object] = {"backoff": 0.001, "timeout": 5.0}
    return Outlet("sink", sink, Policy(**(defaults | policy)), letters=books.box, metrics=books.metrics)  # type: ignore[arg-type]


def new_sink() -> MemorySink:
    return MemorySink(MemorySink.Config())


async def test_what_is_admitted_is_written_in_order_and_its_receipts_complete(books: Books) -> None:
    sink = new_sink()
    outlet = outlet_to(sink, books)
    async with running(outlet.run):
        receipts = [await outlet.put(part(b"%d" % i)) for i in range(50)]
        await asyncio.gather(*receipts)
    assert sink.values == [b"%d" % i for i in range(50)]
    assert books.sample("sluiceway_sink_records_total", sink="sink") == 50
    assert books.sample("sluiceway_sink_queue_records", sink="sink") == 0


async def test_what_the_queue_holds_at_most_is_shown(books: Books) -> None:
    outlet_to(new_sink(), books, queue_records=7, queue_bytes=900)
    shown = [books.sample(f"sluiceway_sink_queue_limit_{unit}", sink="sink") for unit in ("records", "bytes")]
    assert shown == [7, 900]


@pytest.mark.parametrize("where", ["open", "write"])
async def test_a_sink_that_has_ended_fails_the_receipts_of_all_that_it_did_not_get(books: Books, where: str) -> None:
    sink = new_sink()

    def end(*_: object) -> None:
        raise EndOfStream("gone")

    setattr(sink, f"on_{where}", end)
    ended: list[str] = []
    policy = Policy(queue_records=2)
    outlet = Outlet(
        "sink", sink, policy, letters=books.box, metrics=books.metrics, ended=lambda: ended.append(outlet.error)
    )
    waiting = [asyncio.create_task(outlet.put(part(b"a", b"b"))) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.wait_for(outlet.run(), 30)
    receipts = [await task for task in waiting] + [await outlet.put(part(b"c"))]
    assert [str(receipt.exception()) for receipt in receipts] == ["gone"] * 4
    assert ended == ["gone"]
    assert (outlet.queued_records, outlet.connected, await books.letters()) == (0, False, [])
    await asyncio.wait_for(outlet.run(), 30)


async def test_parts_that_wait_are_written_together_within_the_bounds_of_a_batch(books: Books) -> None:
    sink = new_sink()
    outlet = outlet_to(sink, books, batch_records=4)
    receipts = [await outlet.put(part(b"a", b"b")) for _ in range(4)]
    async with running(outlet.run):
        await asyncio.gather(*receipts)
    assert [len(batch) for batch in sink.batches] == [4, 4]


async def test_a_part_larger_than_a_batch_is_cut(books: Books) -> None:
    sink = new_sink()
    outlet = outlet_to(sink, books, batch_records=2, batch_bytes=10)
    async with running(outlet.run):
        await (await outlet.put(part(b"1", b"2", b"3", b"x" * 100, b"4444444", b"5555555")))
    assert [list(batch.values) for batch in sink.batches] == [
        [b"1", b"2"], [b"3"], [b"x" * 100], [b"4444444"], [b"5555555"],
    ]  # fmt: skip


async def test_a_full_queue_makes_put_wait_and_admits_first_come_first_served(books: Books) -> None:
    sink = new_sink()
    outlet = outlet_to(sink, books, queue_records=2)
    await outlet.put(part(b"1", b"2"))
    waiting = [asyncio.create_task(outlet.put(part(b"%d" % i))) for i in (3, 4, 5)]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in waiting)
    async with running(outlet.run):
        for task in waiting:
            await (await task)
    assert sink.values == [b"1", b"2", b"3", b"4", b"5"]


async def test_a_part_larger_than_the_queue_is_admitted_alone(books: Books) -> None:
    outlet = outlet_to(new_sink(), books, queue_records=2, queue_bytes=2)
    async with asyncio.timeout(5):
        await outlet.put(part(b"aaa", b"bbb", b"ccc"))
    assert outlet.queued_records == 3


async def test_a_put_that_is_cancelled_admits_nothing_and_lets_the_next_one_in(books: Books) -> None:
    sink = new_sink()
    outlet = outlet_to(sink, books, queue_records=2)
    await outlet.put(part(b"1"))
    large = asyncio.create_task(outlet.put(part(b"2", b"3")))
    small = asyncio.create_task(outlet.put(part(b"4")))
    await asyncio.sleep(0.01)
    large.cancel()
    receipt = await small
    async with running(outlet.run):
        await receipt
    assert sink.values == [b"1", b"4"]


async def test_a_full_queue_with_dead_letter_never_waits(books: Books) -> None:
    outlet = outlet_to(new_sink(), books, queue_records=1, when_full="dead_letter")
    await outlet.put(part(b"1"))
    receipt = await outlet.put(part(b"2"))
    assert receipt.done()
    assert [(letter.value, letter.reason) for letter in await books.letters()] == [(b"2", "queue_full")]


async def test_an_outage_uses_up_no_attempts(books: Books) -> None:
    sink = new_sink()
    sink.down = True
    outlet = outlet_to(sink, books, attempts=1)
    async with running(outlet.run):
        receipt = await outlet.put(part(b"1"))
        await until(lambda: sink.opens > 5)
        assert not receipt.done()
        assert not outlet.connected
        assert "down" in outlet.error
        sink.down = False
        await receipt
    assert sink.values == [b"1"]
    assert await books.letters() == []


async def test_who_cannot_find_out_what_may_be_shown_holds_nothing_up(books: Books) -> None:
    """What a sink said is then not shown at all, and the write is tried again all the same."""

    async def fail(*_: object) -> Sequence[str]:
        raise LookupError("s3cret")

    sink, failures = new_sink(), iter([NotConnected("s3cret"), Unavailable("s3cret")])

    def fail_twice(_batch: Batch) -> None:
        for failure in failures:
            raise failure

    sink.on_write = fail_twice
    box = LetterBox(books.store, books.metrics, said=lambda: fail)
    outlet = Outlet("sink", sink, Policy(backoff=0.001), letters=box, metrics=books.metrics)
    async with running(outlet.run):
        await (await outlet.put(part(b"a")))
        assert "s3cret" not in outlet.error
    assert sink.values == [b"a"]


async def test_a_refused_record_alone_is_dead_lettered_whole(books: Books) -> None:
    sink = new_sink()
    sink.on_write = lambda batch: refuse(batch, b"bad", reason="too sour")
    outlet = outlet_to(sink, books)
    async with running(outlet.run):
        await (await outlet.put(part(b"a", b"bad", b"c", settings={"topic": ["x", "y", "z"]})))
    [letter] = await books.letters()
    assert sink.values == [b"a", b"c"]
    assert (letter.stage, letter.sink, letter.flow, letter.source, letter.rule) == (
        "sink",
        "sink",
        "flow",
        "source",
        "rule",
    )
    assert (letter.reason, letter.detail, letter.value, letter.out_value) == ("refused", "too sour", b"bad", b"bad")
    assert (dict(letter.out_settings), letter.attempts) == ({"topic": "y"}, 1)
    assert books.sample("sluiceway_dead_letters_total", flow="flow", stage="sink", sink="sink", reason="refused") == 1


async def test_only_the_failed_records_are_retried(books: Books) -> None:
    sink, calls = new_sink(), []

    def flaky(batch: Batch) -> None:
        calls.append(list(batch.values))
        if len(calls) < 3:
            refuse(batch, b"b", retryable=True)

    sink.on_write = flaky
    outlet = outlet_to(sink, books)
    async with running(outlet.run):
        await (await outlet.put(part(b"a", b"b", b"c")))
    assert calls == [[b"a", b"b", b"c"], [b"b"], [b"b"]]
    assert sink.values == [b"a", b"c", b"b"]
    assert books.sample("sluiceway_sink_retries_total", sink="sink") == 2


async def test_of_one_write_some_records_are_refused_and_others_retried(books: Books) -> None:
    sink, failures = new_sink(), [2]

    def mixed(batch: Batch) -> None:
        if failures[0]:
            failures[0] -= 1
            bad, late = batch.values.index(b"bad") if b"bad" in batch.values else None, batch.values.index(b"late")
            raise WriteError({late: "busy"} if bad is None else {bad: "no", late: "busy"}, retryable={late})

    sink.on_write = mixed
    outlet = outlet_to(sink, books)
    async with running(outlet.run):
        await (await outlet.put(part(b"a", b"late", b"bad", b"c")))
    [letter] = await books.letters()
    assert (letter.value, letter.reason, letter.detail, letter.attempts) == (b"bad", "refused", "no", 1)
    assert sink.values == [b"a", b"c", b"late"]


async def test_a_system_that_takes_nothing_for_now_costs_no_attempts_and_no_strikes(books: Books) -> None:
    sink, times = new_sink(), [12]

    def overloaded(_batch: Batch) -> None:
        if times[0]:
            times[0] -= 1
            raise Unavailable("429: slow down")

    sink.on_write = overloaded
    outlet = outlet_to(sink, books, attempts=2, backoff=0.001)
    async with running(outlet.run):
        await (await outlet.put(part(b"a", b"b")))
        assert outlet.status()["error"] is None
    assert await books.letters() == []
    assert (sink.opens, sink.batches[0].values) == (1, [b"a", b"b"])


async def test_what_was_written_before_a_write_broke_off_is_not_written_again(books: Books) -> None:
    sink, errors = new_sink(), [Unavailable("full", unwritten=[2, 3]), NotConnected("gone", unwritten=[1])]
    sink.on_write = lambda _batch: _raise(errors)
    outlet = outlet_to(sink, books)
    async with running(outlet.run):
        await (await outlet.put(part(b"a", b"b", b"c", b"d")))
    assert sink.values == [b"a", b"b", b"c", b"d"]
    assert books.sample("sluiceway_sink_records_total", sink="sink") == 4


@pytest.mark.parametrize("error", [Unavailable, NotConnected])
async def test_what_was_refused_before_a_write_broke_off_is_a_dead_letter_and_never_written_again(
    books: Books, error: type[NotConnected]
) -> None:
    sink, errors = new_sink(), [error("full", unwritten=[2, 3], refused={1: "bad", 3: "worse", 9: "strange"})]
    sink.on_write = lambda _batch: _raise(errors)
    outlet = outlet_to(sink, books)
    async with running(outlet.run):
        await (await outlet.put(part(b"a", b"b", b"c", b"d")))
    assert sink.values == [b"a", b"c"]
    letters = await books.letters()
    assert [(letter.value, letter.reason, letter.detail) for letter in letters] == [
        (b"b", "refused", "bad"), (b"d", "refused", "worse"),
    ]  # fmt: skip
    assert books.sample("sluiceway_sink_records_total", sink="sink") == 2


async def test_a_write_that_broke_off_with_nothing_left_is_done(books: Books) -> None:
    sink, errors = new_sink(), [NotConnected("gone", unwritten=[])]
    sink.on_write = lambda _batch: _raise(errors)
    outlet = outlet_to(sink, books)
    async with running(outlet.run):
        await (await outlet.put(part(b"a")))
    assert (sink.values, sink.writes) == ([b"a"], 1)


async def test_the_pause_that_a_system_asks_for_is_kept(books: Books) -> None:
    sink, errors = new_sink(), list[NotConnected]([Unavailable("come again", after=0.2)])
    sink.on_write = lambda _batch: _raise(errors)
    outlet = outlet_to(sink, books, backoff=0.001)
    begun = asyncio.get_running_loop().time()
    async with running(outlet.run):
        await (await outlet.put(part(b"a")))
    assert asyncio.get_running_loop().time() - begun >= 0.2


async def test_poison_behind_records_that_are_written_is_found(books: Books) -> None:
    sink = new_sink()

    def drop(batch: Batch) -> None:
        if b"poison" in batch.values:
            raise NotConnected("reset", unwritten=range(batch.values.index(b"poison"), len(batch)))

    sink.on_write = drop
    outlet = outlet_to(sink, books, backoff=0.001)
    async with running(outlet.run):
        await (await outlet.put(part(b"a", b"b", b"poison", b"c", b"d")))
    assert [letter.value for letter in await books.letters()] == [b"poison"]
    assert sink.values == [b"a", b"b", b"c", b"d"]


def _raise(errors: list[NotConnected]) -> None:
    if errors:
        raise errors.pop(0)


async def test_attempts_are_bounded(books: Books) -> None:
    sink = new_sink()
    sink.on_write = lambda batch: refuse(batch, b"b", retryable=True)
    outlet = outlet_to(sink, books, attempts=3)
    async with running(outlet.run):
        await (await outlet.put(part(b"a", b"b")))
    [letter] = await books.letters()
    assert (letter.value, letter.reason, letter.attempts) == (b"b", "attempts_exhausted", 3)
    assert sink.writes == 3


async def test_a_record_that_brings_the_connection_down_is_found(books: Books) -> None:
    sink = new_sink()

    def drop(batch: Batch) -> None:
        if b"poison" in batch.values:
            raise NotConnected("reset by peer")

    sink.on_write = drop
    outlet = outlet_to(sink, books)
    values = [b"%d" % i for i in range(20)]
    values[7] = b"poison"
    async with running(outlet.run):
        await (await outlet.put(part(*values)))
    [letter] = await books.letters()
    assert (letter.value, letter.reason, letter.detail) == (b"poison", "brings_sink_down", "reset by peer")
    assert sink.values == [value for value in values if value != b"poison"]


async def test_a_system_that_says_itself_that_it_fails_has_all_attempts_before_a_record_is_suspected(
    books: Books,
) -> None:
    """Then the record to blame is found as quickly as any."""
    sink, failing = new_sink(), [7]

    def fail(batch: Batch) -> None:
        failing[0] -= 1
        if failing[0] >= 0 or b"poison" in batch.values:
            raise NotConnected("500", answered=True)

    sink.on_write = fail
    outlet = outlet_to(sink, books, attempts=10, backoff=0.001)
    async with running(outlet.run):
        await (await outlet.put(part(b"a", b"b")))
        assert sink.values == [b"a", b"b"]
        await (await outlet.put(part(b"c", b"poison")))
    assert [letter.value for letter in await books.letters()] == [b"poison"]
    assert sink.values == [b"a", b"b", b"c"]
    assert sink.writes == 8 + 10 + 1 + 3


async def test_a_record_that_crashes_the_connector_is_found(books: Books) -> None:
    sink = new_sink()

    def crash(batch: Batch) -> None:
        if b"poison" in batch.values:
            raise ZeroDivisionError("who would have thought")

    sink.on_write = crash
    outlet = outlet_to(sink, books)
    async with running(outlet.run):
        await (await outlet.put(part(b"a", b"poison", b"c")))
    [letter] = await books.letters()
    assert (letter.reason, letter.detail) == ("crashes_sink", "ZeroDivisionError: who would have thought")
    assert sink.values == [b"a", b"c"]


async def test_a_write_that_hangs_is_cut_off_and_made_again(books: Books) -> None:
    sink, hung = new_sink(), asyncio.Event()

    async def hang_once(_batch: Batch) -> None:
        if not hung.is_set():
            hung.set()
            await asyncio.Event().wait()

    sink.on_write = hang_once
    outlet = outlet_to(sink, books, timeout=0.05)
    async with running(outlet.run):
        await (await outlet.put(part(b"a")))
    assert sink.values == [b"a"]
    assert sink.opens == 2


async def test_a_write_error_that_names_nothing_in_the_batch_is_no_success(books: Books) -> None:
    sink = new_sink()

    def nonsense(_batch: Batch) -> None:
        raise WriteError({99: "which?"}, retryable=True)

    sink.on_write = nonsense
    outlet = outlet_to(sink, books)
    async with running(outlet.run):
        await (await outlet.put(part(b"a")))
    assert [letter.reason for letter in await books.letters()] == ["crashes_sink"]


async def test_a_sink_that_is_down_can_be_replaced_under_its_queue(books: Books) -> None:
    broken, mended = new_sink(), new_sink()
    broken.down = True
    outlet = outlet_to(broken, books, backoff=30.0)
    async with running(outlet.run):
        receipt = await outlet.put(part(b"1"))
        await until(lambda: broken.opens)
        outlet.replace(mended)
        await receipt
    assert mended.values == [b"1"]
    assert broken.closes


async def test_a_sink_whose_replacement_is_away_is_away_since_it_was_replaced(books: Books) -> None:
    dead = new_sink()
    dead.down = True
    outlet = outlet_to(new_sink(), books, backoff=30.0)
    async with running(outlet.run):
        await until(lambda: outlet.connected)
        connected, replaced = outlet.since, time.time()
        outlet.replace(dead)
        await until(lambda: dead.opens and outlet.error)
        assert not outlet.connected
        assert connected < replaced <= outlet.since <= time.time()


async def test_a_revoked_lease_is_not_written(books: Books) -> None:
    sink, mine, lost = new_sink(), Lease("0"), Lease("1")
    outlet = outlet_to(sink, books)
    receipt = await outlet.put(part(b"a", b"b", b"c", leases=[mine, lost, mine]))
    lost.revoke()
    async with running(outlet.run):
        await receipt
    assert sink.values == [b"a", b"c"]
    assert books.sample("sluiceway_sink_revoked_records_total", sink="sink") == 1


async def test_a_lease_knows_of_the_write_that_is_under_way(books: Books) -> None:
    """What is being written when a lease is revoked can be waited for; what follows is not written."""
    sink, lease, gate = new_sink(), Lease("0"), asyncio.Event()

    async def hang(_batch: Batch) -> None:
        await gate.wait()

    sink.on_write = hang
    outlet = outlet_to(sink, books, batch_records=1)
    receipts = [await outlet.put(part(value, leases=[lease])) for value in (b"a", b"b")]
    async with running(outlet.run):
        await until(lambda: sink.writes)
        lease.revoke()
        waiting = asyncio.create_task(lease.written())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        gate.set()
        await asyncio.gather(waiting, *receipts)
        assert sink.values == [b"a"]
        await lease.written()  # which returns at once when nothing is under way


async def test_a_lease_can_cut_off_what_is_being_written_under_it(books: Books) -> None:
    """What is left of the write under other leases is written again, through a new connection."""
    sink, mine, lost = new_sink(), Lease("0"), Lease("1")

    async def hang(_batch: Batch) -> None:
        sink.on_write = None
        await asyncio.Event().wait()

    sink.on_write = hang
    outlet = outlet_to(sink, books, timeout=60.0)
    receipt = await outlet.put(part(b"a", b"b", b"c", leases=[mine, lost, None]))
    async with running(outlet.run):
        await until(lambda: sink.writes)
        lost.abandon()
        await lost.written()
        await receipt
    assert sink.values == [b"a", b"c"]
    assert sink.opens == 2


async def test_a_write_that_fails_is_over_too(books: Books) -> None:
    """A lease does not wait for what was given up."""
    sink, lease = new_sink(), Lease("0")

    async def break_off(_batch: Batch) -> None:
        sink.on_write = None
        raise NotConnected("gone")

    sink.on_write = break_off
    outlet = outlet_to(sink, books)
    receipt = await outlet.put(part(b"a", leases=[lease]))
    async with running(outlet.run):
        await receipt
        await lease.written()
    assert sink.values == [b"a"]


async def test_a_batch_that_is_hurried_waits_for_no_company(books: Books) -> None:
    sink = new_sink()
    outlet = outlet_to(sink, books, batch_wait=3600.0)
    async with running(outlet.run), asyncio.timeout(10):
        receipt = await outlet.put(part(b"1"))
        await until(lambda: sink.opens)
        outlet.hurry()
        await receipt
    assert sink.values == [b"1"]


async def test_a_way_up_is_never_allowed(books: Books) -> None:
    sink = new_sink()
    outlet = outlet_to(sink, books, allow={"path": ["out/ok*"]})
    async with running(outlet.run):
        await (await outlet.put(part(b"a", b"b", settings={"path": ["out/ok/a", "out/ok/../other"]})))
    assert [letter.value for letter in await books.letters()] == [b"b"]
    assert sink.values == [b"a"]


async def test_what_a_record_may_not_choose_is_dead_lettered(books: Books) -> None:
    sink = new_sink()
    outlet = outlet_to(sink, books, allow={"topic": ["events.*"]})
    async with running(outlet.run):
        await (await outlet.put(part(b"a", b"b", b"c", settings={"topic": ["events.x", "secrets", None]})))
    [letter] = await books.letters()
    assert (letter.value, letter.reason) == (b"b", "not_allowed")
    assert "secrets" in letter.detail
    assert sink.values == [b"a", b"c"]


async def test_a_batch_waits_for_company_only_as_long_as_it_may(books: Books) -> None:
    sink = new_sink()
    outlet = outlet_to(sink, books, batch_records=3, batch_wait=30.0)
    async with running(outlet.run):
        first = await outlet.put(part(b"1"))
        await asyncio.sleep(0.02)
        assert sink.writes == 0
        second = await outlet.put(part(b"2", b"3"))
        await asyncio.gather(first, second)
    assert [len(batch) for batch in sink.batches] == [3]


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=12),
    fates=st.lists(st.sampled_from(["ok", "down", "crash", "retry", "refuse"]), max_size=25),
    many=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_fails_in_whatever_order_every_record_is_written_or_dead(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], fates: list[str], many: int
) -> None:
    """Be they in a list (0) or ``many`` in each block."""
    books = Books(tmp_path_factory.mktemp("state"))
    try:
        asyncio.run(_every_record_has_an_end(books, sizes, fates, many))
    finally:
        books.close()


async def _every_record_has_an_end(books: Books, sizes: list[int], fates: list[str], many: int) -> None:
    sink = new_sink()
    sink.on_write = fate_of(fates)
    outlet = outlet_to(sink, books, attempts=2, batch_records=6, queue_records=8)
    sent, receipts = [], []
    async with running(outlet.run):
        for number, size in enumerate(sizes):
            values = [b"%d.%d" % (number, i) for i in range(size)]
            sent += values
            batch = Batch(lines_of(values, many) if many else values)
            receipts.append(await outlet.put(part_of(batch)))
        await asyncio.gather(*receipts)
    ended = sink.values + [letter.value for letter in await books.letters()]
    assert sorted(ended) == sorted(sent)
    assert outlet.queued_records == outlet.queued_bytes == 0
