"""Messages as senders wrote them before RFC 5424, and many still do: RFC 3164 describes them, and orders nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from typing import Final

from rules.cel.errors import CelError
from rules.codecs.format import in_text
from rules.codecs.syslog.header import Fault, field_of, offset_of, priority_of, read_priority, read_time, time_of

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_OF: Final = {name: number for number, name in enumerate(_MONTHS, 1)}
_DAY: Final = 86_400 * 10**9  # in nanoseconds
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_LEAP_YEARS: Final = 8  # one of so many years in a row has a 29th of February

# What stands before the hostname: Cisco's devices write a sequence number, a name and more numbers before the time,
# a character that says that the clock is not synchronized, and the name of the time zone and a colon after it.
_TIME: Final = re.compile(
    rf"""
    (?:(?P<sequence>[0-9]+):[ ]+)?
    (?:(?P<device>[^\s:\[\]]+):[ ]+(?:[0-9]+:[ ]+)?)?
    (?P<unsynced>[*.])?
    (?:
        (?P<month>{"|".join(_MONTHS)})[ ]{{1,2}}(?P<day>[0-9]{{1,2}})(?:[ ](?P<year>[0-9]{{4}}))?
        [ ](?P<clock>[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}})(?P<fraction>\.[0-9]{{1,9}})?
        (?:[ ](?P<utc>UTC|GMT)(?=:)|[ ][A-Z]{{3,5}}(?=:[ ]%))?
      |
        (?P<iso>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T ][0-9:]{{8}}[0-9.,:+Z-]*+)
    )
    (?P<colon>:?)(?:[ ]|$)
    """,
    re.VERBOSE,
)
_CISCO: Final = re.compile(r"(?P<hostname>[^\s:\[\]]+)[ ]?:[ ](?=%[A-Z0-9_]+-[0-7]-)")
_TAG: Final = re.compile(r"([^\s:\[\]]+)(?:\[([^\s\]]*)\](?::[ ]?|[ ]|$)|:(?:[ ]|$))")
_PROCESS: Final = re.compile(r"([^\s:\[\]]+)\[([^\s\]]+)\]:(?:[ ]|$)")
_HOST: Final = re.compile(r"([^\s]+)(?:[ ]|$)")

_TAG_LIMIT: Final = 32  # RFC 3164, section 4.1.3
_ALLOWED: Final = {
    "hostname": (re.compile("[!-~]{1,255}"), "at most 255 characters of ASCII without spaces"),
    "app_name": (
        re.compile(rf"[!-9;-Z\\^-~]{{1,{_TAG_LIMIT}}}"),
        f"at most {_TAG_LIMIT} characters of ASCII without spaces, :, [ and ]",
    ),
    "proc_id": (re.compile(r"[!-\\^-~]{1,128}"), "at most 128 characters of ASCII without spaces and ]"),
}


# Reading


def read(text: str, local: tzinfo, arrived: int | None) -> dict[str, object]:
    """The event of a message that came at ``arrived``, in Unix nanoseconds. Raises Fault."""
    event: dict[str, object] = {}
    at = 0
    if text.startswith("<"):
        event, at = read_priority(text)
    found = _TIME.match(text, at)
    if found is None:
        if not event:
            raise Fault("neither a priority, such as <34>, nor a time", 0)
        return _read_tag(event, text, at, _PROCESS)
    event["timestamp"] = _timestamp(found, local, arrived)
    _add_structured(event, found)
    at = found.end()
    if found["device"]:
        event["hostname"] = found["device"]
    elif cisco := _CISCO.match(text, at):
        event["hostname"] = cisco["hostname"]
        at = cisco.end()
    elif not found["colon"] and _TAG.match(text, at) is None and (host := _HOST.match(text, at)):
        if host[1] != "-":
            event["hostname"] = host[1]
        at = host.end()
    return _read_tag(event, text, at, _TAG)


def _read_tag(event: dict[str, object], text: str, at: int, tag: re.Pattern[str]) -> dict[str, object]:
    if found := tag.match(text, at):
        event["app_name"] = found[1]
        if found[2]:
            event["proc_id"] = found[2]
        at = found.end()
    event["message"] = text[at:]
    return event


def _add_structured(event: dict[str, object], found: re.Match[str]) -> None:
    """What Cisco's devices say, as RFC 5424 has it (sections 7.1 and 7.3)."""
    data: dict[str, object] = {}
    if found["unsynced"]:
        data["timeQuality"] = {"isSynced": "0"}
    if found["sequence"]:
        data["meta"] = {"sequenceId": found["sequence"]}
    if data:
        event["structured_data"] = data


def _timestamp(found: re.Match[str], local: tzinfo, arrived: int | None) -> str:
    if found["iso"]:
        time = read_time(found["iso"], local)
        if time is None:
            raise Fault(f"{found['iso'][:40]} is no time", found.start("iso"))
        return time
    year, place = found["year"], found.start("month")
    if year is None and arrived is None:
        raise Fault("a time without a year, and nothing says when the message came", place)
    last = None if year else (arrived or 0) // _DAY + 1
    zone = UTC if found["utc"] else local
    time = _time(int(year or 0), _MONTH_OF[found["month"]], int(found["day"]), found["clock"], last, zone)
    if time is None:
        raise Fault(f"{found.string[place : found.end('clock')]} is no time", place)
    return time.replace("|", found["fraction"] or "")


@lru_cache(1024)
def _time(year: int, month: int, day: int, clock: str, last: int | None, zone: tzinfo) -> str | None:
    """A time as RFC 3339 has it, with ``|`` where a fraction may stand; None if there is none such.

    With ``last``, a day since 1970, it is of the latest year in which it is not after that day.
    """
    years: Iterable[int] = (year,)
    if last is not None:
        limit = date.fromordinal(min(max(1, _EPOCH_DAY + last), date.max.toordinal()))
        years = range(limit.year, max(0, limit.year - _LEAP_YEARS), -1)
    hour, minute, second = map(int, clock.split(":"))
    for candidate in years:
        try:
            moment = datetime(candidate, month, day, hour, minute, second, tzinfo=zone)
        except ValueError:
            continue
        if last is None or moment.date() <= limit:
            return f"{moment.replace(tzinfo=None).isoformat()}|{offset_of(moment)}"
    return None


# Writing


def write(event: Mapping[str, object], local: tzinfo) -> str:
    """The message. Raises CelError."""
    hostname, app_name, proc_id = (
        field_of(event, name, allowed, should) for name, (allowed, should) in _ALLOWED.items()
    )
    time = time_of(event)
    if hostname and time is None:
        raise CelError("there is a hostname and no timestamp, and RFC 3164 has no place for it then")
    if proc_id and not app_name:
        raise CelError("there is a proc_id and no app_name, and RFC 3164 has no place for it then")
    head = "" if time is None else f"{_written(time, local)} {hostname or '-'} "
    tag = f"{app_name}[{proc_id}]: " if proc_id else f"{app_name}: " if app_name else ""
    message = event.get("message")
    return f"<{priority_of(event)}>{head}{tag}{'' if message is None else in_text(message)}"


def _written(time: str, local: tzinfo) -> str:
    try:
        moment = datetime.fromisoformat(time).astimezone(local)
    except OverflowError as error:
        raise CelError(f"timestamp is {time}, which is too far away: {error}") from error
    return f"{_MONTHS[moment.month - 1]} {moment.day:2} {moment:%H:%M:%S}"
