"""Messages to events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor as Fd
from google.protobuf.message import DecodeError

from rules.cel.errors import CelError
from rules.cel.temporal import Duration, Timestamp
from rules.codecs.format import Decode
from rules.codecs.protobuf.wire import find_fault

Convert = Callable[[Any], object]

NULL: Final = "google.protobuf.NullValue"
WRAPPERS: Final = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
ANY: Final = "google.protobuf.Any"


def reader(cls: Any, pool: Any, *, proto_names: bool, defaults: bool) -> Decode:
    """What reads messages of a class; it raises ValueError, which says why, and where as far as that can be told."""
    convert = _Converters(pool, proto_names=proto_names, defaults=defaults).of(cls.DESCRIPTOR)
    parse = cls.FromString

    def decode(payload: bytes) -> object:
        try:
            message = parse(payload)
        except DecodeError as error:
            why = find_fault(cls.DESCRIPTOR, payload) or str(error).rpartition(": ")[2]
            raise ValueError(f"not a message {cls.DESCRIPTOR.full_name}: {why}") from error
        try:
            return convert(message)
        except (ValueError, CelError, RecursionError) as error:
            why = find_fault(cls.DESCRIPTOR, payload) or str(error)
            raise ValueError(f"not a message {cls.DESCRIPTOR.full_name}: {why}") from error

    return decode


class _Converters:
    """Makes what turns messages into events, of each type once."""

    def __init__(self, pool: Any, *, proto_names: bool, defaults: bool) -> None:
        self._pool = pool
        self._proto_names = proto_names
        self._defaults = defaults
        self._made: dict[str, Convert] = {**_WELL_KNOWN, ANY: self._any}

    def of(self, descriptor: Any) -> Convert:
        """What turns messages of a type into events; it raises ValueError or CelError."""
        if descriptor.full_name in self._made:
            return self._made[descriptor.full_name]
        table: dict[int, tuple[str, Convert | None]] = {}
        defaults: list[tuple[str, Callable[[], object]]] = []

        def convert(message: Any) -> object:
            event: dict[str, object] = {}
            for field, value in message.ListFields():
                known = table.get(field.number)
                if known is None:  # an extension
                    known = table[field.number] = f"[{field.full_name}]", self._value(field)
                name, inner = known
                event[name] = value if inner is None else inner(value)
            for name, default in defaults:
                if name not in event:
                    event[name] = default()
            return event

        self._made[descriptor.full_name] = convert
        for field in descriptor.fields:
            name = field.name if self._proto_names else field.json_name
            table[field.number] = name, self._value(field)
            if self._defaults and not field.has_presence:
                defaults.append((name, self._default(field)))
        return convert

    def _value(self, field: Any) -> Convert | None:
        """What turns the value of a field into an event's; None for one that is what it is."""
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return self._map(field)
        one = self._one(field)
        if not field.is_repeated:
            return one
        return list if one is None else lambda values: [one(value) for value in values]

    def _one(self, field: Any) -> Convert | None:
        if field.message_type is not None:
            return self.of(field.message_type)
        if field.enum_type is None:
            return None
        if field.enum_type.full_name == NULL:
            return lambda _: None
        names = {value.number: value.name for value in reversed(field.enum_type.values)}
        return lambda number: names.get(number, number)

    def _map(self, field: Any) -> Convert:
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        text, one = _key_text(key), self._one(value)

        def convert(entries: Any) -> object:
            if one is None:
                return {text(name): entries[name] for name in sorted(entries)}
            return {text(name): one(entries[name]) for name in sorted(entries)}

        return convert

    def _default(self, field: Any) -> Callable[[], object]:
        if field.is_repeated:
            is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
            return dict if is_map else list
        one = self._one(field)
        value = field.default_value if one is None else one(field.default_value)
        return lambda: value

    def _any(self, message: Any) -> object:
        url = message.type_url
        try:
            descriptor = self._pool.FindMessageTypeByName(url.rpartition("/")[2])
        except KeyError:
            return {"@type": url, "value": message.value}
        try:
            inner = message_factory.GetMessageClass(descriptor).FromString(message.value)
        except DecodeError as error:
            raise ValueError(f"what an Any holds is no {descriptor.full_name}") from error
        event = self.of(descriptor)(inner)
        if isinstance(event, dict) and descriptor.full_name not in self._well_known:
            return {"@type": url, **event}
        return {"@type": url, "value": event}

    @property
    def _well_known(self) -> frozenset[str]:
        return frozenset({*_WELL_KNOWN, ANY})


def _key_text(field: Any) -> Callable[[Any], str]:
    if field.type == Fd.TYPE_BOOL:
        return lambda key: "true" if key else "false"
    return str


def _timestamp(message: Any) -> object:
    return Timestamp(message.seconds, message.nanos)


def _duration(message: Any) -> object:
    return Duration(message.seconds, message.nanos)


def _wrapped(message: Any) -> object:
    return message.value


def _struct(message: Any) -> object:
    return {name: _any_value(message.fields[name]) for name in sorted(message.fields)}


def _list(message: Any) -> object:
    return [_any_value(value) for value in message.values]


def _any_value(message: Any) -> object:
    match message.WhichOneof("kind"):
        case "struct_value":
            return _struct(message.struct_value)
        case "list_value":
            return _list(message.list_value)
        case None | "null_value":
            return None
        case kind:
            value: object = getattr(message, kind)
            return value


_WELL_KNOWN: Final[Mapping[str, Convert]] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.Struct": _struct,
    "google.protobuf.Value": _any_value,
    "google.protobuf.ListValue": _list,
    **dict.fromkeys(WRAPPERS, _wrapped),
}
