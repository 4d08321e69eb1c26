"""What every connector tells of itself is complete, and its example works."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from router.cli.check import check
from router.plugins import Installed, installed
from router.reference import reference
from tests.examples import completed

CONNECTORS = [pytest.param(connector, id=f"{connector.kind} {connector.type}") for connector in installed()]


@pytest.mark.parametrize("connector", CONNECTORS)
def test_an_example_passes_the_check(
    connector: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a part of the daemon's file in which the connector stands."""
    example = reference(connector).example
    declared = YAML(typ="safe", pure=True).load(example)[f"{connector.kind}s"]
    connections = YAML(typ="safe", pure=True).load(example).get("connections", {})
    types = {connections[entry["use"]]["type"] if "use" in entry else entry["type"] for entry in declared.values()}
    assert connector.type in types
    files, environment = completed(tmp_path, example)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    check(files, as_json=False)
    assert capsys.readouterr().err == "", "there are warnings"


@pytest.mark.parametrize("connector", CONNECTORS)
def test_a_docstring_says_what_a_user_must_know(connector: Installed) -> None:
    """One sentence on its first line, then the guarantee, what being away is, and of a source what its lag is; in
    Markdown, in which code has one backtick at each end."""
    known = reference(connector)
    assert known.summary.endswith("."), "the first line is one sentence"
    assert known.guarantee, "a paragraph begins with **Guarantee**"
    assert "**Away" in known.description
    if connector.kind == "source":
        assert "**Lag" in known.description
    texts = [known.summary, known.description, *(setting.description for setting in known.settings)]
    assert [text for text in texts if "``" in text.replace("```", "")] == []


@pytest.mark.parametrize("connector", CONNECTORS)
def test_every_setting_says_what_it_does(connector: Installed) -> None:
    """Nested ones, too."""
    assert [setting.name for setting in reference(connector).settings if not setting.description] == []
