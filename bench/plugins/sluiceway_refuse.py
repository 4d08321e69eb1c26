"""A sink for benchmarks: refuses every record for good."""

from __future__ import annotations

from typing import ClassVar

from router import Batch, Settings, WriteError


class RefuseSinkConfig(Settings):
    """It has none."""


class RefuseSink:
    """Refuses whatever comes. **Guarantee**: that nothing arrives. It is never away."""

    Config: ClassVar[type[RefuseSinkConfig]] = RefuseSinkConfig

    def __init__(self, config: RefuseSinkConfig) -> None:
        self.config = config

    async def open(self) -> None:
        """Nothing to open."""

    async def write(self, batch: Batch) -> None:
        """Refuse all of it."""
        raise WriteError(dict.fromkeys(range(len(batch)), "refused for good"), retryable=False)

    async def close(self) -> None:
        """Nothing to close."""
