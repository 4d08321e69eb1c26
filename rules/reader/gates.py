"""The gates of a rule: ``sample``, ``throttle`` and ``dedupe``."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from rules.document import Key
from rules.flow import DROP, ENDS, Dedupe, Expr, Gate, Sample, Target, Throttle
from rules.form import Form
from rules.quantities import rate, share, span
from rules.reader.targets import read_target
from rules.reader.values import Scope, read_expr

GATES: Final = ("sample", "throttle", "dedupe")
NEXT: Final = "next"
"""In the place of a target: the next rule."""
MOST_KEYS: Final = 1_000_000
"""Keys that a gate holds, unless it says otherwise."""
_SHARE: Final = "more than 0% and at most 100%, such as 10% or 0.1"
_RATE: Final = "a rate such as 100/s, 600/m or 10/h"
_SPAN: Final = "a duration such as 30s, 10m or 24h"
_HELD: Final = "`drop`, `next` or one target"

T = TypeVar("T")


def read_gates(form: Form, rule: Key, mapping: Mapping[str, object], scope: Scope) -> tuple[Gate, ...]:
    """The gates of a rule, in the order in which they are written."""
    found = [_READERS[kind](form, (*rule, kind), mapping[kind], scope) for kind in mapping if kind in GATES]
    return tuple(gate for gate in found if gate is not None)


def lets_on(rule: Mapping[str, object]) -> bool:
    """Whether a rule, as it is written, has a gate from which records go on to the next."""
    gates = [rule[kind] for kind in GATES if kind in rule]
    return any(isinstance(gate, Mapping) and gate.get("else") == NEXT for gate in gates)


def check_gates(form: Form, rule: Key, mapping: Mapping[str, object], gates: tuple[Gate, ...]) -> None:
    """What is wrong with gates in the rule that they stand in. ``mapping`` is the whole rule."""
    for gate in gates:
        path: Key = (*rule, gate.kind)
        at = (*path, "else") if form.document.node((*path, "else")) is not None else path
        if "to" not in mapping and gate.held is None and not any(key in mapping for key in ("set", "unset", "emit")):
            hint = f"should be `drop` or a target: what passes goes on to the next rule, too, so `{NEXT}` holds nothing"
            form.fault(at, f"this `{gate.kind}` does nothing", hint)
        if mapping.get("continue") is True and gate.held is not None and gate.held.sink == DROP:
            hint = f"what is dropped does not go on; should have `else: {NEXT}` or a target"
            form.fault(at, f"`continue` with a `{gate.kind}` that drops what it holds", hint)
        if isinstance(gate, Dedupe) and "to" in mapping and _delivers_nothing(mapping["to"]):
            hint = "a key is remembered once its record is delivered; should have a sink in `to`"
            form.key_fault(path, "`dedupe` in a rule that delivers nothing", hint)


def _delivers_nothing(to: object) -> bool:
    return all(target in ENDS for target in (to if isinstance(to, list) else [to]) if isinstance(target, str)) and not (
        isinstance(to, Mapping) or (isinstance(to, list) and any(isinstance(target, Mapping) for target in to))
    )


def _sample(form: Form, path: Key, data: object, scope: Scope) -> Gate | None:
    parts = form.mapping(path, data, "a mapping such as {ratio: 10%, key: event.id}", ("ratio", "key", "else"))
    if parts is None:
        return None
    ratio = _quantity(form, path, parts, "ratio", share, _SHARE)
    key, held = _key(form, path, parts, "key", scope), _held(form, path, parts, scope)
    if ratio is None or ("key" in parts and key is None):
        return None
    return Sample(place=form.document.place(path), key=key, held=held, ratio=ratio)


def _throttle(form: Form, path: Key, data: object, scope: Scope) -> Gate | None:
    wanted = "a mapping such as {rate: 100/s, per: event.tenant}"
    parts = form.mapping(path, data, wanted, ("rate", "burst", "per", "max_keys", "else"))
    if parts is None:
        return None
    pace = _quantity(form, path, parts, "rate", rate, _RATE)
    burst = _whole(form, path, parts, "burst", 0 if pace is None else max(1, math.ceil(pace[0])))
    most = _whole(form, path, parts, "max_keys", MOST_KEYS)
    key, held = _key(form, path, parts, "per", scope), _held(form, path, parts, scope)
    if pace is None or burst is None or most is None or ("per" in parts and key is None):
        return None
    place = form.document.place(path)
    return Throttle(place=place, key=key, held=held, count=pace[0], nanos=pace[1], burst=burst, max_keys=most)


def _dedupe(form: Form, path: Key, data: object, scope: Scope) -> Gate | None:
    wanted = "a mapping such as {key: event.id, within: 10m}"
    parts = form.mapping(path, data, wanted, ("key", "within", "persist", "max_keys", "else"))
    if parts is None:
        return None
    if "key" not in parts:
        form.missing(path, "key", "a CEL expression such as event.id")
    within = _quantity(form, path, parts, "within", span, _SPAN)
    most = _whole(form, path, parts, "max_keys", MOST_KEYS)
    persist = form.flag((*path, "persist"), parts["persist"]) if "persist" in parts else False
    key, held = _key(form, path, parts, "key", scope), _held(form, path, parts, scope)
    if key is None or within is None or most is None or persist is None:
        return None
    return Dedupe(
        place=form.document.place(path),
        key=key,
        held=held,
        within=within,
        persist=persist,
        max_keys=most,
        identity=_identity(form, key),
    )


_READERS: Final[Mapping[str, Callable[[Form, Key, object, Scope], Gate | None]]] = {
    "sample": _sample,
    "throttle": _throttle,
    "dedupe": _dedupe,
}


def _quantity(
    form: Form, path: Key, parts: Mapping[str, object], name: str, read: Callable[[object], T], wanted: str
) -> T | None:
    if name not in parts:
        form.missing(path, name, wanted)
        return None
    here = (*path, name)
    try:
        return read(parts[name])
    except ValueError:
        written = form.document.source(here).strip()
        form.fault(here, f"`{name}` is {written or 'empty'}", f"should be {wanted}")
        return None


def _whole(form: Form, path: Key, parts: Mapping[str, object], name: str, default: int) -> int | None:
    data = parts.get(name, default)
    if isinstance(data, int) and not isinstance(data, bool) and (data > 0 or name not in parts):
        return data
    written = form.document.source((*path, name)).strip()
    form.fault((*path, name), f"`{name}` is {written or 'empty'}", "should be a whole number, 1 or more")
    return None


def _key(form: Form, path: Key, parts: Mapping[str, object], name: str, scope: Scope) -> Expr | None:
    if name not in parts:
        return None
    expr = read_expr(form, (*path, name), parts[name], scope)
    if expr is not None and not expr.cel.variables:
        form.fault((*path, name), f"`{name}` is the same for every record", "should be like event.id")
        return None
    return expr


def _held(form: Form, path: Key, parts: Mapping[str, object], scope: Scope) -> Target | None:
    """Where what does not pass goes; None for on to the next rule."""
    here: Key = (*path, "else")
    if "else" not in parts:
        return Target(DROP, form.document.place(path))
    if parts["else"] == NEXT:
        return None
    # What is wrong is a fault by now; where the record would go is of no consequence then.
    return read_target(form, here, parts["else"], scope, _HELD) or Target(DROP, form.document.place(here))


def _identity(form: Form, key: Expr) -> str:
    """The same for two expressions that are written the same, with all that they name under ``let``."""
    data = form.document.data
    lets = data.get("let") if isinstance(data, Mapping) else None
    named = {str(name): str(text) for name, text in lets.items()} if isinstance(lets, Mapping) else {}
    texts, names = [key.cel.text], set(key.cel.variables)
    for name, text in sorted(named.items()):  # all of them, where any is used: they may use each other
        if names & named.keys():
            texts.append(f"{name}: {text}")
    return hashlib.sha256("\n".join(texts).encode(errors="surrogatepass")).hexdigest()[:16]
