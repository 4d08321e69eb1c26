"""Mosquitto as tests get it: every listener serves those whom it should, and kills lose nothing acknowledged."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any
from uuid import uuid4

import aiomqtt
import pytest

from tests.certificates import Certificates
from tests.servers.fixtures import StartMosquitto
from tests.servers.mosquitto import PASSWORD, USER, Mosquitto, MosquittoAddresses
from tests.servers.proxy import TcpProxy

SECONDS = 20.0


def context(certificates: Certificates, *, certificate: bool = False) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(certificates.ca))
    if certificate:
        made.load_cert_chain(certificates.folder / "client.pem", certificates.folder / "client.key")
    return made


def client(addresses: MosquittoAddresses, certificates: Certificates, listener: str, **changes: Any) -> aiomqtt.Client:
    """A client of a listener, as it must come."""
    users = {"username": USER, "password": PASSWORD}
    settings: dict[str, dict[str, Any]] = {
        "plain": {},
        "users": users,
        "tls": {**users, "tls_context": context(certificates)},
        "mtls": {"tls_context": context(certificates, certificate=True)},
    }
    host, port = getattr(addresses, listener)
    return aiomqtt.Client(host, port, protocol=aiomqtt.ProtocolVersion.V5, **{**settings[listener], **changes})


async def hear(client: aiomqtt.Client) -> Any:
    """The payload of the next message."""
    async with asyncio.timeout(SECONDS):
        return (await anext(aiter(client.messages))).payload


@pytest.mark.parametrize("listener", ["plain", "users", "tls", "mtls"])
async def test_each_listener_takes_and_gives(
    mosquitto: MosquittoAddresses, certificates: Certificates, listener: str
) -> None:
    topic = uuid4().hex
    async with client(mosquitto, certificates, listener) as us:
        await us.subscribe(f"{topic}/+", qos=1)
        await us.publish(f"{topic}/a", b"hello", qos=1)
        assert await hear(us) == b"hello"


@pytest.mark.parametrize(
    ("listener", "changes"),
    [
        ("users", {"password": "wrong"}),
        ("users", {"username": None, "password": None}),
        ("tls", {"username": "nobody"}),
        ("mtls", {"tls_context": None}),
    ],
)
async def test_whoever_shows_the_wrong_thing_is_not_let_in(
    mosquitto: MosquittoAddresses, certificates: Certificates, listener: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(aiomqtt.MqttError):
        async with client(mosquitto, certificates, listener, **changes, timeout=2):
            pass


async def test_mutual_tls_wants_a_certificate(mosquitto: MosquittoAddresses, certificates: Certificates) -> None:
    with pytest.raises(aiomqtt.MqttError):
        async with client(mosquitto, certificates, "mtls", tls_context=context(certificates), timeout=2):
            pass


async def test_the_certificate_is_of_the_authority_that_tests_trust(mosquitto: MosquittoAddresses) -> None:
    """And of no other, as a client sees that trusts the usual ones."""
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection(*mosquitto.tls, ssl=ssl.create_default_context())


async def test_a_killed_broker_comes_back_with_what_it_acknowledged(start_mosquitto: StartMosquitto) -> None:
    """Retained messages, and messages for a client that is away."""
    broker = start_mosquitto()
    host, port = broker.addresses.plain
    session: dict[str, Any] = {"identifier": "us", "clean_session": False}
    async with aiomqtt.Client(host, port, **session) as us:
        await us.subscribe("kept/#", qos=1)
    async with aiomqtt.Client(host, port) as them:
        for number in range(20):
            await them.publish("kept/a", str(number), qos=1)
        await them.publish("retained", b"hello", qos=1, retain=True)
    broker.kill()
    assert not broker.running
    broker.start()
    assert broker.addresses.plain == (host, port)
    async with aiomqtt.Client(host, port, **session) as us:
        assert [await hear(us) for _ in range(20)] == [str(number).encode() for number in range(20)]
        await us.subscribe("retained", qos=1)
        assert await hear(us) == b"hello"


async def test_a_frozen_broker_answers_once_it_is_thawed(start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto()
    async with aiomqtt.Client(*broker.addresses.plain) as us:
        broker.freeze()
        assert broker.running
        publishing = asyncio.create_task(us.publish("a", b"hello", qos=1))
        assert not (await asyncio.wait([publishing], timeout=0.3))[0]
        broker.thaw()
        await publishing


async def test_users_may_be_taken_and_given_back(start_mosquitto: StartMosquitto, certificates: Certificates) -> None:
    broker = start_mosquitto()

    async def may_enter() -> bool:
        try:
            async with client(broker.addresses, certificates, "users", timeout=2):
                return True
        except aiomqtt.MqttError:
            return False

    assert await may_enter()
    broker.remove_user(USER)
    broker.reload()
    await until(broker, may_enter, wanted=False)
    broker.set_password(USER, PASSWORD)
    broker.reload()
    await until(broker, may_enter, wanted=True)


async def until(broker: Mosquitto, ask: Any, *, wanted: bool) -> None:
    async with asyncio.timeout(SECONDS):
        while await ask() is not wanted:
            assert broker.running
            await asyncio.sleep(0.05)


async def test_what_it_saved_outlives_a_kill(start_mosquitto: StartMosquitto) -> None:
    """Also of one that writes nothing by itself."""
    broker = start_mosquitto(durable=False)
    session: dict[str, Any] = {"identifier": "saved", "clean_session": False}
    async with aiomqtt.Client(*broker.addresses.plain, **session) as us:
        await us.subscribe("a", qos=1)
    async with aiomqtt.Client(*broker.addresses.plain) as us:
        await us.publish("a", b"saved", qos=1)
        broker.save()
        await us.publish("a", b"not saved", qos=1)
        broker.kill()
    broker.start()
    async with aiomqtt.Client(*broker.addresses.plain, **session) as us:
        await us.publish("a", b"after", qos=1)
        async with asyncio.timeout(SECONDS):
            assert [await hear(us), await hear(us)] == [b"saved", b"after"]


async def test_a_proxy_stands_before_it(mosquitto: MosquittoAddresses) -> None:
    host, port = mosquitto.plain
    async with TcpProxy(f"{host}:{port}") as proxy:
        host, _, through = proxy.address.partition(":")
        with pytest.raises(aiomqtt.MqttError):
            async with aiomqtt.Client(host, int(through)) as us:
                await us.publish("a", b"hello", qos=1)
                proxy.cut()
                await hear(us)
        assert proxy.accepted == 1
