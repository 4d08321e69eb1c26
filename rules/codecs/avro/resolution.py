"""How data that was written with one schema is read as another ("Schema Resolution"), laid out once for all data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, Final

from msgspec import Struct, field

from rules.codecs.avro.schema import NO_DEFAULT, Field, Type

REFUSED: Final = "refused"


class Plan(Struct, eq=False):
    """How the bytes of a value are read: as what ``kind`` they were written, and what becomes of it.

    - ``kind`` is that of the writer's type, or ``refused``: no such value can be read, for ``reason``.
    - ``convert`` makes the event's value of the basic one, where it is another; it raises ValueError.
    - ``symbols``: of an enum, by index, what is read; None for one that the reader's enum does not have.
    - ``fields``: of a record, in the order of the bytes, the writer's name, the reader's (None: it is left out), and
      how the value is read. ``order`` are the names of what is read, in the reader's order; ``absent`` makes the
      values of those that the writer's record does not have.
    """

    kind: str
    name: str = ""
    reason: str = ""
    convert: Callable[[Any], object] | None = None
    size: int = 0
    symbols: tuple[str | None, ...] = ()
    item: Plan | None = None
    fields: tuple[tuple[str, str | None, Plan], ...] = ()
    order: tuple[str, ...] = ()
    absent: Mapping[str, object] = field(default_factory=dict)
    branches: tuple[Plan, ...] = ()

    @property
    def parts(self) -> tuple[Plan, ...]:
        """The plans that this one is made of."""
        items = () if self.item is None else (self.item,)
        return (*self.branches, *(plan for _, _, plan in self.fields), *items)


def resolve(writer: Type, reader: Type) -> Plan:
    """How values of one type are read as another. Raises ValueError for a default of the reader's that is none."""
    return _Resolver().plan(writer, reader)


_PROMOTIONS: Final[Mapping[tuple[str, str], Callable[[Any], object] | None]] = {
    ("int", "long"): None,
    ("int", "float"): float,
    ("int", "double"): float,
    ("long", "float"): float,
    ("long", "double"): float,
    ("float", "double"): None,
    ("string", "bytes"): str.encode,
    ("bytes", "string"): bytes.decode,
}
_NAMED: Final = frozenset({"record", "enum", "fixed"})


class _Resolver:
    def __init__(self) -> None:
        self._records: dict[tuple[int, int], Plan] = {}

    def plan(self, writer: Type, reader: Type) -> Plan:
        if writer.kind == "union":
            # The same union as a reader's: each branch is its own, whatever else it could be read as.
            targets = reader.branches if reader is writer else (reader,) * len(writer.branches)
            pairs = zip(writer.branches, targets, strict=True)
            return Plan("union", branches=tuple(self.plan(branch, target) for branch, target in pairs))
        if reader.kind == "union":
            return self._into_union(writer, reader)
        if why := _mismatch(writer, reader):
            return Plan(REFUSED, reason=why)
        if writer.kind == "record":
            return self._record(writer, reader)
        if writer.kind in ("array", "map"):
            assert writer.item is not None  # noqa: S101 - both have one
            assert reader.item is not None  # noqa: S101
            return Plan(writer.kind, item=self.plan(writer.item, reader.item))
        plan = Plan(writer.kind, writer.name, convert=_convert(writer, reader), size=writer.size)
        if writer.kind == "enum":
            plan.symbols = tuple(symbol if symbol in reader.symbols else reader.fallback for symbol in writer.symbols)
        return plan

    def _into_union(self, writer: Type, reader: Type) -> Plan:
        """The branch that is the same; else the first that values can become."""
        matching = [branch for branch in reader.branches if not _mismatch(writer, branch)]
        if not matching:
            return Plan(REFUSED, reason=f"{writer} is none of {reader}")
        same = [branch for branch in matching if branch.kind == writer.kind and branch.name == writer.name]
        return self.plan(writer, (same or matching)[0])

    def _record(self, writer: Type, reader: Type) -> Plan:
        key = (id(writer), id(reader))
        if key in self._records:
            return self._records[key]
        plan = self._records[key] = Plan("record", writer.name)
        ours = _pairs(writer, reader)
        plan.order = tuple(field.name for field in reader.fields)
        plan.fields = tuple(
            (theirs.name, own.name, self.plan(theirs.type, own.type))
            if (own := ours.get(theirs.name)) is not None
            else (theirs.name, None, self.plan(theirs.type, theirs.type))
            for theirs in writer.fields
        )
        read = {own.name for own in ours.values()}
        absent: dict[str, object] = {}
        for own in reader.fields:
            if own.name not in read and own.default is NO_DEFAULT:
                plan.kind = REFUSED
                plan.reason = f"the field {own.name} of {reader.name} has no default, and was not written"
            elif own.name not in read:
                absent[own.name] = default_of(own)
        plan.absent = absent
        return plan


