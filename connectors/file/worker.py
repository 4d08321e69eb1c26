"""The one thread in which a connector touches the file system, so that a slow disk never stops the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Worker:
    """Runs functions one after the other in a thread of its own.

    Because there is one thread, what ``run`` is given begins only when everything before it has ended, that which a
    cancelled call has left running too. A file system that hangs holds up this connector and no other.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What ``work`` returns or raises. Cancelled, it stops waiting; work that has begun goes on to its end."""
        return await asyncio.wrap_future(self.begin(work, *args, **kwargs))

    def begin(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """The same without waiting for it."""
        return self._executor.submit(work, *args, **kwargs)

    def stop(self) -> None:
        """Take nothing more; what has begun goes on to its end."""
        self._executor.shutdown(wait=False)
