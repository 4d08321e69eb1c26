"""How many records are decided about between two turns of the loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from router.batch import Batch
from rules.columns import Lines

SLICE_SECONDS: Final = 0.02
"""About so long may deciding take before heartbeats, deliveries and the admin pages have their turn."""
MOST_BYTES: Final = 256 << 10
"""Of records that do not come in blocks, which are decided about as one."""
FIRST_BYTES: Final = 16 << 10
"""While nothing is known of what a record costs."""


class Pace:
    """Cuts batches into slices by what deciding about the last one took: a thousand conditions that are asked one after
    the other cost fifty times what ten do."""

    def __init__(self) -> None:
        self._bytes = float(FIRST_BYTES)
        self._in_hand = 0.0

    def slices(self, batch: Batch) -> Iterator[tuple[int, int]]:
        """The first record of each slice, and the one after its last, in order. ``took`` is called after each."""
        is_blocks = isinstance(batch.values, Lines)
        mean = max(1, batch.bytes) / max(1, len(batch))
        for at, end in batch.values.spans if isinstance(batch.values, Lines) else [(0, len(batch))]:
            while at < end:
                most = self._bytes if is_blocks else min(self._bytes, MOST_BYTES)
                stop = min(at + max(1, round(most / mean)), end)
                self._in_hand = (stop - at) * mean
                yield at, stop
                at = stop

    def took(self, seconds: float) -> None:
        """Deciding about the slice that was given last took so long."""
        if self._in_hand:  # else it was given before these rules came
            self._bytes = self._in_hand * SLICE_SECONDS / max(seconds, 1e-6)
