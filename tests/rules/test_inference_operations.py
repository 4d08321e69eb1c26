"""What operators and functions do with values of every kind is what their types say that they do."""

from __future__ import annotations

import itertools

import pytest

from rules import cel
from rules.cel import functions, nodes
from rules.cel.evaluator import evaluator
from rules.cel.functions import registry
from rules.cel.nodes import Node
from rules.cel.values import Optional, Type, UInt, type_of
from rules.inference import operands
from rules.inference.calls import result
from rules.inference.kinds import NEVER, join, list_of, map_of, of, of_value, optional_of, widened
from rules.inference.kinds import Type as Known
from rules.inference.words import likely

VALUES: dict[str, list[object]] = {
    "null": [None],
    "bool": [True],
    "int": [3, 0],
    "uint": [UInt(2)],
    "double": [1.5, -2.0],
    "string": ["x", "1", "2026-01-31T12:00:00Z", "10.0.0.1", "10.0.0.0/8", "1h", "UTC", "%Y"],
    "bytes": [b"x"],
    "timestamp": [cel.Timestamp(5)],
    "duration": [cel.Duration(5)],
    "type": [Type("int")],
    "list": [[1, 2], ["a", "b"], []],
    "map": [{"a": 1}],
    "optional": [Optional(1)],
}
WORDS = {"null_type": "null", "google.protobuf.Timestamp": "timestamp", "google.protobuf.Duration": "duration"}
WORDS["optional_type"] = "optional"
SAMPLES = [(kind, value) for kind, values in VALUES.items() for value in values]


def known(kind: str, value: object) -> Known:
    """The type of a value, as wide as its kind."""
    found = widened(of_value(value))
    return of(kind) if found.is_dynamic else found  # type: ignore[arg-type]  # the kinds of the table


def is_of(value: object, type_: Known) -> bool:
    name = type_of(value).name
    return type_.may_be(WORDS.get(name, name))  # type: ignore[arg-type]  # one of the kinds


def outcome(node: Node, *values: object) -> object:
    """What a node gives for its variables; a CelError as it is."""
    try:
        return evaluator(node)({f"v{number}": value for number, value in enumerate(values)})
    except cel.CelError as error:
        return error


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/", "%", "<", ">=", "==", "in"])
def test_an_operator_is_said_to_fail_only_where_it_does_and_to_make_what_it_makes(symbol: str) -> None:
    node = nodes.Binary(symbol, nodes.Ident("v0"), nodes.Ident("v1"))
    for (one, left), (other, right) in itertools.product(SAMPLES, repeat=2):
        types = known(one, left), known(other, right)
        made = outcome(node, left, right)
        if symbol == "==":
            assert not (operands.never_equal(*types) and made is True)
        elif symbol in ("<", ">="):
            assert operands.has_order(*types) == (not isinstance(made, cel.CelError)), (left, right)
        elif symbol != "in":
            found = operands.arithmetic(symbol, *types, promotes=True)
            if found == NEVER or not isinstance(made, cel.CelError):
                assert found == NEVER if isinstance(made, cel.CelError) else is_of(made, found), (left, symbol, right)


def every_function() -> list[tuple[str, bool, int]]:
    return [
        (name, is_method, 2 if arity == functions.ANY else arity)
        for is_method in (False, True)
        for name in registry.names(is_method=is_method)
        for arity in registry.arities(name, is_method=is_method)
        if arity + is_method < 3
    ]


@pytest.mark.parametrize(("name", "is_method", "arity"), every_function())
def test_a_function_is_said_to_take_and_to_give_what_it_does(name: str, is_method: bool, arity: int) -> None:
    """``lists.range`` of everything is not asked for: its numbers here are small."""
    count = arity + is_method
    idents = tuple(nodes.Ident(f"v{number}") for number in range(count))
    node = nodes.Call(name, idents[0] if is_method else None, idents[1:] if is_method else idents)
    for samples in itertools.product(SAMPLES, repeat=count):
        types = [known(kind, value) for kind, value in samples]
        found, signatures = result(node, types)
        made = outcome(node, *(value for _, value in samples))
        if signatures:
            assert isinstance(made, cel.CelError), (samples, made)
        elif not isinstance(made, cel.CelError):
            assert is_of(made, found), (samples, made, found)


def test_what_is_one_of_two_has_the_fields_of_either_and_is_open_if_one_is() -> None:
    closed, opened = map_of({"a": of("int")}), map_of({"b": of("string")}, of("bool"))
    both = join(closed, opened).map
    assert both.field("a") == of("int", "bool")
    assert both.field("b") == of("string")
    assert both.field("c") == of("bool")
    assert join(closed, map_of({"b": of("int")})).map.field("c") == NEVER
    assert join(list_of(of("int")), list_of(of("string"))).element == of("int", "string")
    assert join(optional_of(of("int")), of("null")).content == of("int")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(("amuont", "amount"), ("ammount", "amount"), ("userId", "user_id"), ("contry", "country"), ("Type", "type")),
        *(("line2", None), ("ip", None), ("last_name", None), ("count", None), ("total", None)),
    ],
)
def test_a_name_is_taken_for_misspelt_only_where_it_almost_is_another(name: str, meant: str | None) -> None:
    assert likely(name, ["id", "amount", "user_id", "country", "type", "line1", "first_name"]) == meant
