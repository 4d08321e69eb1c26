"""The JSON Schemas accept what the reader accepts, and editors get a description for every key."""

from __future__ import annotations

import importlib
import sys
from functools import reduce
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal

import jsonschema_rs
import pytest
from fuzz_config import DAEMON, ENVIRONMENT, RULES

from router import plugins
from router.config import json_schema
from router.config import load as load_config
from rules.document import load

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(
    path
    for folder in (ROOT / "router", ROOT / "deploy", ROOT / "bench", ROOT / "docs")
    for path in folder.rglob("*.yaml")
    if (path.name == "sluiceway.yaml" and "grafana" not in path.parts) or path.parent.name == "rules"
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
        ("sources: {a: {chanel: x}}\n", "sources/a"),
        ("sources: {a: {fsync: never}}\n", "sources/a"),
        ("sources: {a: {path: 5}}\n", "sources/a/path"),
        ("sources: {a: {use: m, queue: {records: 5}}}\n", "sources/a"),
        ("sinks: {x: {batch: {record: 5}}}\n", "sinks/x/batch"),
        ("sinks: {x: {rotate: {keep: many}}}\n", "sinks/x/rotate"),
        ("sinks: {x: {use: m, framming: newline}}\n", "sinks/x"),
        ("sinks: {x: {type: file, use: m, channel: a}}\n", "sinks/x"),
        ("sinks: {x: {allow: {chanel: [a]}}}\n", "sinks/x/allow"),
        ("connections: {m: {type: file, channel: a}}\n", "connections/m"),
        ("connections: {m: {type: nosuch}}\n", "connections/m/type"),
        ("connections: {m: {max_opne: 5}}\n", "connections/m"),
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
        "connections: {m: {type: file, fsync: never, decode: text, timeout: 5s, rotate: {keep: 2}}}\n",
        "sinks: {x: {type: memory, timeout: '${env:T}', ordered: '${env:O:-true}', batch: {bytes: 1MiB}}}\n",
    ],
)
def test_what_the_reader_takes_in_the_daemons_file_an_editor_takes(text: str) -> None:
    assert errors("config", text) == []


BASES = {
    "base.yaml": """\
connections:
  logs: {type: file, compression: gzip, rotate: {every: 1d}}
sources:
  orders: {type: generate, rate: 10/s, template: {n: "{sequence}"}}
  posted: {type: http, pending: {records: 100}}
sinks:
  vip: {type: file, path: out/vip.ndjson}
  logged: {use: logs, path: "out/${event.tenant}.ndjson.gz"}
  seen: {type: memory}
flows: [rules.yaml]
""",
    "fuzz.yaml": DAEMON.replace("rules/*.yaml", "rules.yaml"),
}


@pytest.mark.parametrize(
    ("base", "overlay"),
    [
        ("base.yaml", "sinks: {vip: {batch: {records: 5}}}\n"),
        ("base.yaml", "sinks: {vip: {path: elsewhere.ndjson, fsync: never}}\n"),
        ("base.yaml", "sinks: {vip: {type: file, path: again.ndjson}}\n"),
        ("base.yaml", "sinks: {logged: {rotate: {keep: 5}, allow: {path: [out/*]}}, seen: {headers: {a: b}}}\n"),
        ("base.yaml", "sinks: {vip: {use: logs}}\n"),
        ("base.yaml", "sinks: {seen: null, logged: {use: logs, compression: null}}\n"),
        ("base.yaml", "sources: {orders: {rate: 5/m, count: 10, decode: text}}\n"),
        ("base.yaml", "sources: {posted: {path: /other, pending: {bytes: 1GiB}}}\n"),
        ("base.yaml", "connections: {logs: {compression: none, rotate: {keep: 3}, timeout: 5s}}\n"),
        ("base.yaml", "connections: {logs: {type: file, rotate: {keep: 3}}}\n"),
        ("base.yaml", "defaults: {source: {decode: bytes}, sink: {retry: {attempts: 3}}}\nhttp: false\n"),
        ("fuzz.yaml", "connections: {main: {channel: '${env:CHANNEL}'}}\nsinks: {tenant: {topic: \"${event.a}\"}}\n"),
        ("fuzz.yaml", "sinks: {archive: {ordered: true, queue: {bytes: '${env:BYTES:-1MiB}'}}}\n"),
    ],
)
def test_a_file_that_names_only_what_it_changes_in_another_is_right_in_an_editor(
    base: str, overlay: str, tmp_path: Path
) -> None:
    """Both are as the reader takes them, and an editor, which sees each alone, marks neither."""
    sources = "[orders, posted]" if base == "base.yaml" else "[orders]"
    (tmp_path / "rules.yaml").write_text(f"from: {sources}\nrules: [{{to: vip}}]\n")
    files = [tmp_path / "base.yaml", tmp_path / "overlay.yaml"]
    for file, text in zip(files, (BASES[base], overlay), strict=True):
        file.write_text(text)
        assert errors("config", text) == []
    load_config(files, ENVIRONMENT)


