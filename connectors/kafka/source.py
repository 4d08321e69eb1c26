"""``kafka``: records from the topics of a Kafka cluster, as a member of a consumer group."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from connectors.kafka.connection import KafkaConfig
from connectors.kafka.records import batch_of
from router import Batch, Duration, Lag, NotConnected, Settings, Size

if TYPE_CHECKING:
    from connectors.kafka.member import Member
    from connectors.kafka.onlooker import Onlooker

_LARGEST = 2**31 - 1
"""What Kafka counts bytes with."""

Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
Bytes = Annotated[Size, Field(gt=0, le=_LARGEST)]


class KafkaSourceConfig(KafkaConfig):
    """The settings of the source ``kafka``."""

    topics: tuple[Topic, ...] = ()
    """The topics to read. One that does not exist is waited for."""
    pattern: str | None = None
    """Instead of `topics`: a regular expression, as Python has them, that the whole name of a topic matches. Topics
    that come later are found within `metadata_max_age`; internal ones are left out."""
    group: Annotated[str, Field(min_length=1)]
    """The consumer group. Its members share the partitions, and it goes on where it was; each flow that is to see all
    records has one of its own."""
    group_instance_id: Annotated[str, Field(min_length=1)] | None = None
    """A name of this member that outlives the process (static membership, KIP-345): it has its partitions again when it
    comes back within `session_timeout`, without a rebalance. No two members have the same."""
    offset_reset: Literal["earliest", "latest", "error"] = "earliest"
    """Where to begin in a partition in which the group has no offset, or one that is out of range. `error` waits until
    somebody sets one. `latest` leaves out what a new partition gets before it is found."""
    isolation_level: Literal["read_committed", "read_uncommitted"] = "read_committed"
    """Whether to wait for the end of transactions and leave out what they took back, or to read everything."""
    commit_interval: Annotated[Duration, Field(gt=0)] = 0.5
    """How often what is acknowledged is committed, while there is anything."""
    max_poll_records: Annotated[int, Field(gt=0, le=100_000)] = 500
    """How many records are read at once, at most."""
    fetch_min_bytes: Bytes = 1
    """How much a broker gathers before it answers a request for records, ..."""
    fetch_max_wait: Annotated[Duration, Field(gt=0)] = 0.5
    """... and for how long at most."""
    fetch_max_bytes: Bytes = 50 * 2**20
    """How much a broker answers at most, but for a record that is larger."""
    max_partition_fetch_bytes: Bytes = 2**20
    """The same for each partition. While nothing is read, so much waits in memory for each."""
    check_crcs: bool = True
    """Whether to look for damage on the way."""
    client_rack: str | None = None
    """In which rack we are, so that records come from a replica that is near (KIP-392)."""
    session_timeout: Annotated[Duration, Field(gt=0)] = 45.0
    """When it has heard nothing of a member for so long, the group gives its partitions to others. A member that hears
    nothing of the group for nine tenths of it delivers nothing more, and begins anew."""
    heartbeat_interval: Annotated[Duration, Field(gt=0)] = 3.0
    """How often the group hears of us, and we of a rebalance. A third of `session_timeout` or less is good."""
    max_poll_interval: Annotated[Duration, Field(gt=0)] = 300.0
    """How long a rebalance waits for this member to come back. The source polls as long as it runs, also while sinks
    are down and nothing is read."""
    revoke_timeout: Annotated[Duration, Field(gt=0)] = 10.0
    """How long a rebalance may be held up until what was read is delivered and committed; and then again, until the
    writes are over that are under way, which are cut off otherwise. What is left goes to the next owner."""
    assignment: Literal["roundrobin", "range", "sticky"] = "roundrobin"
    """How the group spreads partitions over its members: all of them must know the same way."""

    @field_validator("pattern")
    @classmethod
    def _is_a_pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"pattern should be a regular expression, such as orders-.*: {error}") from error
        return pattern

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if bool(self.topics) == (self.pattern is not None):
            raise ValueError("topics or pattern should say what to read, one of the two")
        if self.heartbeat_interval >= self.session_timeout * 0.9:
            raise ValueError("heartbeat_interval should not come near session_timeout; a third of it is good")
        if self.revoke_timeout * 2 >= self.max_poll_interval:
            raise ValueError(
                "revoke_timeout should not reach half of max_poll_interval, or a rebalance ends without us"
            )
        if self.fetch_max_wait >= self.request_timeout:
            raise ValueError("fetch_max_wait should not reach request_timeout, or every fetch is given up")
        return self

    def conflict(self, other: Settings) -> str:
        """Two members that are one by their instance id throw each other out."""
        if not isinstance(other, KafkaSourceConfig) or self.group_instance_id is None:
            return ""
        if (self.group, self.group_instance_id) != (other.group, other.group_instance_id):
            return ""
        return f"both are {self.group_instance_id} of the group {self.group} (group_instance_id)"


class KafkaSource:
    """Reads the topics of a Kafka cluster, as a member of a consumer group.

    **Records**: rules see `meta.key`, `meta.headers`, `meta.time` (the timestamp, whoever set it), `meta.topic`,
    `meta.partition`, `meta.offset`, and `meta.tombstone`: whether the record has no value. That reads as `null` with
    `decode: json`, and as nothing with any other format.

    **Guarantee**: at least once. What is acknowledged is committed every `commit_interval`, before a rebalance, and
    when the source closes; what a process that is killed had read beyond that comes again. Where reading begins in a
    partition that is new to the group is committed before anything is read, so that `offset_reset` is not asked twice.
    A token is the offset behind the last record of each partition in a batch.

    **Order** is that of each partition, and thereby of each key.

    **Rebalances**: before partitions are taken away, what was read of them is delivered and committed, for
    `revoke_timeout` at most; what is not being written by then is left to the next owner, and an acknowledgement that
    comes later commits nothing. A rebalance takes away all partitions, those too that come back (it is eager). None
    comes of a sink that is down or of a flow that is held up, however long that takes. A member that is killed keeps
    its partitions for `session_timeout`, and one with a `group_instance_id` has them again when it is back by then. A
    process that was stopped for longer delivers nothing more of what it had read.

    **Out of range**: when what the group is at was deleted before it was read, or a topic was made anew, the source
    says so, counts it, and goes on as `offset_reset` says. A topic that is deleted, made anew and filled again beyond
    the old offset while nothing is read of it cannot be told from the old one.

    **Lag** is counted from what is acknowledged to the high watermark, or with `read_committed` to the last stable
    offset, and is asked of the cluster whether anything is read or not. In seconds it is the age of the oldest record
    that was read and is not acknowledged; of what is not read yet, for how long there has been some.

    **Away** is a cluster of which no broker can be reached or lets us in, or whose group has not answered for nine
    tenths of `session_timeout`. What is shorter is sat out, and nothing is read again: brokers that restart, leaders
    and coordinators that move. Damaged records, and a topic or group that we may not read, are `NotConnected` as well.

    | event | what |
    |---|---|
    | `rebalance` | partitions were assigned |
    | `offset_out_of_range` | the group was at an offset that is not there |
    | `missed_record` | offsets that were passed over by that |
    """

    Config: ClassVar[type[KafkaSourceConfig]] = KafkaSourceConfig
    replays: ClassVar[bool] = True
    ack_order: ClassVar[Literal["read", "any"]] = "read"
    example: ClassVar[str] = """\
