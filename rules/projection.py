"""Projection: decoding only the fields that a flow reads.

What nothing reads is skipped, not made. A skipped part is held to the grammar of JSON like any other; the decoder does
not look whether it is UTF-8, so whoever uses a projection asks that of the payload first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Union

from msgspec import Struct

from rules.cel.compile_runtime import MISSING

Tree = dict[str, "Tree | None"]
"""Fields by name: None for one that is read whole, a tree for one of which only fields are read."""


class Part(Struct, frozen=True):
    """A map of which some fields are decoded, as attributes of ``cls``; ``MISSING`` where the record has none.

    ``fields`` holds, by the field's name, the attribute and the part that the field is itself (None: it is decoded
    whole, whatever it is). A field that is a part holds an instance of that part's ``cls`` when it is a map, and any
    other JSON value as it is.
    """

    cls: type[Any]
    fields: Mapping[str, tuple[str, Part | None]]

    def at(self, path: Iterable[str]) -> Part | None:
        """The part that a path leads to; None where it leads into something that is decoded whole."""
        part: Part | None = self
        for name in path:
            if part is None:
                return None
            part = part.fields[name][1]
        return part


class Projection(Struct, frozen=True):
    """``decode`` makes an instance of ``root.cls`` of a JSON object.

    It raises ValueError or RecursionError for what is no JSON object, and for numbers that no double holds. Without it
    there is no object: each field is a local of its own, by the name of its attribute, decoded column by column.
    """

    root: Part
    decode: Callable[[bytes], object] | None

    @property
    def names(self) -> tuple[str, ...]:
        """The fields of the root."""
        return tuple(self.root.fields)


def projection(paths: Iterable[tuple[str, ...]]) -> Projection | None:
    """The projection to these paths below ``event``.

    None when the whole event is read, or a field with a name that msgspec does not take (with quotes in it, say).
    """
    tree = tree_of(paths)
    if tree is None:
        return None
    import msgspec

    try:
        root = _part(tree, "Event")
    except ValueError:
        return None
    return Projection(root, msgspec.json.Decoder(root.cls).decode)


def tree_of(paths: Iterable[tuple[str, ...]]) -> Tree | None:
    """The fields that these paths below ``event`` lead to; None when one of them is the whole event."""
    tree: Tree = {}
    for path in paths:
        if not path:
            return None
        _add(tree, path)
    return tree


def columns_projection(paths: Iterable[tuple[str, ...]]) -> Projection | None:
    """The same for formats whose events are decoded column by column."""
    names = {path[:1] for path in paths}
    if () in names:
        return None
    fields: dict[str, tuple[str, Part | None]] = {
        name: (f"c{number}", None) for number, (name,) in enumerate(sorted(names))
    }
    return Projection(Part(object, fields), None)


def _add(tree: Tree, path: tuple[str, ...]) -> None:
    *above, last = path
    for name in above:
        below = tree.setdefault(name, {})
        if below is None:
            return
        tree = below
    tree[last] = None


def _part(tree: Tree, name: str) -> Part:
    import msgspec

    fields: dict[str, tuple[str, Part | None]] = {}
    columns: list[tuple[str, Any, Any]] = []
    for number, (field, below) in enumerate(sorted(tree.items())):
        part = None if below is None else _part(below, f"{name}_{number}")
        fields[field] = (f"f{number}", part)
        kind = Any if part is None else Union[part.cls, str, int, float, bool, list[Any], None]  # noqa: UP007 - made at run time
        columns.append((f"f{number}", kind, MISSING))
    rename = {attribute: field for field, (attribute, _) in fields.items()}
    # Such an object lives for one record and holds no cycles, so the collector need not know of it.
    return Part(msgspec.defstruct(name, columns, rename=rename, gc=False), fields)
