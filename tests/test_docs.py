"""What README and docs say is true: every example runs, every link leads somewhere, every table is complete."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML
from typer.testing import CliRunner

from connectors.kit import SinkContract, SourceContract
from router.cli import app
from router.config import json_schema
from router.config.model import DeadLetterPolicy, SinkCommon, SourceCommon
from router.framing import FRAMINGS
from router.metrics import Metrics
from router.tables.settings import TABLES
from rules import cel
from rules.cel import functions, macros
from rules.cel.evaluator import evaluator
from rules.cel.surroundings import within
from rules.codecs import FORMATS
from scripts import connector_docs, format_docs, function_docs
from tests.examples import completed
from tests.pages import BLOCK, Block, blocks_of
from tests.walkthrough import ROOT, Reader, write

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGE = ROOT / "docs" / "writing-a-connector.md"
"""The page of a package of its own, whose commands test_third_party runs in an environment of its own."""

BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def labelled(language: str, label: str) -> list[Any]:
    return [pytest.param(b, id=str(b)) for b in BLOCKS if (b.language, b.label) == (language, label)]


def sluiceway(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """The output of the command, which must succeed."""
    with contextlib.chdir(folder):
        done = CliRunner().invoke(app, arguments, env=dict(environment or {}))
    assert done.exit_code == 0, done.output
    return done.output


def names_in(data: Any) -> Iterator[str]:
    """The sinks that ``to`` or ``otherwise`` names."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        yield data["sink"]
    else:
        for item in data or ():
            yield from names_in(item)


def test_every_example_is_of_a_kind_that_is_tried() -> None:
    """Nobody adds an example that nothing runs."""
    kinds = {
        ("yaml", "config"),
        ("yaml", "overlay"),
        ("yaml", "rules"),
        ("sh", ""),
        ("text", "output"),
    }
    untried = [
        str(b) for b in BLOCKS if (b.language, b.label) not in kinds and not re.fullmatch(r"[\w./-]+\.\w+", b.label)
    ]
    assert untried == []
    assert sum(block.language in {"yaml", "sh"} for block in BLOCKS) > 10


@pytest.mark.parametrize("block", labelled("yaml", "rules"))
def test_rules_in_the_docs_are_right(block: Block, tmp_path: Path) -> None:
    """Each is a whole rules file: without a fault, and its tests pass."""
    data = YAML(typ="safe", pure=True).load(block.text)
    targets = [rule["to"] for rule in data["rules"] if "to" in rule] + list(data.get("otherwise", {}).values())
    gates = [rule[kind] for rule in data["rules"] for kind in ("sample", "throttle", "dedupe") if kind in rule]
    targets += [gate["else"] for gate in gates if "else" in gate]
    sinks = set(names_in(targets)) - {"drop", "dead_letter", "next", "pass", "reject"}
    config = {
        "sources": {name: {"type": "memory"} for name in data["from"]},
        "sinks": {name: {"type": "memory"} for name in sinks},
        "flows": ["rules.yaml"],
    }
    write(tmp_path / "sluiceway.yaml", json.dumps(config))
    write(tmp_path / "rules.yaml", block.text)
    sluiceway(tmp_path, "check")
    assert "0 failed" in sluiceway(tmp_path, "test")


@pytest.mark.parametrize("block", labelled("yaml", "config"))
def test_configurations_in_the_docs_are_right(block: Block, tmp_path: Path) -> None:
    """Each is a daemon's file, or a part of one: without a fault, once what it leaves out is there."""
    check(tmp_path, block.text)


@pytest.mark.parametrize("block", labelled("yaml", "overlay"))
def test_files_that_are_merged_over_another_are_right(block: Block, tmp_path: Path) -> None:
    """Each fits the first configuration of its page."""
    base = next(other for other in BLOCKS if other.page == block.page and other.label == "config")
    check(tmp_path, base.text, block.text)


