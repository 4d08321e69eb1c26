"""A server as a process of ours: started, killed, frozen, and started again with the same data and ports."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

START_SECONDS = 90.0
"""How long a server may take until it listens; it takes that long only on a machine that does much else."""
STOP_SECONDS = 30.0

# A server is killed when the thread that started it ends, so that none outlives us whatever ends us. The thread of a
# test may end much earlier: this one ends with the process.
_starter = ThreadPoolExecutor(1, thread_name_prefix="starts-servers")


class Unavailable(Exception):
    """This machine lacks what the server needs; the message names it."""


class NotStarted(Exception):
    """The server ended, or did not listen in time; the message holds the end of its log."""


class ServerProcess:
    """A command that listens on ports of 127.0.0.1. Its output is appended to a file."""

    def __init__(self, command: Sequence[str], ports: Sequence[int], log: Path) -> None:
        self.log = log
        self._command = [*_dies_with_us(), *command]
        self._ports = ports
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process, which must have been started."""
        assert self._process is not None, "the server was never started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives, frozen or not."""
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start the process without waiting until it listens."""
        assert not self.running, "the server runs already"
        self._process = _starter.submit(self._spawn).result()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def wait_until_listening(self) -> None:
        """Return once every port is listened on. Raises NotStarted."""
        deadline = time.monotonic() + START_SECONDS
        for port in self._ports:
            while not is_listening(port):
                if not self.running or time.monotonic() > deadline:
                    ended = "does not listen" if self.running else "ended"
                    self.kill()
                    raise NotStarted(f"{self._command} {ended}:\n{self._end_of_log()}")
                time.sleep(0.02)

    def _end_of_log(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])

    def kill(self) -> None:
        """SIGKILL, as a crash or the kernel would; nothing if it has ended."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and wait until it has ended of itself; it is killed if that takes too long."""
        self.thaw()
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: its connections stay, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on where it was."""
        self._signal(signal.SIGCONT)

    def reload(self) -> None:
        """SIGHUP: it reads its files again, if it does so at all."""
        self._signal(signal.SIGHUP)

    def save(self) -> None:
        """SIGUSR1: it writes its state to disk, if that is what this means to it."""
        self._signal(signal.SIGUSR1)

    def blocked_in(self) -> int | None:
        """The number of the system call that it is in, once it is frozen; None outside of any."""
        while self.state not in "TZX":
            time.sleep(0.0005)
        number = Path(f"/proc/{self.pid}/syscall").read_text().split()[0]
        return int(number) if number.isdigit() else None

    @property
    def state(self) -> str:
        """The kernel's letter for it: T when it is frozen."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.running:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        if self._process is not None:
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _dies_with_us() -> list[str]:
    """What to put before a command so that the kernel kills it when we end."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []
