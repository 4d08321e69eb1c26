"""The topics that are written to: the partitions of each, or what is wrong with one that cannot be had."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.structs import TopicPartition
from msgspec import Struct

from connectors.kafka.connection import reason
from router import NotConnected

_NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}\Z")
_PATIENCE_SECONDS = 2.0
"""So long a topic that is being made may take to be known everywhere."""
_ASK_AGAIN_SECONDS = 0.1
_MISSED_SECONDS = 10.0
"""So long a topic that is not there is not looked for again."""


class Plan(Protocol):
    """What a topic is made like."""

    @property
    def partitions(self) -> int:
        """How many partitions it gets."""

    @property
    def replication(self) -> int:
        """How many brokers keep a copy of each."""

    @property
    def settings(self) -> Mapping[str, str]:
        """Its other settings."""


class Topic(Struct, frozen=True):
    """A topic that there is: how many partitions it has, and which of them have a leader, in their order."""

    name: str
    partitions: int
    available: Sequence[int]


class Missing(str):
    """Why a topic cannot be written to."""

    __slots__ = ()


class Topics:
    """Knows the topics of the cluster that ``client`` is connected to. ``plan``: make those that are not there so, by
    way of another client that takes ``arguments``. ``answer_within``: seconds that the cluster may take to say which
    topics there are."""

    def __init__(
        self, client: AIOKafkaClient, arguments: Mapping[str, Any], plan: Plan | None, *, answer_within: float
    ) -> None:
        self._client = client
        self._answer_within = answer_within
        self._arguments = arguments
        self._plan = plan
        self._followed: frozenset[str] = frozenset()
        self._missed: dict[str, tuple[float, Missing]] = {}

    async def find(self, names: Iterable[str]) -> dict[str, Topic | Missing]:
        """Each of these topics. Raises NotConnected."""
        found: dict[str, Topic | Missing] = {}
        unknown = []
        for name in names:
            topic = self._known(name) or self._missing(name)
            if topic is None:
                unknown.append(name)
            else:
                found[name] = topic
        if unknown:
            found |= await self._look_for(unknown)
        return found

    def leaders(self, topic: Topic) -> set[int]:
        """The brokers that lead a partition of it."""
        return {self._client.cluster.leader_for_partition(TopicPartition(topic.name, n)) for n in topic.available}

    async def refresh(self) -> None:
        """Ask the cluster for its topics and leaders anew. Raises NotConnected when no broker answers."""
        try:
            async with asyncio.timeout(self._answer_within):
                if await self._client.force_metadata_update():
                    return
        except TimeoutError:
            pass
        raise NotConnected("no broker of the cluster answers")

    def _known(self, name: str) -> Topic | None:
        partitions = self._client.cluster.partitions_for_topic(name)
        if partitions is None:
            return None
        return Topic(name, len(partitions), sorted(self._client.cluster.available_partitions_for_topic(name)))

    def _missing(self, name: str) -> Missing | None:
        if _NAME.match(name) is None:
            return Missing(f"{name!r} is no name of a topic: letters, digits, `.`, `_` and `-`, 249 of them at most")
        until, missing = self._missed.get(name, (0.0, None))
        return missing if until > asyncio.get_running_loop().time() else None

    async def _look_for(self, names: Sequence[str]) -> dict[str, Topic | Missing]:
        """Ask for topics that were not heard of, for a while if need be, and make them if that is the plan."""
        self._client.set_topics(self._followed.union(names))
        until = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        refused: dict[str, str] | None = None
        while True:
            await self.refresh()
            hidden = self._client.cluster.unauthorized_topics
            left = [name for name in names if self._known(name) is None and name not in hidden]
            if left and refused is None and self._plan is not None:
                refused = await self._make(left, self._plan)
            elif not set(left).difference(refused or ()) or asyncio.get_running_loop().time() > until:
                break
            else:
                await asyncio.sleep(_ASK_AGAIN_SECONDS)
        found = {name: self._known(name) or self._miss(name, hidden, refused or {}) for name in names}
        self._follow(name for name, topic in found.items() if isinstance(topic, Topic))
        return found

    def _follow(self, names: Iterable[str]) -> None:
        """What is asked for from now on. Without any the client would ask for all that there are."""
        self._followed = self._followed.union(names)
        if self._followed:
            self._client.set_topics(self._followed)

    def _miss(self, name: str, hidden: Iterable[str], refused: Mapping[str, str]) -> Missing:
        if name in hidden:
            made = Missing(f"the cluster does not let us see topic {name}: it takes the rights Describe and Write")
        elif name in refused:
            made = Missing(f"topic {name} does not exist, and the cluster does not make it: {refused[name]}")
        else:
            made = Missing(
                f"topic {name} does not exist: make it, or let the sink do so with `create: {{partitions: 6, "
                "replication: 3}`"
            )
        if len(self._missed) > 10_000:
            self._missed.clear()
        self._missed[name] = (asyncio.get_running_loop().time() + _MISSED_SECONDS, made)
        return made

    async def _make(self, names: Iterable[str], plan: Plan) -> dict[str, str]:
        """Make these topics. Those that the cluster does not make, with the reason. Raises NotConnected."""
        admin = AIOKafkaAdminClient(**self._arguments)
        new = [NewTopic(name, plan.partitions, plan.replication, topic_configs=dict(plan.settings)) for name in names]
        try:
            await admin.start()
            told = await admin.create_topics(new)
        except (KafkaError, OSError) as error:
            raise NotConnected(f"topics cannot be made: {reason(error)}") from error
        finally:
            await admin.close()
        return {
            name: (rest[0] if rest else None) or for_code(code).message
            for name, code, *rest in told.topic_errors
            if code not in (0, TopicAlreadyExistsError.errno)
        }
