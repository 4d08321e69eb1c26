"""The page docs/benchmarks.md and its plots, from one run of the benchmarks that have peers."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from bench import contract, route, rule_count, rules
from bench.expressions import PROMISED
from bench.peers import environment, syslog_ng
from bench.report import Promise, judge
from scripts.environment import ROOT

T = TypeVar("T")

DOCS = ROOT / "docs"
PAGE = "benchmarks.md"
PLOTS = "benchmarks"

TEXT = """\
# Benchmarks

What a decision costs, beside the code that one would write by hand for that one job (the *floor*), and beside other
engines and routers: all from one run, on one machine, over the same records. `cpu` is user and system time of all that
a contender started, `wall` the time that passed; figures are medians, in microseconds for a record unless they say
otherwise. Every answer is compared with the floor's; who answers otherwise, or could not be measured, is shown so.

`make bench ARGS=docs` makes this page, its plots and the environment of the peers, whose versions are pinned in
`bench/peers/requirements.txt`; it takes minutes, and wants a machine that does nothing else. `make bench ARGS=rules` is
one of its sections, `ARGS="rules --help"` its options.

The machine here: {machine}.

The records are lines of JSON of about 250 bytes: an order, view, click or reading, with an amount, a user, a device,
tags.

## One rule

![CPU of one rule for each engine](benchmarks/rules.svg)

An expression, and an event that is decoded already: `{promised}`.

The floor is a Python function, ours is `Expression.predicate`. What an engine must convert to see the event is part of
its cost. An error counts as false. `common-expression-language, fields` converts only the fields that it reads;
zen-engine has a language of its own, into which expressions were translated.

{rule}

The CPU of all expressions that are measured (`*`: answers of it differ; `–`: not measured):

{rules}

{expressions}

## Many rules

![CPU of a record by the number of rules](benchmarks/rule_count.svg)

Whole flows from payload to decision, decoding included, in the batches of the daemon. *Equalities*: each rule asks
whether one field is its own value, and takes as many records as any other. *Mixed*: ranges, `in`, `matches`, nested
fields, `&&` and `||`; a record is asked about by half of the rules, or by all.

{rule_count}

## A contract

A JSON Schema of 12 constraints on 8 fields, which all measured records keep. Ours is a flow with that contract and one
rule, from payload to decision; jsonschema-rs has no text to read, so it is to be added to decoding.

{contract}

## The whole daemon

![CPU of a record through four rules into four files](benchmarks/route.svg)

{lines:,} lines of a file through four content rules into four files, processes from start to end. The floor is a loop
of `orjson.loads` and `if`/`elif`, which keeps no position, answers nobody and dies of the first bad line; ours
acknowledges, counts and fsyncs. mq-bridge is measured with its defaults, which do not fsync; bytewax with `branch` and
`FileSink`, keeping no position. syslog-ng compares whole numbers only, so that some amounts fall on the other side.

{route}

## What is promised

{promises}
"""


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of all benchmarks on the page."""

    rules: rules.Figures
    rule_count: rule_count.Figures
    contract: contract.Figures
    route: route.Figures

    def promises(self) -> list[Promise]:
        """Those of all."""
        return [
            *rules.promises(self.rules),
            *rule_count.promises(self.rule_count),
            *contract.promises(self.contract),
            *route.promises(self.route),
        ]


def measured(runs: int, *, lines: int, events: int, records: int) -> Run:
    """Measure everything, peers included as far as they are installed."""
    return Run(
        _alone(partial(rules.measured, runs, events, peers=True)),
        _alone(partial(rule_count.measured, rule_count.COUNTS, records, runs)),
        _alone(partial(contract.measured, records, runs)),
        _alone(partial(route.measured, lines, runs, peers=True)),
    )


def _alone(work: Callable[[], T]) -> T:
    """What comes of work in a process of its own: of what it starts, none has less memory than itself."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(work).result()


def write(run: Run, folder: Path) -> None:
    """Write the page and its plots into the folder of the docs."""
    plots = folder / PLOTS
    plots.mkdir(parents=True, exist_ok=True)
    (plots / "rules.svg").write_text(rules.drawing(run.rules))
    (plots / "rule_count.svg").write_text(rule_count.drawing(run.rule_count))
    (plots / "route.svg").write_text(route.drawing(run.route))
    (folder / PAGE).write_text(page(run))


def page(run: Run) -> str:
    """The page."""
    expressions = "\n".join(f"{number}. `{text}`" for number, text in enumerate(run.rules, 1))
    return TEXT.format(
        machine=machine(),
        promised=PROMISED,
        rule=rules.table(run.rules[PROMISED]).markdown(),
        rules=rules.overview(run.rules).markdown(),
        expressions=expressions,
        rule_count=rule_count.table(run.rule_count).markdown(),
        contract=contract.table(run.contract).markdown(),
        lines=run.route.lines,
        route=route.table(run.route).markdown(),
        promises="\n".join(f"- {promise}" for promise in run.promises()),
    )


def machine() -> str:
    """Processor, cores, Python, and versions of what pip does not pin."""
    found = Path("/proc/cpuinfo").read_text(errors="replace").partition("model name")[2].partition("\n")[0]
    model = found.strip(" \t:") or platform.machine()
    parts = [model, f"{os.cpu_count()} cores", platform.system(), f"Python {platform.python_version()}"]
    if syslog_ng.program():
        parts.append("syslog-ng of Debian")
    return ", ".join(parts)


def main(arguments: list[str]) -> int:
    """Write the page; exit status 1 when something that it promises does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench docs", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--lines", type=int, default=route.LINES, help="of the file that is routed")
    parser.add_argument("--events", type=int, default=rules.EVENTS, help="that each expression is asked about")
    parser.add_argument("--records", type=int, default=rule_count.RECORDS, help="that go through each flow")
    parser.add_argument("--into", type=Path, default=DOCS, help="the folder of the page")
    options = parser.parse_args(arguments)
    environment.install()
    run = measured(options.runs, lines=options.lines, events=options.events, records=options.records)
    write(run, options.into)
    return judge(run.promises())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
