"""Faults in and around Kafka: of the daemon, the brokers, the network between them, the group, the clock, the answers
and the rights.

Each promises that nothing comes again, as long as it acts alone; what may make a source begin anew, alone or in
company, promises no more than that what was written and not committed comes again once."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from functools import wraps

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from cluster_rig import ClusterRig
from fault_kinds import Stage, freeze, kill, kill_early, terminate
from kafka_rig import SESSION_SECONDS, KafkaRig
from network_faults import Harm, cut, delay, heal, refuse, reset, swallow, throttle

from tests.servers.kafka import PASSWORD

KafkaStage = Stage[KafkaRig]
KafkaFault = Callable[[KafkaStage], None]


def begins_anew(fault: KafkaFault) -> KafkaFault:
    """A fault that may make the sources begin anew."""

    @wraps(fault)
    def act(stage: KafkaStage) -> None:
        with stage.rig.beginning_anew():
            fault(stage)

    return act


def sat_out(fault: KafkaFault) -> KafkaFault:
    """A fault after which nothing is read again, unless others act at the same time."""

    @wraps(fault)
    def act(stage: KafkaStage) -> None:
        (fault if stage.alone else begins_anew(fault))(stage)

    return act


def freeze_long(stage: KafkaStage) -> None:
    """SIGSTOP of the daemon for longer than its session."""
    with stage.turn:
        stage.rig.daemon.freeze()
        time.sleep(SESSION_SECONDS + stage.rng.uniform(0.5, 2.0))
        with stage.rig.beginning_anew():  # a write that it was in the middle of still goes out
            stage.rig.daemon.thaw()


def kill_cluster(stage: Stage[ClusterRig]) -> None:
    """kill -9 of every broker, and start them again with what is on their disks."""
    stage.rig.cluster.kill()
    time.sleep(stage.rng.uniform(0, 1.0))
    stage.rig.cluster.start()


def freeze_cluster(stage: Stage[ClusterRig]) -> None:
    """SIGSTOP of every broker."""
    for node in stage.rig.cluster.nodes:
        node.freeze()
    time.sleep(stage.rng.uniform(0.5, 4.0))
    for node in stage.rig.cluster.nodes:
        node.thaw()


def kill_broker(stage: Stage[ClusterRig]) -> None:
    """kill -9 of one of the brokers; the others go on."""
    node = stage.rng.choice(stage.rig.cluster.nodes)
    node.kill()
    time.sleep(stage.rng.uniform(0.5, 4.0))
    node.start()


def freeze_broker(stage: Stage[ClusterRig]) -> None:
    """SIGSTOP of one of the brokers, until the others have taken over or a little less."""
    node = stage.rng.choice(stage.rig.cluster.nodes)
    node.freeze()
    time.sleep(stage.rng.uniform(1.0, 6.0))
    node.thaw()


def through(harm: Harm) -> KafkaFault:
    """Harm to everything between the daemon and the brokers."""

    @wraps(harm)
    def act(stage: KafkaStage) -> None:
        harm(stage.rig.proxies, stage.rng)

    return act


def noise(stage: KafkaStage) -> None:
    """The brokers answer with random bytes, or with an answer of HTTP."""
    if stage.rng.random() < 0.5:
        _answer(stage, stage.rng.randbytes(512).__add__)
    else:
        _answer(stage, lambda _: b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def nonsense(stage: KafkaStage) -> None:
    """The brokers answer in the right form, and nothing in it makes sense."""
    rng = random.Random(stage.rng.random())
    filling = rng.choice((rng.randbytes, lambda size: b"\xff" * size, bytes))
    # Length and number of the answer are right, so that it is read.
    _answer(stage, lambda answer: answer[:8] + filling(len(answer) - 8) if len(answer) > 8 else answer)


def _answer(stage: KafkaStage, garbled: Callable[[bytes], bytes]) -> None:
    for proxy in stage.rig.proxies:
        proxy.garble(garbled)
    time.sleep(stage.rng.uniform(0.3, 3.0))
    heal(stage.rig.proxies)
    reset(stage.rig.proxies)  # who waits for the rest of an answer of two gigabytes has to time out otherwise


def storm(stage: KafkaStage) -> None:
    """Other members join both groups and leave them again, every second."""
    asyncio.run(_storm(stage.rig, stage.rng.randint(3, 6)))


async def _storm(rig: KafkaRig, times: int) -> None:
    for _ in range(times):
        async with asyncio.TaskGroup() as members:
            for topic in rig.world.sources.values():
                members.create_task(_visit(rig.cluster.addresses.plaintext, topic))


async def _visit(brokers: str, topic: str) -> None:
    member = AIOKafkaConsumer(
        topic,
        bootstrap_servers=brokers,
        group_id=topic,
        enable_auto_commit=False,
        session_timeout_ms=6000,
        partition_assignment_strategy=[RoundRobinPartitionAssignor],
    )
    try:
        await member.start()
        await asyncio.sleep(1.0)
    finally:
        await member.stop()


def jump(stage: Stage[ClusterRig], ahead: int = 86_400) -> None:
    """The daemon's clock is set, forward by so many seconds at most and back by up to a day."""
    clock = stage.rig.clock
    assert clock is not None
    for _ in range(3):
        clock.jump(stage.rng.randint(-86_400, ahead))
        time.sleep(stage.rng.uniform(0.3, 1.5))
    clock.jump(0)


def remove_user(stage: Stage[ClusterRig]) -> None:
    """The daemon's user is removed and its connections are reset; then there is one of that name again."""
    stage.rig.cluster.remove_user()
    reset(stage.rig.proxies)
    time.sleep(stage.rng.uniform(0.5, 2.0))
    stage.rig.cluster.set_password(PASSWORD)


def deny(stage: Stage[ClusterRig]) -> None:
    """The daemon may not use one of its topics any more; then it may again."""
    topic = stage.rng.choice(stage.rig.topics)
    stage.rig.cluster.deny(topic)
    time.sleep(stage.rng.uniform(0.5, 2.0))
    stage.rig.cluster.allow(topic)


CLOCK = "clock jumps"
ONE_OF_SEVERAL = ("kill -9 of a broker", "SIGSTOP of a broker")
KAFKA_FAULTS: dict[str, KafkaFault] = {
    "kill -9": kill,
    "kill -9 twice": kill_early,
    "SIGSTOP": sat_out(freeze),
    "SIGSTOP past the session": freeze_long,
    "SIGTERM": sat_out(terminate),
    "kill -9 of the cluster": begins_anew(kill_cluster),
    "SIGSTOP of the cluster": sat_out(freeze_cluster),
    "kill -9 of a broker": sat_out(kill_broker),
    "SIGSTOP of a broker": sat_out(freeze_broker),
    "connections cut": sat_out(through(cut)),
    "connections refused": sat_out(through(refuse)),
    "network slow": sat_out(through(delay)),
    "network throttled": sat_out(through(throttle)),
    "black hole": sat_out(through(swallow)),
    "answers are noise": begins_anew(noise),
    "answers are nonsense": begins_anew(nonsense),
    "rebalance storm": begins_anew(storm),
    CLOCK: sat_out(jump),
    "user removed": begins_anew(remove_user),
    "right denied": begins_anew(deny),
}
CALM = ("kill -9", "kill -9 twice", "SIGTERM", "clock jumps")
"""Faults that keep nothing from draining in time."""
