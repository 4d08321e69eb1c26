"""A daemon that reaches a Kafka through proxies and as a user with a password, and whose clock can jump: what faults
around Kafka need."""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from daemon_process import Daemon
from harness import letters_in
from jumping_clock import CannotJump, JumpingClock
from oracle import Findings
from shop import ALPHA, BETA
from sink_topics import SinkTopics

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


class ClusterRig:
    """A running cluster (with ``SETTINGS``), and a daemon with the shop's two flows. Use it as a context: it takes
    itself away, but for the cluster. Who inherits it makes its world and its configuration."""

    world: SinkTopics
    daemon: Daemon

    def __init__(self, cluster: KafkaCluster, seed: int) -> None:
        self.cluster = cluster
        self.rng = random.Random(seed)
        self.folder = Path(tempfile.mkdtemp(prefix="sluiceway-faults-"))
        self.repeatable: Counter[str] = Counter()
        """How many repeats the faults may cause, by place."""
        self.complaints: list[str] = []
        self.clock: JumpingClock | None = None
        self.why_no_clock = ""
        self._letters = 0
        self._opened = contextlib.ExitStack()
        self._opened.callback(shutil.rmtree, self.folder, ignore_errors=True)
        try:
            self.clock = JumpingClock(self.folder)
        except CannotJump as error:
            self.why_no_clock = str(error)
        with self._making():
            self.proxies = [self._proxy(node.listeners["PROXIED"], node.proxy_port) for node in cluster.nodes]
            """Everything between the daemon and Kafka."""

    @contextlib.contextmanager
    def _making(self) -> Iterator[None]:
        """What was made so far is taken away if the rest fails."""
        try:
            yield
        except BaseException:
            self._opened.close()
            raise

    @property
    def topics(self) -> list[str]:
        """Everything in the cluster that the daemon needs a right to."""
        return list(self.world.sinks.values())

    def _proxy(self, target: str, port: int = 0) -> ProxyThread:
        return self._opened.enter_context(ProxyThread(target, port))

    def _configure(self, text: str, **values: object) -> None:
        """Make the daemon. What stands in braces in the text is filled in: how to reach the cluster, topics of sinks,
        and these values."""
        (self.folder / "alpha.yaml").write_text(ALPHA)
        (self.folder / "beta.yaml").write_text(BETA)
        config = self.folder / "sluiceway.yaml"
        reach = {"brokers": self.cluster.addresses.proxied, "user": USER, "password": PASSWORD}
        config.write_text(text.format(**reach, **self.world.sinks, **values))
        self.daemon = Daemon(config, environment=self.clock.environment if self.clock else None)
        self._opened.callback(self._end_daemon)

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
        raise NotImplementedError

    def settle(self, seconds: float = 90.0) -> dict[str, Findings]:
        """Wait until nothing is on its way any more, at most so long; what the oracle found."""
        raise NotImplementedError

    def _show_letters(self) -> None:
        """Show the oracle the dead letters that it has not seen."""
        letters = [letter for letter in letters_in(self.folder / "state") if letter.id > self._letters]
        self._letters = max((letter.id for letter in letters), default=self._letters)
        self.world.show_letters(letters)
