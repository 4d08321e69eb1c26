"""Ports of 127.0.0.1 that stay one's own: a server that was killed finds its port free when it is started again."""

from __future__ import annotations

import random
import socket

_RANGE = range(20_000, 32_768)
"""Below what Linux gives to outgoing connections and to those who ask for port 0."""
_random = random.Random()
_claims: list[socket.socket] = []


def claim_port() -> int:
    """A port that nobody listens on, and that no other caller, in whatever process, gets while this process lives."""
    while True:
        port = _random.choice(_RANGE)
        if _claim(port) and _is_free(port):
            return port


def _claim(port: int) -> bool:
    """Take the abstract socket that stands for the port; the kernel gives it back when the process ends."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0sluiceway-port-{port}")
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
