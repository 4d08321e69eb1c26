"""Syslog: messages of both standards, and of senders that follow none, to events and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rulesets import both, ruleset_of

from router.batch import Batch
from rules.cel.errors import CelError
from rules.cel.values import Timestamp
from rules.codecs import UNDECODED, Syslog
from rules.codecs.syslog.header import FACILITIES, SEVERITIES
from rules.plan import SinkFacts


def nanos(time: str) -> int:
    return Timestamp.parse(time).total_nanos


NOW = nanos("2026-01-05T12:00:00Z")


def read(message: str | bytes, now: int = NOW, **settings: Any) -> Any:
    """The event of a message that comes now."""
    codec = Syslog(**settings).codec
    payload = message.encode() if isinstance(message, str) else message
    assert codec.bound is not None
    if not codec.attribute:
        return codec.decode(payload)
    return codec.bound(now)(payload)


def parts(event: dict[str, object]) -> dict[str, object]:
    """The event without what only says the priority in other words."""
    others = ("facility", "severity", "facility_code", "severity_code")
    return {name: value for name, value in event.items() if name not in others}


def priority(code: int) -> dict[str, object]:
    return {
        "priority": code,
        "facility": FACILITIES[code // 8],
        "severity": SEVERITIES[code % 8],
        "facility_code": code // 8,
        "severity_code": code % 8,
    }


# Round trips

TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["", '"', "]", "\\", '\\"', "\\]", "\\n", "]]", "a b", "\ufeff", "é", "\n", " ", "[x]"]
)


def ascii_text(longest: int, without: str = "") -> st.SearchStrategy[str]:
    characters = st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=without)
    return st.text(characters, min_size=1, max_size=longest).filter(lambda text: text != "-")


TIMES = st.builds(
    lambda moment, digits, offset: (
        moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{moment.microsecond:06}"[: digits + 1] if digits else "") + offset
    ),
    st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)),
    st.integers(0, 6),
    st.sampled_from(["Z", "+00:00", "-00:00", "+02:00", "-11:30", "+23:59"]),
)
PARAMS = st.dictionaries(ascii_text(32, '= ]"'), TEXT | st.lists(TEXT, min_size=2, max_size=3), max_size=3)
EVENTS = st.builds(
    lambda code, rest: {**priority(code), "version": 1, **rest},
    st.integers(0, 191),
    st.fixed_dictionaries(
        {},
        optional={
            "timestamp": TIMES,
            "hostname": ascii_text(255),
            "app_name": ascii_text(48),
            "proc_id": ascii_text(128),
            "msg_id": ascii_text(32),
            "structured_data": st.dictionaries(ascii_text(32, '= ]"'), PARAMS, min_size=1, max_size=3),
            "message": TEXT,
        },
    ),
)


@given(EVENTS, st.booleans(), st.sampled_from(["auto", "rfc5424"]))
def test_an_event_survives_the_way_there_and_back(event: dict[str, object], bom: bool, standard: str) -> None:
    assert read(Syslog(bom=bom).codec.encode(event), standard=standard) == event


WORD = ascii_text(20, "[]:").filter(lambda text: text[0].isalpha())
OLD_EVENTS = st.builds(
    lambda code, time, hostname, tag, message: {
        **priority(code),
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S") + "Z",
        "hostname": hostname,
        **tag,
        "message": message,
    },
    st.integers(0, 191),
    st.datetimes(datetime(2025, 1, 8), datetime(2026, 1, 6)),
    WORD,
    st.builds(
        lambda app, pid: {"app_name": app} | pid,
        WORD,
        st.builds(lambda pid: {"proc_id": pid}, ascii_text(9, "[]")) | st.just({}),
    ),
    st.text(st.characters(exclude_categories=["Cs"])),
)


@given(OLD_EVENTS, st.sampled_from(["UTC", "Europe/Berlin", "-05:30"]), st.sampled_from(["auto", "rfc3164"]))
def test_an_event_survives_the_way_through_rfc_3164(event: dict[str, Any], zone: str, standard: str) -> None:
    """As precise as a second, within a year of its time."""
    written = Syslog(standard="rfc3164", timezone=zone).codec.encode(event)
    back = read(written, standard=standard, timezone=zone)
    assert Timestamp.parse(back.pop("timestamp")) == Timestamp.parse(event.pop("timestamp"))
    assert back == event


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode), st.sampled_from(["auto", "rfc5424", "rfc3164"]))
def test_whatever_comes_is_an_event_or_says_at_which_byte_it_is_none(payload: bytes, standard: str) -> None:
    check_any(payload, standard)


PIECES = st.sampled_from(
    [
        *("<34>", "<0>", "<191>", "<", ">", "1 ", "- ", "-", "[", "]", "[a", ' x="', '"', "\\", " ", ":", "29: "),
        *("2003-10-11T22:14:15.003Z ", "Oct 11 22:14:15 ", "Feb 29 23:59:60", "*", "host ", "tag", "[1]", ": ", "é"),
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join), st.sampled_from(["auto", "rfc5424", "rfc3164"]))
def test_whatever_looks_like_it_is_an_event_or_says_at_which_byte_it_is_none(text: str, standard: str) -> None:
    check_any(text.encode(), standard)


def check_any(payload: bytes, standard: Any) -> None:
    codec = Syslog(standard=standard).codec
    event, why = UNDECODED, f"not syslog: , at byte {len(payload)}"
    try:
        event = read(payload, standard=standard)
    except ValueError as error:
        why = str(error)
    assert why.startswith("not syslog: ")
    assert 0 <= int(why.rpartition("at byte ")[2]) <= len(payload)
    if codec.decode_all is not None:
        assert codec.decode_all([payload, b"<13>x"], [NOW, NOW])[0] == event


# RFC 5424


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (  # the examples of section 6.5
            "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \ufeff'su root' failed for lonvick",
            {
                "priority": 34,
                "facility": "auth",
                "facility_code": 4,
                "severity": "crit",
                "severity_code": 2,
                "version": 1,
                "timestamp": "2003-10-11T22:14:15.003Z",
                "hostname": "mymachine.example.com",
                "app_name": "su",
                "msg_id": "ID47",
                "message": "'su root' failed for lonvick",
            },
        ),
        (
            "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.",
            {
                **priority(165),
                "version": 1,
                "timestamp": "2003-08-24T05:14:15.000003-07:00",
                "hostname": "192.0.2.1",
                "app_name": "myproc",
                "proc_id": "8710",
                "message": "%% It's time to make the do-nuts.",
            },
        ),
        (
            (
                "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 "
                '[exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"]'
                '[examplePriority@32473 class="high"]'
            ),
            {
                **priority(165),
                "version": 1,
                "timestamp": "2003-10-11T22:14:15.003Z",
                "hostname": "mymachine.example.com",
                "app_name": "evntslog",
                "msg_id": "ID47",
                "structured_data": {
                    "exampleSDID@32473": {"iut": "3", "eventSource": "Application", "eventID": "1011"},
                    "examplePriority@32473": {"class": "high"},
                },
            },
        ),
        ("<0>1 - - - - - -", {**priority(0), "version": 1}),
        ("<0>1 - - - - - - ", {**priority(0), "version": 1, "message": ""}),
        ("<0>1 - - - - - - [not data]", {**priority(0), "version": 1, "message": "[not data]"}),
    ],
)
def test_messages_of_rfc_5424(message: str, event: dict[str, object]) -> None:
    assert read(message) == read(message, standard="rfc5424") == event


@pytest.mark.parametrize(
    ("data", "elements"),
    [
        ("[a]", {"a": {}}),
        ('[a x=""]', {"a": {"x": ""}}),
        (r'[a x="\"\\\]"]', {"a": {"x": '"\\]'}}),
        (r'[a x="C:\new\q"]', {"a": {"x": r"C:\new\q"}}),  # no escape is no mistake (section 6.3.3)
        ('[origin ip="192.0.2.1" ip="192.0.2.129" ip="x"]', {"origin": {"ip": ["192.0.2.1", "192.0.2.129", "x"]}}),
        ('[a x="1"][b][a y="2"]', {"a": {"x": "1", "y": "2"}, "b": {}}),  # forbidden, and clear
        ('[a x="]" ]', {"a": {"x": "]"}}),  # the same
        ('[a x="é\n"]', {"a": {"x": "é\n"}}),
    ],
)
def test_structured_data(data: str, elements: dict[str, object]) -> None:
    event = read(f"<13>1 - - - - - {data} message")
    assert event["structured_data"] == elements
    assert event["message"] == "message"


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("", "a priority expected, such as <34>, at byte 0"),
        ("hello", "a priority expected, such as <34>, at byte 0"),
        ("<192>1 - - - - - -", "a priority from 0 to 191 and > expected, at byte 1"),
        ("<034>1 - - - - - -", "a priority from 0 to 191 and > expected, at byte 1"),
        ("<34", "a priority from 0 to 191 and > expected, at byte 1"),
        ("<34>", "the version and a space expected, at byte 4"),
        ("<34>x - - - - - -", "the version and a space expected, at byte 4"),
        ("<34>1 ", "the timestamp and a space expected, at byte 6"),
        ("<34>1 - é - - ", "the msg_id and a space expected, at byte 15"),
        ("<34>1 -  - - - -", "the hostname and a space expected, at byte 8"),
        ("<34>1 - é - - - ", "structured data or - expected, at byte 17"),
        ("<34>1 - - - - - x", "structured data or - expected, at byte 16"),
        ("<34>1 - - - - - -x", "a space expected after the structured data, at byte 17"),
        ("<34>1 - - - - - [a]x", "a space expected after the structured data, at byte 19"),
        ("<34>1 - - - - - []", "the name of an element of structured data expected, at byte 17"),
        ('<34>1 - - - - - [a x="1" y]', 'a parameter as in name="value", or ], expected, at byte 25'),
        ('<34>1 - - - - - [a x="1"y="2"]', 'a parameter as in name="value", or ], expected, at byte 24'),
        ("<34>1 - - - - - [a", 'a parameter as in name="value", or ], expected, at byte 18'),
        ('<34>1 - - é - - [a x="\\"] x', "the quote is not closed, at byte 22"),
        (
            "<34>1 2003-02-29T00:00:00Z - - - - -",
            "a time as in 2003-10-11T22:14:15.003Z expected, not 2003-02-29T00:00:00Z, at byte 6",
        ),
        (
            "<34>1 2003-02-28T00:00:00+24:00 - - - - -",
            "a time as in 2003-10-11T22:14:15.003Z expected, not 2003-02-28T00:00:00+24:00, at byte 6",
        ),
        ("<34>1 yesterday - - - - -", "a time as in 2003-10-11T22:14:15.003Z expected, not yesterday, at byte 6"),
    ],
)
def test_what_is_no_message_says_why_and_at_which_byte(message: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"^not syslog: ") as caught:
        read(message, standard="rfc5424")
    assert str(caught.value) == f"not syslog: {why}"


def test_a_message_that_is_not_utf_8_says_so() -> None:
    with pytest.raises(ValueError, match=r"^not syslog: not UTF-8 at byte 17$"):
        read(b"<34>1 - - - - - -\xff")


# RFC 3164, and what senders make of it


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (  # the examples of section 5.4
            "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
            {
                "priority": 34,
                "timestamp": "2025-10-11T22:14:15Z",
                "hostname": "mymachine",
                "app_name": "su",
                "message": "'su root' failed for lonvick on /dev/pts/8",
            },
        ),
        ("Use the BFG!", None),
        (
            "<0>1990 Oct 22 10:52:01 TZ-6 scapegoat 10.1.2.3 sched[0]: That's All!",
            {"priority": 0, "message": "1990 Oct 22 10:52:01 TZ-6 scapegoat 10.1.2.3 sched[0]: That's All!"},
        ),
        (
            "<13>Jan  5 11:59:59 10.0.0.99 myproc[10]: %% It's time.",
            {
                "priority": 13,
                "timestamp": "2026-01-05T11:59:59Z",
                "hostname": "10.0.0.99",
                "app_name": "myproc",
                "proc_id": "10",
                "message": "%% It's time.",
            },
        ),
        (  # a file that rsyslog writes
            "Dec 31 23:59:59 host postfix/smtpd[123]: connect from x",
            {
                "timestamp": "2025-12-31T23:59:59Z",
                "hostname": "host",
                "app_name": "postfix/smtpd",
                "proc_id": "123",
                "message": "connect from x",
            },
        ),
        (  # what programs write to /dev/log
            "<13>Jan  5 00:00:00 CRON[1]: (root) CMD (x)",
            {
                "priority": 13,
                "timestamp": "2026-01-05T00:00:00Z",
                "app_name": "CRON",
                "proc_id": "1",
                "message": "(root) CMD (x)",
            },
        ),
        (
            "<13>Jan  5 00:00:00 host",
            {"priority": 13, "timestamp": "2026-01-05T00:00:00Z", "hostname": "host", "message": ""},
        ),
        (
            "<13>Jan  5 00:00:00 - app: m",
            {"priority": 13, "timestamp": "2026-01-05T00:00:00Z", "app_name": "app", "message": "m"},
        ),
        (
            "<13>Jan 5 00:00:00 h app[1] m",
            {
                "priority": 13,
                "timestamp": "2026-01-05T00:00:00Z",
                "hostname": "h",
                "app_name": "app",
                "proc_id": "1",
                "message": "m",
            },
        ),
        (
            "<13>Jan  5 00:00:00 h app:m",
            {"priority": 13, "timestamp": "2026-01-05T00:00:00Z", "hostname": "h", "message": "app:m"},
        ),
        (
            "<13>Jan  5 00:00:00 fe80::1 app: m",
            {
                "priority": 13,
                "timestamp": "2026-01-05T00:00:00Z",
                "hostname": "fe80::1",
                "app_name": "app",
                "message": "m",
            },
        ),
        (
            "<13>Jan  5 00:00:00 h last message repeated 2 times",
            {
                "priority": 13,
                "timestamp": "2026-01-05T00:00:00Z",
                "hostname": "h",
                "message": "last message repeated 2 times",
            },
        ),
        (
            "<30>udhcpd[12]: sending OFFER",
            {"priority": 30, "app_name": "udhcpd", "proc_id": "12", "message": "sending OFFER"},
        ),
        ("<13>hello world: x", {"priority": 13, "message": "hello world: x"}),
        ("<13>", {"priority": 13, "message": ""}),
        (  # rsyslog's forward format
            "<34>2003-10-11T22:14:15.003456+02:00 host tag: m",
            {
                "priority": 34,
                "timestamp": "2003-10-11T22:14:15.003456+02:00",
                "hostname": "host",
                "app_name": "tag",
                "message": "m",
            },
        ),
        (
            "<34>2003-10-11 22:14:15,5 host tag: m",
            {
                "priority": 34,
                "timestamp": "2003-10-11T22:14:15.5Z",
                "hostname": "host",
                "app_name": "tag",
                "message": "m",
            },
        ),
        (  # Cisco IOS
            "<189>29: *Mar  1 00:00:37.123: %SYS-5-CONFIG_I: Configured from console",
            {
                "priority": 189,
                "timestamp": "2025-03-01T00:00:37.123Z",
                "structured_data": {"timeQuality": {"isSynced": "0"}, "meta": {"sequenceId": "29"}},
                "app_name": "%SYS-5-CONFIG_I",
                "message": "Configured from console",
            },
        ),
        (
            "<187>123: router1: 000045: Oct 11 22:14:15.123 UTC: %LINK-3-UPDOWN: Interface up",
            {
                "priority": 187,
                "timestamp": "2025-10-11T22:14:15.123Z",
                "structured_data": {"meta": {"sequenceId": "123"}},
                "hostname": "router1",
                "app_name": "%LINK-3-UPDOWN",
                "message": "Interface up",
            },
        ),
        (
            "<187>Oct 11 22:14:15 CEST: %LINK-3-UPDOWN: m",
            {"priority": 187, "timestamp": "2025-10-11T22:14:15Z", "app_name": "%LINK-3-UPDOWN", "message": "m"},
        ),
        (  # Cisco ASA
            "<166>Oct 11 2023 22:14:15 asa : %ASA-6-302013: Built",
            {
                "priority": 166,
                "timestamp": "2023-10-11T22:14:15Z",
                "hostname": "asa",
                "app_name": "%ASA-6-302013",
                "message": "Built",
            },
        ),
        (
            "<166>Oct 11 2023 22:14:15: %ASA-6-302013: Built",
            {"priority": 166, "timestamp": "2023-10-11T22:14:15Z", "app_name": "%ASA-6-302013", "message": "Built"},
        ),
        (
            "<166>Oct 11 2023 22:14:15 asa: %ASA-6-302013: Built",
            {
                "priority": 166,
                "timestamp": "2023-10-11T22:14:15Z",
                "hostname": "asa",
                "app_name": "%ASA-6-302013",
                "message": "Built",
            },
        ),
        ("<13>1 apple", {"priority": 13, "message": "1 apple"}),  # no RFC 5424, though it begins like it
    ],
)
def test_messages_of_rfc_3164(message: str, event: dict[str, object] | None) -> None:
    if event is None:
        with pytest.raises(ValueError, match=r"^not syslog: neither a priority, such as <34>, nor a time, at byte 0$"):
            read(message)
    else:
        assert parts(read(message)) == parts(read(message, standard="rfc3164")) == event


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("<999>Oct 11 22:14:15 h m", "a priority from 0 to 191 and > expected, at byte 1"),
        ("<é>", "a priority from 0 to 191 and > expected, at byte 1"),
        ("<13>Feb 30 22:14:15 h m", "Feb 30 22:14:15 is no time, at byte 4"),
        ("<13>Feb 29 2023 22:14:15 h m", "Feb 29 2023 22:14:15 is no time, at byte 4"),
        ("<13>Oct 11 25:14:15 h m", "Oct 11 25:14:15 is no time, at byte 4"),
        ("<13>2003-10-32T00:00:00Z h m", "2003-10-32T00:00:00Z is no time, at byte 4"),
        ("<13>12: .Feb 30 22:14:15: m", "Feb 30 22:14:15 is no time, at byte 9"),
    ],
)
def test_a_time_that_is_none_says_so(message: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"^not syslog: ") as caught:
        read(message)
    assert str(caught.value) == f"not syslog: {why}"


@pytest.mark.parametrize(
    ("now", "written", "year"),
    [
        ("2026-01-01T00:00:01Z", "Dec 31 23:59:59", 2025),
        ("2025-12-31T23:59:59Z", "Dec 31 23:59:59", 2025),
        ("2025-12-31T23:59:59Z", "Jan  1 00:00:01", 2026),  # a clock that is a little fast
        ("2025-12-31T23:59:59Z", "Jan  2 00:00:01", 2025),
        ("2026-06-15T12:00:00Z", "Jun 16 23:59:59", 2026),
        ("2026-06-15T12:00:00Z", "Jun 17 00:00:00", 2025),
        ("2026-06-15T12:00:00Z", "Feb 29 00:00:00", 2024),
        ("2103-06-15T12:00:00Z", "Feb 29 00:00:00", 2096),  # 2100 has none
    ],
)
def test_a_time_without_a_year_is_of_the_last_year_that_it_can_be_of(now: str, written: str, year: int) -> None:
    assert read(f"<13>{written} h m", nanos(now))["timestamp"].startswith(f"{year}-")


@given(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)), st.timedeltas(timedelta(days=-360), timedelta(days=1)))
def test_within_a_year_the_year_is_found(now: datetime, age: timedelta) -> None:
    made = (now + age).replace(microsecond=0)
    event = read(f"{made:%b %e %H:%M:%S} h m", nanos(now.isoformat() + "Z"))
    assert event["timestamp"] == made.isoformat() + "Z"


def test_the_time_of_a_record_that_is_far_out_is_no_trouble() -> None:
    for now in (-(2**63), 0, 2**63 - 1):
        assert read("<13>Oct 11 22:14:15 h m", now)["message"] == "m"


def test_alone_a_time_without_a_year_cannot_be_read() -> None:
    """Nothing here asks a clock."""
    with pytest.raises(ValueError, match="nothing says when the message came, at byte 4"):
        Syslog().codec.decode(b"<13>Oct 11 22:14:15 h m")
    assert Syslog().codec.decode(b"<13>Oct 11 2023 22:14:15 h m")


def test_times_without_a_zone_are_of_the_one_that_is_set() -> None:
    """Summer time, too; UTC keeps what it says."""
    berlin: dict[str, Any] = {"timezone": "Europe/Berlin"}
    assert read("<13>Jul  1 00:00:00 h m", **berlin)["timestamp"] == "2025-07-01T00:00:00+02:00"
    assert read("<13>Dec  1 00:00:00 h m", **berlin)["timestamp"] == "2025-12-01T00:00:00+01:00"
    assert read("<13>Dec  1 00:00:00 UTC: %A-1-B: m", **berlin)["timestamp"] == "2025-12-01T00:00:00Z"
    assert read("<13>2003-07-01T00:00:00.5 h m", **berlin)["timestamp"] == "2003-07-01T00:00:00.5+02:00"
    assert read("<13>1 2003-07-01T00:00:00 - - - - -", **berlin)["timestamp"] == "2003-07-01T00:00:00+02:00"
    assert read("<13>Dec  1 00:00:00 h m", timezone="-05:30")["timestamp"] == "2025-12-01T00:00:00-05:30"
    for wrong in ("Mars/Olympus", "+25:00", "", "../etc/passwd", "+2"):
        with pytest.raises(ValueError, match="should be the name of a time zone"):
            Syslog(timezone=wrong)


# Writing


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("just a text", "<13>1 - - - - - - just a text"),
        ({"message": {"a": [1]}}, '<13>1 - - - - - - {"a":[1]}'),
        ({"message": None, "hostname": ""}, "<13>1 - - - - - -"),
        ({"severity": "err", "priority": 34, "message": "m"}, "<35>1 - - - - - - m"),
        ({"severity_code": 3, "priority": 34}, "<35>1 - - - - - -"),
        ({"severity": "WARN", "severity_code": 0}, "<12>1 - - - - - -"),
        ({"facility": "local7", "severity": "panic"}, "<184>1 - - - - - -"),
        ({"facility_code": 23.0, "severity_code": 7}, "<191>1 - - - - - -"),
        ({"timestamp": Timestamp(1, 123456789), "proc_id": 12}, "<13>1 1970-01-01T00:00:01.123456Z - - 12 - -"),
        ({"timestamp": "2003-10-11T22:14:15.123456789+02:00"}, "<13>1 2003-10-11T22:14:15.123456+02:00 - - - - -"),
        (
            {"structured_data": {"a@1": {"n": 5, "x": None, "l": ["1", "2"]}}},
            '<13>1 - - - - - [a@1 n="5" x="" l="1" l="2"]',
        ),
        ({"structured_data": {}, "other": "is left out"}, "<13>1 - - - - - -"),
    ],
)
def test_what_events_are_written_as(event: object, message: str) -> None:
    assert Syslog().codec.encode(event).decode() == message
    assert Syslog(standard="rfc5424").codec.encode_plain(event).decode() == message


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("just a text", "<13>just a text"),
        (
            {"timestamp": "2003-10-11T22:14:15.5+02:00", "hostname": "h", "app_name": "a", "message": "m"},
            "<13>Oct 11 20:14:15 h a: m",
        ),
        (
            {"timestamp": "2003-10-01T22:14:15Z", "app_name": "a", "proc_id": 5, "message": "m"},
            "<13>Oct  1 22:14:15 - a[5]: m",
        ),
        ({"app_name": "a", "proc_id": "5", "msg_id": "x", "structured_data": {"a": {}}, "message": "m"}, "<13>a[5]: m"),
    ],
)
def test_what_events_are_written_as_by_rfc_3164(event: object, message: str) -> None:
    assert Syslog(standard="rfc3164").codec.encode(event).decode() == message


def test_the_mark_of_utf_8_is_written_where_it_is_asked_for_and_needed() -> None:
    marked = Syslog(bom=True).codec
    assert marked.encode("é").decode() == "<13>1 - - - - - - \ufeffé"
    assert marked.encode("e").decode() == "<13>1 - - - - - - e"
    assert Syslog().codec.encode("é").decode() == "<13>1 - - - - - - é"


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (5, "only a map or a text can be written as syslog, not an int"),
        ({"text": "m"}, "it has none of the fields of syslog: app_name, "),
        ({"message": "\ud800"}, "it cannot be written as syslog: "),
        ({"message": float("nan")}, "JSON has no nan"),
        ({"priority": 192}, "priority is 192, and should be a whole number from 0 to 191"),
        ({"priority": True}, "priority is true, and should be"),
        ({"facility_code": 24}, "facility_code is 24, and should be a whole number from 0 to 23"),
        ({"severity_code": 8}, "severity_code is 8, and should be a whole number from 0 to 7"),
        ({"severity": "bad"}, "severity is bad, which is none of emerg, alert, "),
        ({"facility": 3}, "facility is 3, which is none of kern, user, "),
        ({"version": 0}, "version is 0, and should be 1"),
        ({"hostname": "a b"}, "hostname is 'a b', and should be at most 255 characters of ASCII without spaces"),
        ({"hostname": "x" * 256}, "hostname is 'xxx"),
        ({"app_name": "x" * 49}, "at most 48 characters"),
        ({"msg_id": "é"}, "msg_id is 'é', and should be at most 32"),
        ({"timestamp": "yesterday"}, "timestamp is yesterday, and should be as in 2003-10-11T22:14:15.003Z"),
        ({"timestamp": "2003-10-11T22:14:15"}, "timestamp is 2003-10-11T22:14:15, and should be"),
        ({"timestamp": "2003-02-29T22:14:15Z"}, "timestamp is 2003-02-29T22:14:15Z, and should be"),
        ({"timestamp": 5}, "timestamp is 5, and should be"),
        ({"structured_data": "x"}, "structured_data is a string, and should be a map of maps"),
        ({"structured_data": {"a": 1}}, "structured_data[a] is an int, and should be a map"),
        ({"structured_data": {"a b": {}}}, "structured_data has the name 'a b', and names in it are at most 32"),
        ({"structured_data": {"a": {"x=": "1"}}}, "structured_data has the name 'x='"),
        ({"structured_data": {"a" * 33: {}}}, "structured_data has the name 'aaa"),
    ],
)
def test_what_is_no_message_is_not_written(event: object, why: str) -> None:
    with pytest.raises(CelError) as caught:
        Syslog().codec.encode(event)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ({"hostname": "h", "message": "m"}, "there is a hostname and no timestamp"),
        ({"proc_id": "1", "message": "m"}, "there is a proc_id and no app_name"),
        (
            {"app_name": "a:b"},
            "app_name is 'a:b', and should be at most 32 characters of ASCII without spaces, :, [ and ]",
        ),
        ({"app_name": "x" * 33}, "and should be at most 32"),
        ({"app_name": "a", "proc_id": "]"}, "proc_id is ']', and should be"),
        ({"timestamp": "0001-01-01T00:00:00+01:00"}, "which is too far away"),
    ],
)
def test_what_is_no_message_of_rfc_3164_is_not_written(event: object, why: str) -> None:
    with pytest.raises(CelError) as caught:
        Syslog(standard="rfc3164").codec.encode(event)
    assert why in str(caught.value)


# In a flow


def test_a_flow_reads_each_message_with_the_time_of_its_record_and_writes_it() -> None:
    text = """
        rules:
          - {name: bad, when: event.severity_code <= 3, set: {event.severity: warning}, to: [a, b]}
          - {name: rest, to: drop}
    """
    ruleset = ruleset_of(text, decode=Syslog(), facts=[SinkFacts("b", encode=Syslog(standard="rfc3164"))])
    messages = [
        b"<34>Dec 31 23:59:59 h su: m",
        b"<34>Dec 31 23:59:59 h su: m",
        b"<13>m",
        b"<34>1 - - - - - x",
        b"<33>x",
    ]
    times = [nanos("2020-01-01T00:00:00Z"), None, None, None, None]
    batch = Batch(messages, times=times, arrived=NOW)
    decisions = both(ruleset, batch)
    by_sink = {delivery.sink: list(delivery.values) for delivery in decisions.deliveries}
    assert by_sink == {
        "a": [
            b"<36>1 2019-12-31T23:59:59Z h su - - - m",
            b"<36>1 2025-12-31T23:59:59Z h su - - - m",
            b"<36>1 - - - - - - x",
        ],
        "b": [b"<36>Dec 31 23:59:59 h su: m", b"<36>Dec 31 23:59:59 h su: m", b"<36>x"],
    }
    assert [letter.detail for letter in decisions.letters] == ["not syslog: structured data or - expected, at byte 16"]
    alone = both(ruleset, Batch(messages[:1], arrived=int(datetime(2011, 1, 1, tzinfo=UTC).timestamp()) * 10**9))
    assert alone.deliveries[0].values == [b"<36>1 2010-12-31T23:59:59Z h su - - - m"]
