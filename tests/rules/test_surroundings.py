"""Tables and secrets in a compiled flow: found at run time, by both of its paths, and never shown."""

from __future__ import annotations

from rulesets import batch_of, both, flow_of, ruleset_of

from rules.cel.surroundings import Surroundings, Table, filed
from rules.reader import read_flow

RULES = """
let: {country: "lookup('countries', event.code)"}
rules:
  - {name: known, when: "lookup('countries', 'DE').hasValue() && country.?eu.orValue(false)", to: eu}
  - {name: rest, set: {event.id: "${mask.token(event.code, 'pepper')}"}, to: rest}
"""


def delivered(ruleset: object, *events: object) -> dict[str, list[int]]:
    decisions = both(ruleset, batch_of(*events))  # type: ignore[arg-type]  # a ruleset
    return {delivery.sink: list(delivery.indices) for delivery in decisions.deliveries if delivery.indices}


def test_what_a_table_holds_now_is_found_also_where_the_key_is_the_same_for_every_record() -> None:
    countries = Table({"DE": {"eu": True}})
    ruleset = ruleset_of(RULES, around=Surroundings({"countries": countries}, {"pepper": "s3cret!"}))
    assert delivered(ruleset, {"code": "DE"}, {"code": "CH"}) == {"eu": [0], "rest": [1]}
    countries.replace(filed({"DE": {"eu": False}, "CH": {"eu": True}}))
    assert delivered(ruleset, {"code": "DE"}, {"code": "CH"}) == {"rest": [0], "eu": [1]}
    countries.replace({})
    assert delivered(ruleset, {"code": "DE"}) == {"rest": [0]}


def test_a_row_that_goes_into_an_event_stays_as_it_is_in_the_table() -> None:
    row = {"name": "Germany", "of": {"eu": True}}
    text = """
    rules:
      - {name: in, set: {event.country: "${lookup('countries', 'DE').value()}"}}
      - {name: change, set: {event.country.of.eu: false, event.country.name: x}}
      - {name: out, to: a}
    """
    ruleset = ruleset_of(text, around=Surroundings({"countries": Table({"DE": row})}))
    decisions = both(ruleset, batch_of({}))
    assert decisions.deliveries[0].values == [b'{"country":{"name":"x","of":{"eu":false}}}']
    assert row == {"name": "Germany", "of": {"eu": True}}


def test_a_secret_is_neither_in_the_generated_code_nor_in_an_explanation() -> None:
    ruleset = ruleset_of(RULES, around=Surroundings({"countries": Table()}, {"pepper": "s3cret!"}))
    explanation = ruleset.explain(batch_of({"code": "DE"}), 0, "s")
    assert "s3cret!" not in ruleset.code + repr(explanation)
    constant = "rules: [{name: r, when: \"hash.hmac('md5', 'pepper', 'x') == event.x\", to: a}, {name: s, to: b}]"
    assert "s3cret!" not in ruleset_of(constant, around=Surroundings({}, {"pepper": "s3cret!"})).code


def test_names_that_do_not_exist_are_faults_where_they_stand() -> None:
    text = (
        "from: s\nrules:\n"
        "  - {name: r, when: \"lookup('contries', event.a).hasValue()\", to: a}\n"
        "  - {name: s, to: {sink: a, key: \"${mask.token(event.a, 'peper')}-${lookup(event.t, 1)}\"}}\n"
    )
    declared = {"tables": ["countries"], "secrets": ["pepper"]}
    _, faults = read_flow(text, "flow.yaml", lambda _: b"", {}, declared)
    assert list(map(str, faults)) == [
        "flow.yaml:3:29: there is no `contries` among `tables` of the daemon's file; did you mean `countries`?",
        "flow.yaml:4:57: there is no `peper` among `secrets` of the daemon's file; did you mean `pepper`?",
    ]
    assert not read_flow(text, "flow.yaml", lambda _: b"", {}, None)[1]
    assert flow_of(text.replace("from: s\n", ""))
