"""Avro schemas, as the specification (1.12, "Schema Declaration") has them: read from JSON, and identified."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Final

from msgspec import Struct

from rules.codecs.avro.logical import Logical, logical_of

PRIMITIVES: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
NO_DEFAULT: Final = object()


class InvalidSchema(ValueError):
    """What was taken for a schema is none; says why, and where in it."""


class Field(Struct, eq=False):
    """A field of a record. ``default`` is JSON as the schema has it, or NO_DEFAULT."""

    name: str
    type: Type
    aliases: frozenset[str]
    default: object


class Type(Struct, eq=False):
    """A type: ``kind`` is that of the specification, or ``union``; what else holds depends on it.

    ``name`` is the full name of records, enums and fixed, ``item`` what arrays and maps hold, ``fallback`` the default
    of an enum.
    """

    kind: str
    name: str = ""
    aliases: frozenset[str] = frozenset()
    logical: Logical | None = None
    size: int = 0
    symbols: tuple[str, ...] = ()
    fallback: str | None = None
    item: Type | None = None
    fields: tuple[Field, ...] = ()
    branches: tuple[Type, ...] = ()

    def __str__(self) -> str:
        if self.kind == "union":
            return f"a union of {', '.join(branch.name or branch.kind for branch in self.branches)}"
        article = "an" if self.kind[0] in "aeiou" else "a"
        return f"the {self.kind} {self.name}" if self.name else f"{article} {self.kind}"


class Schema:
    """A schema: ``type``, and ``json``, the text that it was read from.

    Raises InvalidSchema for what is no schema, with the place in it, and for one by which a few bytes could say that
    there are any number of values: an array whose items have no bytes.
    """

    def __init__(self, source: object) -> None:
        try:
            self.json = json.dumps(source, ensure_ascii=False, separators=(",", ":"))
            self.type = _Reader().read(source, "")
        except TypeError as error:
            raise InvalidSchema(f"the schema is no JSON: {error}") from error
        except RecursionError as error:
            raise InvalidSchema("the schema is nested too deep") from error
        types = _all(self.type)
        sizes = _sizes(types.values())
        self.is_bare = _least(self.type, sizes) == 0
        """Whether a value may have no bytes at all."""
        for type_ in types.values():
            if type_.kind == "array" and type_.item is not None and _least(type_.item, sizes) == 0:
                raise InvalidSchema(
                    "an array whose items have no bytes: a few bytes could say that there are any number of them"
                )

    @classmethod
    def parse(cls, text: str | bytes) -> Schema:
        """Read the schema from JSON. Raises InvalidSchema."""
        try:
            return cls(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise InvalidSchema(f"the schema is not valid: {error or 'nested too deep'}") from error

    @cached_property
    def fingerprint(self) -> bytes:
        """The CRC-64-AVRO of the canonical form, as it stands in single-object encoding (little endian)."""
        return fingerprint(self.canonical.encode())

    @cached_property
    def canonical(self) -> str:
        """The parsing canonical form."""
        return _canonical(self.type, set())


class _Reader:
    def __init__(self) -> None:
        self._names: dict[str, Type] = {}

    def read(self, source: object, space: str) -> Type:
        """A type; names without a dot are in the name space ``space``."""
        if isinstance(source, str):
            return self._named(source, space)
        if isinstance(source, list):
            return self._union(source, space)
        if not isinstance(source, Mapping):
            raise InvalidSchema(f"{_shown(source)} is no type")
        kind = source.get("type")
        if isinstance(kind, list | Mapping):
            return self.read(kind, space)
        if not isinstance(kind, str):
            raise InvalidSchema(f"{_shown(source)} has no type")
        if kind in PRIMITIVES:
            return Type(kind, logical=logical_of(kind, source))
        if kind in ("array", "map"):
            part = "items" if kind == "array" else "values"
            if part not in source:
                raise InvalidSchema(f"{kind} without {part}")
            return Type(kind, item=self.read(source[part], space))
        if kind in ("record", "error", "enum", "fixed"):
            return self._declared(kind, source, space)
        return self._named(kind, space)

    def _named(self, name: str, space: str) -> Type:
        if name in PRIMITIVES:
            return Type(name)
        found = self._names.get(_full(name, space)) or self._names.get(name)
        if found is None:
            raise InvalidSchema(f"there is no type {_shown(name)}")
        return found

    def _union(self, source: list[object], space: str) -> Type:
        branches = tuple(self.read(branch, space) for branch in source)
        seen = [branch.name or branch.kind for branch in branches]
        if "union" in seen:
            raise InvalidSchema("a union directly inside a union")
        if twice := next((name for name in seen if seen.count(name) > 1), None):
            raise InvalidSchema(f"a union with {twice} twice")
        if not branches:
            raise InvalidSchema("a union of nothing")
        return Type("union", branches=branches)

    def _declared(self, kind: str, source: Mapping[str, object], space: str) -> Type:
        name, own = source.get("name"), source.get("namespace")
        if not isinstance(name, str) or not name:
            raise InvalidSchema(f"{kind} without a name")
        full = _full(name, own if isinstance(own, str) else space)
        space = full.rpartition(".")[0]
        if full in self._names:
            raise InvalidSchema(f"the name {full} is used twice")
        aliases = frozenset(_full(alias, space) for alias in _texts(source, "aliases"))
        made = self._names[full] = Type("record" if kind == "error" else kind, full, aliases)
        try:
            if kind == "enum":
                made.symbols = tuple(_texts(source, "symbols"))
                made.fallback = _fallback(made.symbols, source)
            elif kind == "fixed":
                made.size = _size(source)
                made.logical = logical_of("fixed", source)
            else:
                made.fields = tuple(self._fields(source, space))
        except InvalidSchema as error:
            raise InvalidSchema(f"{full}: {error}") from error
        return made

    def _fields(self, source: Mapping[str, object], space: str) -> Iterator[Field]:
        fields = source.get("fields")
        if not isinstance(fields, list):
            raise InvalidSchema("a record without fields")
        seen: set[str] = set()
        for field in fields:
            name = field.get("name") if isinstance(field, Mapping) else None
            if not isinstance(name, str) or not name:
                raise InvalidSchema("a field without a name")
            if name in seen:
                raise InvalidSchema(f"two fields {name}")
            seen.add(name)
            if "type" not in field:
                raise InvalidSchema(f"the field {name} has no type")
            try:
                # A logical type that stands beside the field's type, not inside it, belongs to nothing.
                made = self.read(field["type"], space)
            except InvalidSchema as error:
                raise InvalidSchema(f"the field {name}: {error}") from error
            yield Field(name, made, frozenset(_texts(field, "aliases")), field.get("default", NO_DEFAULT))


def _full(name: str, space: str) -> str:
    return name if "." in name or not space else f"{space}.{name}"


def _texts(source: Mapping[str, object], key: str) -> list[str]:
    found = source.get(key, [])
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise InvalidSchema(f"{key} is not a list of names")
    if len(set(found)) < len(found):
        raise InvalidSchema(f"{key} holds a name twice")
    return found


def _fallback(symbols: tuple[str, ...], source: Mapping[str, object]) -> str | None:
    if "symbols" not in source:
        raise InvalidSchema("an enum without symbols")
    default = source.get("default")
    if default is not None and default not in symbols:
        raise InvalidSchema("the default is none of the symbols")
    return None if default is None else str(default)


def _size(source: Mapping[str, object]) -> int:
    size = source.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise InvalidSchema("a fixed without a size")
    return size


def _shown(source: object) -> str:
    text = json.dumps(source, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


_ENDLESS: Final = 1 << 62


def _parts(type_: Type) -> Iterator[Type]:
    yield from type_.branches
    yield from (field.type for field in type_.fields)
    if type_.item is not None:
        yield type_.item


def _all(type_: Type) -> dict[int, Type]:
    """Every type that a type is made of, itself included, by identity."""
    found: dict[int, Type] = {}
    waiting = [type_]
    while waiting:
        here = waiting.pop()
        if id(here) not in found:
            found[id(here)] = here
            waiting += _parts(here)
    return found


def _sizes(types: Iterable[Type]) -> dict[int, int]:
    """Of each record the bytes that a value has at least. Raises InvalidSchema for one that can only be endless."""
    records = [type_ for type_ in types if type_.kind == "record"]
    sizes = {id(record): _ENDLESS for record in records}
    shrinks = True
    while shrinks:
        shrinks = False
        for record in records:
            least = min(_ENDLESS, sum(_least(field.type, sizes) for field in record.fields))
            shrinks = shrinks or least < sizes[id(record)]
            sizes[id(record)] = least
    for record in records:
        if sizes[id(record)] == _ENDLESS:
            raise InvalidSchema(f"{record.name} holds itself without end")
    return sizes


def _least(type_: Type, sizes: Mapping[int, int]) -> int:
    match type_.kind:
        case "null":
            return 0
        case "float":
            return 4
        case "double":
            return 8
        case "fixed":
            return type_.size
        case "union":
            return 1 + min(_least(branch, sizes) for branch in type_.branches)
        case "record":
            return sizes[id(type_)]
        case _:
            return 1


# Identity


def _canonical(type_: Type, seen: set[str]) -> str:
    """The parsing canonical form ("Transforming into Parsing Canonical Form")."""
    if type_.kind in PRIMITIVES:
        return f'"{type_.kind}"'
    if type_.kind == "union":
        return f"[{','.join(_canonical(branch, seen) for branch in type_.branches)}]"
    if type_.item is not None:
        part = "items" if type_.kind == "array" else "values"
        return f'{{"type":"{type_.kind}","{part}":{_canonical(type_.item, seen)}}}'
    if type_.name in seen:
        return _text(type_.name)
    seen.add(type_.name)
    head = f'{{"name":{_text(type_.name)},"type":"{type_.kind}",'
    if type_.kind == "enum":
        return f'{head}"symbols":[{",".join(map(_text, type_.symbols))}]}}'
    if type_.kind == "fixed":
        return f'{head}"size":{type_.size}}}'
    fields = (f'{{"name":{_text(field.name)},"type":{_canonical(field.type, seen)}}}' for field in type_.fields)
    return f'{head}"fields":[{",".join(fields)}]}}'


def _text(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


_EMPTY: Final = 0xC15D213AA4D7A795


def _crc_table() -> list[int]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = (number >> 1) ^ (_EMPTY & -(number & 1))
        table.append(number)
    return table


_TABLE: Final = _crc_table()


def fingerprint(data: bytes) -> bytes:
    """The CRC-64-AVRO of some bytes ("Schema Fingerprints"), little endian."""
    crc = _EMPTY
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc.to_bytes(8, "little")
