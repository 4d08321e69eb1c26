"""``sluiceway test``: the tests inside the rules files."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import typer

from router.assembly import ruleset_of
from router.cli.faults import load_or_exit, tables_or_exit
from router.config import Configuration
from router.tables import Tables
from rules.flow import Flow
from rules.testing import TestResult, run_tests

_WIDTH = 100
"""The columns of explanations that are written to files."""


def verify(files: Sequence[Path], flow: str | None, junit: Path | None, as_json: bool) -> None:
    """Run them through the rulesets that ``run`` would use; exit status 1 when one fails."""
    configuration = load_or_exit(files)
    chosen = [known for known in configuration.flows if flow in (None, known.name)]
    if not chosen:
        print(
            f"sluiceway: there is no flow {flow!r}; there is {', '.join(f.name for f in configuration.flows)}",
            file=sys.stderr,
        )
        raise typer.Exit(2)
    tables = tables_or_exit(configuration)
    results = [(known, result) for known in chosen for result in _run(configuration, known, tables)]
    for known, result in results:
        if as_json:
            print(json.dumps(_json(configuration, known, result), ensure_ascii=False))
        else:
            _print(configuration, known, result)
    if junit is not None:
        _write_junit(junit, configuration, results)
    failed = sum(not result.passed for _, result in results)
    if not as_json:
        print(f"{len(results) - failed} passed, {failed} failed")
    raise typer.Exit(1 if failed else 0)


def _run(configuration: Configuration, flow: Flow, tables: Tables) -> list[TestResult]:
    formats = {name: configuration.sources[name].decode for name, _ in flow.sources}
    rulesets = {name: ruleset_of(configuration, flow, decode, tables) for name, decode in formats.items()}
    return run_tests(flow, rulesets)


def _print(configuration: Configuration, flow: Flow, result: TestResult) -> None:
    if result.passed:
        print(f"ok   {flow.name}: {result.name}")
        return
    from rich.console import Console

    from router.explanation.failures import Failures

    console = Console()
    print(f"FAIL {flow.name}: {result.name} ({result.place})")
    Failures(configuration, flow, result).show(console)


def _json(configuration: Configuration, flow: Flow, result: TestResult) -> dict[str, object]:
    told = {"flow": flow.name, "test": result.name, "passed": result.passed, "message": "",
            "place": str(result.place)}  # fmt: skip
    if result.passed:
        return told
    from router.explanation.failures import Failures

    failures = Failures(configuration, flow, result)
    return told | {"message": failures.written(_WIDTH)} | failures.as_json()


def _write_junit(path: Path, configuration: Configuration, results: Sequence[tuple[Flow, TestResult]]) -> None:
    failed = sum(not result.passed for _, result in results)
    suite = ET.Element("testsuite", name="sluiceway", tests=str(len(results)), failures=str(failed))
    for flow, result in results:
        case = ET.SubElement(suite, "testcase", classname=flow.name, name=result.name, file=result.place.file)
        if not result.passed:
            from router.explanation.failures import Failures

            text = Failures(configuration, flow, result).written(_WIDTH)
            ET.SubElement(case, "failure", message=f"{result.place}").text = text
    ET.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
