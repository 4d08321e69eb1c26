"""Nodes of a document: values that know where they stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from msgspec import Struct, field
from msgspec.structs import replace

from rules.document.origin import Origin, locate, quote
from rules.faults import Place

Key = tuple[str | int, ...]
"""A path in the data: ``("sinks", "vip", "topic")`` or ``("rules", 0, "when")``."""


class Node(Struct, eq=False):
    """A value, and the stretch of text, ``start`` to ``end``, that it was read from.

    ``style`` is ``'``, ``"``, ``|``, ``>`` of a text that was written so, empty of everything plain. ``size`` and
    ``height`` count what is below, aliases written out. ``cut`` says that reading stopped in it or right behind it, so
    that more may belong to it than was read.
    """

    data: object
    origin: Origin
    start: int
    end: int
    style: str = ""
    entries: dict[str, tuple[Node, Node]] = field(default_factory=dict)
    """Of a mapping: each key and its value."""
    items: list[Node] = field(default_factory=list)
    size: int = 1
    height: int = 0
    cut: bool = False
    mended: bool = False

    @property
    def place(self) -> Place:
        """Where it begins in the user's file."""
        return self.origin.place(self.start)

    @property
    def source(self) -> str:
        """The text that it was read from, as it was written."""
        return self.origin.text[self.start : self.end]

    @property
    def is_flow(self) -> bool:
        """Whether it is a ``{...}`` or a ``[...]``."""
        return isinstance(self.data, dict | list) and self.origin.text.startswith(("{", "["), self.start)

    def child(self, step: str | int) -> Node | None:
        """The value under a key or at an index."""
        if isinstance(step, int):
            return self.items[step] if step < len(self.items) else None
        return self.entries[step][1] if step in self.entries else None

    def holding(
        self, data: object, entries: dict[str, tuple[Node, Node]] | None = None, items: list[Node] | None = None
    ) -> Node:
        """Another value that stands in the same place."""
        return replace(self, data=data, entries=entries or {}, items=items or [])

    def texts(self) -> Iterator[Node]:
        """Every text at or below this node, in their order."""
        if isinstance(self.data, str):
            yield self
        for below in (*self.items, *(value for _, value in self.entries.values())):
            yield from below.texts()

    def holds(self, place: Place) -> bool:
        """Whether a place of the user's file is inside."""
        return self.place <= place < self.origin.place(self.end)

    def collections(self) -> Iterator[Node]:
        """Every mapping and list at or below this node."""
        if isinstance(self.data, dict | list):
            yield self
        for below in (*self.items, *(value for _, value in self.entries.values())):
            yield from below.collections()

    def text_index(self, offset: int) -> int:
        """The index in the origin's text of the character at ``offset`` of this text."""
        if not isinstance(self.data, str):
            return self.start
        inset = 0
        end = self.end
        if self.style in ("|", ">"):
            inset = self.origin.line_bounds(self.start)[1] - self.start
        elif self.style:
            inset, end = 1, end - 1
        return self.start + inset + locate(self.origin.text[self.start + inset : end], self.style, self.data, offset)


