"""A tree of lines, and how it is drawn: with guides, each line wrapped to the width that is there."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console
from rich.text import Text

_NARROWEST: Final = 20
_PLAIN: Final = str.maketrans(
    {"├": "+", "└": "`", "│": "|", "✓": "+", "✗": "-", "·": ".", "–": "-", "→": ">", "…": "~"}
)
"""What stands for the drawing where the output takes ASCII alone."""
GUIDE: Final = 2
"""The columns that one level of the tree takes."""


@dataclass(slots=True)
class Line:
    """A line with those below it."""

    text: Text
    below: list[Line] = field(default_factory=list)

    def add(self, *parts: str | tuple[str, str]) -> Line:
        """One more line below, of texts and texts with their style."""
        line = Line(Text.assemble(*parts))
        self.below.append(line)
        return line


def draw(lines: Sequence[Line], console: Console) -> Iterator[Text]:
    """The lines of a tree as they stand on the console, the topmost without a guide."""
    for line in lines:
        yield from _wrapped(line.text, "", "", console)
        yield from _below(line, "", console)


def _below(line: Line, indent: str, console: Console) -> Iterator[Text]:
    for inner in line.below:
        last = inner is line.below[-1]
        first, rest = ("└ ", "  ") if last else ("├ ", "│ ")
        yield from _wrapped(inner.text, indent + first, indent + rest + ("│ " if inner.below else "  "), console)
        yield from _below(inner, indent + rest, console)


def _wrapped(text: Text, first: str, rest: str, console: Console) -> Iterator[Text]:
    width = max(console.width - len(rest), _NARROWEST)
    for number, part in enumerate(text.wrap(console, width, overflow="fold")):
        part.rstrip()
        yield Text.assemble((rest if number else first, "dim"), part)


def show(lines: Sequence[Line], console: Console) -> None:
    """Print a tree, in what the output can take."""
    is_plain = not console.encoding.lower().startswith("utf")
    if is_plain and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    for text in draw(lines, console):
        if is_plain:
            text.plain = text.plain.translate(_PLAIN)
        console.print(text, soft_wrap=True)


def written(lines: Sequence[Line], width: int) -> str:
    """A tree as plain text."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    return "\n".join(text.plain for text in draw(lines, console))
