"""What fills a source's system, each record in its place, through whatever happens to servers.

It is a sink of ours that writes: it sends what had no answer again, with another connection too. Whether each record is
there, and how often, is counted by others.
"""

from __future__ import annotations

import asyncio

from router import Batch, NotConnected, Sink, WriteError

_AGAIN_SECONDS = 0.1
_WRITE_SECONDS = 20.0


class SinkFeed:
    """Writes to one sink, from one task at a time."""

    def __init__(self, sink: Sink) -> None:
        self.again = 0
        """How many records were written once more, so far: they may be there twice, if the sink knows no better."""
        self._sink = sink
        self._is_open = False

    async def put(self, batch: Batch) -> None:
        """Write these; they are there when it returns. Raises WriteError for what no server will ever take."""
        while len(batch):
            try:
                async with asyncio.timeout(_WRITE_SECONDS):
                    await self._open()
                    await self._sink.write(batch)
                return
            except WriteError as error:
                if not all(map(error.is_retryable, error.failed)):
                    raise
                batch = batch.select(sorted(error.failed))
            except (NotConnected, TimeoutError) as error:
                unwritten = getattr(error, "unwritten", None)
                if unwritten is not None:
                    batch = batch.select(sorted(unwritten))
                if self._is_open:
                    self.again += len(batch)
                self._is_open = False
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _open(self) -> None:
        if not self._is_open:
            await self._sink.close()
            await self._sink.open()
            self._is_open = True

    async def close(self) -> None:
        """Disconnect."""
        await self._sink.close()
