"""Formats and framings in the daemon's file, through the real command: from file to file, and in the tests of rules."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from tests import commands
from tests.walkthrough import write

pack = msgspec.msgpack.encode


def sluiceway(folder: Path, *arguments: str, status: int = 0) -> str:
    """The output of the command."""
    done = commands.sluiceway(*arguments, cwd=folder)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def route(folder: Path, data: bytes, source: Mapping[str, object], sink: Mapping[str, object], rules: str) -> bytes:
    """What a run writes to a file, of what another one holds."""
    config = {
        "sources": {"in": {"type": "file", "path": "in", **source}},
        "sinks": {"out": {"type": "file", "path": "out", **sink}},
        "flows": ["rules.yaml"],
        "http": None,
    }
    (folder / "in").write_bytes(data)
    os.utime(folder / "in", (1, 1))
    write(folder / "sluiceway.yaml", json.dumps(config))
    write(folder / "rules.yaml", rules)
    sluiceway(folder, "check")
    if "tests:" in rules:
        assert "0 failed" in sluiceway(folder, "test")
    sluiceway(folder, "run")
    return (folder / "out").read_bytes()


def letters(folder: Path) -> list[tuple[str, str, object]]:
    """The stage, the detail and the payload of each dead letter."""
    found = map(json.loads, sluiceway(folder, "dead", "list", "--json").splitlines())
    return [(letter["stage"], letter["detail"], letter["value"]) for letter in found]


def test_messagepack_of_fluentd_to_json_and_back(tmp_path: Path) -> None:
    """Objects stand one after the other; one that is cut off at the end is a dead letter, whole."""
    data = pack({"n": 1, "note": "a\nb"}) + pack({"n": 2}) + pack([msgspec.Raw(b"\xd7\x00" + bytes(8))]) + b"\x82\xa1n"
    rules = """
        from: [in]
        rules:
          - {name: one, when: event.n == 1, set: {event.tags: [x]}, to: out}
          - {name: rest, to: out}
        tests:
          - name: one is tagged
            given: [{event: {n: 1}}]
            then: {out: [{event: {n: 1, tags: [x]}}]}
    """
    decode = {"type": "msgpack", "event_time": True}
    lines = route(tmp_path, data, {"decode": decode}, {"encode": "json"}, rules)
    assert list(map(json.loads, lines.splitlines())) == [
        {"n": 1, "note": "a\nb", "tags": ["x"]},
        {"n": 2},
        ["1970-01-01T00:00:00Z"],
    ]
    ((stage, detail, value),) = letters(tmp_path)
    assert (stage, detail) == ("decode", f"the stream ends inside the object at byte {len(data) - 3}")
    assert value == {"base64": "gqFu"}
    back = tmp_path / "back"
    back.mkdir()
    packed = route(back, lines, {}, {"encode": "msgpack"}, "from: [in]\nrules: [{name: all, to: out}]")
    assert packed == pack({"n": 1, "note": "a\nb", "tags": ["x"]}) + pack({"n": 2}) + pack(["1970-01-01T00:00:00Z"])


def test_logfmt_to_itself_and_from_json(tmp_path: Path) -> None:
    rules = """
        from: [in]
        rules:
          - {name: slow, when: event.ms > 100, set: {event.note: "took ${event.ms} ms"}, to: out}
          - {name: rest, to: out}
        tests:
          - name: slow ones are noted
            given: [{event: {ms: 500, debug: true}}, {raw: 'ms=1 "'}]
            then: {out: [{event: {ms: 500, debug: true, note: took 500 ms}}], dead_letter: 1}
    """
    decode = {"type": "logfmt", "types": {"ms": "integer"}}
    data = b'ms=500 msg="it works" debug\n\nms=5  msg=\n=x\nms=x\n'
    written = route(tmp_path, data, {"decode": decode}, {}, rules)
    assert written == b'ms=500 msg="it works" debug note="took 500 ms"\nms=5  msg=\n'
    assert letters(tmp_path) == [
        ("decode", "not logfmt: = where a key should begin at byte 0", "=x"),
        ("decode", "not logfmt with these types: ms, at byte 3: 'x' is no integer", "ms=x"),
    ]
    other = tmp_path / "other"
    other.mkdir()
    lines = b'{"level":"info","msg":"a b","user":{"id":1}}\n{"a b":1}\n'
    assert route(other, lines, {}, {"encode": "logfmt"}, "from: [in]\nrules: [{name: all, to: out}]") == (
        b'level=info msg="a b" user="{\\"id\\":1}"\n'
    )
    assert [stage for stage, _, _ in letters(other)] == ["rule"]


def test_syslog_of_both_standards_to_rfc_5424_octet_counted(tmp_path: Path) -> None:
    """A message may hold newlines where octets are counted."""
    rules = """
        from: [in]
        rules:
          - {name: grave, when: event.severity_code <= 3, set: {event.severity: warning}, to: out}
          - {name: rest, to: out}
        tests:
          - name: grave ones are warnings
            given:
              - {raw: "<34>Dec 31 23:59:59 host su[1]: no", time: "2026-01-01T00:00:00Z"}
              - {event: {severity: info, message: m}}
            then: {out: [{event: {priority: 36, timestamp: "2025-12-31T23:59:59Z"}}, {event: {severity_code: 6}}]}
    """
    messages = [
        b"<34>Oct 11 2023 22:14:15 host su[1]: a",
        b'<13>1 - - - - - [x y="\\]"] b\nc',
        b"<13>1 - - - - - x",
        b"<34>1 - h - - - -",
    ]
    data = b"".join(b"%d %s" % (len(message), message) for message in messages)
    counted = {"framing": "octet_counted"}
    written = route(tmp_path, data, {"decode": "syslog", **counted}, counted, rules)
    out = [b"<36>1 2023-10-11T22:14:15Z host su 1 - - a", messages[1], b"<36>1 - h - - - -"]
    assert written == b"".join(b"%d %s" % (len(message), message) for message in out)
    assert letters(tmp_path) == [
        ("decode", "not syslog: structured data or - expected, at byte 16", messages[2].decode())
    ]


def test_json_to_syslog_as_rfc_3164(tmp_path: Path) -> None:
    lines = b'{"text":"a"}\n{"text":"b c"}\n'
    rules = 'from: [in]\nrules: [{name: all, emit: {app_name: shop, message: "${event.text}"}, to: out}]'
    sink = {"encode": {"type": "syslog", "standard": "rfc3164"}}
    assert route(tmp_path, lines, {}, sink, rules) == b"<13>shop: a\n<13>shop: b c\n"


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"decode": "msgpak"}, "should be json, text"),
        ({"decode": {"type": "syslog", "standard": "rfc1"}}, "standard"),
        ({"decode": {"type": "syslog", "timezone": "Mars"}}, "should be the name of a time zone"),
        ({"decode": {"type": "logfmt", "types": {"a": "date"}}}, "should be text, integer, number"),
        ({"decode": {"type": "msgpack", "header": True}}, "header"),
        ({"framing": "objects"}, "should be newline, null"),
    ],
)
def test_settings_that_are_none_are_refused_with_their_place(
    settings: dict[str, object], fault: str, tmp_path: Path
) -> None:
    config = {"sources": {"in": {"type": "file", "path": "in", **settings}}, "flows": ["rules.yaml"]}
    write(tmp_path / "sluiceway.yaml", json.dumps(config))
    write(tmp_path / "rules.yaml", "from: [in]\nrules: [{name: all, to: drop}]")
    said = sluiceway(tmp_path, "check", status=2)
    assert "sluiceway.yaml:1:" in said
    assert fault in said
