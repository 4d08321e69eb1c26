"""Values that cannot be, terms that are never all true, rules behind all that a field can be, faults beside others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typechecking import DAEMON, found, when

EXACT: Mapping[str, Any] = {
    "properties": {
        "qty": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 5.5},
        "ratio": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "code": {"type": "string", "minLength": 2, "maxLength": 3},
        "version": {"const": 1},
        "kind": {"enum": ["a", "b", None]},
        "flag": {"type": "boolean"},
        "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]},
    }
}
ALL = (
    "`event.kind != 'a'`, `event.kind != 'b'` and `event.kind != null` are never all true: "
    "`event.kind` is always 'a', 'b' or null"
)
PORT = "this is never true: `url.parse(event.u).port` is an int, and `'80'` is a string; should be `80`"
HEADERS, LOWER = "`meta.headers` has no field", ": each of its names is in lower case; should be"
BETWEEN = "`event.qty > 4` and `event.qty < 5` are never both true"


@pytest.mark.parametrize(
    ("expression", "what"),
    [
        ("event.qty == 1.5", "`event.qty` is a whole number, and `1.5` is not"),
        ("event.qty in [1.5, 2.5]", "`event.qty` is a whole number, and each element of [1.5, 2.5] is not"),
        ("event.qty < 1", "`event.qty` is between 1 and 5"),
        ("event.ratio >= 1", "`event.ratio` is more than 0 and less than 1"),
        ("event.ratio == 0", "`event.ratio` is more than 0 and less than 1"),
        ("event.code == 'toolong'", "`event.code` is between 2 and 3 characters long, and `'toolong'` is 7"),
        ("event.version == 2", "`event.version` is 1"),
        ("event.pair[1] == 'x'", "`event.pair[1]` is a whole number, and `'x'` is a string"),
    ],
)
def test_bounds_lengths_constants_and_places_in_a_list_are_known_exactly(
    tmp_path: Path, expression: str, what: str
) -> None:
    """What just keeps to them is not judged."""
    assert when(tmp_path, expression, schema=EXACT) == [f"this is never true: {what}"]
    fits = "event.qty <= 1.0 && event.qty != 2 && event.ratio > 0 && event.ratio < 0.1 && event.version == 1.0"
    fits += " && event.code in ['ab', 'abc'] && event.pair[0] == 'x' && event.pair[1] == 1.0 && event.pair[2] == 'x'"
    assert when(tmp_path, fits, schema=EXACT) == []


@pytest.mark.parametrize(
    ("expression", "lines"),
    [
        (
            "event.n > 5 && event.n < 3",
            ["`event.n > 5` and `event.n < 3` are never both true; should be || between them"],
        ),
        (
            "event.qty > 4 && event.version == 1 && event.qty < 5",
            [f"{BETWEEN}: `event.qty` is a whole number; should be || between them"],
        ),
        (
            "event.flag && !event.flag",
            ["`event.flag` and `!event.flag` are never both true; should be || between them"],
        ),
        ("event.kind != 'a' && event.kind != 'b' && event.kind != null", [f"warning {ALL}"]),
        ("!(event.kind in ['a', 'b', null])", ["warning this is never true: `event.kind` is always 'a', 'b' or null"]),
        ("event.version != 1", ["warning this is never true: `event.version` is always 1"]),
        ("event.n > 5 && event.n <= 5.5 && event.n != 5.2 || event.n >= 5 && event.n <= 5", []),
        ("event.x != 'a' && event.x != 'b' && event.kind != 'a' && event.kind != 'b'", []),
        ("event.x in ['a', 'b'] && event.x in ['b', 'c'] && event.x.startsWith('b')", []),
        ("uuid() == event.x && uuid() == 'b' && uuid() == 'c'", []),
    ],
)
def test_what_is_asked_of_one_thing_is_held_against_all_else_that_is(
    tmp_path: Path, expression: str, lines: list[str]
) -> None:
    """What leaves out everything that the contract has today may be meant for what it will have."""
    assert when(tmp_path, expression, schema=EXACT) == lines


def test_a_rule_behind_all_that_a_field_can_be_is_told(tmp_path: Path) -> None:
    """Where the field must be there, or the rule asks of it. A last rule without `when` may stand for all that."""
    rules = """\
        rules:
        - {name: a, when: event.kind == "a" && event.n > 1, to: x}
        - {name: on, when: event.kind == "b", to: x, continue: true}
        - {name: b, when: 'event.kind in ["b", null]', to: x}
        - {name: c, when: event.kind.startsWith("b"), to: x}
        - {name: d, when: event.kind != null && event.n > 1 && event.flag, to: x}
        - {name: e, when: event.n > 5, to: x}
        - {name: yes, when: event.flag, to: x}
        - {name: no, when: "!event.flag", to: x}
        - {name: f, when: 'event.flag in [true, false]', to: x}
        - {name: rest, to: y}
        """

    def told(schema: Any, text: str = rules) -> list[str]:
        return [line.removeprefix("warning ") for line in found(tmp_path, text, schema=schema)]

    required = {"type": "object", **EXACT, "required": ["kind"]}
    both, ends = "rule `a` of line 4 and rule `b` of line 6", "take all that it would match"
    optional = [
        "7:3: no record gets to rule `c`; rule `b` of line 6 takes all that it would match",
        f"8:3: no record gets to rule `d`; {both} {ends}",
        f"12:3: no record gets to rule `f`; rule `yes` of line 10 and rule `no` of line 11 {ends}",
    ]
    more = f"9:3: no record gets to rule `e`; {both} {ends}"
    assert told(EXACT) == optional
    assert told(required) == [*optional[:2], more, *optional[2:]]
    assert told(required, f"{rules}otherwise: {{invalid: pass}}") == optional[2:]
    step = rules.replace("- {name: d,", "- {name: step, unset: event.kind}\n- {name: d,")
    assert "rule `d`" not in "".join(told(required, step))


def test_faults_of_form_hide_no_others(tmp_path: Path) -> None:
    """Of a source, a sink, a target and a `let`, what can be read is checked all the same."""
    daemon = "sources: {s: {type: memory, no: 1}}\nflows: [flow.yaml]\n"
    daemon += "sinks: {x: {type: memory, no: 1, key: '${event.tpye}'}, y: {type: memory}}\n"
    rules = """\
        let: {a: b && event.amuont > 1, b: a, c: event.cuont == 1}
        rules:
        - {name: a, when: a && event.amount >, to: x}
        - {name: b, when: c || event.itmes == 1, to: {sink: x, no: 1}}
        - {name: rest, to: y}
        """
    assert [line.partition("; ")[0] for line in found(tmp_path, rules, daemon=daemon)] == [
        "3:10: let goes round in a circle: a -> b -> a",
        "3:15: `event` has no field `amuont`",
        "3:42: `event` has no field `cuont`",
        "5:38: the expression ends here, where a value should follow",
        "6:24: `event` has no field `itmes`",
        "6:56: a delivery to `x` cannot choose `no`",
        "sluiceway.yaml:1:29: `no` is not known here",
        "sluiceway.yaml:3:27: `no` is not known here",
        "sluiceway.yaml:3:42: `event` has no field `tpye`",
    ]


def test_a_key_that_is_not_known_hides_only_what_it_may_mean(tmp_path: Path) -> None:
    """A step without `to` because that is misspelt, or without its `when`, changes nothing but what it says."""
    rules = """\
        rules:
        - {name: a, when: event.amount > 5, too: x}
        - {name: b, whne: event.amount > 5, set: {event.new: 1}}
        - {name: c, when: event.new == "x" || event.cuont == 1, to: x}
        - {name: d, sett: {event.other: 1}}
        - {name: e, when: event.other == 1, to: x}
        - {name: rest, to: y}
        """
    assert [line.partition("; ")[0] for line in found(tmp_path, rules)] == [
        "4:37: `too` is not known here",
        "5:13: `whne` is not known here",
        '6:19: this is never true: `event.new` is an int, and `"x"` is a string',
        "6:39: `event` has no field `cuont`",
        "7:13: `sett` is not known here",
    ]
    passing = "rules:\n- {name: a, when: event.other == 1, to: x}\n- {name: rest, to: y}\notherwise: {invalidd: pass}\n"
    assert len(found(tmp_path, passing)) == 1


def test_what_a_source_that_cannot_be_read_may_decode_is_not_judged(tmp_path: Path) -> None:
    daemon = DAEMON.replace("s: {type: memory}", "s: {type: memory, decod: msgpack}")
    [line] = when(tmp_path, "event.type == b'x' && event.count < 5u", daemon=daemon)
    assert "`decod` is not known here" in line


@pytest.mark.parametrize(
    ("expression", "lines"),
    [
        (
            "url.parse(event.u).host == 'a' && url.parse(event.u).?port.orValue(80) == 80",
            [],
        ),
        (
            "has(url.parse(event.u).user) && url.parse(event.u).query.q in url.parse(event.u).queries['q']",
            [],
        ),
        ("url.parse(event.u).hots == 'a'", ["`url.parse(event.u)` has no field `hots`; did you mean `host`?"]),
        ("url.parse(event.u).port == '80'", [PORT]),
    ],
)
def test_the_parts_of_a_url_are_known(tmp_path: Path, expression: str, lines: list[str]) -> None:
    assert when(tmp_path, expression, schema=EXACT) == lines


@pytest.mark.parametrize(
    ("expression", "lines"),
    [
        ("meta.headers['content-type'] == 'a' && meta.headers.x_y == 'b' && 'a' in meta.headers", []),
        ("meta.headers['Content-Type'] == 'a'", [f"{HEADERS} `Content-Type`{LOWER} `meta.headers['content-type']`"]),
        (
            "has(meta.headers.Content_Type)",
            [f"{HEADERS} `Content_Type`{LOWER} `meta.headers.content_type` or `meta.headers['content-type']`"],
        ),
        (
            "'X-Id' in meta.headers",
            ["this is never true: each key of meta.headers is in lower case; should be `'x-id'`"],
        ),
        ("meta.headers.exists(h, h == 'Via')", ["4:43: this is never true: `h` is in lower case; should be `'via'`"]),
    ],
)
def test_the_names_of_headers_are_in_lower_case(tmp_path: Path, expression: str, lines: list[str]) -> None:
    assert when(tmp_path, expression) == lines


@pytest.mark.parametrize(
    ("properties", "rules"),
    [
        (
            {"t": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]}},
            "[{name: cut, unset: 'event.t[0]'}, {name: a, when: \"event.t[0] == 's'\", to: x}, {name: rest, to: y}]",
        ),
        (
            {"order": {"type": "object", "required": ["paid"], "properties": {"paid": {"type": "boolean"}}}},
            (
                "[{name: at, set: {event.order.at: '${meta.time}'}}, {name: out, emit: '${event.order}'},"
                " {name: a, when: event.paid, to: x}, {name: b, when: '!event.paid', to: x},"
                " {name: late, when: event.at > timestamp('2020-01-01T00:00:00Z'), to: x}, {name: rest, to: y}]"
            ),
        ),
        (
            {"n": {"enum": [10**20 + 1]}, "m": {"type": "integer", "minimum": 10**20 + 1}},
            "[{name: a, when: event.n == 1e20 || event.m == 1e20, to: x}, {name: rest, to: y}]",
        ),
        (
            {},
            "[{name: a, when: 'vars.factor in [0.5, 1.5] || vars.none == \"a\"', to: x}, {name: rest, to: y}]",
        ),
    ],
)
def test_what_a_record_can_make_true_is_not_told(tmp_path: Path, properties: dict[str, Any], rules: str) -> None:
    """Elements that move up, maps that are made anew, integers that are compared as doubles, other values of vars."""
    daemon = f"vars: {{factor: 1, none: null}}\n{DAEMON}"
    schema = {"type": "object", "properties": properties}
    assert found(tmp_path, f"rules: {rules}\n", schema=schema, daemon=daemon) == []
