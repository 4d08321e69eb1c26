"""The settings that the source and the sink ``mqtt`` share: where the broker is, and who connects to it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from aiomqtt import Will
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import BeforeValidator, Field, SecretStr, model_validator

from connectors.mqtt.topics import LONGEST_TEXT, TopicName
from router import Address, ClientTls, Duration, Settings

QoS = Literal[0, 1, 2]
LONGEST_WAIT = 2**32 - 2
"""The longest time that MQTT can say, in seconds; one more means for ever."""

INSTEAD_OF_2 = "should be 1, with an id in each message by which repeats are known"


def _number_of(version: Any) -> Any:
    return 5 if version == "5" else version  # from the environment it comes as text


Version = Annotated[Literal[5, "3.1.1"], BeforeValidator(_number_of)]


class WillSettings(Settings):
    """What the broker publishes for us when we are gone without a word."""

    topic: TopicName
    """Where to."""
    payload: Annotated[str, Field(max_length=LONGEST_TEXT)] = ""
    """What, as text."""
    qos: QoS = 0
    """With which QoS."""
    retain: bool = False
    """Whether the broker keeps it for those who subscribe later."""
    delay: Annotated[Duration, Field(le=LONGEST_WAIT)] = 0.0
    """How long the broker waits for us to come back before it publishes it. Version 5 alone."""


class ClientSettings(Settings):
    """What every client of a broker says."""

    broker: Address
    """Host and port of the broker, usually 1883, or 8883 with TLS."""
    version: Version = 5
    """The version of MQTT: `5` or `3.1.1`."""
    client_id: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)] | None = None
    """The name by which the broker knows us. No two clients may have the same: the broker disconnects the older one."""
    user: str | None = None
    """The user name, where the broker asks for one."""
    password: SecretStr | None = None
    """The password; best given as `${env:NAME}` or `${file:PATH}`."""
    tls: ClientTls | None = None
    """TLS: how the broker proves who it is, and we to it (mutual TLS). `{}`: with the certificates of the system."""
    keepalive: Annotated[Duration, Field(ge=1, le=65_535)] = 60.0
    """How long neither side may be silent. A broker that is silent for twice as long is taken for gone."""
    connect_timeout: Annotated[Duration, Field(gt=0)] = 10.0
    """How long connecting may take, up to the answer of the broker."""
    will: WillSettings | None = None
    """What the broker publishes for us when the connection ends otherwise than by a stop."""

    @property
    def is_v5(self) -> bool:
        """Whether it is version 5."""
        return self.version == 5

    @property
    def will_message(self) -> Will | None:
        """The will as it is told the broker."""
        if self.will is None:
            return None
        properties = None
        if self.is_v5 and self.will.delay:
            properties = Properties(PacketTypes.WILLMESSAGE)
            properties.WillDelayInterval = round(self.will.delay)
        return Will(self.will.topic, self.will.payload, self.will.qos, self.will.retain, properties)

    def conflict(self, other: Settings) -> str:
        """Two clients with one id would throw each other out for ever."""
        if not isinstance(other, ClientSettings) or self.client_id is None:
            return ""
        same = (other.broker, other.client_id) == (self.broker, self.client_id)
        return f"both have client_id {self.client_id}, and {self.broker} lets in one of them at a time" if same else ""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.password is not None and self.user is None:
            raise ValueError("password should stand beside user")
        if self.will is not None and self.will.delay and not self.is_v5:
            raise ValueError("will.delay should stand beside `version: 5`; 3.1.1 has none")
        return self
