"""The figures of a daemon that runs, as they were at two moments: what ``sluiceway top`` shows.

What is there now is taken from ``/api/status``, what is counted from ``/metrics``; rates are what was counted between
two looks.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from router.cli.status import state_of
from router.client import Client, named

Labels = Mapping[str, str]
Value = float | str | None

KINDS = ("sources", "flows", "rules", "sinks")
"""What there are figures of."""
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "sources": (
        *("flow", "state", "records_per_second", "bytes_per_second", "lag_records", "lag_seconds"),
        *("unsettled_records", "error"),
    ),
    "flows": (
        *("records_per_second", "deliveries_per_second", "dropped_per_second", "dead_letters_per_second"),
        *("errors_per_second", "dead_letters", "version"),
    ),
    "rules": ("flow", "records_per_second", "dropped_per_second", "errors_per_second", "records"),
    "sinks": (
        *("state", "records_per_second", "bytes_per_second", "write_milliseconds", "queue_records", "queue_bytes"),
        *("buffer_records", "retries_per_second", "error"),
    ),
}
"""The figures of each kind, in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the daemon said at a moment, in seconds of a clock that only goes forward."""

    at: float
    status: Mapping[str, Any]
    samples: Mapping[str, list[tuple[Labels, float]]] = field(repr=False)

    @classmethod
    def at_now(cls, client: Client) -> Look:
        """Ask it. Raises NoDaemon and NotGranted."""
        status, page = client.get(named("status")), client.text("/metrics")
        return cls(time.monotonic(), status, samples_of(page))

    @property
    def started(self) -> object:
        """When the daemon started: counters of another one are not compared."""
        return self.status.get("started")


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one component. ``trouble`` is why it is down."""

    name: str
    figures: Mapping[str, Value]
    trouble: str = ""


def samples_of(page: str) -> dict[str, list[tuple[Labels, float]]]:
    """The samples of a page in Prometheus' text format, by name."""
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[str, list[tuple[Labels, float]]] = defaultdict(list)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if not sample.name.endswith("_bucket"):
                found[sample.name.removeprefix("sluiceway_")].append((sample.labels, sample.value))
    return dict(found)


def rows_of(now: Look, before: Look | None = None) -> dict[str, list[Row]]:
    """The rows of every kind. Without an earlier look at the same daemon there are no rates."""
    figures = _Figures(now, before if before is not None and before.started == now.started else None)
    return {"sources": figures.sources(), "flows": figures.flows(), "rules": figures.rules(), "sinks": figures.sinks()}


class _Figures:
    def __init__(self, now: Look, before: Look | None) -> None:
        self._now = now
        self._before = before
        self._counted: dict[tuple[str, tuple[str, ...]], tuple[dict[Any, float], dict[Any, float]]] = {}

    def sources(self) -> list[Row]:
        return [self._source(name, told) for name, told in self._told("sources")]

    def _source(self, name: str, told: Mapping[str, Any]) -> Row:
        state, trouble = state_of(told)
        lag = told.get("lag") or ()
        figures: dict[str, Value] = {
            "flow": told.get("flow"),
            "state": state,
            "records_per_second": self._rate("source_records_total", source=name),
            "bytes_per_second": self._rate("source_bytes_total", source=name),
            "lag_records": _combined(sum, (part.get("records") for part in lag)),
            "lag_seconds": _combined(max, (part.get("seconds") for part in lag)),
            "unsettled_records": (told.get("unsettled") or {}).get("records"),
            "error": trouble or None,
        }
        return Row(name, figures, trouble)

    def flows(self) -> list[Row]:
        letters = (self._now.status.get("dead_letters") or {}).get("kept") or {}
        return [self._flow(name, told, letters.get(name, 0)) for name, told in self._told("flows")]

    def _flow(self, name: str, told: Mapping[str, Any], letters: float) -> Row:
        reads = [self._rate("source_records_total", source=source) for source in told.get("sources") or ()]
        figures: dict[str, Value] = {
            "records_per_second": _combined(sum, reads),
            "deliveries_per_second": self._rate("routed_deliveries_total", flow=name),
            "dropped_per_second": self._rate("dropped_records_total", flow=name),
            "dead_letters_per_second": self._rate("dead_letters_total", flow=name),
            "errors_per_second": self._errors(name),
            "dead_letters": letters,
            "version": told.get("version"),
        }
        return Row(name, figures)

    def rules(self) -> list[Row]:
        found = (labels for labels, _ in self._now.samples.get("rule_records_total", ()))
        return [self._rule(labels["flow"], labels["rule"]) for labels in found]

    def _rule(self, flow: str, rule: str) -> Row:
        figures: dict[str, Value] = {
            "flow": flow,
            "records_per_second": self._rate("rule_records_total", flow=flow, rule=rule),
            "dropped_per_second": self._rate("dropped_records_total", flow=flow, rule=rule),
            "errors_per_second": self._errors(flow, rule),
            "records": self._sum(self._now, "rule_records_total", {"flow": flow, "rule": rule}),
        }
        return Row(rule, figures)

    def sinks(self) -> list[Row]:
        return [self._sink(name, told) for name, told in self._told("sinks")]

    def _sink(self, name: str, told: Mapping[str, Any]) -> Row:
        state, trouble = state_of(told)
        queue, buffer = told.get("queue") or {}, told.get("buffer") or {}
        writes = self._rate("sink_write_seconds_count", sink=name)
        spent = self._rate("sink_write_seconds_sum", sink=name)
        figures: dict[str, Value] = {
            "state": state,
            "records_per_second": self._rate("sink_records_total", sink=name),
            "bytes_per_second": self._rate("sink_bytes_total", sink=name),
            "write_milliseconds": 1000 * spent / writes if writes and spent is not None else None,
            "queue_records": queue.get("records"),
            "queue_bytes": queue.get("bytes"),
            "buffer_records": buffer.get("records"),
            "retries_per_second": self._rate("sink_retries_total", sink=name),
            "error": trouble or buffer.get("error") or None,
        }
        return Row(name, figures, trouble)

    def _errors(self, flow: str, rule: str | None = None) -> float | None:
        """Errors, without what only means that a `when` did not match."""
        labels = {"flow": flow} | ({} if rule is None else {"rule": rule})
        every, missing = (self._rate("rule_errors_total", **labels, **more) for more in ({}, {"kind": "missing"}))
        return None if every is None or missing is None else every - missing

    def _told(self, kind: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
        return (self._now.status.get(kind) or {}).items()

    def _rate(self, metric: str, **labels: str) -> float | None:
        """How much a counter has grown a second; None without an earlier look."""
        if self._before is None or (passed := self._now.at - self._before.at) <= 0:
            return None
        grown = self._sum(self._now, metric, labels) - self._sum(self._before, metric, labels)
        return max(0.0, grown / passed)

    def _sum(self, look: Look, metric: str, labels: Labels) -> float:
        """The sum of the samples that have these labels, whatever else they have."""
        names = tuple(sorted(labels))
        sums = self._counted.setdefault((metric, names), ({}, {}))[look is self._now]
        if not sums:
            for given, value in look.samples.get(metric, ()):
                key = tuple(given.get(name) for name in names)
                sums[key] = sums.get(key, 0.0) + value
        return sums.get(tuple(labels[name] for name in names), 0.0)


def _combined(how: Callable[[Iterable[float]], float], values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return how(known) if known else None
