"""What a contract says of records is what the expressions of a flow, and of its sinks, are held against."""

from __future__ import annotations

from pathlib import Path

import pytest
from typechecking import DAEMON, found, when


@pytest.mark.parametrize(
    "expression",
    [
        "event.amount > 5 && event.type == 'order'",
        "event.count * 1.5 > 2.0 && event.count / 2.0 > 1 && int(event.count) % 2 == 0",
        "event.items.exists(i, i.parts.exists(p, p.parts[0].sku == 'x' && p.parts[0].parts[0].whatever))",
        "has(event.open.anything) && event.open.anything.below > 5",
        "event.type != null && event.?amount.orValue(0) > 3",
        "meta.topic == 'x' && meta.headers['level'] == 'a' && meta.source == 's' && meta.time > timestamp(0)",
        "dyn(event.type) == 5",
        "type(event.amount) == int || string(event.amount).matches('^[0-9]')",
    ],
)
def test_what_may_be_is_neither_fault_nor_warning(tmp_path: Path, expression: str) -> None:
    assert when(tmp_path, expression) == []


@pytest.mark.parametrize(
    ("expression", "what", "hint"),
    [
        ("event.items[0].skew == 'x'", "`event.items[0]` has no field `skew`", "known: sku, parts"),
        ("event.amount > 1000.5", "this is never true: `event.amount` is between 0 and 1000", ""),
        (
            "event.open.contry == 'x'",
            "warning `contry` is no field of `event.open` that is declared",
            "did you mean `country`?",
        ),
        (
            "event.count / 2 == 2",
            "warning `event.count` may be an int or a double: 5 / 2 is 2, and 5.0 / 2 is 2.5",
            "should be `event.count / 2.0`, or `int(event.count) / 2` without the rest",
        ),
        (
            "event.count % 2 == 0",
            "warning `event.count` may be an int or a double, as 4.0 is, for which there is no %",
            "should be `int(event.count)`",
        ),
        (
            "event.count in ['1']",
            "this is never true: `event.count` is a whole number, and each element of ['1'] is a string",
            "should be `1`",
        ),
        (
            "event.type in ['order', 'vist']",
            "warning 4:44: this element is never found: `event.type` is never 'vist'",
            "did you mean `visit`?",
        ),
        (
            "event.type == 'order' && event.type == 'visit'",
            "`event.type == 'order'` and `event.type == 'visit'` are never both true",
            "should be || between them, or 'in' a list",
        ),
        (
            "event.items.map(i, i.sku)[0] > 5",
            "> cannot compare these: `event.items.map(i, i.sku)[0]` is a string, and `5` is an int",
            "",
        ),
        ("meta.source == 'z'", "this is never true: `meta.source` is never 'z'", "known: s"),
        (
            "event.type == null",
            "this is never true: `event.type` is a string, and `null` is null",
            "a field that is missing is not null; has() tells whether it is there",
        ),
    ],
)
def test_what_is_wrong_says_where_and_what_would_be_right(
    tmp_path: Path, expression: str, what: str, hint: str
) -> None:
    assert when(tmp_path, expression) == [f"{what}; {hint}" if hint else what]


def test_steps_change_what_later_rules_see(tmp_path: Path) -> None:
    rules = """\
        rules:
        - {name: tier, when: event.amount > 5, set: {event.tier: gold, "event.items[*].price": 5}, unset: event.count}
        - {name: a, when: 'event.tier == "gold" && event.items[0].price > 4', to: x, continue: true}
        - {name: b, when: 'event.tier == "golden" || event.items[0].price == "x"', to: x, continue: true}
        - {name: new, emit: {id: "${event.type}"}}
        - {name: c, when: event.type == "order", to: x, continue: true}
        - {name: rest, to: {sink: x, topic: "${event.id} ${event.ib}"}}
        """
    assert found(tmp_path, rules) == [
        "6:20: this is never true: `event.tier` is never 'golden'; did you mean `gold`?",
        '6:46: this is never true: `event.items[0].price` is an int, and `"x"` is a string',
        "8:19: `event` has no field `type`; known: id",
        "9:52: `event` has no field `ib`; known: id",
    ]


