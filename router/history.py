"""The last hour, in memory: rates, lag, queues and latencies, a point each ten seconds, so that a chart needs no
Prometheus. What is counted on the data path is read each ten seconds; nothing is added there.

Of what is gone, nothing is kept. A series takes 2.9 KB; those of rules are kept of at most ``MAX_RULES``.
"""

from __future__ import annotations

import asyncio
import math
import time
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from router.config import Configuration
from router.counted import buckets, by, by_two
from router.last_minute import LastMinute
from router.metrics import Metrics

STEP: Final = 10.0
POINTS: Final = 360
MAX_RULES: Final = 2_000
"""Of all flows together; of those with the most rules none are kept, if there are more."""

Key = tuple[str, ...]
_NOTHING: Final = math.nan
_OF_RULES: Final = 4
"""So long is the key of a series of a rule."""


class History:
    """The last hour of one daemon. ``status`` is what it tells of itself."""

    def __init__(
        self, metrics: Metrics, configuration: Callable[[], Configuration], status: Callable[[], Mapping[str, Any]]
    ) -> None:
        self.last_minute = LastMinute(metrics)
        """What failed in it."""
        self._metrics = metrics
        self._configuration = configuration
        self._status = status
        self._times: array[float] = array("d")
        self._series: dict[Key, array[float]] = {}
        self._before: dict[Key, float] = {}
        self._waited: dict[str, dict[float, float]] = {}
        self._at = time.monotonic()
        self._left_out: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Add a point each ten seconds, until cancelled."""
        while True:
            await asyncio.sleep(STEP)
            self.tick()

    def tick(self) -> None:
        """Add a point: what has happened since the last one."""
        elapsed, self._at = time.monotonic() - self._at, time.monotonic()
        self.last_minute.tick()
        status, configuration = self._status(), self._configuration()
        self._left_out = frozenset(_left_out({flow.name: len(flow.rules) for flow in configuration.flows}))
        points = dict(self._points(status, configuration, max(elapsed, 1e-3)))
        many = len(self._times)
        # A series of rules' errors begins with the first error: most never have one.
        self._series = {
            key: self._series.get(key) or array("d", [_NOTHING] * many)
            for key, value in points.items()
            if key in self._series or key[-1] != "errors" or value
        }
        self._times.append(round(time.time(), 1))
        for key, series in self._series.items():
            series.append(points[key])
        if many == POINTS:
            for series in (self._times, *self._series.values()):
                del series[0]

    def told(self, flow: str | None = None) -> Told:
        """All of it as it is now; with ``flow``, of flows only that one, with its rules. Takes 1 us for a series."""
        wanted = {
            key: series[:]
            for key, series in self._series.items()
            if len(key) == _OF_RULES - 1 or flow is not None
            if key[0] != "flows" or flow in (None, key[1])
        }
        return Told(self._times[:], wanted, sorted(self._left_out))

    def _points(
        self, status: Mapping[str, Any], configuration: Configuration, elapsed: float
    ) -> Iterable[tuple[Key, float]]:
        rates = _Rates(self._before, elapsed)
        self._before = rates.counted
        yield from self._of_sources(status["sources"], rates)
        yield from self._of_sinks(status["sinks"], rates)
        yield from self._of_flows(configuration, rates)
        yield from self._of_rules(configuration, rates)

    def _of_sources(self, told: Mapping[str, Any], rates: _Rates) -> Iterable[tuple[Key, float]]:
        records = by(self._metrics.source_records, "source")
        for name, source in told.items():
            yield rates.of(("sources", name, "records"), records.get(name, 0.0))
            yield ("sources", name, "lag_records"), _sum(lag["records"] for lag in source["lag"])
            yield ("sources", name, "lag_seconds"), _most(lag["seconds"] for lag in source["lag"])

    def _of_sinks(self, told: Mapping[str, Any], rates: _Rates) -> Iterable[tuple[Key, float]]:
        records, retries = by(self._metrics.sink_records, "sink"), by(self._metrics.sink_retries, "sink")
        for name, sink in told.items():
            yield rates.of(("sinks", name, "records"), records.get(name, 0.0))
            yield ("sinks", name, "queue"), float(sink["queue"]["records"])
            yield rates.of(("sinks", name, "retries"), retries.get(name, 0.0))

    def _of_flows(self, configuration: Configuration, rates: _Rates) -> Iterable[tuple[Key, float]]:
        metrics = self._metrics
        records, letters = by(metrics.flow_records, "flow"), by(metrics.dead_letters, "flow")
        waited, self._waited = self._waited, buckets(metrics.end_to_end, "source")
        for flow in configuration.flows:
            yield rates.of(("flows", flow.name, "records"), records.get(flow.name, 0.0))
            yield rates.of(("flows", flow.name, "dead_letters"), letters.get(flow.name, 0.0))
            since = _since(self._waited, waited, [name for name, _ in flow.sources])
            yield ("flows", flow.name, "p50"), quantile(since, 0.5)
            yield ("flows", flow.name, "p99"), quantile(since, 0.99)

    def _of_rules(self, configuration: Configuration, rates: _Rates) -> Iterable[tuple[Key, float]]:
        matched = by_two(self._metrics.rule_records, "flow", "rule", self._is_kept)
        failed = by_two(self._metrics.rule_errors, "flow", "rule", self._is_kept)
        for flow in configuration.flows:
            for rule in flow.rules if flow.name not in self._left_out else ():
                key = ("flows", flow.name, rule.name)
                yield rates.of((*key, "records"), matched.get(flow.name, {}).get(rule.name, 0.0))
                yield rates.of((*key, "errors"), failed.get(flow.name, {}).get(rule.name, 0.0))

    def _is_kept(self, labels: Mapping[str, str]) -> bool:
        return labels["flow"] not in self._left_out


class Told(Struct, frozen=True):
    """The last hour as it was at one moment."""

    times: Sequence[float]
    series: Mapping[Key, Sequence[float]]
    left_out: list[str]

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values, oldest first. What is not known, such as the lag of a source that cannot tell, is
        not a number. Takes 10 us for a series, and may be called in a thread."""
        found: dict[str, Any] = {"step": STEP, "times": list(self.times), "sources": {}, "sinks": {}, "flows": {}}
        for (kind, name, *rest), values in self.series.items():
            one = found[kind].setdefault(name, {})
            if len(rest) > 1:
                none = [0.0] * len(self.times)
                one = one.setdefault("rules", {}).setdefault(rest[0], {"errors": none})
            one[rest[-1]] = list(values)
        return found | {"left_out": self.left_out}


