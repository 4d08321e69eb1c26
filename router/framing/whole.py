"""A stream that is one record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from router.framing.base import PIECE, Framed, Framer, Framing, Pread, Remnant
from router.interfaces import Json


class Whole(Framing):
    """The whole of a file, body or message is one record."""

    type: Literal["whole"] = "whole"
    """No framing."""

    def framer(self, limit: int, *, offset: int = 0, state: Mapping[str, Json] | None = None) -> Framer:
        """What gathers a stream."""
        return _WholeFramer(limit, offset, state or {})

    @property
    def is_endless(self) -> bool:
        """No: only the end of the stream ends the record."""
        return False

    @property
    def cannot_join(self) -> str:
        """Two records in one stream would be one."""
        return "a stream holds one record only; choose another framing to write several"

    def join(self, values: Sequence[bytes]) -> tuple[bytes, dict[int, str]]:
        """The one record."""
        return (values[0] if values else b""), dict.fromkeys(range(1, len(values)), self.cannot_join)

    def whole(self, read: Pread, size: int) -> int:  # noqa: ARG002 - of the interface
        """All of it, as far as anybody can tell."""
        return size


class _WholeFramer(Remnant):
    def __init__(self, limit: int, offset: int, state: Mapping[str, Json]) -> None:
        super().__init__(limit, offset)
        parts = state.get("parts")
        self._parts = parts if isinstance(parts, int) else 0

    @property
    def state(self) -> dict[str, Json]:
        """How many pieces of the record have been handed over."""
        return {"parts": self._parts} if self._parts else {}

    def feed(self, chunk: bytes) -> Framed:
        """Nothing, until more is held than memory should hold."""
        framed = Framed()
        self._pieces.append(chunk)
        self.held += len(chunk)
        while self.held > PIECE:
            data = self.take(b"")
            self._add_piece(framed, data[:PIECE], last=False)
            self.keep(data[PIECE:], PIECE)
        return framed

    def finish(self) -> Framed:
        """The record."""
        framed = Framed()
        data = self.take(b"")
        if self._parts:
            self._add_piece(framed, data, last=True)
        elif len(data) > self.limit:
            framed.spoil(data, f"a record of {len(data)} bytes, longer than max_record ({self.limit})")
        elif data:
            framed.growing().append(data)
        self.keep(b"", len(data))
        self._parts = 0
        return framed

    def _add_piece(self, framed: Framed, value: bytes, *, last: bool) -> None:
        self._parts += 1
        framed.spoil(value, f"part {self._parts}{', the last' if last else ''} of a record longer than {PIECE} bytes")
