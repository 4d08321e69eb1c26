"""WebSocket in the real daemon, as a process: a feed goes in, subscribers get what the rules let through."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets
from test_websocket_source import server_tls
from websocket_peers import KINDS, Kind, Peer, server, until

from tests.certificates import Certificates
from tests.commands import Command, sluiceway
from tests.servers.ports import claim_port

RULES = """
from: [feed]
rules:
  - {name: noise, when: event.n < 0, to: drop}
  - {name: rest, to: [live, archive]}
"""


class Router:
    """A daemon that runs in a folder, and somebody who has subscribed to it."""

    def __init__(self, folder: Path, port: int, tls: ssl.SSLContext | None) -> None:
        self.folder = folder
        self.url = f"{'ws' if tls is None else 'wss'}://127.0.0.1:{port}/"
        self.tls = tls
        self.numbers: list[int] = []
        self.code: int | None = None
        self.process: Command

    @property
    def archived(self) -> list[int]:
        """The numbers on disk."""
        path = self.folder / "archive.ndjson"
        return [json.loads(line)["n"] for line in path.read_text().splitlines()] if path.exists() else []

    def start(self) -> None:
        """Start the daemon."""
        self.process = Command("run", cwd=self.folder)

    async def subscribe(self) -> None:
        """Keep what comes, until the daemon says that it goes."""
        while True:
            with contextlib.suppress(OSError):
                async with websockets.connect(self.url, ssl=self.tls) as websocket:
                    with contextlib.suppress(websockets.ConnectionClosed):
                        while True:
                            self.numbers.append(json.loads(await websocket.recv())["n"])
                    self.code = websocket.close_code
                    return
            await asyncio.sleep(0.05)

    async def stop(self) -> str:
        """SIGTERM, and what was logged."""
        self.process.send_signal(signal.SIGTERM)
        with self.process:
            _, errors = await asyncio.to_thread(self.process.communicate)
        assert self.process.returncode == 0, errors
        return errors

    async def letters(self) -> list[dict[str, Any]]:
        listing = await asyncio.to_thread(sluiceway, "dead", "list", "--json", cwd=self.folder)
        return [json.loads(line) for line in listing.stdout.splitlines()]


@asynccontextmanager
async def router(folder: Path, feed: str, live: str = "", tls: ssl.SSLContext | None = None) -> AsyncIterator[Router]:
    """A daemon between ``feed``, the settings of the source, and a server sink with ``live`` among its settings."""
    port = claim_port()
    (folder / "rules.yaml").write_text(RULES)
    (folder / "sluiceway.yaml").write_text(
        "http: null\n"
        f"sources: {{feed: {{type: websocket, {feed}}}}}\n"
        "sinks:\n"
        f"  live: {{type: websocket_server, listen: '127.0.0.1:{port}', without_subscribers: wait, slow: wait{live}}}\n"
        "  archive: {type: file, path: archive.ndjson}\n"
        "flows: [rules.yaml]\n"
    )
    made = Router(folder, port, tls)
    made.start()
    subscribing = asyncio.create_task(made.subscribe(), name="subscriber")
    try:
        async with asyncio.timeout(60):
            yield made
            await subscribing
    finally:
        subscribing.cancel()
        if made.process.returncode is None:
            made.process.kill()
            with made.process:
                await asyncio.to_thread(made.process.communicate)


class Feed:
    """Sends numbers, without end, to whoever is connected."""

    def __init__(self) -> None:
        self.sent = 0

    async def __call__(self, peer: Peer) -> None:
        listening = asyncio.create_task(self.listen(peer))
        with contextlib.suppress(ConnectionError, websockets.ConnectionClosed):
            while not listening.done():
                await peer.send(json.dumps({"n": self.sent}))
                self.sent += 1
                if self.sent % 100 == 0:
                    await asyncio.sleep(0.001)
        await listening

    async def listen(self, peer: Peer) -> None:
        with contextlib.suppress(EOFError):
            while True:
                await peer.receive()


@pytest.mark.parametrize("kind", KINDS)
async def test_at_a_stop_everything_that_came_is_delivered_first(kind: Kind, tmp_path: Path) -> None:
    """In the middle of a stream at full speed: the feed is told, and what it had sent by then is on both sides."""
    feed = Feed()
    async with server(kind, feed) as one, router(tmp_path, f"url: '{one.url}'") as daemon:
        await until(lambda: len(daemon.numbers) > 5000)
        await daemon.stop()
    assert daemon.archived == list(range(len(daemon.archived)))
    assert len(daemon.archived) >= feed.sent - 1, "but for what was being sent when the feed heard of the stop"
    assert daemon.numbers == daemon.archived
    assert daemon.code == 1001


async def test_both_ends_over_mutual_tls(tmp_path: Path, certificates: Certificates) -> None:
    folder = certificates.folder
    own = ssl.create_default_context(cafile=certificates.ca)
    own.load_cert_chain(folder / "client.pem", folder / "client.key")
    theirs = f"tls: {{ca: {folder}/ca.pem, cert: {folder}/client.pem, key: {folder}/client.key}}"
    ours = f", tls: {{cert: {folder}/server.pem, key: {folder}/server.key, client_ca: {folder}/ca.pem}}"
    feed = Feed()
    async with (
        server("websockets", feed, tls=server_tls(certificates, mutual=True)) as one,
        router(tmp_path, f"url: '{one.url}', {theirs}", ours, own) as daemon,
    ):
        await until(lambda: len(daemon.numbers) > 1000)
        await daemon.stop()
    assert daemon.numbers == daemon.archived == list(range(len(daemon.numbers)))


async def test_a_feed_that_is_restarted_loses_nothing_that_it_had_sent(tmp_path: Path) -> None:
    """It closes its connections, as at a deployment, and is away for a while; the last message, which is no JSON, is a
    dead letter all the same."""
    sent = 0

    async def talk(peer: Peer) -> None:
        nonlocal sent
        for _ in range(1000):
            await peer.send(json.dumps({"n": sent}))
            sent += 1
        await peer.send(f"no json {sent}")
        await peer.close(1012, "deployment")

    port = claim_port()
    async with router(tmp_path, f"url: 'ws://127.0.0.1:{port}/feed'") as daemon:
        for restart in range(1, 4):
            async with server("websockets", talk, port=port):
                await until(lambda restart=restart: sent >= 1000 * restart)  # type: ignore[misc]
        await until(lambda: len(daemon.numbers) >= sent)
        log = await daemon.stop()
        letters = await daemon.letters()
    assert daemon.numbers == daemon.archived == list(range(sent))
    assert len(letters) == sent // 1000
    assert {letter["stage"] for letter in letters} == {"decode"}
    assert "1012 (service restart): deployment" in log


async def test_a_feed_that_dies_loses_only_what_was_on_its_way(tmp_path: Path) -> None:
    """In the middle of a stream, three times: what comes is in order and comes once, and it goes on after each."""
    feed = Feed()
    port = claim_port()
    async with router(tmp_path, f"url: 'ws://127.0.0.1:{port}/feed'") as daemon:
        for _ in range(3):
            async with server("aiohttp", feed, port=port) as one:
                before = feed.sent
                await until(lambda: daemon.numbers and daemon.numbers[-1] > before + 2000)  # noqa: B023 - awaited here
                for peer in one.peers:
                    peer.abort()
        await until(lambda: daemon.numbers == daemon.archived)
        await daemon.stop()
    assert daemon.numbers == sorted(set(daemon.numbers))
    assert daemon.numbers == daemon.archived
