"""Why a record goes where it goes: each check, rule and sub-expression with its value, and what changed.

It is the exact interpreter that decides; all that is here listens to it. So an explanation cannot differ from what is
done with the record.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from rules.cel.errors import CelError
from rules.cel.output import to_json
from rules.cel.values import ABSENT
from rules.codecs import Format
from rules.contract import Validator
from rules.explain.model import Explanation
from rules.explain.trace import Trace
from rules.flow import Flow
from rules.gates import Crossing
from rules.interpret import Interpreter
from rules.lets import Lets
from rules.meta import meta_of
from rules.plan import Columns, Plan
from rules.sensitive import HIDDEN, NOTHING, Sensitive
from rules.shaping import Filler

__all__ = ["Explainer", "Explanation"]


class Explainer:
    """Explains decisions of a flow, one at a time. It takes what the flow's own interpreter takes."""

    def __init__(
        self,
        flow: Flow,
        plan: Plan,
        lets: Lets,
        validator: Validator | None,
        decode: Format,
        names: Mapping[str, object],
        *,
        sensitive: Sensitive = NOTHING,
        hidden_settings: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self._flow = flow
        self._decode = decode
        self._trace = Trace(flow, plan, lets, sensitive, hidden_settings or {})
        self._interpreter = Interpreter(flow, plan, Filler(lets, self._trace, sensitive), validator, decode, names)
        self._sensitive = sensitive

    def explain(self, columns: Columns, index: int, source: str, crossing: Crossing) -> Explanation:
        """What is decided about the record at ``index`` of a batch that came from ``source`` and is ``crossing`` the
        flow's gates, and why. Never fails because of the record."""
        trace = self._trace
        trace.begin()
        outcome = self._interpreter.decide(columns, index, source, crossing)
        return Explanation(
            flow=self._flow.name,
            version=self._flow.version,
            source=source,
            decode=self._decode.type,
            raw=self._raw(columns.values[index], trace.event),
            size=len(columns.values[index]),
            meta=self._sensitive.redacted(meta_of(columns, index, source), ("meta",)),
            outcome=outcome,
            rules=trace.rules,
            event=trace.event,
            contract=trace.contract,
            endings=trace.endings,
        )

    def _raw(self, raw: bytes, shown: object) -> bytes:
        """The payload; where anything in it is sensitive, what of the event may be shown, if it is one, as JSON."""
        if not self._sensitive:
            return raw
        try:
            return json.dumps(to_json(_written(shown)), ensure_ascii=False).encode()
        except (CelError, ValueError, RecursionError):
            return b"***"


def _written(value: object) -> object:
    if value is ABSENT:
        raise ValueError(value)
    if isinstance(value, Mapping):
        return {name: _written(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return list(map(_written, value))
    return repr(HIDDEN) if value is HIDDEN else value
