"""By how much what is counted of failures grew in the last minute: what is wrong now, not what once was."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from router.counted import by
from router.metrics import Metrics

_POINTS: Final = 6
Counts = Mapping[str, Mapping[str, float]]
"""By what is counted, by the sink or flow that it is counted of."""


class LastMinute:
    """Of one daemon; it keeps some numbers for each sink and flow. ``tick`` is to be called each ten seconds."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._points: deque[Counts] = deque([{}], _POINTS)

    def tick(self) -> None:
        """Ten seconds have gone by."""
        self._points.append({**self._of_sinks(), **self._of_flows()})

    def of_sinks(self) -> dict[str, dict[str, int]]:
        """``retries`` and dead ``letters`` of the last 50 to 60 seconds, by sink; none of those without any."""
        return self._grown(self._of_sinks())

    def of_flows(self) -> dict[str, dict[str, int]]:
        """``dead_letters`` and ``rule_errors``, by flow, in the same way."""
        return self._grown(self._of_flows())

    def _grown(self, counted: Counts) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for what, now in counted.items():
            before = self._points[0].get(what, {})
            for name, count in now.items():
                if (grown := int(count - before.get(name, 0.0))) > 0:
                    found.setdefault(name, {})[what] = grown
        return found

    def _of_sinks(self) -> Counts:
        return {"retries": by(self._metrics.sink_retries, "sink"), "letters": by(self._metrics.dead_letters, "sink")}

    def _of_flows(self) -> Counts:
        metrics = self._metrics
        return {"dead_letters": by(metrics.dead_letters, "flow"), "rule_errors": by(metrics.rule_errors, "flow")}
