"""MQTT in the real daemon, as a process that is killed: from one topic through rules to others and to a file."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mqtt_peers import Collector, client, payloads, publish

from router.testing import until
from tests.commands import Command
from tests.servers.fixtures import StartMosquitto
from tests.servers.mosquitto import Mosquitto

CONNECTED = "source in: connected"
RULES = """
from: [in]
rules:
  - {name: noise, when: event.n < 0, to: drop}
  - name: rest
    to:
      - archive
      - sink: out
        topic: "out/${meta.topic}"
        headers: {n: "${string(event.n)}"}
"""


class Router:
    """A daemon in a folder, between the topics in/# and out/#."""

    def __init__(self, folder: Path, broker: Mosquitto, **source: Any) -> None:
        self.folder = folder
        address = "{}:{}".format(*broker.addresses.plain)
        given = {"type": "mqtt", "broker": address, "client_id": "router", "topics": ["in/#"]} | source
        (folder / "rules.yaml").write_text(RULES)
        (folder / "sluiceway.yaml").write_text(
            "http: null\n"
            f"sources: {{in: {json.dumps(given)}}}\n"
            "sinks:\n"
            f"  out: {{type: mqtt, broker: '{address}', topic: out/none, allow: {{topic: ['out/in/*']}}}}\n"
            "  archive: {type: file, path: archive.ndjson}\n"
            "flows: [rules.yaml]\n"
        )
        self.process: Command | None = None

    async def start(self) -> None:
        """Start it, and wait until it reads."""
        before = self.log.count(CONNECTED)
        with (self.folder / "log").open("ab") as log:
            self.process = Command("run", cwd=self.folder, stdout=log, stderr=log)
        await until(lambda: self.log.count(CONNECTED) > before, 60)

    async def end(self, number: signal.Signals) -> int:
        """Send a signal, and wait for the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait)

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    @property
    def archived(self) -> list[int]:
        """The numbers on disk."""
        path = self.folder / "archive.ndjson"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line)["n"] for line in lines if line.endswith("}")]


@asynccontextmanager
async def running(router: Router) -> AsyncIterator[Router]:
    try:
        await router.start()
        yield router
    finally:
        await router.end(signal.SIGKILL)


@pytest.fixture
def broker(start_mosquitto: StartMosquitto) -> Mosquitto:
    return start_mosquitto(durable=False)


async def test_a_daemon_that_is_killed_again_and_again_loses_nothing(broker: Mosquitto, tmp_path: Path) -> None:
    """Of QoS 1, under load; what comes twice is what was under way."""
    collector = Collector(broker.addresses.plain)
    await collector.subscribe()
    router = Router(tmp_path, broker)
    total = 1500

    async def feed() -> None:
        async with client(broker.addresses.plain) as publisher:
            for number in range(total):
                await publisher.publish(f"in/{number % 3}", json.dumps({"n": number}), qos=1)

    async with running(router):
        feeding = asyncio.create_task(feed())
        for share in (1, 3):
            await until(lambda share=share: len(set(router.archived)) >= total * share // 6, 60)  # type: ignore[misc]
            await router.end(signal.SIGKILL)
            await router.start()
        await feeding
        await until(lambda: len(set(router.archived)) == total, 60)
        await asyncio.sleep(0.5)
        assert await router.end(signal.SIGTERM) == 0, router.log
    out = [seen for seen in await collector.collect() if seen.topic.startswith("out/")]
    assert {json.loads(seen.payload)["n"] for seen in out} == set(range(total))
    for seen in out:
        number = json.loads(seen.payload)["n"]
        assert seen.topic == f"out/in/{number % 3}"
        assert ("n", str(number)) in seen.said["UserProperty"]
    assert len(router.archived) < total + 2 * 2000, "each kill repeats no more than was under way"


@pytest.mark.parametrize("qos", [0, 1])
async def test_at_a_stop_everything_that_came_is_delivered_first(broker: Mosquitto, tmp_path: Path, qos: int) -> None:
    """In the middle of a stream; of QoS 1, what did not come is for the next start."""
    router = Router(tmp_path, broker, qos=qos)
    async with running(router):
        sent = [json.dumps({"n": number}).encode() for number in range(2000)]
        feeding = asyncio.create_task(publish(broker.addresses.plain, "in/a", sent, qos=1))
        await until(lambda: len(router.archived) > 200, 60)
        assert await router.end(signal.SIGTERM) == 0, router.log
        first = router.archived
        assert first == list(range(len(first))), "in order, each once, and none in between is missing"
        await feeding
        if qos:
            await router.start()
            await until(lambda: len(router.archived) >= len(sent), 60)
            assert router.archived == list(range(len(sent)))
    assert "given up" not in router.log


async def test_a_broker_that_is_restarted_is_waited_for(start_mosquitto: StartMosquitto, tmp_path: Path) -> None:
    """It is killed under load, with its sessions on disk: everything that it had acknowledged arrives."""
    broker = start_mosquitto(durable=True)
    collector = Collector(broker.addresses.plain)
    await collector.subscribe()
    router = Router(tmp_path, broker)
    async with running(router):
        for turn in range(3):
            sent = [json.dumps({"n": number}).encode() for number in range(100 * turn, 100 * turn + 100)]
            await publish(broker.addresses.plain, "in/a", sent)
            await asyncio.to_thread(broker.kill)
            await asyncio.to_thread(broker.start)
            await until(lambda turn=turn: set(router.archived) == set(range(100 * turn + 100)), 60)  # type: ignore[misc]
        await asyncio.sleep(1)
        assert await router.end(signal.SIGTERM) == 0, router.log
    out = {json.loads(payload)["n"] for payload in payloads(await collector.collect(), "out/in/a")}
    assert out == set(range(300))
