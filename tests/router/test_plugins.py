"""Connectors are found by entry point, and only those that are asked for are imported."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from connectors.memory import MemorySink, MemorySource
from router.config.model import SinkCommon, SourceCommon
from router.plugins import (
    BrokenConnector,
    Installed,
    UnknownConnector,
    connector_class,
    installed,
    sink_class,
    source_class,
    types,
)


def broken(value: str) -> Installed:
    return Installed("sink", "x", EntryPoint("x", value, "sluiceway.sinks"))


def test_connectors_are_found_by_kind_and_type() -> None:
    assert source_class("memory") is MemorySource
    assert sink_class("memory") is MemorySink
    assert connector_class("sink", "memory") is MemorySink


def test_what_is_installed_is_listed_by_kind_and_type() -> None:
    found = [(connector.kind, connector.type) for connector in installed()]
    assert found == sorted(found, key=lambda pair: (pair[0] != "source", pair[1]))
    assert {("source", "memory"), ("sink", "memory"), ("source", "file"), ("sink", "file")} <= set(found)
    assert types("source") == tuple(type_ for kind, type_ in found if kind == "source")


def test_an_unknown_type_is_an_error_that_names_it() -> None:
    with pytest.raises(UnknownConnector, match="no source of type kafak is installed"):
        source_class("kafak")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_module:X", "sink x needs no_such_module, which is not installed"),
        ("json:Nothing", "sink x cannot be imported: "),
        ("json:JSONDecoder", "sink x has no Config that is a subclass of router.Settings"),
        ("json:dumps", "sink x has no Config that is a subclass of router.Settings"),
    ],
)
def test_a_connector_that_cannot_be_used_is_an_error_that_says_why(value: str, message: str) -> None:
    with pytest.raises(BrokenConnector, match=message):
        broken(value).load()


def test_only_what_is_asked_for_is_imported() -> None:
    code = (
        "import sys; from router.plugins import installed, source_class; installed(); source_class('memory');"
        "print(sorted(name for name in sys.modules if name.startswith('connectors.')))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['connectors.memory']"


@pytest.mark.parametrize("connector", installed(), ids=lambda connector: f"{connector.kind} {connector.type}")
def test_no_setting_of_a_connector_is_hidden_by_one_that_every_connector_has(connector: Installed) -> None:
    """The router would take it for its own."""
    common = SourceCommon if connector.kind == "source" else SinkCommon
    taken = {"type", "use", *common.model_fields, *(("allow",) if connector.kind == "sink" else ())}
    assert not taken & set(connector.load().Config.model_fields)
