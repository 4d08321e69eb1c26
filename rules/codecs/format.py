"""What a format is: the settings that name it, and the codec that they make."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Final, Protocol, Self

from msgspec import Struct

from rules.cel.errors import CelError
from rules.cel.output import to_json
from rules.columns import Constant
from rules.model import Model


class Fields(Protocol):
    """Where the fields of each record stand, where whoever cut the records out of a stream has seen that, too."""

    @property
    def width(self) -> int:
        """How many fields each record has."""

    def part(self, start: int, stop: int) -> Fields:
        """Those of the records from ``start`` to ``stop``."""

    def column(self, at: int) -> list[str]:
        """The field of each record at a place, from 0, as text."""


class Columns(Protocol):
    """Records that travel together, as far as reading their payloads needs them."""

    @property
    def values(self) -> Sequence[bytes]:
        """The payloads."""

    @property
    def times(self) -> Sequence[int | None] | None:
        """Unix nanoseconds, where the source has them."""

    @property
    def arrived(self) -> int:
        """When the records were read, in Unix nanoseconds: their time where the source has none."""

    @property
    def attributes(self) -> Mapping[str, Sequence[object]]:
        """What else the source knows, by name."""

    @property
    def fields(self) -> Fields | None:
        """Where the fields of all payloads stand, if that is known."""


class _Undecoded:
    def __repr__(self) -> str:
        return "UNDECODED"


UNDECODED: Final = _Undecoded()
"""Stands among the events of a batch for a payload that must be decoded alone, to know what is wrong with it."""

TIME: Final = "time"
"""The ``Codec.attribute`` of formats whose payloads are read with the time of their record, in Unix nanoseconds: as
``meta.time``, when it was made, or else when it was read."""

Decode = Callable[[bytes], object]
DecodeAll = Callable[[Sequence[bytes], Sequence[object] | None], Sequence[object]]
DecodeColumns = Callable[
    [Sequence[bytes], Sequence[object] | None, Sequence[str], Fields | None],
    tuple[Sequence[bool], Sequence[Sequence[object] | None]],
]


class Codec(Struct, frozen=True, kw_only=True):
    """How payloads of one format are read and written.

    - ``decode`` raises ValueError for a payload that is none, which says why and where in it.
    - ``decode_plain`` does the same faster, and may raise anything for a payload that ``decode`` reads.
    - ``encode`` takes any value of an expression; it raises CelError for one that has no form in this format.
    - ``encode_plain`` does the same faster, for a value that is decoded data with ``is_plain`` values set into it.
    - ``decodes_plain`` says whether ``decode`` gives nothing but ``is_plain`` values and bytes. If not, ``encode``
      writes what it has given, in whatever format.
    - ``attribute`` names what a payload is read with, of formats in which the beginning of a stream says how to read
      the rest (the header of CSV, the schema of an Avro file), or ``TIME``: ``bound`` gives the ``decode`` for such a
      value. A payload that travels without it is read by ``decode``.
    - ``decode_all`` reads many payloads at once, where that is faster: it is given them and, for each, the attribute
      or None, and gives back their events, with UNDECODED in place of what ``decode`` should be asked about.
      ``decode_columns`` is given the names of the fields that are of interest and ``Columns.fields``, too, and gives
      back, in place of events, whether each payload was read, and the values of each field; None for a field that no
      record has.
    - ``rewrites``: a payload that came with ``attribute`` means nothing without it, so that it is written anew when it
      goes out, by the settings of the format, even if nothing changed it.
    """

    decode: Decode
    decode_plain: Decode
    encode: Callable[[object], bytes]
    encode_plain: Callable[[object], bytes]
    decodes_plain: bool = True
    attribute: str = ""
    bound: Callable[[object], Decode] | None = None
    decode_all: DecodeAll | None = None
    decode_columns: DecodeColumns | None = None
    rewrites: bool = False

    def decode_at(self, columns: Columns, index: int) -> object:
        """The event of one record of a batch. Raises ValueError."""
        known = self.known(columns, index, 1)
        if known is None or known[0] is None or self.bound is None:
            return self.decode(columns.values[index])
        return self.bound(known[0])(columns.values[index])

    def known(self, columns: Columns, start: int, count: int) -> Sequence[object] | None:
        """Of so many records of a batch from ``start`` on, what payloads are read with: an attribute, or the time."""
        stop = start + count
        if self.attribute != TIME:
            column = columns.attributes.get(self.attribute) if self.attribute else None
            return None if column is None else column[start:stop]
        if columns.times is None:
            return Constant(columns.arrived, count)
        return [columns.arrived if time is None else time for time in columns.times[start:stop]]


class Format(Model, ABC):
    """The settings of a format. Two of the same settings are equal, and share one codec.

    ``type`` is the name by which ``decode`` and ``encode`` of the configuration ask for it.
    """

    type: str = ""

    @cached_property
    def codec(self) -> Codec:
        """How payloads are read and written. Made when it is first asked for."""
        return self.make()

    @abstractmethod
    def make(self) -> Codec:
        """The codec. Raises ValueError, which says what is wrong, when the settings make none."""

    def loaded(self, read: Callable[[str], bytes]) -> Self:  # noqa: ARG002 - of formats that name files
        """The same with the contents of the files that it names, read by ``read``, which raises OSError."""
        return self

    @property
    def stream_framing(self) -> Mapping[str, object]:
        """The settings of the framing that streams of such payloads have unless told otherwise."""
        return {"type": "newline"}

    @property
    def message_framing(self) -> Mapping[str, object]:
        """The same for bodies and messages, which have bounds of their own."""
        return {"type": "whole"}

    @property
    def cannot_encode(self) -> str:
        """Why nothing can be written in this format by these settings, and what would be right; empty if it can."""
        return ""

    @property
    def cannot_be_chosen(self) -> str:
        """The same of a format that a sink asks for, and does not merely pass on."""
        return self.cannot_encode

    def given(self, event: object) -> tuple[bytes, Mapping[str, object]]:
        """A payload, with its attributes, that is decoded to this event: what a test gives. Raises CelError."""
        return self.codec.encode(event), {}

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    def __str__(self) -> str:
        return self.type


# Not the time types: msgspec writes them as the dataclasses that they are, and asks nobody.
_ATOMS: Final = frozenset({str, int, bool, type(None)})
_TEXT: Final = frozenset({str})


def is_plain(value: object) -> bool:
    """Whether ``encode_plain`` writes the value as ``encode`` does: anything but NaN, infinities and rare types."""
    kind = value.__class__
    if kind in _ATOMS:
        return True
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type]  # its class was just asked for
    if isinstance(value, dict):
        if kind is not dict or not _TEXT.issuperset(map(type, value)):
            return False
        inner: Collection[object] = value.values()
    elif isinstance(value, list):
        inner = value
    else:
        return False
    # Most are atoms, which need no call.
    return all(map(is_plain, [content for content in inner if content.__class__ not in _ATOMS]))


def in_text(value: object) -> str:
    """A value as it stands inside text: text as it is, everything else as JSON, without the quotes of JSON texts.

    Raises CelError for what JSON cannot say.
    """
    if type(value) is str:
        return value
    shown = to_json(value)
    return shown if isinstance(shown, str) else write_json(shown).decode()


def write_json(value: object) -> bytes:
    """Any value of an expression as compact JSON. Raises CelError for what JSON cannot say."""
    # msgspec, not orjson: it keeps integers of any size.
    import msgspec

    try:
        return msgspec.json.encode(value if is_plain(value) else to_json(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise CelError(f"it cannot be written as JSON: {error}") from error
