"""Messages as RFC 5424 has them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import tzinfo
from typing import Final

from rules.cel.errors import CelError
from rules.cel.values import a_type
from rules.codecs.format import in_text
from rules.codecs.syslog.header import Fault, field_of, priority_of, read_priority, read_time, time_of

LOOKS_LIKE: Final = re.compile(r"<[0-9]{1,3}>[1-9][0-9]{0,2} (?:-|[0-9]{4}-)")
"""How a message begins that is one of these and none of RFC 3164."""

_BOM: Final = "\ufeff"
_HEADER: Final = re.compile(r"([1-9][0-9]{0,2}) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) (?=[-\[])")
_FIELDS: Final = ("version", "timestamp", "hostname", "app_name", "proc_id", "msg_id")
_ID: Final = re.compile(r'[^ =\]"]+')
_PARAM: Final = re.compile(r' +([^ =\]"]+)="([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)
_OPEN: Final = re.compile(r' +[^ =\]"]+="')
_SPACES: Final = re.compile(" *")
_ESCAPE: Final = re.compile(r'\\(["\\\]])')
_SPECIALS: Final = str.maketrans({character: "\\" + character for character in '"\\]'})

_NAME: Final = re.compile(r"[!#-<>-\\^-~]{1,32}")
_LIMITS: Final = {"hostname": 255, "app_name": 48, "proc_id": 128, "msg_id": 32}
_ALLOWED: Final = {name: re.compile(f"[!-~]{{1,{limit}}}") for name, limit in _LIMITS.items()}


# Reading


def read(text: str, local: tzinfo) -> dict[str, object]:
    """The event. ``local`` is the time zone of a time that does not name its own. Raises Fault."""
    event, at = read_priority(text)
    found = _HEADER.match(text, at)
    if found is None:
        raise _fault_of_header(text, at)
    version, time, *names = found.groups()
    event["version"] = int(version)
    if time != "-":
        read_as = read_time(time, local)
        if read_as is None:
            raise Fault(f"a time as in 2003-10-11T22:14:15.003Z expected, not {time[:40]}", found.start(2))
        event["timestamp"] = read_as
    for field, value in zip(_FIELDS[2:], names, strict=True):
        if value != "-":
            event[field] = value
    at = found.end() + 1
    if text[at - 1] == "[":
        event["structured_data"], at = _read_structured(text, at - 1)
    if at < len(text):
        if text[at] != " ":
            raise Fault("a space expected after the structured data", at)
        event["message"] = text[at + 2 :] if text.startswith(_BOM, at + 1) else text[at + 1 :]
    return event


def _fault_of_header(text: str, at: int) -> Fault:
    """The first field that is not there."""
    for field in _FIELDS:
        end = text.find(" ", at)
        if end <= at or (field == "version" and not re.fullmatch("[1-9][0-9]{0,2}", text[at:end])):
            return Fault(f"the {field} and a space expected", at)
        at = end + 1
    return Fault("structured data or - expected", at)


def _read_structured(text: str, at: int) -> tuple[dict[str, dict[str, object]], int]:
    """The elements, and where they end."""
    elements: dict[str, dict[str, object]] = {}
    while text.startswith("[", at):
        name = _ID.match(text, at + 1)
        if name is None:
            raise Fault("the name of an element of structured data expected", at + 1)
        params, at = elements.setdefault(name[0], {}), name.end()
        while param := _PARAM.match(text, at):
            key, value = param.groups()
            _add(params, key, _ESCAPE.sub(r"\1", value) if "\\" in value else value)
            at = param.end()
        at = _end_of_element(text, at)
    return elements, at


def _end_of_element(text: str, at: int) -> int:
    found = _SPACES.match(text, at)
    end = at if found is None else found.end()
    if text.startswith("]", end):
        return end + 1
    if opened := _OPEN.match(text, at):
        raise Fault("the quote is not closed", opened.end() - 1)
    raise Fault('a parameter as in name="value", or ], expected', end)


def _add(params: dict[str, object], key: str, value: str) -> None:
    """A parameter may repeat (RFC 5424, section 6.3.3)."""
    if key not in params:
        params[key] = value
        return
    known = params[key]
    params[key] = [*known, value] if isinstance(known, list) else [known, value]


# Writing


def write(event: Mapping[str, object], *, bom: bool) -> str:
    """The message. Raises CelError."""
    fields = [
        field_of(event, name, allowed, f"at most {_LIMITS[name]} characters of ASCII without spaces") or "-"
        for name, allowed in _ALLOWED.items()
    ]
    data = "".join(_elements(event.get("structured_data"))) or "-"
    head = f"<{priority_of(event)}>{_version(event)} {time_of(event) or '-'} {' '.join(fields)} {data}"
    message = event.get("message")
    if message is None:
        return head
    text = in_text(message)
    marked = text.startswith(_BOM) or (bom and not text.isascii())
    return f"{head} {_BOM if marked else ''}{text}"


def _version(event: Mapping[str, object]) -> int:
    version = event.get("version")
    if version is None:
        return 1
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= 999:
        raise CelError(f"version is {in_text(version)}, and should be 1")
    return int(version)


def _elements(data: object) -> Iterator[str]:
    if data is None:
        return
    if not isinstance(data, Mapping):
        raise CelError(f"structured_data is {a_type(data)}, and should be a map of maps")
    for name, params in data.items():
        if not isinstance(params, Mapping):
            raise CelError(f"structured_data[{in_text(name)}] is {a_type(params)}, and should be a map")
        yield f"[{_checked(name)}{''.join(_params(params))}]"


def _params(params: Mapping[object, object]) -> Iterator[str]:
    for key, value in params.items():
        for one in value if isinstance(value, list) else (value,):
            yield f' {_checked(key)}="{("" if one is None else in_text(one)).translate(_SPECIALS)}"'


def _checked(name: object) -> str:
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise CelError(
            f"structured_data has the name {in_text(name)[:60]!r}, and names in it are at most 32 characters of ASCII "
            'without spaces, =, ] and "'
        )
    return name