def test_nothing_is_required_within_a_setting_that_another_file_may_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of a nested setting is right in an overlay, and marked where the entry is whole; of alternatives that a
    tag tells apart the tag may be left out, too."""
    with_connector(
        tmp_path,
        monkeypatch,
        "class Basic(BaseModel):\n"
        "    scheme: Literal['basic']\n"
        "    user: str\n"
        "    password: str\n"
        "class Bearer(BaseModel):\n"
        "    scheme: Literal['bearer']\n"
        "    token: str\n"
        "class Config(Settings):\n"
        "    auth: Annotated[Basic | Bearer, Field(discriminator='scheme')]\n",
    )
    assert errors("config", "sinks: {x: {auth: {password: p}}}\n") == []
    assert errors("config", "sinks: {x: {use: c, type: schema_probe, auth: {password: p}}}\n") == []
    assert errors("config", "sinks: {x: {type: schema_probe, auth: {scheme: basic, user: u, password: p}}}\n") == []
    assert [place for place, _ in errors("config", "sinks: {x: {type: schema_probe, auth: {password: p}}}\n")] == [
        "sinks/x/auth"
    ]
    assert [place for place, _ in errors("config", "sinks: {x: {auht: {password: p}}}\n")] == ["sinks/x"]


def test_a_connector_that_cannot_be_imported_may_have_any_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor does not mark what it cannot know; the settings that all sinks take it still does."""
    with_connector(tmp_path, monkeypatch, "import no_such_module\n")
    for entry in ("{type: schema_probe, anything: x}", "{anything: x}", "{use: c, anything: x}"):
        assert errors("config", f"sinks: {{x: {entry}}}\n") == []
    assert errors("config", "sources: {x: {anything: x}}\n") != []
    assert errors("config", "sinks: {x: {anything: x, batch: 5}}\n") != []


def with_connector(folder: Path, monkeypatch: pytest.MonkeyPatch, config: str) -> None:
    """Install a sink of type ``schema_probe`` whose ``Config`` is this code, for one test."""
    code = (
        "from typing import Annotated, Literal\nfrom pydantic import BaseModel, Field\nfrom router import Settings\n"
        f"{config}class Sink:\n    Config = Config\n"
    )
    (folder / "schema_probe.py").write_text(code)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "schema_probe", raising=False)
    importlib.invalidate_caches()
    entry = EntryPoint("schema_probe", "schema_probe:Sink", "sluiceway.sinks")
    known = {**plugins._installed("sink"), "schema_probe": plugins.Installed("sink", "schema_probe", entry)}
    monkeypatch.setattr(plugins, "_installed", {"sink": known, "source": plugins._installed("source")}.__getitem__)


@pytest.mark.parametrize("value", ["reject", "[reject]", "{sink: reject}", "dead_letter", "[x, {sink: y, key: k}]"])
def test_what_may_be_rejected_may_be_so_in_an_editor(value: str) -> None:
    assert errors("rules", f"from: a\notherwise: {{invalid: {value}, undecodable: {value}}}\n") == []


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
        ("from: a\notherwise: {unmatched: reject}\n", "otherwise/unmatched"),
        ("from: a\notherwise: {error: [reject]}\n", "otherwise/error"),
        ("from: a\nrules: [{to: {sink: reject}}]\n", "rules/0/to"),
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
    whole = json_schema(kind)

    def is_explained(schema: Any) -> bool:
        while "description" not in schema and "$ref" in schema:
            schema = reduce(lambda at, step: at[step], schema["$ref"].removeprefix("#/").split("/"), whole)
        return "description" in schema

    unexplained = [
        path
        for path, schema in properties(whole)
        if not is_explained(schema) and not path.endswith(("/type", "/base64")) and "/allow/" not in path
    ]
    assert unexplained == []
