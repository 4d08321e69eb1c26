"""The watch that an explanation is made of: it keeps everything that the interpreter does with one record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from rules.cel.evaluator import Around, Run
from rules.cel.nodes import Node
from rules.cel.values import ABSENT
from rules.contract import Violation
from rules.decisions import Because, Dispatch
from rules.explain.changes import changes_between
from rules.explain.evaluations import Event, Recorder, Teller
from rules.explain.meanings import allows, meanings
from rules.explain.model import Change, Changes, Check, Contract, Evaluation, Filling, Gate, Parcel, Sending, Step
from rules.flow import PASS, Expr, Flow, Rule
from rules.lets import Lets
from rules.outgoing import is_allowed
from rules.plan import Plan
from rules.sensitive import HIDDEN, NOTHING, Sensitive
from rules.watch import Watch

SHOWN_ELEMENTS: Final = 5
"""Of what ``split`` makes, so many are told in full."""


class Trace(Watch):
    """Listens to the decision about one record; then ``contract``, ``rules`` and ``endings`` hold it."""

    def __init__(
        self,
        flow: Flow,
        plan: Plan,
        lets: Lets,
        sensitive: Sensitive = NOTHING,
        hidden_settings: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self._flow = flow
        self._sensitive = sensitive
        self._hidden_settings = hidden_settings or {}
        self._splits = {rule.name: rule.split.name for rule in flow.rules if rule.split is not None}
        self._recorder = Recorder()
        self._teller = Teller(lets, {name: expr.cel.text for name, expr in flow.lets.items()}, sensitive)
        self._meanings = meanings(flow, plan)
        self._gates = {rule.name: rule.gates for rule in flow.rules}
        self._allow = {lane.sink: lane.allow for lane in plan.lanes}
        self.begin()

    def begin(self) -> None:
        """Forget the record before."""
        flow = self._flow
        self.event: object = ABSENT
        self.contract: Contract | None = None
        self.rules = [_step(rule) for rule in flow.rules]
        self.endings: list[Step] = []
        self._at: Step | None = None
        self._sending: Sending | None = None
        self._sent: Counter[str] = Counter()
        self._evaluation: Evaluation | None = None
        self._recorder.listening = True

    # Expressions

    @property
    def around(self) -> Around:
        """Every node is listened to."""
        return self._recorder.around

    def expression(self, expr: Expr, node: Node, run: Run) -> Run:
        """Every whole expression is told when it has been evaluated."""
        return self._recorder.whole(node, run, lambda event: self._evaluated(expr, event))

    def _evaluated(self, expr: Expr, event: Event) -> None:
        told = self._teller.whole(event, expr.cel.text)
        what = self._meanings[id(expr)]
        step = self._at
        if what in ("expect", "gate") or step is None:
            self._evaluation = told
        elif what == "when":
            step.when = told
        elif what == "each":
            step.each = told
        else:
            self._fillings(step).append(Filling(what, told))

    def _fillings(self, step: Step) -> list[Filling]:
        return step.parcels[-1].fillings if self._sending is None else self._sending.fillings

    # Steps

    def decoded(self, event: object) -> None:
        """The contract comes next."""
        self.event = self._sensitive.redacted(event)
        contract = self._flow.contract
        self.contract = Contract(passes=self._flow.otherwise.invalid == PASS)
        if contract.model is not None:
            self.contract.validates = "model"
        elif contract.schema is not None:
            self.contract.validates = "schema"

    def validated(self, violations: Sequence[Violation]) -> None:
        """What the schema or the model says."""
        if self.contract is not None:
            self.contract.violations = list(violations)

    def checked(self, name: str, violation: Violation | None) -> None:
        """Its evaluation came just before."""
        check = Check(name, self._evaluation, violation)
        if self._at is not None:
            self._at.checks.append(check)
        elif self.contract is not None:
            self.contract.checks.append(check)

    def rule(self, number: int) -> None:
        """One more rule is reached."""
        self._enter(self.rules[number])
        self.rules[number].elements = None if self._flow.rules[number].split is None else 0
        self.rules[number].fate = "unmatched"

    def _enter(self, step: Step) -> None:
        self._at = step
        self._sending = None
        self._sent.clear()
        self._recorder.listening = True
        step.parcels = [Parcel()]

    def missed(self) -> None:
        """``when`` holds what is missing."""
        if self._at is not None:
            self._at.fate = "missing"

    def gate(self, result: str) -> None:
        """The evaluation of its key came just before."""
        step = self._at
        if step is None:
            return
        gate = self._gates[step.name][len(step.gates)]
        key = None if gate.key is None else self._evaluation
        step.gates.append(Gate(gate.kind, allows(gate), key, result))
        if result == "held":
            step.fate = "held"

    def matched(self) -> None:
        """The rule does something."""
        if self._at is not None:
            self._at.fate = "matched"
            is_held = any(gate.result == "held" for gate in self._at.gates)
            self._at.ends = (is_held or bool(self._at.to)) and not self._at.continues

    def element(self, element: object) -> None:
        """One more parcel."""
        step = self._at
        if step is None or step.elements is None:
            return
        if step.elements == 0:
            step.parcels = []
        step.elements += 1
        self._recorder.listening = step.elements <= SHOWN_ELEMENTS
        if self._recorder.listening:
            is_hidden = self._splits[step.name] in self._sensitive.names
            step.parcels.append(Parcel(HIDDEN if is_hidden else element))

    def shaped(self, before: object, after: object, *, anew: bool) -> None:
        """What the rule, or the target, made of an event; of a whole new one, all is different."""
        if self._at is None or not self._recorder.listening:
            return
        shaped = self._at.parcels[-1] if self._sending is None else self._sending
        redacted = self._sensitive.redacted
        if anew:
            shaped.changes = Changes([Change("event", redacted(before), redacted(after))], 1)
            return
        shaped.changes = changes_between(before, after)
        if self._sensitive:
            shaped.changes.listed = [self._shown(change) for change in shaped.changes.listed]

    def _shown(self, change: Change) -> Change:
        redacted, path = self._sensitive.redacted, ("event", *change.steps)
        before, after = (value if value is ABSENT else redacted(value, path) for value in (change.before, change.after))
        return replace(change, before=before, after=after)

    # Ends

    def target(self, sink: str) -> None:
        """A delivery begins."""
        step = self._at
        if step is None:
            return
        before = self._sent[sink]
        self._sent[sink] += 1
        self._sending = Sending(sink, element=None if step.elements is None else before)
        self._recorder.listening = before < SHOWN_ELEMENTS
        step.sendings.append(self._sending)

    def sent(self, dispatch: Dispatch) -> None:
        """It will be made."""
        if self._sending is not None:
            self._sending.forbidden = tuple(self._forbidden(dispatch, self._sending.to))
            self._sending.dispatch = self._shown_dispatch(dispatch, self._sending.to)

    def _forbidden(self, dispatch: Dispatch, sink: str) -> Iterator[str]:
        """Settings that are not shown and not allowed, which nobody can tell who sees only the rest."""
        allow = self._allow.get(sink, {})
        for name in self._hidden_settings.get(sink, ()):
            value = dispatch.settings.get(name)
            if value is not None and name in allow and not is_allowed(str(value), allow[name]):
                yield name

    def _shown_dispatch(self, dispatch: Dispatch, sink: str) -> Dispatch:
        """What goes out is in the encoding of its sink: where anything in it is sensitive, none of it is shown."""
        if not self._sensitive:
            return dispatch
        hidden = self._hidden_settings.get(sink, ())
        settings = {
            name: HIDDEN if name in hidden and value is not None else value for name, value in dispatch.settings.items()
        }
        return replace(dispatch, value=None if dispatch.value is None else b"***", settings=settings)

    def ended(self, to: str, because: Because | None = None) -> None:
        """An end of the rule or ending that is reached; of neither, where there was no record to decide about."""
        if self._at is None:
            self.endings.append(Step("", fate="matched", because=because))
            self._at = self.endings[-1]
        self._at.sendings.append(Sending(to, because=because))

    def ending(self, name: str, because: Because) -> None:
        """A part of ``otherwise`` is reached."""
        self.endings.append(Step(name, fate="matched", because=because, ends=True))
        self._enter(self.endings[-1])

    def undone(self, error: Exception) -> None:
        """Everything so far is taken back, and whose fault that is."""
        for step in (*self.rules, *self.endings):
            for sending in step.sendings:
                sending.undone = True
        if self._at is not None:
            self._at.error = str(error)
            violated = any(check.violation is not None for check in self._at.checks)
            self._at.fate = "violated" if violated and self._at.fate == "unmatched" else "error"
            self._at.ends = True


def _step(rule: Rule) -> Step:
    return Step(
        rule.name,
        rule.place,
        is_step=rule.is_step,
        continues=rule.continues,
        to=tuple(target.sink for target in rule.to),
    )
