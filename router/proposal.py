"""A configuration that somebody proposes: the files of the one that runs, some of them with other contents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from router.assembly import letters_rulesets, ruleset_of, tables_of
from router.config import Configuration, Edited, load
from router.reload import needs_restart
from router.stranded import stranded
from rules.faults import Fault, Refused
from rules.testing import TestResult, run_tests

Contents = Mapping[Path, bytes]
"""What files are to hold, by their paths as the running configuration has them; of others, what is on the disk."""


class FailedTest(Struct, frozen=True):
    """A test of a flow's rules file that does not come out as it says, with why."""

    flow: str
    result: TestResult
    why: str


class Checked(Struct, frozen=True):
    """A proposal that could be taken, but for tests that fail."""

    configuration: Configuration
    tests: int
    failed: tuple[FailedTest, ...]


def proposed(running: Configuration, contents: Contents) -> Configuration:
    """What the files would say. Raises Refused with every fault."""
    configuration = load(running.files, None, Edited(contents))
    if faults := needs_restart(running, configuration):
        raise Refused(faults, configuration.warnings)
    return configuration


def check(running: Configuration, contents: Contents) -> Checked:
    """What ``sluiceway check`` and ``sluiceway test`` would say of them, and a reload. Blocks. Raises Refused with
    every fault, and StateError."""
    configuration = proposed(running, contents)
    tables = tables_of(configuration)
    tables.load_now(databases=False)
    faults, tests, failed = list[Fault](), 0, list[FailedTest]()
    for flow in configuration.flows:
        try:
            formats = {name: configuration.sources[name].decode for name, _ in flow.sources}
            rulesets = {name: ruleset_of(configuration, flow, decode, tables) for name, decode in formats.items()}
        except Refused as refused:
            faults += refused.faults
            continue
        for result in run_tests(flow, rulesets):
            tests += 1
            if not result.passed:
                why = configuration.secrets.mask("; ".join(map(str, result.failures)))
                failed.append(FailedTest(flow.name, result, why))
    letters_rulesets(configuration, tables)
    faults += stranded(configuration)
    if faults:
        raise Refused(faults, configuration.warnings)
    return Checked(configuration, tests, tuple(failed))
