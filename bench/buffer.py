"""What a disk buffer costs: the same job with and without one at each sink, as whole processes, by turns.

The sinks keep up, so this is what every record pays for the safety of a buffer: being packed, written to disk twice (to
SQLite's log, and from there to its file) and taken away again.
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
import sys
import tempfile
from pathlib import Path

from bench import measure
from bench.events import events_file
from bench.measure import Cost
from bench.route import SINKS, write_configuration

LINES = 1_000_000
PER_RECORD = 2.0
"""Microseconds of CPU that a buffer may add to a record of about 250 bytes."""


class Buffered:
    """The daemon over one file of events, with a buffer at each sink or none, in a folder of its own."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._source = source
        self._folder = folder

    def plain(self) -> Cost:
        """No buffers."""
        return self._run("plain", "")

    def buffered(self) -> Cost:
        """With buffers. Ends the benchmark when the outputs are others, or the buffers are not small in the end."""
        cost = self._run("buffered", "{type: disk, bytes: 1GiB}")
        for name in SINKS:
            with_, without = (self._folder / kind / "out" / f"{name}.ndjson" for kind in ("buffered", "plain"))
            if not filecmp.cmp(with_, without, shallow=False):
                sys.exit(f"{with_} differs from {without}; both are kept")
        left = sum(file.stat().st_size for file in (self._folder / "buffered" / "state").glob("buffer.*"))
        if left > 1 << 20:
            sys.exit(f"{left} bytes are left of empty buffers")
        return cost

    def _run(self, name: str, buffer: str) -> Cost:
        home = self._folder / name
        shutil.rmtree(home, ignore_errors=True)
        config = write_configuration(home, self._source, buffer=buffer)
        return measure.run([measure.SLUICEWAY, "run", str(config)], log=self._folder / f"{name}.log")


def main(arguments: list[str]) -> int:
    """Print a table; exit status 1 when a buffer costs more than is promised."""
    parser = argparse.ArgumentParser(prog="python -m bench buffer", description=__doc__)
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="sluiceway-buffer-"))
    job = Buffered(events_file(options.lines), folder)
    costs = measure.interleaved({"plain": job.plain, "buffered": job.buffered}, options.runs)
    shutil.rmtree(folder)
    plain, buffered = measure.median(costs["plain"]), measure.median(costs["buffered"])
    print(f"\n{options.lines:,} lines through four rules into four files, outputs identical; medians")
    print(f"{'':10}{'cpu s':>9}{'us/record':>11}{'wall s':>9}{'rss MB':>9}")
    for name, cost in (("plain", plain), ("buffered", buffered)):
        print(f"{name:10}{cost.cpu:9.2f}{cost.cpu / options.lines * 1e6:11.3f}{cost.wall:9.2f}{cost.rss_mb:9.1f}")
    added = (buffered.cpu - plain.cpu) / options.lines * 1e6
    kept = added <= PER_RECORD
    print(f"a buffer adds {added:.2f} us a record; promised: at most {PER_RECORD:g}: {'kept' if kept else 'BROKEN'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
