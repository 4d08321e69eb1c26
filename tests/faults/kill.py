"""kill -9 at many random moments while one large file is routed; started again each time, until the file is done.

Between two kills, and after the last one, repeats are counted by themselves: each kill may repeat at most what was
unsettled when it came, one window of the pipeline.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import orjson
from daemon_process import Daemon, NotReady
from oracle import Findings, Id, Ledger, Oracle, Verdict, lines_of

from bench.events import events_file
from bench.route import SINKS, write_configuration
from router.outlet import Policy
from router.settler import UNSETTLED_BYTES

WINDOW_WITH_BUFFERS = UNSETTLED_BYTES + Policy().queue_bytes
"""What came from the source and was not acknowledged, and what was on its way from the buffers to the sinks."""

_ID = re.compile(rb'\{"id":(\d+),')
_USER = re.compile(rb'"user":\{"id":"(u\d+)"')


class Events:
    """The benchmark's events and its four rules, stated once more."""

    @staticmethod
    def identify(line: bytes) -> Id | None:
        """Each line begins with its number."""
        found = _ID.match(line)
        return ("events", int(found[1])) if found else None

    @staticmethod
    def judge(source: str, line: bytes) -> Verdict:
        """The four rules, by hand; order is kept for each user."""
        event = orjson.loads(line)
        if event["type"] == "order" and event["amount"] > 500:
            sink = "orders"
        elif event["user"]["plan"] in {"pro", "team"}:
            sink = "paying"
        elif event["device"][:7] == "sensor-":
            sink = "sensors"
        else:
            sink = "archive"
        return Verdict(sinks={sink: None}, key=event["user"]["id"].encode())


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: how far the outputs were, in bytes of whole lines, and how much came again afterwards."""

    ends: dict[str, int]
    seconds: float


class Ordeal:
    """The daemon with its file, killed and started until the file is done."""

    def __init__(self, folder: Path, source: Path, kills: int, rng: random.Random, *, buffers: bool = False) -> None:
        self.out = folder / "out"
        self.window = WINDOW_WITH_BUFFERS if buffers else UNSETTLED_BYTES
        config = write_configuration(folder, source, buffer="{type: disk, bytes: 64MiB}" if buffers else "")
        self._daemon = Daemon(config)
        size = source.stat().st_size
        self._moments = sorted(rng.uniform(0, size) for _ in range(kills))
        self._rng = rng
        self.kills: list[Kill] = []

    def suffer(self) -> int:
        """Kill it at every moment, then let it end; its exit status."""
        self._daemon.start(wait=False)
        began = time.monotonic()
        for moment in self._moments:
            while self._daemon.runs and sum(self.sizes().values()) < moment:
                time.sleep(0.002)
            if not self._daemon.runs:
                break
            time.sleep(self._rng.uniform(0, 0.02))
            self._daemon.kill()
            self.kills.append(Kill(self._ends(), time.monotonic() - began))
            print(f"  kill {len(self.kills)} at {sum(self.sizes().values()) / 1e6:.1f} MB written", flush=True)
            self._daemon.start(wait=False)
        return self._daemon.wait(600)

    def close(self) -> None:
        """Leave no process behind."""
        self._daemon.kill()

    def sizes(self) -> dict[str, int]:
        """How large each output is."""
        paths = {sink: self.out / f"{sink}.ndjson" for sink in SINKS}
        return {sink: path.stat().st_size if path.exists() else 0 for sink, path in paths.items()}

    def _ends(self) -> dict[str, int]:
        """How large each output is up to its last newline: what is torn behind it goes when it is next opened."""
        ends = {}
        for sink, size in self.sizes().items():
            if not size:
                ends[sink] = 0
                continue
            with (self.out / f"{sink}.ndjson").open("rb") as file:
                start = max(0, size - (1 << 20))
                file.seek(start)
                ends[sink] = start + file.read().rfind(b"\n") + 1
        return ends


def judge(ordeal: Ordeal, ledger: Ledger) -> tuple[dict[str, Findings], list[int]]:
    """What the oracle found, and how many bytes each kill made come again (the first entry: before any kill)."""
    oracle = Oracle(Events(), {"events": ledger})
    again = [0] * (len(ordeal.kills) + 1)
    for sink in SINKS:
        ends = [kill.ends[sink] for kill in ordeal.kills]
        offset = segment = 0
        for line in lines_of(ordeal.out / f"{sink}.ndjson"):
            while segment < len(ends) and offset >= ends[segment]:
                segment += 1
            if oracle.arrived(sink, line):
                again[segment] += len(line)
            offset += len(line) + 1
    return oracle.findings(), again


def main(arguments: list[str]) -> int:
    """Print a table; exit status 1 when a line is missing or torn, or a kill repeated more than one window."""
    parser = argparse.ArgumentParser(prog="python tests/faults kill", description=__doc__)
    parser.add_argument("--lines", type=int, default=3_000_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--buffers", action="store_true", help="with a disk buffer at each sink")
    options = parser.parse_args(arguments)
    print(f"{options.kills} kills over {options.lines:,} lines, seed {options.seed}", flush=True)
    source = events_file(options.lines)
    folder = Path(tempfile.mkdtemp(prefix="sluiceway-kill-"))
    ordeal = Ordeal(folder, source, options.kills, random.Random(options.seed), buffers=options.buffers)
    try:
        status = ordeal.suffer()
        print("looking for every line", flush=True)
        found, again = judge(ordeal, Ledger(source))
    except NotReady as error:
        sys.exit(f"the daemon did not end: {error}")
    finally:
        ordeal.close()
        shutil.rmtree(folder)
    return _report(found, again, status, ordeal)


def _report(found: dict[str, Findings], again: list[int], status: int, ordeal: Ordeal) -> int:
    kills = len(ordeal.kills)
    columns = ("expected", "found", *Findings.KINDS, "repeats", "repeated_bytes")
    print("".join(f"{column:>15}" for column in ("sink", *columns)))
    for sink, findings in found.items():
        print(f"{sink:>15}" + "".join(f"{getattr(findings, column):>15}" for column in columns))
        for kind, example in findings.examples.items():
            if kind != "repeats":
                print(f"    {kind}: {example}")
    wrong = sum(sum(getattr(findings, kind) for kind in Findings.KINDS) for findings in found.values())
    beyond = sum(size > ordeal.window for size in again[1:])
    largest = max(again[1:], default=0)
    print(
        f"{kills} kills; repeated after one kill: at most {largest:,} bytes, "
        f"{sum(again[1:]) // max(1, kills):,} on average; promised: {ordeal.window:,}"
    )
    print(f"exit status {status}, {again[0]} bytes repeated before any kill, {beyond} kill(s) beyond the window")
    good = not wrong and not beyond and not again[0] and status == 0
    print("no line is missing, none is torn" if good else "BROKEN")
    return 0 if good else 1
