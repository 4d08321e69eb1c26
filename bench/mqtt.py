"""MQTT with QoS 1 to Kafka: the whole daemon with four content rules, beside loops written by hand on aiomqtt.

``loop`` is the floor: aiomqtt's messages, the same four rules in Python, a batch for each topic of Kafka. ``each`` is
what is mostly written: one ``send`` a message. All are measured as processes, from start to end, by turns, and each
finds the same messages in a session of its own that the broker has kept.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bench import measure
from bench.events import lines
from bench.kafka import Topics, run_until_held, write_configuration
from bench.measure import Cost
from bench.route import SINKS
from connectors.mqtt import MqttSink
from router import Batch
from tests.servers.kafka import own_cluster
from tests.servers.mosquitto import own_broker

RECORDS = 100_000
BLOCK = 5_000
CPU_RATIO = 1.3
"""What is promised of CPU beside ``loop``."""
CONTENDERS = ("loop", "ours", "each")


async def fill(port: int, sessions: Sequence[str], count: int) -> None:
    """Publish so many events, which the broker keeps for each of these clients."""
    kept = Properties(PacketTypes.CONNECT)
    kept.SessionExpiryInterval = 3600
    for session in sessions:
        subscriber = aiomqtt.Client(
            "127.0.0.1",
            port,
            identifier=session,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=False,
            properties=kept,
        )
        async with subscriber:
            await subscriber.subscribe("bench/#", qos=1)
    publisher = MqttSink(MqttSink.Config(broker=f"127.0.0.1:{port}", topic="bench/events"))
    await publisher.open()
    events = lines(count)
    while block := [line[:-1] for line in islice(events, BLOCK)]:
        await publisher.write(Batch(block))
    await publisher.close()


class Relays:
    """The contenders, in a folder of their own."""

    def __init__(self, topics: Topics, port: int, folder: Path, records: int) -> None:
        self._topics = topics
        self._port = port
        self._folder = folder
        self._records = records
        self._turns = dict.fromkeys(CONTENDERS, 0)

    def _session(self, name: str) -> str:
        self._turns[name] += 1
        return session(name, self._turns[name])

    def by_hand(self, how: str) -> Cost:
        """A loop written by hand."""
        targets = asyncio.run(self._topics.new(len(SINKS)))
        program = str(Path(__file__).with_name("mqtt_floor.py"))
        arguments = [how, str(self._port), self._session(how), self._topics.brokers, str(self._records), *targets]
        cost = measure.run([sys.executable, "-P", program, *arguments], log=self._folder / f"{how}.log")
        asyncio.run(self._topics.hold(targets, self._records))
        asyncio.run(self._topics.delete(targets))
        return cost

    def ours(self) -> Cost:
        """The daemon, until all records are in the topics of its sinks and it has been told to stop."""
        targets = asyncio.run(self._topics.new(len(SINKS)))
        source = f'type: mqtt, broker: "127.0.0.1:{self._port}", client_id: {self._session("ours")}, topics: [bench/#]'
        config = write_configuration(
            self._folder / "ours", self._topics.brokers, source, targets, ", compression: none"
        )
        command = [measure.SLUICEWAY, "run", str(config)]
        cost = run_until_held(command, self._topics, targets, self._records, self._folder / "ours.log")
        asyncio.run(self._topics.delete(targets))
        return cost


def session(name: str, turn: int) -> str:
    """The client that a contender is in a turn."""
    return f"{name}-{turn}"


def main(arguments: list[str]) -> int:
    """Print a table; exit status 1 when 100,000 records cost more than is promised."""
    parser = argparse.ArgumentParser(prog="python -m bench mqtt", description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="sluiceway-relays-") as folder,
        own_cluster() as cluster,
        own_broker() as broker,
    ):
        port = broker.addresses.plain[1]
        sessions = [session(name, turn + 1) for name in CONTENDERS for turn in range(options.runs)]
        asyncio.run(fill(port, sessions, options.records))
        topics = Topics(cluster.addresses.plaintext, keyed=False)
        return 0 if _compare(Relays(topics, port, Path(folder), options.records), options) else 1


def _compare(relays: Relays, options: argparse.Namespace) -> bool:
    contenders = {"loop": lambda: relays.by_hand("loop"), "ours": relays.ours, "each": lambda: relays.by_hand("each")}
    costs = measure.interleaved(contenders, options.runs)
    print(f"\n{options.records:,} messages of QoS 1; medians")
    measure.print_costs(costs, options.records)
    to_loop = measure.ratio(costs["ours"], costs["loop"], lambda cost: cost.cpu)
    to_each = measure.ratio(costs["ours"], costs["each"], lambda cost: cost.cpu)
    print(f"cpu: {to_loop:.2f} times that of loop, {to_each:.2f} times that of each")
    measure.write_json(options.json, costs, records=options.records, loop=to_loop, each=to_each)
    if options.records < RECORDS:
        return True  # start-up weighs more then; the promise is about the long run
    print(f"promised: at most {CPU_RATIO} times that of loop: {'kept' if to_loop <= CPU_RATIO else 'BROKEN'}")
    return to_loop <= CPU_RATIO


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
