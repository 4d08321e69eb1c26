"""What a daemon costs that has nothing to do: memory, and CPU over a minute, with Kafka, HTTP and files to watch.

It is asked for its metrics every fifteen seconds, as Prometheus would.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import measure
from bench.measure import Usage
from tests.servers.kafka import own_cluster
from tests.servers.ports import claim_port
from tests.servers.topics import create_topic

SECONDS = 60.0
SETTLE_SECONDS = 10.0
"""So long the daemon is left alone after its start, before it is measured."""
SCRAPE_SECONDS = 15.0
PATIENCE = 60.0
RSS_MB = 90.0
CPU_SHARE = 0.01
"""What is promised of an idle daemon: memory, and the share of one core."""

_DAEMON = """\
state_dir: ./state
http: {{listen: "127.0.0.1:{port}"}}
connections: {{main: {{type: kafka, brokers: "{brokers}"}}}}
sources:
  orders: {{use: main, topics: [{orders}], group: idle}}
  hooks: {{type: http, listen: "127.0.0.1:{hooks}"}}
  logs: {{type: file, path: in/*.ndjson}}
sinks:
  vip: {{use: main, topic: {vip}}}
  archive: {{type: file, path: "out/${{time.format(meta.time, '%Y-%m-%d')}}.ndjson"}}
flows: [idle.yaml]
"""
_RULES = """\
from: [orders, hooks, logs]
rules:
  - {name: vip, when: event.amount > 500.0, to: vip}
  - {name: rest, to: archive}
"""


def configure(folder: Path, brokers: str, topics: Sequence[str], port: int) -> Path:
    """The daemon's file of an idle daemon, in a folder, with one file to watch."""
    (folder / "in").mkdir()
    (folder / "in" / "old.ndjson").write_text('{"amount": 1}\n')
    (folder / "idle.yaml").write_text(_RULES)
    config = folder / "sluiceway.yaml"
    orders, vip = topics
    config.write_text(_DAEMON.format(brokers=brokers, orders=orders, vip=vip, port=port, hooks=claim_port()))
    return config


def watch(seconds: float, port: int) -> Callable[[int], Usage]:
    """What measures a daemon, by its process id, over so many seconds once it is ready and has settled."""

    def work(pid: int) -> Usage:
        _wait_until_ready(port)
        time.sleep(min(SETTLE_SECONDS, seconds))
        before, end = measure.usage(pid), time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            _get(port, "/metrics")
            time.sleep(min(SCRAPE_SECONDS, left))
        after = measure.usage(pid)
        return Usage(after.seconds - before.seconds, after.cpu - before.cpu, after.rss_mb)

    return work


def _wait_until_ready(port: int) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return _get(port, "/readyz")
        except OSError:
            if time.monotonic() > end:
                raise TimeoutError from None
            time.sleep(0.1)


def _get(port: int, page: str) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=10) as answer:
        answer.read()


def main(arguments: list[str]) -> int:
    """Print memory and CPU; exit status 1 when they are above what is promised."""
    parser = argparse.ArgumentParser(prog="python -m bench idle", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--keep-log", type=Path, help="write the daemon's log to this file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sluiceway-idle-") as made, own_cluster() as cluster:
        folder, brokers, port = Path(made), cluster.addresses.plaintext, claim_port()
        topics = [asyncio.run(create_topic(brokers, 4, prefix=name)) for name in ("orders", "vip")]
        config = configure(folder, brokers, topics, port)
        command, log = [measure.SLUICEWAY, "run", str(config)], options.keep_log or folder / "log"
        usage, _ = measure.run_beside(command, watch(options.seconds, port), log=log)
    share = usage.cpu / usage.seconds
    print(f"over {usage.seconds:.0f} s: {usage.rss_mb:.1f} MB, {share:.2%} of a core ({os.cpu_count()} cores)")
    kept = usage.rss_mb <= RSS_MB and share <= CPU_SHARE
    print(f"promised: at most {RSS_MB:g} MB and {CPU_SHARE:.0%}: {'kept' if kept else 'BROKEN'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
