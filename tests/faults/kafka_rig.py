"""From topics through the shop's two flows to topics."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping

from cluster_rig import ClusterRig
from harness import SOURCES
from kafka_world import KafkaWorld
from oracle import Findings
from shop import SINKS, Shop

from tests.servers.kafka import KafkaCluster

SESSION_SECONDS = 8.0
"""The group gives a member's partitions to others when it has not heard of it for so long; nine tenths of it a member
holds on to them without hearing of the group. What is shorter repeats nothing."""
_RECOVERY_SECONDS = 1.5
"""How long it takes at most until a source and its group have heard of each other again."""
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


class KafkaRig(ClusterRig):
    """The topics of the shop in a cluster, and a daemon between them."""

    world: KafkaWorld

    def __init__(self, cluster: KafkaCluster, shop: Shop | None = None, *, seed: int = 1) -> None:
        super().__init__(cluster, seed)
        self.largest_window = 0
        """Of all kills: how many records there were that had been written and not committed."""
        with self._making():
            world = KafkaWorld(cluster.addresses.plaintext, shop or Shop(malformed=2000), SOURCES, SINKS)
            self.world = self._opened.enter_context(world)
            self._configure(_CONFIG, member=_MEMBER, **world.sources)

    @property
    def topics(self) -> list[str]:
        """Everything in the cluster that the daemon needs a right to."""
        return [*super().topics, *self.world.sources.values()]

    def feed(self, source: str, count: int) -> None:
        """Give a source so many records more."""
        self.world.feed(source, count)

    # What may come again

    def expect_repeats_of_kill(self) -> None:
        """The daemon is dead: what it had written and not committed may come again, once. That is counted."""
        time.sleep(0.3)  # what it had sent is with the brokers by then
        exposed = self._expect(self.world.committed())
        self.largest_window = max(self.largest_window, *exposed.values())

    @contextlib.contextmanager
    def beginning_anew(self) -> Iterator[None]:
        """Meanwhile the sources may begin anew: what is not committed now and is written by the end may come again."""
        floors, began = self.world.committed(), time.monotonic()
        yield
        # What is over may have lasted for so long that a source begins anew now, when sinks write again.
        time.sleep(max(_RECOVERY_SECONDS, began + SESSION_SECONDS - time.monotonic()))
        self._expect(floors)

    def expect_repeats_of_write(self, *sinks: str) -> None:
        """None: what is written again is written under the same number, and brokers know it."""

    def _expect(self, floors: Mapping[str, int]) -> dict[str, int]:
        self._show_letters()
        exposed = self.world.exposed(floors)
        self.repeatable.update(exposed)
        return exposed

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
