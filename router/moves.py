"""Which dead letters are moved to a sink, in the terms of the store."""

from __future__ import annotations

from msgspec import Struct

NAME = "dead_letters"
"""What letters come from, as far as their sink is concerned."""


class Moves(Struct, frozen=True):
    """Flows, and the sinks that their letters are moved to; None is every flow.

    A letter about a delivery to that very sink is not moved there: it stays.
    """

    routes: tuple[tuple[str | None, str], ...] = ()

    @property
    def sinks(self) -> list[str]:
        """The sinks, each once."""
        return list(dict.fromkeys(sink for _, sink in self.routes))

    def condition(self, only: str | None = None) -> tuple[str, list[str]]:
        """A condition on ``kinds``, of those whose letters are moved (``only`` to this sink), and what is bound in
        it."""
        conditions: list[str] = []
        arguments: list[str] = []
        for flow, sink in self.routes:
            if only is None or only == sink:
                conditions.append("(? IN (flow, '') AND NOT (stage = 'sink' AND sink = ?))")
                arguments += [flow or "", sink]
        return f"({' OR '.join(conditions)})" if conditions else "0", arguments
