"""Apache Kafka itself, in KRaft mode: one node or several, each with every kind of listener side by side.

with KafkaCluster(folder, certificates) as cluster:
    cluster.addresses.plaintext          # "127.0.0.1:21092", what clients take as brokers
    cluster.nodes[0].kill()              # SIGKILL; then start() brings it back with the same data and ports
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives import serialization

from tests.certificates import Certificates, make_certificates
from tests.servers import kafka_distribution
from tests.servers.kafka_distribution import Distribution
from tests.servers.kafka_readiness import wait_until_ready
from tests.servers.locks import alone
from tests.servers.ports import claim_port
from tests.servers.process import ServerProcess

LISTENERS = {
    "PLAINTEXT": "PLAINTEXT",
    "PROXIED": "PLAINTEXT",
    "SSL": "SSL",
    "MTLS": "SSL",
    "SASL": "SASL_SSL",
    "CONTROLLER": "PLAINTEXT",
}
"""The listeners of a node by name, with the protocol of each. SASL is SCRAM, SHA-256 or SHA-512."""
USER, PASSWORD = "alice", "the password of alice"
"""Who may log in on the SASL listener."""
QUICK = (*kafka_distribution.QUICK_START, "-Xmx256m")
FAST = ("-XX:+UseSerialGC", "-Xmx512m")
"""For load: slower to start, and compiled with every optimisation."""
COMMAND_SECONDS = 120.0
_SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")

_LOGGING = """\
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1} %m%n
"""


@dataclass(frozen=True)
class KafkaAddresses:
    """Where a cluster is reached: for each listener its brokers, as clients take them."""

    plaintext: str
    ssl: str
    """TLS; clients need no certificate."""
    mtls: str
    """TLS; clients need a certificate of the same authority."""
    sasl: str
    """TLS, and a user with a password by SCRAM."""
    proxied: str
    """Plain text through proxies that a test starts: nobody listens there by itself, and clients that begin there are
    told no other address."""


class KafkaCluster:
    """A cluster of ``nodes`` brokers that are controllers too; with three, topics survive the loss of one.

    Topics are made by whoever wants them, never by a client that only asks for them. On the listeners without users
    everything is allowed; to what the user of the SASL listener may do there is no limit until an access rule names it.

    settings: further properties of every node; options: options for Java, QUICK or FAST."""

    def __init__(
        self,
        folder: Path,
        certificates: Certificates,
        *,
        nodes: int = 1,
        settings: Mapping[str, str] | None = None,
        options: Sequence[str] = QUICK,
    ) -> None:
        self._distribution = kafka_distribution.fetch()
        self._identity = _random_id()
        keys = _Keystores(folder, certificates)
        self.nodes = [KafkaNode(number, folder / f"node-{number}") for number in range(1, nodes + 1)]
        for node in self.nodes:
            properties = self._properties(node) | keys.properties | dict(settings or {})
            node.configure(self._distribution, properties, options)

    @property
    def addresses(self) -> KafkaAddresses:
        """Where clients connect."""
        names = ("plaintext", "ssl", "mtls", "sasl", "proxied")
        return KafkaAddresses(**{name: ",".join(n.advertised(name.upper()) for n in self.nodes) for name in names})

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start every node that does not run; returns when clients can connect. Raises NotStarted."""
        starting = [node for node in self.nodes if not node.running]
        if not self.nodes[0].is_formatted:
            self._format()
        for node in starting:
            node.process.launch()
        for node in starting:
            node.wait_until_ready()

    def kill(self) -> None:
        """SIGKILL for all of them."""
        for node in self.nodes:
            node.process.kill()

    def deny(self, topic: str) -> None:
        """Take the rights to a topic from the user of the SASL listener, who has all of them to begin with."""
        who = ("--add", "--deny-principal", f"User:{USER}")
        self.command("org.apache.kafka.tools.AclCommand", *who, "--topic", topic, "--force")

    def allow(self, topic: str) -> None:
        """Give them back."""
        self.command("org.apache.kafka.tools.AclCommand", "--remove", "--topic", topic, "--force")

    def set_password(self, password: str) -> None:
        """Give the user of the SASL listener another password. Connections that are open stay so."""
        for way in _SCRAM:
            self._alter_user("--add-config", f"{way}=[password={password}]")

    def remove_user(self) -> None:
        """Let the user of the SASL listener in no more. Connections that are open stay so."""
        for way in _SCRAM:
            self._alter_user("--delete-config", way)

    def _alter_user(self, *change: str) -> None:
        whom = ("--alter", "--entity-type", "users", "--entity-name", USER)
        self.command("org.apache.kafka.tools.ConfigCommand", *whom, *change)

    def command(self, main: str, *arguments: str) -> str:
        """Run one of Kafka's own commands against the cluster, such as ``org.apache.kafka.tools.AclCommand``; its
        output."""
        to = ("--bootstrap-server", self.addresses.plaintext)
        return _run(self._distribution.command(main, *to, *arguments))

    def _format(self) -> None:
        """Lay out the storage of the first node, and of the others after it: they differ in who they are alone."""
        first, *others = self.nodes
        voters = ",".join(f"{n.number}@{n.listeners['CONTROLLER']}:{n.directory_id}" for n in self.nodes)
        arguments = [
            f"--config={first.properties}",
            f"--cluster-id={self._identity}",
            f"--initial-controllers={voters}",
        ]
        arguments += [f"--add-scram={way}=[name={USER},password={PASSWORD}]" for way in _SCRAM]
        command = self._distribution.command("kafka.tools.StorageTool", "format", *arguments)
        _run(command)
        for node in others:
            shutil.copytree(first.data, node.data)
            identity = {"version": "1", "cluster.id": self._identity}
            identity |= {"node.id": str(node.number), "directory.id": node.directory_id}
            (node.data / "meta.properties").write_text(_as_properties(identity))

    def _properties(self, node: KafkaNode) -> dict[str, str]:
        copies = min(len(self.nodes), 3)
        safe = max(1, copies - 1)
        return {
            "process.roles": "broker,controller",
            "node.id": str(node.number),
            "controller.quorum.bootstrap.servers": ",".join(n.listeners["CONTROLLER"] for n in self.nodes),
            "controller.listener.names": "CONTROLLER",
            "listeners": ",".join(f"{name}://{address}" for name, address in node.listeners.items()),
            "advertised.listeners": ",".join(
                f"{name}://{node.advertised(name)}" for name in LISTENERS if name != "CONTROLLER"
            ),
            "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in LISTENERS.items()),
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(node.data),
            "auto.create.topics.enable": "false",
            "default.replication.factor": str(copies),
            "min.insync.replicas": str(safe),
            "offsets.topic.replication.factor": str(copies),
            "transaction.state.log.replication.factor": str(copies),
            "transaction.state.log.min.isr": str(safe),
            # Tests wait for nothing that is only there to save work in a large cluster.
            "offsets.topic.num.partitions": "3",
            "transaction.state.log.num.partitions": "3",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "500",
            "broker.heartbeat.interval.ms": "500",
            "broker.session.timeout.ms": "3000",
            "log.cleaner.dedupe.buffer.size": str(16 * 2**20),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "allow.everyone.if.no.acl.found": "true",
        }


