"""What those who watch cost the data path: the daemon over one file of events, with nobody, with somebody who taps its
flow, and with `sluiceway top`, for as long as it runs, by turns.

All are asked for a page once, since what serves the pages is loaded then, which is not what is measured. The commands
that watch are not part of the cost.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from threading import Thread

from bench import measure
from bench.events import events_file
from bench.measure import Cost
from bench.report import Promise, judge
from bench.route import write_configuration

LINES = 6_000_000
CPU_RATIO = 1.02
"""What is promised of so many lines: so many times the CPU of the daemon that nobody watches, at most."""
_SECONDS = 30.0


class Watched:
    """The daemon over one file of events, in a folder of its own."""

    def __init__(self, source: Path, folder: Path, rate: int) -> None:
        self._source = source
        self._folder = folder
        self._rate = rate
        self.shown: list[int] = []
        """How many records a tap has shown in each run."""
        self.drawn: list[int] = []
        """How many times `top` has told the figures in each run."""

    def alone(self) -> Cost:
        """Nobody taps."""
        return self._run("/api/status")

    def tapped(self) -> Cost:
        """Somebody does. Ends the benchmark when nothing was shown."""
        self.shown.append(0)
        cost = self._run(f"/api/flows/events/tap?rate={self._rate}")
        if not self.shown[-1]:
            sys.exit("the tap has shown nothing")
        return cost

    def topped(self) -> Cost:
        """Somebody has `sluiceway top` run. Ends the benchmark when it told nothing."""
        told = self._folder / "top.ndjson"
        cost = self._run("/api/status", told)
        self.drawn.append(len(told.read_bytes().splitlines()))
        if not self.drawn[-1]:
            sys.exit("top has told nothing")
        return cost

    def _run(self, path: str, told: Path | None = None) -> Cost:
        home = self._folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        config, port = write_configuration(home, self._source), _free_port()
        config.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        url = f"http://127.0.0.1:{port}"
        reader = Thread(target=self._read, args=(url, path, told), daemon=True)
        reader.start()
        cost = measure.run([measure.SLUICEWAY, "run", str(config)], log=self._folder / "tap.log")
        reader.join(_SECONDS)
        return cost

    def _read(self, url: str, path: str, told: Path | None) -> None:
        """Read a page to its end, as soon as the daemon is there; then have `top` watch it, until it has gone."""
        ends = time.monotonic() + _SECONDS
        while time.monotonic() < ends:
            try:
                with urllib.request.urlopen(url + path, timeout=_SECONDS) as answer:
                    for line in answer:
                        if line.startswith(b"event: record"):
                            self.shown[-1] += 1
                break
            except ConnectionRefusedError:
                time.sleep(0.01)
            except OSError as error:
                if not isinstance(getattr(error, "reason", None), ConnectionRefusedError):
                    return  # the daemon has ended
                time.sleep(0.01)
        if told is not None:
            with told.open("wb") as lines:
                subprocess.run(
                    [measure.SLUICEWAY, "top", "--json", "--url", url], stdout=lines, stderr=lines, check=False
                )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def main(arguments: list[str]) -> int:
    """Print a table; exit status 1 when watching costs more than is promised."""
    parser = argparse.ArgumentParser(prog="python -m bench tap", description=__doc__)
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rate", type=int, default=100, help="how many records a second the tap may show")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="sluiceway-tap-"))
    run = Watched(events_file(options.lines), folder, options.rate)
    contenders = {"alone": run.alone, "tapped": run.tapped, "top": run.topped}
    costs = measure.interleaved(contenders, options.runs)
    shutil.rmtree(folder)
    measure.print_costs(costs, options.lines)
    tapped, topped = (measure.ratio(costs[name], costs["alone"], lambda cost: cost.cpu) for name in ("tapped", "top"))
    print(f"the tap showed {run.shown} records, with it {tapped:.3f} times the CPU")
    print(f"top told the figures {run.drawn} times, with it {topped:.3f} times the CPU")
    if options.lines < LINES:
        return 0
    return judge(
        [
            Promise("times the CPU with a tap at full speed", tapped, CPU_RATIO),
            Promise("times the CPU with `top`", topped, CPU_RATIO),
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
