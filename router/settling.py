"""Which records of a batch are safe by now: each is once everything that was decided about it is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

Share = tuple["asyncio.Future[None]", Sequence[int]]
"""What completes when some records are safe at one place, and which, by their index in the batch."""


async def safe_in_turn(count: int, shares: Sequence[Share]) -> AsyncIterator[list[int]]:
    """The records of a batch of ``count``, some at a time, as they become safe; those of a share that fails never are.

    Those that nothing is done with come first. Ends when no share is left; may be cancelled at any time.
    """
    owed = [0] * count
    waiting = {receipt: frozenset(indices) for receipt, indices in shares}
    for indices in waiting.values():
        for index in indices:
            owed[index] += 1
    safe = [index for index, places in enumerate(owed) if not places]
    while waiting:
        if safe:
            yield safe
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        safe = []
        for receipt in done:
            indices = waiting.pop(receipt)
            if receipt.cancelled() or receipt.exception() is not None:
                continue
            for index in sorted(indices):
                owed[index] -= 1
                if not owed[index]:
                    safe.append(index)
    if safe:
        yield safe
