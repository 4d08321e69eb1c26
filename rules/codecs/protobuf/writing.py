"""Events to messages."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor as Fd
from google.protobuf.message import EncodeError

from rules.cel.errors import CelError
from rules.cel.temporal import Duration, Timestamp
from rules.cel.values import Opaque, Optional, a_type
from rules.cel.values import Type as CelType
from rules.codecs.protobuf.reading import ANY, NULL, WRAPPERS

Fill = Callable[[Any, Any], None]
"""Sets in a message what a value says. Raises Unfit."""
Scalar = Callable[[Any], object]

VALUE: Final = "google.protobuf.Value"
_INTEGERS: Final = frozenset(
    {
        *(Fd.TYPE_INT32, Fd.TYPE_INT64, Fd.TYPE_UINT32, Fd.TYPE_UINT64, Fd.TYPE_SINT32, Fd.TYPE_SINT64),
        *(Fd.TYPE_FIXED32, Fd.TYPE_FIXED64, Fd.TYPE_SFIXED32, Fd.TYPE_SFIXED64),
    }
)
_TEXTS: Final = (Timestamp, Duration, CelType, Opaque)
_NUMBERS: Final = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_LARGEST_FLOAT: Final = 3.4028235677973366e38  # what is rounded to the largest one that 32 bits hold


class Unfit(Exception):
    """A value that has no form in its field; ``path`` leads to it, innermost first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str] = []


def writer(cls: Any, pool: Any, *, drops: bool) -> Callable[[object], bytes]:
    """What writes events as messages of a class; it raises CelError. ``drops``: unknown fields are left out."""
    fill = _Fillers(pool, drops=drops).of(cls.DESCRIPTOR)
    name = cls.DESCRIPTOR.full_name

    def encode(value: object) -> bytes:
        message = cls()
        try:
            fill(message, _content(value))
            data: bytes = message.SerializeToString(deterministic=True)
            return data
        except Unfit as error:
            where = "event" + "".join(reversed(error.path))
            raise CelError(f"it cannot be written as {name}: {where}: {error}") from error
        except EncodeError as error:
            raise CelError(f"it cannot be written as {name}: {error}") from error
        except RecursionError as error:
            raise CelError(f"it cannot be written as {name}: it nests too deeply") from error

    return encode


