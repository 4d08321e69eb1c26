"""Why a record goes where it goes: each check, rule and sub-expression with its value, and what changed.

It is the exact interpreter that decides; all that is here listens to it. So an explanation cannot differ from what is
done with the record.
"""

from __future__ import annotations

from collections.abc import Mapping

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
    ) -> None:
        self._flow = flow
        self._decode = decode
        self._trace = Trace(flow, plan, lets)
        self._interpreter = Interpreter(flow, plan, Filler(lets, self._trace), validator, decode, names)

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
            raw=columns.values[index],
            meta=meta_of(columns, index, source),
            outcome=outcome,
            rules=trace.rules,
            event=trace.event,
            contract=trace.contract,
            endings=trace.endings,
        )
