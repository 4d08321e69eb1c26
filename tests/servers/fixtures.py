"""The fixtures of real servers: a shared one for the tests that leave it alone, and ways to start one's own.

A machine that lacks what a server needs skips its tests, with what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.certificates import Certificates
from tests.servers.kafka import KafkaAddresses, KafkaCluster, prepare
from tests.servers.mosquitto import Mosquitto, MosquittoAddresses
from tests.servers.process import Unavailable, is_listening
from tests.servers.shared import run_folder, shared

StartKafka = Callable[..., KafkaCluster]
StartMosquitto = Callable[..., Mosquitto]


@pytest.fixture(scope="session")
def kafka_or_skip() -> None:
    """Jars and Java; the first run on a machine fetches them."""
    try:
        prepare()
    except Unavailable as lacking:
        pytest.skip(str(lacking))


@pytest.fixture(scope="session")
def kafka(
    kafka_or_skip: None, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaAddresses]:
    """One node of Kafka for every test of the run that leaves it alone; topics, groups and transactions need names of
    their own."""
    folder = run_folder(tmp_path_factory) / "kafka"

    @contextmanager
    def start() -> Iterator[dict[str, str]]:
        with KafkaCluster(folder / uuid4().hex, certificates) as cluster:
            yield asdict(cluster.addresses)

    with shared(folder, start, lambda told: is_listening(int(told["plaintext"].rpartition(":")[2]))) as told:
        yield KafkaAddresses(**told)


@pytest.fixture
def start_kafka(kafka_or_skip: None, certificates: Certificates, tmp_path: Path) -> Iterator[StartKafka]:
    """Start a cluster of one's own, with the options of KafkaCluster; it is killed when the test ends."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(
            KafkaCluster(tmp_path / f"kafka-{uuid4().hex}", certificates, **options)
        )


@pytest.fixture(scope="session")
def mosquitto(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MosquittoAddresses]:
    """A Mosquitto for every test that leaves it alone; topics and clients need names of their own."""
    try:
        broker = Mosquitto(tmp_path_factory.mktemp("mosquitto"), certificates)
    except Unavailable as lacking:
        pytest.skip(str(lacking))
    with broker:
        yield broker.addresses


@pytest.fixture
def start_mosquitto(certificates: Certificates, tmp_path: Path) -> Iterator[StartMosquitto]:
    """Start a Mosquitto of one's own, with the options of Mosquitto; it is killed when the test ends."""
    with ExitStack() as stack:

        def start(**options: Any) -> Mosquitto:
            try:
                broker = Mosquitto(tmp_path / f"mosquitto-{uuid4().hex}", certificates, **options)
            except Unavailable as lacking:
                pytest.skip(str(lacking))
            return stack.enter_context(broker)

        yield start
