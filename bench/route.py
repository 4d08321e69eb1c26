"""The whole daemon: one file through four content rules into four files, beside a loop written by hand, and peers.

All are measured as processes, from start to end, by turns; the daemon once more with a contract that reads whole
events, where otherwise it decodes no more of them than the rules read. What the loop and the daemon wrote must be the
same, byte for byte; what a peer wrote is compared, too.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import measure, plot
from bench.events import events_file
from bench.measure import Cost
from bench.peers import environment
from bench.report import Promise, Table, figure, judge
from bench.route_peers import Peers

LINES = 3_000_000
CPU_RATIO = 1.0
RSS_MB = 150.0
"""What is promised of 3,000,000 lines."""

UNPROJECTED = "ours, whole events"
SINKS = ("orders", "paying", "sensors", "archive")

DAEMON = """\
state_dir: ./state
http: {{listen: "127.0.0.1:0"}}
sources:
  events: {{type: file, path: {source}, follow: false}}
sinks:
  orders: {{type: file, path: out/orders.ndjson{buffer}}}
  paying: {{type: file, path: out/paying.ndjson{buffer}}}
  sensors: {{type: file, path: out/sensors.ndjson{buffer}}}
  archive: {{type: file, path: out/archive.ndjson{buffer}}}
flows: [events.yaml]
"""

RULES = """\
flow: events
from: [events]
rules:
  - name: orders
    when: event.type == "order" && event.amount > 500.0
    to: orders
  - name: paying
    when: event.user.plan in ["pro", "team"]
    to: paying
  - name: sensors
    when: event.device.startsWith("sensor-")
    to: sensors
  - name: archive
    when: event.type in ["order", "view", "click", "reading"]
    to: archive
otherwise: {unmatched: dead_letter}
"""
READS_ALL = "contract: {expect: {has a field: size(event) > 0}}\n"
"""With this, all of an event is decoded, whatever the rules read."""


def write_configuration(folder: Path, source: Path, *, buffer: str = "", contract: str = "") -> Path:
    """The daemon's file for routing ``source`` into ``folder/out``. ``buffer``: that of each sink, as YAML, and
    ``contract`` that of the flow, as a line of its file."""
    (folder / "out").mkdir(parents=True, exist_ok=True)
    (folder / "events.yaml").write_text(RULES + contract)
    config = folder / "sluiceway.yaml"
    config.write_text(DAEMON.format(source=json.dumps(str(source)), buffer=buffer and f", buffer: {buffer}"))
    return config


class Route:
    """The floor and the daemon over one file of events, in a folder of their own."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._source = source
        self._folder = folder
        self._floor_out = folder / "floor"

    def floor(self) -> Cost:
        """The loop written by hand."""
        shutil.rmtree(self._floor_out, ignore_errors=True)
        self._floor_out.mkdir()
        program = str(Path(__file__).with_name("floor.py"))
        command = [sys.executable, program, str(self._source), str(self._floor_out)]
        return measure.run(command, log=self._folder / "floor.log")

    def ours(self, contract: str = "") -> Cost:
        """The daemon, in a state folder that is new each time. Ends the benchmark when its output is another one."""
        home = self._folder / "ours"
        shutil.rmtree(home, ignore_errors=True)
        config = write_configuration(home, self._source, contract=contract)
        cost = measure.run([measure.SLUICEWAY, "run", str(config)], log=self._folder / "ours.log")
        for name in SINKS:
            ours, floor = home / "out" / f"{name}.ndjson", self._floor_out / f"{name}.ndjson"
            if not filecmp.cmp(ours, floor, shallow=False):
                sys.exit(f"{ours} differs from {floor}; both are kept")
        return cost

    def profile(self, into: Path) -> None:
        """The daemon once under cProfile (its main thread), shown by what each function took itself."""
        import pstats

        home = self._folder / "profiled"
        config = write_configuration(home, self._source)
        command = [sys.executable, "-m", "cProfile", "-o", str(into), measure.SLUICEWAY, "run", str(config)]
        measure.run(command, log=self._folder / "profile.log")
        pstats.Stats(str(into)).sort_stats("tottime").print_stats(35)


