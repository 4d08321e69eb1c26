"""``sluiceway check``: every fault, with its place."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from router.cli.faults import as_json as lines_of
from router.cli.faults import as_warning, show
from router.config import load
from rules.faults import Refused


def check(files: Sequence[Path], as_json: bool, strict: bool = False) -> None:
    """Load the configuration as ``run`` would, and compile it; report what is wrong, or what there is. With ``strict``,
    what is probably not meant is wrong, too."""
    from router.assembly import letters_rulesets, ruleset_of, tables_of
    from router.stranded import stranded

    try:
        configuration = load(files)
        tables = tables_of(configuration)
        tables.load_now(databases=False)
        for flow in configuration.flows:
            for decode in {configuration.sources[name].decode for name, _ in flow.sources}:
                ruleset_of(configuration, flow, decode, tables)
        letters_rulesets(configuration, tables)
        if faults := stranded(configuration):
            raise Refused(faults, configuration.warnings)
        if strict and configuration.warnings:
            raise Refused([], configuration.warnings)
    except Refused as refused:
        if as_json:
            print("\n".join([*lines_of(refused.faults, "fault"), *lines_of(refused.warnings, "warning")]))
        else:
            show(refused.faults, refused.warnings)
        raise typer.Exit(2) from refused
    if as_json:
        print("\n".join(lines_of(configuration.warnings, "warning")))
        return
    for warning in configuration.warnings:
        print(as_warning(warning), file=sys.stderr)
    rules = sum(len(flow.rules) for flow in configuration.flows)
    tests = sum(len(flow.tests) for flow in configuration.flows)
    print(
        f"ok: {len(configuration.sources)} source(s), {len(configuration.flows)} flow(s) with {rules} rule(s) and "
        f"{tests} test(s), {len(configuration.sinks)} sink(s)"
    )
