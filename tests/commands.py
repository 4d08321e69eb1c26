"""The command ``sluiceway`` as a process, which starts within a tenth of a second.

It is forked from a process that has imported everything (``tests.fork_server``). What is about the console script
itself, about what it imports, about a terminal, or about a stream that is closed or broken starts ``SLUICEWAY``.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import IO, Self

SLUICEWAY = str(Path(sys.executable).with_name("sluiceway"))
SERVER = Path(__file__).with_name("fork_server.py")
SECONDS = 60.0
"""The longest that a command may take which is waited for."""

_asking = threading.Lock()


class Command:
    """A command that was started: what tests need of ``subprocess.Popen``, with streams of text, and pipes for stdout
    and stderr unless others are given."""

    def __init__(
        self,
        *arguments: str | Path,
        cwd: Path,
        environment: Mapping[str, str] | None = None,
        stdin: IO[bytes] | int = DEVNULL,
        stdout: IO[bytes] | int = PIPE,
        stderr: IO[bytes] | int = PIPE,
    ) -> None:
        self.args = [SLUICEWAY, *map(str, arguments)]
        self.returncode: int | None = None
        variables = {**os.environ, **(environment or {})}
        order = {"command": self.args, "folder": str(cwd), "environment": variables}
        told, tell = os.pipe()
        self._told = os.fdopen(told, "rb", buffering=0)
        theirs = [tell]
        self._stdin = self._stream(stdin, theirs, is_read=True)
        self._stdout = self._stream(stdout, theirs)
        self._stderr = self._stream(stderr, theirs)
        try:
            with _asking:
                socket.send_fds(_server(), [json.dumps(order).encode()], theirs)
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        self.pid = int(self._told.readline())

    @staticmethod
    def _stream(wanted: IO[bytes] | int, theirs: list[int], *, is_read: bool = False) -> IO[str] | None:
        """Our end of a stream, if it has one; the other is among theirs from now on."""
        if wanted != PIPE:
            number = wanted if isinstance(wanted, int) else wanted.fileno()
            theirs.append(os.open(os.devnull, os.O_RDWR) if number == DEVNULL else os.dup(number))
            return None
        read, write = os.pipe()
        theirs.append(read if is_read else write)
        return os.fdopen(write, "w", encoding="utf-8") if is_read else os.fdopen(read, encoding="utf-8")

    @property
    def stdin(self) -> IO[str]:
        """What it reads."""
        assert self._stdin is not None
        return self._stdin

    @property
    def stdout(self) -> IO[str]:
        """What it prints."""
        assert self._stdout is not None
        return self._stdout

    @property
    def stderr(self) -> IO[str]:
        """What it says beside that."""
        assert self._stderr is not None
        return self._stderr

    def poll(self) -> int | None:
        """How it ended, as ``subprocess.Popen`` has it; None while it runs."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """How it ended. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if timeout is not None and not select.select([self._told], [], [], max(timeout, 0))[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            self._end()
        assert self.returncode is not None
        return self.returncode

    def _end(self) -> None:
        self.returncode = int(self._told.readline())
        self._told.close()

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it still prints on both, once it has ended. Raises subprocess.TimeoutExpired."""
        out, error = self.rest(timeout)
        return out.decode(), error.decode()

    def rest(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        """The same, byte for byte."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._stdin is not None:
            self._stdin.close()
        heard = {stream: b"" for stream in (self._stdout, self._stderr) if stream is not None}
        with selectors.DefaultSelector() as selector:
            for stream in heard:
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(None if deadline is None else max(deadline - time.monotonic(), 0))
                if not ready:
                    raise subprocess.TimeoutExpired(self.args, timeout or 0)
                for key, _ in ready:
                    if piece := os.read(key.fd, 1 << 16):
                        heard[key.fileobj] += piece  # type: ignore[index]  # one of those that were registered
                    else:
                        selector.unregister(key.fileobj)
        self.wait(None if deadline is None else deadline - time.monotonic())
        out, error = (heard.get(stream, b"") if stream else b"" for stream in (self._stdout, self._stderr))
        return out, error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Wait for its end, and close the streams; after an error it is killed."""
        if error is not None:
            self.kill()
        for stream in (self._stdin, self._stdout, self._stderr):
            if stream is not None:
                stream.close()
        self.wait()


def completed(
    *arguments: str | Path, cwd: Path, environment: Mapping[str, str] | None = None, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """What the command says, and how it exits, with this in the pipe that it reads. Raises
    subprocess.TimeoutExpired."""
    read, write = os.pipe()
    threading.Thread(target=_feed, args=(write, given), name="feeds-command").start()
    try:
        command = Command(*arguments, cwd=cwd, environment=environment, stdin=read)
    finally:
        os.close(read)
    with command:
        out, error = command.rest(SECONDS)
    return subprocess.CompletedProcess(command.args, command.wait(), out, error)


def _feed(pipe: int, given: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(pipe, "wb") as stream:
        stream.write(given)


def sluiceway(
    *arguments: str | Path, cwd: Path, environment: Mapping[str, str] | None = None, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """The same, as text."""
    done = completed(*arguments, cwd=cwd, environment=environment, given=given.encode())
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@functools.cache
def _server() -> socket.socket:
    """Where to ask for a command; the server ends with us."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        # What is forked has one thread: a library that computes in several would be left without the others.
        server = subprocess.Popen(
            [sys.executable, "-P", SERVER, str(theirs.fileno())], pass_fds=[theirs.fileno()], stdin=DEVNULL,
            stdout=DEVNULL, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours
