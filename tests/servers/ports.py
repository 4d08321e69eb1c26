"""Ports of 127.0.0.1 that stay one's own: a server that was killed finds its port free when it is started again."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from functools import cache
from pathlib import Path
from typing import BinaryIO

_RANGE = range(20_000, 32_768)
"""Below what Linux gives to outgoing connections and to those who ask for port 0."""
_random = random.Random()
_claimed: set[int] = set()


def claim_port() -> int:
    """A port that nobody listens on, and that no other caller, in whatever process, gets while this process lives."""
    while True:
        port = _random.choice(_RANGE)
        if _claim(port) and _is_free(port):
            return port


def _claim(port: int) -> bool:
    """Lock the byte that stands for the port; the kernel gives it back when the process ends."""
    if port in _claimed:
        return False
    try:
        fcntl.lockf(_claims(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _claimed.add(port)
    return True


@cache
def _claims() -> BinaryIO:
    """Never closed, as that would give back all claims: one open file, however many ports are claimed."""
    return (Path(tempfile.gettempdir()) / f"sluiceway-ports-{os.getuid()}").open("wb")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
