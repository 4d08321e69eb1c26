"""From one type to another: ``int uint double string bytes bool type dyn timestamp duration`` and ``base64``."""

import re
from typing import Final

from rules.cel.errors import CelError
from rules.cel.functions.registry import Number, function
from rules.cel.values import INT_MAX, INT_MIN, UINT_MAX, Duration, Timestamp, Type, UInt, type_of

_INT: Final = re.compile(r"[+-]?[0-9]{1,64}")
_UINT: Final = re.compile(r"[0-9]{1,64}")
_DOUBLE: Final = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf|infinity|nan))")
_BOOLS: Final = dict.fromkeys(("1", "t", "true", "TRUE", "True"), True) | dict.fromkeys(
    ("0", "f", "false", "FALSE", "False"), False
)
# From here on strconv's and CEL's shortest form of a double writes an exponent.
_LARGE_EXPONENT: Final = 6
_SMALL_EXPONENT: Final = -4


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


@function("int")
def _int_of_number(value: int | UInt) -> int:
    """An integer of 64 bits: of a double, cut; of a text in digits; of a timestamp, its seconds since 1970.

    Example: int("12") == 12
    Example: int(-1.9) == -1
    Example: int(timestamp("1970-01-01T00:01:00Z")) == 60
    """
    if value > INT_MAX:
        raise CelError(f"int(): {int(value)} is out of range")
    return int(value)


@function("int")
def _int_of_double(value: float) -> int:
    """An integer of 64 bits: of a double, cut; of a text in digits; of a timestamp, its seconds since 1970.

    Example: int("12") == 12
    Example: int(-1.9) == -1
    Example: int(timestamp("1970-01-01T00:01:00Z")) == 60
    """
    # Both ends are refused, as the specification does: doubles beside them are not exact.
    if not INT_MIN < value < INT_MAX:
        raise CelError(f"int(): {value} is out of range")
    return int(value)


@function("int")
def _int_of_string(text: str) -> int:
    """An integer of 64 bits: of a double, cut; of a text in digits; of a timestamp, its seconds since 1970.

    Example: int("12") == 12
    Example: int(-1.9) == -1
    Example: int(timestamp("1970-01-01T00:01:00Z")) == 60
    """
    if not _INT.fullmatch(text) or not INT_MIN <= (value := int(text)) <= INT_MAX:
        raise CelError(f"int(): {_shown(text)} is not an integer of 64 bits")
    return value


@function("int")
def _int_of_timestamp(moment: Timestamp) -> int:
    """An integer of 64 bits: of a double, cut; of a text in digits; of a timestamp, its seconds since 1970.

    Example: int("12") == 12
    Example: int(-1.9) == -1
    Example: int(timestamp("1970-01-01T00:01:00Z")) == 60
    """
    return moment.seconds


@function("uint")
def _uint_of_number(value: int | UInt) -> UInt:
    """An unsigned integer of 64 bits.

    Example: uint("12") == 12u
    Example: uint(1.9) == 1u
    """
    if value < 0:
        raise CelError(f"uint(): {value} is negative")
    return UInt(value)


@function("uint")
def _uint_of_double(value: float) -> UInt:
    """An unsigned integer of 64 bits.

    Example: uint("12") == 12u
    Example: uint(1.9) == 1u
    """
    if not 0 <= value < UINT_MAX:
        raise CelError(f"uint(): {value} is out of range")
    return UInt(int(value))


@function("uint")
def _uint_of_string(text: str) -> UInt:
    """An unsigned integer of 64 bits.

    Example: uint("12") == 12u
    Example: uint(1.9) == 1u
    """
    if not _UINT.fullmatch(text) or (value := int(text)) > UINT_MAX:
        raise CelError(f"uint(): {_shown(text)} is not an unsigned integer of 64 bits")
    return UInt(value)


@function("double")
def _double_of_number(value: Number) -> float:
    """A double.

    Example: double("1.5e3") == 1500.0
    Example: double(12) == 12.0
    """
    return float(value)


@function("double")
def _double_of_string(text: str) -> float:
    """A double.

    Example: double("1.5e3") == 1500.0
    Example: double(12) == 12.0
    """
    if not _DOUBLE.fullmatch(text):
        raise CelError(f"double(): {_shown(text)} is not a number")
    value = float(text)
    if value in {float("inf"), float("-inf")} and "i" not in text.lower():
        raise CelError(f"double(): {_shown(text)} is out of range")
    return value


@function("bool")
def _bool_of_bool(value: bool) -> bool:
    """A boolean; of a text, `true`, `t`, `1`, or `false`, `f`, `0`.

    Example: bool("true") == true
    """
    return value


@function("bool")
def _bool_of_string(text: str) -> bool:
    """A boolean; of a text, `true`, `t`, `1`, or `false`, `f`, `0`.

    Example: bool("true") == true
    """
    if text not in _BOOLS:
        raise CelError(f"bool(): {_shown(text)} is neither true nor false")
    return _BOOLS[text]


@function("string")
def _string_of_string(value: str) -> str:
    """A text: of a number, its shortest form; of bytes, their UTF-8; of a time, RFC 3339.

    Example: string(12.5) == "12.5"
    Example: string(b"a") == "a"
    Example: string(duration("90m")) == "5400s"
    """
    return value


