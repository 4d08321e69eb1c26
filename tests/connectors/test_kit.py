"""The contract kit finds what is broken: each check fails for connectors that break its promise, and says how."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import broken_routed_sources
import broken_sinks
import broken_sources
import pytest
from memory_system import MemorySinkContract, MemorySourceContract

from connectors.kit import BrokenPromise, Contract, SinkContract, SourceContract, Unfit
from connectors.memory import MemorySink, MemorySource

BROKEN = [*broken_routed_sources.BROKEN, *broken_sinks.BROKEN]


def trial(connector: type[Any], folder: Path) -> Contract:
    """A contract for this double, without the patience that real systems need."""
    base: type[Contract] = MemorySinkContract if issubclass(connector, MemorySink) else MemorySourceContract

    async def lose_partition(_self: Contract) -> None:
        connector.lose(_self._made[-1])

    said = {"connector": connector, "patience": 0.5, "lose_partition": lose_partition}
    if connector is broken_sources.Blocks:
        said["_still"] = 0.5
    contract: Contract = type("Trial", (base,), said)()
    contract.folder = folder
    return contract


@pytest.mark.parametrize(
    ("connector", "check", "words"), [pytest.param(*row, id=f"{row[0].__name__}-{row[1]}") for row in BROKEN]
)
def test_a_broken_promise_is_found(connector: type[Any], check: str, words: str, tmp_path: Path) -> None:
    """With words that say what was done and what would be right."""
    with pytest.raises(BrokenPromise, match=f"(?s){words}") as caught:
        getattr(trial(connector, tmp_path), check)()
    assert "Right would be: " in str(caught.value)


@pytest.mark.parametrize("contract", [SourceContract, SinkContract])
def test_every_check_can_fail(contract: type[Contract]) -> None:
    """There is a broken double for each."""
    kind = MemorySource if contract is SourceContract else MemorySink
    found = {check for connector, check, _ in BROKEN if issubclass(connector, kind)}
    shared = {check for _, check, _ in BROKEN if hasattr(Contract, check)}
    assert {name for name in dir(contract) if name.startswith("test_")} - shared == found - shared


def test_a_source_that_revokes_its_leases_passes(tmp_path: Path) -> None:
    """What it lost is not delivered."""
    trial(broken_routed_sources.Leasing, tmp_path).test_a_lost_partition_revokes_its_leases()  # type: ignore[attr-defined]


def test_no_part_of_the_daemon_imports_it() -> None:
    """Nor what it needs: a daemon is installed without pytest."""
    script = (
        "import sys, router.daemon, router.cli, router.admin, router.cli.check, router.cli.run\n"
        "from router.plugins import installed\n"
        "for connector in installed(): connector.load()\n"
        "print([name for name in ('pytest', 'connectors.kit', 'router.testing') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_what_the_protocol_says_stands_below(tmp_path: Path) -> None:
    """A failure ends with the words of the method's promise."""
    with pytest.raises(BrokenPromise) as caught:
        trial(broken_sources.ClosesOnce, tmp_path).test_close_may_come_twice_and_without_open()
    assert "router.Source.close promises: Release everything. Idempotent" in "".join(caught.value.__notes__)


def test_what_a_system_cannot_be_is_one_of_the_words(tmp_path: Path) -> None:
    """A misspelt one is no silent skip."""
    with pytest.raises(TypeError, match="did you mean 'go away'"):
        type("Trial", (MemorySourceContract,), {"cannot": {"goes away": "never"}})


def test_a_check_of_what_is_not_promised_is_skipped_with_the_reason(tmp_path: Path) -> None:
    """It stands in the report."""
    contract = type("Trial", (MemorySourceContract,), {"cannot": {"be away": "it is in memory"}})()
    contract.folder = tmp_path
    with pytest.raises(pytest.skip.Exception, match="not promised: it is in memory"):
        contract.test_a_system_that_is_away_is_not_connected()


@pytest.mark.parametrize(
    ("base", "method", "check", "words"),
    [
        (SourceContract, "put", "test_what_is_put_is_read_whole_and_in_order", r"should write put\(\)"),
        (SourceContract, "config", "test_what_is_put_is_read_whole_and_in_order", r"should say config\(\)"),
        (SourceContract, "go_away", "test_a_system_that_is_away_is_not_connected", "or say in `cannot` why not"),
        (SourceContract, "end", "test_the_end_is_the_end_every_time", "under 'end'"),
        (SinkContract, "written", "test_what_is_written_is_there_when_write_returns", r"should write written\("),
        (SinkContract, "impossible", "test_an_impossible_record_fails_alone", "under 'refuse'"),
        (SinkContract, "choices", "test_what_a_delivery_chose_is_honoured", "two values for 'headers'"),
    ],
)
def test_what_a_test_class_leaves_out_is_told(
    base: type[Contract], method: str, check: str, words: str, tmp_path: Path
) -> None:
    """It is no broken promise of the connector."""
    memory: type[Contract] = MemorySourceContract if base is SourceContract else MemorySinkContract
    contract = type("Trial", (memory,), {method: getattr(base, method)})()
    contract.folder = tmp_path
    with pytest.raises(Unfit, match=words):
        getattr(contract, check)()


def test_a_setting_that_leaves_no_trace_is_not_looked_for(tmp_path: Path) -> None:
    """A sink that has no other is skipped, with the reasons."""
    names = MemorySink.Config.per_record()
    said = {"choices": {}, "traceless": dict.fromkeys(names, "it is for the journey alone")}
    contract = type("Trial", (MemorySinkContract,), said)()
    contract.folder = tmp_path
    with pytest.raises(pytest.skip.Exception, match="not promised: it is for the journey alone"):
        contract.test_what_a_delivery_chose_is_honoured()


def test_a_check_that_opens_a_connector_waits_for_what_must_come_after(tmp_path: Path) -> None:
    """Clients that come to it, say: the test class knows when they are there."""
    opened = []

    class Awaited(MemorySinkContract):
        async def after_open(self, connector: MemorySink) -> None:
            opened.append(connector.opens)

    contract = Awaited()
    contract.folder = tmp_path
    contract.test_what_is_written_is_there_when_write_returns()
    assert opened == [1]


def test_a_failure_in_the_background_of_a_test_class_is_told(tmp_path: Path) -> None:
    """Not as a source that gives nothing."""

    class Clumsy(MemorySourceContract):
        patience = 0.5

        async def put(self, values: Sequence[bytes]) -> None:
            self.background(self.fail())

        async def fail(self) -> None:
            raise ZeroDivisionError("a slip")

    contract = Clumsy()
    contract.folder = tmp_path
    with pytest.raises(Unfit, match="failed in the background: ZeroDivisionError"):
        contract.test_what_is_put_is_read_whole_and_in_order()
