"""The scripted doubles keep the contract that the kit checks."""

from __future__ import annotations

from memory_system import MemorySinkContract, MemorySourceContract

from connectors.memory import MemorySource
from router import Settings


class TestMemorySource(MemorySourceContract):
    """As it is."""


class TestMemorySourceOfAnyOrder(MemorySourceContract):
    """With acknowledgements that stand for their batch alone."""

    def config(self) -> Settings:
        return MemorySource.Config(channel="kit", ack_order="any")


class TestMemorySourceThatForgets(MemorySourceContract):
    """One that does not replay."""

    def config(self) -> Settings:
        return MemorySource.Config(channel="kit", replays=False)


class TestMemorySink(MemorySinkContract):
    """As it is."""
