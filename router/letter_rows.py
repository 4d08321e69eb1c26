"""Dead letters as rows of the store, and back.

What many letters have in common (all texts but the detail) is a kind, kept once. Of what goes out only that is kept
which is not what came in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from msgspec.structs import replace

from router.batch import Headers
from router.letter import Letter, Original, Stage
from router.storable import pack, tame, tame_headers, tame_text, tame_time, unpack

KIND: Final = ("flow", "stage", "source", "rule", "sink", "reason", "version")
"""What a kind is made of."""
COLUMNS: Final = (
    # Short ones first: SQLite then finds them without reading the pages of a long payload.
    *("time", "kind", "attempts", "record_time", "detail", "key", "came", "goes", "value", "out_value"),
)
Kind = tuple[str, str, str, str, str, str, str]
Row = tuple[object, ...]


def kind_of(letter: Letter) -> Kind:
    """The texts that it has in common with others."""
    return letter.flow, letter.stage, letter.source, letter.rule, letter.sink, letter.reason, letter.version


def row_of(letter: Letter, kind: int) -> Row:
    """A letter as ``COLUMNS``. Raises one of ``UNSTORABLE``, now or when the row is bound."""
    came = goes = None
    if letter.original is not None:
        first = letter.original
        whole = (first.what, first.value, first.key, first.headers, first.amended)
        came = pack((letter.headers, letter.attributes, whole))
    elif letter.headers is not None or letter.attributes:
        came = pack((letter.headers, letter.attributes))
    out = letter.out_value
    is_same = out is not None and out == letter.value
    if out is not None or letter.out_key is not None or letter.out_headers is not None or letter.out_settings:
        goes = pack((is_same, letter.out_key, letter.out_headers, letter.out_settings))
    return (
        letter.time,
        kind,
        letter.attempts,
        letter.record_time,
        letter.detail,
        letter.key,
        came,
        goes,
        letter.value,
        None if is_same else out,
    )


def letter_of(row: Sequence[Any]) -> Letter:
    """The letter of a row: its id, ``COLUMNS``, and the texts of its kind."""
    id_, time, _, attempts, record_time, detail, key, came, goes, value, out = row[:11]
    flow, stage, source, rule, sink, reason, version = row[11:]
    headers, attributes, *amended = (None, {}) if came is None else unpack(came)
    is_same, out_key, out_headers, out_settings = (False, None, None, {}) if goes is None else unpack(goes)
    return Letter(
        id=id_,
        time=time,
        flow=flow,
        stage=cast("Stage", stage),
        source=source,
        rule=rule,
        sink=sink,
        reason=reason,
        detail=detail,
        attempts=attempts,
        version=version,
        value=value,
        key=key,
        headers=_pairs(headers),
        record_time=record_time,
        attributes=attributes,
        out_value=value if is_same else out,
        out_key=out_key,
        out_headers=_pairs(out_headers),
        out_settings=out_settings,
        original=_original(*amended[0]) if amended else None,
    )


def _original(what: Any, value: bytes, key: bytes | None, headers: Any, amended: int) -> Original:
    return Original(what, value, key, _pairs(headers), amended)


def _pairs(headers: Sequence[Sequence[Any]] | None) -> Headers | None:
    return None if headers is None else [(name, value) for name, value in headers]


def tamed(letter: Letter) -> Letter:
    """The letter without what cannot be kept: text that is no UTF-8 is escaped, immense integers become text."""
    changed = replace(
        letter,
        record_time=tame_time(letter.record_time),
        headers=tame_headers(letter.headers),
        attributes=tame(letter.attributes),
        out_headers=tame_headers(letter.out_headers),
        out_settings=tame(letter.out_settings),
    )
    for name in (*KIND, "detail"):
        setattr(changed, name, tame_text(getattr(letter, name)))
    return changed
