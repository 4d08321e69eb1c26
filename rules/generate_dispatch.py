"""Generated code for runs of rules that are found by one look-up."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Protocol

from rules.cel.compile_code import Code
from rules.cel.nodes import Node
from rules.dispatch import Choice, Switch, switches
from rules.flow import Flow, Rule
from rules.generate_record import RecordCompiler


class Writes(Protocol):
    """Writes the rules themselves."""

    def asked(self, number: int, rule: Rule, condition: Node) -> None:
        """Write a rule for records of which this much is not known yet."""

    def matched(self, number: int, rule: Rule) -> None:
        """Write what a rule does with a record that matches."""

    def sole_lane(self, rule: Rule) -> int | None:
        """The lane to which a rule sends a record as it came, where that is all that it does."""

    def sent(self) -> None:
        """Write that a record has been sent on, and goes no further."""


class DispatchWriter:
    """Finds the switches of a flow (``switches``, by the number of the first rule of each) and writes them.

    ``keys`` are the lines that must stand before the function.
    """

    def __init__(self, flow: Flow, code: Code, record: RecordCompiler, rules: Writes) -> None:
        self._flow = flow
        self._code = code
        self._record = record
        self._rules = rules
        self.keys: list[str] = []
        # Steps change what later rules see, and gates are passed in the order of the file.
        whens = [
            None if rule.when is None or rule.is_step or rule.gates else record.node(rule.when) for rule in flow.rules
        ]
        self.switches = switches(whens, record.constant)

    def write(self, switch: Switch) -> None:
        """Write a switch, and with it all of its rules."""
        code, record = self._code, self._record
        number = len(self.keys)
        rows: list[tuple[int, str] | int] = []
        others: list[tuple[Choice, ...]] = []
        for case in switch.cases:
            row = self._row(case)
            rows.append(len(others) if row is None else row)
            others += [case] if row is None else []
        table = {key: rows[place] for key, place in switch.keys.items()}
        self.keys.append(f"KEYS{number} = {table!r}")
        record.before[f"find{number}"] = f"KEYS{number}.get"
        subject = record.value(switch.subject)
        text = subject.text
        kinds = ("str",) if switch.are_texts else ("int", "float")
        with code.block(f"if {' or '.join(f'{text}.__class__ is {kind}' for kind in kinds)}:"):
            place = code.let(f"find{number}({text})")
            with code.block(f"if {place} is not None:"):
                if len(others) < len(rows):
                    with code.block(f"if {place}.__class__ is tuple:") if others else nullcontext():
                        self._send(place)
                if others:
                    self._cases(others, place, 0)
        if subject.missable:
            with code.block(f"elif {text} is M:"):
                self._missed(switch.choices)
        if not switch.are_texts:
            with code.block("else:"):
                code.line(f"other_than_number({text})")

    def _row(self, case: Sequence[Choice]) -> tuple[int, str] | None:
        """What a record of a case needs, where its first rule sends it as it came and does no more: lane and label."""
        rule = self._flow.rules[case[0].number]
        lane = None if case[0].rest is not None else self._rules.sole_lane(rule)
        return None if lane is None else (lane, rule.name)

    def _send(self, row: str) -> None:
        """Write that a record goes where a row says."""
        code, before = self._code, self._record.before
        before["labels"] = "[lane.rules.append for lane in into.lanes]"
        before["appends"] = "[lane.indices.append for lane in into.lanes]"
        code.line(f"lane, label = {row}")
        before["payloads"] = "[lane.values.append for lane in into.lanes]"
        code.line("labels[lane](label)")
        code.line("payloads[lane](raw)")
        code.line("appends[lane](i)")
        self._rules.sent()

    def _cases(self, cases: Sequence[tuple[Choice, ...]], place: str, first: int) -> None:
        """Write the cases as a tree of comparisons, as deep as the logarithm of how many there are."""
        if len(cases) > 1:
            half = len(cases) // 2
            with self._code.block(f"if {place} < {first + half}:"):
                self._cases(cases[:half], place, first)
            with self._code.block("else:"):
                self._cases(cases[half:], place, first + half)
            return
        for choice in cases[0]:
            rule = self._flow.rules[choice.number]
            if choice.rest is not None:
                self._rules.asked(choice.number, rule, choice.rest)
                continue
            self._rules.matched(choice.number, rule)
            if not rule.continues:
                return

    def _missed(self, choices: Sequence[Choice]) -> None:
        """Without the subject no rule matches; one that asks for more misses it unless the rest is false."""
        plain = tuple(choice.number for choice in choices if choice.rest is None)
        if plain:
            self._record.before[f"together{plain[0]}"] = f"into.missed_together({plain!r}).append"
            self._code.line(f"together{plain[0]}(i)")
        for choice in choices:
            if choice.rest is not None:
                rule = self._flow.rules[choice.number]
                assert rule.when is not None  # noqa: S101 - a choice has a condition
                self._rules.asked(choice.number, rule, self._record.node(rule.when))
