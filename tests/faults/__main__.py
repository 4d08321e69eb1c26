"""``python tests/faults``: random faults for a time. ``kill``: one large file, many kills. ``fuzz-http``: malformed
requests in great number. ``kill-http``: clients that post with retries, many kills. ``kafka``: faults in and around
Kafka. ``kafka-group``: members of a group that are killed. ``mqtt``: faults of every party from MQTT to Kafka.
``http``: random faults with a server of HTTP, which answers nonsense, too. ``dedupe``: kills and outages over a flow
that lets one record of each key pass. ``reload``: reloads, right and wrong ones by turns, under full load."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # for what tests share

import dedupe
import fuzz_http
import kafka_group
import kill
import kill_http
import reloads
import run
import run_kafka
import run_mqtt

MAINS: dict[str, Callable[[list[str]], int]] = {
    "kill": kill.main,
    "fuzz-http": fuzz_http.main,
    "kill-http": kill_http.main,
    "http": partial(run.main, http=True),
    "kafka": run_kafka.main,
    "mqtt": run_mqtt.main,
    "kafka-group": kafka_group.main,
    "dedupe": dedupe.main,
    "reload": reloads.main,
}

if __name__ == "__main__":
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it says a lot about brokers that are away
    name, *rest = sys.argv[1:] or [""]
    sys.exit(MAINS[name](rest) if name in MAINS else run.main(sys.argv[1:]))
