"""Protobuf types built in code, and events of theirs for hypothesis."""

from __future__ import annotations

from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Fd
from hypothesis import strategies as st

from rules.cel.temporal import Duration, Timestamp
from rules.codecs import Protobuf

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
DOUBLE = st.floats(allow_nan=False)

SCALARS: dict[int, st.SearchStrategy[Any]] = {
    Fd.TYPE_DOUBLE: DOUBLE,
    Fd.TYPE_FLOAT: st.floats(width=32, allow_nan=False),
    Fd.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    Fd.TYPE_SINT64: st.integers(-(2**63), 2**63 - 1),
    Fd.TYPE_UINT32: st.integers(0, 2**32 - 1),
    Fd.TYPE_FIXED64: st.integers(0, 2**64 - 1),
    Fd.TYPE_BOOL: st.booleans(),
    Fd.TYPE_STRING: TEXT,
    Fd.TYPE_BYTES: st.binary(max_size=6),
}
IMPORTS = (any_pb2, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)


def field(name: str, number: int, type_: int | str, *, repeated: bool = False, **more: Any) -> Any:
    """A field; a type that is text is the full name of a message."""
    label = Fd.LABEL_REPEATED if repeated else Fd.LABEL_OPTIONAL
    kind: dict[str, Any] = {"type": Fd.TYPE_MESSAGE, "type_name": type_} if isinstance(type_, str) else {"type": type_}
    return Fd(name=name, number=number, label=label, **kind, **more)


def mapped(message: Any, name: str, number: int, key: int, value: int | str) -> None:
    """Add a map to a message."""
    entry = message.nested_type.add(name="".join(part.title() for part in name.split("_")) + "Entry")
    entry.field.extend([field("key", 1, key), field("value", 2, value)])
    entry.options.map_entry = True
    message.field.append(field(name, number, f".shop.v1.{message.name}.{entry.name}", repeated=True))


def order_file() -> Any:
    """A file with a message that has about everything."""
    file = descriptor_pb2.FileDescriptorProto(name="shop.proto", package="shop.v1", syntax="proto3")
    file.dependency.extend(module.DESCRIPTOR.name for module in IMPORTS)
    kind = file.enum_type.add(name="Kind")
    for name, number in (("KIND_NONE", 0), ("KIND_BIG", 1)):
        kind.value.add(name=name, number=number)
    order = file.message_type.add(name="Order")
    google = ".google.protobuf."
    order.field.extend(
        [
            field("order_id", 1, Fd.TYPE_STRING),
            field("total", 2, Fd.TYPE_INT64),
            field("kind", 3, Fd.TYPE_ENUM, type_name=".shop.v1.Kind"),
            field("made_at", 4, f"{google}Timestamp"),
            field("took", 5, f"{google}Duration"),
            field("count", 6, Fd.TYPE_INT32, proto3_optional=True, oneof_index=1),
            field("tags", 7, Fd.TYPE_STRING, repeated=True),
            field("parent", 8, ".shop.v1.Order"),
            field("parts", 9, ".shop.v1.Order", repeated=True),
            field("more", 10, f"{google}Struct"),
            field("any", 11, f"{google}Any"),
            field("limit", 12, f"{google}UInt64Value"),
            field("card", 13, Fd.TYPE_STRING, oneof_index=0),
            field("cash", 14, Fd.TYPE_BOOL, oneof_index=0),
            field("value", 15, f"{google}Value"),
            field("kinds", 16, Fd.TYPE_ENUM, type_name=".shop.v1.Kind", repeated=True),
            field("raw", 17, Fd.TYPE_BYTES),
            field("numbers", 18, Fd.TYPE_SINT32, repeated=True),
            field("doubles", 19, Fd.TYPE_DOUBLE, repeated=True),
        ]
    )
    order.oneof_decl.add(name="payment")
    order.oneof_decl.add(name="_count")
    mapped(order, "by_number", 20, Fd.TYPE_INT64, Fd.TYPE_STRING)
    mapped(order, "by_flag", 21, Fd.TYPE_BOOL, Fd.TYPE_INT32)
    mapped(order, "orders", 22, Fd.TYPE_STRING, ".shop.v1.Order")
    return file


def descriptor_set(file: Any, *, imports: bool = True) -> bytes:
    """What protoc writes, with --include_imports or without."""
    found = descriptor_pb2.FileDescriptorSet()
    for module in IMPORTS if imports else ():
        module.DESCRIPTOR.CopyToProto(found.file.add())
    found.file.append(file)
    data: bytes = found.SerializeToString()
    return data


def orders(**settings: Any) -> Protobuf:
    """The format of orders."""
    content = descriptor_set(order_file())
    return Protobuf(descriptor_set="shop.binpb", message="shop.v1.Order", **settings).loaded(lambda _: content)


JSON = st.recursive(
    st.none() | st.booleans() | DOUBLE | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
MOMENT = st.integers(-62_135_596_800 * 10**9, 253_402_300_800 * 10**9 - 1).map(Timestamp.from_nanos)
SPAN = st.integers(-(2**63), 2**63 - 1).map(Duration.from_nanos)
KIND = st.sampled_from(["KIND_BIG"]) | st.integers(2, 2**31 - 1)
ANY = (
    st.just({"@type": "type.googleapis.com/shop.v1.Order", "orderId": "in"})
    | st.builds(lambda at: {"@type": "type.googleapis.com/google.protobuf.Timestamp", "value": at}, MOMENT)
    | st.just({"@type": "of.nobody/x.Y", "value": b"\x01"})
)


def _events(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Events as they are read: what is not set is not there."""
    payment: st.SearchStrategy[dict[str, Any]] = (
        st.fixed_dictionaries({}) | st.builds(lambda card: {"card": card}, TEXT) | st.just({"cash": False})
    )
    rest = st.fixed_dictionaries(
        {},
        optional={
            "orderId": TEXT.filter(bool),
            "total": st.integers(-(2**63), 2**63 - 1).filter(bool),
            "kind": KIND,
            "madeAt": MOMENT,
            "took": SPAN,
            "count": st.integers(-3, 3),
            "tags": st.lists(TEXT, min_size=1, max_size=3),
            "parent": inner,
            "parts": st.lists(inner, min_size=1, max_size=2),
            "more": st.dictionaries(TEXT, JSON, max_size=3),
            "any": ANY,
            "limit": st.integers(0, 2**64 - 1),
            "value": JSON,
            "kinds": st.lists(KIND | st.just("KIND_NONE"), min_size=1, max_size=3),
            "raw": st.binary(min_size=1, max_size=5),
            "numbers": st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=3),
            "doubles": st.lists(DOUBLE, min_size=1, max_size=3),
            "byNumber": st.dictionaries(st.integers(-(2**63), 2**63 - 1).map(str), TEXT, min_size=1, max_size=3),
            "byFlag": st.dictionaries(st.sampled_from(["true", "false"]), st.integers(-3, 3), min_size=1),
            "orders": st.dictionaries(TEXT, inner, min_size=1, max_size=2),
        },
    )
    return st.builds(lambda one, other: {**one, **other}, rest, payment)


EVENTS = _events(st.just({}) | _events(st.just({})))
