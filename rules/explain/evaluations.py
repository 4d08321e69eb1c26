"""What every part of an expression came to, seen while the exact evaluator evaluates it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from rules.cel import nodes
from rules.cel.errors import CelError, CelMissing
from rules.cel.evaluator import Run, evaluator
from rules.cel.nodes import Node
from rules.cel.scope import static_path
from rules.cel.values import TYPES
from rules.explain.model import Element, Evaluation, State
from rules.lets import Lets
from rules.sensitive import HIDDEN, NOTHING, REASON, Sensitive

FIRST: Final = 3
"""So many elements of a macro are kept in any case."""
_OF_A_KIND: Final = 2
_DEEPEST: Final = 40
"""Parts within parts: beyond this nobody reads them."""
_QUANTIFIERS: Final[Mapping[str, bool]] = {"exists": True, "exists_one": True, "existsOne": True, "all": False}
"""The macros whose value is owed to elements for which the condition is so."""
_SELECTIONS: Final = (nodes.Select, nodes.Has)
_EXACTLY_ONE: Final = frozenset({"exists_one", "existsOne"})


class Event:
    """One evaluation of one node. ``parts`` are the evaluations that it made."""

    __slots__ = ("error", "node", "parts", "value")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.parts: list[Event] = []
        self.value: object = None
        self.error: Exception | None = None

    def took(self, part: Event, _: Mapping[str, object]) -> None:
        """An evaluation within this one is over."""
        self.parts.append(part)

    def all_parts(self) -> Iterable[Event]:
        """The evaluations that it made, as far as they are kept."""
        return self.parts


class Visit:
    """What the bodies of a macro came to for one element."""

    __slots__ = ("number", "parts", "variables")

    def __init__(self, number: int, variables: Mapping[str, object]) -> None:
        self.number = number
        self.variables = variables
        self.parts: list[Event] = []


class MacroEvent(Event):
    """An evaluation of a macro: ``parts`` holds that of its target alone.

    Of the elements it keeps the first few and, of each kind of answer, the first that gave it: a list may be long.
    """

    __slots__ = ("_bodies", "_kinds", "_names", "_visit", "kept", "visited")

    def __init__(self, node: nodes.Macro) -> None:
        super().__init__(node)
        self.kept: list[Visit] = []
        self.visited = 0
        self._names = node.variables
        self._bodies = len(node.bodies)
        self._kinds: Counter[object] = Counter()
        self._visit: Visit | None = None

    def took(self, part: Event, bindings: Mapping[str, object]) -> None:
        """The target first; then, of each element, one body, and after a filter that is true the other."""
        if not self.parts:
            self.parts.append(part)
            return
        visit = self._visit
        if visit is None:
            visit = self._visit = Visit(self.visited, {name: bindings[name] for name in self._names})
            self.visited += 1
        visit.parts.append(part)
        if len(visit.parts) < self._bodies and part.value is True:
            return
        self._visit = None
        kind = type(part.error) if part.error is not None else part.value if isinstance(part.value, bool) else None
        self._kinds[kind] += 1
        if visit.number < FIRST or (kind is not None and self._kinds[kind] <= _OF_A_KIND):
            self.kept.append(visit)

    def all_parts(self) -> Iterable[Event]:
        """Those of the elements, too."""
        return [*self.parts, *(part for visit in self.kept for part in visit.parts)]


class Recorder:
    """Sees what closures come to, while it listens: those of nodes, which it is put around, and whole expressions."""

    def __init__(self) -> None:
        self._open: Event | None = None
        self.listening = True

    def around(self, node: Node, run: Run) -> Run:
        """The closure of a node, whose evaluations become parts of the one that is going on."""
        kind = MacroEvent if isinstance(node, nodes.Macro) else Event

        def watched(bindings: Mapping[str, object]) -> object:
            parent = self._open
            if parent is None:
                return run(bindings)
            event = self._open = kind(node)  # type: ignore[arg-type]  # a macro's is made for a macro
            try:
                event.value = run(bindings)
                return event.value
            except Exception as error:
                event.error = error
                raise
            finally:
                self._open = parent
                parent.took(event, bindings)

        return watched

    def whole(self, node: Node, run: Run, tell: Callable[[Event], None]) -> Run:
        """The closure of a whole expression, which tells what came of it after each evaluation."""
        plain = evaluator(node)

        def watched(bindings: Mapping[str, object]) -> object:
            if not self.listening:
                return run(bindings)
            event = self._open = Event(node)
            try:
                event.value = self._run(event, run, plain, bindings)
                return event.value
            except Exception as error:
                event.error = error
                raise
            finally:
                self._open = None
                tell(event)

        return watched

    def _run(self, event: Event, run: Run, plain: Run, bindings: Mapping[str, object]) -> object:
        try:
            return run(bindings)
        except CelError as error:
            if not isinstance(error.__cause__, RecursionError):
                raise
        # Being watched takes stack, too: what is too deep only for that has a value, and no parts that could be told.
        self._open = None
        event.parts.clear()
        return plain(bindings)


class Teller:
    """Makes evaluations of events, in the words of the rules file. ``texts`` are those of the flow's ``let``. What is
    ``sensitive`` is not in them."""

    def __init__(self, lets: Lets, texts: Mapping[str, str], sensitive: Sensitive = NOTHING) -> None:
        self._lets = lets
        self._texts = texts
        self._sensitive = sensitive
        self._hidden: frozenset[str] = frozenset()
        """The variables of macros around an expression that hold what is sensitive."""

    def whole(self, event: Event, text: str) -> Evaluation:
        """What a whole expression came to, of which ``text`` is the text."""
        if event.parts:
            inner = event.parts[0]
            inner.value, inner.error = event.value, event.error
            return self._told(inner, text, 0)
        return self._told(event, text, _DEEPEST)

    def _told(self, event: Event, text: str, depth: int) -> Evaluation:
        told = self._all_told(event, text, depth)
        told.value = self._sensitive.shown(event.node, told.value, self._hidden)
        if told.error and self._sensitive.derives(event.node, self._hidden):
            told.error = f"a field is missing; {REASON}" if told.state == "missing" else f"it fails; {REASON}"
        return told

    def _within(self, value: Node, names: Iterable[str]) -> frozenset[str]:
        """The hidden variables where these are bound to a value."""
        is_hidden = self._sensitive.derives(value, self._hidden)
        return self._hidden.union(names) if is_hidden else self._hidden.difference(names)

    def _all_told(self, event: Event, text: str, depth: int) -> Evaluation:
        node = event.node
        name = self._lets.name_of(node)
        if name is not None:
            text = self._texts[name]
        told = Evaluation(_written(node, text) if name is None else name, _state(event.error), event.value)
        if name is not None:
            told.let = _one_line(text)
        if event.error is not None:
            told.error = str(event.error)
            told.culprit = self._culprit(event, text)
        if depth < _DEEPEST and (static_path(node) is None or self._has_let(node)):
            self._tell_parts(told, event, text, depth + 1)
        return told

    def _has_let(self, node: Node) -> bool:
        """Whether a field is selected from what a name under ``let`` stands for."""
        return any(self._lets.name_of(inner) or self._has_let(inner) for inner in nodes.children(node))

    def _tell_parts(self, told: Evaluation, event: Event, text: str, depth: int) -> None:
        if isinstance(event, MacroEvent) and isinstance(event.node, nodes.Macro):
            told.parts = self._parts((event.node.target,), event.parts, text, depth)
            told.visited = event.visited
            around, self._hidden = self._hidden, self._within(event.node.target, event.node.variables)
            told.elements = [self._element(event, visit, text, depth) for visit in event.kept]
            self._hidden = around
        elif _is_sum(event.node):
            told.parts = self._parts(*self._sum(event), text, depth)
        else:
            told.binds = event.node.name if isinstance(event.node, nodes.Bind) else ""
            base = self._base(event)
            around = self._hidden
            if isinstance(event.node, nodes.Bind):
                told.parts = self._parts((event.node.value,), base.parts[:1], text, depth)
                self._hidden = self._within(event.node.value, (event.node.name,))
                told.parts += self._parts((event.node.body,), base.parts[1:], text, depth)
            else:
                told.parts = self._parts(nodes.children(base.node), base.parts, text, depth)
            self._hidden = around

    def _sum(self, event: Event) -> tuple[list[Node], list[Event]]:
        """The terms of ``a + b + c``, which is a sum of a sum, and the events of those that were evaluated."""
        terms: list[Node] = []
        events: list[Event] = []
        while isinstance(event.node, nodes.Binary):
            left, right = event.node.left, event.node.right
            terms.append(right)
            events += event.parts[1:]
            if not _is_sum(left) or self._lets.name_of(left) or not event.parts:
                terms.append(left)
                events += event.parts[:1]
                break
            event = event.parts[0]
        return terms[::-1], events[::-1]

    def _base(self, event: Event) -> Event:
        """Of a chain of selections the first one: what lies between tells nothing."""
        while isinstance(event.node, _SELECTIONS) and event.parts:
            inner = event.parts[0]
            if not isinstance(inner.node, nodes.Select) or self._lets.name_of(inner.node):
                break
            event = inner
        return event

    def _parts(self, children: Sequence[Node], events: Sequence[Event], text: str, depth: int) -> list[Evaluation]:
        """The children of a node that say something, with the events of those that were evaluated, in their order."""
        found = []
        at = 0
        for child in children:
            event = events[at] if at < len(events) and events[at].node is child else None
            at += event is not None
            if _is_plain(child) and (event is None or event.error is None):
                continue
            found.append(self._skipped(child, text) if event is None else self._told(event, text, depth))
        return found

    def _skipped(self, node: Node, text: str) -> Evaluation:
        name = self._lets.name_of(node)
        if name is None:
            return Evaluation(_written(node, text), "skipped")
        return Evaluation(name, "skipped", let=_one_line(self._texts[name]))

    def _element(self, event: MacroEvent, visit: Visit, text: str, depth: int) -> Element:
        macro = event.node
        bodies = macro.bodies if isinstance(macro, nodes.Macro) else ()
        parts = self._parts(bodies[: len(visit.parts)], visit.parts, text, depth)
        variables = {
            _plain_name(name): HIDDEN if name in self._hidden else value for name, value in visit.variables.items()
        }
        return Element(visit.number, variables, parts, _decides(event, visit))

    def _culprit(self, event: Event, text: str) -> str:
        """The text of the innermost part that failed as the whole did."""
        while True:
            inner = next((part for part in event.all_parts() if part.error is event.error), None)
            if inner is None:
                return _written(event.node, text)
            event = inner
            name = self._lets.name_of(event.node)
            text = text if name is None else self._texts[name]


def _is_sum(node: Node) -> bool:
    return isinstance(node, nodes.Binary) and node.operator == "+"


def _decides(event: MacroEvent, visit: Visit) -> bool:
    last, name = visit.parts[-1], getattr(event.node, "name", "")
    if event.error is not None:
        return last.error is event.error
    deciding = _QUANTIFIERS.get(name)
    if deciding is None or last.value is not deciding:
        return False
    return event.value is deciding or name in _EXACTLY_ONE


def _state(error: Exception | None) -> State:
    if error is None:
        return "value"
    return "missing" if isinstance(error, CelMissing) else "error"


def _is_plain(node: Node) -> bool:
    """Whether a node is what it says, so that its value tells nothing."""
    match node:
        case nodes.Literal():
            return True
        case nodes.Ident(name=name):
            return name in TYPES
        case nodes.ListNode() | nodes.MapNode():
            return all(map(_is_plain, nodes.children(node)))
    return False


def _written(node: Node, text: str) -> str:
    """How a node is written. A variable of a macro that was renamed, so that it hides nothing, has no place."""
    if node.end:
        return _one_line(text[node.start : node.end])
    return _plain_name(node.name) if isinstance(node, nodes.Ident) else ""


def _plain_name(variable: str) -> str:
    """A variable of a macro as it is written, also where it was renamed so that it hides nothing."""
    return variable.rstrip("'")


def _one_line(text: str) -> str:
    return " ".join(text.split())
