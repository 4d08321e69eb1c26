"""The sink ``kafka`` in a router that runs: what targets and templates choose, under `allow`, and its dead letters."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from daemon_process import Daemon
from kafka_sinks import new_topic, read_all

from connectors.kafka.partitioning import partition_of
from tests.servers.kafka import KafkaAddresses

CONFIG = """\
http: null
connections: {{main: {{type: kafka, brokers: "{brokers}"}}}}
sources: {{in: {{type: file, path: in.ndjson, follow: false}}}}
sinks:
  all: {{use: main, topic: {topic}, key: "${{event.user}}", headers: {{kind: "${{event.kind}}", n: "${{event.n}}"}}}}
  tenants:
    use: main
    topic: "${{event.tenant}}"
    key: "${{event.user}}"
    tombstone: "${{event.kind == 'gone'}}"
    timestamp: "${{event.at}}"
    allow: {{topic: ["topic-*"]}}
flows: [rules.yaml]
"""
RULES = """\
from: [in]
rules:
  - {name: every, to: all, continue: true}
  - name: chosen
    when: has(event.partition)
    to: {sink: tenants, topic: "${event.tenant}", partition: "${event.partition}", key: "${event.n}"}
  - {name: rest, to: tenants}
"""


async def run(folder: Path, config: str, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run the daemon to its end; its dead letters."""
    (folder / "in.ndjson").write_text("".join(json.dumps(event) + "\n" for event in events))
    (folder / "rules.yaml").write_text(RULES)
    (folder / "sluiceway.yaml").write_text(config)
    daemon = Daemon(folder / "sluiceway.yaml")
    await asyncio.to_thread(daemon.start, wait=False)
    try:
        assert await asyncio.to_thread(daemon.wait, 60) == 0, daemon.log.read_text()
    finally:
        if daemon.runs:
            daemon.kill()
    done = await asyncio.to_thread(daemon.command, "dead", "list", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


async def test_records_go_where_the_sink_and_its_targets_say_as_far_as_that_is_allowed(
    kafka: KafkaAddresses, tmp_path: Path
) -> None:
    topic, tenant = await new_topic(kafka.plaintext, 4), await new_topic(kafka.plaintext, 4)
    common = {"kind": "order", "tenant": tenant, "at": "2026-01-02T03:04:05Z"}
    events = [
        {"n": 0, "user": "ann", **common},
        {"n": 1, "user": "bob", **common, "kind": "gone"},
        {"n": 2, "user": "ann", **common, "partition": 3},
        {"n": 3, "user": "ann", **common, "partition": 4},
        {"n": 4, "user": "ann", **common, "tenant": "somebody-elses"},
        {"n": 5, "user": "ann", **common, "tenant": f"{tenant}-missing"},
        {"n": 6, "user": "ann", **common, "at": "noon"},
    ]
    letters = await run(tmp_path, CONFIG.format(brokers=kafka.plaintext, topic=topic), events)

    found = await read_all(kafka.plaintext, topic)
    for record in found:
        event = json.loads(record.value)
        assert (record.key, record.partition) == (event["user"].encode(), partition_of(event["user"].encode(), 4))
        assert dict(record.headers) == {"kind": event["kind"].encode(), "n": b"%d" % event["n"]}
    assert [json.loads(r.value)["n"] for r in found if r.key == b"ann"] == [0, 2, 3, 4, 5, 6]

    found = await read_all(kafka.plaintext, tenant)
    seen = {r.key: (r.partition, r.value and json.loads(r.value)["n"], r.timestamp) for r in found}
    at = 1767323045000
    assert seen == {
        b"ann": (partition_of(b"ann", 4), 0, at),
        b"bob": (partition_of(b"bob", 4), None, at),
        b"2": (3, 2, at),
    }

    told = {
        json.loads(letter["value"])["n"]: (letter["sink"], letter["reason"], letter["detail"]) for letter in letters
    }
    assert set(told) == {3, 4, 5, 6}
    assert told[3] == ("tenants", "refused", f"topic {tenant} has 4 partition(s), and none is 4")
    assert told[4][:2] == ("tenants", "not_allowed")
    assert told[5][1] == "refused"
    assert f"topic {tenant}-missing does not exist" in told[5][2]
    assert "timestamp 'noon' should be RFC 3339" in told[6][2]
