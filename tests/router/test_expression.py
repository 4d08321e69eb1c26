"""Settings that are CEL: what they are worth, and their faults, each in its own column."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from router import Expression, Settings, Template, Variables
from router.config import load
from rules.faults import Refused
from rules.templates import Verbatim


class Config(Settings):
    """Settings of a connector."""

    pick: Annotated[Expression, Variables("response", "page")] | None = None
    """An expression."""
    url: Annotated[Template, Variables("cursor")] = Template.read("a", ())
    """A template."""
    params: dict[str, Annotated[Template, Variables("cursor")]] = Field(default_factory=dict)
    """Several."""
    plain: str = ""
    """Neither."""


def expression(text: object) -> Expression:
    made = Config.model_validate({"pick": text}).pick
    assert made is not None
    return made


def template(text: object) -> Template:
    return Config.model_validate({"url": text}).url


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("response.items.map(i, i.id)", [1, 2]),
        ("page + 1", 8),
        (True, True),
        (7, 7),
        (1.5, 1.5),
        ('b"a"', "YQ=="),
        ('timestamp("2026-05-04T03:02:01Z")', "2026-05-04T03:02:01Z"),
        ("response.?absent", None),
        ("{'a': page}", {"a": 7}),
    ],
)
def test_an_expression_gives_json(text: object, value: object) -> None:
    assert expression(text).evaluate({"response": {"items": [{"id": 1}, {"id": 2}]}, "page": 7}) == value


def test_what_is_not_there_is_told_from_what_cannot_be_computed() -> None:
    with pytest.raises(LookupError):
        expression("response.absent").evaluate({"response": {}, "page": 1})
    for text in ("response + 1", "double('inf')", "page / 0"):
        with pytest.raises(ValueError, match=r"."):
            expression(text).evaluate({"response": {}, "page": 1})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        (5, 5),
        (True, True),
        ("${cursor}", {"n": "a b"}),
        ("${cursor.n}", "a b"),
        ("x/${cursor.n}/${1 + 1}", "x/a%20b/2"),
        ("$${cursor}", "${cursor}"),
        ("$${a}${cursor.n}", "${a}a%20b"),
        (Verbatim("${cursor}"), "${cursor}"),
    ],
)
def test_a_template_is_typed_when_it_stands_alone_and_encoded_inside_text(text: object, value: object) -> None:
    assert template(text).fill({"cursor": {"n": "a b"}}, lambda inner: inner.replace(" ", "%20")) == value


def test_a_template_without_expressions_is_a_constant() -> None:
    assert [template(text).constant for text in ("a", "$${a}", 5, False, "${cursor}")] == ["a", "${a}", 5, False, None]


def test_a_template_tells_what_is_not_there_from_what_cannot_be_filled_in() -> None:
    for text in ("${cursor.a}", "x${cursor.a}"):
        with pytest.raises(LookupError):
            template(text).fill({"cursor": {}})
    with pytest.raises(ValueError, match=r"."):
        template("x${cursor + 1}").fill({"cursor": {}})


@given(st.text())
def test_any_text_without_marks_is_itself(text: str) -> None:
    if "${" not in text:
        assert template(text).fill({}) == text


@pytest.mark.parametrize("value", [None, [], {}, b"x"])
def test_what_is_no_text_is_refused(value: Any) -> None:
    for name in ("url", "pick") if value is not None else ("url",):
        with pytest.raises(ValidationError, match="should be text"):
            Config.model_validate({name: value})


def test_settings_know_which_of_them_are_templates() -> None:
    assert Config.templates() == {"url", "params"}


def test_a_schema_takes_what_yaml_may_make_of_an_expression() -> None:
    schema = TypeAdapter(Config).json_schema()["properties"]
    assert schema["url"]["type"] == ["string", "number", "boolean"]
    assert schema["params"]["additionalProperties"] == {"type": ["string", "number", "boolean"]}


def test_settings_are_printed_as_they_were_written() -> None:
    made = Config.model_validate({"pick": "page+1", "params": {"a": "${cursor}"}})
    assert made.model_dump(mode="json") == {"pick": "page+1", "url": "a", "params": {"a": "${cursor}"}, "plain": ""}


def configured(folder: Path, source: str, sink: str = "{type: memory}") -> Any:
    """The settings of the source and of the sink, in a daemon's file."""
    (folder / "flow.yaml").write_text("from: a\nrules: [{to: x}]\n")
    (folder / "sluiceway.yaml").write_text(f"flows: [flow.yaml]\nsources:\n  a: {source}\nsinks:\n  x: {sink}\n")
    configuration = load([folder / "sluiceway.yaml"], {"HOST": "127.0.0.1:1", "ODD": "${cursor}"})
    return configuration.sources["a"].settings, configuration.sinks["x"].settings


