"""What of a flow's records must not be shown: the fields that its contract marks, and all that is made of them.

A contract marks paths (``sensitive: [event.user.email]``), or its JSON Schema marks fields (``"sensitive": true``).
What a rule makes of one (``set: {event.contact: "${event.user.email}"}``) is as sensitive, wherever it stands: this is
worked out from the rules once, for the flow as a whole, so that no order of rules matters. Where it cannot be told from
the text what an expression reads, it is taken to read more, never less.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from rules.cel import nodes
from rules.cel.errors import CelError, CelMissing
from rules.cel.evaluator import Run
from rules.cel.nodes import Node
from rules.cel.scope import references, static_path
from rules.cel.values import ABSENT
from rules.contract import Validator, Violation
from rules.flow import EachItem, Expr, Flow, Marked, Rule, Shape, Target, Value
from rules.plan import SinkFacts
from rules.reader.values import expressions

EACH: Final = EachItem()
_SHOWING: Final = (nodes.Binary, nodes.And, nodes.Or, nodes.Unary, nodes.Has, nodes.Macro, nodes.Call)
"""What says no more of its operands, where it is true or false, than where the record goes would say."""
_RAW: Final = ("meta", "raw")
_ROOT: Final[Marked] = ("event",)


class _Hidden:
    """Stands where a value must not be shown."""

    def __repr__(self) -> str:
        return "***"


HIDDEN: Final = _Hidden()
REASON: Final = "why is not shown: it could show a sensitive value"


class Sensitive:
    """Paths of a record that must not be shown, each with all that is below it. ``names`` are those of ``split`` whose
    elements must not be."""

    def __init__(self, paths: Iterable[Marked] = (), names: Collection[str] = ()) -> None:
        self.paths = frozenset(paths)
        self.names = frozenset(names)

    def __bool__(self) -> bool:
        return bool(self.paths)

    def touches(self, path: Marked) -> bool:
        """Whether what is at a path, or below it, may be sensitive."""
        if not self.paths:
            return False
        if path[0] in self.names or path in (("meta",), _RAW) or path[:2] == _RAW:
            return True
        return any(all(map(_meets, marked, path)) for marked in self.paths)

    def derives(self, node: Node, hidden: Collection[str] = ()) -> bool:
        """Whether an expression, in which no name of ``let`` is left, reads anything sensitive. ``hidden`` are the
        variables around it that hold such."""
        if not self.paths:
            return False
        return any(path[0] in hidden or self.touches(path) for path in references(node))

    def shown(self, node: Node, value: object, hidden: Collection[str] = ()) -> object:
        """What may be shown of the value of an expression: of a path, what is not marked below it."""
        if not self.derives(node, hidden):
            return value
        path = static_path(node)
        if path is not None and path[0] in ("event", "meta") and path[0] not in hidden and not _tests(node):
            return self.redacted(value, path)
        return value if isinstance(value, bool) and isinstance(node, _SHOWING) else HIDDEN

    def redacted(self, value: object, at: Marked = _ROOT) -> Any:
        """A value that stands at a path, with ``HIDDEN`` in the place of each that is sensitive. What stands above one,
        and is neither the map nor the list that the path goes through, may be it in another shape, and is hidden."""
        if not self.paths:
            return value
        return HIDDEN if any(_strays(marked, at) for marked in self.paths) else self._redacted(value, at)

    def hides(self, event: object, steps: Iterable[str]) -> bool:
        """Whether what an event has at these steps (of an element of a list: its index), may be sensitive."""
        value, at = event, _ROOT
        for step in steps:
            if self.redacted(value, at) is HIDDEN:
                return True
            name = int(step) if isinstance(value, list) and step.isdecimal() else step
            value, at = _element(value, name), (*at, name)
        return self.touches(at) or self.redacted(value, at) is HIDDEN

    def _redacted(self, value: object, at: Marked) -> Any:
        met = [marked for marked in self.paths if all(map(_meets, marked, at))]
        if at[:2] == _RAW or any(len(path) <= len(at) or not _leads(value, path[len(at)]) for path in met):
            return HIDDEN
        if not met and at != ("meta",):
            return value
        if isinstance(value, Mapping):
            return {name: self._redacted(inner, (*at, str(name))) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._redacted(inner, (*at, index)) for index, inner in enumerate(value)]
        return value

    def guarded(self, node: Node, run: Run) -> Run:
        """The closure of an expression, whose errors show nothing sensitive."""
        if not self.derives(node):
            return run

        def guarded(bindings: Mapping[str, object]) -> object:
            try:
                return run(bindings)
            except CelMissing:
                raise CelMissing(f"a field is missing; {REASON}") from None
            except CelError:
                raise CelError(f"it fails; {REASON}") from None

        return guarded


NOTHING: Final = Sensitive()


def sensitive_of(flow: Flow) -> Sensitive:
    """Everything in records of a flow that is sensitive, before and after its rules."""
    if not flow.contract.sensitive:
        return NOTHING
    return _Growing(flow).grown()


def hidden_settings(flow: Flow, sensitive: Sensitive, sinks: Iterable[SinkFacts]) -> dict[str, frozenset[str]]:
    """By sink, the settings of deliveries to it that may be made of what is sensitive."""
    reading = _Reading(flow, sensitive)
    made: dict[str, dict[str, list[tuple[Rule | None, Value]]]] = {}
    for facts in sinks if sensitive else ():
        for name, template in facts.templates.items():
            made.setdefault(facts.name, {}).setdefault(name, []).append((None, template))
    for rule, target in _targets(flow) if sensitive else ():
        for name, value in target.settings.items():
            made.setdefault(target.sink, {}).setdefault(name, []).append((rule, value))
    return {
        sink: frozenset(name for name, values in named.items() if any(reading.reads(*value) for value in values))
        for sink, named in made.items()
    }


def guarded_validator(validator: Validator, sensitive: Sensitive) -> Validator:
    """The same, whose messages show nothing sensitive."""

    def shown(event: object, violation: Violation) -> Violation:
        steps = [step.replace("~1", "/").replace("~0", "~") for step in violation.place.split("/")[1:]]
        if not sensitive.hides(event, steps):
            return violation
        return Violation(violation.check, violation.place, f"it is not as it should be; {REASON}")

    def violations(event: object, raw: bytes) -> list[Violation]:
        return [shown(event, violation) for violation in validator.violations(event, raw)]

    return Validator(validator.holds, violations) if sensitive else validator


def _meets(one: object, other: object) -> bool:
    return isinstance(one, EachItem) or isinstance(other, EachItem) or str(one) == str(other)


def _strays(marked: Marked, at: Marked) -> bool:
    """Whether a path goes through a list where a marked one goes through a map, or the other way round."""
    for step, other in zip(marked, at, strict=False):
        if isinstance(step, EachItem) or isinstance(other, EachItem):
            continue
        if isinstance(step, int) is not isinstance(other, int):
            return True
        if step != other:
            return False
    return False


def _leads(value: object, step: object) -> bool:
    """Whether a path may go on through a value, or ends there because nothing is there."""
    through = Mapping | list if isinstance(step, EachItem) else list if isinstance(step, int) else Mapping
    return value is None or value is ABSENT or isinstance(value, through)


def _element(value: object, step: object) -> object:
    if isinstance(value, Mapping):
        return value.get(step)
    return value[step] if isinstance(value, list) and isinstance(step, int) and step < len(value) else None


def _tests(node: Node) -> bool:
    """Whether a path only asks if something is there."""
    return isinstance(node, nodes.Has)


def _targets(flow: Flow) -> Iterator[tuple[Rule | None, Target]]:
    for rule in flow.rules:
        yield from ((rule, target) for target in rule.targets)
    otherwise = flow.otherwise
    for targets in (otherwise.undecodable, otherwise.invalid, otherwise.error, otherwise.unmatched or ()):
        if not isinstance(targets, str):
            yield from ((None, target) for target in targets)


class _Reading:
    """Tells which values of a flow read something sensitive."""

    def __init__(self, flow: Flow, sensitive: Sensitive) -> None:
        self._flow = flow
        self.sensitive = sensitive

    def reads(self, rule: Rule | None, value: Value | Expr) -> bool:
        """Whether a value, or an expression, of a rule does."""
        return any(self._touches(path, rule, ()) for expr in expressions(value) for path in references(expr.cel.node))

    def _touches(self, path: tuple[str, ...], rule: Rule | None, within: tuple[str, ...]) -> bool:
        lets, root = self._flow.lets, path[0]
        if root in lets and root not in within:
            inner = references(lets[root].cel.node)
            return any(self._touches(other, rule, (*within, root)) for other in inner)
        if rule is not None and rule.split is not None and root == rule.split.name:
            each = static_path(rule.split.each.cel.node)
            if each is not None and each[0] == "event":
                return self.sensitive.touches((*each, EACH, *path[1:]))
            return self.reads(None, rule.split.each)
        return self.sensitive.touches(path)


class _Growing:
    """Adds what rules make of what is sensitive, until nothing more comes."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._reading = _Reading(flow, Sensitive(flow.contract.sensitive))

    def grown(self) -> Sensitive:
        while True:
            before = self._reading.sensitive
            found = set(before.paths)
            for rule in self._flow.rules:
                found.update(self._made(rule))
            if found == before.paths:
                return Sensitive(found, list(self._names()))
            self._reading = _Reading(self._flow, Sensitive(found))

    def _names(self) -> Iterator[str]:
        for rule in self._flow.rules:
            if rule.split is not None and self._reading.reads(None, rule.split.each):
                yield rule.split.name

    def _made(self, rule: Rule) -> Iterator[Marked]:
        yield from self._shaped(rule, rule.shape)
        for target in rule.targets:
            yield from self._shaped(rule, target.shape)
        if rule.split is not None and self._reading.reads(None, rule.split.each):
            yield from self._elements(rule.split.each)

    def _elements(self, each: Expr) -> Iterator[Marked]:
        """What goes out of a ``split`` is an element."""
        path = static_path(each.cel.node)
        if path is None or path[0] != "event":
            yield ("event",)
            return
        above = (*path, EACH)
        for marked in self._reading.sensitive.paths:
            if all(map(_meets, marked, above)):
                yield ("event", *marked[len(above) :])

    def _shaped(self, rule: Rule, shape: Shape) -> Iterator[Marked]:
        for assignment in shape.set:
            yield from self._assigned(rule, ("event", *assignment.path), assignment.value)
        if shape.has_emit:
            yield from self._assigned(rule, ("event",), shape.emit)

    def _assigned(self, rule: Rule, path: Marked, value: Value) -> Iterator[Marked]:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                yield from self._assigned(rule, (*path, name), inner)
        elif self._reading.reads(rule, value):
            yield path
