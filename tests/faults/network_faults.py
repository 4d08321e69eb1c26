"""What networks do to connections, by the proxies that these go through."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from tests.servers.proxy import ProxyThread

Link = Sequence[ProxyThread]
"""The proxies of everything between two parties."""
Harm = Callable[[Link, random.Random], None]


def cut(link: Link, rng: random.Random) -> None:
    """Every connection is reset, several times."""
    for _ in range(rng.randint(1, 4)):
        reset(link)
        time.sleep(rng.uniform(0.05, 0.5))


def refuse(link: Link, rng: random.Random) -> None:
    """Connections are reset, and refused for a while."""
    for proxy in link:
        proxy.refuse()
        proxy.cut()
    time.sleep(rng.uniform(0.3, 3.0))
    for proxy in link:
        proxy.accept()


def delay(link: Link, rng: random.Random) -> None:
    """Every byte takes a while."""
    for proxy in link:
        proxy.slow(delay=rng.uniform(0.05, 0.5))
    time.sleep(rng.uniform(1.0, 4.0))
    heal(link)


def throttle(link: Link, rng: random.Random) -> None:
    """Few bytes come through in a second."""
    for proxy in link:
        proxy.slow(rate=rng.randint(100_000, 400_000))
    time.sleep(rng.uniform(1.0, 4.0))
    heal(link)


def swallow(link: Link, rng: random.Random) -> None:
    """Connections stay open, and nothing comes through."""
    for proxy in link:
        proxy.black_hole()
    time.sleep(rng.uniform(1.0, 5.0))
    heal(link)


def reset(link: Link) -> None:
    """Every connection that is open now is reset."""
    for proxy in link:
        proxy.cut()


def heal(link: Link) -> None:
    """Connections are as they should be."""
    for proxy in link:
        proxy.heal()
