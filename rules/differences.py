"""What a test expects, held against what came: where the two part, in sentences and as a diff."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rules.cel.errors import CelError
from rules.cel.values import ABSENT, equal
from rules.codecs import write_json

_CONTEXT: Final = 2
"""So many fields that are as they should be stand before and after one that is not."""
_ONE_LINE: Final = 50
"""A value that differs stands on one line if it has no more characters."""
_LONGEST: Final = 200


def record_differences(
    place: str, want: Mapping[str, object], record: Mapping[str, object], *, exact: bool
) -> Iterator[str]:
    """The differences of a record, of which a test names some parts; ``exact`` is meant of its event."""
    for name, value in want.items():
        inner = record.get(name, ABSENT)
        yield from differences(f"{place}.{name}", value, inner, exact=exact and name == "event")


def record_diff(label: str, want: Mapping[str, object], record: Mapping[str, object], *, exact: bool) -> list[str]:
    """The same as a diff; ``label`` says which record it is."""
    parts = [_Part(_key(name), want[name], record.get(name, ABSENT), exact and name == "event") for name in want]
    return list(_holding(f"{label}{{", parts, "}", 0))


def differences(place: str, want: object, have: object, *, exact: bool) -> Iterator[str]:
    """Where a value is not what is wanted, a sentence each; maps may have more fields unless ``exact``."""
    have = as_written(have, want)
    if have is ABSENT:
        yield f"{place}: {as_json(want)} expected, nothing there"
    elif isinstance(want, Mapping) and isinstance(have, Mapping):
        for name, value in want.items():
            yield from differences(f"{place}.{name}", value, have.get(name, ABSENT), exact=exact)
        for name in have if exact else ():
            if name not in want:
                yield f"{place}.{name}: nothing expected, {as_json(have[name])} there"
    elif isinstance(want, list) and isinstance(have, list) and len(want) == len(have):
        for index, (value, own) in enumerate(zip(want, have, strict=True)):
            yield from differences(f"{place}[{index}]", value, own, exact=exact)
    elif not _same(want, have):
        yield f"{place}: {as_json(want)} expected, {as_json(have)} there"


def diff(want: object, have: object, *, exact: bool) -> list[str]:
    """The same as lines of JSON: ``-`` for what is wanted, ``+`` for what came, and around them what holds them and a
    little of what is as it should be. Without any line, the two agree."""
    return list(_diff(_Part("", want, have, exact), 0))


class _Part(Struct, frozen=True):
    """Two values that stand at one place. ``key`` is written before them, ``comma`` behind."""

    key: str
    want: object
    have: object
    exact: bool
    comma: str = ""


def _key(name: object) -> str:
    return f"{as_json(name)}: "


def _diff(part: _Part, depth: int) -> Iterator[str]:
    key, want, have = part.key, part.want, as_written(part.have, part.want)
    if isinstance(want, Mapping) and isinstance(have, Mapping):
        names = [*want, *(name for name in have if part.exact and name not in want)]
        below = [_Part(_key(name), want.get(name, ABSENT), have.get(name, ABSENT), part.exact) for name in names]
        yield from _holding(f"{key}{{", below, "}" + part.comma, depth)
    elif isinstance(want, list) and isinstance(have, list) and len(want) == len(have):
        below = [_Part("", *pair, part.exact) for pair in zip(want, have, strict=True)]
        yield from _holding(f"{key}[", below, "]" + part.comma, depth)
    elif want is ABSENT or have is ABSENT or not _same(want, have):
        yield from _lines("-", part, want, depth)
        yield from _lines("+", part, have, depth)


def _holding(opening: str, parts: Sequence[_Part], closing: str, depth: int) -> Iterator[str]:
    """The parts of a map or a list that differ, with what stands next to them."""
    parts = [*(replace(part, comma=",") for part in parts[:-1]), *parts[-1:]]
    told = [list(_diff(part, depth + 1)) for part in parts]
    shown = {
        near
        for place, lines in enumerate(told)
        if lines
        for near in range(max(place - _CONTEXT, 0), min(place + _CONTEXT + 1, len(parts)))
    }
    if not shown:
        return
    yield _line(" ", depth, opening)
    last = -1
    for place in sorted(shown):
        if place > last + 1:
            yield _line(" ", depth + 1, "…")
        yield from told[place] or _lines(" ", parts[place], parts[place].want, depth + 1)
        last = place
    if last + 1 < len(parts):
        yield _line(" ", depth + 1, "…")
    yield _line(" ", depth, closing)


def _lines(mark: str, part: _Part, value: object, depth: int) -> Iterator[str]:
    """One of the two values: what is around a difference on one line, a long one that differs on several."""
    if value is ABSENT:
        return
    text = as_json(value)
    lines = [text]
    if mark != " " and len(text) > _ONE_LINE:
        with contextlib.suppress(ValueError):
            lines = json.dumps(json.loads(text), indent=2, ensure_ascii=False).splitlines()
    for number, line in enumerate(lines):
        comma = part.comma if number == len(lines) - 1 else ""
        yield _line(mark, depth, ("" if number else part.key) + _cut(line) + comma)


def _line(mark: str, depth: int, text: str) -> str:
    return f"{mark} {'  ' * depth}{text}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"


def as_written(have: object, want: object) -> object:
    """Bytes as tests write them, unless a test writes these as base64 all the same."""
    return readable(have) if isinstance(have, bytes) and not _is_base64(want) else have


def _same(want: object, have: object) -> bool:
    if _is_base64(want) and isinstance(want, Mapping) and isinstance(have, bytes):
        return bool(want["base64"] == base64.b64encode(have).decode())
    return equal(want, have)


def _is_base64(value: object) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"base64"}


def readable(value: bytes) -> object:
    """Bytes as tests write them: text where they are valid UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def as_json(value: object) -> str:
    """JSON for people; what a test can ask for by ``event`` is not shown as ``raw`` too."""
    try:
        return write_json(shown(value)).decode()
    except CelError:
        return repr(value)


def shown(value: object) -> object:
    """A record that came, or a part of one, without what says nothing."""
    if isinstance(value, bytes):
        return readable(value)
    if isinstance(value, Mapping):
        return {
            name: shown(content)
            for name, content in value.items()
            if not (name == "raw" and "event" in value) and content is not None
        }
    return [shown(content) for content in value] if isinstance(value, list) else value