@contextmanager
def own_cluster(nodes: int = 1, settings: Mapping[str, str] | None = None) -> Iterator[KafkaCluster]:
    """A cluster for long work, in a folder of its own, as long as the context."""
    with tempfile.TemporaryDirectory(prefix="sluiceway-kafka-") as name:
        folder = Path(name)
        certificates = make_certificates(folder / "certificates")
        with KafkaCluster(folder / "kafka", certificates, nodes=nodes, settings=settings, options=FAST) as cluster:
            yield cluster


def prepare() -> None:
    """Have all that a cluster is started from, and Java's archive of classes, with which it starts in two thirds of the
    time. Only the first call on a machine does anything. Raises Unavailable."""
    archive = kafka_distribution.fetch().class_archive
    with alone(archive.with_suffix(".lock")):
        if not archive.exists():
            with tempfile.TemporaryDirectory(prefix="sluiceway-kafka-") as work:
                _archive_classes(archive, Path(work))


def _archive_classes(archive: Path, work: Path) -> None:
    """Java writes the archive of what a node has loaded when the node ends in order."""
    unfinished = archive.with_suffix(".unfinished")
    options = [*QUICK, f"-XX:ArchiveClassesAtExit={unfinished}"]
    with KafkaCluster(work / "kafka", make_certificates(work / "certificates"), options=options) as cluster:
        cluster.nodes[0].stop()
    unfinished.rename(archive)


