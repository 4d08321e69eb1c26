"""Failed tests: what was expected beside what came, as a diff, and why it came so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.text import Text

from router.config import Configuration
from router.explanation.as_json import AsJson
from router.explanation.lines import Line, show, written
from router.explanation.sinks import Sinks
from router.explanation.steps import Picture
from router.explanation.values import Values
from rules.flow import Flow
from rules.testing import TestResult

_STYLES = {"-": "red", "+": "green"}
_INDENT = 5
"""What is told of a test stands below its name, not below its mark."""


class Failures:
    """What is to be told of a failed test."""

    def __init__(self, configuration: Configuration, flow: Flow, result: TestResult) -> None:
        self._values = Values(configuration.secrets.mask)
        self._sinks = Sinks(configuration.sinks)
        self._result = result
        failing = {failure.sink for failure in result.failures}
        self._rules = [rule.name for rule in flow.rules if any(target.sink in failing for target in rule.targets)]

    def show(self, console: Console) -> None:
        """Print it."""
        show(self._lines(console.width - _INDENT), console, indent=" " * _INDENT)

    def written(self, width: int) -> str:
        """All of it as plain text."""
        return written(self._lines(width), width)

    def as_json(self) -> dict[str, Any]:
        """Each failure, and the explanations."""
        made = AsJson(self._values, self._sinks)
        return {
            "failures": [
                {
                    "sink": failure.sink,
                    "says": self._values.masked(failure.says),
                    "differences": [self._values.masked(text) for text in failure.differences],
                }
                for failure in self._result.failures
            ],
            "explained": [
                {"given": explained.number, **made.explanation(explained.explanation)}
                for explained in self._result.explained
            ],
        }

    def _lines(self, width: int) -> list[Line]:
        lines = list(self._diffs())
        for explained in self._result.explained:
            picture = Picture(self._values, width, self._sinks, only=self._rules)
            lines.append(Line(Text("")))
            lines.append(Line(Text(f"why, given[{explained.number}]:", "bold")))
            lines += picture.lines(explained.explanation)
        return lines

    def _diffs(self) -> Iterator[Line]:
        for failure in self._result.failures:
            head = Text.assemble((self._values.text(failure.sink), "bold"), f": {self._values.text(failure.says)}")
            yield Line(head)
            for line in failure.diff:
                yield Line(Text(f"  {self._values.text(line)}", _STYLES.get(line[0], "")))
