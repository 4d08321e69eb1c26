"""Where the daemon puts dead letters: kept for certain, then counted."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence

from router.deadletters import DeadLetters, Letter
from router.errors import StateError
from router.metrics import Metrics
from router.retry import Backoff

log = logging.getLogger(__name__)


class LetterBox:
    """The dead letter store with the metrics of what goes into it.

    ``error`` says why it cannot be written now. ``mask`` takes out of a letter's detail what must not be shown.
    """

    def __init__(self, store: DeadLetters, metrics: Metrics, mask: Callable[[str], str] = lambda text: text) -> None:
        self.error = ""
        self._mask = mask
        self._store = store
        self._metrics = metrics

    async def put(self, letters: Sequence[Letter]) -> None:
        """Keep these; they are durable when it returns.

        While the store cannot be written it is tried again, for as long as it takes: whoever waits here stops taking
        in more, so that nothing is lost and nothing is delivered twice. When cancelled, none of them may be kept.
        """
        for letter in letters:
            letter.detail = self._mask(letter.detail)
        backoff = Backoff()
        while True:
            try:
                await self._store.add_many(letters)
                break
            except StateError as error:
                self.error = str(error)
                log.error("%d dead letter(s) cannot be kept, so their flow waits: %s", len(letters), error)
            await asyncio.sleep(backoff.next())
        self.error = ""
        kinds = Counter((letter.flow, letter.stage, letter.sink or "", letter.reason) for letter in letters)
        for labels, records in kinds.items():
            self._metrics.dead_letters.labels(*labels).inc(records)