def _pairs(writer: Type, reader: Type) -> dict[str, Field]:
    """The reader's fields by the writer's names: of the same name, else by an alias."""
    names = {theirs.name for theirs in writer.fields}
    found = {own.name: own for own in reader.fields if own.name in names}
    for own in reader.fields:
        if own.name not in names:
            alias = next((alias for alias in own.aliases if alias in names and alias not in found), None)
            if alias is not None:
                found[alias] = own
    return found


def _mismatch(writer: Type, reader: Type) -> str:
    """Why no value of one type can be read as the other; empty if some can. Neither is a writer's union."""
    if reader.kind == "union":
        return "" if any(not _mismatch(writer, branch) for branch in reader.branches) else f"{writer} is none of it"
    if writer.kind != reader.kind:
        return "" if (writer.kind, reader.kind) in _PROMOTIONS else f"{writer} cannot be read as {reader}"
    if writer.kind in _NAMED and not _same_name(writer, reader):
        return f"{writer} is not {reader}, and none of its aliases"
    if writer.kind == "fixed" and writer.size != reader.size:
        return f"{writer} has {writer.size} bytes, and {reader} {reader.size}"
    return ""


def _same_name(writer: Type, reader: Type) -> bool:
    return writer.name.rpartition(".")[2] == reader.name.rpartition(".")[2] or writer.name in reader.aliases


def _convert(writer: Type, reader: Type) -> Callable[[Any], object] | None:
    """What makes the event's value. Where both have a logical type, it is in the writer's units."""
    if reader.logical is None:
        return _PROMOTIONS.get((writer.kind, reader.kind))
    logical = writer.logical or reader.logical
    if logical.cls is str and writer.kind == "string":
        return None
    promote = _PROMOTIONS.get((writer.kind, reader.kind))
    read = logical.read
    return read if promote is None else lambda value: read(promote(value))


# Defaults


def default_of(own: Field) -> object:
    """The default of a field, as an event's value. Raises ValueError for one that is none."""
    try:
        return event_of(own.type, own.default)
    except ValueError as error:
        raise ValueError(f"the default of the field {own.name}: {error}") from error


def fresh(value: object) -> object:
    """A default for one event, which may be changed without changing it for others."""
    return deepcopy(value) if isinstance(value, list | dict) else value


def event_of(type_: Type, json: object) -> object:
    """A value that a schema gives as JSON. Raises ValueError for one that is none of the type."""
    value = _basic(type_, json)
    return value if type_.logical is None else type_.logical.read(value)


_INTS: Final = {"int": 2**31, "long": 2**63}
_SCALARS: Final[Mapping[str, tuple[type, ...]]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "string": (str,),
    "float": (float, int),
    "double": (float, int),
}


def _basic(type_: Type, json: object) -> Any:
    kind = type_.kind
    if kind in _SCALARS and isinstance(json, _SCALARS[kind]) and (kind == "boolean" or not isinstance(json, bool)):
        return float(json) if kind in ("float", "double") else json  # type: ignore[arg-type]  # a number
    if kind in _INTS and isinstance(json, int) and not isinstance(json, bool) and -_INTS[kind] <= json < _INTS[kind]:
        return json
    if kind in ("bytes", "fixed") and isinstance(json, str):
        raw = json.encode("latin-1")
        if kind == "bytes" or len(raw) == type_.size:
            return raw
    if kind == "enum" and json in type_.symbols:
        return json
    if kind == "array" and isinstance(json, list) and type_.item is not None:
        return [event_of(type_.item, item) for item in json]
    if kind == "map" and isinstance(json, Mapping) and type_.item is not None:
        return {name: event_of(type_.item, item) for name, item in json.items()}
    if kind == "record" and isinstance(json, Mapping):
        return {
            own.name: event_of(own.type, json[own.name]) if own.name in json else default_of(own)
            for own in type_.fields
        }
    for branch in type_.branches:
        try:
            return event_of(branch, json)
        except ValueError:
            continue
    raise ValueError("there is none" if json is NO_DEFAULT else f"it is not {type_}")
