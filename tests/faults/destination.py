"""The server that the wire sink sends to: a real one, over TCP, which a test makes refuse, hang, drop and forget.

It keeps what it accepts, line by line, in a file, before it answers.
"""

from __future__ import annotations

import asyncio
import json
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from oracle import Id

NUMBER = struct.Struct(">I")


class Destination:
    """Serves from ``start`` to ``stop`` in a thread of its own. Set from any thread:

    - ``hanging``: nothing is answered, not even a hello; what waits is answered when it is False again.
    - ``drops``, ``forgotten_answers``, ``hangs``: so many of the next frames are dropped with the connection before
      anything is kept; kept but not answered, and the connection closed; kept and never answered.
    - ``poison``: a frame with one of these keeps what is before it, and closes the connection.
    - ``refused``: these are refused for good. ``busy``: these are refused so many times, with whatever follows them
      under the same key.
    - ``delay``: seconds before each answer.

    ``unanswered`` counts the records that were kept without the sink being told: those may come again.
    """

    def __init__(self, kept: Path, identify: Callable[[bytes], Id | None], key: Callable[[bytes], object]) -> None:
        self.kept = kept
        self.port = 0
        self.hanging = False
        self.delay = 0.0
        self.drops = 0
        self.forgotten_answers = 0
        self.hangs = 0
        self.poison: set[Id] = set()
        self.refused: set[Id] = set()
        self.busy: dict[Id, int] = {}
        self.unanswered = 0
        self.records = 0
        self.largest_frame = 0
        self._identify = identify
        self._key = key
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="destination")
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[None]] = set()
        self._file = kept.open("ab", buffering=0)

    @property
    def settings(self) -> str:
        """How the daemon's sink gets here."""
        return f"type: wire, port: {self.port}"

    def start(self) -> None:
        """Listen, from now on at the same port."""
        self._thread.start()
        self.listen()

    def listen(self) -> None:
        """Take connections (again)."""
        self._call(self._listen)

    def refuse_connections(self) -> None:
        """Close the port and every connection: the system is away."""
        self._call(self._shut)

    def stop(self) -> None:
        """Close everything."""
        self._call(self._shut)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._file.close()

    def _call(self, work: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await work()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        if self._server is not None:
            # What is being accepted while a server of Python 3.11 is closed is left open, and told of by the collector:
            # no more is accepted, and what was becomes a handler in some turns of the loop.
            for listening in self._server.sockets:
                self._loop.remove_reader(listening.fileno())
            for _ in range(20):
                await asyncio.sleep(0)
            self._server.close()
            self._server = None
        handlers = list(self._handlers)
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            while await self._answer(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the sink went away, or the test closes the server
        finally:
            self._handlers.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Take one frame; False to close the connection."""
        values = [await self._value(reader) for _ in range(await self._number(reader))]
        while self.hanging:
            await asyncio.sleep(0.02)
        if reader.at_eof():
            return False  # it has given up on this frame, and will send it again
        if not values:
            return await self._say(writer, {}, retryable=True)
        self.largest_frame = max(self.largest_frame, len(values))
        if self.drops:
            self.drops -= 1
            return False
        return await self._take(values, writer)

    async def _take(self, values: Sequence[bytes], writer: asyncio.StreamWriter) -> bool:
        ids = [self._identify(value) for value in values]
        poisoned = next((index for index, record in enumerate(ids) if record in self.poison), None)
        if poisoned is not None:
            self._keep(values[:poisoned], answered=False)
            return False
        failed, retryable = self._refusals(values, ids)
        kept = [value for index, value in enumerate(values) if index not in failed]
        if self.forgotten_answers or self.hangs:
            return await self._withhold(kept, failed)
        self._keep(kept, answered=True)
        await asyncio.sleep(self.delay)
        return await self._say(writer, failed, retryable=retryable)

    async def _withhold(self, kept: Sequence[bytes], failed: dict[int, str]) -> bool:
        """Keep, and never say so."""
        self._keep(kept, answered=False)
        if self.forgotten_answers:
            self.forgotten_answers -= 1
            return False
        self.hangs -= 1
        await asyncio.Event().wait()
        return False

    def _refusals(self, values: Sequence[bytes], ids: Sequence[Id | None]) -> tuple[dict[int, str], bool]:
        for_good = {index: "refused for good" for index, record in enumerate(ids) if record in self.refused}
        if for_good:
            return for_good, False
        failed: dict[int, str] = {}
        blocked: set[object] = set()
        for index, record in enumerate(ids):
            busy = record is not None and self.busy.get(record, 0) > 0
            if busy and record is not None:
                self.busy[record] -= 1
            if busy or (blocked and self._key(values[index]) in blocked):
                failed[index] = "busy"
                blocked.add(self._key(values[index]))
        return failed, True

    def _keep(self, values: Sequence[bytes], *, answered: bool) -> None:
        if values:
            self._file.write(b"\n".join([*values, b""]))
        self.records += len(values)
        if not answered:
            self.unanswered += len(values)

    @staticmethod
    async def _number(reader: asyncio.StreamReader) -> int:
        number: int = NUMBER.unpack(await reader.readexactly(4))[0]
        return number

    async def _value(self, reader: asyncio.StreamReader) -> bytes:
        return await reader.readexactly(await self._number(reader))

    @staticmethod
    async def _say(writer: asyncio.StreamWriter, failed: dict[int, str], *, retryable: bool) -> bool:
        writer.write(json.dumps({"failed": failed, "retryable": retryable}).encode() + b"\n")
        await writer.drain()
        return True

    def wait_for(self, records: int, seconds: float) -> None:
        """Wait until so many records were kept. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while self.records < records:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.records} of {records} records after {seconds:g} s")
            time.sleep(0.02)
