"""Every fault of an expression is reported at its place, and none that only follows from another."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import cel
from rules.cel import CelSyntaxError, nodes
from rules.cel.cursor import MAX_FAULTS
from rules.cel.lexer import MAX_TEXT
from rules.cel.nodes import Node
from rules.cel.parser import parse


def faults(text: str) -> list[tuple[int, str]]:
    """The offset of each fault, and the text there."""
    with pytest.raises(CelSyntaxError) as caught:
        cel.compile(text)
    return [(fault.offset, fault.message) for fault in caught.value.faults]


def test_the_error_that_is_raised_is_the_first_and_carries_the_others() -> None:
    with pytest.raises(CelSyntaxError) as caught:
        cel.compile("a &&\n  foo(a) &&\n  a.bar()")
    first = caught.value
    assert [(fault.line, fault.column, fault.offset, fault.length) for fault in first.faults] == [
        (2, 3, 7, 3),
        (3, 5, 21, 3),
    ]
    assert first.faults == (first, *first.others)
    assert str(first).startswith("2:3: there is no function foo")
    assert str(first.others[0]).startswith("3:5: there is no method bar")
    assert all(not fault.others for fault in first.others)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("foo(x) && bar(x)", [(0, "no function foo"), (10, "no function bar")]),
        ("foo(bar(x), [baz(y)])", [(0, "foo"), (4, "bar"), (13, "baz")]),
        ("size(a, b) > 1 || a.contains()", [(0, "takes 1 argument, not 2"), (20, "takes 1 argument, not 0")]),
        ("contains(a, b) && a.int()", [(0, "is a method"), (20, "is a function")]),
        (
            "a.x == 1 && a.startswith('b') ? len(a) : a.lower()",
            [(14, "startsWith"), (32, "size(x)"), (43, "lowerAscii")],
        ),
        (
            "a.matches('[') && timestamp('x') > a && duration(b'y') == duration('5 minutes')",
            [(10, "RE2"), (28, "RFC 3339"), (67, "1h30m")],
        ),
        (r"'\q\w' + b'\u00e9' == '\ud800'", [(1, r"\q"), (3, r"\w"), (11, "octets"), (23, "not a character")]),
        ("'\\q\n' + '''\\z'''", [(0, "no closing '")]),
        (
            "1_000 + 9223372036854775808 - 18446744073709551616u * 1e999",
            [(0, "neither"), (8, "int"), (30, "uint"), (54, "double")],
        ),
        (
            "has(a) || has(a['b']) || has(a.b, a.c) || has()",
            [(4, "a selection"), (14, "with a dot"), (25, "one selection"), (42, "one selection")],
        ),
        (
            "a.exists(b) && a.map(1, b) && a.all(1, 2, b) && cel.bind(1, b) && a.exists(i, i, i)",
            [
                (2, "list.exists"),
                (21, "plain name"),
                (36, "plain name"),
                (39, "plain name"),
                (52, "takes"),
                (78, "one name"),
            ],
        ),
        ("a.exists(x, foo(x)) && a.exists(foo(1))", [(12, "foo"), (25, "exists"), (32, "foo")]),
        ("a = 1 && b = 2 || c & d", [(2, "=="), (11, "=="), (20, "&&")]),
        ("a and b or not c", [(2, "&&"), (8, "||"), (15, "!condition")]),
        ("a is null && b is not null", [(2, "=="), (15, "==")]),
        ("a.b matches '\\d' && c between 1 and 2", [(4, "matches"), (13, "escape"), (22, "low <= x")]),
        ("[1 2, 3, 4 5]", [(3, "no operator"), (11, "no operator")]),
        ("f(1 2, g(3 4)) || a[1 2]", [(0, "f"), (4, "2"), (7, "g"), (11, "4"), (22, "2")]),
        ("{'a' 1, 'b': 2 3, 'c': foo(4)}", [(5, "value for this key"), (15, "3"), (23, "foo")]),
        ("(a b) && (c d)", [(3, "b"), (12, "d")]),
        ("(a, b c)", [(2, ") should"), (6, "c")]),
        ("a b ? c d : e f", [(2, "b"), (8, "d"), (14, "f")]),
        ("size(, a) + [, 1].size()", [(5, "value"), (13, "value")]),
        ("a[] + a[1:2] == a['b' 'c']", [(2, "index is missing"), (9, ":"), (22, "'c'")]),
        ("substring(a,) && a.in && a.true", [(0, "is a method"), (12, "after the comma"), (19, "in"), (27, "true")]),
        ("a.?b(1) && if", [(3, "with . alone"), (11, "reserved")]),
        ("(a && foo(b)", [(0, "has no )"), (6, "foo")]),
        ("(a && foo(b, 'c", [(13, "no closing '")]),
        ("foo(a) && b == 'c", [(0, "foo"), (15, "no closing '")]),
        ("() && foo(1) && !-a", [(0, "empty"), (6, "foo"), (17, "in parentheses")]),
    ],
)
def test_independent_faults_are_all_reported(text: str, expected: list[tuple[int, str]]) -> None:
    found = faults(text)
    assert [offset for offset, _ in found] == [offset for offset, _ in expected]
    for (_, message), (_, part) in zip(found, expected, strict=True):
        assert part in message


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("event.name == 'it's' && foo(x)", 18),
        ("f('it's', 'a, b c', 'don't')", 6),
        ("s.replace('a' 'b')", 14),
        ("size(1 2 3)", 7),
        ("a.exists(x y, x > 0)", 11),
        ("10.0.0.1", 4),
        ("if (a) foo(b) else c", 0),
        ("for x in y", 0),
        ("x => foo(x)", 2),
        ("a.exists(x => x > foo(1))", 11),
        ("${event.x} == foo(b)", 0),
        ("a; foo(b c", 1),
        ("a # a comment's foo(", 2),
        ("“a” == foo(b c)", 0),
        ("a && && b", 5),
        ("a ||", 4),
        ("a & && b", 2),
        ("(a, , b)", 2),
        ("[1, (2, 3]", 6),
        ("(a && b] && foo(c)", 7),
        ("a) && foo(b)", 1),
        ("foo{a: bar(x)}", 3),
        ("a[(b]", 4),
        ("f.x(a +", 7),
        ("((a", 1),
        ("a ? b ? c : d : e", 6),
        ("a?.foo(b) && c", 1),
        ("a?.b", 1),
        ("5m(a)", 0),
        ("0ent.foo(a)", 0),
        ("a.exists(x, x.price * )2 > 1)", 22),
        ("string(cel.bind(x, 1), x))", 25),
        ("size(a, b))", 10),
        ("[1,,, 2]", 3),
        ("{'a': , 'b': 1}", 6),
        ("{a ? b c : d : e}", 7),
    ],
)
def test_what_only_follows_from_a_fault_is_not_reported(text: str, offset: int) -> None:
    assert [place for place, _ in faults(text)] == [offset]


def uses(text: str) -> set[str]:
    """The variables that an expression would read."""
    with pytest.raises(CelSyntaxError) as caught:
        cel.compile(text)
    found = caught.value.uses
    assert all(text[offset:].startswith(name) for name, offset in found)
    return {name for name, _ in found}


def test_a_faulty_expression_tells_the_variables_that_it_would_read() -> None:
    assert uses("foo(evnt.a) && evnt.b == int && vars['c'].d") == {"evnt", "vars"}
    assert uses("a b && c") == {"c"}, "the word before a fault may be no variable"
    assert uses("evnt.a b && c") == {"evnt", "c"}
    assert uses("not a") == set()
    assert uses("a and b") == {"a", "b"}
    assert uses("foo(a.exists(x, x > y))") == {"a", "y"}
    assert uses("a.exists(x > 1) && b") == {"a", "b"}, "what was meant for a macro's variable is none"
    assert uses("a.exists(x y, x > 1)") == {"a"}
    assert uses("foo(cel.bind(x, a, x + b))") == {"a", "b"}
    assert uses("foo(a.exists(i, x, i + x + y), b.map(x, x))") == {"a", "y", "b"}
    assert uses("math.foo(a) + maks.email(b)") == {"a", "b"}, "a misspelt namespace is no variable"
    assert uses("foo(google.protobuf.Timestamp)") == set()
    assert uses("a?.foo(b)") == {"a"}


def test_a_good_expression_tells_every_place_of_its_variables() -> None:
    text = "a.exists(x, x == b) && int(b) == cel.bind(y, a, y + x)"
    found = cel.compile(text).uses
    assert [(name, text[offset:].startswith(name)) for name, offset in found] == [
        *(("a", True), ("b", True), ("b", True), ("a", True), ("x", True))
    ]


good = st.sampled_from(
    ["a.b", "1", "'x'", "size(a)", "a.exists(x, x > 1)", "[1, 2]", "{'k': a}", "!a", "(a)", "a ? b : c"]
)
bad = st.sampled_from(
    [
        *("foo(a)", "a.foo(1)", "size()", "a.contains(1, 2)", "has(a)", "a.exists(b)", r"'\q'", "1e999", "5m"),
        *("timestamp('x')", "a.matches('[')", "a.map(1, b)", "cel.bind(1, a, b)", "math.abz(a)", "a[]", "b c", "d = e"),
        *("a[b c]", "size(a b)", "[1 2]", "{a b}", "(a b)", "a.in", "(a, b)", "a.?b()", "if"),
    ]
)
# Where parts stand that have nothing to do with each other.
FRAMES = ["@ && @", "@ || @", "[@, @]", "{'k': @, 'l': @}", "math.greatest(@, @)", "(@) == [@]", "[@] ? {'k': @} : [0]"]


def in_a_frame(frame: str, parts: list[tuple[str, list[int]]]) -> tuple[str, list[int]]:
    """The text of the frame with the parts in it, and the offsets of their faults."""
    first, *rest = frame.split("@")
    text, offsets = first, []
    for (part, found), behind in zip(parts, rest, strict=True):
        offsets += [len(text) + offset for offset in found]
        text += part + behind
    return text, offsets


alone: st.SearchStrategy[tuple[str, list[int]]] = st.one_of(
    good.map(lambda text: (text, [])), bad.map(lambda text: (text, [faults(text)[0][0]]))
)
framed = st.recursive(
    alone,
    lambda inner: st.builds(in_a_frame, st.sampled_from(FRAMES), st.lists(inner, min_size=2, max_size=2)),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(framed)
def test_the_faults_of_a_whole_are_those_of_its_parts(made: tuple[str, list[int]]) -> None:
    """Wherever faulty parts stand beside each other, each is reported, and nothing else is."""
    text, expected = made
    if not expected:
        cel.compile(text)
        return
    assert [offset for offset, _ in faults(text)] == expected


def gaps(node: Node) -> bool:
    return isinstance(node, nodes.Gap) or any(map(gaps, nodes.children(node)))


PIECES = r"""
a event x . .? [ [? ] ( ) { } ? : , + - * % ! < == != && || in true null 1 2u 1.5 'x' "y" b'z' r'\' '''q''' 5m '\q'
size( .size() .map(x, .exists( has( math.abs( foo( .bar() `k` // and is not or if = & | # ; => $ 0x ' \ cel.bind(
"""


@settings(deadline=None, max_examples=500)
@given(st.lists(st.sampled_from([*PIECES.split(), "\n"]), max_size=30), st.sampled_from(["", " "]))
def test_faults_stand_in_order_each_at_a_place_of_its_own(pieces: list[str], between: str) -> None:
    text = between.join(pieces)
    error = None
    try:
        tree = parse(text)
    except CelSyntaxError as raised:
        error = raised
    if error is None:
        assert not gaps(tree)
        return
    offsets = [fault.offset for fault in error.faults]
    assert offsets == sorted(set(offsets))
    assert all(0 <= offset <= len(text) for offset in offsets)
    assert all(fault.line == text[: fault.offset].count("\n") + 1 for fault in error.faults)
    assert all(text[offset:].startswith(name) for name, offset in error.uses)


@pytest.mark.parametrize(
    "text",
    [
        "[" + "foo(),a b," * (MAX_TEXT // 11) + "1]",
        "$" * MAX_TEXT,
        "'" + "\\q" * (MAX_TEXT // 2 - 1) + "'",
        "a b &&" * (MAX_TEXT // 6) + "a",
        "(" * 60 + "a b && " * 10_000 + ")" * 60,
    ],
    ids=["functions", "strays", "escapes", "operators", "brackets"],
)
def test_the_faults_of_one_expression_are_bounded(text: str) -> None:
    assert 1 <= len(faults(text)) <= MAX_FAULTS
