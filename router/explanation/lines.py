"""A tree of lines, and how it is drawn: with guides, each line wrapped to the width that is there."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct, field
from rich.console import Console
from rich.text import Text

_NARROWEST: Final = 20
_PLAIN: Final = str.maketrans(
    {"├": "+", "└": "`", "│": "|", "✓": "+", "✗": "-", "·": ".", "–": "-", "→": ">", "…": "~"}
)
"""What stands for the drawing where the output takes ASCII alone."""
GUIDE: Final = 2
"""The columns that one level of the tree takes."""


class Line(Struct):
    """A line with those below it."""

    text: Text
    below: list[Line] = field(default_factory=list)

    def add(self, *parts: str | tuple[str, str]) -> Line:
        """One more line below, of texts and texts with their style."""
        line = Line(Text.assemble(*parts))
        self.below.append(line)
        return line


def draw(lines: Sequence[Line], width: int) -> Iterator[Text]:
    """The lines of a tree as they stand in so many columns, the topmost without a guide."""
    for line in lines:
        yield from _wrapped(line.text, "", "", width)
        yield from _below(line, "", width)


def _below(line: Line, indent: str, width: int) -> Iterator[Text]:
    for inner in line.below:
        last = inner is line.below[-1]
        first, rest = ("└ ", "  ") if last else ("├ ", "│ ")
        yield from _wrapped(inner.text, indent + first, indent + rest + ("│ " if inner.below else "  "), width)
        yield from _below(inner, indent + rest, width)


_WRAPPING = Console(file=io.StringIO(), color_system=None)
"""Rich wraps for a console only."""


def _wrapped(text: Text, first: str, rest: str, width: int) -> Iterator[Text]:
    room = max(width - len(rest), _NARROWEST)
    for number, part in enumerate(text.wrap(_WRAPPING, room, overflow="fold")):
        part.rstrip()
        yield Text.assemble((rest if number else first, "dim"), part)


def show(lines: Sequence[Line], console: Console, indent: str = "") -> None:
    """Print a tree, in what the output can take, each line behind the ``indent``."""
    is_plain = not console.encoding.lower().startswith("utf")
    if is_plain and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    for text in draw(lines, console.width - len(indent)):
        if is_plain:
            text.plain = text.plain.translate(_PLAIN)
        console.print(Text.assemble(indent if text else "", text), soft_wrap=True)


def written(lines: Sequence[Line], width: int) -> str:
    """A tree as plain text."""
    return "\n".join(text.plain for text in draw(lines, width))
