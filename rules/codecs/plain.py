"""Payloads that are one text, or nothing but bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from rules.cel.errors import CelError
from rules.cel.values import a_type
from rules.codecs.format import Codec, Format, in_text


class Text(Format):
    """One text, in UTF-8. The event is a string; what is written is a text as it is, anything else as JSON."""

    type: Literal["text"] = "text"
    """Text."""

    @property
    def message_framing(self) -> Mapping[str, object]:
        """Every line is a text."""
        return self.stream_framing

    def make(self) -> Codec:
        """The codec."""

        def encode(value: object) -> bytes:
            try:
                return in_text(value).encode()
            except UnicodeEncodeError as error:
                raise CelError(f"it cannot be written as text: {error}") from error

        def decode(payload: bytes) -> object:
            try:
                return payload.decode()
            except UnicodeDecodeError as error:
                raise ValueError(f"not text: not UTF-8 at byte {error.start}") from error

        return Codec(decode=decode, decode_plain=bytes.decode, encode=encode, encode_plain=encode)


class Bytes(Format):
    """Bytes, as they are. The event is a value of type bytes."""

    type: Literal["bytes"] = "bytes"
    """Bytes."""

    def make(self) -> Codec:
        """The codec."""

        def encode(value: object) -> bytes:
            if isinstance(value, bytes):
                return value
            if isinstance(value, str):
                return value.encode()
            raise CelError(f"{a_type(value)} has no bytes to write: only bytes and strings do")

        return Codec(decode=bytes, decode_plain=bytes, encode=encode, encode_plain=encode)
