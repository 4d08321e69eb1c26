"""The sink ``websocket_server``, over real sockets, with subscribers of two implementations."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from pydantic import ValidationError
from websocket_peers import KINDS, Kind, Message, until

from connectors.memory import records
from connectors.websocket import WebSocketServerSink, WebSocketSource
from router import Batch, Context, NotConnected, Sink, WriteError
from router.outlet import Outlet, Policy
from router.testing import Books, part, running
from tests.certificates import Certificates

both = pytest.mark.parametrize("kind", KINDS)


class Listener:
    """A subscriber that keeps what it gets; ``code`` is how it ended."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.code: int | None = None
        self.reason = ""


class Open:
    """An open sink, its subscribers, and what it counted."""

    def __init__(self, sink: WebSocketServerSink, tasks: asyncio.TaskGroup, counts: Counter[str]) -> None:
        self.sink = sink
        self.counts = counts
        self._tasks = tasks

    async def write(self, *values: bytes | str, channels: Sequence[str | None] | None = None) -> None:
        batch = records(*values)
        if channels is not None:
            batch.settings = {"channel": channels}
        await self.sink.write(batch)

    async def subscribe(self, kind: Kind = "websockets", query: str = "", **options: Any) -> Listener:
        """Somebody who is connected by now and reads on."""
        listener = Listener()
        before = self.counts["subscribed"]
        listen = _listen_aiohttp if kind == "aiohttp" else _listen_websockets
        self._tasks.create_task(listen(self.sink.url + query, listener, options), name="listener")
        await until(lambda: self.counts["subscribed"] > before)
        return listener


async def _listen_aiohttp(url: str, listener: Listener, options: dict[str, Any]) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0, **options) as websocket:
        async for message in websocket:
            listener.messages.append(message.data)
        listener.code = websocket.close_code


async def _listen_websockets(url: str, listener: Listener, options: dict[str, Any]) -> None:
    async with websockets.connect(url, max_size=None, **options) as websocket:
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                listener.messages.append(await websocket.recv())
        listener.code = websocket.close_code
        listener.reason = websocket.close_reason or ""


def sink_of(
    folder: Path | None = None, counts: Counter[str] | None = None, write_timeout: float = 60.0, **config: Any
) -> WebSocketServerSink:
    settings = WebSocketServerSink.Config.model_validate({"listen": "127.0.0.1:0", **config})
    found = counts if counts is not None else Counter[str]()

    def count(event: str, number: int) -> None:
        found[event] += number

    return WebSocketServerSink(
        settings.within(Context(folder=folder or Path(), count=count, write_timeout=write_timeout))
    )


@asynccontextmanager
async def opened(folder: Path | None = None, **config: Any) -> AsyncIterator[Open]:
    """A sink that listens, and is closed at the end, which ends every subscriber."""
    counts = Counter[str]()
    sink = sink_of(folder, counts, **config)
    async with asyncio.timeout(40), asyncio.TaskGroup() as tasks:
        await sink.open()
        try:
            yield Open(sink, tasks, counts)
        finally:
            await sink.close()


class Stuck:
    """Somebody who has subscribed and reads nothing."""

    def __init__(self, sink: WebSocketServerSink) -> None:
        host, port = "127.0.0.1", int(sink.url.rsplit(":", 1)[1].split("/")[0])
        self.socket = socket.create_connection((host, port))
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13"
        request = f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n\r\n"
        self.socket.sendall(request.encode())


def test_it_is_a_sink() -> None:
    assert isinstance(sink_of(), Sink)


@pytest.mark.parametrize(
    "config",
    [
        {"listen": "9602"},
        {"path": "live"},
        {"token": ""},
        {"max_subscribers": 0},
        {"backlog": {"records": 0}},
        {"slow": "never"},
        {"patience": "0s"},
        {"drain": "60s"},
        {"message": "json"},
        {"tls": {"key": "key.pem"}},
    ],
)
def test_settings_that_cannot_work_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        sink_of(**config)


