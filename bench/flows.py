"""Whole flows without a daemon: compiled from the text of a rules file, and routed in batches as the daemon does."""

from __future__ import annotations

from collections.abc import Sequence

from bench.loops import Work
from router.batch import Batch
from rules.decisions import Decisions
from rules.reader import read_flow
from rules.ruleset import Ruleset, SinkFacts, compile_flow

SLICE = 1_000
"""Records that are routed at once: of 250 bytes, about as many as the daemon routes before it lets others go on."""


def compiled(text: str, sinks: Sequence[str], schema: bytes = b"") -> Ruleset:
    """The flow of a rules file; ``schema`` is any other file that it names. Raises ValueError with its faults."""
    flow, faults = read_flow(text, "flow.yaml", lambda _name: schema)
    if flow is None or faults:
        raise ValueError("; ".join(map(str, faults)))
    return compile_flow(flow, sinks={name: SinkFacts(name) for name in sinks}, vars={}, models={})


def routing(ruleset: Ruleset, payloads: Sequence[bytes]) -> Work:
    """The work of deciding about so many payloads, up to what goes to each sink and what the metrics count."""

    def work() -> None:
        decisions: Decisions | None = None
        batch = Batch(payloads, ascii=True)
        for start in range(0, len(payloads), SLICE):
            decisions = ruleset.route(batch, "events", start, min(start + SLICE, len(payloads)), decisions)
        if decisions is not None:
            _ = decisions.deliveries, decisions.matched, decisions.dropped

    return work


def same_as_exactly(ruleset: Ruleset, payloads: Sequence[bytes]) -> bool:
    """Whether the compiled flow decides about these as the exact interpreter does."""
    batch = Batch(payloads, ascii=True)
    fast, exact = ruleset.route(batch, "events"), ruleset.route_exactly(batch, "events")
    return (fast.matched, len(fast.letters), _sent(fast)) == (exact.matched, len(exact.letters), _sent(exact))


def _sent(decisions: Decisions) -> dict[str, list[int]]:
    return {delivery.sink: list(delivery.indices) for delivery in decisions.deliveries}
