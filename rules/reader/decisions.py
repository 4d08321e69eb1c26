"""The rules of a flow, one by one, and what happens to records that none of them decides about."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from rules.cel import Expression
from rules.cel.nodes import Gap
from rules.document import Key
from rules.flow import DEAD_LETTER, DROP, PASS, Check, Disposition, Expr, Otherwise, Rule, Split, Target
from rules.form import Form
from rules.reader.gates import GATES, NEXT, check_gates, read_gates
from rules.reader.targets import SHAPING, is_readable, read_shape, read_targets
from rules.reader.values import Scope, read_condition, read_expr

RULE = ("name", "when", "expect", *GATES, "set", "unset", "emit", "split", "to", "continue")
OTHERWISE = ("undecodable", "invalid", "error", "unmatched")
_REJECTING = ("undecodable", "invalid")
_UNDECODED = "a record that cannot be decoded has none"


def read_rules(form: Form, data: object, scope: Scope) -> tuple[Rule, ...]:
    """The list under ``rules``."""
    items = form.sequence(("rules",), data, "a list of rules, such as [{name: rest, to: archive}]") or ()
    rules = [_rule(form, index, item, scope) for index, item in enumerate(items)]
    found = tuple(rule for rule in rules if rule is not None)
    first: dict[str, Rule] = {}
    for rule in found:
        if rule.name in first:
            what = f"a second rule is named `{rule.name}`"
            form.fault(
                _name_path(form, len(items), rule), what, f"the first stands in line {first[rule.name].place.line}"
            )
        first.setdefault(rule.name, rule)
    return found


def are_targets_readable(form: Form, rules: object, otherwise: object) -> bool:
    """Whether it is known of all rules and endings which sinks they name, whatever else may be wrong with them."""
    endings = {} if otherwise is None else otherwise
    if not isinstance(rules, list) or not isinstance(endings, Mapping) or not endings.keys() <= set(OTHERWISE):
        return False
    if not all(isinstance(rule, Mapping) and rule.keys() <= set(RULE) for rule in rules):
        return False
    paths: list[Key] = [("rules", index, "to") for index, rule in enumerate(rules) if "to" in rule]
    paths += [("rules", index, kind, "else") for index, rule in enumerate(rules) for kind in _with_target(rule)]
    above: list[Key] = [("rules",), ("otherwise",), *(("rules", index) for index in range(len(rules)))]
    if any(form.document.is_cut(path) for path in above):
        return False
    return all(is_readable(form, path) for path in (*paths, *(("otherwise", key) for key in endings)))


def _with_target(rule: Mapping[str, object]) -> list[str]:
    """The gates of a rule that say where to send what they hold."""
    gates = {kind: rule[kind] for kind in GATES if kind in rule}
    return [kind for kind, gate in gates.items() if isinstance(gate, Mapping) and gate.get("else", NEXT) != NEXT]


def _name_path(form: Form, count: int, rule: Rule) -> Key:
    index = next(index for index in range(count) if form.document.place(("rules", index)) == rule.place)
    return ("rules", index, "name")


def _rule(form: Form, index: int, data: object, outer: Scope) -> Rule | None:
    path: Key = ("rules", index)
    mapping = form.mapping(path, data, "a rule, such as {name: rest, to: archive}", RULE)
    if mapping is None:
        return None
    split, scope = _split(form, path, mapping, outer)
    rule = Rule(
        name=_name(form, path, index, mapping),
        place=form.document.place(path),
        when=_when(form, (*path, "when"), mapping["when"], outer) if "when" in mapping else None,
        expect=read_checks(form, (*path, "expect"), mapping["expect"], outer) if "expect" in mapping else (),
        shape=read_shape(form, path, mapping, scope),
        split=split,
        to=read_targets(form, (*path, "to"), mapping["to"], scope) if "to" in mapping else (),
        continues=_continues(form, path, mapping),
        gates=read_gates(form, path, mapping, outer),
    )
    _check_whole(form, path, mapping, rule)
    return rule


def _when(form: Form, path: Key, data: object, scope: Scope) -> Expr:
    """The condition; one of which nothing is known where it could not be read."""
    found = read_condition(form, path, data, scope)
    return Expr(Expression("", Gap()), form.document.place(path)) if found is None else found


def _name(form: Form, path: Key, index: int, mapping: Mapping[str, object]) -> str:
    fallback = f"rule-{index + 1}"
    if "name" not in mapping:
        return fallback
    name = form.name((*path, "name"), mapping["name"], "the rule's name") or fallback
    if name.startswith("otherwise."):
        form.fault((*path, "name"), f"`{name}` is what metrics call the ending of that name", "should be another name")
    return name


def _continues(form: Form, path: Key, mapping: Mapping[str, object]) -> bool:
    return bool(form.flag((*path, "continue"), mapping["continue"])) if "continue" in mapping else False


def _check_whole(form: Form, path: Key, mapping: Mapping[str, object], rule: Rule) -> None:
    """What is wrong with a rule although each of its parts is right."""
    data = form.document.node(path)
    is_whole = data is not None and data.entries.keys() == mapping.keys() and not data.cut
    if is_whole:
        check_gates(form, path, mapping, rule.gates)
    if "to" in mapping:
        if rule.continues and any(target.sink == DROP for target in rule.to):
            form.key_fault((*path, "continue"), "`continue` with `to: drop`", "what is dropped does not go on")
        return
    for key, why in (
        ("split", "should have a `to` for what it makes"),
        ("continue", "a rule without `to` always goes on; should have a `to`"),
    ):
        if key in mapping and is_whole:
            form.key_fault((*path, key), f"`{key}` without `to`", why)
    if is_whole and not any(key in mapping for key in (*SHAPING, *GATES, "expect", "split", "continue")):
        form.fault(
            path, "this rule does nothing", "should have `to`, or be a step with `set`, `unset`, `emit` or `expect`"
        )


def _split(form: Form, rule: Key, mapping: Mapping[str, object], scope: Scope) -> tuple[Split | None, Scope]:
    """How a rule splits, and what the expressions beside it may name."""
    if "split" not in mapping:
        return None, replace(scope, is_open=scope.is_open or form.document.is_cut(rule))
    path = (*rule, "split")
    wanted = "a mapping such as {each: event.items, as: item}"
    parts = form.mapping(path, mapping["split"], wanted, ("each", "as"))
    if parts is None:
        return None, replace(scope, is_open=True)
    for key in ("each", "as"):
        if key not in parts:
            form.missing(path, key, "a CEL expression" if key == "each" else "a name for the element")
    each = read_expr(form, (*path, "each"), parts["each"], scope) if "each" in parts else None
    name = read_variable(form, (*path, "as"), parts["as"], scope) if "as" in parts else None
    if name is None:
        return None, replace(scope, is_open=True)
    return None if each is None else Split(each, name), scope.having(name)


def read_variable(form: Form, path: Key, data: object, scope: Scope) -> str | None:
    """A name that expressions can use from here on, and that means nothing yet."""
    name = form.text(path, data, "a name such as item")
    if name is None:
        return None
    if not is_variable(name):
        form.fault(path, f"`{name}` cannot be used in an expression", "should be letters, digits and _, such as item")
        return None
    if name in scope.names:
        form.fault(path, f"`{name}` means something already", "should be another name")
        return None
    return name


def is_variable(name: str) -> bool:
    """Whether CEL reads this as the name of a variable, and not as a type's name or a word of the language."""
    from rules import cel

    try:
        return cel.compile(name).variables == {name} and name.isidentifier()
    except cel.CelSyntaxError:
        return False


