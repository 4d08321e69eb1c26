"""Moving a file out of the way when it is large or old enough."""

from __future__ import annotations

import logging
import os
import re
import time
from itertools import count
from pathlib import Path

from connectors.file.packed import SUFFIXES

logger = logging.getLogger(__name__)


def move_aside(path: Path) -> Path:
    """Rename to ``name-<UTC time>-<n>.ext``, ``n`` counting up within a second; never overwrites. Raises OSError."""
    stem, suffix = _split(path.name)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    taken = [n for when, n, _ in _moved_aside(path) if when == stamp]
    for n in count(max(taken, default=-1) + 1):  # not the first that is free: that may be one that was deleted
        aside = path.with_name(f"{stem}-{stamp}-{n}{suffix}")
        try:
            # takes the name, so that nobody else can between looking and renaming
            os.close(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666))
        except FileExistsError:
            continue
        path.rename(aside)
        return aside
    raise AssertionError


def prune(path: Path, keep: int) -> None:
    """Delete the oldest of the files that ``path`` was moved aside to, so that ``keep`` remain. Raises OSError."""
    for _, _, each in sorted(_moved_aside(path))[:-keep]:
        try:
            each.unlink()
        except OSError as error:
            logger.warning("%s cannot be deleted: %s", each, error.strerror)


def _moved_aside(path: Path) -> list[tuple[str, int, Path]]:
    """Time, number and path of each."""
    stem, suffix = _split(path.name)
    name = re.compile(rf"{re.escape(stem)}-(\d{{8}}T\d{{6}}Z)-(\d+){re.escape(suffix)}")
    return [(found[1], int(found[2]), each) for each in path.parent.iterdir() if (found := name.fullmatch(each.name))]


def _split(name: str) -> tuple[str, str]:
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        return name, ""
    if dot + suffix in SUFFIXES and stem.rpartition(".")[0]:
        stem, dot, inner = stem.rpartition(".")
        suffix = f"{inner}.{suffix}"
    return stem, dot + suffix
