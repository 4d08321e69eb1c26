"""An explanation as JSON, for tools."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from router.explanation.hiding import Hidden, Hiding
from router.explanation.sinks import Sinks
from router.explanation.values import MASK, Values
from rules.cel.values import ABSENT, Duration, Timestamp
from rules.contract import Violation
from rules.explain import Explanation
from rules.explain.model import Changes, Check, Contract, Element, Evaluation, Filling, Gate, Parcel, Sending, Step
from rules.flow import DEAD_LETTER
from rules.sensitive import HIDDEN

Json = dict[str, Any]
_LONGEST: Final = 4096
"""Values inside an explanation are told whole as long as their text has no more characters than this."""
_DEEPEST: Final = 50


class AsJson:
    """Makes JSON values of explanations.

    A value stands under its name (``value``); where JSON has none like it, or it is too long, its text stands under
    the name with ``_text`` (``value_text``). What is empty or absent is left out.
    """

    def __init__(self, values: Values, sinks: Sinks) -> None:
        self._values = values
        self._sinks = sinks
        self._hiding = Hiding(values)

    def explanation(self, explanation: Explanation) -> Json:
        """All of it."""
        because = explanation.endings[0].because if explanation.endings else None
        undecodable = because if explanation.event is ABSENT else None
        made: Json = {
            "flow": explanation.flow,
            "version": explanation.version,
            "source": explanation.source,
            "record": self.payload(explanation.raw),
            "meta": {
                name: self._any(value) for name, value in explanation.meta.items() if name not in ("raw", "source")
            },
            "decode": explanation.decode,
        }
        if undecodable is not None:
            made["undecodable"] = {"reason": undecodable[2], "detail": self._values.masked(undecodable[3])}
        if explanation.contract is not None:
            made["contract"] = self._contract(explanation.contract)
        made["rules"] = [self._step(step) for step in explanation.rules]
        made["otherwise"] = [self._step(step) for step in explanation.endings if step.name]
        made["goes_to"] = [self._end(name, sending) for name, sending in explanation.goes()]
        return made

    def payload(self, payload: bytes) -> Any:
        """Bytes: text where they are UTF-8, else ``{"base64": ...}``."""
        try:
            return self._values.masked(payload.decode())
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(payload).decode()}

    def _contract(self, contract: Contract) -> Json:
        return _without_empty(
            {
                "holds": contract.holds,
                "passes": contract.passes,
                "validates": contract.validates,
                "violations": [self._violation(violation) for violation in contract.violations],
                "expect": [self._check(check) for check in contract.checks],
            }
        )

    def _violation(self, violation: Violation) -> Json:
        message = self._values.masked(violation.message)
        return {"check": violation.check, "place": violation.place, "message": message}

    def _check(self, check: Check) -> Json:
        made: Json = {"name": check.name, "holds": check.violation is None}
        if check.violation is not None:
            made["violation"] = self._violation(check.violation)
        if check.evaluation is not None:
            made["evaluation"] = self.evaluation(check.evaluation)
        return made

    def _step(self, step: Step) -> Json:
        made: Json = {"name": step.name, "fate": step.fate}
        if step.place is not None:
            made["place"] = str(step.place)
        if step.fate == "missing" and step.when is not None:
            made["missing"] = step.when.culprit
        if step.when is not None:
            made["when"] = self.evaluation(step.when)
        if step.each is not None:
            made["split"] = {"each": self.evaluation(step.each), "elements": step.elements}
        return made | _without_empty(
            {
                "expect": [self._check(check) for check in step.checks],
                "gates": [self._gate(gate) for gate in step.gates],
                "makes": [made for parcel in step.parcels if (made := self._parcel(parcel))],
                "sends": [self._sending(sending) for sending in step.sendings],
                "error": self._values.masked(step.error),
                "ends": step.ends,
            }
        )

    def _gate(self, gate: Gate) -> Json:
        made: Json = {"kind": gate.kind, "allows": gate.allows, "result": gate.result}
        return made | ({} if gate.key is None else {"key": self.evaluation(gate.key)})

    def _parcel(self, parcel: Parcel) -> Json:
        made = {} if parcel.element is ABSENT else self._value("element", parcel.element)
        return made | self._shaping(parcel.changes, parcel.fillings)

    def _shaping(self, changes: Changes, fillings: Sequence[Filling]) -> Json:
        listed = self.changes(changes)
        expressions = [
            {"what": filling.what, "evaluation": self.evaluation(filling.evaluation)} for filling in fillings
        ]
        more = changes.total - len(changes.listed)
        return _without_empty({"changes": listed, "more_changes": more, "expressions": expressions})

    def changes(self, changes: Changes) -> list[Json]:
        """The first of the differences between two events."""
        return [
            {"path": change.path} | self._value("before", change.before) | self._value("after", change.after)
            for change in changes.listed
        ]

    def _sending(self, sending: Sending) -> Json:
        made: Json = {"to": sending.to}
        if sending.element is not None:
            made["element"] = sending.element
        made |= self._shaping(sending.changes, sending.fillings)
        return made | _without_empty({"taken_back": sending.undone})

    def _end(self, name: str, sending: Sending) -> Json:
        made: Json = {"to": sending.to} | _without_empty({"by": name})
        if sending.because is not None:
            stage, rule, reason, detail = sending.because
            made |= {"stage": stage, "reason": reason, "detail": self._values.masked(detail)}
            return made | _without_empty({"rule": rule or ""})
        if sending.dispatch is None:
            return made
        note = self._sinks.note(sending)
        value = sending.dispatch.value
        settings = {name: value for name, value in sending.dispatch.settings.items() if value is not None}
        if note.refused:
            detail = self._values.masked(note.refused)
            made |= {"to": DEAD_LETTER, "stage": "sink", "sink": sending.to, "reason": "not_allowed", "detail": detail}
        return made | _without_empty(
            {
                "type": note.type,
                "settings": {name: self.setting(value) for name, value in (settings | dict(note.settings)).items()},
                "changed": value is not None,
                "value": None if value is None else self.payload(value),
            }
        )

    def setting(self, value: object) -> Any:
        """What a delivery chose of a setting, or its payload."""
        if isinstance(value, tuple):
            return {name: self._any(content) for name, content in value}
        return self._any(value)

    def evaluation(self, evaluation: Evaluation, hidden: Hidden = frozenset()) -> Json:
        """An expression with all of its parts."""
        inner = self._hiding.within(evaluation, hidden)
        made: Json = {"expression": evaluation.text} | _without_empty({"let": evaluation.let})
        made["state"] = evaluation.state
        if evaluation.state == "value":
            is_hidden = self._hiding.hides_value(evaluation, hidden)
            made |= {"value_text": MASK} if is_hidden else self._value("value", evaluation.value)
        return made | _without_empty(
            {
                "error": self._values.masked(evaluation.error),
                "culprit": evaluation.culprit,
                "parts": [self.evaluation(part, inner) for part in evaluation.parts],
                "elements": [self._element(element, inner) for element in evaluation.elements],
                "visited": evaluation.visited,
            }
        )

    def _element(self, element: Element, hidden: Hidden) -> Json:
        variables = {name: MASK if name in hidden else self._any(value) for name, value in element.variables.items()}
        parts = [self.evaluation(part, hidden) for part in element.parts]
        made: Json = {"number": element.number, "variables": variables, "parts": parts}
        return made | _without_empty({"decides": element.decides})

    def _value(self, name: str, value: object) -> Json:
        if value is ABSENT:
            return {}
        text = self._values.value(value, _LONGEST)
        if len(text) < _LONGEST:
            try:
                return {name: self._plain(value, 0)}
            except TypeError:
                pass
        return {f"{name}_text": text}

    def _any(self, value: object) -> Any:
        """A value where there is but one place for it: as it is, or its text."""
        if isinstance(value, bytes):
            return self.payload(value)
        if isinstance(value, Timestamp | Duration):
            return str(value)
        return next(iter(self._value("", value).values()), None)

    def _plain(self, value: object, depth: int) -> Any:
        """A value that JSON has. Raises TypeError for any other."""
        if depth > _DEEPEST:
            raise TypeError("too deep")
        if isinstance(value, str):
            return self._values.masked(value)
        if value is HIDDEN:
            return MASK
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int(value) if self._values.masked(repr(int(value))) == repr(int(value)) else MASK
        if isinstance(value, float) and math.isfinite(value):
            return value
        if isinstance(value, list):
            return [self._plain(element, depth + 1) for element in value]
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return {self._values.masked(key): self._plain(inner, depth + 1) for key, inner in value.items()}
        raise TypeError(type(value).__name__)


def _without_empty(made: Mapping[str, Any]) -> Json:
    """Without what is empty, false or zero, but for ``holds`` and ``changed``, which say something by that."""
    return {name: value for name, value in made.items() if value or name in ("holds", "changed")}
