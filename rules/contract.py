"""The contract of a flow as far as it is not written in CEL: a JSON Schema, or a registered pydantic model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from msgspec import Struct

from rules.cel.errors import CelError
from rules.cel.output import to_json
from rules.cel.temporal import Duration, Timestamp
from rules.codecs import Format
from rules.contract_types import ContractTypes

_SHOWN: Final = 20
_MESSAGE: Final = 300
_FIELDS: Final = 5


class Violation(Struct, frozen=True):
    """One way in which a record breaks its contract.

    ``check`` names what was broken, and comes from the contract alone, never from the record: the path of a keyword in
    the schema (``schema/properties/amount/minimum``), the kind of a model's error (``model/missing``), or the name of
    an ``expect``. ``place`` is where in the record, as a JSON pointer (RFC 6901), or of an ``expect`` one for each
    field that it reads; empty for the record as a whole.
    """

    check: str
    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.check}{' at ' + self.place if self.place else ''}: {self.message}"


def describe(violations: Sequence[Violation]) -> str:
    """All of a record's violations as one text, cut where there are very many."""
    shown = "; ".join(map(str, violations[:_SHOWN]))
    rest = len(violations) - _SHOWN
    return f"{shown}; and {rest} more" if rest > 0 else shown


Validate = Callable[[object, bytes], list[Violation]]
"""All violations of an event, which was decoded from these bytes."""


class Validator(Struct, frozen=True):
    """``holds`` is the fast answer, ``violations`` the full one, for an event and the payload it was decoded from.

    ``holds`` may raise anything for an event that the library cannot read; ``violations`` says so as a violation.
    ``types`` hold a record to the contract while it is decoded, where the contract has such and records are JSON.
    """

    holds: Callable[[object, bytes], bool]
    violations: Validate
    types: ContractTypes | None = None


def schema_validator(schema: Mapping[str, object] | bool, *, plain: bool = True, json: bool = False) -> Validator:
    """A validator of a JSON Schema; draft 2020-12 unless ``$schema`` says otherwise. No reference is ever fetched.

    Events that may not be ``plain`` are validated as the JSON that they would be: times and bytes are texts in it.
    For payloads that are ``json`` the validator has ``types``.

    Raises ValueError for a schema that is not valid, with its reason.
    """
    found = _from_library(schema)

    def violations(event: object, _: bytes) -> list[Violation]:
        try:
            return [
                _violation("schema", error.schema_path, error.instance_path, error.message)
                for error in found.iter_errors(event if plain else to_json(event))
            ]
        except (ValueError, RecursionError, CelError) as error:
            return [Violation("schema", "", _cut(f"it cannot be checked: {error}"))]

    if plain:
        types = ContractTypes(schema, lambda part: _from_library(part).is_valid) if json else None
        return Validator(lambda event, _: found.is_valid(event), violations, types)
    return Validator(lambda event, _: found.is_valid(to_json(event)), violations)


def _from_library(schema: Mapping[str, object] | bool) -> Any:
    import jsonschema_rs

    def refuse(uri: str) -> Any:
        raise ValueError(f"{uri} is not in the schema, and nothing is fetched: put it under $defs")

    try:
        return jsonschema_rs.validator_for(schema if isinstance(schema, bool) else dict(schema), retriever=refuse)
    except ValueError as error:
        raise ValueError(getattr(error, "message", str(error))) from error


def model_validator(model: Any, decode: Format) -> Validator:
    """A validator of a pydantic model, or of any type that pydantic takes. The event itself is not changed by it.

    JSON is validated from the payload, by pydantic's rules for JSON; other formats as the decoded event, in which a
    timestamp is a ``datetime`` and a duration a ``timedelta``.
    """
    import pydantic

    adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(model)
    plain = decode.codec.decodes_plain

    def check(event: object, raw: bytes) -> None:
        if decode.type == "json":
            adapter.validate_json(raw)
        else:
            adapter.validate_python(event if plain else _in_python(event))

    def holds(event: object, raw: bytes) -> bool:
        try:
            check(event, raw)
        except pydantic.ValidationError:
            return False
        return True

    def violations(event: object, raw: bytes) -> list[Violation]:
        try:
            check(event, raw)
        except pydantic.ValidationError as error:
            details = error.errors(include_url=False, include_context=False, include_input=False)
            return [_violation("model", (detail["type"],), detail["loc"], detail["msg"]) for detail in details]
        except Exception as error:  # noqa: BLE001 - a model's own validators may raise anything
            return [Violation("model", "", _cut(f"it cannot be checked: {type(error).__name__}: {error}"))]
        return []

    return Validator(holds, violations)


def _in_python(value: object) -> object:
    """A value of CEL as Python has it."""
    if isinstance(value, Mapping):
        return {key: _in_python(content) for key, content in value.items()}
    if isinstance(value, list):
        return list(map(_in_python, value))
    if isinstance(value, Timestamp):
        return value.to_datetime()
    if isinstance(value, Duration):
        return timedelta(microseconds=value.total_nanos // 1000)
    return value


def places(references: Iterable[Sequence[str]]) -> str:
    """Where the fields are that an expression reads, as JSON pointers into the record; empty for all of it."""
    pointers = sorted({_pointer(path[1:]) for path in references if path[0] == "event"} - {""})
    shown = ", ".join(map(_cut, pointers[:_FIELDS]))
    return shown + (f" and {len(pointers) - _FIELDS} more" if len(pointers) > _FIELDS else "")


def untrue(text: str) -> str:
    """The message of an ``expect`` that is false, from its text alone: what the record holds may be secret."""
    return f"{_cut(' '.join(text.split()))} is false"


def _violation(kind: str, path: Iterable[str | int], place: Iterable[str | int], message: str) -> Violation:
    return Violation(kind + _pointer(path), _pointer(place), _cut(message))


def _pointer(path: Iterable[str | int]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def _cut(message: str) -> str:
    return message if len(message) <= _MESSAGE else message[:_MESSAGE] + "..."
