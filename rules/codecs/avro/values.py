"""Avro values as they travel: in container files, or alone with what stands before them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from rules.cel.errors import CelError
from rules.codecs.avro import ATTRIBUTE, Avro, parse
from rules.codecs.avro.exact import read_exactly
from rules.codecs.avro.generated import generate_reader
from rules.codecs.avro.resolution import resolve
from rules.codecs.avro.schema import Schema
from rules.codecs.avro.writing import encoder
from rules.codecs.format import UNDECODED, Decode
from rules.columns import Constant


class _Reader:
    """Reads values that were written with one schema."""

    def __init__(self, writer: Schema, reader: Schema) -> None:
        self._plan = resolve(writer.type, reader.type)
        self._read = generate_reader(self._plan)

    def decode(self, payload: bytes, start: int = 0) -> object:
        """The value from ``start`` on. Raises ValueError."""
        try:
            return self._read(payload[start:] if start else payload)
        except Exception:  # noqa: BLE001 - whatever it is, the exact reader says what is wrong
            return self._exactly(payload, start)

    def _exactly(self, payload: bytes, start: int) -> object:
        try:
            return read_exactly(self._plan, payload, start)
        except ValueError as error:
            raise ValueError(f"not Avro of this schema: {error}") from error


_SINGLE: Final = b"\xc3\x01"
_SINGLE_SIZE: Final = 10
_CONFLUENT_SIZE: Final = 5


class Values:
    """Values in the form that the settings say."""

    def __init__(self, format: Avro) -> None:  # noqa: A002 - the word of this package
        self._format = format
        self._schema = format.parsed
        self._own = None if self._schema is None else _Reader(self._schema, self._schema)
        self._by_fingerprint = {} if self._schema is None else self._known(self._schema)
        self._decode_own: Decode = getattr(self, f"_{format.encoding}")
        self._bound = lru_cache(64)(self._bound_to)

    def _known(self, schema: Schema) -> dict[bytes, _Reader]:
        readers = {}
        for source in self._format.writers:
            writer = parse(source)
            readers[writer.fingerprint] = _Reader(writer, schema)
        assert self._own is not None  # noqa: S101 - there is a schema
        return readers | {schema.fingerprint: self._own}

    def decode(self, payload: bytes) -> object:
        """A value that travels alone. Raises ValueError."""
        return self._decode_own(payload)

    def bound(self, schema: object) -> Decode:
        """What reads values of a container file with this schema (JSON text). Raises ValueError when it is none."""
        if not isinstance(schema, str):
            raise ValueError(f"{ATTRIBUTE} should be the text of a schema")  # noqa: TRY004 - of every payload's faults
        return self._bound(schema)

    def _bound_to(self, text: str) -> Decode:
        writer = Schema.parse(text)
        return _Reader(writer, self._schema or writer).decode

    def decode_all(self, values: Sequence[bytes], known: Sequence[object] | None) -> Sequence[object]:
        """Many values at once."""
        if known is None:
            return _each(self.decode, values)
        if isinstance(known, Constant):
            try:
                return _each(self.decode if known.value is None else self.bound(known.value), values)
            except ValueError:
                return [UNDECODED] * len(values)
        return [self._one(value, schema) for value, schema in zip(values, known, strict=True)]

    def _one(self, value: bytes, schema: object) -> object:
        try:
            return self.decode(value) if schema is None else self.bound(schema)(value)
        except ValueError:
            return UNDECODED

    # The forms

    def _binary(self, payload: bytes) -> object:
        return self._reader.decode(payload)

    def _single_object(self, payload: bytes) -> object:
        if not payload.startswith(_SINGLE):
            raise ValueError(
                f"not an Avro single object: it begins with {payload[:2].hex(' ') or 'nothing'}, not c3 01"
            )
        reader = self._by_fingerprint.get(payload[2:_SINGLE_SIZE])
        if reader is None:
            found = payload[2:_SINGLE_SIZE].hex()
            raise ValueError(f"written with a schema that is not known: its fingerprint, at byte 2, is {found}")
        return reader.decode(payload, _SINGLE_SIZE)

    def _confluent(self, payload: bytes) -> object:
        if len(payload) < _CONFLUENT_SIZE or payload[0]:
            raise ValueError("not Avro of a schema registry: no zero byte and id of four bytes at byte 0")
        wanted, found = self._format.schema_id, int.from_bytes(payload[1:_CONFLUENT_SIZE], "big")
        if wanted is not None and found != wanted:
            raise ValueError(f"the id of its schema, at byte 1, is {found}, not {wanted}")
        return self._reader.decode(payload, _CONFLUENT_SIZE)

    def _auto(self, payload: bytes) -> object:
        if payload.startswith(_SINGLE) and payload[2:_SINGLE_SIZE] in self._by_fingerprint:
            return self._single_object(payload)
        try:
            return self._binary(payload)
        except ValueError:
            if not payload.startswith(b"\0"):
                raise
        return self._confluent(payload)

    @property
    def _reader(self) -> _Reader:
        if self._own is None:
            raise ValueError("its schema is not known: it did not come from a container file, and none is configured")
        return self._own


def _each(decode: Decode, values: Sequence[bytes]) -> list[object]:
    """The events of values, those that cannot be decoded marked."""
    events: list[object] = []
    rest = iter(values)
    while True:
        try:
            for value in rest:
                events.append(decode(value))  # noqa: PERF401 - what came before a failure counts
        except ValueError:
            events.append(UNDECODED)
        else:
            return events


def encoder_of(format: Avro) -> Callable[[object], bytes]:  # noqa: A002 - the word of this package
    """What writes events in the form that the settings say; it raises CelError. Raises ValueError."""
    schema = format.parsed
    if schema is None or format.cannot_encode:

        def refuse(_: object) -> bytes:
            raise CelError(f"it cannot be written as Avro: {format.cannot_encode}")

        return refuse
    encode = encoder(schema.type, drops=format.extra == "drop")
    match format.encoding:
        case "single_object":
            prefix = _SINGLE + schema.fingerprint
        case "confluent":
            prefix = b"\0" + (format.schema_id or 0).to_bytes(4, "big")
        case _:
            return encode
    return lambda value: prefix + encode(value)
