"""Where the daemon puts dead letters: kept for certain, then counted."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

from router.deadletters import DeadLetters
from router.keeper import count_expired
from router.letter import Letter
from router.metrics import Metrics
from router.part import Part

log = logging.getLogger(__name__)

Said = Callable[[Sequence[str], str, Iterable[tuple[Part, int]]], Awaitable[Sequence[str]]]
"""What may be shown of texts that a sink, of this name, gave of a write of these records: each a part, and an index
there."""


async def _as_it_is(texts: Sequence[str], _sink: str, _records: Iterable[tuple[Part, int]]) -> Sequence[str]:
    return texts


class LetterBox:
    """The dead letter store with the metrics of what goes into it.

    ``mask`` takes out of a letter's detail what must not be shown; ``said``, out of what a sink said of a write.
    """

    def __init__(
        self,
        store: DeadLetters,
        metrics: Metrics,
        mask: Callable[[str], str] = lambda text: text,
        said: Callable[[], Said] = lambda: _as_it_is,
    ) -> None:
        self.state = store.state
        self._mask = mask
        self._said = said
        self._store = store
        self._metrics = metrics

    async def said(self, texts: Sequence[str], sink: str, records: Iterable[tuple[Part, int]]) -> Sequence[str]:
        """What may be logged and shown of texts that a sink gave of a write of these records; nothing of them where
        that cannot be found out: no record depends on it."""
        try:
            return await self._said()(texts, sink, records)
        except Exception as error:  # noqa: BLE001 - who fails here would keep the outlet from trying again
            log.error("sink %s: what it said cannot be shown: %s", sink, type(error).__name__)
            return ["what it said cannot be shown"] * len(texts)

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
