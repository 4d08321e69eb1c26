"""The records that two configurations are asked about: from a file, or from the dead letters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from typing import BinaryIO

from router.batch import Batch
from router.config import SourceSpec
from router.deadletters import PAGE_LETTERS
from router.framing import PIECE, Framed, framing_of
from router.letter import Letter
from rules.columns import Constant

_BLOCK = 256 << 10


@dataclass(frozen=True, slots=True)
class Looked:
    """Records of one source that are looked at together. ``names`` says which they are, such as ``record 12``.

    ``replayed``: they are dead letters, so they go through the flow that they were in.
    """

    flow: str
    source: str
    batch: Batch
    names: Sequence[str]
    replayed: bool = False

    def single(self, index: int) -> Batch:
        """One of the records, as a batch of its own."""
        return replace(self.batch.select([index]), arrived=self.batch.arrived)


@dataclass(frozen=True, slots=True)
class _Numbers(Sequence[str]):
    """The names of records that are counted, made when somebody asks."""

    first: int
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> str:  # type: ignore[override] # nobody takes slices
        return f"record {self.first + index}"


@dataclass(slots=True)
class _File:
    """The records of a file, framed as those of a source are, each with these attributes; ``tell`` hears how many bytes
    have been read."""

    flow: str
    source: SourceSpec
    known: Mapping[str, object] = field(default_factory=dict)
    tell: Callable[[int], None] = lambda _: None

    def of(self, file: BinaryIO) -> Iterator[Looked]:
        """The records, a block of the file at a time."""
        framing = framing_of(getattr(self.source.settings, "framing", None), self.source.decode)
        framer = framing.framer(getattr(self.source.settings, "max_record", PIECE))
        arrived, first, read = time.time_ns(), 1, 0
        for block in iter(lambda: file.read(_BLOCK), b""):
            read += len(block)
            looked = self._looked(framer.feed(block), first, arrived)
            if looked is not None:
                first += len(looked.batch)
                yield looked
            self.tell(read)
        looked = self._looked(framer.finish(), first, arrived)
        if looked is not None:
            yield looked

    def _looked(self, framed: Framed, first: int, arrived: int) -> Looked | None:
        number = len(framed.values)
        if not number:
            return None
        known = {name: Constant(value, number) for name, value in self.known.items()}
        batch = Batch(
            framed.values,
            attributes={**framed.attributes, **known},
            spoiled=framed.spoiled,
            arrived=arrived,
            size=framed.size,
            ascii=framed.ascii,
            lines=framed.lines,
            fields=framed.fields,
        )
        return Looked(self.flow, self.source.name, batch, _Numbers(first, number))


def of_file(
    flow: str,
    source: SourceSpec,
    file: BinaryIO,
    known: Mapping[str, object] | None = None,
    tell: Callable[[int], None] = lambda _: None,
) -> Iterator[Looked]:
    """The records of a file, read a block at a time, framed as those of ``source`` are. ``known`` is what the source
    would know of each, as attributes; ``tell`` hears how many bytes have been read."""
    return _File(flow, source, known or {}, tell).of(file)


def of_letters(letters: Iterable[Letter]) -> Iterator[Looked]:
    """Dead letters as a replay sends them through their flow, those of one source that follow each other together."""
    for (flow, source), some in groupby(letters, lambda letter: (letter.flow, letter.source)):
        while page := list(islice(some, PAGE_LETTERS)):
            names = sorted({name for letter in page for name in letter.attributes})
            batch = Batch(
                values=[letter.value for letter in page],
                keys=[letter.key for letter in page],
                headers=[letter.headers for letter in page],
                times=[letter.record_time for letter in page],
                attributes={name: [letter.attributes.get(name) for letter in page] for name in names},
            )
            yield Looked(flow, source, batch, [f"dead letter {letter.id}" for letter in page], replayed=True)


def read_now(letters: AsyncIterator[Letter]) -> Iterator[Letter]:
    """Letters that are read from disk as they are wanted, in a thread without a loop."""

    async def page() -> list[Letter]:
        found: list[Letter] = []
        async for letter in letters:
            found.append(letter)
            if len(found) == PAGE_LETTERS:
                break
        return found

    with asyncio.Runner() as runner:
        while found := runner.run(page()):
            yield from found
