"""Writing Avro's binary encoding: what an event says, or a CelError that names the field.

A value is written as what it is. Beyond that: whole doubles and unsigned integers are integers, integers are numbers
of any kind, text in a field of bytes is base64 (as bytes are in JSON), and what stands for a logical type is told
there. In a union the first branch that has the value exactly is taken, else the first that it can be written as.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

from rules.cel.errors import CelError
from rules.cel.values import Duration, Opaque, Optional, Timestamp, a_type
from rules.cel.values import Type as CelType
from rules.codecs.avro.resolution import default_of
from rules.codecs.avro.schema import NO_DEFAULT, Field, Type

Write = Callable[[Any, bytearray], None]

_ABSENT: Final = object()
_FLOAT: Final = struct.Struct("<f")
_DOUBLE: Final = struct.Struct("<d")
_BITS: Final = {"int": 31, "long": 63}
_TEXTS: Final = (Timestamp, Duration, CelType, Opaque)


class Unfit(Exception):
    """A value that has no form in its type; ``path`` leads to it, innermost first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str] = []


def encoder(type_: Type, *, drops: bool) -> Callable[[object], bytes]:
    """What writes events as this type; it raises CelError. ``drops``: fields that the type lacks are left out.

    Raises ValueError for defaults of the schema that are none.
    """
    write = _Writers(drops=drops).writer(type_)

    def encode(value: object) -> bytes:
        out = bytearray()
        try:
            write(value, out)
        except Unfit as error:
            where = "event" + "".join(reversed(error.path))
            raise CelError(f"it cannot be written as Avro: {where}: {error}") from error
        except RecursionError as error:
            raise CelError("it cannot be written as Avro: it nests too deeply") from error
        return bytes(out)

    return encode


def write_long(number: int, out: bytearray) -> None:
    """A number of 64 bits as a zigzag varint."""
    number = (number << 1) ^ (number >> 63)
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


class _Writers:
    """Makes the functions that write values of types, those of each record once."""

    def __init__(self, *, drops: bool) -> None:
        self._drops = drops
        self._records: dict[int, Write] = {}

    def writer(self, type_: Type) -> Write:
        """What writes values of the type; it raises Unfit."""
        if type_.kind == "record":
            return self._records.get(id(type_)) or self._record(type_)
        if type_.kind == "union":
            return self._union(type_)
        if type_.kind == "array":
            return self._array(type_)
        if type_.kind == "map":
            return self._map(type_)
        basic = _basic(type_)
        return basic if type_.logical is None else _logical(type_, basic)

    def _record(self, type_: Type) -> Write:
        def later(value: Any, out: bytearray) -> None:
            made(value, out)

        self._records[id(type_)] = later  # of a record that holds itself
        parts = [(field.name, self.writer(field.type), field) for field in type_.fields]
        made = _record_writer(
            type_, [(name, write, _absent(field, write)) for name, write, field in parts], self._drops
        )
        self._records[id(type_)] = made
        return made

    def _array(self, type_: Type) -> Write:
        assert type_.item is not None  # noqa: S101 - arrays have one
        write = self.writer(type_.item)

        def write_array(value: Any, out: bytearray) -> None:
            if value.__class__ is not list:
                value = _of_class(value, list, type_)
            if value:
                write_long(len(value), out)
                index = 0
                try:
                    for item in value:
                        write(item, out)
                        index += 1
                except Unfit as error:
                    error.path.append(f"[{index}]")
                    raise
            out.append(0)

        return write_array

    def _map(self, type_: Type) -> Write:
        assert type_.item is not None  # noqa: S101 - maps have one
        write = self.writer(type_.item)

        def write_map(value: Any, out: bytearray) -> None:
            if value.__class__ is not dict:
                value = _of_class(value, Mapping, type_)
            if value:
                write_long(len(value), out)
                name: object = ""
                try:
                    for name in value:
                        _write_text(name, out)
                        write(value[name], out)
                except Unfit as error:
                    error.path.append(f"[{name!r}]")
                    raise
            out.append(0)

        return write_map

    def _union(self, type_: Type) -> Write:
        writers = [(index, branch, self.writer(branch)) for index, branch in enumerate(type_.branches)]
        by_class: dict[type, list[tuple[int, Type, Write]]] = {}
        for entry in writers:
            for cls in _classes(entry[1]):
                by_class.setdefault(cls, []).append(entry)
        # A class that is of one branch alone, and whose values all have the same form there, needs no closer look.
        sure = {
            cls: (2 * found[0][0], found[0][2])
            for cls, found in by_class.items()
            if len(found) == 1 and found[0][1].kind in _SURE and found[0][1].logical is None
        }

        def write_union(value: Any, out: bytearray) -> None:
            known = sure.get(value.__class__)
            if known is not None:
                out.append(known[0])
                known[1](value, out)
                return
            for index, branch, write in by_class.get(value.__class__, ()):
                if is_exact(branch, value):
                    write_long(index, out)
                    write(value, out)
                    return
            write_other(value, out)

        def write_other(value: Any, out: bytearray) -> None:
            start = len(out)
            reasons: list[Unfit] = []
            for index, _, write in writers:
                try:
                    write_long(index, out)
                    write(value, out)
                    return
                except Unfit as error:
                    del out[start:]
                    reasons.append(error)
            if len(reasons) <= 2:  # null and another: the other says why
                raise max(reasons, key=lambda error: len(error.path)) if reasons[-1].path else reasons[-1]
            raise Unfit(f"{a_type_of(value)} is none of {type_}")

        return write_union


