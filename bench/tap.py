"""What a tap costs the data path: the daemon over one file of events, with and without somebody who taps its flow for
as long as it runs, by turns.

Both are asked for a page once, since what serves the pages is loaded then, which is not what is measured.
"""

from __future__ import annotations

import argparse
import shutil
import socket
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
"""What is promised of so many lines: so many times the CPU of the daemon without a tap, at most."""
_SECONDS = 30.0


class Tapped:
    """The daemon over one file of events, in a folder of its own."""

    def __init__(self, source: Path, folder: Path, rate: int) -> None:
        self._source = source
        self._folder = folder
        self._rate = rate
        self.shown: list[int] = []
        """How many records a tap has shown in each run."""

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

    def _run(self, path: str) -> Cost:
        home = self._folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        config, port = write_configuration(home, self._source), _free_port()
        config.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        reader = Thread(target=self._read, args=(f"http://127.0.0.1:{port}{path}",), daemon=True)
        reader.start()
        cost = measure.run([measure.SLUICEWAY, "run", str(config)], log=self._folder / "tap.log")
        reader.join(_SECONDS)
        return cost

    def _read(self, url: str) -> None:
        """Read a page to its end, as soon as the daemon is there."""
        ends = time.monotonic() + _SECONDS
        while time.monotonic() < ends:
            try:
                with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
                    for line in answer:
                        if line.startswith(b"event: record"):
                            self.shown[-1] += 1
                return
            except ConnectionRefusedError:
                time.sleep(0.01)
            except OSError as error:
                if not isinstance(getattr(error, "reason", None), ConnectionRefusedError):
                    return  # the daemon has ended
                time.sleep(0.01)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def main(arguments: list[str]) -> int:
    """Print a table; exit status 1 when a tap costs more than is promised."""
    parser = argparse.ArgumentParser(prog="python -m bench tap", description=__doc__)
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rate", type=int, default=100, help="how many records a second the tap may show")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="sluiceway-tap-"))
    run = Tapped(events_file(options.lines), folder, options.rate)
    costs = measure.interleaved({"alone": run.alone, "tapped": run.tapped}, options.runs)
    shutil.rmtree(folder)
    measure.print_costs(costs, options.lines)
    ratio = measure.ratio(costs["tapped"], costs["alone"], lambda cost: cost.cpu)
    print(f"the tap showed {run.shown} records; with it {ratio:.3f} times the CPU")
    if options.lines < LINES:
        return 0
    return judge([Promise("times the CPU with a tap at full speed", ratio, CPU_RATIO)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
