"""Waiting between attempts: exponential, jittered, bounded."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """Delays that double from ``initial`` to ``ceiling`` seconds, each drawn from its upper half.

    Full doubling keeps a system that is away from being hammered; the jitter keeps many clients from coming back at
    the same moment.
    """

    initial: float = 0.1
    ceiling: float = 30.0
    _step: int = field(default=0, init=False)

    def next(self) -> float:
        """Seconds to wait before the next attempt."""
        bound = min(self.ceiling, self.initial * 2.0 ** min(self._step, 60))
        self._step += 1
        return bound * (0.5 + random.random() / 2)  # noqa: S311 - jitter, not a secret

    def reset(self) -> None:
        """Begin at ``initial`` again: something went well."""
        self._step = 0
