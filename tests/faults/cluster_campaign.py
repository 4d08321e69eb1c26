"""What campaigns around a Kafka of their own have in common: what they may be told, and how they go."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterable, Sequence
from typing import TypeVar

from cluster_rig import ClusterRig
from kafka_faults import CLOCK, ONE_OF_SEVERAL
from run import Campaign

RigT = TypeVar("RigT", bound=ClusterRig)


def _possible(rig: ClusterRig, kinds: Iterable[str]) -> list[str]:
    """Those of these kinds of fault that can be made here."""
    left_out = {} if rig.clock else {CLOCK: rig.why_no_clock}
    if len(rig.cluster.nodes) < 3:
        left_out |= dict.fromkeys(ONE_OF_SEVERAL, "it takes three brokers")
    possible = [kind for kind in kinds if kind not in left_out]
    for kind in kinds:
        if kind in left_out:
            print(f"left out: {kind}: {left_out[kind]}")
    return possible


def options_for(name: str, description: str | None, kinds: Iterable[str], rate: int) -> argparse.ArgumentParser:
    """What a campaign around a cluster may be told."""
    parser = argparse.ArgumentParser(prog=f"python tests/faults {name}", description=description)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, unless --faults says how many")
    parser.add_argument("--faults", type=int, help="how many faults in all")
    parser.add_argument("--records", type=int, default=0, help="how many records in all at least, with --faults")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--rate", type=int, default=rate, help="records a second and source")
    parser.add_argument("--only", action="append", choices=list(kinds), help="only this kind of fault")
    return parser


def carry_out(campaign: Campaign[RigT], kinds: Iterable[str], options: argparse.Namespace) -> bool:
    """Round after round, as the options say, and the table; whether any promise was broken."""
    rig = campaign.rig
    possible = _possible(rig, kinds)
    chosen = [kind for kind in options.only or possible if kind in possible]
    rig.daemon.start()
    began = time.monotonic()
    while campaign.acted < options.faults if options.faults else time.monotonic() - began < options.seconds:
        campaign.next_round(chosen, options.records // options.faults if options.faults else 0)
    broken = _report(campaign)
    print(f"{len(rig.world):,} records, {campaign.acted} faults, {time.monotonic() - began:.0f} s")
    return broken


def carry_out_these(campaign: Campaign[RigT], rounds: Sequence[Sequence[str]], seed: int) -> bool:
    """A round for each of these lists of kinds, and the table; whether any promise was broken."""
    campaign.rig.daemon.start()
    for kinds in rounds:
        campaign.round(kinds, random.Random(seed))
    return _report(campaign)


def _report(campaign: Campaign[RigT]) -> bool:
    campaign.complaints += campaign.rig.complaints
    return campaign.report()
