"""What both standards of syslog have: a priority, and times."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

from rules.cel.errors import CelError
from rules.cel.temporal import Timestamp
from rules.codecs.format import in_text

FACILITIES: Final = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("ntp", "audit", "alert", "clock"),
    *(f"local{number}" for number in range(8)),
)
"""By their numbers (RFC 5424, section 6.2.1), named as syslog.h does, as far as it has them."""
SEVERITIES: Final = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
"""By their numbers."""

_FACILITY_CODES: Final = {**{name: code for code, name in enumerate(FACILITIES)}, "security": 4}
_SEVERITY_CODES: Final = {
    **{name: code for code, name in enumerate(SEVERITIES)},
    "emergency": 0,
    "panic": 0,
    "critical": 2,
    "error": 3,
    "warn": 4,
    "informational": 6,
}
_USER, _NOTICE = 1, 5

# Of every priority, what an event says of it.
_PARTS: Final = tuple(
    {
        "priority": facility * 8 + severity,
        "facility": FACILITIES[facility],
        "severity": SEVERITIES[severity],
        "facility_code": facility,
        "severity_code": severity,
    }
    for facility in range(len(FACILITIES))
    for severity in range(len(SEVERITIES))
)
_PRIORITY: Final = re.compile("<(0|[1-9][0-9]{0,2})>")


class Fault(Exception):
    """What is wrong with a message, and at which of its characters."""

    def __init__(self, why: str, at: int) -> None:
        super().__init__(why)
        self.at = at


# Priorities


def read_priority(text: str) -> tuple[dict[str, object], int]:
    """What the priority at the beginning says, and where it ends. Raises Fault."""
    found = _PRIORITY.match(text)
    if found is None or int(found[1]) >= len(_PARTS):
        if text[:1] != "<":
            raise Fault("a priority expected, such as <34>", 0)
        raise Fault(f"a priority from 0 to {len(_PARTS) - 1} and > expected", 1)
    parts: dict[str, object] = {**_PARTS[int(found[1])]}
    return parts, found.end()


def priority_of(event: Mapping[str, object]) -> int:
    """The priority that an event has by its names, or codes, or its priority. Raises CelError."""
    whole = _number(event, "priority", len(_PARTS))
    facility, severity = (_USER, _NOTICE) if whole is None else divmod(whole, 8)
    facility = _code(event, "facility", _FACILITY_CODES, facility)
    severity = _code(event, "severity", _SEVERITY_CODES, severity)
    return facility * 8 + severity


def _code(event: Mapping[str, object], field: str, codes: Mapping[str, int], default: int) -> int:
    name = event.get(field)
    if name is None:
        number = _number(event, f"{field}_code", max(codes.values()) + 1)
        return default if number is None else number
    if not isinstance(name, str) or name.lower() not in codes:
        raise CelError(f"{field} is {in_text(name)}, which is none of {', '.join(codes)}")
    return codes[name.lower()]


def _number(event: Mapping[str, object], field: str, end: int) -> int | None:
    number = event.get(field)
    if number is None:
        return None
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < end:
        raise CelError(f"{field} is {in_text(number)}, and should be a whole number from 0 to {end - 1}")
    return number


# Times

_OFFSET: Final = re.compile(r"([+-])([01][0-9]|2[0-3]):([0-5][0-9])")
_RFC3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})([.,][0-9]{1,9})?(?:(Z)|([+-][0-9]{2}):?([0-9]{2}))?"
)
_TOO_FINE: Final = re.compile(r"(\.[0-9]{6})[0-9]+")  # RFC 5424, section 6.2.3


def zone(name: str) -> tzinfo:
    """The time zone of that name, or offset. Raises ValueError."""
    if name == "UTC":
        return UTC
    if found := _OFFSET.fullmatch(name):
        offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
        return timezone(-offset if found[1] == "-" else offset)
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        why = f"{name!r} should be the name of a time zone, such as Europe/Berlin, or an offset, such as +02:00"
        raise ValueError(why) from error


def read_time(text: str, local: tzinfo) -> str | None:
    """A time as RFC 3339 has it, of one that is nearly so; None if it is no time."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    date, clock, fraction, utc, hours, minutes = found.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}")
        offset = "Z" if utc else f"{hours}:{minutes}" if hours else offset_of(moment.replace(tzinfo=local))
        # RFC 3339 has offsets below a day.
        if offset != "Z" and _OFFSET.fullmatch(offset) is None:
            return None
    except (ValueError, OverflowError):
        return None
    return f"{date}T{clock}{fraction.replace(',', '.') if fraction else ''}{offset}"


def offset_of(moment: datetime) -> str:
    """The offset of a moment as RFC 3339 has it."""
    offset = moment.utcoffset() or timedelta()
    minutes = round(offset.total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}" if minutes else "Z"


def time_of(event: Mapping[str, object]) -> str | None:
    """The time that an event has, as RFC 3339 has it, to the microsecond at most. Raises CelError."""
    value = event.get("timestamp")
    if value is None or value == "":
        return None
    text = str(value) if isinstance(value, Timestamp) else value
    if not isinstance(text, str) or read_time(text, UTC) != text:
        raise CelError(f"timestamp is {in_text(value)}, and should be as in 2003-10-11T22:14:15.003Z")
    return _TOO_FINE.sub(r"\1", text)


# Texts


def field_of(event: Mapping[str, object], name: str, allowed: re.Pattern[str], what: str) -> str:
    """The text of a field of the header, or nothing. Raises CelError for one that is not ``allowed``."""
    value = event.get(name)
    text = "" if value is None else in_text(value)
    if text and allowed.fullmatch(text) is None:
        shown = text if len(text) <= 60 else text[:60] + "..."
        raise CelError(f"{name} is {shown!r}, and should be {what}")
    return text
