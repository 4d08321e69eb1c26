"""The lines of a text as a person sees them who reads it by its indentation, whether or not it is YAML."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from msgspec import Struct

from rules.document.origin import LINE_END

KEY = re.compile(
    r"""(?:"[^"\n]*"|'[^'\n]*'
    | [^\s"'{}\[\],#&*!|>%@`-](?:[^"'{}\[\],#\n:]|:(?=\S)|(?<=\w)\[[^\]\n]*\])*):(?=\s|$)""",
    re.VERBOSE,
)
"""A key with its colon."""
_DASH = re.compile(r"-[ \t]+")
_BLOCK_SCALAR = re.compile(r":[ \t]+[|>][-+\d]*[ \t]*(?:#.*)?$")
_QUOTED = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*\"""")
_WORDS = re.compile(r"[\w.-]+(?: +\S.*)?")
_PAIRS = {"{": "}", "[": "]"}


class Line(Struct, frozen=True):
    """A line from ``start`` to ``end`` of the text. ``columns`` are where it begins and what stands behind each of its
    dashes, ``key`` is its first key; ``is_text`` says that it is part of a block scalar."""

    start: int
    end: int
    text: str
    columns: tuple[int, ...]
    key: re.Match[str] | None
    is_text: bool

    @property
    def indent(self) -> int:
        """Characters of white space before it."""
        return self.columns[0]

    @property
    def is_item(self) -> bool:
        """Whether it begins with a dash."""
        return len(self.columns) > 1

    @property
    def is_content(self) -> bool:
        """Whether it is neither blank nor a comment."""
        return self.indent < len(self.text) and self.text[self.indent] != "#"

    @property
    def is_comment(self) -> bool:
        """Whether it is nothing but a comment."""
        return self.text[self.indent : self.indent + 1] == "#"

    @property
    def is_parent(self) -> bool:
        """Whether it is a key whose value begins below."""
        return self.key is not None and len(self.plain) == self.key.end()

    @property
    def plain(self) -> str:
        """It without a comment behind it."""
        at = self.text.find("#")
        while at >= 0:
            before = self.text[:at]
            if before.endswith((" ", "\t")) and not any(mark in _QUOTED.sub("", before) for mark in "'\""):
                return before.rstrip()
            at = self.text.find("#", at + 1)
        return self.text.rstrip()


class Lines:
    """The lines of a text, by number from 0."""

    def __init__(self, text: str) -> None:
        self._lines = list(_lines(text))
        self._starts = [line.start for line in self._lines]

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines)

    def __getitem__(self, number: int) -> Line:
        """A line by its number."""
        return self._lines[number]

    def at(self, index: int) -> int:
        """The number of the line that holds a character."""
        return bisect_right(self._starts, index) - 1

    def before(self, number: int) -> Iterator[int]:
        """The lines with content before a line, the nearest first."""
        return (above for above in range(number - 1, -1, -1) if self._lines[above].is_content)

    def after(self, number: int) -> Iterator[Line]:
        """The lines with content behind a line."""
        return (self._lines[below] for below in range(number + 1, len(self._lines)) if self._lines[below].is_content)

    def end(self, number: int, column: int) -> int:
        """Where the last line ends that belongs to what begins at this column of a line."""
        first = self._lines[number]
        end = first.end
        holds_items = column == first.indent and not first.is_item
        for line in self.after(number):
            if line.indent < column or (line.indent == column and not (holds_items and line.is_item)):
                break
            end = line.end
        return end

    def columns(self, number: int) -> tuple[set[int], set[int]]:
        """The columns of the keys, and of the dashes, of what is open where a line begins."""
        keys: set[int] = set()
        dashes: set[int] = set()
        innermost = None
        for above in self.before(number):
            line = self._lines[above]
            if line.is_text or (innermost is not None and line.indent > innermost):
                continue
            *before, last = line.columns
            if innermost is None or last <= innermost:
                keys.add(last)
            dashes.update(before)
            innermost = line.indent
        return keys, dashes


def _lines(text: str) -> Iterator[Line]:
    start = 0
    header: int | None = None  # the column of the key of the block scalar that a line may be part of
    for found in (*LINE_END.finditer(text), None):
        end = found.start() if found else len(text)
        line = _line(text[start:end], start, header)
        yield line
        if not line.is_text:
            header = line.columns[-1] if _BLOCK_SCALAR.search(line.text) else None
        start = found.end() if found else end


def _line(text: str, start: int, header: int | None) -> Line:
    columns = [len(text) - len(text.lstrip(" \t"))]
    while dash := _DASH.match(text, columns[-1]):
        columns.append(dash.end())
    is_text = header is not None and (columns[0] > header or not text.strip())
    return Line(start, start + len(text), text, tuple(columns), KEY.match(text, columns[-1]), is_text)


def closers(text: str) -> str:
    """What would close the brackets that a part of a line leaves open."""
    found: list[str] = []
    for character in _QUOTED.sub("", text):
        if character in _PAIRS:
            found.append(_PAIRS[character])
        elif found and character == found[-1]:
            found.pop()
    return "".join(reversed(found))


def closes_too_much(text: str) -> bool:
    """Whether a line ends with a bracket that it did not open."""
    return text.endswith(("}", "]")) and opens(text) < 0


def opens(text: str) -> int:
    """How many more brackets a line opens than it closes."""
    plain = _QUOTED.sub("", text)
    return sum(map(plain.count, "{[")) - sum(map(plain.count, "}]"))


def leaving(text: str, start: int, end: int) -> int | None:
    """Where the line ends behind which something else begins, as indentation goes, than what is opened at ``start`` and
    not closed before ``end``: the next entry of what that is part of, or of what is outside; None if there is none."""
    begin = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", end)
    first, *others = Lines(text[begin : len(text) if line_end < 0 else line_end])
    is_quote = text[start] not in _PAIRS
    if not (first.key or first.is_item) or first.plain.endswith(tuple(_PAIRS)):
        return None
    last = first
    for line in others:
        if line.indent <= first.columns[-1] and (line.is_item or line.key or (is_quote and line.is_comment)):
            goes_on = not is_quote and last.plain.endswith(",") and not line.is_item
            is_next = line.indent < first.columns[-1] or not goes_on
            return begin + last.start + len(last.plain) if is_next else None
        last = line if line.is_content else last
    return None


def lacks_colon(text: str, index: int) -> int | None:
    """Where the item begins whose first key lacks its colon, so that the key around ``index``, on the line below, has
    none before it; None if it is not so."""
    lines = Lines(text)
    number = lines.at(index)
    line, above = lines[number], next(lines.before(number), None)
    if above is None or line.key is None or line.is_item:
        return None
    item = lines[above]
    is_such = item.is_item and not item.is_text and item.columns[-1] == line.indent and item.key is None
    return item.start + item.columns[-1] if is_such and _WORDS.fullmatch(item.plain, item.columns[-1]) else None
