"""The events that the benchmarks route: newline-delimited JSON of about 250 bytes a line, the same for every run."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

VERSION = 1
"""Part of the cached file's name: another generator must not find this one's file."""

_BLOCK = 10_000
_PLANS = ("free", "free", "free", "pro", "team")
_COUNTRIES = ("de", "fr", "us", "gb", "jp", "br", "in", "se")
_TYPES = ("order", "order", "view", "click", "reading")
_TAGS = ("new", "mobile", "eu", "retry", "gift", "beta")


def lines(count: int, seed: int = 1) -> Iterator[bytes]:
    """So many lines, each with its newline."""
    rng = random.Random(seed)
    for number in range(count):
        yield _line(rng, number)


def _line(rng: random.Random, number: int) -> bytes:
    bits = rng.getrandbits(48)
    kind = _TYPES[bits % 5]
    device = ("sensor" if bits % 7 < 3 else "phone") + f"-{bits >> 8 & 0xFFF:03x}"
    user = bits >> 20 & 0xFFFF
    tags = f'"{_TAGS[bits % 6]}","{_TAGS[(bits >> 4) % 6]}"'
    return (
        f'{{"id":{number},"type":"{kind}","amount":{(bits >> 12) % 100_000 / 100},"currency":"EUR",'
        f'"user":{{"id":"u{user}","plan":"{_PLANS[user % 5]}","email":"user{user}@example.com",'
        f'"country":"{_COUNTRIES[user % 8]}"}},"device":"{device}","ts":"2026-01-{1 + bits % 28:02}T12:00:00Z",'
        f'"tags":[{tags}],"session":"{bits:020x}"}}\n'
    ).encode()


def cache() -> Path:
    """The folder for what is generated once: outside the tree."""
    base = os.environ.get("XDG_CACHE_HOME") or tempfile.gettempdir()
    folder = Path(base) / "sluiceway-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def events_file(count: int, seed: int = 1) -> Path:
    """A file of so many events; generated if it is not there yet."""
    path = cache() / f"events-{VERSION}-{count}-{seed}.ndjson"
    if not path.exists():
        print(f"generating {count:,} events into {path}", flush=True)
        partial = path.with_suffix(f".{os.getpid()}")
        with partial.open("wb") as file:
            block: list[bytes] = []
            for line in lines(count, seed):
                block.append(line)
                if len(block) == _BLOCK:
                    file.write(b"".join(block))
                    block.clear()
            file.write(b"".join(block))
        partial.rename(path)
    return path
