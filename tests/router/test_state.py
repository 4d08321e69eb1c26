"""The state folder: held by one instance, positions that survive kill -9, and errors that say what to do."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router import Json
from router.errors import StateError
from router.state import FILE, LOCK, StateDir

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDir]:
    with StateDir.open(tmp_path / "state") as opened:
        yield opened


def python(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python of its own that can import what is tested."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


async def test_positions_are_remembered_by_source(tmp_path: Path) -> None:
    """What one source saves it loads again, in the next instance too; another source sees none of it."""
    with StateDir.open(tmp_path) as state:
        positions = state.positions("a")
        assert positions.load() == {}
        await positions.save({"x": {"offset": 1}, "y": [1, None]})
        await positions.save({"x": {"offset": 2}, "z": 0})
        await positions.save({"y": None, "never": None})
        await positions.save({})
    with StateDir.open(tmp_path) as state:
        assert state.positions("a").load() == {"x": {"offset": 2}, "z": 0}
        assert state.positions("b").load() == {}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=8,
)
# Names of files that are no valid text come as lone surrogates.
keys = st.text(st.characters()) | st.binary().map(os.fsdecode)


@settings(max_examples=60, deadline=None)
@given(calls=st.lists(st.dictionaries(keys, json_values, max_size=5), max_size=5))
def test_positions_are_a_dictionary(tmp_path_factory: pytest.TempPathFactory, calls: list[dict[str, Json]]) -> None:
    """Whatever is saved, in however many calls, load() is what a dictionary would hold, None taken away."""
    expected: dict[str, Json] = {}

    async def save() -> dict[str, Json]:
        for entries in calls:
            await positions.save(entries)
            expected.update(entries)
        return positions.load()

    folder = tmp_path_factory.mktemp("state")
    with StateDir.open(folder) as state:
        positions = state.positions("s")
        assert asyncio.run(save()) == {key: value for key, value in expected.items() if value is not None}
    shutil.rmtree(folder)


async def test_many_saves_neither_get_lost_nor_let_the_log_grow(state: StateDir) -> None:
    """The last of many saves holds, and the write-ahead log is copied back now and then."""
    positions = state.positions("s")
    for number in range(5000):
        await positions.save({"n": number, f"k{number % 7}": number})
    assert positions.load()["n"] == 4999
    assert (state.path / (FILE + "-wal")).stat().st_size < 16 << 20


async def test_a_large_save_is_one_transaction(state: StateDir) -> None:
    """Thousands of entries go in together."""
    entries: dict[str, Json] = {str(number): number for number in range(5000)}
    await state.positions("s").save(entries)
    assert state.positions("s").load() == entries


async def test_a_save_that_finds_the_file_locked_waits_beside_the_loop(state: StateDir) -> None:
    """While another process holds the write lock the loop turns, later saves do not overtake, and all arrive."""
    other = sqlite3.connect(state.path / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    positions = state.positions("s")
    first = asyncio.create_task(positions.save({"n": 1, "first": True}))
    second = asyncio.create_task(positions.save({"n": 2}))
    for _ in range(50):
        await asyncio.sleep(0.001)  # the loop turns, or this never ends: the lock is this task's own
    assert not first.done()
    assert not second.done()
    assert positions.load() == {}
    first.cancel()  # its caller is gone, but it must not come after the second one
    other.execute("ROLLBACK")
    other.close()
    await second
    await positions.save({"last": 3})
    assert positions.load() == {"n": 2, "first": True, "last": 3}


async def test_the_writing_thread_keeps_the_order_of_its_calls(state: StateDir) -> None:
    """Transactions happen one after the other; one that fails leaves nothing, and the next one works."""

    def insert(number: int) -> Callable[[sqlite3.Connection], int]:
        def work(connection: sqlite3.Connection) -> int:
            connection.execute("INSERT INTO positions VALUES ('s', ?, '1')", (str(number).encode(),))
            if number == 3:
                raise ZeroDivisionError
            return number

        return work

    results = await asyncio.gather(*(state.write(insert(n)) for n in range(6)), return_exceptions=True)
    assert [r for r in results if isinstance(r, int)] == [0, 1, 2, 4, 5]
    assert isinstance(results[3], ZeroDivisionError)
    assert set(state.positions("s").load()) == {"0", "1", "2", "4", "5"}


def test_a_second_instance_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    """The message names the pid and what to do; when the holder is killed the folder is free, whatever it left."""
    holder = python(
        "import sys, time; from router.state import StateDir; s = StateDir.open(sys.argv[1]); print('up', flush=True);"
        "time.sleep(60)",
        tmp_path,
    )
    try:
        assert first_line(holder) == "up\n"
        with pytest.raises(StateError, match=rf"in use by process {holder.pid}; stop it first, or give .* state_dir"):
            StateDir.open(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with StateDir.open(tmp_path):
            assert (tmp_path / LOCK).read_text() == f"{os.getpid()}\n"
        assert (tmp_path / LOCK).read_text() == ""
    finally:
        end(holder)


def test_one_process_does_not_hold_a_folder_twice(tmp_path: Path) -> None:
    """Not even the same process may open it again, until it is closed."""
    first = StateDir.open(tmp_path)
    with pytest.raises(StateError, match=f"process {os.getpid()}"):
        StateDir.open(tmp_path)
    first.close()
    first.close()
    StateDir.open(tmp_path).close()


SAVER = """
import asyncio, sys
from router.state import StateDir
async def main():
    with StateDir.open(sys.argv[1]) as state:
        positions = state.positions("s")
        for number in range(10**9):
            await positions.save({"a": number, "b": -number})
            print(number, flush=True)
