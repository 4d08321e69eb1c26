"""What expressions give: values, errors and missings, exactly."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import cel
from rules.cel import CelError, CelMissing, UInt, to_json
from rules.cel.evaluator import evaluator
from rules.cel.parser import parse
from rules.cel.values import CelMap, equal, type_of

EVENT = {
    "amount": 5,
    "price": 2.5,
    "name": "Ann",
    "user": {"plan": "pro", "email": None},
    "items": [{"p": 1}, {"p": 2.5}, {}],
    "tags": ["a", "b"],
    "big": 2**63,
    "huge": 10**30,
    "none": None,
}


def value(text: str) -> object:
    return cel.compile(text).evaluate({"event": EVENT})


def typed(text: str) -> tuple[str, object]:
    result = value(text)
    return str(type_of(result)), result


@pytest.mark.parametrize(
    "text",
    [
        "event.absent",
        "event.user.absent",
        "event['absent']",
        "event.items[3]",
        "event.none.field",
        "event.none['field']",
        "event.name.field",
        "event.items.field",
        "event.amount[0]",
        "has(event.name.field)",
        "has(event.absent.field)",
        "event.absent == null",
        "event.absent && true",
        "event.absent || event.user.absent",
        "event.items.all(i, i.p > 0)",
        "event.none.?field",
    ],
)
def test_a_selection_that_finds_nothing_is_a_missing(text: str) -> None:
    with pytest.raises(CelMissing):
        value(text)


@pytest.mark.parametrize(
    "text",
    [
        "absent",
        "event.items[-1]",
        "event.items[0.5]",
        "event.items[true]",
        "event.amount + event.name",
        "event.amount + true",
        "event.name * 2",
        "1 + 1.0",
        "1 + 1u",
        "[1, 2].map(x, x * 1.5)",
        "double(event.amount) * 2",
        "event.amount > event.name",
        "[1] < [2]",
        "null < null",
        "9223372036854775807 + 1",
        "-(-9223372036854775808)",
        "-9223372036854775808 / -1",
        "-9223372036854775808 % -1",
        "0u - 1u",
        "1 / 0",
        "1 % 0",
        "1.5 % 1.0",
        "-1u",
        "!1",
        "!event.absent || 1 / 0 == 1",
        "event.absent && 1 / 0 == 1",
        "1 / 0 == 1 && event.absent",
        "event.items.exists(i, i.p / 0 == 1)",
        "event.amount ? 1 : 2",
        "event.absent ? 1 : 1",
        "event.amount && true",
        "event.tags.filter(t, t)",
        "event.amount.map(x, x)",
        "'a' in 'abc'",
        "null in {'a': 1}",
        "{1: 'a', 1u: 'b'}",
        "{1.0: 'a'}",
        "[?1]",
        "event.tags.exists_one(t, 1 / 0 == 1)",
        "int('1_000')",
        "int(1e19)",
        "uint(-1)",
        "bool('TrUe')",
        "string(b'\\xff')",
        "timestamp(event.name)",
        "duration(event.name)",
        "event.name.matches(event.name + '(')",
        "event.name.matches(r'(?=a)') || timestamp(0).getHours('Mars/Base') == 0",
        "optional.none().value()",
        "event.tags.transformMapEntry(i, t, {'same': t})",
    ],
)
def test_every_other_failure_is_an_error_and_no_missing(text: str) -> None:
    with pytest.raises(CelError) as caught:
        value(text)
    assert text.startswith("event.absent ?") == isinstance(caught.value, CelMissing)


@pytest.mark.parametrize(
    ("text", "kind", "result"),
    [
        ("event.amount * 2", "int", 10),
        ("event.price * 2", "double", 5.0),
        ("event.amount * event.price", "double", 12.5),
        ("event.amount * 2 + 0.5", "double", 10.5),
        ("event.big", "uint", 2**63),
        ("event.big * 0.5", "double", 2.0**62),
        ("event.huge", "double", 1e30),
        ("size(event.tags) * 1.5", "double", 3.0),
        ("event.tags.map(t, size(t) * 1.5)", "list", [1.5, 1.5]),
        ("cel.bind(x, event.amount, x / 2.0)", "double", 2.5),
    ],
)
def test_numbers_of_the_record_meet_as_doubles_where_one_is(text: str, kind: str, result: object) -> None:
    assert typed(text) == (kind, result)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("7 % -2", 1),
        ("1 == 1.0 && 1 == 1u && !(1 == true)", True),
        ("1 in [1.0, 2]", True),
        ("true in [1]", False),
        ("0.0 / 0.0 == 0.0 / 0.0", False),
        ("1.5 / 0.0 > 9e99", True),
        ("event.absent == 1 || true", True),
        ("true || event.absent == 1", True),
        ("event.name && false", False),
        ("1 / 0 == 1 || true", True),
        ("has(event.user.email) && event.user.email == null", True),
        ("has(event.absent)", False),
        ("event.?user.?plan.orValue('x')", "pro"),
        ("event.?absent.?plan.orValue('x')", "x"),
        ("event.?absent.orValue(event.name)", "Ann"),
        ("optional.of(1).orValue(1 / 0)", 1),
        ("event.items[?9].hasValue()", False),
        ("event.items[?-1].hasValue()", False),
        ("event.?amount.optMap(a, a + 1).value()", 6),
        ("event.items.exists(i, i.p == 1)", True),
        ("event.items.all(i, i.p > 1)", False),
        ("event.items.filter(i, has(i.p)).map(i, i.p)", [1, 2.5]),
        ("event.items.map(i, has(i.p), i.p * 2).sum()", 7.0),
        ("event.tags.exists_one(t, t == 'a')", True),
        ("event.user.map(k, k)", ["plan", "email"]),
        ("event.user.transformMap(k, v, v != null, v + '!')", {"plan": "pro!"}),
        ("event.tags.transformMapEntry(i, t, {t: i})", {"a": 0, "b": 1}),
        ("event.tags.all(i, t, i < 2 && t < 'c')", True),
        ("[1, 2].map(x, [10, 20].map(y, x * y))", [[10, 20], [20, 40]]),
        ("[1].map(event, event)", [1]),
        ("[1].map(list, list + 1)", [2]),
        ("type(event) == map && type(1) == int && type(int) == type", True),
        ("google.protobuf.Timestamp == type(timestamp(0))", True),
        ("{1: 'a', true: 'b'}[true]", "b"),
        ("{'a': 1, ?'b': optional.none()}", {"a": 1}),
        ("timestamp('2024-01-01T00:00:00Z') + duration('36h') > timestamp('2024-01-02T00:00:00Z')", True),
        ("event.amount > 3 ? 'big' : 1 / 0 == 1 ? 'a' : 'b'", "big"),
    ],
)
def test_an_expression_gives_its_value(text: str, result: object) -> None:
    assert equal(value(text), result)


def test_a_predicate_is_false_where_there_is_an_error() -> None:
    condition = cel.compile("event.amount > 3").predicate("event")
    assert [condition(event) for event in ({"amount": 5}, {"amount": 1}, {"amount": "x"}, {}, None)] == [
        True,
        False,
        False,
        False,
        False,
    ]
    assert cel.compile("event").predicate("event")(1) is False


def test_a_function_that_does_not_exist_fails_when_it_is_called_if_it_was_not_checked() -> None:
    assert evaluator(parse("f(1) || true", check=False))({}) is True
    with pytest.raises(CelError, match="no function f"):
        evaluator(parse("f(1)", check=False))({})


def test_evaluating_leaves_the_bindings_as_they_are() -> None:
    bindings = {"event": {"items": [1, 2]}, "x": 7}
    assert cel.compile("event.items.map(x, x + 1).size() + x").evaluate(bindings) == 9
    assert bindings == {"event": {"items": [1, 2]}, "x": 7}


def test_macros_inside_macros_come_to_an_end() -> None:
    ten = f"[{', '.join('0123456789')}]"
    text = f"{ten}.all(a, {ten}.all(b, {ten}.all(c, {ten}.all(d, {ten}.all(e, {ten}.all(f, true))))))"
    with pytest.raises(CelError, match="visit more than"):
        cel.compile(text).evaluate({})


@pytest.mark.parametrize(
    "text",
    [
        "s.replace('', s)",
        "[1, 2, 3].map(x, s).join().split('').map(x, s).join()",
        "cel.bind(a, s + s, cel.bind(b, a + a + a + a, cel.bind(c, b + b + b + b + b, c + c + c + c)))",
        "'%.99999999f'.format([1.0])",
        "lists.range(99999999)",
        "lists.range(1000000).map(a, lists.range(1000))",
        "lists.range(1000000).transformMap(a, b, lists.range(1000))",
    ],
)
def test_no_expression_makes_something_of_any_size(text: str) -> None:
    with pytest.raises(CelError):
        cel.compile(text).evaluate({"s": "x" * 1_000_000})


def test_values_that_nest_without_end_are_an_error() -> None:
    deep: list[object] = []
    other: list[object] = []
    for _ in range(5000):
        deep, other = [deep], [other]
    with pytest.raises(CelError, match="deeply"):
        cel.compile("a == b").evaluate({"a": deep, "b": other})


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abcx"), inner, max_size=3)),
    max_leaves=8,
)
ATOMS = """
event event.a event.b.c event['x'] event.a[0] event.?a true false null 0 1 -1 2u 1.5 '' 'a' b'a' [] {} [1,2,3] {'a':1}
{1:true,true:1} 9223372036854775807 duration('1s') timestamp(0) int optional.none() optional.of(1)
"""
UNARY = """
!$ -$ $.a $[0] $['a'] $[?1] has($.a) size($) string($) int($) uint($) double($) bool($) bytes($) type($) timestamp($)
duration($) $.all(x,x==event) $.exists(x,x) $.map(x,x+1) $.filter(x,x!=1) $.exists_one(x,x>0) $.transformMap(k,v,v) [$]
{'k':$} $.hasValue() $.lowerAscii() $.trim() $.split('a') $.join() $.reverse() $.sort() $.distinct() $.sum() $.value()
math.abs($) math.round($) math.greatest($) $.getHours() '%s'.format([$]) '%d%x%f'.format($) cel.bind(x,$,x) $.flatten()
mask.email($) ip($) base64.decode($) $.optMap(x,x)
"""
BINARY = """
$+$ $-$ $*$ $/$ $%$ $==$ $!=$ $<$ $>=$ $&&$ $||$ $[$] $?$:1 $.startsWith($) $.contains($) $.matches($) $.indexOf($)
$.split($) $.substring($) $.charAt($) [$,$] {$:$} $.orValue($) math.bitShiftLeft($,$) $.all(x,$==x) $.map(x,$)
time.format($,$) $.exists(x,x==$)
"""


def filled(form: str, *parts: str) -> str:
    for part in parts:
        form = form.replace("$", f"({part})", 1)
    return form


def combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds(filled, st.sampled_from(UNARY.split()), inner),
        st.builds(filled, st.sampled_from([*BINARY.split(), "$ in $"]), inner, inner),
    )


EXPRESSIONS = st.recursive(st.sampled_from(ATOMS.split()), combined, max_leaves=5)


@settings(deadline=None, max_examples=300)
@given(EXPRESSIONS, JSON)
def test_any_expression_gives_a_value_or_an_error_for_any_record(text: str, event: Any) -> None:
    try:
        result = cel.compile(text).evaluate({"event": event})
    except CelError:
        return
    assert str(type_of(result))
    try:
        to_json(result)
    except CelError:
        assert any(part in repr(result) for part in ("nan", "inf", "CelMap"))


@settings(deadline=None)
@given(EXPRESSIONS, EXPRESSIONS, JSON)
def test_and_and_or_do_not_depend_on_the_order_of_their_terms(left: str, right: str, event: Any) -> None:
    def outcome(text: str) -> object:
        try:
            return cel.compile(text).evaluate({"event": event})
        except CelError as error:
            return type(error)

    for symbol in ("&&", "||"):
        assert outcome(f"({left}) {symbol} ({right})") == outcome(f"({right}) {symbol} ({left})")


def test_uints_and_maps_with_other_keys_survive_evaluation() -> None:
    assert typed("1u + 2u") == ("uint", UInt(3))
    assert value("{1: 'a'}") == CelMap([(1, "a")])


@pytest.mark.parametrize(
    "text",
    [
        "x / 0 == 1",
        "x / 0 == 1 && true",
        "x / 0 == 1 || 2 > 'a' || false",
        "[x].all(y, y / 0 == 1)",
        "(x / 0 == 1 || x == 1) && x / 0 == 1",
        "[x, 0].exists(y, x / y == 1) && x / 0 == 1",
        "[x, 2].exists(y, y > 'a')",
        "[x].map(y, y / 0)[0] == 1",
        "{'a': x}.all(k, v, v / 0 == 1)",
        "x > 0 ? x / 0 : 1",
        "absent.nothing == 1",
        "timestamp(t) > timestamp(0)",
    ],
)
def test_an_error_is_freed_at_once(text: str) -> None:
    """Records that all fail would else leave so many cycles that looking for them costs more than deciding does."""
    evaluate = cel.compile(text).evaluate
    _fails(evaluate, {"x": 1, "t": "never", "absent": {}})
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            _fails(evaluate, {"x": 1, "t": "never", "absent": {}})
        assert gc.collect() == 0
    finally:
        gc.enable()


def _fails(evaluate: Callable[[Mapping[str, object]], object], variables: Mapping[str, object]) -> None:
    try:
        evaluate(variables)
    except CelError:
        return
    pytest.fail("it has a value")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1].map(event, .event.a)", [7]),
        ("[1].map(event, .event.a + event)", [8]),
        ("cel.bind(event, .event.a + 1, event + .event.a)", 15),
        ("[1].map(event, [10].map(x, [3].map(event, .event.a + event + x)))", [[[20]]]),
        ("[1, 2].exists(event, .event.a == 7 && event == 2)", True),
        ("[{'a': 1}].map(event, has(.event.b) || event.a + .event.a == 8)", [True]),
        ("optional.of(1).optMap(event, .event.a).value()", 7),
        ("[1].transformList(i, event, .event.a)", [7]),
        (".event == event && .int(.event.a) == 7", True),
    ],
)
def test_a_leading_dot_means_the_variable_whatever_macros_call_theirs(text: str, expected: object) -> None:
    expression = cel.compile(text)
    assert to_json(expression.evaluate({"event": {"a": 7}})) == expected
    assert expression.variables == {"event"}
    holds = cel.compile(f"({text}) == event.wanted").predicate("event")
    assert holds({"a": 7, "wanted": expected})
    assert not holds({"a": 7, "wanted": "another"})
