"""What a record is published with besides its payload: its topic, whether it is retained, its properties."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Annotated, Any, Final, NamedTuple

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import Field, TypeAdapter, ValidationError

from connectors.mqtt.settings import LONGEST_WAIT
from connectors.mqtt.topics import checked_name, checked_text
from router import Batch, Constant, Duration

_CHOSEN: Final = ("topic", "retain", "content_type", "message_expiry", "response_topic", "correlation_data")
_SECONDS: Final = TypeAdapter[float](Annotated[Duration, Field(ge=0, le=LONGEST_WAIT)])
_REMEMBERED: Final = 10_000


class Envelope(NamedTuple):
    """What a record is published with. ``size``: what all of it takes in the packet, in bytes."""

    topic: str
    retain: bool
    properties: Properties | None
    size: int


class Refused(NamedTuple):
    """Why a record cannot be published."""

    reason: str


class Envelopes:
    """Makes the envelopes of one sink, and remembers them: most records have the same few.

    ``standard`` is what holds where a record chose nothing.
    """

    def __init__(self, standard: dict[str, Any], *, is_v5: bool) -> None:
        self._standard = standard
        self._is_v5 = is_v5
        self._known: dict[object, Envelope | Refused] = {}

    def of(self, batch: Batch) -> Iterable[Envelope | Refused]:
        """One for each record."""
        none = Constant(None, len(batch))
        columns: list[Sequence[Any]] = [batch.settings.get(name, none) for name in _CHOSEN]
        columns.append(none if batch.headers is None else batch.headers)
        if all(isinstance(column, Constant) for column in columns):
            return repeat(self._envelope([column[0] for column in columns]), len(batch))
        return self._each(columns)

    def _each(self, columns: Sequence[Sequence[Any]]) -> Iterator[Envelope | Refused]:
        return map(self._envelope, zip(*columns, strict=True))

    def _envelope(self, choice: Iterable[Any]) -> Envelope | Refused:
        key = tuple(tuple(value) if isinstance(value, list) else value for value in choice)
        try:
            known = self._known.get(key)
        except TypeError:  # something that is no text, number or pair
            return Refused("what it chose of topic, headers or other settings is of no use")
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            try:
                known = self._made(dict(zip((*_CHOSEN, "headers"), key, strict=True)))
            except ValueError as error:
                known = Refused(str(error))
            self._known[key] = known
        return known

    def _made(self, chosen: dict[str, Any]) -> Envelope:
        """Raises ValueError, which says what cannot be."""
        said = {name: self._standard[name] if value is None else value for name, value in chosen.items()}
        if said["topic"] is None:
            raise ValueError("no topic was chosen")
        topic = checked_name(_text("topic", said["topic"]))
        if said["retain"] not in (True, False):
            raise ValueError(f"retain should be true or false, not {said['retain']!r:.100}")
        properties = Packed(_properties(said)) if self._is_v5 else None
        size = len(topic.encode()) + (len(properties.pack()) if properties else 0)
        return Envelope(topic, bool(said["retain"]), properties, size)


class Packed(Properties):
    """Properties that are written once for all messages that have them: paho takes 40 us each time."""

    _packed: bytes

    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho has no types for it
        for name, value in said.items():
            setattr(self, name, value)
        # paho refuses names that MQTT does not have.
        object.__setattr__(self, "_packed", super().pack())  # type: ignore[no-untyped-call]

    def pack(self) -> bytes:
        """As they stand in a packet."""
        return self._packed


def _properties(said: dict[str, Any]) -> dict[str, Any]:
    """What a record says besides, by the names that paho has for it."""
    found: dict[str, Any] = {}
    if said["content_type"] is not None:
        found["ContentType"] = _text("content_type", said["content_type"])
    if said["message_expiry"] is not None:
        found["MessageExpiryInterval"] = _seconds(said["message_expiry"])
    if said["response_topic"] is not None:
        found["ResponseTopic"] = checked_name(_text("response_topic", said["response_topic"]))
    if said["correlation_data"] is not None:
        found["CorrelationData"] = _text("correlation_data", said["correlation_data"]).encode()
    if said["headers"]:
        found["UserProperty"] = [(_text("headers", name), _value(name, value)) for name, value in said["headers"]]
    return found


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} should be text, not {value!r:.100}")  # noqa: TRY004 - the value is at fault
    try:
        return checked_text(value)
    except ValueError as error:
        raise ValueError(f"{name} {value[:100]!r} cannot be sent: {error}") from error


def _value(name: str, value: bytes) -> str:
    try:
        return checked_text(value.decode())
    except ValueError as error:
        raise ValueError(f"header {name[:100]!r} cannot be sent: {error}") from error


def _seconds(value: object) -> int:
    try:
        given = float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        return round(_SECONDS.validate_python(given))
    except ValidationError as error:
        why = f"message_expiry should be seconds, or a duration such as 10m, not {value!r:.100}"
        raise ValueError(why) from error
