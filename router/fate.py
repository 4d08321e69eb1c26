"""What becomes of records that were sampled: which of their deliveries became dead letters, and when all was settled.

Only those that were sampled are asked about: of a batch without any there is no fate, and of others nothing is noted.
"""

from __future__ import annotations

from msgspec import Struct, field

LONGEST_DETAIL = 2_000
"""Of a longer one nothing is kept: a part of a secret in it would not be known for one. The letter has all of it."""


class Loss(Struct, frozen=True):
    """Why a delivery became a dead letter. The ``detail`` may hold what must not be shown."""

    reason: str
    detail: str


class Fate(Struct):
    """What became of records that were sampled together: when all of their batch was ``settled``, delivered or kept as
    dead letters, in Unix seconds; None before.

    ``sampled`` are their indices in the batch. ``losses`` are by index, sink, and how many deliveries of the record to
    that sink came before.
    """

    settled: float | None = None
    sampled: set[int] = field(default_factory=set)
    losses: dict[tuple[int, str, int], Loss] = field(default_factory=dict)

    def lose(self, index: int, sink: str, number: int, loss: Loss) -> None:
        """A delivery of a sampled record became a dead letter."""
        self.losses[index, sink, number] = loss if len(loss.detail) <= LONGEST_DETAIL else Loss(loss.reason, "")
