"""The text of expressions: what is one, what it means, and what is said where it is none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import cel
from rules.cel import CelSyntaxError, UInt
from rules.cel.nodes import And, Binary, Bind, Call, Conditional, Has, Ident, Index, Literal, Macro, Select, Unary
from rules.cel.parser import MAX_DEPTH, MAX_NESTING, parse


def fault(text: str) -> CelSyntaxError:
    with pytest.raises(CelSyntaxError) as caught:
        parse(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("-9223372036854775808", -(2**63)),
        ("0xfF", 255),
        ("7u", UInt(7)),
        ("0x10U", UInt(16)),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-1.5e-1", -0.15),
        ("true", True),
        ("null", None),
        (r"'a\n\x41\u00e9\U0001F431\101\?\`'", "a\nAé🐱A?`"),
        ('"it\'s"', "it's"),
        (r"r'\n'", "\\n"),
        ("'''two\nlines'''", "two\nlines"),
        (r"b'\xff\377é'", b"\xff\xff\xc3\xa9"),
        (r"bR'\x41'", b"\\x41"),
        ("''", ""),
        ("'''''' // a comment", ""),
    ],
)
def test_a_literal_means_its_value(text: str, value: object) -> None:
    assert parse(text) == Literal(value)


def test_an_expression_is_a_text() -> None:
    with pytest.raises(TypeError, match="an expression is a str, not NoneType"):
        cel.compile(None)  # type: ignore[arg-type]


def test_operators_bind_as_the_specification_says() -> None:
    a, b, c = Ident("a"), Ident("b"), Ident("c")
    assert parse("a + b * c") == Binary("+", a, Binary("*", b, c))
    assert parse("a - b - c") == Binary("-", Binary("-", a, b), c)
    assert parse("a == b && !c") == And((Binary("==", a, b), Unary("!", c)))
    assert parse("a && b && c") == And((a, b, c))
    assert parse("a ? b : b ? c : a") == Conditional(a, b, Conditional(b, c, a))
    assert parse("-a.b[0]") == Unary("-", Index(Select(a, "b"), Literal(0)))
    assert parse("a in b == c") == Binary("==", Binary("in", a, b), c)
    assert parse("(a + b) * c") == Binary("*", Binary("+", a, b), c)


def test_fields_may_have_names_that_variables_may_not() -> None:
    assert parse("a.for") == Select(Ident("a"), "for")
    assert parse("a.`x-y/z`") == Select(Ident("a"), "x-y/z")
    assert parse("a.?b[?0]") == Index(Select(Ident("a"), "b", optional=True), Literal(0), optional=True)


def test_macros_are_nodes_of_their_own() -> None:
    a, x = Ident("a"), Ident("x")
    assert parse("has(a.b)") == Has(a, "b")
    assert parse("a.map(x, x, 1)") == Macro("map", a, ("x",), (x, Literal(1)))
    assert parse("a.existsOne(x, x)") == Macro("exists_one", a, ("x",), (x,))
    assert parse("a.exists_one(i, x, x)") == Macro("existsOne", a, ("i", "x"), (x,))
    assert parse("cel.bind(x, a, x)") == Bind("x", a, x)


def test_a_function_of_a_namespace_has_no_target_unless_a_macro_binds_the_name() -> None:
    assert parse("math.abs(a)") == Call("math.abs", None, (Ident("a"),))
    bound = parse("a.map(math, math.size())")
    assert bound == Macro("map", Ident("a"), ("math",), (Call("size", Ident("math"), ()),))


def test_every_node_knows_its_place() -> None:
    text = "a.b  + (c(1)   * 2)".replace("c(1)", "size(x)")
    node = parse(text)
    assert isinstance(node, Binary)
    assert [text[part.start : part.end] for part in (node, node.left, node.right)] == [text, "a.b", "(size(x)   * 2)"]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("event.a = 1", 8, "use == to compare"),
        ("a === b", 2, "use == to compare"),
        ("a !== b", 2, "use != to compare"),
        ("a and b", 2, "write &&"),
        ("a or b", 2, "write ||"),
        ("not a", 4, "write !condition"),
        ("'a' not in b", 4, "!(x in list)"),
        ("a & b", 2, "use &&"),
        ("a | b", 2, "use ||"),
        ("a ?? b", 2, "orValue"),
        ("a?.b", 1, "a.?b"),
        ("a ? b", 2, "both branches"),
        ("if a", 0, "condition ? this : that"),
        ("'abc", 0, "no closing '"),
        ("'abc\n'", 0, "triple quotes"),
        (r"'\q'", 1, "escape"),
        (r"b'\u00e9'", 2, "octets"),
        ("“a”", 0, "straight quotes"),
        ("a # b", 2, "//"),
        ("9223372036854775808", 0, "too large for an int"),
        ("18446744073709551616u", 0, "too large for a uint"),
        ("1e999", 0, "too large for a double"),
        ("1_000", 0, "begin with a digit"),
        ("a b", 2, "no operator between"),
        ("a)", 1, "closes nothing"),
        ("(a", 0, "has no )"),
        ("[1, 2", 0, "has no ]"),
        ("{'a'}", 4, "a value for this key"),
        ("Foo{a: 1}", 3, "write a map"),
        ("a[1:2]", 3, "substring"),
        ("a.true", 2, "['true']"),
        ("", 0, "empty"),
        ("1 +", 3, "ends here"),
        ("has(a)", 4, "has(event.user.id)"),
        ("a.exists(1, b)", 9, "a plain name"),
        ("a.exists(b)", 2, "list.exists(x, condition)"),
        ("len(a)", 0, "write size(x)"),
        ("a.startswith('b')", 2, "did you mean startsWith?"),
        ("mask.emial(a)", 5, "did you mean mask.email?"),
        ("starstWith(a, 'b')", 0, "there is no function starstWith: did you mean x.startsWith()?"),
        ("a.doubel()", 2, "there is no method doubel: did you mean double(x)?"),
        ("emial(a)", 0, "did you mean mask.email?"),
        ("siez(a)", 0, "did you mean size?"),
        ("replaceAll(a)", 0, "did you mean x.replace()?"),
        ("contains(a, b)", 0, "contains is a method"),
        ("a.int()", 2, "int is a function"),
        ("a.substring()", 2, "takes 1 or 2 arguments, not 0"),
        ("a.matches('[')", 10, "RE2"),
        ("timestamp('today')", 10, "RFC 3339"),
        ("a.getHours('Europe/Berln')", 11, "there is no time zone 'Europe/Berln'"),
        ("a.getHours('+99:00')", 11, "an offset is less than a day"),
        ("time.format(a, '%Q')", 15, "'%Q' is no directive"),
        ("time.format(a, '%d', 'Berlin')", 21, "there is no time zone 'Berlin'"),
        ("time.parse(a, '%d', 'Berlin')", 20, "there is no time zone 'Berlin'"),
        ("uuid.v5('dn', a)", 8, "'dn' is neither dns, url, oid nor a UUID"),
        ("duration('5 minutes')", 9, "1h30m"),
        ("!-a", 1, "in parentheses"),
    ],
)
def test_a_fault_names_its_place_and_what_would_be_right(text: str, place: int, message: str) -> None:
    error = fault(text)
    assert message in error.message
    assert error.offset == place


def test_a_fault_counts_lines_and_columns_from_one() -> None:
    error = fault("a &&\n  b = c")
    assert (error.line, error.column, error.offset, error.length) == (2, 5, 9, 1)
    assert str(error).startswith("2:5: ")


def test_of_two_faults_the_first_in_the_text_is_shown() -> None:
    assert fault("a b 'open").offset == 2


@pytest.mark.parametrize("text", ["(" * 5000 + "a" + ")" * 5000, "[" * 5000, "-" * 5000 + "a", "a" + ".b" * 5000])
def test_what_nests_too_deeply_is_a_fault(text: str) -> None:
    fault(text)


def test_what_nests_as_deeply_as_allowed_is_evaluated() -> None:
    depth = MAX_NESTING - 1
    assert cel.compile("(" * depth + "1" + ")" * depth).evaluate({}) == 1
    assert cel.compile("+".join(["1"] * MAX_DEPTH)).evaluate({}) == MAX_DEPTH
    assert cel.compile("||".join(["false"] * 5000)).evaluate({}) is False
    fault("+".join(["1"] * (MAX_DEPTH + 1)))


def test_a_text_that_is_too_long_is_a_fault() -> None:
    assert "longer than" in fault("1" + " " * 200_000).message


def test_equal_texts_are_equal_expressions() -> None:
    assert cel.compile("a + 1") == cel.compile("a + 1")
    assert parse("a  +  1") == parse("a + 1")
    assert len({parse("1"), parse("1u"), parse("1.0"), parse("true")}) == 4


def test_an_expression_knows_its_variables_and_what_it_reads_of_them() -> None:
    expression = cel.compile(
        "event.items[event.i].p > n && event.tags.exists(t, t == event['x'].y) && type(meta) == map"
    )
    assert expression.variables == {"event", "n", "meta"}
    assert expression.references == {
        ("event", "items"),
        ("event", "i"),
        ("n",),
        ("event", "tags"),
        ("event", "x", "y"),
        ("meta",),
    }


TOKENS = r"""
a event . .? [ [? ] ( ) { } ? : , + - * / % ! < <= == != && || in true null 1 2u 1.5 'x' "y" b'z' r'\' '''q'''
size( .size() .map(x, .exists( has( math.abs( `k` // and = & 0x 1e ' \ for cel.bind( duration('1s')
"""


def fault_or_none(text: str) -> CelSyntaxError | None:
    try:
        parse(text)
    except CelSyntaxError as error:
        return error
    return None


def parses_or_has_a_fault_with_a_place(text: str) -> None:
    error = fault_or_none(text)
    if error is not None:
        assert 0 <= error.offset <= len(text)
        assert text[: error.offset].count("\n") == error.line - 1
        assert error.column >= 1


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=())))
def test_any_text_is_an_expression_or_a_fault(text: str) -> None:
    parses_or_has_a_fault_with_a_place(text)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from([*TOKENS.split(), "\n"]), max_size=25).map(" ".join))
def test_any_row_of_tokens_is_an_expression_or_a_fault(text: str) -> None:
    parses_or_has_a_fault_with_a_place(text)


@settings(deadline=None)
@given(st.text())
def test_any_text_can_be_written_as_a_literal(text: str) -> None:
    escaped = "".join(f"\\U{ord(character):08x}" for character in text)
    assert parse(f"'{escaped}'") == Literal(text)
    assert parse(
        f"b'{escaped}'" if not text else "b'" + "".join(f"\\x{o:02x}" for o in text.encode()) + "'"
    ) == Literal(text.encode())


def test_a_hexadecimal_number_begins_with_a_small_x() -> None:
    assert cel.compile("0xA + 0xa").evaluate({}) == 20
    with pytest.raises(cel.CelSyntaxError, match="0XA is neither a number nor a name"):
        cel.compile("0XA")
