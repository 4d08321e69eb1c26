"""The two kinds of value in a rules file: CEL expressions, and YAML in which ``${CEL}`` is filled in."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import cast

from msgspec import Struct, field
from msgspec.structs import replace

from rules import cel
from rules.cel.surroundings import named
from rules.cel.values import a_type
from rules.document import Key
from rules.faults import Fault, Place
from rules.flow import ROOTS, EachItem, Expr, Path, Template, Value
from rules.form import Form, kind
from rules.suggest import did_you_mean, nearest
from rules.templates import Unclosed, parts

_PAIRS = (("(", ")"), ("[", "]"), ("{", "}"))
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Scope(Struct, frozen=True):
    """The names that expressions may use. ``absent`` are those of other places, with the reason they
    are not here. With ``is_open``, there may be more of them, which could not be read. ``vars`` is what the daemon's
    file says under that key, if that is known, and ``declared`` are the names under those of its keys that are known.
    """

    names: frozenset[str] = ROOTS
    absent: Mapping[str, str] | None = None
    is_open: bool = False
    vars: Mapping[str, object] | None = None
    declared: Mapping[str, Collection[str]] = field(default_factory=dict)

    def having(self, *names: str) -> Scope:
        """The same with more names."""
        return replace(self, names=self.names.union(names))


def read_expr(form: Form, path: Key, data: object, scope: Scope) -> Expr | None:
    """A CEL expression. Numbers, booleans and null, which YAML reads first, are expressions, too."""
    text = None if form.is_torn(path) else _expression_text(form, path, data)
    if text is None:
        return None
    document = form.document
    own = isinstance(data, str)
    at: Callable[[int], Place] = (
        (lambda offset: document.text_place(path, offset)) if own else (lambda _: document.place(path))
    )
    try:
        expression = cel.compile(text)
    except cel.CelSyntaxError as error:
        if cut := _cut_by_comment(form, path, text):
            form.faults.append(cut)
        elif not (form.is_unsure(path) and "a : belongs" in str(error)):  # which YAML did not read either
            _take_faults(form, text, error, at, scope)
        return None
    return _checked(form, expression, at, scope)


def read_condition(form: Form, path: Key, data: object, scope: Scope) -> Expr | None:
    """A CEL expression that can be true or false: not a constant that is neither."""
    expr = read_expr(form, path, data, scope)
    if expr is None or expr.cel.variables:
        return expr
    try:
        value = expr.cel.evaluate({})
    except cel.CelError:
        return expr
    if type(value) is bool:
        return expr
    what = f"{form.named(path)} is always {a_type(value)}, never true or false"
    form.fault(path, what, "should be a condition such as event.ok == true")
    return None


def read_value(form: Form, path: Key, data: object, scope: Scope) -> Value:
    """YAML in which ``${CEL}`` is filled in; None, which is a value too, where something is wrong with it."""
    if form.is_torn(path):
        return None
    if isinstance(data, str):
        document = form.document
        return read_template(form, data, lambda offset: document.text_place(path, offset), scope)
    if isinstance(data, Mapping):
        for key in data:
            if "${" in key:
                form.key_fault((*path, key), f"`{key}`: a key is not filled in", "`${...}` stands in values alone")
        return {key: read_value(form, (*path, key), value, scope) for key, value in data.items()}
    if isinstance(data, list):
        return tuple(read_value(form, (*path, index), value, scope) for index, value in enumerate(data))
    form.json(path, data)
    return cast("bool | int | float | None", data)


def expressions(part: object) -> Iterator[Expr]:
    """Every expression of a flow, or of a part of one."""
    if isinstance(part, Expr):
        yield part
        return
    below: Iterable[object] = ()
    if isinstance(part, Mapping):
        below = part.values()
    elif isinstance(part, tuple):
        below = part
    elif isinstance(part, Struct):
        below = (getattr(part, name) for name in part.__struct_fields__)
    for inner in below:
        yield from expressions(inner)


def read_template(form: Form, text: str, at: Callable[[int], Place], scope: Scope) -> str | Template | None:
    """A text in which ``${CEL}`` is filled in. ``at`` says where each of its characters stands."""
    found: list[str | Expr | None] = []
    try:
        found.extend(
            part.text if part.literal else compile_within(form, part.text, _from(at, part.start), scope)
            for part in parts(text)
        )
    except Unclosed as error:
        form.faults.append(
            Fault(at(error.start), "this `${` is never closed", "should be `${CEL}`, or `$${` for itself")
        )
        return None
    whole = [part for part in found if part is not None]
    if len(whole) < len(found):
        return None
    if all(isinstance(part, str) for part in whole):
        return "".join(map(str, whole))
    return Template(tuple(whole), at(0))


def compile_within(form: Form, text: str, at: Callable[[int], Place], scope: Scope) -> Expr | None:
    """An expression, all of whose names are in ``scope``. ``at`` says where each of its characters stands."""
    try:
        expression = cel.compile(text)
    except cel.CelSyntaxError as error:
        _take_faults(form, text, error, at, scope)
        return None
    return _checked(form, expression, at, scope)


def _from(at: Callable[[int], Place], start: int) -> Callable[[int], Place]:
    return lambda offset: at(start + offset)


def _expression_text(form: Form, path: Key, data: object) -> str | None:
    if isinstance(data, str):
        if data.strip():
            return data
        form.fault(path, f"{form.named(path)} is empty", "should be a CEL expression")
        return None
    source = form.document.source(path).strip()
    if isinstance(data, Mapping | list):
        if form.document.is_cut(path):
            return None
        hint = "should be a CEL expression"
        if "\n" not in source and _compiles(source):
            hint = f"should be quoted: {form.document.quoted(path)}"
        form.fault(path, f"YAML reads {kind(data)} here, not an expression", hint)
        return None
    if data is None and source != "null":
        form.fault(path, f"{form.named(path)} is empty", "should be a CEL expression")
        return None
    return source if not isinstance(data, bool) else str(data).lower()


def _compiles(text: str) -> bool:
    try:
        cel.compile(text)
    except cel.CelSyntaxError:
        return False
    return True


def _cut_by_comment(form: Form, path: Key, text: str) -> Fault | None:
    """The fault of an expression that is one only together with what YAML took for a comment."""
    comment = "" if form.document.style(path) else form.document.comment(path)
    if not comment or not _compiles(text + comment):
        return None
    what = "YAML takes what follows ` #` for a comment, which cuts this expression off"
    return Fault(form.document.place(path), what, f"should be quoted: {form.document.quoted(path, text + comment)}")


def _take_faults(form: Form, text: str, error: cel.CelSyntaxError, at: Callable[[int], Place], scope: Scope) -> None:
    """Every fault of an expression, and every name in it that is not known."""
    is_mended = at(0) in form.document.mended
    if at(error.offset) in form.document.mended or (is_mended and _is_unbalanced(text)):
        return  # where YAML broke it, it is no expression either, and what it would be is guesswork
    if not text.strip():
        form.faults.append(Fault(at(error.offset), "a CEL expression is missing here"))
        return
    faults = {fault.offset: Fault(at(fault.offset), fault.message) for fault in error.faults}
    form.faults += faults.values()
    _check_names(form, [(name, offset) for name, offset in error.uses if offset not in faults], at, scope)


def _is_unbalanced(text: str) -> bool:
    """Whether a quote or a bracket too few or too many is what broke a text."""
    return any(text.count(mark) % 2 for mark in "'\"") or any(text.count(a) != text.count(b) for a, b in _PAIRS)


def _checked(form: Form, expression: cel.Expression, at: Callable[[int], Place], scope: Scope) -> Expr | None:
    """The expression, if every name in it is known."""
    before = len(form.faults)
    if not expression.variables <= scope.names:
        _check_names(form, expression.uses, at, scope)
    if len(form.faults) > before:
        return None
    for path, offset in expression.presumed("vars") if scope.vars is not None else ():
        _check_var(form, path, at(offset), scope.vars or {})
    for key, literal in named(expression.node):
        name = str(literal.value)
        if key in scope.declared and name not in scope.declared[key]:
            what = f"there is no `{name}` among `{key}` of the daemon's file"
            form.faults.append(Fault(at(literal.start), what, did_you_mean(name, scope.declared[key])))
    return Expr(expression, at(0))


def _check_var(form: Form, path: tuple[str, ...], place: Place, known: Mapping[str, object]) -> None:
    """What is read below ``vars`` is there."""
    at: object = known
    for depth, step in enumerate(path[1:], 2):
        if not isinstance(at, Mapping):
            return
        if step not in at:
            what = f"`{'.'.join(path[:depth])}` is not among `vars` of the daemon's file"
            form.faults.append(Fault(place, what, did_you_mean(step, at)))
            return
        at = at[step]


def _check_names(form: Form, uses: Iterable[tuple[str, int]], at: Callable[[int], Place], scope: Scope) -> None:
    for name, offset in uses:
        if name not in scope.names and not scope.is_open:
            reason = (scope.absent or {}).get(name)
            form.faults.append(Fault(at(offset), f"`{name}` is not known here", reason or _meant(name, scope)))


def _meant(name: str, scope: Scope) -> str:
    known = sorted(scope.names)
    if nearest(name, known) or "event" not in scope.names:
        return did_you_mean(name, known)
    return f"a field of the record is `event.{name}`; {did_you_mean(name, known)}"


def read_path(form: Form, text: str, at: Callable[[int], Place]) -> Path | None:
    """A path below ``event``. ``at`` says where each character of the text stands."""
    root = _IDENTIFIER.match(text)
    if root is None or root[0] != "event":
        form.faults.append(Fault(at(0), *_not_event(text, root[0] if root else "")))
        return None
    return read_steps(form, text, root.end(), at)


def read_steps(form: Form, text: str, index: int, at: Callable[[int], Place]) -> Path | None:
    """The steps of a path, of which the first begins at ``index``."""
    steps: list[str | int | EachItem] = []
    while index < len(text):
        found = _STEP.match(text, index)
        if found is None:
            form.faults.append(Fault(at(index), f"`{text}` is not a path", _HOW))
            return None
        steps.append(_step(found))
        index = found.end()
    return tuple(steps)


_STEP = re.compile(
    r"""\.(?P<field>[^\W\d]\w*)
    | \[\s*(?P<quoted>"(?:[^"\\]|\\["\\])*"|'(?:[^'\\]|\\['\\])*')\s*\]
    | \[\s*(?P<index>\d{1,9})\s*\]
    | \[\s*(?P<each>\*)\s*\]""",
    re.VERBOSE,
)
_HOW = """should be like `event.user.id`, `event["a-b"].c`, `event.items[0]` or `event.items[*].price`"""


def _step(found: re.Match[str]) -> str | int | EachItem:
    if found["each"]:
        return EachItem()
    if found["index"]:
        return int(found["index"])
    if found["quoted"]:
        return re.sub(r"\\(.)", r"\1", found["quoted"][1:-1])
    return found["field"]


def _not_event(text: str, root: str) -> tuple[str, str]:
    if root == "meta":
        return "`meta` is read-only", "key and headers of a delivery are set on the sink or on the target"
    if root == "vars":
        return "`vars` is read-only", "only paths below `event` can be set"
    if nearest(root, ["event"]) and not text.startswith("event"):
        return f"`{text}` is not a path below `event`", f"did you mean `event{text[len(root) :]}`?"
    plain = _IDENTIFIER.match(text)
    better = f"event.{text}" if plain and not text.startswith("event") else "event.user.id"
    return f"`{text}` is not a path below `event`", f"should be like `{better}`"
