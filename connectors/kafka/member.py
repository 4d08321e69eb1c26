"""A membership in a consumer group: from joining it to leaving it, through every rebalance in between."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)

from connectors.kafka.connection import milliseconds, reason
from connectors.kafka.consumer import GroupConsumer
from connectors.kafka.partitions import Assignment, Partition
from connectors.kafka.records import Found, cut
from router import Lag, NotConnected

if TYPE_CHECKING:
    from connectors.kafka.source import KafkaSourceConfig

_log = logging.getLogger(__name__)

Ends = Sequence[tuple[Partition, int]]
"""Up to which offset something was read, by partition."""

_JOIN_SECONDS = 20.0
"""For so long joining is awaited, so that what is wrong with it shows. Others may hold up a rebalance for longer."""
_POLL_SECONDS = 1.0
_RETRY_SECONDS = 0.1
_SEARCH_SECONDS = 5.0
"""How often topics are looked for that are not there."""
_ASK_SECONDS = 5.0
_LAG_SECONDS = 2.0
_WRITE_SECONDS = 2.0
"""How long leaving waits for writes that are under way."""
_COMMIT_SECONDS = 3.0
_LEAVE_SECONDS = 4.0
_HOLD = 0.9
"""The part of its session for which a member trusts that the group has not given its partitions to another."""
_FORBIDDEN = (GroupAuthorizationFailedError, TopicAuthorizationFailedError)


class Member(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """A member of the group, from ``join`` to ``leave``; ``arguments`` are what reaches the cluster.

    Three things go on beside the reading: the group is polled, however long nobody reads; what is safe is committed;
    and it is watched whether the group is still heard of.
    """

    def __init__(self, config: KafkaSourceConfig, arguments: dict[str, Any], known_as: str) -> None:
        self._config = config
        self._consumer = GroupConsumer(
            **arguments,
            group_id=config.group,
            group_instance_id=config.group_instance_id,
            assignor=config.assignment,
            known_as=known_as,
            auto_offset_reset="none",  # it would be silent
            isolation_level=config.isolation_level,
            fetch_min_bytes=config.fetch_min_bytes,
            fetch_max_wait_ms=milliseconds(config.fetch_max_wait),
            fetch_max_bytes=config.fetch_max_bytes,
            max_partition_fetch_bytes=config.max_partition_fetch_bytes,
            check_crcs=config.check_crcs,
            session_timeout_ms=milliseconds(config.session_timeout),
            heartbeat_interval_ms=milliseconds(config.heartbeat_interval),
            max_poll_interval_ms=milliseconds(config.max_poll_interval),
            rebalance_timeout_ms=milliseconds(config.max_poll_interval),
            client_rack=config.client_rack,
        )
        self._hold = _HOLD * config.session_timeout
        self._assignment = Assignment()
        self._waiting: deque[Found] = deque()
        self._failure: Exception | None = None
        self._is_between = True
        self._between_since = time.monotonic()
        self._assigned = asyncio.Event()
        self._due = asyncio.Event()
        self._committing = asyncio.Lock()
        self._connected_at = time.monotonic()
        self._missing: list[str] = []
        self._attending: asyncio.Task[None] | None = None

    async def join(self) -> None:
        """Join the group. Raises NotConnected."""
        config = self._config
        try:
            await self._consumer.join(config.topics, config.pattern, self, self._hear)
        except KafkaError as error:
            raise self._away(error) from error
        self._attending = asyncio.create_task(self._attend(), name=f"member of {config.group}")
        await _within(_JOIN_SECONDS, self._assigned.wait())
        self._check()

    async def leave(self) -> str:
        """Commit what is safe, leave the group and release everything. Idempotent; may follow a ``join`` that failed.
        Returns the name under which the group may still know it, for the next one to be ``known_as``.

        What was read and not acknowledged is not delivered any more, but for what is being written: that is waited for.
        """
        assignment = self._assignment
        assignment.revoke()
        if self._attending is not None:
            self._attending.cancel()
            await asyncio.wait({self._attending})
        await assignment.written(_WRITE_SECONDS)
        if self._consumer.is_member:
            try:
                await _within(_COMMIT_SECONDS, self._commit(assignment))
            except Exception as error:  # noqa: BLE001 - also an answer that makes no sense keeps nobody from leaving
                _log.warning("group %s: not committed by who leaves: %s", self._config.group, reason(error))
        await _within(_LEAVE_SECONDS, self._consumer.leave(is_joining=self._is_between))
        return self._consumer.known_as

    # Reading

    async def read(self) -> tuple[Found, Ends]:
        """The next records, as soon as there are any, and what acknowledges them. Raises NotConnected."""
        while not self._waiting:
            self._check()
            try:
                await self._pull()
            except KafkaError as error:
                self._check()
                raise self._away(error) from error
        found = self._waiting.popleft()
        ends = [(partition, records[-1].offset + 1) for partition, records in found]
        for partition, end in ends:
            partition.give(end)
        return found, ends

    def ack(self, ends: Ends) -> None:
        """Up to here everything is safe elsewhere. Nothing is acknowledged of a partition that was lost meanwhile."""
        self._assignment.ack(ends)
        self._due.set()

    async def lag(self) -> list[Lag]:
        """How far each partition is behind. The cluster is asked for the end; if it does not answer, the last fetch
        has told of it."""
        partitions = list(self._assignment.partitions.values())
        if not partitions:
            return []
        consumer, keys = self._consumer, [TopicPartition(*partition.key) for partition in partitions]
        try:
            async with asyncio.timeout(_LAG_SECONDS):
                ends = await consumer.end_offsets(keys)
        except (KafkaError, TimeoutError):
            ends = {key: consumer.end_of(key) for key in keys}
        now = time.time()
        return [
            partition.lag(ends.get(key), consumer.position_of(key), now)
            for partition, key in zip(partitions, keys, strict=True)
        ]

    async def _pull(self) -> None:
        """Wait for records, for a while."""
        try:
            found = await self._consumer.getmany(
                timeout_ms=milliseconds(_POLL_SECONDS), max_records=self._config.max_poll_records
            )
        except (NoOffsetForPartitionError, OffsetOutOfRangeError) as error:
            await self._place(error)
            return
        partitions = self._assignment.partitions
        for piece in cut([(partitions[key], records) for key, records in found.items()]) if found else ():
            for partition, records in piece:
                partition.pull(records[0].offset, records[-1].offset + 1, records[0].timestamp)
            self._waiting.append(piece)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _away(self, error: KafkaError) -> NotConnected:
        return NotConnected(f"{self._config.shown}: {reason(error)}")

    # Where reading begins

    async def _place(self, error: KafkaError) -> None:
        """A partition has no position from which it can be read. While the cluster cannot say where it could be, the
        same error comes again."""
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                if isinstance(error, NoOffsetForPartitionError):
                    await self._begin()
                else:
                    ((key, offset),) = error.args[0].items()
                    await self._begin_elsewhere(key, offset)
        except _FORBIDDEN:
            raise
        except (KafkaError, TimeoutError) as why:
            _log.warning("%s: where to begin is not known yet: %s", self._config.group, reason(why))
            await asyncio.sleep(_POLL_SECONDS)

    async def _begin(self) -> None:
        """Where the group has committed nothing yet, begin as ``offset_reset`` says. That is committed at once: with
        ``latest``, what comes from now on must not be skipped after a crash."""
        assignment, consumer, policy = self._assignment, self._consumer, self._config.offset_reset
        keys = [TopicPartition(*key) for key in assignment.partitions]
        keys = [key for key in keys if consumer.position_of(key) is None]
        committed = await consumer.committed_offsets(keys)
        new = [key for key in keys if key not in committed]
        if not new:
            return
        names = ", ".join(assignment.partitions[key].name for key in new)
        if policy == "error":
            raise NotConnected(f"group {self._config.group} has no offset in {names} (offset_reset is error)")
        offsets = await (consumer.beginning_offsets(new) if policy == "earliest" else consumer.end_offsets(new))
        await consumer.commit_offsets(offsets)
        if self._assignment is assignment:
            _log.info("group %s has no offset in %s: begun at the %s", self._config.group, names, policy)
            for key, offset in offsets.items():
                assignment.partitions[key].committed = offset
                consumer.seek(key, offset)

    async def _begin_elsewhere(self, key: TopicPartition, offset: int) -> None:
        """What the group is at is not there: it was deleted before it was read, or the topic was made anew."""
        assignment, consumer, policy = self._assignment, self._consumer, self._config.offset_reset
        start = (await consumer.beginning_offsets([key]))[key]
        end = (await consumer.end_offsets([key]))[key]
        if start <= offset <= end or self._assignment is not assignment:
            await asyncio.sleep(_POLL_SECONDS)  # a leader that had not caught up
            return
        name, target = assignment.partitions[key].name, end if policy == "latest" else start
        missed = max(0, target - offset)
        what = f"{name}: offset {offset} is out of range, there is {start} to {end}"
        self._config.context.count("offset_out_of_range", 1)
        if policy == "error":
            raise NotConnected(f"{what} (offset_reset is error)")
        _log.error("%s; going on at %d, %d record(s) are missed", what, target, missed)
        self._config.context.count("missed_record", missed)
        if target < offset:
            assignment.begin_again(key)
        assignment.partitions[key].committed = offset  # so that it is not where the group stands, which is told once
        consumer.seek(key, target)

    # Rebalances

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:  # noqa: ARG002 - all of them are
        """Before a rebalance: finish what is under way and commit it, or give it up; the group waits meanwhile."""
        assignment, limit = self._assignment, self._config.revoke_timeout
        self._is_between, self._between_since = True, time.monotonic()
        self._waiting.clear()
        if self._consumer.is_member:
            await _within(limit, assignment.quiet())
        unfinished = [partition.name for partition in assignment.partitions.values() if not partition.is_quiet]
        assignment.revoke()
        if self._consumer.is_member:
            await assignment.written(limit)
            await _within(_COMMIT_SECONDS, self._commit_all(assignment))
        if unfinished:
            _log.warning("left to the next owner, since it was not delivered in time: what is read of %s", unfinished)
        self._assignment = Assignment()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """After a rebalance: these partitions are ours."""
        self._is_between = False
        self._assignment = Assignment(sorted(assigned), time.monotonic() + self._hold)
        self._config.context.count("rebalance", 1)
        self._assigned.set()

    def _hear(self, at: float) -> None:
        """The group has answered a heartbeat that was sent then."""
        self._assignment.extend(at + self._hold)

    # Committing

    async def _commit_all(self, assignment: Assignment) -> None:
        """Commit what is safe, and try until it is done or cannot be done any more."""
        while not await self._commit(assignment) and self._consumer.is_member:  # noqa: ASYNC110 - it is asked each time
            await asyncio.sleep(_RETRY_SECONDS)

    async def _commit(self, assignment: Assignment) -> bool:
        """Commit what is safe, and say whether that is done. Raises KafkaError when it is not allowed."""
        async with self._committing:
            found = self._uncommitted(assignment)
            if not found:
                return True
            try:
                await self._consumer.commit_offsets({TopicPartition(*part.key): offset for part, offset in found})
            except _FORBIDDEN:
                raise
            except KafkaError as error:
                _log.warning("group %s: not committed yet: %s", self._config.group, reason(error))
                return False
            for partition, offset in found:
                partition.committed = offset
            return True

    def _uncommitted(self, assignment: Assignment) -> Ends:
        return assignment.uncommitted(lambda key: self._consumer.position_of(TopicPartition(*key)))

    # What goes on beside the reading

    async def _attend(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._poll(), name=f"polling of {self._config.group}")
                group.create_task(self._commit_regularly(), name=f"committing of {self._config.group}")
                group.create_task(self._watch(), name=f"watch of {self._config.group}")
        except* KafkaError as errors:
            error = _first(errors)
            self._fail(self._away(error) if isinstance(error, KafkaError) else error)
        except* Exception as errors:  # noqa: BLE001 - whoever reads must be told
            self._fail(_first(errors))

    async def _poll(self) -> None:
        while True:
            await self._consumer.poll()
            await asyncio.sleep(_POLL_SECONDS)

    async def _commit_regularly(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            if not await self._commit(self._assignment):
                self._due.set()
            await asyncio.sleep(self._config.commit_interval)

    async def _watch(self) -> None:
        searched = time.monotonic()
        while True:
            self._check_connection()
            now = time.monotonic()
            if now - searched >= _SEARCH_SECONDS:
                searched = now
                self._search()
            if self._uncommitted(self._assignment):  # positions move past control records without being acknowledged
                self._due.set()
            await asyncio.sleep(_POLL_SECONDS)

    def _check_connection(self) -> None:
        """Raises NotConnected when the group, or the cluster, has not been heard of for too long, or is not
        understood."""
        config, now = self._config, time.monotonic()
        if self._consumer.is_connected:
            self._connected_at = now
        elif now - self._connected_at > self._hold:
            raise NotConnected(f"{config.shown}: no broker can be reached for {self._hold:.3g} s")
        if not self._is_between and self._assignment.is_over:
            raise NotConnected(
                f"{config.shown}: group {config.group} has not answered for {self._hold:.3g} s; it may have given our "
                "partitions to others (session_timeout)"
            )
        # No rebalance waits longer for a member that goes on; this one must have come to a stop inside of aiokafka.
        if self._is_between and now - self._between_since > config.max_poll_interval + config.session_timeout:
            raise NotConnected(
                f"{config.shown}: a rebalance of the group {config.group} does not end (max_poll_interval)"
            )
        if (failure := self._consumer.failure) is not None:
            raise NotConnected(f"{config.shown}: an answer makes no sense: {type(failure).__name__}: {failure}")
        forbidden = self._consumer.forbidden.intersection(config.topics)
        if forbidden:
            raise NotConnected(f"{config.shown}: {', '.join(sorted(forbidden))} may not be read (topics)")

    def _search(self) -> None:
        missing = [topic for topic in self._config.topics if not self._consumer.is_known(topic)]
        if missing:
            self._consumer.look_for_topics()
        if missing and missing != self._missing:
            _log.warning("group %s: no topic %s is there yet (topics)", self._config.group, ", ".join(missing))
        self._missing = missing

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._assigned.set()
        self._consumer.interrupt(str(error))


async def _within(seconds: float, work: Awaitable[object]) -> None:
    """Wait for something, and give it up when it takes longer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
