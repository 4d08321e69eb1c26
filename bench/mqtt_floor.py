"""The floors of ``bench.mqtt``: what somebody would write by hand to move messages from MQTT to Kafka by four rules.

``python mqtt_floor.py loop|each PORT CLIENT_ID BROKERS COUNT TOPIC TOPIC TOPIC TOPIC``. ``loop`` makes a batch for
Kafka of what has come; ``each`` sends message by message. Both have aiomqtt acknowledge as it does, when it queues a
message, so that what is under way when they end is lost.
"""

import asyncio
import sys
from collections.abc import Sequence

import aiomqtt
import orjson
from aiokafka import AIOKafkaProducer
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

TOGETHER = 2000
BATCH_BYTES = 2**20


async def main(how: str, port: int, client_id: str, brokers: str, count: int, targets: Sequence[str]) -> None:
    session = Properties(PacketTypes.CONNECT)
    session.SessionExpiryInterval = 3600
    session.ReceiveMaximum = 1000
    client = aiomqtt.Client(
        "127.0.0.1",
        port,
        identifier=client_id,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=False,
        properties=session,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=brokers, acks="all", enable_idempotence=True, max_batch_size=BATCH_BYTES
    )
    async with producer, client:
        await client.subscribe("bench/#", qos=1)
        held: dict[str, list[bytes]] = {target: [] for target in targets}
        moved = waiting = 0
        async for message in client.messages:
            payload = message.payload
            assert isinstance(payload, bytes)
            held[choose(payload, targets)].append(payload)
            moved, waiting = moved + 1, waiting + 1
            if waiting >= TOGETHER or not len(client.messages) or moved == count:
                await (send_batches if how == "loop" else send_each)(producer, held)
                waiting = 0
            if moved == count:
                break


def choose(payload: bytes, targets: Sequence[str]) -> str:
    event = orjson.loads(payload)
    if event["type"] == "order" and event["amount"] > 500.0:
        return targets[0]
    if event["user"]["plan"] in ("pro", "team"):
        return targets[1]
    return targets[2 if event["device"].startswith("sensor-") else 3]


async def send_batches(producer: AIOKafkaProducer, held: dict[str, list[bytes]]) -> None:
    sent = []
    for target, payloads in held.items():
        if payloads:
            batch = producer.create_batch()
            for payload in payloads:
                batch.append(timestamp=None, key=None, value=payload)
            batch.close()
            sent.append(await producer.send_batch(batch, target, partition=0))
            payloads.clear()
    await asyncio.gather(*sent)


async def send_each(producer: AIOKafkaProducer, held: dict[str, list[bytes]]) -> None:
    sent = [await producer.send(target, payload) for target, payloads in held.items() for payload in payloads]
    for payloads in held.values():
        payloads.clear()
    await asyncio.gather(*sent)


if __name__ == "__main__":
    how, port, client_id, brokers, count, *targets = sys.argv[1:]
    asyncio.run(main(how, int(port), client_id, brokers, int(count), targets))
