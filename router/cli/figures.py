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
    "sources": ("flow", "state", "records/s", "bytes/s", "lag", "lag seconds", "on the way", "error"),
    "flows": ("records/s", "deliveries/s", "dropped/s", "dead/s", "errors/s", "letters", "version"),
    "rules": ("flow", "records/s", "dropped/s", "errors/s", "records"),
    "sinks": ("state", "records/s", "bytes/s", "write ms", "queued", "queued bytes", "buffered", "retries/s", "error"),
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
        state, trouble = state_of(told, time.time())
        lag = told.get("lag") or ()
        figures: dict[str, Value] = {
            "flow": told.get("flow"),
            "state": state,
            "records/s": self._rate("source_records_total", source=name),
            "bytes/s": self._rate("source_bytes_total", source=name),
            "lag": _combined(sum, (part.get("records") for part in lag)),
            "lag seconds": _combined(max, (part.get("seconds") for part in lag)),
            "on the way": (told.get("unsettled") or {}).get("records"),
            "error": trouble,
        }
        return Row(name, figures, trouble)

    def flows(self) -> list[Row]:
        letters = (self._now.status.get("dead_letters") or {}).get("kept") or {}
        return [self._flow(name, told, letters.get(name, 0)) for name, told in self._told("flows")]

    def _flow(self, name: str, told: Mapping[str, Any], letters: float) -> Row:
        reads = [self._rate("source_records_total", source=source) for source in told.get("sources") or ()]
        figures: dict[str, Value] = {
            "records/s": _combined(sum, reads),
            "deliveries/s": self._rate("routed_deliveries_total", flow=name),
            "dropped/s": self._rate("dropped_records_total", flow=name),
            "dead/s": self._rate("dead_letters_total", flow=name),
            "errors/s": self._errors(name),
            "letters": letters,
            "version": told.get("version"),
        }
        return Row(name, figures)

    def rules(self) -> list[Row]:
        found = (labels for labels, _ in self._now.samples.get("rule_records_total", ()))
        return [self._rule(labels["flow"], labels["rule"]) for labels in found]

    def _rule(self, flow: str, rule: str) -> Row:
        figures: dict[str, Value] = {
            "flow": flow,
            "records/s": self._rate("rule_records_total", flow=flow, rule=rule),
            "dropped/s": self._rate("dropped_records_total", flow=flow, rule=rule),
            "errors/s": self._errors(flow, rule),
            "records": self._sum(self._now, "rule_records_total", {"flow": flow, "rule": rule}),
        }
        return Row(rule, figures)

    def sinks(self) -> list[Row]:
        return [self._sink(name, told) for name, told in self._told("sinks")]

    def _sink(self, name: str, told: Mapping[str, Any]) -> Row:
        state, trouble = state_of(told, time.time())
        queue, buffer = told.get("queue") or {}, told.get("buffer") or {}
        writes = self._rate("sink_write_seconds_count", sink=name)
        spent = self._rate("sink_write_seconds_sum", sink=name)
        figures: dict[str, Value] = {
            "state": state,
            "records/s": self._rate("sink_records_total", sink=name),
            "bytes/s": self._rate("sink_bytes_total", sink=name),
            "write ms": 1000 * spent / writes if writes and spent is not None else None,
            "queued": queue.get("records"),
            "queued bytes": queue.get("bytes"),
            "buffered": buffer.get("records"),
            "retries/s": self._rate("sink_retries_total", sink=name),
            "error": trouble or buffer.get("error") or "",
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
