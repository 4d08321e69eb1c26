"""Points and spans of time, exact to the nanosecond: what ``datetime`` cannot hold."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from msgspec import Struct

from rules.cel.errors import CelError

NANOS: Final = 1_000_000_000
_DAY: Final = 86_400
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_FIRST_SECOND: Final = -62_135_596_800  # 0001-01-01T00:00:00Z
_LAST_SECOND: Final = 253_402_300_799  # 9999-12-31T23:59:59Z
_SPAN: Final = 2**63  # a duration is an int64 of nanoseconds
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_RFC3339: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)
_DURATION: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h)")
_PART: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": NANOS,
    "m": 60 * NANOS,
    "h": 3600 * NANOS,
}
# A number longer than this is out of range whatever its unit, and costs nothing to refuse.
_LONGEST_TEXT: Final = 256


class Timestamp(Struct, frozen=True, order=True):
    """A point in time: seconds since 1970-01-01T00:00:00Z, and nanoseconds (0 to 999,999,999) after that second."""

    seconds: int
    nanos: int = 0

    def __post_init__(self) -> None:
        if not (_FIRST_SECOND <= self.seconds <= _LAST_SECOND and 0 <= self.nanos < NANOS):
            raise CelError("the timestamp is out of range: years 1 to 9999")

    @classmethod
    def from_nanos(cls, total: int) -> Timestamp:
        """The timestamp that many nanoseconds after 1970."""
        return cls(*divmod(total, NANOS))

    @classmethod
    def parse(cls, text: str) -> Timestamp:
        """Read RFC 3339, such as ``2009-02-13T23:31:30.5Z`` or ``2009-02-14T01:31:30+02:00``."""
        found = _RFC3339.fullmatch(text) if len(text) <= _LONGEST_TEXT else None
        if found is None:
            raise CelError(f"{_shown(text)} is not a timestamp: RFC 3339 is expected, as in 2009-02-13T23:31:30Z")
        year, month, day, hour, minute, second = map(int, found.groups()[:6])
        fraction, sign, zone_hours, zone_minutes = found.groups()[6:]
        if hour > 23 or minute > 59 or second > 59 or int(zone_hours or 0) > 23 or int(zone_minutes or 0) > 59:
            raise CelError(f"{_shown(text)} is not a timestamp: the time of day does not exist")
        try:
            days = date(year, month, day).toordinal() - _EPOCH_DAY
        except ValueError as error:
            raise CelError(f"{_shown(text)} is not a timestamp: {error}") from error
        offset = int(zone_hours or 0) * 3600 + int(zone_minutes or 0) * 60
        seconds = days * _DAY + hour * 3600 + minute * 60 + second
        return cls(seconds + offset if sign == "-" else seconds - offset, _fraction(fraction or ""))

    @property
    def total_nanos(self) -> int:
        """Nanoseconds since 1970."""
        return self.seconds * NANOS + self.nanos

    def to_datetime(self) -> datetime:
        """The same moment in UTC, cut to the microsecond."""
        return _EPOCH + timedelta(seconds=self.seconds, microseconds=self.nanos // 1000)

    def __str__(self) -> str:
        days, second = divmod(self.seconds, _DAY)
        day = date.fromordinal(days + _EPOCH_DAY).isoformat()
        hour, second = divmod(second, 3600)
        return f"{day}T{hour:02}:{second // 60:02}:{second % 60:02}{_decimals(self.nanos)}Z"


class Duration(Struct, frozen=True, order=True):
    """A span of time: whole seconds, and nanoseconds that carry the same sign."""

    seconds: int
    nanos: int = 0

    def __post_init__(self) -> None:
        if abs(self.nanos) >= NANOS or self.seconds * self.nanos < 0:
            raise CelError("the nanoseconds of a duration are less than a second and carry its sign")
        if not -_SPAN <= self.total_nanos < _SPAN:
            raise CelError("the duration is out of range: about 292 years either way")

    @classmethod
    def from_nanos(cls, total: int) -> Duration:
        """The duration of that many nanoseconds."""
        seconds, nanos = divmod(abs(total), NANOS)
        return cls(seconds, nanos) if total >= 0 else cls(-seconds, -nanos)

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read a number with a unit, or several: ``90s``, ``1h30m``, ``-1.5ms``."""
        body = text[1:] if text[:1] in {"+", "-"} else text
        if body == "0":
            return cls(0)
        parts = list(_PART.finditer(body)) if len(text) <= _LONGEST_TEXT and _DURATION.match(text) else []
        if not parts or "".join(part[0] for part in parts) != body or any(not (p[1] or p[2]) for p in parts):
            raise CelError(f"{_shown(text)} is not a duration: numbers with units h m s ms us ns, as in 1h30m or 1.5s")
        total = sum(_part_nanos(part[1], part[2] or "", _UNITS[part[3]]) for part in parts)
        return cls.from_nanos(-total if text[0] == "-" else total)

    @property
    def total_nanos(self) -> int:
        """All of it in nanoseconds."""
        return self.seconds * NANOS + self.nanos

    def __str__(self) -> str:
        sign = "-" if self.seconds < 0 or self.nanos < 0 else ""
        return f"{sign}{abs(self.seconds)}{_decimals(abs(self.nanos))}s"


def _part_nanos(whole: str, decimals: str, unit: int) -> int:
    scale: int = 10 ** len(decimals)
    return int(whole or "0") * unit + int(decimals or "0") * unit // scale


def _fraction(digits: str) -> int:
    """Nanoseconds from the digits after a point; what is finer is cut off."""
    return int(digits[:9].ljust(9, "0"))


def _decimals(nanos: int) -> str:
    return f".{nanos:09}".rstrip("0") if nanos else ""


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
