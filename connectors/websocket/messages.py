"""What records are as WebSocket messages: text or binary (RFC 6455, section 5.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Form = Literal["auto", "text", "binary"]

TEXT, BINARY = 1, 2
"""Opcodes of data frames."""

Message = tuple[bytes, int]
"""A payload and its opcode."""


def opcodes(values: Sequence[bytes], form: Form) -> tuple[Sequence[int], dict[int, str]]:
    """The opcode of each record, and of those that cannot be sent in this form, by index, the reason.

    ``auto`` sends as text whatever is UTF-8, and all else as binary.
    """
    if form == "binary":
        return [BINARY] * len(values), {}
    found = [TEXT if value.isascii() or _is_utf8(value) else BINARY for value in values]
    if form == "auto" or BINARY not in found:
        return found, {}
    return found, {i: _fault(values[i]) for i, opcode in enumerate(found) if opcode == BINARY}


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _fault(value: bytes) -> str:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        return f"a text message must be UTF-8: {error.reason} at byte {error.start} (message)"
    raise AssertionError(value)
