"""A daemon as a process of its own, with its pages on a port that nobody else has, and the command beside it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SLUICEWAY = str(Path(sys.executable).with_name("sluiceway"))


def sluiceway(
    *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What the command says, and how it exits."""
    return subprocess.run(
        [SLUICEWAY, *arguments], cwd=cwd, env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@contextmanager
def daemon_process(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """``sluiceway run`` in this folder, ready; its pages are on this port, over http or https. It has to end well."""
    with (folder / "run.log").open("w") as log:
        running = subprocess.Popen([SLUICEWAY, "run"], cwd=folder, stdout=log, stderr=log, text=True)
        try:
            wait_until_ready(running, port, folder / "run.log")
            yield running
            running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=30) in (0, 1), (folder / "run.log").read_text()
        finally:
            running.kill()
            running.wait()


def wait_until_ready(running: subprocess.Popen[str], port: int, log: Path) -> None:
    """Return once it takes records in; over https, or with mutual TLS, once it says that it runs."""
    deadline = time.monotonic() + 60
    while not _is_ready(port) and "Ctrl-C stops it" not in log.read_text():
        assert running.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except (OSError, urllib.error.HTTPError):
        return False


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
