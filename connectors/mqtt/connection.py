"""A connection to a broker: aiomqtt's client, with its queue out of the way.

aiomqtt acknowledges a message when it queues it, drops what its queue does not hold, and forgets the reason codes of
the broker. Here what comes is handed on as it comes, nothing is acknowledged before ``acknowledge``, reading can be
paused, and reasons are kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import aiomqtt
from msgspec import Struct
from paho.mqtt import client as mqtt
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from connectors.mqtt.settings import ClientSettings
from router import ClientTls, NotConnected, split_address

T = TypeVar("T")

FAILED: Final = 0x80
"""Reason codes from here on are failures (MQTT 5, section 2.4)."""
LARGEST_PACKET: Final = 268_435_455
_TAKEN_OVER: Final = 0x8E
_SAME_TLS: Final = "; does this listener of the broker want the same tls, or a certificate?"
_HOLD_OFF_SECONDS: Final = 10.0
_CLOSE_SECONDS: Final = 2.0
"""How long it may take to say that we go."""
_BURST: Final = 256
"""So many packets are read before others have their turn."""
_NO_DELAY: Final = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Message(Struct, eq=False):
    """A message that has come. ``identifier`` is that of its packet, ``said`` the properties that it has."""

    topic: str
    payload: bytes
    qos: int
    retained: bool
    identifier: int
    said: dict[str, Any] | None


class TakenOver(NotConnected):
    """Another client has connected with the same id."""


class Distance:
    """Keeps a client away for a while whose place was taken: two of one id would throw each other out for ever."""

    def __init__(self) -> None:
        self._until = 0.0
        self._why = ""

    def check(self) -> None:
        """Raise NotConnected while it is to stay away."""
        if time.monotonic() < self._until:
            raise NotConnected(f"{self._why}; connecting again after {_HOLD_OFF_SECONDS:g} s")

    def keep(self, failure: NotConnected | None) -> None:
        """A connection has ended in this way."""
        if isinstance(failure, TakenOver):
            self._until, self._why = time.monotonic() + _HOLD_OFF_SECONDS, str(failure)


def _ignore(*_: object) -> None:
    """Nobody asks."""


class Listener(Struct, kw_only=True):
    """Who is told what comes: messages; answers to what was published (its identifier, a reason code, and its words);
    messages of QoS 2 of which only an earlier connection knew (the identifier); and that something has changed."""

    take: Callable[[Message], None] = _ignore
    answered: Callable[[int, int, str], None] = _ignore
    lost: Callable[[int], None] = _ignore
    changed: Callable[[], None] = _ignore


class Connection(aiomqtt.Client):
    """One connection, from ``open()`` to ``close()``. Made anew for each."""

    def __init__(
        self,
        config: ClientSettings,
        listener: Listener,
        *,
        clean_start: bool,
        properties: Properties | None = None,
    ) -> None:
        host, port = split_address(config.broker)
        self._wrapped: ssl.SSLSocket | None = None
        super().__init__(
            host,
            port,
            identifier=config.client_id,
            protocol=aiomqtt.ProtocolVersion.V5 if config.is_v5 else aiomqtt.ProtocolVersion.V311,
            username=config.user,
            password=None if config.password is None else config.password.get_secret_value(),
            will=config.will_message,
            clean_session=None if config.is_v5 else clean_start,
            clean_start=clean_start if config.is_v5 else mqtt.MQTT_CLEAN_START_FIRST_ONLY,
            properties=properties if config.is_v5 else None,
            keepalive=round(config.keepalive),
            timeout=config.connect_timeout,
            tls_context=None if config.tls is None else self._context(config.tls, config.context.folder),
            max_inflight_messages=0,  # who publishes bounds them
            socket_options=[_NO_DELAY],
        )
        self.failure: NotConnected | None = None
        """Why it has ended, once it has."""
        self.session_present = False
        """Whether the broker has kept our session."""
        self.allows = Properties(PacketTypes.CONNACK)
        """What the broker said when it let us in."""
        self._shown = config.broker
        self._connect_timeout = config.connect_timeout
        self._listener = listener
        self._ended = asyncio.Event()
        self._seen = 0
        self._is_paused = False
        self._is_writing = False
        self._pinged = self._resumed = 0.0
        paho = self._client
        paho.manual_ack_set(True)
        paho.connect_timeout = config.connect_timeout
        paho.disable_logger()  # what goes wrong is told by whoever is told
        paho._handle_pubrec = self._handle_pubrec  # type: ignore[method-assign] # noqa: SLF001 - see there
        paho._handle_pubrel = self._handle_pubrel  # type: ignore[method-assign] # noqa: SLF001 - see there

    def _context(self, tls: ClientTls, folder: Path) -> ssl.SSLContext:
        """The context, which looks for the name that the settings say. What it wraps is kept: paho forgets to close it
        when the handshake fails."""
        context = tls.context(folder)
        wrap = context.wrap_socket

        def wrap_socket(sock: socket.socket, *, server_hostname: str, **settings: Any) -> ssl.SSLSocket:
            self._wrapped = wrap(sock, server_hostname=tls.server_name or server_hostname, **settings)
            return self._wrapped

        # paho asks the context for nothing else.
        context.wrap_socket = wrap_socket  # type: ignore[assignment,method-assign]
        return context

    # Opening and closing

    async def open(self) -> None:
        """Connect, and be let in. Raises NotConnected with what stands in the way."""
        # Connecting blocks a thread, which cannot be cancelled: when nobody waits any more it ends by itself.
        opening = asyncio.create_task(self.__aenter__(), name=f"connecting to {self._shown}")
        opening.add_done_callback(self._on_opened)
        try:
            async with asyncio.timeout(self._connect_timeout):
                await asyncio.shield(opening)
        except TimeoutError as error:
            raise self._end(f"connecting took longer than {self._connect_timeout:g} s") from error
        except aiomqtt.MqttError as error:
            hint = _SAME_TLS if isinstance(error.__context__, ConnectionResetError | ssl.SSLError) else ""
            raise self._end(f"it cannot be reached: {error}{hint}") from error
        except BaseException as error:
            self._end(f"connecting failed: {type(error).__name__}: {error}")
            raise

    def _on_opened(self, opening: asyncio.Task[Any]) -> None:
        if opening.cancelled() or opening.exception() is not None or self.failure is not None:
            self._let_go()

    async def close(self) -> None:
        """Say that we go, and release everything. Idempotent."""
        rest: socket.socket | None = None
        try:
            if self.failure is None:
                self._end("the connection is closed")
                self.timeout = _CLOSE_SECONDS
                if (number := self._descriptor()) >= 0:
                    rest = socket.socket(fileno=os.dup(number))
                with contextlib.suppress(aiomqtt.MqttError):
                    await self.__aexit__(None, None, None)
        finally:
            self._let_go()
            if rest is not None:
                await self._see_off(rest)

    async def _see_off(self, rest: socket.socket) -> None:
        """Read until the broker closes. A socket that is closed with something unread resets its connection, and that
        takes from the broker what it has not read yet: our last acknowledgements, and that we said that we go."""
        rest.setblocking(False)
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                while await self._loop.sock_recv(rest, 1 << 16):
                    pass
        except (OSError, TimeoutError):
            pass
        finally:
            rest.close()

    def _let_go(self) -> None:
        """Close the socket, without a word."""
        self._client._sock_close()  # noqa: SLF001 - paho closes it by itself only after it has said something
        if self._wrapped is not None:
            self._wrapped.close()

    def _end(self, why: str, code: int = 0) -> NotConnected:
        """Note why it has ended, unless that is known. Returns what is known."""
        if self.failure is None:
            text = f"{self._shown}: {why}"
            self.failure = TakenOver(text) if code == _TAKEN_OVER else NotConnected(text)
            self._ended.set()
            self._listener.changed()
        return self.failure

    def check(self) -> None:
        """Raise why it has ended, if it has."""
        if self.failure is not None:
            raise self.failure

    async def _answer(self, asking: Coroutine[Any, Any, T]) -> T:
        """What comes of a request. Raises NotConnected when the connection ends before."""
        self.check()
        tasks = (
            asyncio.create_task(asking, name=f"request to {self._shown}"),
            asyncio.create_task(self._ended.wait(), name=f"end of {self._shown}"),
        )
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not tasks[0].done():
                self.check()
            return await tasks[0]
        except aiomqtt.MqttError as error:
            raise self.failure or NotConnected(f"{self._shown}: {error}") from error
        finally:
            for task in tasks:
                task.cancel()

    # Asking

    async def subscribe_to(self, topics: Sequence[tuple[str, SubscribeOptions]]) -> list[int]:
        """Subscribe to filters; a reason code for each. Raises NotConnected."""
        if self._client.protocol == mqtt.MQTTv5:
            codes = await self._answer(self.subscribe(list(topics)))
        else:
            codes = await self._answer(self.subscribe([(topic, options.QoS) for topic, options in topics]))
        return [code if isinstance(code, int) else code.value for code in codes]

    async def unsubscribe_from(self, topics: Sequence[str]) -> None:
        """Unsubscribe from filters, whether they were subscribed to or not. Raises NotConnected."""
        await self._answer(self.unsubscribe(list(topics)))

    def acknowledge(self, messages: Iterable[tuple[int, int]]) -> None:
        """Acknowledge messages, by identifier and QoS, in this order. Raises NotConnected."""
        self.check()
        for identifier, qos in messages:
            self._client.ack(identifier, qos)

    def send(self, topic: str, payload: bytes, *, qos: int, retain: bool, properties: Properties | None) -> int:
        """Publish a message; the identifier by which it will be answered. Raises NotConnected."""
        self.check()
        while True:
            info = self._client.publish(topic, payload, qos, retain, properties)
            if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
                return info.mid
            if info.rc != MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:  # else a message of that identifier is still under way
                raise self._end(f"the connection is lost: {mqtt.error_string(info.rc)}")

    # What comes

    def pause(self) -> None:
        """Read nothing until ``resume()``: the broker has to wait."""
        self._is_paused = True
        if (number := self._descriptor()) >= 0:
            self._loop.remove_reader(number)

    def resume(self) -> None:
        """Go on reading."""
        if self._is_paused:
            self._is_paused, self._resumed = False, self._loop.time()
            if (number := self._descriptor()) >= 0:
                self._loop.add_reader(number, self._on_readable)
                self._loop.call_soon(self._on_readable)  # what TLS has decrypted already wakes nobody

    def _descriptor(self) -> int:
        sock = self._client.socket()
        return -1 if sock is None else sock.fileno()

    def _on_readable(self) -> None:
        """Read what is there, of many packets as of one: paho alone goes back to the event loop after each."""
        if self._is_paused:
            return
        try:
            for _ in range(_BURST):
                seen = self._seen
                self._client.loop_read()
                if self._is_paused or (self._seen == seen and not self._holds_more()):
                    break
            else:
                self._loop.call_soon(self._on_readable)
        except Exception as error:  # noqa: BLE001 - whatever paho makes of it, it cannot be gone on with
            self._end(f"what it sends cannot be read: {type(error).__name__}: {error}")
            self._let_go()
        self._listener.changed()

    def _holds_more(self) -> bool:
        sock = self._client.socket()
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def _on_message(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        self._seen += 1
        # Properties take kilobytes each, so only what they say is kept.
        said = None if message.properties is None else vars(message.properties)
        if said is not None:
            said = {name: said[name] for name in said.keys() - _EMPTY.keys()} or None
        self._listener.take(
            Message(message.topic, bytes(message.payload), message.qos, message.retain, message.mid, said)
        )

    def _on_publish(
        self, client: mqtt.Client, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        self._seen += 1
        self._listener.answered(mid, reason_code.value, _words(reason_code, properties))

    def _on_connect(
        self,
        client: mqtt.Client,
        userdata: Any,
        flags: mqtt.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.session_present = flags.session_present
        self.allows = properties or self.allows
        if reason_code.is_failure:
            self._end(f"it refused the connection: {_words(reason_code, properties)}", reason_code.value)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: mqtt.Client,
        userdata: Any,
        flags: mqtt.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        words = _words(reason_code, properties)
        if flags.is_disconnect_packet_from_server:
            self._end(f"it ended the connection: {words}", reason_code.value)
        elif not self._connected.done():
            self._end(f"it ended the connection before it let us in{_SAME_TLS}")
        else:
            self._end("the connection is lost" if reason_code.value == FAILED else f"the connection is lost: {words}")
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError(str(self.failure)))
        # As if it were meant: the reason is told already, and aiomqtt's error would be retrieved by nobody.
        super()._on_disconnect(client, userdata, flags, ReasonCode(PacketTypes.DISCONNECT), properties)

    def _handle_pubrec(self) -> MQTTErrorCode:
        """A PUBREC that refuses ends the way of its message, as a PUBACK does (MQTT 5, section 4.3.3). paho passes over
        its reason code, and would have the message for published."""
        paho = self._client
        body = paho._in_packet["packet"]  # noqa: SLF001 - the callbacks of paho do not tell
        if len(body) > 2 and body[2] >= FAILED:
            return paho._handle_pubackcomp("PUBACK")  # noqa: SLF001
        return mqtt.Client._handle_pubrec(paho)  # noqa: SLF001

    def _handle_pubrel(self) -> MQTTErrorCode:
        """A message of QoS 2 that an earlier connection had taken over, and that is lost with it: its identifier is
        given back. paho would leave it in use for ever, until the broker has none left."""
        paho = self._client
        identifier = int.from_bytes(paho._in_packet["packet"][:2], "big")  # noqa: SLF001 - the callbacks do not tell
        is_known = identifier in paho._in_messages  # noqa: SLF001
        done = mqtt.Client._handle_pubrel(paho)  # noqa: SLF001
        if not is_known:
            paho.ack(identifier, 2)
            self._listener.lost(identifier)
        return done

    # What aiomqtt has the event loop do

    def _on_socket_open(self, client: mqtt.Client, userdata: Any, sock: Any) -> None:
        self._loop.call_soon_threadsafe(self._start, sock)  # this is called in the thread that connects

    def _start(self, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._loop.add_reader(sock.fileno(), self._on_readable)
            self._misc_task = self._loop.create_task(self._misc_loop(), name=f"keepalive of {self._shown}")

    def _on_socket_register_write(self, client: mqtt.Client, userdata: Any, sock: Any) -> None:
        self._loop.call_soon_threadsafe(self._write)  # once for all that is written until then

    def _on_socket_unregister_write(self, client: mqtt.Client, userdata: Any, sock: Any) -> None:
        if self._is_writing:
            self._is_writing = False
            self._loop.remove_writer(sock.fileno())

    def _write(self) -> None:
        try:
            self._client.loop_write()
        except Exception as error:  # noqa: BLE001 - whatever it is, it cannot be gone on with
            self._end(f"the connection is lost: {error}")
            self._let_go()
        number = self._descriptor()
        if number >= 0 and self._client.want_write() and not self._is_writing:
            self._is_writing = True
            self._loop.add_writer(number, self._write)
        self._listener.changed()  # of QoS 0, what is sent is answered

    async def _misc_loop(self) -> None:
        """Keep the connection alive, and notice when the broker is gone. While reading is paused its answers are not
        read, so that its silence says nothing."""
        while keepalive := self._client.keepalive:  # which the broker may have changed
            await asyncio.sleep(min(1.0, keepalive / 4))
            now = self._loop.time()
            if self._is_paused:
                if now - self._pinged >= keepalive / 2:
                    self._pinged = now
                    self._client._send_pingreq()  # noqa: SLF001 - paho pings only while it listens
            elif now - self._resumed >= keepalive / 2 and self._client.loop_misc() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return


_EMPTY: Final = vars(Properties(PacketTypes.PUBLISH))


def _words(code: ReasonCode, properties: Properties | None) -> str:
    """A reason code in words, with what the broker said besides."""
    said = getattr(properties, "ReasonString", "")
    return f"{code} ({said})" if said else str(code)
