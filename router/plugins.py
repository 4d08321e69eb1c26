"""Connectors that are installed, found by entry point and imported when they are asked for.

The groups are ``sluiceway.sources`` and ``sluiceway.sinks``; an entry point's name is the connector's ``type``.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from msgspec import Struct

from router.errors import SluicewayError
from router.settings import Settings

Kind = Literal["source", "sink"]
Class = type[Any]


class UnknownConnector(SluicewayError):
    """No connector of that type is installed."""


class BrokenConnector(SluicewayError):
    """A connector is installed and cannot be used: it fails to import, or is not what its entry point says."""


class Installed(Struct, frozen=True):
    """A connector that is installed."""

    kind: Kind
    type: str
    entry: EntryPoint

    def load(self) -> Class:
        """The class, imported now. Raises BrokenConnector."""
        try:
            loaded = self.entry.load()
        except ModuleNotFoundError as error:
            raise BrokenConnector(f"{self.kind} {self.type} needs {error.name}, which is not installed") from error
        except Exception as error:
            # Whatever a connector's module raises, it must not take the daemon with it.
            raise BrokenConnector(f"{self.kind} {self.type} cannot be imported: {error}") from error
        config = getattr(loaded, "Config", None)
        if not (isinstance(loaded, type) and isinstance(config, type) and issubclass(config, Settings)):
            raise BrokenConnector(f"{self.kind} {self.type} has no Config that is a subclass of router.Settings")
        return loaded


def installed() -> tuple[Installed, ...]:
    """Every connector, sources first, each kind by type. Imports none of them."""
    return (*_installed("source").values(), *_installed("sink").values())


def types(kind: Kind) -> tuple[str, ...]:
    """The types of the connectors of one kind."""
    return tuple(_installed(kind))


def source_class(type: str) -> Class:  # noqa: A002 - the word of the configuration
    """The source of a type. Raises UnknownConnector, BrokenConnector."""
    return connector_class("source", type)


def sink_class(type: str) -> Class:  # noqa: A002 - the word of the configuration
    """The sink of a type. Raises UnknownConnector, BrokenConnector."""
    return connector_class("sink", type)


def connector_class(kind: Kind, type: str) -> Class:  # noqa: A002 - the word of the configuration
    """The connector of a kind and type. Raises UnknownConnector, BrokenConnector."""
    found = _installed(kind).get(type)
    if found is None:
        raise UnknownConnector(f"no {kind} of type {type} is installed")
    return found.load()


@cache
def _installed(kind: Kind) -> dict[str, Installed]:
    found = entry_points(group=f"sluiceway.{kind}s")
    return {entry.name: Installed(kind, entry.name, entry) for entry in sorted(found, key=lambda entry: entry.name)}
