"""Every fault of a rules file is reported, at its place, in these words."""

from __future__ import annotations

import pytest

from rules.reader import read_flow

FILES = {
    "ok.json": b'{"type": "object"}',
    "bad.json": b'{\n  "type": "objct"}',
    "no.json": b'{"a": 1,\n "b"}',
    "list.json": b"[]",
    "latin.json": b'"\xff"',
    "bad.yaml": b"properties:\n  a: {minimum: x}\n",
}


def read_file(name: str) -> bytes:
    if name not in FILES:
        raise FileNotFoundError(2, "No such file or directory")
    return FILES[name]


# ruff: noqa: E501 - what a fault says stands here as it is shown
FAULTS = [
    (
        # A key that is misspelt is one fault, and each fault is placed where it is.
        "from: a\nrules:\n  - when: event.n\n    to:\n      - x\n      - {sink: y}\n      - drop\n  - to: [x, y, reject]\notherwise: {invalid: [x, reject]}\ntests:\n  - given: [{evnt: {x: 1}}, {raww: '{}', key: k}, {key: k}]\n    then: {x: 1}\n",
        [
            "f.yaml:7:9: `drop` stands beside other targets; should stand alone: what is delivered is not dropped",
            "f.yaml:8:16: `reject` does not go here; only `undecodable` and `invalid` under `otherwise` can reject",
            "f.yaml:8:16: `reject` stands beside other targets; should stand alone: what is rejected is not kept",
            "f.yaml:9:26: `reject` stands beside other targets; should stand alone: what is rejected is not kept",
            "f.yaml:11:14: `evnt` is not known here; did you mean `event`?",
            "f.yaml:11:30: `raww` is not known here; did you mean `raw`?",
            "f.yaml:11:51: this record has neither `event` nor `raw`; should be a record, such as {event: {type: order}}, or {raw: 'the payload'}",
        ],
    ),
    (
        "- a\n",
        [
            "f.yaml:1:1: the file is a list; should be a mapping with `from` and `rules`",
        ],
    ),
    (
        "x",
        [
            "f.yaml:1:1: the file is text; should be a mapping with `from` and `rules`",
        ],
    ),
    (
        "form: [a]\nrules: [{to: x}]\n",
        [
            "f.yaml:1:1: `form` is not known here; did you mean `from`?",
        ],
    ),
    (
        "from: []\nrules: [{to: x}]\n",
        [
            "f.yaml:1:7: `from` is an empty list; should be a source's name, or a list of them",
        ],
    ),
    (
        "from: [a, 5, a]\nrules: [{to: x}]\n",
        [
            "f.yaml:1:11: `from[1]` is a number; should be a source's name; as text it is '5'",
            "f.yaml:1:14: `a` stands twice in `from`",
        ],
    ),
    (
        "from: {a: 1}\nrules: [{to: x}]\n",
        [
            "f.yaml:1:7: `from` is a mapping; should be a source's name, or a list of them",
        ],
    ),
    (
        "flow: 5\nfrom: a\nrules: [{to: x}]\n",
        [
            "f.yaml:1:7: `flow` is a number; should be the flow's name; as text it is '5'",
        ],
    ),
    (
        "flow: ' x'\nfrom: a\nrules: [{to: x}]\n",
        [
            "f.yaml:1:7: `flow` cannot be a name; should be printable, with no space at its ends",
        ],
    ),
    (
        "from: a\n",
        [
            "f.yaml:1:1: what happens to records that no rule takes is not said; should end with a rule without `when`, or say `otherwise: {unmatched: ...}`",
        ],
    ),
    (
        "from: a\nrules: []\n",
        [
            "f.yaml:2:8: `rules` is an empty list; should be a list of rules, such as [{name: rest, to: archive}]",
        ],
    ),
    (
        "from: a\nrules: {to: x}\n",
        [
            "f.yaml:2:8: `rules` is a mapping; should be a list of rules, such as [{name: rest, to: archive}]",
        ],
    ),
    (
        "from: a\nrules: [x]\n",
        [
            "f.yaml:2:9: `rules[0]` is text; should be a rule, such as {name: rest, to: archive}",
        ],
    ),
    (
        "from: a\nrules: [{to: x, when: event.a}]\n",
        [
            "f.yaml:2:9: what happens to records that no rule takes is not said; should end with a rule without `when`, or say `otherwise: {unmatched: ...}`",
        ],
    ),
    (
        "from: a\nrules: [{to: x}]\ntables: {}\n",
        [
            "f.yaml:3:1: `tables` is not known here; known: flow, from, contract, let, rules, otherwise, tests",
        ],
    ),
    (
        "<<: {a: b}\nfrom: a\nrules: [{to: x}]\n",
        [
            "f.yaml:1:1: `<<` is not known here; `<<` is YAML 1.1 and merges nothing here: repeat what is meant",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {nmae: x, to: y}\n  - to: x\n",
        [
            "f.yaml:3:6: `nmae` is not known here; did you mean `name`?",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {name: x, route: 1, to: y}\n  - to: x\n",
        [
            (
                "f.yaml:3:15: `route` is not known here; "
                "known: name, when, expect, sample, throttle, dedupe, set, unset, emit, split, to, continue"
            ),
        ],
    ),
    (
        "from: [a]\nrules:\n  - {name: '', to: y}\n  - to: x\n",
        [
            "f.yaml:3:12: `name` is empty; should be the rule's name",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {name: 5, to: y}\n  - to: x\n",
        [
            "f.yaml:3:12: `name` is a number; should be the rule's name; as text it is '5'",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {name: otherwise.error, to: y}\n  - to: x\n",
        [
            "f.yaml:3:12: `otherwise.error` is what metrics call the ending of that name; should be another name",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {name: n, to: y}\n  - {name: n, to: y}\n  - to: x\n",
        [
            "f.yaml:4:12: a second rule is named `n`; the first stands in line 3",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {when: evnt.a == 1, to: y}\n  - to: x\n",
        [
            "f.yaml:3:12: `evnt` is not known here; did you mean `event`?",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {when: amount > 5, to: y}\n  - to: x\n",
        [
            "f.yaml:3:12: `amount` is not known here; a field of the record is `event.amount`; known: event, meta, vars",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {when: event.items.exists(i, i > j) && i, to: y}\n  - to: x\n",
        [
            "f.yaml:3:12: YAML does not read `event.items.exists(i, i > j) && i` as one text; should be quoted: when: 'event.items.exists(i, i > j) && i'",
            "f.yaml:3:38: `j` is not known here; a field of the record is `event.j`; known: event, meta, vars",
            "f.yaml:3:44: `i` is not known here; a field of the record is `event.i`; known: event, meta, vars",
        ],
    ),
    (
        "from: [a]\nrules:\n  - when: event.a ==\n    to: y\n  - to: x\n",
        [
            "f.yaml:3:21: the expression ends here, where a value should follow",
        ],
    ),
    (
        "from: [a]\nrules:\n  - when: \"event.a == 'é\\u00e9' && event.b ==== 1\"\n    to: y\n  - to: x\n",
        [
            "f.yaml:3:44: '===' is not CEL: use == to compare",
        ],
    ),
    (
        "from: [a]\nrules:\n  - when: |\n      event.a == 1 &&\n      event.b = 2\n    to: y\n  - to: x\n",
        [
            "f.yaml:5:15: '=' is not CEL: use == to compare",
        ],
    ),
    (
        "from: [a]\nrules:\n  - when: 'event.a == ''x'' &&& 1'\n    to: y\n  - to: x\n",
        [
            "f.yaml:3:31: '&' is not CEL: use && for 'and'",
        ],
    ),
    (
        "from: [a]\nrules:\n  - when:\n    to: y\n  - to: x\n",
        [
            "f.yaml:4:5: `when` is empty; should be a CEL expression",
        ],
    ),
    (
        "from: [a]\nrules:\n  - when: ''\n    to: y\n  - to: x\n",
        [
            "f.yaml:3:11: `when` is empty; should be a CEL expression",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {when: [1, 2], to: y}\n  - to: x\n",
        [
            "f.yaml:3:12: YAML reads a list here, not an expression; should be quoted: when: '[1, 2]'",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {when: {a b: c d}, to: y}\n  - to: x\n",
        [
            "f.yaml:3:12: YAML reads a mapping here, not an expression; should be a CEL expression",
        ],
    ),
    (
        "from: [a]\nrules:\n  - when: event.a == 'x #1'\n    to: y\n  - to: x\n",
        [
            "f.yaml:3:11: YAML takes what follows ` #` for a comment, which cuts this expression off; should be quoted: when: \"event.a == 'x #1'\"",
        ],
    ),
    (
        "from: [a]\nrules:\n  - when: event.a ==  # why\n    to: y\n  - to: x\n",
        [
            "f.yaml:3:21: the expression ends here, where a value should follow",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {when: event.a ? b : c, to: y}\n  - to: x\n",
        [
            "f.yaml:3:12: YAML does not read `event.a ? b : c` as one text; should be quoted: when: 'event.a ? b : c'",
            "f.yaml:3:22: `b` is not known here; a field of the record is `event.b`; known: event, meta, vars",
            "f.yaml:3:26: `c` is not known here; a field of the record is `event.c`; known: event, meta, vars",
        ],
    ),
    (
        "from: [a]\nrules:\n  - when: !event.a\n    to: y\n  - to: x\n",
        [
            "f.yaml:3:11: YAML does not read `!event.a` as one text; should be quoted: when: '!event.a'",
        ],
    ),
    (
        'from: [a]\nrules:\n  - when: "a" in event.b\n    to: y\n  - to: x\n',
        [
            'f.yaml:3:11: YAML does not read `"a" in event.b` as one text; should be quoted: when: \'"a" in event.b\'',
        ],
    ),
    (
        "from: [a]\nrules:\n  - {set: {event.a: 1}, emit: 2, to: y}\n  - to: x\n",
        [
            "f.yaml:3:6: `set` beside `emit`; `emit` is the whole new event: write it there",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {set: {}, to: y}\n  - to: x\n",
        [
            "f.yaml:3:11: `set` is empty; should be a mapping of paths to values, such as {event.tier: gold}",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {set: [event.a], to: y}\n  - to: x\n",
        [
            "f.yaml:3:11: `set` is a list; should be a mapping of paths to values, such as {event.tier: gold}",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {set: {meta.key: 1}, to: y}\n  - to: x\n",
        [
            "f.yaml:3:12: `meta` is read-only; key and headers of a delivery are set on the sink or on the target",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {set: {vars.x: 1}, to: y}\n  - to: x\n",
        [
            "f.yaml:3:12: `vars` is read-only; only paths below `event` can be set",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {set: {a.b: 1}, to: y}\n  - to: x\n",
        [
            "f.yaml:3:12: `a.b` is not a path below `event`; should be like `event.a.b`",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {set: {evnt.b: 1}, to: y}\n  - to: x\n",
        [
            "f.yaml:3:12: `evnt.b` is not a path below `event`; did you mean `event.b`?",
        ],
    ),
    (
        "from: [a]\nrules:\n  - set: {event.a-b: 1}\n    to: y\n  - to: x\n",
        [
            'f.yaml:3:18: `event.a-b` is not a path; should be like `event.user.id`, `event["a-b"].c`, `event.items[0]` or `event.items[*].price`',
        ],
    ),
    (
        "from: [a]\nrules:\n  - set: {'event.a[x]': 1}\n    to: y\n  - to: x\n",
        [
            'f.yaml:3:19: `event.a[x]` is not a path; should be like `event.user.id`, `event["a-b"].c`, `event.items[0]` or `event.items[*].price`',
        ],
    ),
    (
        "from: [a]\nrules:\n  - set: {event.a: 1, 'event[\"a\"]': 2}\n    to: y\n  - to: x\n",
        [
            "f.yaml:3:23: `event.a` is set twice; it stands already in line 3",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {unset: [], to: y}\n  - to: x\n",
        [
            "f.yaml:3:13: `unset` is empty; should be a path or a list of paths, such as [event.password]",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {unset: [event, 5], to: y}\n  - to: x\n",
        [
            "f.yaml:3:14: the whole event cannot be unset; `emit` gives a new one; `to: drop` ends it",
            "f.yaml:3:21: `unset[1]` is a number; should be a path or a list of paths, such as [event.password]; as text it is '5'",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {unset: meta.x, to: y}\n  - to: x\n",
        [
            "f.yaml:3:13: `meta` is read-only; key and headers of a delivery are set on the sink or on the target",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {set: {event.a: 'x ${event.b +} y'}, to: y}\n  - to: x\n",
        [
            "f.yaml:3:35: the expression ends here, where a value should follow",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {set: {event.a: 'x ${event.b'}, to: y}\n  - to: x\n",
        [
            "f.yaml:3:24: this `${` is never closed; should be `${CEL}`, or `$${` for itself",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {set: {event.a: '${}'}, to: y}\n  - to: x\n",
        [
            "f.yaml:3:24: a CEL expression is missing here",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {emit: {'${event.a}': 1}, to: y}\n  - to: x\n",
        [
            "f.yaml:3:13: `${event.a}`: a key is not filled in; `${...}` stands in values alone",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {emit: [.inf], to: y}\n  - to: x\n",
        [
            "f.yaml:3:13: `emit[0]` is a number that JSON does not have; should be a finite number",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {set: {event.a: '${a}'}, to: y}\n  - to: x\n",
        [
            "f.yaml:3:24: `a` is not known here; a field of the record is `event.a`; known: event, meta, vars",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {to: []}\n  - to: x\n",
        [
            "f.yaml:3:10: `to` is an empty list; should be a sink, `drop`, `dead_letter`, or a list of them",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {to: [x, y, x]}\n  - to: x\n",
        [
            "f.yaml:3:17: `x` stands twice in one `to`; two deliveries need two rules",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {to: [drop, x]}\n  - to: x\n",
        [
            "f.yaml:3:11: `drop` stands beside other targets; should stand alone: what is delivered is not dropped",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {to: {snk: x}}\n  - to: x\n",
        [
            "f.yaml:3:6: `sink` is missing; should be the name of a sink",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {to: {sink: 5}}\n  - to: x\n",
        [
            "f.yaml:3:17: `sink` is a number; should be the name of a sink; as text it is '5'",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {to: {sink: drop, key: a}}\n  - to: x\n",
        [
            "f.yaml:3:23: `drop` takes no `key`; should be just `drop`",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {to: dead_letter, continue: 1}\n  - to: x\n",
        [
            "f.yaml:3:33: `continue` is a number; should be true or false",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {to: drop, continue: true}\n  - to: x\n",
        [
            "f.yaml:3:16: `continue` with `to: drop`; what is dropped does not go on",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {to: 5}\n  - to: x\n",
        [
            "f.yaml:3:10: `to` is a number; should be a sink, `drop`, `dead_letter`, or a list of them; as text it is '5'",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {to:}\n  - to: x\n",
        [
            "f.yaml:3:6: the key `to:` has no value; should be `key: value`",
        ],
    ),
    (
        "from: [a]\nrules:\n  - to: {sink: x, key: '${evnt.id}'}\n  - to: x\n",
        [
            "f.yaml:3:27: `evnt` is not known here; did you mean `event`?",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {when: event.a}\n  - to: x\n",
        [
            "f.yaml:3:5: this rule does nothing; should have `to`, or be a step with `set`, `unset`, `emit` or `expect`",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {split: {each: event.a, as: i}, set: {event.x: 1}}\n  - to: x\n",
        [
            "f.yaml:3:6: `split` without `to`; should have a `to` for what it makes",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {set: {event.x: 1}, continue: true}\n  - to: x\n",
        [
            "f.yaml:3:25: `continue` without `to`; a rule without `to` always goes on; should have a `to`",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {split: {each: event.a}, to: y}\n  - to: x\n",
        [
            "f.yaml:3:6: `as` is missing; should be a name for the element",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {split: {each: event.a, as: event}, to: y}\n  - to: x\n",
        [
            "f.yaml:3:33: `event` means something already; should be another name",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {split: {each: event.a, as: in}, to: y}\n  - to: x\n",
        [
            "f.yaml:3:33: `in` cannot be used in an expression; should be letters, digits and _, such as item",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {split: {each: event.a, as: a-b}, to: y}\n  - to: x\n",
        [
            "f.yaml:3:33: `a-b` cannot be used in an expression; should be letters, digits and _, such as item",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {split: [event.a], to: y}\n  - to: x\n",
        [
            "f.yaml:3:13: `split` is a list; should be a mapping such as {each: event.items, as: item}",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {split: {each: i, as: i}, to: y}\n  - to: x\n",
        [
            "f.yaml:3:20: `i` is not known here; a field of the record is `event.i`; known: event, meta, vars",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {expect: {}, to: y}\n  - to: x\n",
        [
            "f.yaml:3:14: `expect` is empty; should be a mapping of names to CEL expressions, such as {amount is not negative: event.amount >= 0.0}",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {expect: {a: event.a >}, to: y}\n  - to: x\n",
        [
            "f.yaml:3:27: the expression ends here, where a value should follow",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {expect: event.a, to: y}\n  - to: x\n",
        [
            "f.yaml:3:14: `expect` is text; should be a mapping of names to CEL expressions, such as {amount is not negative: event.amount >= 0.0}",
        ],
    ),
    (
        "let: {event: 1}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "f.yaml:1:7: `event` means something already; should be another name",
        ],
    ),
    (
        "let: {a-b: 'true', int: 'true', in: 'true'}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "f.yaml:1:7: `a-b` cannot be used in an expression; should be letters, digits and _, such as is_big, and no word of CEL",
            "f.yaml:1:20: `int` cannot be used in an expression; should be letters, digits and _, such as is_big, and no word of CEL",
            "f.yaml:1:33: `in` cannot be used in an expression; should be letters, digits and _, such as is_big, and no word of CEL",
        ],
    ),
    (
        "let: {a: b, b: a}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "f.yaml:1:10: let goes round in a circle: a -> b -> a; take one of them out of it",
        ],
    ),
    (
        "let: {a: event.x ||, b: c}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "f.yaml:1:20: the expression ends here, where a value should follow",
            "f.yaml:1:25: `c` is not known here; a field of the record is `event.c`; known: a, b, event, meta, vars",
        ],
    ),
    (
        "let: [a]\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "f.yaml:1:6: `let` is a list; should be a mapping of names to CEL expressions, such as {big: event.amount > 500.0}",
        ],
    ),
    (
        "contract: {}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "f.yaml:1:11: `contract` is empty; should be a mapping such as {schema: orders.schema.json, expect: {...}}",
        ],
    ),
    (
        "contract: {schema: gone.json}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "f.yaml:1:20: `gone.json` cannot be read: No such file or directory; a schema file is relative to the rules file",
        ],
    ),
    (
        "contract: {schema: bad.json}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "bad.json:2:11: this is not a JSON Schema: \"objct\" is not valid under any of the schemas listed in the 'anyOf' keyword; at /type",
        ],
    ),
    (
        "contract: {schema: bad.yaml}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            'bad.yaml:2:16: this is not a JSON Schema: "x" is not of type "number"; at /properties/a/minimum',
        ],
    ),
    (
        "contract: {schema: no.json}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "no.json:2:5: this is not JSON: Expecting ':' delimiter",
        ],
    ),
    (
        "contract: {schema: list.json}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "list.json: this is not a JSON Schema; should be an object, true or false",
        ],
    ),
    (
        "contract: {schema: latin.json}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "latin.json: this is not JSON: it is not UTF-8",
        ],
    ),
    (
        "contract: {schema: {type: object}}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "f.yaml:1:20: `schema` is a mapping; should be the name of a JSON Schema file",
        ],
    ),
    (
        "contract: {schema: ok.json, model: m}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "f.yaml:1:29: `model` beside `schema`; should be one of them",
        ],
    ),
    (
        "contract: {shcema: ok.json}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "f.yaml:1:12: `shcema` is not known here; did you mean `schema`?",
        ],
    ),
    (
        "contract: {model: 5}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "f.yaml:1:19: `model` is a number; should be the name of a model; as text it is '5'",
        ],
    ),
    (
        "otherwise: {unmatchd: x}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "f.yaml:1:13: `unmatchd` is not known here; did you mean `unmatched`?",
        ],
    ),
    (
        "otherwise: {error: pass}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "f.yaml:1:20: `pass` does not go with `error`; only `invalid` records can go on to the rules",
        ],
    ),
    (
        "otherwise: {error: reject, unmatched: [x, reject]}\nfrom: [a]\nrules:\n  - to: reject\n",
        [
            "f.yaml:1:20: `reject` does not go here; only `undecodable` and `invalid` under `otherwise` can reject",
            "f.yaml:1:43: `reject` does not go here; only `undecodable` and `invalid` under `otherwise` can reject",
            "f.yaml:1:43: `reject` stands beside other targets; should stand alone: what is rejected is not kept",
            "f.yaml:4:9: `reject` does not go here; only `undecodable` and `invalid` under `otherwise` can reject",
        ],
    ),
    (
        "otherwise: {undecodable: [dead_letter, reject], invalid: {sink: reject, key: k}}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "f.yaml:1:40: `reject` stands beside other targets; should stand alone: what is rejected is not kept",
            "f.yaml:1:73: `reject` takes no `key`; should be just `reject`",
        ],
    ),
    (
        "otherwise: {undecodable: {sink: x, key: '${event.id}'}}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "f.yaml:1:44: `event` is not known here; a record that cannot be decoded has none",
        ],
    ),
    (
        "otherwise: {undecodable: {sink: x, set: {event.a: 1}}}\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "f.yaml:1:26: an undecodable record has no event to shape; should be sent as it is",
        ],
    ),
    (
        "otherwise: drop\nfrom: [a]\nrules:\n  - to: x\n",
        [
            "f.yaml:1:12: `otherwise` is text; should be a mapping such as {unmatched: archive}",
        ],
    ),
    (
        "from: [a]\nrules:\n  - to: x\ntests: []\n",
        [
            "f.yaml:4:8: `tests` is an empty list; should be a list of tests",
        ],
    ),
    (
        "from: [a]\nrules:\n  - to: x\ntests: [{name: a}]\n",
        [
            "f.yaml:4:9: `given` is missing; should be a list of records",
            "f.yaml:4:9: `then` is missing; should be a mapping of sinks to a number of records or to the records, such as {archive: 1}",
        ],
    ),
    (
        "from: [a]\nrules:\n  - to: x\ntests: [{given: [], then: {y: 1, x: -1, drop: all}}]\n",
        [
            "f.yaml:4:17: `given` is an empty list; should be a list of records, such as [{event: {type: order}}]",
            "f.yaml:4:37: `x` is -1; should be 0 or more",
            "f.yaml:4:47: `drop` is text; should be a number of records, or a list of them, such as [{event: {amount: 900}}]",
        ],
    ),
    (
        "from: [a]\nrules:\n  - to: x\ntests: [{given: {evnt: 1}, then: {}}, {given: {event: 1, raw: a}, then: {}, exact: 1}]\n",
        [
            "f.yaml:4:18: `evnt` is not known here; did you mean `event`?",
            "f.yaml:4:47: `event` beside `raw`; should be a record, such as {event: {type: order}}, or {raw: 'the payload'}",
            "f.yaml:4:84: `exact` is a number; should be true or false",
        ],
    ),
    (
        "from: [a]\nrules:\n  - to: x\ntests:\n  - {name: n, given: {raw: {base64: '*'}, time: now, source: b, key: 5, headers: {h: 1}}, then: {x: [1]}}\n  - {name: n, given: {event: .nan}, then: {dead_letter: [{stge: x}]}}\n",
        [
            "f.yaml:5:37: this is not Base64; should be like aGVsbG8=",
            "f.yaml:5:49: `now` is not a time; should be like 2026-01-31T12:00:00Z",
            "f.yaml:5:62: `b` is no source of this flow; known: a",
            "f.yaml:5:70: `key` is a number; should be text, or {base64: aGVsbG8=} for bytes",
            "f.yaml:5:86: `h` is a number; should be text",
            "f.yaml:5:102: `x[0]` is a number; should be a record, such as {event: {amount: 900}}",
            "f.yaml:6:12: a second test is named `n`; the first stands in line 5",
            "f.yaml:6:30: `event` is a number that JSON does not have; should be a finite number",
            "f.yaml:6:59: `stge` is not known here; did you mean `stage`?",
        ],
    ),
    (
        "from: [a]\nrules:\n  - {when: event.items.exists(i, i > 1) && event.a, to: y}\n  - to: x\n",
        [
            "f.yaml:3:12: YAML does not read `event.items.exists(i, i > 1) && event.a` as one text; should be quoted: when: 'event.items.exists(i, i > 1) && event.a'",
        ],
    ),
    (
        "from: a\nrules:\n  - when: 1\n    to: x\n  - to: y\n",
        ["f.yaml:3:11: `when` is always an int, never true or false; should be a condition such as event.ok == true"],
    ),
    (
        "from: a\nrules:\n  - when: null\n    to: x\n  - to: y\n",
        ["f.yaml:3:11: `when` is always null, never true or false; should be a condition such as event.ok == true"],
    ),
    (
        "from: a\nrules:\n  - when: 2026-01-01\n    to: x\n  - to: y\n",
        ["f.yaml:3:11: `when` is always an int, never true or false; should be a condition such as event.ok == true"],
    ),
    (
        "from: a\nrules:\n  - when: \"'a'\"\n    to: x\n  - to: y\n",
        ["f.yaml:3:11: `when` is always a string, never true or false; should be a condition such as event.ok == true"],
    ),
    ("from: a\nrules:\n  - when: true\n    to: x\n  - to: y\n", []),
    (
        "from: a\nrules:\n  - when: !!bool false\n    to: x\n  - to: y\n",
        ["f.yaml:3:11: `!!bool` is a YAML tag; tags are not used here"],
    ),
    ("from: a\nrules:\n  - when: 1 / 0 == 1\n    to: x\n  - to: y\n", []),
    (
        "from: a\nrules:\n  - when: ! event.ok\n    to: x\n  - to: y\n",
        ["f.yaml:3:11: YAML does not read `! event.ok` as one text; should be quoted: when: '! event.ok'"],
    ),
    (
        "from: a\nrules:\n  - when: *x\n    to: x\n  - to: y\n",
        ["f.yaml:3:11: YAML does not read `*x` as one text; should be quoted: when: '*x'"],
    ),
    (
        "from: a\nrules:\n  - when: %x\n    to: x\n  - to: y\n",
        ["f.yaml:3:11: YAML does not read `%x` as one text; should be quoted: when: '%x'"],
    ),
    (
        "from: a\nrules:\n  - when: @x\n    to: x\n  - to: y\n",
        ["f.yaml:3:11: YAML does not read `@x` as one text; should be quoted: when: '@x'"],
    ),
    (
        "from: a\nrules:\n  - when: `x`\n    to: x\n  - to: y\n",
        ["f.yaml:3:11: YAML does not read ``x`` as one text; should be quoted: when: '`x`'"],
    ),
    (
        "from: a\nrules:\n  - when: &a event.x\n    to: x\n  - to: y\n",
        ["f.yaml:3:11: YAML does not read `&a event.x` as one text; should be quoted: when: '&a event.x'"],
    ),
    (
        "from: a\nrules:\n  - when: !!str event.x\n    to: x\n  - to: y\n",
        ["f.yaml:3:11: `!!str` is a YAML tag; tags are not used here"],
    ),
    (
        "from: a\nrules:\n  - when: > event.x\n    to: x\n  - to: y\n",
        [
            "f.yaml:3:13: text behind a `>`; what `>` begins should stand on the lines below it; without `>`, on this one"
        ],
    ),
    (
        "from: a\nrules:\n  - when: | event.x\n    to: x\n  - to: y\n",
        [
            "f.yaml:3:13: text behind a `|`; what `|` begins should stand on the lines below it; without `|`, on this one"
        ],
    ),
    (
        "from: a\nrules:\n  - when: \n\t\tevent.x\n    to: x\n  - to: y\n",
        ["f.yaml:4:1: a tab; YAML indents with spaces"],
    ),
    (
        'from: a\nrules: [{set: {event.x: ! "${event.y}"}, to: x}]\n',
        ['f.yaml:2:25: YAML does not read `! "${event.y}"` as one text; should be quoted: event.x: \'! "${event.y}"\''],
    ),
    (
        'from: a\nlet: {c: event.x == "a # y"}\nrules: [{to: x}]\n',
        [
            'f.yaml:2:10: YAML does not read `event.x == "a # y"` as one text; should be quoted: c: \'event.x == "a # y"\''
        ],
    ),
    (
        'from: a\nrules:\n  - expect: {p: "event.x > 1"} }\n    to: x\n',
        ["f.yaml:3:32: this does not belong to what stands before it; check quotes and indentation"],
    ),
    (
        "from: a\nrules:\n  - expect: {p: 1}\n    to: x\n",
        ["f.yaml:3:17: `p` is always an int, never true or false; should be a condition such as event.ok == true"],
    ),
    ("from: a\nlet:\n\tc: event.x\nrules: [{to: x}]\n", ["f.yaml:3:1: a tab; YAML indents with spaces"]),
    (
        "from: a\nrules:\n  - when: foo(evnt.x) && len(event.y) > 1 && evnt.z\n    to: x\n  - to: y\n",
        [
            "f.yaml:3:11: there is no function foo",
            "f.yaml:3:15: `evnt` is not known here; did you mean `event`?",
            "f.yaml:3:26: there is no function len: write size(x)",
            "f.yaml:3:46: `evnt` is not known here; did you mean `event`?",
        ],
    ),
    (
        "from: a\nrules:\n  - when: >-\n      event.a = 1 &&\n      event.b.lower() ||\n\n      nothing\n    to: x\n  - to: y\n",
        [
            "f.yaml:4:15: '=' is not CEL: use == to compare",
            "f.yaml:5:15: there is no method lower: write text.lowerAscii()",
            "f.yaml:7:7: `nothing` is not known here; a field of the record is `event.nothing`; known: event, meta, vars",
        ],
    ),
    (
        "from: a\nrules:\n  - when: |\n      event.a.matches('[')\n        && event.b c\n    to: x\n  - to: y\n",
        [
            "f.yaml:4:23: matches(): '[' is not a regular expression of RE2: missing ]: [",
            "f.yaml:5:20: c follows a value with no operator between them",
        ],
    ),
    (
        'from: a\nrules:\n  - when: "event.a == \\"\\u00e9\\" && foo(event.b) &&\\\n      \\x20bar()"\n    to: x\n  - to: y\n',
        [
            "f.yaml:3:37: there is no function foo",
            "f.yaml:4:11: there is no function bar",
        ],
    ),
    (
        "from: a\nrules:\n  - when: 'event.a == ''\\q'' && event.b == ''\\z'' && foo()'\n    to: x\n  - to: y\n",
        [
            "f.yaml:3:25: the escape \\q does not exist: \\\\ is a backslash, r'...' has no escapes",
            "f.yaml:3:46: the escape \\z does not exist: \\\\ is a backslash, r'...' has no escapes",
            "f.yaml:3:54: there is no function foo",
        ],
    ),
    (
        "from: a\nrules:\n  - set: {event.x: 'a ${foo(1)} ${evnt.x + bar(2)} ${qux('}\n    to: {sink: x, key: '${a b} ${c d}'}\n  - to: y\n",
        [
            "f.yaml:3:25: there is no function foo",
            "f.yaml:3:35: `evnt` is not known here; did you mean `event`?",
            "f.yaml:3:44: there is no function bar",
            "f.yaml:3:52: this `${` is never closed; should be `${CEL}`, or `$${` for itself",
            "f.yaml:4:29: b follows a value with no operator between them",
            "f.yaml:4:36: d follows a value with no operator between them",
        ],
    ),
    (
        'from: a\nrules:\n  - when: "gold" in foo(event.tiers) && evnt.x\n    to: x\n  - to: y\n',
        [
            'f.yaml:3:11: YAML does not read `"gold" in foo(event.tiers) && evnt.x` as one text; should be quoted: when: \'"gold" in foo(event.tiers) && evnt.x\'',
            "f.yaml:3:21: there is no function foo",
            "f.yaml:3:41: `evnt` is not known here; did you mean `event`?",
        ],
    ),
    (
        "from: a\nlet: {x: y, y: z, z: y, p: q, q: p, r: p && x}\nrules: [{to: x}]\n",
        [
            "f.yaml:2:16: let goes round in a circle: y -> z -> y; take one of them out of it",
            "f.yaml:2:28: let goes round in a circle: p -> q -> p; take one of them out of it",
        ],
    ),
    (
        "from: a\nlet: {a-b: event.x, event: 1}\nrules: [{when: a-b > event.y, to: x}, {to: x}]\n",
        [
            "f.yaml:2:7: `a-b` cannot be used in an expression; should be letters, digits and _, such as is_big, and no word of CEL",
            "f.yaml:2:21: `event` means something already; should be another name",
        ],
    ),
    (
        "from: a\nrules:\n  - split: {each: foo(event.i), as: item}\n    set: {event.a: '${item.b}'}\n    to: x\n  - split: {each: event.i}\n    set: {event.a: '${item.b + foo(1)}'}\n    to: x\n  - to: y\n",
        [
            "f.yaml:3:19: there is no function foo",
            "f.yaml:6:5: `as` is missing; should be a name for the element",
            "f.yaml:7:32: there is no function foo",
        ],
    ),
    (
        "from: a\nlets: {big: event.x}\nrules: [{when: big && foo(), too: x}]\ntests: [{given: {event: 1, source: b}, then: {x: 1}}]\n",
        [
            "f.yaml:2:1: `lets` is not known here; did you mean `let`?",
            "f.yaml:3:23: there is no function foo",
            "f.yaml:3:30: `too` is not known here; did you mean `to`?",
            "f.yaml:4:36: `b` is no source of this flow; known: a",
        ],
    ),
    (
        "tests: [{given: {event: 1, source: b}, then: {x: 1}}]\nrules:\n  - when: big && foo()\n    to: x\n\tlet: {}\nfrom: b\n",
        [
            "f.yaml:3:11: `big` is not known here; a field of the record is `event.big`; known: event, meta, vars",
            "f.yaml:3:18: there is no function foo",
            "f.yaml:5:1: a tab; YAML indents with spaces",
        ],
    ),
    (
        "from: a\nrules:\n  - name: one\n    when: event.x &&\n to: x\n  - to: y\n",
        [
            "f.yaml:4:21: the expression ends here, where a value should follow",
            "f.yaml:5:2: this line is indented by mistake; should begin in column 5",
        ],
    ),
]


@pytest.mark.parametrize(("text", "faults"), FAULTS, ids=range(len(FAULTS)))
def test_a_fault_is_reported_at_its_place(text: str, faults: list[str]) -> None:
    found = read_flow(text, "f.yaml", read_file)[1]
    assert [str(fault) for fault in found] == faults
