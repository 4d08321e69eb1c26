"""Logs: on stderr, for people on a terminal, one JSON object a line otherwise, repeats rate-limited."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

REPEAT_SECONDS = 10.0
REPEAT_BURST = 5


def configure(
    level: str = "info", *, as_json: bool | None = None, mask: Callable[[str], str] = lambda text: text
) -> None:
    """Send every log line of the process to stderr. ``as_json`` None: unless stderr is a terminal.

    ``mask`` takes out of a text what must not be shown.
    """
    plain = not sys.stderr.isatty() if as_json is None else as_json
    handler = _lines() if plain else _terminal()
    handler.addFilter(RepeatFilter())
    handler.addFilter(MaskFilter(mask))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("aiohttp.access", "watchfiles"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _lines() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    return handler


def _terminal() -> logging.Handler:
    from rich.console import Console
    from rich.logging import RichHandler

    return RichHandler(console=Console(stderr=True), show_path=False, markup=False, highlighter=None)


def log_error(log: logging.Logger, trace: str, message: str, *arguments: object) -> None:
    """Log an error with its traceback, which was written out already, so that some of it could be taken out."""
    if log.isEnabledFor(logging.ERROR):
        record = log.makeRecord(log.name, logging.ERROR, __file__, 0, message, arguments, None)
        record.exc_text = trace
        log.handle(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``timestamp`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, without its end."""
        told = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_text:
            told["exception"] = record.exc_text
        return json.dumps(told, ensure_ascii=False)


class MaskFilter(logging.Filter):
    """Fills in a record's message and traceback, and takes out what must not be shown."""

    def __init__(self, mask: Callable[[str], str]) -> None:
        super().__init__()
        self._mask = mask

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask a record; it is always shown."""
        record.msg, record.args = self._mask(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._mask(record.exc_text)
        return True


class RepeatFilter(logging.Filter):
    """Lets ``REPEAT_BURST`` records of one template through in ``REPEAT_SECONDS``, and says how many it kept back.

    Of warnings and errors the template, not the formatted text, is what repeats: the same trouble with a thousand files
    is one trouble. Of what is no trouble it is the text.
    """

    def __init__(self, seconds: float = REPEAT_SECONDS, burst: int = REPEAT_BURST) -> None:
        super().__init__()
        self._seconds = seconds
        self._burst = burst
        self._windows: dict[tuple[str, int, object], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to show a record."""
        text = record.msg if record.levelno >= logging.WARNING else record.getMessage()
        now, key = time.monotonic(), (record.name, record.levelno, text)
        begun, seen = self._windows.get(key, (now, 0))
        if now - begun >= self._seconds:
            if seen > self._burst:
                record.msg = f"{record.msg} ({seen - self._burst} more like this in the last {now - begun:.0f} s)"
            begun, seen = now, 0
        if len(self._windows) > 1000:
            self._windows.clear()
        self._windows[key] = (begun, seen + 1)
        return seen < self._burst