class Document:
    """``data`` is plain: dict with str keys, list, str, int, float, bool, None."""

    def __init__(self, root: Node) -> None:
        self._root = root

    @property
    def data(self) -> object:
        """The whole document."""
        return self._root.data

    @property
    def file(self) -> str:
        """The file that the document as a whole, but not always each part of it, was read from."""
        return self._root.origin.file

    @cached_property
    def mended(self) -> frozenset[Place]:
        """The places of values that were broken, and are read as if they had been quoted."""
        return frozenset(node.place for node in self._root.texts() if node.mended)

    def is_cut(self, path: Key) -> bool:
        """Whether reading stopped in the value at ``path``, so that what is not there may be in the file all the same;
        of a path that is not there, whether that may be so."""
        node = self._root
        for step in path:
            below = node.child(step)
            if below is None:
                return node.cut
            node = below
        return node.cut

    def place(self, path: Key) -> Place:
        """Where the value at ``path`` begins; of a path that is not there, the nearest parent that is."""
        return self._nearest(path).place

    def key_place(self, path: Key) -> Place:
        """Where the key begins that leads to ``path``; of an element of a list, where it begins."""
        if not path:
            return self.place(path)
        parent = self._find(path[:-1])
        step = path[-1]
        if parent is not None and isinstance(step, str) and step in parent.entries:
            return parent.entries[step][0].place
        return self.place(path)

    def text_place(self, path: Key, offset: int) -> Place:
        """Where the character at ``offset`` of the text at ``path`` stands in the file, quotes, escapes and block
        scalars taken into account."""
        node = self._nearest(path)
        return node.origin.place(node.text_index(offset))

    def key_text_place(self, path: Key, offset: int) -> Place:
        """Where the character at ``offset`` of the key stands that leads to ``path``."""
        parent = self._find(path[:-1])
        step = path[-1]
        if parent is None or not isinstance(step, str) or step not in parent.entries:
            return self.key_place(path)
        key = parent.entries[step][0]
        return key.origin.place(key.text_index(offset))

    def style(self, path: Key) -> str:
        """How a text was written: ``'``, ``"``, ``|``, ``>``, or empty when it was plain."""
        return self._nearest(path).style

    def source(self, path: Key) -> str:
        """What is written at ``path``, quotes and all."""
        return self._nearest(path).source

    def comment(self, path: Key) -> str:
        """The comment behind a value on its last line, with the white space before it; empty without one."""
        node = self._nearest(path)
        rest = node.origin.text[node.end : node.origin.line_bounds(node.end)[1]]
        return rest.rstrip() if rest.lstrip(" \t").startswith("#") and rest[:1] in " \t" else ""

    def quoted(self, path: Key, text: str | None = None) -> str:
        """The line that says what was meant: the key, and ``text`` (by default what is written) in quotes."""
        value = quote(self.source(path) if text is None else text)
        named = [step for step in path if isinstance(step, str)]
        return f"{named[-1]}: {value}" if path and isinstance(path[-1], str) else value

    def _find(self, path: Key) -> Node | None:
        node: Node | None = self._root
        for step in path:
            if node is None:
                return None
            node = node.child(step)
        return node

    def _nearest(self, path: Key) -> Node:
        node = self._root
        for step in path:
            below = node.child(step)
            if below is None:
                return node
            node = below
        return node

    @property
    def root(self) -> Node:
        """The node of the whole document."""
        return self._root

    def node(self, path: Key) -> Node | None:
        """The node at ``path``, if there is one."""
        return self._find(path)

    def below(self, path: Key) -> Document:
        """What stands at ``path``, or at the nearest parent of it, as a document of its own."""
        return Document(self._nearest(path))


def merge(base: Document, over: Document) -> Document:
    """``over`` merged over ``base``: mappings key by key, everything else replaced. Places follow their values.

    A key that ``over`` says is null is taken away, as in RFC 7396; one that ``base`` does not have stays null.
    """
    return Document(_merged(_all_cut(base.root) if over.root.cut else base.root, over.root))


def _all_cut(node: Node) -> Node:
    """The same, with the whole of it cut: the rest of what is merged over it may add to every mapping."""
    if not isinstance(node.data, Mapping):
        return node
    return replace(
        node, cut=True, entries={name: (key, _all_cut(value)) for name, (key, value) in node.entries.items()}
    )


def _merged(base: Node, over: Node) -> Node:
    if not (isinstance(base.data, Mapping) and isinstance(over.data, Mapping)):
        return over
    entries = dict(base.entries)
    for name, (key, value) in over.entries.items():
        if value.data is None and not value.cut and entries.pop(name, None) is not None:
            continue
        entries[name] = (key, _merged(base.entries[name][1], value) if name in base.entries else value)
    data = {name: value.data for name, (_, value) in entries.items()}
    return Node(data, over.origin, over.start, over.end, entries=entries, cut=base.cut or over.cut)
