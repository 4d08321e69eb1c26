"""The daemon as a process under faults: short, with fixed seeds. ``python tests/faults`` is the long version."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from daemon_process import total
from harness import Rig, wait_until
from kill import Ordeal, judge
from oracle import Findings, Ledger
from shop import SINKS, Shop

from bench.events import lines


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig() as made:
        yield made


def clean(found: dict[str, Findings]) -> None:
    """Nothing was found wrong anywhere, and there was something to be found."""
    wrong = {place: findings.examples for place, findings in found.items() if findings.violations}
    assert not wrong
    assert sum(findings.expected for findings in found.values()) > 100


def connected(rig: Rig, sink: str) -> bool:
    return bool(rig.daemon.status()["sinks"][sink]["connected"])


def unsettled(rig: Rig, source: str) -> int:
    told = rig.daemon.status()["sources"][source]["unsettled"]
    assert isinstance(told, dict)
    return int(told["records"])


@pytest.mark.parametrize("buffers", [False, True], ids=["plain", "disk buffers"])
def test_killed_while_a_file_is_routed(tmp_path: Path, buffers: bool) -> None:
    """kill -9 at random moments: no line is missing, none torn, all in order, and each kill repeats one window at
    most."""
    events = tmp_path / "events.ndjson"
    events.write_bytes(b"".join(lines(100_000, seed=7)))
    ordeal = Ordeal(tmp_path, events, kills=3, rng=random.Random(7), buffers=buffers)
    try:
        status = ordeal.suffer()
    finally:
        ordeal.close()
    ledger = Ledger(events)
    found, again = judge(ordeal, ledger)
    ledger.close()
    assert status == 0
    assert len(ordeal.kills) == 3
    for findings in found.values():
        findings.bound = findings.repeats  # bounded by the window below
    clean(found)
    assert again[0] == 0
    assert max(again) <= ordeal.window


def test_a_sink_that_is_away_stalls_its_own_flow_only(rig: Rig) -> None:
    """The other flow goes on; status and metrics tell; when it is back, nothing is missing and nothing came twice."""
    rig.daemon.start()
    wait_until(lambda: connected(rig, "wire"), "the sink connects")
    rig.destination.refuse_connections()
    for source in ("a", "b"):
        rig.feed(source, 3000)
    wait_until(lambda: not connected(rig, "wire"), "the outage shows in the status")
    wait_until(lambda: rig.oracle().findings()["small"].lost == 0, "the other flow's records arrive")
    wait_until(lambda: unsettled(rig, "b") == 0, "the other flow settles")
    metrics = rig.daemon.metrics()
    assert metrics["sluiceway_connected{kind=sink,name=wire}"] == 0
    assert metrics["sluiceway_connected{kind=sink,name=small}"] == 1
    assert metrics["sluiceway_sink_queue_records{sink=wire}"] > 0
    assert rig.daemon.status()["sinks"]["wire"]["error"]
    assert unsettled(rig, "a") > 0
    rig.destination.listen()
    clean(rig.settle())
    assert connected(rig, "wire")
    assert rig.daemon.metrics()["sluiceway_connected{kind=sink,name=wire}"] == 1
    assert not [letter for letter in rig.letters() if letter.stage == "sink"]


def test_one_refused_record_is_one_dead_letter(rig: Rig) -> None:
    """A sink that refuses one record of a batch for good: that one is a dead letter, all others are delivered."""
    refused = rig.upcoming("wire", "a", 1000)[70]
    rig.destination.refused.add(refused)
    rig.refusable["wire"].add(refused)
    rig.feed("a", 1000)
    rig.daemon.start()
    clean(rig.settle())
    letters = [letter for letter in rig.letters() if letter.stage == "sink"]
    assert [(letter.sink, letter.reason, letter.detail, letter.attempts) for letter in letters] == [
        ("wire", "refused", "refused for good", 1)
    ]
    assert rig.shop.identify(letters[0].value) == refused


def test_a_busy_record_is_tried_again(rig: Rig) -> None:
    """A record that is refused for now is delivered later, in its place among those of its key, and is no letter."""
    for record in rig.upcoming("wire", "a", 1000)[10:60:10]:
        rig.destination.busy[record] = 3
    rig.feed("a", 1000)
    rig.daemon.start()
    clean(rig.settle())
    assert total(rig.daemon.metrics(), "sluiceway_sink_retries_total", "sink=wire") >= 3
    assert not [letter for letter in rig.letters() if letter.stage == "sink"]


@pytest.mark.parametrize("place", [0, -1])
def test_a_record_that_brings_the_sink_down_is_found(rig: Rig, place: int) -> None:
    """A record at whose sight the server closes the connection becomes a dead letter; all others are delivered."""
    poison = rig.upcoming("wire", "a", 1000)[place]
    rig.destination.poison.add(poison)
    rig.refusable["wire"].add(poison)
    rig.feed("a", 1000)
    rig.daemon.start()
    clean(rig.settle())
    letters = [letter for letter in rig.letters() if letter.stage == "sink"]
    assert [(letter.sink, letter.reason) for letter in letters] == [("wire", "brings_sink_down")]
    assert rig.shop.identify(letters[0].value) == poison


def test_lost_answers_and_dropped_connections(rig: Rig) -> None:
    """A frame that is dropped comes again; one that was kept without an answer comes twice, and nothing else does."""
    rig.daemon.start()
    rig.destination.drops = 1
    rig.destination.forgotten_answers = 1
    rig.feed("a", 2000)
    clean(rig.settle())


def test_frozen_and_thawed(rig: Rig) -> None:
    """SIGSTOP for longer than a write may take: it goes on where it was, and what it gave up on comes at most twice."""
    rig.daemon.start()
    rig.destination.delay = 0.3
    rig.feed("a", 3000)
    wait_until(lambda: rig.destination.records > 0, "a first write")
    rig.daemon.freeze()
    time.sleep(2.5)
    rig.expect_repeats_of_write(*SINKS)
    rig.daemon.thaw()
    rig.destination.delay = 0.0
    rig.feed("b", 500)
    clean(rig.settle())


def test_terminated_in_the_middle_it_drains(rig: Rig) -> None:
    """SIGTERM with writes under way: what was read is delivered and acknowledged, so the next start repeats nothing."""
    rig.destination.delay = 0.2
    rig.feed("a", 8000)
    rig.daemon.start()
    wait_until(lambda: rig.destination.records > 0, "a first write")
    assert rig.daemon.stop() == 0
    rig.destination.delay = 0.0
    rig.feed("a", 500)
    rig.daemon.start()
    clean(rig.settle())


def test_rotated_while_it_is_down(rig: Rig) -> None:
    """A source's file that is renamed while no daemon runs is read to its end, before the new one."""
    rig.feed("a", 1000)
    rig.daemon.start()
    clean(rig.settle())
    rig.daemon.kill()
    rig.expect_repeats_of_kill()
    rig.feed("a", 700)
    rig.rotate("a")
    rig.feed("a", 700)
    rig.daemon.start()
    clean(rig.settle())