asyncio.run(main())
"""


def test_positions_survive_kill_9(tmp_path: Path) -> None:
    """A save that returned is there after kill -9, and never half of one, each of several times."""
    for round_ in range(5):
        saver = python(SAVER, tmp_path)
        try:
            assert saver.stdout is not None
            for _ in range(30 + 300 * round_):
                saver.stdout.readline()
            saver.send_signal(signal.SIGKILL)
            said = [line for line in saver.communicate()[0].split("\n") if line]
        finally:
            end(saver)
        with StateDir.open(tmp_path) as state:
            loaded = state.positions("s").load()
        assert isinstance(loaded["a"], int)
        assert loaded["b"] == -loaded["a"]
        assert loaded["a"] >= (int(said[-2]) if len(said) > 1 else 29 + 300 * round_)


async def test_a_visitor_reads_and_writes_while_an_instance_runs(state: StateDir) -> None:
    """Visiting needs no lock, and sees what is committed."""
    await state.positions("s").save({"n": 1})
    with StateDir.visit(state.path) as visitor:
        assert visitor.positions("s").load() == {"n": 1}
        await visitor.positions("other").save({"m": 2})
        await state.positions("s").save({"n": 3})
        assert visitor.positions("s").load() == {"n": 3}
    assert state.positions("other").load() == {"m": 2}


def test_a_visitor_makes_nothing(tmp_path: Path) -> None:
    """A folder that no instance has used, or that is not there, is an error and stays as it is."""
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(StateError, match="no instance has run with it yet"):
            StateDir.visit(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_visitor_after_the_instance_has_ended(tmp_path: Path) -> None:
    """The folder can be visited when nobody holds it, and holding it is possible meanwhile."""
    StateDir.open(tmp_path).close()
    with StateDir.visit(tmp_path), StateDir.open(tmp_path):
        pass


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    """A file of a later version is left alone, and the folder free."""
    StateDir.open(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    for way in (StateDir.open, StateDir.visit, StateDir.open):
        with pytest.raises(StateError, match=r"newer version of sluiceway \(schema 99"):
            way(tmp_path)


@pytest.mark.parametrize("damage", ["no database", "header", "middle"])
async def test_a_damaged_file_is_told(tmp_path: Path, damage: str) -> None:
    """Whatever is broken, it is a StateError that names the file, and the file is not touched."""
    with StateDir.open(tmp_path) as state:
        await state.positions("s").save({str(n): "x" * 500 for n in range(500)})
    file = tmp_path / FILE
    content = file.read_bytes()
    if damage == "no database":
        file.write_bytes(b"hello, I am a text\n" * 1000)
    elif damage == "header":
        file.write_bytes(b"\x00" * 100 + content[100:])
    else:
        file.write_bytes(content[:4096] + os.urandom(len(content) - 4096))
    broken = file.read_bytes()
    with (
        pytest.raises(StateError, match=rf"{FILE}: the file is damaged .*move it away"),
        StateDir.open(tmp_path) as state,
    ):
        state.positions("s").load()
    assert file.read_bytes() == broken


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file in its place, or as its parent, is an error that names it."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "state"):
        with pytest.raises(StateError, match=r"file.* cannot be used"):
            StateDir.open(folder)


SMALL_DISK = """
import asyncio, sys
from router.errors import StateError
from router.state import StateDir
async def main():
    with StateDir.open(sys.argv[1]) as state:
        positions = state.positions("s")
        saved = 0
        try:
            while True:
                await positions.save({f"{saved}-{part}": "x" * 1000 for part in range(20)})
                saved += 1
        except StateError as error:
            print(error)
        held = set(positions.load())
        assert saved > 3
        assert held == {f"{number}-{part}" for number in range(saved) for part in range(20)}, saved
    print("whole")
asyncio.run(main())
"""


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0,
    reason="a small disk needs a mount namespace",
)
def test_a_full_disk_is_told_and_leaves_nothing_in_part(tmp_path: Path) -> None:
    """On a disk of one MiB, the save that no longer fits raises StateError and leaves all earlier ones whole."""
    mounted = 'mount -t tmpfs -o size=1m none "$1" && exec "$0" -c "$2" "$1"'
    ran = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mounted, sys.executable, str(tmp_path), SMALL_DISK],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "the disk is full" in ran.stdout
    assert ran.stdout.endswith("whole\n")
