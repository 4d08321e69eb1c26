"""The router's own functions: hashes, masks, maps put together, JSON, URLs, identifiers, times, tables and secrets."""

from __future__ import annotations

import hashlib
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules import cel
from rules.cel.evaluator import evaluator
from rules.cel.functions import find
from rules.cel.functions.data import _DEEPEST
from rules.cel.surroundings import Surroundings, Table, within
from rules.cel.values import UInt

AROUND = Surroundings({"prices": Table({"7": 12.5, "5.5": "half", "true": "yes"})}, {"pepper": "s3cret"})
KEYS = st.text(max_size=3) | st.integers(-3, 3) | st.booleans()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def value_of(text: str, **bindings: object) -> object:
    return evaluator(within(cel.compile(text).node, AROUND))(bindings)


def error_of(text: str, **bindings: object) -> str:
    with pytest.raises(cel.CelError) as raised:
        value_of(text, **bindings)
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("hash.sha256('ü')", hashlib.sha256("ü".encode()).hexdigest()),
        ("hash.md5(b'\\xff')", hashlib.md5(b"\xff").hexdigest()),
        ("hash.crc32('')", "00000000"),
        ("mask.keepLast('ab', 2)", "**"),
        ("mask.keepFirst('äöü', 1)", "ä**"),
        ("mask.keepLast('abc', 0)", "***"),
        ("mask.digits('no digits', 4)", "no digits"),
        ("mask.digits('1234', 4)", "****"),
        ("mask.ip('::ffff:192.0.2.1')", "192.0.2.0"),
        ("mask.ip('nowhere')", "*"),
        ("mask.email('a@b@c.d')", "*@c.d"),
        ("merge({'a': 1}, {'a': null})", {"a": None}),
        ("merge({1: 'int', true: 'bool'}, {1u: 'uint'}) == {1: 'uint', true: 'bool'}", True),
        ("deepMerge({1: {'a': 1}}, {1: {'b': 2}}) == {1: {'a': 1, 'b': 2}}", True),
        ("deepMerge({'a': [1]}, {'a': [2]})", {"a": [2]}),
        ("json.parse('18446744073709551615')", UInt(2**64 - 1)),
        ("json.parse(b'[1.0]')", [1.0]),
        ("json.format([1u, 2.5, b'a', timestamp('2024-01-01T00:00:00Z')])", '[1,2.5,"YQ==","2024-01-01T00:00:00Z"]'),
        ("json.format(optional.none())", "null"),
        ("url.parse('//h')", {"host": "h", "path": "", "query": {}, "queries": {}}),
        ("url.parse('http://u:p@[::1]:80/%61?a=&b#f')",
         {"scheme": "http", "user": "u", "host": "::1", "port": 80, "path": "/%61", "query": {"a": "", "b": ""},
          "queries": {"a": [""], "b": [""]}, "fragment": "f"}),
        ("url.decode('a+b%2Bc')", "a+b+c"),
        ("uuid.v5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'a')", str(uuid.uuid5(uuid.NAMESPACE_DNS, "a"))),
        ("time.parse('9999-12-31 23:59:59.999999', '%Y-%m-%d %H:%M:%S.%f')",
         cel.Timestamp(253402300799, 999_999_000)),
        ("lookup('prices', 7u)", cel.Optional(12.5)),
        ("lookup('prices', 7.0)", cel.Optional(12.5)),
        ("lookup('prices', '7')", cel.Optional(12.5)),
        ("lookup('prices', 5.5)", cel.Optional("half")),
        ("lookup('prices', true)", cel.Optional("yes")),
        ("lookup('prices', null).hasValue()", False),
        ("lookup('prices', 0.0 / 0.0).hasValue()", False),
        ("lookup('prices', 7).orValue(0) * 2", 25.0),
    ],
)  # fmt: skip
def test_a_function_gives(text: str, value: object) -> None:
    assert value_of(text) == value
    assert type(value_of(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hash.md5(5)", "hash.md5() does not take (int): it takes (string|bytes)"),
        ("hash.sha1(t)", "half of a surrogate pair, at index 1, has no UTF-8"),
        ("url.encode(t)", "half of a surrogate pair"),
        ("uuid.v5('dns', t)", "half of a surrogate pair"),
        ("hash.hmac(a, 'pepper', '')", "there is no algorithm 'sha3': there are md5, sha1, sha256, sha512"),
        ("hash.hmac('md5', 'peper', '')", "there is no secret 'peper': did you mean `pepper`?"),
        ("mask.token('x', 'salt')", "there is no secret 'salt': known: pepper"),
        ("mask.keepLast('abc', -1)", "mask.keepLast(): -1 is negative"),
        ("merge({}, [])", "merge() does not take (map, list)"),
        ("json.parse('{')", "json.parse(): not JSON: "),
        ("json.parse('NaN')", "json.parse(): not JSON: "),
        ("json.format(0.0 / 0.0)", "JSON has no nan"),
        ("json.format({1: 1, '1': 2})", "two keys of a map are one in JSON"),
        ("url.parse('http://h:99999')", "is no URL: Port out of range"),
        ("url.parse('http://ex ample/')", "is no URL: there is a character"),
        ("url.parse('http://example.com/a\\nb')", "is no URL: there is a character"),
        ("url.decode('%zz')", "'%zz' is no octet"),
        ("url.decode('100%')", "'%' is no octet"),
        ("url.decode('%ff')", "the result is not UTF-8, at its byte 0"),
        ("uuid.v5('dsn', 'a')", "'dsn' is neither dns, url, oid nor a UUID"),
        ("time.parse('x', '%Y')", "time data 'x' does not match format '%Y'"),
        ("time.parse('1', '%Q')", "time.parse(): 'Q' is a bad directive"),
        ("time.parse('0001-01-01 +0100', '%Y-%m-%d %z')", "out of range"),
        ("time.parse('1', '%d', 'Nowhere/Land')", "there is no time zone 'Nowhere/Land'"),
        ("lookup('price', 1)", "there is no table 'price': did you mean `prices`?"),
        ("lookup('prices', [7])", "the key of a table is a text, a number or a bool, not a list"),
    ],
)
def test_an_error_says_what_to_do(text: str, says: str) -> None:
    assert says in error_of(text, t="a\ud800", a="sha3")


