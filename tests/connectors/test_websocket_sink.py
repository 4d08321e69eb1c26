"""The sink ``websocket``, over real sockets, against servers of two implementations."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from test_websocket_source import server_tls
from websocket_peers import KINDS, Kind, Message, Peer, idle, server, until

from connectors.memory import records
from connectors.websocket import WebSocketSink
from router import Batch, Context, NotConnected, Sink, WriteError
from router.outlet import Outlet, Policy
from router.testing import Books, part, running
from tests.certificates import Certificates

both = pytest.mark.parametrize("kind", KINDS)


def sink_to(url: str, folder: Path | None = None, **config: Any) -> WebSocketSink:
    settings = WebSocketSink.Config.model_validate({"url": url, **config})
    return WebSocketSink(settings if folder is None else settings.within(Context(folder=folder)))


@asynccontextmanager
async def opened(url: str, folder: Path | None = None, **config: Any) -> AsyncIterator[WebSocketSink]:
    """A sink that is connected."""
    sink = sink_to(url, folder, **config)
    async with asyncio.timeout(30):
        try:
            await sink.open()
            yield sink
        finally:
            await sink.close()


class Inbox:
    """What a server has read, from all connections."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.codes: list[object] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, peer: Peer) -> None:
        try:
            while True:
                await self.gate.wait()
                self.messages.append(await peer.receive())
        except EOFError as error:
            self.codes += error.args


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books(tmp_path)
    yield made
    made.close()


def test_it_is_a_sink() -> None:
    assert isinstance(sink_to("ws://localhost"), Sink)


@both
@pytest.mark.parametrize(
    ("form", "arrived"),
    [
        ("auto", ["{}", "gruß", b"\xff", "", "a\nb"]),
        ("binary", [b"{}", "gruß".encode(), b"\xff", b"", b"a\nb"]),
    ],
)
async def test_each_record_is_a_message_in_order(kind: Kind, form: str, arrived: list[Message]) -> None:
    inbox = Inbox()
    async with server(kind, inbox) as one, opened(one.url, message=form) as sink:
        await sink.write(records("{}", "gruß", b"\xff", "", "a\nb"))
        await until(lambda: len(inbox.messages) == 5)
        assert inbox.messages == arrived


@both
async def test_what_is_no_text_fails_alone_where_text_is_wanted(kind: Kind) -> None:
    inbox = Inbox()
    async with server(kind, inbox) as one, opened(one.url, message="text") as sink:
        with pytest.raises(WriteError) as error:
            await sink.write(records("one", b"tw\xffo", "three"))
        assert error.value.failed == {1: "a text message must be UTF-8: invalid start byte at byte 2 (message)"}
        assert not error.value.retryable
        await until(lambda: inbox.messages == ["one", "three"])


async def test_several_records_may_go_in_one_message() -> None:
    """Up to a size, a larger record alone; what would not be one record among others fails."""
    inbox = Inbox()
    async with (
        server("websockets", inbox) as one,
        opened(one.url, framing="newline", max_message=10, message="text") as sink,
    ):
        await sink.write(records("one", "two", "long enough", "x", "{\n}"))
        await until(lambda: len(inbox.messages) == 3)
        with pytest.raises(WriteError) as error:
            await sink.write(records("a", "b\nc", "", b"\xff", "d"))
        await until(lambda: len(inbox.messages) == 4)
    assert inbox.messages == ["one\ntwo\n", "long enough\n", "x\n{}\n", "a\nd\n"]
    assert sorted(error.value.failed) == [1, 2, 3]


def test_a_framing_that_holds_one_record_only_is_refused() -> None:
    with pytest.raises(ValidationError, match="framing: whole does not go with messages"):
        sink_to("ws://localhost", framing="whole")


def answering(inbox: Inbox, *, close_after: int = -1) -> Any:
    """Talk that answers each message, and greets, and says that it is alive in between."""

    async def talk(peer: Peer) -> None:
        await peer.send('{"hello": "world"}')
        with contextlib.suppress(EOFError):
            while True:
                message = await peer.receive()
                if len(inbox.messages) == close_after and len(inbox.codes) == 0:
                    inbox.codes.append(1012)
                    return await peer.close(1012)
                inbox.messages.append(message)
                await peer.send("still alive")
                await peer.send(json.dumps({"result": "error" if message == "bad" else "ok"}))
        return None

    return talk


@both
async def test_a_server_may_confirm_each_record_or_refuse_it(kind: Kind) -> None:
    inbox = Inbox()
    async with server(kind, answering(inbox)) as one, opened(one.url, confirm='message.result == "ok"') as sink:
        await sink.write(records(*(f"{n}" for n in range(100))))
        assert len(inbox.messages) == 100
        with pytest.raises(WriteError) as error:
            await sink.write(records("1", "bad", "3"))
        assert error.value.failed == {1: 'the server refused it: {"result": "error"}'}
        assert not error.value.retryable
        await sink.write(records("4"))


