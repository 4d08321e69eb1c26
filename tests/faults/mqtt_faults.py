"""Faults of every party from MQTT to Kafka, and of the network between each two."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

from fault_kinds import Stage, freeze, kill, kill_early, terminate
from kafka_faults import CLOCK, deny, freeze_cluster, jump, kill_cluster, remove_user
from mqtt_rig import MqttRig
from network_faults import Harm, Link, cut, delay, heal, reset, swallow, throttle

from tests.servers.mosquitto import PASSWORD, USER

MqttStage = Stage[MqttRig]
MqttFault = Callable[[MqttStage], None]


def losing(fault: MqttFault) -> MqttFault:
    """A fault that may lose what comes with QoS 0, as QoS 0 has it."""

    @wraps(fault)
    def act(stage: MqttStage) -> None:
        stage.rig.loses_qos0 = True
        fault(stage)

    return act


def through(link: str, harm: Harm) -> MqttFault:
    """Harm to what is between two parties."""

    @wraps(harm)
    def act(stage: MqttStage) -> None:
        if link == "sinks":
            harm(stage.rig.links[link], stage.rng)
            return
        with stage.rig.turn:
            harm(stage.rig.links[link], stage.rng)

    return act if link != "source" else losing(act)


def slow(link: Link, rng: random.Random) -> None:
    """Every byte takes a while, or few come through in a second."""
    rng.choice((delay, throttle))(link, rng)


def kill_broker(stage: MqttStage) -> None:
    """kill -9 of Mosquitto in the middle of what it does for both sides. What it has acknowledged is on its disk; which
    acknowledgements have arrived is chance."""
    with stage.rig.turn, _held(stage.rig):
        stage.rig.broker.save()
        stage.rig.broker.kill()
        reset(_around(stage.rig))
        time.sleep(stage.rng.uniform(0, 2.0))
        stage.rig.broker.start()


@contextmanager
def _held(rig: MqttRig) -> Iterator[None]:
    """Nothing reaches Mosquitto or comes from it meanwhile."""
    for proxy in _around(rig):
        proxy.black_hole()
    time.sleep(0.1)  # what was on its way through a proxy is through
    yield
    heal(_around(rig))


def _around(rig: MqttRig) -> Link:
    return [*rig.links["publisher"], *rig.links["source"]]


def freeze_broker(stage: MqttStage) -> None:
    """SIGSTOP of Mosquitto, for longer than the clients' patience or not."""
    stage.rig.broker.freeze()
    time.sleep(stage.rng.uniform(0.5, 6.0))
    stage.rig.broker.thaw()


def change_password(stage: MqttStage) -> None:
    """The daemon's password for Mosquitto is another one, for a while."""
    _let_in(stage.rig, "another one")
    time.sleep(stage.rng.uniform(0.5, 2.0))
    _let_in(stage.rig, PASSWORD)


def remove_broker_user(stage: MqttStage) -> None:
    """The daemon's user is removed from Mosquitto; then there is one of that name again."""
    _let_in(stage.rig, None)
    time.sleep(stage.rng.uniform(0.5, 2.0))
    _let_in(stage.rig, PASSWORD)


def _let_in(rig: MqttRig, password: str | None) -> None:
    """Start Mosquitto anew, and with it another password, or no such user. (2.0.11 crashes now and then when it is told
    to read its passwords again while a session is there of somebody who is let in no more.)"""
    with rig.turn, _held(rig):
        rig.broker.stop()
        if password is None:
            rig.broker.remove_user(USER)
        else:
            rig.broker.set_password(USER, password)
        rig.broker.start()
        reset(_around(rig))


def jump_within_the_hour(stage: MqttStage) -> None:
    """The daemon's clock is set. Messages of MQTT have no time but that of their arrival, and Kafka refuses, for good,
    what is more than an hour ahead (``message.timestamp.after.max.ms``)."""
    jump(stage, ahead=3000)


_BETWEEN = {
    "publisher - Mosquitto": "publisher",
    "Mosquitto - daemon": "source",
    "daemon - Kafka": "sinks",
}
_HARMS: dict[str, Harm] = {"cut": cut, "slow": slow, "black hole": swallow}
MQTT_FAULTS: dict[str, MqttFault] = {
    "kill -9": losing(kill),
    "kill -9 twice": losing(kill_early),
    "SIGSTOP": losing(freeze),
    "SIGTERM": losing(terminate),
    "kill -9 of Mosquitto": losing(kill_broker),
    "SIGSTOP of Mosquitto": losing(freeze_broker),
    "kill -9 of Kafka": kill_cluster,
    "SIGSTOP of Kafka": freeze_cluster,
    **{f"{name}, {what}": through(link, harm) for what, harm in _HARMS.items() for name, link in _BETWEEN.items()},
    CLOCK: jump_within_the_hour,
    "Mosquitto: password changed": losing(change_password),
    "Mosquitto: user removed": losing(remove_broker_user),
    "Kafka: user removed": remove_user,
    "Kafka: right denied": deny,
}
CALM = ("kill -9", "kill -9 twice", "SIGTERM", CLOCK)
"""Faults that keep nothing from draining in time."""
