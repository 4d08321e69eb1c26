"""What tests of disk buffers share: a buffered way to a scripted sink, over a state folder that can be opened again."""

from __future__ import annotations

from pathlib import Path

from connectors.memory import MemorySink
from router.buffer import BufferedOutlet
from router.diskbuffer import DiskBuffer
from router.outlet import Outlet, Policy
from router.testing import Books


class Buffered:
    """A state folder, in it a buffer, behind it a scripted sink. ``limit``: bytes of payload in the buffer."""

    def __init__(
        self,
        folder: Path,
        sink: MemorySink | None = None,
        limit: int = 1 << 20,
        when_full: str = "block",
        **policy: float,
    ) -> None:
        self.books = Books(folder)
        self.sink = sink or MemorySink(MemorySink.Config())
        self.file = DiskBuffer.open(folder, "sink")
        settings: dict[str, float] = {"backoff": 0.001, "timeout": 5.0, "attempts": 3} | policy
        outlet = Outlet("sink", self.sink, Policy(**settings), letters=self.books.box, metrics=self.books.metrics)  # type: ignore[arg-type]
        self.outlet = BufferedOutlet(outlet, self.file, limit, when_full, self.books.metrics)

    def close(self) -> None:
        """Give the folder back."""
        self.file.close()
        self.books.close()