connections:
  main: {type: kafka, brokers: "kafka-1:9092,kafka-2:9092"}
sources:
  orders: {use: main, topics: [orders], group: sluiceway}
"""

    def __init__(self, config: KafkaSourceConfig) -> None:
        self._config = config
        # What a tombstone is to JSON; an empty text would be none.
        self._null = b"null" if config.context.format.type == "json" else b""
        self._member: Member | Onlooker | None = None
        self._peeks = False
        self._known_as = ""

    def peek(self) -> str:
        """Read beside the group, from where it stands: join nothing, commit nothing."""
        self._peeks = True
        return ""

    async def open(self) -> None:
        """Connect and join the group. Raises NotConnected."""
        from connectors.kafka.member import Member
        from connectors.kafka.onlooker import Onlooker

        arguments = await self._config.reach()
        if self._peeks:
            self._member = Onlooker(self._config, arguments)
        else:
            self._member = Member(self._config, arguments, self._known_as)
        await self._member.join()

    async def read(self) -> Batch:
        """The next records. Raises NotConnected. What a cancelled call has read comes again after ``open()``."""
        member = self._opened()
        found, ends = await member.read()
        batch = batch_of(found, self._null)
        batch.token = (member, ends)
        return batch

    async def ack(self, token: Any) -> None:
        """Note that everything up to the end of a batch is to be committed, which happens at the next interval."""
        member: Member | Onlooker
        member, ends = token
        if member is self._member:
            member.ack(ends)

    async def lag(self) -> Sequence[Lag]:
        """Of each partition that this member has, as far as it is known."""
        return [] if self._member is None else await self._member.lag()

    async def close(self) -> None:
        """Commit what is acknowledged, and leave the group."""
        member, self._member = self._member, None
        if member is not None:
            self._known_as = await member.leave()

    def _opened(self) -> Member | Onlooker:
        if self._member is None:
            raise NotConnected("the source is not open")
        return self._member
