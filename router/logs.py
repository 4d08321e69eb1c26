"""Logs: on stderr, for people on a terminal, one JSON object a line otherwise, repeats rate-limited."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import MutableMapping
from typing import Any

import structlog

REPEAT_SECONDS = 10.0
REPEAT_BURST = 5


def configure(level: str = "info", *, json: bool | None = None) -> None:
    """Send every log line of the process to stderr. ``json`` None: unless stderr is a terminal."""
    as_json = not sys.stderr.isatty() if json is None else json
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json),
    ]
    final: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if as_json:
        final += [structlog.processors.format_exc_info, _message, structlog.processors.JSONRenderer()]
    else:
        final += [structlog.dev.ConsoleRenderer(colors=True)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=final))
    handler.addFilter(RepeatFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def _message(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["message"] = event.pop("event")
    return event


class RepeatFilter(logging.Filter):
    """Lets ``REPEAT_BURST`` records of one template through in ``REPEAT_SECONDS``, and says how many it kept back.

    The template, not the formatted text, is what repeats: the same trouble with a thousand files is one trouble.
    """

    def __init__(self, seconds: float = REPEAT_SECONDS, burst: int = REPEAT_BURST) -> None:
        super().__init__()
        self._seconds = seconds
        self._burst = burst
        self._windows: dict[tuple[str, int, object], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to show a record."""
        now, key = time.monotonic(), (record.name, record.levelno, record.msg)
        begun, seen = self._windows.get(key, (now, 0))
        if now - begun >= self._seconds:
            if seen > self._burst:
                record.msg = f"{record.msg} ({seen - self._burst} more like this in the last {now - begun:.0f} s)"
            begun, seen = now, 0
        if len(self._windows) > 1000:
            self._windows.clear()
        self._windows[key] = (begun, seen + 1)
        return seen < self._burst
