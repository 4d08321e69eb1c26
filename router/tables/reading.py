"""Tables read from where they are kept: files, SQLite, any database. Everything here blocks, and is for a thread."""

from __future__ import annotations

import contextlib
import csv
import json
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from router.tables.settings import AnyTable, CsvTable, JsonTable, SqliteTable, SqlTable
from router.tables.values import cel_value
from rules.cel import Optional
from rules.cel.errors import CelError
from rules.cel.surroundings import Rows, key_text
from rules.codecs.conversions import CONVERSIONS
from rules.codecs.json import Json
from rules.suggest import did_you_mean

Stamp = tuple[object, ...]
Found = tuple[Rows, Stamp | None]
_Decode = Callable[[bytes], object]
_Row = tuple[str, object, object]
"""Where a row stands, its key, and what it holds."""

_ATTEMPTS = 3
"""So often a file is read that changes meanwhile."""


class TableError(Exception):
    """A table that cannot be read: what is wrong, what would be right, and the setting that has to do with it."""

    def __init__(self, what: str, hint: str = "", setting: str = "") -> None:
        super().__init__(f"{what}; {hint}" if hint else what)
        self.what = what
        self.hint = hint
        self.setting = setting


def stamp(settings: AnyTable, folder: Path) -> Stamp | None:
    """What changes when the files of a table do; None where there is no telling. Raises TableError."""
    if isinstance(settings, SqlTable):
        return None
    path = folder / settings.path
    found: list[object] = [_stamp_of(path)]
    if isinstance(settings, SqliteTable):
        with contextlib.suppress(FileNotFoundError):
            found.append(_stamp_of(path.with_name(f"{path.name}-wal")))
    return tuple(found)


def _stamp_of(path: Path) -> Stamp:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def read(settings: AnyTable, folder: Path) -> Found:
    """The rows of a table, by the text of their keys, and its stamp. Relative paths are relative to ``folder``. Raises
    TableError."""
    try:
        for _ in range(_ATTEMPTS):
            before = stamp(settings, folder)
            rows = _rows(settings, folder)
            if before is None or before == stamp(settings, folder):
                return rows, before
    except OSError as error:
        path = getattr(settings, "path", "")
        hint = f"should be a file, relative to {folder}"
        raise TableError(f"`{path}` cannot be read: {error.strerror or error}", hint, "path") from error
    hint = "write it under another name, and rename it then"
    raise TableError(f"`{getattr(settings, 'path', '')}` changes while it is read", hint, "path")


def _rows(settings: AnyTable, folder: Path) -> Rows:
    # Closed at once, also when a row is refused: a file or a transaction stays open as long as its rows are waited for.
    with contextlib.closing(_rows_of(settings, folder)) as rows:
        return _keyed(settings, rows)


def _rows_of(settings: AnyTable, folder: Path) -> Generator[_Row]:
    match settings:
        case CsvTable():
            return _csv_rows(settings, folder / settings.path)
        case JsonTable():
            return _json_rows(settings, folder / settings.path)
        case SqliteTable():
            return _sqlite_rows(settings, folder / settings.path)
        case SqlTable():
            return _sql_rows(settings, folder)


def _keyed(settings: AnyTable, rows: Iterable[_Row]) -> Rows:
    """Rows by key. A key that stands twice is refused: which of the two is meant is not for us to say."""
    found: Rows = {}
    places: dict[str, str] = {}
    for place, key, row in rows:
        try:
            text = key_text(key)
        except CelError as error:
            raise TableError(f"{place}: {error}", "another column should be the key", "key") from error
        if text is None or text == "":
            raise TableError(f"{place} has no key", "every row should have one", "key")
        if text in places:
            what = f"the key `{text[:40]}` stands twice: {places[text]} and {place}"
            raise TableError(what, "keys should differ, as text too", "key")
        if len(found) == settings.max_rows:
            what = f"there are more than {settings.max_rows:,} rows"
            raise TableError(what, "should be fewer, or `max_rows` be more", "max_rows")
        places[text] = place
        found[text] = Optional(row)
    return found


def _picker(settings: AnyTable, columns: Sequence[str]) -> Callable[[Mapping[str, object]], object]:
    """What a row comes to: the value, or all columns but the key. Raises TableError for columns that do not exist."""
    for setting in ("key", "value"):
        name = getattr(settings, setting)
        if name is not None and name not in columns:
            raise TableError(f"there is no column `{name}`", did_you_mean(name, columns), setting)
    value, key = settings.value, settings.key
    if value is not None:
        return lambda row: row[value]
    return lambda row: {name: content for name, content in row.items() if name != key}


def _unique(columns: Sequence[str], setting: str) -> Sequence[str]:
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise TableError(f"the column `{twice[0]}` is there twice", "columns should have different names", setting)
    return columns


# Files


def _csv_rows(settings: CsvTable, path: Path) -> Generator[_Row]:
    csv.field_size_limit(2**31 - 1)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True, delimiter=settings.delimiter)
        try:
            columns = _unique(next(reader, []), "path")
            pick = _picker(settings, columns)
            for name in settings.types:
                if name not in columns:
                    raise TableError(f"there is no column `{name}`", did_you_mean(name, columns), "types")
            for fields in reader:
                if fields:  # of an empty line there are none
                    row = _csv_row(settings, columns, fields, reader.line_num)
                    yield f"line {reader.line_num}", row[settings.key], pick(row)
        except (csv.Error, UnicodeDecodeError) as error:
            reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else f"not CSV: {error}"
            what = f"`{settings.path}` cannot be read: {reason}, at or after line {reader.line_num}"
            raise TableError(what, "", "path") from error


