"""The source ``generate`` keeps the contract that the kit checks."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.generate import GenerateSource
from connectors.kit import SourceContract
from router import Settings

MADE = "it makes its records itself"


class TestGenerateSource(SourceContract):
    connector = GenerateSource
    cannot = {"wait": MADE, "be away": MADE, "go away": MADE, "be large": MADE, "be binary": MADE}
    count = 0

    def config(self) -> Settings:
        return GenerateSource.Config(template={"n": "{sequence}"}, count=self.count, seed=1, batch=20)

    def payload(self, number: int) -> bytes:
        return b'{"n":%d}' % number

    async def put(self, values: Sequence[bytes]) -> None:
        """It makes as many; they are numbered from the first one on."""
        self.count += len(values)

    async def end(self) -> None:
        """After ``count`` it ends by itself."""
