"""How a Kafka cluster is reached: the settings that source and sink share, and the arguments that aiokafka's clients
take for them."""

from __future__ import annotations

import asyncio
import ssl
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, WithJsonSchema, model_validator

from connectors.http.auth import Auth, OAuth2
from router import ClientTls, Duration, NotConnected, Settings, split_address

if TYPE_CHECKING:
    from aiokafka.abc import AbstractTokenProvider

_HANDSHAKE_SECONDS = 10.0
"""How long one broker may take to answer a first connection; another is tried then."""


def _split(value: Any) -> Any:
    """The addresses of ``a:9092, b:9092``, or of a list of such. Raises ValueError."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ValueError("brokers should be host:port, several separated by commas, or a list of these")
    brokers = tuple(address.strip() for text in texts for address in text.split(",") if address.strip())
    if not brokers:
        raise ValueError("brokers should be one host:port at least")
    for address in brokers:
        split_address(address)
    return brokers


Brokers = Annotated[
    tuple[str, ...],
    BeforeValidator(_split),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""Addresses of brokers, written ``a:9092,b:9092`` or as a list."""


class Sasl(Settings):
    """How we say who we are."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
    """What the cluster asks for. `PLAIN` sends the password as it is, and `OAUTHBEARER` a token: both want `tls`."""
    username: str | None = None
    """The user, of `PLAIN` and `SCRAM`."""
    password: SecretStr | None = None
    """The user's password; best given as `${env:NAME}` or `${file:PATH}`."""
    oauth2: OAuth2 | None = None
    """Where `OAUTHBEARER` has its tokens from."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        named = {name for name in ("username", "password", "oauth2") if getattr(self, name) is not None}
        wanted = {"oauth2"} if self.mechanism == "OAUTHBEARER" else {"username", "password"}
        if named != wanted:
            raise ValueError(f"{self.mechanism} should stand beside {' and '.join(sorted(wanted, reverse=True))} alone")
        return self


class KafkaConfig(Settings):
    """What the source and the sink ``kafka`` share. In a connection, it stands once for all that use it."""

    brokers: Brokers
    """Where to find the cluster: `host:port` of any of its brokers, several separated by commas or as a list. The
    others are learned from it."""
    tls: ClientTls | None = None
    """TLS towards the brokers: whose certificates are trusted, and our own, for brokers that ask for one (mutual TLS).
    `{}` trusts those that the system does. Without it, connections are plain."""
    sasl: Sasl | None = None
    """How we say who we are (SASL). Without it, nothing is said but by a certificate of `tls`."""
    client_id: Annotated[str, Field(min_length=1)] = "sluiceway"
    """What the brokers call us in their logs, metrics and quotas."""
    request_timeout: Annotated[Duration, Field(gt=0)] = 30.0
    """How long a broker may take to answer a request, and to accept a connection. Then the connection is given up."""
    metadata_max_age: Annotated[Duration, Field(gt=0)] = 300.0
    """After this time at the latest topics, partitions and their leaders are asked for anew: new ones are found then,
    if nothing that fails shows them before."""

    @model_validator(mode="after")
    def _has_its_library(self) -> Self:
        if find_spec("aiokafka") is None:
            raise ValueError("kafka needs the library aiokafka: pip install 'sluiceway[kafka]'")
        return self

    @property
    def shown(self) -> str:
        """The brokers, for messages."""
        return ",".join(self.brokers)

    async def reach(self) -> dict[str, Any]:
        """Connect to the cluster and say who we are, to one broker after the other until one answers.

        Returns what every client of aiokafka takes to do the same; they would keep to themselves what was wrong.
        Raises NotConnected that tells it of each broker, or that a file of ``tls`` cannot be used.
        """
        from aiokafka.errors import KafkaError

        arguments = {
            "client_id": self.client_id,
            "request_timeout_ms": milliseconds(self.request_timeout),
            **self._security(),
        }
        failures = []
        for address in self.brokers:
            try:
                async with asyncio.timeout(min(self.request_timeout, _HANDSHAKE_SECONDS)):
                    await _greet(address, arguments)
            except (OSError, KafkaError, TimeoutError) as error:
                failures.append((address, error))
                continue
            return {
                **arguments,
                "bootstrap_servers": list(self.brokers),
                "metadata_max_age_ms": milliseconds(self.metadata_max_age),
            }
        why = "; ".join(f"{address}: {self._why_not(error)}" for address, error in failures)
        raise NotConnected(why) from failures[0][1]

    def _why_not(self, error: Exception) -> str:
        from aiokafka.errors import IllegalSaslStateError, KafkaConnectionError, UnsupportedSaslMechanismError

        if isinstance(error, UnsupportedSaslMechanismError) and self.sasl is not None:
            return f"the broker does not take {self.sasl.mechanism} (sasl)"
        same = "does this listener of the broker want the same tls and sasl?"
        if isinstance(error, IllegalSaslStateError):
            return f"the broker does not ask for sasl there; {same}"
        if isinstance(error, KafkaConnectionError | ConnectionResetError):
            return f"{reason(error)}; {same}"
        return reason(error)

    def _security(self) -> dict[str, Any]:
        folder = self.context.folder
        protocol = "PLAINTEXT" if self.tls is None else "SSL"
        arguments: dict[str, Any] = {"ssl_context": None if self.tls is None else _context(self.tls, folder)}
        if self.sasl is not None:
            protocol = f"SASL_{protocol}"
            arguments["sasl_mechanism"] = self.sasl.mechanism
            if self.sasl.oauth2 is not None:
                arguments["sasl_oauth_token_provider"] = _token_provider(self.sasl.oauth2, folder)
            elif self.sasl.password is not None:
                arguments["sasl_plain_username"] = self.sasl.username
                arguments["sasl_plain_password"] = self.sasl.password.get_secret_value()
        return {**arguments, "security_protocol": protocol}


async def _greet(address: str, arguments: dict[str, Any]) -> None:
    """Connect to a broker and ask it something. Raises what is wrong."""
    from aiokafka.conn import create_conn
    from aiokafka.protocol.metadata import MetadataRequest

    host, port = split_address(address)
    connection = await create_conn(host, port, **arguments)
    try:
        # Only now does a broker hang up on somebody who has not said who it is.
        await connection.send(MetadataRequest([]))
    finally:
        await connection.close()


def milliseconds(seconds: float) -> int:
    """What Kafka counts in: whole ones, and never none."""
    return max(1, round(seconds * 1000))


def reason(error: BaseException) -> str:
    """What went wrong, in a few words. Errors of aiokafka carry their cause rather than a text of their own."""
    text = str(error)
    cause = error.__cause__
    if isinstance(error, TimeoutError):
        return text or "no answer in time"
    if cause is not None and str(cause) and str(cause) not in text:
        return f"{text or type(error).__name__}: {cause}"
    return text or type(error).__name__


def _context(tls: ClientTls, folder: Path) -> ssl.SSLContext:
    context = tls.context(folder)
    if tls.server_name is not None:
        # aiokafka hands the context to asyncio without a name, which takes the host for it.
        wrap = context.wrap_bio

        def wrap_bio(*arguments: Any, **named: Any) -> ssl.SSLObject:
            return wrap(*arguments, **{**named, "server_hostname": tls.server_name})

        context.wrap_bio = wrap_bio  # type: ignore[method-assign]  # a context's class is for ssl to choose
    return context


def _token_provider(oauth2: OAuth2, folder: Path) -> AbstractTokenProvider:
    from aiohttp import ClientSession
    from aiokafka.abc import AbstractTokenProvider
    from aiokafka.errors import KafkaConnectionError

    authorizer = Auth(oauth2=oauth2).authorizer(folder)

    class Tokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
        async def token(self) -> str:
            try:
                async with ClientSession() as session:
                    return (await authorizer.authorization(session)).removeprefix("Bearer ")
            except NotConnected as error:
                raise KafkaConnectionError(str(error)) from error

    return Tokens()
