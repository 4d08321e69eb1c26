"""The floors of ``bench.kafka``: what somebody would write by hand to move records from one topic to another.

``python kafka_floor.py relay|each BROKERS FROM TO COUNT COMPRESSION [SECONDS]``. ``relay`` reads what there is, makes
a batch of each partition's records and sends it to the same partition; ``each`` sends record by record. Both look at no
record, and commit when what they have read is written, but no sooner than SECONDS after the last time.
"""

import asyncio
import sys
import time
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

Found = dict[TopicPartition, list[Any]]
BATCH_BYTES = 512 * 2**10


async def main(
    how: str, brokers: str, source: str, target: str, count: int, compression: str | None, pause: float
) -> None:
    consumer = AIOKafkaConsumer(
        source, bootstrap_servers=brokers, group_id=target, auto_offset_reset="earliest", enable_auto_commit=False
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
            moved += await move(producer, target, found)
            if time.monotonic() >= due or moved >= count:
                await consumer.commit()
                due = time.monotonic() + pause


async def relay(producer: AIOKafkaProducer, target: str, found: Found) -> int:
    moved, sent = 0, []
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


async def each(producer: AIOKafkaProducer, target: str, found: Found) -> int:
    sent = [
        await producer.send(target, record.value, record.key, partition=place.partition, timestamp_ms=record.timestamp)
        for place, records in found.items()
        for record in records
    ]
    await asyncio.gather(*sent)
    return len(sent)


if __name__ == "__main__":
    how, brokers, source, target, count, compression, pause = [*sys.argv[1:], "0"][:7]
    codec = None if compression == "none" else compression
    asyncio.run(main(how, brokers, source, target, int(count), codec, float(pause)))
