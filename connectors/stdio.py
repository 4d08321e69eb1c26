"""``stdin`` and ``stdout``: records as lines on the standard streams, whether pipe, file, terminal or socket.

A process has one of each, however many connectors use it and however often they are built anew. So what is between
the stream and the connectors belongs to the module: what a cancelled read had taken in waits for the next read, and
two sinks never tear each other's lines. Both streams are read and written by blocking calls in threads that do not
hold up the end of the process; making them non-blocking instead would do the same to whoever shares the terminal.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import cache
from queue import SimpleQueue
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field

from connectors.framing import PIECE, LineFramer, Lines, frame_lines
from router import Batch, EndOfStream, Lag, NotConnected, Settings, Size, WriteError

T = TypeVar("T")

_STDIN, _STDOUT = 0, 1
_READ = 256 << 10


class StdinConfig(Settings):
    """The settings of the source ``stdin``."""

    framing: Literal["newline"] = "newline"
    """How records are told apart: one a line."""
    max_record: Annotated[Size, Field(gt=0, le=PIECE)] = 1 << 20
    """The longest line, in bytes. A longer one becomes a dead letter."""


class StdinSource:
    r"""Reads lines from standard input until its end.

    **Records** are the lines, without their ``\n`` and a ``\r`` before it, as bytes; blank lines are none. A last line
    without newline is a record. A line longer than ``max_record`` is spoiled.

    **Guarantee**: at most once, since a stream cannot be read again: what was read and not delivered when the process
    ends is lost. While the process runs nothing is. There is nothing to acknowledge (its token is None), and its lag is
    not known. A standard input that is closed is at its end; one that fails to be read is ``NotConnected``.
    """

    Config: ClassVar[type[StdinConfig]] = StdinConfig
    replays: ClassVar[bool] = False
    ack_order: ClassVar[Literal["read", "any"]] = "read"

    def __init__(self, config: StdinConfig) -> None:
        self._framer = LineFramer(config.max_record)

    async def open(self) -> None:
        """Go on where the stream was. Raises NotConnected while another source reads it."""
        if _input().reader not in (None, self):
            raise NotConnected("another source reads standard input, and a process has only one")
        _input().reader = self

    async def read(self) -> Batch:
        """The lines that are there. Raises EndOfStream, NotConnected. A cancelled call loses nothing."""
        while True:
            chunk = await _input().read()
            lines = self._framer.feed(chunk) if chunk else self._framer.finish()
            if lines.values:
                return _batch(lines)
            if not chunk:
                raise EndOfStream

    async def ack(self, token: Any) -> None:
        """Nothing: what was read cannot be read again."""

    async def lag(self) -> Sequence[Lag]:
        """Not known."""
        return ()

    async def close(self) -> None:
        """Leave the stream to the next one."""
        if _input().reader is self:
            _input().reader = None


class StdoutConfig(Settings):
    """The settings of the sink ``stdout``."""

    framing: Literal["newline"] = "newline"
    """How records are told apart: one a line."""


class StdoutSink:
    """Writes records as lines to standard output.

    JSON that holds newlines is compacted; any other payload that holds one fails alone, for good.

    **Guarantee**: at least once, as far as the operating system: a record counts as written when the kernel has taken
    it, which is not yet the process at the other end. No line is ever torn by a failure, a timeout or another sink:
    what of a line could not be written is written before anything else. A write that is cancelled still finishes.

    **Away**: when the reader is gone (a broken pipe) or the disk behind it is full, ``write()`` raises NotConnected,
    and so does ``open()`` until it goes on. A reader of a pipe that is gone does not come back (one of a named pipe
    may), so the flows that use the sink then stand still until the daemon is stopped.
    """

    Config: ClassVar[type[StdoutConfig]] = StdoutConfig

    def __init__(self, config: StdoutConfig) -> None:
        self.config = config
        self._is_open = False

    async def open(self) -> None:
        """Write what an earlier failure left of a line. Raises NotConnected when that fails again, or nobody reads."""
        await _output().recover()
        self._is_open = True

    async def write(self, batch: Batch) -> None:
        """Write the records, in order. Raises WriteError for those that cannot be a line, NotConnected."""
        if not self._is_open:
            raise NotConnected("the sink is not open")
        data, failed = frame_lines(batch.values)
        if data:
            await _output().write(data)
        if failed:
            raise WriteError(failed, retryable=False)

    async def close(self) -> None:
        """Nothing to release: the stream belongs to the process."""
        self._is_open = False


def _batch(lines: Lines) -> Batch:
    return Batch(lines.values, spoiled=lines.spoiled)


class _Worker:
    """A thread that makes blocking calls one after the other. Unlike an executor's, it never keeps a process alive."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """What ``work`` will return or raise, once its turn has come."""
        outcome: Future[T] = Future()
        outcome.set_running_or_notify_cancel()  # it cannot be cancelled: the order of the stream depends on it

        def call() -> None:
            try:
                outcome.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it is raised where the outcome is awaited
                outcome.set_exception(error)

        self._calls.put(call)
        return outcome

    def _run(self) -> None:
        while True:
            self._calls.get()()