def check(folder: Path, *texts: str) -> None:
    """See that the command finds no fault in these files together, and an editor none in any of them; environment
    variables that they name are set."""
    schema = jsonschema_rs.validator_for(json_schema("config"))
    loaded = [YAML(typ="safe", pure=True).load(text) for text in texts]
    assert [error.message for data in loaded for error in schema.iter_errors(data)] == []
    files, environment = completed(folder, *texts)
    sluiceway(folder, "check", *map(str, files), environment=environment)


EXAMPLES = [
    pytest.param(entry, example, id=f"{entry.name} {number}")
    for group in function_docs.entries().values()
    for entry in group
    for number, example in enumerate(entry.examples)
]


@pytest.mark.parametrize(("entry", "example"), EXAMPLES)
def test_every_example_of_a_function_is_true_and_calls_it(entry: function_docs.Entry, example: str) -> None:
    """As the exact evaluator has it, with the tables and the secret that the page takes for granted."""
    assert evaluator(within(cel.compile(example).node, function_docs.AROUND))({}) is True
    names = {form.partition("(")[0].rpartition(".")[2] for form, _ in entry.forms}
    assert any(f"{name}(" in example for name in names)


def test_every_function_is_in_the_docs_with_a_promise_and_an_example() -> None:
    """The list is complete: functions, methods and macros."""
    assert not function_docs.PART.is_stale(), "run `make docs`"
    entries = [entry for group in function_docs.entries().values() for entry in group]
    forms = " ".join(form for entry in entries for form, _ in entry.forms)
    plain = {f"{name}(" for name in functions.names(is_method=False)}
    methods = {f".{name}(" for name in functions.names(is_method=True)}
    assert {call for call in plain | methods if call not in forms} == set()
    text = function_docs.PART.page.read_text()
    assert {name for name in {*macros.FUNCTIONS, *macros.METHODS} if name not in text} == set()
    assert [entry.name for entry in entries if not entry.summary.endswith(".") or not entry.examples] == []


def test_every_metric_is_in_the_docs() -> None:
    """The table names each metric that a scrape shows, with exactly its labels."""
    text = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `(sluiceway_\w+)` \| ([\w, ]*)\|", text, re.MULTILINE)
    metrics = Metrics()
    exposed = set(re.findall(r"^# TYPE (\w+)", metrics.page()[0].decode(), re.MULTILINE))
    process = {name for name in exposed if name.startswith("process_")}
    assert {family.name for family in metrics.families} == exposed - process
    assert {name for name in process if f"`{name}`" not in text} == set()
    labels = {family.name: set(family.labels) for family in metrics.families}
    assert {name: set(listed.replace(",", " ").split()) for name, listed in rows} == labels


def settings_in(page: Path, heading: str) -> set[str]:
    """The first column of the tables of settings under a heading."""
    section = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", page.read_text(), re.MULTILINE | re.DOTALL)
    assert section, f"{page} has no part {heading}"
    tables = re.findall(r"^\| setting .*?(?=\n\n|\Z)", section[1], re.MULTILINE | re.DOTALL)
    return {
        name for table in tables for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }


def test_the_pages_of_connectors_are_what_their_code_says(tmp_path: Path) -> None:
    """Each page is current, and one that is not, is of a connector that is gone, or is not there is noticed and
    mended; what people write there stays."""
    assert connector_docs.stale() == [], "run `make docs`"
    folder = shutil.copytree(connector_docs.FOLDER, tmp_path / "connectors")
    readme = (folder / "README.md").read_text()
    write(folder / "README.md", readme.replace("| [`file`]", "| [`fiel`]") + "By hand.\n")
    write(folder / "file.md", (folder / "file.md").read_text().replace("1MiB", "2MiB"))
    write(folder / "gone.md", f"{connector_docs.MADE}\n")
    write(folder / "essay.md", "By hand.\n")
    (folder / "http.md").unlink()
    wrong = ["README.md", "file.md", "gone.md", "http.md"]
    assert connector_docs.stale(folder) == wrong
    assert connector_docs.write(folder) == wrong
    assert connector_docs.stale(folder) == []
    assert (folder / "README.md").read_text() == readme + "By hand.\n"
    assert {page.name for page in folder.iterdir()} == {p.name for p in connector_docs.FOLDER.iterdir()} | {"essay.md"}


