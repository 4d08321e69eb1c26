"""Durations and sizes are read as people write them, and anything else is refused with an example."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("10s", 10.0), ("5m", 300.0), ("1h30m", 5400.0), ("1.5s", 1.5), ("1d", 86400.0), (0, 0.0)],
)
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"), [("64KiB", 65536), ("1GiB", 2**30), ("10MB", 10**7), (512, 512), ("512", 512), ("1.5KiB", 1536)]
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "s", "10", "10 parsecs", "-1s", "1s2", True, None, [], "1s1", 10, -1])
def test_what_is_no_duration_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match="500ms"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "KiB", "10 XiB", -1, True, None, "1KiB-"])
def test_what_is_no_size_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match="64KiB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (format_duration(0.25), "250ms"),
        (format_duration(60), "1m"),
        (format_duration(90), "90s"),
        (format_duration(0), "0s"),
        (format_size(1 << 20), "1MiB"),
        (format_size(10**7), "10MB"),
        (format_size(7), "7"),
        (format_size(0), "0"),
    ],
)
def test_they_are_written_shortly(written: str, text: str) -> None:
    assert written == text


@given(st.integers(0, 1 << 60), st.integers(0, 10**15))
def test_what_is_written_is_read_as_that(size: int, nanoseconds: int) -> None:
    """Sizes to the byte, durations to the nanosecond."""
    assert parse_size(format_size(size)) == size
    assert round(parse_duration(format_duration(nanoseconds / 1e9)) * 1e9) == nanoseconds


@given(st.text())
def test_no_text_makes_them_fail_otherwise(text: str) -> None:
    for parse in (parse_duration, parse_size):
        with contextlib.suppress(ValueError):
            assert parse(text) >= 0
