"""The floors of ``bench.kafka``: what somebody would write by hand to move records from one topic to others.

``python kafka_floor.py relay|each BROKERS FROM COUNT COMPRESSION SECONDS TO...``. ``relay`` reads what there is, makes
a batch of each partition's records, and sends it to the same partition of one topic; it looks at no record. ``each``
decodes each record, chooses one of four topics by the rules of ``bench.route``, and sends it there by itself. Both
commit when what they have read is written, but no sooner than SECONDS after the last time.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

Found = dict[TopicPartition, list[Any]]
BATCH_BYTES = 512 * 2**10


async def main(
    how: str, brokers: str, source: str, count: int, compression: str | None, pause: float, targets: Sequence[str]
) -> None:
    consumer = AIOKafkaConsumer(
        source, bootstrap_servers=brokers, group_id=targets[0], auto_offset_reset="earliest", enable_auto_commit=False
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=brokers,
        acks="all",
        enable_idempotence=True,
        compression_type=compression,
        max_batch_size=BATCH_BYTES,
    )
    move = relay if how == "relay" else each
    async with consumer, producer:
        moved, due = 0, 0.0
        while moved < count:
            found = await consumer.getmany(timeout_ms=1000, max_records=4000)
            moved += await move(producer, targets, found)
            if time.monotonic() >= due or moved >= count:
                await consumer.commit()
                due = time.monotonic() + pause


async def relay(producer: AIOKafkaProducer, targets: Sequence[str], found: Found) -> int:
    moved, sent, target = 0, [], targets[0]
    for place, records in found.items():
        moved += len(records)
        batch = producer.create_batch()
        for record in records:
            if batch.append(timestamp=record.timestamp, key=record.key, value=record.value) is None:
                batch.close()
                sent.append(await producer.send_batch(batch, target, partition=place.partition))
                batch = producer.create_batch()
                batch.append(timestamp=record.timestamp, key=record.key, value=record.value)
        batch.close()
        sent.append(await producer.send_batch(batch, target, partition=place.partition))
    await asyncio.gather(*sent)
    return moved


async def each(producer: AIOKafkaProducer, targets: Sequence[str], found: Found) -> int:
    sent = [
        await producer.send(choose(record.value, targets), record.value, key=record.key, timestamp_ms=record.timestamp)
        for records in found.values()
        for record in records
    ]
    await asyncio.gather(*sent)
    return len(sent)


def choose(value: bytes, targets: Sequence[str]) -> str:
    event = orjson.loads(value)
    if event["type"] == "order" and event["amount"] > 500.0:
        return targets[0]
    if event["user"]["plan"] in ("pro", "team"):
        return targets[1]
    if event["device"].startswith("sensor-"):
        return targets[2]
    if event["type"] in ("order", "view", "click", "reading"):
        return targets[3]
    raise ValueError(f"no rule takes {event}")


if __name__ == "__main__":
    how, brokers, source, count, compression, pause, *targets = sys.argv[1:]
    codec = None if compression == "none" else compression
    asyncio.run(main(how, brokers, source, int(count), codec, float(pause), targets))