def test_a_field_that_is_taken_away_for_some_may_be_there(tmp_path: Path) -> None:
    rules = """\
        rules:
        - {name: some, when: event.amount > 5, unset: event.count}
        - {name: a, when: event.count == 5, to: x}
        - {name: all, unset: event.count}
        - {name: b, when: event.count == 5, to: x}
        - {name: rest, to: x}
        """
    assert found(tmp_path, rules) == ["7:19: `event` has no field `count`; did you mean `amount`?"]


def test_a_named_expression_is_judged_where_it_is_used_and_blamed_where_it_stands(tmp_path: Path) -> None:
    rules = """\
        let:
          gold: event.tier == "gold"
          small: event.amuont < 5
          many: event.count
          unused: event.tier == "gold" && event.amount > 5
          wrong: event.whatever == 1 || event.type > 5
        rules:
        - {name: tier, set: {event.tier: gold}}
        - {name: a, when: gold && small, to: x}
        - {name: b, when: small || gold, to: x, continue: true}
        - {name: c, when: gold && many, to: x}
        - {name: d, when: many, to: x}
        - {name: rest, to: x}
        """
    assert found(tmp_path, rules) == [
        "5:10: `event` has no field `amuont`; did you mean `amount`?",
        "8:10: `event` has no field `whatever`; known: type, amount, count, items, open, tier",
        "8:33: > cannot compare these: `event.type` is a string, and `5` is an int",
        "13:27: && takes bools, and `many` is a whole number",
        "14:19: this `when` is a whole number, never true or false",
    ]


def test_a_split_and_the_settings_of_its_target_see_the_element(tmp_path: Path) -> None:
    rules = """\
        rules:
        - name: parts
          split: {each: event.items, as: item}
          set: {event.of: "${event.type}", event.size: "${item.parts.size()}", event.bad: "${item.type}"}
          to: {sink: x, topic: "${event.sku} ${event.of} ${item.sku} ${event.amount}"}
          continue: true
        - {name: no, split: {each: event.type, as: item}, to: y, continue: true}
        - {name: rest, to: y}
        """
    daemon = DAEMON.replace("x: {type: memory}", "x: {type: memory, key: '${event.sku}-${event.kind}'}")
    assert found(tmp_path, rules, daemon=daemon) == [
        "6:86: `item` has no field `type`; known: sku, parts",
        "7:64: `event` has no field `amount`; known: sku, parts, of, size, bad",
        "9:28: `each` is a string, not a list",
        "sluiceway.yaml:3:48: `event` has no field `kind`; known: sku, parts, of, size, bad",
    ]


def test_an_expression_is_found_in_every_style_of_yaml(tmp_path: Path) -> None:
    rules = """\
        rules:
        - name: a
          when: |
            event.amount > 1 &&
              event.b == 1
          to: x
        - name: b
          when: >-
            event.amount > 1
            && event.c == 1
          to: x
        - name: c
          when: 'event.type == ''order'' && event.d == 1'
          to: x
        - name: d
          when: "event.type == \\"order\\" && event.e == 1"
          to: {sink: x, topic: "a\\tb${ event.type }${
             event.f }"}
        - {name: rest, to: y}
        """
    lines = found(tmp_path, rules)
    assert [line.partition(": ")[0] for line in lines] == ["7:7", "12:8", "15:37", "18:37", "20:6"]


def test_rules_that_no_record_gets_to_are_told_with_the_rule_that_takes_it(tmp_path: Path) -> None:
    rules = """\
        rules:
        - {name: a, when: event.type == "order" || event.amount > 9, to: x}
        - {name: b, when: event.count == 1 && event.type == "order", to: x}
        - {name: on, when: event.count == 2, to: x, continue: true}
        - {name: c, when: event.count == 2, to: x}
        - {name: d, when: event.count == 2 && event.amount > 1, to: x}
        - {name: off, when: false, to: x}
        - {name: g, when: event.count == 2 || event.amount > 9, to: x}
        - {name: step, set: {event.count: 2}}
        - {name: e, when: event.count == 2, to: x}
        - {name: f, when: 1 < 2, to: x}
        - {name: rest, to: y}
        """
    assert found(tmp_path, rules) == [
        "warning 5:3: no record gets to rule `b`; rule `a` of line 4 takes all that it would match",
        "warning 8:3: no record gets to rule `d`; rule `c` of line 7 takes all that it would match",
        "warning 9:3: rule `off` never matches; its `when` is always false",
        f"warning 10:3: no record gets to rule `g`; {BOTH}",
        "warning 14:3: no record gets to rule `rest`; rule `f` of line 13 takes all of them",
    ]


