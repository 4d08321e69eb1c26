"""Plots for the docs, as SVG: deterministic, of a few hundred bytes a mark, and readable as text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

from bench.report import figure

WIDTH = 760
INK, PALE, OURS, FLOOR, GRID = "#1f2328", "#9aa7b4", "#0a7d4f", "#d08700", "#e3e7eb"
COLOURS = (OURS, FLOOR, "#3b6fb6", "#a8457d")
_ROW, _LEFT, _RIGHT, _TOP = 26, 270, 80, 46

FAR = 50
"""Times the least value that the greatest must be for a scale of powers of ten."""


def bars(title: str, unit: str, values: Mapping[str, float], colours: Mapping[str, str]) -> str:
    """A bar for each value, shortest first. Where they are far apart, each step of the scale is ten times the last."""
    ticks, place = _scale(values.values())
    bottom = _TOP + _ROW * len(values)
    width = WIDTH - _LEFT - _RIGHT
    marks = [_text(16, 26, f"{title}, {unit}", size=15, weight="bold")]
    for tick in ticks:
        x = _LEFT + place(tick) * width
        marks += [_line(x, _TOP - 6, x, bottom), _text(x, bottom + 16, f"{tick:,g}", anchor="middle")]
    for row, (name, value) in enumerate(sorted(values.items(), key=lambda item: item[1])):
        y = _TOP + row * _ROW
        length, colour = max(2.0, place(value) * width), colours.get(name, PALE)
        marks += [
            _text(_LEFT - 10, y + 14, name, anchor="end"),
            f'<rect x="{_LEFT}" y="{y + 2}" width="{length:.1f}" height="{_ROW - 9}" fill="{colour}"/>',
            _text(_LEFT + length + 6, y + 14, figure(value)),
        ]
    return _document(bottom + 34, title, marks)


def _scale(values: Iterable[float]) -> tuple[list[float], Callable[[float], float]]:
    """Ticks, and what part of the way from the first to the last of them a value is."""
    found = list(values)
    if max(found) < FAR * min(found):
        step = 10.0 ** math.floor(math.log10(max(found)))
        step = next(step * share for share in (0.1, 0.2, 0.5, 1) if max(found) <= 10 * step * share)
        last = math.ceil(max(found) / step)
        return [step * number for number in range(last + 1)], lambda value: value / (step * last)
    low, high = _decades(found)
    return [10.0**decade for decade in range(low, high + 1)], lambda value: (math.log10(value) - low) / (high - low)


def lines(title: str, across: str, up: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """A line for each series of points; both scales are such that each step is ten times the last."""
    height, left, right, top, bottom = 380, 70, 150, 60, 330
    low_x, high_x = _decades(x for points in series.values() for x, _ in points)
    low_y, high_y = _decades(y for points in series.values() for _, y in points)

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            left + (math.log10(x) - low_x) / (high_x - low_x) * (WIDTH - left - right),
            bottom - (math.log10(y) - low_y) / (high_y - low_y) * (bottom - top),
        )

    marks = [_text(16, 26, title, size=15, weight="bold"), _text(16, top - 12, up)]
    for decade in range(low_x, high_x + 1):
        x, _ = at(10.0**decade, 10.0**low_y)
        marks += [_line(x, top, x, bottom), _text(x, bottom + 18, f"{10.0**decade:,g}", anchor="middle")]
    for decade in range(low_y, high_y + 1):
        _, y = at(10.0**low_x, 10.0**decade)
        marks += [_line(left, y, WIDTH - right, y), _text(left - 8, y + 4, f"{10.0**decade:,g}", anchor="end")]
    marks.append(_text((left + WIDTH - right) / 2, bottom + 38, across, anchor="middle"))
    for colour, (name, points) in zip(COLOURS, series.items(), strict=False):
        placed = [at(x, y) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        marks.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        marks += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in placed]
        x, y = placed[-1]
        marks.append(_text(x + 10, y + 4, f"{name}: {figure(points[-1][1])}", colour=colour))
    return _document(height, title, marks)


def _decades(values: Iterable[float]) -> tuple[int, int]:
    """The powers of ten below and above all values, at least one apart."""
    found = list(values)
    low, high = math.floor(math.log10(min(found))), math.ceil(math.log10(max(found)))
    return low, max(high, low + 1)


def _document(height: int, title: str, marks: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="{escape(title)}">'
    )
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>', *marks, "</svg>", ""])


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{GRID}"/>'


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 13, weight: str = "normal", colour: str = INK
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
        f'fill="{colour}">{escape(text)}</text>'
    )
