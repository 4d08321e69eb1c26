"""Measuring work inside this process: what it costs for each record, contenders by turns."""

from __future__ import annotations

import gc
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

Work = Callable[[], object]

LEAST = 0.02
"""Seconds that a run takes at least: work that is done sooner is done several times."""


@dataclass(frozen=True, slots=True)
class PerRecord:
    """Microseconds of CPU (of the whole process) and of time for one record."""

    cpu: float
    wall: float


def over(function: Callable[[object], object], events: Iterable[object]) -> Work:
    """The work of calling a function with every event, with as little around it as there can be."""
    return lambda: deque(map(function, events), maxlen=0)


def measure(contenders: Mapping[str, Work], records: int, runs: int) -> dict[str, list[PerRecord]]:
    """The cost of each contender, whose work is over so many records, in each run; contenders take turns."""
    gc.collect()
    gc.freeze()  # what is there before does not have to be looked at again on anybody's account
    passes = {name: _passes(work) for name, work in contenders.items()}
    costs: dict[str, list[PerRecord]] = {name: [] for name in contenders}
    for _ in range(runs):
        for name, work in contenders.items():
            costs[name].append(_run(work, records, passes[name]))
    gc.unfreeze()
    return costs


def median(costs: Sequence[PerRecord]) -> PerRecord:
    """The median of each figure by itself."""
    return PerRecord(statistics.median(cost.cpu for cost in costs), statistics.median(cost.wall for cost in costs))


def ratio(costs: Sequence[PerRecord], others: Sequence[PerRecord]) -> float:
    """How many times the CPU of the others: the median over turns, so that a machine's mood meets both alike."""
    return statistics.median(cost.cpu / other.cpu for cost, other in zip(costs, others, strict=True))


def _passes(work: Work) -> int:
    for _ in range(2):  # the first time is no measure of the others
        began = time.perf_counter()
        work()
        taken = time.perf_counter() - began
        if taken > 10 * LEAST:
            return 1
    return 1 + int(LEAST / max(taken, 1e-9))


def _run(work: Work, records: int, passes: int) -> PerRecord:
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(passes):
        work()
    count = records * passes / 1e6
    return PerRecord((time.process_time() - cpu) / count, (time.perf_counter() - wall) / count)
