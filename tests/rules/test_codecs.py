"""Payloads to events and back: strict on the way in, nothing lost on the way out."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.cel.errors import CelError
from rules.cel.values import CelMap, Duration, Timestamp, UInt
from rules.codecs import FORMATS, Format, in_text, is_plain

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=10,
)


@given(plain)
def test_plain_values_are_seen(value: object) -> None:
    assert is_plain(value)


@given(
    st.integers() | st.recursive(st.integers() | st.text("aé", max_size=3), lambda inner: st.lists(inner), max_leaves=5)
)
def test_json_survives_the_way_there_and_back(value: object) -> None:
    assert FORMATS["json"]().codec.decode(FORMATS["json"]().codec.encode(value)) == value


MADE = [kind() for kind in FORMATS.values() if not any(field.is_required() for field in kind.model_fields.values())]


@pytest.mark.parametrize("format_", MADE, ids=str)
@given(payload=st.binary(max_size=60) | st.text('{}[]"\\:,=< >01ae-\n', max_size=30).map(str.encode))
def test_whatever_comes_is_an_event_or_a_reason(format_: Format, payload: bytes) -> None:
    """Nothing but ValueError is raised, and the fast way gives the same where it gives anything."""
    codec, event = format_.codec, object()
    try:
        event = codec.decode(payload)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - of whatever is raised
        decoded = False
    else:
        decoded = True
    try:
        fast = codec.decode_plain(payload)
    except Exception:  # noqa: BLE001 - anything may be raised
        return
    assert decoded
    assert repr(fast) == repr(event)
    if codec.decodes_plain:
        assert is_plain(event) or isinstance(event, bytes)


@pytest.mark.parametrize("format_", [made for made in MADE if not made.cannot_encode], ids=str)
@given(value=plain)
def test_a_plain_value_is_written_the_same_the_fast_way_in_every_format(format_: Format, value: object) -> None:
    try:
        written = format_.codec.encode(value)
    except CelError:
        return
    assert format_.codec.encode_plain(value) == written


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, [1.0, -math.inf], UInt(1), b"x", Timestamp(0), Duration(1), {"a": CelMap([(1, 2)])}]
)
def test_what_is_not_plain_is_seen(value: object) -> None:
    assert not is_plain(value)


@pytest.mark.parametrize("value", [math.nan, {"a": [math.inf]}, CelMap([(1, 1), ("1", 2)]), "\ud800"])
def test_what_json_cannot_say_is_an_error(value: object) -> None:
    with pytest.raises(CelError):
        FORMATS["json"]().codec.encode(value)


def test_values_outside_json_become_text() -> None:
    value = {"at": Timestamp(0, 5), "for": Duration(90), "raw": b"abc", "u": UInt(2**64 - 1), "m": CelMap([(1, True)])}
    written = json.loads(FORMATS["json"]().codec.encode(value))
    assert written == {
        "at": "1970-01-01T00:00:00.000000005Z",
        "for": "90s",
        "raw": "YWJj",
        "u": 2**64 - 1,
        "m": {"1": True},
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (1, "1"), (1.5, "1.5"), (None, "null"), ([1, "a"], '[1,"a"]'), (Timestamp(0), "1970-01-01T00:00:00Z")],
)
def test_inside_text_a_value_is_written_as_json_and_text_as_it_is(value: object, text: str) -> None:
    assert in_text(value) == text


def test_text_and_bytes() -> None:
    assert FORMATS["text"]().codec.decode("é".encode()) == "é"
    assert FORMATS["text"]().codec.encode({"a": "é"}) == '{"a":"é"}'.encode()
    with pytest.raises(ValueError, match=r"^not text: not UTF-8 at byte 0$"):
        FORMATS["text"]().codec.decode(b"\xff")
    assert FORMATS["bytes"]().codec.encode(b"\xff") == FORMATS["bytes"]().codec.decode(b"\xff") == b"\xff"
    with pytest.raises(CelError, match="an int has no bytes"):
        FORMATS["bytes"]().codec.encode(1)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "no bytes at all"),
        (b" \r\n", "nothing but white space"),
        (b'{"a": "x\xff"}', "not UTF-8 at byte 8"),
        (b"1e999 \xff", "not UTF-8 at byte 6"),
        ("{}".encode("utf-16"), "not UTF-8 at byte 0"),
        (b'{"a" 1}', "expected ':' at byte 5"),
        (b"{} x", "trailing characters at byte 3"),
        (b'{"a":', "it ends too early, at byte 5"),
        (b'{"a": "\\\\\\ud83d"}', "\\ud83d is half of a character at byte 9"),
        (b'"\\\\ud83d', "it ends too early, at byte 8"),
        (b"[" * 100_000, "nested too deep to be read"),
    ],
)
def test_what_is_not_json_says_why_and_at_which_byte(payload: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^not JSON: ") as caught:
        FORMATS["json"]().codec.decode(payload)
    assert str(caught.value) == f"not JSON: {reason}"
