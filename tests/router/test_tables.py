"""Tables: read from real files and databases, refused with a place and a hint, kept fresh while a daemon runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from daemons import daemon_of, page

from connectors import memory
from router.assembly import ruleset_of, tables_of
from router.config import load
from router.daemon import Daemon
from router.tables.reading import TableError, read
from router.tables.settings import TABLES
from router.tables.values import cel_value
from router.testing import until
from rules.cel import Duration, Timestamp
from rules.codecs import Json
from rules.faults import Refused
from tests.commands import sluiceway

SECRET = "sesame-open-now"
COUNTRIES = "code,name,eu\nDE,Germany,true\nCH,Switzerland,false\n"


@pytest.fixture(autouse=True)
def _fresh_channels() -> None:
    memory.forget()


def database(path: Path, *statements: str) -> None:
    """Carry out statements, and commit."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def rows_of(folder: Path, **settings: Any) -> dict[str, object]:
    rows = read(TABLES[settings["type"]].model_validate(settings), folder)[0]
    return {key: row.content for key, row in rows.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one of everything."""
    (tmp_path / "countries.csv").write_text(COUNTRIES)
    (tmp_path / "odd.csv").write_bytes('\ufeffid;"the\nname"\r\n1;"a;b"\r\n\r\n02;"ü"\r\n'.encode())
    (tmp_path / "map.json").write_text('{"DE": {"name": "Germany"}, "CH": null}')
    (tmp_path / "list.json").write_text('[{"id": 5, "n": 18446744073709551616}, {"id": "x", "n": [1.5]}]')
    database(
        tmp_path / "shop.db",
        'CREATE TABLE "my prices" (id INTEGER, price REAL, note TEXT, raw BLOB)',
        "INSERT INTO \"my prices\" VALUES (7, 12.5, NULL, x'ff'), (8, 3.0, 'b:c', NULL)",
    )
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "rows"),
    [
        ({"type": "csv", "path": "countries.csv", "key": "code"},
         {"DE": {"name": "Germany", "eu": "true"}, "CH": {"name": "Switzerland", "eu": "false"}}),
        ({"type": "csv", "path": "countries.csv", "key": "code", "value": "eu", "types": {"eu": "boolean"}},
         {"DE": True, "CH": False}),
        ({"type": "csv", "path": "odd.csv", "key": "id", "delimiter": ";"},
         {"1": {"the\nname": "a;b"}, "02": {"the\nname": "ü"}}),
        ({"type": "json", "path": "map.json"}, {"DE": {"name": "Germany"}, "CH": None}),
        ({"type": "json", "path": "list.json", "key": "id"}, {"5": {"n": 2**64}, "x": {"n": [1.5]}}),
        ({"type": "json", "path": "list.json", "key": "id", "value": "n"}, {"5": 2**64, "x": [1.5]}),
        ({"type": "sqlite", "path": "shop.db", "table": "my prices", "key": "id"},
         {"7": {"price": 12.5, "note": None, "raw": b"\xff"}, "8": {"price": 3.0, "note": "b:c", "raw": None}}),
        ({"type": "sqlite", "path": "shop.db", "query": 'SELECT id, price FROM "my prices"', "key": "id",
          "value": "price"}, {"7": 12.5, "8": 3.0}),
        ({"type": "sql", "url": "sqlite:///shop.db", "key": "id", "value": "note",
          "query": "SELECT id, note FROM \"my prices\" WHERE note = 'b:c' AND note LIKE '%:c'"}, {"8": "b:c"}),
    ],
)  # fmt: skip
def test_a_table_is_a_map_from_the_text_of_its_keys(
    folder: Path, settings: dict[str, object], rows: dict[str, object]
) -> None:
    assert rows_of(folder, **settings) == rows


@pytest.mark.parametrize(
    ("content", "settings", "says"),
    [
        ("a,b\n1,2\n1,3\n", {"key": "a"}, "the key `1` stands twice: line 2 and line 3; keys should differ, as text"),
        ("a,b\n1,2,3\n", {"key": "a"}, "line 2 has 3 field(s), and there are 2 column(s); quote fields"),
        ("a,b\n,2\n", {"key": "a"}, "line 2 has no key; every row should have one"),
        ("a,b\n1,2\n2,2\n3,3\n", {"key": "a", "max_rows": 2}, "more than 2 rows; should be fewer, or `max_rows`"),
        ("code,b\n", {"key": "cod"}, "there is no column `cod`; did you mean `code`?"),
        ("code,b\n", {"key": "code", "value": "c"}, "there is no column `c`; known: code, b"),
        ("code,b\n", {"key": "code", "types": {"cod": "json"}}, "there is no column `cod`; did you mean `code`?"),
        ("a,b\n1,x\n", {"key": "a", "types": {"b": "integer"}}, "line 2, `b`: 'x' is no integer; should be integer"),
        ("a,a\n", {"key": "a"}, "the column `a` is there twice"),
        ("", {"key": "a"}, "there is no column `a`; there are none"),
        ('a,b\n1,"2', {"key": "a"}, "cannot be read: not CSV: unexpected end of data, at or after line 2"),
        (b"a,b\n1,\xff\n", {"key": "a"}, "cannot be read: not UTF-8"),
        ('{"a": 1, "b": 2, "a": 3}', {"type": "json"}, "the key `a` stands twice: entry 1 and entry 3"),
        ('{"a": {"x": 1}, "b": {}}', {"type": "json", "value": "x"}, "entry 2, `b`, has no `x`; every row should"),
        ("[1", {"type": "json"}, "`t` is not JSON: it ends too early, at byte 2"),
        ("[1]", {"type": "json"}, "`t` is no object from key to row; should be one, or `key` name a field"),
        ("{}", {"type": "json", "key": "id"}, "`t` is no list of objects; should be one, or the table have no `key`"),
        ("[1]", {"type": "json", "key": "id"}, "row 1 is no object"),
        ('[{"id": 1}, {"ix": 1}]', {"type": "json", "key": "id"}, "row 2 has no `id`; known: ix"),
        ('[{"id": 1}, {"id": "1"}]', {"type": "json", "key": "id"}, "the key `1` stands twice: row 1 and row 2"),
        ('[{"id": []}]', {"type": "json", "key": "id"}, "row 1: the key of a table is a text, a number or a bool"),
        ("", {"type": "sqlite", "table": "t", "key": "id"}, "`t` does not answer: no such table: t"),
        ("no database at all", {"type": "sqlite", "table": "t", "key": "id"}, "file is not a database"),
        ("", {"type": "sqlite", "query": "SELEKT 1", "key": "id"}, 'does not answer: near "SELEKT": syntax error'),
        ("", {"type": "sqlite", "query": "SELECT 1 AS a, 2 AS a", "key": "a"}, "the column `a` is there twice"),
        ("", {"type": "sqlite", "query": "CREATE TABLE x (a)", "key": "a"}, "attempt to write a readonly database"),
    ],
)
def test_a_table_that_cannot_be_had_says_why_and_what_would_be_right(
    tmp_path: Path, content: str | bytes, settings: dict[str, object], says: str
) -> None:
    (tmp_path / "t").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(TableError) as raised:
        rows_of(tmp_path, **{"type": "csv", "path": "t", **settings})
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("url", "query", "says"),
    [
        ("sqlite:///no/such.db", "SELECT 1", "the database does not answer: unable to open database file"),
        ("sqlite:///x.db", "SELECT * FROM t", "the database does not answer: no such table: t"),
        ("nosuch://x", "SELECT 1", "Can't load plugin: sqlalchemy.dialects:nosuch"),
        ("no url", "SELECT 1", "Could not parse SQLAlchemy URL"),
        ("mssql+pyodbc://x", "SELECT 1", "the driver `pyodbc` is missing; should be installed: pip install pyodbc"),
    ],
)
def test_a_database_that_does_not_answer_says_so(tmp_path: Path, url: str, query: str, says: str) -> None:
    with pytest.raises(TableError) as raised:
        rows_of(tmp_path, type="sql", url=url, query=query, key="id")
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_says_where_it_was_looked_for(tmp_path: Path) -> None:
    for settings in ({"type": "csv"}, {"type": "json"}, {"type": "sqlite", "table": "t"}):
        with pytest.raises(TableError) as raised:
            rows_of(tmp_path, path="x", key="id", **settings)
        assert str(raised.value) == (
            f"`x` cannot be read: No such file or directory; should be a file, relative to {tmp_path}"
        )


def test_what_drivers_give_is_what_expressions_know() -> None:
    moment = datetime(2024, 2, 3, 23, 5, 6, 700_000, timezone(timedelta(hours=1)))
    assert cel_value([moment, moment.astimezone(UTC).replace(tzinfo=None)]) == [
        Timestamp(1706997906, 700_000_000),
        Timestamp(1706997906, 700_000_000),
    ]
    assert cel_value((timedelta(seconds=-1.5), date(2024, 2, 3))) == [Duration(-1, -500_000_000), "2024-02-03"]
    assert cel_value({"d": Decimal("12.50"), "u": UUID(int=1), "b": memoryview(b"x")}) == {
        "d": "12.50",
        "u": "00000000-0000-0000-0000-000000000001",
        "b": b"x",
    }
    with pytest.raises(ValueError, match="a complex is nothing that an expression knows"):
        cel_value(1j)


# The daemon's file

BASE = "http: null\nsources: {s: {type: memory, channel: s}}\nsinks: {x: {type: memory, channel: x}}\nflows: [f.yaml]\n"
RULES = """
from: s
rules: [{set: {event.name: "${lookup('countries', event.code).?name.orValue('nowhere')}"}, to: x}]
"""


def config(folder: Path, text: str, rules: str = RULES, **environment: str) -> Any:
    (folder / "f.yaml").write_text(rules)
    (folder / "sluiceway.yaml").write_text(BASE + text)
    return load([folder / "sluiceway.yaml"], environment)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("tables: {t: {type: csv, path: x}}", "5:13: `key` is missing; should be given: the column with the keys"),
        ("tables: {t: {type: csb, path: x}}", "5:20: there are no tables of type `csb`; known: csv, json, sqlite, sql"),
        ("tables: {t: {path: x}}", "5:10: `type` is missing; should be one of csv, json, sqlite, sql"),
        ("tables: {t: {type: json, path: x, refersh: 5m}}", "`refersh` is not known here; did you mean `refresh`?"),
        ("tables: {t: {type: json, path: x, refresh: 0}}", "`refresh` is `0`; should be more than 0"),
        ("tables: {t: {type: sqlite, path: x, key: a}}", "should have either `table` or `query`"),
        ("tables: {t: {type: json, path: 'x${lookup(1, 2)}'}}", "`${...}` is not filled in here"),
        ("tables: [t]", "5:9: `tables` is a list; should be a mapping"),
        ("secrets: {s: hush-hush}", "5:14: the secret `s` stands in this file; should be filled in, by `${env:NAME}`"),
        ("secrets: {s: '${env:EMPTY}'}", "5:14: `s` is text; should be at least 1 long"),
        ("tables: {country: {type: json, path: x}}", "f.yaml:3:38: there is no `countries` among `tables`"),
        ("sinks: {x: {type: file, path: '${lookup(\"t\", 1)}'}}", "there is no `t` among `tables`"),
    ],
)
def test_what_is_wrong_with_tables_and_secrets_is_a_fault_with_its_place(tmp_path: Path, text: str, fault: str) -> None:
    base = BASE.replace("sinks: {x: {type: memory, channel: x}}\n", "") if "sinks" in text else BASE
    (tmp_path / "f.yaml").write_text(RULES)
    (tmp_path / "sluiceway.yaml").write_text(base + text + "\n")
    with pytest.raises(Refused) as refused:
        load([tmp_path / "sluiceway.yaml"], {"EMPTY": ""})
    assert any(fault in str(found) for found in refused.value.faults), refused.value
    assert "hush-hush" not in str(refused.value)


def test_a_later_file_may_change_a_table_of_an_earlier_one(folder: Path) -> None:
    config(folder, "tables: {countries: {type: csv, path: countries.csv, key: code, refresh: 1h}}")
    (folder / "prod.yaml").write_text("tables: {countries: {refresh: 5m}}\n")
    found = load([folder / "sluiceway.yaml", folder / "prod.yaml"])
    assert found.tables["countries"].settings.refresh == 300.0


def test_every_table_that_cannot_be_loaded_is_a_fault_at_the_setting_that_is_wrong(folder: Path) -> None:
    text = (
        "tables:\n"
        "  countries: {type: csv, path: countries.csv, key: kode}\n"
        "  gone: {type: json, path: gone.json}\n"
        "  shop: {type: sql, url: 'sqlite:///gone/x.db', query: SELECT 1, key: a}\n"
    )
    tables = tables_of(config(folder, text))
    gone = f"No such file or directory; should be a file, relative to {folder}"
    expected = [
        "6:52: table `countries` cannot be loaded: there is no column `kode`; did you mean `code`?",
        f"7:28: table `gone` cannot be loaded: `gone.json` cannot be read: {gone}",
        "8:26: table `shop` cannot be loaded: the database does not answer: unable to open database file",
    ]
    for databases in (True, False):
        with pytest.raises(Refused) as refused:
            tables.load_now(databases=databases)
        shown = [str(fault).removeprefix(f"{folder}/sluiceway.yaml:") for fault in refused.value.faults]
        assert shown == (expected if databases else expected[:2])


async def test_a_daemon_does_not_begin_without_its_tables(folder: Path) -> None:
    found = config(folder, "tables: {countries: {type: csv, path: gone.csv, key: code}}")
    with pytest.raises(Refused, match="table `countries` cannot be loaded"):
        await Daemon(found).run()


# While a daemon runs


def serve(folder: Path, table: str, rules: str = RULES, text: str = "") -> Path:
    (folder / "f.yaml").write_text(rules)
    base = BASE.replace("http: null", 'http: {listen: "127.0.0.1:0"}')
    (folder / "sluiceway.yaml").write_text(f"{base}tables: {{countries: {table}}}\n{text}")
    return folder / "sluiceway.yaml"


async def named(code: object) -> str:
    """What a record with this code is given for a name."""
    before = len(memory.sink("x").values)
    memory.source("s").push(memory.records({"code": code}))  # type: ignore[dict-item]  # JSON
    await until(lambda: len(memory.sink("x").values) > before)
    return str(json.loads(memory.sink("x").values[-1])["name"])


def table(daemon: Daemon) -> Any:
    return daemon.tables.status()["countries"]


async def counted(daemon: Daemon, line: str) -> bool:
    return line in (await page(daemon, "/metrics"))[1].splitlines()


def put(path: Path, text: str) -> None:
    """Write a file as it should be written: under another name first."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


async def test_a_file_that_is_rewritten_is_seen_by_the_records_that_follow(folder: Path) -> None:
    path = serve(folder, "{type: csv, path: countries.csv, key: code, refresh: 10ms}")
    async with daemon_of(path) as daemon:
        assert [await named("DE"), await named("AT"), await named(None)] == ["Germany", "nowhere", "nowhere"]
        put(folder / "countries.csv", "code,name\nDE,Deutschland\nAT,Austria\nFR,France\n")
        await until(lambda: table(daemon)["rows"] == 3)
        assert [await named("DE"), await named("AT")] == ["Deutschland", "Austria"]
        assert await counted(daemon, 'sluiceway_table_rows{table="countries"} 3.0')
        assert await counted(daemon, 'sluiceway_table_refreshes_total{result="loaded",table="countries"} 2.0')
        assert await counted(daemon, 'sluiceway_table_refreshes_total{result="failed",table="countries"} 0.0')
        assert "sluiceway_table_age_seconds" in (await page(daemon, "/metrics"))[1]
        told = json.loads((await page(daemon, "/api/status"))[1])["tables"]["countries"]
        assert told["age_seconds"] >= 0.0
        told.pop("age_seconds")
        assert told == {"type": "csv", "rows": 3, "refresh_seconds": 0.01, "error": None}


async def test_a_file_that_has_not_changed_is_not_read_again(folder: Path) -> None:
    path = serve(folder, "{type: csv, path: countries.csv, key: code, refresh: 5ms}")
    async with daemon_of(path) as daemon:
        counter = daemon.metrics.table("countries").refreshes
        await until(lambda: counter["unchanged"]._value.get() >= 3)
        assert counter["loaded"]._value.get() == 1.0
        os.utime(folder / "countries.csv", ns=(1, 1))
        await until(lambda: counter["loaded"]._value.get() == 2.0)


async def test_a_table_that_vanishes_or_breaks_stays_as_it_was_and_is_told_of_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = serve(folder, "{type: csv, path: countries.csv, key: code, refresh: 5ms}")
    file = folder / "countries.csv"
    with caplog.at_level(logging.INFO, "router.tables"):
        async with daemon_of(path) as daemon:
            failed = daemon.metrics.table("countries").refreshes["failed"]._value
            file.rename(folder / "aside.csv")
            await until(lambda: failed.get() >= 3)
            assert await named("DE") == "Germany"
            assert table(daemon)["error"].startswith("`countries.csv` cannot be read: No such file or directory")
            put(file, "code,name\nDE,a,b\n")
            await until(lambda: "line 2 has 3 field(s)" in str(table(daemon)["error"]))
            assert await named("DE") == "Germany"
            (folder / "aside.csv").rename(file)
            await until(lambda: table(daemon)["error"] is None)
            assert await named("CH") == "Switzerland"
    said = [record.getMessage() for record in caplog.records if record.name.startswith("router.tables")]
    assert [text.partition(" ago")[0].rstrip("0123456789 s") for text in said] == [
        "table countries cannot be read again, and stays as it wa",
        "table countries cannot be read again, and stays as it wa",
        "table countries: can be read again; it has 2 row(s)",
    ]
    assert "with 2 row(s): `countries.csv` cannot be read" in said[0]


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
async def test_a_change_of_an_sqlite_database_is_seen(tmp_path: Path, journal: str) -> None:
    database(
        tmp_path / "c.db",
        f"PRAGMA journal_mode={journal}",
        "CREATE TABLE countries (code INTEGER, name TEXT)",
        "INSERT INTO countries VALUES (5, 'five')",
    )
    path = serve(tmp_path, "{type: sqlite, path: c.db, table: countries, key: code, refresh: 10ms}")
    async with daemon_of(path) as daemon:
        assert [await named(5), await named(5.0), await named("5"), await named(6)] == ["five"] * 3 + ["nowhere"]
        database(tmp_path / "c.db", "INSERT INTO countries VALUES (6, 'six')")
        await until(lambda: table(daemon)["rows"] == 2)
        assert await named(6) == "six"
        database(tmp_path / "c.db", "DROP TABLE countries")
        await until(lambda: "no such table" in str(table(daemon)["error"]))
        assert await named(6) == "six"


async def test_a_query_is_asked_again_by_sqlalchemy(tmp_path: Path) -> None:
    database(tmp_path / "c.db", "CREATE TABLE c (code, name)", "INSERT INTO c VALUES ('DE', 'Germany')")
    settings = "{type: sql, url: 'sqlite:///c.db', query: 'SELECT * FROM c', key: code, refresh: 10ms}"
    async with daemon_of(serve(tmp_path, settings)) as daemon:
        assert await named("DE") == "Germany"
        database(tmp_path / "c.db", "UPDATE c SET name = 'Deutschland'")
        loaded = daemon.metrics.table("countries").refreshes["loaded"]._value
        seen = loaded.get()
        await until(lambda: loaded.get() >= seen + 2)
        assert await named("DE") == "Deutschland"


def test_a_reading_that_is_refused_leaves_no_connection_behind(tmp_path: Path) -> None:
    """Else each refresh would leave a transaction open, which others wait for."""
    database(tmp_path / "c.db", "CREATE TABLE c (code, name)", "INSERT INTO c VALUES ('DE', 1), ('DE', 2), ('FR', 3)")
    for where in ({"type": "sqlite", "path": "c.db"}, {"type": "sql", "url": "sqlite:///c.db"}):
        settings = TABLES[where["type"]].model_validate({**where, "query": "SELECT * FROM c", "key": "code"})
        with pytest.raises(TableError, match="stands twice") as refused:  # which holds on to all that has failed
            read(settings, tmp_path)
        assert not [path for path in opened() if path.startswith(str(tmp_path))], refused


def opened() -> list[str]:
    """The paths of the files that this process has open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(link.readlink()))
    return found


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    """A file that gives nothing to whoever reads it, as a database that does not answer."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    yield path
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


async def test_a_reading_that_does_not_end_is_given_up_and_holds_up_nothing(folder: Path, pipe: Path) -> None:
    path = serve(folder, "{type: csv, path: countries.csv, key: code, refresh: 5ms, timeout: 50ms}")
    async with daemon_of(path) as daemon:
        pipe.rename(folder / "countries.csv")
        await until(lambda: "reading it takes longer than 0.05 s" in str(table(daemon)["error"]))
        assert await named("DE") == "Germany"
        await until(lambda: "the last reading of it has not ended yet" in str(table(daemon)["error"]))
        os.close(os.open(folder / "countries.csv", os.O_WRONLY | os.O_NONBLOCK))
        put(folder / "countries.csv", "code,name\nDE,Deutschland\n")
        await until(lambda: table(daemon)["rows"] == 1)
        assert await named("DE") == "Deutschland"


async def test_a_daemon_that_waits_for_its_first_table_can_be_stopped(folder: Path, pipe: Path) -> None:
    daemon = Daemon(load([serve(folder, f"{{type: csv, path: {pipe.name}, key: code}}")]))
    task = asyncio.create_task(daemon.run())
    await asyncio.sleep(0.05)
    daemon.stop()
    async with asyncio.timeout(10):
        assert await task


# Secrets and the command


def run(folder: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return sluiceway(*arguments, cwd=folder, given=given, environment={"PEPPER": SECRET})


HASHING = """
from: s
rules:
  - name: hide
    set: {event.id: "${hash.hmac('sha256', 'pepper', event.code)}", event.t: "${mask.token(event.code, event.x)}"}
    to: x
tests:
  - name: it has a token
    given: [{event: {code: DE, x: pepper}}]
    then: {x: [{event: {t: ba68ddc5d7a98e34b05d9eed7dcef2f6}}]}
"""


def test_check_test_and_explain_see_tables_and_show_no_secret(folder: Path) -> None:
    text = "tables: {countries: {type: csv, path: countries.csv, key: code}}\nsecrets: {pepper: '${env:PEPPER}'}\n"
    (folder / "sluiceway.yaml").write_text(BASE + text)
    tested = "tests:\n- {name: a, given: [{event: {code: CH}}], then: {x: [{event: {name: Switzerland}}]}}\n"
    (folder / "f.yaml").write_text(RULES + tested)
    assert run(folder, "check").returncode == 0
    assert run(folder, "test").stdout == "ok   f: a\n1 passed, 0 failed\n"
    explained = run(folder, "explain", given='{"code": "DE"}')
    assert '"Germany"' in explained.stdout
    (folder / "f.yaml").write_text(HASHING)
    for given in ('{"code": "DE", "x": "pepper"}', '{"code": "DE", "x": "peper"}'):
        for options in ([], ["--json"]):
            done = run(folder, "explain", *options, given=given)
            assert done.returncode == 0
            assert SECRET not in done.stdout + done.stderr
    done = run(folder, "test")
    assert SECRET not in done.stdout + done.stderr
    (folder / "countries.csv").unlink()
    for command in (["check"], ["test"], ["explain"], ["run"], ["dead", "replay", "--all"]):
        done = run(folder, *command)
        assert done.returncode == 2
        assert done.stderr.startswith("sluiceway.yaml:5:39: table `countries` cannot be loaded: `countries.csv`")


def test_eval_says_where_tables_are(tmp_path: Path) -> None:
    done = run(tmp_path, "eval", "lookup('countries', 'DE')")
    assert done.returncode == 1
    assert "there is no table 'countries' here: only a flow of a daemon's file has tables" in done.stderr


async def test_a_secret_is_in_no_code_no_status_and_no_log(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = "secrets: {pepper: '${env:PEPPER}'}\ntables: {countries: {type: csv, path: countries.csv, key: code}}\n"
    found = config(folder, text, HASHING, PEPPER=SECRET)
    daemon = Daemon(found)
    ruleset = ruleset_of(found, found.flows[0], Json(), daemon.tables)
    with caplog.at_level(logging.DEBUG):
        task = asyncio.create_task(daemon.run())
        memory.source("s").push(memory.records({"code": "DE", "x": "pepper"}, {"code": "DE", "x": "nosuch"}))
        await until(lambda: memory.source("s").acked)
        shown = json.dumps(daemon.status()) + repr(found) + ruleset.code + caplog.text
        letters = [letter async for letter in daemon.store.find()]
        daemon.stop()
        assert await task
    assert [letter.detail for letter in letters] == [
        "set: event.t: there is no secret 'nosuch': known: pepper",
    ]
    assert SECRET not in shown + repr(letters)
