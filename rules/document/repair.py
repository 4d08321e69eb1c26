"""Ways to read on behind a spot where a text is no YAML: what is broken there is closed, moved or left out.

None of them is what was meant. They are tried from the least to the most that is lost, and what stands where one was
made is known to be incomplete, so that nothing follows from it (`rules.document.nodes.Node.cut`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from rules.document.broken import UNCLOSED, Broken
from rules.document.compose import Composer
from rules.document.lines import KEY, Line, Lines, closers, closes_too_much
from rules.document.origin import Edit, Origin
from rules.faults import Fault

_NEAR = 15
"""Lines between what was opened and the spot that are looked at, at most."""
_STRANGE = ("@", "`", "%")
"""What no value begins with."""
_STEP = 2
"""Spaces by which a line is indented that tabs indent."""
_BELIEVED = 2
"""Lines with content behind a repair that must be read for it to be believed."""
_GLUED = re.compile(r"[\w.-]+:(?=[^\s/])")
_LACKS_COLON = re.compile(r"[\w.-]+ +[{\[]")
_WORD = re.compile(r"[\w.-]+")


class Repair(Struct, frozen=True):
    """The text with one repair made, by which it has ``grown``. It is ``believed`` where it lets reading get as far
    as that in the text before it. ``fault`` is what was wrong, where the repair says more of it than the spot."""

    origin: Origin
    grown: int
    believed: int
    fault: Fault | None = None


def repairs(composer: Composer, broken: Broken, keys: Collection[str]) -> Iterator[Iterable[Repair]]:
    """The repairs of a text where it is broken, those by which least is lost first. ``keys`` are those that may stand
    at the outermost level, as far as they are known."""
    opened = broken.index if broken.opened is None else broken.opened
    opened = opened if composer.flow is None else min(opened, composer.flow)
    quote = composer.quote
    if quote is None and composer.origin.text[broken.index : broken.index + 1] in ("'", '"'):
        quote = broken.index
    made = _Repairs(composer.origin, broken.index, opened, keys)
    if broken.is_sure:
        yield made.closed(broken.opened)
    yield from made.tiers(quote)


class _Repairs:
    """The repairs of a text that is broken at ``index``, where what was opened at ``opened`` may be the cause."""

    def __init__(self, origin: Origin, index: int, opened: int, keys: Collection[str]) -> None:
        self._origin = origin
        self._keys = keys
        self._index = index
        self._lines = Lines(origin.text)
        number = self._lines.at(index)
        self._broken = number if self._lines[number].is_content else next(self._lines.before(number), 0)
        self._opened = min(self._lines.at(opened), self._broken)

    def closed(self, bracket: int | None) -> Iterator[Repair]:
        """What is open from a bracket on, or else the quote, closed where it is known to end, or the key left out that
        is known to lack its colon: what follows is another matter."""
        if bracket is None and self._origin.text[self._index] not in ("'", '"'):
            yield replace(self._without(self._index, self._lines[self._broken].end), believed=0)
        elif bracket is None:
            yield from (replace(repair, believed=0) for repair in self._quotes(self._index))
        else:
            end = self._index
            inside = self._origin.text[bracket:end]
            edit = Edit(end, end, closers(inside))
            made = self._origin.edited if _is_whole(inside, edit.text) else self._origin.repaired
            yield Repair(made(edit), len(edit.text), 0)

    def tiers(self, quote: int | None) -> Iterator[Iterable[Repair]]:
        """``quote`` is where a quote begins that may not be closed."""
        if quote is not None:
            yield self._quotes(quote)
        yield (*self._characters(), *self._brackets(), *self._colons(), *self._moves())
        yield self._cuts()
        for repair in self._items():
            yield (repair,)

    def _quotes(self, quote: int) -> Iterator[Repair]:
        """The end of a quote at the end of its line, or its line without it."""
        line = self._lines[self._lines.at(quote)]
        fault = Fault(self._origin.place(quote), UNCLOSED)
        if not closers(line.text[: quote - line.start]):
            for text in dict.fromkeys((line.text.rstrip(), line.text.rstrip(" \t\r,"))):
                end = line.start + len(text)
                yield self._with(end, end, self._origin.text[quote], fault)
        yield self._truncated(line, quote, fault)

    def _truncated(self, line: Line, at: int, fault: Fault | None = None) -> Repair:
        """A line without what stands behind a spot, but for the ends of what it opened before."""
        ends = closers(line.text[: at - line.start])
        return self._with(at, line.end, ends.ljust(line.end - at), fault)

    def _characters(self) -> Iterator[Repair]:
        """A character that may not stand in YAML, left out, or the escape that is none, as it stands."""
        character = self._origin.text[self._index : self._index + 1]
        if character == "\\":
            yield self._with(self._index, self._index, character)
        if not character.isspace() and not character.isprintable():
            yield self._with(self._index, self._index + 1, " ")

    def _brackets(self) -> Iterator[Repair]:
        """Ends of what is open, and ends of nothing left out."""
        for line in self._near():
            end = line.start + len(line.plain)
            if ends := closers(line.plain):
                yield self._with(end, end, ends)
            elif _LACKS_COLON.match(line.plain, line.columns[-1]):
                continue
            elif closes_too_much(line.plain) or line.plain.endswith((":'", ':"')):
                yield self._with(end - 1, end, " ")

    def _colons(self) -> Iterator[Repair]:
        """A colon behind what may be a key, or a space behind its colon."""
        for line in self._near():
            if found := _LACKS_COLON.match(line.plain, line.columns[-1]):
                at = line.start + found.end() - 1
                yield self._with(at - 1, at, ": ")
            elif found := _GLUED.match(line.plain, line.columns[-1]):
                yield self._with(line.start + found.end(), line.start + found.end(), " ")
            elif _WORD.fullmatch(line.plain, line.columns[-1]):
                end = line.start + len(line.plain)
                yield self._with(end, end, ":")

    def _near(self) -> list[Line]:
        """The lines that may be the cause."""
        first = range(self._opened, self._broken)[:_NEAR]
        before = islice(self._lines.before(self._broken), 1)
        return [self._lines[number] for number in dict.fromkeys((*first, *before, self._broken))]

    def _moves(self) -> Iterator[Repair]:
        """A line that may be the cause, at another indentation. Where it could as well have been meant for one as for
        another, it is at neither."""
        if self._origin.text[self._index : self._index + 1] in _STRANGE:
            return  # which is broken at any
        before = next(self._lines.before(self._broken), self._broken)
        first = [before] if self._stands_out(before) else []
        for number in dict.fromkeys((*first, self._broken, before, self._opener())):
            line, columns = self._lines[number], self._other_columns(number)
            is_even = _is_even(columns, line.indent)
            if is_even and number == self._broken:
                return
            for column in () if is_even else columns:
                end = line.start + line.indent
                hint = f"should begin in column {column + 1}"
                fault = Fault(self._origin.place(end), "this line is indented by mistake", hint)
                has_tab = "\t" in line.text[: line.indent]
                moved = self._with(line.start, end, " " * column, None if has_tab else fault)
                following = next(self._lines.after(number), None)
                is_sure = has_tab and len(columns) == 1 and following is not None and following.indent == column
                yield replace(moved, believed=0) if is_sure else moved

    def _stands_out(self, number: int) -> bool:
        """Whether the lines before and behind a line agree where such a line begins, and it does not."""
        above = next(self._lines.before(number), number)
        column = self._lines[above].columns[-1]
        following = next(self._lines.after(number), self._lines[number])
        return not self._lines[above].is_parent and column == following.indent != self._lines[number].indent

    def _opener(self) -> int:
        """The first line of the innermost block before the one that is broken."""
        found = self._broken
        for number in self._lines.before(self._broken):
            if found != self._broken and self._lines[number].indent < self._lines[found].indent:
                break
            if found == self._broken or self._lines[number].indent == self._lines[found].indent:
                found = number
        return found

    def _other_columns(self, number: int) -> list[int]:
        """Where a line could begin instead, the likeliest first."""
        line, following = self._lines[number], next(self._lines.after(number), None)
        keys, dashes = self._lines.columns(number)
        if following is not None:
            (dashes if following.is_item else keys).add(following.indent)
            dashes.add(following.indent - line.columns[-1] + line.indent)
        if "\t" in line.text[: line.indent]:  # which says nothing of how deep it is meant to be
            before = (above for above in self._lines.before(number) if not self._lines[above].is_text)
            above = self._lines[next(before, 0)]
            keys = {0, above.columns[-1] + (_STEP if above.is_parent else 0)}
            if (
                following is not None
                and above.is_parent
                and above.columns[-1] < following.indent <= line.indent + _STEP
            ):
                keys = {following.indent} if "\t" not in following.text[: following.indent] else keys
        columns = {column for column in (dashes if line.is_item else keys) if _fits(line, following, column)}
        columns.discard(line.indent)
        if self._keys and line.key and not line.is_item:
            is_first = line.key[0].strip(":'\"") in self._keys
            columns = {column for column in columns if (column == 0) == is_first}
        return sorted(columns, key=lambda column: abs(column - line.indent))

    def _cuts(self) -> Iterator[Repair]:
        """Lines around the spot without what may be wrong with them."""
        broken = self._lines[self._broken]
        for key in reversed(list(KEY.finditer(broken.text, broken.indent))):
            if broken.start + key.end() <= self._index:
                yield self._truncated(broken, broken.start + key.end())
        for line in dict.fromkeys((broken, *self._near())):
            number, behind = self._lines.at(line.start), line.columns[-1]
            if self._is_childless(number):
                yield self._without(line.start + line.indent, line.end)
            if line.is_item:
                yield self._without(line.start + behind, line.end)
            if line.key is not None:
                yield self._without(line.start + line.key.end(), self._lines.end(number, behind))
            yield self._without(line.start + behind, self._lines.end(number, behind))
            yield self._without(line.start + line.indent, self._lines.end(number, line.indent))

    def _is_childless(self, number: int) -> bool:
        """Whether what follows a line could follow the line before it as well."""
        following = next(self._lines.after(number), None)
        if following is None or following.indent <= self._lines[number].indent:
            return True
        before = [self._lines[above] for above in islice(self._lines.before(number), 1)]
        return any(line.is_parent or line.columns[-1] == following.indent for line in before)

    def _items(self) -> Iterator[Repair]:
        """What the spot is in, left out, from the inside to the outside."""
        for number in dict.fromkeys((self._broken, self._opened)):
            column = self._lines[number].indent
            for above in self._lines.before(number):
                line = self._lines[above]
                if line.indent >= column:
                    continue
                column = line.indent
                if line.key is not None:
                    yield self._without(line.start + line.key.end(), self._lines.end(above, line.columns[-1]))
                yield self._without(line.start + line.indent, self._lines.end(above, line.indent))

    def _without(self, start: int, end: int) -> Repair:
        return self._with(start, end, re.sub(r"[^\r\n]", " ", self._origin.text[start:end]))

    def _with(self, start: int, end: int, text: str, fault: Fault | None = None) -> Repair:
        following = self._lines.after(self._lines.at(max(end, self._index)))
        ends = [line.end for line in islice(following, _BELIEVED)]
        believed = ends[-1] if ends else len(self._origin.text)
        return Repair(self._origin.repaired(Edit(start, end, text)), len(text) - (end - start), believed, fault)


def _fits(line: Line, following: Line | None, column: int) -> bool:
    """Whether a line can begin in a column, given what stands below it."""
    if following is None or not line.is_parent:
        return column >= 0
    return 0 <= column < following.indent or (column == following.indent and following.is_item)


def _is_even(columns: Sequence[int], indent: int) -> bool:
    """Whether a line could as well begin in the one as in the other of the nearest two columns."""
    return len(columns) > 1 and abs(columns[0] - indent) == abs(columns[1] - indent)


def _is_whole(inside: str, ends: str) -> bool:
    """Whether nothing but its own end is missing of what a bracket begins: it holds what such a bracket is for, and no
    end of another that may be meant as its own."""
    is_meant = ": " in inside if ends == "}" else "," in inside and "{" not in inside
    return is_meant and len(ends) == 1 and ends not in inside and not inside.endswith(",")
