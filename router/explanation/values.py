"""Values of records as text for people: on one line, cut where they are long, and harmless to a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from rules.cel.values import ABSENT, Duration, Opaque, Optional, Timestamp, Type, UInt

MASK: Final = "***"
_DEEPEST: Final = 50
_FEWEST: Final = 12
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def inert(text: str) -> str:
    """The text with whatever cannot be printed escaped: it cannot drive the terminal that it is shown on."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    plain = _ESCAPES.get(character)
    if plain is not None:
        return plain
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


class Values:
    """Writes values. ``mask`` takes out of a text what must not be shown; it is asked before anything is cut."""

    def __init__(self, mask: Callable[[str], str] = lambda text: text) -> None:
        self._mask = mask

    def text(self, text: str, room: int = 1000) -> str:
        """A text that is none of the record's values: a message, a name, an expression."""
        return _cut(inert(self._mask(text)), room)

    def value(self, value: object, room: int = 60) -> str:
        """A value as CEL and JSON write it, in ``room`` characters unless that is too few; of what is cut, its size."""
        pieces = self._pieces(value, 0)
        written = ""
        for piece in pieces:
            written += piece
            if len(written) > room:
                break
        else:
            return written
        ends = f"…{_size(value)}"
        return written[: max(room - len(ends), _FEWEST)] + ends

    def payload(self, payload: bytes, room: int) -> str:
        """Bytes as they travel: text where they are UTF-8, without quotes around it."""
        if not payload:
            return "(no bytes)"
        try:
            text = self._mask(payload.decode())
        except UnicodeDecodeError:
            return self.value(payload, room)
        shown = inert(text[: room + 1]) if len(text) > room else inert(text)
        return shown if len(shown) <= room else f"{shown[:room]}… ({len(payload):,} bytes)"

    def masked(self, text: str) -> str:
        """The text without what must not be shown."""
        return self._mask(text)

    def hides(self, value: object) -> bool:
        """Whether something in a value must not be shown."""
        return any(self._mask(text) != text for text in _texts(value, 0))

    def _pieces(self, value: object, depth: int) -> Iterator[str]:
        if depth > _DEEPEST:
            yield "…"
        elif isinstance(value, str):
            yield '"'
            yield from _in_quotes(self._mask(value))
            yield '"'
        elif isinstance(value, Mapping):
            yield from self._in_map(value, depth)
        elif isinstance(value, list | tuple):
            yield "["
            for index, element in enumerate(value):
                yield ", " if index else ""
                yield from self._pieces(element, depth + 1)
            yield "]"
        elif isinstance(value, bytes):
            yield from self._in_bytes(value)
        elif isinstance(value, Optional) and value.present:
            yield "optional.of("
            yield from self._pieces(value.content, depth + 1)
            yield ")"
        else:
            yield self._scalar(value)

    def _in_bytes(self, value: bytes) -> Iterator[str]:
        yield 'b"'
        try:
            yield from _in_quotes(self._mask(value.decode()))
        except UnicodeDecodeError:
            for start in range(0, len(value), 64):
                yield repr(value[start : start + 64])[2:-1]
        yield '"'

    def _in_map(self, value: Mapping[object, object], depth: int) -> Iterator[str]:
        yield "{"
        for index, key in enumerate(value):
            yield ", " if index else ""
            yield from self._pieces(key, depth + 1)
            yield ": "
            yield from self._pieces(value[key], depth + 1)
        yield "}"

    def _scalar(self, value: object) -> str:
        if value is None:
            return "null"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, UInt | int | float):
            return self._mask(repr(value))
        if isinstance(value, Timestamp):
            return f'timestamp("{value}")'
        if isinstance(value, Duration):
            return f'duration("{value}")'
        if isinstance(value, Optional):
            return "optional.none()"
        if value is ABSENT:
            return "nothing"
        return inert(self._mask(str(value))) if isinstance(value, Type | Opaque) else inert(self._mask(repr(value)))


def _in_quotes(text: str) -> Iterator[str]:
    """The characters of a text, some at a time: it may be long, and hardly any of it be shown."""
    for start in range(0, len(text), 64):
        yield "".join(
            character if character.isprintable() and character not in '"\\' else _escaped(character)
            for character in text[start : start + 64]
        )


def _size(value: object) -> str:
    if isinstance(value, str):
        return f'" ({len(value):,} characters)'
    if isinstance(value, bytes):
        return f'" ({len(value):,} bytes)'
    if isinstance(value, Mapping):
        return f" ({len(value):,} field{'' if len(value) == 1 else 's'})"
    if isinstance(value, list | tuple):
        return f" ({len(value):,} element{'' if len(value) == 1 else 's'})"
    return ""


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[:room]}…"


def _texts(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key in value if depth < _DEEPEST else ():
            yield from _texts(key, depth + 1)
            yield from _texts(value[key], depth + 1)
    elif isinstance(value, list | tuple):
        for element in value if depth < _DEEPEST else ():
            yield from _texts(element, depth + 1)
    elif isinstance(value, bytes):
        yield value.decode(errors="replace")
    else:
        yield str(value)
