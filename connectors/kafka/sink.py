"""The sink ``kafka``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from connectors.kafka.connection import KafkaConfig
from connectors.kafka.outgoing import Defaults, time_of
from router import Batch, NotConnected, PerRecord, Settings, Size

if TYPE_CHECKING:
    from connectors.kafka.writer import Writer


class Create(Settings):
    """What a topic is made like."""

    partitions: Annotated[int, Field(ge=1)]
    """How many partitions it gets."""
    replication: Annotated[int, Field(ge=1)]
    """How many brokers keep a copy of each."""
    settings: dict[str, str] = Field(default_factory=dict)
    """Its other settings, such as `{cleanup.policy: compact}`."""


class KafkaSinkConfig(KafkaConfig):
    """The settings of the sink ``kafka``."""

    topic: Annotated[str, Field(min_length=1), PerRecord()]
    """Where to. It may hold `${CEL}`; then `allow: {topic: [...]}` should say which topics records may choose."""
    key: Annotated[str | None, PerRecord()] = None
    """The key: records with the same one go to the same partition, in their order. `${meta.?key}` keeps that of the
    source, and none where there is none. Without it, or where it is null, there is none."""
    partition: Annotated[Annotated[int, Field(ge=0)] | None, PerRecord()] = None
    """The partition, such as `${meta.partition}`. Without it, or where it is null, the key says which."""
    headers: Annotated[dict[str, str], PerRecord()] = Field(default_factory=dict)
    """Headers, such as `{origin: sluiceway, type: "${event.type}"}`. `${meta.headers}` takes those of the
    source over, with names in lower case, and of several by one name the last."""
    timestamp: Annotated[str | int | None, PerRecord()] = None
    """The record's time, as RFC 3339 or in Unix milliseconds. Without it, or where it is null, that which the source
    gave the record, else when it was read."""
    tombstone: Annotated[bool, PerRecord()] = False
    """Whether the record goes out without a value, which in a compacted topic says that its key is gone:
    `tombstone: "${event.op == 'delete'}"`, or `true` on a target; `${meta.tombstone}` passes those of a `kafka` source
    on, which are `null` or empty otherwise. It needs a key."""
    acks: Literal["all", 1, 0] = "all"
    """How many copies count as written: those of all replicas that are in sync, that of the leader, or none: then
    records are written once they are on their way, and what becomes of them nobody hears."""
    idempotence: bool = True
    """Whether brokers see to it that a batch which is sent again, because its answer was lost, is there once. It needs
    `acks: all`, and is off without that."""
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "zstd"
    """How batches are compressed. zstd saves the most; snappy costs a third of its time; gzip and lz4, which are used
    at their level 9, cost ten times its time and more."""
    max_request_size: Annotated[Size, Field(gt=0)] = 1 << 20
    """The largest batch that is sent, compressed. It should be no more than `message.max.bytes` of the brokers, or
    `max.message.bytes` of the topic. A record that is larger by itself is a dead letter."""
    create: Create | None = None
    """Make topics that do not exist, such as `{partitions: 6, replication: 3}`. Without it, that is left to the
    brokers (`auto.create.topics.enable`)."""

    @field_validator("timestamp")
    @classmethod
    def _is_a_time(cls, value: str | int | None) -> str | int | None:
        if value is not None and not _is_template(value):
            try:
                time_of(value)
            except ValueError as error:
                raise ValueError(f"timestamp should be RFC 3339, or Unix milliseconds: {error}") from error
        return value

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.acks != "all" and self.idempotence and "idempotence" in self.model_fields_set:
            raise ValueError("idempotence should stand beside `acks: all`, or be false")
        return self

    @property
    def is_idempotent(self) -> bool:
        """Whether brokers know which batches they have."""
        return self.idempotence and self.acks == "all"

    @property
    def fixed_topic(self) -> str | None:
        """The topic, if records do not choose it."""
        return None if _is_template(self.topic) else self.topic

    @property
    def defaults(self) -> Defaults:
        """What records are sent with that chose nothing."""
        return Defaults(
            key=None if self.key is None or _is_template(self.key) else self.key.encode(),
            headers=[(name, value.encode()) for name, value in self.headers.items() if not _is_template(value)],
            time=None if self.timestamp is None or _is_template(self.timestamp) else time_of(self.timestamp),
            tombstone=self.tombstone,
        )


def _is_template(value: object) -> bool:
    return isinstance(value, str) and "${" in value


class KafkaSink:
    """Sends records to topics of Kafka.

    **Records** of a write go out as one batch for each partition, compressed; `batch: {records, bytes, wait}` says how
    much a write is, and `wait` is what Kafka calls linger. The key says which partition: the one that Kafka's own
    producers choose (murmur2). Records without a key go to the same one for a write, and to the next one with the next
    write. When a topic gets more partitions, keys go to other ones from then on, as with any producer.

    **Guarantee**: at least once, and with `idempotence` hardly ever twice: a batch whose answer is lost is sent again
    under the same number, also after the brokers were away, and they drop it if they have it. Records come twice when
    the router itself begins anew (a restart, a lease that is lost), or brokers have forgotten who sent what. With
    `acks: all`, a record is written when all replicas in sync have it; with `1`, the loss of one broker may lose it;
    with `0`, that of a connection.

    **Order** is kept in each partition, whatever fails meanwhile: the next batch of a partition is sent when the last
    one is written.

    **Dead letters** are records that are too large by themselves, that a broker refuses (a compacted topic takes none
    without a key, and no broker a time far ahead), or that chose a topic which does not exist or may not be written, or
    a partition that the topic has not.

    **Away**: the cluster is away while no broker answers, and while the topic that is configured does not exist, or
    none of its partitions has a leader. Where a partition has no leader, or too few replicas for `acks: all`, or the
    right to write is lacking, the sink is there and takes nothing for now: its records wait, and those behind them.
    """

    Config: ClassVar[type[KafkaSinkConfig]] = KafkaSinkConfig
    example: ClassVar[str] = """
        connections:
          main:
            type: kafka
            brokers: ["kafka-1.example.org:9093", "kafka-2.example.org:9093"]
            tls: {ca: tls/ca.pem}
            sasl: {mechanism: SCRAM-SHA-512, username: router, password: "${env:KAFKA_PASSWORD:-changeme}"}
        sinks:
          orders:
            use: main
            topic: orders
            key: "${event.user.id}"
            headers: {type: "${event.type}"}
          tenants:
            use: main
            topic: "events.${event.tenant}"
            allow: {topic: ["events.*"]}
            create: {partitions: 6, replication: 3}
    """

    def __init__(self, config: KafkaSinkConfig) -> None:
        self.config = config
        self._writer: Writer | None = None

    async def open(self) -> None:
        """Connect, find the topic, and be known to the brokers. Raises NotConnected."""
        if self._writer is None:
            from connectors.kafka.writer import Writer

            self._writer = Writer(self.config)
        await self._writer.open()

    async def write(self, batch: Batch) -> None:
        """Write the records. Raises WriteError, NotConnected, Unavailable.

        Cancelled, they may have been written: the same batch, written again, is not there twice with `idempotence`.
        """
        if self._writer is None:
            raise NotConnected("the sink is not open")
        await self._writer.write(batch)

    async def close(self) -> None:
        """Disconnect. Idempotent."""
        if self._writer is not None:
            await self._writer.close()