@both
async def test_what_was_confirmed_before_the_connection_ended_is_not_written_again(kind: Kind, books: Books) -> None:
    inbox = Inbox()
    async with server(kind, answering(inbox, close_after=4)) as one:
        sink = sink_to(one.url, confirm='message.result == "ok"', message="text")
        outlet = Outlet("sink", sink, Policy(backoff=0.001), letters=books.box, metrics=books.metrics)
        async with asyncio.timeout(30), running(outlet.run):
            await (await outlet.put(part(b"1", b"2", b"\xff", b"bad", b"4", b"5", b"6")))
        letters = await books.letters()
    assert inbox.messages[:4] == ["1", "2", "bad", "4"]
    assert sorted(inbox.messages) == ["1", "2", "4", "5", "6", "bad", "bad"], "what was refused is asked again"
    assert [letter.out_value for letter in letters] == [b"\xff", b"bad"]


async def test_an_answer_that_no_expression_can_read_says_nothing() -> None:
    async def talk(peer: Peer) -> None:
        with contextlib.suppress(EOFError):
            while True:
                await peer.receive()
                for answer in ("{}", "no json", '{"n": "text"}', b"\xff", '{"n": 1}'):
                    await peer.send(answer)

    async with server("websockets", talk) as one, opened(one.url, confirm="message.n > 0") as sink:
        await sink.write(records("x", "y"))


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"confirm": "message.ok", "framing": "newline"}, "confirm should not stand beside framing"),
        ({"confirm": "event.ok"}, "`event` is not known here; known: message"),
        ({"confirm": "message.("}, "confirm"),
    ],
)
def test_settings_that_cannot_work_are_refused(config: dict[str, Any], wanted: str) -> None:
    with pytest.raises(ValidationError) as error:
        sink_to("ws://localhost", **config)
    assert wanted in str(error.value)


async def test_a_write_returns_once_the_server_has_read_it_all() -> None:
    """aiohttp answers pings in turn, so here that is what its application has taken."""
    inbox = Inbox()
    inbox.gate.clear()
    async with server("aiohttp", inbox) as one, opened(one.url) as sink:
        writing = asyncio.create_task(sink.write(records(*(f"{n}" for n in range(1000)))))
        await asyncio.sleep(0.1)
        assert not writing.done()
        inbox.gate.set()
        await writing
        assert len(inbox.messages) == 1000


async def test_without_flush_a_write_returns_once_the_system_has_it() -> None:
    inbox = Inbox()
    inbox.gate.clear()
    async with server("aiohttp", inbox) as one, opened(one.url, flush=False) as sink:
        await sink.write(records("x"))
        assert inbox.messages == []
        inbox.gate.set()
        await until(lambda: inbox.messages == ["x"])


@both
@pytest.mark.parametrize("compression", [False, True])
async def test_large_and_small_records_arrive_whole(kind: Kind, compression: bool) -> None:
    inbox = Inbox()
    large = b"".join(b"%d " % n for n in range(2_000_000))[:10_000_000]
    options: dict[str, Any] = {"max_size": None} if kind == "websockets" else {"max_msg_size": 0}
    async with server(kind, inbox, **options) as one, opened(one.url, compression=compression) as sink:
        await sink.write(records("before", large, *(f"{n}" for n in range(10_000))))
        await until(lambda: len(inbox.messages) == 10_002)
        assert inbox.messages == ["before", large.decode(), *(f"{n}" for n in range(10_000))]


async def test_a_server_that_says_more_than_it_reads_does_not_stop_us() -> None:
    """It echoes, and pings in between, and reads on only when we do, too."""

    async def talk(peer: Peer) -> None:
        with contextlib.suppress(EOFError):
            while True:
                message = await peer.receive()
                await peer._websocket.ping(b"?")  # type: ignore[attr-defined]
                await peer.send(message)

    async with server("aiohttp", talk) as one, opened(one.url) as sink:
        await sink.write(records(*("x" * 100_000 for _ in range(300))))


@both
async def test_a_server_that_closes_during_a_write_is_away_and_the_batch_is_written_again(kind: Kind) -> None:
    inbox = Inbox()

    async def talk(peer: Peer) -> None:
        if len(one.peers) == 1:
            await peer.receive()
            await peer.close(1012, "maintenance")
        else:
            await inbox(peer)

    batch = records(*(f"{n}" for n in range(10)))
    async with server(kind, talk) as one:
        sink = sink_to(one.url)
        await sink.open()
        with pytest.raises(NotConnected) as error:
            for _ in range(100):
                await sink.write(batch)
        assert str(error.value) == f"{one.url}: the server closed the connection: 1012 (service restart): maintenance"
        await sink.close()
        await sink.open()
        await sink.write(batch)
        await until(lambda: inbox.messages == [f"{n}" for n in range(10)])
        await sink.close()


