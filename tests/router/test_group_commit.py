"""Writes that share transactions: quick together, and each by itself all or nothing."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.group_commit import Writer


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(made(tmp_path / "file.db")) as opened:
        yield opened


def made(file: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY, payload BLOB)")
    return connection


def insert(number: int, payload: bytes = b"") -> Callable[[sqlite3.Connection], int]:
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO numbers VALUES (?, ?)", (number, payload))
        return number

    return work


def nothing() -> None:
    """Nothing makes a transaction fail before it has begun."""


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [number for (number,) in connection.execute("SELECT number FROM numbers ORDER BY number")]


async def test_what_waits_together_is_committed_together(connection: sqlite3.Connection) -> None:
    """A hundred writes that come while one is under way need two transactions more, and have their own results."""
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    writer, hold = Writer(connection, nothing, nullcontext), threading.Event()

    def wait(_: sqlite3.Connection) -> None:
        hold.wait()

    first = writer.submit(wait)
    rest = [writer.submit(insert(number)) for number in range(100)]
    hold.set()
    await first
    assert await asyncio.gather(*rest) == list(range(100))
    writer.close()
    assert statements.count("COMMIT") == 3
    assert numbers(connection) == list(range(100))


async def test_one_that_is_cancelled_before_it_began_does_not_happen(connection: sqlite3.Connection) -> None:
    """The others do."""
    writer, hold = Writer(connection, nothing, nullcontext), threading.Event()

    def wait(_: sqlite3.Connection) -> None:
        hold.wait()

    first, second, third = writer.submit(wait), writer.submit(insert(2)), writer.submit(insert(3))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    hold.set()
    await asyncio.gather(first, third)
    writer.close()
    assert numbers(connection) == [3]


async def test_a_disk_that_is_full_fails_those_that_found_no_room(connection: sqlite3.Connection) -> None:
    """What is told to be written is there, what is told to have failed is not, and later ones are written again."""
    connection.execute("PRAGMA max_page_count = 40")
    writer = Writer(connection, nothing, nullcontext)
    rows = [insert(number, bytes(20_000 if number % 3 else 10)) for number in range(30)]
    results = await asyncio.gather(*map(writer.submit, rows), return_exceptions=True)
    written = [number for number, result in enumerate(results) if result == number]
    assert numbers(connection) == written
    assert 0 < len(written) < 30
    assert all(result == number or "full" in str(result) for number, result in enumerate(results))
    connection.execute("PRAGMA max_page_count = 400")
    assert await writer.submit(insert(99, bytes(20_000))) == 99
    writer.close()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from(["plain", "plain", "raises", "errs", "nested"])), max_size=30
    )
)
def test_each_is_all_or_nothing(writes: list[tuple[int, str]]) -> None:
    """Whatever writes do and however they fail, in whatever company: in the end there is what they would have left one
    after the other."""

    def work(number: int, how: str) -> Callable[[sqlite3.Connection], None]:
        def run(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE numbers SET payload = 'seen' WHERE number < ?", (number,))
            connection.execute("INSERT INTO numbers VALUES (?, ?)", (number, b"new"))
            if how == "raises":
                raise ZeroDivisionError
            if how == "errs":
                connection.execute("INSERT INTO numbers VALUES (?, ?)", (number, b"again"))
            if how == "nested":
                connection.execute("SAVEPOINT plain")
                connection.execute("DELETE FROM numbers")
                connection.execute("ROLLBACK TO plain")
                connection.execute("RELEASE plain")

        return run

    async def together(connection: sqlite3.Connection) -> list[object]:
        writer = Writer(connection, nothing, nullcontext)
        try:
            return list(
                await asyncio.gather(*(writer.submit(work(*write)) for write in writes), return_exceptions=True)
            )
        finally:
            writer.close()

    def one_by_one(connection: sqlite3.Connection) -> list[object]:
        results: list[object] = []
        for write in writes:
            connection.execute("BEGIN")
            try:
                results.append(work(*write)(connection))
                connection.execute("COMMIT")
            except (ZeroDivisionError, sqlite3.IntegrityError) as error:
                connection.execute("ROLLBACK")
                results.append(error)
        return results

    with closing(made(":memory:")) as ours, closing(made(":memory:")) as theirs:
        results, expected = asyncio.run(together(ours)), one_by_one(theirs)
        assert list(map(type, results)) == list(map(type, expected))
        everything = "SELECT * FROM numbers ORDER BY number"
        assert ours.execute(everything).fetchall() == theirs.execute(everything).fetchall()
