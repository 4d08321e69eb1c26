"""The records that a command is to look at: from standard input, lines of a file, or a dead letter."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NoReturn

import msgspec
import typer

from router.batch import Batch, Headers
from router.deadletters import Letter
from rules.cel.errors import CelError
from rules.cel.temporal import Timestamp
from rules.meta import FIXED

_DIGITS = 18
"""No file has a line whose number has more."""


@dataclass(frozen=True, slots=True)
class About:
    """What a source would know of a record besides its bytes."""

    key: bytes | None = None
    headers: Headers | None = None
    time: int | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """One record, whole. ``line`` numbers it in a file; ``letter`` is the dead letter that it became."""

    value: bytes
    about: About
    line: int | None = None
    letter: Letter | None = None

    @property
    def batch(self) -> Batch:
        """The record as a batch of its own."""
        about, letter = self.about, self.letter
        is_spoiled = letter is not None and letter.reason == "spoiled"
        return Batch(
            values=[self.value],
            keys=[about.key],
            headers=[about.headers],
            times=[about.time],
            attributes={name: [value] for name, value in about.attributes.items()},
            spoiled={0: letter.detail} if letter is not None and is_spoiled else {},
        )


def of_letter(letter: Letter) -> Record:
    """The record of a dead letter, as it was read."""
    about = About(letter.key, letter.headers, letter.record_time, letter.attributes)
    return Record(letter.value, about, letter=letter)


def from_stdin(about: About) -> Record:
    """All of standard input is one record, without the line break at its end."""
    if sys.stdin.isatty():
        print("one record, please; Ctrl-D ends it", file=sys.stderr)
    return Record(_without_break(sys.stdin.buffer.read()), about)


def from_file(named: str, about: About, most: int) -> list[Record]:
    """The line of a file that ``PATH:LINE`` names, or the first ``most`` lines of ``PATH``. Blank lines are no records.

    Exit status 2 when there is no such file, line or record.
    """
    path, _, number = named.rpartition(":")
    if not Path(named).exists() and path and number.isdecimal() and len(number) <= _DIGITS:
        return [_line(path, int(number), about)]
    try:
        with Path(named).open("rb") as file:
            found = list(islice(_records(file, about), most))
    except OSError as error:
        refuse(f"--file: {named} cannot be read: {error.strerror}")
    return found or refuse(f"--file: {named} has no records")


def _line(path: str, number: int, about: About) -> Record:
    try:
        with Path(path).open("rb") as file:
            line = next(islice(file, number - 1, None), None) if number else None
    except OSError as error:
        refuse(f"--file: {path} cannot be read: {error.strerror}")
    if line is None:
        refuse(f"--file: {path} has no line {number}")
    value = _without_break(line)
    return Record(value, about, line=number) if value else refuse(f"--file: line {number} of {path} is blank")


def _records(lines: Iterator[bytes], about: About) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        if value := _without_break(line):
            yield Record(value, about, line=number)


def _without_break(value: bytes) -> bytes:
    return value.removesuffix(b"\n").removesuffix(b"\r")


def about_of(meta: str | None, key: str | None, headers: Sequence[str]) -> About:
    """What the options say: ``meta`` is JSON, as expressions see it; a header is ``NAME=VALUE``."""
    known = _meta(meta)
    own = known.pop("headers", {})
    if not isinstance(own, Mapping) or not all(isinstance(value, str) for value in own.values()):
        refuse("--meta: headers should be a mapping of names to texts")
    pairs = [(str(name), str(value)) for name, value in own.items()]
    for header in headers:
        name, mark, value = header.partition("=")
        if not mark or not name:
            refuse(f"--header: {header!r} should be NAME=VALUE")
        pairs.append((name, value))
    chosen = known.pop("key", None) if key is None else key
    if chosen is not None and not isinstance(chosen, str):
        refuse("--meta: the key should be a text")
    time = _time(known.pop("time", None))
    if reserved := sorted(known.keys() & FIXED):
        refuse(f"--meta: {reserved[0]} is not for --meta: the payload is the record, and --source names the source")
    # The bytes of an argument are those that were given, whether they are text or not.
    encoded = [(name, os.fsencode(value)) for name, value in pairs]
    return About(None if chosen is None else os.fsencode(chosen), encoded or None, time, known)


def _meta(text: str | None) -> dict[str, object]:
    try:
        found = {} if text is None else msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        refuse(f"--meta is no JSON: {error}")
    if not isinstance(found, dict):
        refuse('--meta should be a mapping, such as \'{"topic": "orders"}\'')
    return found


def _time(value: object) -> int | None:
    if value is None:
        return None
    try:
        return Timestamp.parse(str(value)).total_nanos
    except CelError as error:
        refuse(f"--meta: the time should be like 2026-01-31T12:00:00Z: {error}")


def refuse(message: str) -> NoReturn:
    """Wrong usage."""
    print(f"sluiceway: {message}", file=sys.stderr)
    raise typer.Exit(2)
