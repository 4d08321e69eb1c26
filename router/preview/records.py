"""The records that two configurations are asked about: from a file, or from the dead letters."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from typing import Any, BinaryIO, Protocol

from router.batch import Batch
from router.config import SourceSpec
from router.deadletters import PAGE_LETTERS
from router.framing import PIECE, Framed, framing_of
from router.letter import Letter
from rules.cel.errors import CelError
from rules.cel.temporal import Timestamp
from rules.codecs import Format
from rules.columns import Constant
from rules.meta import FIXED

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


class Sampled(Protocol):
    """A record that a daemon has kept of a flow, alone in its ``batch``."""

    @property
    def flow(self) -> str:
        """The flow that it went through."""

    @property
    def source(self) -> str:
        """Where it came from."""

    @property
    def batch(self) -> Batch:
        """The record."""

    @property
    def is_whole(self) -> bool:
        """Whether the batch holds its payload."""


def of_samples(samples: Iterable[Sampled]) -> Iterator[Looked]:
    """Records that a daemon has kept of its flows, each as if it had just come; one without payload is left out."""
    for number, sampled in enumerate(samples, 1):
        if sampled.is_whole:
            yield Looked(sampled.flow, sampled.source, sampled.batch, [f"sample {number}"])


def of_told(samples: Iterable[Mapping[str, Any]], sources: Mapping[str, SourceSpec]) -> Iterator[Looked]:
    """The same of samples as ``GET /api/flows/NAME/samples`` tells them: events are written again as their sources
    decode them. What cannot be, and what was too long to be kept, is left out."""
    for number, told in enumerate(samples, 1):
        spec = sources.get(str(told["source"]))
        payload = None if spec is None else _payload(told, spec.decode)
        if payload is not None:
            value, known = payload
            batch = _batch_of(value, {**known, **told.get("meta", {})})
            yield Looked(str(told["flow"]), str(told["source"]), batch, [f"sample {number}"])


def _payload(told: Mapping[str, Any], decode: Format) -> tuple[bytes, Mapping[str, object]] | None:
    value = told.get("value")
    if isinstance(value, str):
        return value.encode(), {}
    if isinstance(value, Mapping):
        return base64.b64decode(value["base64"]), {}
    if told.get("event") is None:
        return None
    try:
        return decode.given(told["event"])
    except (CelError, ValueError, TypeError, RecursionError):
        return None


def _batch_of(value: bytes, meta: Mapping[str, Any]) -> Batch:
    """A record with what is told of it as expressions see it."""
    key, time_ = meta.get("key"), meta.get("time")
    headers = [(name, _octets(content)) for name, content in (meta.get("headers") or {}).items()]
    return Batch(
        values=[value],
        keys=None if key is None else [_octets(key)],
        headers=[headers] if headers else None,
        times=None if time_ is None else [Timestamp.parse(time_).total_nanos],
        attributes={name: [known] for name, known in meta.items() if name not in FIXED},
    )


def _octets(told: Any) -> bytes:
    return base64.b64decode(told["base64"]) if isinstance(told, Mapping) else str(told).encode()


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
