"""Faults of what a user wrote: what is wrong, where, and what would be right."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct


class Place(Struct, frozen=True, order=True):
    """A spot in a text file. Lines and columns are 1-based; line 0 means the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Fault(Struct, frozen=True, order=True):
    """One thing that is wrong. ``hint`` says what would be right, and may be empty when ``what`` already does."""

    place: Place
    what: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.what}" + (f"; {self.hint}" if self.hint else "")


class Refused(Exception):
    """A configuration that was refused whole. ``faults`` holds every fault, in the order of their places, and
    ``warnings`` what is no fault and yet probably not meant."""

    def __init__(self, faults: Iterable[Fault], warnings: Iterable[Fault] = ()) -> None:
        self.faults = sorted(set(faults))
        self.warnings = sorted(set(warnings))
        super().__init__("\n".join(map(str, self.faults)))
