"""The scripted doubles keep the contracts that real connectors keep, and show a router that breaks them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from connectors import memory
from connectors.memory import MemorySink, MemorySource, records, refuse
from router import Batch, EndOfStream, Lag, NotConnected, Sink, Source, WriteError


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    memory.forget()
    yield
    memory.forget()


async def opened(source: MemorySource) -> MemorySource:
    await source.open()
    return source


async def test_the_doubles_are_connectors() -> None:
    """Both satisfy the protocols that the router asks for."""
    assert isinstance(MemorySource(MemorySource.Config()), Source)
    assert isinstance(MemorySink(MemorySink.Config()), Sink)


def test_records_are_texts_bytes_or_compact_json() -> None:
    """A payload is what it looks like."""
    assert records("ä", b"\xff", {"n": [1, None]}, 5, True).values == [
        "ä".encode(),
        b"\xff",
        b'{"n":[1,null]}',
        b"5",
        b"true",
    ]


async def test_a_script_is_followed_in_order_to_its_end() -> None:
    """Batches are returned, exceptions raised once, and after end() the stream ends."""
    source = await opened(MemorySource(MemorySource.Config()))
    source.push(records("a"), NotConnected("gone"), records("b"))
    source.end()
    assert (await source.read()).values == [b"a"]
    with pytest.raises(NotConnected, match="gone"):
        await source.read()
    assert (await source.read()).values == [b"b"]
    with pytest.raises(EndOfStream):
        await source.read()
    with pytest.raises(EndOfStream):
        await source.read()


async def test_what_is_not_acknowledged_comes_again_after_open() -> None:
    """The next open begins at the last acknowledged position, and an exception that happened does not happen again."""
    source = await opened(MemorySource(MemorySource.Config()))
    source.push(records("a"), records("b"), NotConnected("gone"), records("c"))
    first = await source.read()
    await source.read()
    with pytest.raises(NotConnected):
        await source.read()
    await source.ack(first.token)
    await source.close()
    await source.open()
    assert [(await source.read()).values for _ in range(2)] == [[b"b"], [b"c"]]
    assert source.opens == 2
    assert source.closes == 1


async def test_a_source_that_cannot_replay_goes_on_after_what_was_read() -> None:
    """With replays: false, what was read and not acknowledged is lost, as it would be."""
    source = await opened(MemorySource(MemorySource.Config(replays=False)))
    assert source.replays is False
    source.push(records("a"), records("b"))
    await source.read()
    await source.close()
    await source.open()
    assert (await source.read()).values == [b"b"]


async def test_in_read_order_an_acknowledgement_covers_all_before_it() -> None:
    """acked lists every batch that is safe, in order, and repeats are refused."""
    source = await opened(MemorySource(MemorySource.Config()))
    source.push(*(records(str(i)) for i in range(5)))
    batches = [await source.read() for _ in range(5)]
    assert await source.lag() == [Lag("0", records=5)]
    await source.ack(batches[2].token)
    assert [b.values for b in source.acked] == [[b"0"], [b"1"], [b"2"]]
    with pytest.raises(ValueError, match="before"):
        await source.ack(batches[1].token)
    await source.ack(batches[3].token)
    assert len(source.acked) == 4
    assert await source.lag() == [Lag("0", records=1)]


async def test_in_any_order_an_acknowledgement_covers_its_batch_alone() -> None:
    """Gaps come again after open, what was acknowledged does not."""
    source = await opened(MemorySource(MemorySource.Config(ack_order="any")))
    source.push(*(records(str(i)) for i in range(4)))
    batches = [await source.read() for _ in range(4)]
    await source.ack(batches[3].token)
    await source.ack(batches[1].token)
    await source.close()
    await source.open()
    assert [(await source.read()).values for _ in range(2)] == [[b"0"], [b"2"]]


async def test_a_token_of_an_earlier_epoch_is_refused() -> None:
    """Tokens belong to one open()."""
    source = await opened(MemorySource(MemorySource.Config()))
    source.push(records("a"))
    old = await source.read()
    await source.close()
    with pytest.raises(ValueError, match="not open"):
        await source.ack(old.token)
    await source.open()
    with pytest.raises(ValueError, match="number 1"):
        await source.ack(old.token)
    assert source.acked == []


async def test_a_read_waits_for_more_and_a_cancelled_one_takes_nothing() -> None:
    """Nothing is lost when a waiting read is cancelled, at an event or at the end of the script."""
    source = await opened(MemorySource(MemorySource.Config()))
    gate = asyncio.Event()
    for _ in range(2):
        reading = asyncio.create_task(source.read())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        source.push(gate, records("a"))
    reading = asyncio.create_task(source.read())
    await asyncio.sleep(0)
    assert not reading.done()
    gate.set()
    assert (await reading).values == [b"a"]


async def test_a_source_that_goes_down_wakes_a_waiting_read() -> None:
    """While it is down, read and open raise NotConnected; afterwards it goes on."""
    source = await opened(MemorySource(MemorySource.Config()))
    reading = asyncio.create_task(source.read())
    await asyncio.sleep(0)
    source.down = True
    with pytest.raises(NotConnected):
        await reading
    with pytest.raises(NotConnected):
        await source.open()
    source.down = False
    await source.open()
    source.push(records("a"))
    assert (await source.read()).values == [b"a"]


async def test_hooks_may_raise_at_any_call() -> None:
    """A failing acknowledgement leaves its batch unacknowledged."""
    source = await opened(MemorySource(MemorySource.Config()))
    source.push(records("a"))

    def fail(_: Batch) -> None:
        raise NotConnected("no ack")

    source.on_ack = fail
    batch = await source.read()
    with pytest.raises(NotConnected):
        await source.ack(batch.token)
    assert source.acked == []
    source.on_ack = None
    await source.ack(batch.token)
    assert [b.values for b in source.acked] == [[b"a"]]
    source.lags = [Lag("p", records=7, seconds=1.5)]
    assert await source.lag() == [Lag("p", records=7, seconds=1.5)]


async def test_records_of_a_configuration_end_the_stream_unless_a_channel_can_add_to_them() -> None:
    """Inline records are one batch; the same configuration built twice does not add them twice."""
    alone = await opened(MemorySource(MemorySource.Config(records=["a", {"n": 1}])))
    assert (await alone.read()).values == [b"a", b'{"n":1}']
    with pytest.raises(EndOfStream):
        await alone.read()

    config = MemorySource.Config(channel="c", records=["a"])
    MemorySource(config)
    named = await opened(MemorySource(config))
    batch = await named.read()
    memory.source("c").push(records("b"))
    assert (await named.read()).values == [b"b"]
    memory.source("c").end()
    with pytest.raises(EndOfStream):
        await named.read()
    await named.ack(batch.token)
    assert len(memory.source("c").acked) == 1


async def test_a_channel_outlives_its_instances() -> None:
    """What a test scripted before the router built the sink holds, and a sink built again writes to the same place."""
    seen = memory.sink("out")
    seen.on_write = lambda batch: refuse(batch, b"bad")
    first = MemorySink(MemorySink.Config(channel="out", keeps_order=True))
    await first.open()
    with pytest.raises(WriteError):
        await first.write(records("good", "bad"))
    second = MemorySink(MemorySink.Config(channel="out"))
    with pytest.raises(NotConnected, match="not open"):
        await second.write(records("x"))
    await second.open()
    await second.write(records("more"))
    await first.close()
    await second.write(records("still"))
    assert seen.values == memory.sink("out").values == [b"good", b"more", b"still"]
    assert memory.sink("other").values == []


async def test_a_refused_record_fails_alone() -> None:
    """The rest of the batch is kept, with its columns."""
    sink = MemorySink(MemorySink.Config())
    sink.on_write = lambda batch: refuse(batch, b"b", reason="too odd")
    await sink.open()
    batch = Batch([b"a", b"b", b"c"], settings={"path": ["1", "2", "3"]})
    with pytest.raises(WriteError) as caught:
        await sink.write(batch)
    assert caught.value.failed == {1: "too odd"}
    assert caught.value.retryable is False
    assert sink.values == [b"a", b"c"]
    assert sink.batches[0].settings == {"path": ["1", "3"]}
    assert sink.writes == 1


async def test_an_ordered_sink_lets_nothing_overtake_a_record_of_its_key() -> None:
    """What follows a failed record with its key fails too when that one will be tried again, and only then."""
    sink = MemorySink(MemorySink.Config(keeps_order=True))
    await sink.open()
    batch = Batch([b"1", b"2", b"3", b"4"], keys=[b"x", b"y", b"x", b"y"])
    sink.on_write = lambda batch: refuse(batch, b"1", retryable=True)
    with pytest.raises(WriteError) as caught:
        await sink.write(batch)
    assert sorted(caught.value.failed) == [0, 2]
    sink.on_write = lambda batch: refuse(batch, b"1", retryable=False)
    with pytest.raises(WriteError) as caught:
        await sink.write(batch)
    assert sorted(caught.value.failed) == [0]
    assert sink.values == [b"2", b"4", b"2", b"3", b"4"]


async def test_a_write_that_hangs_or_breaks_keeps_nothing() -> None:
    """A cancelled write and one that raises something unknown leave no record behind."""
    sink = MemorySink(MemorySink.Config())
    await sink.open()
    gate = asyncio.Event()

    async def hang(_: Batch) -> None:
        await gate.wait()

    sink.on_write = hang
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sink.write(records("a")), 0.01)

    def crash(_: Batch) -> None:
        raise ZeroDivisionError

    sink.on_write = crash
    with pytest.raises(ZeroDivisionError):
        await sink.write(records("b"))
    sink.on_write, sink.down = None, True
    with pytest.raises(NotConnected):
        await sink.write(records("c"))
    with pytest.raises(NotConnected):
        await sink.open()
    assert sink.values == []
    sink.down = False
    await sink.write(records("d"))
    assert sink.values == [b"d"]


def test_what_a_delivery_may_choose() -> None:
    """The settings that name a place within a sink are per record; the others are not."""
    assert MemorySink.Config.per_record() == {"path", "topic", "key", "headers", "subject", "table"}
