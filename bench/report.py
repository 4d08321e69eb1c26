"""What benchmarks say: tables, as text and as Markdown, and promises that are kept or broken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """A header and rows. The first column is words, and the last with ``remarks``; the others are figures."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    remarks: bool = False

    def text(self) -> str:
        """For a terminal."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        words = {0, len(widths) - 1} if self.remarks else {0}
        return "\n".join(
            "  ".join(
                cell.ljust(width) if column in words else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )

    def markdown(self) -> str:
        """For a page."""
        rule = ["---", *["--:"] * (len(self.header) - 1)]
        if self.remarks:
            rule[-1] = "---"
        cells = [self.header, rule, *([cell.replace("|", "\\|") for cell in row] for row in self.rows)]
        return "\n".join(f"| {' | '.join(row)} |" for row in cells)


@dataclass(frozen=True, slots=True)
class Promise:
    """That a figure is at most so much."""

    what: str
    figure: float
    limit: float

    @property
    def kept(self) -> bool:
        """Whether it is."""
        return self.figure <= self.limit

    def __str__(self) -> str:
        return f"{self.what}: {self.figure:.2f}, promised at most {self.limit:g}: {'kept' if self.kept else 'BROKEN'}"


def judge(promises: Iterable[Promise]) -> int:
    """Print each; the exit status, which is 1 when one is broken."""
    status = 0
    for promise in promises:
        print(promise)
        status = status if promise.kept else 1
    return status


def figure(value: float) -> str:
    """Three digits, as many of them behind the point as that takes."""
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}"
