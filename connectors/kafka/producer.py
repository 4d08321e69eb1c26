"""Record batches to brokers, each once and in its place: what an idempotent producer of Kafka's does.

It sends what it is given, once, and says what became of it; retrying is the router's. Connections, metadata, protocol
and record batches are aiokafka's. Its ``AIOKafkaProducer`` is not used, for four reasons, each seen with 0.14:

- It numbers a batch when it takes it up (KIP-98, "Idempotent Producer Guarantees"), so that one which is refused leaves
  a gap: OUT_OF_ORDER_SEQUENCE_NUMBER for all that follow in that partition. Here only what is written counts.
- It retries in the background, also what was given up. With a broker that hangs it cannot be closed, and what it still
  holds is written after what came later.
- A new one has a new id, so that brokers do not know again what the last one sent: each outage repeats records. Here an
  id outlives connections, and a batch without an answer is sent again under its number (``Identity``).
- It does not ask for the records that a batch was refused for (KIP-467, Produce version 8).

A record batch is that of version 2 (KIP-98, "Message Format"; Kafka protocol guide, "Record Batch").
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, NodeNotReadyError, RequestTimedOutError, for_code
from aiokafka.protocol.produce import ProduceRequest, ProduceRequest_v8
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition
from msgspec import Struct, field

from connectors.kafka.connection import milliseconds, reason
from connectors.kafka.outgoing import Records
from router import NotConnected

_CODECS = {
    "none": DefaultRecordBatch.CODEC_NONE,
    "gzip": DefaultRecordBatch.CODEC_GZIP,
    "snappy": DefaultRecordBatch.CODEC_SNAPPY,
    "lz4": DefaultRecordBatch.CODEC_LZ4,
    "zstd": DefaultRecordBatch.CODEC_ZSTD,
}
_SLOW = ("gzip", "lz4")
"""Compressions that aiokafka uses at their level 9: 40 to 70 ms for a MiB, in which nothing else would happen."""
_COMPRESSED_ASIDE = 64 * 2**10
"""Batches larger than this, in bytes, are compressed so beside the event loop."""
_SHARE_OF_TIMEOUT = 0.8
"""How much of the time for an answer a leader may wait for its replicas: so it has time to say that it did in vain."""
_BOUNDLESS = 2**31 - 1
_NAMES = {74: "FENCED_LEADER_EPOCH", 75: "UNKNOWN_LEADER_EPOCH", 76: "UNSUPPORTED_COMPRESSION_TYPE",
          87: "INVALID_RECORD", 89: "THROTTLING_QUOTA_EXCEEDED", 90: "PRODUCER_FENCED"}  # fmt: skip
"""Errors that aiokafka does not know by name."""

UNANSWERED = -2
"""Of a batch that nobody answered: it may have been written."""
BROKEN = -3
"""Of a batch, too, with which the connection to the broker ended."""
NO_LEADER = 5
TOO_LARGE = 10
_DUPLICATE = 46
_STRANGER = frozenset({45, 47, 49, 59, 90})
"""What a broker answers to a producer that it does not know, or not with this number. A new one begins anew."""
_NEVER_WRITTEN = frozenset({TOO_LARGE, 18, 32, 87})
"""What refuses a batch for what is in it, whenever it comes."""


class Parcel(Struct, frozen=True, eq=False):
    """Records for one partition that travel as one batch; ``indices`` are theirs in what is being written."""

    place: TopicPartition
    indices: Sequence[int]
    records: Records


class Answer(Struct, frozen=True):
    """What a broker said of a batch: Kafka's error code, 0 where it is written.

    ``spoiled``: of the records that it named as the reason, what is wrong with each, by its place in the batch.
    ``share``: about how much of a batch that is too large would have fitted.
    """

    code: int = 0
    detail: str = ""
    spoiled: Mapping[int, str] = field(default_factory=dict)
    share: float = 0.5

    @property
    def is_written(self) -> bool:
        """Whether the batch is in its partition."""
        return self.code == 0

    def __str__(self) -> str:
        if self.code < -1:
            return self.detail
        name = _NAMES.get(self.code) or for_code(self.code).message
        if name == "UNKNOWN":
            name = f"error {self.code}"
        return f"{name}: {self.detail}" if self.detail else name


class Identity:
    """Who a producer is to the brokers, and the number that its next record has in each partition.

    It outlives connections: a batch that nobody answered is sent again under the same number, so that the broker knows
    whether it has it. That holds for the very same records only; ``doubtful`` are those.
    """

    def __init__(self) -> None:
        self.id = self.epoch = -1
        self.next: dict[TopicPartition, int] = {}
        self.doubtful: dict[TopicPartition, Records] = {}

    @property
    def is_known(self) -> bool:
        """Whether a broker has given it an id."""
        return self.id >= 0

    def forget(self) -> None:
        """Become somebody else: nothing is known to be doubtful any more, and may come twice."""
        self.__init__()  # type: ignore[misc]  # it is as new

    def fits(self, parcel: Parcel) -> bool:
        """Whether a parcel can have the next number of its partition: not while other records may have it."""
        doubtful = self.doubtful.get(parcel.place)
        return doubtful is None or doubtful.is_same(parcel.records)

    def settle(self, parcel: Parcel, answer: Answer) -> None:
        """Count what is written."""
        if answer.is_written:
            # Numbers begin anew after 2^31 - 1.
            self.next[parcel.place] = (self.next.get(parcel.place, 0) + len(parcel.records)) % 2**31
        if answer.is_written or answer.code in _NEVER_WRITTEN:
            self.doubtful.pop(parcel.place, None)


class _Produce(ProduceRequest):  # type: ignore[misc]  # aiokafka has no types
    """In version 8 where the broker has it: from there on, it says which records it refuses a batch for (KIP-467)."""

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> Any:
        """The request in the newest version that both sides have."""
        if versions.get(self.API_KEY, (0, 0))[1] >= ProduceRequest_v8.API_VERSION:
            return self.build(ProduceRequest_v8)
        return super().prepare(versions)


class Producer:
    """Sends batches through a client that is connected.

    ``identity``: who it is; None where brokers need not know what they have already. ``acks``: how many copies are
    waited for, -1 for all that are in sync. ``limit``: bytes of a batch, compressed. ``timeout``: seconds for an
    answer.
    """

    def __init__(
        self, client: AIOKafkaClient, identity: Identity | None, *, acks: int, compression: str, limit: int,
        timeout: float,
    ) -> None:  # fmt: skip
        self._client = client
        self._identity = identity
        self._acks = acks
        self._codec = _CODECS[compression]
        self._is_slow = compression in _SLOW
        self._limit = limit
        self._timeout = milliseconds(timeout * _SHARE_OF_TIMEOUT)

    async def introduce(self) -> None:
        """Be known to the brokers. Raises NotConnected."""
        if self._identity is None or self._identity.is_known:
            return
        trouble = "no broker is known"
        for broker in self._client.cluster.brokers():
            try:
                told = await self._client.send(broker.nodeId, InitProducerIdRequest(None, _BOUNDLESS))
            except (KafkaError, OSError) as error:
                trouble = reason(error)
                continue
            if not told.error_code:
                self._identity.id, self._identity.epoch = told.producer_id, told.producer_epoch
                return
            trouble = str(Answer(told.error_code))
        raise NotConnected(f"no idempotent producer is to be had (`idempotence: false` does without): {trouble}")

    async def send(self, parcels: Sequence[Parcel]) -> list[Answer]:
        """Send each parcel to the leader of its partition, of which there is one for each, and return the answers.
        Raises NotConnected, of which nothing is sent. Cancelled, all of it may be written."""
        if self._identity is not None:
            if not all(map(self._identity.fits, parcels)):
                self._identity.forget()
            await self.introduce()
        answers = [Answer(NO_LEADER)] * len(parcels)
        by_leader: defaultdict[int, list[int]] = defaultdict(list)
        data: list[bytearray] = []
        for number, parcel in enumerate(parcels):
            batch = await self._batch(parcel)
            data.append(batch)
            leader = self._client.cluster.leader_for_partition(parcel.place)
            if len(batch) > self._limit:
                why = f"it takes {len(batch)} bytes, and max_request_size is {self._limit}"
                answers[number] = Answer(TOO_LARGE, why, share=0.95 * self._limit / len(batch))
            elif leader is not None and leader >= 0:
                by_leader[leader].append(number)
        asked = await asyncio.gather(
            *(self._ask(leader, [(parcels[i], data[i]) for i in numbers]) for leader, numbers in by_leader.items())
        )
        for numbers, told in zip(by_leader.values(), asked, strict=True):
            for number in numbers:
                answers[number] = told.get(parcels[number].place, Answer(UNANSWERED, "the broker did not mention it"))
        self._settle(parcels, answers)
        return answers

    async def _batch(self, parcel: Parcel) -> bytearray:
        builder = DefaultRecordBatchBuilder(2, self._codec, 0, *self._number(parcel.place), _BOUNDLESS)
        parcel.records.append_to(builder.append)
        aside = self._is_slow and builder.size() > _COMPRESSED_ASIDE
        made: bytearray = await asyncio.to_thread(builder.build) if aside else builder.build()
        return made

    def _number(self, place: TopicPartition) -> tuple[int, int, int]:
        if self._identity is None:
            return -1, -1, -1
        return self._identity.id, self._identity.epoch, self._identity.next.get(place, 0)

    async def _ask(self, leader: int, batches: Sequence[tuple[Parcel, bytearray]]) -> dict[TopicPartition, Answer]:
        by_topic: defaultdict[str, list[tuple[int, bytearray]]] = defaultdict(list)
        for parcel, data in batches:
            by_topic[parcel.place.topic].append((parcel.place.partition, data))
            if self._identity is not None:
                self._identity.doubtful[parcel.place] = parcel.records
        request = _Produce(None, self._acks, self._timeout, list(by_topic.items()))
        try:
            response = await self._client.send(leader, request)
        except (KafkaError, OSError, RuntimeError) as error:  # RuntimeError: uvloop's, of a transport that is closed
            told = Answer(*_unanswered(leader, error))
            return {parcel.place: told for parcel, _ in batches}
        if self._acks == 0:
            return {parcel.place: Answer() for parcel, _ in batches}
        return dict(_answers(response.topics))

    def _settle(self, parcels: Sequence[Parcel], answers: Sequence[Answer]) -> None:
        if self._identity is None:
            return
        for parcel, answer in zip(parcels, answers, strict=True):
            self._identity.settle(parcel, answer)
        if any(answer.code in _STRANGER for answer in answers):
            self._identity.forget()


def _unanswered(leader: int, error: Exception) -> tuple[int, str]:
    if isinstance(error, NodeNotReadyError):
        return UNANSWERED, f"broker {leader} cannot be reached"
    if isinstance(error, RequestTimedOutError):
        return UNANSWERED, f"broker {leader} does not answer in time"
    return BROKEN, f"broker {leader}: {reason(error)}"


def _answers(topics: Iterable[Any]) -> Iterable[tuple[TopicPartition, Answer]]:
    """What a response says of each partition; a batch that was there already is written."""
    for topic, partitions in topics:
        for partition, code, _offset, _time, _start, *rest in partitions:
            spoiled, detail = rest or ((), None)
            told = Answer(0 if code == _DUPLICATE else code, detail or "", {at: why or "" for at, why in spoiled or ()})
            yield TopicPartition(topic, partition), told