class _Rates:
    """What is counted, a second, since the last time; ``counted`` is what that was ``before``."""

    def __init__(self, before: Mapping[Key, float], elapsed: float) -> None:
        self.counted: dict[Key, float] = {}
        self._before = before
        self._elapsed = elapsed

    def of(self, key: Key, counted: float) -> tuple[Key, float]:
        """A series, and its next point."""
        self.counted[key] = counted
        return key, _rounded(max(0.0, counted - self._before.get(key, 0.0)) / self._elapsed)


def quantile(counts: Mapping[float, float], share: float) -> float:
    """At most so much were so many of the observations, which are counted by the upper bounds of buckets, each with
    those below it: between bounds it is guessed along a line. Not a number without observations; of those above the
    last bound, that bound is told."""
    total = counts.get(math.inf, 0.0)
    if total <= 0:
        return _NOTHING
    wanted, low, below = share * total, 0.0, 0.0
    for bound, many in sorted(counts.items()):
        if many >= wanted:
            if math.isinf(bound):
                return low
            return _rounded(low + (bound - low) * (wanted - below) / max(many - below, 1e-9))
        low, below = bound, many
    return low


def _since(
    now: Mapping[str, Mapping[float, float]], before: Mapping[str, Mapping[float, float]], sources: Iterable[str]
) -> dict[float, float]:
    found: dict[float, float] = {}
    for source in sources:
        for bound, many in now.get(source, {}).items():
            new = max(0.0, many - before.get(source, {}).get(bound, 0.0))
            found[bound] = found.get(bound, 0.0) + new
    return found


def _left_out(rules: Mapping[str, int]) -> Iterable[str]:
    """The flows with the most rules, if there are too many in all."""
    room = MAX_RULES
    for flow, many in sorted(rules.items(), key=lambda item: item[1]):
        room -= many
        if room < 0:
            yield flow


def _sum(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(sum(known)) if known else _NOTHING


def _most(values: Iterable[float | None]) -> float:
    return _rounded(max((value for value in values if value is not None), default=_NOTHING))


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
