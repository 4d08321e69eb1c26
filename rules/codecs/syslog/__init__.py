"""Syslog messages: RFC 5424, and what came before it, which RFC 3164 describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from functools import partial
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator

from rules.cel.errors import CelError
from rules.cel.values import a_type
from rules.codecs.format import TIME, UNDECODED, Codec, Decode, Format
from rules.codecs.syslog import rfc3164, rfc5424
from rules.codecs.syslog.header import Fault, zone

FIELDS: Final = frozenset(
    {
        *("priority", "facility", "severity", "facility_code", "severity_code", "version"),
        *("timestamp", "hostname", "app_name", "proc_id", "msg_id", "structured_data", "message"),
    }
)
"""What an event can have."""

Write = Callable[[Mapping[str, object]], str]


def _is_zone(name: str) -> str:
    zone(name)
    return name


class Syslog(Format):
    r"""A syslog message (RFC 5424, RFC 3164).

    The event has, of these, what the message has: `priority` and what it is made of, `facility` (`auth`) with
    `facility_code` (4) and `severity` (`crit`) with `severity_code` (2); `version`; `timestamp`, a text as RFC 3339 has
    it, as precise as it came; `hostname`; `app_name`; `proc_id`; `msg_id`; `structured_data`, a map of maps of texts
    (a parameter that repeats is a list of them); and `message`, without the mark that says that it is UTF-8.

    **RFC 3164** is read as it is written in practice: without a priority, a hostname or a tag; with a year, fractions
    of a second or an RFC 3339 time; and as Cisco's devices do, whose sequence number becomes the `sequenceId` of
    `meta`, and a clock that is not synchronized the `isSynced` of `timeQuality`, as in RFC 5424. `app_name[proc_id]:`
    is the tag. A time without a year is of the last year in which it is not more than a day after the time of the
    record (`meta.time`): what comes in January and says December is of the year before. Of time zones, UTC and GMT are
    known by their names; other names are passed over.

    **Written** is RFC 5424, or RFC 3164 where `standard` says so, of an event with these fields; a text is a `message`.
    Other fields are left out. Where names, codes and `priority` differ, the names hold, then the codes; without any of
    them it is user.notice. What does not fit in the standard (a hostname with a space, an `app_name` of more than 48
    characters, in RFC 3164 of 32) makes a dead letter. Fractions of a second are cut to microseconds. RFC 3164 has no
    place for `msg_id` and `structured_data`.

    Over TCP, messages are framed `octet_counted` or by `newline` (RFC 6587).
    """

    type: Literal["syslog"] = "syslog"
    """Syslog messages."""
    standard: Literal["auto", "rfc5424", "rfc3164"] = "auto"
    """What messages are read as: `auto` tells each by how it begins. What they are written as: by `auto`, RFC 5424."""
    timezone: Annotated[str, AfterValidator(_is_zone)] = "UTC"
    """The time zone of times that do not name theirs, and of those that are written as RFC 3164: a name such as
    `Europe/Berlin`, or an offset such as `+02:00`."""
    bom: bool = False
    """Whether a message that is not ASCII is written with the mark of UTF-8 before it. RFC 5424 asks for it; many
    receivers show it."""

    @property
    def message_framing(self) -> Mapping[str, object]:
        """Every line is a record."""
        return self.stream_framing

    def make(self) -> Codec:
        """The codec."""
        local = zone(self.timezone)
        reader = _Reader(self.standard, local)
        write: Write = partial(rfc5424.write, bom=self.bom)
        if self.standard == "rfc3164":
            write = partial(rfc3164.write, local=local)
        encode = partial(_encode, write=write)
        return Codec(
            decode=reader.decode,
            decode_plain=reader.decode,
            encode=encode,
            encode_plain=encode,
            attribute="" if self.standard == "rfc5424" else TIME,
            bound=reader.bound,
            decode_all=None if self.standard == "rfc5424" else reader.decode_all,
        )


class _Reader:
    """Messages by one of the standards, or by what they look like."""

    def __init__(self, standard: str, local: tzinfo) -> None:
        self._standard = standard
        self._local = local

    def decode(self, payload: bytes) -> object:
        """A message of which nothing says when it came. Raises ValueError, also where that would be needed."""
        return self._decode(payload, None)

    def bound(self, time: object) -> Decode:
        """What reads messages that came at this time, in Unix nanoseconds."""
        return partial(self._decode, time=time)

    def decode_all(self, values: Sequence[bytes], times: Sequence[object] | None) -> Sequence[object]:
        """Many messages, each with the time at which it came."""
        events: list[object] = []
        for value, time in zip(values, times or [None] * len(values), strict=True):
            try:
                events.append(self._decode(value, time))
            except ValueError:
                events.append(UNDECODED)
        return events

    def _decode(self, payload: bytes, time: Any) -> dict[str, object]:
        try:
            text = payload.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"not syslog: not UTF-8 at byte {error.start}") from error
        try:
            if self._standard == "rfc5424" or (self._standard == "auto" and rfc5424.LOOKS_LIKE.match(text)):
                return rfc5424.read(text, self._local)
            return rfc3164.read(text, self._local, time)
        except Fault as fault:
            raise ValueError(f"not syslog: {fault}, at byte {len(text[: fault.at].encode())}") from None


def _encode(value: object, *, write: Write) -> bytes:
    """An event as a message. Raises CelError."""
    if isinstance(value, str):
        value = {"message": value}
    if not isinstance(value, Mapping):
        raise CelError(f"only a map or a text can be written as syslog, not {a_type(value)}")
    if FIELDS.isdisjoint(value):
        raise CelError(f"it has none of the fields of syslog: {', '.join(sorted(FIELDS))}")
    try:
        return write(value).encode()
    except UnicodeEncodeError as error:
        raise CelError(f"it cannot be written as syslog: {error}") from error
