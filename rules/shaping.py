"""What a flow makes for a record, exactly: the values of its templates, and events in a new shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from rules.cel import nodes
from rules.cel.errors import CelError
from rules.cel.evaluator import Run, evaluator
from rules.cel.nodes import Node
from rules.cel.scope import static_path
from rules.codecs import in_text
from rules.flow import Expr, Path, Shape, Template, Value
from rules.lets import Lets
from rules.paths import assign, remove, write
from rules.sensitive import NOTHING, Sensitive
from rules.watch import UNWATCHED, Watch

Bindings = Mapping[str, object]
Fill = Callable[[Bindings], object]


class Failed(Exception):
    """A rule could not be carried out for a record; ``kind`` is the part of it that failed."""

    def __init__(self, kind: str, error: Exception) -> None:
        reason = str(error) if isinstance(error, CelError) else f"{type(error).__name__}: {error}"
        super().__init__(f"{kind}: {reason}")
        self.kind = kind


def attempt(kind: str, run: Callable[..., object], *args: object) -> object:
    """What ``run`` returns. Raises Failed, also for a fault of our own: no record may end the flow."""
    try:
        return run(*args)
    except Exception as error:
        raise Failed(kind, error) from error


class Filler(Struct, frozen=True):
    """Makes the closures of a flow's expressions and values, with its named expressions put in."""

    lets: Lets
    watch: Watch = UNWATCHED
    sensitive: Sensitive = NOTHING

    def run(self, expr: Expr) -> Run:
        """The exact closure of an expression."""
        node = self.lets.inline(expr.cel.node)
        return self._watched(expr, node, evaluator(node, self.watch.around))

    def _watched(self, expr: Expr, node: Node, run: Run) -> Run:
        return self.sensitive.guarded(node, self.watch.expression(expr, node, run))

    def fill(self, value: Value) -> Fill:
        """What makes a value of the file into the value for a record; it raises CelError."""
        if isinstance(value, Template):
            return self._template(value)
        if isinstance(value, tuple):
            elements = [self.fill(element) for element in value]
            return lambda bindings: [element(bindings) for element in elements]
        if isinstance(value, Mapping):
            entries = {name: self.fill(content) for name, content in value.items()}
            return lambda bindings: {name: content(bindings) for name, content in entries.items()}
        return lambda _: value

    def _template(self, template: Template) -> Fill:
        if template.whole is not None:
            node = self.lets.inline(template.whole.cel.node)
            path = copied_path(node)
            run = evaluator(node, self.watch.around)
            return self._watched(template.whole, node, run if path is None else _copy(path, run))
        parts = [part if isinstance(part, str) else self.run(part) for part in template.parts]
        return lambda bindings: "".join(part if isinstance(part, str) else in_text(part(bindings)) for part in parts)

    def shaper(self, shape: Shape) -> Shaper | None:
        """What applies a shape; None for one that does nothing."""
        if not shape:
            return None
        sets = tuple((assignment.path, self.fill(assignment.value)) for assignment in shape.set)
        return Shaper(sets, shape.unset, self.fill(shape.emit) if shape.has_emit else None, self.watch)


def copied_path(node: Node) -> tuple[str, ...] | None:
    """The fields below ``event`` that an expression copies, if that is all that it does."""
    path = static_path(node)
    return path[1:] if path is not None and path[0] == "event" and _only_selects(node) else None


def _only_selects(node: Node) -> bool:
    match node:
        case nodes.Select(operand=operand, optional=False) | nodes.Index(operand=operand, optional=False):
            return _only_selects(operand)
    return isinstance(node, nodes.Ident)


def _copy(path: tuple[str, ...], run: Run) -> Fill:
    """A copied integer keeps all of its digits, of which a value of CEL has 64 bits."""

    def fill(bindings: Bindings) -> object:
        value = bindings["event"]
        for field in path:
            if type(value) is not dict or field not in value:
                return run(bindings)
            value = value[field]
        return value

    return fill


class Shaper(Struct, frozen=True):
    """A shape, ready to be applied."""

    sets: tuple[tuple[Path, Fill], ...]
    unsets: tuple[Path, ...]
    emit: Fill | None
    watch: Watch

    def apply(self, event: object, bindings: Bindings) -> tuple[object, bool]:
        """The event in its new shape, and whether it is another one. Raises Failed."""
        made, changed = self._made(event, bindings)
        self.watch.shaped(event, made, anew=self.emit is not None)
        return made, changed

    def _made(self, event: object, bindings: Bindings) -> tuple[object, bool]:
        if self.emit is not None:
            return attempt("emit", self.emit, bindings), True
        values = [attempt("set", _value_at, path, fill, bindings) for path, fill in self.sets]
        made = event
        for (path, _), value in zip(self.sets, values, strict=True):
            made = attempt("set", assign, made, path, value)
        for path in self.unsets:
            made = attempt("unset", remove, made, path)
        return made, made is not event


def _value_at(path: Path, fill: Fill, bindings: Bindings) -> object:
    try:
        return fill(bindings)
    except CelError as error:
        raise CelError(f"{write(path)}: {error}") from error
