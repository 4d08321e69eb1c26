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
from itertools import accumulate
from queue import SimpleQueue
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import Field, model_validator

from router import (
    PIECE,
    Batch,
    EndOfStream,
    Framer,
    Framing,
    FramingSetting,
    Lag,
    NotConnected,
    Settings,
    Size,
    WriteError,
    framing_of,
)

T = TypeVar("T")

_STDIN, _STDOUT = 0, 1
_READ = 256 << 10
_GONE = "the reader of standard output is gone"
_CLOSED = "standard output is closed"


class StdinConfig(Settings):
    """The settings of the source ``stdin``."""

    framing: FramingSetting | None = None
    """How records are told apart. By default as goes with `decode`: lines of JSON, rows of `csv`, and so on."""
    max_record: Annotated[Size, Field(gt=0, le=PIECE)] = 1 << 20
    """The longest record, in bytes. A longer one becomes a dead letter."""


class StdinSource:
    r"""Reads lines from standard input until its end.

    **Records** are the lines, without their `\n` and a `\r` before it, as bytes; blank lines are none. A last line
    without newline is a record. A line longer than `max_record` becomes a dead letter. The source ends with its input;
    a standard input that is closed is at its end.

    **Guarantee**: at most once, since a stream cannot be read again: what was read and not delivered when the process
    is killed is lost. While the process runs nothing is. There is nothing to acknowledge: its token is None.

    **Lag** is not known.

    **Away** is a standard input that fails to be read, or that another source reads: a process has only one.
    """

    Config: ClassVar[type[StdinConfig]] = StdinConfig
    example: ClassVar[str] = """
        sources:
          lines: {type: stdin, decode: text}
    """
    replays: ClassVar[bool] = False
    ack_order: ClassVar[Literal["read", "any"]] = "read"

    def __init__(self, config: StdinConfig) -> None:
        framing = framing_of(config.framing, config.context.format)
        self._framer = framing.framer(config.max_record)

    async def open(self) -> None:
        """Go on where the stream was. Raises NotConnected while another source reads it."""
        if _input().reader not in (None, self):
            raise NotConnected("another source reads standard input, and a process has only one")
        _input().reader = self
        self._framer = _input().framer = _input().framer or self._framer

    async def read(self) -> Batch:
        """The lines that are there. Raises EndOfStream, NotConnected. A cancelled call loses nothing."""
        while True:
            chunk = await _input().read()
            framed = self._framer.feed(chunk) if chunk else self._framer.finish()
            if framed.values:
                return Batch(
                    framed.values,
                    attributes=framed.attributes,
                    spoiled=framed.spoiled,
                    size=framed.size,
                    ascii=framed.ascii,
                    lines=framed.lines,
                    fields=framed.fields,
                )
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

    framing: FramingSetting | None = None
    """How records are told apart. By default as goes with what is written: lines of JSON, rows of CSV, and so on."""

    @model_validator(mode="after")
    def _can_be_written_to(self) -> Self:
        if self.framing is not None and self.framing.cannot_join:
            raise ValueError(f"framing: {self.framing.type} does not go with a stream: {self.framing.cannot_join}")
        return self


