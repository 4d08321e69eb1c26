"""What follows for the records of a flow from what could not be read of its file."""

from __future__ import annotations

from collections.abc import Sequence

from rules.document import Document, Node
from rules.faults import Place
from rules.reader.decisions import OTHERWISE, RULE
from rules.reader.flows import FLOW
from rules.reader.targets import SHAPING
from rules.suggest import nearest


def may_change(document: Document, place: Place) -> bool:
    """Whether what could not be read there may be what changes the event of a rule."""
    rules = document.node(("rules",))
    before = [] if rules is None else [rule for rule in rules.items if rule.place <= place]
    if not before or any(part.cut for part in before[-1].collections()):
        return True
    meant = _key_at(before[-1], place, RULE)
    return meant is None or meant in (*SHAPING, "split")


def may_pass(document: Document, places: Sequence[Place]) -> bool:
    """Whether it may be meant that records pass that do not keep to the contract."""
    otherwise = document.node(("otherwise",))
    for place in places:
        meant = _key_at(document.root, place, FLOW)
        if meant == "otherwise" and (otherwise is None or _key_at(otherwise, place, OTHERWISE) in (None, "invalid")):
            return True
    return False


def _key_at(node: Node, place: Place, known: Sequence[str]) -> str | None:
    """The key of a mapping that stands at a place, or before it, as it was probably meant."""
    before = [key for key, _ in node.entries.values() if key.place <= place]
    if not before:
        return None
    name = str(max(before, key=lambda key: key.place).data)
    return name if name in known else nearest(name, known)
