"""Protobuf: messages of a type that a descriptor set holds, as protobuf's mapping to JSON names their fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr

from rules.cel.errors import CelError
from rules.codecs.format import Codec, Format


class Protobuf(Format):
    """One Protobuf message.

    The event is a map of the fields that are set. Integers of 64 bits are integers, bytes are bytes, enums are the
    names of their values (numbers where there is none), keys of maps are text. Of the well-known types, timestamps and
    durations are what they are in expressions, wrappers their value, `Struct`, `Value` and `ListValue` what they hold,
    and an `Any` a map with `@type` beside its fields. Fields that the descriptor set does not know survive only in
    messages that no rule changes. Extensions are read, as `[package.name]`, and not written.
    """

    type: Literal["protobuf"] = "protobuf"
    """Protobuf."""
    descriptor_set: Annotated[str, Field(min_length=1)]
    """A file with the types, relative to the daemon's file: what `protoc --include_imports --descriptor_set_out=FILE`
    or `buf build -o FILE` makes."""
    message: Annotated[str, Field(min_length=1)]
    """The full name of the type of the messages, such as `shop.v1.Order`."""
    names: Literal["json", "proto"] = "json"
    """What fields are called in events: `orderId` as in JSON, or `order_id` as in the descriptor. To write, both are
    taken."""
    defaults: bool = False
    """Whether fields that are not set, and cannot be told from those that have their default, are in the event with
    that: 0, empty, false, an empty list or map, the first value of an enum."""
    extra: Literal["refuse", "drop"] = "refuse"
    """Fields of an event that the message does not have: the record is refused, or they are left out."""

    _content: bytes | None = PrivateAttr(default=None)

    def loaded(self, read: Callable[[str], bytes]) -> Self:
        """The same with the descriptor set. Raises OSError."""
        made = type(self).model_validate(self.model_dump())
        made._content = read(self.descriptor_set)  # noqa: SLF001 - its own class
        return made

    @property
    def stream_framing(self) -> Mapping[str, object]:
        """A varint with the length before each message, as Protobuf's own libraries write streams."""
        return {"type": "length", "prefix_type": "varint"}

    def make(self) -> Codec:
        """The codec. Raises ValueError when the library is missing, or the descriptor set is none."""
        try:
            from rules.codecs.protobuf.reading import reader
            from rules.codecs.protobuf.types import message_class
            from rules.codecs.protobuf.writing import writer
        except ImportError as error:
            raise ValueError("protobuf needs a library: pip install 'sluiceway[protobuf]'") from error
        if self._content is None:
            raise ValueError(f"the descriptor set {self.descriptor_set} has not been read")
        cls, pool = message_class(self._content, self.descriptor_set, self.message)
        decode = reader(cls, pool, proto_names=self.names == "proto", defaults=self.defaults)
        encode = writer(cls, pool, drops=self.extra == "drop")
        return Codec(
            decode=decode,
            decode_plain=decode,
            encode=encode,
            encode_plain=encode,
            decodes_plain=False,
        )

    def given(self, event: object) -> tuple[bytes, Mapping[str, object]]:
        """A message that is decoded to this event."""
        if not isinstance(event, Mapping):
            raise CelError("only a map can be written as a Protobuf message")
        return super().given(event)
