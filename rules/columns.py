"""Columns: what a batch of records is made of, as far as the rules see it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
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
