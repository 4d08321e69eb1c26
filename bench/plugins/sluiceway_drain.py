"""A sink for benchmarks: takes records at a given rate, and keeps none."""

from __future__ import annotations

import asyncio
from typing import Annotated, ClassVar

from pydantic import Field

from router import Batch, Settings


class DrainSinkConfig(Settings):
    """The settings of a drain."""

    rate: Annotated[float, Field(gt=0)] | None = None
    """Records a second; without it, as many as come."""


class DrainSink:
    """Takes records and forgets them. **Guarantee**: none. It is never away."""

    Config: ClassVar[type[DrainSinkConfig]] = DrainSinkConfig

    def __init__(self, config: DrainSinkConfig) -> None:
        self.config = config

    async def open(self) -> None:
        """Nothing to open."""

    async def write(self, batch: Batch) -> None:
        """Return when a sink of this rate would have written the batch."""
        if self.config.rate is not None:
            await asyncio.sleep(len(batch) / self.config.rate)

    async def close(self) -> None:
        """Nothing to close."""
