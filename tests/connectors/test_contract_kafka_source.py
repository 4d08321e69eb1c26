"""The source ``kafka`` keeps the contract that the kit checks, with Apache Kafka behind a proxy at the other end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from connectors.kafka import KafkaSource
from connectors.kit import SourceContract
from router import Settings
from tests.certificates import Certificates
from tests.servers.kafka import KafkaCluster
from tests.servers.proxy import TcpProxy
from tests.servers.topics import create_topic


@pytest.fixture(scope="module")
def cluster(
    kafka_or_skip: None, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaCluster]:
    """Its proxies are this module's alone."""
    with KafkaCluster(tmp_path_factory.mktemp("kafka"), certificates) as cluster:
        yield cluster


class TestKafkaSource(SourceContract):
    connector = KafkaSource
    cannot: ClassVar[dict[str, str]] = {"end": "a topic has no end"}
    patience = 20.0
    cluster: KafkaCluster

    @pytest.fixture(autouse=True)
    def _with_a_cluster(self, cluster: KafkaCluster) -> None:
        self.cluster = cluster

    @property
    def brokers(self) -> str:
        return self.cluster.addresses.plaintext

    def config(self) -> Settings:
        return KafkaSource.Config(
            brokers=(self.cluster.addresses.proxied,),
            topics=(self.topic,),
            group=self.group,
            session_timeout=2.0,
            heartbeat_interval=0.3,
            revoke_timeout=0.3,
            fetch_max_wait=0.1,
        )

    async def start(self) -> None:
        (node,) = self.cluster.nodes
        self.proxy = TcpProxy(node.listeners["PROXIED"], node.proxy_port)
        await self.proxy.__aenter__()
        self.topic, self.group = await create_topic(self.brokers, config={"max.message.bytes": str(2**21)}), uuid4().hex
        self.producer = AIOKafkaProducer(bootstrap_servers=self.brokers, max_request_size=2**21)
        await self.producer.start()
        self.rival: AIOKafkaConsumer | None = None

    async def stop(self) -> None:
        if self.rival is not None:
            await self.rival.stop()
        await self.producer.stop()
        await self.proxy.__aexit__()

    async def put(self, values: Sequence[bytes]) -> None:
        for value in values:
            sent = await self.producer.send(self.topic, value)
        await sent

    async def go_away(self) -> None:
        self.proxy.refuse()
        self.proxy.cut()

    async def come_back(self) -> None:
        self.proxy.accept()

    async def lose_partition(self) -> None:
        self.rival = AIOKafkaConsumer(
            self.topic, bootstrap_servers=self.brokers, group_id=self.group, session_timeout_ms=10_000
        )
        await self.rival.start()
