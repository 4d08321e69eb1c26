"""A disk buffer on a disk that is full: nothing is lost, it says so, and it empties itself without help."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

PRELUDE = """
import asyncio, contextlib, logging, os, signal, sys
from pathlib import Path
sys.path.insert(0, "tests/router")
from buffering import Buffered
from connectors.memory import MemorySink
from router.testing import part, running, until
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
folder = Path(sys.argv[1])
ballast = folder / "ballast"
def payload(number):
    return b"%06d" % number + os.urandom(16_000)
def free():
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
def fill():
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
def fresh():
    sink = MemorySink(MemorySink.Config())
    sink.down = True
    return Buffered(folder, sink, limit=1 << 30, queue_bytes=1 << 20, queue_records=1000, batch_bytes=1 << 18)
async def put_all(buffered, start, count, receipts):
    for number in range(start, start + count):
        receipts.append(await buffered.outlet.put(part(payload(number))))
def numbers(sink):
    return [int(value[:6]) for value in sink.values]
"""

OWN_FAULT = """
async def main():
    buffered = fresh()
    receipts = []
    async with running(buffered.outlet.run):
        putting = asyncio.create_task(put_all(buffered, 0, 10_000, receipts))
        await until(lambda: buffered.outlet.error, 60)
        print("error:", buffered.outlet.status()["buffer"]["error"])
        safe = sum(receipt.done() for receipt in receipts)
        assert 1000 < safe < 10_000, safe
        assert free() > 10 << 20, free()
        await buffered.books.box.put([])
        await buffered.books.state.positions("s").save({"n": 1})
        assert not putting.done()
        buffered.sink.down = False
        await until(putting.done, 100)
        await asyncio.gather(*receipts)
        await buffered.outlet.drain()
        assert buffered.outlet.status()["buffer"]["error"] is None
    assert numbers(buffered.sink) == list(range(10_000))
    buffered.close()
    print("whole")
asyncio.run(main())
"""

OTHERS_FAULT = """
async def main():
    buffered = fresh()
    receipts = []
    async with running(buffered.outlet.run):
        await put_all(buffered, 0, 200, receipts)
        await asyncio.gather(*receipts)
        fill()
        putting = asyncio.create_task(put_all(buffered, 200, 300, receipts))
        await until(lambda: buffered.outlet.error, 60)
        print("error:", buffered.outlet.status()["buffer"]["error"])
        buffered.sink.down = False
        await until(lambda: buffered.sink.values, 60)
        await asyncio.sleep(0.5)
        assert not putting.done()
        assert len(buffered.sink.values) <= 200
        ballast.unlink()
        await until(putting.done, 60)
        await asyncio.gather(*receipts)
        await buffered.outlet.drain()
    assert numbers(buffered.sink) == list(range(500))
    buffered.close()
    print("whole")
asyncio.run(main())
"""

KILLED = """
async def main():
    buffered = fresh()
    receipts = []
    async with running(buffered.outlet.run):
        await put_all(buffered, 0, 200, receipts)
        await asyncio.gather(*receipts)
        fill()
        putting = asyncio.create_task(put_all(buffered, 200, 300, receipts))
        await until(lambda: buffered.outlet.error, 60)
        print("safe:", sum(receipt.done() for receipt in receipts), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""

AGAIN = """
async def main():
    ballast.unlink()
    buffered = fresh()
    buffered.sink.down = False
    async with running(buffered.outlet.run):
        await buffered.outlet.drain()
    assert numbers(buffered.sink) == list(range(len(buffered.sink.values)))
    print("there:", len(buffered.sink.values))
asyncio.run(main())
"""


def on_a_small_disk(folder: Path, mib: int, *scripts: str) -> str:
    """What scripts print that run, one after the other, on a disk of their own. The last one has to succeed."""
    run = 'mount -t tmpfs -o size="$2"m none "$1" && for script in "$3" ${4:+"$4"}; do "$0" -c "$script" "$1"; done'
    ran = subprocess.run(
        ["unshare", "-rm", "sh", "-c", run, sys.executable, str(folder), str(mib), *(PRELUDE + one for one in scripts)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
        timeout=200,
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    return ran.stdout


pytestmark = pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0,
    reason="a small disk needs a mount namespace",
)


def test_a_buffer_that_fills_its_disk_leaves_room_for_other_things_and_empties_itself(tmp_path: Path) -> None:
    """It takes nothing more while there is hardly any room left, whatever its bound says; dead letters and positions
    can still be kept; and when the sink is back everything goes on, with nobody making room."""
    printed = on_a_small_disk(tmp_path, 64, OWN_FAULT)
    assert "buffer.sink.db: the disk is all but full; make room: the last 16 MiB are for other things" in printed
    assert printed.endswith("whole\n")


def test_a_disk_that_others_filled_holds_it_up_until_there_is_room(tmp_path: Path) -> None:
    printed = on_a_small_disk(tmp_path, 48, OTHERS_FAULT)
    assert "error:" in printed
    assert printed.count("cannot be written, and is tried again") < 5
    assert printed.endswith("whole\n")


def test_a_process_that_dies_on_a_full_disk_leaves_everything_that_was_acknowledged(tmp_path: Path) -> None:
    printed = on_a_small_disk(tmp_path, 48, KILLED, AGAIN)
    safe, there = (int(re.findall(f"^{word}: (\\d+)$", printed, re.MULTILINE)[0]) for word in ("safe", "there"))
    assert 200 <= safe <= there < 500