def test_a_rule_behind_one_that_takes_everything_is_told_of_and_no_other_fault_is_invented(tmp_path: Path) -> None:
    rules = """\
        rules:
        - {name: all, to: x}
        - {name: late, when: event.count == 1, to: y}
        """
    assert found(tmp_path, rules) == [
        "warning 5:3: no record gets to rule `late`; rule `all` of line 4 takes all of them"
    ]


def test_a_contract_that_lets_everything_pass_proves_nothing(tmp_path: Path) -> None:
    rules = """\
        rules:
        - {name: a, when: event.type == "nothing of the kind" && event.other.x, to: x}
        - {name: b, when: event.amuont == 1, to: x}
        - {name: rest, to: y}
        otherwise: {invalid: pass}
        """
    assert found(tmp_path, rules) == [
        "warning 5:19: `amuont` is no field of `event` that is declared; did you mean `amount`?"
    ]


def test_without_a_contract_an_expression_is_checked_in_itself(tmp_path: Path) -> None:
    rules = """\
        rules:
        - {name: a, when: event.anything == 5 && event.n / 3 > 1 && "a" + event.n == 5, to: x}
        - {name: b, when: '"a" in "abc" || size(5) > 1 || 1 / 0 == 1', to: x}
        - {name: rest, to: y}
        """
    assert found(tmp_path, rules, contract="{expect: {it is: event.b > 1}}") == [
        '4:61: this is never true: `"a" + event.n` is a string, and `5` is an int',
        "5:20: 'in' looks into a list or a map, and `\"abc\"` is a string; should be text.contains('part')",
        "5:36: size() does not take (an int); it takes (string|bytes|list|map)",
        "5:51: this always fails: division by zero",
        f"warning 4:42: {READINGS}",
    ]


def test_the_values_of_vars_differ_from_place_to_place_but_not_their_types(tmp_path: Path) -> None:
    daemon = DAEMON + "vars: {env: dev, limits: {low: 5}}\n"
    expression = "vars.env == 'prod' && vars.limits.low > 9 && event.type in [vars.env]"
    assert when(tmp_path, expression, daemon=daemon) == []
    assert when(tmp_path, "vars.env > 5", daemon=daemon) == [
        "> cannot compare these: `vars.env` is a string, and `5` is an int"
    ]


def test_what_another_format_decodes_may_be_more_than_json_can_say(tmp_path: Path) -> None:
    said = ["this is never true: `event.type` is a string, and `b'x'` is bytes"]
    assert when(tmp_path, "event.type == b'x'") == said
    daemon = DAEMON.replace("s: {type: memory}", "s: {type: memory, decode: {type: avro, schema: a.avsc}}")
    (tmp_path / "a.avsc").write_text('{"type": "record", "name": "r", "fields": [{"name": "type", "type": "bytes"}]}')
    assert when(tmp_path, "event.type == b'x' || event.count < 5u", daemon=daemon) == []
    assert when(tmp_path, "event.type < 5", daemon=daemon) != []


@pytest.mark.parametrize(
    ("expression", "lines"),
    [
        ("event.Kind == 'a' && event.n == '5' && event.at > '2026'", []),
        ("event.Kind == 'c'", ["this is never true: `event.Kind` is never 'c'; known: a, b"]),
        ("event.exact == 1.5", ["this is never true: `event.exact` is a whole number, and `1.5` is not"]),
        ("event.n == 1.5", ["this is never true: `event.n` is a whole number, and `1.5` is not"]),
        ("event.exact == 'x'", ["this is never true: `event.exact` is a whole number, and `'x'` is a string"]),
        ("event.inner.sku > 5", ["> cannot compare these: `event.inner.sku` is a string, and `5` is an int"]),
        ("event.inner.sko == 'x'", ["`event.inner` has no field `sko`; known: sku, inner"]),
        ("event.low == 5 && event.inner.inner.inner.inner.inner.x == 1", []),
        ("event.kind == 'a'", ["warning `kind` is no field of `event` that is declared; did you mean `Kind`?"]),
    ],
)  # fmt: skip
def test_a_model_says_what_json_it_accepts(tmp_path: Path, expression: str, lines: list[str]) -> None:
    (tmp_path / "typed_models_of_a_test.py").write_text(MODEL)
    daemon = DAEMON + "models: {thing: 'typed_models_of_a_test:Thing'}\n"
    assert when(tmp_path, expression, contract="{model: thing}", daemon=daemon) == lines


