"""Dead letters at full speed: every record of a file fails, in three ways, beside the bare inserts of the same lines.

``undecodable``: no line is JSON. ``invalid``: each breaks the contract. ``refused``: a sink takes none for good. The
floor writes the same lines into the same table, in transactions as large, as durable, with nothing decoded or decided.
Memory is sampled all the while: it must stay flat.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from bench import measure
from bench.events import cache, events_file
from bench.measure import Cost, Sample
from bench.memory import GROWTH_MB, PLUGINS, growth
from router.state import FILE, StateDir

RECORDS = 1_000_000
CASES = ("undecodable", "invalid", "refused")

DAEMON = """\
state_dir: ./state
http: {{listen: "127.0.0.1:0"}}
sources:
  events: {{type: file, path: {source}, follow: false}}
sinks:
  wall: {{type: refuse}}
flows: [events.yaml]
"""
RULES = """\
flow: events
from: [events]
contract: {{expect: {{amount is at least {least}: event.amount >= {least}}}}}
rules:
  - {{name: all, to: wall}}
"""


def main(arguments: list[str]) -> int:
    """Print a table; exit status 1 when a letter is missing, or memory grows."""
    parser = argparse.ArgumentParser(prog="python -m bench dead", description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--case", choices=CASES, action="append", help="only this one; may be repeated")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--profile", type=Path, help="run the daemon once under cProfile, into this file")
    options = parser.parse_args(arguments)
    figures, flat = {}, True
    folder = Path(tempfile.mkdtemp(prefix="sluiceway-dead-"))
    try:
        for case in options.case or CASES:
            contest = Contest(case, options.records, folder)
            if options.profile:
                contest.profile(options.profile)
                continue
            costs = measure.interleaved({"floor": contest.floor, "ours": contest.ours}, options.runs)
            flat &= report(case, costs, contest.samples, options.records)
            figures[case] = {name: [asdict(cost) for cost in runs] for name, runs in costs.items()}
    finally:
        shutil.rmtree(folder)
    if options.json:
        options.json.write_text(json.dumps({"records": options.records, "runs": figures}, indent=2))
    return 0 if flat else 1


class Contest:
    """The two contenders over one way to fail."""

    def __init__(self, case: str, records: int, folder: Path) -> None:
        self._records = records
        self._folder = folder
        self._home = folder / "ours"
        self._source = broken_file(records) if case == "undecodable" else events_file(records)
        self._least = "1000000.0" if case == "invalid" else "0.0"
        self.samples: list[Sample] = []

    def floor(self) -> Cost:
        """The bare inserts."""
        home = self._folder / "floor"
        shutil.rmtree(home, ignore_errors=True)
        StateDir.open(home).close()
        program = str(Path(__file__).with_name("dead_floor.py"))
        command = [sys.executable, program, str(self._source), str(home / FILE)]
        cost = measure.run(command, log=self._folder / "floor.log")
        self._count(home / FILE)
        return cost

    def ours(self) -> Cost:
        """The daemon, in a state folder that is new each time."""
        self._configure()
        self.samples = []
        cost = measure.run(
            self._command(), log=self._folder / "ours.log", environment=self._environment(), samples=self.samples
        )
        self._count(self._home / "state" / FILE)
        return cost

    def profile(self, into: Path) -> None:
        """The daemon once under cProfile (its main thread), shown by what each function took itself."""
        import pstats

        self._configure()
        command = [sys.executable, "-m", "cProfile", "-o", str(into), *self._command()]
        subprocess.run(command, check=True, env=self._environment(), stderr=subprocess.DEVNULL)
        pstats.Stats(str(into)).sort_stats("tottime").print_stats(35)

    def _command(self) -> list[str]:
        return [measure.SLUICEWAY, "run", str(self._home / "sluiceway.yaml")]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": os.pathsep.join([str(self._home / "site"), str(PLUGINS)])}

    def _configure(self) -> None:
        shutil.rmtree(self._home, ignore_errors=True)
        info = self._home / "site" / "sluiceway_refuse-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sluiceway-refuse\nVersion: 1\n")
        (info / "entry_points.txt").write_text("[sluiceway.sinks]\nrefuse = sluiceway_refuse:RefuseSink\n")
        (self._home / "events.yaml").write_text(RULES.format(least=self._least))
        (self._home / "sluiceway.yaml").write_text(DAEMON.format(source=json.dumps(str(self._source))))

    def _count(self, database: Path) -> None:
        """End the benchmark unless there is a letter for every record."""
        with sqlite3.connect(database) as connection:
            [[letters, values]] = connection.execute("SELECT count(*), count(DISTINCT value) FROM letters")
        if letters != self._records or values != self._records:
            sys.exit(f"{self._records} records became {letters} letters of {values} records: {database}")


def broken_file(records: int) -> Path:
    """A file of so many lines that are not JSON, made of the events."""
    path = cache() / f"broken-1-{records}.ndjson"
    if not path.exists():
        partial = path.with_suffix(f".{os.getpid()}")
        with events_file(records).open("rb") as lines, partial.open("wb") as file:
            file.writelines(line[:-3] + b"\n" for line in lines)
        partial.rename(path)
    return path


def report(case: str, costs: dict[str, list[Cost]], samples: list[Sample], records: int) -> bool:
    """Print what a case cost; whether memory stayed flat in its last run."""
    floor, ours = measure.median(costs["floor"]), measure.median(costs["ours"])
    print(f"\n{records:,} records, every one {case}; medians")
    print(f"{'':8}{'letters/s':>11}{'cpu s':>9}{'us/letter':>11}{'wall s':>9}{'rss MB':>9}")
    for name, cost in (("floor", floor), ("ours", ours)):
        speed = records / cost.wall
        each = cost.cpu / records * 1e6
        print(f"{name:8}{speed:11,.0f}{cost.cpu:9.2f}{each:11.2f}{cost.wall:9.2f}{cost.rss_mb:9.1f}")
    print(f"{'ratio':8}{floor.wall / ours.wall:11.2f}{ours.cpu / floor.cpu:9.2f}")
    grown = growth(samples)
    flat = grown <= GROWTH_MB
    print(f"memory from the second to the last quarter: {grown:+.1f} MB, {'flat' if flat else 'GROWING'}\n", flush=True)
    return flat


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
