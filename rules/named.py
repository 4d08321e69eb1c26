"""Settings that are one of several kinds, each with its own: ``csv``, or ``{type: csv, delimiter: ";"}``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union

from pydantic import BaseModel, BeforeValidator, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


def named(models: Mapping[str, type[BaseModel]], none: str = "") -> Any:
    """The type of a setting that is one of these models, told apart by their ``type``.

    In a file its name alone stands for the model with its defaults. ``none`` is a name that stands for None.
    """
    names = [*([none] if none else []), *models]
    union: Any = Annotated[Union[tuple(models.values())], Field(discriminator="type")]  # noqa: UP007 - made at run time

    def expanded(value: Any) -> Any:
        if isinstance(value, str) and value in names:
            return None if value == none else {"type": value}
        if isinstance(value, BaseModel | Mapping | None):
            return value
        mapping = "" if isinstance(value, str) else f", or a mapping such as {{type: {next(iter(models))}, ...}}"
        raise ValueError(f"should be {_listed(names)}{mapping}")

    kind: Any = Union[union, None] if none else union  # noqa: UP007 - made at run time
    return Annotated[kind, BeforeValidator(expanded), _Names(names)]


class _Names:
    """Adds the names to the JSON Schema."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"enum": self._names}, handler(core)]}


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
