"""logfmt: lines to events and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rulesets import batch_of, both, ruleset_of

from rules.cel.errors import CelError
from rules.cel.values import CelMap, Timestamp
from rules.codecs import Logfmt
from rules.plan import SinkFacts

TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["", '"', "\\", '\\"', "a b", "a=b", "\n", "\t", "\x00", "\x7f", "\x85", "\u2028", "\ufeff", "é", "😀", "true", "="]
)
KEY = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"= '), min_size=1, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(KEY, TEXT | st.just(True), max_size=6))
def test_an_event_survives_the_way_there_and_back(event: dict[str, object]) -> None:
    codec = Logfmt().codec
    line = codec.encode(event)
    assert codec.decode(line) == event
    assert b"\n" not in line


TYPED = st.fixed_dictionaries(
    {},
    optional={
        "n": st.integers() | st.none(),
        "f": st.floats(allow_nan=False, allow_infinity=False) | st.none(),
        "b": st.booleans() | st.none(),
        "j": JSON.filter(lambda value: value != ""),
        "t": TEXT,
        "other": TEXT,
    },
)


@given(TYPED)
def test_an_event_with_types_survives_the_way_there_and_back(event: dict[str, object]) -> None:
    """A text of JSON is written as text, without its quotes, unless it stands in a list or a map."""
    codec = Logfmt(types={"n": "integer", "f": "number", "b": "boolean", "j": "json", "t": "text"}).codec
    if isinstance(event.get("j"), str):
        event["j"] = [event["j"]]
    assert codec.decode(codec.encode(event)) == event


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ('level=info msg="it works" took=5ms', {"level": "info", "msg": "it works", "took": "5ms"}),
        ("debug cached=", {"debug": True, "cached": ""}),
        ('a="" b=""', {"a": "", "b": ""}),
        ("  a=1 \t b=2  ", {"a": "1", "b": "2"}),
        ("a=1 a=2", {"a": "2"}),
        (
            "at=info method=GET path=/x?y=1&z=2 fwd=1.2.3.4",
            {"at": "info", "method": "GET", "path": "/x?y=1&z=2", "fwd": "1.2.3.4"},
        ),
        ('a=b"c" d=e\\n', {"a": 'b"c"', "d": "e\\n"}),  # outside quotes nothing is special
        (r'a="\"\\\/\n\t\u00e9\ud83d\ude00"', {"a": '"\\/\n\té😀'}),  # JSON's escapes
        (r'a="\a\v\x00\xe9\U0001f600\'"', {"a": "\a\v\x00é😀'"}),  # Go's
        ('a="two\nlines"', {"a": "two\nlines"}),
        ("schlüssel=wert", {"schlüssel": "wert"}),
        ("a=\u00a0b\u2003c", {"a": "\u00a0b\u2003c"}),  # only white space of ASCII separates
        ("", {}),
        (" ", {}),
    ],
)
def test_what_loggers_write_is_read(line: str, event: dict[str, object]) -> None:
    assert Logfmt().codec.decode(line.encode()) == event


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"a=\xff", "not logfmt: not UTF-8 at byte 2"),
        ('é="x'.encode(), "not logfmt: the quote is not closed at byte 3"),
        (b'a="x\\"', "not logfmt: the quote is not closed at byte 2"),
        (b'a="x"y', "not logfmt: white space expected after the quote at byte 5"),
        (b'a=1 b="x""y"', "not logfmt: white space expected after the quote at byte 9"),
        (b"=x", "not logfmt: = where a key should begin at byte 0"),
        (b"a=1 = 2", "not logfmt: = where a key should begin at byte 4"),
        (b'a=1 "b c" d=2', 'not logfmt: " where a key should begin at byte 4'),
        (b'a=1 b"c=2', 'not logfmt: " inside a key at byte 5'),
        ('é="\\d"'.encode(), "not logfmt: \\d is no escape at byte 4"),
        (b'a="\\u00g0"', "not logfmt: \\u is no escape at byte 3"),
        (b'a="\\Uffffffff"', "not logfmt: \\Uffffffff is no character at byte 3"),
        (b'a="\\ud83d\\ude00\\ud83d"', "not logfmt: \\ud83d is half of a character at byte 15"),
        (b'a="\\ude00\\ud83d"', "not logfmt: \\ude00 is half of a character at byte 3"),
    ],
)
def test_what_is_no_line_says_why_and_at_which_byte(line: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=r"^not logfmt") as caught:
        Logfmt().codec.decode(line)
    assert str(caught.value) == why


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"n=x", "n, at byte 2: 'x' is no integer"),
        ('é="ü" n=1 n="ü"'.encode(), "n, at byte 15: 'ü' is no integer"),
        (b"b=maybe", "b, at byte 2: 'maybe' is neither true nor false"),
        (b"j={", "j, at byte 2: '{' is not JSON"),
    ],
)
def test_what_is_not_of_its_type_says_so(line: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=r"^not logfmt with these types: ") as caught:
        Logfmt(types={"n": "integer", "b": "boolean", "j": "json"}).codec.decode(line)
    assert str(caught.value).startswith(f"not logfmt with these types: {why}")


def test_a_key_alone_is_true_whatever_its_type() -> None:
    assert Logfmt(types={"n": "integer", "b": "boolean"}).codec.decode(b"n b") == {"n": True, "b": True}


def test_values_are_written_as_text() -> None:
    event = {
        "a": "plain",
        "b": "two words",
        "c": None,
        "d": True,
        "e": False,
        "f": 1.5,
        "g": [1, "x"],
        "h": {"k": None},
        "i": Timestamp(0),
        "j": 'say "hi"\n\x7f',
        "k": 12345678901234567890123,
        "l": b"ab",
    }
    line = Logfmt(types={"e": "boolean"}).codec.encode(event)
    assert line.decode() == (
        r'a=plain b="two words" c= d e=false f=1.5 g="[1,\"x\"]" h="{\"k\":null}" i=1970-01-01T00:00:00Z '
        r'j="say \"hi\"\n\u007f" k=12345678901234567890123 l=YWI='.replace("l=YWI=", 'l="YWI="')
    )
    assert Logfmt(types={"d": "boolean"}).codec.encode({"d": True}) == b"d=true"


@pytest.mark.parametrize(
    "value",
    [
        "text",
        5,
        None,
        [1],
        {"a b": 1},
        {"": 1},
        {"a=": 1},
        {'"': 1},
        {"\x01": 1},
        {"a": float("nan")},
        {"a": "\ud800"},
        {"\ud800": 1},
        CelMap([(1, 2)]),
    ],
)
def test_what_has_no_line_is_an_error(value: object) -> None:
    with pytest.raises(CelError):
        Logfmt().codec.encode(value)


def test_a_flow_reads_and_writes_it() -> None:
    """A changed record goes out as it came in, or as another format says."""
    text = """
        rules:
          - {name: slow, when: "event.ms > 100", set: {event.slow: true, event.note: "took ${event.ms} ms"}, to: [a, b]}
          - {name: rest, to: drop}
    """
    ruleset = ruleset_of(
        text, decode=Logfmt(types={"ms": "integer"}), facts=[SinkFacts("b", encode=Logfmt(types={"slow": "boolean"}))]
    )
    batch = batch_of(b"ms=500 path=/x", b"ms=5", b'ms="', b"path=/y")
    decisions = both(ruleset, batch)
    by_sink = {delivery.sink: list(delivery.values) for delivery in decisions.deliveries}
    assert by_sink == {
        "a": [b'ms=500 path=/x slow note="took 500 ms"'],
        "b": [b'ms=500 path=/x slow=true note="took 500 ms"'],
    }
    assert [letter.detail for letter in decisions.letters] == ["not logfmt: the quote is not closed at byte 3"]


@given(st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3), st.lists))
def test_a_key_of_json_holds_any_value(value: object) -> None:
    """A text that looks like another value, too."""
    codec = Logfmt(types={"j": "json"}).codec
    assert codec.decode(codec.encode({"j": value})) == {"j": value}
