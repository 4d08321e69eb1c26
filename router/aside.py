"""Work that takes long, and a processor, beside the loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SWITCH_SECONDS: Final = 0.0005
"""So long the loop waits for the interpreter, after each call of the system, while another thread works. By default it
is 5 ms, which adds up."""

_underway: Final[set[object]] = set()
_usual: Final = sys.getswitchinterval()


async def aside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What ``work`` gives, done in a thread, so that the loop goes on meanwhile. When cancelled, it is done in vain."""
    with _yielding():
        return await asyncio.to_thread(work, *args, **kwargs)


@contextmanager
def _yielding() -> Iterator[None]:
    mark = object()
    _underway.add(mark)
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        _underway.discard(mark)
        if not _underway:
            sys.setswitchinterval(_usual)
