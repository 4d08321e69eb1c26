"""Random faults over a running load from Kafka to Kafka, round after round, each judged by the oracle."""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kafka_faults import CALM, CLOCK, KAFKA_FAULTS, ONE_OF_SEVERAL
from kafka_rig import SETTINGS, KafkaRig
from run import Campaign

from tests.certificates import make_certificates
from tests.servers.kafka import FAST, KafkaCluster


@contextmanager
def own_cluster(nodes: int, **options: object) -> Iterator[KafkaCluster]:
    """A cluster in a folder of its own, as long as the context."""
    with tempfile.TemporaryDirectory(prefix="sluiceway-kafka-") as folder:
        certificates = make_certificates(Path(folder) / "certificates")
        with KafkaCluster(Path(folder) / "kafka", certificates, nodes=nodes, options=FAST, **options) as cluster:  # type: ignore[arg-type]
            yield cluster


def kinds_for(rig: KafkaRig) -> list[str]:
    """The kinds of fault that can be made here."""
    left_out = {} if rig.clock else {CLOCK: rig.why_no_clock}
    if len(rig.cluster.nodes) < 3:
        left_out |= dict.fromkeys(ONE_OF_SEVERAL, "it takes three brokers")
    for kind, why in left_out.items():
        print(f"left out: {kind}: {why}")
    return [kind for kind in KAFKA_FAULTS if kind not in left_out]


def main(arguments: list[str]) -> int:
    """Print a line for each round and a table at the end; exit status 1 when any promise was broken."""
    parser = argparse.ArgumentParser(prog="python tests/faults kafka", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, unless --faults says how many")
    parser.add_argument("--faults", type=int, help="how many faults in all")
    parser.add_argument("--records", type=int, default=0, help="how many records in all at least, with --faults")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--rate", type=int, default=3000, help="records a second and source")
    parser.add_argument("--nodes", type=int, default=3, choices=(1, 3), help="brokers")
    parser.add_argument("--only", action="append", choices=list(KAFKA_FAULTS), help="only this kind of fault")
    options = parser.parse_args(arguments)
    print(f"faults on {options.nodes} broker(s), seed {options.seed}", flush=True)
    with own_cluster(options.nodes, settings=SETTINGS) as cluster, KafkaRig(cluster, seed=options.seed) as rig:
        possible = kinds_for(rig)
        kinds = [kind for kind in options.only or possible if kind in possible]
        rig.daemon.start()
        campaign = Campaign(rig, KAFKA_FAULTS, CALM, options.seed, options.rate)
        began = time.monotonic()
        while campaign.acted < options.faults if options.faults else time.monotonic() - began < options.seconds:
            campaign.next_round(kinds, options.records // options.faults if options.faults else 0)
        campaign.complaints += rig.complaints
        broken = campaign.report()
        print(
            f"{len(rig.world):,} records, {campaign.acted} faults, {time.monotonic() - began:.0f} s; "
            f"written and not committed at a kill: {rig.largest_window:,} at most"
        )
    return int(broken)
