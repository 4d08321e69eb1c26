"""What holds for every test."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TypeVar

import pytest
from hypothesis import settings

from connectors.kit.promise import NOT_PROMISED
from tests.certificates import Certificates, make_certificates
from tests.loops import ClosingLoop
from tests.servers.fixtures import kafka, kafka_or_skip, mosquitto, start_kafka, start_mosquitto
from tests.servers.locks import alone
from tests.servers.shared import run_folder

__all__ = ["kafka", "kafka_or_skip", "mosquitto", "start_kafka", "start_mosquitto"]

MAY_SKIP = ("shared/cel-conformance", NOT_PROMISED)
"""What the reasons name for which a test may be skipped in CI: the conformance cases are no part of the tree, and a
connector need not be able to do everything that the contract kit asks, if its test says why."""

# How long an example takes says nothing on a machine that does other things as well.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def _strict(report: Report) -> Report:
    """In CI a skipped test is a failed one: what is never run shows nothing."""
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(allowed in reason for allowed in MAY_SKIP):
            report.outcome = "failed"
            report.longrepr = f"{report.nodeid} may not be skipped in CI: {reason}"
    return report


def pytest_itemcollected(item: pytest.Item) -> None:
    """What starts a Kafka of its own to break it takes minutes in all: ``make outages`` runs that. Those that show what
    a broker's death means, of a source and of a sink, are run always."""
    if "start_kafka" in getattr(item, "fixturenames", ()) and item.get_closest_marker("short") is None:
        item.add_marker("outage")


def pytest_asyncio_loop_factories() -> dict[str, type[ClosingLoop]]:
    """The loop of every asynchronous test."""
    return {"closing": ClosingLoop}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judge each phase of each test."""
    return _strict((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Judge modules that skip themselves."""
    return _strict((yield))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority, a server and a client; the same for the whole run, since its workers share servers."""
    folder = run_folder(tmp_path_factory) / "certificates"
    with alone(folder.with_suffix(".lock")):
        return Certificates(folder) if folder.exists() else make_certificates(folder)
