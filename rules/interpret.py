"""The exact interpreter: what a flow means for one record, with CEL's full semantics and every counter.

This is the definition. The ruleset's generated code gives the same for the records that it takes on, and leaves all
others to this. ``explain`` is told by it what it does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count

from msgspec import Struct

from rules.cel.compile_runtime import MISSING
from rules.cel.errors import CelError, CelMissing
from rules.cel.evaluator import Run
from rules.cel.scope import references
from rules.cel.values import a_type
from rules.codecs import Format
from rules.contract import Validator, Violation, describe, places, untrue
from rules.decisions import Because, Dispatch, Outcome
from rules.flow import DEAD_LETTER, DROP, ENDS, PASS, REJECT, Check, Disposition, Flow, Gate, Rule, Target
from rules.gates import Crossing
from rules.meta import meta_of
from rules.outgoing import setting
from rules.plan import ENDINGS, ERROR, INVALID, UNDECODABLE, UNMATCHED, Columns, Lane, Plan, unmatched_targets
from rules.reader.values import expressions
from rules.shaping import Bindings, Failed, Fill, Filler, Shaper, attempt
from rules.watch import Watch


class _Violated(Exception):
    def __init__(self, rule: str, violations: Sequence[Violation]) -> None:
        super().__init__(describe(violations))
        self.rule = rule
        self.violations = violations


class _Record:
    """One record on its way: ``event`` is what steps have made of it, ``changed`` whether they have."""

    __slots__ = (
        *("_columns", "_meta", "_names", "_sees_meta", "_source"),
        *("changed", "crossing", "decoded", "event", "index", "raw"),
    )

    def __init__(
        self, columns: Columns, index: int, source: str, names: Bindings, crossing: Crossing, *, sees_meta: bool
    ) -> None:
        self.index = index
        self.crossing = crossing
        self.raw = columns.values[index]
        self.event: object = None
        self.changed = False
        self.decoded = False
        self._columns = columns
        self._source = source
        self._names = names
        self._sees_meta = sees_meta
        self._meta: Mapping[str, object] | None = None

    @property
    def meta(self) -> Mapping[str, object]:
        """What the source knows of it, made when somebody asks."""
        if self._meta is None:
            self._meta = meta_of(self._columns, self.index, self._source)
        return self._meta

    def has(self, attribute: str) -> bool:
        """Whether the record came with an attribute of this name."""
        return attribute in self.meta

    def bindings(self, event: object) -> dict[str, object]:
        """What expressions see; ``meta`` only where one of the flow's reads it, since it is costly to make."""
        found = {"event": event, "vars": self._names}
        if self._sees_meta:
            found["meta"] = self.meta
        return found


class _Target(Struct, frozen=True):
    sink: str
    lane: Lane | None
    shaper: Shaper | None
    settings: Mapping[str, Fill]


class _Gate(Struct, frozen=True):
    """A gate, by its number in the flow. ``key`` is None where there is but one key, or the payload is it; ``held``
    where what does not pass goes on."""

    number: int
    kind: str
    key: Run | None
    held: _Target | None


class _Rule(Struct, frozen=True):
    number: int
    name: str
    when: Run | None
    expect: tuple[_Check, ...]
    gates: tuple[_Gate, ...]
    shaper: Shaper | None
    split: tuple[str, Run] | None
    targets: tuple[_Target, ...]
    continues: bool


class _Check(Struct, frozen=True):
    """An expectation, with what its violations say: where the fields are that it reads, and that it is false."""

    name: str
    run: Run
    places: str
    untrue: str


class _Parcel(Struct, frozen=True):
    """What a rule hands to its targets: an event, whether it differs from the payload, and what the targets' right
    sides see, which is the record as it was before the rule."""

    event: object
    changed: bool
    bindings: Bindings


class _Sending(Struct, frozen=True):
    """On whose account targets are served: the number and name of a rule or an ending; why the record is where it is,
    should it become a dead letter; and what broke the contract."""

    outcome: Outcome
    record: _Record
    label: tuple[int, str]
    because: Because
    violations: Sequence[Violation] = ()


