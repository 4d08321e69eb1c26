"""Reading beside a consumer group: from where it stands, without being one of its members."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from connectors.kafka.connection import milliseconds, reason
from connectors.kafka.consumer import LooseConsumer
from connectors.kafka.member import Ends
from connectors.kafka.partitions import Partition
from connectors.kafka.records import Found, cut
from router import Lag, Lease, NotConnected

if TYPE_CHECKING:
    from connectors.kafka.source import KafkaSourceConfig

_log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_SEARCH_SECONDS = 5.0
"""How often it is looked for topics and partitions that have come."""


class Onlooker:
    """Does what ``Member`` does for whoever only looks: reads all partitions of the topics, each from where the group
    stands, or as ``offset_reset`` says. It joins no group and commits nothing, so that the group does not notice."""

    def __init__(self, config: KafkaSourceConfig, arguments: Mapping[str, Any]) -> None:
        self._config = config
        self._consumer = LooseConsumer(
            **arguments,
            isolation_level=config.isolation_level,
            fetch_min_bytes=config.fetch_min_bytes,
            fetch_max_wait_ms=milliseconds(config.fetch_max_wait),
            fetch_max_bytes=config.fetch_max_bytes,
            max_partition_fetch_bytes=config.max_partition_fetch_bytes,
            check_crcs=config.check_crcs,
            client_rack=config.client_rack,
        )
        self._pattern = None if config.pattern is None else re.compile(config.pattern)
        self._partitions: dict[TopicPartition, Partition] = {}
        self._offsets: dict[TopicPartition, int] = {}
        self._waiting: deque[Found] = deque()
        self._searched = 0.0

    async def join(self) -> None:
        """Connect, and find where to begin. Raises NotConnected."""
        try:
            await self._consumer.start()
            await self._search()
        except (KafkaError, NoOffsetForPartitionError) as error:
            raise self._away(error) from error

    async def leave(self) -> str:
        """Disconnect. Idempotent. It has no name in the group."""
        await self._consumer.stop()
        return ""

    async def read(self) -> tuple[Found, Ends]:
        """The next records, as soon as there are any. Raises NotConnected."""
        while not self._waiting:
            try:
                await self._pull()
            except KafkaError as error:
                raise self._away(error) from error
        found = self._waiting.popleft()
        return found, [(partition, records[-1].offset + 1) for partition, records in found]

    def ack(self, ends: Ends) -> None:
        """Nothing: nobody is told."""

    async def lag(self) -> list[Lag]:
        """Not known: the group's is not its own."""
        return []

    def _away(self, error: Exception) -> NotConnected:
        return NotConnected(f"{self._config.shown}: {reason(error)}")

    async def _pull(self) -> None:
        if time.monotonic() - self._searched >= _SEARCH_SECONDS:
            await self._search()
        if not self._partitions:
            await asyncio.sleep(_POLL_SECONDS)
            return
        try:
            found = await self._consumer.getmany(
                timeout_ms=milliseconds(_POLL_SECONDS), max_records=self._config.max_poll_records
            )
        except OffsetOutOfRangeError as error:
            for key in error.args[0]:
                _log.warning("%s-%d: what comes next for the group is not there any more", *key)
                await self._seek({key}, {})
            return
        for key, records in found.items():
            self._offsets[key] = records[-1].offset + 1
        if found:
            self._waiting.extend(cut([(self._partitions[key], records) for key, records in found.items()]))

    async def _search(self) -> None:
        """Read the partitions that have come, too. Raises KafkaError, NotConnected."""
        consumer, self._searched = self._consumer, time.monotonic()
        found = await consumer.partitions_of(self._wants)
        new = found - self._partitions.keys()
        if not new:
            return
        known = {key: offset for key in self._partitions if (offset := self._offsets.get(key)) is not None}
        self._partitions |= {key: Partition(key, Lease(f"{key.topic}-{key.partition}")) for key in new}
        consumer.assign(list(self._partitions))
        for key, offset in known.items():
            consumer.seek(key, offset)
        await self._seek(new, await consumer.offsets_of(self._config.group, new))

    def _wants(self, topic: str) -> bool:
        if self._pattern is None:
            return topic in self._config.topics
        return self._pattern.fullmatch(topic) is not None and not topic.startswith("__")

    async def _seek(self, partitions: set[TopicPartition], committed: Mapping[TopicPartition, int]) -> None:
        """Begin where the group stands, and where it stands nowhere, as ``offset_reset`` says."""
        lost, policy, consumer = partitions - committed.keys(), self._config.offset_reset, self._consumer
        if lost and policy == "error":
            names = ", ".join(f"{key.topic}-{key.partition}" for key in sorted(lost))
            raise NotConnected(f"group {self._config.group} has no offset in {names} (offset_reset is error)")
        begin = {}
        if lost:
            begin = await (consumer.beginning_offsets(lost) if policy == "earliest" else consumer.end_offsets(lost))
        for key, offset in {**committed, **begin}.items():
            self._offsets[key] = offset
            consumer.seek(key, offset)
