"""What is beside a daemon that reads from MQTT: a publisher, the topics of the sinks, and their oracle."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from sink_feed import SinkFeed
from sink_topics import KEY, Maker, SinkTopics

from connectors.mqtt import MqttSink
from router import Batch

_FED_AT_ONCE = 500
"""Of so many at most it is unknown, when the publisher's connection ends, whether they were accepted."""
_TOPIC = "shop"


class MqttWorld(SinkTopics):
    """Publishes what the load calls ``a`` to the topics ``shop/a/KEY``, one after the other, each until the broker has
    acknowledged it; what had no answer when the connection ended is published again, before anything new.

    ``broker`` is how the publisher reaches it, ``brokers`` a way into the cluster of the sinks' topics.
    """

    def __init__(self, broker: str, brokers: str, load: Maker, sources: Iterable[str], sinks: Iterable[str]) -> None:
        names = tuple(sources)
        super().__init__(brokers, load, names, sinks)
        self._feeds = {name: SinkFeed(_sink_for(broker)) for name in names}
        self._locks = {name: asyncio.Lock() for name in names}

    async def _close(self) -> None:
        await super()._close()
        for feed in self._feeds.values():
            await feed.close()

    @property
    def again(self) -> int:
        """How many messages were published once more, so far: the broker may have taken them twice."""
        return sum(feed.again for feed in self._feeds.values())

    @staticmethod
    def filter_for(source: str) -> str:
        """What to subscribe to for everything of a source."""
        return f"{_TOPIC}/{source}/+"

    def feed(self, source: str, count: int) -> None:
        """Publish so many records more of a source, in order; the broker has acknowledged them when it returns."""
        self._loop.call(self._feed(source, count))

    async def _feed(self, source: str, count: int) -> None:
        async with self._locks[source]:
            lines = self.lines[source]
            for start in range(0, count, _FED_AT_ONCE):
                values = list(map(lines.line, lines.grow(min(_FED_AT_ONCE, count - start))))
                topics = [_topic_of(source, value) for value in values]
                await self._feeds[source].put(Batch(values=values, settings={"topic": topics}))


def _topic_of(source: str, value: bytes) -> str:
    found = KEY.search(value)
    return f"{_TOPIC}/{source}/{found[1].decode() if found else 'none'}"


def _sink_for(broker: str) -> MqttSink:
    return MqttSink(
        MqttSink.Config(broker=broker, topic="${event.topic}", qos=1, inflight=200, keepalive=2.0, connect_timeout=3.0)
    )
