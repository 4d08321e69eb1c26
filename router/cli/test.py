"""``sluiceway test``: the tests inside the rules files."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import typer

from router.cli.faults import load_or_exit
from router.config import Configuration
from router.daemon import ruleset_of
from rules.flow import Flow
from rules.testing import TestResult, run_tests


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
    results = [(known, result) for known in chosen for result in _run(configuration, known)]
    for known, result in results:
        print(_line(known, result) if not as_json else json.dumps(_json(known, result), ensure_ascii=False))
    if junit is not None:
        _write_junit(junit, results)
    failed = sum(not result.passed for _, result in results)
    if not as_json:
        print(f"{len(results) - failed} passed, {failed} failed")
    raise typer.Exit(1 if failed else 0)


def _run(configuration: Configuration, flow: Flow) -> list[TestResult]:
    rulesets = {name: ruleset_of(configuration, flow, configuration.sources[name].decode) for name, _ in flow.sources}
    return run_tests(flow, rulesets)


def _line(flow: Flow, result: TestResult) -> str:
    mark = "ok  " if result.passed else "FAIL"
    why = "" if result.passed else f" ({result.place})\n{_indent(_message(result))}"
    return f"{mark} {flow.name}: {result.name}{why}"


def _message(result: TestResult) -> str:
    return "\n".join(map(str, result.failures))


def _indent(text: str) -> str:
    return "\n".join(f"     {line}" for line in text.splitlines())


def _json(flow: Flow, result: TestResult) -> dict[str, object]:
    return {"flow": flow.name, "test": result.name, "passed": result.passed, "message": _message(result),
            "place": str(result.place)}  # fmt: skip


def _write_junit(path: Path, results: Sequence[tuple[Flow, TestResult]]) -> None:
    failed = sum(not result.passed for _, result in results)
    suite = ET.Element("testsuite", name="sluiceway", tests=str(len(results)), failures=str(failed))
    for flow, result in results:
        case = ET.SubElement(suite, "testcase", classname=flow.name, name=result.name, file=result.place.file)
        if not result.passed:
            ET.SubElement(case, "failure", message=f"{result.place}").text = _message(result)
    ET.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
