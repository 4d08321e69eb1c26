r"""Framings that end each record by a character: a newline, or a NUL.

``\n`` ends a record; a ``\r`` before it belongs to the ending. Empty records are none. Everything else passes through
as it is: NULs, invalid UTF-8, binary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from router.framing.base import PIECE, Framed, Framer, Framing, Pread
from router.interfaces import Json
from rules.columns import Lines, cut

_BLOCK = 64 << 10
SPAN = 256 << 10
"""Lines that come by the hundred are handed over in blocks of about so many bytes: what a processor's cache holds."""


class _Ended(Framing):
    """``end`` is what the kinds differ in."""

    @property
    def end(self) -> bytes:
        """What ends a record."""
        raise NotImplementedError

    def framer(self, limit: int, *, offset: int = 0, state: Mapping[str, Json] | None = None) -> Framer:
        """What cuts a stream."""
        line, parts = ((state or {}).get(name) for name in ("line", "parts"))
        return LineFramer(
            limit,
            offset=offset,
            line=line if isinstance(line, int) else 0,
            parts=parts if isinstance(parts, int) else 0,
            end=self.end,
        )

    def whole(self, read: Pread, size: int) -> int:
        """The byte after the last end of a record."""
        end = size
        while end > 0:
            start = max(0, end - _BLOCK)
            at = read(end - start, start).rfind(self.end)
            if at >= 0:
                return start + at + 1
            end = start
        return 0


class Newline(_Ended):
    """A record is a line. Blank lines are no records."""

    type: Literal["newline"] = "newline"
    """Lines."""

    @property
    def end(self) -> bytes:
        """A newline."""
        return b"\n"

    def join(self, values: Sequence[bytes]) -> tuple[bytes, dict[int, str]]:
        """The records as lines. JSON that holds newlines is compacted; of anything else such a record is left out."""
        return frame_lines(values)

    def join_lines(self, values: Sequence[bytes]) -> tuple[bytes, dict[int, str]]:
        """They are lines as they are."""
        return b"".join(values.blocks) if isinstance(values, Lines) else b"\n".join([*values, b""]), {}


class Null(_Ended):
    """After each record stands a NUL. Empty records are none."""

    type: Literal["null"] = "null"
    """NUL-terminated."""

    @property
    def end(self) -> bytes:
        """A NUL."""
        return b"\0"

    def join(self, values: Sequence[bytes]) -> tuple[bytes, dict[int, str]]:
        """The records, each with a NUL after it. One that holds a NUL is left out."""
        failed: dict[int, str] = {}
        if b"\0" in b"".join(values):
            why = "a payload that holds a NUL cannot be ended by one"
            failed = {index: why for index, value in enumerate(values) if b"\0" in value}
        return _ended(values, b"\0", failed)


