"""kill -9 while clients post with retries and keys of idempotency: every answered record is delivered, none twice."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from daemon_process import Daemon

from tests.servers.ports import claim_port

CONFIG = """\
state_dir: ./state
http: {{listen: "127.0.0.1:0"}}
sources:
  events: {{type: http, listen: "127.0.0.1:{port}", path: /events}}
sinks:
  out: {{type: file, path: out.ndjson}}
flows: [flow.yaml]
"""
FLOW = """\
from: events
rules: [{name: all, when: has(event.id), to: out}]
otherwise: {unmatched: dead_letter}
"""
AGAIN = 0.2
"""So many of the answered requests are sent once more."""


@dataclass(slots=True)
class Posted:
    """A request: how often it was sent, how often that was cut off, and whether it was answered."""

    key: str
    records: list[bytes]
    sent: int = 0
    cut: int = 0
    answered: bool = False


@dataclass(slots=True)
class Verdict:
    """What became of all requests."""

    requests: int = 0
    cut: int = 0
    replayed: int = 0
    wrong: list[str] = field(default_factory=list)


class Ordeal:
    """A daemon that is killed, and clients that do not give up."""

    def __init__(self, folder: Path, clients: int, seed: int) -> None:
        self.port = claim_port()
        (folder / "sluiceway.yaml").write_text(CONFIG.format(port=self.port))
        (folder / "flow.yaml").write_text(FLOW)
        self.daemon = Daemon(folder / "sluiceway.yaml")
        self.out = folder / "out.ndjson"
        self.posted: list[Posted] = []
        self.verdict = Verdict()
        self._clients = clients
        self._rng = random.Random(seed)
        self._over = False

    async def suffer(self, kills: int) -> Verdict:
        """So many kills, at random moments while the clients post; then what became of everything."""
        self.daemon.start()
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            for number in range(self._clients):
                group.create_task(self._post(session, random.Random(f"{self._rng.random()}"), number))
            for _ in range(kills):
                await self._answers(self._rng.randint(1, 30))
                await asyncio.sleep(self._rng.uniform(0, 0.05))
                await asyncio.to_thread(self.daemon.kill)
                await asyncio.to_thread(self.daemon.start)
            await self._answers(50)
            self._over = True
        if status := self.daemon.stop():
            self.verdict.wrong.append(f"it ended with {status}")
        self._judge()
        return self.verdict

    async def _answers(self, count: int) -> None:
        """Wait until so many more requests are answered."""
        async with asyncio.timeout(60):
            wanted = self._answered() + count
            while self._answered() < wanted:
                await asyncio.sleep(0.001)

    def _answered(self) -> int:
        return sum(posted.answered for posted in self.posted)

    async def _post(self, session: aiohttp.ClientSession, rng: random.Random, client: int) -> None:
        number = 0
        while not self._over:
            number += 1
            records = [b'{"id":"%d/%d/%d"}' % (client, number, part) for part in range(rng.randint(1, 4))]
            posted = Posted(f"{client}-{number}", records)
            self.posted.append(posted)
            await self._until_answered(session, posted)
            if rng.random() < AGAIN:
                await self._until_answered(session, posted)

    async def _until_answered(self, session: aiohttp.ClientSession, posted: Posted) -> None:
        """Send a request until it is answered 200."""
        while True:
            answered = posted.answered
            posted.sent += 1
            try:
                async with session.post(
                    f"http://127.0.0.1:{self.port}/events",
                    data=b"\n".join(posted.records),
                    headers={"Idempotency-Key": f'"{posted.key}"'},
                ) as answer:
                    await answer.read()
                    if answer.status == 200:
                        posted.answered = True
                        if answered and answer.headers.get("Idempotency-Replayed") != "true":
                            self.verdict.wrong.append(f"{posted.key} was answered, and then taken for a new one")
                        self.verdict.replayed += answered
                        return
                    if answer.status not in (429, 503):
                        self.verdict.wrong.append(f"{posted.key}: answered {answer.status}")
            except aiohttp.ClientConnectorError:
                pass  # nobody is there
            except aiohttp.ClientError:
                posted.cut += 1
            await asyncio.sleep(0.01)

    def _judge(self) -> None:
        verdict = self.verdict
        verdict.requests = len(self.posted)
        verdict.cut = sum(posted.cut > 0 for posted in self.posted)
        delivered = Counter(self.out.read_bytes().splitlines())
        for posted in self.posted:
            times = {delivered.pop(record, 0) for record in posted.records}
            if posted.answered and min(times) < 1:
                verdict.wrong.append(f"{posted.key} was answered, and is not whole: {times}")
            if max(times) > 1:
                verdict.wrong.append(f"{posted.key} is there {max(times)} times, and was cut off {posted.cut} times")
        if delivered:
            verdict.wrong.append(f"{len(delivered)} lines that nobody sent, such as {next(iter(delivered))!r}")


def main(arguments: list[str]) -> int:
    """Print what was counted; exit status 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python tests/faults kill-http", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args(arguments)
    print(f"{options.kills} kills, {options.clients} clients, seed {options.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="sluiceway-kill-http-"))
    ordeal = Ordeal(folder, options.clients, options.seed)
    began = time.monotonic()
    try:
        verdict = asyncio.run(ordeal.suffer(options.kills))
    finally:
        ordeal.daemon.kill()
    print(f"{verdict.requests:,} requests in {time.monotonic() - began:.0f} s, all answered")
    print(f"{verdict.replayed:,} sent again after their answer, each answered from memory")
    print(f"{verdict.cut} cut off by a kill and sent again")
    for wrong in verdict.wrong[:20]:
        print(f"  {wrong}")
    if verdict.wrong:
        print(f"BROKEN: {len(verdict.wrong)} complaint(s); {folder} is kept")
        return 1
    shutil.rmtree(folder)
    print("every answered record is delivered, none twice")
    return 0