@both
async def test_everybody_gets_every_record_from_when_they_connect(kind: Kind) -> None:
    async with opened() as one:
        first = await one.subscribe(kind)
        await one.write("{}", "gruß 日本", b"\xff\x00", "")
        second = await one.subscribe(kind)
        await one.write("later")
        await until(lambda: len(first.messages) == 5 and second.messages)
        assert first.messages == ["{}", "gruß 日本", b"\xff\x00", "", "later"]
        assert second.messages == ["later"]
    assert (first.code, second.code) == (1001, 1001)


async def test_records_go_out_in_the_form_that_is_asked_for() -> None:
    async with opened(message="binary") as one:
        listener = await one.subscribe()
        await one.write("text")
        await until(lambda: listener.messages == [b"text"])
    async with opened(message="text") as one:
        listener = await one.subscribe()
        with pytest.raises(WriteError) as error:
            await one.write("one", b"\xff", "three")
        assert list(error.value.failed) == [1]
        await until(lambda: listener.messages == ["one", "three"])


@both
@pytest.mark.parametrize("compression", [False, True])
async def test_large_and_small_records_arrive_whole(kind: Kind, compression: bool) -> None:
    large = b"".join(b"%d " % n for n in range(2_000_000))[:10_000_000]
    options: dict[str, Any] = {"compress": 15} if kind == "aiohttp" else {}
    async with opened(compression=compression) as one:
        listener = await one.subscribe(kind, **options)
        await one.write("before", large, *(f"{n}" for n in range(10_000)))
        await until(lambda: len(listener.messages) == 10_002)
        assert listener.messages == ["before", large.decode(), *(f"{n}" for n in range(10_000))]


async def test_channels_are_chosen_by_whoever_connects() -> None:
    async with opened(channel="rest") as one:
        everything = await one.subscribe()
        some = await one.subscribe(query="?channel=a&channel=b%20c")
        other = await one.subscribe(query="?channel=rest")
        await one.write("1", "2", "3", "4", channels=["a", "x", "b c", ""])
        await one.write("5", "6", channels=[None, "rest"])
        await until(lambda: len(everything.messages) == 6 and len(other.messages) == 2)
        assert everything.messages == ["1", "2", "3", "4", "5", "6"]
        assert some.messages == ["1", "3"]
        assert other.messages == ["5", "6"]
    assert one.counts["discarded_record"] == 0


async def test_several_records_of_a_channel_may_go_in_one_message() -> None:
    async with opened(framing="newline") as one:
        everything = await one.subscribe()
        some = await one.subscribe(query="?channel=a")
        await one.write("1", "2", "3", channels=["a", "b", "a"])
        await until(lambda: everything.messages and some.messages)
        assert everything.messages == ["1\n2\n3\n"]
        assert some.messages == ["1\n3\n"]


async def test_what_nobody_is_there_for_is_discarded_and_counted() -> None:
    async with opened() as one:
        await one.write("1", "2")
        assert one.counts == {"discarded_record": 2}
        await one.subscribe(query="?channel=a")
        await one.write("3", "4", "5", channels=["a", "b", "c"])
        assert one.counts["discarded_record"] == 4


async def test_a_flow_may_wait_for_the_first_subscriber() -> None:
    async with opened(without_subscribers="wait") as one:
        writing = asyncio.create_task(one.write("1"))
        listener = await one.subscribe()
        await writing
        await until(lambda: listener.messages == ["1"])
    assert one.counts["discarded_record"] == 0


async def test_the_router_waits_for_the_first_subscriber_and_gives_nothing_up(tmp_path: Path) -> None:
    """Longer than a write may take, and more than once."""
    books = Books(tmp_path)
    sink = sink_of(write_timeout=0.1, without_subscribers="wait")
    outlet = Outlet("sink", sink, Policy(timeout=5.0), letters=books.box, metrics=books.metrics)
    async with asyncio.timeout(20), running(outlet.run):
        for number in (b"1", b"2"):
            receipt = await outlet.put(part(number))
            await until(lambda: outlet.error == f"nobody is connected to {sink.url}")
            await asyncio.sleep(0.4)
            async with websockets.connect(sink.url) as websocket:
                await receipt
                assert await websocket.recv() == number.decode()
            await until(lambda: not sink._subscribers)
    assert await books.letters() == []
    books.close()


