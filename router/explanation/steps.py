"""An explanation as a tree of lines: the record, the contract, each rule, and where it goes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from rich.text import Text

from router.explanation.expressions import Expressions
from router.explanation.hiding import Hiding
from router.explanation.lines import GUIDE, Line
from router.explanation.sinks import Sinks
from router.explanation.values import MASK, Values
from router.letter import Letter, time_text
from rules.cel.values import ABSENT
from rules.explain import Explanation
from rules.explain.model import Changes, Check, Contract, Evaluation, Filling, Gate, Parcel, Sending, Step
from rules.flow import DEAD_LETTER, DROP

_PAYLOAD: Final = 240
_CHANGES: Final = 12
_SENDINGS: Final = 3
_MARKS: Final = {
    "matched": ("✓", "bold green"),
    "unmatched": ("✗", "dim"),
    "missing": ("?", "yellow"),
    "error": ("!", "bold red"),
    "violated": ("!", "bold red"),
    "held": ("✗", "yellow"),
    "not_reached": ("·", "dim"),
}
_RESULTS: Final = {"passed": ("✓", "bold green"), "missing_key": ("?", "yellow"), "held": ("✗", "yellow")}
_INDEX: Final = re.compile(r"\[\d+\]")
_ABOUT: Final = frozenset({"raw", "source", "time", "headers"})


class Picture:
    """Makes the lines of explanations. ``room`` is the width that there is. With ``only``, what is as usual is folded:
    a contract that holds, and rules that do not match unless they have one of these names."""

    def __init__(self, values: Values, room: int, sinks: Sinks, only: Collection[str] | None = None) -> None:
        self._values = values
        self._room = room - GUIDE  # what is wrapped is indented by as much
        self._sinks = sinks
        self._only = only
        self._hiding = Hiding(values)
        self._expressions = Expressions(values)

    def lines(self, explanation: Explanation) -> list[Line]:
        """All of it, from the payload to where it goes."""
        self._expressions = Expressions(self._values)
        return [self._record(explanation), *self._contract(explanation.contract), *self._decided(explanation)]

    def decision(self, explanation: Explanation) -> list[Line]:
        """The same without the record, and without a contract that holds."""
        self._expressions = Expressions(self._values)
        contract = explanation.contract
        broken = self._contract(contract) if contract is not None and not contract.holds else ()
        return [*self._unread(explanation), *broken, *self._decided(explanation)]

    def _decided(self, explanation: Explanation) -> Iterator[Line]:
        if explanation.contract is not None:
            yield from self._rules(explanation)
        yield from (self._ending(ending) for ending in explanation.endings if _says_more(ending))
        yield self._goes(explanation)

    # The record

    def line_of_file(self, number: int) -> Line:
        """Which line of a file the record is."""
        return Line(Text(f"line {number:,}", "bold"))

    def letter(self, letter: Letter, version: str) -> Line:
        """The dead letter that the record became, before what would become of it with the rules of this version."""
        text = self._values.text
        tries = "" if letter.attempts == 1 else f", {letter.attempts} attempts"
        line = Line(Text.assemble((f"dead letter {letter.id}", "bold"), f"  {time_text(letter.time)}{tries}"))
        at = f", at rule {text(letter.rule)}" if letter.rule else ""
        to = f", on its way to {text(letter.sink)}" if letter.sink else ""
        line.add(f"stage {letter.stage}, reason {text(letter.reason)}{at}{to}")
        line.add((text(letter.detail, 600), "red"))
        if letter.version != version:
            line.add((f"the rules have changed since: {text(letter.version)} then, {version} now", "yellow"))
        return line

    def _record(self, explanation: Explanation) -> Line:
        values = self._values
        size = f"{explanation.size:,} byte{'' if explanation.size == 1 else 's'}"
        flow, source = values.text(explanation.flow), values.text(explanation.source)
        line = Line(Text.assemble(("record", "bold"), f"  {size} from {source}, through flow {flow}"))
        line.add((values.payload(explanation.raw, _PAYLOAD), "cyan"))
        for name, value in _known(explanation.meta):
            line.add(f"meta.{values.text(name)} ", ("= ", "dim"), (values.value(value, self._room // 2), "cyan"))
        line.below += self._unread(explanation)
        return line

    def _unread(self, explanation: Explanation) -> Iterator[Line]:
        """Why a record has no event."""
        first = explanation.endings[0].because if explanation.endings else None
        if explanation.event is ABSENT and first is not None:
            detail = self._values.text(first[3], 400)
            yield Line(Text.assemble((f"{first[2]}  ", "bold red"), (detail, "red")))

    # The contract

    def _contract(self, contract: Contract | None) -> Iterator[Line]:
        if contract is None or not (contract.validates or contract.checks):
            return
        line = Line(Text.assemble(("contract", "bold"), "  "))
        if contract.holds:
            line.text.append("holds", "green")
        else:
            line.text.append("is broken", "bold red")
            line.text.append(", which `otherwise.invalid: pass` lets pass" if contract.passes else "")
        if self._only is not None and contract.holds:
            yield line
            return
        if contract.validates:
            mark, style = _MARKS["violated" if contract.violations else "matched"]
            told = line.add((mark, style), f" {contract.validates}")
            for violation in contract.violations:
                place = violation.place or "the record"
                told.add(f"{self._values.text(place)}: ", (self._values.text(violation.message, 300), "red"))
                told.below[-1].text.append(f"  {self._values.text(violation.check)}", "dim")
        line.below += [self._check(check) for check in contract.checks]
        yield line

    def _check(self, check: Check) -> Line:
        mark, style = _MARKS["matched" if check.violation is None else "violated"]
        line = Line(Text.assemble((mark, style), f" {self._values.text(check.name)}"))
        if check.evaluation is not None:
            line.below.append(self._expressions.line(check.evaluation, self._room - 2 * GUIDE))
        return line

    # Rules

    def _rules(self, explanation: Explanation) -> Iterator[Line]:
        line = Line(Text("rules", "bold"))
        for told, steps in groupby(explanation.rules, self._is_told):
            many = list(steps)
            if told:
                line.below += [self._rule(step) for step in many]
            else:
                line.add((self._left_out(many, explanation.rules), "dim"))
        yield line

    def _is_told(self, step: Step) -> bool:
        if step.fate == "not_reached":
            return False
        return self._only is None or step.fate not in {"unmatched", "missing"} or step.name in self._only

    def _left_out(self, steps: Sequence[Step], rules: Sequence[Step]) -> str:
        """Rules that there is nothing to tell about, in a line."""
        names = ", ".join(self._values.text(step.name, 60) for step in steps)
        if steps[-1].fate != "not_reached":
            did = "does not match" if len(steps) == 1 else "do not match"
            return _within(f"✗ {names}", self._room - GUIDE - len(did) - 2) + f"  {did}"
        reached = [step for step in steps if step.fate != "not_reached"]
        if reached:
            return "; ".join([self._left_out(reached, rules), self._left_out(steps[len(reached) :], rules)[2:]])
        why = "  not reached: the contract is broken"
        for step in rules:
            if step.ends:
                why = f"  not reached: {self._values.text(step.name, 60)} {'failed' if step.error else 'ended it'}"
        return _within(f"· {names}", self._room - GUIDE - len(why)) + why

    def _rule(self, step: Step) -> Line:
        mark, style = _MARKS[step.fate]
        name = self._values.text(step.name)
        line = Line(Text.assemble((mark, style), " ", (name, "dim" if step.fate == "unmatched" else "bold"), "  "))
        line.text.append(self._fate(step), "dim")
        if step.error:
            line.text.append(f": {self._values.text(step.error, 600)}", "red")
        room = self._room - 2 * GUIDE
        if step.when is not None:
            line.below.append(self._expressions.line(step.when, room))
        line.below += [self._check(check) for check in step.checks]
        line.below += [self._gate(gate) for gate in step.gates]
        if step.each is not None:
            each = self._expressions.line(step.each, room - 6)
            line.add(("split ", "bold")).text.append_text(each.text)
            line.below[-1].below = each.below
        for number, parcel in enumerate(step.parcels[:_SENDINGS]):
            self._add_parcel(line, parcel, number if step.elements is not None else None)
        if step.elements is not None and step.elements > _SENDINGS:
            line.add((f"… {step.elements - _SENDINGS:,} more elements", "dim"))
        self._add_sendings(line, step)
        return line

    def _gate(self, gate: Gate) -> Line:
        passes, style = _RESULTS[gate.result]
        line = Line(Text.assemble((passes, style), f" {gate.kind} {gate.allows}"))
        line.text.append("  passes: its key is missing" if gate.result == "missing_key" else f"  {gate.result}", "dim")
        if gate.key is not None:
            line.below.append(self._expressions.line(gate.key, self._room - 3 * GUIDE))
        return line

    def _fate(self, step: Step) -> str:
        if step.fate == "missing":
            return "does not match: a field is missing"
        if step.fate in {"error", "violated"}:
            return "fails" if step.fate == "error" else "is not met"
        if step.fate == "unmatched":
            return "does not match"
        if any(gate.result == "held" for gate in step.gates):
            return "holds it, and ends it" if step.ends else "holds it, and the record goes on"
        if step.is_step:
            return "a step"
        return "matches, and the record goes on" if step.continues else "matches, and ends it"

    def _ending(self, step: Step) -> Line:
        line = Line(Text(step.name, "bold"))
        if step.error:
            line.text.append("  fails", "dim").append(f": {self._values.text(step.error, 600)}", "red")
        self._add_sendings(line, step)
        return line

    # What a rule makes

    def _add_parcel(self, line: Line, parcel: Parcel, number: int | None) -> None:
        at = line
        if number is not None and parcel.element is not ABSENT:
            value = self._values.value(parcel.element, self._room // 2)
            at = line.add((f"[{number}] ", "dim"), (value, "cyan"))
        self._add_changes(at, parcel.changes, parcel.fillings)

    def _add_changes(self, line: Line, changes: Changes, fillings: Sequence[Filling]) -> None:
        """What changed, each with the expressions that it was made by; then the expressions that made nothing new."""
        left = list(fillings)
        for change in changes.listed[:_CHANGES]:
            own = [filling for filling in left if _makes(filling, change.path)]
            left = [filling for filling in left if not _makes(filling, change.path)]
            hidden = self._hiding.hides(filling.evaluation for filling in own)
            room = self._room - 4 * GUIDE
            told = line.add((self._values.text(change.path), "bold"), ": ")
            if change.path == "event" and own:
                told.text.append("a whole new event ", "dim")
            else:
                before = self._values.value(change.before, (room - len(told.text)) // 2)
                told.text.append(before, "cyan").append(" → ", "dim")
            after = MASK if hidden else self._values.value(change.after, max(room - len(told.text), 20))
            told.text.append(after, "cyan")
            if len(own) == 1 and own[0].evaluation.value is change.after and _is_field(own[0].evaluation):
                told.text.append(f"   from {self._values.text(own[0].evaluation.text)}", "dim")
            elif len(own) == 1 and own[0].evaluation.value is change.after:
                told.below.append(self._expressions.line(own[0].evaluation, self._room - 4 * GUIDE, valued=False))
            else:
                told.below += [self._filling(filling) for filling in own]
        if changes.total > _CHANGES:
            line.add((f"… {changes.total - _CHANGES:,} more changes", "dim"))
        line.below += [self._filling(filling) for filling in left]

    def _filling(self, filling: Filling) -> Line:
        what = f"{self._values.text(filling.what)}: "
        told = self._expressions.line(filling.evaluation, self._room - 4 * GUIDE - len(what))
        return Line(Text.assemble((what, "dim"), told.text), told.below)

    # Ends

    def _add_sendings(self, line: Line, step: Step) -> None:
        for to, group in groupby(step.sendings, lambda sending: sending.to):
            sendings = list(group)
            for sending in sendings[:_SENDINGS]:
                told = line.add(*_arrow(to))
                if sending.element is not None:
                    told.text.append(f" [{sending.element}]", "dim")
                if sending.undone:
                    is_decided = to == DROP or sending.dispatch is not None or sending.because is not None
                    told.text.append("  taken back" if is_decided else "  fails", "red")
                self._add_changes(told, sending.changes, sending.fillings)
            if len(sendings) > _SENDINGS:
                line.add((f"… {len(sendings) - _SENDINGS:,} more → {to}", "dim"))

    def _goes(self, explanation: Explanation) -> Line:
        line = Line(Text("goes to", "bold"))
        going = list(explanation.goes())
        for (name, to), group in groupby(going, lambda pair: (pair[0], pair[1].to)):
            sendings = [sending for _, sending in group]
            for sending in sendings[:_SENDINGS]:
                line.below.append(self._end(name, sending))
            if len(sendings) > _SENDINGS:
                line.add((f"… {to}, {len(sendings) - _SENDINGS:,} times more", "dim"))
        if not going:
            line.add(("nowhere", "bold red"))
        return line

    def _end(self, name: str, sending: Sending) -> Line:
        by = f"by {'' if name.startswith('otherwise.') else 'rule '}{self._values.text(name)}" if name else ""
        if sending.to == DROP:
            return Line(Text.assemble(("dropped", "bold"), f"  {by}"))
        if sending.because is not None:
            return self._letter(by, sending)
        note = self._sinks.note(sending)
        line = Line(
            Text.assemble((sending.to, "bold green"), (f" ({note.type})" if note.type else "", "dim"), f"  {by}")
        )
        if note.refused:
            line.add((f"becomes a dead letter: {self._values.text(note.refused, 400)}", "bold red"))
        dispatch = sending.dispatch
        if dispatch is None:
            return line
        for setting, value in (*_settings(dispatch.settings), *note.settings.items()):
            line.add(f"{self._values.text(setting)}: ", (self._values.value(value, self._room), "cyan"))
        if dispatch.value is None:
            line.add(("as it came", "dim"))
        else:
            line.add((self._values.payload(dispatch.value, _PAYLOAD), "cyan"))
        return line

    def _letter(self, by: str, sending: Sending) -> Line:
        line = Line(Text.assemble((sending.to.replace("_", " "), "bold red"), f"  {by}"))
        if sending.because is not None:
            stage, rule, reason, _ = sending.because
            at = f", at rule {self._values.text(rule)}" if rule and not by.startswith("by rule") else ""
            line.text.append(f": stage {stage}, reason {reason}{at}")
        return line


def _known(meta: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """What the source said of a record, besides what everyone has."""
    yield from ((name, value) for name, value in meta.items() if name not in _ABOUT)
    headers = meta.get("headers")
    if isinstance(headers, Mapping):
        yield from ((f"headers.{name}", value) for name, value in headers.items())


def _settings(settings: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in settings.items():
        if name == "headers" and isinstance(value, tuple):
            yield from ((f"headers.{header}", _readable(content)) for header, content in value)
        elif value is not None:
            yield name, _readable(value)


def _readable(value: object) -> object:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    return value


def _is_field(evaluation: Evaluation) -> bool:
    return not evaluation.parts and not evaluation.elements and not evaluation.let


def _says_more(ending: Step) -> bool:
    """Whether a part of ``otherwise`` did more than is told under where the record goes."""
    shaped = any(sending.changes or sending.fillings for sending in ending.sendings)
    return bool(ending.name) and (shaped or bool(ending.error))


def _makes(filling: Filling, path: str) -> bool:
    """Whether an expression fills in what is at a path, or a part of it, or something that holds it."""
    if path == "event" and filling.what.startswith("emit"):
        return True
    what, plain = filling.what.removeprefix("set "), _INDEX.sub("[*]", path)
    return what in (path, plain) or any(
        longer.startswith((f"{shorter}.", f"{shorter}["))
        for longer, shorter in ((path, what), (plain, what), (what, path))
    )


def _arrow(to: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("→ ", "dim"), (
        to.replace("_", " "),
        "bold red" if to == DEAD_LETTER else "bold" if to == DROP else "bold green",
    )


def _within(text: str, room: int) -> str:
    return text if len(text) <= max(room, 12) else f"{text[: max(room, 12) - 1]}…"
