"""From topics through the shop's two flows to topics, with a daemon that reaches the cluster through proxies and as a
user with a password: everything that faults in and around Kafka need."""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from daemon_process import Daemon
from harness import SOURCES, letters_in
from jumping_clock import CannotJump, JumpingClock
from kafka_world import KafkaWorld
from oracle import Findings
from shop import ALPHA, BETA, SINKS, Shop

from tests.servers.kafka import PASSWORD, USER, KafkaCluster
from tests.servers.proxy import ProxyThread

_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
SETTINGS = {
    "listener.security.protocol.map": (
        "PLAINTEXT:PLAINTEXT,PROXIED:SASL_PLAINTEXT,SSL:SSL,MTLS:SSL,SASL:SASL_SSL,CONTROLLER:PLAINTEXT"
    ),
    "listener.name.proxied.scram-sha-256.sasl.jaas.config": _SCRAM,
    "listener.name.proxied.scram-sha-512.sasl.jaas.config": _SCRAM,
}
"""What the cluster of such a rig is started with: who comes through a proxy has to say who they are."""

SESSION_SECONDS = 8.0
"""The group gives a member's partitions to others when it has not heard of it for so long; nine tenths of it a member
holds on to them without hearing of the group. What is shorter repeats nothing."""
_MEMBER = f"session_timeout: {SESSION_SECONDS}s, heartbeat_interval: 1s, commit_interval: 100ms"

_CONFIG = """\
state_dir: ./state
drain_timeout: 15s
http: {{listen: "127.0.0.1:0"}}
connections:
  main:
    type: kafka
    brokers: "{brokers}"
    sasl: {{mechanism: SCRAM-SHA-512, username: {user}, password: "{password}"}}
    request_timeout: 3s
    metadata_max_age: 5s
defaults:
  sink: {{timeout: 7s, retry: {{backoff: 20ms}}}}
sources:
  a: {{use: main, topics: [{a}], group: {a}, group_instance_id: fault-kit, {member}}}
  b: {{use: main, topics: [{b}], group: {b}, {member}}}
sinks:
  disk: {{use: main, topic: {disk}, key: "${{event.key}}"}}
  small: {{use: main, topic: {small}, key: "${{event.key}}"}}
  wire: {{use: main, topic: {wire}, key: "${{event.key}}"}}
flows: [alpha.yaml, beta.yaml]
"""


class KafkaRig:
    """A running cluster (with ``SETTINGS``), the topics of the shop in it, and a daemon between them. Use it as a
    context: it takes itself away, but for the cluster."""

    def __init__(self, cluster: KafkaCluster, shop: Shop | None = None, *, seed: int = 1) -> None:
        self.cluster = cluster
        self.rng = random.Random(seed)
        self.folder = Path(tempfile.mkdtemp(prefix="sluiceway-faults-"))
        self.repeatable: Counter[str] = Counter()
        """How many repeats the faults may cause, by place."""
        self.complaints: list[str] = []
        self.largest_window = 0
        """Of all kills: how many records there were that had been written and not committed."""
        self.clock: JumpingClock | None = None
        self.why_no_clock = ""
        try:
            self.clock = JumpingClock(self.folder)
        except CannotJump as error:
            self.why_no_clock = str(error)
        self._letters = 0
        with contextlib.ExitStack() as opened:
            opened.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.proxies = [
                opened.enter_context(ProxyThread(node.listeners["PROXIED"], node.proxy_port)) for node in cluster.nodes
            ]
            self.world = opened.enter_context(
                KafkaWorld(cluster.addresses.plaintext, shop or Shop(malformed=2000), SOURCES, SINKS)
            )
            self.daemon = Daemon(self._configure(), environment=self.clock.environment if self.clock else None)
            opened.callback(self._end_daemon)
            self._opened = opened.pop_all()

    def _configure(self) -> Path:
        (self.folder / "alpha.yaml").write_text(ALPHA)
        (self.folder / "beta.yaml").write_text(BETA)
        config = self.folder / "sluiceway.yaml"
        config.write_text(
            _CONFIG.format(
                brokers=self.cluster.addresses.proxied,
                user=USER,
                password=PASSWORD,
                member=_MEMBER,
                **self.world.sources,
                **self.world.sinks,
            )
        )
        return config

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def _end_daemon(self) -> None:
        if self.daemon.runs:
            self.daemon.thaw()
            self.daemon.kill()

    def feed(self, source: str, count: int) -> None:
        """Give a source so many records more."""
        self.world.feed(source, count)

    # What may come again

    def expect_repeats_of_kill(self) -> None:
        """The daemon is dead: what it had written and not committed may come again, once. That is counted."""
        time.sleep(0.3)  # what it had sent is with the brokers by then
        self._expect(self.world.committed())

    @contextlib.contextmanager
    def beginning_anew(self) -> Iterator[None]:
        """Meanwhile the sources may begin anew: what is not committed now and is written by the end may come again."""
        floors = self.world.committed()
        yield
        self._expect(floors)

    def expect_repeats_of_write(self, *sinks: str) -> None:
        """None: what is written again is written under the same number, and brokers know it."""

    def _expect(self, floors: Mapping[str, int]) -> None:
        self._show_letters()
        exposed = self.world.exposed(floors)
        self.repeatable.update(exposed)
        self.largest_window = max(self.largest_window, *exposed.values())

    # Judging

    def settle(self, seconds: float = 90.0) -> dict[str, Findings]:
        """Wait until the groups have committed everything, at most so long; what the oracle found."""
        if not self.world.wait_until_settled(seconds):
            self.complaints.append(f"after {seconds:g} s the groups are at {self.world.committed()}")
        self._show_letters()
        found, complaints = self.world.judge(self.repeatable)
        self.complaints += complaints
        self.repeatable.clear()
        return found

    def _show_letters(self) -> None:
        letters = [letter for letter in letters_in(self.folder / "state") if letter.id > self._letters]
        self._letters = max((letter.id for letter in letters), default=self._letters)
        self.world.show_letters(letters)