_SURE: Final = frozenset({"null", "boolean", "string", "bytes", "double"})


def _record_writer(type_: Type, fields: list[tuple[str, Write, bytes | None]], drops: bool) -> Write:
    names = frozenset(name for name, _, _ in fields)

    def write_record(value: Any, out: bytearray) -> None:
        if value.__class__ is not dict:
            value = _of_class(value, Mapping, type_)
        get, found, name = value.get, 0, ""
        try:
            for name, write, absent in fields:
                own = get(name, _ABSENT)
                if own is not _ABSENT:
                    found += 1
                    write(own, out)
                elif absent is not None:
                    out += absent
                else:
                    raise Unfit(f"it is missing, and {type_.name} has no default for it")
        except Unfit as error:
            error.path.append(f".{name}")
            raise
        if found < len(value) and not drops:
            raise Unfit(f"{type_.name} has no field {_others(value, names)}")

    return write_record


def _others(value: Mapping[object, object], names: frozenset[str]) -> str:
    others = sorted(str(name) for name in value if name not in names)
    return ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")


def _absent(field: Field, write: Write) -> bytes | None:
    """What is written of a field that an event lacks: its default, or null if it may be that. None: nothing may."""
    out = bytearray()
    try:
        if field.default is not NO_DEFAULT:
            write(default_of(field), out)
        elif field.type.kind in ("null", "union"):
            write(None, out)
        else:
            return None
    except Unfit as error:
        if field.default is not NO_DEFAULT:
            raise ValueError(f"the default of the field {field.name}: {error}") from error
        return None
    return bytes(out)


# Basic types


def _basic(type_: Type) -> Write:
    """What writes values of a type that is not made of others, as if it had no logical type."""
    match type_.kind:
        case "int" | "long":
            return _integer_writer(type_)
        case "enum":
            return _enum_writer(type_)
        case "fixed":
            return _fixed_writer(type_)
        case kind:
            return _WRITERS[kind]


def _integer_writer(type_: Type) -> Write:
    limit = 1 << _BITS[type_.kind]

    def write_integer(value: Any, out: bytearray) -> None:
        if value.__class__ is not int:
            value = _integer(value, type_)
        if not -limit <= value < limit:
            raise Unfit(f"the number does not fit into {type_}")
        value = (value << 1) ^ (value >> 63)
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)

    return write_integer


