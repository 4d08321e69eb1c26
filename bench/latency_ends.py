"""The two ends of ``bench.latency``: who writes records at a steady rate, and who notes when they arrive.

``python latency_ends.py write BROKERS TOPIC RATE COUNT`` writes a batch to one partition after the other, each when it
is due, whatever became of those before it; a record begins with the time when its batch was made.
``python latency_ends.py read BROKERS COUNT SECONDS TOPIC...`` prints as JSON how long records were under way, in
milliseconds, without those of the first SECONDS. Both go by the monotonic clock, which is one for the machine.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from array import array
from collections.abc import Sequence
from itertools import cycle, islice

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.events import lines

TOGETHER = 50
"""Records of a batch: few, as of applications that send what they have at once."""
DIFFERENT = 10_000
HEAD = b'{"sent":"%020d",'
TIME = slice(9, 29)
LATE_SECONDS = 1.0


async def write(brokers: str, topic: str, rate: int, count: int) -> None:
    events = cycle([line[1:-1] for line in lines(DIFFERENT)])
    async with AIOKafkaProducer(bootstrap_servers=brokers) as producer:
        partitions = cycle(sorted(await producer.partitions_for(topic)))
        began = time.monotonic()
        for number in range(math.ceil(count / TOGETHER)):
            await asyncio.sleep(began + number * TOGETHER / rate - time.monotonic())
            head = HEAD % time.monotonic_ns()
            batch = producer.create_batch()
            for event in islice(events, TOGETHER):
                batch.append(timestamp=None, key=None, value=head + event)
            batch.close()
            await producer.send_batch(batch, topic, partition=next(partitions))
        await producer.flush()
    late = time.monotonic() - began - count / rate
    if late > LATE_SECONDS:
        sys.exit(f"{count} records, {rate} a second, took {late:.1f} s longer to write than they should")


async def read(brokers: str, count: int, left_out: float, topics: Sequence[str]) -> dict[str, float]:
    sent, took = array("q"), array("q")
    async with AIOKafkaConsumer(*topics, bootstrap_servers=brokers, auto_offset_reset="earliest") as consumer:
        while len(sent) < count:
            found = await consumer.getmany(timeout_ms=1000)
            now = time.monotonic_ns()
            times = [int(record.value[TIME]) for records in found.values() for record in records]
            sent.extend(times)
            took.extend(now - then for then in times)
    since = min(sent) + int(left_out * 1e9)
    counted = sorted(nanoseconds / 1e6 for then, nanoseconds in zip(sent, took, strict=True) if then >= since)
    parts = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: counted[min(len(counted) - 1, int(len(counted) * part))] for name, part in parts.items()}


if __name__ == "__main__":
    end, brokers, *rest = sys.argv[1:]
    if end == "write":
        topic, rate, count = rest
        asyncio.run(write(brokers, topic, int(rate), int(count)))
    else:
        count, left_out, *topics = rest
        print(json.dumps(asyncio.run(read(brokers, int(count), float(left_out), topics))))
