"""What is known to be incomplete in a document of which something is not read as it stands in the file."""

from __future__ import annotations

from rules.document.nodes import Node
from rules.document.origin import Gap, Origin


def mark_gaps(root: Node, origin: Origin) -> None:
    """Mark as cut whatever may have more to it, or be something else, than what was read round each gap."""
    for gap in origin.gaps:
        _Marking(origin, gap).mark(root)


class _Marking:
    def __init__(self, origin: Origin, gap: Gap) -> None:
        self._origin = origin
        self._gap = gap

    def mark(self, node: Node) -> None:
        """Mark what is incomplete at or below a node that holds the gap."""
        if not isinstance(node.data, dict | list):
            node.cut = True
            return
        below = self._last_before(node)
        if node.is_flow:
            for part in node.collections():
                part.cut = True
        if node.is_flow or below is None:
            node.cut = True
            if below is not None and self._reaches(below):
                self.mark(below)
            return
        column = node.place.column - 1
        own = self._gap.column
        if own is None or own > column:
            if own is None and ": " in self._gap.removed and not isinstance(below.data, dict | list):
                node.cut = True
            self.mark(below)
        elif own == column and self._is_item_of(below, column):
            self.mark(below)
        else:
            node.cut = True
            below.cut = below.cut or below.start == below.end or self._is_rest_of(below)

    def _is_item_of(self, below: Node, column: int) -> bool:
        """Whether the gap is an element of a list that stands in the column of its key."""
        return self._gap.removed.startswith("-") and isinstance(below.data, list) and below.place.column - 1 == column

    def _is_rest_of(self, below: Node) -> bool:
        """Whether the gap may be the last line of a text."""
        first = self._gap.removed.splitlines()[0] if self._gap.removed else ""
        return not isinstance(below.data, dict | list) and ":" not in first

    def _last_before(self, node: Node) -> Node | None:
        """The last value in a node that begins before the gap."""
        begins = _dashes(node) if node.items else [key.start for key, _ in node.entries.values()]
        found = None
        for begin, value in zip(begins, node.items or [value for _, value in node.entries.values()], strict=True):
            if self._origin.original(begin) < self._gap.index:
                found = value
        return found

    def _reaches(self, below: Node) -> bool:
        """Whether nothing but white space is between a value and the gap."""
        end = self._origin.original(below.end)
        start = self._origin.original(below.start)
        return start <= self._gap.index <= end or self._gap.index - end < 2


def _dashes(node: Node) -> list[int]:
    """Where the elements of a list begin, with their dashes."""
    ends = [node.start, *(item.end for item in node.items)]
    dashes = (node.origin.text.rfind("-", end, item.start) for end, item in zip(ends, node.items, strict=False))
    return [item.start if dash < 0 else dash for dash, item in zip(dashes, node.items, strict=True)]
