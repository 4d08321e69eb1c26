"""What stands under ``tables`` of the daemon's file: one class for each type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, Self

from pydantic import Field, SecretStr, model_validator

from router.units import Duration
from rules.codecs.conversions import TextType
from rules.faults import Place
from rules.model import Model

Name = Annotated[str, Field(min_length=1)]


class TableSettings(Model):
    """What every table takes."""

    value: Name | None = None
    """The column that is the value of a row. Without it, a row is a map of all columns but the key."""
    refresh: Annotated[Duration, Field(gt=0)] | None = None
    """How often the table is read again. A file that has not changed is not. Without it, it is read at the start and
    with a reload, and a file that changes makes one; a database is read at the start alone."""
    timeout: Annotated[Duration, Field(gt=0)] = 60.0
    """How long one reading may take."""
    max_rows: Annotated[int, Field(gt=0)] = 1_000_000
    """Rows, at most. All of them are in memory; a table that has more is refused."""


class CsvTable(TableSettings):
    """A file of comma-separated values (RFC 4180), in UTF-8, of which the first row names the columns."""

    type: Literal["csv"]
    """Comma-separated values."""
    path: Name
    """The file, relative to the daemon's file."""
    key: Name
    """The column with the keys."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    """What separates fields: one character, such as `;` or a tab."""
    types: Mapping[str, TextType] = Field(default_factory=dict)
    """What columns are, besides text: `integer`, `number`, `boolean` (true, false, 1, 0), or `json`. An empty field of
    such a column is null."""


class JsonTable(TableSettings):
    """A JSON file: an object from key to row, or a list of objects."""

    type: Literal["json"]
    """JSON."""
    path: Name
    """The file, relative to the daemon's file."""
    key: Name | None = None
    """The field with the keys, of the objects of a list. Without it, the file is an object from key to row."""


class SqliteTable(TableSettings):
    """A table of an SQLite database, or what a query finds in it."""

    type: Literal["sqlite"]
    """SQLite."""
    path: Name
    """The file of the database, relative to the daemon's file. It is only read."""
    table: Name | None = None
    """The table or view of which all rows are taken."""
    query: Name | None = None
    """The `SELECT` whose rows are taken, instead of `table`."""
    key: Name
    """The column with the keys."""

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise ValueError("should have either `table` or `query`")
        return self

    @property
    def statement(self) -> str:
        """The query."""
        name = (self.table or "").replace('"', '""')
        return self.query or f'SELECT * FROM "{name}"'  # noqa: S608 - quoted, and the operator's own


class SqlTable(TableSettings):
    """What a query finds in any database that SQLAlchemy has a driver for. It needs `pip install 'sluiceway[sql]'`, and
    the driver."""

    type: Literal["sql"]
    """A database, by SQLAlchemy."""
    url: Annotated[SecretStr, Field(min_length=1)]
    """Where the database is, such as `postgresql+psycopg://user:${env:PASSWORD}@db.example.com/shop`."""
    query: Name
    """The `SELECT` whose rows are taken."""
    key: Name
    """The column with the keys."""

    @model_validator(mode="after")
    def _has_library(self) -> Self:
        from importlib.util import find_spec

        if find_spec("sqlalchemy") is None:
            raise ValueError("a table of the type sql needs the library SQLAlchemy: pip install 'sluiceway[sql]'")
        return self


AnyTable = CsvTable | JsonTable | SqliteTable | SqlTable
TABLES: Final[Mapping[str, type[AnyTable]]] = {
    "csv": CsvTable,
    "json": JsonTable,
    "sqlite": SqliteTable,
    "sql": SqlTable,
}
"""Every kind of table, by the type that the configuration knows it by."""


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table that is to be loaded. ``places`` says where its settings stand; ``place`` where it does itself."""

    name: str
    settings: AnyTable = field(repr=False)
    place: Place
    places: Mapping[str, Place]

    @property
    def watched(self) -> str | None:
        """The file, if any, that makes another table of it when it changes, as nothing else would notice that."""
        return None if self.settings.refresh is not None else getattr(self.settings, "path", None)
