"""The sink ``kafka`` keeps the contract that the kit checks, with Apache Kafka behind a proxy at the other end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pytest
from kafka_sinks import make, new_topic, open_ready, read_all

from connectors.kafka import KafkaSink
from connectors.kit import SinkContract
from router import Settings
from tests.certificates import Certificates
from tests.servers.kafka import KafkaCluster
from tests.servers.proxy import TcpProxy

TIMES = {"2026-01-02T03:04:05Z": 1767323045000, 1_700_000_000_000: 1_700_000_000_000}


@pytest.fixture(scope="module")
def cluster(
    kafka_or_skip: None, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaCluster]:
    """Its proxies are this module's alone."""
    with KafkaCluster(tmp_path_factory.mktemp("kafka") / "cluster", certificates) as cluster:
        asyncio.run(_warmed_up(cluster.addresses.plaintext))
        yield cluster


async def _warmed_up(brokers: str) -> None:
    sink = make(brokers, await new_topic(brokers))
    await open_ready(sink)
    await sink.close()


class TestKafkaSink(SinkContract):
    connector = KafkaSink
    impossible: ClassVar[bytes | None] = random.Random(1).randbytes(1 << 21)  # larger than a batch may be
    traceless: ClassVar = {"tombstone": "it is one of two values, and the settings say the other"}
    own: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _with_a_cluster(self, cluster: KafkaCluster) -> None:
        self.cluster = cluster

    @property
    def brokers(self) -> str:
        return self.cluster.addresses.plaintext

    def config(self) -> Settings:
        return KafkaSink.Config.model_validate(
            {"brokers": self.cluster.addresses.proxied, "topic": self.topic, "partition": 0, **self.own}
        )

    async def start(self) -> None:
        (node,) = self.cluster.nodes
        self.proxy = TcpProxy(node.listeners["PROXIED"], node.proxy_port)
        await self.proxy.__aenter__()
        self.topic = await new_topic(self.brokers, 3)
        self.choices = {  # type: ignore[misc]  # topics are this test's own
            "topic": [await new_topic(self.brokers), await new_topic(self.brokers)],
            "key": [b"a", b"b"],
            "partition": [1, 2],
            "headers": [[("h", b"1")], [("h", b"2")]],
            "timestamp": list(TIMES),
        }

    async def stop(self) -> None:
        await self.proxy.__aexit__()

    async def go_away(self) -> None:
        self.proxy.refuse()
        self.proxy.cut()

    async def come_back(self) -> None:
        self.proxy.accept()

    async def written(self, **chosen: Any) -> Sequence[bytes]:
        found = await read_all(self.brokers, chosen.get("topic", self.topic))
        return [record.value for record in found if all(_has(record, *choice) for choice in chosen.items())]


def _has(record: Any, name: str, value: Any) -> bool:
    if name == "timestamp":
        return bool(record.timestamp == TIMES[value])
    return bool((list(record.headers) if name == "headers" else getattr(record, name)) == value)


class TestKafkaSinkWithoutIdempotence(TestKafkaSink):
    own: ClassVar = {"idempotence": False, "acks": 1, "compression": "none"}