def test_the_router_leaves_templates_to_the_connector(tmp_path: Path) -> None:
    text = """{type: http_poll, url: 'http://${env:HOST}/${cursor}/$${x}', start: 7,
       params: {a: '$${cursor}', b: '${env:ODD}', c: "${cursor + 1}", d: 5}}"""
    source, _ = configured(tmp_path, text)
    assert source.url.fill({"cursor": 7}) == "http://127.0.0.1:1/7/${x}"
    assert [value.fill({"cursor": 7}) for value in source.params.values()] == ["${cursor}", "${cursor}", 8, 5]


# ruff: noqa: E501 - what a fault says stands here as it is shown
@pytest.mark.parametrize(
    ("source", "sink", "faults"),
    [
        (
            "{type: http_poll, url: 'http://x/', records: response.body.items.map(i i)}",
            "{type: memory}",
            ["sluiceway.yaml:3:77: i follows a value with no operator between them"],
        ),
        (
            "{type: http_poll, url: 'http://x/', next: respnse.body.next}",
            "{type: memory}",
            ["sluiceway.yaml:3:48: `respnse` is not known here; did you mean `response`?"],
        ),
        (
            "{type: http_poll, url: 'http://x/', next: event.next}",
            "{type: memory}",
            ["sluiceway.yaml:3:48: `event` is not known here; known: cursor, page, records, response"],
        ),
        (
            "{type: http_poll, url: 'http://x/${env:HOST}/${cursr}', start: 1}",
            "{type: memory}",
            ["sluiceway.yaml:3:53: `cursr` is not known here; did you mean `cursor`?"],
        ),
        (
            "{type: http_poll, url: 'http://x/${cursor', start: 1}",
            "{type: memory}",
            ["sluiceway.yaml:3:39: this `${` is never closed; should end with `}`; `$${` is a plain `${`"],
        ),
        (
            "{type: http_poll, url: 'http://x/', params: {a: [1]}}",
            "{type: memory}",
            ["sluiceway.yaml:3:54: `a` is a list; should be text"],
        ),
        (
            "{type: http_poll, url: 'http://x/', records: }",
            "{type: memory}",
            [],
        ),
        (
            "{type: http_poll, url: 'http://x/', records: [response.body]}",
            "{type: memory}",
            [
                "sluiceway.yaml:3:51: YAML reads a list here, not an expression; should be quoted: records: '[response.body]'"
            ],
        ),
        (
            "{type: http_poll, url: 'http://x/', auth: {bearer: '${cursor}'}}",
            "{type: memory}",
            [
                "sluiceway.yaml:3:58: `${...}` is not filled in here; only some settings take CEL: body, headers, params, url; a plain `${` is written `$${`"
            ],
        ),
        (
            "{type: http_poll, url: '${cursor}', start: 'ftp://x'}",
            "{type: memory}",
            [
                "sluiceway.yaml:3:6: url and params, with start filled in, make no URL such as https://api.example.org/events?since=0"
            ],
        ),
        (
            "{type: memory}",
            "{type: http, url: 'http://x/', results: 'response.body.items.map(i, i.status'}",
            ["sluiceway.yaml:5:70: this ( has no )"],
        ),
        (
            "{type: memory}",
            "{type: http, url: 'http://x/', results: item.status}",
            ["sluiceway.yaml:5:46: `item` is not known here; known: response"],
        ),
        (
            "{type: memory}",
            "{type: http, url: 'http://${event.a}/', auth: {bearer: x}}",
            ["sluiceway.yaml:5:6: auth should go to one server: the host of url should hold no `${...}` beside it"],
        ),
        (
            "{type: memory}",
            "{type: http, url: 'x${event.a}', method: FETCH, headers: {'a b': c}}",
            [
                "sluiceway.yaml:5:24: `url` is `x${event.a}`; should be something that begins with http:// or https://",
                "sluiceway.yaml:5:47: `method` is `FETCH`; should be one of POST, PUT, PATCH, DELETE",
                "sluiceway.yaml:5:63: `headers`: 'a b' is no name of a header",
            ],
        ),
    ],
)
def test_faults_are_in_the_column_of_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, sink: str, faults: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if not faults:
        configured(Path(), source, sink)
        return
    with pytest.raises(Refused) as refused:
        configured(Path(), source, sink)
    assert [str(fault) for fault in refused.value.faults] == faults


def test_what_comes_from_outside_is_not_shown_in_a_fault(tmp_path: Path) -> None:
    for setting in ("records: '${env:ODD} +'", "headers: {a: '${env:ODD} ${cursr}'}"):
        with pytest.raises(Refused) as refused:
            configured(tmp_path, f"{{type: http_poll, url: 'http://x/', {setting}}}")
        assert not any("${cursor}" in str(fault) for fault in refused.value.faults)
