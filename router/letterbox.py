"""Where the daemon puts dead letters: kept for certain, then counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence

from router.deadletters import DeadLetters
from router.keeper import count_expired
from router.letter import Letter
from router.metrics import Metrics


class LetterBox:
    """The dead letter store with the metrics of what goes into it.

    ``mask`` takes out of a letter's detail what must not be shown.
    """

    def __init__(self, store: DeadLetters, metrics: Metrics, mask: Callable[[str], str] = lambda text: text) -> None:
        self.state = store.state
        self._mask = mask
        self._store = store
        self._metrics = metrics

    async def put(self, letters: Sequence[Letter], *, replayed: Collection[int] = ()) -> None:
        """Keep these, in the place of those whose replay has ended; they are durable when it returns.

        While the store cannot be written it is tried again, for as long as it takes: whoever waits here stops taking
        in more, so that nothing is lost and nothing is delivered twice. When cancelled, none of them may be kept.
        """
        for letter in letters:
            letter.detail = self._mask(letter.detail)
        expired = await self.state.insist(
            lambda: self._store.add_many(letters, replayed=replayed),
            f"{len(letters)} dead letter(s) cannot be kept, so their flow waits",
        )
        count_expired(self._metrics, expired, "max_bytes")
        kinds = Counter((letter.flow, letter.stage, letter.sink or "", letter.reason) for letter in letters)
        for labels, records in kinds.items():
            self._metrics.dead_letters.labels(*labels).inc(records)
