"""The parts of timestamps, in UTC or in a time zone, and of durations; times read and written; the present one."""

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

from rules.cel import chance
from rules.cel.errors import CelError
from rules.cel.functions.registry import function, method
from rules.cel.values import Duration, Timestamp

_OFFSET: Final = re.compile(r"([+-]?)([0-9]{2}):([0-9]{2})")
_STRFTIME: Final = re.compile(r"%(.?)", re.DOTALL)
_LONGEST_TIME: Final = 256
# Those that mean the same on every platform and in every locale but for the names of days and months.
_DIRECTIVES: Final = frozenset("YmdHMSfjaAbByIpzZwuUWVG%")


# After so many seconds, and years, the Gregorian calendar is the same again, with its days of the week.
_CYCLE: Final = 146_097 * 86_400
_CYCLE_YEARS: Final = 400
_EDGE: Final = 2 * 86_400  # further than any time zone is from UTC
_FIRST: Final = Timestamp.parse("0001-01-01T00:00:00Z").seconds
_LAST: Final = Timestamp.parse("9999-12-31T23:59:59Z").seconds


FIELDS: Final[list[str]] = []
"""The methods that give a part of a time."""


def _field(name: str, part: Callable[[datetime], int], promise: str, example: int, *, cycle: int = 0) -> None:
    """Register ``timestamp.name()`` and ``timestamp.name(zone)``. The example is of 2026-01-31T12:30:05.250Z.

    ``cycle`` is by how much the part grows within a cycle of the calendar: a local time may be in the year 0 or 10000,
    which ``datetime`` does not have, and is looked at a cycle later or earlier.
    """
    FIELDS.append(name)

    @method(name)
    def in_utc(moment: Timestamp) -> int:
        return part(moment.to_datetime())

    @method(name)
    def in_zone(moment: Timestamp, zone: str) -> int:
        cycles = int(moment.seconds > _LAST - _EDGE) - int(moment.seconds < _FIRST + _EDGE)
        moved = Timestamp(moment.seconds - cycles * _CYCLE, moment.nanos)
        return part(_local(moved, zone)) + cycles * cycle

    text = f'timestamp("2026-01-31T12:30:05.250Z").{name}() == {example}'
    in_utc.__doc__ = f"{promise}; in UTC, or in the time zone that is named.\n\nExample: {text}"


_field("getFullYear", lambda moment: moment.year, "The year", 2026, cycle=_CYCLE_YEARS)
_field("getMonth", lambda moment: moment.month - 1, "The month, from 0 for January", 0)
_field("getDate", lambda moment: moment.day, "The day of the month, from 1", 31)
_field("getDayOfMonth", lambda moment: moment.day - 1, "The day of the month, from 0", 30)
_field("getDayOfYear", lambda moment: moment.timetuple().tm_yday - 1, "The day of the year, from 0", 30)
_field("getDayOfWeek", lambda moment: moment.isoweekday() % 7, "The day of the week, from 0 for Sunday", 6)
_field("getHours", lambda moment: moment.hour, "The hour of a time, or all whole hours of a span", 12)
_field("getMinutes", lambda moment: moment.minute, "The minute of a time, or all whole minutes of a span", 30)
_field("getSeconds", lambda moment: moment.second, "The second of a time, or all whole seconds of a span", 5)
_field(
    "getMilliseconds", lambda moment: moment.microsecond // 1000, "The milliseconds after the last whole second", 250
)


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


@function("now", arity=0, pure=False)
def _now() -> Timestamp:
    """The present time, another one each time that it is asked for.

    Example: now() > timestamp("2020-01-01T00:00:00Z")
    """
    return Timestamp.from_nanos(chance.now())


@function("time.format")
def _time_format(moment: Timestamp, layout: str) -> str:
    """A time as text, by the directives of strftime: in UTC, or in the time zone that is named.

    Example: time.format(timestamp("2024-02-03T23:05:06Z"), "%Y/%m/%d %H") == "2024/02/03 23"
    Example: time.format(timestamp("2024-02-03T23:05:06Z"), "%d.%m.%Y", "Europe/Berlin") == "04.02.2024"
    """
    return _format(moment.to_datetime(), layout)


@function("time.format")
def _time_format_in(moment: Timestamp, layout: str, zone: str) -> str:
    return _format(_local(moment, zone), layout)


def known_layout(layout: str) -> str:
    """The same, if all of its directives are known. Raises CelError."""
    for found in _STRFTIME.finditer(layout):
        if found[1] not in _DIRECTIVES:
            raise CelError(f"time.format(): {found[0]!r} is no directive: there are {' '.join(sorted(_DIRECTIVES))}")
    return layout


def _format(moment: datetime, layout: str) -> str:
    def directive(found: re.Match[str]) -> str:
        # Some platforms write the first thousand years with fewer digits.
        return f"{moment.year:04}" if found[1] == "Y" else moment.strftime(found[0])

    return _STRFTIME.sub(directive, known_layout(layout))


@function("time.parse")
def _time_parse(text: str, layout: str) -> Timestamp:
    """The time that a text says, by the directives of strptime; `%z` reads its distance from UTC. Where the text does
    not tell, it is in UTC, or in the time zone that is named. RFC 3339 is read by `timestamp`.

    Example: time.parse("03/Feb/2024:23:05:06 +0100", "%d/%b/%Y:%H:%M:%S %z") == timestamp("2024-02-03T22:05:06Z")
    Example: time.parse("04.02.2024 00:05", "%d.%m.%Y %H:%M", "Europe/Berlin") == timestamp("2024-02-03T23:05:00Z")
    """
    return _parse(text, layout, UTC)


@function("time.parse")
def _time_parse_in(text: str, layout: str, zone: str) -> Timestamp:
    return _parse(text, layout, zone_of(zone))


def _parse(text: str, layout: str, zone: tzinfo) -> Timestamp:
    if len(text) > _LONGEST_TIME:
        raise CelError(f"time.parse(): a text of {len(text):,} characters is no time")
    try:
        moment = datetime.strptime(text, layout)  # noqa: DTZ007 - the zone follows
    except (ValueError, re.error) as error:
        raise CelError(f"time.parse(): {error}") from error
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return Timestamp(since.days * 86_400 + since.seconds, since.microseconds * 1000)


def _local(moment: Timestamp, zone: str) -> datetime:
    return moment.to_datetime().astimezone(zone_of(zone))


@functools.lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    """A time zone by its name in the time zone database, or by its distance from UTC, such as ``-02:30``. Raises
    CelError."""
    if name == "UTC":
        return UTC
    if offset := _OFFSET.fullmatch(name):
        distance = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        if distance >= timedelta(days=1):
            raise CelError(f"an offset is less than a day, not {name}")
        return timezone(-distance if offset[1] == "-" else distance)
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(name)
    # The library looks for a file of that name, and fails in as many ways as there are names.
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise CelError(
            f"there is no time zone {name[:40]!r}: a name like Europe/Berlin, or an offset like -02:30"
        ) from error
