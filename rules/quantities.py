"""Quantities as a rules file writes them: a share (``10%``), a rate (``100/s``), a span of time (``10m``)."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final, TypeVar

N = TypeVar("N", int, Fraction)

_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
}
_NUMBER: Final = r"\d{1,15}(?:\.\d{1,9})?"
_SPAN: Final = re.compile(rf"(?:{_NUMBER}(?:ns|us|ms|s|m|h|d))+", re.ASCII)
_PART: Final = re.compile(rf"({_NUMBER})([a-z]+)", re.ASCII)
_RATE: Final = re.compile(rf"({_NUMBER})\s*/\s*([smh])", re.ASCII)
_PERCENT: Final = re.compile(rf"({_NUMBER})\s*%", re.ASCII)


def span(data: object) -> int:
    """Nanoseconds, more than none, from ``500ms`` or ``1h30m``. Raises ValueError for anything else."""
    if not isinstance(data, str) or not _SPAN.fullmatch(data):
        raise ValueError(data)
    total = sum(Fraction(number) * _UNITS[unit] for number, unit in _PART.findall(data))
    return _positive(int(total))


def rate(data: object) -> tuple[Fraction, int]:
    """How many in how many nanoseconds, from ``100/s``, ``0.5/m`` or ``10/h``. Raises ValueError for anything else."""
    found = _RATE.fullmatch(data) if isinstance(data, str) else None
    if found is None:
        raise ValueError(data)
    return _positive(Fraction(found[1])), _UNITS[found[2]]


def share(data: object) -> Fraction:
    """More than 0 and at most 1, from ``10%`` or 0.1. Raises ValueError for anything else."""
    found = _PERCENT.fullmatch(data) if isinstance(data, str) else None
    if found is not None:
        value = Fraction(found[1]) / 100
    elif isinstance(data, int | float) and not isinstance(data, bool) and 0 < data <= 1:
        value = Fraction(str(data))
    else:
        raise ValueError(data)
    if value > 1:
        raise ValueError(data)
    return _positive(value)


def _positive(value: N) -> N:
    if value <= 0:
        raise ValueError(value)
    return value