@dataclass(frozen=True, slots=True)
class Figures:
    """What each contender cost in each run; ``verdicts`` about what peers wrote; why others are ``absent``."""

    lines: int
    costs: dict[str, list[Cost]]
    verdicts: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def measured(lines: int, runs: int, *, peers: bool) -> Figures:
    """Measure the floor, ours with and without projection, and the peers or not."""
    source = events_file(lines)
    folder = Path(tempfile.mkdtemp(prefix="sluiceway-route-"))
    route, others = Route(source, folder), Peers(source, folder)
    own: dict[str, Callable[[], Cost]] = {
        "floor": route.floor,
        "ours": route.ours,
        UNPROJECTED: partial(route.ours, READS_ALL),
    }
    routers = others.contenders() if peers else {}
    costs = measure.interleaved({**own, **routers}, runs)
    verdicts = {name: others.verdict(name, folder / "floor") for name in routers}
    shutil.rmtree(folder)
    return Figures(lines, costs, verdicts, others.absent)


def promises(figures: Figures) -> list[Promise]:
    """What is promised of the daemon, of a long run: in a short one, its start weighs more."""
    if figures.lines < LINES:
        return []
    ours = figures.costs["ours"]
    return [
        Promise("cpu of the whole daemon in times the floor's", _ratio(figures), CPU_RATIO),
        Promise("MB of memory of the daemon", measure.median(ours).rss_mb, RSS_MB),
    ]


def _ratio(figures: Figures) -> float:
    return measure.ratio(figures.costs["ours"], figures.costs["floor"], lambda cost: cost.cpu)


def table(figures: Figures) -> Table:
    """A row for each, medians of its runs."""
    floor = measure.median(figures.costs["floor"])
    rows: list[list[str]] = []
    for name, runs in figures.costs.items():
        cost = measure.median(runs)
        times = _ratio(figures) if name == "ours" else cost.cpu / floor.cpu
        row = [figure(cost.cpu / figures.lines * 1e6), figure(cost.wall / figures.lines * 1e6)]
        rows.append([name, *row, f"{times:.2f}", f"{cost.rss_mb:.0f}", figures.verdicts.get(name, "identical")])
    rows += [[name, "", "", "", "", reason] for name, reason in figures.absent.items()]
    return Table(("", "cpu us", "wall us", "x floor", "MB", "output"), rows, remarks=True)


def drawing(figures: Figures) -> str:
    """The CPU for a record, as a plot."""
    values = {name: measure.median(runs).cpu / figures.lines * 1e6 for name, runs in figures.costs.items()}
    colours = {"ours": plot.OURS, UNPROJECTED: plot.OURS, "floor": plot.FLOOR}
    return plot.bars("A record through the whole daemon", "µs of CPU", values, colours)


def main(arguments: list[str]) -> int:
    """Print a table; exit status 1 when 3,000,000 lines cost more than is promised."""
    parser = argparse.ArgumentParser(prog="python -m bench route", description=__doc__)
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--plot", type=Path, help="write a plot to this file, as SVG")
    parser.add_argument("--profile", type=Path, help="run the daemon once under cProfile, into this file")
    environment.add_option(parser)
    options = parser.parse_args(arguments)
    if options.profile:
        _profile(options.lines, options.profile)
        return 0
    figures = measured(options.lines, options.runs, peers=environment.wanted(options.peers))
    print(f"\n{options.lines:,} lines through four rules into four files, medians, for each record")
    print(table(figures).text())
    measure.write_json(options.json, figures.costs, lines=options.lines, cpu_ratio=_ratio(figures))
    if options.plot:
        options.plot.write_text(drawing(figures))
    return judge(promises(figures))


def _profile(lines: int, into: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="sluiceway-route-"))
    Route(events_file(lines), folder).profile(into)
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
