"""``deploy/dev/servers``: what it prints is where its servers are, and they go when it goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from ruamel.yaml import YAML

from tests.servers.kafka_clients import consume, produce
from tests.servers.mosquitto import NO_MOSQUITTO
from tests.servers.process import is_listening

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "dev" / "servers"
SECONDS = 120.0


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The script, interrupted as by Ctrl-C when the test has done with it."""
    command = [sys.executable, str(SCRIPT), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as script:
        try:
            yield script
        finally:
            script.send_signal(signal.SIGINT)
            assert script.wait(SECONDS) == 0


def connections(script: subprocess.Popen[str]) -> dict[str, Any]:
    """What it prints by the time that it says how to end it."""
    assert script.stdout is not None
    assert script.stderr is not None
    said = []
    while (line := script.stderr.readline()) and "Ctrl-C" not in line:
        said.append(line)
    assert line, "".join(said)
    os.set_blocking(script.stdout.fileno(), False)
    return dict(YAML(typ="safe").load(script.stdout.read())["connections"])


async def test_whoever_starts_servers_can_use_them_until_they_interrupt(kafka_or_skip: None, mosquitto: object) -> None:
    with running() as script:
        at = connections(script)
        brokers = at["kafka"]["brokers"]
        await produce("made-by-use", b"one", bootstrap_servers=brokers)
        assert await consume("made-by-use", 1, bootstrap_servers=brokers) == [b"one"]
        host, _, port = at["mqtt"]["broker"].partition(":")
        async with aiomqtt.Client(host, int(port)) as us:
            await us.publish("a", b"one", qos=1)
        addresses = [each.get("brokers") or each["broker"] for each in at.values()]
        ports = [int(address.rpartition(":")[2]) for address in addresses]
        assert len(set(ports)) == 8
        assert all(map(is_listening, ports))
    assert not any(map(is_listening, ports))


def test_what_cannot_be_started_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    command = [sys.executable, str(SCRIPT), "mosquitto", "kafka"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 1
    assert NO_MOSQUITTO in done.stderr
    assert "Apache Kafka needs Java" in done.stderr
    assert done.stdout == ""


def test_servers_that_it_does_not_have_are_refused() -> None:
    command = [sys.executable, str(SCRIPT), "redis"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 2
    assert "there is no server 'redis'; there are kafka, mosquitto" in done.stderr
