"""``python tests/faults``: random faults for a time. ``kill``: one large file, many kills. ``fuzz-http``: malformed
requests in great number. ``kill-http``: clients that post with retries, many kills. ``kafka``: faults in and around
Kafka. ``kafka-group``: members of a group that are killed."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # for what tests share

import fuzz_http
import kafka_group
import kill
import kill_http
import run
import run_kafka

MAINS = {
    "kill": kill.main,
    "fuzz-http": fuzz_http.main,
    "kill-http": kill_http.main,
    "kafka": run_kafka.main,
    "kafka-group": kafka_group.main,
}

if __name__ == "__main__":
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it says a lot about brokers that are away
    name, *rest = sys.argv[1:] or [""]
    sys.exit(MAINS[name](rest) if name in MAINS else run.main(sys.argv[1:]))
