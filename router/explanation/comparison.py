"""What two configurations do with the same records, as lines: counts, and the records that part them, explained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from router.explanation.lines import GUIDE, Line
from router.explanation.sinks import Sinks
from router.explanation.steps import Picture
from router.explanation.values import Values
from router.preview import Change, Count, Difference, Example, Group
from rules.explain import Explanation

_PAYLOAD: Final = 240
_FIELDS: Final = 12


class Comparison:
    """Tells a difference in ``room`` columns."""

    def __init__(self, difference: Difference, room: int) -> None:
        def mask(text: str) -> str:
            return difference.new.secrets.mask(difference.old.secrets.mask(text))

        self._difference = difference
        self._values = Values(mask)
        self._room = room
        self._sinks = (Sinks(difference.old.sinks), Sinks(difference.new.sinks))

    def summary(self) -> str:
        """All of it in a sentence."""
        difference = self._difference
        told = f"{_records(difference.records)}: {difference.moved:,} would move, {difference.changed:,} would go out "
        told += "changed"
        if difference.spoilt:
            told += f"; {difference.spoilt:,} would become dead letters"
        if difference.healed:
            told += f"; {difference.healed:,} would be dead letters no more"
        return told + (" (not all records were looked at)" if difference.is_cut else "")

    def table(self) -> Table:
        """Who gets how many on either side, by rule."""
        table = Table("flow", "to", "by rule", box=None, header_style="bold")
        for name in ("old", "new", "difference"):
            table.add_column(name, justify="right")
        for count in self._difference.counts:
            style = "" if count.difference == 0 else "bold"
            told = (Text(self._values.text(text)) for text in (count.flow, count.label, count.rule))
            table.add_row(*told, f"{count.old:,}", f"{count.new:,}", _signed(count), style=style)
        return table

    def counts(self) -> Iterator[str]:
        """The same, a line each."""
        for count in self._difference.counts:
            by = f" by {self._values.text(count.rule)}" if count.rule else ""
            to = f"{self._values.text(count.flow)} -> {self._values.text(count.label)}"
            yield f"{to}{by}: {count.old} -> {count.new} ({_signed(count)})"

    def lines(self) -> list[Line]:
        """The records that move, and those that go out changed: a tree for each group."""
        difference = self._difference
        lines = [self._group(group) for group in (*difference.moves, *difference.changes)]
        if difference.ungrouped:
            lines.append(Line(Text(f"and {_records(difference.ungrouped)} in other ways")))
        return lines

    def _group(self, group: Group) -> Line:
        name = self._values.text
        told = [name(", ".join(self._merged(labels))) for labels in (group.before, group.after)]
        if group.changed:
            head = Text.assemble((name(", ".join(group.changed)), "bold"), " changed")
        else:
            head = Text.assemble((told[0], "bold red"), (" → ", "dim"), (told[1], "bold green"))
        line = Line(head.append(f"  {_records(group.records)} of flow {name(group.flow)}", "dim"))
        line.below += [self._example(example) for example in group.examples]
        more = group.records - len(group.examples)
        if more and group.examples:
            line.add((f"… {more:,} more", "dim"))
        return line

    @staticmethod
    def _merged(labels: Sequence[str]) -> list[str]:
        """Where one record goes several times, once with how often."""
        counted = {label: labels.count(label) for label in labels}
        return [label if many == 1 else f"{many} times {label}" for label, many in counted.items()]

    def _example(self, example: Example) -> Line:
        values = self._values
        line = Line(Text(f"{values.text(example.name)} from {values.text(example.source)}", "bold"))
        line.add((values.payload(example.shown, _PAYLOAD), "cyan"))
        line.below += [self._change(change, is_hidden=example.is_hidden) for change in example.changes]
        rules = {end.rule for ends in example.ends for end in ends}
        for when, explanation, sinks in zip(("before", "after"), example.explained, self._sinks, strict=True):
            below = line.add((when, "bold"))
            if explanation is None:
                below.text.append("  no flow reads its source", "red")
            else:
                below.below += self._decision(explanation, sinks, rules)
        return line

    def _decision(self, explanation: Explanation, sinks: Sinks, rules: set[str]) -> list[Line]:
        return Picture(self._values, self._room - 3 * GUIDE, sinks, only=rules).decision(explanation)

    def _change(self, change: Change, *, is_hidden: bool) -> Line:
        line = Line(Text.assemble(self._values.text(change.to), ": ", (self._values.text(change.what), "bold")))
        if is_hidden:  # what goes out is made of what must not be shown
            line.below += [Line(Text(self._values.text(path))) for path in change.paths]
            return line
        if change.fields is not None and not change.fields.total:
            line.text.append("  the same event, written otherwise", "dim")
        if change.fields is None or not change.fields.total:
            room = self._room // 2
            line.add(self._one(change.before, room), (" → ", "dim"), self._one(change.after, room))
            return line
        for field in change.fields.listed[:_FIELDS]:
            line.add(
                (self._values.text(field.path), "bold"), ": ", self._one(field.before, self._room // 3), (" → ", "dim"),
                self._one(field.after, self._room // 3),
            )  # fmt: skip
        if change.fields.total > _FIELDS:
            line.add((f"… {change.fields.total - _FIELDS:,} more changes", "dim"))
        return line

    def _one(self, value: object, room: int) -> tuple[str, str]:
        if isinstance(value, bytes):
            return self._values.payload(value, room), "cyan"
        return "nothing" if value is None else self._values.value(value, room), "cyan"


def _signed(count: Count) -> str:
    return f"{count.difference:+,}" if count.difference else "0"


def _records(number: int) -> str:
    return f"{number:,} record{'' if number == 1 else 's'}"
