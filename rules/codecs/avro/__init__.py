"""Avro (specification 1.12): single records, in each of the forms in which they travel.

Container files are the framing ``avro``: it cuts them into records, and says with each the schema that the file was
written with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import Field

from rules.codecs.format import Codec, Format

if TYPE_CHECKING:
    from rules.codecs.avro.schema import Schema  # the rest of this package is imported when the format is used

ATTRIBUTE: Final = "avro_schema"
"""Under this name a source says, with each record, the schema that its file was written with."""

Source = str | dict[str, Any] | list[Any]


class Avro(Format):
    """One Avro value, such as a record of a container file or a message.

    Timestamps are timestamps in events; decimals, dates, times of day, UUIDs and local timestamps are text, so that no
    digit is lost. Enums are text, fixed are bytes, and of a union there is the value alone.
    """

    type: Literal["avro"] = "avro"
    """Avro."""
    schema_: Source | None = Field(default=None, alias="schema")
    """The schema: a file, relative to the daemon's file, or the schema itself as a mapping. What is read becomes
    values of this schema (missing fields get their defaults, aliases and promotions hold), what is written is
    written by it. Container files can be read without: their own schema is taken."""
    writers: tuple[Source, ...] = ()
    """Further schemas with which messages may have been written, told apart by their fingerprints, for
    `encoding: single_object`."""
    encoding: Literal["binary", "single_object", "confluent", "auto"] = "binary"
    """What stands before a value that travels alone. `binary`: nothing. `single_object`: the fingerprint of its schema,
    as Avro has it. `confluent`: a zero byte and the id of its schema in a registry. `auto` reads all three: the first
    if nothing else fits exactly, and it writes `binary`. In container files nothing stands there."""
    schema_id: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    """The id that is written with `encoding: confluent`. If it is given, records with another id are undecodable;
    otherwise ids are not looked at."""
    extra: Literal["refuse", "drop"] = "refuse"
    """Fields of an event that the schema does not have: the record is refused, or they are left out."""

    def loaded(self, read: Callable[[str], bytes]) -> Self:
        """The same with the contents of schema files. Raises OSError, and ValueError for what is no JSON."""

        def content(source: Source) -> Source:
            return _schema_file(source, read(source)) if isinstance(source, str) else source

        settings = self.model_dump(by_alias=True)
        settings["schema"] = None if self.schema_ is None else content(self.schema_)
        settings["writers"] = [content(source) for source in self.writers]
        return type(self).model_validate(settings)

    @cached_property
    def parsed(self) -> Schema | None:
        """The schema, parsed. Raises ValueError for one that is none."""
        return None if self.schema_ is None else parse(self.schema_)

    @property
    def stream_framing(self) -> Mapping[str, object]:
        """Container files, which hold bare values; where something stands before values, lengths tell them apart."""
        return {"type": "avro" if self.encoding in ("binary", "auto") else "length"}

    @property
    def cannot_encode(self) -> str:
        """Without a schema, or without an id that should be written."""
        if self.schema_ is None:
            return "it should have a `schema`, such as {type: avro, schema: order.avsc}"
        if self.encoding == "confluent" and self.schema_id is None:
            return "with `encoding: confluent` it should have a `schema_id`"
        return ""

    def make(self) -> Codec:
        """The codec."""
        from rules.codecs.avro.values import Values, encoder_of

        values = Values(self)
        encode = encoder_of(self)
        return Codec(
            decode=values.decode,
            decode_plain=values.decode,
            encode=encode,
            encode_plain=encode,
            attribute=ATTRIBUTE,
            bound=values.bound,
            decode_all=values.decode_all,
            rewrites=True,
            decodes_plain=False,
        )


def _schema_file(name: str, content: bytes) -> Source:
    try:
        found: object = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not JSON: {error}") from error
    if isinstance(found, str):
        return {"type": found}
    if not isinstance(found, dict | list):
        raise ValueError(f"{name} is no Avro schema: {content[:40]!r}")  # noqa: TRY004 - a fault of the configuration
    return found


def parse(source: Source) -> Schema:
    """The schema that a setting is. Raises ValueError."""
    from rules.codecs.avro.schema import Schema

    if isinstance(source, str):
        raise ValueError(f"the schema file {source} has not been read")  # noqa: TRY004 - whatever it is, it is no schema
    try:
        return Schema(source)
    except ValueError as error:
        raise ValueError(f"the Avro schema is not valid: {error}") from error
