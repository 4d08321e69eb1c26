"""What contracts mark as sensitive is in nothing that is shown: dead letters, samples, taps, explanations, messages."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from api_daemons import SECRET, Client, client_of, project
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from router.batch import Batch
from router.config import load
from router.deadletters import DeadLetters
from router.explanation.as_json import AsJson
from router.explanation.sinks import Sinks
from router.explanation.values import Values
from router.letter import Letter
from router.redaction import Redaction
from router.state import StateDir
from rules.reader import read_flow
from rules.ruleset import Ruleset, SinkFacts, compile_flow
from tests.commands import sluiceway


def flow_of(rules: str, schema: object = None) -> Any:
    raw = json.dumps(schema).encode()
    flow, faults = read_flow(rules, "rules.yaml", lambda _: raw)
    return flow, [str(fault) for fault in faults]


def ruleset(rules: str, schema: object = None) -> Ruleset:
    flow, faults = flow_of(rules, schema)
    assert not faults
    return compile_flow(flow, sinks={"out": SinkFacts("out", per_record=frozenset({"path"}))}, vars={}, models={})


async def first_letter(client: Client, **query: str) -> Any:
    async with asyncio.timeout(10):
        while not (letters := (await client.get("/api/dead_letters", **query))["letters"]):
            await asyncio.sleep(0.05)
    return await client.get(f"/api/dead_letters/{letters[0]['id']}")


async def test_nothing_that_the_api_answers_shows_it(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        letters = [await first_letter(client, rule=rule) for rule in ("odd", "fails")]
        async with asyncio.timeout(10):
            while not (samples := (await client.get("/api/flows/orders/samples"))["samples"]):
                await asyncio.sleep(0.05)
        explained = [
            await client.post("/api/explain", flow="orders", value={"amount": amount, "user": {"email": SECRET}})
            for amount in (50, 51, 52)
        ]
        async with client.session.get(client.url + "/api/flows/orders/tap") as answer:
            tapped = (await answer.content.read(3000)).decode()
        for shown in (*letters, samples, *explained, tapped):
            text = json.dumps(shown)
            assert "***" in text
            assert "ada" not in text.replace('startsWith(\\"ada\\")', "")
            assert "secret.example" not in text
        assert json.loads(letters[0]["value"])["user"] == {"id": "u1", "email": "***"}
        assert explained[2]["goes_to"][0]["settings"]["key"] == "***"


async def test_no_condition_may_ask_for_it(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        probes = (
            "event.user.email.startsWith('a')",
            "event.contact != ''",
            "string(event) != ''",
            "meta.raw == event",
        )
        for text in probes:
            for path, name in (("/api/dead_letters", "when"), ("/api/flows/orders/tap", "where")):
                status, told = await client.ask("GET", path, params={name: text})
                assert (status, "sensitive" in told["error"]) == (400, True), text
            assert (await client.ask("POST", "/api/dead_letters/purge", json={"when": text}))[0] == 400


def test_explain_on_the_command_line_does_not_show_it(tmp_path: Path) -> None:
    path = project(tmp_path)
    given = json.dumps({"amount": 51, "user": {"id": "u1", "email": "me@secret.example"}})
    for options in ([], ["--json"]):
        done = sluiceway("explain", path, "orders", *options, cwd=tmp_path, given=given)
        assert done.returncode == 0, done.stderr
        assert "secret.example" not in done.stdout
        assert "***" in done.stdout


VALUES = ["tom@x.example", "t0m", 1234567, True]


@pytest.mark.parametrize(
    "expression",
    [
        "event.card.number",
        "event['card'].number",
        "string(event.card.number)",
        "[event.card.number][0]",
        "{'a': event.card}.a.number",
        "event.card.exists(k, k == 'x') ? 'no' : string(event.card.number)",
        "cel.bind(c, event.card.number, string(c) + '!')",
        "[event.card.number].map(c, c)",
        "event.cards.map(c, c.number)",
        "event.cards.filter(c, c.number != 0)",
        "event[event.name]",
        "event",
        "meta.raw",
        "named",
        "event.card.number == 'no' ? 1 : event.card.number",
        "event.?card.?number.orValue(0)",
        "event.copy",
    ],
)
@pytest.mark.parametrize("value", [1234567, "tom@x.example"])
def test_whatever_reads_it_does_not_show_it(expression: str, value: object) -> None:
    rules = f"""