class Interpreter:
    """A flow, ready to decide about records one at a time. The ``filler`` brings the watch that is told of it all."""

    def __init__(
        self, flow: Flow, plan: Plan, filler: Filler, validator: Validator | None, decode: Format, names: Bindings
    ) -> None:
        self._plan = plan
        self._filler = filler
        self._watch = filler.watch
        self._validator = validator
        self._codec = decode.codec
        self._vars = names
        templates = tuple(lane.templates for lane in plan.lanes)
        self._sees_meta = any("meta" in expr.cel.variables for expr in expressions((flow, templates)))
        self._checks = self._compile_checks(flow.contract.expect)
        self._gate_numbers = count()
        self._rules = [self._compile_rule(number, rule) for number, rule in enumerate(flow.rules)]
        otherwise = flow.otherwise
        self._passes = otherwise.invalid == PASS
        self._endings = {
            UNDECODABLE: self._compile_targets(otherwise.undecodable),
            INVALID: self._compile_targets(otherwise.invalid),
            ERROR: self._compile_targets(otherwise.error),
            UNMATCHED: self._compile_targets(unmatched_targets(flow)),
        }
        self._endings_at = {ending: len(plan.rules) + place for place, ending in enumerate(ENDINGS)}

    def _compile_checks(self, checks: Sequence[Check]) -> tuple[_Check, ...]:
        inline = self._filler.lets.inline
        return tuple(
            _Check(
                check.name,
                self._filler.run(check.expr),
                places(references(inline(check.expr.cel.node))),
                untrue(check.expr.cel.text),
            )
            for check in checks
        )

    def _compile_rule(self, number: int, rule: Rule) -> _Rule:
        return _Rule(
            number=number,
            name=rule.name,
            when=None if rule.when is None else self._filler.run(rule.when),
            expect=self._compile_checks(rule.expect),
            gates=tuple(map(self._compile_gate, rule.gates)),
            shaper=self._filler.shaper(rule.shape),
            split=None if rule.split is None else (rule.split.name, self._filler.run(rule.split.each)),
            targets=self._compile_targets(rule.to),
            continues=rule.continues,
        )

    def _compile_gate(self, gate: Gate) -> _Gate:
        return _Gate(
            number=next(self._gate_numbers),
            kind=gate.kind,
            key=None if gate.key is None else self._filler.run(gate.key),
            held=None if gate.held is None else self._compile_target(gate.held),
        )

    def _compile_targets(self, targets: Disposition) -> tuple[_Target, ...]:
        return () if isinstance(targets, str) else tuple(map(self._compile_target, targets))

    def _compile_target(self, target: Target) -> _Target:
        if target.sink in ENDS:
            return _Target(target.sink, None, None, {})
        lane = self._plan.lanes[self._plan.lane_of[target.sink]]
        chosen = {**lane.templates, **target.settings}
        settings = {name: self._filler.fill(value) for name, value in chosen.items()}
        return _Target(target.sink, lane, self._filler.shaper(target.shape), settings)

    def decide(self, columns: Columns, index: int, source: str, crossing: Crossing) -> Outcome:
        """What happens to the record at ``index`` of a batch that is ``crossing`` the flow's gates. Never fails."""
        outcome = Outcome()
        record = _Record(columns, index, source, self._vars, crossing, sees_meta=self._sees_meta)
        if index in columns.spoiled:
            spoiled: Because = ("decode", None, "spoiled", columns.spoiled[index])
            self._end(outcome, record, UNDECODABLE, spoiled, (Violation("spoiled", "", columns.spoiled[index]),))
            return outcome
        try:
            record.event = self._codec.decode_at(columns, index)
        except (ValueError, RecursionError) as error:
            because: Because = ("decode", None, "undecodable", str(error))
            self._end(outcome, record, UNDECODABLE, because, (Violation("undecodable", "", str(error)),))
            return outcome
        record.decoded = True
        self._watch.decoded(record.event)
        self._judge(outcome, record)
        if not outcome.dispatches:
            crossing.bring_nothing(index)
        return outcome

    def _judge(self, outcome: Outcome, record: _Record) -> None:
        event = record.event
        violations = self._violations(record)
        outcome.violations.extend(violation.check for violation in violations)
        if violations and not self._passes:
            self._end(outcome, record, INVALID, ("contract", None, "invalid", describe(violations)), violations)
            return
        outcome.unmatched = True
        rule = ""
        try:
            for step in self._rules:
                rule = step.name
                if self._try_rule(outcome, record, step):
                    return
            rule = UNMATCHED
            self._leave_unmatched(outcome, record)
        except _Violated as violated:
            self._undo(outcome, violated)
            record.crossing.take_back(record.index)
            record.event, record.changed = event, False
            because: Because = ("contract", violated.rule, "invalid", str(violated))
            self._end(outcome, record, INVALID, because, violated.violations)
        except Failed as failed:
            self._undo(outcome, failed)
            record.crossing.take_back(record.index)
            record.event, record.changed = event, False
            outcome.errors.append((rule, failed.kind))
            self._end(outcome, record, ERROR, ("rule", rule, "error", str(failed)))

    def _violations(self, record: _Record) -> list[Violation]:
        found = [] if self._validator is None else self._validator.violations(record.event, record.raw)
        self._watch.validated(found)
        return found + _broken(self._checks, record.bindings(record.event), self._watch) if self._checks else found

    def _try_rule(self, outcome: Outcome, record: _Record, rule: _Rule) -> bool:
        """Carry out one rule; whether it ends the record's way."""
        self._watch.rule(rule.number)
        bindings = record.bindings(record.event)
        if rule.when is not None and not self._matches(outcome, rule, rule.when, bindings):
            return False
        broken = _broken(rule.expect, bindings, self._watch)
        outcome.violations.extend(violation.check for violation in broken)
        if broken and not self._passes:
            raise _Violated(rule.name, broken)
        if rule.gates:
            held = self._holding(record, rule, bindings)
            if held is not None:
                return held.held is not None and self._hold(outcome, record, rule, held)
        outcome.matched.append(rule.number)
        self._watch.matched()
        if not rule.targets:
            if rule.shaper is not None:
                record.event, changed = rule.shaper.apply(record.event, bindings)
                record.changed = record.changed or changed
            return False
        outcome.unmatched = False
        parcels = self._parcels(record, rule, bindings)
        if parcels:
            hand_over = _Sending(outcome, record, (rule.number, rule.name), ("rule", rule.name, "rule", ""))
            self._send(hand_over, rule.targets, parcels)
        else:
            self._drop(outcome, rule.number)
        return not rule.continues

    def _holding(self, record: _Record, rule: _Rule, bindings: Bindings) -> _Gate | None:
        """The gate that holds the record, if any does: then those before it have let nothing pass."""
        mark = record.crossing.mark()
        for gate in rule.gates:
            turn = record.crossing.turns[gate.number]
            key = record.raw if gate.key is None else _key(gate.kind, gate.key, bindings)
            passes = attempt(gate.kind, turn.admits, record.index, key)
            self._watch.gate("missing_key" if key is None or key is MISSING else "passed" if passes else "held")
            if not passes:
                record.crossing.return_to(mark)
                return gate
        return None

    def _hold(self, outcome: Outcome, record: _Record, rule: _Rule, gate: _Gate) -> bool:
        """Send what a gate holds where its ``else`` says; whether that ends the record's way."""
        assert gate.held is not None  # noqa: S101 - asked by whoever calls
        outcome.matched.append(rule.number)
        self._watch.matched()
        outcome.unmatched = False
        because: Because = ("rule", rule.name, "rule", f"held by {gate.kind}")
        parcel = _Parcel(record.event, record.changed, record.bindings(record.event))
        self._send(_Sending(outcome, record, (rule.number, rule.name), because), (gate.held,), (parcel,))
        return not rule.continues

    def _matches(self, outcome: Outcome, rule: _Rule, when: Run, bindings: Bindings) -> bool:
        try:
            answer = when(bindings)
        except CelMissing:
            outcome.missing.append(rule.number)
            self._watch.missed()
            return False
        except Exception as error:
            raise Failed("when", error) from error
        if type(answer) is not bool:
            raise Failed("when", CelError(f"it is {a_type(answer)}, not true or false"))
        return answer

    def _parcels(self, record: _Record, rule: _Rule, bindings: Bindings) -> list[_Parcel]:
        if rule.split is None:
            event, changed = record.event, record.changed
            if rule.shaper is not None:
                event, shaped = rule.shaper.apply(event, bindings)
                changed = changed or shaped
            return [_Parcel(event, changed, bindings)]
        name, each = rule.split
        elements = attempt("split", each, bindings)
        if not isinstance(elements, list):
            raise Failed("split", CelError(f"each is {a_type(elements)}, not a list"))
        parcels = []
        for element in elements:
            self._watch.element(element)
            inner = {**bindings, name: element}
            event = element if rule.shaper is None else rule.shaper.apply(element, inner)[0]
            parcels.append(_Parcel(event, True, inner))
        return parcels

    def _leave_unmatched(self, outcome: Outcome, record: _Record) -> None:
        if outcome.unmatched:
            self._finish(outcome, record, UNMATCHED, ("rule", None, "unmatched", "no rule matched"))

    def _end(
        self, outcome: Outcome, record: _Record, ending: str, because: Because, violations: Sequence[Violation] = ()
    ) -> None:
        """Do with a record as ``otherwise`` says; if that fails, it is a dead letter for the reason it came with."""
        try:
            self._finish(outcome, record, ending, because, violations)
        except Failed as failed:
            self._undo(outcome, failed)
            outcome.errors.append((ending, failed.kind))
            stage, rule, reason, detail = because
            self._keep(outcome, (stage, rule, reason, f"{detail}; and {ending} failed: {failed}"))

    def _finish(
        self, outcome: Outcome, record: _Record, ending: str, because: Because, violations: Sequence[Violation] = ()
    ) -> None:
        self._watch.ending(ending, because)
        sending = _Sending(outcome, record, (self._endings_at[ending], ending), because, violations)
        targets, parcels = self._endings[ending], list[_Parcel]()
        if any(target.lane is not None for target in targets):
            parcels.append(_Parcel(record.event, record.changed, record.bindings(record.event)))
        self._send(sending, targets, parcels)

    def _send(self, sending: _Sending, targets: Sequence[_Target], parcels: Sequence[_Parcel]) -> None:
        for target in targets:
            if target.lane is not None:
                for parcel in parcels:
                    sending.outcome.dispatches.append(self._dispatch(sending, target, target.lane, parcel))
            elif target.sink == DROP:
                self._drop(sending.outcome, sending.label[0])
            elif target.sink == REJECT:
                self._reject(sending.outcome, sending.because, sending.violations)
            else:
                self._keep(sending.outcome, sending.because)

    def _drop(self, outcome: Outcome, label: int) -> None:
        outcome.dropped.append(label)
        self._watch.ended(DROP)

    def _keep(self, outcome: Outcome, because: Because) -> None:
        outcome.letters.append(because)
        self._watch.ended(DEAD_LETTER, because)

    def _reject(self, outcome: Outcome, because: Because, violations: Sequence[Violation]) -> None:
        outcome.rejections.append((because, violations))
        self._watch.ended(REJECT, because)

    def _undo(self, outcome: Outcome, error: Exception) -> None:
        outcome.undo()
        self._watch.undone(error)

    def _dispatch(self, sending: _Sending, target: _Target, lane: Lane, parcel: _Parcel) -> Dispatch:
        self._watch.target(target.sink)
        event, changed = parcel.event, parcel.changed
        if target.shaper is not None:
            event, shaped = target.shaper.apply(event, parcel.bindings)
            changed = changed or shaped
        bindings = {**parcel.bindings, "event": event}
        settings = {name: attempt("setting", _setting, name, fill, bindings) for name, fill in target.settings.items()}
        value: bytes | None = None
        if changed or (sending.record.decoded and (lane.always or sending.record.has(lane.rewrites))):
            try:
                value = lane.encode.codec.encode(event)
            except CelError as error:
                raise Failed("encode", error) from error
        dispatch = Dispatch(lane.number, sending.label[1], value, settings)
        self._watch.sent(dispatch)
        return dispatch


def _key(kind: str, run: Run, bindings: Bindings) -> object:
    try:
        return run(bindings)
    except CelMissing:
        return MISSING
    except Exception as error:
        raise Failed(kind, error) from error


def _broken(checks: Sequence[_Check], bindings: Bindings, watch: Watch) -> list[Violation]:
    found = []
    for check in checks:
        violation = _violation(check, bindings)
        watch.checked(check.name, violation)
        if violation is not None:
            found.append(violation)
    return found


def _violation(check: _Check, bindings: Bindings) -> Violation | None:
    try:
        answer = check.run(bindings)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong, the expectation is not met
        return Violation(check.name, check.places, str(error))
    if answer is True:
        return None
    message = check.untrue if answer is False else f"it is {a_type(answer)}, not true or false"
    return Violation(check.name, check.places, message)


def _setting(name: str, fill: Fill, bindings: Bindings) -> object:
    try:
        return setting(name, fill(bindings))
    except CelError as error:
        raise CelError(f"{name}: {error}") from error
