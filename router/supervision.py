"""Components that fail are started again: none takes the daemon down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from router.retry import Backoff

log = logging.getLogger(__name__)


async def supervise(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a component to its end, and begin it again, with backoff, when it fails: it never takes the daemon down."""
    backoff = Backoff()
    while True:
        try:
            return await run()
        except Exception as error:
            log.error("%s failed and is started again: %s: %s", name, type(error).__name__, error, exc_info=error)
        await asyncio.sleep(backoff.next())