def test_an_unknown_algorithm_that_stands_in_the_text_is_a_fault_of_it() -> None:
    with pytest.raises(cel.CelSyntaxError, match="there is no algorithm 'sha3'"):
        cel.compile("hash.hmac('sha3', 'pepper', event.id)")


@given(st.dictionaries(KEYS, JSON, max_size=4), st.dictionaries(KEYS, JSON, max_size=4))
def test_merged_maps_have_what_the_right_one_has_and_else_what_the_left_one_has(
    left: dict[object, object], right: dict[object, object]
) -> None:
    merged = value_of("merge(l, r)", l=left, r=right)
    for key in [*left, *right]:
        expected = "r[k]" if value_of("k in r", r=right, k=key) else "l[k]"
        assert value_of(f"m[k] == {expected}", m=merged, l=left, r=right, k=key) is True
    assert value_of("m.all(k, k in l || k in r)", m=merged, l=left, r=right) is True


@given(JSON)
def test_what_json_writes_it_reads(value: object) -> None:
    assert value_of("json.parse(json.format(v)) == v", v=value) is True


@given(st.text())
def test_what_is_encoded_for_a_url_is_decoded(text: str) -> None:
    assert value_of("url.decode(url.encode(t)) == t", t=text) is True
    assert value_of("url.parse('/?q=' + url.encode(t)).query.q == t", t=text) is True


@given(st.text(), st.integers(0, 5))
def test_a_mask_keeps_the_length_and_shows_no_more_than_it_should(text: str, count: int) -> None:
    for function in ("keepFirst", "keepLast"):
        masked = str(value_of(f"mask.{function}(t, n)", t=text, n=count))
        assert len(masked) == len(text)
        assert sum(character != "*" for character in masked) <= (count if len(text) > count else 0)


def test_a_value_that_is_merged_keeps_its_digits() -> None:
    assert value_of("merge({'a': 1}, r)", r={"n": 2**80}) == {"a": 1, "n": 2**80}


def test_maps_and_json_may_nest_so_far() -> None:
    deep: object = {}
    for _ in range(_DEEPEST + 1):
        deep = {"a": deep}
    assert "nest deeper than 200" in error_of("deepMerge(d, d)", d=deep)
    assert value_of("merge(d, d) == d", d={"a": 1})
    brackets = "[" * _DEEPEST
    assert value_of("json.parse(t).size()", t=brackets + "]" * _DEEPEST) == 1
    assert "nested deeper than 200" in error_of("json.parse(t)", t="[" + brackets + "]" * _DEEPEST + "]")
    assert "nested too deep" in error_of("json.parse(t)", t="[" * 100_000)


def test_version_7_begins_with_the_time_and_no_two_are_alike() -> None:
    before = time.time_ns() // 1_000_000
    made = [uuid.UUID(str(value_of("uuid.v7()"))) for _ in range(100)]
    assert len(set(made)) == 100
    assert {(one.version, one.variant) for one in made} == {(7, uuid.RFC_4122)}
    assert all(before <= one.int >> 80 <= time.time_ns() // 1_000_000 for one in made)


def test_outside_a_flow_there_are_no_tables_and_no_secrets_and_the_error_says_where_there_are() -> None:
    for text in ("lookup('t', 1)", "hash.hmac('md5', 't', '')", "mask.token('', 't')"):
        with pytest.raises(cel.CelError, match=r"only a flow of a daemon's file has .* `sluiceway explain`"):
            cel.compile(text).evaluate({})


def test_what_looks_around_is_bound_wherever_it_stands_and_nothing_else_is_changed() -> None:
    plain = cel.compile("event.l.map(x, x + 1)").node
    assert within(plain, AROUND) is plain
    for text in (
        "[1, 7].filter(k, lookup('prices', k).hasValue()) == [7]",
        "cel.bind(p, lookup('prices', 7), p.value()) == 12.5",
        "lookup('prices', 7).optMap(p, lookup('prices', 5.5).value()).value() == 'half'",
        "{'a': [lookup('prices', 7).value()]}.a[0] > 1.0 ? lookup('prices', 7) == optional.of(12.5) : false",
    ):
        assert value_of(text) is True
    same = within(cel.compile("[lookup('a', 1), lookup('a', 1)]").node, AROUND)
    assert same.elements[0] == same.elements[1]  # type: ignore[attr-defined]  # a list


def test_a_secret_is_in_no_text_about_it() -> None:
    assert "s3cret" not in repr(AROUND)
    bound = within(cel.compile("hash.hmac('md5', 'pepper', event.x)").node, AROUND)
    assert "s3cret" not in repr(bound)


def test_a_variable_may_be_called_as_a_namespace_is() -> None:
    assert value_of("url.startsWith('h') && json.size() == 1 && hash.all(x, x > 0)", url="http", json=[1], hash=[1])


def test_a_lookup_is_made_anew_for_each_record() -> None:
    found = find("lookup", 2, is_method=False)
    assert found is not None
    assert not found.pure
