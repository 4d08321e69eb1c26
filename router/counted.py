"""What has been counted so far, read out of the metrics: nothing is counted twice to be shown elsewhere than there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

Labels = dict[str, str]


def by(family: Counter | Gauge, label: str, takes: Callable[[Labels], bool] = lambda _: True) -> dict[str, float]:
    """The sums of a metric, by one of its labels, of the series that are taken. Takes some microseconds a series."""
    found: dict[str, float] = {}
    for labels, value in _series(family):
        if takes(labels):
            found[labels[label]] = found.get(labels[label], 0.0) + value
    return found


def by_two(
    family: Counter | Gauge, first: str, second: str, takes: Callable[[Labels], bool] = lambda _: True
) -> dict[str, dict[str, float]]:
    """The same by two labels, one within the other."""
    found: dict[str, dict[str, float]] = {}
    for labels, value in _series(family):
        if takes(labels):
            inner = found.setdefault(labels[first], {})
            inner[labels[second]] = inner.get(labels[second], 0.0) + value
    return found


def buckets(family: Histogram, label: str) -> dict[str, dict[float, float]]:
    """Of a histogram, by one of its labels: by upper bound, how many observations were at most so large."""
    found: dict[str, dict[float, float]] = {}
    for sample in _samples(family):
        if sample.name.endswith("_bucket"):
            inner = found.setdefault(sample.labels[label], {})
            bound = float(sample.labels["le"])
            inner[bound] = inner.get(bound, 0.0) + sample.value
    return found


def _series(family: Counter | Gauge) -> list[tuple[Labels, float]]:
    return [(sample.labels, sample.value) for sample in _samples(family)]


def _samples(family: Any) -> list[Any]:
    return [sample for metric in family.collect() for sample in metric.samples]
