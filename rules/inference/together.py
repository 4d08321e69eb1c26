"""What several terms ask of one thing together: whether there is anything that it could be then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Final

from rules.cel import nodes
from rules.cel.nodes import Node
from rules.cel.scope import static_path
from rules.inference.conditions import Key, Term, holds, key_of, term_of
from rules.inference.kinds import DYNAMIC, NUMBERS, Type
from rules.inference.operands import bounds
from rules.inference.walk import Scope, Walk, is_constant, is_pure


def constants(known: Type) -> frozenset[Key] | None:
    """The constants that a value of a type can be, where it can be nothing else."""
    found: set[Key] = set()
    for kind in known.kinds:
        values = known.scalar(kind).values
        if kind == "null":
            found.add(("null", None))
        elif kind == "bool":
            found |= {("bool", value) for value in (values or (True, False))}
        elif values is None or kind not in (*NUMBERS, "string"):
            return None
        else:
            keys = [key_of(value) for value in values]
            found |= {key for key in keys if key is not None}
            if None in keys:
                return None
    return frozenset(found) or None


def excludes(terms: Sequence[Term], known: Type) -> bool:
    """Whether terms about one value are never all true where it is of this type."""
    finite = constants(known)
    wanted = [term.values for term in terms if term.asks == "in"] + ([] if finite is None else [finite])
    if wanted:
        return not any(all(holds(term, value) for term in terms) for value in frozenset.intersection(*wanted))
    return _leaves_nothing(terms, known)


def _leaves_nothing(terms: Sequence[Term], known: Type) -> bool:
    """Whether there is no number of the type between the bounds of terms. Its own bounds are held against each term."""
    lows: list[tuple[float, bool]] = []
    highs: list[tuple[float, bool]] = []
    for term in terms:
        bound = term.bound if term.asks[0] in "<>" else None
        if isinstance(bound, int | float):
            is_closed = term.asks.endswith("=")
            lows += [(float(bound), not is_closed)] if term.asks[0] == ">" else []
            highs += [(float(bound), is_closed)] if term.asks[0] == "<" else []
    if not lows or not highs:
        return False
    (low, is_over), (high, is_closed) = max(lows), min(highs)
    if low >= high:
        return low > high or is_over or not is_closed
    # Of whole numbers, the least above the one bound may be above the other.
    first = low // 1 + 1 if is_over or low % 1 else low
    return bounds(known).whole and (first > high or (first == high and not is_closed))


def contradictions(walk: Walk, node: nodes.And, terms: Iterable[Node], scope: Scope) -> None:
    """Report terms of a condition that are about one thing and never all true."""
    about: dict[Node, list[tuple[Node, Term]]] = {}
    for part in terms:
        term = term_of(part)
        if is_pure(term.subject) and not is_constant(term.subject):
            about.setdefault(term.subject, []).append((part, term))
    for subject, asked in about.items():
        known = DYNAMIC if len(asked) < 2 else _type_of(walk, subject, scope)
        # What can never be by itself has been said, where it was first used.
        sound = [(part, term) for part, term in asked if not excludes([term], known)]
        if len(sound) > 1 and excludes([term for _, term in sound], known):
            _report(walk, node, _fewest(sound, known), known, scope)
            return


def _fewest(asked: list[tuple[Node, Term]], known: Type) -> list[tuple[Node, Term]]:
    """Two of them, where two are enough."""
    pairs = combinations(asked[:_MANY], 2)
    return next((list(pair) for pair in pairs if excludes([term for _, term in pair], known)), asked)


_MANY: Final = 50


def _report(walk: Walk, node: Node, asked: list[tuple[Node, Term]], known: Type, scope: Scope) -> None:
    terms = [term for _, term in asked]
    shown = [f"`{walk.shown(part, scope)}`" for part, _ in asked]
    what = f"{', '.join(shown[:-1])} and {shown[-1]} are never {'both' if len(asked) == 2 else 'all'} true"
    if not excludes(terms, DYNAMIC):
        what += f": {_always(walk.shown(terms[0].subject, scope), known)}"
    hint = "should be || between them"
    if all(term.asks == "in" and len(term.values) == 1 for term in terms) and not isinstance(terms[0].bound, bool):
        hint += ", or 'in' a list"
    if all(term.asks == "not in" for term in terms):
        walk.wrong(node, scope, what, "", "excluded")
    else:
        walk.wrong(node, scope, what, hint, "never true")


def left_out(walk: Walk, node: Node, scope: Scope) -> None:
    """Report a term that leaves out everything that there is."""
    term = term_of(node)
    if term.asks == "not in" and excludes([term], known := _type_of(walk, term.subject, scope)):
        what = f"this is never true: {_always(walk.shown(term.subject, scope), known)}"
        walk.wrong(node, scope, what, "", "excluded")


def _type_of(walk: Walk, subject: Node, scope: Scope) -> Type:
    """The type of what terms are about, where that is found at once."""
    return DYNAMIC if static_path(subject) is None else walk.silent().visit(subject, scope)


def _always(one: str, known: Type) -> str:
    finite = constants(known)
    if finite is None:
        return f"`{one}` is a whole number"
    texts = sorted(_text(kind, value) for kind, value in finite)
    last = f" or {texts[-1]}" if len(texts) > 1 else texts[-1]
    return f"`{one}` is always {', '.join(texts[:-1])}{last}"


def _text(kind: str, value: object) -> str:
    if kind == "number" and isinstance(value, float):
        return f"{value:g}"
    return repr(value) if kind == "string" else {True: "true", False: "false"}.get(value, "null")  # type: ignore[call-overload]