@both
async def test_a_server_that_dies_during_a_write_is_away(kind: Kind) -> None:
    async def talk(peer: Peer) -> None:
        await peer.receive()
        peer.abort()

    async with server(kind, talk) as one, opened(one.url) as sink:
        with pytest.raises(NotConnected, match=r"broke off|is lost"):
            await sink.write(records(*("x" * 100_000 for _ in range(100))))
        with pytest.raises(NotConnected):
            await sink.write(records("x"))


async def test_an_idle_connection_that_is_dead_is_noticed() -> None:
    async def talk(peer: Peer) -> None:
        peer._request.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(30)

    async with server("aiohttp", talk) as one:
        async with opened(one.url, ping={"interval": "30ms", "timeout": "60ms"}) as sink:
            await until(lambda: sink._connection and sink._connection.failure)
            with pytest.raises(NotConnected, match=r"nothing was heard for 0\.06 s after a ping"):
                await sink.write(records("x"))
        one.peers[0].abort()


async def test_a_cancelled_write_can_be_made_again_on_a_new_connection() -> None:
    """The server reads nothing, as one whose disk is full; the router gives up after its timeout."""
    inbox = Inbox()

    async def talk(peer: Peer) -> None:
        if len(one.peers) > 1:
            await inbox(peer)
        else:
            peer._request.transport.pause_reading()  # type: ignore[attr-defined]
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(30)

    batch = records(*(f"{n}".ljust(10_000) for n in range(3_000)))
    async with server("aiohttp", talk) as one:
        sink = sink_to(one.url)
        await sink.open()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await sink.write(batch)
        await sink.close()
        await sink.open()
        await sink.write(batch)
        await sink.close()
        one.peers[0].abort()
    assert [int(message) for message in inbox.messages] == list(range(3_000))


@both
async def test_a_record_that_the_server_does_not_bear_becomes_a_dead_letter(kind: Kind, books: Books) -> None:
    """It closes the connection each time (1009), and the router finds out for which record."""
    inbox = Inbox()
    options: dict[str, Any] = {"max_size": 100} if kind == "websockets" else {"max_msg_size": 100}
    async with server(kind, inbox, **options) as one:
        policy = Policy(backoff=0.001, timeout=5.0)
        outlet = Outlet("sink", sink_to(one.url), policy, letters=books.box, metrics=books.metrics)
        async with asyncio.timeout(30), running(outlet.run):
            await (await outlet.put(part(b"one", b"x" * 1000, b"three")))
        letters = await books.letters()
    assert [letter.out_value for letter in letters] == [b"x" * 1000]
    assert "1009 (message too big)" in letters[0].detail
    assert {"one", "three"} <= set(inbox.messages)


@both
async def test_closing_says_that_we_go(kind: Kind) -> None:
    inbox = Inbox()
    async with server(kind, inbox) as one:
        sink = sink_to(one.url)
        await sink.close()
        await sink.open()
        await sink.close()
        await sink.close()
        await until(lambda: inbox.codes == [1001])
        with pytest.raises(NotConnected):
            await sink.write(Batch([b"x"]))


@both
async def test_mutual_tls_proves_both(kind: Kind, certificates: Certificates) -> None:
    inbox = Inbox()
    own = {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}
    async with server(kind, inbox, tls=server_tls(certificates, mutual=True)) as one:
        async with opened(one.url, certificates.folder, tls=own) as sink:
            await sink.write(records("safe"))
            await until(lambda: inbox.messages == ["safe"])
        stranger = sink_to(one.url, certificates.folder, tls={"ca": "ca.pem"})
        with pytest.raises(NotConnected):
            await stranger.open()
            await stranger.write(records("secret"))
        await stranger.close()
    assert inbox.messages == ["safe"]


async def test_a_login_is_the_first_message() -> None:
    inbox = Inbox()
    async with server("websockets", inbox) as one, opened(one.url, open_messages=[{"login": "ada"}]) as sink:
        await sink.write(records("x"))
        await until(lambda: inbox.messages == ['{"login": "ada"}', "x"])


async def test_a_server_that_refuses_the_login_is_away_with_its_reason() -> None:
    async def talk(peer: Peer) -> None:
        await peer.receive()
        await peer.close(3000, "who are you?")

    async with server("websockets", talk) as one, opened(one.url, open_messages=["ada"]) as sink:
        with pytest.raises(NotConnected, match=r"3000 \(unauthorized\): who are you\?"):
            for _ in range(100):
                await sink.write(records("x"))


async def test_what_the_server_says_is_ignored() -> None:
    async def talk(peer: Peer) -> None:
        for n in range(1000):
            await peer.send(f"{n}" * 100)
        await idle(peer)

    async with server("websockets", talk) as one, opened(one.url) as sink:
        await sink.write(records("x"))
