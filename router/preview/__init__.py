"""What another configuration would do with the same records: who gets what, and which records would move.

>>> difference = preview(load([Path("sluiceway.yaml")]), load([Path("next.yaml")]), records)
>>> difference.moved, difference.as_json()

Nothing is written, no source or sink is made, and no gate of a daemon is crossed.
"""

from __future__ import annotations

from router.preview.difference import Change, Count, Difference, Example, Group
from router.preview.ends import End, Side, Way
from router.preview.records import Looked, of_file, of_letters, of_samples, of_told
from router.preview.run import preview

__all__ = [
    "Change",
    "Count",
    "Difference",
    "End",
    "Example",
    "Group",
    "Looked",
    "Side",
    "Way",
    "of_file",
    "of_letters",
    "of_samples",
    "of_told",
    "preview",
]
