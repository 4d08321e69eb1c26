"""From a daemon whose sink is killed to whoever is on call: the rules as they are deployed, in a real Prometheus and a
real Alertmanager, with every time in them divided by HASTE."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from daemon_process import Daemon
from http_servers import HttpServer, serving

from tests.servers.fixtures import StartMosquitto
from tests.servers.process import Unavailable
from tests.servers.prometheus import Alertmanager, Prometheus

SECONDS = 60.0
CONFIG = """
http: {{listen: 127.0.0.1:0}}
sources:
  sensors: {{type: generate, rate: 50/s, template: {{n: "{{sequence}}"}}}}
sinks:
  house: {{type: mqtt, broker: "{broker}", client_id: house, topic: sensors, qos: 1}}
flows: [rules.yaml]
"""
RULES = "from: [sensors]\nrules: [{name: all, to: house}]\n"


async def until(true: Callable[[], object], what: str) -> None:
    """Wait until it is true, asked in a thread: the receiver of alerts is served by this loop."""
    async with asyncio.timeout(SECONDS):
        while not await asyncio.to_thread(true):
            await asyncio.sleep(0.1)


@pytest.fixture
def started() -> Iterator[ExitStack]:
    """What a test starts is ended with it."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
async def receiver() -> AsyncIterator[HttpServer]:
    """Both receivers of alertmanager.yml."""
    async with serving() as server:
        yield server


def told(receiver: HttpServer, daemon: str) -> list[tuple[str, Any]]:
    """The alerts about one daemon, in order: the receiver's path, and the alert. Those about all of them together have
    no instance: that there is none, as long as Prometheus has not begun, and that deliveries are late, which after an
    outage they are."""
    return [
        (asked.url, alert)
        for asked in receiver.requests
        for alert in asked.json["alerts"]
        if alert["labels"].get("instance") == daemon
    ]


async def test_who_is_on_call_is_told_that_a_sink_is_killed_and_that_it_is_back(
    tmp_path: Path, receiver: HttpServer, started: ExitStack, start_mosquitto: StartMosquitto
) -> None:
    """Nothing is told before; then that it is down, and no more; then that it is over."""
    broker = start_mosquitto(durable=False)
    config = tmp_path / "sluiceway.yaml"
    config.write_text(CONFIG.format(broker=":".join(map(str, broker.addresses.plain))))
    (tmp_path / "rules.yaml").write_text(RULES)
    daemon = Daemon(config)
    started.callback(lambda: daemon.kill() if daemon.runs else None)
    await asyncio.to_thread(daemon.start)
    address = daemon.url.removeprefix("http://")
    try:
        alertmanager = Alertmanager(tmp_path / "alertmanager", receiver.url.removeprefix("http://"))
        prometheus = Prometheus(tmp_path / "prometheus", [address], alertmanager.address)
    except Unavailable as lacking:
        pytest.skip(str(lacking))
    started.enter_context(alertmanager)
    started.enter_context(prometheus)

    await until(lambda: prometheus.query("sluiceway:sink_records:rate5m > 0"), "it delivers")
    assert told(receiver, address) == []

    broker.kill()
    await until(lambda: told(receiver, address), "it fires")
    path, alert = told(receiver, address)[0]
    assert (path, alert["labels"]["alertname"], alert["status"]) == ("/on-call", "SluicewaySinkDown", "firing")
    assert (alert["labels"]["sink"], alert["labels"]["severity"]) == ("house", "critical")
    assert alert["annotations"]["summary"] == f"Sink house of {address} is not connected"
    assert alert["annotations"]["runbook_url"].endswith("docs/runbooks/SluicewaySinkDown.md")
    assert "SluicewaySinkDown" in prometheus.firing()

    broker.start()
    await until(lambda: told(receiver, address)[-1][1]["status"] == "resolved", "it resolves")
    await until(lambda: "SluicewaySinkDown" not in prometheus.firing(), "nothing is down")
    # It was not down for so long that its source stood still, and what waits in its queue is not told beside it.
    assert {alert["labels"]["alertname"] for _, alert in told(receiver, address)} == {"SluicewaySinkDown"}
    assert prometheus.failing_rules() == []
    assert await asyncio.to_thread(daemon.stop) == 0
