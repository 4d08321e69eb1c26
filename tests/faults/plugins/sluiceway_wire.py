"""A third party's connector: a sink that sends batches over TCP to ``tests/faults/destination.py``.

A frame is a count and so many payloads, each with its length before it, all 4 bytes big-endian. The server answers
each frame, and the hello at the beginning, with one line of JSON: ``{"failed": {index: reason}, "retryable": bool}``.
"""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any, ClassVar

from router import Batch, NotConnected, Settings, WriteError

NUMBER = struct.Struct(">I")


class WireSinkConfig(Settings):
    """The settings of a wire sink."""

    port: int
    """Where the server listens, on this host."""


class WireSink:
    """Sends batches to a TCP server.

    **Guarantee**: ``write`` returns when the server has said that it has the records. **Away**: a connection that is
    refused, broken or closed is ``NotConnected``.
    """

    Config: ClassVar[type[WireSinkConfig]] = WireSinkConfig

    def __init__(self, config: WireSinkConfig) -> None:
        self.config = config
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        """Connect and say hello."""
        await self.close()
        try:
            self._streams = await asyncio.open_connection("127.0.0.1", self.config.port)
        except OSError as error:
            raise NotConnected(f"port {self.config.port}: {error.strerror or error}") from error
        await self._ask(NUMBER.pack(0))

    async def write(self, batch: Batch) -> None:
        """Send the batch and wait for the answer."""
        parts = [NUMBER.pack(len(batch))]
        for value in batch.values:
            parts += (NUMBER.pack(len(value)), value)
        answer = await self._ask(b"".join(parts))
        if answer["failed"]:
            failed = {int(index): reason for index, reason in answer["failed"].items()}
            raise WriteError(failed, retryable=answer["retryable"])

    async def close(self) -> None:
        """Close the connection."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()

    async def _ask(self, frame: bytes) -> dict[str, Any]:
        if self._streams is None:
            raise NotConnected("not open")
        reader, writer = self._streams
        try:
            writer.write(frame)
            await writer.drain()
            line = await reader.readline()
        except OSError as error:
            raise NotConnected(f"the connection broke: {error}") from error
        if not line.endswith(b"\n"):
            raise NotConnected("the server closed the connection")
        answer: dict[str, Any] = json.loads(line)
        return answer
