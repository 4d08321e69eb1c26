"""A daemon as a process of its own, with its pages on a port that nobody else has, and the command beside it."""

from __future__ import annotations

import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.commands import SLUICEWAY, Command, sluiceway

__all__ = ["SLUICEWAY", "daemon_process", "sluiceway"]


@contextmanager
def daemon_process(folder: Path, port: int) -> Iterator[Command]:
    """``sluiceway run`` in this folder, ready; its pages are on this port, over http or https. It has to end well."""
    with (folder / "run.log").open("wb") as log:
        running = Command("run", cwd=folder, stdout=log, stderr=log)
        try:
            wait_until_ready(running, port, folder / "run.log")
            yield running
            running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=30) in (0, 1), (folder / "run.log").read_text()
        finally:
            running.kill()
            running.wait()


def wait_until_ready(running: Command, port: int, log: Path) -> None:
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