# Slow subscribers


async def test_a_slow_subscriber_holds_up_nobody_and_is_disconnected() -> None:
    async with opened(backlog={"records": 100, "bytes": "1MB"}) as one:
        stuck = Stuck(one.sink)
        await until(lambda: one.counts["subscribed"] == 1)
        listener = await one.subscribe()
        written = 0

        def is_read() -> bool:
            return len(listener.messages) == written

        while one.counts["slow_subscriber"] == 0:
            await one.write(*("x" * 100_000 for _ in range(10)))
            written += 10
            await until(is_read)
        await one.write("after")
        await until(lambda: listener.messages[-1] == "after")
        await until(lambda: one.counts["undelivered_record"])
        assert len(one.sink._subscribers) == 1
        stuck.socket.close()
    assert listener.code == 1001
    assert one.counts["slow_subscriber"] == 1
    assert 0 < one.counts["undelivered_record"] <= 100


@both
async def test_a_slow_subscriber_that_still_reads_learns_why(kind: Kind) -> None:
    """The bounds are in records: what goes over them at once finds no room even at somebody who reads."""
    async with opened(backlog={"records": 100}) as one:
        listener = await one.subscribe(kind)
        for _ in range(2):  # without a chance to send in between
            await one.write(*(f"{n}" for n in range(60)))
        await until(lambda: listener.code)
        assert listener.code == 1013
        assert listener.messages == [f"{n}" for n in range(len(listener.messages))]
        if kind == "websockets":
            assert listener.reason == "too slow"


async def test_a_batch_larger_than_the_bounds_is_let_in_alone() -> None:
    async with opened(backlog={"records": 10}) as one:
        listener = await one.subscribe()
        await one.write(*(f"{n}" for n in range(1000)))
        await until(lambda: len(listener.messages) == 1000)


async def test_a_flow_may_wait_for_slow_subscribers_and_then_loses_nothing() -> None:
    async with opened(slow="wait", backlog={"records": 10}) as one:
        listeners = [await one.subscribe(kind) for kind in KINDS]
        for start in range(0, 2000, 8):
            await one.write(*(f"{n}".ljust(10_000) for n in range(start, start + 8)))
        await until(lambda: all(len(listener.messages) == 2000 for listener in listeners))
        for listener in listeners:
            assert [int(message) for message in listener.messages] == list(range(2000))
    assert one.counts["slow_subscriber"] == 0


async def test_patience_with_a_slow_subscriber_ends() -> None:
    async with opened(slow="wait", patience="100ms", backlog={"records": 10}) as one:
        stuck = Stuck(one.sink)
        await until(lambda: one.counts["subscribed"] == 1)
        while one.counts["slow_subscriber"] == 0:
            await one.write(*("x" * 100_000 for _ in range(10)))
        stuck.socket.close()


async def test_a_write_that_is_cancelled_while_it_waits_has_queued_nothing() -> None:
    async with opened(slow="wait", backlog={"records": 10}) as one:
        stuck = Stuck(one.sink)
        await until(lambda: one.counts["subscribed"] == 1)
        listener = await one.subscribe()
        written: list[str] = []
        with pytest.raises(TimeoutError):
            for n in range(10_000):
                values = [f"{n}.{i}".ljust(100_000) for i in range(10)]
                async with asyncio.timeout(0.3):
                    await one.write(*values)
                written += values
        stuck.socket.close()
        await one.write("after")
        await until(lambda: listener.messages[-1] == "after")
        assert listener.messages == [*written, "after"]


# The life of a connection


