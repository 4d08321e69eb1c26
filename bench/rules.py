"""Expressions against the functions that somebody would write for them by hand, and other engines, on decoded events.

Floor and ours take turns in this process, each other engine has one of its own; all see the same decoded events. What
an engine must convert before it sees them is part of its cost. An error counts as false everywhere.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bench import loops, plot
from bench.events import lines
from bench.expressions import FLOORS, PROMISED
from bench.loops import PerRecord
from bench.peers import environment
from bench.report import Promise, Table, figure, judge
from rules.cel import compile as compile_expression

EVENTS = 1_000
CPU_RATIO = 3.0
"""Times the floor's CPU that is promised of the one expression."""

PEERS: dict[str, list[str]] = {
    "zen-engine": ["zen"],
    "common-expression-language, fields": ["common_expression_language", "fields"],
    "common-expression-language": ["common_expression_language", "event"],
    "cel-expr-python": ["cel_expr_python"],
    "cel-python, compiled": ["cel_python", "compiled"],
    "cel-python, interpreted": ["cel_python", "interpreted"],
}
"""Modules of bench.peers, and their modes."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What an engine cost in each run and answered about each event, or why it did not."""

    costs: list[PerRecord]
    answers: list[bool]
    reason: str = ""


Figures = dict[str, dict[str, Measured]]
"""By expression and engine."""


def measured(runs: int, events: int, *, peers: bool) -> Figures:
    """Measure all engines, or the floor and ours alone."""
    decoded = [orjson.loads(line) for line in lines(events)]
    figures = {text: _in_process(text, decoded, runs) for text in FLOORS}
    for name, module in PEERS.items() if peers else ():
        for text, found in _peer(module, events, runs).items():
            figures[text][name] = found
    return figures


def _in_process(text: str, events: list[Any], runs: int) -> dict[str, Measured]:
    engines = {"floor": FLOORS[text], "ours": compile_expression(text).predicate("event")}
    work = {name: loops.over(engine, events) for name, engine in engines.items()}
    costs = loops.measure(work, len(events), runs)
    return {name: Measured(costs[name], list(map(engine, events))) for name, engine in engines.items()}


def _peer(module: list[str], events: int, runs: int) -> dict[str, Measured]:
    if not environment.installed():
        return dict.fromkeys(FLOORS, Measured([], [], environment.ABSENT))
    command = environment.command(*module, str(events), str(runs), *FLOORS)
    done = subprocess.run(command, env=environment.variables(), capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or f"exit status {done.returncode}").rpartition("\n")[2]
        return dict.fromkeys(FLOORS, Measured([], [], reason))
    return {text: _read(found) for text, found in json.loads(done.stdout).items()}


def _read(found: Mapping[str, Any]) -> Measured:
    if "reason" in found:
        return Measured([], [], found["reason"])
    return Measured([PerRecord(*cost) for cost in found["costs"]], found["answers"])


def promises(figures: Figures) -> list[Promise]:
    """What is promised: the cost of one expression, and of all the floor's answers."""
    wrong = sum(_wrong(of["ours"], of["floor"]) for of in figures.values())
    of = figures[PROMISED]
    return [
        Promise(
            f"cpu of `{PROMISED}` in times the floor's", loops.ratio(of["ours"].costs, of["floor"].costs), CPU_RATIO
        ),
        Promise("answers other than the floor's", wrong, 0),
    ]


def _wrong(of: Measured, floor: Measured) -> int:
    return sum(one != other for one, other in zip(of.answers, floor.answers, strict=True))


def table(of: Mapping[str, Measured]) -> Table:
    """The engines for one expression."""
    rows = [_row(name, one, of["floor"]) for name, one in of.items()]
    return Table(("", "cpu us", "wall us", "x floor", "answers"), rows, remarks=True)


def _row(name: str, of: Measured, floor: Measured) -> list[str]:
    if of.reason:
        return [name, "", "", "", of.reason]
    cost = loops.median(of.costs)
    times = loops.ratio(of.costs, floor.costs) if name == "ours" else cost.cpu / loops.median(floor.costs).cpu
    wrong = _wrong(of, floor)
    verdict = f"{wrong} of {len(of.answers)} differ" if wrong else "the same"
    return [name, figure(cost.cpu), figure(cost.wall), f"{times:,.1f}", verdict]


def overview(figures: Figures) -> Table:
    """The CPU of each engine for each expression, numbered in their order; whoever answers otherwise is marked."""
    names = list(figures[PROMISED])
    rows = [[name, *(_cell(of[name], of["floor"]) for of in figures.values())] for name in names]
    return Table(["us of cpu", *(str(number) for number in range(1, len(figures) + 1))], rows)


def _cell(of: Measured, floor: Measured) -> str:
    if of.reason:
        return "–"
    return figure(loops.median(of.costs).cpu) + ("*" if _wrong(of, floor) else "")


def drawing(figures: Figures) -> str:
    """The promised expression, as a plot."""
    values = {name: loops.median(of.costs).cpu for name, of in figures[PROMISED].items() if of.costs}
    return plot.bars("One rule and one decoded event", "µs of CPU", values, {"ours": plot.OURS, "floor": plot.FLOOR})


def main(arguments: list[str]) -> int:
    """Print a table for each expression; exit status 1 when what is promised does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench rules", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--plot", type=Path, help="write a plot of the promised expression to this file, as SVG")
    environment.add_option(parser)
    options = parser.parse_args(arguments)
    figures = measured(options.runs, options.events, peers=environment.wanted(options.peers))
    for text, of in figures.items():
        print(f"\n{text}\n{table(of).text()}")
    if options.plot:
        options.plot.write_text(drawing(figures))
    return judge(promises(figures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
