"""Payloads that JSON allows, or nearly: the fast way and the exact one give the same answer, and neither crashes."""

from __future__ import annotations

import json

import pytest
from rulesets import both, ruleset_of

from router.batch import Batch
from rules.ruleset import Ruleset

FIELDS = ("read", "skipped")
DEEP = 10_000
VALUES = {
    "a text of 10 MB": b'"' + b"x" * 10_000_000 + b'"',
    "a list, deep": b"[" * DEEP + b"]" * DEEP,
    "a map, deep": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "an integer of 64 bits": b"9223372036854775807",
    "an integer of 65 bits": b"18446744073709551616",
    "an integer of 400 digits": b"1" * 400,
    "an integer of 10,000 digits": b"-" + b"9" * 10_000,
    "a double that is too large": b"1e999",
    "a double of many digits": b"0." + b"1" * 2000,
    "NaN": b"NaN",
    "Infinity": b"-Infinity",
    "a text that is not UTF-8": b'"\xff"',
    "half of a UTF-8 sequence": b'"\xc3"',
    "an encoded surrogate": b'"\xed\xa0\x80"',
    "an escaped surrogate": b'"\\ud800"',
    "an escaped pair": b'"\\ud83d\\ude00"',
    "a NUL": b'"\\u0000"',
    "a raw control character": b'"\x01"',
    "a bad escape": b'"\\x"',
    "a leading zero": b"01",
    "a sign": b"+1",
    "a bare word": b"tru",
    "nothing": b"",
    "a comma too many": b"[1,]",
}
FLOWS = {
    "compares": 'rules: [{name: one, when: event.read == "x", to: a}, {name: two, when: event.read.a > 1, to: b}]',
    "tests": 'rules: [{name: one, when: has(event.read) && string(event.read).startsWith("1"), to: a}]',
    "finds": "rules:" + "".join(f'\n  - {{name: r{n}, when: event.read == "{n}", to: a}}' for n in range(5)),
    "finds numbers": "rules:" + "".join(f"\n  - {{name: r{n}, when: event.read == {n}, to: a}}" for n in range(5)),
    "changes": 'rules: [{name: all, set: {event.new: "${event.read}"}, to: a}]',
    "takes all": "rules: [{name: all, when: size(event) > 0, to: a}]",
}
ENDING = "\notherwise: {unmatched: drop, error: b}"
CONTRACT = "contract: {schema: schema.json}\n"
SCHEMA = {
    "required": ["read"],
    "properties": {
        "read": {"type": ["string", "number", "boolean", "array"], "maxLength": 3, "minimum": -3.5, "maximum": 20},
        "skipped": {"anyOf": [{"type": "object", "maxProperties": 1}, {"type": ["integer", "string"]}]},
    },
}


@pytest.fixture(params=[*FLOWS, *(f"{name}, by a schema" for name in FLOWS)])
def ruleset(request: pytest.FixtureRequest) -> Ruleset:
    name, _, contract = request.param.partition(", ")
    return ruleset_of((CONTRACT if contract else "") + FLOWS[name] + ENDING, schema=SCHEMA)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("field", FIELDS)
def test_an_odd_value_is_decided_alike(ruleset: Ruleset, field: str, value: bytes) -> None:
    """Alone, and between records that are as usual."""
    payload = b'{"other": 1, "%b": %b, "last": true}' % (field.encode(), value)
    usual = json.dumps({"read": "x"}).encode()
    both(ruleset, Batch([payload]))
    both(ruleset, Batch([usual, payload, usual]))


@pytest.mark.parametrize(
    "payload",
    [
        b'{"read":"x","read":1}',
        b'{"read":1,"read":"x"}',
        b'{"read":{"a":5},"read":{"b":1}}',
        b'{"read":{"b":1},"read":{"a":5}}',
        b'{"read":{"a":1,"a":5}}',
        b'{"re\\u0061d":"x"}',
        b'{"":"x","read":"x"}',
        b'\xef\xbb\xbf{"read":"x"}',
        b' \t\r{"read":"x"} \r',
        b'{"read":"x"}{"read":"x"}',
        b'{"read":"x"} 1',
        b'{"read":"x"',
        b"[]",
        b"null",
        b'"read"',
        b"5",
        b"",
        b"\x00",
    ],
)
def test_an_odd_payload_is_decided_alike(ruleset: Ruleset, payload: bytes) -> None:
    both(ruleset, Batch([payload, b'{"read":"x"}']))


@pytest.mark.parametrize("contract", ["", CONTRACT])
@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "", "\u2028"])
def test_a_field_may_have_any_name(name: str, contract: str) -> None:
    """Also one that no attribute of a decoded object can be called by."""
    when = f"event[{json.dumps(name)}] == 1"
    text = contract + f"rules: [{{name: one, when: {json.dumps(when)}, to: a}}]" + ENDING
    ruleset = ruleset_of(text, schema={"properties": {name: {"type": "integer"}, "n": {"enum": [name, "\u2028"]}}})
    decisions = both(ruleset, Batch([json.dumps(event).encode() for event in ({name: 1}, {name: 2}, {"n": name})]))
    assert [list(delivery.indices) for delivery in decisions.deliveries if delivery.sink == "a"] == [[0]]
