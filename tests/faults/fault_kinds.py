"""The faults: each does its harm to a rig for a while, takes it back, and says what it may have caused."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from daemon_process import Daemon
from harness import SOURCES, Rig
from http_destination import KINDS, HttpDestination
from oracle import Id
from shop import SINKS


class Subject(Protocol):
    """What faults of the daemon itself need of a rig."""

    daemon: Daemon

    def feed(self, source: str, count: int) -> object:
        """Give a source so many records more."""

    def expect_repeats_of_kill(self) -> None:
        """The daemon was just killed: what was in flight may come again."""

    def expect_repeats_of_write(self, *sinks: str) -> None:
        """A write to each of these may have been given up and finished nevertheless."""


RigT = TypeVar("RigT", covariant=True)


@dataclass(frozen=True, slots=True)
class Stage(Generic[RigT]):
    """Where faults act: the rig, chance, and a lock for what starts and stops the daemon."""

    rig: RigT
    rng: random.Random
    wounded: bool = False
    """Whether something else is wrong in this round that keeps the daemon from draining in time."""
    alone: bool = False
    """Whether no other fault acts in this round."""
    turn: threading.Lock = field(default_factory=threading.Lock)
    complaints: list[str] = field(default_factory=list)


def kill(stage: Stage[Subject]) -> None:
    """kill -9 in the middle of a burst, and start again."""
    with stage.turn:
        for source in SOURCES:
            stage.rig.feed(source, 5000)
        time.sleep(stage.rng.uniform(0, 0.2))
        stage.rig.daemon.kill()
        stage.rig.expect_repeats_of_kill()
        stage.rig.daemon.start()


def kill_early(stage: Stage[Subject]) -> None:
    """kill -9 while it works and once more while it starts."""
    with stage.turn:
        stage.rig.daemon.kill()
        stage.rig.daemon.start(wait=False)
        time.sleep(stage.rng.uniform(0, 1.0))
        stage.rig.daemon.kill()
        for _ in range(2):
            stage.rig.expect_repeats_of_kill()
        stage.rig.daemon.start()


def freeze(stage: Stage[Subject]) -> None:
    """SIGSTOP for so long that writes may time out."""
    with stage.turn:
        stage.rig.daemon.freeze()
        time.sleep(stage.rng.uniform(0.2, 3.0))
        stage.rig.daemon.thaw()
        stage.rig.expect_repeats_of_write(*SINKS)


def terminate(stage: Stage[Subject]) -> None:
    """SIGTERM: it drains, says so with its exit status, and is started again."""
    with stage.turn:
        status = stage.rig.daemon.stop()
        if status and not stage.wounded:
            stage.complaints.append(f"SIGTERM: exit status {status}")
        if status:  # not drained in time: it may have been cut off in what it was doing
            stage.rig.expect_repeats_of_kill()
        stage.rig.daemon.start()


def refuse_connections(stage: Stage[Rig]) -> None:
    """The server of a sink is away."""
    stage.rig.destination.refuse_connections()
    time.sleep(stage.rng.uniform(0.3, 3.0))
    stage.rig.destination.listen()
    stage.rig.expect_repeats_of_write("wire")  # an answer that was on its way


def hang(stage: Stage[Rig]) -> None:
    """The server takes connections and frames, and answers nothing."""
    stage.rig.destination.hanging = True
    time.sleep(stage.rng.uniform(0.5, 5.0))
    stage.rig.destination.hanging = False


def drop(stage: Stage[Rig]) -> None:
    """The server closes the connection instead of taking a frame."""
    stage.rig.destination.drops = stage.rng.randint(1, 2)  # a third time in a row would be poison


def forget_answer(stage: Stage[Rig]) -> None:
    """The server keeps a frame, and the answer is lost."""
    stage.rig.destination.forgotten_answers = stage.rng.randint(1, 2)


def slow(stage: Stage[Rig]) -> None:
    """Each answer takes a while."""
    stage.rig.destination.delay = stage.rng.uniform(0.05, 0.5)
    time.sleep(stage.rng.uniform(0.5, 2.0))
    stage.rig.destination.delay = 0.0


def refuse_record(stage: Stage[Rig]) -> None:
    """The server refuses single records for good."""
    chosen = _some(stage, stage.rng.randint(1, 3))
    stage.rig.destination.refused.update(chosen)
    stage.rig.refusable["wire"].update(chosen)
    _wait_for(stage, chosen)


def busy_record(stage: Stage[Rig]) -> None:
    """The server refuses single records for now."""
    chosen = _some(stage, stage.rng.randint(1, 5))
    for record in chosen:
        stage.rig.destination.busy[record] = stage.rng.randint(1, 3)
    _wait_for(stage, chosen)


def poison(stage: Stage[Rig]) -> None:
    """A record makes the server close the connection whenever it sees it."""
    chosen = _some(stage, 1)
    stage.rig.destination.poison.update(chosen)
    stage.rig.refusable["wire"].update(chosen)
    _wait_for(stage, chosen)


def _some(stage: Stage[Rig], count: int) -> list[Id]:
    """Records of those that are fed next."""
    found = stage.rig.upcoming("wire", "a", 1500)
    return stage.rng.sample(found, min(count, len(found)))


def _wait_for(stage: Stage[Rig], chosen: Sequence[Id]) -> None:
    """Until they are fed, so that they do their harm in this round."""
    while any(number >= len(stage.rig.ledgers[source]) for source, number in chosen):
        time.sleep(0.05)


def sink_disk_full(stage: Stage[Rig]) -> None:
    """The disk of a file sink is full."""
    disk = stage.rig.small_disk
    assert disk is not None
    disk.fill()
    time.sleep(stage.rng.uniform(0.3, 3.0))
    disk.free()


def state_disk_full(stage: Stage[Rig]) -> None:
    """The disk of the state folder is full: neither positions nor dead letters can be kept."""
    disk = stage.rig.state_disk
    assert disk is not None
    disk.fill()
    time.sleep(stage.rng.uniform(0.3, 3.0))
    disk.free()


def rotate(stage: Stage[Rig]) -> None:
    """The file that is followed is renamed, and a new one begun."""
    stage.rig.rotate(stage.rng.choice("ab"))


def talk_nonsense(stage: Stage[Rig]) -> None:
    """The HTTP server answers what is no HTTP, or half of it, or more than that."""
    server = stage.rig.destination
    assert isinstance(server, HttpDestination)
    for kind in stage.rng.sample(KINDS, 4):
        server.nonsense = kind
        time.sleep(stage.rng.uniform(0.1, 0.6))
        server.nonsense = ""
        taken, deadline = server.records, time.monotonic() + 2.0
        while server.records == taken and time.monotonic() < deadline:  # it is asked nothing until it is well again
            time.sleep(0.02)


FAULTS: dict[str, Callable[[Stage[Rig]], None]] = {
    "kill -9": kill,
    "kill -9 twice": kill_early,
    "SIGSTOP": freeze,
    "SIGTERM": terminate,
    "sink away": refuse_connections,
    "sink hangs": hang,
    "sink drops": drop,
    "answer lost": forget_answer,
    "sink slow": slow,
    "record refused": refuse_record,
    "record busy": busy_record,
    "record poison": poison,
    "sink disk full": sink_disk_full,
    "state disk full": state_disk_full,
    "source rotated": rotate,
}
HTTP_FAULTS: dict[str, Callable[[Stage[Rig]], None]] = {
    "answers are nonsense": talk_nonsense,
    **{kind: fault for kind, fault in FAULTS.items() if kind.startswith(("kill", "SIG", "sink", "answer", "record"))},
}
DISKS = ("sink disk full", "state disk full")
CALM = ("kill -9", "kill -9 twice", "SIGTERM", "source rotated", "record refused")
"""Faults that keep nothing from draining in time."""