class StdoutSink:
    r"""Writes records as lines to standard output.

    **Records** are written one a line. JSON that holds newlines is compacted; any other payload that holds one is a
    dead letter. Logs go to standard error, so nothing mixes.

    **Guarantee**: at least once, as far as the operating system: a record counts as written when the kernel has taken
    it, which is not yet the process at the other end. No line is ever torn by a failure, a timeout or another sink:
    what of a line could not be written is written before anything else. A write that is cancelled still finishes.

    **Away** is an output behind which a disk is full, until it goes on. A reader that is gone (a broken pipe, as when
    `head` has seen enough) does not come back, nor does an output that is closed (`>&-`): the daemon then reads no
    more, delivers to all other sinks what they are to get, and ends with exit code 1. What the reader did not get is
    not acknowledged, so that sources that can replay bring it again at the next start.

    **A filter** in a pipe is a flow from `stdin` to `stdout`, which ends with its input. Here are `filter.yaml` and its
    rules, `big.yaml`:

    ```yaml filter.yaml
    http: null                               # no pages: any number of filters may run at once
    sources: {lines: {type: stdin}}
    sinks: {out: {type: stdout}}
    flows: [big.yaml]
    ```

    ```yaml big.yaml
    from: lines
    rules:
      - {name: big, when: event.amount > 500.0, to: out}
    otherwise: {unmatched: drop}
    ```

    ```sh
    printf '{"amount": 900}\n{"amount": 5}\n' | sluiceway run filter.yaml
    ```

    ```text output
    {"amount": 900}
    ```
    """

    Config: ClassVar[type[StdoutConfig]] = StdoutConfig
    example: ClassVar[str] = """
        sinks:
          out: {type: stdout}
    """

    def __init__(self, config: StdoutConfig) -> None:
        self._framing = framing_of(config.framing, config.context.format)
        self._is_open = False

    async def open(self) -> None:
        """Write what an earlier failure left of a line. Raises NotConnected when that fails again, EndOfStream when
        nobody reads."""
        await _output().recover()
        self._is_open = True

    async def write(self, batch: Batch) -> None:
        """Write the records, in order. Raises WriteError for those that cannot be a line, NotConnected, EndOfStream."""
        if not self._is_open:
            raise NotConnected("the sink is not open")
        join = self._framing.join_lines if batch.lines else self._framing.join
        data, failed = join(batch.values)
        if data:
            await _output().write(data, lambda: _ends(self._framing, batch.values, data), self._framing.head)
        if failed:
            raise WriteError(failed, retryable=False)

    async def close(self) -> None:
        """Nothing to release: the stream belongs to the process."""
        self._is_open = False


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
    """Standard input, with what cuts it: half a record that one source has taken in is completed by the next."""

    def __init__(self) -> None:
        self.reader: StdinSource | None = None
        self.framer: Framer | None = None
        self._worker = _Worker("stdin")
        self._reading: Future[tuple[bytes, bool]] | None = None
        self._ended = sys.__stdin__ is None

    async def read(self) -> bytes:
        """The next bytes; empty at the end of the stream."""
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
            if piece:
                return piece
        return b""


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


def _ends(framing: Framing, values: Sequence[bytes], data: bytes) -> list[int]:
    """Where each record ends in the piece of a stream that they are joined to; its end, if that makes one of all."""
    pieces = [framing.join([value])[0] for value in values]
    return list(accumulate(map(len, pieces))) if b"".join(pieces) == data else [len(data)]


class _Output:
    """Standard output, in whole records."""

    def __init__(self) -> None:
        self._worker = _Worker("stdout")
        self._begun = False
        self._remainder = b""  # of the record at which a write failed; touched by the thread alone

    async def recover(self) -> None:
        """Finish the line at which a write failed, if one did. A stream that is closed, or that nobody reads, shows
        here already."""
        if sys.__stdout__ is None:
            raise EndOfStream(_CLOSED)
        if self._remainder:
            await self.write(b"", list)
        elif _is_abandoned():
            raise EndOfStream(_GONE)

    async def write(self, data: bytes, ends: Callable[[], list[int]], head: bytes = b"") -> None:
        """Write these records, which end where ``ends`` says, after what an earlier failure left, and after ``head``
        if nothing has been written yet. Cancelled, it still happens."""
        if sys.__stdout__ is None:
            raise EndOfStream(_CLOSED)
        try:
            await asyncio.wrap_future(self._worker.submit(lambda: self._write(data, ends, head)))
        except BrokenPipeError as error:
            raise EndOfStream(_GONE) from error
        except OSError as error:
            if error.errno == errno.EBADF:
                raise EndOfStream(_CLOSED) from error
            raise NotConnected(f"standard output cannot be written: {error.strerror}") from error

    def _write(self, data: bytes, ends: Callable[[], list[int]], head: bytes) -> None:
        before = self._remainder if self._begun else self._remainder or head
        data = before + data
        view = memoryview(data)
        written = 0
        try:
            while written < len(data):
                written += _write_some(view[written:])
        except OSError:
            # Were it at the end of a record, the next one would be tried: a failure must show in open(), too.
            end = next(end for end in (0, *ends()) if len(before) + end > written)
            self._remainder = data[written : len(before) + end]
            raise
        finally:
            self._begun = self._begun or written > 0
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
