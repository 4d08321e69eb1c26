"""The fields that expressions of a flow can read: those that its contract names, and those that records were seen to
have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct, field

from router.config import Configuration
from router.sampling import Sampled
from rules.cel.errors import CelError
from rules.flow import EachItem, Flow, Marked
from rules.inference import type_of_contract
from rules.inference.kinds import Kind, Type, of_value
from rules.meta import meta_of
from rules.sensitive import HIDDEN, Sensitive, sensitive_of

MOST: Final = 1_000
"""So many fields are told."""
_DEEPEST: Final = 8
_LIKELY: Final = 5
"""Something that may be of more kinds than this may be anything."""
_LOOKED_AT: Final = 50
_ELEMENTS: Final = 20
_LONGEST_NAME: Final = 200


class Field(Struct):
    """A field: of what kinds it is, where that is known; by what it is known (``contract``, ``traffic``, ``let``,
    ``vars``); and, where the contract says so, the only values that it can have."""

    path: Marked
    types: set[str] = field(default_factory=set)
    known_by: set[str] = field(default_factory=set)
    enum: list[object] = field(default_factory=list)
    sensitive: bool = False


def fields_of(configuration: Configuration, flow: Flow, samples: Iterable[Sampled]) -> list[Field]:
    """The fields of a flow's records, in the order of the contract and then of the records, and the names that its
    expressions know besides. Takes a millisecond for each of some samples. What is below something sensitive is not
    told: names can be data."""
    gathering = _Gathering(sensitive_of(flow))
    formats = {configuration.sources[name].decode for name, _ in flow.sources}
    gathering.take(("event",), type_of_contract(flow.contract, formats, configuration.models), "contract")
    for sampled in list(samples)[-_LOOKED_AT:]:
        for name, value in _seen(sampled):
            gathering.take((name,), of_value(value), "traffic")
    gathering.take(("vars",), of_value(dict(configuration.vars)), "vars")
    for name in flow.lets:
        gathering.take((name,), Type(None), "let")
    return list(gathering.found.values())


def _seen(sampled: Sampled) -> Iterator[tuple[str, object]]:
    batch = sampled.batch
    known = meta_of(batch, 0, sampled.source)
    yield "meta", {name: value for name, value in known.items() if name != "raw"}
    if sampled.is_whole and not batch.spoiled:
        try:
            yield "event", _trimmed(sampled.decode.codec.decode_at(batch, 0))
        except (ValueError, RecursionError, CelError):
            return


def _trimmed(value: object) -> object:
    """The same with the first elements of each list alone."""
    if isinstance(value, Mapping):
        return {name: _trimmed(inner) for name, inner in value.items()}
    return [_trimmed(inner) for inner in value[:_ELEMENTS]] if isinstance(value, list) else value


class _Gathering:
    def __init__(self, sensitive: Sensitive) -> None:
        self.found: dict[Marked, Field] = {}
        self._sensitive = sensitive

    def take(self, path: Marked, known: Type, by: str) -> None:
        """A value at a path has this type, and so has what is below it."""
        if not self._add(path, known, by) or known.parts is None or len(path) > _DEEPEST:
            return
        if "map" in known.parts:
            for name, inner in known.map.fields.items():
                if len(name) <= _LONGEST_NAME:
                    self.take((*path, name), inner, by)
        if "list" in known.parts and not known.element.is_dynamic:
            self.take((*path, EachItem()), known.element, by)

    def _add(self, path: Marked, known: Type, by: str) -> bool:
        """Whether what is below is to be taken, too."""
        if path not in self.found and len(self.found) >= MOST:
            return False
        is_hidden = self._sensitive.redacted(None, path) is HIDDEN
        found = self.found.setdefault(path, Field(path, sensitive=is_hidden))
        found.known_by.add(by)
        if known.parts is not None and len(known.kinds) <= _LIKELY:
            found.types |= known.kinds
        if by == "contract" and known.parts is not None and not is_hidden:
            found.enum = [value for kind in sorted(known.kinds) for value in _values(known, kind)]
        return not is_hidden


def _values(known: Type, kind: Kind) -> list[object]:
    values = known.scalar(kind).values if kind in ("string", "int", "double") else None
    return sorted(values or (), key=str)
