"""The base of everything that is configured: what a file says is taken as it is written, or refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, SchemaValidator, core_schema

_READERS = {
    kind: SchemaValidator(schema)
    for kind, schema in (
        ("bool", core_schema.bool_schema()),
        ("int", core_schema.int_schema()),
        ("float", core_schema.float_schema()),
    )
}
_WITH_SCHEMAS = frozenset(
    {
        *("schema", "choices", "items_schema", "keys_schema", "values_schema", "steps", "definitions"),
        *("lax_schema", "strict_schema", "json_schema", "python_schema"),
    }
)
"""The keys of a schema under which other schemas stand."""


class Outside(str):
    """A text that was filled in from outside, where everything is text: it may say a number, or true or false."""

    __slots__ = ()


def _strict(schema: Any) -> Any:
    """A part of a schema in which each number and boolean is strict."""
    if isinstance(schema, list | tuple):
        return type(schema)(map(_strict, schema))
    if not isinstance(schema, dict) or schema.get("strict"):
        return schema
    kind = schema["type"]
    if kind not in _READERS:
        return {key: _strict_part(key, part) for key, part in schema.items()}
    strict: Any = {**schema, "strict": True}
    return core_schema.no_info_before_validator_function(_read(kind), strict)


def _strict_part(key: str, part: Any) -> Any:
    if key in ("fields", "choices") and isinstance(part, dict):
        return {name: _strict(field) for name, field in part.items()}
    return _strict(part) if key in _WITH_SCHEMAS else part


def _read(kind: str) -> Callable[[object], object]:
    reader = _READERS[kind]
    return lambda value: reader.validate_python(str(value)) if isinstance(value, Outside) else value


@cache
def descriptions(model: type[BaseModel]) -> Mapping[str, str]:
    """What each field of a model is for: the docstring below it.

    They are read from the source when somebody asks, which pydantic would do at each start of a program.
    """
    found: dict[str, str] = {}
    for part in reversed(model.__mro__):
        if issubclass(part, BaseModel) and part is not BaseModel:
            found.update(_docstrings(part))
    fields = model.model_fields
    written = {name: info.description for name, info in fields.items() if info.description}
    return {name: text for name, text in found.items() if name in fields} | written


def _docstrings(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    import ast
    import inspect
    import textwrap

    try:
        (written,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    except (OSError, TypeError):  # without a source, as in an interactive session
        return
    for field, below in pairwise(written.body if isinstance(written, ast.ClassDef) else ()):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as text)):
                yield name, inspect.cleandoc(text)


class Model(BaseModel):
    """Settings: unknown keys are refused, a validated one never changes, and ``1``, ``'1'``, ``1.0`` and ``true`` are
    four different things. A docstring below a field describes it, in the JSON Schema too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Pydantic's hook: its own schema, with no conversion of numbers and booleans but of ``Outside``."""
        made: CoreSchema = _strict(handler(source))
        return made

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Pydantic's hook: its own JSON Schema, with the descriptions."""
        made = handler(core)
        properties = handler.resolve_ref_schema(made).get("properties", {})
        for name, text in descriptions(cls).items():
            for written in {name, cls.model_fields[name].alias} & properties.keys():
                properties[written].setdefault("description", text)
        return made
