"""Sources ``http`` that share a listener, and TLS."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from http_clients import Client, client, connect, source_of

from connectors.http import HttpSource
from router import NotConnected
from tests.certificates import Certificates


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


@asynccontextmanager
async def clients(*configs: dict[str, Any], tls: ssl.SSLContext | None = None) -> AsyncIterator[list[Client]]:
    """Clients of several open sources on one address."""
    address = free_address()
    sources = [source_of(listen=address, **config) for config in configs]
    for source in sources:
        await source.open()
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            yield [Client(session, source, tasks) for source in sources]
    finally:
        for source in sources:
            await source.close()


async def test_sources_with_one_address_share_it_by_path() -> None:
    """Each gets what is posted to its path, with its own token and limits."""
    async with clients({"path": "/a"}, {"path": "/b", "token": "t"}, {"path": "/ä b", "max_body": 5}) as (a, b, c):
        assert await a.accepted(b"for a") == [b"for a"]
        assert (await b.post(b"for b"))[0] == 401
        assert await b.accepted(b"for b", {"Authorization": "Bearer t"}) == [b"for b"]
        assert (await c.post(b"for c, too large"))[0] == 413
        assert await c.accepted(b"for c") == [b"for c"]
        assert (await a.post(b"x", url=a.source.url + "/c"))[0] == 404
        assert [batch.attributes["path"][0] for batch in await both(a, b)] == ["/a", "/b"]


async def both(a: Client, b: Client) -> list[Any]:
    posting = [a.posting(b"1"), b.posting(b"2", {"Authorization": "Bearer t"})]
    batches = [await one.source.read() for one in (a, b)]
    for one, batch in zip((a, b), batches, strict=True):
        await one.source.ack(batch.token)
    assert [status for status, _ in await asyncio.gather(*posting)] == [200, 200]
    return batches


async def test_one_that_closes_leaves_the_others_untouched() -> None:
    """Its own requests are answered 503, before and after; connections stay, what the others have taken in, too."""
    async with clients({"path": "/a"}, {"path": "/b"}) as (a, b):
        of_a, of_b = a.posting(b"a"), b.posting(b"b")
        await a.arrived(1)
        await b.arrived(1)
        url = a.source.url
        await a.source.close()
        assert (await of_a)[0] == 503
        assert not of_b.done()
        assert (await a.post(b"late", url=url))[0] == 503
        batch = await b.source.read()
        await b.source.ack(batch.token)
        assert (await of_b)[0] == 200
        await a.source.open()
        assert await a.accepted(b"again") == [b"again"]
        await b.source.close()
        await a.source.close()
        with pytest.raises(aiohttp.ClientConnectionError):
            await a.post(b"gone")
        await a.source.open()
        assert (await a.post(b"x", url=a.source.url.replace("/a", "/b")))[0] == 404
        assert await a.accepted(b"anew") == [b"anew"]


async def test_they_may_open_and_close_at_once() -> None:
    """Whatever the order, whoever is open is served and nobody else."""
    address = free_address()
    sources = [source_of(listen=address, path=f"/{n}") for n in range(5)]
    for _ in range(5):
        await asyncio.gather(*(source.open() for source in sources))
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            for source in sources:
                assert await Client(session, source, tasks).accepted(b"x") == [b"x"]
            await asyncio.gather(*(source.close() for source in sources[1:]))
            assert await Client(session, sources[0], tasks).accepted(b"y") == [b"y"]
        await asyncio.gather(sources[0].close(), sources[1].open())
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            assert await Client(session, sources[1], tasks).accepted(b"z") == [b"z"]
        await sources[1].close()


async def test_a_path_or_terms_that_do_not_fit_count_as_away(certificates: Certificates) -> None:
    """Should the configuration not have told: the message says what is wrong, and the others go on."""
    async with clients({"path": "/a"}) as (a,):
        listen = a.source.url.split("/")[2]
        tls = {"cert": str(certificates.folder / "server.pem"), "key": str(certificates.folder / "server.key")}
        for config, what in (
            ({"path": "/a"}, "has the path /a"),
            ({"path": "/b", "connections": 5}, "other settings of tls or connections"),
            ({"path": "/b", "tls": tls}, "other settings of tls or connections"),
        ):
            other = source_of(listen=listen, **config)
            with pytest.raises(NotConnected, match=what):
                await other.open()
            await other.close()
        assert await a.accepted(b"x") == [b"x"]


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"path": "/b"}, ""),
        ({"path": "/b", "token": "t", "max_body": 5, "timeout": "1s"}, ""),
        ({"path": "/a", "listen": "127.0.0.1:9602"}, ""),
        ({"path": "/a"}, "both have the path /a on 127.0.0.1:9601"),
        ({"path": "/b", "connections": 5}, "tls and connections should be the same"),
        ({"path": "/b", "tls": {"cert": "x.pem"}}, "tls and connections should be the same"),
    ],
)
def test_what_goes_together_on_one_address(other: dict[str, Any], what: str) -> None:
    """The configuration is checked for it, before anything runs."""
    one = HttpSource.Config.model_validate({"path": "/a"})
    two = HttpSource.Config.model_validate(other)
    assert what in two.conflict(one)
    assert bool(two.conflict(one)) == bool(one.conflict(two)) == bool(what)


def test_on_any_free_port_nobody_is_in_the_way() -> None:
    """Each gets a port of its own."""
    one = HttpSource.Config.model_validate({"listen": "127.0.0.1:0"})
    assert one.conflict(one) == ""


def server_tls(certificates: Certificates, **more: str) -> dict[str, str]:
    return {"cert": "server.pem", "key": "server.key", **more}


async def test_it_speaks_tls(certificates: Certificates) -> None:
    """With a certificate that is relative to the daemon's file; the URL says so."""
    trusting = ssl.create_default_context(cafile=certificates.ca)
    async with client(folder=certificates.folder, tls=trusting, server_tls=server_tls(certificates)) as one:
        assert one.source.url.startswith("https://127.0.0.1:")
        assert await one.accepted(b"x" * 100_000) == [b"x" * 100_000]