def in_buffer(rig: Rig, sink: str) -> int:
    told = rig.daemon.status()["sinks"][sink]["buffer"]
    assert isinstance(told, dict)
    return int(told["records"])


def test_killed_while_records_wait_in_disk_buffers() -> None:
    """With a sink away and others that work, kill -9 again and again: what was acknowledged comes from the buffers, in
    order, and each kill repeats no more than its windows."""
    rng = random.Random(11)
    with Rig(buffers=True) as rig:
        rig.daemon.start()
        rig.destination.refuse_connections()
        for _ in range(5):
            for source in ("a", "b"):
                rig.feed(source, 3000)
            time.sleep(rng.uniform(0.05, 0.6))
            rig.daemon.kill()
            rig.expect_repeats_of_kill()
            rig.daemon.start()
        wait_until(lambda: unsettled(rig, "a") == unsettled(rig, "b") == 0, "everything is acknowledged")
        assert in_buffer(rig, "wire") > 1000
        assert rig.daemon.stop() == 0
        rig.daemon.start()
        rig.destination.listen()
        rig.feed("a", 500)
        clean(rig.settle())
        assert in_buffer(rig, "wire") == 0
        assert not [letter for letter in rig.letters() if letter.stage == "sink"]


def test_a_full_disk_buffer_holds_up_its_flow_and_a_kill_then_loses_nothing() -> None:
    """A sink that is away until its buffer is full, on both sides of a kill; the other flow goes on all the time."""
    with Rig(Shop(padding=6000), buffers=True) as rig:
        rig.daemon.start()
        rig.destination.refuse_connections()
        rig.feed("a", 20_000)
        wait_until(lambda: bool(rig.daemon.status()["sinks"]["wire"]["buffer"]["full"]), "the buffer is full")  # type: ignore[index]
        rig.daemon.kill()
        rig.expect_repeats_of_kill()
        rig.daemon.start()
        rig.feed("b", 1000)
        wait_until(lambda: unsettled(rig, "b") == 0, "the other flow settles")
        assert rig.daemon.metrics()["sluiceway_sink_buffer_bytes{sink=wire}"] > 7 << 20
        assert unsettled(rig, "a") > 0
        rig.destination.listen()
        clean(rig.settle())


@pytest.fixture
def disks() -> Iterator[Rig]:
    with Rig(disks=True) as made:
        if made.small_disk is None:
            pytest.skip(made.why_no_disks)
        yield made


def test_a_full_disk_is_an_outage(disks: Rig) -> None:
    """A file sink whose disk is full loses nothing, makes no dead letters, and holds up its own flow only."""
    assert disks.small_disk is not None
    disks.daemon.start()
    disks.feed("b", 500)
    clean(disks.settle())
    disks.small_disk.fill()
    for source in ("a", "b"):
        disks.feed(source, 3000)
    wait_until(lambda: not connected(disks, "small"), "the full disk shows in the status")
    wait_until(lambda: unsettled(disks, "a") == 0, "the other flow settles")
    assert "No space" in str(disks.daemon.status()["sinks"]["small"]["error"])
    assert disks.daemon.metrics()["sluiceway_connected{kind=sink,name=small}"] == 0
    time.sleep(1.5)  # through more attempts than condemn a record
    disks.small_disk.free()
    clean(disks.settle())
    assert not [letter for letter in disks.letters() if letter.stage == "sink"]


