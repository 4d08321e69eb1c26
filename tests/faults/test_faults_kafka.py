"""From Kafka to Kafka under faults: short, with fixed seeds. ``python tests/faults kafka`` and ``kafka-group`` are the
long versions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from cluster_campaign import carry_out_these
from cluster_rig import SETTINGS
from kafka_faults import CALM, KAFKA_FAULTS
from kafka_group import Ordeal, Owners
from kafka_rig import KafkaRig
from kafka_world import KafkaWorld
from run import Campaign
from shop import SINKS, Shop

from tests.servers.fixtures import StartKafka
from tests.servers.kafka import KafkaAddresses


def test_faults_of_every_party(start_kafka: StartKafka, capsys: pytest.CaptureFixture[str]) -> None:
    """The daemon killed, the broker killed, connections cut, answers that are nonsense, other members that come and go:
    every record is where it belongs, in its order, and nothing comes again that was committed."""
    with KafkaRig(start_kafka(settings=SETTINGS), seed=7) as rig:
        campaign = Campaign(rig, KAFKA_FAULTS, CALM, 7, 1000)
        kinds = ["connections cut", "kill -9", "answers are nonsense", "rebalance storm", "kill -9 of the cluster"]
        assert not carry_out_these(campaign, [[kind] for kind in kinds], 7), capsys.readouterr().out
        assert len(rig.world) > 10_000


@pytest.mark.outage
def test_members_of_a_group_are_killed(kafka: KafkaAddresses) -> None:
    """Nothing is lost, no old owner writes after the new one, and no more comes again than those who were killed had
    written and not committed."""
    with Ordeal(kafka.plaintext, 2000, random.Random(7)) as ordeal:
        findings = ordeal.suffer(2, 3)["out"]
    assert ordeal.owners.complaints == []
    assert findings.violations == 0, findings.examples
    assert findings.found > 1000
    assert ordeal.owners.changes > 4


def test_an_old_owner_is_seen() -> None:
    """A lease that comes back after another one is told, and one that goes on or is followed by others is not."""
    owners = Owners()
    for partition, lease in ((0, "1.0"), (0, "1.0"), (1, "1.1"), (0, "2.0"), (1, "1.1"), (0, "1.2")):
        owners.show(partition, lease)
    assert owners.complaints == []
    assert owners.of(1) == {0, 1}
    owners.show(0, "2.0", "late")
    assert len(owners.complaints) == 1
    assert "late" in owners.complaints[0]


def put(brokers: str, topic: str, records: Sequence[tuple[bytes, bytes]]) -> None:
    """Write keys and values as any producer would."""

    async def work() -> None:
        async with AIOKafkaProducer(bootstrap_servers=brokers) as producer:
            for key, value in records:
                await producer.send_and_wait(topic, value, key=key)

    asyncio.run(work())


def for_wire(shop: Shop, count: int) -> list[tuple[bytes, bytes]]:
    """What goes out to the sink ``wire`` of the first so many records of ``a0``."""
    made = []
    for number in range(count):
        line = shop.line("a0", number)
        verdict = shop.judge("a0", line)
        if "wire" in verdict.sinks:
            wanted = verdict.sinks["wire"]
            made.append((verdict.key, line if wanted is None else orjson.dumps(wanted)))
    return made


def test_what_goes_wrong_in_topics_is_told(kafka: KafkaAddresses) -> None:
    """A record that is missing is lost; one that is there twice is a repeat, against a bound; one under another key is
    misplaced; one that the source's topic has once too often spoils the count. Nothing is told where nothing is wrong,
    and what was judged is only expected to come again."""
    shop = Shop(malformed=0)
    with KafkaWorld(kafka.plaintext, shop, ["a"], SINKS) as world:
        world.feed("a", 400)
        records = for_wire(shop, 100)
        assert len(records) > 10
        put(kafka.plaintext, world.sinks["wire"], [*records[1:], records[4], (b"k", records[5][1])])
        assert world.exposed(dict.fromkeys(("a0", "a1", "a2", "a3"), 0))["wire"] == len(records) - 1
        found, complaints = world.judge({"wire": 1})
        wire = found["wire"]
        others = sum("wire" in shop.judge(f"a{n}", shop.line(f"a{n}", i)).sinks for n in (1, 2, 3) for i in range(100))
        assert (wire.found, wire.lost, wire.repeats, wire.bound) == (len(records) - 1, 1 + others, 2, 1)
        assert [("key b'k'" in complaint) for complaint in complaints] == [True]
        put(kafka.plaintext, world.sources["a"], [(b"", b"one more")])
        put(kafka.plaintext, world.sinks["wire"], [records[6], (b"k1", b'{"never": "fed"}')])
        found, complaints = world.judge({"wire": 1})
        wire = found["wire"]
        assert (wire.expected, wire.lost, wire.repeats, wire.unknown) == (0, 0, 1, 1)
        assert len([complaint for complaint in complaints if "records were fed" in complaint]) == 1