async def test_it_asks_clients_for_a_certificate(certificates: Certificates) -> None:
    """Mutual TLS: who has one that the authority vouches for is let in, and nobody else."""
    trusting = ssl.create_default_context(cafile=certificates.ca)
    showing = ssl.create_default_context(cafile=certificates.ca)
    showing.load_cert_chain(certificates.folder / "client.pem", certificates.folder / "client.key")
    tls = server_tls(certificates, client_ca="ca.pem")
    async with client(folder=certificates.folder, tls=showing, server_tls=tls) as one:
        assert await one.accepted(b"x") == [b"x"]
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as session:
            with pytest.raises(aiohttp.ClientError):
                await session.post(one.source.url, data=b"x")


async def test_who_speaks_no_tls_is_no_harm(certificates: Certificates, caplog: pytest.LogCaptureFixture) -> None:
    """Plain HTTP, garbage and silence end the connection, fill no log, and disturb nobody."""
    trusting = ssl.create_default_context(cafile=certificates.ca)
    async with client(folder=certificates.folder, tls=trusting, server_tls=server_tls(certificates)) as one:
        for garbage in (b"POST /events HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\xff" * 100, b""):
            reader, writer = await connect(one.source)
            writer.write(garbage)
            writer.write_eof()
            await reader.read()
            writer.close()
        assert await one.accepted(b"x") == [b"x"]
    assert [line for line in caplog.records if line.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("tls", [{"cert": "nowhere.pem"}, {"cert": "ca.pem", "key": "server.key"}])
async def test_certificates_that_do_not_fit_count_as_away(certificates: Certificates, tls: dict[str, str]) -> None:
    """They may be mended while the daemon runs: each open reads them anew."""
    source = source_of(folder=certificates.folder, tls=tls)
    with pytest.raises(NotConnected, match="tls: "):
        await source.open()
    await source.close()


def test_two_sources_in_a_daemons_file(tmp_path: Path) -> None:
    """A path that is taken is a fault of the configuration, with its place."""
    from router.config import load
    from rules.faults import Refused

    (tmp_path / "sluiceway.yaml").write_text(
        "sources:\n"
        "  one: {type: http, path: /a}\n"
        "  two: {type: http, path: /b}\n"
        "  three: {type: http, path: /a}\n"
        "sinks: {x: {type: memory}}\n"
        "flows: [flow.yaml]\n"
    )
    (tmp_path / "flow.yaml").write_text("from: [one, two, three]\nrules: [{to: x}]\n")
    with pytest.raises(Refused) as refused:
        load([tmp_path / "sluiceway.yaml"], {})
    assert [str(fault).removeprefix(f"{tmp_path}/") for fault in refused.value.faults] == [
        "sluiceway.yaml:4:3: `three` cannot run beside `one`: both have the path /a on 127.0.0.1:9601"
    ]