class _Fillers:
    """Makes what sets messages, of each type once."""

    def __init__(self, pool: Any, *, drops: bool) -> None:
        self._pool = pool
        self._drops = drops
        self._made: dict[str, Fill] = {**_WELL_KNOWN, ANY: self._any}

    def of(self, descriptor: Any) -> Fill:
        """What sets messages of a type."""
        if descriptor.full_name in self._made:
            return self._made[descriptor.full_name]
        if descriptor.full_name in WRAPPERS:
            return self._made.setdefault(descriptor.full_name, _wrapper(descriptor))
        setters: dict[str, tuple[Fill, str]] = {}
        self._made[descriptor.full_name] = fill = self._filler(descriptor, setters)
        for field in descriptor.fields:
            oneof = field.containing_oneof
            # What `optional` makes has one field, and is nobody's choice.
            choice = oneof.name if oneof is not None and len(oneof.fields) > 1 else ""
            setters[field.name] = setters[field.json_name] = self._setter(field), choice
        return fill

    def _filler(self, descriptor: Any, setters: Mapping[str, tuple[Fill, str]]) -> Fill:
        drops, type_ = self._drops, descriptor.full_name

        def fill(message: Any, value: Any) -> None:
            if not isinstance(value, Mapping):
                raise Unfit(f"{a_type(value)} is not a message {type_}")
            chosen: dict[str, str] = {}
            name: object = ""
            try:
                for name, own in value.items():
                    known = setters.get(name)  # type: ignore[call-overload]  # whatever a key is
                    if known is None:
                        if drops:
                            continue
                        raise Unfit(f"{type_} has no such field")
                    set_field, choice = known
                    content = _content(own)
                    if choice and content is not None:
                        if choice in chosen:
                            raise Unfit(f"{chosen[choice]} is set as well, and of `{choice}` only one can be")
                        chosen[choice] = str(name)
                    set_field(message, content)
            except Unfit as error:
                error.path.append(f".{name}")
                raise

        return fill

    def _setter(self, field: Any) -> Fill:
        """What sets a field to a value; null leaves it unset."""
        name = field.name
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return _unless_null(self._map(field))
        if field.is_repeated:
            return _unless_null(self._repeated(field))
        if field.message_type is not None:
            fill = self.of(field.message_type)

            def set_message(message: Any, value: Any) -> None:
                inner = getattr(message, name)
                inner.SetInParent()
                fill(inner, value)

            return set_message if field.message_type.full_name == VALUE else _unless_null(set_message)
        scalar, what = _scalar(field), _name_of(field)

        def set_scalar(message: Any, value: Any) -> None:
            try:
                setattr(message, name, scalar(value))
            except (TypeError, ValueError, OverflowError) as error:
                raise Unfit(_misfit(value, what)) from error

        return set_scalar if _is_null(field) else _unless_null(set_scalar)

    def _repeated(self, field: Any) -> Fill:
        name, what = field.name, _name_of(field)
        fill = None if field.message_type is None else self.of(field.message_type)
        scalar = None if fill is not None else _scalar(field)

        def set_repeated(message: Any, value: Any) -> None:
            if not isinstance(value, list):
                raise Unfit(f"{a_type(value)} is not a list")
            container, index = getattr(message, name), 0
            try:
                for item in value:
                    content = _content(item)
                    if fill is not None:
                        fill(container.add(), content)
                    elif scalar is not None:
                        _append(container, scalar, content, what)
                    index += 1
            except Unfit as error:
                error.path.append(f"[{index}]")
                raise

        return set_repeated

    def _map(self, field: Any) -> Fill:
        name = field.name
        key_field, value_field = (field.message_type.fields_by_name[part] for part in ("key", "value"))
        key = _key(key_field)
        fill = None if value_field.message_type is None else self.of(value_field.message_type)
        scalar = None if fill is not None else _scalar(value_field)
        what = _name_of(value_field)

        def set_map(message: Any, value: Any) -> None:
            if not isinstance(value, Mapping):
                raise Unfit(f"{a_type(value)} is not a map")
            container = getattr(message, name)
            for own, item in value.items():
                try:
                    content = _content(item)
                    if fill is not None:
                        fill(container[key(own)], content)
                    elif scalar is not None:
                        _put(container, key(own), scalar, content, what)
                except Unfit as error:
                    error.path.append(f"[{own!r}]")
                    raise

        return set_map

    def _any(self, message: Any, value: Any) -> None:
        url = value.get("@type") if isinstance(value, Mapping) else None
        if not isinstance(url, str):
            raise Unfit("an Any is a map with `@type`, the URL of its type")
        rest = {name: own for name, own in value.items() if name != "@type"}
        message.type_url = url
        try:
            descriptor = self._pool.FindMessageTypeByName(url.rpartition("/")[2])
        except KeyError:
            if not isinstance(rest.get("value"), bytes | str):
                raise Unfit(f"the type {url} is not known, so that `value` should be its bytes") from None
            message.value = _bytes(rest["value"])
            return
        inner = message_factory.GetMessageClass(descriptor)()
        is_special = descriptor.full_name in {*_WELL_KNOWN, *WRAPPERS, ANY}
        self.of(descriptor)(inner, _content(rest.get("value")) if is_special else rest)
        message.value = inner.SerializeToString(deterministic=True)


def _unless_null(fill: Fill) -> Fill:
    def set_unless_null(message: Any, value: Any) -> None:
        if value is not None:
            fill(message, value)

    return set_unless_null


def _append(container: Any, scalar: Scalar, value: Any, what: str) -> None:
    try:
        container.append(scalar(value))
    except (TypeError, ValueError, OverflowError) as error:
        raise Unfit(_misfit(value, what)) from error


def _put(container: Any, key: object, scalar: Scalar, value: Any, what: str) -> None:
    try:
        container[key] = scalar(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Unfit(_misfit(value, what)) from error


def _misfit(value: object, what: str) -> str:
    article = "an" if what[0] in "aeiou" else "a"
    if isinstance(value, int | float) and not isinstance(value, bool) and what not in ("string", "bytes", "bool"):
        return f"the number is not {article} {what}"
    return f"{a_type(value)} is not {article} {what}" if value is not None else f"null is not {article} {what}"


# Scalars


def _scalar(field: Any) -> Scalar:
    """What makes a field's value of an event's. Raises TypeError, ValueError, OverflowError."""
    if field.enum_type is not None:
        return _enum(field.enum_type)
    if field.type in _INTEGERS:
        return _integer
    return _SCALARS[field.type]


def _name_of(field: Any) -> str:
    if field.enum_type is not None:
        return f"value of {field.enum_type.full_name}"
    return _NAMES.get(field.type, "message")


def _is_null(field: Any) -> bool:
    return field.enum_type is not None and field.enum_type.full_name == NULL


def _integer(value: Any) -> object:
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isascii() and len(value) <= 20:
        return int(value)
    raise TypeError


def _double(value: Any) -> object:
    if isinstance(value, str):
        return _NUMBERS[value] if value in _NUMBERS else float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)