BOTH = "rule `a` of line 4 and rule `c` of line 7 take all that it would match"
READINGS = (
    "`event.n` may be an int or a double: 5 / 3 is 1, and 5.0 / 3 is 1.66667; "
    "should be `event.n / 3.0`, or `int(event.n) / 3` without the rest"
)
MODEL = """
from __future__ import annotations
from datetime import datetime
from typing import Annotated, Literal
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sku: str
    inner: Inner | None = None

class Thing(BaseModel):
    kind: Literal["a", "b"] = Field(alias="Kind")
    n: int
    exact: Annotated[int, Field(strict=True)]
    at: datetime
    inner: Inner
    low: Annotated[Literal["x"], BeforeValidator(str.lower)]
"""


@pytest.mark.parametrize(
    ("earlier", "later", "hidden"),
    [
        ('event.type in ["order", "visit"]', 'event.type == "visit"', True),
        ('event.type in ["order", "visit"]', 'event.type in ["visit", "order"]', True),
        ('event.type in ["order"]', 'event.type in ["visit", "order"]', False),
        ('event.x == "pro" || event.x == "free"', 'event.x in ["free", "pro"] && event.y > 1', True),
        ("event.qty > 5", "event.qty > 10", True),
        ("event.qty > 5", "event.qty >= 5", False),
        ("event.qty >= 5", "5.0 < event.qty", True),
        ("event.qty > 5", "event.qty == 6", True),
        ("event.qty > 5", 'event.qty != "a"', False),
        ("event.qty < -1", "event.qty <= -2", True),
        ("event.qty < 5", "event.qty > 1", False),
        ("event.qty > 9007199254740993", "event.qty > 9007199254740994", False),
        ("event.vip", "event.vip == true", True),
        ("event.vip == true", "event.vip", True),
        ("!event.vip", "event.vip == false", True),
        ("!event.vip", "event.vip != true", False),
        ("event.one == 1", "event.one == true", False),
        ('event.type != "order"', 'event.type == "visit"', True),
        ('!(event.type in ["a", "b"])', 'event.type == "c"', True),
        ('event.type != "order"', "event.type > 5", True),
        ('event.type != "order"', 'event.type != "visit"', False),
        ('event.type.startsWith("a")', 'event.type.startsWith("ab")', True),
        ('event.type.startsWith("a")', 'event.type == "abc"', True),
        ('event.type.startsWith("ab")', 'event.type.startsWith("a")', False),
        ('event.type.contains("b")', 'event.type.endsWith("abc")', True),
        ('event.type.startsWith("a")', 'event.type != "b"', False),
        ('event.type.startsWith("a")', 'event.other.startsWith("ab")', False),
    ],
)
def test_a_rule_is_hidden_by_an_earlier_one_that_is_true_whenever_it_is(
    tmp_path: Path, earlier: str, later: str, hidden: bool
) -> None:
    rules = f"rules:\n- {{name: a, when: '{earlier}', to: x}}\n- {{name: b, when: '{later}', to: y}}\n- {{to: x}}\n"
    said = ["warning 5:3: no record gets to rule `b`; rule `a` of line 4 takes all that it would match"]
    assert found(tmp_path, rules, contract="{expect: {it is: event.b > 1}}") == (said if hidden else [])


def test_every_rule_behind_one_that_takes_all_is_told_and_looked_at(tmp_path: Path) -> None:
    rules = """\
        rules:
        - {name: all, when: 1 < 2, to: x}
        - {name: a, when: event.amount > "5", to: x}
        - {name: b, when: event.amount > 7, to: x}
        - {name: rest, to: y}
        """
    assert [line.partition(";")[0] for line in found(tmp_path, rules)] == [
        '5:19: > cannot compare these: `event.amount` is a number, and `"5"` is a string',
        "warning 5:3: no record gets to rule `a`",
        "warning 6:3: no record gets to rule `b`",
        "warning 7:3: no record gets to rule `rest`",
    ]
