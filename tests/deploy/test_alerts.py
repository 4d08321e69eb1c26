"""What Prometheus and Alertmanager are given: right by their own tools, each alert tried, and each with a page
that tells the truth."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from router.cli import app
from router.metrics import END_TO_END_SECONDS, Metrics
from tests.servers.process import Unavailable
from tests.servers.prometheus import DEPLOYED, program
from tests.walkthrough import ROOT

RULES = DEPLOYED / "sluiceway.rules.yaml"
CASES = sorted(DEPLOYED.glob("*.test.yaml"))
RUNBOOKS = ROOT / "docs" / "runbooks"
HEADINGS = [
    "What is at risk",
    "How to see it",
    "What to do",
    "When it resolves",
    "To change when it comes",
]
SECONDS = 120


@cache
def loaded(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path)


def rules(kind: str) -> list[Any]:
    return [rule for group in loaded(RULES)["groups"] for rule in group["rules"] if kind in rule]


ALERTS = [pytest.param(rule, id=rule["alert"]) for rule in rules("alert")]
RECORDED = {rule["record"] for rule in rules("record")}


def tool(name: str, *arguments: str) -> str:
    """What one of their tools says, which must be content."""
    try:
        command = [program(name), *arguments]
    except Unavailable as lacking:
        pytest.skip(str(lacking))
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_finds_no_fault_in_its_files() -> None:
    """The configuration, and the rules that it names."""
    assert f"SUCCESS: {len(rules('alert')) + len(RECORDED)} rules found" in tool(
        "promtool", "check", "config", str(DEPLOYED / "prometheus.yml")
    )


def test_alertmanager_finds_no_fault_in_its_file_and_tells_who_it_should() -> None:
    config = str(DEPLOYED / "alertmanager.yml")
    tool("amtool", "check-config", config)
    for severity, receiver in (("critical", "on-call"), ("warning", "by-day")):
        assert tool("amtool", "config", "routes", "test", f"--config.file={config}", f"severity={severity}") == (
            f"{receiver}\n"
        )


@pytest.mark.parametrize("rule", loaded(DEPLOYED / "alertmanager.yml")["inhibit_rules"])
def test_an_alert_holds_back_only_what_is_about_the_same(rule: Any) -> None:
    """Else a sink that is away, and silenced, would hide what is wrong with the flows of other sinks."""
    ((name, value),) = (matcher.split(" = ") for matcher in rule["source_matchers"])
    assert name == "alertname"
    assert set(rule["equal"]) == labels_of(value)


@pytest.mark.parametrize("cases", [pytest.param(path, id=path.name) for path in CASES])
def test_alerts_fire_when_they_should_and_only_then(cases: Path) -> None:
    """As Prometheus' own tool finds."""
    tool("promtool", "test", "rules", str(cases))


def tried(name: str) -> list[tuple[str, list[Any]]]:
    """When an alert is looked at in the cases, and what fires then; case by case, in order."""
    return [
        (look["eval_time"], look["exp_samples"])
        for path in CASES
        for case in loaded(path)["tests"]
        for look in case["promql_expr_test"]
        if f'alertname="{name}"' in look["expr"]
    ]


def labels_of(name: str) -> set[str]:
    """What an alert is about when it fires."""
    fired = next(samples for _, samples in tried(name) if samples)[0]["labels"]
    found = {label for label, _ in re.findall(r'(\w+)="([^"]*)"', fired)}
    return found - {"alertname", "alertstate", "severity"}


@pytest.mark.parametrize("rule", ALERTS)
def test_each_alert_is_tried_before_it_fires_while_it_does_and_once_it_is_over(rule: Any) -> None:
    fires = [bool(samples) for _, samples in tried(rule["alert"])]
    assert fires[:2] == [False, True]
    assert False in fires[2:]


@pytest.mark.parametrize("rule", ALERTS)
def test_each_alert_says_what_whom_to_wake_and_where_to_read_on(rule: Any) -> None:
    """In words that name only labels that the alert has when it fires."""
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
    assert named <= labels_of(rule["alert"])
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"


@pytest.mark.parametrize("rule", ALERTS)
def test_each_alert_has_a_page_and_every_number_to_change_is_in_the_rule(rule: Any) -> None:
    page = (RUNBOOKS / f"{rule['alert']}.md").read_text()
    assert page.startswith(f"# {rule['alert']}\n\n*Severity: {rule['labels']['severity']}*")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == HEADINGS
    source = f"{rule['expr']}\nfor: {rule.get('for', '')}" + "".join(each["expr"] for each in rules("record"))
    change = page.partition(f"## {HEADINGS[-1]}")[2]
    numbers = [code for code in re.findall(r"`([^`]+)`", change) if re.search(r"\d", code)]
    assert [code for code in numbers if code not in source] == []