@function("string")
def _string_of_bool(value: bool) -> str:
    """A text: of a number, its shortest form; of bytes, their UTF-8; of a time, RFC 3339.

    Example: string(12.5) == "12.5"
    Example: string(b"a") == "a"
    Example: string(duration("90m")) == "5400s"
    """
    return "true" if value else "false"


@function("string")
def _string_of_number(value: int | UInt | Timestamp | Duration) -> str:
    """A text: of a number, its shortest form; of bytes, their UTF-8; of a time, RFC 3339.

    Example: string(12.5) == "12.5"
    Example: string(b"a") == "a"
    Example: string(duration("90m")) == "5400s"
    """
    return str(value)


@function("string")
def _string_of_double(value: float) -> str:
    """The shortest text that reads back as the same double, in the form of C's ``%g``."""
    if value != value:
        return "NaN"
    if value in {float("inf"), float("-inf")}:
        return "+Inf" if value > 0 else "-Inf"
    from decimal import Decimal

    shortest = repr(value)
    decimal = Decimal(shortest).normalize()
    exponent = decimal.adjusted()
    if not value or _SMALL_EXPONENT <= exponent < _LARGE_EXPONENT:
        return shortest.removesuffix(".0")
    first, *others = map(str, decimal.as_tuple().digits)
    mantissa = f"{first}.{''.join(others)}" if others else first
    return f"{'-' if value < 0 else ''}{mantissa}e{exponent:+03}"


@function("string")
def _string_of_bytes(value: bytes) -> str:
    """A text: of a number, its shortest form; of bytes, their UTF-8; of a time, RFC 3339.

    Example: string(12.5) == "12.5"
    Example: string(b"a") == "a"
    Example: string(duration("90m")) == "5400s"
    """
    return value.decode()


@function("bytes")
def _bytes_of_bytes(value: bytes) -> bytes:
    r"""Bytes; of a text, its UTF-8.

    Example: bytes("é") == b"\xc3\xa9"
    """
    return value


@function("bytes")
def _bytes_of_string(text: str) -> bytes:
    r"""Bytes; of a text, its UTF-8.

    Example: bytes("é") == b"\xc3\xa9"
    """
    return text.encode()


@function("type")
def _type_of_value(value: object) -> Type:
    """The type of a value.

    Example: type(1) == int
    Example: type("a") == string
    Example: type(null) == null_type
    """
    return type_of(value)


@function("dyn")
def _dyn(value: object) -> object:
    """The value as it is; for CEL's type checkers.

    Example: dyn(1) == 1
    """
    return value


@function("timestamp")
def _timestamp_of_timestamp(moment: Timestamp) -> Timestamp:
    """A point in time, exact to the nanosecond; of a text in RFC 3339, or of seconds since 1970.

    Example: timestamp("2026-01-31T12:00:00Z") + duration("90m") == timestamp("2026-01-31T13:30:00Z")
    Example: timestamp(0) == timestamp("1970-01-01T00:00:00Z")
    """
    return moment


@function("timestamp")
def _timestamp_of_string(text: str) -> Timestamp:
    """A point in time, exact to the nanosecond; of a text in RFC 3339, or of seconds since 1970.

    Example: timestamp("2026-01-31T12:00:00Z") + duration("90m") == timestamp("2026-01-31T13:30:00Z")
    Example: timestamp(0) == timestamp("1970-01-01T00:00:00Z")
    """
    return Timestamp.parse(text)


@function("timestamp")
def _timestamp_of_seconds(seconds: int) -> Timestamp:
    """A point in time, exact to the nanosecond; of a text in RFC 3339, or of seconds since 1970.

    Example: timestamp("2026-01-31T12:00:00Z") + duration("90m") == timestamp("2026-01-31T13:30:00Z")
    Example: timestamp(0) == timestamp("1970-01-01T00:00:00Z")
    """
    return Timestamp(seconds)


@function("duration")
def _duration_of_duration(span: Duration) -> Duration:
    """A span of time, of numbers with the units `h`, `m`, `s`, `ms`, `us`, `ns`.

    Example: duration("1h30m") == duration("90m")
    """
    return span


@function("duration")
def _duration_of_string(text: str) -> Duration:
    """A span of time, of numbers with the units `h`, `m`, `s`, `ms`, `us`, `ns`.

    Example: duration("1h30m") == duration("90m")
    """
    return Duration.parse(text)


@function("base64.encode")
def _base64_encode(value: bytes) -> str:
    """Bytes as base64.

    Example: base64.encode(b"hi") == "aGk="
    """
    import base64

    return base64.b64encode(value).decode()


@function("base64.decode")
def _base64_decode(text: str) -> bytes:
    """The bytes of a base64 text, with all of its padding or without any.

    Example: base64.decode("aGk") == b"hi"
    """
    import base64

    body = text.rstrip("=")
    padding = "=" * (-len(body) % 4)
    if text not in (body, body + padding):
        raise CelError("base64.decode(): the padding is not what the length of the text asks for, nor none")
    return base64.b64decode(body + padding, validate=True)
