"""A batch on its way to the broker: what is sent and not answered yet, what the broker refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from connectors.mqtt.connection import FAILED, LARGEST_PACKET, Connection
from connectors.mqtt.envelopes import Envelope, Refused
from router import WriteError

_AGAIN: Final = frozenset({0x80, 0x83, 0x91, 0x97})
"""Reason codes that may be others a little later: an error of the broker's own, a quota."""
_NOT_KNOWN: Final = 0x92
"""A reason code of PUBCOMP: the broker has had the message since PUBREC, and has forgotten its identifier."""
_NOTHING: Final = "sluiceway"
"""A topic that nobody is subscribed to."""


class Flight:
    """Publishes the records of one batch. ``change`` is set when something comes."""

    def __init__(self, connection: Connection, records: int, *, qos: int, window: int, change: asyncio.Event) -> None:
        self.left = set(range(records))
        """The records of which nothing is known yet."""
        self.failed: dict[int, str] = {}
        """The records that are not written, with the reason."""
        allows = connection.allows
        self._connection = connection
        self._qos = qos
        self._window = min(window, getattr(allows, "ReceiveMaximum", window)) if qos else window
        self._limit: int = getattr(allows, "MaximumPacketSize", LARGEST_PACKET)
        self._retains = bool(getattr(allows, "RetainAvailable", 1))
        self._change = change
        self._again: set[int] = set()
        self._under_way: dict[int, int] = {}

    async def publish(self, envelopes: Iterable[Envelope | Refused], payloads: Iterable[bytes]) -> None:
        """Send every record, in order, and wait until the broker has answered for all. Raises NotConnected."""
        for index, (envelope, payload) in enumerate(zip(envelopes, payloads, strict=False)):
            reason = self._impossible(envelope, payload)
            if isinstance(envelope, Refused) or reason:
                self.failed[index] = reason
                self.left.discard(index)
                continue
            identifier = self._connection.send(
                envelope.topic, payload, qos=self._qos, retain=envelope.retain, properties=envelope.properties
            )
            self._under_way[identifier] = index
            if len(self._under_way) >= self._window:
                # As soon as there is room for one: answers that are left to themselves come 40 ms apart (Nagle's
                # algorithm at the broker, which waits for our delayed ACK), unless there is something to send.
                await self._until(self._window - 1)
        await self._until(0)
        if not self._qos:
            # The broker answers in turn, so that by now it has read everything before this.
            await self._connection.unsubscribe_from([_NOTHING])
            self.left.clear()

    def _impossible(self, envelope: Envelope | Refused, payload: bytes) -> str:
        """Why a record cannot be published; empty if it can."""
        if isinstance(envelope, Refused):
            return envelope.reason
        if envelope.retain and not self._retains:
            return "the broker retains no messages"
        size = _packet_size(envelope.size + len(payload) + (4 if self._qos else 2))
        return (
            f"it is too large: its packet has {size} bytes, the broker takes {self._limit}"
            if size > self._limit
            else ""
        )

    async def _until(self, most: int) -> None:
        """Wait until at most so many are not answered. Raises NotConnected."""
        while len(self._under_way) > most:
            self._connection.check()
            self._change.clear()
            await self._change.wait()

    def answered(self, identifier: int, code: int, words: str) -> None:
        """The broker has answered to what has this identifier; of QoS 0, the system has taken it."""
        index = self._under_way.pop(identifier, None)
        if index is None:
            return
        if self._qos:
            self.left.discard(index)
        if code >= FAILED and code != _NOT_KNOWN:
            self.failed[index] = f"the broker refused it: {words}"
            if code in _AGAIN:
                self._again.add(index)

    def refusal(self, topics: Sequence[object]) -> WriteError:
        """The records that are not written. Those that follow one of their topic which is to be written again are to be
        written again, too."""
        failed, again = dict(self.failed), set(self._again)
        for index in with_followers(self._again, topics):
            if index not in failed:
                failed[index] = "a record before it in its topic is to be published again"
                again.add(index)
        return WriteError(failed, retryable=again)


def with_followers(indices: Iterable[int], topics: Sequence[object]) -> list[int]:
    """These, and whatever follows the first of them in each topic."""
    first: dict[object, int] = {}
    for index in sorted(indices):
        first.setdefault(topics[index], index)
    end = len(topics)
    return [index for index in range(min(first.values(), default=end), end) if index >= first.get(topics[index], end)]


def _packet_size(body: int) -> int:
    """The size of a packet with a body of so many bytes."""
    return body + 1 + max(1, (body.bit_length() + 6) // 7)
