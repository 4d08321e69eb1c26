"""Secrets that stand in a file as they are, in place of ``${env:NAME}``: a text of the file without them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final, get_args

from pydantic import BaseModel, SecretStr

from router.config.model import KEYS, Http, SinkCommon, SourceCommon
from router.config.secrets import MASK
from router.errors import SluicewayError
from router.plugins import Kind, connector_class
from router.tables.settings import TABLES
from rules.document import Node, load

_SHORTEST: Final = 4
"""Shorter ones are part of every other word."""


class Unreadable(ValueError):
    """It cannot be told where in a text secrets stand."""


def without_secrets(text: bytes, file: str) -> str:
    """The text of a daemon's file with ``***`` in the place of each secret that is written there as it is. Raises
    Unreadable."""
    document, faults = load(text, file, KEYS)
    if document is None or faults or not isinstance(document.data, dict):
        raise Unreadable("it is no YAML that could be read, so that it cannot be told where secrets stand in it")
    found = [node for node in secrets_in(document.root) if "${" not in str(node.data)]
    shown = text.decode()
    for node in sorted(found, key=lambda node: -node.start):
        if shown[node.start : node.end] != node.source:
            raise Unreadable("it holds a secret whose place cannot be told")
        shown = shown[: node.start] + MASK + shown[node.end :]
    for node in found:  # an anchor, or a comment, may have it, too
        if len(str(node.data)) >= _SHORTEST and str(node.data) in shown:
            raise Unreadable("it holds a secret in several places")
    return shown


def secrets_in(root: Node) -> Iterator[Node]:
    """Every value of a daemon's file that is a secret. Raises Unreadable."""
    for key, (_, part) in root.entries.items():
        if key == "secrets":
            yield from _below(part, frozenset(), is_secret=True)
        elif key == "http":
            yield from _below(part, _secret_names((Http,)), is_secret=False)
        elif key == "tables":
            yield from _below(part, _secret_names(tuple(TABLES.values())), is_secret=False)
        elif key in ("sources", "sinks", "connections"):
            for _, entry in part.entries.values():
                yield from _below(entry, _secret_names(tuple(_settings_of(_type_of(entry, root)))), is_secret=False)
        elif key == "defaults":
            yield from _below(part, _secret_names((SourceCommon, SinkCommon)), is_secret=False)


def _below(node: Node, names: frozenset[str], *, is_secret: bool) -> Iterator[Node]:
    if isinstance(node.data, dict | list):
        for name, (_, value) in node.entries.items():
            yield from _below(value, names, is_secret=is_secret or name in names)
        for item in node.items:
            yield from _below(item, names, is_secret=is_secret)
    elif is_secret and node.data is not None:
        yield node


def _type_of(entry: Node, root: Node) -> str | None:
    """The type that an entry says, or its connection does; None where another file says it."""
    own, use = entry.child("type"), entry.child("use")
    connections = root.child("connections")
    used = None if use is None or connections is None else connections.child(str(use.data))
    type_ = own or (None if used is None else used.child("type"))
    return None if type_ is None else str(type_.data)


def _settings_of(type_: str | None) -> Iterator[type[BaseModel]]:
    """The settings of connectors of a type. Raises Unreadable where there are none."""
    found = 0
    for kind in get_args(Kind):
        try:
            yield connector_class(kind, type_ or "").Config
            found += 1
        except SluicewayError:
            continue
    if not found:
        what = "an entry without a type" if type_ is None else f"no connector {type_!r} that could be had"
        raise Unreadable(f"there is {what}, so that it cannot be told where secrets stand in it")


@cache
def _secret_names(models: tuple[type[BaseModel], ...]) -> frozenset[str]:
    """The names of all settings that are secrets, wherever they stand."""
    found: set[str] = set()
    waiting, seen = list(models), set[type]()
    while waiting:
        model = waiting.pop()
        if model in seen:
            continue
        seen.add(model)
        for name, field in model.model_fields.items():
            types = set(_types(field.annotation))
            if SecretStr in types:
                found |= {name, field.alias or name}
            waiting += [type_ for type_ in types if isinstance(type_, type) and issubclass(type_, BaseModel)]
    return frozenset(found)


def _types(annotation: Any) -> Iterator[Any]:
    """Every type that an annotation names."""
    inner = get_args(annotation)
    if not inner:
        yield annotation
    for each in inner:
        yield from _types(each)
