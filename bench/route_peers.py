"""The peers of ``bench.route``: each as a process over the same file, and what it wrote beside what the floor wrote."""

from __future__ import annotations

import filecmp
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import measure
from bench.events import events_file
from bench.measure import Cost
from bench.peers import environment, syslog_ng

NAMES = {"mq-bridge": "mq_bridge", "bytewax": "bytewax"}
"""Those in the peers' environment, and their modules in bench.peers."""

TRIAL = 1_000
"""Lines that each must route before it takes part."""

SECONDS = 900
"""After which a peer that has not ended is ended."""


class Peers:
    """The peers that can be had, over one file of events and in a folder of their own.

    ``absent`` are the reasons of those that cannot be.
    """

    def __init__(self, source: Path, folder: Path) -> None:
        self._source = source
        self._folder = folder
        self.absent: dict[str, str] = {}

    def contenders(self) -> dict[str, Callable[[], Cost]]:
        """What measures each of them. Each has routed a short file, and its answers do not matter yet."""
        found = {name: partial(self._python, name) for name in NAMES}
        found["syslog-ng"] = partial(self._syslog_ng, "syslog-ng")
        short = events_file(TRIAL)
        return {name: partial(run, self._source) for name, run in found.items() if self._works(name, run, short)}

    def _works(self, name: str, run: Callable[[Path], Cost], short: Path) -> bool:
        if name in NAMES and not environment.installed():
            self.absent[name] = environment.ABSENT
        elif name == "syslog-ng" and syslog_ng.program() is None:
            self.absent[name] = syslog_ng.ABSENT
        else:
            try:
                run(short)
            except measure.Failed as failed:
                self.absent[name] = str(failed).strip().rpartition("\n")[2]
        return name not in self.absent

    def _python(self, name: str, source: Path) -> Cost:
        home = self._fresh(name)
        command = environment.command(NAMES[name], str(source), str(home / "out"))
        return measure.run(["timeout", str(SECONDS), *command], log=home / "log", environment=environment.variables())

    def _syslog_ng(self, name: str, source: Path) -> Cost:
        program = syslog_ng.program()
        assert program is not None
        home = self._fresh(name)
        size = source.stat().st_size

        def work() -> None:
            until = time.monotonic() + SECONDS
            while sum(file.stat().st_size for file in (home / "out").iterdir()) < size:
                if time.monotonic() > until:
                    raise TimeoutError
                time.sleep(0.02)

        return measure.run_during(syslog_ng.command(program, source, home), work, log=home / "log")[1]

    def _fresh(self, name: str) -> Path:
        home = self._folder / name
        shutil.rmtree(home, ignore_errors=True)
        (home / "out").mkdir(parents=True)
        return home

    def verdict(self, name: str, floor: Path) -> str:
        """How what it wrote last compares with what the floor wrote."""
        return verdict(self._folder / name / "out", floor)


def verdict(found: Path, floor: Path) -> str:
    """Whether files hold what those of the floor do, byte for byte or at least the same lines in another order."""
    files = sorted(floor.iterdir())
    if all((found / file.name).exists() and filecmp.cmp(file, found / file.name, shallow=False) for file in files):
        return "identical"
    wanted = {file.name: _lines(file) for file in files}
    written = {file.name: _lines(found / file.name) for file in files}
    lines = sum(map(len, wanted.values()))
    if elsewhere := sum(len(set(wanted[name]).difference(written[name])) for name in wanted):
        return f"{elsewhere:,} of {lines:,} records are not where they belong"
    if more := sum(map(len, written.values())) - lines:
        return f"{more:,} records too many"
    return "another order"


def _lines(file: Path) -> list[int]:
    """Their hashes: no two events are the same."""
    if not file.exists():
        return []
    with file.open("rb") as lines:
        return list(map(hash, lines))
