"""Where functions are kept: by name, by whether they are methods, and by the number of their arguments.

An implementation is a plain Python function, and its annotations are its CEL signature: ``str`` takes a string and
nothing else, ``int | UInt`` takes either, ``object`` takes any value. Several implementations of one name are its
overloads. So the modules beside this one do without ``from __future__ import annotations``. A first parameter of the
type ``Surroundings`` is no argument: the function looks around there.
"""

import functools
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar, get_args, get_origin

from rules.cel import nodes
from rules.cel.errors import CelError
from rules.cel.surroundings import NOWHERE, Surroundings
from rules.cel.values import CelMap, Opaque, UInt, type_name

# For annotations: to Python a float would do for all three, and to CEL it would not.
Number: TypeAlias = int | UInt | float

Implementation = Callable[..., object]
_Decorated = TypeVar("_Decorated", bound=Implementation)

# The arity of a function that takes any number of arguments, one at least.
ANY: Final = -1

_CLASS_NAMES: Final = {
    "NoneType": "null",
    "UInt": "uint",
    "float": "double",
    "str": "string",
    "dict": "map",
    "CelMap": "map",
    "Mapping": "map",
    "Timestamp": "timestamp",
    "Duration": "duration",
    "Optional": "optional",
    "Type": "type",
    "object": "any value",
}


class Function:
    """All overloads of one function with one number of arguments. Call it with the values, a method's target first."""

    __slots__ = ("_by_classes", "_overloads", "arity", "is_method", "looks_around", "name", "pure")

    def __init__(self, name: str, arity: int, *, is_method: bool) -> None:
        self.name = name
        self.is_method = is_method
        self.arity = arity
        self.pure = True
        self.looks_around = False
        self._overloads: list[tuple[tuple[tuple[type, ...], ...], Implementation]] = []
        self._by_classes: dict[tuple[type, ...], Implementation] = {}

    def __call__(self, *values: object) -> object:
        """The function's value; a CelError where no overload takes these types, or where it fails."""
        implementation = self._by_classes.get(tuple(map(type, values))) or self._choose(values)
        try:
            return implementation(*values)
        except (ValueError, ArithmeticError) as error:
            raise CelError(f"{self.name}(): {error}") from error

    def add(self, implementation: Implementation, *, pure: bool) -> None:
        """Take an overload, by its annotations."""
        annotations = [annotation for name, annotation in implementation.__annotations__.items() if name != "return"]
        if annotations[:1] == [Surroundings]:
            self.looks_around = True
            del annotations[0]
            implementation = _around(implementation, NOWHERE)
        self._overloads.append((tuple(map(_classes, annotations)), implementation))
        self.pure = self.pure and pure

    @property
    def implementations(self) -> list[Implementation]:
        """Its overloads."""
        return [inspect.unwrap(implementation) for _, implementation in self._overloads]

    @property
    def returns(self) -> str:
        """What the overloads give, in CEL's words."""
        found = [_classes(implementation.__annotations__["return"]) for implementation in self.implementations]
        return "|".join(dict.fromkeys(_class_name(cls) for classes in found for cls in classes))

    def within(self, around: Surroundings) -> "Function":
        """The same function, all of whose overloads look around there."""
        made = Function(self.name, self.arity, is_method=self.is_method)
        made.pure = self.pure
        made._overloads = [(classes, _around(run, around)) for classes, run in self._overloads]
        return made

    def _choose(self, values: tuple[object, ...]) -> Implementation:
        for parameters, implementation in self._overloads:
            if self.arity == ANY or all(map(_takes, parameters, values)):
                self._by_classes[tuple(map(type, values))] = implementation
                return implementation
        given = ", ".join(map(type_name, values))
        raise CelError(f"{self.name}() does not take ({given}): it takes {self.signatures()}")

    def overloads(self) -> list[tuple[tuple[tuple[type, ...], ...], Any]]:
        """Of each overload, the classes that its parameters take, and the annotation of what it gives."""
        return [
            (parameters, implementation.__annotations__.get("return", object))
            for parameters, implementation in self._overloads
        ]

    def signatures(self) -> str:
        """What the overloads take, in CEL's words; a method's target is the first."""
        return " or ".join(
            f"({', '.join('|'.join(dict.fromkeys(map(_class_name, p))) for p in parameters)})"
            for parameters, _ in self._overloads
        )


