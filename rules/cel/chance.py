"""What makes equal records give different values: the clock and chance. Whoever compares holds both still."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

_HELD: Final[ContextVar[int | None]] = ContextVar("held", default=None)


def now() -> int:
    """The present time in Unix nanoseconds, or the one that is held."""
    held = _HELD.get()
    return time.time_ns() if held is None else held


def noise(octets: int) -> bytes:
    """So many bytes at random; while the time is held, always the same ones."""
    if _HELD.get() is not None:
        return b"\x5a" * octets
    import os  # only who asks pays for loading it

    return os.urandom(octets)


@contextlib.contextmanager
def held(moment: int) -> Iterator[None]:
    """In this thread or task, until it is left, it is this moment (Unix nanoseconds), and nothing is random."""
    token = _HELD.set(moment)
    try:
        yield
    finally:
        _HELD.reset(token)
