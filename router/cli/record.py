"""The records that a command is to look at: from standard input, lines of a file, or a dead letter."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, islice, repeat
from pathlib import Path
from typing import BinaryIO, NoReturn

import msgspec
import typer
from msgspec import Struct, field
from msgspec.structs import replace

from router.batch import Batch, Headers
from router.config import SourceSpec
from router.framing import PIECE, Framed, Framing, framing_of
from router.framing.csv import CsvRows
from router.framing.lines import Newline
from router.letter import Letter
from rules.cel.errors import CelError
from rules.cel.temporal import Timestamp
from rules.meta import FIXED

_DIGITS = 18
"""No file has a line whose number has more."""
_BLOCK = 1 << 16


class About(Struct, frozen=True):
    """What a source would know of a record besides its bytes."""

    key: bytes | None = None
    headers: Headers | None = None
    time: int | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)


class Record(Struct, frozen=True):
    """One record, whole. ``line`` numbers it in a file: its first line, and ``last`` its last; where records are no
    lines, both number the record. ``spoiled`` says why the source could not frame it; ``letter`` is the dead letter
    that it became."""

    value: bytes
    about: About
    line: int | None = None
    last: int | None = None
    spoiled: str | None = None
    letter: Letter | None = None

    @property
    def batch(self) -> Batch:
        """The record as a batch of its own."""
        about = self.about
        return Batch(
            values=[self.value],
            keys=[about.key],
            headers=[about.headers],
            times=[about.time],
            attributes={name: [value] for name, value in about.attributes.items()},
            spoiled={} if self.spoiled is None else {0: self.spoiled},
        )


def of_letter(letter: Letter) -> Record:
    """The record of a dead letter, as it was read."""
    about = About(letter.key, letter.headers, letter.record_time, letter.attributes)
    spoiled = letter.detail if letter.is_spoiled else None
    return Record(letter.value, about, spoiled=spoiled, letter=letter)


class Given(Struct, frozen=True):
    """Where records come from that a person gives, and what is known of each: they are framed as those of ``source``
    are."""

    source: SourceSpec
    about: About

    @property
    def _framing(self) -> Framing:
        return framing_of(getattr(self.source.settings, "framing", None), self.source.decode)

    def from_stdin(self, most: int) -> list[Record]:
        """All of standard input is one record, without the line break at its end where records are lines. CSV, whose
        records need a header, is a stream of them, of which the first ``most`` are taken."""
        if sys.stdin.isatty():
            print("one record, please; Ctrl-D ends it", file=sys.stderr)
        data, framing = sys.stdin.buffer.read(), self._framing
        if isinstance(framing, CsvRows):
            return list(islice(self._records(io.BytesIO(data)), most)) or refuse("stdin has no records")
        if isinstance(framing, Newline):
            data = data.removesuffix(b"\n").removesuffix(b"\r")
        return [Record(data, self.about)]

    def from_file(self, named: str, most: int) -> list[Record]:
        """The line of a file that ``PATH:LINE`` names, or the first ``most`` records of ``PATH``. Where records are no
        lines, ``LINE`` counts records. Exit status 2 when there is no such file, line or record."""
        path, _, number = named.rpartition(":")
        wanted = None
        if path and number.isdecimal() and not _exists(named):
            named, wanted = path, number
        try:
            with Path(named).open("rb") as file:
                if wanted is not None:
                    return [self._numbered(file, named, wanted)]
                found = list(islice(self._records(file), most))
        except OSError as error:
            refuse(f"--file: {named} cannot be read: {error.strerror}")
        return found or refuse(f"--file: {named} has no records")

    def _numbered(self, file: BinaryIO, path: str, number: str) -> Record:
        wanted = int(number) if len(number) <= _DIGITS else sys.maxsize
        for record in self._records(file):
            if (record.last or 0) >= wanted:
                if (record.line or 0) <= wanted:  # a row of CSV may take several lines, of which any will do
                    return record
                break
        return refuse(f"--file: there is no record in line {wanted} of {path}")

    def _records(self, file: BinaryIO) -> Iterator[Record]:
        if isinstance(self._framing, Newline | CsvRows):
            return self._cut(iter(lambda: file.readline(PIECE), b""))
        return self._cut(iter(lambda: file.read(_BLOCK), b""))

    def _cut(self, chunks: Iterable[bytes]) -> Iterator[Record]:
        framing = self._framing
        framer = framing.framer(getattr(self.source.settings, "max_record", PIECE))
        if not isinstance(framing, Newline | CsvRows):
            numbers = ((number, number) for number in count(1))
            for chunk in chunks:
                yield from self._framed(framer.feed(chunk), numbers)
            yield from self._framed(framer.finish(), numbers)
            return
        line, first, ended = 0, 1, True
        for chunk in chunks:  # a line, or a piece of one
            line += ended
            ended = chunk.endswith(b"\n")
            first = first if framer.held else line
            yield from self._framed(framer.feed(chunk), repeat((first, line)))
        yield from self._framed(framer.finish(), repeat((first, line)))

    def _framed(self, framed: Framed, numbers: Iterator[tuple[int, int]]) -> Iterator[Record]:
        about = replace(self.about, attributes={**framed.known, **self.about.attributes})
        for index, value in enumerate(framed.values):
            line, last = next(numbers)
            yield Record(value, about, line=line, last=last, spoiled=framed.spoiled.get(index))


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # no file has such a name
        return False


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
