"""A difference as JSON values, for tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router.config import Configuration
from router.preview.difference import Change, Count, Difference, Example, Group

if TYPE_CHECKING:
    from router.explanation.as_json import AsJson

Json = dict[str, Any]


def as_json(difference: Difference) -> Json:
    """All of it."""
    teller = _Teller(difference)
    return {
        "old": _configuration(difference.old),
        "new": _configuration(difference.new),
        "records": difference.records,
        "is_cut": difference.is_cut,
        "moved": difference.moved,
        "changed": difference.changed,
        "healed": difference.healed,
        "spoilt": difference.spoilt,
        "still": difference.still,
        "ungrouped": difference.ungrouped,
        "notes": list(difference.notes),
        "counts": [_count(count) for count in difference.counts],
        "moves": [teller.group(group) for group in difference.moves],
        "changes": [teller.group(group) for group in difference.changes],
    }


def _configuration(configuration: Configuration) -> Json:
    return {"files": [str(path) for path in configuration.files], "version": configuration.version}


def _count(count: Count) -> Json:
    return {
        "flow": count.flow,
        "to": count.to,
        "reason": count.reason or None,
        "rule": count.rule or None,
        "old": count.old,
        "new": count.new,
        "difference": count.difference,
    }


class _Teller:
    def __init__(self, difference: Difference) -> None:
        from router.explanation.as_json import AsJson
        from router.explanation.sinks import Sinks
        from router.explanation.values import Values

        def mask(text: str) -> str:
            return difference.new.secrets.mask(difference.old.secrets.mask(text))

        self._tellers: tuple[AsJson, AsJson] = (
            AsJson(Values(mask), Sinks(difference.old.sinks)),
            AsJson(Values(mask), Sinks(difference.new.sinks)),
        )

    def group(self, group: Group) -> Json:
        made: Json = {"flow": group.flow, "from": list(group.before), "to": list(group.after)}
        if group.changed:
            made = {"flow": group.flow, "to": list(group.after), "changed": list(group.changed)}
        return made | {"records": group.records, "examples": [self._example(example) for example in group.examples]}

    def _example(self, example: Example) -> Json:
        old, new = example.explained
        made: Json = {
            "name": example.name,
            "source": example.source,
            "record": self._tellers[0].payload(example.shown),
            "old": None if old is None else self._tellers[0].explanation(old),
            "new": None if new is None else self._tellers[1].explanation(new),
        }
        if example.changes:
            made["changes"] = [self._change(change, is_hidden=example.is_hidden) for change in example.changes]
        return made

    def _change(self, change: Change, *, is_hidden: bool) -> Json:
        if is_hidden:  # what goes out is made of what must not be shown
            return {"to": change.to, "what": change.what, "fields": [{"path": path} for path in change.paths]}
        values = (self._tellers[0].setting(change.before), self._tellers[1].setting(change.after))
        made: Json = {"to": change.to, "what": change.what, "before": values[0], "after": values[1]}
        if change.fields is not None:
            made["fields"] = self._tellers[1].changes(change.fields)
        return made
