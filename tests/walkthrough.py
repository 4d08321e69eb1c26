"""Somebody who follows the documentation: types its commands in a fresh clone and sees whether they work."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from tests.servers.ports import claim_port

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(sys.executable).parent
SECONDS = 60
"""The longest that any command may take."""

CURL = f"""#!{sys.executable}
import sys, urllib.request
_, _, body, url = sys.argv
print(urllib.request.urlopen(url, body.encode()).read().decode())
"""
"""Does what curl does with ``-d BODY URL``, for machines that have none."""


class Reader:
    """Somebody with a clone, its virtual environment, a new home, and two terminals.

    What the documentation has on the ports 9600 and 9601 is on free ones here. Leaving the context interrupts the
    router that was left running, and asserts that it ended well.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []
        self.ports = {port: str(claim_port()) for port in ("9600", "9601")}
        for name in ("scripts", "deploy"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("out", "state"))
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy2(ROOT / name, folder / name)
        self._move_ports()
        (folder / ".venv").symlink_to(sys.prefix)
        write(folder / "programs" / "curl", CURL)
        (folder / "programs" / "curl").chmod(0o755)
        found = f"{PROGRAMS}:{os.environ['PATH']}:{folder / 'programs'}"
        self.environment = {"HOME": str(folder / "home"), "PATH": found, "LANG": "C.UTF-8"}

    def elsewhere(self, text: str) -> str:
        """The same on ports that nobody else uses."""
        for port, free in self.ports.items():
            text = text.replace(f":{port}", f":{free}")
        return text

    def run(self, line: str) -> str:
        """The output of a command, which must succeed. ``make run`` is left running once it is ready, as its last."""
        if line == "make run":
            return self._start([*shlex.split(line), "--old-file=.venv/.stamp"])
        if line == "sluiceway run":
            self.stop()  # Ctrl-C, as the text says: both listen on the same port
        done = subprocess.run(
            ["bash", "-c", self.elsewhere(line)], cwd=self.folder, env=self.environment, capture_output=True,
            text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}\n{self.log}"
        self._move_ports()
        return done.stdout

    def _move_ports(self) -> None:
        for path in self.folder.rglob("*.yaml"):
            text = path.read_text()
            if (moved := self.elsewhere(text)) != text:
                path.write_text(moved)

    @property
    def log(self) -> str:
        """What was left running has said so far."""
        path = self.folder / "run.log"
        return path.read_text() if path.exists() else ""

    def _start(self, command: list[str]) -> str:
        with (self.folder / "run.log").open("wb") as log:
            router = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self.running.append(router)
        deadline = time.monotonic() + SECONDS
        for port, page in ((self.ports["9600"], "/readyz"), (self.ports["9601"], "/")):
            while not _answers(f"http://127.0.0.1:{port}{page}"):
                assert router.poll() is None, self.log
                assert time.monotonic() < deadline, self.log
                time.sleep(0.05)
        return self.log

    def stop(self) -> None:
        """Interrupt the router that was left running, below its ``make``, which says how it ended."""
        while self.running:
            make = self.running.pop()
            for router in Path(f"/proc/{make.pid}/task/{make.pid}/children").read_text().split():
                os.kill(int(router), signal.SIGINT)
            try:
                assert make.wait(timeout=SECONDS) == 0, self.log
            except subprocess.TimeoutExpired:
                os.killpg(make.pid, signal.SIGKILL)
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def write(path: Path, text: str) -> None:
    """Write a file, and the folders that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _answers(url: str) -> bool:
    """Whether somebody answers there, and is ready."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code != 503
    except OSError:
        return False
