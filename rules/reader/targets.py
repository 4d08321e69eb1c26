"""Targets and shapes: where a delivery goes, and what it carries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from rules.document import Key
from rules.faults import Place
from rules.flow import DROP, ENDS, REJECT, Assignment, Otherwise, Path, Rule, Shape, Target
from rules.form import Form
from rules.paths import write
from rules.reader.values import Scope, read_path, read_value

SHAPING = ("set", "unset", "emit")
_WANTED = "a sink, `drop`, `dead_letter`, or a list of them"


def read_targets(form: Form, path: Key, data: object, scope: Scope, *, may_reject: bool = False) -> tuple[Target, ...]:
    """What ``to`` says: a name, a mapping with ``sink``, or a list of both."""
    if isinstance(data, list):
        items = form.sequence(path, data, _WANTED) or ()
        found = [_target(form, (*path, index), item, scope) for index, item in enumerate(items)]
    else:
        found = [_target(form, path, data, scope)]
    if isinstance(data, list) and form.document.is_cut(path):
        found = []  # the bracket may be the mistake
    _check_together(form, path, found)
    rejecting = [index for index, target in enumerate(found) if target is not None and target.sink == REJECT]
    if not may_reject and rejecting:
        at = (*path, rejecting[0]) if isinstance(data, list) else path
        form.fault(at, "`reject` does not go here", "only `undecodable` and `invalid` under `otherwise` can reject")
    return tuple(target for target in found if target is not None)


def read_target(form: Form, path: Key, data: object, scope: Scope, wanted: str) -> Target | None:
    """One target alone: a name, or a mapping with ``sink``."""
    if isinstance(data, list):
        form.wrong(path, data, wanted)
        return None
    found = read_targets(form, path, data, scope)
    return found[0] if found else None


def is_readable(form: Form, path: Key) -> bool:
    """Whether every target in ``to`` says which sink it is."""
    node = form.document.node(path)
    if node is None or node.cut:
        return False
    targets = node.items if isinstance(node.data, list) else [node]
    names = [target.child("sink") if isinstance(target.data, Mapping) else target for target in targets]
    return all(name is not None and isinstance(name.data, str) and not (name.cut or name.mended) for name in names)


def _check_together(form: Form, path: Key, found: Sequence[Target | None]) -> None:
    first: dict[str, int] = {}
    for index, target in enumerate(found):
        if target is not None and target.sink in first:
            form.fault((*path, index), f"`{target.sink}` stands twice in one `to`", "two deliveries need two rules")
        elif target is not None:
            first[target.sink] = index
    if DROP in first and len(first) > 1:
        hint = "should stand alone: what is delivered is not dropped"
        form.fault((*path, first[DROP]), "`drop` stands beside other targets", hint)
    elif REJECT in first and len(first) > 1:
        hint = "should stand alone: what is rejected is not kept"
        form.fault((*path, first[REJECT]), "`reject` stands beside other targets", hint)


def _target(form: Form, path: Key, data: object, scope: Scope) -> Target | None:
    place = form.document.place(path)
    if not isinstance(data, Mapping):
        name = form.name(path, data, _WANTED)
        return None if name is None else Target(name, place)
    if "sink" not in data:
        form.missing(path, "sink", "the name of a sink")
        return None
    name = form.name((*path, "sink"), data["sink"], "the name of a sink")
    settings = {
        key: read_value(form, (*path, key), value, scope)
        for key, value in data.items()
        if key != "sink" and key not in SHAPING
    }
    shape = read_shape(form, path, data, scope)
    if name is None:
        return None
    if name in ENDS and len(data) > 1:
        other = next(key for key in data if key != "sink")
        form.key_fault((*path, other), f"`{name}` takes no `{other}`", f"should be just `{name}`")
    return Target(name, place, settings, shape)


def read_shape(form: Form, path: Key, data: Mapping[str, object], scope: Scope) -> Shape:
    """``set``, ``unset`` and ``emit`` of a rule or a target."""
    has_emit = "emit" in data
    if has_emit and ("set" in data or "unset" in data):
        other = "set" if "set" in data else "unset"
        form.key_fault((*path, other), f"`{other}` beside `emit`", "`emit` is the whole new event: write it there")
    return Shape(
        set=_assignments(form, (*path, "set"), data["set"], scope) if "set" in data else (),
        unset=_unset(form, (*path, "unset"), data["unset"]) if "unset" in data else (),
        emit=read_value(form, (*path, "emit"), data["emit"], scope) if has_emit else None,
        has_emit=has_emit,
    )


def _assignments(form: Form, path: Key, data: object, scope: Scope) -> tuple[Assignment, ...]:
    wanted = "a mapping of paths to values, such as {event.tier: gold}"
    mapping = form.mapping(path, data, wanted) or {}
    if isinstance(data, Mapping) and not data:
        form.lacking(path, "`set` is empty", f"should be {wanted}")
    found: dict[Path, Assignment] = {}
    for key, value in mapping.items():
        here = (*path, key)
        target = read_path(form, key, _in_key(form, here))
        assigned = read_value(form, here, value, scope)
        if target is None:
            continue
        if target in found:
            form.key_fault(
                here, f"`{write(target)}` is set twice", f"it stands already in line {found[target].place.line}"
            )
            continue
        found[target] = Assignment(target, assigned, form.document.key_place(here))
    return tuple(found.values())


def _in_key(form: Form, path: Key) -> Callable[[int], Place]:
    return lambda offset: form.document.key_text_place(path, offset)


def _unset(form: Form, path: Key, data: object) -> tuple[Path, ...]:
    wanted = "a path or a list of paths, such as [event.password]"
    items = [((*path, index), item) for index, item in enumerate(data)] if isinstance(data, list) else [(path, data)]
    if not items:
        form.lacking(path, "`unset` is empty", f"should be {wanted}")
    found = []
    for here, item in items:
        text = form.text(here, item, wanted)
        target = None if text is None else read_path(form, text, _in_value(form, here))
        if target == ():
            form.fault(here, "the whole event cannot be unset", "`emit` gives a new one; `to: drop` ends it")
        elif target is not None:
            found.append(target)
    return tuple(found)


def _in_value(form: Form, path: Key) -> Callable[[int], Place]:
    return lambda offset: form.document.text_place(path, offset)


def sink_targets(rules: Sequence[Rule], otherwise: Otherwise) -> Iterator[Target]:
    """Every target of a flow that is a sink, in the order of the file."""
    groups = [rule.targets for rule in rules]
    groups += [otherwise.undecodable, otherwise.error, otherwise.unmatched or ()]
    groups += [otherwise.invalid] if isinstance(otherwise.invalid, tuple) else []
    for targets in groups:
        yield from (target for target in targets if target.sink not in ENDS)
