"""The text that a document was read from, and the way from an index in it to a place in the user's file."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rules.faults import Place

LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Edit:
    """A stretch of text, ``start`` to ``end``, in whose stead ``text`` is read."""

    start: int
    end: int
    text: str

    def before(self, index: int) -> int:
        """The index in the text as it was before, of an index in the edited text."""
        if index <= self.start:
            return index
        if index >= self.start + len(self.text):
            return index - len(self.text) + self.end - self.start
        return min(self.end, self._within(index))

    def _within(self, index: int) -> int:
        return index


@dataclass(frozen=True, slots=True)
class Mend(Edit):
    """A value that was put into quotes. ``key`` is what stands before it, with its colon."""

    key: str

    def _within(self, index: int) -> int:
        inside = self.text[1 : index - self.start]
        return self.start + len(inside) - (inside.count("''") if self.text[0] == "'" else 0)


@dataclass(frozen=True, slots=True)
class Gap:
    """Where something of the file is not read as it stands there: at an index of the file's own text, which began
    with ``removed``. ``column`` is that of the line's first character if it is the line's first, and else None."""

    index: int
    removed: str
    column: int | None


class Origin:
    """A file's text as it is read, after any edits, and where each character of it stands in the file."""

    def __init__(
        self,
        file: str,
        text: str,
        edits: tuple[Edit, ...] = (),
        lines: Sequence[int] = (),
        gaps: tuple[Gap, ...] = (),
    ) -> None:
        self.file = file
        self.text = text
        self.gaps = gaps
        self._edits = edits
        self._lines = lines or [0, *(found.end() for found in LINE_END.finditer(text))]

    def edited(self, edit: Edit) -> Origin:
        """The same file with one more edit; places still are those of the user's file."""
        text = self.text[: edit.start] + edit.text + self.text[edit.end :]
        return Origin(self.file, text, (*self._edits, edit), self._lines, self.gaps)

    def repaired(self, edit: Edit) -> Origin:
        """The same with an edit by which something that was meant may be lost."""
        start = self.line_bounds(edit.start)[0]
        is_first = not self.text[start : edit.start].strip()
        gap = Gap(self.original(edit.start), self.text[edit.start : edit.end], edit.start - start if is_first else None)
        made = self.edited(edit)
        made.gaps = (*self.gaps, gap)
        return made

    def original(self, index: int) -> int:
        """The index in the user's file of the character at ``index`` of ``text``."""
        for edit in reversed(self._edits):
            index = edit.before(index)
        return index

    def place(self, index: int) -> Place:
        """The place in the user's file of the character at ``index`` of ``text``."""
        return self.file_place(self.original(index))

    def file_place(self, index: int) -> Place:
        """The place of the character at ``index`` of the user's file."""
        line = bisect_right(self._lines, index)
        return Place(self.file, line, index - self._lines[line - 1] + 1)

    def line_bounds(self, index: int) -> tuple[int, int]:
        """Where the line around ``index`` begins and ends in ``text``, its line end left out."""
        start = max(self.text.rfind("\n", 0, index), self.text.rfind("\r", 0, index)) + 1
        found = LINE_END.search(self.text, index)
        return start, found.start() if found else len(self.text)


def quote(text: str) -> str:
    """A one-line text as a YAML scalar in quotes, in the form that needs no escapes if there is one."""
    if "'" in text and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return "'" + text.replace("'", "''") + "'"


_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}(?=\\u[dD][c-fC-F])")
"""The first of two escapes that are one character, as JSON writes those beyond U+FFFF."""
_JOINED = re.compile(r"\\(?:\r\n|\n|\r)[ \t]*")
"""A line end that is none, with what indents the next line."""
_LONG = {"x": 4, "u": 6, "U": 10}


def _characters(source: str, style: str) -> Iterator[tuple[int, str, bool]]:
    """Each character that a scalar's source stands for: its index, itself ('' for any), whether it may be folded."""
    index = 0
    while index < len(source):
        character = source[index]
        if style == "'" and source.startswith("''", index):
            yield index, "'", False
            index += 2
        elif style == '"' and (joined := _JOINED.match(source, index)):
            index = joined.end()
        elif style == '"' and character == "\\":
            yield index, "", False
            index += 12 if _PAIR.match(source, index) else _LONG.get(source[index + 1 : index + 2], 2)
        else:
            yield index, character, character.isspace()
            index += 1


def locate(source: str, style: str, value: str, offset: int) -> int:
    """The index in a scalar's ``source`` (no quotes, no header) of the character at ``offset`` of its value.

    ``style`` is ``'``, ``"``, ``|``, ``>`` or empty for a plain one. Folded line ends and stripped indentation are
    taken into account; a space that stands for a line end is placed there. An offset past the value is its end.
    """
    characters = list(_characters(source, style))
    at = 0
    last = 0
    for wanted in value[:offset]:
        at, last = _advance(characters, at, wanted)
    if offset >= len(value):
        return min(last + 1, len(source)) if value else 0
    return _find(characters, at, value[offset])[1]


def _find(characters: list[tuple[int, str, bool]], at: int, wanted: str) -> tuple[int, int]:
    """The position in ``characters`` of the next one that is ``wanted``, and its index in the source."""
    start = at
    while at < len(characters):
        index, character, foldable = characters[at]
        if character in ("", wanted):
            return at, index
        if not foldable:
            break
        at += 1
    start = min(start, len(characters) - 1)
    return start - 1, characters[start][0] if characters else 0


def _advance(characters: list[tuple[int, str, bool]], at: int, wanted: str) -> tuple[int, int]:
    found, index = _find(characters, at, wanted)
    return max(found + 1, at), index