@pytest.mark.parametrize(
    ("word", "name", "kind"),
    [
        *(pytest.param("Format", name, kind, id=f"format {name}") for name, kind in FORMATS.items()),
        *(pytest.param("Framing", name, kind, id=f"framing {name}") for name, kind in FRAMINGS.items()),
    ],
)
def test_every_format_and_framing_is_in_the_docs_with_its_settings(word: str, name: str, kind: type[BaseModel]) -> None:
    """Each says what it is, and each setting what it does."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    part = re.search(rf"^#### {word} `{name}`$\n\n(.*?)(?=^#|^<!--)", page, re.MULTILINE | re.DOTALL)
    assert part, f"{word} {name} is not there"
    assert part[1].strip()
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.+) \|$", part[1], re.MULTILINE)
    assert [setting for setting, _ in rows] == [
        info.alias or key for key, info in kind.model_fields.items() if key != "type"
    ]
    assert f"(#{word.lower()}-{name})" in page


def test_the_list_of_formats_is_what_the_code_gives() -> None:
    assert not format_docs.PART.is_stale(), "run `make docs`"


def test_every_setting_of_all_sources_and_sinks_is_in_the_docs() -> None:
    """The tables of what every source, every sink and every table takes are complete."""
    page = ROOT / "docs" / "configuration.md"
    assert settings_in(page, "What every source takes") == {"type", "use", *SourceCommon.model_fields}
    assert settings_in(page, "What every sink takes") == {"type", "use", "allow", *SinkCommon.model_fields}
    tables = {name for kind in TABLES.values() for name in kind.model_fields}
    assert settings_in(page, "Tables") == tables
    assert settings_in(page, "What becomes of dead letters") == {*DeadLetterPolicy.model_fields}


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link names a file that is there, and a heading in it."""
    prose = BLOCK.sub("", page.read_text())
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors_of(file)):
            broken.append(target)
    assert broken == []


def test_everything_that_a_test_class_of_the_kit_may_say_is_in_the_docs() -> None:
    """And nothing else: the methods and attributes, and what a system may not be able to do."""
    rows = re.findall(r"^\| (`.*?) \|", PACKAGE.read_text().partition("## The kit")[2], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([\w ]+)", row)}
    said = {
        name
        for base in {*SourceContract.__mro__, *SinkContract.__mro__} - {object}
        for name in {*vars(base), *vars(base).get("__annotations__", ())}
        if not name.startswith(("_", "test_"))
    }
    assert named == said - {"abilities", "protocol"} | {*SourceContract.abilities, *SinkContract.abilities}


def anchors_of(page: Path) -> set[str]:
    """What GitHub makes of headings; one that repeats gets a number."""
    anchors: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text()), re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        anchors.add(f"{anchor}-1" if anchor in anchors else anchor)
    return anchors


def runnable(page: Path) -> bool:
    return page != PACKAGE and any(block.language == "sh" for block in blocks_of(page))


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in PAGES if runnable(p)])
def test_commands_in_the_docs_work(page: Path, tmp_path: Path) -> None:
    """Read from top to bottom, a page's files are written and its commands run; what they show is what stands there."""
    shown = ""
    with Reader(tmp_path) as reader:
        for block in blocks_of(page):
            if block.language == "sh":
                shown = "\n".join(reader.run(line).rstrip("\n") for line in block.text.splitlines())
            elif block.label == "output":
                assert shown == block.text.rstrip("\n"), block
            elif "." in block.label:
                write(tmp_path / block.label, block.text)
