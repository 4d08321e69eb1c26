"""A JSON Schema as types that hold a record to it while it is decoded.

A type takes nothing that the schema refuses. What it refuses is for the schema's own validator to judge, which alone
says what is wrong. So what a type cannot say is never guessed at: a field with such a part of the schema is decoded
whole, and asked about by that part; where that is not possible either, there are no types.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property, reduce
from typing import Annotated, Any, Final, Literal, TypeVar

from msgspec import Struct

from rules.cel.compile_runtime import MISSING
from rules.projection import Part, Projection, Tree
from rules.schema_references import referred

Ask = Callable[[Mapping[str, object]], Callable[[object], bool]]
"""What tells whether a value keeps to a part of a schema, which stands alone. Raises ValueError."""
Path = tuple[str, ...]


class Check(Struct, frozen=True):
    """What the types leave open: whether the field at ``path``, where a record has it, ``keeps`` to its schema."""

    path: Path
    keeps: Callable[[object], bool]


class Kept(Struct, frozen=True):
    """A projection whose ``decode`` raises ValueError, too, where it does not find the record to keep to the schema,
    and what else there is to ask of what it has made."""

    projection: Projection
    checks: tuple[Check, ...]


class _Unsaid(Exception):
    """No type says what a part of the schema does."""


class _NoTypes(Exception):
    """The schema is left alone altogether."""


_KINDS: Final = ("null", "boolean", "integer", "number", "string", "array", "object")
_DRAFTS: Final = ("2020-12", "2019-09", "draft-07", "draft-06")
# What says nothing about values; keywords that begin with `x-` do not either.
_REMARKS: Final = frozenset(
    {"$schema", "$id", "$defs", "definitions", "$comment", "title", "description", "default", "examples"}
    | {"deprecated", "readOnly", "writeOnly"}
)
_BOUNDS: Final = {"minimum": "ge", "exclusiveMinimum": "gt", "maximum": "le", "exclusiveMaximum": "lt"}
_LENGTHS: Final = {"minLength": "min_length", "maxLength": "max_length"}
_ITEMS: Final = {"minItems": "min_length", "maxItems": "max_length"}
_FIELDS: Final = frozenset({"properties", "required", "additionalProperties"})
_SAID: Final = frozenset({"type", "enum", "const", "items", *_BOUNDS, *_LENGTHS, *_ITEMS, *_FIELDS})
# What a part of the schema must not hold that is to stand alone, or be read without regard to where it stands.
_ROOTED: Final = frozenset(
    {"$schema", "$id", "$defs", "definitions", "$anchor", "$dynamicAnchor", "$dynamicRef"}
    | {"$recursiveAnchor", "$recursiveRef"}
)
_DEFINITIONS: Final = ("$schema", "$id", "$defs", "definitions")
_MAX_SIZE: Final = 5_000
# Up to here every integer is a double of its own.
_EXACT: Final = 2**53

K = TypeVar("K")


class _Type(Struct, frozen=True):
    """The types of a value by its kind, of which a float with an integral value has two; ``part`` is the one of maps
    that are decoded as objects."""

    kinds: Mapping[str, Any]
    part: Part | None = None
    checks: tuple[Check, ...] = ()

    @property
    def whole(self) -> Any:
        """One type for all of it. Without any kind, one that nothing is of."""
        import msgspec

        found = list(self.kinds.values()) or [Annotated[str, msgspec.Meta(min_length=1, max_length=0)]]
        return reduce(lambda left, right: left | right, found)


class ContractTypes:
    """The types of one schema, for JSON. ``ask`` gives what tells of a part of it whether a value keeps to that."""

    def __init__(self, schema: Mapping[str, object] | bool, ask: Ask) -> None:
        self._root = schema
        self._ask = ask
        self._size = 0

    def keeping(self, tree: Tree) -> Kept | None:
        """The projection to the fields in ``tree`` and those that the schema is about; None where there are no types.

        The fields in ``tree`` hold what they would hold without the schema.
        """
        import msgspec

        self._size = 0
        try:
            found = self._type(self._root, tree, (), "Event", ()) if self._is_plain else None
        except (_Unsaid, _NoTypes, ValueError, RecursionError):
            return None
        if found is None or found.part is None:
            return None
        return Kept(Projection(found.part, msgspec.json.Decoder(found.part.cls).decode), found.checks)

    @cached_property
    def _is_plain(self) -> bool:
        """Whether every part of the schema means the same wherever it stands, given the definitions at the root."""
        root = self._root
        if not isinstance(root, Mapping) or not any(draft in str(root.get("$schema", "2020-12")) for draft in _DRAFTS):
            return False
        parts = [content for name, content in root.items() if name not in _DEFINITIONS]
        for name in ("$defs", "definitions"):
            definitions = root.get(name, {})
            parts += definitions.values() if isinstance(definitions, Mapping) else ()
        return all(map(_is_at_home, parts)) and _refers_to_definitions(root.get("$ref"))

    def _type(self, schema: object, reads: Tree | None, path: Path | None, name: str, within: Path) -> _Type:
        """The type of a value, of which the fields in ``reads`` are of interest (None: all of it) beside the schema.

        ``path`` leads to it by fields alone, or is None. ``within`` are the references that led to the schema.
        """
        self._size += 1
        if self._size > _MAX_SIZE:
            raise _NoTypes
        if isinstance(schema, bool):
            return self._plain({} if schema else {"type": []}, reads, path, name, within)
        if not isinstance(schema, Mapping):
            raise _NoTypes
        said = {key: content for key, content in schema.items() if not self._is_remark(key)}
        if "$ref" in said:
            return self._referred(said, reads, path, name, within)
        for choice in ("anyOf", "oneOf"):
            if choice in said:
                return self._chosen(said, choice, reads, path, name, within)
        if not _SAID.issuperset(said):
            raise _Unsaid
        return self._plain(said, reads, path, name, within)

    def _is_remark(self, key: str) -> bool:
        asserted = not isinstance(self._root, Mapping) or "2020-12" not in str(self._root.get("$schema", "2020-12"))
        return key in _REMARKS or key.startswith("x-") or (key == "format" and not asserted)

    def _referred(self, said: Mapping[str, Any], reads: Tree | None, path: Path | None, name: str, at: Path) -> _Type:
        reference = said["$ref"]
        target = referred(self._root, reference)
        if len(said) > 1 or target is None or reference in at:
            raise _Unsaid
        return self._type(target, reads, path, name, (*at, reference))

    def _chosen(
        self, said: Mapping[str, Any], choice: str, reads: Tree | None, path: Path | None, name: str, within: Path
    ) -> _Type:
        """Of parts of which no value keeps to two, whichever it is."""
        if len(said) > 1:
            raise _Unsaid
        found = [self._type(part, reads, path, name, within) for part in said[choice]]
        kinds = [kind for one in found for kind in one.kinds]
        if len(kinds) > len(set(kinds)):
            raise _Unsaid
        merged = {kind: content for one in found for kind, content in one.kinds.items()}
        parts = [one.part for one in found if one.part is not None]
        return _Type(merged, parts[0] if parts else None, tuple(check for one in found for check in one.checks))

    def _plain(self, said: Mapping[str, Any], reads: Tree | None, path: Path | None, name: str, within: Path) -> _Type:
        types = said.get("type", list(_KINDS))
        types = {types} if isinstance(types, str) else set(types)
        if "enum" in said or "const" in said:
            return _Type(_values(said, types))
        kinds: dict[str, Any] = {}
        if "null" in types:
            kinds["null"] = None
        if "boolean" in types:
            kinds["boolean"] = bool
        if {"integer", "number"} & types:
            kinds |= _numbers(said, fractions="number" in types)
        if "string" in types:
            kinds["string"] = _meta(str, _limits(said, _LENGTHS))
        if "array" in types:
            kinds["array"] = self._array(said, reads, name, within)
        if "object" not in types:
            return _Type(_in_order(kinds))
        if reads is None:
            if not _FIELDS.isdisjoint(said):
                raise _Unsaid
            return _Type(_in_order(kinds | {"object": dict[str, Any]}))
        part, checks = self._part(said, reads, path, name, within)
        return _Type(_in_order(kinds | {"object": part.cls}), part, checks)

    def _array(self, said: Mapping[str, Any], reads: Tree | None, name: str, within: Path) -> Any:
        items = said.get("items", True)
        content = self._open(items, reads)
        if content is None:
            content = self._type(items, None if reads is None else {}, None, name + "_item", within).whole
        return _meta(list.__class_getitem__(content), _limits(said, _ITEMS))

    def _open(self, schema: object, reads: Tree | None) -> Any:
        """The type of what may be anything and has no fields of interest; None for any other."""
        import msgspec

        anything = schema is True or (isinstance(schema, Mapping) and all(map(self._is_remark, schema)))
        return (Any if reads is None else msgspec.Raw) if anything and not reads else None

    def _part(
        self, said: Mapping[str, Any], reads: Tree, path: Path | None, name: str, within: Path
    ) -> tuple[Part, tuple[Check, ...]]:
        import msgspec

        properties, required = said.get("properties", {}), said.get("required", ())
        rest = said.get("additionalProperties", True)
        if rest not in (True, False, {}):
            raise _Unsaid
        fields: dict[str, tuple[str, Part | None]] = {}
        columns: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        checks: list[Check] = []
        for number, field in enumerate(sorted({*properties, *required, *reads})):
            schema = properties.get(field, rest is not False)
            below = None if path is None else (*path, field)
            found = self._field(schema, reads.get(field, {}), below, f"{name}_{number}", within)
            fields[field] = f"f{number}", found.part
            columns.append((f"f{number}", found.whole) if field in required else (f"f{number}", found.whole, MISSING))
            checks += found.checks
        rename = {attribute: field for field, (attribute, _) in fields.items()}
        # Such an object lives for one record and holds no cycles, so the collector need not know of it.
        cls = msgspec.defstruct(
            name, columns, rename=rename, gc=False, kw_only=True, forbid_unknown_fields=rest is False
        )
        return Part(cls, fields), tuple(checks)

    def _field(self, schema: object, reads: Tree | None, path: Path | None, name: str, within: Path) -> _Type:
        """The type of a field; where no type says what its schema does, any, with a check."""
        anything = self._open(schema, reads)
        if anything is not None:
            return _Type({"any": anything})
        try:
            return self._type(schema, reads, path, name, within)
        except _Unsaid:
            if path is None or reads:
                raise
        # Else what is there for it would be an object, which only has the fields that are read.
        return _Type({"any": Any}, None, (Check(path, self._alone(schema)),))

    def _alone(self, schema: object) -> Callable[[object], bool]:
        if not isinstance(schema, Mapping) or not isinstance(self._root, Mapping):
            raise _NoTypes
        return self._ask({key: self._root[key] for key in _DEFINITIONS if key in self._root} | dict(schema))


def _is_at_home(part: object) -> bool:
    """Whether a part of a schema means the same wherever it stands, given the definitions at the root."""
    if isinstance(part, Mapping):
        return (
            _ROOTED.isdisjoint(part)
            and _refers_to_definitions(part.get("$ref"))
            and all(map(_is_at_home, part.values()))
        )
    return not isinstance(part, list) or all(map(_is_at_home, part))


def _refers_to_definitions(reference: object) -> bool:
    return reference is None or (isinstance(reference, str) and reference.startswith(("#/$defs/", "#/definitions/")))


def _in_order(kinds: Mapping[str, K]) -> dict[str, K]:
    return {kind: kinds[kind] for kind in _KINDS if kind in kinds}


def _meta(kind: Any, limits: Mapping[str, Any]) -> Any:
    import msgspec

    return Annotated[kind, msgspec.Meta(**limits)] if limits else kind


def _limits(said: Mapping[str, Any], keywords: Mapping[str, str]) -> dict[str, int]:
    found = {limit: said[keyword] for keyword, limit in keywords.items() if keyword in said}
    if not all(type(limit) is int and 0 <= limit <= _EXACT for limit in found.values()):
        raise _Unsaid
    return found


def _values(said: Mapping[str, Any], types: set[str]) -> dict[str, Any]:
    """Texts and null, one by one. Numbers are not: 1 and 1.0 are the same."""
    if not {"enum", "const", "type"}.issuperset(said):
        raise _Unsaid
    values = list(said["enum"]) if "enum" in said else [said["const"]]
    if not all(value is None or isinstance(value, str) for value in values):
        raise _Unsaid
    if "enum" in said and "const" in said:
        values = [value for value in values if value == said["const"]]
    kinds: dict[str, Any] = {}
    if "null" in types and None in values:
        kinds["null"] = None
    texts = tuple(dict.fromkeys(value for value in values if value is not None))
    if "string" in types and texts:
        kinds["string"] = Literal[texts]
    return kinds


def _numbers(said: Mapping[str, Any], *, fractions: bool) -> dict[str, Any]:
    """An integer stays one in Python, a float a float; to a schema a float without a fraction is an integer, too."""
    bounds = {limit: said[keyword] for keyword, limit in _BOUNDS.items() if keyword in said}
    if {"ge", "gt"} <= bounds.keys() or {"le", "lt"} <= bounds.keys():
        raise _Unsaid
    if not all(abs(bound) <= _EXACT for bound in bounds.values()):
        raise _Unsaid
    floats = {limit: float(bound) for limit, bound in bounds.items()}
    return {
        "integer": _meta(int, dict(map(_of_integers, bounds, bounds.values()))),
        "number": _meta(float, floats if fractions else floats | {"multiple_of": 1.0}),
    }


def _of_integers(limit: str, bound: float) -> tuple[str, int]:
    """The same bound, where only integers are bound."""
    if bound == int(bound):
        return limit, int(bound)
    return ("ge", math.ceil(bound)) if limit in ("ge", "gt") else ("le", math.floor(bound))
