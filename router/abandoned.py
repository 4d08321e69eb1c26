"""How many records were given up is told by the next process, too: it is when one ends, when nobody scrapes it."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from router.errors import StateError
from router.metrics import Metrics
from router.state import StateDir

log = logging.getLogger(__name__)

_HOLDER = "(abandoned)"
"""In the place of a source: none has this name."""


def go_on(state: StateDir, metrics: Metrics, sources: Iterable[str]) -> None:
    """Count on from where the process ended that had the state folder before."""
    before = state.positions(_HOLDER).load()
    for source in sources:
        count = before.get(source)
        metrics.source(source).abandoned.inc(count if isinstance(count, int) else 0)


async def keep(state: StateDir, metrics: Metrics) -> None:
    """Keep the counts for ``go_on``. That they cannot be kept is logged."""
    counts = {
        sample.labels["source"]: int(sample.value)
        for family in metrics.abandoned.collect()
        for sample in family.samples
        if sample.value and sample.name.endswith("_total")
    }
    try:
        await state.positions(_HOLDER).save(dict(counts))
    except StateError as error:
        log.error("the next start cannot tell how many records were given up, %s: %s", counts, error)
