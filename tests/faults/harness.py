"""Everything that a fault test needs around the daemon: two growing files, three sinks, the truth, and the oracle."""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Self

from daemon_process import Daemon, install_plugins
from destination import Destination
from http_destination import HttpDestination
from oracle import LETTERS, Findings, Id, Ledger, Oracle, lines_of
from shop import ALPHA, BETA, SINKS, Shop
from small_disk import CannotMount, SmallDisk

from router.deadletters import DeadLetters
from router.letter import Letter
from router.outlet import Policy
from router.settler import UNSETTLED_BYTES
from router.state import StateDir

SOURCES = ("a", "b")
TIMEOUT = 2.0
"""Seconds that a write may take in these tests."""
WRITE_RECORDS = 2_000
"""Records that one write holds at most in these tests."""

CONFIG = """\
state_dir: ./state
drain_timeout: 10s
http: {{listen: "127.0.0.1:0"}}
defaults:
  sink: {{timeout: {timeout}s, retry: {{backoff: 20ms, attempts: 20}}, batch: {{records: {records}}}}}
sources:
  a: {{type: file, path: in/a.ndjson, follow: {follow}{settings}}}
  b: {{type: file, path: in/b.ndjson, follow: {follow}{settings}}}
sinks:
  disk: {{type: file, path: out/disk.ndjson{buffer}}}
  small: {{type: file, path: small/small.ndjson{buffer}}}
  wire: {{{wire}{buffer}}}
flows: [alpha.yaml, beta.yaml]
"""
_KEY = re.compile(rb'"key":"(k\d+)"')


