"""From MQTT through the shop's two flows to topics of Kafka: one source with QoS 1 and a session, one with QoS 0 whose
records are safe as soon as they are in a disk buffer."""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from cluster_rig import ClusterRig
from harness import SOURCES
from mqtt_world import MqttWorld
from oracle import LETTERS, Findings, Id
from shop import SINKS, Shop

from tests.servers.kafka import KafkaCluster
from tests.servers.mosquitto import PASSWORD, USER, Mosquitto

RECEIVE_MAXIMUM = 500
"""So much the broker sends ahead of acknowledgements, and sends again on the next connection."""
BUFFER_WINDOW = 1000
"""So many records at most are on their way from a disk buffer to its sink."""
BUFFERED = ("disk", "small")
LOG_SETTINGS = ["log_type notice"]
"""What the broker of such a rig is started with: it says who connects."""

_CONFIG = """\
state_dir: ./state
drain_timeout: 15s
http: {{listen: "127.0.0.1:0"}}
connections:
  kafka:
    type: kafka
    brokers: "{brokers}"
    sasl: {{mechanism: SCRAM-SHA-512, username: {user}, password: "{password}"}}
    request_timeout: 3s
    metadata_max_age: 5s
  mqtt:
    type: mqtt
    broker: "{broker}"
    user: {mqtt_user}
    password: "{mqtt_password}"
    keepalive: 2s
    connect_timeout: 3s
defaults:
  sink: {{timeout: 7s, retry: {{backoff: 20ms}}, queue: {{records: {window}}}}}
sources:
  a: {{use: mqtt, client_id: shop-a, topics: ["{a}"], receive_maximum: {receive_maximum}}}
  b: {{use: mqtt, client_id: shop-b, topics: ["{b}"], qos: 0, pending: {{records: {window}}}}}
sinks:
  disk: {{use: kafka, topic: {disk}, key: "${{event.key}}", buffer: {{type: disk, bytes: 64MiB}}}}
  small: {{use: kafka, topic: {small}, key: "${{event.key}}", buffer: {{type: disk, bytes: 64MiB}}}}
  wire: {{use: kafka, topic: {wire}, key: "${{event.key}}"}}
flows: [alpha.yaml, beta.yaml]
"""
_CONNECTED = re.compile(r"New client connected from .* as shop-a ")
_OF_QOS_0 = re.compile(rb'\{"id":"(b)/(\d+)"')


class MqttRig(ClusterRig):
    """A broker, a publisher, topics of the shop's sinks in a cluster, and a daemon between them."""

    world: MqttWorld

    def __init__(self, cluster: KafkaCluster, broker: Mosquitto, shop: Shop | None = None, *, seed: int = 1) -> None:
        super().__init__(cluster, seed)
        self.broker = broker
        self.turn = threading.Lock()
        """Who has it has the connections of the broker to itself."""
        self.loses_qos0 = False
        """Whether a fault of this round may lose what comes with QoS 0."""
        self._connections = self._again = 0
        with self._making():
            published, read = (self._proxy(f"{h}:{p}") for h, p in (broker.addresses.plain, broker.addresses.users))
            self.links = {"publisher": [published], "source": [read], "sinks": self.proxies}
            """What is between the publisher and the broker, the broker and the daemon, the daemon and Kafka."""
            brokers = cluster.addresses.plaintext
            world = MqttWorld(published.address, brokers, shop or Shop(malformed=2000), SOURCES, SINKS)
            self.world = self._opened.enter_context(world)
            self._configure(
                _CONFIG,
                broker=read.address,
                mqtt_user=USER,
                mqtt_password=PASSWORD,
                window=BUFFER_WINDOW,
                receive_maximum=RECEIVE_MAXIMUM,
                **{source: world.filter_for(source) for source in SOURCES},
            )

    def feed(self, source: str, count: int) -> None:
        """Publish so many records more of a source."""
        self.world.feed(source, count)

    # What may come again, or be missing

    def expect_repeats_of_kill(self) -> None:
        """The daemon is dead. What it had not acknowledged comes again as with each new connection; and what was on its
        way from the disk buffers. What is in those is safe."""
        self.repeatable.update(dict.fromkeys(BUFFERED, 2 * BUFFER_WINDOW))
        for sink in BUFFERED:
            self.world.oracle.is_safe(sink, self.buffered(sink))

    def expect_repeats_of_write(self, *sinks: str) -> None:
        """None: what is written again is written under the same number, and brokers of Kafka know it."""

    def buffered(self, sink: str) -> Iterator[Id]:
        """What came with QoS 0 and is in a disk buffer of a daemon that is dead. It is read from a copy, so that the
        next one finds the file as it was left."""
        with tempfile.TemporaryDirectory() as folder:
            for part in (self.folder / "state").glob(f"buffer.{sink}.db*"):
                shutil.copy(part, folder)
            copy = Path(folder) / f"buffer.{sink}.db"
            if not copy.exists():
                return
            with closing(sqlite3.connect(copy)) as connection:
                for (body,) in connection.execute("SELECT body FROM parts"):
                    for source, number in _OF_QOS_0.findall(body):
                        yield source.decode(), int(number)

    # Judging

    def settle(self, seconds: float = 90.0) -> dict[str, Findings]:
        """Wait until nothing is missing and nothing is on its way, at most so long; what the oracle found."""
        if self.loses_qos0:
            self.world.oracle.may_be_missing("b", range(len(self.world.lines["b"])))
        deadline = time.monotonic() + seconds
        while not self._is_settled():
            if time.monotonic() > deadline:
                self.complaints.append(f"after {seconds:g} s it is not at rest: {self.daemon.status()}")
                break
        connections, again = self._connected(), self.world.again
        repeats = RECEIVE_MAXIMUM * (connections - self._connections) + again - self._again
        self._connections, self._again, self.loses_qos0 = connections, again, False
        self.repeatable.update(dict.fromkeys((*SINKS, LETTERS), repeats))
        found, complaints = self.world.judge(self.repeatable)
        self.complaints += complaints
        self.repeatable.clear()
        return found

    def _is_settled(self) -> bool:
        before = self.world.read
        if not self._is_idle():
            time.sleep(0.2)
            return False
        time.sleep(1.0)
        self._show_letters()
        return self._is_idle() and self.world.read == before and not self.world.missing()

    def _is_idle(self) -> bool:
        return self.daemon.is_idle("unsettled", "buffer", "queue", connected=True)

    def _connected(self) -> int:
        """How often the client whose messages come again has connected to the broker."""
        return len(_CONNECTED.findall(self.broker.log.read_text()))
