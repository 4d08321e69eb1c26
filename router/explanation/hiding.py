"""What an expression made of a secret must not be shown either: a part of it, its hash, the list it was split into."""

from __future__ import annotations

from collections.abc import Iterable

from router.explanation.values import Values
from rules.explain.model import Evaluation

Hidden = frozenset[str]
"""Variables of macros whose values come from what must not be shown."""


class Hiding:
    """Tells which evaluations were made of something of ``vars`` that must not be shown."""

    def __init__(self, values: Values) -> None:
        self._values = values

    def hides_value(self, evaluation: Evaluation, hidden: Hidden) -> bool:
        """Whether the value must not be shown. What is true or false tells nothing of what it was made of."""
        return not isinstance(evaluation.value, bool | None) and self.hides([evaluation], hidden)

    def hides(self, evaluations: Iterable[Evaluation], hidden: Hidden = frozenset()) -> bool:
        """Whether one of these was made of something that must not be shown."""
        return any(self._is_hidden(evaluation, hidden) for evaluation in evaluations)

    def within(self, evaluation: Evaluation, hidden: Hidden) -> Hidden:
        """The hidden variables in the parts and elements of an evaluation, which may bind some."""
        bound = {name for element in evaluation.elements for name in element.variables}
        if evaluation.binds:
            bound.add(evaluation.binds)
        bound -= hidden
        return hidden | bound if bound and self.hides(evaluation.parts[:1], hidden) else hidden - bound

    def _is_hidden(self, evaluation: Evaluation, hidden: Hidden) -> bool:
        if not evaluation.parts:
            root = (evaluation.let or evaluation.text).partition(".")[0].partition("[")[0]
            return root in hidden or (root == "vars" and self._values.hides(evaluation.value))
        return self.hides(evaluation.parts, self.within(evaluation, hidden))
