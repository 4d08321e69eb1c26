"""The macros that go over lists and maps: ``all exists exists_one map filter``, and those of two variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from rules.cel import nodes
from rules.cel.errors import CelError, worse
from rules.cel.values import NONE, Optional, a_type, in_order, make_map, normal

Run = Callable[[Mapping[str, object]], object]
Scopes = Iterator[dict[str, object]]
_Loop = Callable[[Scopes, tuple[Run, ...]], object]

# How many elements macros inside macros may visit in one evaluation, and all lists that macros make may hold. The
# outermost visits what the record holds.
MAX_STEPS: Final = 1_000_000
# Kept among the bindings, under what is no name.
_STEPS: Final = "#steps"
# The first variable's value once more, under a name that the loops know.
_KEY: Final = "#key"


def build(node: nodes.Macro, target: Run, bodies: tuple[Run, ...]) -> Run:
    """The closure of a macro, of its target's closure and those of its bodies."""
    name, variables = node.name, node.variables
    if name in _OPTIONALS:
        return _optional(name, variables[0], target, bodies[0])
    loop = _LOOPS[name]
    shown = node.name

    def run(bindings: Mapping[str, object]) -> object:
        container = target(bindings)
        if not isinstance(container, list | Mapping):
            raise CelError(f"{shown}() goes over a list or a map, not over {a_type(container)}")
        return loop(_scopes(bindings, container, variables), bodies)

    return run


def _scopes(
    bindings: Mapping[str, object], container: Sequence[object] | Mapping[object, object], variables: tuple[str, ...]
) -> Scopes:
    """The bindings inside a macro, for each element: one dict that changes, since nothing keeps it."""
    scope = dict(bindings)
    first, second = variables[0], variables[-1]
    if _STEPS in scope:
        _count(scope, len(container))
    else:
        scope[_STEPS] = [MAX_STEPS]
    if isinstance(container, Mapping):
        pairs: Iterable[tuple[object, object]] = container.items()
    else:
        pairs = enumerate(container)
    if len(variables) == 1:
        pairs = ((element, element) for element in container)
    for key, element in pairs:
        scope[first] = scope[_KEY] = normal(key)
        scope[second] = normal(element)
        yield scope


def _count(scope: Mapping[str, object], elements: int) -> None:
    steps = scope[_STEPS]
    if isinstance(steps, list):
        steps[0] -= elements
        if steps[0] < 0:
            raise CelError(f"macros inside macros visit more than {MAX_STEPS:,} elements, or make as many")


def _made(value: Run, scope: Mapping[str, object]) -> object:
    """What a body makes of an element. What is in its lists counts, since all of them are kept."""
    made = value(scope)
    if type(made) is list:
        _count(scope, len(made))
    return made


def _truth(value: object) -> bool:
    if type(value) is bool:
        return value
    raise CelError(f"the condition of a macro is a bool, not {a_type(value)}")


def _quantifier(*, deciding: bool) -> _Loop:
    """``exists`` or ``all``: an element that decides makes the failures of the others void."""

    def loop(scopes: Scopes, bodies: tuple[Run, ...]) -> object:
        (condition,) = bodies
        failure: CelError | None = None
        try:
            for scope in scopes:
                try:
                    if _truth(condition(scope)) is deciding:
                        return deciding
                except CelError as error:
                    failure = worse(failure, error)
            if failure is not None:
                raise failure
            return not deciding
        finally:
            failure = None  # else it and this frame would hold one another, for the collector to find

    return loop


def _exists_one(scopes: Scopes, bodies: tuple[Run, ...]) -> object:
    (condition,) = bodies
    return sum(_truth(condition(scope)) for scope in scopes) == 1


def _chosen(scopes: Scopes, bodies: tuple[Run, ...]) -> Scopes:
    """The scopes that the filter among two bodies lets through."""
    if len(bodies) == 1:
        return scopes
    condition = bodies[0]
    return (scope for scope in scopes if _truth(condition(scope)))


def _map(scopes: Scopes, bodies: tuple[Run, ...]) -> object:
    value = bodies[-1]
    return [_made(value, scope) for scope in _chosen(scopes, bodies)]


def _filter(scopes: Scopes, bodies: tuple[Run, ...]) -> object:
    (condition,) = bodies
    return [scope[_KEY] for scope in scopes if _truth(condition(scope))]


def _sort_by(scopes: Scopes, bodies: tuple[Run, ...]) -> object:
    (value,) = bodies
    pairs = [(_made(value, scope), scope[_KEY]) for scope in scopes]
    return [pairs[place][1] for place in in_order("sortBy", [by for by, _ in pairs])]


def _transform_map(scopes: Scopes, bodies: tuple[Run, ...]) -> object:
    value = bodies[-1]
    return make_map([(scope[_KEY], _made(value, scope)) for scope in _chosen(scopes, bodies)])


def _transform_map_entry(scopes: Scopes, bodies: tuple[Run, ...]) -> object:
    entry = bodies[-1]
    entries: list[tuple[object, object]] = []
    for scope in _chosen(scopes, bodies):
        made = entry(scope)
        if not isinstance(made, Mapping):
            raise CelError(f"transformMapEntry() makes entries, {{key: value}}, not {a_type(made)}")
        entries += made.items()
    return make_map(entries)


_LOOPS: Final[Mapping[str, _Loop]] = {
    "all": _quantifier(deciding=False),
    "exists": _quantifier(deciding=True),
    "exists_one": _exists_one,
    "existsOne": _exists_one,
    "map": _map,
    "filter": _filter,
    "sortBy": _sort_by,
    "transformList": _map,
    "transformMap": _transform_map,
    "transformMapEntry": _transform_map_entry,
}
_OPTIONALS: Final = frozenset({"optMap", "optFlatMap"})


def _optional(name: str, variable: str, target: Run, body: Run) -> Run:
    """``optional.optMap(x, value)`` and ``optional.optFlatMap(x, optional)``."""

    def run(bindings: Mapping[str, object]) -> object:
        value = target(bindings)
        if not isinstance(value, Optional):
            raise CelError(f"{name}() is a method of optionals, not of {a_type(value)}")
        if not value.present:
            return NONE
        made = body({**bindings, variable: value.content})
        if name == "optMap":
            return Optional(made)
        if not isinstance(made, Optional):
            raise CelError(f"optFlatMap() makes an optional, not {a_type(made)}: use optMap()")
        return made

    return run
