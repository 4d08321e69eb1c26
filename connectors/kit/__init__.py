"""The contract kit: what every connector, built in or a third party's, is run through.

A test module of the connector derives a class from ``SourceContract`` or ``SinkContract`` that says how to reach the
system at the other end, and pytest does the rest. What to say is in the docstrings of ``Contract``, ``SourceSystem``
and ``SinkSystem``; docs/writing-a-connector.md shows it whole.

    class TestQueueSource(SourceContract):
        connector = QueueSource
        cannot = {"end": "a queue has no end"}

        def config(self) -> Settings:
            return QueueSource.Config(server=self.server.address)

        async def put(self, values): ...

Needs pytest, which the extra ``sluiceway[kit]`` brings; no part of the daemon imports this.
"""

from __future__ import annotations

from connectors.kit import sink_routing, source_routing
from connectors.kit.contract import Contract
from connectors.kit.promise import BrokenPromise, Unfit
from connectors.kit.sink_system import SinkSystem
from connectors.kit.sink_writing import Writing
from connectors.kit.source_reading import Acknowledging, Reading
from connectors.kit.source_system import SourceSystem

__all__ = ["BrokenPromise", "Contract", "SinkContract", "SinkSystem", "SourceContract", "SourceSystem", "Unfit"]


class SourceContract(Reading, Acknowledging, source_routing.Away, source_routing.Routed):
    """Every check of a source. Derive ``Test...`` from it and say what ``SourceSystem`` asks."""


class SinkContract(Writing, sink_routing.Away, sink_routing.Routed):
    """Every check of a sink. Derive ``Test...`` from it and say what ``SinkSystem`` asks."""
