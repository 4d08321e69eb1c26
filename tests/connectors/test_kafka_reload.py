"""Reloads of a router that reads from Kafka and writes to it: connections that did not change stay, wrong ones are
repaired under a full queue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon_process import Daemon
from kafka_sinks import new_topic, read_all

from tests.servers.kafka import KafkaAddresses
from tests.servers.ports import claim_port

RECORDS = 3_000
CONFIG = """\
http: {{listen: "127.0.0.1:0"}}
sources: {{in: {{type: file, path: in.ndjson, follow: true, poll: 20ms}}}}
sinks: {{out: {{type: kafka, brokers: "{brokers}", topic: {topic}, queue: {{records: 500}}, timeout: 5s}}}}
flows: [rules.yaml]
"""
RULES = "from: [in]\nrules: [{to: out}]\n"


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.05)


async def test_the_right_address_lets_a_full_queue_go_to_kafka_in_order_and_nothing_is_lost(
    kafka: KafkaAddresses, tmp_path: Path
) -> None:
    topic = await new_topic(kafka.plaintext, 1)
    config = tmp_path / "sluiceway.yaml"
    lines = [json.dumps({"n": number}) for number in range(RECORDS)]
    (tmp_path / "in.ndjson").write_text("\n".join(lines) + "\n")
    (tmp_path / "rules.yaml").write_text(RULES)
    config.write_text(CONFIG.format(brokers=f"127.0.0.1:{claim_port()}", topic=topic))
    daemon = Daemon(config)
    await asyncio.to_thread(daemon.start)
    try:
        await until(lambda: not daemon.is_idle("queue"))
        assert daemon.status()["sinks"]["out"]["connected"] is False
        config.write_text(CONFIG.format(brokers=kafka.plaintext, topic=topic))
        await until(lambda: daemon.is_idle("unsettled", "queue", connected=True))
        written = daemon.metrics()["sluiceway_sink_records_total{sink=out}"]
        assert await asyncio.to_thread(daemon.stop) == 0
    finally:
        if daemon.runs:
            daemon.kill()
    found = await read_all(kafka.plaintext, topic)
    assert [json.loads(record.value)["n"] for record in found] == list(range(RECORDS))
    assert written == RECORDS
