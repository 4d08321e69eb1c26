"""Settings that are CEL: expressions, and texts in which ``${CEL}`` is filled in by the connector itself.

    results: Annotated[Expression, Variables("response")] | None = None
    url: Annotated[Template, Variables("cursor")]

Both are compiled when the configuration is read, so that a fault in one is shown in its own column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from router.interfaces import Json
from rules import cel
from rules.codecs import in_text
from rules.templates import Unclosed, Verbatim, parts


@dataclass(frozen=True, slots=True)
class Expression:
    """A CEL expression over the variables that its setting names."""

    text: str
    _cel: cel.Expression = field(repr=False, compare=False)

    @classmethod
    def read(cls, value: str | float | bool, names: Iterable[str]) -> Self:
        """The expression that a setting says. Raises ValueError."""
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return cls(text, _compiled(text, names))

    def evaluate(self, bindings: Mapping[str, object]) -> Json:
        """The value for these variables. Raises LookupError where it selects what is not there, ValueError where it
        has no value that JSON can say."""
        try:
            return cel.to_json(self._cel.evaluate(bindings))
        except cel.CelMissing as error:
            raise LookupError(str(error)) from error
        except cel.CelError as error:
            raise ValueError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Template:
    """A text in which ``${CEL}`` is filled in, from the variables that its setting names.

    ``constant`` is its value where it has no expression in it, which may be a number or a boolean; else None.
    """

    text: str
    constant: str | int | float | bool | None = None
    _parts: tuple[str | cel.Expression, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def read(cls, value: str | float | bool, names: Iterable[str]) -> Self:
        """The template that a setting says. Raises ValueError."""
        if isinstance(value, Verbatim) or not isinstance(value, str):
            return cls(str(value), str(value) if isinstance(value, str) else value)
        try:
            found = [part.text if part.literal else _compiled(part.text, names) for part in parts(value)]
        except Unclosed as error:
            raise ValueError("this `${` is never closed; should be `${CEL}`, or `$${` for itself") from error
        if all(isinstance(part, str) for part in found):
            return cls(value, "".join(map(str, found)))
        return cls(value, None, tuple(found))

    def fill(self, bindings: Mapping[str, object], encode: Callable[[str], str] = str) -> Json:
        """The value for these variables: typed where one expression is all of it, else text, in which ``encode`` is
        applied to what is filled in. Raises LookupError and ValueError as ``Expression.evaluate`` does."""
        if not self._parts:
            return self.constant
        try:
            if len(self._parts) == 1 and isinstance(self._parts[0], cel.Expression):
                return cel.to_json(self._parts[0].evaluate(bindings))
            return "".join(
                part if isinstance(part, str) else encode(in_text(part.evaluate(bindings))) for part in self._parts
            )
        except cel.CelMissing as error:
            raise LookupError(str(error)) from error
        except cel.CelError as error:
            raise ValueError(str(error)) from error


class Variables:
    """Says which variables an ``Expression`` or a ``Template`` has."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __get_pydantic_core_schema__(
        self, source: type[Expression | Template], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """What makes the setting of what is written. Its error names the variables, so that the reader of the
        configuration can say all that is wrong, and where."""

        def read(value: Any) -> Expression | Template:
            if isinstance(value, source):
                return value
            if not isinstance(value, str | int | float):
                raise PydanticCustomError(source.__name__.lower(), "should be text", {"names": self.names})
            try:
                return source.read(value, self.names)
            except ValueError as error:
                raise PydanticCustomError(
                    source.__name__.lower(), "{why}", {"why": str(error), "names": self.names}
                ) from error

        return core_schema.no_info_plain_validator_function(
            read, serialization=core_schema.plain_serializer_function_ser_schema(lambda made: made.text)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """What an editor may take: YAML reads some expressions as numbers."""
        return {"type": ["string", "number", "boolean"]}


def _compiled(text: str, names: Iterable[str]) -> cel.Expression:
    try:
        made = cel.compile(text)
    except cel.CelError as error:
        raise ValueError(str(error)) from error
    unknown = sorted(made.variables.difference(names))
    if unknown:
        raise ValueError(f"`{unknown[0]}` is not known here; known: {', '.join(sorted(names))}")
    return made
