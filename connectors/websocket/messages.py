"""What records are as WebSocket messages: text or binary (RFC 6455, section 5.6), one in each or several."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, Self

from msgspec import Struct
from pydantic import Field, model_validator

from router import PIECE, Framing, FramingSetting, Json, Settings, Size, framing_of

Form = Literal["auto", "text", "binary"]

TEXT, BINARY = 1, 2
"""Opcodes of data frames."""

Message = tuple[bytes, int]
"""A payload and its opcode."""


class Outgoing(Settings):
    """What the sinks share: how records become messages."""

    message: Form = "auto"
    """What a message is sent as. `auto`: as text where it is UTF-8, and else as binary. `text`: a record that is not
    UTF-8 becomes a dead letter."""
    framing: FramingSetting | None = None
    """Send several records in one message, told apart so: `newline`, `length`, ... Without it each record is a message
    of its own."""
    max_message: Annotated[Size, Field(gt=0)] = 256 * 2**10
    """How large a message of several records may get; a larger record is sent alone. Only with `framing`."""

    @model_validator(mode="after")
    def _joins(self) -> Self:
        if self.framing is not None and self.framing.cannot_join:
            raise ValueError(f"framing: {self.framing.type} does not go with messages: {self.framing.cannot_join}")
        return self

    def wrapper(self) -> Wrapper:
        """What makes messages of records."""
        framing = None if self.framing is None else framing_of(self.framing, self.context.format)
        return Wrapper(self.message, framing, self.max_message)


class Wrapper(Struct, frozen=True):
    """Makes messages of records."""

    form: Form
    framing: Framing | None = None
    most: int = 0

    def check(self, values: Sequence[bytes]) -> dict[int, str]:
        """Of the records that cannot be sent, by index, the reason."""
        failed: dict[int, str] = {}
        if self.framing is not None:
            failed = self.framing.join(values)[1]
            if b"" in values and not self.framing.cut(self.framing.join([b""])[0], PIECE).values:
                why = f"an empty payload would be no record ({self.framing.type} framing)"
                failed |= {index: why for index, value in enumerate(values) if not value}
        if self.form == "text":
            failed |= {index: _fault(value) for index, value in enumerate(values) if _opcode(value) == BINARY}
        return failed

    def wrap(self, values: Sequence[bytes]) -> list[Message]:
        """The messages that hold these records, none of which fails."""
        if self.framing is not None:
            values = [self.framing.document(group)[0] for group in self._groups(values)]
        if self.form == "binary":
            return [(value, BINARY) for value in values]
        return [(value, _opcode(value)) for value in values]

    def _groups(self, values: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        start = size = 0
        for index, value in enumerate(values):
            if index > start and size + len(value) > self.most:
                yield values[start:index]
                start, size = index, 0
            size += len(value)
        if values:
            yield values[start:]


def to_json(payload: bytes) -> Json:
    """What expressions see of a message: JSON, or a text where it is none."""
    try:
        value: Json = json.loads(payload)
    except (ValueError, RecursionError):
        return payload.decode("utf-8", "replace")
    return value


def to_text(value: Json) -> bytes:
    """What is sent of a value: a text as it is, anything else as JSON."""
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).encode()


def _opcode(value: bytes) -> int:
    if value.isascii():
        return TEXT
    try:
        value.decode()
    except UnicodeDecodeError:
        return BINARY
    return TEXT


def _fault(value: bytes) -> str:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        return f"a text message must be UTF-8: {error.reason} at byte {error.start} (message)"
    raise AssertionError(value)
