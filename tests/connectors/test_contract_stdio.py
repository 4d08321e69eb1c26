"""``stdin`` and ``stdout`` keep the contract that the kit checks, over real pipes in the place of the process's own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from connectors import stdio
from connectors.kit import SinkContract, SourceContract
from connectors.stdio import StdinSource, StdoutSink
from router import EndOfStream, Settings

THEIRS = "whoever reads the standard output of the process does not come back, so that the sink ends"
OURS = "the process has one standard input, from its beginning to its end"


class Swapped:
    """A standard stream of this process that is another one for a while."""

    def __init__(self, number: int, descriptor: int) -> None:
        self.number = number
        self.own = os.dup(number)
        os.dup2(descriptor, number)
        os.close(descriptor)

    def restore(self) -> None:
        os.dup2(self.own, self.number)
        os.close(self.own)


class TestStdinSource(SourceContract):
    connector = StdinSource
    cannot = {"be away": OURS, "go away": OURS}

    async def start(self) -> None:
        stdio._input.cache_clear()  # as in a process that has just begun
        ours, theirs = os.pipe()
        self.stdin = Swapped(0, ours)
        transport, _ = await asyncio.get_running_loop().connect_write_pipe(asyncio.Protocol, os.fdopen(theirs, "wb"))
        self.pipe = transport

    async def stop(self) -> None:
        self.pipe.abort()
        rest = StdinSource(StdinSource.Config())
        await rest.open()
        while True:  # a thread reads; it must have seen the end before the stream is another one
            try:
                await rest.read()
            except EndOfStream:
                break
        await rest.close()
        self.stdin.restore()

    def config(self) -> Settings:
        return StdinSource.Config()

    async def put(self, values: Sequence[bytes]) -> None:
        self.pipe.write(b"".join(value + b"\n" for value in values))

    async def end(self) -> None:
        self.pipe.close()


class TestStdoutSink(SinkContract):
    """Into a named pipe."""

    connector = StdoutSink
    cannot = {"be away": THEIRS, "go away": THEIRS}
    impossible = b"two\nlines"

    async def start(self) -> None:
        stdio._output.cache_clear()  # as in a process that has just begun
        self.fifo = self.folder / "fifo"
        os.mkfifo(self.fifo)
        self.data = b""
        self.reader = os.open(self.fifo, os.O_RDONLY | os.O_NONBLOCK)
        asyncio.get_running_loop().add_reader(self.reader, self.drain)
        self.stdout = Swapped(1, os.open(self.fifo, os.O_WRONLY))

    async def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self.reader)
        os.close(self.reader)
        self.stdout.restore()

    def config(self) -> Settings:
        return StdoutSink.Config()

    def drain(self) -> None:
        try:
            while piece := os.read(self.reader, 1 << 16):
                self.data += piece
        except BlockingIOError:
            return

    async def written(self, **chosen: Any) -> Sequence[bytes]:
        self.drain()
        return self.data.split(b"\n")[:-1]
