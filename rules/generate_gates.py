"""Generated code for the gates of rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Protocol

from rules.cel.compile_code import Code
from rules.flow import Dedupe, Flow, Gate, Rule, Target
from rules.generate_record import RecordCompiler

Why = tuple[str, str | None, str, str]
"""The fields of a dead letter, but for which record it is."""


class Sends(Protocol):
    """Writes that a record of a rule goes to a target as it is, should it be a letter with these fields."""

    def __call__(self, number: int, rule: Rule, target: Target, letter: Why) -> None:
        """Write it."""


class GateWriter:
    """Writes what a record must pass. ``sends`` writes what becomes of a record that is held."""

    def __init__(self, flow: Flow, code: Code, record: RecordCompiler, sends: Sends) -> None:
        self._code = code
        self._record = record
        self._sends = sends
        self._firsts = list(accumulate((len(rule.gates) for rule in flow.rules), initial=0))
        self._dedupes = any(isinstance(gate, Dedupe) for rule in flow.rules for gate in rule.gates)

    def write(self, number: int, rule: Rule, passed: Callable[[], None]) -> None:
        """Write the gates of a rule, and what it does with a record that passes them all."""
        gates = list(enumerate(rule.gates, self._firsts[number]))
        if len(gates) > 1:
            self._record.before["marks"] = "into.crossing.mark"
            self._code.line("mark = marks()")
        self._through(number, rule, gates, passed)

    def _through(self, number: int, rule: Rule, gates: Sequence[tuple[int, Gate]], passed: Callable[[], None]) -> None:
        if not gates:
            passed()
            return
        code, (place, gate) = self._code, gates[0]
        asked = self._asked(place, gate)
        first = gate is rule.gates[0]
        ends = gate.held is not None and not rule.continues
        if ends:
            with code.block(f"if not {asked}:"):
                self._held(number, rule, gate, first=first)
                self.leave(delivers=False)
            self._through(number, rule, gates[1:], passed)
            return
        with code.block(f"if {asked}:"):
            self._through(number, rule, gates[1:], passed)
        if gate.held is not None or not first:
            with code.block("else:"):
                self._held(number, rule, gate, first=first)

    def _asked(self, place: int, gate: Gate) -> str:
        admits = f"admits{place}"
        self._record.before[admits] = f"into.crossing.turns[{place}].admits"
        key = "raw" if gate.key is None else self._record.value(self._record.node(gate.key)).text
        self._record.reads_raw = self._record.reads_raw or gate.key is None
        return f"{admits}(i, {key})"

    def _held(self, number: int, rule: Rule, gate: Gate, *, first: bool) -> None:
        if not first:
            self._record.before["return_to"] = "into.crossing.return_to"
            self._code.line("return_to(mark)")
        if gate.held is not None:
            self._sends(number, rule, gate.held, ("rule", rule.name, "rule", f"held by {gate.kind}"))

    def delivered(self) -> None:
        """Write that the record has been delivered, where that matters."""
        if self._dedupes:
            self._record.start["sent"] = "False"
            self._code.line("sent = True")

    def leave(self, *, delivers: bool, goes_on: str = "continue") -> None:
        """Write that the record's way ends; ``delivers``: it is known to have been delivered somewhere."""
        if self._dedupes and not delivers:
            self._record.start["sent"] = "False"
            self._record.before["bring_nothing"] = "into.crossing.bring_nothing"
            self._code.line("if not sent: bring_nothing(i)")
        if goes_on:
            self._code.line(goes_on)
