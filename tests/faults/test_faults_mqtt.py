"""From MQTT to Kafka under faults: short, with a fixed seed. ``python tests/faults mqtt`` is the long version."""

from __future__ import annotations

from typing import Any

import pytest
from cluster_campaign import carry_out_these
from cluster_rig import SETTINGS
from harness import wait_until
from mqtt_faults import CALM, MQTT_FAULTS
from mqtt_rig import LOG_SETTINGS, MqttRig
from run import Campaign

from tests.servers.fixtures import StartKafka, StartMosquitto


def test_faults_of_every_party(
    start_kafka: StartKafka, start_mosquitto: StartMosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    """The daemon, Mosquitto and Kafka killed, connections cut on both sides, a password that changes: what Mosquitto
    acknowledged is where it belongs, in its order, and comes again no more often than connections began anew."""
    broker = start_mosquitto(durable=False, settings=LOG_SETTINGS)
    with MqttRig(start_kafka(settings=SETTINGS), broker, seed=7) as rig:
        campaign = Campaign(rig, MQTT_FAULTS, CALM, 7, 700)
        cut = ["publisher - Mosquitto, cut", "Mosquitto - daemon, cut"]
        others = ["kill -9 of Mosquitto", "Mosquitto: password changed", "kill -9 of Kafka"]
        rounds = [["kill -9"], cut, *([kind] for kind in others)]
        assert not carry_out_these(campaign, rounds, 7), capsys.readouterr().out
        assert len(rig.world) > 8_000


def test_what_is_in_a_disk_buffer_is_safe(start_kafka: StartKafka, start_mosquitto: StartMosquitto) -> None:
    """What came with QoS 0 and reached a buffer while Kafka was away arrives, though the daemon is killed then."""
    broker = start_mosquitto(durable=False, settings=LOG_SETTINGS)
    with MqttRig(start_kafka(settings=SETTINGS), broker, seed=7) as rig:
        rig.daemon.start()
        rig.cluster.kill()
        rig.feed("b", 500)
        wait_until(lambda: in_buffer(rig) > 100, "in the buffer")
        rig.daemon.kill()
        rig.loses_qos0 = True
        rig.expect_repeats_of_kill()
        safe = set(rig.buffered("small"))
        rig.cluster.start()
        rig.daemon.start()
        found = rig.settle()
    assert rig.complaints == []
    assert {place: findings.examples for place, findings in found.items() if findings.violations} == {}
    assert found["small"].found >= len(safe) > 100


def in_buffer(rig: MqttRig) -> int:
    """How many records wait in the disk buffer of the sink ``small``."""
    buffer: Any = rig.daemon.status()["sinks"]["small"]["buffer"]
    return int(buffer["records"])