async def test_a_subscriber_that_is_gone_is_forgotten_and_what_waited_is_counted() -> None:
    async with opened(backlog={"bytes": "100MB"}) as one:
        stuck = Stuck(one.sink)
        await until(lambda: one.counts["subscribed"] == 1)
        for _ in range(300):
            await one.write("x" * 100_000)
        stuck.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        stuck.socket.close()  # with a reset
        await until(lambda: not one.sink._subscribers)
        await until(lambda: one.counts["undelivered_record"])


@both
async def test_a_subscriber_may_leave(kind: Kind) -> None:
    async with opened() as one:
        if kind == "aiohttp":
            async with aiohttp.ClientSession() as session, session.ws_connect(one.sink.url) as websocket:
                await websocket.send_str("ignored")
        else:
            async with websockets.connect(one.sink.url) as connection:
                await connection.send("ignored")
        await until(lambda: not one.sink._subscribers)
        await one.write("x")
    assert one.counts == {"subscribed": 1, "discarded_record": 1}


async def test_a_subscriber_that_answers_no_ping_is_disconnected() -> None:
    async with opened(ping={"interval": "30ms", "timeout": "60ms"}) as one:
        listeners = [await one.subscribe(kind) for kind in KINDS]
        stuck = Stuck(one.sink)
        await until(lambda: one.counts["subscribed"] == 3)
        await until(lambda: len(one.sink._subscribers) == 2)
        await asyncio.sleep(0.3)
        assert [listener.code for listener in listeners] == [None, None]
        stuck.socket.close()


async def test_closing_lets_subscribers_take_what_waits_for_them() -> None:
    async with opened() as one:
        listeners = [await one.subscribe(kind) for kind in KINDS for _ in range(3)]
        await one.write(*(f"{n}".ljust(1000) for n in range(10_000)))
    for listener in listeners:
        assert [int(message) for message in listener.messages] == list(range(10_000))
        assert listener.code == 1001


async def test_closing_does_not_wait_for_ever() -> None:
    async with opened(drain="200ms", backlog={"bytes": "100MB"}) as one:
        stuck = Stuck(one.sink)
        await until(lambda: one.counts["subscribed"] == 1)
        for _ in range(300):
            await one.write("x" * 100_000)
        async with asyncio.timeout(9):
            await one.sink.close()
        stuck.socket.close()
    assert one.counts["undelivered_record"] > 0


async def test_it_listens_again_after_it_was_closed() -> None:
    async with opened() as one:
        port = int(one.sink.url.rsplit(":", 1)[1].split("/")[0])
        await one.sink.close()
        await one.sink.close()
        with pytest.raises(NotConnected):
            await one.sink.write(Batch([b"x"]))
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port))
        await one.sink.open()
        listener = await one.subscribe()
        await one.write("x")
        await until(lambda: listener.messages == ["x"])


async def test_an_address_that_is_taken_is_away() -> None:
    async with opened() as one:
        address = one.sink.url.removeprefix("ws://").removesuffix("/")
        second = sink_of(listen=address)
        with pytest.raises(NotConnected, match=rf"{address} cannot be listened on: .*in use"):
            await second.open()
        await second.close()


async def test_many_subscribers_each_get_everything() -> None:
    async with opened() as one:
        listeners = [await one.subscribe() for _ in range(100)]
        for start in range(0, 1000, 100):
            await one.write(*(f"{n}" for n in range(start, start + 100)))
        await until(lambda: all(len(listener.messages) == 1000 for listener in listeners))


async def test_our_own_source_is_a_subscriber() -> None:
    async with opened() as one:
        source = WebSocketSource(WebSocketSource.Config.model_validate({"url": one.sink.url}))
        await source.open()
        await until(lambda: one.counts["subscribed"] == 1)
        await one.write("x", b"\xff")
        batch = await source.read()
        assert (batch.values, batch.attributes["binary"]) == ([b"x", b"\xff"], [False, True])
        await source.close()


# Access


async def refusal(url: str, **options: Any) -> int:
    """The status that a handshake is answered with; 0 when it is let in."""
    try:
        async with websockets.connect(url, **options):
            return 0
    except websockets.InvalidStatus as error:
        return error.response.status_code