class _Input:
    """Standard input, cut after whole lines."""

    def __init__(self) -> None:
        self.reader: StdinSource | None = None
        self._worker = _Worker("stdin")
        self._reading: Future[tuple[bytes, bool]] | None = None
        self._rest: list[bytes] = []
        self._held = 0
        self._ended = sys.__stdin__ is None

    async def read(self) -> bytes:
        """Some bytes, up to the end of a line (of any line part that is large); empty at the end of the stream."""
        while not self._ended:
            if self._reading is None:
                self._reading = self._worker.submit(_read_available)
            try:
                # Cancelled here, the call in the thread goes on, and what it reads is for the next one to ask.
                piece, self._ended = await asyncio.wrap_future(self._reading)
            except OSError as error:
                self._reading = None
                raise NotConnected(f"standard input cannot be read: {error.strerror}") from error
            self._reading = None
            whole = self._cut(piece)
            if whole:
                return whole
        last, self._rest = b"".join(self._rest), []
        return last

    def _cut(self, piece: bytes) -> bytes:
        end = len(piece) if self._held > PIECE else piece.rfind(b"\n") + 1
        if not end:
            self._rest.append(piece)
            self._held += len(piece)
            return b""
        whole = b"".join([*self._rest, piece[:end]])
        self._rest, self._held = [piece[end:]], len(piece) - end
        return whole


def _read_available() -> tuple[bytes, bool]:
    """What is there, as soon as there is anything, and whether the stream has ended."""
    pieces: list[bytes] = []
    size = 0
    ready = select.poll()
    ready.register(_STDIN, select.POLLIN)
    while size < _READ and ready.poll(0 if pieces else None):
        try:
            piece = os.read(_STDIN, _READ)
        except OSError as error:
            if error.errno == errno.EIO and not pieces:
                return b"", True  # the terminal has hung up
            if not pieces:
                raise
            break  # what was read comes first; the next call meets the error again
        if not piece:
            return b"".join(pieces), True
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces), False


class _Output:
    """Standard output, in whole lines."""

    def __init__(self) -> None:
        self._worker = _Worker("stdout")
        self._remainder = b""  # of the line at which a write failed; touched by the thread alone

    async def recover(self) -> None:
        """Finish the line at which a write failed, if one did. A stream that is closed, or that nobody reads, shows
        here already."""
        if self._remainder or sys.__stdout__ is None:
            await self.write(b"")
        elif _is_abandoned():
            raise NotConnected("the reader of standard output is gone")

    async def write(self, data: bytes) -> None:
        """Write these lines after what an earlier failure left. Cancelled, it still happens."""
        if sys.__stdout__ is None:
            raise NotConnected("standard output is closed")
        try:
            await asyncio.wrap_future(self._worker.submit(lambda: self._write(data)))
        except BrokenPipeError as error:
            raise NotConnected("the reader of standard output is gone") from error
        except OSError as error:
            raise NotConnected(f"standard output cannot be written: {error.strerror}") from error

    def _write(self, data: bytes) -> None:
        data = self._remainder + data
        view = memoryview(data)
        written = 0
        try:
            while written < len(data):
                written += _write_some(view[written:])
        except OSError:
            # Were it at the end of a line, the next line would be tried: a failure must show in open(), too.
            self._remainder = data[written : data.index(b"\n", written) + 1]
            raise
        self._remainder = b""


def _write_some(view: memoryview) -> int:
    try:
        return os.write(_STDOUT, view)
    except BlockingIOError:  # somebody who shares the stream has made it non-blocking
        ready = select.poll()
        ready.register(_STDOUT, select.POLLOUT)
        ready.poll()
        return 0


def _is_abandoned() -> bool:
    """Whether standard output is a pipe or a socket whose other end is gone: then it is in error (poll(2))."""
    state = select.poll()
    state.register(_STDOUT, 0)
    return any(event & select.POLLERR for _, event in state.poll(0))


@cache
def _input() -> _Input:
    return _Input()


@cache
def _output() -> _Output:
    return _Output()