class LineFramer:
    """Cuts a stream into lines.

    ``limit`` is the length in bytes above which a line is spoiled (it is handed over whole all the same), ``piece``,
    not below ``limit``, the length above which it is handed over in pieces, each of them spoiled. ``end`` ends a line.
    What comes in large chunks is handed over in blocks of lines of about ``span`` bytes.
    ``offset``, ``line`` and ``parts`` are where to begin: a framer made from another one's three goes on where that one
    had got to.
    """

    __slots__ = ("_end", "_held", "_limit", "_piece", "_span", "_tail", "line", "offset", "parts")

    def __init__(
        self,
        limit: int,
        *,
        piece: int = PIECE,
        span: int = SPAN,
        offset: int = 0,
        line: int = 0,
        parts: int = 0,
        end: bytes = b"\n",
    ) -> None:
        self._end = end
        self._limit = limit
        self._piece = piece
        self._span = span
        self._tail: list[bytes] = []
        self._held = 0
        self.offset = offset
        """The byte up to which everything has been handed over: after a line, or after a piece of one."""
        self.line = line
        """Where the line begins of which ``parts`` pieces have been handed over."""
        self.parts = parts

    @property
    def held(self) -> int:
        """How many bytes after ``offset`` wait for their newline."""
        return self._held

    @property
    def state(self) -> dict[str, Json]:
        """Where the line begins, and how much of it has been handed over, if ``offset`` is inside one."""
        return {"line": self.line, "parts": self.parts} if self.parts else {}

    def feed(self, chunk: bytes) -> Framed:
        """The lines that ``chunk`` ends, in order."""
        end = self._end
        if len(chunk) > self._span // 4 and end == b"\n" and not self.parts and (framed := self._feed_blocks(chunk)):
            return framed
        body = chunk.replace(b"\r\n", b"\n") if end == b"\n" and b"\r" in chunk else chunk
        values = body.split(end)
        tail = values.pop()
        if not values:
            return self._hold(chunk)
        start, held = self.offset, self._held
        if held:
            values[0] = self._complete(values[0], ends_at_once=chunk.startswith(end))
        self.offset += held + len(chunk) - len(tail)
        self._tail, self._held = ([tail], len(tail)) if tail else ([], 0)
        if self.parts or len(values[0]) > self._limit or (len(chunk) > self._limit < max(map(len, values))):
            return self._inspect(values, _ends(chunk, end, start + held), start)
        if b"" in values:
            return Framed(list(filter(None, values)))
        exact = body is chunk and not (held and chunk.startswith(end))  # else a `\r` may have gone, too
        size = self.offset - start - len(values) if exact else -1
        is_ascii = chunk.isascii() and (not held or values[0].isascii())
        return Framed(values, size=size, ascii=is_ascii, lines=end == b"\n")

    def _feed_blocks(self, chunk: bytes) -> Framed | None:
        """The same in blocks; None, and nothing done, where no line ends, or one is blank or too long."""
        end = chunk.rfind(b"\n") + 1
        if not end:
            return None
        lines, first, start = Lines(), b"".join(self._tail), 0
        is_ascii = True
        while start < end:
            stop = chunk.rfind(b"\n", start, start + self._span) + 1 or chunk.find(b"\n", start) + 1
            block = first + chunk[start:stop] if start == 0 else chunk[start:stop]
            if b"\r" in block:
                block = block.replace(b"\r\n", b"\n")
            found = cut(block)
            if b"\n" in found or (len(block) > self._limit < max(map(len, found)) - 1):
                return None
            is_ascii = is_ascii and block.isascii()
            lines.append(block, len(found), found)
            start = stop
        self.offset += self._held + end
        self._tail, self._held = ([chunk[end:]], len(chunk) - end) if end < len(chunk) else ([], 0)
        return Framed(lines, size=lines.size, ascii=is_ascii, lines=True)

    def finish(self) -> Framed:
        r"""The last line, if the stream ends without a newline. A ``\r`` at its end is part of it."""
        if not self._held:
            return Framed()
        start = self.offset
        value = b"".join(self._tail)
        self.offset += self._held
        self.forget()
        return self._inspect([value], iter([self.offset]), start)

    def forget(self) -> None:
        """Drop what waits for its newline; the next chunk is the one at ``offset`` again."""
        self._tail, self._held = [], 0

    def _complete(self, end: bytes, *, ends_at_once: bool) -> bytes:
        line = b"".join([*self._tail, end])
        return line[:-1] if ends_at_once and self._end == b"\n" and line.endswith(b"\r") else line

    def _hold(self, chunk: bytes) -> Framed:
        if chunk:
            self._tail.append(chunk)
            self._held += len(chunk)
        if self._held <= self._piece:
            return Framed()
        lines = Framed()
        rest = b"".join(self._tail)
        if not self.parts:
            self.line = self.offset
        while len(rest) > self._piece:
            self._add_piece(lines, rest[: self._piece], last=False)
            self.offset += self._piece
            rest = rest[self._piece :]
        self._tail, self._held = [rest], len(rest)
        return lines

    def _inspect(self, values: Sequence[bytes], ends: Iterator[int], start: int) -> Framed:
        """The careful way, for what holds a line that is too long: ``ends`` are the offsets after each newline."""
        lines = Framed()
        for value, end in zip(values, ends, strict=True):
            if self.parts or len(value) > self._piece:
                self.line = self.line if self.parts else start
                self._add_last_pieces(lines, value)
            elif value:
                if len(value) > self._limit:
                    reason = f"a line of {len(value)} bytes at byte {start}, longer than max_record ({self._limit})"
                    lines.spoiled[len(lines.values)] = reason
                lines.growing().append(value)
            start = end
        return lines

    def _add_last_pieces(self, lines: Framed, value: bytes) -> None:
        while len(value) > self._piece:
            self._add_piece(lines, value[: self._piece], last=False)
            value = value[self._piece :]
        if value:
            self._add_piece(lines, value, last=True)
        self.parts = 0

    def _add_piece(self, lines: Framed, value: bytes, *, last: bool) -> None:
        self.parts += 1
        end = ", the last" if last else ""
        reason = f"part {self.parts}{end} of a line at byte {self.line}, longer than {self._piece} bytes"
        lines.spoil(value, reason)


def _ends(chunk: bytes, end: bytes, offset: int) -> Iterator[int]:
    at = chunk.find(end)
    while at >= 0:
        yield offset + at + 1
        at = chunk.find(end, at + 1)


def frame_lines(values: Sequence[bytes]) -> tuple[bytes, dict[int, str]]:
    r"""The records as lines, each ended by ``\n``, and of those that cannot be a line, by index, the reason.

    JSON that holds newlines is compacted: only the white space between its tokens goes, so numbers of any size and
    precision, repeated keys and escapes stay as they are. Any other payload that holds a newline cannot be told from
    several records and is left out.
    """
    failed: dict[int, str] = {}
    if b"\n" in b"".join(values):
        values = [_compact(index, value, failed) for index, value in enumerate(values)]
    return _ended(values, b"\n", failed)


def _ended(values: Sequence[bytes], end: bytes, failed: dict[int, str]) -> tuple[bytes, dict[int, str]]:
    """Each record with ``end`` after it, but for those that have ``failed``, and for empty ones, which add to these:
    whoever reads would pass them over."""
    if not all(values):
        why = "an empty payload cannot be told where an end of a record is all that is there"
        failed |= {index: why for index, value in enumerate(values) if not value}
    if failed:
        values = [value for index, value in enumerate(values) if index not in failed]
    return end.join([*values, b""]), failed


def _compact(index: int, value: bytes, failed: dict[int, str]) -> bytes:
    import msgspec  # rarely needed, and start-up time matters

    if b"\n" not in value:
        return value
    try:
        return msgspec.json.format(value, indent=-1)
    except (msgspec.DecodeError, RecursionError) as error:
        failed[index] = f"a payload that holds a newline and is not JSON cannot be written as one line ({error})"
        return value