def read_checks(form: Form, path: Key, data: object, scope: Scope) -> tuple[Check, ...]:
    """``expect``: names and what must be true."""
    wanted = "a mapping of names to CEL expressions, such as {amount is not negative: event.amount >= 0.0}"
    mapping = form.mapping(path, data, wanted)
    if mapping is not None and not mapping:
        form.lacking(path, "`expect` is empty", f"should be {wanted}")
    found = []
    for name, value in (mapping or {}).items():
        expr = read_condition(form, (*path, name), value, scope)
        if expr is not None:
            found.append(Check(name, expr))
    return tuple(found)


def read_otherwise(form: Form, data: object, scope: Scope) -> Otherwise:
    """``otherwise``, or what holds without it."""
    path: Key = ("otherwise",)
    wanted = "a mapping such as {unmatched: archive}"
    given = {} if data is None else form.mapping(path, data, wanted, OTHERWISE) or {}
    default = (Target(DEAD_LETTER, form.document.place(path)),)
    absent = dict.fromkeys(scope.names - {"meta", "vars"}, _UNDECODED)
    bare = replace(scope, names=scope.names & {"meta", "vars"}, absent=absent, is_open=False)
    targets = {
        key: read_targets(
            form, (*path, key), value, bare if key == "undecodable" else scope, may_reject=key in _REJECTING
        )
        for key, value in given.items()
        if value != PASS
    }
    for key, value in given.items():
        if value == PASS and key != "invalid":
            form.fault(
                (*path, key), f"`pass` does not go with `{key}`", "only `invalid` records can go on to the rules"
            )
        if key == "undecodable" and any(target.shape for target in targets.get(key, ())):
            form.fault((*path, key), "an undecodable record has no event to shape", "should be sent as it is")
    invalid: Disposition = "pass" if given.get("invalid") == PASS else targets.get("invalid", default)
    return Otherwise(
        undecodable=targets.get("undecodable", default),
        invalid=invalid,
        error=targets.get("error", default),
        unmatched=targets.get("unmatched"),
    )
