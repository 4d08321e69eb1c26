"""Schemas and models: fast when a record holds, and every violation with its check and place when it does not."""

from __future__ import annotations

from typing import Any

import msgspec
import pydantic
import pytest
from rulesets import batch_of, both, flow_of, sinks_of

from rules.codecs import Format, Json, Text
from rules.contract import Violation, describe, model_validator, schema_validator
from rules.faults import Refused
from rules.flow import Contract, Flow
from rules.ruleset import Ruleset, compile_flow

SCHEMA: dict[str, object] = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "string"},
        "amount": {"type": "number", "minimum": 0},
        "a/b": {"items": {"$ref": "#/$defs/tag"}},
    },
    "$defs": {"tag": {"maxLength": 2}},
}


class Order(pydantic.BaseModel):
    """An order."""

    id: str
    amount: float = pydantic.Field(ge=0)


def test_every_violation_of_a_schema_has_its_check_and_its_place() -> None:
    validator = schema_validator(SCHEMA)
    event = {"amount": -1, "a/b": ["abc", "ab", "abcd"]}
    assert not validator.holds(event, b"")
    assert {(v.check, v.place) for v in validator.violations(event, b"")} == {
        ("schema/required", ""),
        ("schema/properties/amount/minimum", "/amount"),
        ("schema/$defs/tag/maxLength", "/a~1b/0"),
        ("schema/$defs/tag/maxLength", "/a~1b/2"),
    }
    assert validator.holds({"id": "x", "amount": 10**400}, b"")


def test_checks_come_from_the_schema_and_not_from_the_record() -> None:
    node: dict[str, object] = {"properties": {"child": {"$ref": "#"}, "n": {"type": "integer"}}}
    event: Any = {"n": "x"}
    for _ in range(50):
        event = {"n": "x", "child": event}
    assert {violation.check for violation in schema_validator(node).violations(event, b"")} == {
        "schema/properties/n/type"
    }


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "strin"}, "strin"),
        ({"$ref": "#/$defs/none"}, "none"),
        ({"pattern": "("}, "regex"),
        ({"$ref": "http://127.0.0.1:9/schema.json"}, "nothing is fetched"),
    ],
)
def test_a_schema_that_is_not_valid_is_refused_with_the_reason(schema: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        schema_validator(schema)


@pytest.mark.parametrize(("decode", "encoded"), [(Json(), True), (Text(), False)])
def test_every_violation_of_a_model_has_its_check_and_its_place(decode: Format, encoded: bool) -> None:
    validator = model_validator(Order, decode)
    event = {"amount": -1}
    raw = msgspec.json.encode(event) if encoded else b""
    assert not validator.holds(event, raw)
    assert [(v.check, v.place) for v in validator.violations(event, raw)] == [
        ("model/missing", "/id"),
        ("model/greater_than_equal", "/amount"),
    ]
    good = {"id": "x", "amount": 1}
    assert validator.holds(good, msgspec.json.encode(good))
    assert validator.violations(good, msgspec.json.encode(good)) == []


def test_a_model_whose_own_validator_crashes_is_a_violation() -> None:
    class Odd(pydantic.BaseModel):
        n: int

        @pydantic.field_validator("n")
        @classmethod
        def check(cls, value: int) -> int:
            return 1 // value

    assert [v.check for v in model_validator(Odd, Json()).violations({"n": 0}, b'{"n":0}')] == ["model"]


def test_very_many_and_very_long_violations_are_shown_cut() -> None:
    shown = describe([Violation("c", "", "m")] * 50)
    assert shown.endswith("; and 30 more")
    (violation,) = schema_validator({"maxLength": 1}).violations("x" * 10_000, b"")
    assert len(violation.message) < 400


def with_contract(contract: Contract, **models: Any) -> Ruleset:
    flow = flow_of("contract: {expect: {n: event.n > 0}}\nrules: [{name: r, to: a}]")
    parts = {name: getattr(flow, name) for name in Flow.__struct_fields__}
    parts["contract"] = Contract(contract.schema, None, contract.model, None, flow.contract.expect)
    flow = Flow(**parts)
    return compile_flow(flow, sinks=sinks_of(flow), vars={}, models=models)


@pytest.mark.parametrize("kind", ["schema", "model"])
def test_all_kinds_of_contract_make_one_dead_letter_together(kind: str) -> None:
    if kind == "schema":
        ruleset = with_contract(Contract(schema=SCHEMA))
    else:
        ruleset = with_contract(Contract(model="order"), order=Order)
    decisions = both(
        ruleset, batch_of({"id": "x", "amount": 1, "n": 1}, {"amount": 1, "n": 0}, {"id": "x", "amount": 1})
    )
    assert list(decisions.deliveries[0].indices) == [0]
    assert [(letter.index, letter.stage, letter.reason) for letter in decisions.letters] == [
        (1, "contract", "invalid"),
        (2, "contract", "invalid"),
    ]
    assert decisions.violations == {"n": 2, "schema/required" if kind == "schema" else "model/missing": 1}
    assert "; n at /n: event.n > 0 is false" in decisions.letters[0].detail


def test_a_deep_record_is_checked_or_refused_but_never_lost() -> None:
    ruleset = with_contract(Contract(schema={"properties": {"d": {"$ref": "#"}}}))
    decisions = both(ruleset, batch_of(b'{"n":1,"d":' * 800 + b"1" + b"}" * 800))
    assert len(decisions.deliveries) + len(decisions.letters) == 1


def test_a_bad_schema_and_an_unknown_model_are_faults() -> None:
    with pytest.raises(Refused, match="the schema is not valid"):
        with_contract(Contract(schema={"type": "strin"}))
    with pytest.raises(Refused, match="there is no model order; did you mean `orders`"):
        with_contract(Contract(model="order"), orders=Order)
