"""Notices when files change: by what the system tells of their folders, and now and then by looking at them.

Folders are watched, not files: editors and deployments put another file in the place of one, and a ConfigMap of
Kubernetes is changed by pointing a link beside its files elsewhere. That something happens there is a hint alone; what
counts is whether the files are what they were.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from importlib import import_module

from router.aside import aside
from router.config import Inputs

log = logging.getLogger(__name__)

QUIET_SECONDS = 0.2
"""Nothing has to happen for so long before it is believed that whoever changes files is done."""
LOOK_SECONDS = 5.0
"""So often files are looked at that nobody tells of, as on a network file system."""


async def watch(inputs: Callable[[], Inputs], changed: Callable[[], Awaitable[None]]) -> None:
    """Await ``changed`` each time that one of ``inputs`` is not what it was, until cancelled. After it, ``inputs`` are
    asked for again."""
    while True:
        current = inputs()
        await _until_changed(current)
        if current is inputs():
            log.info("files of the configuration have changed")
            await changed()


async def _until_changed(inputs: Inputs) -> None:
    """Return when something is not what it was, and whoever changes it seems to be done."""
    while True:
        if await asyncio.to_thread(inputs.have_changed):
            await _until_quiet(inputs)
            if await asyncio.to_thread(inputs.have_changed):
                return
        await _until_told(inputs)


async def _until_quiet(inputs: Inputs) -> None:
    seen = await asyncio.to_thread(inputs.now)
    while True:
        await asyncio.sleep(QUIET_SECONDS)
        now = await asyncio.to_thread(inputs.now)
        if now == seen:
            return
        seen = now


async def _until_told(inputs: Inputs) -> None:
    """Wait until something may have changed."""
    watchfiles = await aside(import_module, "watchfiles")  # whoever runs for seconds can do without
    folders = await asyncio.to_thread(inputs.folders)
    step, most = int(QUIET_SECONDS * 1000), int(LOOK_SECONDS * 1000)
    try:
        events = watchfiles.awatch(
            *folders, watch_filter=None, step=step, rust_timeout=most, yield_on_timeout=True, recursive=False
        )
        async with contextlib.aclosing(events):
            async for _ in events:
                if await asyncio.to_thread(inputs.have_changed):
                    return
    except OSError as error:
        log.warning("changes of files are not told of, and looked for every %g s: %s", LOOK_SECONDS, error)
        await asyncio.sleep(LOOK_SECONDS)
