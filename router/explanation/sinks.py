"""What the daemon's file adds to an explanation: what a sink is, and what it will not take."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from router.config import SinkSpec
from rules.explain.model import Sending
from rules.outgoing import refusal, refusals
from rules.sensitive import HIDDEN


class SinkNote(Struct, frozen=True):
    """About a delivery: the type of its sink, the settings that hold since it chose none, and, where ``allow`` refuses
    it, why it becomes a dead letter."""

    type: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    refused: str = ""


NOTHING = SinkNote()


class Sinks:
    """The sinks of a configuration."""

    def __init__(self, sinks: Mapping[str, SinkSpec]) -> None:
        self._sinks = sinks

    def note(self, sending: Sending) -> SinkNote:
        """What is known about a delivery."""
        spec = self._sinks.get(sending.to)
        if spec is None or sending.dispatch is None:
            return NOTHING
        chosen = {name: value for name, value in sending.dispatch.settings.items() if value is not None}
        held = {name: getattr(spec.settings, name) for name in sorted(spec.settings.per_record() - chosen.keys())}
        shown = {name: value for name, value in chosen.items() if value is not HIDDEN}
        refused = refusals(spec.allow, shown)
        refused += [refusal(name, HIDDEN, spec.allow[name]) for name in sending.forbidden]
        return SinkNote(
            type=spec.type,
            settings={name: value for name, value in held.items() if isinstance(value, str | int) and value != ""},
            refused="; ".join(refused),
        )
