"""Protobuf's wire format, walked through to find where a message is broken: the library does not say."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor as Fd

_LONGEST: Final = 10  # bytes of a varint of 64 bits
_DEEPEST: Final = 100  # what the library reads
_MESSAGES: Final = frozenset({Fd.TYPE_MESSAGE, Fd.TYPE_GROUP})
_FIXED: Final = {
    Fd.TYPE_DOUBLE: 8,
    Fd.TYPE_FIXED64: 8,
    Fd.TYPE_SFIXED64: 8,
    Fd.TYPE_FLOAT: 4,
    Fd.TYPE_FIXED32: 4,
    Fd.TYPE_SFIXED32: 4,
}
_UNPACKED: Final = frozenset({Fd.TYPE_STRING, Fd.TYPE_BYTES, *_MESSAGES})


class Broken(Exception):
    """Says what is wrong, and at which byte."""


def find_fault(descriptor: Any, data: bytes) -> str:
    """What is wrong with the bytes of a message, at which byte and in which field; empty if nothing is found."""
    try:
        _message(data, 0, len(data), descriptor, [])
    except Broken as error:
        return str(error)
    return ""


def _message(data: bytes, at: int, end: int, descriptor: Any, path: list[str]) -> None:
    if len(path) > _DEEPEST:
        raise Broken(f"nested deeper than {_DEEPEST} at byte {at}")
    while at < end:
        start = at
        tag, at = _varint(data, at, end, path)
        number, wire = tag >> 3, tag & 7
        field = None if descriptor is None else descriptor.fields_by_number.get(number)
        if not 0 < number < 1 << 29:
            raise Broken(f"{number} at byte {start} is no number of a field{_in(path)}")
        path.append(str(number) if field is None else field.name)
        at = _field(data, at, end, field, number, wire, path)
        path.pop()


def _field(data: bytes, at: int, end: int, field: Any, number: int, wire: int, path: list[str]) -> int:
    """Where the value of a field ends."""
    match wire:
        case 0:
            return _varint(data, at, end, path)[1]
        case 1 | 5:
            return _skip(at, 8 if wire == 1 else 4, end, path)
        case 2:
            size, start = _varint(data, at, end, path)
            stop = _skip(start, size, end, path)
            if field is not None:
                _content(data, start, stop, field, path)
            return stop
        case 3:
            return _group(data, at, end, field, number, path)
    raise Broken(f"{wire} before byte {at} is no wire type that can stand there{_in(path)}")


def _content(data: bytes, at: int, end: int, field: Any, path: list[str]) -> None:
    if field.type == Fd.TYPE_STRING:
        try:
            data[at:end].decode()
        except UnicodeDecodeError as error:
            raise Broken(f"not UTF-8 at byte {at + error.start}{_in(path)}") from error
    elif field.type in _MESSAGES:
        _message(data, at, end, field.message_type, path)
    elif field.type in _FIXED:
        if (end - at) % _FIXED[field.type]:
            raise Broken(f"{end - at} bytes at byte {at} are no list of numbers of {_FIXED[field.type]}{_in(path)}")
    elif field.type not in _UNPACKED:
        while at < end:
            _, at = _varint(data, at, end, path)


def _group(data: bytes, at: int, end: int, field: Any, number: int, path: list[str]) -> int:
    if len(path) > _DEEPEST:
        raise Broken(f"nested deeper than {_DEEPEST} at byte {at}")
    descriptor = None if field is None else field.message_type
    while at < end:
        tag, at = _varint(data, at, end, path)
        if tag & 7 == 4:
            if tag >> 3 != number:
                raise Broken(f"group {tag >> 3} ends before byte {at}, and {number} is open{_in(path)}")
            return at
        inner = None if descriptor is None else descriptor.fields_by_number.get(tag >> 3)
        path.append(str(tag >> 3) if inner is None else inner.name)
        at = _field(data, at, end, inner, tag >> 3, tag & 7, path)
        path.pop()
    raise Broken(f"it ends too early, at byte {end}: group {number} is open{_in(path)}")


def _varint(data: bytes, at: int, end: int, path: list[str]) -> tuple[int, int]:
    number = 0
    for place, byte in enumerate(data[at : min(at + _LONGEST, end)]):
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, at + place + 1
    if end - at < _LONGEST:
        raise Broken(f"it ends too early, at byte {end}, in the number at byte {at}{_in(path)}")
    raise Broken(f"the number at byte {at} does not end{_in(path)}")


def _skip(at: int, size: int, end: int, path: list[str]) -> int:
    if at + size > end:
        raise Broken(f"it ends too early, at byte {end}: {size} bytes from byte {at} on{_in(path)}")
    return at + size


def _in(path: list[str]) -> str:
    return f" (in {'.'.join(path)})" if path else ""
