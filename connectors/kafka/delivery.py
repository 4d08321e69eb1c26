"""One write of the sink ``kafka``: which batches it takes, and what became of each record."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence

from aiokafka.structs import TopicPartition

from connectors.kafka.outgoing import Records
from connectors.kafka.producer import BROKEN, TOO_LARGE, UNANSWERED, Answer, Parcel, Producer
from router import NotConnected, Unavailable, WriteError

_LARGE = frozenset({TOO_LARGE, 18})
_OF_RECORDS = frozenset({32, 87})
_FORBIDDEN = 29
_OF_SETTINGS = frozenset({21, 31, 35, 43, 76})
"""Answers that speak of the sink's settings, not of records: acks, rights, versions, compression."""
_STALE = frozenset({BROKEN, UNANSWERED, 3, 5, 6, 8, 9, 13, 56, 72, 74, 75})
"""Answers that say that another broker is to be asked by now."""
_LATER = frozenset({*_STALE, 2, 7, 19, 20, 45, 47, 49, 59, 89, 90})
"""Answers that are other ones at another time, whatever the records are."""


class Rooms:
    """How many bytes of records, before compression, fit into a batch of each topic of which one was too large."""

    def __init__(self) -> None:
        self._small: dict[str, float] = {}
        self._taken: dict[str, int] = {}

    def of(self, topic: str) -> float | None:
        """The most to put into one batch; None as long as all have fitted."""
        return self._small.get(topic)

    def was_taken(self, topic: str, records: Records) -> None:
        """A batch of these records fitted. Sizes are of interest once one did not."""
        if topic in self._small:
            self._taken[topic] = max(records.size, self._taken.get(topic, 0))

    def was_too_large(self, topic: str, records: Records, share: float) -> None:
        """Of a batch of these records, so much would have fitted. Where larger ones did, or it is but one, a record is
        to blame."""
        size = records.size
        if len(records) > 1 and size > self._taken.get(topic, 0):
            self._small[topic] = min(self._small.get(topic, size), size * share)


class Delivery:
    """What became of the records of a batch, so far. ``refused``: those that never can be written, with the reason;
    ``topic``: the one that is configured; others are what a record chose."""

    def __init__(
        self, records: Records, producer: Producer, rooms: Rooms, refused: dict[int, str], topic: str | None
    ) -> None:
        self._records = records
        self._producer = producer
        self._rooms = rooms
        self._refused = refused
        self._topic = topic
        self._retry: dict[int, str] = {}
        self._written: list[Sequence[int]] = []
        self._is_broken = False
        self.trouble = ""
        """Why records have to wait."""
        self.is_stale = False
        """Whether an answer says that leaders have changed."""

    async def run(self, routes: Mapping[TopicPartition, Sequence[int]], *, until: float) -> None:
        """Send the records of each partition, in their order: the next batch of one once the last is written. None
        begins after ``until``, in the time of the event loop. Raises NotConnected."""
        waiting = {place: deque(self._pieces(place, indices)) for place, indices in routes.items()}
        while waiting := {place: pieces for place, pieces in waiting.items() if pieces}:
            if asyncio.get_running_loop().time() > until:
                self.trouble = self.trouble or "it takes longer than one write may; the rest of the records follows"
                return
            parcels = [Parcel(place, pieces[0], self._records.pick(pieces[0])) for place, pieces in waiting.items()]
            answers = await self._producer.send(parcels)
            for parcel, answer in zip(parcels, answers, strict=True):
                pieces = waiting[parcel.place]
                pieces.popleft()
                if answer.is_written:
                    self._written.append(parcel.indices)
                    self._rooms.was_taken(parcel.place.topic, parcel.records)
                else:
                    self._take(parcel, answer, pieces)

    @property
    def left(self) -> set[int]:
        """The records that are not written."""
        return set(range(len(self._records))).difference(*self._written)

    def conclude(self) -> None:
        """Return if every record is written. Raises WriteError, NotConnected and Unavailable as ``Sink.write`` does.

        A connection that ended is counted against the records, since one of them may have ended it.
        """
        if self.trouble:
            raise (NotConnected if self._is_broken else Unavailable)(self.trouble, unwritten=self.left)
        if failed := self._refused | self._retry:
            raise WriteError(failed, retryable=self._retry.keys())

    def _pieces(self, place: TopicPartition, indices: Sequence[int]) -> list[Sequence[int]]:
        """The records in batches that fit, as far as one can tell."""
        room = self._rooms.of(place.topic)
        if room is None:
            return [indices]
        size = self._records.pick(indices).size
        count = min(len(indices), -int(-size // room))
        return [indices[len(indices) * n // count : len(indices) * (n + 1) // count] for n in range(count)]

    def _take(self, parcel: Parcel, answer: Answer, pieces: deque[Sequence[int]]) -> None:
        """What an answer says of records that are not written; ``pieces`` are those that follow them."""
        topic, told = parcel.place.topic, f"{parcel.place.topic}, partition {parcel.place.partition}: {answer}"
        if answer.spoiled:
            kept = [index for at, index in enumerate(parcel.indices) if at not in answer.spoiled]
            for at, why in answer.spoiled.items():
                self._refused[parcel.indices[at]] = f"{told}{': ' if why else ''}{why}"
            pieces.extendleft([kept] if kept else [])
        elif answer.code in _LARGE | _OF_RECORDS:
            if answer.code in _LARGE:
                self._rooms.was_too_large(topic, parcel.records, answer.share)
            self._halve(parcel.indices, told, pieces)
        elif answer.code == _FORBIDDEN and topic != self._topic:
            self._refused.update(dict.fromkeys(self._rest(parcel, pieces), f"{told}: it takes the right Write"))
        elif answer.code in _LATER | _OF_SETTINGS or answer.code == _FORBIDDEN:
            self.is_stale |= answer.code in _STALE
            self._is_broken |= answer.code == BROKEN
            self.trouble = self.trouble or told
            pieces.clear()
        else:
            self._retry.update(dict.fromkeys(self._rest(parcel, pieces), told))

    def _halve(self, indices: Sequence[int], told: str, pieces: deque[Sequence[int]]) -> None:
        if len(indices) == 1:
            self._refused[indices[0]] = told
            return
        middle = len(indices) // 2
        pieces.extendleft([indices[middle:], indices[:middle]])

    @staticmethod
    def _rest(parcel: Parcel, pieces: deque[Sequence[int]]) -> list[int]:
        """The records of a parcel and all that follow it in its partition, which wait for no answer any more."""
        rest = [*parcel.indices, *(index for piece in pieces for index in piece)]
        pieces.clear()
        return rest