def _csv_row(settings: CsvTable, columns: Sequence[str], fields: Sequence[str], line: int) -> dict[str, object]:
    if len(fields) != len(columns):
        what = f"line {line} has {len(fields)} field(s), and there are {len(columns)} column(s)"
        raise TableError(what, "quote fields that have the delimiter in them", "path")
    row: dict[str, object] = dict(zip(columns, fields, strict=True))
    for name, kind in settings.types.items():
        try:
            row[name] = CONVERSIONS[kind](str(row[name]))
        except ValueError as error:
            raise TableError(f"line {line}, `{name}`: {error}", f"should be {kind}", "types") from error
    return row


def _json_rows(settings: JsonTable, path: Path) -> Generator[_Row]:
    payload = path.read_bytes()
    decode = Json().codec.decode
    try:
        rows = _outermost(payload)
        if settings.key is None:
            yield from _json_entries(settings, rows, payload, decode)
        elif isinstance(rows, list):
            yield from _json_list(settings, rows, decode)
        else:
            what = f"`{settings.path}` is no list of objects"
            raise TableError(what, "should be one, or the table have no `key`", "key")
    except ValueError as error:
        raise TableError(f"`{settings.path}` is {error}", "", "path") from error


def _outermost(payload: bytes) -> object:
    """A JSON document, of whose object or list the parts are still to be decoded. All at once, that would hold up
    every other thread. Raises ValueError."""
    try:
        return msgspec.json.decode(payload, type=dict[str, msgspec.Raw] | list[msgspec.Raw])
    except msgspec.DecodeError:
        return Json().codec.decode(payload)  # which may be a number, or else says what is wrong


def _json_entries(settings: JsonTable, rows: object, payload: bytes, decode: _Decode) -> Iterator[_Row]:
    if not isinstance(rows, dict):
        what = f"`{settings.path}` is no object from key to row"
        raise TableError(what, "should be one, or `key` name a field of its objects", "path")
    for number, key in enumerate(_keys(payload, rows), 1):
        place, row = f"entry {number}", decode(bytes(rows[key]))
        if settings.value is None:
            yield place, key, row
        elif isinstance(row, dict) and settings.value in row:
            yield place, key, row[settings.value]
        else:
            raise TableError(f"{place}, `{key[:40]}`, has no `{settings.value}`", "every row should", "value")


def _keys(payload: bytes, rows: Mapping[str, object]) -> list[str]:
    """The keys of the outermost object, twice those that stand twice, of which every reader takes the last."""
    found: list[str] = []

    def note(pairs: list[tuple[str, object]]) -> None:
        found[:] = [key for key, _ in pairs]  # of the outermost one at last

    try:
        json.loads(payload, object_pairs_hook=note, parse_int=str, parse_float=str)
    except RecursionError:
        return list(rows)  # it goes too deep for this reader alone
    return found


def _json_list(settings: JsonTable, rows: Sequence[msgspec.Raw], decode: _Decode) -> Iterator[_Row]:
    for number, raw in enumerate(rows, 1):
        row = decode(bytes(raw))
        if not isinstance(row, dict):
            raise TableError(f"row {number} is no object", "every row should be one", "path")
        for setting in ("key", "value"):
            name = getattr(settings, setting)
            if name is not None and name not in row:
                raise TableError(f"row {number} has no `{name}`", did_you_mean(name, row), setting)
        yield f"row {number}", row[settings.key], _picker(settings, list(row))(row)


# Databases


def _sqlite_rows(settings: SqliteTable, path: Path) -> Generator[_Row]:
    path.stat()  # whose errors say more
    try:
        with contextlib.closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=settings.timeout)
        ) as connection:
            cursor = connection.execute(settings.statement)
            columns = [description[0] for description in cursor.description or ()]
            yield from _database_rows(settings, columns, cursor)
    except sqlite3.Error as error:
        setting = "path" if "not a database" in str(error) else "query" if settings.query else "table"
        raise TableError(f"`{settings.path}` does not answer: {error}", "", setting) from error


def _sql_rows(settings: SqlTable, folder: Path) -> Generator[_Row]:
    from sqlalchemy import create_engine, make_url, text
    from sqlalchemy.exc import DataError, DBAPIError, ProgrammingError, SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        url = make_url(settings.url.get_secret_value())
        if url.get_backend_name() == "sqlite" and url.database:
            url = url.set(database=str(folder / url.database))
        engine = create_engine(url, poolclass=NullPool)
        with engine.connect().execution_options(stream_results=True) as connection:
            # A colon is a colon: there are no parameters to be bound.
            result = connection.execute(text(settings.query.replace(":", r"\:")))
            yield from _database_rows(settings, list(result.keys()), result)
    except ModuleNotFoundError as error:
        hint = f"should be installed: pip install {error.name}"
        raise TableError(f"the driver `{error.name}` is missing", hint, "url") from error
    except SQLAlchemyError as error:
        reason = str(error.orig if isinstance(error, DBAPIError) and error.orig else error).partition("\n")[0]
        if isinstance(error, ProgrammingError | DataError):
            raise TableError(f"the database refuses the query: {reason}", "", "query") from error
        raise TableError(f"the database does not answer: {reason}", "", "url") from error


def _database_rows(settings: SqliteTable | SqlTable, columns: Sequence[str], rows: Iterable[Any]) -> Iterator[_Row]:
    if not columns:
        raise TableError("the query finds no rows", "should be a SELECT", "query")
    pick = _picker(settings, _unique(columns, "query"))
    for number, values in enumerate(rows, 1):
        try:
            row = {name: cel_value(value) for name, value in zip(columns, values, strict=True)}
        except ValueError as error:
            raise TableError(f"row {number}: {error}", "the query should make it text", "query") from error
        yield f"row {number}", row[settings.key], pick(row)
