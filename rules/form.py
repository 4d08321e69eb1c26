"""Reading a document of a known form: what is asked for comes back, and whatever is wrong becomes a fault."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from rules.document import Document, Key
from rules.faults import Fault
from rules.suggest import did_you_mean, nearest

_MERGE_KEY = "`<<` is YAML 1.1 and merges nothing here: repeat what is meant"


def kind(data: object) -> str:
    """What a value is, in the words of a fault."""
    if data is None:
        return "empty"
    if isinstance(data, bool):
        return "a boolean"
    if isinstance(data, int | float):
        return "a number"
    if isinstance(data, str):
        return "text"
    return "a mapping" if isinstance(data, Mapping) else "a list"


class Form:
    """A document being read. ``faults`` collects everything that is wrong with it.

    Every method that asks for a kind of value answers None where it is something else, and has then said so.
    ``title`` is what faults call the document as a whole.
    """

    def __init__(self, document: Document, title: str = "the file") -> None:
        self.document = document
        self.faults: list[Fault] = []
        self._title = title
        self._unknown: list[Key] = []

    def named(self, path: Key) -> str:
        """A value by its key, in the words of a fault: ``items[0]`` for an element of a list."""
        index = ""
        for step in reversed(path):
            if isinstance(step, str):
                return f"`{step}{index}`"
            index = f"[{step}]{index}"
        return f"`{index}`" if index else self._title

    def fault(self, path: Key, what: str, hint: str = "") -> None:
        """Something is wrong with the value at ``path``, unless it is one that may not be what is meant."""
        if not self.is_unsure(path):
            self.faults.append(Fault(self.document.place(path), what, hint))

    def is_torn(self, path: Key) -> bool:
        """Whether there is a single value at ``path`` of which the end may not have been read."""
        node = self.document.node(path)
        return node is not None and node.cut and not isinstance(node.data, Mapping | list)

    def is_unsure(self, path: Key) -> bool:
        """Whether what is read at ``path`` may not be what is meant, as YAML broke it. That is a fault already."""
        node = self.document.node(path)
        return self.is_torn(path) or (node is not None and node.mended)

    def lacking(self, path: Key, what: str, hint: str = "") -> None:
        """Something is not there at ``path``; it may be, where the document was cut short, and then is no fault."""
        if not self.document.is_cut(path):
            self.fault(path, what, hint)

    def key_fault(self, path: Key, what: str, hint: str = "") -> None:
        """Something is wrong with the key that leads to ``path``, or with its being there: unless a bracket of the
        ``{...}`` that it stands in is missing, so that it may be meant elsewhere."""
        parent = self.document.node(path[:-1])
        if parent is not None and parent.cut and parent.is_flow:
            return
        self.faults.append(Fault(self.document.key_place(path), what, hint))

    def wrong(self, path: Key, data: object, wanted: str) -> None:
        """The value at ``path`` is of a kind that is not ``wanted``."""
        node = self.document.node(path)
        if node is None or not (node.cut and node.is_flow):  # whose bracket may be the mistake
            self.fault(path, f"{self.named(path)} is {kind(data)}", f"should be {wanted}")

    def missing(self, path: Key, key: str, wanted: str) -> None:
        """The mapping at ``path`` lacks a key, unless it may have been cut off, or be misspelt."""
        if not self.document.is_cut(path) and not self.is_misspelt(path, [key]):
            self.key_fault(path, f"`{key}` is missing", f"should be {wanted}")

    def is_misspelt(self, path: Key, keys: Iterable[str]) -> bool:
        """Whether one of these keys may be meant by one of the mapping at ``path`` that is not known there."""
        return any(nearest(str(other[-1]), keys) for other in self._unknown if other[:-1] == path)

    def unknown(self, path: Key, known: Iterable[str]) -> None:
        """The key that leads to ``path`` is not one that is known there."""
        self._unknown.append(path)
        if self._is_unbraced(path[:-1]):
            return
        hint = _MERGE_KEY if path[-1] == "<<" else did_you_mean(str(path[-1]), known)
        self.key_fault(path, f"`{path[-1]}` is not known here", hint)

    def _is_unbraced(self, path: Key) -> bool:
        """Whether the ``{`` of a value of this mapping may be missing, so that keys of the value stand in it."""
        node = self.document.node(path)
        values = [] if node is None or not node.is_flow else [value for _, value in node.entries.values()]
        return any(value.mended and ": " in str(value.data) for value in values)

    def mapping(
        self, path: Key, data: object, wanted: str, known: Iterable[str] | None = None
    ) -> Mapping[str, object] | None:
        """A mapping, without the keys that are not ``known``."""
        if not isinstance(data, Mapping):
            self.wrong(path, data, wanted)
            return None
        if known is None:
            return data
        allowed = list(known)
        for key in data:
            if key not in allowed:
                self.unknown((*path, key), allowed)
        return {key: value for key, value in data.items() if key in allowed}

    def sequence(self, path: Key, data: object, wanted: str) -> Sequence[object] | None:
        """A list that is not empty."""
        if not isinstance(data, list):
            self.wrong(path, data, wanted)
            return None
        if not data:
            self.lacking(path, f"{self.named(path)} is an empty list", f"should be {wanted}")
            return None
        return data

    def text(self, path: Key, data: object, wanted: str) -> str | None:
        """Text that is not empty."""
        if self.is_unsure(path):
            return None
        if isinstance(data, str) and data:
            return data
        if isinstance(data, bool | int | float):
            written = self.document.source(path)
            self.fault(path, f"{self.named(path)} is {kind(data)}", f"should be {wanted}; as text it is '{written}'")
        elif data == "":
            self.fault(path, f"{self.named(path)} is empty", f"should be {wanted}")
        else:
            self.wrong(path, data, wanted)
        return None

    def name(self, path: Key, data: object, wanted: str) -> str | None:
        """Text that can serve as a name: printable, with no space at its ends."""
        text = self.text(path, data, wanted)
        if text is not None and (not text.isprintable() or text != text.strip()):
            self.fault(path, f"{self.named(path)} cannot be a name", "should be printable, with no space at its ends")
            return None
        return text

    def flag(self, path: Key, data: object) -> bool | None:
        """True or false."""
        if isinstance(data, bool):
            return data
        self.wrong(path, data, "true or false")
        return None

    def json(self, path: Key, data: object) -> bool:
        """Whether the value can be written as JSON, which has no infinite numbers."""
        if isinstance(data, float) and not math.isfinite(data):
            self.fault(path, f"{self.named(path)} is a number that JSON does not have", "should be a finite number")
            return False
        if isinstance(data, Mapping):
            return False not in {self.json((*path, key), value) for key, value in data.items()}
        if isinstance(data, list):
            return False not in {self.json((*path, index), value) for index, value in enumerate(data)}
        return True
