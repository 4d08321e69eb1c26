"""Columns: what a batch of records is made of, as far as the rules see it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from itertools import chain, islice, pairwise, repeat
from typing import Generic, TypeVar, overload

T = TypeVar("T")


class Constant(Sequence[T], Generic[T]):
    """A column in which every record has the same value."""

    __slots__ = ("length", "value")

    def __init__(self, value: T, length: int) -> None:
        self.value = value
        self.length = length

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Constant[T]: ...
    def __getitem__(self, index: int | slice) -> T | Constant[T]:
        if isinstance(index, slice):
            return Constant(self.value, len(range(self.length)[index]))
        if not -self.length <= index < self.length:
            raise IndexError(index)
        return self.value

    def __iter__(self) -> Iterator[T]:
        return repeat(self.value, self.length)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and not isinstance(other, str | bytes) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have none


class Lines(Sequence[bytes]):
    r"""A column of payloads that are lines, none of them empty, kept as they lie in a file: in blocks of whole lines,
    each with its ``\n``.

    A block is cut when somebody looks into it. What decides about records goes through them block by block (``spans``),
    so that a line is in the processor's cache when it is decoded, and joins what goes on to blocks again. Who asks for
    payloads by their number has each block cut once, and what was cut kept as long as the column.
    """

    __slots__ = ("_known", "_payloads", "_starts", "blocks")

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self._starts = [0]  # the number of the first line of each block, and that of all lines
        self._known: dict[int, list[bytes]] = {}
        self._payloads: dict[int, list[bytes]] = {}

    def append(self, block: bytes, count: int, known: list[bytes] | None = None) -> None:
        """Add a block of so many lines, which are ``known`` to whoever has had to ``cut`` them."""
        if not count:
            return
        if known is not None:
            self._known[len(self.blocks)] = known
        self.blocks.append(block)
        self._starts.append(self._starts[-1] + count)

    def extend(self, more: Lines) -> None:
        """Add all blocks of others."""
        for block, (start, stop) in zip(more.blocks, more.spans, strict=True):
            self.append(block, stop - start)

    def part(self, start: int, stop: int) -> Sequence[bytes]:
        """The payloads from one number to another: in blocks as well where these are whole blocks."""
        first, last = bisect_left(self._starts, start), bisect_left(self._starts, stop)
        if [self._starts[first], self._starts[last]] != [start, stop]:
            return self[start:stop]
        part = Lines()
        for place in range(first, last):
            part.append(self.blocks[place], self._starts[place + 1] - self._starts[place])
        return part

    @property
    def size(self) -> int:
        """The bytes of all payloads, without the ends of the lines."""
        return sum(map(len, self.blocks)) - len(self)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Of each block, the number of its first line, and that of the first one after it."""
        return list(pairwise(self._starts))

    def span_of(self, index: int) -> tuple[int, int]:
        """Of the block in which this line is, the number of its first line, and that of the first one after it."""
        place = bisect_right(self._starts, index) - 1
        return self._starts[place], self._starts[place + 1]

    def few(self, indices: Iterable[int]) -> Iterator[bytes]:
        """The payloads of some numbers, ascending, each once, for who will hardly ask for more: blocks are read only as
        far as they must be, and nothing of them is kept."""
        place, lines, at = -1, BytesIO(), 0
        for index in indices:
            if (block := bisect_right(self._starts, index) - 1) != place:
                place, lines, at = block, BytesIO(self.blocks[block]), self._starts[block]
            yield next(islice(lines, index - at, None))[:-1]
            at = index + 1

    def with_ends(self, start: int, stop: int) -> list[bytes]:
        r"""The lines from one number to another, all in one block, each with its ``\n``. Looks at a block but once."""
        place = bisect_right(self._starts, start) - 1
        lines, first = self._lines(place), self._starts[place]
        return lines if stop - start == len(lines) else lines[start - first : stop - first]

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return self._slice(index)
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        place = bisect_right(self._starts, index) - 1
        if place not in self._payloads:
            self._payloads[place] = self._without_ends(place)
        return self._payloads[place][index - self._starts[place]]

    def _slice(self, index: slice) -> list[bytes]:
        start, stop, step = index.indices(len(self))
        if step != 1 or start >= stop:
            return list(self)[index]
        first, last = bisect_right(self._starts, start) - 1, bisect_right(self._starts, stop - 1)
        lines = list(chain.from_iterable(map(self._without_ends, range(first, last))))
        before = self._starts[first]
        return lines if stop - start == len(lines) else lines[start - before : stop - before]

    def __iter__(self) -> Iterator[bytes]:
        return chain.from_iterable(map(self._without_ends, range(len(self.blocks))))

    def _lines(self, place: int) -> list[bytes]:
        return self._known.pop(place, None) or cut(self.blocks[place])

    def _without_ends(self, place: int) -> list[bytes]:
        return self._payloads.get(place) or [line[:-1] for line in self._lines(place)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and not isinstance(other, str | bytes) and list(self) == list(other)

    def __repr__(self) -> str:
        return f"Lines({list(self)!r})"

    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have none


def payloads_at(values: Sequence[bytes], indices: Sequence[int]) -> list[bytes]:
    """A few payloads, by number: ascending, each once."""
    return list(values.few(indices) if isinstance(values, Lines) else map(values.__getitem__, indices))


def cut(block: bytes) -> list[bytes]:
    r"""The lines of a block of whole lines, each with its ``\n``."""
    return BytesIO(block).readlines()  # takes less than half the time of bytes.split
