"""What comes from a database, as expressions see it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

from rules.cel import Duration, Timestamp

_AS_THEY_ARE = frozenset({type(None), bool, int, float, str, bytes})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def cel_value(value: object) -> object:
    """A value of a driver: times with a date become timestamps, in UTC where they do not tell, spans durations; dates,
    times of day, UUIDs and decimals become text, so that nothing is rounded. Raises ValueError for any other."""
    if type(value) in _AS_THEY_ARE:
        return value
    match value:
        case datetime():
            moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
            return Timestamp.from_nanos((moment - _EPOCH) // _MICROSECOND * 1000)
        case timedelta():
            return Duration.from_nanos(value // _MICROSECOND * 1000)
        case date() | time():
            return value.isoformat()
        case Decimal() | UUID():
            return str(value)
        case bytearray() | memoryview():
            return bytes(value)
        case Mapping():
            return {str(name): cel_value(part) for name, part in value.items()}
        case list() | tuple():
            return [cel_value(part) for part in value]
    raise ValueError(f"a {type(value).__name__} is nothing that an expression knows")
