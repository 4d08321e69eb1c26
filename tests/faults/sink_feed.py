"""What fills the topic of a source, each record once and in its place, through whatever happens to brokers.

It is the sink ``kafka`` that writes: it sends what had no answer under the same number again, with another connection
too, which aiokafka's own producer gives up when no leader is known for a while. Whether each record is there once is
counted by others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from connectors.kafka import KafkaSink
from router import Batch, NotConnected, WriteError

_AGAIN_SECONDS = 0.1
_WRITE_SECONDS = 20.0


class TopicFeed:
    """Writes to one topic, from one task at a time."""

    def __init__(self, brokers: str, topic: str) -> None:
        self._sink = KafkaSink(
            KafkaSink.Config(
                brokers=brokers, topic=topic, compression="snappy", request_timeout="5s", metadata_max_age="5s"
            )
        )
        self._is_open = False

    async def put(self, values: Sequence[bytes], partitions: Sequence[int]) -> None:
        """Write these, each to its partition; they are there when it returns. Raises WriteError for what no broker will
        ever take."""
        left = Batch(values=values, settings={"partition": partitions})
        while len(left):
            try:
                async with asyncio.timeout(_WRITE_SECONDS):
                    await self._open()
                    await self._sink.write(left)
                return
            except WriteError as error:
                if not all(map(error.is_retryable, error.failed)):
                    raise
                left = left.select(sorted(error.failed))
            except (NotConnected, TimeoutError) as error:
                unwritten = getattr(error, "unwritten", None)
                if unwritten is not None:
                    left = left.select(sorted(unwritten))
                self._is_open = False
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _open(self) -> None:
        if not self._is_open:
            await self._sink.open()
            self._is_open = True

    async def close(self) -> None:
        """Disconnect."""
        await self._sink.close()
