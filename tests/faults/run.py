"""Random faults over a running load, round after round, each judged by the oracle."""

from __future__ import annotations

import argparse
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from fault_kinds import CALM, DISKS, FAULTS, Stage
from harness import SOURCES, Rig
from oracle import Findings

COLUMNS = ("lost", "unknown", "torn", "altered", "misrouted", "disordered", "stray", "repeats", "bound")


@dataclass(slots=True)
class Tally:
    """What was found in the rounds in which a kind of fault took part."""

    times: int = 0
    records: int = 0
    sums: Counter[str] = field(default_factory=Counter)

    def add(self, found: dict[str, Findings]) -> None:
        """Add one round's."""
        for findings in found.values():
            self.records += findings.expected
            for column in COLUMNS:
                self.sums[column] += getattr(findings, column)


class Feeder(threading.Thread):
    """Feeds both sources at about ``rate`` records a second each, until told to stop."""

    def __init__(self, rig: Rig, rate: int) -> None:
        super().__init__(name="feeder")
        self._rig = rig
        self._rate = rate
        self._enough = threading.Event()

    def run(self) -> None:
        """Feed in bursts of chance sizes."""
        while not self._enough.wait(0.05):
            for source in SOURCES:
                self._rig.feed(source, 1 + int(self._rig.rng.expovariate(20 / self._rate)))

    def stop(self) -> None:
        """Return when the last record is in."""
        self._enough.set()
        self.join()


def play(rig: Rig, kinds: Sequence[str], rng: random.Random, rate: int = 1500) -> tuple[dict[str, Findings], list[str]]:
    """One round: these faults, at chance moments, over a running load. What the oracle found, and other complaints."""
    stage = Stage(rig, rng, wounded=any(kind not in CALM for kind in kinds))
    feeder = Feeder(rig, rate)
    feeder.start()
    delays = [rng.uniform(0.1, 0.8) for _ in kinds]
    threads = [
        threading.Thread(target=_act, args=(stage, kind, delay), name=kind)
        for kind, delay in zip(kinds, delays, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(rng.uniform(0.2, 0.6))
    feeder.stop()
    for source in SOURCES:
        rig.feed(source, 1)  # a file that was just rotated has a successor that is not empty
    found = rig.settle()
    if not rig.daemon.runs:
        stage.complaints.append("the daemon is gone")
    return found, stage.complaints


def _act(stage: Stage, kind: str, delay: float) -> None:
    time.sleep(delay)
    try:
        FAULTS[kind](stage)
    except Exception as error:  # noqa: BLE001 - told at the end of the round, which goes on
        stage.complaints.append(f"{kind}: {type(error).__name__}: {error}")


def main(arguments: list[str]) -> int:
    """Print a line for each round and a table at the end; exit status 1 when any promise was broken."""
    parser = argparse.ArgumentParser(prog="python tests/faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--rate", type=int, default=1500, help="records a second and source")
    parser.add_argument("--only", action="append", choices=list(FAULTS), help="only this kind of fault")
    parser.add_argument("--buffers", action="store_true", help="with a disk buffer at each sink")
    options = parser.parse_args(arguments)
    print(f"faults for {options.seconds:g} s, seed {options.seed}", flush=True)
    tallies: dict[str, Tally] = {}
    complaints: list[str] = []
    with Rig(disks=True, buffers=options.buffers, seed=options.seed) as rig:
        kinds = [kind for kind in options.only or FAULTS if rig.small_disk or kind not in DISKS]
        if not rig.small_disk:
            print(f"left out: {', '.join(DISKS)}: {rig.why_no_disks}")
        rig.daemon.start()
        deadline, number = time.monotonic() + options.seconds, 0
        while time.monotonic() < deadline:
            number += 1
            rng = random.Random(f"{options.seed}/{number}")
            chosen = [kinds[(number - 1) % len(kinds)], *rng.sample(kinds, min(rng.choice((0, 1, 1, 2)), len(kinds)))]
            complaints += _round(rig, number, list(dict.fromkeys(chosen)), rng, options.rate, tallies)
        status = rig.daemon.stop()
        if status:
            complaints.append(f"the last SIGTERM: exit status {status}")
        broken = _report(tallies, complaints)
        if broken:
            print(f"\nthe daemon's log ends with\n{rig.daemon.log.read_text(errors='replace')[-3000:]}")
    return 1 if broken else 0


def _round(
    rig: Rig, number: int, kinds: list[str], rng: random.Random, rate: int, tallies: dict[str, Tally]
) -> list[str]:
    began = time.monotonic()
    found, complaints = play(rig, kinds, rng, rate)
    for kind in (*kinds, "all rounds"):
        tally = tallies.setdefault(kind, Tally())
        tally.times += 1
        tally.add(found)
    wrong = [
        f"round {number} ({' + '.join(kinds)}), {place}: {kind}: {example}"
        for place, findings in found.items()
        if findings.violations
        for kind, example in (findings.examples.items() or [("repeats", "more than the bound")])
    ]
    complaints = [f"round {number}: {complaint}" for complaint in complaints] + wrong
    records = sum(findings.expected for findings in found.values())
    repeats = sum(findings.repeats for findings in found.values())
    print(
        f"  round {number:3}  {time.monotonic() - began:5.1f} s  {records:6} deliveries  {repeats:5} repeats  "
        f"{'ok ' if not complaints else 'BAD'}  {' + '.join(kinds)}",
        flush=True,
    )
    for complaint in complaints:
        print(f"    {complaint}", flush=True)
    return complaints


def _report(tallies: dict[str, Tally], complaints: list[str]) -> bool:
    print(f"\n{'fault':18}{'times':>6}{'deliveries':>11}" + "".join(f"{column:>11}" for column in COLUMNS))
    for kind in [*(kind for kind in FAULTS if kind in tallies), "all rounds"]:
        tally = tallies[kind]
        cells = "".join(f"{tally.sums[column]:>11}" for column in COLUMNS)
        print(f"{kind:18}{tally.times:>6}{tally.records:>11}{cells}")
    print(
        f"\n{'every record is accounted for' if not complaints else f'BROKEN: {len(complaints)} complaint(s), above'}"
    )
    return bool(complaints)