from: [s]
contract: {{sensitive: [event.card.*, "event.cards[*].number"]}}
let: {{named: event.card.number}}
rules:
  - {{set: {{event.copy: "${{event.card.number}}"}}}}
  - {{set: {{event.made: {json.dumps("${" + expression + "}")}}}}}
  - {{to: {{sink: out, key: "${{string(event.made)}}", path: "${{event.name}}"}}}}
"""
    event = {"name": "card", "card": {"number": value}, "cards": [{"number": value, "id": 1}]}
    explanation = ruleset(rules).explain(Batch([json.dumps(event).encode()]), 0, "s")
    # What an explanation holds besides the outcome, which is the decision itself and is shown by nobody.
    explanation.outcome = None  # type: ignore[assignment]
    assert str(value) not in repr(explanation)
    assert "***" in repr(explanation)


def test_what_is_true_or_false_of_it_may_be_shown_and_it_itself_not() -> None:
    rules = """
from: [s]
contract: {sensitive: [event.user.ill]}
rules: [{name: a, when: event.user.ill == true && has(event.user.ill), to: out}, {to: drop}]
"""
    explanation = ruleset(rules).explain(Batch([b'{"user":{"ill":true}}']), 0, "s")
    when = explanation.rules[0].when
    assert when is not None
    assert when.value is True
    assert repr(when.parts[0].parts[0].value) == "***"


SCHEMA = {
    "type": "object",
    "properties": {
        "user": {"$ref": "#/$defs/user"},
        "tags": {"type": "array", "items": {"type": "string", "sensitive": True}},
    },
    "$defs": {"user": {"type": "object", "properties": {"email": {"type": "string", "sensitive": True}}}},
}


def test_a_schema_marks_fields_and_what_it_says_of_them_does_not_show_them() -> None:
    made = ruleset("from: [s]\ncontract: {schema: s.json}\nrules: [{to: out}]\n", SCHEMA)
    decisions = made.route(Batch([b'{"user":{"email":424242},"tags":[3535]}']), "s")
    decisions.keep_rejected()
    (letter,) = decisions.letters
    assert "424242" not in letter.detail
    assert "3535" not in letter.detail
    assert "/user/email" in letter.detail


@pytest.mark.parametrize(
    ("marked", "says"),
    [
        ("[event.user.emial]", "did you mean `email`?"),
        ("[user.email]", "not a path below `event`"),
        ("[event.user.]", "is not a path"),
        ("[5]", "should be"),
        ("{a: b}", "should be"),
        ("[meta.]", "is not a path"),
    ],
)
def test_a_path_that_marks_nothing_is_a_fault(marked: str, says: str) -> None:
    _, faults = flow_of(f"from: [s]\ncontract: {{schema: s.json, sensitive: {marked}}}\nrules: [{{to: out}}]\n", SCHEMA)
    assert len(faults) == 1
    assert says in faults[0]
    assert faults[0].startswith("rules.yaml:2:")


NAMES = st.sampled_from(["user", "email", "ssn", "items", "note", "other"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 99) | st.just("plain"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
PATHS: list[tuple[str | int, ...]] = [("user", "email"), ("ssn",), ("items", 0, "note")]
SHAPED = """
from: [s]
contract:
  schema: schema.json
  sensitive: [event.user.email, event.ssn, "event.items[*].note"]