def _float(value: Any) -> object:
    number = _double(value)
    assert isinstance(number, float)  # noqa: S101 - it is one
    if _LARGEST_FLOAT <= abs(number) < float("inf"):
        raise OverflowError
    return number


def _bool(value: Any) -> object:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _string(value: Any) -> object:
    if isinstance(value, _TEXTS):
        return str(value)
    if not isinstance(value, str):
        raise TypeError
    value.encode()
    return value


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise TypeError
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unfit("text in a field of bytes should be base64; `bytes(...)` makes bytes of any text") from error


def _enum(type_: Any) -> Scalar:
    numbers = {value.name: value.number for value in type_.values}
    known = frozenset(numbers.values())

    def convert(value: Any) -> object:
        if value is None and type_.full_name == NULL:
            return 0
        if isinstance(value, str):
            if value not in numbers:
                raise ValueError
            return numbers[value]
        number = _integer(value)
        if type_.is_closed and number not in known:
            raise ValueError
        return number

    return convert


def _key(field: Any) -> Scalar:
    what = _name_of(field)

    def convert(value: Any) -> object:
        try:
            if field.type == Fd.TYPE_STRING:
                return _string(value)
            if field.type == Fd.TYPE_BOOL:
                return {"true": True, "false": False, True: True, False: False}[value]
            return _integer(value)
        except (TypeError, ValueError, KeyError) as error:
            raise Unfit(f"the key is not {'an' if what[0] in 'aeiou' else 'a'} {what}") from error

    return convert


_SCALARS: Final[Mapping[int, Scalar]] = {
    Fd.TYPE_DOUBLE: _double,
    Fd.TYPE_FLOAT: _float,
    Fd.TYPE_BOOL: _bool,
    Fd.TYPE_STRING: _string,
    Fd.TYPE_BYTES: _bytes,
}
_NAMES: Final[Mapping[int, str]] = {
    getattr(Fd, f"TYPE_{kind.upper()}"): kind
    for kind in (
        *("int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64"),
        *("double", "float", "bool", "string", "bytes"),
    )
}


# Well-known types


def _content(value: object) -> Any:
    """The value of an optional, or null; any other value as it is."""
    if isinstance(value, Optional):
        return value.content if value.present else None
    return value


def _moment(cls: type[Timestamp | Duration], what: str) -> Fill:
    def fill(message: Any, value: Any) -> None:
        if isinstance(value, str):
            try:
                value = cls.parse(value)
            except CelError as error:
                raise Unfit(str(error)) from error
        if not isinstance(value, cls):
            raise Unfit(f"{a_type(value)} is not {what}")
        message.seconds, message.nanos = value.seconds, value.nanos

    return fill


def _wrapper(descriptor: Any) -> Fill:
    field = descriptor.fields_by_name["value"]
    scalar, what = _scalar(field), _name_of(field)

    def fill(message: Any, value: Any) -> None:
        try:
            message.value = scalar(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise Unfit(_misfit(value, what)) from error

    return fill


def _fill_value(message: Any, value: Any) -> None:
    value = _content(value)
    if value is None:
        message.null_value = 0
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, int | float):
        try:
            message.number_value = float(value)
        except OverflowError as error:
            raise Unfit("the number is not a double") from error
    elif isinstance(value, Mapping):
        message.struct_value.SetInParent()
        _fill_struct(message.struct_value, value)
    elif isinstance(value, list):
        message.list_value.SetInParent()
        _fill_list(message.list_value, value)
    else:
        text = base64.b64encode(value).decode() if isinstance(value, bytes) else value
        try:
            message.string_value = _string(text)
        except (TypeError, ValueError) as error:
            raise Unfit(_misfit(value, "string")) from error


def _fill_struct(message: Any, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise Unfit(f"{a_type(value)} is not a map")
    for name, own in value.items():
        try:
            if not isinstance(name, str):
                raise Unfit("the key is not a string")
            _fill_value(message.fields[name], own)
        except Unfit as error:
            error.path.append(f"[{name!r}]")
            raise


def _fill_list(message: Any, value: Any) -> None:
    if not isinstance(value, list):
        raise Unfit(f"{a_type(value)} is not a list")
    for index, own in enumerate(value):
        try:
            _fill_value(message.values.add(), own)
        except Unfit as error:
            error.path.append(f"[{index}]")
            raise


_WELL_KNOWN: Final[Mapping[str, Fill]] = {
    "google.protobuf.Timestamp": _moment(Timestamp, "a timestamp"),
    "google.protobuf.Duration": _moment(Duration, "a duration"),
    "google.protobuf.Struct": _fill_struct,
    VALUE: _fill_value,
    "google.protobuf.ListValue": _fill_list,
}
