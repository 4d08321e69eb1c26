"""What a framing is: how the records in a stream of bytes are told apart, whatever it is read from or written to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field

from router.interfaces import Json
from rules.codecs import Fields, Format
from rules.columns import Constant
from rules.model import Model

PIECE = 64 << 20
"""The longest record that is ever held in memory, in bytes."""


class Framed(Struct):
    """Records, and of those that are not whole, too long or not to be read, by index, the reason.

    ``known`` is what the beginning of the stream says of every record in it, by the name of an attribute: the columns
    that the header of CSV names. ``size`` is the size of all values in bytes, and ``ascii`` whether they hold nothing
    but ASCII, where framing has told (-1, None: it has not); so do ``fields`` where their fields stand, and ``lines``
    that each value is a line, not empty and without a newline.
    """

    values: Sequence[bytes] = field(default_factory=list)
    spoiled: dict[int, str] = field(default_factory=dict)
    known: Mapping[str, object] = field(default_factory=dict)
    size: int = -1
    ascii: bool | None = None
    lines: bool = False
    fields: Fields | None = None

    @property
    def attributes(self) -> dict[str, Sequence[object]]:
        """``known`` as columns of a batch."""
        return {name: Constant(value, len(self.values)) for name, value in self.known.items()}

    def add(self, more: Framed) -> None:
        """Add what comes after it in the same stream."""
        if more.values:
            shift = len(self.values)
            self.growing().extend(more.values)
            self.spoiled.update({shift + index: reason for index, reason in more.spoiled.items()})
            self.size, self.ascii, self.lines, self.fields = -1, None, False, None
        self.known = more.known or self.known

    def growing(self) -> list[bytes]:
        """``values``, to add records that come next to."""
        if not isinstance(self.values, list):
            self.values = list(self.values)
        return self.values

    def spoil(self, value: bytes, reason: str) -> None:
        """Add a record that is not to be had whole."""
        self.spoiled[len(self.values)] = reason
        self.growing().append(value)


class Framer(Protocol):
    """Cuts one stream, which comes in chunks, into records. How it is chunked makes no difference to what comes out,
    except to how much is shown of what cannot be read.

    A framer that is made with the ``offset`` and the ``state`` of another one continues where that one had got to.
    """

    @property
    def offset(self) -> int:
        """The byte up to which everything has been handed over."""

    @property
    def held(self) -> int:
        """How many bytes after ``offset`` wait for the rest of their record."""

    @property
    def state(self) -> dict[str, Json]:
        """What else there is to know at ``offset``; small, and usually empty."""

    def feed(self, chunk: bytes) -> Framed:
        """The records that ``chunk`` ends, in order."""

    def finish(self) -> Framed:
        """What is left when the stream ends: a last record, or one that is not whole."""

    def forget(self) -> None:
        """Drop what is held; the next chunk is the one at ``offset`` again."""


Pread = Callable[[int, int], bytes]
"""So many bytes of a file, at an offset; fewer at its end."""


class Framing(Model, ABC):
    """The settings of a framing, and what they make.

    ``type`` is the name by which ``framing`` of the configuration asks for it.
    """

    type: str = ""

    def of(self, payloads: Format) -> Framing:  # noqa: ARG002 - of framings that depend on them
        """The same, as it goes with payloads of this format where it leaves that open."""
        return self

    @abstractmethod
    def framer(self, limit: int, *, offset: int = 0, state: Mapping[str, Json] | None = None) -> Framer:
        """What cuts a stream. A record longer than ``limit`` bytes is spoiled."""

    @abstractmethod
    def join(self, values: Sequence[bytes]) -> tuple[bytes, dict[int, str]]:
        """The records as a piece of a stream, and of those that cannot be in one, by index, the reason."""

    def join_lines(self, values: Sequence[bytes]) -> tuple[bytes, dict[int, str]]:
        """The same for records each of which is known to be a line, not empty and without a newline."""
        return self.join(values)

    @property
    def head(self) -> bytes:
        """What a stream begins with, before the first record."""
        return b""

    @property
    def is_endless(self) -> bool:
        """Whether a record can end before its stream does, so that a stream that grows can be followed."""
        return True

    @property
    def cannot_join(self) -> str:
        """Why no stream can be written by these settings, and what would be right; empty if one can."""
        return ""

    def opening(self, read: Pread) -> dict[str, Json]:  # noqa: ARG002 - of framings with a head
        """What the beginning of a file says, as the state of a framer that goes on elsewhere in it."""
        return {}

    @abstractmethod
    def whole(self, read: Pread, size: int) -> int:
        """Up to where a file of this size that was written in pieces, the last of them perhaps torn, is whole."""

    def cut(self, body: bytes, limit: int) -> Framed:
        """All records of a stream that is there as a whole."""
        framer = self.framer(limit)
        framed = framer.feed(body)
        framed.add(framer.finish())
        return framed

    def document(self, values: Sequence[bytes]) -> tuple[bytes, dict[int, str]]:
        """The records as a whole stream, and of those that cannot be in one, by index, the reason."""
        data, failed = self.join(values)
        return self.head + data, failed


class Remnant:
    """The part of a framer that all but the one for lines share: what is held, and where that is in the stream."""

    def __init__(self, limit: int, offset: int) -> None:
        self.limit = limit
        self.offset = offset
        self.broken = False
        """Whether the rest of the stream cannot be read: it is passed over."""
        self._pieces: list[bytes] = []
        self.held = 0

    @property
    def state(self) -> dict[str, Json]:
        """Nothing but the offset."""
        return {"broken": True} if self.broken else {}

    def take(self, chunk: bytes) -> bytes:
        """All that is held, with this chunk."""
        if not self._pieces:
            return chunk
        held = b"".join([*self._pieces, chunk])
        self._pieces = []
        return held

    def keep(self, rest: bytes, consumed: int) -> None:
        """Hold this; before it so many bytes have been handed over."""
        self.offset += consumed
        self._pieces = [rest] if rest else []
        self.held = len(rest)

    def forget(self) -> None:
        """Drop what is held."""
        self._pieces, self.held = [], 0

    def give_up(self, framed: Framed, rest: bytes, reason: str) -> Framed:
        """Nothing after this can be told apart: what is there of it is one record, and what comes is passed over."""
        framed.spoil(rest[:PIECE], f"{reason}; nothing after it can be read")
        self.keep(b"", len(rest))
        self.broken = True
        return framed

    def pass_over(self, chunk: bytes) -> Framed:
        """What is left of a broken stream."""
        self.offset += len(chunk)
        return Framed()