def _around(implementation: Implementation, around: Surroundings) -> Implementation:
    """An implementation that looks around there, whether it looked around elsewhere before or not."""
    run = inspect.unwrap(implementation)
    return functools.update_wrapper(functools.partial(run, around), run)


def _classes(annotation: Any) -> tuple[type, ...]:  # annotations are anything at all
    if isinstance(annotation, types.UnionType):
        return tuple(cls for part in get_args(annotation) for cls in _classes(part))
    if annotation is None:
        return (type(None),)
    cls: type = get_origin(annotation) or annotation
    return (dict, CelMap, Mapping) if cls is Mapping else (cls,)


def _takes(classes: tuple[type, ...], value: object) -> bool:
    kind = type(value)
    if kind in classes or object in classes:
        return True
    # Exactness matters, since a bool is an int to Python; the two open families are the exception.
    return (Mapping in classes and isinstance(value, Mapping)) or (
        isinstance(value, Opaque) and any(issubclass(kind, cls) for cls in classes)
    )


def _class_name(cls: type) -> str:
    if issubclass(cls, Opaque) and cls is not Opaque:
        return cls.cel_type.name
    return _CLASS_NAMES.get(cls.__name__, cls.__name__)


_FUNCTIONS: Final[dict[tuple[str, bool, int], Function]] = {}
_NAMES: Final[dict[tuple[str, bool], list[int]]] = {}
_NAMESPACES: Final[set[str]] = set()


def _register(name: str, implementation: Implementation, *, is_method: bool, arity: int | None, pure: bool) -> None:
    if arity is None:
        arguments = [annotation for annotation in implementation.__annotations__.values() if annotation != Surroundings]
        arity = len(arguments) - 1 - is_method
    key = (name, is_method, arity)
    if key not in _FUNCTIONS:
        _FUNCTIONS[key] = Function(name, arity, is_method=is_method)
        _NAMES.setdefault((name, is_method), []).append(arity)
        if "." in name:
            _NAMESPACES.add(name.rpartition(".")[0])
    _FUNCTIONS[key].add(implementation, pure=pure)


def function(name: str, *, arity: int | None = None, pure: bool = True) -> Callable[[_Decorated], _Decorated]:
    """Register an overload of ``name(...)``. ``pure=False`` where equal arguments do not give equal values."""

    def decorate(implementation: _Decorated) -> _Decorated:
        _register(name, implementation, is_method=False, arity=arity, pure=pure)
        return implementation

    return decorate


def method(name: str) -> Callable[[_Decorated], _Decorated]:
    """Register an overload of ``target.name(...)``; the first parameter is the target."""

    def decorate(implementation: _Decorated) -> _Decorated:
        _register(name, implementation, is_method=True, arity=None, pure=True)
        return implementation

    return decorate


def find(name: str, count: int, *, is_method: bool) -> Function | None:
    """The function that takes so many arguments (a method's target not counted)."""
    return _FUNCTIONS.get((name, is_method, count)) or (_FUNCTIONS.get((name, is_method, ANY)) if count else None)


def every() -> list[Function]:
    """All functions and methods, in the order in which they were registered."""
    return list(_FUNCTIONS.values())


def called(node: nodes.Call) -> Function | None:
    """The function that a node calls."""
    return node.bound or find(node.name, len(node.args), is_method=node.target is not None)


def arities(name: str, *, is_method: bool) -> list[int]:
    """How many arguments the functions of that name take; empty where there is none."""
    return sorted(_NAMES.get((name, is_method), ()))


def is_namespace(name: str) -> bool:
    """Whether functions are named ``name.something``."""
    return name in _NAMESPACES


def names(*, is_method: bool) -> list[str]:
    """The names of all functions, or of all methods."""
    return [name for name, of_method in _NAMES if of_method is is_method]
