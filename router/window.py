"""What is on its way from a disk buffer to its sink: in memory, in order, and bounded in records and bytes."""

from __future__ import annotations

import time
from collections import deque

from msgspec import Struct, field

from router.load import Receipt
from router.part import Part


class Passage(Struct, eq=False):
    """A part on its way through a buffer.

    ``receipt`` is for whoever put it there, None when it was read from the file; ``since`` is when it came. ``end`` is
    the number after that of its last record in the file, None while it is not there; ``committing``, it is being
    written there. ``entered``: it is, or was, in the window. ``delivered``: it has come to its end, at the sink or
    among the dead letters.
    """

    part: Part
    receipt: Receipt | None = None
    since: float = field(default_factory=time.monotonic)
    end: int | None = None
    committing: bool = False
    entered: bool = False
    delivered: bool = False


class Window:
    """Parts in the order of the buffer: first ``ready``, then ``handed`` to the outlet, then delivered. A part leaves
    when it is delivered and in the file no more; so a kill repeats no more than there is in the window."""

    def __init__(self, records: int, size: int) -> None:
        self.ready: deque[Passage] = deque()
        self.handed: deque[tuple[Passage, Receipt]] = deque()
        self._delivered: deque[Passage] = deque()
        self._most_records, self._most_bytes = records, size
        self._records = self._bytes = 0

    def bound(self, records: int, size: int) -> None:
        """From now on, hold so many records and bytes of payload at most."""
        self._most_records, self._most_bytes = records, size

    @property
    def room(self) -> tuple[int, int]:
        """How many records, and bytes of payload, it can still take."""
        return self._most_records - self._records, self._most_bytes - self._bytes

    @property
    def is_half_empty(self) -> bool:
        """Whether it is worth the while to fill it up."""
        return self._records <= self._most_records // 2 and self._bytes <= self._most_bytes // 2

    def has_room(self, part: Part) -> bool:
        """Whether the part can enter; one that is larger than the window enters an empty one."""
        records, size = self.room
        return not self._records or (len(part.batch) <= records and part.batch.bytes <= size)

    def enter(self, passage: Passage) -> None:
        """The part is the next one."""
        passage.entered = True
        self.ready.append(passage)
        self._records += len(passage.part.batch)
        self._bytes += passage.part.batch.bytes

    def hand(self, receipt: Receipt) -> None:
        """The first part that is ready was handed to the outlet."""
        self.handed.append((self.ready.popleft(), receipt))

    def deliver(self) -> Passage:
        """The first part that was handed over is delivered. It stays until ``take_away()``."""
        passage, _ = self.handed.popleft()
        passage.delivered = True
        self._delivered.append(passage)
        return passage

    def take_away(self, number: int) -> None:
        """Delivered parts leave that are not in the file, or were before the record with this number."""
        while self._delivered and not self._delivered[0].committing and (self._delivered[0].end or 0) <= number:
            batch = self._delivered.popleft().part.batch
            self._records -= len(batch)
            self._bytes -= batch.bytes