def test_a_full_state_disk_loses_nothing(disks: Rig) -> None:
    """While neither positions nor dead letters can be kept, it waits, says so, and then goes on without repeats."""
    assert disks.state_disk is not None
    disks.daemon.start()
    disks.feed("a", 500)
    clean(disks.settle())
    disks.state_disk.fill()
    disks.feed("a", 3000)
    wait_until(
        lambda: "disk is full" in str(disks.daemon.status()["dead_letters"]), "the full disk shows in the status"
    )
    wait_until(lambda: disks.daemon.metrics()["sluiceway_state_writable{}"] == 0, "the full disk shows in the metrics")
    assert "disk is full" in disks.daemon.not_ready()
    disks.state_disk.free()
    clean(disks.settle())
    assert disks.daemon.not_ready() == ""
    assert disks.daemon.metrics()["sluiceway_state_writable{}"] == 1


def _shows_letters(rig: Rig, flow: str, letters: int) -> bool:
    return total(rig.daemon.metrics(), "sluiceway_dead_letters", f"flow={flow}") == letters


def test_the_accounts_add_up() -> None:
    """With 0.1 % malformed lines and a record that is refused, every counter agrees with the others and with the disk,
    to the record."""
    with Rig(Shop(malformed=1000)) as rig:
        refused = rig.upcoming("wire", "a", 5000)[100:103]
        rig.destination.refused.update(refused)
        rig.refusable["wire"].update(refused)
        given = {source: len(rig.feed(source, 20_000)) for source in ("a", "b")}
        rig.daemon.start()
        found = rig.settle()
        clean(found)
        metrics = rig.daemon.metrics()
        letters = Counter((letter.flow, letter.stage, letter.sink) for letter in rig.letters())
        assert {stage for _, stage, _ in letters} == {"decode", "contract", "rule", "sink"}
        for flow, source in (("alpha", "a"), ("beta", "b")):
            read = metrics[f"sluiceway_source_records_total{{source={source}}}"]
            dropped = total(metrics, "sluiceway_dropped_records_total", f"flow={flow}")
            lettered = total(metrics, "sluiceway_dead_letters_total", f"flow={flow}", "sink=")
            deliveries = total(metrics, "sluiceway_routed_deliveries_total", f"flow={flow}")
            twice = total(metrics, "sluiceway_rule_records_total", f"flow={flow}", "rule=big")  # and to `rest`
            assert read == given[source]
            assert read == dropped + lettered + deliveries - twice
            assert lettered == sum(n for (of, stage, _), n in letters.items() if of == flow and stage != "sink")
            kept = sum(n for (of, _, _), n in letters.items() if of == flow)
            assert total(metrics, "sluiceway_dead_letters_total", f"flow={flow}") == kept
            wait_until(partial(_shows_letters, rig, flow, kept), "the gauge of dead letters follows")
        for sink in SINKS:
            routed = total(metrics, "sluiceway_routed_deliveries_total", f"sink={sink}")
            delivered = total(metrics, "sluiceway_sink_records_total", f"sink={sink}")
            failed = total(metrics, "sluiceway_dead_letters_total", f"sink={sink}")
            assert routed == delivered + failed
            assert delivered == found[sink].found == len(rig.output(sink).read_bytes().splitlines())
            assert failed == sum(n for (_, _, at), n in letters.items() if at == sink)
        assert total(metrics, "sluiceway_dead_letters_total", "sink=wire") == 3


@pytest.mark.parametrize("running", [True, False], ids=["while it runs", "while it does not"])
def test_dead_letters_are_replayed_once(rig: Rig, running: bool) -> None:
    """Letters of a sink go to that sink and disappear, whether a daemon runs or not; what fails again is one letter
    again, with one attempt more."""
    refused = rig.upcoming("wire", "a", 1000)[20:30]
    rig.destination.refused.update(refused)
    rig.refusable["wire"].update(refused)
    rig.feed("a", 1000)
    rig.daemon.start()
    clean(rig.settle())
    before = Counter(letter.stage for letter in rig.letters())
    assert before["sink"] == len(refused)
    rig.destination.refused.clear()
    if not running:
        assert rig.daemon.stop() == 0
    replayed = rig.daemon.command("dead", "replay", "--stage", "sink")
    assert (replayed.returncode, replayed.stdout) == (0, "replayed 10 dead letter(s)\n"), replayed.stderr
    assert not [letter for letter in rig.letters() if letter.stage == "sink"]
    arrived = Counter(rig.shop.identify(line) for line in rig.output("wire").read_bytes().splitlines())
    assert all(arrived[record] == 1 for record in refused)
    rig.daemon.command("dead", "replay", "--stage", "decode")
    attempts = [letter.attempts for letter in rig.letters() if letter.stage == "decode"]
    assert attempts == [2] * before["decode"]
