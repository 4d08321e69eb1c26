"""A YAML text comes back as data that knows where everything stands, and whatever is wrong with it as faults."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.document import Document, load, merge


def read(text: str | bytes) -> Document:
    document, faults = load(text, "f.yaml")
    assert faults == []
    assert document is not None
    return document


def faults_of(text: str | bytes) -> list[str]:
    return [str(fault) for fault in load(text, "f.yaml")[1]]


def test_scalars_are_read_by_the_core_schema_of_yaml_1_2() -> None:
    text = "[NO, yes, on, 012, 0o17, 0x1F, 1_000, 1e3, .5, ~, null, True, 2026-01-31, '1', \"2\", +7, .inf, 1:30, '']"
    assert read(text).data == [
        "NO", "yes", "on", 12, 15, 31, "1_000", 1000.0, 0.5, None, None, True, "2026-01-31", "1", "2", 7,
        float("inf"), "1:30", "",
    ]  # fmt: skip


def test_a_number_too_long_for_python_stays_text() -> None:
    assert read("a: " + "1" * 5000).data == {"a": "1" * 5000}


def test_a_document_without_faults_holds_what_json_holds() -> None:
    data = {"a": [1, {"b": None, "c": "x"}], "d": {}, "e": [], "é": "😀"}
    assert read(json.dumps(data, ensure_ascii=False)).data == data
    assert read(json.dumps(data, indent=2)).data == data


def test_places_are_those_of_keys_and_values() -> None:
    document = read("a:\n  - x\n  - {b: 1, 'c d': [2]}\n")
    assert str(document.place(("a", 0))) == "f.yaml:2:5"
    assert str(document.place(("a", 1, "c d", 0))) == "f.yaml:3:20"
    assert str(document.key_place(("a", 1, "c d"))) == "f.yaml:3:12"
    assert str(document.key_place(("a", 1))) == "f.yaml:3:5"


def test_the_place_of_what_is_not_there_is_that_of_the_nearest_parent() -> None:
    document = read("a:\n  b: 1\n")
    assert str(document.place(("a", "x", 3))) == "f.yaml:2:3"
    assert str(document.key_place(("a", "x"))) == "f.yaml:2:3"


def test_a_byte_order_mark_and_windows_line_ends_do_not_move_places() -> None:
    document = read("\ufeffa: 1\r\nb:\r\n  c: 2\r\n".encode())
    assert str(document.place(("b", "c"))) == "f.yaml:3:6"


@pytest.mark.parametrize(
    ("text", "needle", "place"),
    [
        ("a: one two", "two", "1:8"),
        ("a: 'it''s two'", "two", "1:11"),
        (r'a: "x\n\u00e9\x41\U0001F600 two"', "two", "1:29"),
        ('a: "x \\\n  two"', "two", "2:3"),
        ("a: one\n   and\n   two", "two", "3:4"),
        ("a: |\n  one\n  two\n", "two", "3:3"),
        ("a: |2-  # comment\n    one\n\n  two\n", "two", "4:3"),
        (r'a: "\ud83d\uDE00 two"', "two", "1:18"),
        ("a: >-\n  one\n  and\n\n  two\n", "two", "5:3"),
        ("a: >\n  one\n    more\n  two\n", "two", "4:3"),
        ("a: 'one\n\n   two'", "two", "3:4"),
        ("a: &anchor two\nb: *anchor", "two", "1:12"),
        ("a: &x 'two'\nb: *x", "two", "1:8"),
    ],
)
def test_a_character_of_a_text_is_found_in_the_file(text: str, needle: str, place: str) -> None:
    document = read(text)
    value = document.data["a"]  # type: ignore[index]
    assert str(document.text_place(("a",), value.index(needle))) == f"f.yaml:{place}"


WORDS = st.lists(st.text("abcde'\"\\:é😀", min_size=1, max_size=6), min_size=1, max_size=5)


@given(words=WORDS, style=st.sampled_from(["'", '"', "|", ">"]), indent=st.integers(1, 6))
def test_every_character_of_every_style_is_found(words: list[str], style: str, indent: int) -> None:
    """Each word stands on a line of its own; the place of each character holds that character, or its escape."""
    text = _written(words, style, " " * indent)
    document = read(text)
    value = document.data["a"]  # type: ignore[index]
    lines = text.split("\n")
    for offset, character in enumerate(value.rstrip("\n")):
        place = document.text_place(("a",), offset)
        found = lines[place.line - 1][place.column - 1 : place.column]
        assert found == character or character.isspace() or (style == '"' and found == "\\")


def _written(words: list[str], style: str, indent: str) -> str:
    if style == "'":
        words = [word.replace("'", "''") for word in words]
    if style == '"':
        words = [json.dumps(word)[1:-1] for word in words]
    body = ("\n" + indent).join(words)
    return f"a: {style}{body}{style}" if style in "'\"" else f"a: {style}\n{indent}{body}\n"


FAULTS = [
    ("", ["f.yaml: the file is empty"]),
    ("# nothing\n", ["f.yaml: the file is empty"]),
    ("a: 1\nb: 2\na: 3\n", ["f.yaml:3:1: `a` is given twice; it stands already in line 1"]),
    ("1: x\nb: y\n", ["f.yaml:1:1: the key `1` is not text; should be text: '1'"]),
    ("null: x\n", ["f.yaml:1:1: the key `null` is not text; should be text: 'null'"]),
    ("[a, b]: x\n", ["f.yaml:1:1: a key that is not text; should be text"]),
    ("a:\n\tb: 1\n", ["f.yaml:2:1: a tab; YAML indents with spaces"]),
    ("a: 1\n---\nb: 2\n", ["f.yaml:2:1: a second document begins; a file holds one document"]),
    ("a: 'x\nb: 1\n", ["f.yaml:1:4: a quote is opened and never closed"]),
    ("a: [1,\n  2\n", ["f.yaml:3:1: `,` or the end of the `[` of line 1 should stand here"]),
    (
        "a:\n  b: 1\n c: 2\n",
        ["f.yaml:3:2: this does not belong to what stands before it; check quotes and indentation"],
    ),
    ("a: &x [*x]\n", ["f.yaml:1:8: `*x` stands for something that contains it"]),
    ("- *x\n", ["f.yaml:1:3: `*x` stands for nothing; no `&x` before it"]),
    ("- !thing {a: 1}\n", ["f.yaml:1:3: `!thing` is a YAML tag; tags are not used here"]),
    ("a: !!int x\n", ["f.yaml:1:4: `!!int` is a YAML tag; tags are not used here"]),
    ("- ! {a: 1}\n- &x {b: 1}\n", ["f.yaml:1:3: `!` is a YAML tag; tags are not used here"]),
    ("- !!str\n  x\n", ["f.yaml:1:3: `!!str` is a YAML tag; tags are not used here"]),
    ("- &x y\n- 1\n", ["f.yaml:1:3: `&x` is a YAML anchor that nothing uses"]),
    (
        "a: > x\n",
        ["f.yaml:1:6: text behind a `>`; what `>` begins should stand on the lines below it; without `>`, on this one"],
    ),
    (
        'a: {b: 1,\n  c: x == "y # z",\n  d: 1}\n',
        [
            'f.yaml:2:6: YAML does not read `x == "y # z"` as one text; should be quoted: c: \'x == "y # z"\'',
        ],
    ),
    (
        "a: \x07\n",
        ["f.yaml:1:4: the character U+0007 may not stand in YAML; should be written as an escape in double quotes"],
    ),
    (
        r'a: "x\ud83d"',
        ["f.yaml:1:5: half of a character that takes two escapes; should be both, such as \\ud83d\\ude00"],
    ),
    (b"a: x\nb: \xc3\xa9\xff\n", ["f.yaml:2:5: the byte 0xff is not UTF-8; should be saved as UTF-8"]),
    (b"a\r\nb\rc \xff", ["f.yaml:3:3: the byte 0xff is not UTF-8; should be saved as UTF-8"]),
    ("a: x\n".encode("utf-16"), ["f.yaml:1:1: the byte 0xff is not UTF-8; should be saved as UTF-8"]),
    ("[" * 10_000, ["f.yaml:1:101: nested deeper than 100 levels"]),
    ("- " * 10_000, ["f.yaml:1:201: nested deeper than 100 levels"]),
    ("{a: " * 10_000, ["f.yaml:1:401: nested deeper than 100 levels"]),
    ("x" * (8 << 20) + "yz", ["f.yaml: holds 8,388,610 characters; at most 8,388,608 can be read"]),
]


@pytest.mark.parametrize(("text", "faults"), FAULTS, ids=[repr(text[:20]) for text, _ in FAULTS])
def test_what_is_no_yaml_is_a_fault_at_its_place(text: str | bytes, faults: list[str]) -> None:
    assert faults_of(text) == faults


MENDED = [
    ("when: !event.ok", 7, "!event.ok", "when: '!event.ok'"),
    ("when: !event.ok && event.x", 7, "!event.ok && event.x", "when: '!event.ok && event.x'"),
    ("when: ! event.ok", 7, "! event.ok", "when: '! event.ok'"),
    ("when: ! a != b", 7, "! a != b", "when: '! a != b'"),
    ("when: ! event.a  # why", 7, "! event.a", "when: '! event.a'"),
    ("when: !!event.x", 7, "!!event.x", "when: '!!event.x'"),
    ("when: &a x", 7, "&a x", "when: '&a x'"),
    ("when: &a !b x", 7, "&a !b x", "when: '&a !b x'"),
    ("{let: {c: ! a.b, d: 1}}", 11, "! a.b", "c: '! a.b'"),
    ("set: {a: ! 'x'}", 10, "! 'x'", "a: \"! 'x'\""),
    ("let: {c: x == 'a # y'}", 10, "x == 'a # y'", "c: \"x == 'a # y'\""),
    ('- when: "a" in b', 9, '"a" in b', "when: '\"a\" in b'"),
    ("when: a ? b : c  # why", 7, "a ? b : c", "when: 'a ? b : c'"),
    ("when: a ? 'b' : \"c\"", 7, "a ? 'b' : \"c\"", "when: 'a ? ''b'' : \"c\"'"),
    ("{when: a ? b : c, to: [x]}", 8, "a ? b : c", "when: 'a ? b : c'"),
    ("- {name: x, when: 'a' in [b, c], to: d}", 19, "'a' in [b, c]", "when: \"'a' in [b, c]\""),
    ("when: {a: 1}.a == 1", 7, "{a: 1}.a == 1", "when: '{a: 1}.a == 1'"),
    ("when: [1, 2].exists(x, x > 1)", 7, "[1, 2].exists(x, x > 1)", "when: '[1, 2].exists(x, x > 1)'"),
    ("a: b: c", 4, "b: c", "a: 'b: c'"),
    ("a: @x", 4, "@x", "a: '@x'"),
    ("a: *.yaml", 4, "*.yaml", "a: '*.yaml'"),
    ("{set: {event.x: ${event.y}}}", 17, "${event.y}", "event.x: '${event.y}'"),
    ("set: {event.items[*].x: 1}", 7, "event.items[*].x", "'event.items[*].x'"),
    *(
        (f"- {{name: x, when: {value}, to: s1}}", 19, value, f"when: '{value}'")
        for value in (
            "event.l[0] > 1",
            "event.l[0] >= 1",
            "event.l[0] % 2 == 1",
            "event.l[0] | 2",
            "event.l[0] * 2 == 1",
            'event.m["a, b"] > 1',
            "a && event.l[0] > 2",
            "event.x[event.y[0]] > 2",
            "@x",
            "*x > 1",
        )
    ),
    ("{name: y, to: s2, when: !event.x}", 25, "!event.x", "when: '!event.x'"),
    ("{name: y, to: s2, when: event.l[0] > 1}", 25, "event.l[0] > 1", "when: 'event.l[0] > 1'"),
    ("{to: s2, when: &x}", 16, "&x", "when: '&x'"),
    ("when: &event.u > 2", 7, "&event.u > 2", "when: '&event.u > 2'"),
]


@pytest.mark.parametrize(("line", "column", "value", "mended"), MENDED, ids=[line for line, *_ in MENDED])
def test_a_value_that_yaml_broke_is_shown_mended(line: str, column: int, value: str, mended: str) -> None:
    """The rest of the file is read as if it had been quoted, so that its faults are reported with it."""
    text = f"{line}\nlast: 1\nlast: 2\n" if not line.startswith(("-", "{")) else f"- {line}\n- {{last: 1, last: 2}}\n"
    shift, twice = (2, "2:13") if text.startswith("- ") else (0, "3:1")
    assert faults_of(text) == [
        f"f.yaml:1:{column + shift}: YAML does not read `{value}` as one text; should be quoted: {mended}",
        f"f.yaml:{twice}: `last` is given twice; it stands already in line 2",
    ]


def test_a_path_and_its_value_are_both_shown_mended() -> None:
    assert faults_of("- {set: {event.l[0]: ev.x[0] > 2, b: event.l[1] % 2}}\n") == [
        "f.yaml:1:10: YAML does not read `event.l[0]` as one text; should be quoted: 'event.l[0]'",
        "f.yaml:1:22: YAML does not read `ev.x[0] > 2` as one text; should be quoted: 'event.l[0]': 'ev.x[0] > 2'",
        "f.yaml:1:38: YAML does not read `event.l[1] % 2` as one text; should be quoted: b: 'event.l[1] % 2'",
    ]


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a:\t[b]\n", {"a": ["b"]}),
        ("a: x\t# why\nb: 1\t\n\t\n \t# why\nc: 2\n", {"a": "x", "b": 1, "c": 2}),
        ("a\t:\t\n  'b'\t: {c:\tx\ty\t,\n\td: 1}\n", {"a": {"b": {"c": "x\ty", "d": 1}}}),
        ("-\tx\ty\n-\t'z'\n", ["x\ty", "z"]),
        ("a: |\t# why\n  x\n  \ty\nb: >-\t\n  z\n", {"a": "x\n\ty\n", "b": "z"}),
    ],
)
def test_a_tab_that_does_not_indent_is_white_space(text: str, data: object) -> None:
    assert read(text).data == data


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("a:\n\tb: 1\n\tc: 2\nd: 1\n", ["2:1", "3:1"]),
        ("a:\n  b:\n\t\tc: 2\n  d:\n\t\te: 3\n", ["3:1", "5:1"]),
        ("a: 1\n\tb: 2\nc: |\n  x\n\n  \ty\nd:\n  \te: 1\n", ["2:1", "8:3"]),
        ("-\ta: 1\n\tb: 2\n", ["1:2", "2:1"]),
    ],
)
def test_each_line_that_a_tab_indents_is_a_fault(text: str, places: list[str]) -> None:
    assert faults_of(text) == [f"f.yaml:{place}: a tab; YAML indents with spaces" for place in places]


def test_each_tag_of_a_line_is_a_fault() -> None:
    assert faults_of("{a: !!binary x, b: !!str y}") == [
        "f.yaml:1:5: `!!binary` is a YAML tag; tags are not used here",
        "f.yaml:1:20: `!!str` is a YAML tag; tags are not used here",
    ]


@pytest.mark.parametrize("value", ["&anchor event.x", "*anchor event.x", "&anchor"])
def test_a_value_that_begins_like_an_anchor_does_not_spoil_what_is_mended_below_it(value: str) -> None:
    assert sorted(faults_of(f"- when: {value}\n- {{name: c, when: event == 'a, b'}}\n")) == [
        f"f.yaml:1:9: YAML does not read `{value}` as one text; should be quoted: when: '{value}'",
        "f.yaml:2:19: YAML does not read `event == 'a, b'` as one text; should be quoted: when: \"event == 'a, b'\"",
    ]


BRACKET = "`,` or the end of the `{}` of line {} should stand here"
ASTRAY = "this does not belong to what stands before it; check quotes and indentation"
QUOTE = "a quote is opened and never closed"
PASSED_OVER = [
    ("a: {b: 1\nc: 2\n", "1:9: " + BRACKET.format("{", 1), {"a": {"b": 1}, "c": 2}),
    ("a: {b: [1, 2}\nc: 2\n", "1:13: " + BRACKET.format("[", 1), {"a": None, "c": 2}),
    ("a: {b: 1}}\nc: 2\n", "1:10: " + ASTRAY, {"a": {"b": 1}, "c": 2}),
    ("a:\n  b: 'x\n  d: 'y'\nc: 2\n", "2:6: a quote is opened and never closed", {"a": {"b": "x", "d": "y"}, "c": 2}),
    ("a: {b: 1, d: 'x}\nc: 'z'\n", "1:14: a quote is opened and never closed", {"a": {"b": 1, "d": None}, "c": "z"}),
    (
        "a:\n  b: 1\n   d: 2\nc: 2\n",
        "3:4: this line is indented by mistake; should begin in column 3",
        {"a": {"b": 1, "d": 2}, "c": 2},
    ),
    ("a:\n    b: 1\n  d: 2\n  e: 3\nc: 2\n", "3:3: " + ASTRAY, {"a": {"d": 2, "e": 3}, "c": 2}),
    ("a:\n  b:\n    d: 1\n   e: 2\nc: 2\n", "4:4: " + ASTRAY, {"a": {"b": {"d": 1}}, "c": 2}),
    (
        "a:\n- b: 1\n- d: 2\n  @\nc: 2\n",
        "4:3: this is not YAML: found character '@' that cannot start any token",
        {"a": [{"b": 1}, {"d": 2}], "c": 2},
    ),
    ("a: 1\nwhat is this\nc: 2\n", "2:1: a key without `:`; should be `key: value`", {"a": 1, "c": 2}),
    ("a\n  b: 1\nc: 2\n", "2:4: `: ` inside a value makes YAML read a mapping", {"a": {"b": 1}, "c": 2}),
    ("a:\n\tb: 1\nc: 2\n", "2:1: a tab; YAML indents with spaces", {"a": None, "c": 2}),
    (
        "a: \x07\nc: 2\n",
        "1:4: the character U+0007 may not stand in YAML; should be written as an escape in double quotes",
        {"a": None, "c": 2},
    ),
    ('a: {b: "x}\nd: {b: "y"}\nc: 2\n', "1:8: " + QUOTE, {"a": {"b": None}, "d": {"b": "y"}, "c": 2}),
    ("a:\n  - b: 'x\n    d: 'y'\nc: 2\n", "2:8: " + QUOTE, {"a": [{"b": "x", "d": "y"}], "c": 2}),
    ('a: "x\n\nd: "y\\\\d"\nc: 2\n', "1:4: " + QUOTE, {"a": "x", "d": "y\\d", "c": 2}),
    ('a: {b: "x}\n# it\'s "so"\nc: 2\n', "1:8: " + QUOTE, {"a": {"b": None}, "c": 2}),
    (
        'a: {d: 1,\n    b: "x,\n    e: "y"}\nc: 2\n',
        "2:8: " + QUOTE,
        {"a": {"d": 1, "b": "x", "e": "y"}, "c": 2},
    ),
    ("a:\n  b: [x, y\n  d: 1\nc: 2\n", "2:11: " + BRACKET.format("[", 2), {"a": {"b": ["x", "y"], "d": 1}, "c": 2}),
    (
        "a:\n  b: [x,\n    y\n  d: 1\nc: 2\n",
        "3:6: " + BRACKET.format("[", 2),
        {"a": {"b": ["x", "y"], "d": 1}, "c": 2},
    ),
    (
        'a: {b: "x\\qy", d: 1}\nc: 2\n',
        "1:10: `\\q` is no escape; should be `\\\\q`, or stand in single quotes",
        {"a": {"b": "x\\qy", "d": 1}, "c": 2},
    ),
    (
        "a: [@, &x 1]\nb: *x\nc: 2\n",
        "1:5: this is not YAML: found character '@' that cannot start any token",
        {"a": None, "b": None, "c": 2},
    ),
]


@pytest.mark.parametrize(("text", "fault", "data"), PASSED_OVER, ids=[repr(text) for text, *_ in PASSED_OVER])
def test_reading_goes_on_behind_what_is_no_yaml(text: str, fault: str, data: object) -> None:
    """It is one fault; what is below it is read as it stands, and is not known to be incomplete."""
    document, faults = load(text + "c: 3\n", "f.yaml")
    twice = f"f.yaml:{text.count(chr(10)) + 1}:1: `c` is given twice; it stands already in line {text.count(chr(10))}"
    assert [str(found) for found in faults] == [f"f.yaml:{fault}", twice]
    assert document is not None
    assert document.data == data
    assert not document.is_cut(("c",))


def test_what_is_never_closed_hides_no_other_fault() -> None:
    """Each of them ends where its value ends, as indentation goes."""
    text = 'a:\n\tb: {c: x}\n  d: {e: x, f: "y}\n  g: {f: [y}\nh:\n  - {i: "x", j: y\n  - {i: \'x, j: "y"}\n'
    text += '  - k: [1, 2\n    l: "x"\nm: {n: event.l[0] > 1}\nm: "x"\n'
    assert faults_of(text) == [
        "f.yaml:2:1: a tab; YAML indents with spaces",
        f"f.yaml:3:16: {QUOTE}",
        f"f.yaml:4:12: {BRACKET.format('[', 4)}",
        f"f.yaml:6:18: {BRACKET.format('{', 6)}",
        f"f.yaml:7:9: {QUOTE}",
        f"f.yaml:8:13: {BRACKET.format('[', 8)}",
        "f.yaml:10:8: YAML does not read `event.l[0] > 1` as one text; should be quoted: n: 'event.l[0] > 1'",
        "f.yaml:11:1: `m` is given twice; it stands already in line 10",
    ]


def test_mistakes_in_lines_that_follow_each_other_are_each_reported_once() -> None:
    text = "a:\n  - b: 1\n   b: 2\n  - {c: 1, d: {e: 1, f: 2}\n  - g x\n    h: 2\n  - i: j: k\n    l: 2\n  - m: 1\n"
    assert faults_of(text) == [
        f"f.yaml:3:4: {ASTRAY}",
        f"f.yaml:4:27: {BRACKET.format('{', 4)}",
        "f.yaml:5:5: a key without `:`; should be `key: value`",
        "f.yaml:7:8: YAML does not read `j: k` as one text; should be quoted: i: 'j: k'",
    ]


def test_what_is_incomplete_is_known_to_be() -> None:
    document, _ = load("a:\n  b: {c: {g: 1}\n  d: [2]\n  e: {f: 3}\n", "f.yaml")
    assert document is not None
    assert [document.is_cut(path) for path in ((), ("a",), ("a", "b"), ("a", "b", "c"), ("a", "d"), ("a", "e"))] == [
        False, False, True, True, False, False,
    ]  # fmt: skip
    document, _ = load("a:\n  b: {c: 1\n  d: [2, 3\n  e: [4\n", "f.yaml")
    assert document is not None
    assert [document.is_cut(("a", step)) for step in ("b", "d", "e")] == [False, False, True]
    document, _ = load("a:\n  b: 1\n  @\nc: 2\n", "f.yaml")
    assert document is not None
    assert [document.is_cut(path) for path in ((), ("a",), ("c",))] == [False, True, False]


def test_a_line_that_is_indented_by_mistake_is_told_by_the_keys_of_the_outermost_level() -> None:
    text = "sinks:\n  a: 1\n flows: 2\n"
    document, faults = load(text, "f.yaml", ["sinks", "flows"])
    assert document is not None
    assert document.data == {"sinks": {"a": 1}, "flows": 2}
    assert [str(fault) for fault in faults] == [
        "f.yaml:3:2: this line is indented by mistake; should begin in column 1"
    ]


@given(st.text("ab:- \n{}[]'\"|#,", max_size=80))
def test_whatever_is_passed_over_nothing_is_read_that_is_not_there(text: str) -> None:
    """Every text that comes back stands in the file, in its order."""
    document, _ = load(text, "f.yaml")
    for node in document.root.texts() if document else ():
        assert node.origin.original(node.start) <= node.origin.original(node.end) <= len(text)


def test_a_mended_line_keeps_its_columns() -> None:
    document, _ = load("x: {when: 'a' in \"b'c\", to: [y]}", "f.yaml")
    assert document is not None
    assert document.data == {"x": {"when": "'a' in \"b'c\"", "to": ["y"]}}
    assert str(document.place(("x", "to", 0))) == "f.yaml:1:30"
    assert str(document.text_place(("x", "when"), 4)) == "f.yaml:1:15"
    assert str(document.text_place(("x", "when"), 9)) == "f.yaml:1:20"


def test_an_alias_is_what_its_anchor_says() -> None:
    assert read("a: &x {b: [1]}\nc: *x\n").data == {"a": {"b": [1]}, "c": {"b": [1]}}


def test_aliases_that_stand_for_too_much_are_a_fault() -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 20))
    assert faults_of("l0: &l0 x\n" + levels) == ["f.yaml:6:45: aliases stand for more than 100,000 values"]


def test_aliases_that_nest_too_deep_are_a_fault() -> None:
    levels = "".join(f"l{n}: &l{n} [*l{n - 1}]\n" for n in range(1, 200))
    assert faults_of("l0: &l0 x\n" + levels) == ["f.yaml:101:14: nested deeper than 100 levels"]


def test_merging_replaces_values_and_merges_mappings_and_keeps_places() -> None:
    base, _ = load("a: {x: 1, y: [1, 2]}\nb: 1\n", "base.yaml")
    over, _ = load("\na:\n  y: [3]\n  z: 4\n", "prod.yaml")
    assert base is not None
    assert over is not None
    merged = merge(base, over)
    assert merged.data == {"a": {"x": 1, "y": [3], "z": 4}, "b": 1}
    assert str(merged.place(("a", "x"))) == "base.yaml:1:8"
    assert str(merged.key_place(("a", "x"))) == "base.yaml:1:5"
    assert str(merged.place(("a", "y", 0))) == "prod.yaml:3:7"
    assert str(merged.key_place(("a", "z"))) == "prod.yaml:4:3"


def test_null_takes_a_key_away_and_stays_null_where_there_is_none() -> None:
    base, over = read("a: {x: 1, y: 2}\nb: 1\n"), read("a: {x: null, z: null}\nb: ~\n")
    assert merge(base, over).data == {"a": {"y": 2, "z": None}}


@given(st.text(max_size=60) | st.text("abc:- \n{}[]'\"!&*#|>?,$\\\t%@`", max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    document, faults = load(text, "f.yaml")
    assert document is not None or faults


@given(st.binary(max_size=40))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    document, faults = load(data, "f.yaml")
    assert document is not None or faults


def test_what_is_mended_is_not_mended_again() -> None:
    """Each mend would double the quotes of the one before, and reading never end."""
    text = "rules:\n  - {name: a, to: out, split: {each: event.items,  && as: item}, emit: {a: 1}}\n"
    _, faults = load(text, "f.yaml", ("each", "as", "name"))
    assert faults
    assert len(faults) < 4
