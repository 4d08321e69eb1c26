"""The types of a descriptor set."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from rules.suggest import did_you_mean

_WELL_KNOWN: Final = "google/protobuf/"


def message_class(content: bytes, name: str, message: str) -> tuple[Any, Any]:
    """The class of a message, and the pool of all types of a descriptor set. ``name`` is that of its file.

    Raises ValueError for what is no descriptor set, lacks what it imports, or does not have the message.
    """
    try:
        found = descriptor_pb2.FileDescriptorSet.FromString(content)
    except DecodeError as error:
        raise ValueError(f"{name} is no descriptor set: should be made by protoc --descriptor_set_out") from error
    files = {file.name: file for file in found.file}
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()
    try:
        for file in found.file:
            _add(pool, file.name, files, added, name)
        descriptor = pool.FindMessageTypeByName(message)
    except KeyError as error:
        known = sorted(_messages(found))
        hint = did_you_mean(message, known)
        raise ValueError(f"{name} has no message {message}; {hint or 'it has none'}") from error
    except TypeError as error:
        raise ValueError(f"{name} is no descriptor set that holds together: {error}") from error
    return message_factory.GetMessageClass(descriptor), pool


def _add(pool: Any, file: str, files: dict[str, Any], added: set[str], name: str) -> None:
    """Add a file after what it imports."""
    if file in added:
        return
    added.add(file)
    found = files.get(file) or _well_known(file)
    if found is None:
        raise ValueError(f"{name} lacks {file}, which it imports: should be made with protoc --include_imports")
    for imported in found.dependency:
        _add(pool, imported, files, added, name)
    pool.Add(found)


def _well_known(file: str) -> Any:
    """A file that the library brings along."""
    if not file.startswith(_WELL_KNOWN):
        return None
    from google.protobuf import (  # noqa: F401 - importing them makes them known
        any_pb2,
        duration_pb2,
        empty_pb2,
        field_mask_pb2,
        struct_pb2,
        timestamp_pb2,
        wrappers_pb2,
    )

    try:
        known = descriptor_pool.Default().FindFileByName(file)
    except KeyError:
        return None
    copy = descriptor_pb2.FileDescriptorProto()
    known.CopyToProto(copy)
    return copy


def _messages(found: Any) -> list[str]:
    names: list[str] = []

    def add(prefix: str, messages: Any) -> None:
        for message in messages:
            names.append(f"{prefix}{message.name}")
            add(f"{prefix}{message.name}.", message.nested_type)

    for file in found.file:
        add(f"{file.package}." if file.package else "", file.message_type)
    return names
