"""The parts of timestamps, in UTC or in a time zone, and of durations."""

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

from rules.cel.errors import CelError
from rules.cel.functions.registry import function, method
from rules.cel.values import Duration, Timestamp

_OFFSET: Final = re.compile(r"([+-]?)([0-9]{2}):([0-9]{2})")
_STRFTIME: Final = re.compile(r"%(.?)", re.DOTALL)
# Those that mean the same on every platform and in every locale but for the names of days and months.
_DIRECTIVES: Final = frozenset("YmdHMSfjaAbByIpzZwuUWVG%")


def _field(name: str, part: Callable[[datetime], int]) -> None:
    """Register ``timestamp.name()`` and ``timestamp.name(zone)``."""

    @method(name)
    def in_utc(moment: Timestamp) -> int:
        return part(moment.to_datetime())

    @method(name)
    def in_zone(moment: Timestamp, zone: str) -> int:
        return part(_local(moment, zone))


_field("getFullYear", lambda moment: moment.year)
_field("getMonth", lambda moment: moment.month - 1)
_field("getDate", lambda moment: moment.day)
_field("getDayOfMonth", lambda moment: moment.day - 1)
_field("getDayOfYear", lambda moment: moment.timetuple().tm_yday - 1)
_field("getDayOfWeek", lambda moment: moment.isoweekday() % 7)
_field("getHours", lambda moment: moment.hour)
_field("getMinutes", lambda moment: moment.minute)
_field("getSeconds", lambda moment: moment.second)
_field("getMilliseconds", lambda moment: moment.microsecond // 1000)


def _whole(nanos: int, unit: int) -> int:
    """Division that cuts towards zero."""
    return nanos // unit if nanos >= 0 else -(-nanos // unit)


@method("getHours")
def _duration_hours(span: Duration) -> int:
    return _whole(span.seconds, 3600)


@method("getMinutes")
def _duration_minutes(span: Duration) -> int:
    return _whole(span.seconds, 60)


@method("getSeconds")
def _duration_seconds(span: Duration) -> int:
    return span.seconds


@method("getMilliseconds")
def _duration_milliseconds(span: Duration) -> int:
    """The milliseconds after the last whole second, unlike the others, which count the whole span."""
    return _whole(span.nanos, 1_000_000)


@function("time.format")
def _time_format(moment: Timestamp, layout: str) -> str:
    return _format(moment.to_datetime(), layout)


@function("time.format")
def _time_format_in(moment: Timestamp, layout: str, zone: str) -> str:
    return _format(_local(moment, zone), layout)


def _format(moment: datetime, layout: str) -> str:
    def directive(found: re.Match[str]) -> str:
        if found[1] not in _DIRECTIVES:
            raise CelError(f"time.format(): {found[0]!r} is no directive: there are {' '.join(sorted(_DIRECTIVES))}")
        # Some platforms write the first thousand years with fewer digits.
        return f"{moment.year:04}" if found[1] == "Y" else moment.strftime(found[0])

    return _STRFTIME.sub(directive, layout)


def _local(moment: Timestamp, zone: str) -> datetime:
    return moment.to_datetime().astimezone(_zone(zone))


@functools.lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    """A time zone by its name in the time zone database, or by its distance from UTC, such as ``-02:30``."""
    if name == "UTC":
        return UTC
    if offset := _OFFSET.fullmatch(name):
        distance = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(-distance if offset[1] == "-" else distance)
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(name)
    # The library looks for a file of that name, and fails in as many ways as there are names.
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise CelError(
            f"there is no time zone {name[:40]!r}: a name like Europe/Berlin, or an offset like -02:30"
        ) from error
