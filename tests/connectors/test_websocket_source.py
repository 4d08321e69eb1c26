"""The source ``websocket``, over real sockets, against servers of two implementations."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from websocket_peers import KINDS, Kind, Peer, idle, server, until

from connectors.websocket import WebSocketSource
from router import Batch, Context, EndOfStream, NotConnected, Source
from tests.certificates import Certificates
from tests.servers.ports import claim_port

both = pytest.mark.parametrize("kind", KINDS)


def source_of(url: str, folder: Path | None = None, **config: Any) -> WebSocketSource:
    settings = WebSocketSource.Config.model_validate({"url": url, **config})
    return WebSocketSource(settings if folder is None else settings.within(Context(folder=folder)))


@asynccontextmanager
async def opened(url: str, folder: Path | None = None, **config: Any) -> AsyncIterator[WebSocketSource]:
    """A source that is connected."""
    source = source_of(url, folder, **config)
    async with asyncio.timeout(30):
        try:
            await source.open()
            yield source
        finally:
            await source.close()


async def records(source: WebSocketSource, count: int) -> list[bytes]:
    """So many records, acknowledged."""
    values: list[bytes] = []
    while len(values) < count:
        batch = await source.read()
        values += batch.values
        await source.ack(batch.token)
    return values


async def failure(source: WebSocketSource) -> str:
    """Why the next read cannot be."""
    with pytest.raises(NotConnected) as error:
        await source.read()
    return str(error.value)


def sending(*messages: str | bytes) -> Any:
    """Talk that sends these and then waits for the other side to go."""

    async def talk(peer: Peer) -> None:
        for message in messages:
            await peer.send(message)
        await idle(peer)

    return talk


def test_it_is_a_source() -> None:
    assert isinstance(source_of("ws://localhost"), Source)


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"url": "http://example.org"}, "url should be a WebSocket URL such as wss://"),
        ({"url": "wss://"}, "url should be a WebSocket URL"),
        ({"url": "ws://host:port/"}, "url should be a WebSocket URL"),
        ({"url": "ws://ho st/"}, "url should be a WebSocket URL"),
        ({"url": "ws://ada:pw@host/"}, "`auth: {basic: {user, password}}` takes them"),
        ({"url": "ws://host/#here"}, "without a fragment"),
        ({"headers": {"Sec-WebSocket-Key": "x"}}, "part of the WebSocket handshake"),
        ({"headers": {"authorization": "x"}, "auth": {"bearer": "y"}}, "beside `auth`"),
        ({"tls": {"ca": "ca.pem"}}, "url should begin with wss://"),
        ({"subprotocols": ["a b"]}, "subprotocols"),
        ({"max_message": 0}, "max_message"),
        ({"pending": {"records": 0}}, "pending"),
        ({"ping": {"interval": "0s"}}, "ping"),
    ],
)
def test_settings_that_cannot_work_are_refused(config: dict[str, Any], wanted: str) -> None:
    with pytest.raises(ValidationError) as error:
        source_of(**{"url": "ws://localhost", **config})
    assert wanted in str(error.value)


@both
async def test_each_message_is_a_record_text_or_binary(kind: Kind) -> None:
    messages: list[str | bytes] = ['{"a": 1}', b"\x00\xff", "", "gruß 日本 🌊\n\nmore", b"", b"plain"]
    async with server(kind, sending(*messages)) as one, opened(one.url) as source:
        batches: list[Batch] = []
        while sum(map(len, batches)) < len(messages):
            batches.append(await source.read())
        values = [value for batch in batches for value in batch.values]
        binary = [value for batch in batches for value in batch.attributes["binary"]]
        assert values == [m.encode() if isinstance(m, str) else m for m in messages]
        assert binary == [isinstance(m, bytes) for m in messages]
        times = [time or 0 for batch in batches for time in batch.times or ()]
        assert times == sorted(times)
        assert len(times) == len(messages)


@both
@pytest.mark.parametrize("compression", [False, True])
async def test_large_and_small_messages_arrive_whole_and_in_order(kind: Kind, compression: bool) -> None:
    """10 MB in one message, between small ones, packed and not."""
    large = json.dumps([f"number {n}" for n in range(500_000)])[:10_000_000]
    options: dict[str, Any] = (
        {"compression": "deflate" if compression else None} if kind == "websockets" else {"compress": compression}
    )
    async with (
        server(kind, sending("before", large, "after"), **options) as one,
        opened(one.url, compression=compression) as source,
    ):
        assert await records(source, 3) == [b"before", large.encode(), b"after"]
        offered = one.peers[0].headers.get("Sec-WebSocket-Extensions", "")
        assert offered.startswith("permessage-deflate") is compression


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_a_message_in_many_frames_is_one_record(compression: str | None) -> None:
    async def talk(peer: Peer) -> None:
        await peer._connection.send(["one ", "mes", "", "sage"])  # type: ignore[attr-defined]
        await peer._connection.send([b"\xff"] * 1000)  # type: ignore[attr-defined]
        await idle(peer)

    async with server("websockets", talk, compression=compression) as one, opened(one.url, compression=True) as source:
        assert await records(source, 2) == [b"one message", b"\xff" * 1000]


async def test_text_that_is_not_utf8_is_a_record_that_shows_it() -> None:
    """The connection goes on: whether it can be decoded is for the flow to say."""

    async def talk(peer: Peer) -> None:
        await peer._websocket.send_frame(b"\xff\xfe", 1)  # type: ignore[attr-defined]
        await peer.send("next")
        await idle(peer)

    async with server("aiohttp", talk) as one, opened(one.url) as source:
        assert await records(source, 2) == [b"\xff\xfe", b"next"]


@both
async def test_a_message_may_hold_several_records(kind: Kind) -> None:
    messages: list[str | bytes] = ["1\n2\r\n\n3", "", "\n", b"\xff\n4\n", "\n".join(f"{n}" for n in range(5, 3000))]
    async with server(kind, sending(*messages)) as one, opened(one.url, framing="newline") as source:
        batches: list[Batch] = []
        while sum(map(len, batches)) < 3000:
            batches.append(await source.read())
        assert all(len(batch) <= 1000 for batch in batches)
        values = [value for batch in batches for value in batch.values]
        assert values == [b"1", b"2", b"3", b"\xff", *(b"%d" % n for n in range(4, 3000))]
        binary = [value for batch in batches for value in batch.attributes["binary"]]
        assert binary == [False] * 3 + [True] * 2 + [False] * 2995
        (lag,) = await source.lag()
        assert (lag.records, lag.bytes) == (3000, sum(map(len, values)))


async def test_a_message_that_cannot_be_cut_is_spoiled_and_the_next_one_is_not() -> None:
    whole = b"\0\0\0\3one\0\0\0\3two"
    async with (
        server("websockets", sending(whole, whole[:-1], whole)) as one,
        opened(one.url, framing="length") as source,
    ):
        await until(lambda: len(source._waiting) == 6)
        batch = await source.read()
        assert list(batch.values[:3]) == [b"one", b"two", b"one"]
        assert list(batch.values[4:]) == [b"one", b"two"]
        assert list(batch.spoiled) == [3]


@both
async def test_a_server_may_be_told_what_is_delivered(kind: Kind) -> None:
    """Once it is, in order; what has nothing to tell of is left out."""
    told: list[str | bytes] = []

    async def talk(peer: Peer) -> None:
        for message in ('{"id": 1}', "no json", '{"id": "two"}', "{}", '{"id": null}', '{"id": 5}'):
            await peer.send(message)
        with contextlib.suppress(EOFError):
            while True:
                told.append(await peer.receive())

    async with server(kind, talk) as one, opened(one.url, ack='{"ack": message.id}') as source:
        assert source.replays
        await until(lambda: len(source._waiting) == 6)
        batch = await source.read()
        await asyncio.sleep(0.05)
        assert told == []
        await source.ack(batch.token)
        await until(lambda: len(told) == 4)
        assert told == ['{"ack": 1}', '{"ack": "two"}', '{"ack": null}', '{"ack": 5}']


async def test_a_server_that_is_told_is_left_with_the_rest_at_a_stop() -> None:
    """It sends it again to whoever comes next, while what was read can still be acknowledged."""
    told: list[str | bytes] = []

    async def talk(peer: Peer) -> None:
        await peer.send("1")
        told.append(await peer.receive())
        await idle(peer)

    async with server("aiohttp", talk) as one, opened(one.url, ack="message") as source:
        batch = await source.read()
        await source.finish()
        with pytest.raises(EndOfStream):
            await source.read()
        await source.ack(batch.token)
        await until(lambda: told == ["1"])


def test_an_acknowledgement_tells_of_whole_messages() -> None:
    with pytest.raises(ValidationError, match="ack should not stand beside framing"):
        source_of("ws://localhost", ack="message.id", framing="newline")


@both
async def test_the_handshake_says_who_we_are_and_what_we_speak(kind: Kind) -> None:
    options: dict[str, Any] = {"subprotocols": ["v2.feed"]} if kind == "websockets" else {"protocols": ["v2.feed"]}
    async with (
        server(kind, sending("x"), **options) as one,
        opened(
            f"{one.url}?symbol=a%20b",
            headers={"X-Client": "sluiceway", "Origin": "https://example.org"},
            auth={"basic": {"user": "ada", "password": "pw"}},
            subprotocols=["v3.feed", "v2.feed"],
        ) as source,
    ):
        assert await records(source, 1) == [b"x"]
        headers = one.peers[0].headers
        assert headers["X-Client"] == "sluiceway"
        assert headers["Origin"] == "https://example.org"
        assert headers["Authorization"] == "Basic YWRhOnB3"


@both
async def test_a_server_without_our_subprotocol_is_not_talked_to(kind: Kind) -> None:
    options: dict[str, Any] = (
        {"subprotocols": ["v1"], "select_subprotocol": lambda *_: None} if kind == "websockets" else {}
    )
    async with server(kind, idle, **options) as one:
        source = source_of(one.url, subprotocols=["v2", "v3"])
        with pytest.raises(NotConnected, match=r"speaks none of these subprotocols: v2, v3"):
            await source.open()
        await source.close()


@both
async def test_subscriptions_are_sent_at_each_connection(kind: Kind) -> None:
    async def talk(peer: Peer) -> None:
        for _ in range(3):
            await peer.send(await peer.receive())
        await peer.close(1012)

    wanted = [b"hello", b'{"op": "subscribe", "channel": "\xc3\xa4"}', b"[1, null]"]
    async with server(kind, talk) as one:
        source = source_of(one.url, open_messages=["hello", {"op": "subscribe", "channel": "ä"}, [1, None]])
        for _ in range(2):
            await source.open()
            assert await records(source, 3) == wanted
            assert "1012 (service restart)" in await failure(source)
            await source.close()


@both
@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [
        (1000, "", "1000 (normal closure)"),
        (1001, "", "1001 (going away)"),
        (1008, "no such\nfeed", "1008 (policy violation): no such feed"),
        (4001, "who are you?", "4001 (of this server's own): who are you?"),
        (3999, "", "3999 (unknown)"),
    ],
)
async def test_a_server_that_closes_is_away_and_its_reason_is_told(
    kind: Kind, code: int, reason: str, told: str
) -> None:
    async def talk(peer: Peer) -> None:
        await peer.send("last")
        await peer.close(code, reason)

    async with server(kind, talk) as one, opened(one.url) as source:
        assert await records(source, 1) == [b"last"]
        assert await failure(source) == f"{one.url}: the server closed the connection: {told}"


@both
async def test_a_connection_that_breaks_off_is_away(kind: Kind) -> None:
    async def talk(peer: Peer) -> None:
        await peer.send("last")
        await peer.receive()
        peer.abort()

    async with server(kind, talk) as one, opened(one.url, open_messages=["go"]) as source:
        with contextlib.suppress(NotConnected):  # a reset may overtake what was sent before it
            assert await records(source, 1) == [b"last"]
        assert await failure(source) == f"{one.url}: the connection broke off without being closed"


async def test_a_code_that_says_not_to_come_back_is_kept_away_from_for_a_while() -> None:
    async def talk(peer: Peer) -> None:
        await peer.close(4003, "over quota")

    async with server("aiohttp", talk) as one:
        source = source_of(one.url, hold_off="300ms")
        await source.open()
        why = await failure(source)
        await source.close()
        began = time.monotonic()
        with pytest.raises(NotConnected) as error:
            await source.open()
        assert str(error.value) == f"{why}; connecting again after 0.3 s"
        await source.close()
        while True:
            with contextlib.suppress(NotConnected):
                await source.open()
                break
            await asyncio.sleep(0.01)
        assert time.monotonic() - began > 0.2
        assert len(one.peers) == 2
        await source.close()


@both
async def test_a_message_that_is_too_large_ends_the_connection_and_is_told(kind: Kind) -> None:
    """What came before it is kept, and the server is not hammered."""
    async with server(kind, sending("before", "x" * 1000, "y" * 1001)) as one:
        async with opened(one.url, max_message=1000) as source:
            assert await records(source, 2) == [b"before", b"x" * 1000]
            assert "we closed the connection: 1009 (message too big)" in await failure(source)
            await source.close()
            with pytest.raises(NotConnected, match="connecting again after 30 s"):
                await source.open()
        assert len(one.peers) == 1


async def test_a_packed_message_that_would_be_too_large_is_not_unpacked() -> None:
    async with (
        server("websockets", sending("0" * 50_000_000)) as one,
        opened(one.url, compression=True, max_message="1MB") as source,
    ):
        assert "1009 (message too big)" in await failure(source)


async def test_what_was_received_survives_the_connection() -> None:
    """Messages that nobody has read when the server goes are read first, and after a reconnect before newer ones."""

    async def talk(peer: Peer) -> None:
        number = len(one.peers)
        for n in range(3):
            await peer.send(f"{number}.{n}")
        await peer.close(1012)

    async with server("websockets", talk) as one:
        source = source_of(one.url)
        await source.open()
        await until(lambda: source._connection and source._connection.failure)
        await source.close()
        await source.open()
        await until(lambda: source._connection and source._connection.failure)
        assert await records(source, 6) == [b"1.0", b"1.1", b"1.2", b"2.0", b"2.1", b"2.2"]
        assert "1012" in await failure(source)
        await source.close()


@both
async def test_a_full_queue_holds_the_server_up_and_nothing_is_lost(kind: Kind) -> None:
    """The bound is in records and in bytes; beyond it, only the buffers of the sockets fill up."""
    sent = 0

    async def talk(peer: Peer) -> None:
        nonlocal sent
        for n in range(3000):
            await peer.send(f"{n}".ljust(10_000))
            sent += 1
        await idle(peer)

    async with server(kind, talk) as one, opened(one.url, pending={"records": 50, "bytes": "1MB"}) as source:
        await until(lambda: len(source._waiting) == 50)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 3000
        assert (await source.lag())[0].records == 50
        values = await records(source, 3000)
        assert [int(value) for value in values] == list(range(3000))


async def test_a_held_up_connection_outlives_its_heartbeat() -> None:
    """While nothing is read, a pong cannot be heard: that says nothing about the server."""

    async def talk(peer: Peer) -> None:
        for n in range(100):
            await peer.send(f"{n}")
        await idle(peer)

    ping = {"interval": "20ms", "timeout": "20ms"}
    async with server("aiohttp", talk) as one, opened(one.url, pending={"records": 1}, ping=ping) as source:
        await asyncio.sleep(0.3)
        assert [int(value) for value in await records(source, 100)] == list(range(100))
        await asyncio.sleep(0.3)
        assert source._connection
        assert source._connection.failure is None


async def test_a_server_that_does_not_answer_a_ping_is_away() -> None:
    """It took the connection and then said nothing: a network that swallows packets looks like this."""

    async def talk(peer: Peer) -> None:
        await peer.send("x")
        peer._request.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(30)

    async with server("aiohttp", talk) as one:
        async with opened(one.url, ping={"interval": "50ms", "timeout": "100ms"}) as source:
            assert await records(source, 1) == [b"x"]
            assert await failure(source) == f"{one.url}: nothing was heard for 0.1 s after a ping"
        one.peers[0].abort()


async def test_a_large_message_that_comes_slowly_is_no_silence() -> None:
    """A pong cannot overtake it; that bytes come at all is enough."""

    async def talk(peer: Peer) -> None:
        transport = peer._request.transport  # type: ignore[attr-defined]
        transport.write(b"\x82\x7f" + (30_000).to_bytes(8, "big"))
        for _ in range(30):
            transport.write(b"z" * 1000)
            await asyncio.sleep(0.03)
        await idle(peer)

    async with (
        server("aiohttp", talk) as one,
        opened(one.url, ping={"interval": "50ms", "timeout": "200ms"}) as source,
    ):
        assert await records(source, 1) == [b"z" * 30_000]


@both
async def test_pings_of_the_server_are_answered(kind: Kind) -> None:
    options: dict[str, Any] = (
        {"ping_interval": 0.05, "ping_timeout": 0.2} if kind == "websockets" else {"heartbeat": 0.1}
    )

    async def talk(peer: Peer) -> None:
        await asyncio.sleep(0.6)
        await peer.send("still there")
        await idle(peer)

    async with server(kind, talk, **options) as one, opened(one.url, ping=None) as source:
        assert await records(source, 1) == [b"still there"]


async def test_lag_is_what_waits_and_how_long() -> None:
    async with server("aiohttp", sending("abc", "de")) as one, opened(one.url) as source:
        await until(lambda: len(source._waiting) == 2)
        (lag,) = await source.lag()
        assert (lag.partition, lag.records, lag.bytes) == (one.url, 2, 5)
        batch = await source.read()
        (lag,) = await source.lag()
        assert (lag.records, lag.bytes) == (2, 5)
        assert lag.seconds is not None
        assert lag.seconds > 0
        await source.ack(batch.token)
        (lag,) = await source.lag()
        assert (lag.records, lag.bytes, lag.seconds) == (0, 0, 0.0)


async def test_a_cancelled_read_has_taken_nothing() -> None:
    async def talk(peer: Peer) -> None:
        await peer.receive()
        await peer.send("x")
        await idle(peer)

    async with server("aiohttp", talk) as one, opened(one.url) as source:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await source.read()
        assert source._connection
        await source._connection.send([(b"go", 1)])
        assert await records(source, 1) == [b"x"]


@both
async def test_a_finished_source_takes_in_what_is_on_its_way_and_ends(kind: Kind) -> None:
    """The server is told with 1001, and whatever it has sent before it closes in turn is read."""
    closed = asyncio.Event()
    codes: list[object] = []

    async def talk(peer: Peer) -> None:
        for n in range(5000):
            await peer.send(f"{n}")
        try:
            await peer.receive()
        except EOFError as error:
            codes.extend(error.args)
            closed.set()

    async with server(kind, talk) as one, opened(one.url) as source:
        first = (await source.read()).values
        finishing = asyncio.create_task(source.finish())
        rest: list[bytes] = []
        with pytest.raises(EndOfStream):
            while True:
                rest += (await source.read()).values
        await finishing
        await closed.wait()
    values = [int(value) for value in [*first, *rest]]
    assert values == list(range(len(values)))
    assert codes == [1001]
    if kind == "aiohttp":  # which answers a close when its turn has come, behind all that was sent
        assert len(values) == 5000


async def test_finishing_does_not_wait_for_a_server_that_never_closes() -> None:
    async def talk(peer: Peer) -> None:
        await peer.send("x")
        peer._request.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(30)

    async with server("aiohttp", talk) as one:
        async with opened(one.url) as source:
            assert await records(source, 1) == [b"x"]
            await source.finish()
            with pytest.raises(EndOfStream):
                await source.read()
        one.peers[0].abort()


async def test_a_source_closes_twice_and_without_having_been_opened() -> None:
    source = source_of("ws://127.0.0.1:1")
    await source.close()
    with pytest.raises(NotConnected):
        await source.open()
    await source.close()
    await source.close()


# Away


async def refused(url: str, folder: Path | None = None, **config: Any) -> str:
    """Why a source cannot be opened."""
    source = source_of(url, folder, **config)
    async with asyncio.timeout(20):
        with pytest.raises(NotConnected) as error:
            await source.open()
        await source.close()
    return str(error.value)


@asynccontextmanager
async def answering(*lines: str) -> AsyncIterator[str]:
    """A server that answers every request with these lines; without any, never."""

    answered: list[asyncio.Task[None]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        answered.append(task)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write("".join(f"{line}\r\n" for line in (*lines, "")).encode() if lines else b"")
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        yield f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/feed?token=s3cret"
        await asyncio.gather(*answered)


async def test_a_server_that_is_not_there_is_away() -> None:
    url = f"ws://127.0.0.1:{claim_port()}/feed"
    assert (await refused(f"{url}?token=s3cret")).startswith(f"{url} cannot be reached: ")


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["HTTP/1.1 403 Forbidden", "Content-Length: 0"], "refused the connection: 403 Forbidden"),
        (["HTTP/1.1 200 OK", "Content-Length: 0"], "refused the connection: 200 OK"),
        (["HTTP/1.1 999 What", "Content-Length: 0"], "refused the connection: 999"),
        (
            ["HTTP/1.1 301 Moved", "Location: ws://elsewhere.example/?token=s3cret", "Content-Length: 0"],
            "redirects to ws://elsewhere.example/, which is not followed (url)",
        ),
        (["HTTP/1.1 101 Hm", "Upgrade: websocket", "Connection: Upgrade"], "refused the connection: 101"),
        (["SMTP ready"], "does not speak HTTP"),
        ([], "connecting took longer than 0.3 s"),
    ],
)
async def test_a_server_that_is_none_is_away_and_no_secret_is_told(lines: Sequence[str], why: str) -> None:
    async with answering(*lines) as url:
        told = await refused(url, connect_timeout="300ms")
        assert why in told
        assert "s3cret" not in told


# TLS


def server_tls(certificates: Certificates, *, mutual: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.folder / "server.pem", certificates.folder / "server.key")
    if mutual:
        context.load_verify_locations(certificates.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@both
async def test_wss_proves_the_server(kind: Kind, certificates: Certificates) -> None:
    async with server(kind, sending("safe"), tls=server_tls(certificates)) as one:
        async with opened(one.url, certificates.folder, tls={"ca": "ca.pem"}) as source:
            assert await records(source, 1) == [b"safe"]
        async with opened(one.url, tls={"verify": False}) as source:
            assert await records(source, 1) == [b"safe"]
        assert "certificate" in await refused(one.url, certificates.folder, tls={"ca": "other-ca.pem"})
        assert "certificate" in await refused(one.url)
        named = {"ca": "ca.pem", "server_name": "elsewhere.example"}
        assert "elsewhere.example" in await refused(one.url, certificates.folder, tls=named)
        assert "none.pem cannot be used" in await refused(one.url, certificates.folder, tls={"ca": "none.pem"})


@both
async def test_mutual_tls_proves_us(kind: Kind, certificates: Certificates) -> None:
    own = {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}
    async with server(kind, sending("safe"), tls=server_tls(certificates, mutual=True)) as one:
        async with opened(one.url, certificates.folder, tls=own) as source:
            assert await records(source, 1) == [b"safe"]
        assert "cannot be reached" in await refused(one.url, certificates.folder, tls={"ca": "ca.pem"})


async def test_a_server_that_speaks_no_tls_is_away(certificates: Certificates) -> None:
    async with server("aiohttp", idle) as one:
        assert "cannot be reached" in await refused(one.url.replace("ws:", "wss:"))