rules:
  - {name: reads, when: '[1].exists(n, event.other == event.user || event[0] == n)', to: dead_letter}
  - {name: makes, set: {event.copy: "${event.user}"}, to: out}
  - {name: other, when: event.other != 1, to: out}
  - {name: rest, to: out}
"""


def placed(value: Any, steps: tuple[str | int, ...], inner: Any) -> Any:
    """The value with another one at these steps, in the maps and lists that they need."""
    if not steps:
        return inner
    step, *rest = steps
    if isinstance(step, int):
        return [placed(None, tuple(rest), inner)]
    around = value if isinstance(value, dict) else {}
    return {**around, step: placed(around.get(step), tuple(rest), inner)}


def wrapped(wraps: list[str | int]) -> Any:
    return placed(None, tuple(wraps), SECRET)


@settings(max_examples=150, deadline=None)
@given(JSON, st.sampled_from(PATHS), st.integers(0, 3), st.lists(NAMES | st.just(0), max_size=3))
def test_at_under_or_instead_of_a_prefix_of_a_path_it_is_hidden(
    event: Any, path: tuple[str | int, ...], cut: int, wraps: list[str | int]
) -> None:
    """What is put there stands on the path unless it is a map, or a list, that leads elsewhere."""
    prefix, rest = path[:cut], path[cut:]
    assume(not rest or not wraps or (wraps[0] == 0 if isinstance(rest[0], str) else len(wraps) == 1))
    record = placed(event, prefix, wrapped(wraps))
    assert SECRET not in shown_of(record, strict=False)
    assert SECRET not in shown_of(record, strict=True)


@settings(max_examples=150, deadline=None)
@given(JSON, st.lists(NAMES | st.just(0), max_size=2))
def test_what_is_on_no_path_stays_shown(event: Any, wraps: list[str | int]) -> None:
    record = placed(event if isinstance(event, dict) else None, ("other", *wraps), "seen@shop.example")
    assert "seen@shop.example" in shown_of(record, strict=False)


def shown_of(record: Any, *, strict: bool) -> str:
    """All that an explanation shows."""
    made = MADE[strict].explain(Batch(values=[json.dumps(record).encode()]), 0, "s")
    text = AsJson(Values(lambda text: text), Sinks({})).explanation(made)
    return repr(made.event) + json.dumps(text) + made.raw.decode()


MADE = {
    strict: ruleset(SHAPED, {"properties": {"other": {"const": 1}, "a": False}, "items": False} if strict else {})
    for strict in (False, True)
}


@pytest.mark.parametrize("event", [SECRET, [{"user": {"email": SECRET}}], {"user": SECRET}, {"user": [SECRET]}])
def test_letters_of_another_shape_do_not_show_it(tmp_path: Path, event: Any) -> None:
    """Neither in the record nor in what a sink said of it."""
    record: dict[str, Any] = {
        "time": 1, "flow": "orders", "source": "orders", "stage": "sink", "reason": "rejected",
        "detail": f"not {SECRET!r}", "value": json.dumps(event).encode(),
    }  # fmt: skip
    shown = json.dumps(Redaction(load([project(tmp_path)])).letter(Letter(**record)))
    assert SECRET not in shown
    assert shown.count("***") >= 2


def test_what_is_said_of_a_letter_on_the_command_line_does_not_show_it(tmp_path: Path) -> None:
    path = project(tmp_path)
    value = json.dumps({"amount": 1, "user": {"email": SECRET}}).encode()
    letter = Letter(
        time=1, flow="orders", source="orders", stage="sink", sink="keyed", reason="not_allowed",
        detail=f"path 'out/{SECRET}' is not allowed", value=value,
    )  # fmt: skip
    with StateDir.open(tmp_path / "state") as state:
        asyncio.run(DeadLetters(state).add_many([letter, replace(letter, flow="gone")]))
    for command in (["explain", str(path), "--dead", "1"], ["dead", "list", str(path)]):
        done = sluiceway(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout
        assert "path 'out/***' is not allowed" in done.stdout
