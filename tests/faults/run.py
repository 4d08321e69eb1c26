"""Random faults over a running load, round after round, each judged by the oracle."""

from __future__ import annotations

import argparse
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from daemon_process import Daemon
from fault_kinds import CALM, DISKS, FAULTS, HTTP_FAULTS, Stage
from harness import SOURCES, Rig
from oracle import Findings

COLUMNS = ("lost", "unpromised", "unknown", "torn", "altered", "misrouted", "disordered", "stray", "repeats", "bound")


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


class Played(Protocol):
    """What a round needs of a rig."""

    daemon: Daemon
    rng: random.Random

    def feed(self, source: str, count: int) -> object:
        """Give a source so many records more."""

    def settle(self) -> dict[str, Findings]:
        """Wait until nothing is on its way any more; what the oracle found."""


R = TypeVar("R", bound=Played)


class Feeder(threading.Thread):
    """Feeds both sources at about ``rate`` records a second each, until told to stop."""

    def __init__(self, rig: Played, rate: int) -> None:
        super().__init__(name="feeder")
        self._rig = rig
        self._rate = rate
        self._enough = threading.Event()
        self.fed = 0

    def run(self) -> None:
        """Feed in bursts of chance sizes."""
        while not self._enough.wait(0.05):
            for source in SOURCES:
                self._feed(source, 1 + int(self._rig.rng.expovariate(20 / self._rate)))

    def stop(self, at_least: int = 0) -> None:
        """Return when the last record is in; so many more than were fed until now, if those were fewer."""
        self._enough.set()
        self.join()
        while self.fed < at_least:
            for source in SOURCES:
                self._feed(source, min(self._rate, 1 + (at_least - self.fed) // len(SOURCES)))

    def _feed(self, source: str, count: int) -> None:
        self._rig.feed(source, count)
        self.fed += count


class Campaign(Generic[R]):
    """Rounds of faults on one rig, and what they did. ``calm``: the kinds that keep nothing from draining in time."""

    def __init__(
        self, rig: R, faults: Mapping[str, Callable[[Stage[R]], None]], calm: Collection[str], seed: int, rate: int
    ) -> None:
        self.rig = rig
        self.complaints: list[str] = []
        self.acted = 0
        self._faults = faults
        self._calm = calm
        self._seed = seed
        self._rate = rate
        self._rounds = 0
        self._tallies: dict[str, Tally] = {}

    def next_round(self, kinds: Sequence[str], records: int = 0) -> None:
        """One round of chance, of those kinds that have had the fewest turns. ``records``: fed at least, for each
        fault."""
        rng = random.Random(f"{self._seed}/{self._rounds + 1}")
        order = sorted(rng.sample(list(kinds), len(kinds)), key=lambda kind: self._tallies.get(kind, Tally()).times)
        self.round(order[: 1 + rng.choice((0, 1, 1, 2))], rng, records)

    def round(self, kinds: Sequence[str], rng: random.Random, records: int = 0) -> None:
        """One round of these faults."""
        self._rounds += 1
        began = time.monotonic()
        found, complaints = self._play(kinds, rng, records * len(kinds))
        self.acted += len(kinds)
        for kind in (*kinds, "all rounds"):
            tally = self._tallies.setdefault(kind, Tally())
            tally.times += 1
            tally.add(found)
        complaints += [
            f"({' + '.join(kinds)}), {place}: {kind}: {example}"
            for place, findings in found.items()
            if findings.violations
            for kind, example in (findings.examples.items() or [("repeats", "more than the bound")])
        ]
        print(
            f"  round {self._rounds:3}  {time.monotonic() - began:5.1f} s  "
            f"{sum(findings.expected for findings in found.values()):6} deliveries  "
            f"{sum(findings.repeats for findings in found.values()):5} repeats  "
            f"{'ok ' if not complaints else 'BAD'}  {' + '.join(kinds)}",
            flush=True,
        )
        for complaint in complaints:
            print(f"    {complaint}", flush=True)
        self.complaints += [f"round {self._rounds}: {complaint}" for complaint in complaints]

    def _play(self, kinds: Sequence[str], rng: random.Random, records: int) -> tuple[dict[str, Findings], list[str]]:
        """These faults, at chance moments, over a running load. What the oracle found, and other complaints."""
        wounded = any(kind not in self._calm for kind in kinds)
        stage = Stage(self.rig, rng, wounded=wounded, alone=len(kinds) == 1)
        feeder = Feeder(self.rig, self._rate)
        feeder.start()
        delays = [rng.uniform(0.1, 0.8) for _ in kinds]
        threads = [
            threading.Thread(target=self._act, args=(stage, kind, delay), name=kind)
            for kind, delay in zip(kinds, delays, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(rng.uniform(0.2, 0.6))
        feeder.stop(records)
        for source in SOURCES:
            self.rig.feed(source, 1)  # a file that was just rotated has a successor that is not empty
        found = self.rig.settle()
        if not self.rig.daemon.runs:
            stage.complaints.append("the daemon is gone")
        return found, stage.complaints

    def _act(self, stage: Stage[R], kind: str, delay: float) -> None:
        time.sleep(delay)
        try:
            self._faults[kind](stage)
        except Exception as error:  # noqa: BLE001 - told at the end of the round, which goes on
            stage.complaints.append(f"{kind}: {type(error).__name__}: {error}")

    def report(self) -> bool:
        """Stop the daemon and print the table; whether any promise was broken."""
        if status := self.rig.daemon.stop():
            self.complaints.append(f"the last SIGTERM: exit status {status}")
        print(f"\n{'fault':34}{'times':>6}{'deliveries':>11}" + "".join(f"{column:>11}" for column in COLUMNS))
        for kind in [*(kind for kind in self._faults if kind in self._tallies), "all rounds"]:
            tally = self._tallies[kind]
            cells = "".join(f"{tally.sums[column]:>11}" for column in COLUMNS)
            print(f"{kind:34}{tally.times:>6}{tally.records:>11}{cells}")
        broken = f"BROKEN: {len(self.complaints)} complaint(s), above"
        print(f"\n{broken if self.complaints else 'every record is accounted for'}")
        if self.complaints:
            print(f"\nthe daemon's log ends with\n{self.rig.daemon.log.read_text(errors='replace')[-3000:]}")
        return bool(self.complaints)


def main(arguments: list[str], *, http: bool = False) -> int:
    """Print a line for each round and a table at the end; exit status 1 when any promise was broken."""
    faults = HTTP_FAULTS if http else FAULTS
    parser = argparse.ArgumentParser(prog=f"python tests/faults{' http' if http else ''}", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--rate", type=int, default=1500, help="records a second and source")
    parser.add_argument("--only", action="append", choices=list(faults), help="only this kind of fault")
    parser.add_argument("--buffers", action="store_true", help="with a disk buffer at each sink")
    options = parser.parse_args(arguments)
    print(f"faults for {options.seconds:g} s, seed {options.seed}", flush=True)
    with Rig(disks=True, buffers=options.buffers, http=http, seed=options.seed) as rig:
        kinds = [kind for kind in options.only or faults if rig.small_disk or kind not in DISKS]
        if not rig.small_disk:
            print(f"left out: {', '.join(DISKS)}: {rig.why_no_disks}")
        rig.daemon.start()
        campaign = Campaign(rig, faults, CALM, options.seed, options.rate)
        deadline = time.monotonic() + options.seconds
        while time.monotonic() < deadline:
            campaign.next_round(kinds)
        return int(campaign.report())
