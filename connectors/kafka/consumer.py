"""A member of a consumer group: aiokafka's consumer, with what it knows and does not tell.

Whatever looks inside of aiokafka is here. The version that it is written against is bounded in pyproject.toml.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    IllegalGenerationError,
    KafkaConnectionError,
    KafkaError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.structs import OffsetAndMetadata

_log = logging.getLogger(__name__)

_ASSIGNORS: Mapping[str, type[Any]] = {
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "sticky": StickyPartitionAssignor,
}
_NOWHERE = TopicPartition("", -1)
_LEAVE_SECONDS = 2.0


class GroupConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no types
    """A member of a consumer group. ``arguments`` are aiokafka's. Nothing is committed but by ``commit_offsets``.

    ``getmany`` gives records as aiokafka has parsed them (``Record``), without making a ``ConsumerRecord`` of each,
    which takes as long as all the rest.
    """

    _coordinator: Any
    _fetcher: Any

    def __init__(self, *, assignor: str, known_as: str = "", **arguments: Any) -> None:
        # A class of its own for each: the sticky one keeps on its class what it has assigned.
        strategy = type(assignor, (_ASSIGNORS[assignor],), {})
        self.known_as = known_as
        """The name under which the group may know this member: before it joins from an earlier connection, after it has
        left if it could not say so. Joining as somebody else would have to wait until that one's session is over."""
        super().__init__(partition_assignment_strategy=[strategy], enable_auto_commit=False, **arguments)
        self._client.send = _told_rightly(self._client.send)

    async def join(
        self,
        topics: Collection[str],
        pattern: str | None,
        listener: ConsumerRebalanceListener,
        heard: Callable[[float], None],
    ) -> None:
        """Connect, and begin to join the group. Raises KafkaError.

        ``heard`` is called with the time (``time.monotonic``) of each heartbeat that is answered.
        """
        # Without a subscription, which would have it wait for topics that are not there.
        await self.start()
        self._fetcher._records = _Unwrapped()  # noqa: SLF001
        coordinator = self._coordinator
        beat = coordinator._do_heartbeat  # noqa: SLF001 - nothing else tells of it

        async def noted() -> bool:
            begun = time.monotonic()
            is_member: bool = await beat()
            if is_member:
                heard(begun)
            return is_member

        coordinator._do_heartbeat = noted  # noqa: SLF001
        coordinator.member_id = self.known_as
        if pattern is None:
            self.subscribe(topics=list(topics), listener=listener)
        else:
            self.subscribe(pattern=rf"(?:{pattern})\Z", listener=listener)

    @property
    def is_member(self) -> bool:
        """Whether the group knows this member, as far as is known here: it has a generation."""
        return bool(self._coordinator is not None and self._coordinator.generation > 0)

    @property
    def failure(self) -> BaseException | None:
        """What has ended a task of aiokafka's that fetches records, metadata or offsets, of which it tells nobody:
        whoever waits for these would do so for ever. What ends the heartbeats shows in that none is heard."""
        tasks = [self._client._sync_task]  # noqa: SLF001
        if self._fetcher is not None:
            tasks.append(self._fetcher._fetch_task)  # noqa: SLF001
        if self._coordinator is not None:
            tasks.append(self._coordinator._commit_refresh_task)  # noqa: SLF001
        ended = (task for task in tasks if task is not None and task.done() and not task.cancelled())
        return next((failure for task in ended if (failure := task.exception()) is not None), None)

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection to any broker."""
        return any(connection.connected() for connection in self._client._conns.values())  # noqa: SLF001

    @property
    def forbidden(self) -> frozenset[str]:
        """Topics that the cluster does not let us read."""
        return frozenset(self._client.cluster.unauthorized_topics)

    def is_known(self, topic: str) -> bool:
        """Whether the cluster has the topic, as far as is known here."""
        return self._client.cluster.partitions_for_topic(topic) is not None

    def look_for_topics(self) -> None:
        """Ask the cluster, in the background, which topics and partitions there are."""
        self._client.force_metadata_update()

    def position_of(self, partition: TopicPartition) -> int | None:
        """The offset of the next record that ``getmany`` gives of a partition. None while it is not known."""
        subscription = self._subscription.subscription
        assignment = None if subscription is None else subscription.assignment
        state = None if assignment is None else assignment.state_value(partition)
        return state.position if state is not None and state.has_valid_position else None

    def end_of(self, partition: TopicPartition) -> int | None:
        """The high watermark of a partition as of the last fetch."""
        return self.highwater(partition) if self._subscription.is_assigned(partition) else None

    async def poll(self) -> None:
        """Tell the group that this member goes on, as ``getmany`` does, without taking anything. Raises KafkaError."""
        await self.getmany(_NOWHERE, timeout_ms=0)

    def interrupt(self, why: str) -> None:
        """Have ``getmany`` raise a KafkaError, whatever it waits for."""
        self._subscription.abort_waiters(KafkaError(why))

    async def committed_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Where the group stands, in those of the partitions in which it has committed anything."""
        found = await self._coordinator.fetch_committed_offsets(list(partitions))
        return {partition: at.offset for partition, at in found.items() if at.offset >= 0}

    async def commit_offsets(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit, once, in this generation. Raises KafkaError.

        aiokafka's own ``commit`` tries again until it succeeds, and by then in a later generation, which may have given
        the partitions to somebody else.
        """
        coordinator = self._coordinator
        if not self.is_member:
            raise IllegalGenerationError("the member has left the group")
        if coordinator.coordinator_id is None:
            raise GroupCoordinatorNotAvailableError
        marks = {partition: OffsetAndMetadata(offset, "") for partition, offset in offsets.items()}
        await coordinator._do_commit_offsets(None, marks)  # noqa: SLF001

    async def leave(self, *, is_joining: bool) -> None:
        """Leave the group and release everything. Idempotent; may follow a ``join`` that failed.

        Unlike ``stop``, it waits for nothing that is under way, such as a rebalance that others hold up.
        """
        self._closed = True
        coordinator, self._coordinator = self._coordinator, None
        fetcher, self._fetcher = self._fetcher, None
        if coordinator is not None:
            if not coordinator._closing.done():  # noqa: SLF001
                coordinator._closing.set_result(None)  # noqa: SLF001
            await _cancel(
                coordinator._coordination_task,  # noqa: SLF001
                coordinator._heartbeat_task,  # noqa: SLF001
                coordinator._commit_refresh_task,  # noqa: SLF001
            )
        if fetcher is not None:
            fetcher._closed = True  # noqa: SLF001
            await _cancel(fetcher._fetch_task, *fetcher._pending_tasks)  # noqa: SLF001
        if coordinator is not None:
            await self._say_goodbye(coordinator, is_joining)
        await self._client.close()

    async def _say_goodbye(self, coordinator: Any, is_joining: bool) -> None:
        """One that has an instance id keeps its partitions until it comes back, or its session ends."""
        self.known_as = ""
        if coordinator.generation <= 0 or self._group_instance_id is not None:
            return
        self.known_as = coordinator.member_id
        request = LeaveGroupRequest(coordinator.group_id, coordinator.member_id)
        # A broker that holds back its answer to a JoinGroup reads nothing else from that connection; on the other, it
        # may hold back its answer to a fetch.
        group = ConnectionGroup.DEFAULT if is_joining else ConnectionGroup.COORDINATION
        with contextlib.suppress(Exception):  # an answer that makes no sense keeps nobody from leaving
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._client.send(coordinator.coordinator_id, request, group=group)
            self.known_as = ""


class LooseConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no types
    """A consumer of no group, which says where a group stands. ``arguments`` are aiokafka's."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(group_id=None, enable_auto_commit=False, auto_offset_reset="none", **arguments)
        self._client.send = _told_rightly(self._client.send)

    async def partitions_of(self, wanted: Callable[[str], bool]) -> set[TopicPartition]:
        """All partitions of the topics that are wanted, asked of the cluster, which makes none of them. Raises
        KafkaError."""
        cluster = await self._client.fetch_all_metadata()
        topics = (topic for topic in cluster.topics() if wanted(topic))
        return {
            TopicPartition(topic, number) for topic in topics for number in cluster.partitions_for_topic(topic) or ()
        }

    async def offsets_of(self, group: str, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Where a group stands, in those of the partitions in which it has committed anything. It need not exist, and
        does not notice. Raises KafkaError."""
        if not partitions:
            return {}
        by_topic: dict[str, list[int]] = {}
        for topic, number in partitions:
            by_topic.setdefault(topic, []).append(number)
        node = await self._client.coordinator_lookup(CoordinationType.GROUP, group)
        if not await self._client.ready(node, group=ConnectionGroup.COORDINATION):
            raise GroupCoordinatorNotAvailableError
        request = OffsetFetchRequest(group, list(by_topic.items()))
        answer = await self._client.send(node, request, group=ConnectionGroup.COORDINATION)
        return {
            TopicPartition(topic, number): offset
            for topic, told in answer.topics
            for number, offset, _, code in told
            if not code and offset >= 0
        }


class _Unwrapped(OrderedDict[TopicPartition, Any]):
    """What the fetcher has fetched and nobody has taken yet, or the errors that stand in its place."""

    def __setitem__(self, key: TopicPartition, result: Any) -> None:
        records = getattr(result, "_partition_records", None)
        if records is not None:
            records._consumer_record = _as_it_is  # noqa: SLF001 - it is called for each record
        super().__setitem__(key, result)


def _as_it_is(_partition: TopicPartition, record: object) -> object:
    return record


class _Withheld(KafkaError):  # type: ignore[misc]  # aiokafka has no types
    """The coordinator does not say where the group stands. It is asked again."""

    retriable = True


def _told_rightly(send: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """``send`` of aiokafka's client, which raises a KafkaError where its callers in aiokafka foresee no other and see
    none. uvloop has one of its own for a transport that was closed a moment ago."""

    @functools.wraps(send)
    async def sent(node: Any, request: Any, **named: Any) -> Any:
        try:
            answer = await send(node, request, **named)
        except RuntimeError as error:
            raise KafkaConnectionError(f"the connection is closed: {error}") from error
        if isinstance(request, OffsetFetchRequest):
            _check_offsets(request, answer)
        return answer

    return sent


def _check_offsets(request: Any, answer: Any) -> None:
    """Raise unless of each partition that was asked for it is told where the group stands, or that it stands nowhere.

    From version 2 on, an error that is one of the group stands beside the partitions, and there are none (KIP-88).
    aiokafka takes what is not mentioned for partitions in which nothing was ever committed.
    """
    code = getattr(answer, "error_code", 0)
    if code == GroupAuthorizationFailedError.errno:
        raise GroupAuthorizationFailedError(request._consumer_group)  # noqa: SLF001
    if code:
        raise _Withheld(f"where the group stands is not told: {for_code(code).message}")
    wanted = {(topic, number) for topic, numbers in request._partitions for number in numbers}  # noqa: SLF001
    for topic, partitions in answer.topics:
        known = (number for number, _, _, code in partitions if code != UnknownTopicOrPartitionError.errno)
        wanted.difference_update((topic, number) for number in known)
    if wanted:
        names = ", ".join(f"{topic}-{number}" for topic, number in sorted(wanted))
        raise _Withheld(f"where the group stands is not told of {names}")


async def _cancel(*tasks: asyncio.Task[Any] | None) -> None:
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