async def test_a_token_is_shown_in_a_header_or_in_the_url() -> None:
    async with opened(token="s3cret ä") as one:
        url = one.sink.url
        assert await refusal(url) == 401
        assert await refusal(f"{url}?token=wrong") == 401
        assert await refusal(f"{url}?token=s3cret%20%C3%A4") == 0
    async with opened(token="s3cret") as one:
        url = one.sink.url
        for shown, status in (("Bearer s3cret", 0), ("bearer s3cret", 0), ("Bearer s3cre", 401), ("Basic s3cret", 401)):
            assert await refusal(url, additional_headers={"Authorization": shown}) == status
        wrong = {"Authorization": "Bearer wrong"}
        assert await refusal(f"{url}?token=s3cret", additional_headers=wrong) == 401, "a header that is there counts"


async def test_pages_of_other_origins_are_refused() -> None:
    """Those of this machine too: whoever has a page open there is anybody."""
    async with opened() as one:
        assert await refusal(one.sink.url, origin="https://evil.example") == 403
        assert await refusal(one.sink.url, origin=one.sink.url.replace("ws:", "http:").removesuffix("/")) == 403
        assert await refusal(one.sink.url, origin="null") == 403
    async with opened(origins=["https://example.org"]) as one:
        assert await refusal(one.sink.url, origin="https://example.org") == 0
        assert await refusal(one.sink.url, origin="https://example.org.evil.example") == 403
    async with opened(origins=["*"]) as one:
        assert await refusal(one.sink.url, origin="https://evil.example") == 0


async def test_what_is_no_subscriber_is_told_so() -> None:
    async with opened(path="/live") as one, aiohttp.ClientSession() as session:
        url = one.sink.url.replace("ws:", "http:")
        for path, status in (("", 426), ("/more", 404)):
            async with session.get(url + path) as answer:
                assert answer.status == status
        async with session.post(url, data=b"x") as answer:
            assert answer.status == 426
        bad = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "99"}
        async with session.get(url, headers=bad) as answer:
            assert answer.status == 400
        assert await refusal(one.sink.url) == 0


async def test_there_is_a_limit_to_subscribers() -> None:
    async with opened(max_subscribers=2) as one:
        listeners = [await one.subscribe() for _ in range(2)]
        assert await refusal(one.sink.url) == 503
        await one.write("x")
        await until(lambda: all(listener.messages for listener in listeners))


def client_tls(certificates: Certificates, *, mutual: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificates.ca)
    if mutual:
        context.load_cert_chain(certificates.folder / "client.pem", certificates.folder / "client.key")
    return context


async def test_wss_proves_the_server(certificates: Certificates) -> None:
    async with opened(certificates.folder, tls={"cert": "server.pem", "key": "server.key"}) as one:
        assert one.sink.url.startswith("wss://127.0.0.1:")
        listeners = [
            await one.subscribe("websockets", ssl=client_tls(certificates)),
            await one.subscribe("aiohttp", ssl=client_tls(certificates)),
        ]
        await one.write("safe")
        await until(lambda: all(listener.messages == ["safe"] for listener in listeners))
        with pytest.raises(ssl.SSLCertVerificationError):
            await refusal(one.sink.url)


async def test_mutual_tls_lets_in_whom_the_authority_vouches_for(certificates: Certificates) -> None:
    tls = {"cert": "server.pem", "key": "server.key", "client_ca": "ca.pem"}
    async with opened(certificates.folder, tls=tls) as one:
        listener = await one.subscribe(ssl=client_tls(certificates, mutual=True))
        await one.write("safe")
        await until(lambda: listener.messages == ["safe"])
        with pytest.raises((OSError, EOFError, websockets.WebSocketException)):
            await refusal(one.sink.url, ssl=client_tls(certificates))
    assert one.counts["subscribed"] == 1


async def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    sink = sink_of(tmp_path, tls={"cert": "none.pem"})
    with pytest.raises(NotConnected, match=r"none\.pem cannot be used"):
        await sink.open()
    await sink.close()