def _integer(value: object, type_: Type) -> int:
    value = _content(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise Unfit(f"{a_type_of(value)} is not {type_}")


def _number(value: object, kind: str) -> float:
    value = _content(value)
    if isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise Unfit(f"the number does not fit into a {kind}") from error
    raise Unfit(f"{a_type_of(value)} is not a {kind}")


def _write_float(value: Any, out: bytearray) -> None:
    number = value if value.__class__ is float else _number(value, "float")
    try:
        out += _FLOAT.pack(number)
    except OverflowError as error:
        raise Unfit("the number does not fit into a float") from error


def _write_double(value: Any, out: bytearray) -> None:
    out += _DOUBLE.pack(value if value.__class__ is float else _number(value, "double"))


def _write_boolean(value: Any, out: bytearray) -> None:
    value = _content(value)
    if not isinstance(value, bool):
        raise Unfit(f"{a_type_of(value)} is not a boolean")
    out.append(value)


def _write_null(value: Any, out: bytearray) -> None:  # noqa: ARG001 - null has no bytes
    if _content(value) is not None:
        raise Unfit(f"{a_type_of(value)} is not null")


def _write_text(value: Any, out: bytearray) -> None:
    if value.__class__ is not str:
        value = _content(value)
        if isinstance(value, _TEXTS):
            value = str(value)
        if not isinstance(value, str):
            raise Unfit(f"{a_type_of(value)} is not a string")
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        raise Unfit("it is not valid Unicode") from error
    size = len(data)
    if size < 64:
        out.append(size << 1)
    else:
        write_long(size, out)
    out += data


def _write_bytes(value: Any, out: bytearray) -> None:
    data = _bytes(value, "bytes")
    write_long(len(data), out)
    out += data


def _bytes(value: object, what: str) -> bytes:
    value = _content(value)
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Unfit("text in a field of bytes should be base64; `bytes(...)` makes bytes of any text") from error
    if not isinstance(value, bytes):
        raise Unfit(f"{a_type_of(value)} is not {what}")
    return value


def _fixed_writer(type_: Type) -> Write:
    def write_fixed(value: Any, out: bytearray) -> None:
        data = _bytes(value, str(type_))
        if len(data) != type_.size:
            raise Unfit(f"{len(data)} bytes are not the {type_.size} of {type_.name}")
        out += data

    return write_fixed


def _enum_writer(type_: Type) -> Write:
    indices = {symbol: index for index, symbol in enumerate(type_.symbols)}

    def write_enum(value: Any, out: bytearray) -> None:
        index = indices.get(value) if value.__class__ is str else indices.get(_of_class(value, str, type_))
        if index is None:
            raise Unfit(f"it is no symbol of {type_.name}")
        write_long(index, out)

    return write_enum


_WRITERS: Final[Mapping[str, Write]] = {
    "null": _write_null,
    "boolean": _write_boolean,
    "float": _write_float,
    "double": _write_double,
    "bytes": _write_bytes,
    "string": _write_text,
}


def _logical(type_: Type, basic: Write) -> Write:
    assert type_.logical is not None  # noqa: S101 - asked by the caller
    convert = type_.logical.write

    def write_logical(value: Any, out: bytearray) -> None:
        try:
            value = convert(_content(value))
        except ValueError as error:
            raise Unfit(str(error)) from error
        basic(value, out)

    return write_logical


# Values


def _content(value: object) -> object:
    """The value of an optional, or null; any other value as it is."""
    if isinstance(value, Optional):
        return value.content if value.present else None
    return value


def _of_class(value: object, cls: type, type_: Type) -> Any:
    value = _content(value)
    if isinstance(value, cls):
        return value
    raise Unfit(f"{a_type_of(value)} is not {type_}")


def a_type_of(value: object) -> str:
    """The CEL type of a value, for messages."""
    return a_type(value)


_CLASSES: Final[Mapping[str, tuple[type, ...]]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "int": (int,),
    "long": (int,),
    "float": (float,),
    "double": (float,),
    "bytes": (bytes,),
    "fixed": (bytes,),
    "string": (str,),
    "enum": (str,),
    "array": (list,),
    "map": (dict,),
    "record": (dict,),
}


def _classes(type_: Type) -> tuple[type, ...]:
    return _CLASSES[type_.kind] if type_.logical is None else (type_.logical.cls,)


def is_exact(type_: Type, value: object) -> bool:
    """Whether a value that is written as this type is read as what it is, be it of another branch of a union."""
    if type_.kind == "union":
        return any(is_exact(branch, value) for branch in type_.branches)
    if type(value) not in _classes(type_):
        return False
    if type_.logical is not None:
        return _survives(type_, value)
    match type_.kind:
        case "int" | "long":
            limit = 1 << _BITS[type_.kind]
            return isinstance(value, int) and -limit <= value < limit
        case "float":
            return isinstance(value, float) and _is_single(value)
        case "fixed":
            return isinstance(value, bytes) and len(value) == type_.size
        case "enum":
            return value in type_.symbols
        case "array" | "map":
            return _are_exact(type_.item, value)
        case "record":
            return _is_exact_record(type_, value)
    return True


def _is_single(value: float) -> bool:
    try:
        return bool(_FLOAT.unpack(_FLOAT.pack(value))[0] == value) or value != value
    except OverflowError:
        return False


def _survives(type_: Type, value: object) -> bool:
    assert type_.logical is not None  # noqa: S101 - asked by the caller
    out = bytearray()
    try:
        basic = type_.logical.write(value)
        _basic(type_)(basic, out)
        return bool(type_.logical.read(basic) == value)
    except (ValueError, TypeError, Unfit):
        return False


def _are_exact(item: Type | None, value: object) -> bool:
    if item is None:
        return False
    if isinstance(value, dict):
        return all(type(name) is str for name in value) and all(is_exact(item, part) for part in value.values())
    return isinstance(value, list) and all(is_exact(item, part) for part in value)


def _is_exact_record(type_: Type, value: object) -> bool:
    if not isinstance(value, dict) or len(value) != len(type_.fields):
        return False
    return all(field.name in value and is_exact(field.type, value[field.name]) for field in type_.fields)