def test_no_page_is_about_an_alert_that_is_gone() -> None:
    assert {page.stem for page in RUNBOOKS.iterdir()} == {rule["alert"] for rule in rules("alert")}


def test_the_table_of_alerts_in_the_docs_is_complete() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| \[`(\w+)`\]\(runbooks/\w+\.md\) \| (\w+) \|", text, re.MULTILINE)
    assert rows == [(rule["alert"], rule["labels"]["severity"]) for rule in rules("alert")]


def shown_in(page: Path) -> Iterator[str]:
    """The lines of a page that are to be typed: commands, and queries for Prometheus."""
    text = page.read_text()
    yield from re.findall(r"^    (\S.*)$", text, re.MULTILINE)
    yield from (code for code in re.findall(r"`([^`\n]+)`", text) if code.startswith("sluiceway "))


PAGES = [pytest.param(page, id=page.stem) for page in sorted(RUNBOOKS.iterdir())]
PROGRAMS = ("sluiceway", "curl", "df")


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_a_page_exist_with_their_options(page: Path) -> None:
    lines = [shlex.split(line) for line in shown_in(page)]
    assert [line for line in lines if line[0] == "sluiceway" and not is_command(line[1:])] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_with_commands_says_at_its_head_how_to_run_them(page: Path) -> None:
    has_commands = any(line.startswith("sluiceway ") for line in shown_in(page))
    head = page.read_text().partition("## ")[0]
    assert ("(../deployment.md#commands)" in head) is has_commands


def is_command(words: list[str]) -> bool:
    command = command_line()
    while command is not None and hasattr(command, "commands"):
        command = command.commands.get(words[0])
        words = words[1:]
    options = {option for parameter in (command.params if command else ()) for option in parameter.opts}
    return command is not None and {word for word in words if word.startswith("--")} <= options


@cache
def command_line() -> Any:
    return typer.main.get_command(app)


def queries_of(page: Path) -> list[str]:
    return [line for line in shown_in(page) if line.split()[0] not in PROGRAMS]


@pytest.mark.parametrize("page", PAGES)
def test_queries_of_a_page_ask_for_series_that_there_are(page: Path) -> None:
    queries = queries_of(page)
    assert queries
    assert {name for query in queries for name in series_in(query)} - known_series() == set()


def test_rules_ask_for_series_that_there_are() -> None:
    asked = {name for rule in [*rules("alert"), *rules("record")] for name in series_in(rule["expr"])}
    assert asked - known_series() == set()


def test_the_objective_for_latency_is_a_bucket_of_the_histogram() -> None:
    """Of another bound there is no series, and no alert would ever fire."""
    bounds = re.findall(r'le="([^"]+)"', RULES.read_text())
    assert len(bounds) == 5
    assert set(bounds) <= {str(float(bound)) for bound in END_TO_END_SECONDS}


def series_in(query: str) -> set[str]:
    return set(re.findall(r"\b(?:sluiceway|process)[_:][\w:]+|\bup\b", query))


@cache
def known_series() -> set[str]:
    """Every name that a scrape of a daemon, the rules and Prometheus itself make."""
    metrics = Metrics()
    page = metrics.page()[0].decode()
    histograms = {
        f"{family.name}_{part}"
        for family in metrics.families
        if family.type == "histogram"
        for part in ("bucket", "count", "sum")
    }
    return {"up", *RECORDED, *histograms, *re.findall(r"^# TYPE (\w+)", page, re.MULTILINE)}


def test_queries_of_the_pages_can_be_read_by_prometheus(tmp_path: Path) -> None:
    """Each as a rule of its own, which its tool checks."""
    queries = [query for page in sorted(RUNBOOKS.iterdir()) for query in queries_of(page)]
    made = [{"record": f"page:{number}", "expr": query} for number, query in enumerate(queries)]
    path = tmp_path / "pages.yaml"
    with path.open("w") as file:
        YAML(typ="safe").dump({"groups": [{"name": "pages", "rules": made}]}, file)
    assert f"SUCCESS: {len(queries)} rules found" in tool("promtool", "check", "rules", str(path))
