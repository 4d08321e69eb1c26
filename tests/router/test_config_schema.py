"""The JSON Schemas accept what the reader accepts, and editors get a description for every key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import jsonschema_rs
import pytest
from fuzz_config import DAEMON, RULES

from router.config import json_schema
from rules.document import load

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(
    path
    for folder in (ROOT / "router" / "cli" / "example", ROOT / "deploy")
    for path in folder.rglob("*.yaml")
    if path.name == "sluiceway.yaml" or path.parent.name == "rules"
)


def errors(kind: Literal["config", "rules"], text: str) -> list[tuple[str, str]]:
    document, faults = load(text, "f.yaml")
    assert faults == []
    assert document is not None
    validator = jsonschema_rs.validator_for(json_schema(kind))
    return [("/".join(map(str, error.instance_path)), error.message) for error in validator.iter_errors(document.data)]


@pytest.mark.parametrize("kind", ["config", "rules"])
def test_a_schema_is_one_of_draft_2020_12(kind: Literal["config", "rules"]) -> None:
    schema = json_schema(kind)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema_rs.meta.validate(schema)


def test_the_examples_of_the_tests_are_valid() -> None:
    assert errors("config", DAEMON) == []
    assert errors("rules", RULES) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples_that_users_start_from_are_valid(path: Path) -> None:
    assert errors("config" if path.name == "sluiceway.yaml" else "rules", path.read_text()) == []


BASE = "sources: {a: {type: memory}}\nflows: [x]\n"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("sorces: {}\n", ""),
        ("drain_timeout: soon\n", "drain_timeout"),
        ("http: true\n", "http"),
        ("flows: []\n", "flows"),
        ("sources: {a: {type: nosuch}}\n", "sources/a/type"),
        ("sources: {a: {channel: x}}\n", "sources/a"),
        ("sources: {a: {type: memory, chanel: x}}\n", "sources/a"),
        ("sources: {a: {type: memory, decode: morse}}\n", "sources/a/decode"),
        ("sinks: {x: {type: file}}\n", "sinks/x"),
        ("sinks: {x: {type: memory, batch: {records: many}}}\n", "sinks/x/batch/records"),
        ("sinks: {x: {type: memory, allow: {channel: [a]}}}\n", "sinks/x/allow"),
        ("defaults: {sink: {path: x}}\n", "defaults/sink"),
    ],
)
def test_what_the_reader_refuses_in_the_daemons_file_an_editor_marks(text: str, place: str) -> None:
    assert place in [found for found, _ in errors("config", text)]


@pytest.mark.parametrize(
    "text",
    [
        BASE + "http: false\n",
        BASE + "http: {listen: '${env:LISTEN}', token: '${file:token}'}\n",
        "connections: {m: {type: file, path: a}}\nsources: {a: {use: m}, b: {use: m, type: file}}\n",
        "sinks: {x: {type: memory, timeout: '${env:T}', ordered: '${env:O:-true}', batch: {bytes: 1MiB}}}\n",
    ],
)
def test_what_the_reader_takes_in_the_daemons_file_an_editor_takes(text: str) -> None:
    assert errors("config", text) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("rules: [{to: x}]\n", ""),
        ("from: a\nruls: []\n", ""),
        ("from: a\nrules: [{nmae: x, to: y}]\n", "rules/0"),
        ("from: a\nrules: [{when: [1], to: y}]\n", "rules/0/when"),
        ("from: a\nrules: [{continue: true, set: {event.a: 1}}]\n", "rules/0"),
        ("from: a\nrules: [{set: {meta.key: 1}}]\n", "rules/0/set"),
        ("from: a\nrules: [{to: {key: x}}]\n", "rules/0/to"),
        ("from: a\ncontract: {schema: a, model: b}\n", "contract"),
        ("from: a\notherwise: {unmatchd: x}\n", "otherwise"),
        ("from: a\ntests: [{then: {}}]\n", "tests/0"),
    ],
)
def test_what_the_reader_refuses_in_a_rules_file_an_editor_marks(text: str, place: str) -> None:
    assert place in [found for found, _ in errors("rules", text)]


def properties(schema: Any, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every key that a schema names, with its schema."""
    found = []
    if isinstance(schema, list):
        return [entry for part in schema for entry in properties(part, path)]
    if not isinstance(schema, dict):
        return []
    for name, part in schema.get("properties", {}).items():
        found.append((f"{path}/{name}", part))
    for key, part in schema.items():
        if key not in ("if", "enum", "default", "examples"):
            found += properties(part, f"{path}/{key}")
    return found


@pytest.mark.parametrize("kind", ["config", "rules"])
def test_every_key_is_explained(kind: Literal["config", "rules"]) -> None:
    unexplained = [
        path
        for path, schema in properties(json_schema(kind))
        if "description" not in schema and not path.endswith(("/type", "/base64")) and "/allow/" not in path
    ]
    assert unexplained == []
