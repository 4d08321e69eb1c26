"""Malformed requests in great number against a daemon with http sources: no answer of 5xx, no traceback, no growth, and
the good requests among them are delivered, once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import shutil
import socket
import statistics
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bad_requests import MAKERS, MAX_BODY, Attempt, attempt, record, request
from daemon_process import Daemon

from tests.servers.ports import claim_port

AT_ONCE = 40
GROWTH_MB = 16.0
"""More than this between the second and the last quarter of the requests is growth."""
PATIENCE = 5.0
"""What the sources wait for a body, in seconds."""

CONFIG = """\
state_dir: ./state
http: {{listen: "127.0.0.1:0"}}
sources:
  events: {{type: http, {common}, path: /events}}
  rows: {{type: http, {common}, path: /rows, decode: csv}}
  strict: {{type: http, {common}, path: /strict}}
  signed: {{type: http, {common}, path: /signed, verify: {{scheme: github, secret: s}}}}
  tokens: {{type: http, {common}, path: /tokens, token: right}}
sinks:
  out: {{type: file, path: out.ndjson}}
flows: [all.yaml, strict.yaml]
"""
COMMON = f'listen: "127.0.0.1:{{port}}", max_body: {MAX_BODY}, timeout: {PATIENCE:g}s'
ALL = """\
from: [events, rows, signed, tokens]
rules: [{name: known, when: has(event.id), to: out}]
otherwise: {unmatched: drop, undecodable: drop, error: drop}
"""
STRICT = """\
from: strict
contract: {expect: {id is text: type(event.id) == string}}
rules: [{name: all, to: out}]
otherwise: {undecodable: reject, invalid: reject}
"""
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)


class Fuzz:
    """A daemon, and what happened to the requests that were sent to it."""

    def __init__(self, folder: Path) -> None:
        self.port = claim_port()
        common = COMMON.format(port=self.port)
        (folder / "sluiceway.yaml").write_text(CONFIG.format(common=common))
        (folder / "all.yaml").write_text(ALL)
        (folder / "strict.yaml").write_text(STRICT)
        self.daemon = Daemon(folder / "sluiceway.yaml")
        self.out = folder / "out.ndjson"
        self.seen: Counter[tuple[str, str]] = Counter()
        self.complaints: list[str] = []
        self.resident: list[float] = []
        self._sent: list[bytes] = []

    async def run(self, count: int, seed: int, kinds: Sequence[str] = ()) -> None:
        """Send so many requests, the same for each seed."""
        numbers = iter(range(count))

        async def work() -> None:
            for number in numbers:
                await self._try(number, attempt(random.Random(f"{seed}/{number}"), number, kinds))
                if number % 50 == 0:
                    self.resident.append(self._resident())

        async with asyncio.TaskGroup() as workers:
            for _ in range(AT_ONCE):
                workers.create_task(work())

    async def listening(self) -> None:
        """Wait until the sources are open."""
        async with asyncio.timeout(20):
            while not all(source["connected"] for source in self.daemon.status()["sources"].values()):
                await asyncio.sleep(0.02)

    async def _try(self, number: int, made: Attempt) -> None:
        try:
            answers = await self._send(made)
        except OSError as error:
            self.complaints.append(f"{number} {made.kind}: {type(error).__name__}: {error}")
            return
        statuses = [int(found) if (found := line[9:12]).isdigit() else 0 for line in answers]
        for status in statuses or [0]:
            self.seen[made.kind, str(status or "none")] += 1
        if wrong := [status for status in statuses if status not in made.statuses]:
            self.complaints.append(f"{number} {made.kind}: answered {wrong}, allowed {sorted(made.statuses)}")
        if made.records:
            if statuses != [200]:
                self.complaints.append(f"{number} {made.kind}: answered {statuses}")
            self._sent += made.records

    async def _send(self, made: Attempt) -> list[bytes]:
        """The first lines of the answers."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        answers: list[bytes] = []
        try:
            reading = asyncio.create_task(_read(reader, answers, made.answers))
            for piece in made.pieces:
                writer.write(piece)
                if made.pause:
                    await asyncio.wait([reading], timeout=made.pause)
            await asyncio.wait([reading], timeout=0.0 if made.ending != "wait" else PATIENCE + 5)
            reading.cancel()
        finally:
            if made.ending == "reset":
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort() if made.ending == "reset" else writer.close()
        return answers

    def _resident(self) -> float:
        pages = int(Path(f"/proc/{self.daemon.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    async def judge(self) -> None:
        """Whether the daemon is as well as it was: what it logged, how large it grew, and what it delivered."""
        await self._try(-1, Attempt("afterwards", [request(record(-1))], frozenset({200}), records=[record(-1)]))
        if not self.daemon.runs:
            self.complaints.append("the daemon has ended")
            return
        state = self.daemon.status()
        if not all(source["connected"] for source in state["sources"].values()):
            self.complaints.append(f"not all sources are connected: {state['sources']}")
        if (grown := self.growth()) > GROWTH_MB:
            self.complaints.append(f"memory grew by {grown:.1f} MB")
        if status := self.daemon.stop():
            self.complaints.append(f"it ended with {status}")
        log = self.daemon.log.read_text()
        self.complaints += [
            line for line in log.splitlines() if "Traceback" in line or '"level": "error"' in line.lower()
        ]
        delivered = Counter(self.out.read_bytes().splitlines())
        missing = [value for value in self._sent if not delivered[value]]
        twice = [value for value in self._sent if delivered[value] > 1]
        if missing or twice:
            self.complaints.append(f"{len(missing)} good records are missing, {len(twice)} are there twice")

    def growth(self) -> float:
        """By how many MB the median of the last quarter is above that of the second; the first one warms up."""
        quarter = len(self.resident) // 4
        before, after = self.resident[quarter : 2 * quarter + 1], self.resident[-quarter - 1 :]
        return statistics.median(after) - statistics.median(before)


async def _read(reader: asyncio.StreamReader, answers: list[bytes], most: int) -> None:
    """Take answers until there are so many, or no more come."""
    try:
        while len(answers) < most or not most:
            head = await reader.readuntil(b"\r\n\r\n")
            answers.append(head.split(b"\r\n", 1)[0])
            if (length := _LENGTH.search(head)) and not head.startswith(b"HTTP/1.1 100"):
                await reader.readexactly(int(length[1]))
            if head.startswith(b"HTTP/1.1 100"):
                answers.pop()
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        return


def fuzz(folder: Path, count: int, seed: int, kinds: Sequence[str] = ()) -> Fuzz:
    """Start the daemon, send it so many requests, and judge how it is afterwards."""
    made = Fuzz(folder)
    made.daemon.start()

    async def run() -> None:
        await made.listening()
        await made.run(count, seed, kinds)
        await made.judge()

    try:
        asyncio.run(run())
    finally:
        made.daemon.kill()
    return made


def main(arguments: list[str]) -> int:
    """Print what was answered to each kind of request; exit status 1 when anything went wrong."""
    parser = argparse.ArgumentParser(prog="python tests/faults fuzz-http", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--only", action="append", choices=list(MAKERS), help="only this kind, besides good ones")
    options = parser.parse_args(arguments)
    print(f"{options.count:,} requests, seed {options.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="sluiceway-fuzz-"))
    began = time.monotonic()
    made = fuzz(folder, options.count, options.seed, options.only or ())
    kinds: dict[str, list[str]] = {}
    for (kind, status), times in sorted(made.seen.items()):
        kinds.setdefault(kind, []).append(f"{status}: {times}")
    for kind, statuses in kinds.items():
        print(f"  {kind:30}{', '.join(statuses)}")
    at = [made.resident[len(made.resident) * step // 8] for step in range(8)] + [made.resident[-1]]
    print(
        f"{time.monotonic() - began:.0f} s; memory in MB: {' '.join(f'{one:.0f}' for one in at)}; {made.growth():+.1f}"
    )
    for complaint in made.complaints[:50]:
        print(f"  {complaint}")
    if made.complaints:
        print(f"BROKEN: {len(made.complaints)} complaint(s); {folder} is kept")
        return 1
    shutil.rmtree(folder)
    print("no 5xx, no traceback, no growth, every good record delivered once")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
