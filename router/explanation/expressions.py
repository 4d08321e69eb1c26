"""Expressions as people read them: what came out first, then how it is written, and the fields that decided it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from msgspec.structs import replace
from rich.text import Text

from router.explanation.hiding import Hidden, Hiding
from router.explanation.lines import GUIDE, Line
from router.explanation.values import MASK, Values
from rules.explain.model import Element, Evaluation

_STYLES: Final = {"true": "green", "false": "red", "missing": "yellow", "error": "bold red", "–": "dim"}
_BADGE: Final = 6
_GAP: Final = "   "
_SHORTEST: Final = 16


class Expressions:
    """Makes lines of evaluations. A name under ``let`` that came to the same is told in full only once."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._hiding = Hiding(values)
        self._told: dict[str, Evaluation] = {}

    def line(self, evaluation: Evaluation, room: int, hidden: Hidden = frozenset(), *, valued: bool = True) -> Line:
        """An evaluation, which has ``room`` columns; what it was made of stands behind it, or below where that is too
        long. Without ``valued``, its value is told already."""
        if not evaluation.parts and not evaluation.elements and not _is_badged(evaluation):
            return Line(self._field(evaluation, room, hidden))
        line = Line(self._head(evaluation, room, hidden, valued=valued))
        if self._is_told(evaluation):
            return line
        fields = self._fields(evaluation, room, hidden)
        if fields is not None and len(line.text) + len(_GAP) + len(fields) <= room:
            line.text.append(_GAP if fields else "").append_text(fields)
            return line
        inner = self._hiding.within(evaluation, hidden)
        line.below = self._parts(evaluation.parts, room - GUIDE, inner)
        self._add_elements(line, evaluation, room - GUIDE, inner)
        return line

    def _is_told(self, evaluation: Evaluation) -> bool:
        if not evaluation.let:
            return False
        before = self._told.get(evaluation.text)
        self._told[evaluation.text] = evaluation
        return before is not None and _alike(before, evaluation)

    # One line

    def _head(self, evaluation: Evaluation, room: int, hidden: Hidden, *, valued: bool) -> Text:
        text = Text()
        if _is_badged(evaluation):
            badge = _badge(evaluation)
            text.append(badge.ljust(_BADGE), _STYLES[badge]).append(" ")
        elif valued:
            text.append(self._value(evaluation, max(room // 2, _SHORTEST), hidden), "cyan").append("  ")
        self._write(text, evaluation)
        is_plain = evaluation.state == "missing" and evaluation.culprit == evaluation.text
        if evaluation.error and not is_plain and not _is_owed_to_a_part(evaluation):
            text.append(_GAP).append(self._why(evaluation), _STYLES[_badge(evaluation)])
        return text

    def _write(self, text: Text, evaluation: Evaluation) -> None:
        style = "dim" if evaluation.state == "skipped" else ""
        if evaluation.let:
            text.append(self._values.text(evaluation.text), f"italic {style}").append(": ", "dim")
        text.append(self._values.text(evaluation.let or evaluation.text), style)

    def _why(self, evaluation: Evaluation) -> str:
        if evaluation.state == "missing" and evaluation.error.startswith("there is no field"):
            return f"{self._values.text(evaluation.culprit)} is missing"
        where = "" if evaluation.culprit == evaluation.text or not evaluation.parts else f"{evaluation.culprit}: "
        return self._values.text(where + evaluation.error, 300)

    def _value(self, evaluation: Evaluation, room: int, hidden: Hidden) -> str:
        if self._hiding.hides_value(evaluation, hidden):
            return MASK
        return self._values.value(evaluation.value, room)

    # What it was made of

    def _fields(self, evaluation: Evaluation, room: int, hidden: Hidden) -> Text | None:
        """The parts in a row, if each is a field."""
        if evaluation.elements or any(part.parts or part.elements for part in evaluation.parts):
            return None
        if evaluation.visited or any(part.state == "skipped" for part in evaluation.parts):
            return None
        texts = [self._field(part, room // 2, hidden) for part in evaluation.parts]
        return Text(", ").join(texts)

    def _field(self, evaluation: Evaluation, room: int, hidden: Hidden) -> Text:
        """A field with its value."""
        text = Text()
        if evaluation.state in {"missing", "error"}:
            return text.append(self._why(evaluation), _STYLES[evaluation.state])
        written = self._values.text(evaluation.text)
        text.append(written, "italic" if evaluation.let else "").append(" = ", "dim")
        if evaluation.let:
            text.append(self._values.text(evaluation.let)).append(" = ", "dim")
        return text.append(self._value(evaluation, max(room - len(text), _SHORTEST), hidden), "cyan")

    def _parts(self, parts: Sequence[Evaluation], room: int, hidden: Hidden) -> list[Line]:
        skipped = [part for part in parts if part.state == "skipped"]
        lines = [self.line(part, room, hidden) for part in parts if part.state != "skipped"]
        if skipped:
            texts = ", ".join(self._values.text(part.text) for part in skipped)
            what = f"{'–'.ljust(_BADGE)} not evaluated: {texts}"
            lines.append(Line(Text(what if len(what) <= room else f"{what[: room - 1]}…", "dim")))
        return lines

    def _add_elements(self, line: Line, evaluation: Evaluation, room: int, hidden: Hidden) -> None:
        if not evaluation.elements:
            return
        last = -1
        for element in evaluation.elements:
            if element.number > last + 1:
                line.add((f"… {element.number - last - 1:,} more", "dim"))
            line.below.append(self._element(element, room, hidden))
            last = element.number
        if evaluation.visited > last + 1:
            line.add((f"… {evaluation.visited - last - 1:,} more", "dim"))

    def _element(self, element: Element, room: int, hidden: Hidden) -> Line:
        text = Text().append(f"[{element.number}] ", "dim")
        for place, (name, value) in enumerate(element.variables.items()):
            shown = MASK if name in hidden else self._values.value(value, max(room // 3, _SHORTEST))
            text.append(", " if place else "").append(f"{self._values.text(name)} = ", "dim").append(shown, "cyan")
        if element.decides:
            text.append("  decides", "bold")
        parts = self._parts([_without(part, element.variables) for part in element.parts], room - GUIDE, hidden)
        if len(parts) == 1 and not parts[0].below and len(text) + len(_GAP) + len(parts[0].text) <= room:
            return Line(text.append(_GAP).append_text(parts[0].text))
        return Line(text, parts)


def _alike(one: Evaluation, other: Evaluation) -> bool:
    """Whether two evaluations of the same expression came to the same all over."""
    if one.state != other.state or len(one.parts) != len(other.parts) or len(one.elements) != len(other.elements):
        return False
    if one.value is not other.value and not (one.parts or one.elements or _is_same_scalar(one.value, other.value)):
        return False
    elements = zip(one.elements, other.elements, strict=True)
    return all(map(_alike, one.parts, other.parts)) and all(
        len(a.parts) == len(b.parts) and all(map(_alike, a.parts, b.parts)) for a, b in elements
    )


def _is_same_scalar(one: object, other: object) -> bool:
    return type(one) is type(other) and isinstance(one, str | int | float | bytes) and one == other


def _without(evaluation: Evaluation, names: Collection[str]) -> Evaluation:
    """The same without the variables among its parts: they are told already."""
    parts = [part for part in evaluation.parts if part.text not in names]
    return replace(evaluation, parts=parts) if len(parts) < len(evaluation.parts) else evaluation


def _is_badged(evaluation: Evaluation) -> bool:
    return evaluation.state != "value" or isinstance(evaluation.value, bool)


def _badge(evaluation: Evaluation) -> str:
    if evaluation.state == "value":
        return "true" if evaluation.value else "false"
    return "–" if evaluation.state == "skipped" else evaluation.state


def _is_owed_to_a_part(evaluation: Evaluation) -> bool:
    """Whether a part failed in the same way, so that the reason is told there."""
    inner = [*evaluation.parts, *(part for element in evaluation.elements for part in element.parts)]
    return any(part.error == evaluation.error for part in inner)
