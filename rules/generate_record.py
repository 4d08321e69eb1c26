"""Generated code for what rules say about one record: their expressions, values, shapes and settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from rules import meta
from rules.cel import nodes
from rules.cel.compile_code import Code, Operand
from rules.cel.compile_runtime import MISSING, Surprise
from rules.cel.compiler import Compiler
from rules.cel.errors import CelError
from rules.cel.nodes import Node
from rules.cel.scope import static_path
from rules.cel.values import INT_MIN, UINT_MAX, normal
from rules.codecs import in_text, is_plain
from rules.flow import Expr, Path, Shape, Template, Value
from rules.lets import Lets
from rules.outgoing import setting
from rules.paths import assign, remove
from rules.projection import Part, Projection
from rules.shaping import copied_path


class Form(Struct, frozen=True):
    """An event on its way to a sink: the local that holds it, and the expression that says whether it is another one
    than came in."""

    local: str
    changed: str


def plain(value: object) -> object:
    """The value, if it can be written without a closer look."""
    if is_plain(value):
        return value
    raise Surprise


def text_of(value: object) -> str:
    """A value inside text."""
    return in_text(normal(value))


def no_fields(value: object) -> object:
    """A field of something that is no map."""
    if value is None or value is MISSING:
        return MISSING
    raise Surprise


def other_than_number(value: object) -> None:
    """What no table of numbers has to hold: a number of a rare class is a surprise."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise Surprise


_NAMESPACE: Final[Mapping[str, object]] = {
    "no_fields": no_fields,
    "other_than_number": other_than_number,
    "plain": plain,
    "text_of": text_of,
    "assign": assign,
    "remove": remove,
    "setting": setting,
    "meta_of": meta.meta_of,
    "key_of": meta.key_of,
    "time_of": meta.time_of,
    "headers_of": meta.headers_of,
    "header_of": meta.header_of,
}


_ROOTS: Final = frozenset({"event", "meta", "vars"})