class Rig:
    """A folder with a configuration, what feeds it and what it feeds. Use it as a context: it takes itself away.

    ``buffers``: each sink has a disk buffer. ``disks``: the state folder and one of the sinks have disks of their own.
    ``http``: the sink ``wire`` is one of HTTP.
    """

    def __init__(
        self,
        shop: Shop | None = None,
        *,
        follow: bool = True,
        disks: bool = False,
        buffers: bool = False,
        http: bool = False,
        seed: int = 1,
    ) -> None:
        self.shop = shop or Shop()
        self.buffers = buffers
        self.folder = Path(tempfile.mkdtemp(prefix="sluiceway-faults-"))
        self.why_no_disks = "not asked for"
        self.small_disk: SmallDisk | None = None
        self.state_disk: SmallDisk | None = None
        for name in ("in", "out", "small", "state", "truth"):
            (self.folder / name).mkdir()
        if disks:
            self._mount()
        self.ledgers = {source: Ledger(self.folder / "truth" / source) for source in SOURCES}
        made = HttpDestination if http else Destination
        self.destination = made(self.folder / "out" / "wire.ndjson", self.shop.identify, _key_of)
        self.destination.start()
        self.daemon: Daemon = Daemon(self._configure(follow), install_plugins(self.folder / "site"))
        self.rng = random.Random(seed)
        self.repeatable: Counter[str] = Counter()
        """How many repeats the test has to expect, by sink: it adds what its faults may cause."""
        self.refusable: dict[str, set[Id]] = {sink: set() for sink in SINKS}
        """The records that the test has a sink refuse."""
        self._judged = Mark()
        self._feeding = threading.Lock()
        self._rotations = 0
        for source in SOURCES:
            self._input(source).touch()

    def _mount(self) -> None:
        try:
            self.small_disk = SmallDisk(self.folder / "small", 192)
            self.state_disk = SmallDisk(self.folder / "state", 64)
        except CannotMount as error:
            self.why_no_disks = str(error)

    def _configure(self, follow: bool) -> Path:
        (self.folder / "alpha.yaml").write_text(ALPHA)
        (self.folder / "beta.yaml").write_text(BETA)
        config = self.folder / "sluiceway.yaml"
        text = CONFIG.format(
            wire=self.destination.settings,
            timeout=TIMEOUT,
            records=WRITE_RECORDS,
            follow=str(follow).lower(),
            settings=", poll: 50ms" if follow else "",
            buffer=", buffer: {type: disk, bytes: 8MiB}" if self.buffers else "",
        )
        config.write_text(text)
        return config

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything, and remove the folder."""
        if self.daemon.runs:
            self.daemon.thaw()
            self.daemon.kill()
        self.destination.stop()
        for disk in (self.small_disk, self.state_disk):
            if disk is not None:
                disk.close()
        for ledger in self.ledgers.values():
            ledger.close()
        shutil.rmtree(self.folder)

    # Feeding

    def _input(self, source: str) -> Path:
        return self.folder / "in" / f"{source}.ndjson"

    def feed(self, source: str, count: int) -> range:
        """Append so many records to a source's file, in two writes that part somewhere; their numbers."""
        with self._feeding:
            ledger = self.ledgers[source]
            first = len(ledger)
            lines = list(self.shop.lines(source, first, count))
            ledger.append(lines)
            data = b"".join(lines)
            cut = self.rng.randrange(len(data) + 1)
            for part in (data[:cut], data[cut:]):
                with self._input(source).open("ab", buffering=0) as file:
                    file.write(part)
            return range(first, first + count)

    def rotate(self, source: str) -> None:
        """Rename the source's file, as logrotate does; what is fed next begins a new one."""
        with self._feeding:
            self._rotations += 1
            path = self._input(source)
            path.rename(path.with_name(f"{path.name}.{self._rotations}"))
            path.touch()

    def upcoming(self, sink: str, source: str, count: int) -> list[Id]:
        """Of the so many records that are fed next, those that the sink will get."""
        first = len(self.ledgers[source])
        return [
            (source, number)
            for number in range(first, first + count)
            if sink in self.shop.judge(source, self.shop.line(source, number)).sinks
        ]

    # Judging

    def letters(self) -> list[Letter]:
        """Every dead letter there is."""
        return letters_in(self.folder / "state")

    def oracle(self) -> Oracle:
        """An oracle that has seen everything since the last ``judge``."""
        oracle = Oracle(self.shop, self.ledgers, self._judged.numbers)
        for sink in SINKS:
            oracle.refusable(sink, self.refusable[sink])
        for letter in self.letters():
            if letter.id > self._judged.letter:
                oracle.lettered(letter.source, letter.stage, letter.sink, letter.value)
        for sink in SINKS:
            for line in lines_of(self.output(sink), self._judged.ends.get(sink, 0)):
                oracle.arrived(sink, line)
        for sink in (*SINKS, LETTERS):
            oracle.may_repeat(sink, self.repeatable[sink])
        oracle.may_repeat("wire", self.destination.unanswered)
        return oracle

    def output(self, sink: str) -> Path:
        """Where the records of a sink are."""
        return self.folder / ("small" if sink == "small" else "out") / f"{sink}.ndjson"

    def settle(self, seconds: float = 60.0) -> dict[str, Findings]:
        """Wait until nothing is missing and nothing is on its way any more, at most so long; what the oracle found.

        Nothing may be fed meanwhile. What is judged here is not judged again.
        """
        deadline = time.monotonic() + seconds
        while True:
            idle = self.daemon.is_idle("unsettled", "buffer")
            found = self.oracle().findings()
            missing = sum(findings.lost for findings in found.values())
            if (idle and not missing) or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        self._mark()
        return found

    def _mark(self) -> None:
        letters = [letter.id for letter in self.letters()]
        self._judged = Mark(
            numbers={source: len(ledger) for source, ledger in self.ledgers.items()},
            ends={sink: _size(self.output(sink)) for sink in SINKS},
            letter=max(letters, default=self._judged.letter),
        )
        self.repeatable.clear()
        self.destination.unanswered = 0

    def expect_repeats_of_kill(self) -> None:
        """A kill may repeat what was in flight: one window of unsettled batches, for each sink; and where it has a disk
        buffer, one window of what was on its way from there."""
        line = len(self.shop.line("a", 0)) // 2  # no line is so short
        windows = UNSETTLED_BYTES + (Policy().queue_bytes if self.buffers else 0)
        for place in (*SINKS, LETTERS):
            self.repeatable[place] += windows // line

    def expect_repeats_of_write(self, *sinks: str) -> None:
        """One write that the sink finished after the router had given up on it."""
        for sink in sinks:
            self.repeatable[sink] += WRITE_RECORDS


class Mark:
    """Up to where everything has been judged."""

    def __init__(
        self, numbers: dict[str, int] | None = None, ends: dict[str, int] | None = None, letter: int = 0
    ) -> None:
        self.numbers = numbers or {}
        self.ends = ends or {}
        self.letter = letter


def letters_in(folder: Path) -> list[Letter]:
    """Every dead letter that is kept in a state folder."""
    if not (folder / "sluiceway.db").exists():
        return []
    with StateDir.visit(folder) as state:
        return asyncio.run(_all_letters(state))


async def _all_letters(state: StateDir) -> list[Letter]:
    return [letter async for letter in DeadLetters(state).find()]


def _key_of(value: bytes) -> bytes:
    found = _KEY.search(value)
    return found[1] if found else b""


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Wait until a condition holds. Raises AssertionError that says what did not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)
