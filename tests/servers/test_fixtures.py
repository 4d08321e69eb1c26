"""What the fixtures of servers rest on: ports that stay one's own, servers that end with us, one for all workers, and
machines that lack something."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import kafka_distribution
from tests.servers.kafka_distribution import NO_JAVA, NO_MAVEN
from tests.servers.mosquitto import NO_MOSQUITTO
from tests.servers.ports import claim_port
from tests.servers.process import NotStarted, ServerProcess, Unavailable, is_listening
from tests.servers.shared import shared

SECONDS = 60.0


def serve(port: int) -> list[str]:
    """A command that listens there."""
    return [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_claimed_port_is_nobody_else_s_whatever_they_are() -> None:
    """Neither this process nor another gets it while this one lives, though nobody listens on it."""
    ports = [claim_port() for _ in range(20)]
    assert len(set(ports)) == len(ports)
    others = [*ports, *range(20_000, 20_020)]
    ask = f"from tests.servers import ports; ports._RANGE = {others!r}; print(ports.claim_port())"
    asked = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, timeout=SECONDS)
    assert int(asked.stdout) not in ports


def test_a_server_is_killed_frozen_and_started_again_on_its_port(tmp_path: Path) -> None:
    port = claim_port()
    server = ServerProcess(serve(port), [port], tmp_path / "log")
    for end in (server.kill, server.stop):
        server.launch()
        server.wait_until_listening()
        server.freeze()
        until(lambda: server.state == "T")
        end()
        assert not server.running
        assert not is_listening(port)


def test_a_server_that_does_not_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    server = ServerProcess([sys.executable, "-c", "raise SystemExit('no such disk')"], [claim_port()], tmp_path / "log")
    server.launch()
    with pytest.raises(NotStarted, match="no such disk"):
        server.wait_until_listening()


def test_a_server_ends_with_whoever_started_it_even_by_a_kill(tmp_path: Path) -> None:
    port = claim_port()
    start = f"""
import threading, time
from pathlib import Path
from tests.servers.process import ServerProcess
server = ServerProcess({serve(port)!r}, [{port}], Path({str(tmp_path / "log")!r}))
thread = threading.Thread(target=server.launch)  # that this thread ends must not end the server
thread.start()
thread.join()
server.wait_until_listening()
print("listening", flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "listening\n"
        assert is_listening(port)
        starter.send_signal(signal.SIGKILL)
    until(lambda: not is_listening(port))


class Started:
    """Counts how often the thing that is shared was started and ended."""

    def __init__(self) -> None:
        self.starts = self.ends = 0

    @contextmanager
    def __call__(self) -> Iterator[dict[str, int]]:
        self.starts += 1
        yield {"number": self.starts}
        self.ends += 1


def test_what_is_shared_is_started_once_and_ends_after_the_last(tmp_path: Path) -> None:
    """The first waits for the others; who comes after the end gets a new one."""
    started = Started()
    first_leaves, first_has_left = threading.Event(), threading.Event()

    def first() -> None:
        with shared(tmp_path, started, lambda _: True) as told:
            assert told == {"number": 1}
            first_leaves.wait(SECONDS)
        first_has_left.set()

    thread = threading.Thread(target=first)
    thread.start()
    until(lambda: started.starts == 1)
    with shared(tmp_path, started, lambda _: True) as told:
        assert told == {"number": 1}
        first_leaves.set()
        assert not first_has_left.wait(0.3)
        assert (started.starts, started.ends) == (1, 0)
    thread.join(SECONDS)
    assert first_has_left.is_set()
    assert (started.starts, started.ends) == (1, 1)
    with shared(tmp_path, started, lambda _: True) as told:
        assert told == {"number": 2}


def test_what_died_with_its_first_user_is_started_anew(tmp_path: Path) -> None:
    (tmp_path / "told.json").write_text('{"number": 99}')
    with shared(tmp_path, Started(), lambda told: told["number"] != 99) as told:
        assert told == {"number": 1}


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without servers, without Java and Maven, and without anything fetched before; its only folder of
    programs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return programs


def install(programs: Path, name: str, script: str) -> None:
    """Put a program on the machine."""
    program = programs / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_what_kafka_lacks_is_named(bare_machine: Path) -> None:
    with pytest.raises(Unavailable, match=NO_JAVA):
        kafka_distribution.fetch()
    install(bare_machine, "java", """echo 'openjdk version "11.0.2" 2019-01-15' >&2""")
    with pytest.raises(Unavailable, match=r"Java 17.*11\.0\.2"):
        kafka_distribution.fetch()
    install(bare_machine, "java", """echo 'openjdk version "21.0.2" 2024-01-16' >&2""")
    with pytest.raises(Unavailable, match=NO_MAVEN):
        kafka_distribution.fetch()
    install(bare_machine, "mvn", "echo '[ERROR] Could not transfer artifact'; exit 1")
    with pytest.raises(Unavailable, match="Could not transfer artifact"):
        kafka_distribution.fetch()


@pytest.mark.parametrize("ci", [True, False])
def test_without_the_servers_tests_are_skipped_with_the_reason_and_fail_in_ci(bare_machine: Path, ci: bool) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_XDIST_WORKER")}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | ({"CI": "true"} if ci else {})
    files = [f"tests/servers/test_{server}.py" for server in ("kafka", "mosquitto")]
    command = [sys.executable, "-m", "pytest", "-p", "pytest_asyncio.plugin", *files, "-rs", "-k", "each_listener"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert NO_JAVA in done.stdout
    assert NO_MOSQUITTO in done.stdout
    assert done.returncode == (1 if ci else 0), done.stdout
    assert ("8 errors" if ci else "8 skipped") in done.stdout