class RecordCompiler(Compiler):
    """Writes what concerns one record, inside the loop over a batch.

    It takes ``event``, ``raw``, ``i``, ``columns`` and ``source`` for granted, and asks for what must stand before the
    loop (``outside``) or at the start of each record (``start``).
    """

    def __init__(
        self, code: Code, lets: Lets, names: Mapping[str, object], projection: Projection | None = None
    ) -> None:
        super().__init__(code, {"vars": names})
        self.lets = lets
        self.projection = projection
        self.reads_whole_event = False
        self.reads_raw = False
        self.before: dict[str, str] = {}
        self.start: dict[str, str] = {}
        self._event = "event"
        self._elements: dict[str, Operand] = {}
        code.namespace.update(_NAMESPACE)

    # Variables

    def variable(self, name: str) -> Operand | None:
        """``event`` as the place sees it, ``meta`` as a whole, or the element of a split."""
        if name == "event":
            self.reads_whole_event = True
            return Operand(self._event, raw=True)
        if name == "meta":
            self.start["whole_meta"] = "None"
            with self.code.block("if whole_meta is None:"):
                self.code.line("whole_meta = meta_of(columns, i, source)")
            return Operand("whole_meta")
        return self._elements.get(name)

    def takes(self, name: str) -> bool:
        """``event``, ``meta``, ``vars`` and the element of a split do."""
        return name in _ROOTS or name in self._elements

    def is_event(self, operand: Operand) -> bool:
        """Whatever goes by the name of event."""
        return operand.text == self._event

    def field(self, operand: Node, name: str) -> Operand | None:
        """A field of ``meta``, straight from its column, or one header."""
        match operand:
            case nodes.Ident(name="meta"):
                return self._meta_field(name)
            case nodes.Select(operand=nodes.Ident(name="meta"), field="headers", optional=False):
                return Operand(self.code.let(f"header_of(columns, i, {name!r})"), missable=True)
        part = self._part(operand)
        return None if part is None else self._projected(operand, part, name)

    def fieldless(self, operand: Node) -> str | None:
        """When a part of a projection is no map."""
        if self._part(operand) is None or operand == nodes.Ident("event"):
            return None
        return f"{self._class_of(self.value(operand))} is not {self._class_name(operand)}"

    def _part(self, operand: Node) -> Part | None:
        """The part of the projection that an expression is, if it is one."""
        path = static_path(operand)
        if self.projection is None or path is None or path[0] != "event":
            return None
        return self.projection.root.at(path[1:])

    def _projected(self, operand: Node, part: Part, name: str) -> Operand:
        attribute = part.fields[name][0]
        if self.projection is not None and self.projection.decode is None:
            return Operand(attribute, missable=True, raw=True)
        if operand == nodes.Ident("event"):
            return Operand(self.code.let(f"event.{attribute}"), missable=True, raw=True)
        text = self.value(operand).text
        # Null and what is missing have no fields; anything else that is no map is a surprise.
        found = f"{text}.{attribute} if {text}.__class__ is {self._class_name(operand)} else no_fields({text})"
        return Operand(self.code.let(found), missable=True, raw=True)

    def _class_name(self, operand: Node) -> str:
        part = self._part(operand)
        name = "" if part is None else part.cls.__name__
        self.code.namespace[name] = None if part is None else part.cls
        return name

    def _meta_field(self, name: str) -> Operand:
        if name in {"source", "raw"}:
            self.reads_raw = self.reads_raw or name == "raw"
            return Operand(name)
        if name in meta.FIXED:
            return Operand(self.code.let(f"{name}_of(columns, i)"), missable=name == "key")
        column = "at_" + (name if name.isascii() and name.isidentifier() else name.encode().hex() + "_")
        self.before[column] = f"columns.attributes.get({name!r})"
        found = self.code.let(f"M if {column} is None else {column}[i]")
        with self.code.block(f"if {found} is None:"):
            self.code.line(f"{found} = M")
        return Operand(found, missable=True, raw=True)

    def node(self, expr: Expr) -> Node:
        """The expression with its named parts put in."""
        return self.lets.inline(expr.cel.node)

    @contextmanager
    def seeing(self, event: str) -> Iterator[None]:
        """Inside, ``event`` is what another local holds."""
        if event == self._event:
            yield
            return
        saved = self._event, self.code.known, self.memos
        self._event, self.code.known, self.memos = event, {}, {}
        yield
        self._event, self.code.known, self.memos = saved

    @contextmanager
    def element(self, name: str, local: str) -> Iterator[None]:
        """Inside, a split's element goes by its name."""
        self._elements = {name: Operand(local, raw=True)}
        yield
        self._elements = {}

    def changed_event(self) -> None:
        """The event is another one from here on: nothing that was read from it counts any more."""
        self.code.known = {}
        for name in self.memos.values():
            self.code.line(f"{name} = U")

    # Values

    def fill(self, value: Value) -> Operand:
        """Write what makes a value of the file into the value for a record."""
        if isinstance(value, Template):
            whole = value.whole
            return self._joined(value) if whole is None else self._whole(self.node(whole))
        if isinstance(value, tuple):
            return Operand(f"[{', '.join(self.fill(part).text for part in value)}]")
        if isinstance(value, Mapping):
            return Operand(f"{{{', '.join(f'{name!r}: {self.fill(part).text}' for name, part in value.items())}}}")
        return self.code.constant(value)

    def _whole(self, node: Node) -> Operand:
        """The value of an expression: never missing, and an integer only where CEL keeps all of its digits."""
        operand = self.value(node)
        text, code = operand.text, self.code
        if operand.is_constant:
            return operand
        if operand.missable:
            code.line(f"if {text} is M: raise Surprise")
        if copied_path(node) is not None:
            return Operand(text, is_plain=True)
        if operand.raw:
            code.line(f"if {text}.__class__ is int and not {INT_MIN} <= {text} <= {UINT_MAX}: raise Surprise")
        return Operand(text)

    def _joined(self, template: Template) -> Operand:
        parts = []
        for part in template.parts:
            if isinstance(part, str):
                parts.append(repr(part))
                continue
            operand = self.value(self.node(part))
            if operand.is_constant:
                operand = Operand(self.code.let(operand.text))
            if operand.missable:
                self.code.line(f"if {operand.text} is M: raise Surprise")
            parts.append(f"({operand.text} if {operand.text}.__class__ is str else text_of({operand.text}))")
        return Operand(self.code.let(" + ".join(parts)), is_plain=True)

    def plain(self, value: Value) -> str:
        """A local or literal with a value that can be written without a closer look."""
        operand = self.fill(value)
        if operand.is_plain or (operand.is_constant and is_plain(operand.constant)):
            return operand.text
        text = operand.text if operand.text.isidentifier() else self.code.let(operand.text)
        self.code.line(f"if {text}.__class__ is not str: plain({text})")
        return text

    def setting(self, name: str, value: Value) -> str:
        """A local or literal with the value of a per-record setting, as it goes to the sink."""
        operand = self.fill(value)
        if operand.is_constant:
            try:
                return self.code.constant(setting(name, operand.constant)).text
            except CelError:
                self.code.line("raise Surprise")
                return "None"
        made = self.code.let(operand.text)
        if name == "key":
            return self.code.let(f"{made}.encode() if {made}.__class__ is str else setting('key', {made})")
        if name == "headers":
            return self.code.let(f"setting('headers', {made})")
        return self.code.let(f"{made} if {made}.__class__ is str else setting({name!r}, {made})")

    def elements(self, each: Expr) -> str:
        """A local with the list that a rule splits."""
        operand = self._whole(self.node(each))
        text = operand.text if operand.text.isidentifier() else self.code.let(operand.text)
        self.code.line(f"if {text}.__class__ is not list: raise Surprise")
        if not operand.is_plain:
            self.code.line(f"plain({text})")
        return text

    # Shapes

    def shaped(self, shape: Shape, form: Form) -> Form:
        """Write what makes of an event one in another shape; what the right sides see stays what it is."""
        if shape.has_emit:
            return Form(self.code.let(self.plain(shape.emit)), "True")
        if not shape:
            return form
        values = [(assignment.path, self.plain(assignment.value)) for assignment in shape.set]
        if values and all(_is_fields(path) for path, _ in values):
            return self._edited(form.local, values, shape.unset)
        made = form.local
        for path, text in values:
            made = self.code.let(f"assign({made}, {self.code.outside(path, 'PATH')}, {text})")
        for path in shape.unset:
            made = self.code.let(f"remove({made}, {self.code.outside(path, 'PATH')})")
        differs = f"{made} is not {form.local}"
        if form.changed == "True":
            return Form(made, "True")
        return Form(made, differs if form.changed == "False" else f"({form.changed} or {differs})")

    def _edited(self, base: str, values: list[tuple[Path, str]], unset: tuple[Path, ...]) -> Form:
        """A copy with fields set and taken away, each map on the way copied."""
        made = self.code.let(f"{base}.copy() if {base}.__class__ is dict else surprise()")
        for path, text in values:
            here = made
            for step in path[:-1]:
                here = self._own(here, step)
            self.code.line(f"{here}[{path[-1]!r}] = {text}")
        for path in unset:
            if len(path) == 1 and isinstance(path[0], str):
                self.code.line(f"{made}.pop({path[0]!r}, None)")
            else:
                made = self.code.let(f"remove({made}, {self.code.outside(path, 'PATH')})")
        return Form(made, "True")

    def _own(self, here: str, step: object) -> str:
        """A copy of the map at ``here[step]``, put there in its place; a new one where there is none."""
        code = self.code
        inner = code.let(f"{here}.get({step!r}, M)")
        code.line(f"{inner} = {inner}.copy() if {inner}.__class__ is dict else {{}} if {inner} is M else surprise()")
        code.line(f"{here}[{step!r}] = {inner}")
        return inner


def _is_fields(path: Path) -> bool:
    return bool(path) and all(isinstance(step, str) for step in path)
