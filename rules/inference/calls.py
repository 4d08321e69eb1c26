"""What functions take and give, by the annotations of their implementations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Any, Final, get_args, get_origin

from rules.cel import functions, nodes
from rules.cel.functions.network import Cidr, Ip
from rules.cel.values import CelMap, Optional
from rules.cel.values import Type as CelType
from rules.inference.kinds import (
    CLASSES,
    DYNAMIC,
    KINDS,
    NEVER,
    NUMBER,
    Kind,
    Type,
    join,
    list_of,
    map_of,
    of,
    optional_of,
)

_KINDS: Final[Mapping[type, Kind]] = {
    **CLASSES,
    list: "list",
    dict: "map",
    CelMap: "map",
    Mapping: "map",
    Optional: "optional",
    CelType: "type",
    Ip: "net.IP",
    Cidr: "net.CIDR",
}


def result(node: nodes.Call, arguments: Sequence[Type]) -> tuple[Type, str]:
    """The type of what a call gives; where no overload takes such arguments, ``NEVER``, and what they take."""
    function = functions.find(node.name, len(node.args), is_method=node.target is not None)
    if function is None:
        return DYNAMIC, ""
    made = [
        _type(annotation)
        for parameters, annotation in function.overloads()
        if function.arity == functions.ANY or _takes(node.name, parameters, arguments)
    ]
    if not made:
        return NEVER, function.signatures()
    more = _MORE.get(node.name)
    return (join(*made) if more is None else more(arguments)), ""


def _takes(name: str, parameters: Sequence[tuple[type, ...]], arguments: Sequence[Type]) -> bool:
    # What these two fall back to is computed only where it is needed.
    needed = arguments[:1] if name in ("or", "orValue") else arguments
    return all(not known.kinds.isdisjoint(_kinds(classes)) for classes, known in zip(parameters, needed, strict=False))


def _kinds(classes: tuple[type, ...]) -> frozenset[Kind]:
    found = [_KINDS.get(cls) for cls in classes]
    return KINDS if None in found else frozenset(kind for kind in found if kind is not None)


def _type(annotation: Any) -> Type:
    """The type that an annotation says."""
    if isinstance(annotation, UnionType):
        return join(*map(_type, get_args(annotation)))
    origin = get_origin(annotation) or annotation
    kind = _KINDS.get(type(None) if origin is None else origin) if isinstance(origin, type) or origin is None else None
    if kind == "list":
        return list_of(join(*map(_type, get_args(annotation))) if get_args(annotation) else DYNAMIC)
    if kind == "map":
        return map_of({}, DYNAMIC, DYNAMIC)
    if kind == "optional":
        return optional_of(DYNAMIC)
    return DYNAMIC if kind is None else of(kind)


def _or_value(arguments: Sequence[Type]) -> Type:
    return join(arguments[0].content, arguments[1])


def _same(arguments: Sequence[Type]) -> Type:
    """A list of the same elements, or a text."""
    kinds = [kind for kind in ("string", "list") if arguments[0].may_be(kind)]
    return join(*(list_of(arguments[0].element) if kind == "list" else of("string") for kind in kinds))


def _sum(arguments: Sequence[Type]) -> Type:
    kinds = arguments[0].element.kinds
    return of("int") if kinds <= {"int"} else of("int", "uint", "double") if kinds <= NUMBER.kinds else DYNAMIC


_TEXT: Final = of("string")
_URL: Final = {
    **dict.fromkeys(("scheme", "user", "host", "path", "fragment"), _TEXT),
    "port": of("int"),
    "query": map_of({}, _TEXT),
    "queries": map_of({}, list_of(_TEXT)),
}

# What the annotations do not say.
_MORE: Final[Mapping[str, Callable[[Sequence[Type]], Type]]] = {
    "orValue": _or_value,
    "value": lambda arguments: arguments[0].content,
    "optional.of": lambda arguments: optional_of(arguments[0]),
    "optional.ofNonZeroValue": lambda arguments: optional_of(arguments[0]),
    "first": lambda arguments: optional_of(arguments[0].element),
    "last": lambda arguments: optional_of(arguments[0].element),
    "sum": _sum,
    "slice": _same,
    "reverse": _same,
    "distinct": _same,
    "sort": _same,
    "url.parse": lambda _: map_of(_URL),
    "math.greatest": lambda _: of("int", "uint", "double"),
    "math.least": lambda _: of("int", "uint", "double"),
    "math.abs": lambda arguments: of(*(NUMBER.kinds & arguments[0].kinds)),
    "math.sign": lambda arguments: of(*(NUMBER.kinds & arguments[0].kinds)),
}