class KafkaNode:
    """One broker. ``kill``, ``freeze``, ``thaw``, ``stop`` do that to its process; ``start`` brings it back."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.folder = folder
        self.data = folder / "data"
        self.directory_id = _random_id()
        self.properties = folder / "server.properties"
        self.listeners = {name: f"127.0.0.1:{claim_port()}" for name in LISTENERS}
        """Where it listens."""
        self.proxy_port = claim_port()
        """The port that its PROXIED listener tells clients: where a test's proxy listens, whose target is
        ``listeners["PROXIED"]``."""
        self.process: ServerProcess

    @property
    def running(self) -> bool:
        """Whether its process lives, frozen or not."""
        return self.process.running

    @property
    def is_formatted(self) -> bool:
        """Whether it has storage."""
        return (self.data / "meta.properties").exists()

    def advertised(self, listener: str) -> str:
        """The address that clients of a listener are told."""
        return f"127.0.0.1:{self.proxy_port}" if listener == "PROXIED" else self.listeners[listener]

    def configure(self, distribution: Distribution, properties: Mapping[str, str], options: Sequence[str]) -> None:
        """Write its files and say how it is run."""
        self.folder.mkdir(parents=True)
        self.properties.write_text(_as_properties(properties))
        logging = self.folder / "log4j2.properties"
        logging.write_text(_LOGGING)
        command = distribution.command(
            "kafka.Kafka", str(self.properties), options=(*options, f"-Dlog4j2.configurationFile={logging}")
        )
        ports = [_port(address) for address in self.listeners.values()]
        self.process = ServerProcess(command, ports, self.folder / "server.log")

    def start(self) -> None:
        """Start it again; returns when clients can connect. Raises NotStarted."""
        self.process.launch()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Return once clients are served, idempotent producers too. Raises NotStarted."""
        self.process.wait_until_listening()
        wait_until_ready(_port(self.listeners["PLAINTEXT"]))

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def stop(self) -> None:
        """SIGTERM: it hands over what it leads, and ends."""
        self.process.stop()

    def freeze(self) -> None:
        """SIGSTOP: its connections stay, and nobody answers."""
        self.process.freeze()

    def thaw(self) -> None:
        """SIGCONT: it goes on where it was."""
        self.process.thaw()


class _Keystores:
    """The certificates as Kafka reads them: PEM files, the key in PKCS #8."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        self._store = folder / "server.pem"
        self._trust = certificates.ca
        key = serialization.load_pem_private_key((certificates.folder / "server.key").read_bytes(), password=None)
        pkcs8 = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        folder.mkdir(parents=True, exist_ok=True)
        self._store.write_bytes(pkcs8 + (certificates.folder / "server.pem").read_bytes())

    @property
    def properties(self) -> dict[str, str]:
        """What a node must be told of them, and of who may log in."""
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._store),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._trust),
            "listener.name.mtls.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": ",".join(_SCRAM),
            **{f"listener.name.sasl.{way.lower()}.sasl.jaas.config": scram for way in _SCRAM},
        }


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _as_properties(properties: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def _run(command: Sequence[str]) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ... {' '.join(command[-8:])} failed: {done.stdout}{done.stderr}")
    return done.stdout


def _random_id() -> str:
    """An identifier as Kafka makes them: 16 bytes, and never a leading dash."""
    return "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
