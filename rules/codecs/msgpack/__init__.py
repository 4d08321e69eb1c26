"""MessagePack."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from rules.cel.errors import CelError
from rules.cel.temporal import Timestamp
from rules.cel.values import Duration, Opaque, Optional, Type, UInt, a_type
from rules.codecs.format import Codec, Format, is_plain
from rules.codecs.msgpack.reader import Reader, timestamp_of

TIMESTAMP: Final = -1
"""The extension that MessagePack itself gives a meaning."""
EVENT_TIME: Final = 0
"""The extension in which Fluentd has times."""


@dataclass(frozen=True, slots=True)
class Extension(Opaque):
    """A value of an extension that means nothing here: it is passed on as it is. As text it is its number and its
    bytes in base64, ``ext:5:AQI=``."""

    cel_type: ClassVar[Type] = Type("msgpack.Extension")

    code: int
    data: bytes

    def __str__(self) -> str:
        return f"ext:{self.code}:{base64.b64encode(self.data).decode()}"


class MsgPack(Format):
    """One MessagePack object.

    Binary is a value of type bytes, a timestamp (extension -1) one of type timestamp, to the nanosecond. Any other
    extension is passed on as it is, and stands in JSON as `"ext:5:AQI="`, its number and its bytes in base64. Keys of
    maps may be of any type; rules can ask for texts, whole numbers and booleans. Of a key that repeats, the last value
    counts; `1`, `1.0` and `true` are the same key.

    Written, timestamps are extension -1; what MessagePack has no type for is written as in JSON. Whole numbers have 64
    bits; of larger ones a dead letter is made.
    """

    type: Literal["msgpack"] = "msgpack"
    """MessagePack."""
    event_time: bool = False
    """Whether extension 0 is a time, as Fluentd has it (EventTime). It is then read as a timestamp, and timestamps are
    written so."""

    def make(self) -> Codec:
        """The codec."""
        objects = _Objects(event_time=self.event_time)
        return Codec(
            decode=objects.decode,
            decode_plain=objects.decode_fast,
            encode=objects.encode,
            encode_plain=objects.encode_plain,
            decodes_plain=False,
        )

    @property
    def stream_framing(self) -> Mapping[str, object]:
        """Objects stand one after the other."""
        return {"type": "msgpack"}


# An extension -1 of a length that a timestamp can have, in every way in which that can be written.
_STAMP: Final = re.compile(
    rb"(?:\xd6|\xd7|\xc7[\x04\x08\x0c]|\xc8\x00[\x04\x08\x0c]|\xc9\x00\x00\x00[\x04\x08\x0c])\xff", re.DOTALL
)


class _Key:
    """A key of a map that is to be written. No dataclass: those msgspec writes as maps."""

    __slots__ = ("content",)

    def __init__(self, content: object) -> None:
        self.content = content


def _content(key: object) -> object:
    """What msgspec asks about a value that it does not know."""
    if isinstance(key, _Key):
        return key.content
    raise TypeError(f"MessagePack has nothing for {a_type(key)}")


class _Objects:
    """Objects, read and written."""

    def __init__(self, *, event_time: bool) -> None:
        # msgspec, as for JSON. What it does not do is done here: times of nanoseconds, and places of faults.
        import msgspec

        self._event_time = event_time
        self._decode_with = msgspec.msgpack.decode
        self._read = msgspec.msgpack.Decoder(ext_hook=self._extension).decode
        self._ext = msgspec.msgpack.Ext
        self.encode_plain = msgspec.msgpack.Encoder(enc_hook=_content).encode

    # Reading

    def decode(self, payload: bytes) -> object:
        """The object. Raises ValueError."""
        try:
            return self.decode_fast(payload)
        except Exception:  # noqa: BLE001 - the reader finds out what is wrong, and where
            return Reader(payload, self._extension).whole()

    def decode_fast(self, payload: bytes) -> object:
        """The same, or any exception."""
        if b"\xff" in payload and _STAMP.search(payload) is not None:
            return self._with_times(payload)
        return self._read(payload)

    def _with_times(self, payload: bytes) -> object:
        """The object, if the only trouble with it is that msgspec makes a ``datetime`` of microseconds of a timestamp.

        Not of an extension with another number: so they get one that stands nowhere in the payload. What was no
        extension, but looked like one, is found out by their count.
        """
        code = next(code for code in range(1, 128) if code not in payload)
        changed, count = _STAMP.subn(lambda found: found[0][:-1] + bytes([code]), payload)

        def extension(number: int, data: memoryview) -> object:
            nonlocal count
            if number != code:
                return self._extension(number, data)
            count -= 1
            return timestamp_of(bytes(data))

        made: object = self._decode_with(changed, ext_hook=extension)
        if count:
            raise ValueError("something else looks like a timestamp")
        return made

    def _extension(self, code: int, data: bytes | memoryview) -> object:
        if code == TIMESTAMP:
            return timestamp_of(bytes(data))
        if code == EVENT_TIME and self._event_time and len(data) == 8:
            return Timestamp(int.from_bytes(data[:4]), int.from_bytes(data[4:]))
        return Extension(code, bytes(data))

    # Writing

    def encode(self, value: object) -> bytes:
        """Any value of an expression. Raises CelError."""
        try:
            return self.encode_plain(value if is_plain(value) else self._packable(value))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise CelError(f"it cannot be written as MessagePack: {error}") from error

    def _packable(self, value: Any) -> object:
        kind = value.__class__
        if kind in _AS_IT_IS:
            return value
        if kind is dict:
            return {self._key(key): self._packable(content) for key, content in value.items()}
        if kind is list:
            return [self._packable(element) for element in value]
        if kind is Timestamp:
            return self._time(value)
        if kind is Extension:
            return self._ext(value.code, value.data)
        return self._rare(value)

    def _key(self, key: object) -> object:
        """Most types that msgspec writes cannot be keys in Python, and of 1 and true only one can."""
        return key if key.__class__ is str else _Key(self._packable(key))

    def _rare(self, value: object) -> object:
        if isinstance(value, UInt):
            return int(value)
        if isinstance(value, Mapping):
            return {self._key(key): self._packable(content) for key, content in value.items()}
        if isinstance(value, tuple):  # a list that is a key
            return [self._packable(element) for element in value]
        if isinstance(value, Optional):
            return self._packable(value.content) if value.present else None
        if isinstance(value, Duration | Type | Opaque):
            return str(value)
        raise CelError(f"MessagePack has nothing for {a_type(value)}")

    def _time(self, time: Timestamp) -> object:
        seconds, nanos = time.seconds, time.nanos
        if self._event_time and 0 <= seconds < 1 << 32:
            return self._ext(EVENT_TIME, (seconds << 32 | nanos).to_bytes(8))
        if 0 <= seconds < 1 << 34:
            short = nanos == 0 and seconds < 1 << 32
            return self._ext(TIMESTAMP, seconds.to_bytes(4) if short else (nanos << 34 | seconds).to_bytes(8))
        return self._ext(TIMESTAMP, nanos.to_bytes(4) + seconds.to_bytes(8, signed=True))


_AS_IT_IS: Final = frozenset({str, int, float, bool, bytes, type(None)})
