"""Processes of the template unit, started by its own command line, share one group of Kafka."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.deploy.instances import Instance, running, stop, total
from tests.deploy.units import Host
from tests.servers.kafka import KafkaAddresses
from tests.servers.topics import create_topic

PARTITIONS = 6
RECORDS = 600
PATIENCE = 60.0
LAG = "sluiceway_source_lag_records"


async def fill(brokers: str, topic: str) -> None:
    """Every tenth order is a large one; one in a hundred breaks the contract."""
    async with AIOKafkaProducer(bootstrap_servers=brokers) as producer:
        for number in range(RECORDS):
            amount = -1.0 if number % 100 == 99 else 900.0 if number % 10 == 0 else 5.0
            value = json.dumps({"id": number, "amount": amount, "customer": f"c{number % 7}"}).encode()
            await producer.send(topic, value, key=b"k%d" % number, partition=number % PARTITIONS)


async def read(brokers: str, topic: str) -> list[int]:
    """The orders in a topic."""
    async with AIOKafkaConsumer(bootstrap_servers=brokers) as consumer:
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(places)
        await consumer.seek_to_beginning()
        end = sum((await consumer.end_offsets(places)).values())
        found: list[int] = []
        while len(found) < end:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                found += [json.loads(record.value)["id"] for record in records]
        return found


def shared_out(instances: list[Instance]) -> bool:
    """Whether every partition is read by somebody, and nobody reads nothing."""
    owned = [{labels for name, labels in instance.metrics() if name == LAG} for instance in instances]
    return all(owned) and sum(map(len, owned)) == PARTITIONS


def routed(instances: list[Instance]) -> float:
    names = ("sluiceway_sink_records_total", "sluiceway_dead_letters_total")
    return sum(total(instance.metrics(), name) for instance in instances for name in names)


def wait_for(what: str, holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.2)


def test_three_instances_share_the_partitions_and_their_counts_and_lags_add_up(
    kafka: KafkaAddresses, tmp_path: Path
) -> None:
    brokers = kafka.plaintext
    orders, vip, rest = (asyncio.run(create_topic(brokers, PARTITIONS)) for _ in range(3))
    environment = {"BROKERS": brokers, "ORDERS": orders, "VIP": vip, "REST": rest, "GROUP": f"group-{uuid4().hex}"}
    host = Host(tmp_path)
    host.install()
    with running(host, ["1", "2", "3"], environment) as instances:
        wait_for("a share of the partitions for each", lambda: shared_out(instances))
        asyncio.run(fill(brokers, orders))
        wait_for("every record", lambda: routed(instances) >= RECORDS)
        wait_for("a lag of nothing", lambda: not sum(total(each.metrics(), LAG) for each in instances))
        counted = [each.metrics() for each in instances]
        assert sum(total(each, "sluiceway_source_records_total") for each in counted) == RECORDS
        assert all(total(each, "sluiceway_source_records_total") for each in counted)
        assert sum(total(each, "sluiceway_dead_letters_total", stage="contract") for each in counted) == RECORDS / 100
        assert sum(total(each, "sluiceway_sink_records_total", sink="vip") for each in counted) == RECORDS / 10
        assert stop(instances) == [0, 0, 0]
    assert sorted(asyncio.run(read(brokers, vip))) == list(range(0, RECORDS, 10))
    smaller = [number for number in range(RECORDS) if number % 10 and number % 100 != 99]
    assert sorted(asyncio.run(read(brokers, rest))) == smaller
    assert sorted(path.name for path in (tmp_path / "var/lib/sluiceway").iterdir()) == ["1", "2", "3"]
