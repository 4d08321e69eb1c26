"""Maps put together, JSON inside texts, and what tables hold."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rules.cel.errors import CelError
from rules.cel.functions.hashing import octets
from rules.cel.functions.registry import function
from rules.cel.operators import MAX_SIZE
from rules.cel.surroundings import Surroundings
from rules.cel.values import Optional, make_map, normal

_DEEPEST: Final = 200


@function("merge")
def _merge(left: Mapping[object, object], right: Mapping[object, object]) -> Mapping[object, object]:
    """Both maps in one. Where both have a key, the value of the right one counts, whole: see `deepMerge`.

    Example: merge({"a": 1, "b": {"c": 2}}, {"b": {"d": 3}}) == {"a": 1, "b": {"d": 3}}
    """
    return _merged(left, right)


@function("deepMerge")
def _deep_merge(left: Mapping[object, object], right: Mapping[object, object]) -> Mapping[object, object]:
    """Both maps in one, and so are the maps that both have under one key. All other values of the right one, lists too,
    take the place of those of the left.

    Example: deepMerge({"a": 1, "b": {"c": 2}}, {"b": {"d": 3}}) == {"a": 1, "b": {"c": 2, "d": 3}}
    """
    return _merged(left, right, _DEEPEST)


def _merged(left: Mapping[Any, object], right: Mapping[Any, object], deep: int | None = None) -> Mapping[Any, object]:
    """Both maps in one; with ``deep``, so far down at most, also the maps in them."""
    if deep is None and _has_texts(left) and _has_texts(right):
        return {**left, **right}
    if deep == 0:
        raise CelError(f"the maps nest deeper than {_DEEPEST}")
    # Values stay as they came, unlike those that are looked up: an integer may have more digits than CEL's.
    made = dict(_entries(left))
    for slot, (key, value) in _entries(right):
        own, old = made.get(slot, (key, None))
        if deep is not None and isinstance(old, Mapping) and isinstance(value, Mapping):
            made[slot] = own, _merged(old, value, deep - 1)
        else:
            made[slot] = own, value
    return make_map(made.values())


def _has_texts(entries: Mapping[Any, object]) -> bool:
    """Whether a map has texts for keys, and is a plain one."""
    return type(entries) is dict and set(map(type, entries)) <= {str}


def _entries(entries: Mapping[Any, object]) -> Iterator[tuple[object, tuple[object, object]]]:
    """Keys and values, by what tells keys apart: to Python, true is 1."""
    for raw in entries:
        key = normal(raw)
        yield (key if type(key) is str else (type(key) is bool, key)), (key, entries[raw])


@function("json.parse")
def _json_parse(data: str | bytes) -> object:
    """The value that a text, or its UTF-8, is the JSON of. What is no JSON is an error.

    Example: json.parse('{"id": 7, "tags": ["a"]}').tags[0] == "a"
    """
    from rules.codecs.json import Json

    payload = octets(data)
    try:
        value = normal(Json().codec.decode(payload))
    except ValueError as error:
        raise CelError(f"json.parse(): {error}") from error
    # How deep the codec itself can go depends on who calls it from where.
    if payload.count(b"[") + payload.count(b"{") > _DEEPEST and _is_deep(value):
        raise CelError(f"json.parse(): not JSON: nested deeper than {_DEEPEST}")
    return value


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        inner = [part for part in level if isinstance(part, list | dict)]
        level = [part for many in inner for part in (many.values() if isinstance(many, dict) else many)]
    return any(isinstance(part, list | dict) for part in level)


@function("json.format")
def _json_format(value: object) -> str:
    """A value as compact JSON. Times become texts, bytes base64, an optional its content or null; NaN, which JSON does
    not have, is an error.

    Example: json.format({"id": 7, "tags": ["a"]}) == '{"id":7,"tags":["a"]}'
    """
    from rules.codecs.format import write_json

    written = write_json(value)
    if len(written) > MAX_SIZE:
        raise CelError(f"json.format(): that would be longer than {MAX_SIZE:,}")
    return written.decode()


@function("lookup", pure=False)
def _lookup(around: Surroundings, table: str, key: object) -> Optional:
    """What a table of the daemon's file has under a key, as an optional: the row, a map of its columns, or the one
    value. Keys are compared as text: `5`, `5.0` and `"5"` are one key. Nothing is found under null.

    Example: lookup("countries", "DE").?name.orValue("unknown") == "Germany"
    Example: lookup("countries", "XX").hasValue() == false
    Example: lookup("prices", 7).orValue(0.0) == 12.5
    """
    return around.table(table).find(key)
