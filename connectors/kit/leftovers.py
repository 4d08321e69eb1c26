"""What a connector may leave behind in its process: tasks, threads, descriptors."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path
from typing import Self

from msgspec import Struct

_SHARED = ("asyncio_", "uvloop_")
"""The threads of the loop's own executor (``asyncio.to_thread``), which stay and are used again."""


class Leftovers(Struct, frozen=True):
    """What is there at one moment."""

    tasks: frozenset[asyncio.Task[object]]
    threads: frozenset[threading.Thread]
    descriptors: dict[int, str]

    @classmethod
    def now(cls) -> Self:
        """What is there now."""
        gc.collect()
        threads = (thread for thread in threading.enumerate() if not thread.name.startswith(_SHARED))
        return cls(frozenset(asyncio.all_tasks()), frozenset(threads), _descriptors())

    @classmethod
    async def settled(cls) -> Self:
        """What is there when nothing has gone for a moment."""
        before = cls.now()
        while True:
            await asyncio.sleep(0.02)
            now = cls.now()
            if not before.beyond(now):
                return now
            before = now

    def beyond(self, before: Leftovers) -> list[str]:
        """What is there that was not, in words; of descriptors, how many there are more of a kind."""
        found = [f"the task {task.get_name()!r} ({task.get_coro()})" for task in self.tasks - before.tasks]
        found += [f"the thread {thread.name!r}" for thread in self.threads - before.threads]
        more = len(self.descriptors) - len(before.descriptors)
        if more > 0:
            names = [name for number, name in self.descriptors.items() if number not in before.descriptors]
            found += [f"{more} descriptor(s): {', '.join(names)}"]
        return found


def _descriptors() -> dict[int, str]:
    found = {}
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found[int(descriptor.name)] = str(descriptor.readlink())
        except OSError:
            continue  # that of the listing itself
    return found
