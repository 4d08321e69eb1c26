"""Avro's logical types: what a value of a basic type means, as an event has it.

| logical type | in events |
| --- | --- |
| ``timestamp-millis``, ``-micros``, ``-nanos`` | a timestamp |
| ``local-timestamp-millis``, ``-micros``, ``-nanos`` | text, ``2026-01-31T12:34:56.789`` |
| ``date`` | text, ``2026-01-31`` |
| ``time-millis``, ``-micros`` | text, ``12:34:56.789`` |
| ``decimal`` | text with all of its decimals, ``12.50`` |
| ``uuid`` | text |
| ``duration`` | a map of ``months``, ``days`` and ``millis`` |

Every other logical type is what its basic type is, as the specification wants it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

from msgspec import Struct

from rules.cel.errors import CelError
from rules.cel.temporal import NANOS, Duration, Timestamp


class Logical(Struct, frozen=True):
    """What a logical type makes of a basic value.

    ``read`` makes the event's value of the basic one, ``write`` the basic one of whatever stands for it in an event,
    the basic value included. Both raise ValueError. ``cls`` is the class of what ``read`` makes.
    """

    name: str
    cls: type
    read: Callable[[Any], object]
    write: Callable[[object], object]


def logical_of(kind: str, schema: Mapping[str, object]) -> Logical | None:
    """The logical type that a schema of this kind names; None for none, an unknown one, or one that it cannot have."""
    name = schema.get("logicalType")
    if not isinstance(name, str):
        return None
    if name == "decimal" and kind in ("bytes", "fixed"):
        return _decimal(schema)
    if name == "uuid" and kind == "fixed" and schema.get("size") == 16:
        return Logical(name, str, _uuid_text, _uuid_bytes)
    if name == "duration" and kind == "fixed" and schema.get("size") == 12:
        return Logical(name, dict, _read_duration, _write_duration)
    return _OF_NUMBERS.get((kind, name))


_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?")
_DAY: Final = 86_400
_MOST_DIGITS: Final = 1000  # of a decimal; a schema that comes with the data could claim any number


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _read_date(days: int) -> str:
    try:
        return date.fromordinal(days + _EPOCH_DAY).isoformat()
    except (ValueError, OverflowError) as error:
        raise ValueError("the date is out of range: years 1 to 9999") from error


def _write_date(value: object) -> object:
    if isinstance(value, Timestamp):
        return value.seconds // _DAY
    if isinstance(value, str):
        if not _DATE.fullmatch(value):
            raise ValueError("a date is text such as 2026-01-31")
        return date.fromisoformat(value).toordinal() - _EPOCH_DAY
    return value


def _time(digits: int) -> tuple[Callable[[int], str], Callable[[object], object]]:
    """Times of day with so many decimals of a second."""
    unit = 10**digits

    def read(ticks: int) -> str:
        seconds, rest = divmod(ticks, unit)
        if not 0 <= seconds < _DAY:
            raise ValueError("the time of day is out of range")
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:0{digits}}"

    def write(value: object) -> object:
        if isinstance(value, Duration):
            return value.total_nanos * unit // NANOS
        if not isinstance(value, str):
            return value
        found = _TIME.fullmatch(value)
        if found is None or int(found[1]) > 23 or int(found[2]) > 59 or int(found[3] or 0) > 59:
            raise ValueError("a time of day is text such as 12:34:56.789")
        seconds = int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3] or 0)
        return seconds * unit + int((found[4] or "")[:digits].ljust(digits, "0"))

    return read, write


def _timestamp(digits: int) -> tuple[Callable[[int], Timestamp], Callable[[object], object]]:
    """Timestamps in ticks of so many decimals of a second. What is finer is cut off."""
    nanos = 10 ** (9 - digits)

    def read(ticks: int) -> Timestamp:
        try:
            return Timestamp.from_nanos(ticks * nanos)
        except CelError as error:
            raise ValueError(str(error)) from error

    def write(value: object) -> object:
        if isinstance(value, Timestamp):
            return value.total_nanos // nanos
        if isinstance(value, str):
            try:
                return Timestamp.parse(value).total_nanos // nanos
            except CelError as error:
                raise ValueError(str(error)) from error
        return value

    return read, write


def _local(digits: int) -> tuple[Callable[[int], str], Callable[[object], object]]:
    """The same without a time zone: text with so many decimals."""
    moment, ticks = _timestamp(digits)

    def read(value: int) -> str:
        at = moment(value)
        whole = str(Timestamp(at.seconds)).removesuffix("Z")
        return f"{whole}.{at.nanos // 10 ** (9 - digits):0{digits}}"

    def write(value: object) -> object:
        if not isinstance(value, str):
            return ticks(value)
        try:
            return ticks(value + "Z")
        except ValueError as error:
            raise ValueError("a local timestamp is text such as 2026-01-31T12:34:56.789") from error

    return read, write


def _decimal(schema: Mapping[str, object]) -> Logical | None:
    precision, scale, size = schema.get("precision"), schema.get("scale", 0), schema.get("size")
    if not isinstance(precision, int) or not isinstance(scale, int) or not 0 <= scale <= precision:
        return None
    if not 0 < precision <= _MOST_DIGITS:
        return None

    def read(raw: bytes) -> str:
        number = int.from_bytes(raw, "big", signed=True)
        if abs(number) >= 10**precision:
            raise ValueError(f"the decimal has more than {precision} digits")
        digits = f"{abs(number):0{scale + 1}}"
        point = len(digits) - scale
        return ("-" if number < 0 else "") + digits[:point] + ("." + digits[point:] if scale else "")

    def write(value: object) -> object:
        if isinstance(value, bytes):
            return value
        number = _unscaled(value, precision, scale)
        width = size if isinstance(size, int) else (number.bit_length() // 8) + 1
        try:
            return number.to_bytes(width, "big", signed=True)
        except OverflowError as error:
            raise ValueError(f"the decimal does not fit into {width} bytes") from error

    return Logical("decimal", str, read, write)


def _unscaled(value: object, precision: int, scale: int) -> int:
    """The digits of a decimal as one integer. Nothing is rounded."""
    from decimal import Decimal, InvalidOperation, localcontext

    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("a decimal is text or a number")  # noqa: TRY004 - as every other misfit
    if isinstance(value, str) and (len(value) > precision + 40 or not value.isascii() or "_" in value):
        raise ValueError("a decimal is text such as 12.50")
    try:
        with localcontext() as context:
            context.prec = precision + scale + 400  # more digits than any double or any text above has
            number = Decimal(repr(value) if isinstance(value, float) else value)
            if not number.is_finite():
                raise ValueError("a decimal is a finite number")
            if number != 0 and number.adjusted() + scale >= precision:
                raise ValueError(f"the decimal has more than {precision} digits")
            scaled = number.scaleb(scale)
            if scaled != scaled.to_integral_value():
                raise ValueError(f"the decimal has more than {scale} decimals, and nothing is rounded")
            return int(scaled)
    except InvalidOperation as error:
        raise ValueError("a decimal is text such as 12.50") from error


def _uuid_text(raw: bytes) -> str:
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _uuid_bytes(value: object) -> object:
    import uuid

    if not isinstance(value, str):
        return value
    try:
        return uuid.UUID(value).bytes
    except ValueError as error:
        raise ValueError("a UUID is text such as 123e4567-e89b-12d3-a456-426614174000") from error


_PARTS: Final = ("months", "days", "millis")
_THREE: Final = struct.Struct("<III")


def _read_duration(raw: bytes) -> dict[str, int]:
    return dict(zip(_PARTS, _THREE.unpack(raw), strict=True))


def _write_duration(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    numbers = [value.get(name) for name in _PARTS]
    if len(value) != len(_PARTS) or not all(map(_is_integer, numbers)):
        raise ValueError("a duration is a map of months, days and millis, each an integer")
    try:
        return _THREE.pack(*numbers)
    except struct.error as error:
        raise ValueError("months, days and millis are integers from 0 to 2**32 - 1") from error


_DIGITS: Final = {"millis": 3, "micros": 6, "nanos": 9}
_OF_NUMBERS: Final[Mapping[tuple[str, str], Logical]] = {
    ("int", "date"): Logical("date", str, _read_date, _write_date),
    ("int", "time-millis"): Logical("time-millis", str, *_time(3)),
    ("long", "time-micros"): Logical("time-micros", str, *_time(6)),
    **{
        ("long", f"timestamp-{unit}"): Logical(f"timestamp-{unit}", Timestamp, *_timestamp(digits))
        for unit, digits in _DIGITS.items()
    },
    **{
        ("long", f"local-timestamp-{unit}"): Logical(f"local-timestamp-{unit}", str, *_local(digits))
        for unit, digits in _DIGITS.items()
    },
}
