"""A state folder that cannot be written: the flows that need it wait, everybody is told, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from daemons import daemon_of, page

from connectors import memory
from router import Batch
from router.daemon import Daemon
from router.deadletters import DeadLetters
from router.errors import StateError
from router.letter import Letter
from router.state import FILE, StateDir
from router.testing import until

CONFIG = """
state_dir: state
http: {listen: "127.0.0.1:0"}
sources: {orders: {type: memory, channel: orders}, clicks: {type: memory, channel: clicks}}
sinks: {archive: {type: memory, channel: archive}}
flows: [orders.yaml, clicks.yaml]
"""
RULES = "from: [NAME]\ncontract: {expect: {positive: event.n > 0}}\nrules: [{name: all, to: archive}]\n"


@pytest.fixture(autouse=True)
def _fresh_channels() -> None:
    memory.forget()


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Daemon]:
    for name in ("orders", "clicks"):
        (folder / f"{name}.yaml").write_text(RULES.replace("NAME", name))
    (folder / "sluiceway.yaml").write_text(CONFIG)
    async with daemon_of(folder / "sluiceway.yaml") as daemon:
        yield daemon


def large(*numbers: int) -> Batch:
    return memory.records(*(b'{"n":%d,"filling":"%s"}' % (n, b"." * 5000) for n in range(*numbers)))


async def limit(daemon: Daemon, pages: int) -> None:
    """SQLite takes the file for full at so many pages."""
    await daemon.letters.state.write(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}"))


async def test_a_full_store_is_told_everywhere_and_loses_nothing(tmp_path: Path) -> None:
    """Status, readyz and metrics say so while the flow waits; other flows go on; with more room each letter is there
    once, and all is well again."""
    async with running(tmp_path) as daemon:
        orders, clicks = memory.source("orders"), memory.source("clicks")
        await limit(daemon, 1)  # at least what it has
        orders.push(large(0, -100, -1))
        await until(lambda: daemon.letters.state.error)
        status, why = await page(daemon, "/readyz")
        assert (status, "the disk is full" in why, str(tmp_path) in why) == (503, True, False)
        assert "sluiceway_state_writable 0.0" in (await page(daemon, "/metrics"))[1]
        assert (await page(daemon, "/healthz"))[0] == 200
        told = json.loads((await page(daemon, "/api/status"))[1])
        assert told["ready"] is False
        assert "the disk is full" in told["dead_letters"]["error"]
        clicks.push(memory.records({"n": 1}))
        await until(lambda: clicks.acked)
        assert orders.acked == []
        await limit(daemon, 100_000)
        await until(lambda: orders.acked)
        assert await page(daemon, "/readyz") == (200, "ok\n")
        assert "sluiceway_state_writable 1.0" in (await page(daemon, "/metrics"))[1]
    with StateDir.visit(tmp_path / "state") as state:
        values = [json.loads(letter.value)["n"] async for letter in DeadLetters(state).find()]
    assert values == [-n for n in range(100)]


async def test_what_the_sink_refuses_waits_for_the_store_too(tmp_path: Path) -> None:
    """A refused record is neither lost nor acknowledged while it cannot be kept."""
    memory.sink("archive").on_write = lambda batch: memory.refuse(batch, *batch.values)
    async with running(tmp_path) as daemon:
        orders = memory.source("orders")
        await limit(daemon, 1)
        orders.push(large(1, 50, 1))
        await until(lambda: daemon.letters.state.error)
        assert orders.acked == []
        await limit(daemon, 100_000)
        await until(lambda: orders.acked)
        assert daemon.letters.state.error == ""
    with StateDir.visit(tmp_path / "state") as state:
        assert len([letter async for letter in DeadLetters(state).find()]) == 49


async def test_orders_that_the_audit_cannot_hold_are_refused_and_a_reload_is_done_and_counted(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon, aiohttp.ClientSession() as session:
        assert daemon.admin is not None
        url = f"{daemon.admin.url}/api"
        await daemon.letters.state.write(lambda connection: connection.execute("PRAGMA query_only = 1"))
        for path in ("/sources/orders/pause", "/dead_letters/replay", "/dead_letters/purge"):
            async with session.post(url + path, json={"all": True} if "letters" in path else {}) as answer:
                assert (answer.status, path) == (503, path)
        assert daemon.intakes["orders"].state == "running"
        async with session.post(f"{url}/reload", json={}) as answer:
            assert answer.status == 200
        assert 'sluiceway_audit_failures_total{action="reload"} 1.0' in (await page(daemon, "/metrics"))[1]


FILES = """
drain_timeout: 1s
state_dir: state
http: {listen: "127.0.0.1:PORT"}
sources: {orders: {type: file, path: in.ndjson, follow: true, poll: 50ms}}
sinks: {archive: {type: file, path: archive.ndjson}}
flows: [orders.yaml]
"""


def broken(file: Path) -> None:
    """Overwrite the pages of the letters, as a failing disk may."""
    content = file.read_bytes()
    file.write_bytes(content[: 16 * 4096] + b"\xa5" * (len(content) - 16 * 4096))


def test_a_damaged_store_stops_the_flow_loudly(tmp_path: Path, unused_tcp_port: int) -> None:
    """Letters that cannot be kept are not acknowledged: once the file was moved away, as the message says to, they are
    read again and kept."""
    (tmp_path / "sluiceway.yaml").write_text(FILES.replace("PORT", str(unused_tcp_port)))
    (tmp_path / "orders.yaml").write_text(RULES.replace("NAME", "orders"))
    with StateDir.open(tmp_path / "state") as state:
        old = [Letter(time=1, flow="f", stage="rule", source="s", reason="r", value=bytes(500)) for _ in range(2000)]
        asyncio.run(DeadLetters(state).add_many(old))
    broken(tmp_path / "state" / FILE)
    (tmp_path / "in.ndjson").write_text('{"n":-1}\n{"n":1}\n')
    with started(tmp_path) as run:
        try:
            status, why = waited_for(f"http://127.0.0.1:{unused_tcp_port}/readyz", 503, "damaged")
            assert (status, "move it away to begin anew" in why) == (503, True)
        finally:
            run.send_signal(signal.SIGTERM)
            _, errors = run.communicate(timeout=60)
    assert "1 dead letter(s) cannot be kept, so their flow waits" in errors
    shutil.move(tmp_path / "state" / FILE, tmp_path / "damaged.db")
    for rest in (tmp_path / "state").glob(f"{FILE}-*"):
        rest.unlink()
    config = tmp_path / "sluiceway.yaml"
    config.write_text(config.read_text().replace("follow: true", "follow: false"))
    with started(tmp_path) as run:
        assert run.wait(60) == 0
    with StateDir.visit(tmp_path / "state") as state:
        assert asyncio.run(values(state)) == [b'{"n":-1}']


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    """A read-only file system ends the start with what is wrong."""
    with StateDir.open(tmp_path / "state"):
        pass
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$0" -c "$2" "$1"'
    program = "import sys; from router.state import StateDir; StateDir.open(sys.argv[1])"
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, sys.executable, str(tmp_path / "state"), program],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    if "unshare" in ran.stderr or "mount:" in ran.stderr:
        pytest.skip("mounting is not permitted here")
    assert "cannot be used: Read-only file system" in ran.stderr


async def test_a_file_that_is_taken_away_is_told(tmp_path: Path) -> None:
    """What would be written where nobody finds it waits: for the file to come back, or for a restart."""
    async with running(tmp_path) as daemon:
        orders, file = memory.source("orders"), tmp_path / "state" / FILE
        file.rename(tmp_path / "elsewhere")
        orders.push(large(0, -3, -1))
        await until(lambda: "was removed or replaced" in daemon.letters.state.error)
        with pytest.raises(StateError, match="move it back, or restart"):
            await daemon.letters.state.positions("s").save({"n": 1})
        assert orders.acked == []
        (tmp_path / "elsewhere").rename(file)
        await until(lambda: orders.acked)
    with StateDir.visit(tmp_path / "state") as state:
        assert len(await values(state)) == 3


async def test_who_insists_waits_until_it_is_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The result comes in the end, and while nobody waits there is no error; who gives up leaves none behind."""
    with StateDir.open(tmp_path) as state:
        tries = iter([StateError("full"), StateError("still full"), None])

        async def write() -> str:
            if (error := next(tries)) is not None:
                raise error
            return "written"

        async def never() -> None:
            raise StateError("never")

        other = asyncio.create_task(state.insist(never, "a letter waits"))
        assert await state.insist(write, "another letter waits") == "written"
        assert state.error == "never"
        other.cancel()
        with pytest.raises(asyncio.CancelledError):
            await other
        assert state.error == ""
    assert "another letter waits: still full" in caplog.text


def started(folder: Path) -> subprocess.Popen[str]:
    command = [str(Path(sys.executable).with_name("sluiceway")), "run"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def waited_for(url: str, status: int, text: str) -> tuple[int, str]:
    """What a page says, as soon as it says that, or in the end."""
    deadline, told = time.monotonic() + 30, (0, "")
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                told = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            told = error.code, error.read().decode()
        except OSError:
            told = 0, "nobody there"
        if told[0] == status and text in told[1]:
            break
        time.sleep(0.1)
    return told


async def values(state: StateDir) -> list[bytes]:
    return [letter.value async for letter in DeadLetters(state).find()]
