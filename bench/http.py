"""The source ``http`` under wrk: the whole daemon (http, one rule, a file that is synced) beside bare aiohttp handlers.

What is promised to a client is the same everywhere: the answer comes when the records are on the disk. There are two
floors (``bench/http_floor.py``). ``each`` writes and syncs each request by itself, as somebody would do it by hand.
``grouped`` is the harder one: it syncs once for all requests that came meanwhile, as the daemon's outlets do. Neither
decodes a record, knows a rule, keeps accounts, or can stop without loss.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import measure
from bench.events import lines

RATIO = 0.6
"""What is promised: so many of the requests a second of ``each``."""
CONNECTIONS = 64

DAEMON = """\
state_dir: ./state
http: {{listen: "127.0.0.1:0"}}
sources:
  events: {{type: http, listen: "127.0.0.1:{port}", path: /events}}
sinks:
  archive: {{type: file, path: out.ndjson, fsync: batch}}
flows: [events.yaml]
"""
RULES = """\
flow: events
from: [events]
rules:
  - {name: all, when: event.amount >= 0.0, to: archive}
otherwise: {unmatched: dead_letter}
"""
SCRIPT = """\
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/x-ndjson"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d}}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""
_LISTENS = re.compile(r"listening on http://127\.0\.0\.1:(\d+)/")


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run of wrk saw, and what the server spent: requests a second, latencies in ms, CPU in us a request."""

    rate: float
    p50: float
    p99: float
    cpu: float


class Server:
    """One contender: a process that listens, and the file that it appends to."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.out = self.folder / "out.ndjson"
        self._log = self.folder / "log"
        if name == "ours":
            (self.folder / "events.yaml").write_text(RULES)
            config = self.folder / "sluiceway.yaml"
            config.write_text(DAEMON.format(port=0))
            self._command = [measure.SLUICEWAY, "run", str(config)]
        else:
            program = str(Path(__file__).with_name("http_floor.py"))
            self._command = [sys.executable, "-P", program, name, str(self.out)]  # -P: this folder has an http, too
        self._port_in = _LISTENS if name == "ours" else re.compile(r"^(\d+)$", re.MULTILINE)

    @contextlib.contextmanager
    def running(self) -> Iterator[tuple[int, str]]:
        """Its pid and where to post to, while it runs."""
        with self._log.open("wb") as log:
            process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield process.pid, f"http://127.0.0.1:{self._port(process)}/events"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)

    def _port(self, process: subprocess.Popen[bytes]) -> str:
        deadline = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < deadline:
            if found := self._port_in.search(self._log.read_text()):
                return found[1]
            time.sleep(0.05)
        sys.exit(f"{' '.join(self._command)} did not come up:\n{self._log.read_text()[-4000:]}")


def run(server: Server, body: Path, records: int, seconds: float) -> Figures:
    """Start the server, warm it up, and measure it; ends the benchmark when an answered record is not in the file."""
    script = server.folder / "post.lua"
    script.write_text(SCRIPT.format(body=body))
    os.sync()
    with server.running() as (pid, url):
        answered = _wrk(url, script, 1.0)["requests"]
        before = _cpu(pid)
        seen = _wrk(url, script, seconds)
        cpu = _cpu(pid) - before
    answered += seen["requests"]
    if seen["errors"]:
        sys.exit(f"{seen['errors']:g} requests failed; see {server.folder}")
    with server.out.open("rb") as file:
        held = sum(1 for _ in file)
    if held < answered * records:
        sys.exit(f"{answered * records:g} records were answered, {held} are in {server.out}")
    return Figures(seen["requests"] / seen["seconds"], seen["p50"], seen["p99"], cpu / max(1.0, seen["requests"]) * 1e6)


def _wrk(url: str, script: Path, seconds: float) -> dict[str, float]:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--timeout", "20s", "-s", str(script), url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process has used, in all of its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def compare(folder: Path, records: int, seconds: float, runs: int) -> dict[str, list[Figures]]:
    """The figures of each contender for bodies of so many records, by turns."""
    body = folder / f"body-{records}"
    body.write_bytes(b"".join(lines(records)).rstrip(b"\n"))
    figures: dict[str, list[Figures]] = {"each": [], "grouped": [], "ours": []}
    for turn in range(runs):
        for name, found in figures.items():
            found.append(run(Server(name, folder), body, records, seconds))
            print(
                f"  run {turn + 1} of {runs}: {name:<8} {found[-1].rate:9,.0f} requests/s  "
                f"p50 {found[-1].p50:6.2f} ms  p99 {found[-1].p99:6.2f} ms  cpu {found[-1].cpu:7.1f} us/request",
                flush=True,
            )
    return figures


def report(records: int, size: int, figures: Mapping[str, list[Figures]]) -> bool:
    """Print the medians; whether the promise is kept."""
    median = {
        name: Figures(*(statistics.median(getattr(one, field) for one in found) for field in Figures.__slots__))
        for name, found in figures.items()
    }
    ours = median["ours"]
    print(f"\n{records} record(s) of {size // records} bytes in a body, {CONNECTIONS} connections; medians")
    print(f"{'':9}{'requests/s':>12}{'ours':>8}{'p50 ms':>9}{'p99 ms':>9}{'cpu us/request':>16}{'ours':>8}")
    for name, one in median.items():
        ratios = ("", "") if name == "ours" else (f"{ours.rate / one.rate:.2f}", f"{ours.cpu / one.cpu:.2f}")
        print(f"{name:9}{one.rate:12,.0f}{ratios[0]:>8}{one.p50:9.2f}{one.p99:9.2f}{one.cpu:16.1f}{ratios[1]:>8}")
    kept = ours.rate >= RATIO * median["each"].rate
    print(f"promised: at least {RATIO:g} of the requests/s of `each`: {'kept' if kept else 'BROKEN'}\n", flush=True)
    return kept


def main(arguments: list[str]) -> int:
    """Print a table for each size of body; exit status 1 when less is shown than promised."""
    parser = argparse.ArgumentParser(prog="python -m bench http", description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[1, 100], help="records in a body")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    if shutil.which("wrk") is None:
        sys.exit("this benchmark needs wrk: sudo apt-get install wrk")
    folder = Path(tempfile.mkdtemp(prefix="sluiceway-http-"))
    found = {records: compare(folder, records, options.seconds, options.runs) for records in options.records}
    kept = [report(records, (folder / f"body-{records}").stat().st_size, figures) for records, figures in found.items()]
    if options.json:
        figures = {
            records: {name: [asdict(one) for one in runs] for name, runs in by.items()} for records, by in found.items()
        }
        options.json.write_text(json.dumps(figures, indent=2))
    shutil.rmtree(folder)
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
