"""Avro schemas with events of their domain, for hypothesis."""

from __future__ import annotations

import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from rules.cel.temporal import Timestamp

Typed = tuple[Any, st.SearchStrategy[Any]]
"""A schema, as JSON, and what its events are."""

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.text("ab", min_size=60, max_size=70)
SINGLE = st.floats(width=32, allow_nan=False)
DOUBLE = st.floats(allow_nan=False)
NAME = st.sampled_from(["a", "b", "c", "d_1", "e"])

PLAIN: list[Typed] = [
    ("null", st.none()),
    ("boolean", st.booleans()),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", st.integers(-(2**63), 2**63 - 1) | st.integers(-70, 70)),
    ("float", SINGLE),
    ("double", DOUBLE),
    ("bytes", st.binary(max_size=6)),
    ("string", TEXT),
    ({"type": "string"}, TEXT),
]


def _ticks(nanos: int) -> st.SearchStrategy[Timestamp]:
    first, last = -62_135_596_800 * 10**9, 253_402_300_800 * 10**9 - 1
    ticks = st.integers(max(first // nanos, -(2**63)), min(last // nanos, 2**63 - 1))
    return ticks.map(lambda number: Timestamp.from_nanos(number * nanos))


def _local(digits: int) -> st.SearchStrategy[str]:
    first, last = (1678, 2261) if digits == 9 else (1, 9999)
    day = st.dates().filter(lambda date: first <= date.year <= last).map(str)
    fraction = st.integers(0, 10**digits - 1)
    return st.tuples(day, st.times(), fraction).map(lambda p: f"{p[0]}T{p[1]:%H:%M:%S}.{p[2]:0{digits}}")


def _decimals(precision: int, scale: int) -> st.SearchStrategy[str]:
    most = 10**precision - 1
    return st.integers(-most, most).map(lambda number: f"{Decimal(f'{number}E{-scale}'):f}")


LOGICAL: list[Typed] = [
    ({"type": "int", "logicalType": "date"}, st.dates().map(str)),
    (
        {"type": "int", "logicalType": "time-millis"},
        st.times().map(lambda t: f"{t:%H:%M:%S}.{t.microsecond // 1000:03}"),
    ),
    ({"type": "long", "logicalType": "time-micros"}, st.times().map(lambda t: f"{t:%H:%M:%S.%f}")),
    ({"type": "long", "logicalType": "timestamp-millis"}, _ticks(10**6)),
    ({"type": "long", "logicalType": "timestamp-micros"}, _ticks(10**3)),
    ({"type": "long", "logicalType": "timestamp-nanos"}, _ticks(1)),
    ({"type": "long", "logicalType": "local-timestamp-millis"}, _local(3)),
    ({"type": "long", "logicalType": "local-timestamp-nanos"}, _local(9)),
    ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, _decimals(9, 2)),
    ({"type": "bytes", "logicalType": "decimal", "precision": 40}, _decimals(40, 0)),
    ({"type": "string", "logicalType": "uuid"}, st.uuids().map(str)),
    ({"type": "int", "logicalType": "of-nobody"}, st.integers(-5, 5)),
]


class _Names:
    """Names of types are given once in a schema."""

    def __init__(self) -> None:
        self.count = 0

    def next(self) -> str:
        self.count += 1
        return f"{'shop.' if self.count % 3 == 0 else ''}T{self.count}"


@st.composite
def typed(draw: Callable[..., Any], *, logical: bool = False, depth: int = 3, names: _Names | None = None) -> Typed:
    """A schema with what its events are. Every record in it has at least one field with bytes."""
    names = names or _Names()

    def below() -> Typed:
        found: Typed = draw(typed(logical=logical, depth=depth - 1, names=names))
        return found

    simple = [*PLAIN, *(LOGICAL if logical else [])]
    kind = draw(st.sampled_from(["simple", "simple", "enum", "fixed", "array", "map", "record", "record", "union"]))
    if kind == "simple" or depth == 0:
        found: Typed = draw(st.sampled_from(simple))
        return found
    if kind == "enum":
        symbols = draw(st.lists(st.sampled_from(["A", "B", "C", "D"]), min_size=1, unique=True))
        return {"type": "enum", "name": names.next(), "symbols": symbols}, st.sampled_from(symbols)
    if kind == "fixed":
        size = draw(st.integers(1, 5))
        return {"type": "fixed", "name": names.next(), "size": size}, st.binary(min_size=size, max_size=size)
    if kind == "array":
        schema, values = below()
        if is_bare(schema):
            schema, values = "long", st.integers(-70, 70)
        return {"type": "array", "items": schema}, st.lists(values, max_size=3)
    if kind == "map":
        schema, values = below()
        return {"type": "map", "values": schema}, st.dictionaries(TEXT, values, max_size=3)
    if kind == "union":
        return _union(draw, below)
    fields = {name: below() for name in draw(st.lists(NAME, min_size=1, max_size=4, unique=True))}
    fields["n"] = ("int", st.integers(-3, 3))
    schema = {
        "type": "record",
        "name": names.next(),
        "fields": [{"name": n, "type": s} for n, (s, _) in fields.items()],
    }
    return schema, st.fixed_dictionaries({name: values for name, (_, values) in fields.items()})


def _union(draw: Callable[..., Any], below: Callable[[], Typed]) -> Typed:
    found: dict[str, Typed] = {"null": ("null", st.none())} if draw(st.booleans()) else {}
    for _ in range(draw(st.integers(1, 3))):
        schema, values = below()
        if not isinstance(schema, list):
            found.setdefault(name_of(schema), (schema, values))
    found = found or {"long": PLAIN[3]}
    return [schema for schema, _ in found.values()], st.one_of([values for _, values in found.values()])


def name_of(schema: Any) -> str:
    """What tells the branches of a union apart."""
    if isinstance(schema, str):
        return schema
    return str(schema.get("name", schema["type"]))


def is_bare(schema: Any) -> bool:
    """Whether a value has no bytes."""
    return bool(schema == "null")


@st.composite
def schemas_and_events(draw: Callable[..., Any], *, logical: bool = False) -> tuple[Any, Any]:
    """A schema, as a mapping or list, and an event."""
    schema, values = draw(typed(logical=logical))
    return ({"type": schema} if isinstance(schema, str) else schema), draw(values)


def single(number: float) -> float:
    """A double as a float has it."""
    return float(struct.unpack("<f", struct.pack("<f", number))[0])


@st.composite
def damaged(draw: Callable[..., Any], data: bytes) -> bytes:
    """Bytes with something done to them: cut, grown, changed here and there."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(out)))
        match draw(st.sampled_from(["cut", "put", "set"])):
            case "cut":
                del out[at : at + draw(st.integers(1, 4))]
            case "put":
                out[at:at] = draw(st.binary(max_size=3))
            case _ if at < len(out):
                out[at] = draw(st.integers(0, 255))
    return bytes(out)
