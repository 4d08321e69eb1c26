"""Random faults over a running load from Kafka to Kafka, round after round, each judged by the oracle."""

from __future__ import annotations

from cluster_campaign import carry_out, options_for
from cluster_rig import SETTINGS
from kafka_faults import CALM, KAFKA_FAULTS
from kafka_rig import KafkaRig
from run import Campaign

from tests.servers.kafka import own_cluster


def main(arguments: list[str]) -> int:
    """Print a line for each round and a table at the end; exit status 1 when any promise was broken."""
    parser = options_for("kafka", __doc__, KAFKA_FAULTS, 3000)
    parser.add_argument("--nodes", type=int, default=3, choices=(1, 3), help="brokers")
    options = parser.parse_args(arguments)
    print(f"faults on {options.nodes} broker(s), seed {options.seed}", flush=True)
    with own_cluster(options.nodes, settings=SETTINGS) as cluster, KafkaRig(cluster, seed=options.seed) as rig:
        broken = carry_out(Campaign(rig, KAFKA_FAULTS, CALM, options.seed, options.rate), KAFKA_FAULTS, options)
        print(f"written and not committed at a kill: {rig.largest_window:,} at most")
    return int(broken)
