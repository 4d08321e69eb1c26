"""Keeps the store of dead letters within its bounds: what is too old goes, and pages that nobody needs go back to the
disk, a few at a time, so that whoever wants to write hardly waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from router.deadletters import PAGE_LETTERS, DeadLetters
from router.errors import StateError
from router.metrics import Metrics

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
SPARE_PAGES = 256
"""So few free pages are not worth the work."""


def count_expired(metrics: Metrics, expired: Mapping[str, int], setting: str) -> None:
    """Letters that are gone because of a setting are counted, and told."""
    for flow, letters in expired.items():
        metrics.expired.labels(flow, setting).inc(letters)
        log.warning("%d dead letter(s) of flow %s are deleted, the oldest: `dead_letters.%s`", letters, flow, setting)


class Keeper:
    """Looks after one store. ``run`` is its task."""

    def __init__(self, store: DeadLetters, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._free = 0

    async def run(self) -> None:
        """Look after it until cancelled."""
        while True:
            try:
                await self.look()
            except StateError as error:
                log.warning("dead letters that have expired cannot be deleted: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Delete what is too old or too much, and give back what was free the last time and still is."""
        after: int | None = 0
        while after is not None:
            after, expired = await self._store.expire(after)
            count_expired(self._metrics, expired, "retain")
        goes_on = True
        while goes_on:
            goes_on, expired = await self._store.make_room()
            count_expired(self._metrics, expired, "max_bytes")
        await self._shrink()

    async def _shrink(self) -> None:
        _, free, _ = self._store.pages()
        spare, self._free = min(free, self._free), free
        while spare > SPARE_PAGES:
            await self._store.give_back(min(spare, PAGE_LETTERS))
            spare -= PAGE_LETTERS
