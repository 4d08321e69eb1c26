"""Three members of one group, of which one is killed every few seconds under load: nothing is lost, no old owner writes
after the new one, and no more comes again than those who were killed had written and not committed.

Each record goes to the partition that it came from, with the lease under which it was read: what is there tells who
owned the partition when.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from daemon_process import Daemon, install_plugins
from kafka_world import KafkaWorld
from oracle import Findings, Verdict
from shop import Shop
from sink_topics import PARTITIONS

from tests.servers.kafka import own_cluster

MEMBERS = 3
SESSION_SECONDS = 3

_CONFIG = """\
state_dir: ./state
http: {{listen: "127.0.0.1:0"}}
sources:
  a:
    type: leased_kafka
    brokers: "{brokers}"
    request_timeout: 3s
    topics: [{source}]
    group: {source}
    session_timeout: {session}s
    heartbeat_interval: 500ms
    commit_interval: 100ms
sinks:
  out:
    type: kafka
    brokers: "{brokers}"
    request_timeout: 3s
    topic: {sink}
    partition: "${{meta.partition}}"
    headers: {{lease: "${{meta.lease}}"}}
flows: [all.yaml]
"""
_FLOW = """\
from: [a]
rules: [{name: all, to: out}]
"""
_KEY = re.compile(rb'"key":"(k\d+)"')


class Everything(Shop):
    """The shop's records, all of which go to one sink."""

    def __init__(self) -> None:
        super().__init__(malformed=0)

    @staticmethod
    def judge(source: str, line: bytes) -> Verdict:
        """To the sink, as it is."""
        found = _KEY.search(line)
        return Verdict(sinks={"out": None}, key=found[1] if found else b"")


class Owners:
    """Who has written to each partition: each lease in one go, or an old owner has written after a new one."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.changes = 0
        self._present: dict[int, str] = {}
        self._past: set[tuple[int, str]] = set()

    def read(self, sink: str, record: Any) -> None:
        """The next record of its partition."""
        lease, partition = dict(record.headers)["lease"].decode(), record.partition
        self.show(partition, lease, f"{sink}, offset {record.offset}: {record.value!r}")
        if (found := Shop.identify(record.value)) is not None and found[0][1:] != str(partition):
            self.complaints.append(f"in partition {partition}: {record.value!r}")

    def show(self, partition: int, lease: str, what: str = "") -> None:
        """The next write to a partition was made under this lease."""
        present = self._present.get(partition)
        if present == lease:
            return
        self.changes += 1
        self._present[partition] = lease
        if present is not None:
            self._past.add((partition, present))
        if (partition, lease) in self._past:
            self.complaints.append(f"written under lease {lease} after {present}, partition {partition}: {what}")

    def of(self, pid: int) -> set[int]:
        """The partitions to which this process was the last to write."""
        return {number for number, lease in self._present.items() if lease.startswith(f"{pid}.")}


class Ordeal:
    """A group of daemons in a cluster, each with a folder of its own, and a load for them."""

    def __init__(self, brokers: str, rate: int, rng: random.Random) -> None:
        self.owners = Owners()
        self.kills = 0
        self.repeatable: Counter[str] = Counter()
        self._rng = rng
        self._rate = rate
        self._over = threading.Event()
        self._folder = Path(tempfile.mkdtemp(prefix="sluiceway-group-"))
        with ExitStack() as opened:
            opened.callback(shutil.rmtree, self._folder)
            self.world = opened.enter_context(KafkaWorld(brokers, Everything(), ["a"], ["out"], self.owners))
            path = install_plugins(self._folder / "site")
            self.members = [Daemon(self._configure(number, brokers), path) for number in range(MEMBERS)]
            for member in self.members:
                opened.callback(_end, member)
            self._feeder = threading.Thread(target=self._feed, name="feeder")
            self._opened = opened.pop_all()

    def _configure(self, number: int, brokers: str) -> Path:
        folder = self._folder / str(number)
        folder.mkdir()
        (folder / "all.yaml").write_text(_FLOW)
        config = folder / "sluiceway.yaml"
        config.write_text(
            _CONFIG.format(
                brokers=brokers, source=self.world.sources["a"], sink=self.world.sinks["out"], session=SESSION_SECONDS
            )
        )
        return config

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_feeding()
        self._opened.close()

    def suffer(self, kills: int, every: float) -> dict[str, Findings]:
        """Kill one and start it again, about every so many seconds; what the oracle found when all is done."""
        for member in self.members:
            member.start()
        self._feeder.start()
        for _ in range(kills):
            time.sleep(every * self._rng.uniform(0.8, 1.2))
            self._kill(self._rng.choice(self.members))
        self._stop_feeding()
        if not self.world.wait_until_settled(60):
            self.owners.complaints.append(f"after 60 s the group is at {self.world.committed()}")
        found, complaints = self.world.judge(self.repeatable)
        self.owners.complaints += complaints
        return found

    def _kill(self, member: Daemon) -> None:
        pid = member.pid
        member.kill()
        self.kills += 1
        time.sleep(0.3)  # what it had sent is with the brokers by then
        self.world.catch_up()
        owned = {f"a{number}" for number in self.owners.of(pid)}
        floors = {source: at if source in owned else 1 << 62 for source, at in self.world.committed().items()}
        exposed = self.world.exposed(floors)
        self.repeatable.update(exposed)
        print(
            f"  kill {self.kills}: {len(owned)} partition(s), {exposed.get('out', 0)} written and not committed",
            flush=True,
        )
        member.start()

    def _feed(self) -> None:
        while not self._over.wait(0.05):
            self.world.feed("a", 1 + int(self._rng.expovariate(20 / self._rate)))

    def _stop_feeding(self) -> None:
        self._over.set()
        if self._feeder.is_alive():
            self._feeder.join()


def _end(member: Daemon) -> None:
    if member.runs:
        member.kill()


def main(arguments: list[str]) -> int:
    """Print what was counted; exit status 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python tests/faults kafka-group", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two kills")
    parser.add_argument("--rate", type=int, default=5000, help="records a second")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args(arguments)
    print(f"{MEMBERS} members, one killed every {options.every:g} s, seed {options.seed}", flush=True)
    with own_cluster() as cluster:
        brokers = cluster.addresses.plaintext
        with Ordeal(brokers, options.rate, random.Random(options.seed)) as ordeal:
            found = ordeal.suffer(max(1, round(options.seconds / options.every)), options.every)
            fed = len(ordeal.world)
    findings = found["out"]
    print(f"{fed:,} records in {PARTITIONS} partitions, {ordeal.kills} kills, {ordeal.owners.changes} changes of owner")
    print("".join(f"{column:>12}" for column in (*Findings.KINDS, "repeats", "bound")))
    print("".join(f"{getattr(findings, column):>12}" for column in (*Findings.KINDS, "repeats", "bound")))
    for complaint in (*ordeal.owners.complaints[:10], *(f"{k}: {v}" for k, v in findings.examples.items())):
        print(f"  {complaint}")
    broken = bool(findings.violations or ordeal.owners.complaints)
    print("BROKEN" if broken else "nothing is lost, and no old owner wrote after the new one")
    return int(broken)
