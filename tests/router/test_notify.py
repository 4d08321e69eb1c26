"""What the service manager is told: by a real process, over a real datagram socket."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from router.notify import ServiceManager, headline
from tests.commands import Command

CONFIG = """\
state_dir: state
http: {listen: 127.0.0.1:0}
drain_timeout: 2s
sources: {orders: {type: file, path: orders.ndjson, follow: FOLLOW}}
sinks: {out: SINK}
flows: [flow.yaml]
"""
RULES = "from: [orders]\nrules: [{to: out}]\n"
PATIENCE = 20.0


class Manager:
    """A service manager: what it is told, datagram by datagram."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)

    def told(self, seconds: float) -> str:
        """The next datagram; TimeoutError when none comes."""
        self._socket.settimeout(seconds)
        return self._socket.recv(65536).decode()

    def waiting(self) -> list[str]:
        """All that have come."""
        found = []
        self._socket.setblocking(False)
        while True:
            try:
                found.append(self._socket.recv(65536).decode())
            except BlockingIOError:
                return found

    def until(self, wanted: str) -> list[str]:
        """Every datagram up to the first with this in it; TimeoutError when it does not come."""
        found: list[str] = []
        end = time.monotonic() + PATIENCE
        while not found or wanted not in found[-1]:
            found.append(self.told(max(0.001, end - time.monotonic())))
        return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = f"@sluiceway-{uuid4().hex}" if request.param == "abstract" else str(tmp_path / "notify")
    found = Manager(address)
    yield found
    found.close()


@contextmanager
def daemon(
    folder: Path,
    environment: dict[str, str],
    sink: str = "{type: file, path: out.ndjson}",
    follow: str = "true",
    watch: bool = True,
) -> Iterator[Command]:
    (folder / "orders.ndjson").write_text('{"id": 1}\n')
    (folder / "sluiceway.yaml").write_text(CONFIG.replace("SINK", sink).replace("FOLLOW", follow))
    (folder / "flow.yaml").write_text(RULES)
    with (
        (folder / "log").open("wb") as log,
        Command(
            "run",
            *([] if watch else ["--no-watch"]),
            cwd=folder,
            environment=environment,
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def test_a_daemon_says_that_it_runs_that_it_lives_and_that_it_stops(tmp_path: Path, manager: Manager) -> None:
    with daemon(tmp_path, {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "200000"}) as process:
        before = manager.until("READY=1")
        assert not any("STOPPING" in told for told in before)
        assert manager.until("STATUS=running")[-1] == "STATUS=running; 1 of 1 sources, 1 of 1 sinks connected"
        for _ in range(3):
            manager.until("WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        manager.until("STOPPING=1")
        assert process.wait(PATIENCE) == 0
        assert not any("READY" in told or "STOPPING" in told for told in manager.waiting())


@pytest.mark.parametrize("rules", [RULES + "# changed\n", "from: nowhere\n"], ids=["taken", "refused"])
def test_a_reload_is_told_and_ends_ready_whether_it_was_taken_or_not(rules: str, tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    with daemon(tmp_path, {"NOTIFY_SOCKET": manager.address}, watch=False) as process:
        manager.until("READY=1")
        (tmp_path / "flow.yaml").write_text(rules)
        process.send_signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in manager.until("RELOADING=1")[-1]
        manager.until("READY=1")
        assert process.poll() is None
    assert ("is refused (SIGHUP)" in (tmp_path / "log").read_text()) == ("nowhere" in rules)
    manager.close()


def test_a_start_and_a_long_drain_ask_for_more_time(tmp_path: Path, manager: Manager) -> None:
    """The HTTP sink gets no answer to the one record, so that the drain takes as long as it may."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE)
        sink = f"{{type: http, url: 'http://127.0.0.1:{silent.getsockname()[1]}/'}}"
        with daemon(tmp_path, {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "200000"}, sink) as process:
            assert any("EXTEND_TIMEOUT_USEC=" in told for told in manager.until("READY=1"))
            with until_the_record_is_there(silent):
                manager.waiting()
                process.send_signal(signal.SIGTERM)
                manager.until("STOPPING=1")
                for _ in range(3):
                    assert "WATCHDOG=1" in manager.until("EXTEND_TIMEOUT_USEC=")[-1]
                assert process.wait(PATIENCE) == 1


def until_the_record_is_there(server: socket.socket) -> socket.socket:
    """The connection on which it came: one that only tries whether somebody is there brings nothing."""
    while True:
        connection = server.accept()[0]
        connection.settimeout(PATIENCE)
        if connection.recv(65536):
            return connection
        connection.close()


def test_a_daemon_that_ends_by_itself_says_so(tmp_path: Path, manager: Manager) -> None:
    with daemon(tmp_path, {"NOTIFY_SOCKET": manager.address}, follow="false") as process:
        manager.until("STOPPING=1")
        assert process.wait(PATIENCE) == 0


def test_a_daemon_whose_manager_is_gone_runs_all_the_same(tmp_path: Path) -> None:
    with daemon(tmp_path, {"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "200000"}) as process:
        end = time.monotonic() + PATIENCE
        while not (tmp_path / "out.ndjson").exists() and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert "cannot be told" in (tmp_path / "log").read_text()


async def test_as_long_as_the_loop_hangs_there_is_no_sign_of_life(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    telling = ServiceManager(manager.address, watchdog=0.02)
    task = asyncio.create_task(telling.keep_informed(lambda: "", lambda: "running"))
    while not any("WATCHDOG=1" in told for told in manager.waiting()):
        await asyncio.sleep(0.01)
    manager.waiting()
    time.sleep(0.2)
    assert manager.waiting() == []
    await asyncio.sleep(0.05)
    assert "WATCHDOG=1" in manager.waiting()
    task.cancel()
    telling.close()
    manager.close()


async def test_without_a_manager_nothing_is_told_and_nothing_runs() -> None:
    manager = ServiceManager.of({})
    manager.ready()
    async with asyncio.timeout(PATIENCE):
        await manager.keep_informed(lambda: "", lambda: "running")


def test_a_reload_is_told_with_its_time_and_ends_with_ready(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    telling = ServiceManager.of({"NOTIFY_SOCKET": manager.address})
    before = time.monotonic_ns() // 1000
    telling.reloading()
    telling.ready()
    first, second = manager.waiting()
    name, stamp = first.split("\n")
    assert (name, second) == ("RELOADING=1", "READY=1")
    assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    telling.close()
    manager.close()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, 5.0),
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "60000000"}, 5.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, 5.0),
        ({"WATCHDOG_USEC": "soon"}, 5.0),
    ],
)
def test_signs_of_life_come_twice_as_often_as_the_watchdog_of_this_process_wants(
    environment: dict[str, str], seconds: float
) -> None:
    assert ServiceManager.of(environment).seconds == seconds


def test_a_full_socket_is_not_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manager = Manager(str(tmp_path / "notify"))
    telling = ServiceManager(manager.address)
    for number in range(1000):
        telling.status(str(number))
    assert "cannot be told" in caplog.text
    telling.close()
    manager.close()


def test_a_headline_names_what_is_not_connected_and_counts_what_has_ended_as_well() -> None:
    status = {
        "state": "running",
        "sources": {"old": {"connected": False, "ended": True}, "orders": {"connected": True, "ended": False}},
        "sinks": {"vip": {"connected": False}, "archive": {"connected": True}},
    }
    assert headline(status) == "running; 2 of 2 sources, 1 of 2 sinks connected: vip is not"
