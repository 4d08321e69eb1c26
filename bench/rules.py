"""Expressions against the functions that somebody would write for them by hand, on decoded events."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from bench.events import lines
from rules.cel import compile as compile_expression

EVENTS = 20_000

CASES: dict[str, Callable[[Any], bool]] = {
    'event.type == "order"': lambda event: event["type"] == "order",
    'event.type == "order" && event.amount > 500.0': lambda event: event["type"] == "order" and event["amount"] > 500.0,
    'event.user.plan in ["pro", "team"]': lambda event: event["user"]["plan"] in ("pro", "team"),
    'event.device.startsWith("sensor-")': lambda event: event["device"].startswith("sensor-"),
    'event.user.country == "de" ? event.amount > 100.0 : event.amount > 200.0': lambda event: (
        event["amount"] > 100.0 if event["user"]["country"] == "de" else event["amount"] > 200.0
    ),
    'event.tags.exists(tag, tag == "gift")': lambda event: any(tag == "gift" for tag in event["tags"]),
    "event.missing.field == 1": lambda event: event.get("missing", {}).get("field") == 1,
}


def main(arguments: list[str]) -> int:
    """Print a table of microseconds a record; exit status 1 when an expression and its function disagree."""
    parser = argparse.ArgumentParser(prog="python -m bench rules", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(arguments)
    events = [orjson.loads(line) for line in lines(EVENTS)]
    print(f"{'floor us':>9}{'ours us':>9}{'ratio':>7}  expression")
    for text, floor in CASES.items():
        ours = compile_expression(text).predicate("event")
        if list(map(ours, events)) != list(map(floor, events)):
            print(f"{text}: the expression and the function disagree")
            return 1
        fast, slow = _microseconds(floor, events, options.runs), _microseconds(ours, events, options.runs)
        print(f"{fast:9.3f}{slow:9.3f}{slow / fast:7.2f}  {text}", flush=True)
    return 0


def _microseconds(function: Callable[[Any], bool], events: Sequence[Any], runs: int) -> float:
    """The median over the runs of the time for one event."""
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        for event in events:
            function(event)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) / len(events) * 1e6


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
