from __future__ import annotations

import aiomqtt

from tests.servers.mosquitto import MosquittoAddresses


async def test_plain(mosquitto: MosquittoAddresses) -> None:
    async with aiomqtt.Client(*mosquitto.plain, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.subscribe("a/#", qos=1)
        await client.publish("a/b", b"hello", qos=1)
        message = await anext(aiter(client.messages))
        assert message.payload == b"hello"
