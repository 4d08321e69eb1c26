"""What all workers of a test run use together: made by whoever needs it first."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from tests.servers.locks import alone


def run_folder(factory: pytest.TempPathFactory) -> Path:
    """The folder of this test run, the same for all its workers."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextmanager
def shared(
    folder: Path, start: Callable[[], AbstractContextManager[Any]], lives: Callable[[Any], bool]
) -> Iterator[Any]:
    """What ``start`` enters to, plain enough for JSON: entered by the first who comes with this folder, and left by
    that same one when nobody uses it any more. What no longer lives, because the first has crashed, is started anew."""
    lock, told = folder / "lock", folder / "told.json"
    folder.mkdir(exist_ok=True)
    with ExitStack() as mine:
        with alone(lock):
            users = mine.enter_context((folder / "users").open("w"))
            if not told.exists() or not lives(json.loads(told.read_text())):
                told.write_text(json.dumps(mine.enter_context(start())))
                mine.callback(_retire, lock, told, users)
            fcntl.flock(users, fcntl.LOCK_SH)
            shown = json.loads(told.read_text())
        yield shown


def _retire(lock: Path, told: Path, users: IO[str]) -> None:
    """Wait for the other users, and have whoever comes later start another."""
    while True:
        with alone(lock):
            if _sole(users):
                told.unlink()
                return
        time.sleep(0.1)


def _sole(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
