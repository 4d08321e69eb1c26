"""Random faults over a running load from MQTT to Kafka, round after round, each judged by the oracle."""

from __future__ import annotations

from cluster_campaign import carry_out, options_for
from cluster_rig import SETTINGS
from mqtt_faults import CALM, MQTT_FAULTS
from mqtt_rig import LOG_SETTINGS, MqttRig
from run import Campaign

from tests.servers.kafka import own_cluster
from tests.servers.mosquitto import own_broker


def main(arguments: list[str]) -> int:
    """Print a line for each round and a table at the end; exit status 1 when any promise was broken."""
    options = options_for("mqtt", __doc__, MQTT_FAULTS, 1000).parse_args(arguments)
    print(f"faults from MQTT to Kafka, seed {options.seed}", flush=True)
    with (
        own_broker(LOG_SETTINGS) as broker,
        own_cluster(1, settings=SETTINGS) as cluster,
        MqttRig(cluster, broker, seed=options.seed) as rig,
    ):
        campaign = Campaign(rig, MQTT_FAULTS, CALM, options.seed, options.rate)
        return int(carry_out(campaign, MQTT_FAULTS, options))
