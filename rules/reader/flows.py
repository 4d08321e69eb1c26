"""A whole rules file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from pathlib import PurePath

from msgspec.structs import replace

from rules.document import Key, load
from rules.faults import Fault, Place, Refused
from rules.flow import ROOTS, Contract, Expr, Flow
from rules.form import Form
from rules.lets import Lets
from rules.reader.contracts import ReadFile, read_contract
from rules.reader.decisions import RULE, are_targets_readable, is_variable, read_otherwise, read_rules
from rules.reader.examples import read_tests
from rules.reader.gates import lets_on
from rules.reader.values import Scope, expressions, read_expr

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
FLOW = ("flow", "from", "contract", "let", "rules", "otherwise", "tests")


def read_flow(
    text: str | bytes,
    file: str,
    read_file: ReadFile,
    variables: Mapping[str, object] | None = None,
    declared: Mapping[str, Collection[str]] | None = None,
) -> tuple[Flow | None, list[Fault]]:
    """Read a rules file's text.

    ``file`` is what places call it. ``read_file`` is called with the name of a schema file as it is written in the
    rules file, and gives its bytes or raises OSError. ``variables`` are the `vars` of the daemon's file as they are
    written; None where they are not known. ``declared`` are the names under its `tables` and `secrets`, where they are
    known. Every fault comes back, in the order of their places; with any of them, the flow is what could be made of
    the rest, or None.
    """
    document, faults = load(text, file, FLOW)
    if document is None:
        return None, faults
    form = Form(document)
    flow = _flow(form, file, read_file, Scope(vars=variables, declared=declared or {}))
    # What is wrong with the beginning of a value that YAML broke follows from that.
    return flow, sorted({*faults, *(fault for fault in form.faults if fault.place not in document.mended)})


def _flow(form: Form, file: str, read_file: ReadFile, outside: Scope) -> Flow | None:
    mapping = form.mapping((), form.document.data, "a mapping with `from` and `rules`", FLOW)
    if mapping is None:
        return None
    name = form.name(("flow",), mapping["flow"], "the flow's name") if "flow" in mapping else None
    sources = _sources(form, mapping)
    scope, lets = _lets(form, mapping, outside)
    contract, raw = Contract(), b""
    if "contract" in mapping:
        contract, raw = read_contract(form, mapping["contract"], scope, read_file)
    rules = read_rules(form, mapping["rules"], scope) if "rules" in mapping else ()
    otherwise = read_otherwise(form, mapping.get("otherwise"), scope)
    _check_rest(form, mapping)
    names = [source for source, _ in sources]
    tests = read_tests(form, mapping["tests"], names) if "tests" in mapping else ()
    if not _are_targets_known(form, mapping):
        tests = ()  # which may name a sink that could not be read
    flow = Flow(
        name=name or PurePath(file).stem,
        place=form.document.place(("flow",)),
        sources=sources,
        contract=contract,
        lets=lets,
        rules=rules,
        otherwise=otherwise,
        tests=tests,
        version="",
    )
    read = _vars_read(flow, outside.vars or {})
    return replace(flow, vars=read, version=_version(form.document.data, raw, read))


def _sources(form: Form, mapping: Mapping[str, object]) -> tuple[tuple[str, Place], ...]:
    wanted = "a source's name, or a list of them"
    if "from" not in mapping:
        form.missing((), "from", wanted)
        return ()
    data = mapping["from"]
    if not isinstance(data, list):
        name = form.name(("from",), data, wanted)
        return () if name is None else ((name, form.document.place(("from",))),)
    found: dict[str, Place] = {}
    for index, item in enumerate(form.sequence(("from",), data, wanted) or ()):
        name = form.name(("from", index), item, "a source's name")
        if name is not None and name in found:
            form.fault(("from", index), f"`{name}` stands twice in `from`")
        elif name is not None:
            found[name] = form.document.place(("from", index))
    return tuple(found.items())


def _lets(form: Form, flow: Mapping[str, object], outside: Scope) -> tuple[Scope, Mapping[str, Expr]]:
    """The named expressions, in any order. Each may use the others, but not itself by way of them."""
    data = flow.get("let", {})
    mapping = form.mapping(("let",), data, "a mapping of names to CEL expressions, such as {big: event.amount > 500.0}")
    names = set()
    for name in mapping or {}:
        if name in ROOTS:
            form.key_fault(("let", name), f"`{name}` means something already", "should be another name")
        elif not is_variable(name):
            hint = "should be letters, digits and _, such as is_big, and no word of CEL"
            form.key_fault(("let", name), f"`{name}` cannot be used in an expression", hint)
            names.update(_WORD.findall(name))  # where it is used all the same, that is no further fault
        else:
            names.add(name)
    is_misspelt = "let" not in flow and _has_unknown_keys(form, flow)
    is_open = mapping is None or is_misspelt or form.document.is_cut(("let",))
    scope = replace(outside, names=ROOTS | names, is_open=is_open)
    read = {name: read_expr(form, ("let", name), value, scope) for name, value in (mapping or {}).items()}
    lets = {name: expr for name, expr in read.items() if expr is not None}
    try:
        Lets(lets)
    except Refused as refused:
        form.faults.extend(refused.faults)
    return scope, lets


def _check_rest(form: Form, mapping: Mapping[str, object]) -> None:
    """What happens to the records that no rule takes must be said."""
    otherwise = mapping.get("otherwise")
    if form.document.is_cut(()) or (isinstance(otherwise, Mapping) and "unmatched" in otherwise):
        return
    items = mapping.get("rules")
    path: Key = ()
    if "rules" in mapping:
        if not isinstance(items, list) or not items or not isinstance(items[-1], Mapping):
            return  # which is a fault already
        if not items[-1].keys() <= set(RULE) or any(map(_takes_all, items)):
            return
        path = ("rules", len(items) - 1)
        if form.document.is_cut(path) or form.document.is_cut(("rules",)):
            return
    what = "what happens to records that no rule takes is not said"
    form.fault(path, what, "should end with a rule without `when`, or say `otherwise: {unmatched: ...}`")


def _takes_all(rule: object) -> bool:
    return isinstance(rule, Mapping) and "to" in rule and "when" not in rule and not lets_on(rule)


def _has_unknown_keys(form: Form, mapping: Mapping[str, object]) -> bool:
    """Whether the file has more keys than ``mapping``, of which one may be meant for another."""
    return form.document.root.entries.keys() != mapping.keys()


def _are_targets_known(form: Form, mapping: Mapping[str, object]) -> bool:
    """Whether every sink that the flow sends to could be read."""
    if form.document.is_cut(()) or _has_unknown_keys(form, mapping):
        return False
    return are_targets_readable(form, mapping.get("rules"), mapping.get("otherwise"))


def _vars_read(flow: Flow, variables: Mapping[str, object]) -> Mapping[str, object]:
    """Those that an expression of the flow reads; all, where it is not known which."""
    paths = {path for expr in expressions(flow) if "vars" in expr.cel.variables for path in expr.cel.references}
    if ("vars",) in paths:
        return variables
    names = {path[1] for path in paths if path[0] == "vars"}
    return {name: value for name, value in variables.items() if name in names}


def _version(data: object, schema: bytes, variables: Mapping[str, object]) -> str:
    said = [data, variables] if variables else data
    meaning = json.dumps(said, ensure_ascii=True, separators=(",", ":")).encode()
    return hashlib.sha256(b"%d\n%b\n%b" % (len(meaning), meaning, schema)).hexdigest()[:12]
