"""A large CSV file with quoted newlines through the whole daemon, beside the csv module's bare reader loop.

The floor only reads: ``for row in csv.reader(file): pass``. The daemon frames, decodes, decides by two rules, writes
every row to one of two files byte for byte, and acknowledges.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import measure
from bench.events import cache
from bench.measure import Cost

SIZE = 1_000_000_000
RATE_RATIO = 1.5
"""What is promised of the rate at which 1 GB is read: the floor's, divided by this."""
VERSION = 1

HEADER = b"id,type,amount,currency,user,plan,country,device,at,note\n"
_NOTES = (
    'leave it at the door,"" she said,\nand ring twice',
    "plain words, and a comma",
    "first line\nsecond line\r\nthird",
)
FLOOR = """\
import csv, sys
with open(sys.argv[1], newline="") as file:
    for row in csv.reader(file):
        pass
"""
DAEMON = """\
state_dir: ./state
http: {{listen: "127.0.0.1:0"}}
sources:
  rows: {{type: file, path: {source}, follow: false, decode: {{type: csv, types: {{amount: number}}}}}}
sinks:
  orders: {{type: file, path: out/orders.csv}}
  rest: {{type: file, path: out/rest.csv}}
flows: [rows.yaml]
"""
RULES = """\
from: [rows]
rules:
  - {name: orders, when: event.type == "order" && event.amount > 500.0, to: orders}
  - {name: rest, to: rest}
"""


def rows(size: int, seed: int = 1) -> Iterator[bytes]:
    """Blocks of rows, of about so many bytes in all; every fifth row holds quoted newlines or quotes."""
    rng = random.Random(seed)
    made = number = 0
    while made < size:
        block = []
        for _ in range(10_000):
            number += 1
            bits = rng.getrandbits(48)
            note = (
                f'"{_NOTES[bits % 3]} {bits:012x}"' if number % 5 == 0 else f"nothing to say of it {bits * bits:032x}"
            )
            block.append(
                f"{number},{('order', 'view', 'click')[bits % 3]},{(bits >> 12) % 100_000 / 100},EUR,"
                f"user{bits >> 20 & 0xFFFF}@example.com,{('free', 'pro')[bits % 2]},{('de', 'fr', 'us')[bits % 3]},"
                f"sensor-{bits >> 8 & 0xFFF:03x}-{bits:048x},2026-01-{1 + bits % 28:02}T12:00:00Z,{note}\n"
            )
        made += sum(map(len, block))
        yield "".join(block).encode()


def rows_file(size: int) -> Path:
    """A file of such rows; generated if it is not there yet."""
    path = cache() / f"rows-{VERSION}-{size}.csv"
    if not path.exists():
        print(f"generating {size:,} bytes of CSV into {path}", flush=True)
        partial = path.with_suffix(f".{os.getpid()}")
        with partial.open("wb") as file:
            file.write(HEADER)
            file.writelines(rows(size))
        partial.rename(path)
    return path


class Rows:
    """The two contenders over one file, in a folder of their own."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._source = source
        self._folder = folder

    def floor(self) -> Cost:
        """The bare reader loop."""
        return measure.run([sys.executable, "-c", FLOOR, str(self._source)], log=self._folder / "floor.log")

    def ours(self, *, profile: Path | None = None) -> Cost:
        """The daemon. Ends the benchmark when a byte of the rows is missing in what it wrote."""
        home = self._folder / "ours"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        (home / "sluiceway.yaml").write_text(DAEMON.format(source=self._source))
        (home / "rows.yaml").write_text(RULES)
        command = [measure.SLUICEWAY, "run", str(home / "sluiceway.yaml")]
        if profile is not None:
            command = [sys.executable, "-m", "cProfile", "-o", str(profile), *command]
        cost = measure.run(command, log=self._folder / "ours.log")
        written = sum(path.stat().st_size for path in (home / "out").iterdir())
        if written != self._source.stat().st_size - len(HEADER):
            sys.exit(f"{home}/out holds {written} bytes, and not those of every row; it is kept")
        return cost


def main(arguments: list[str]) -> int:
    """Print a table; exit status 1 when 1 GB is read slower than is promised."""
    parser = argparse.ArgumentParser(prog="python -m bench csv_rows", description=__doc__)
    parser.add_argument("--bytes", type=int, default=SIZE)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--profile", type=Path, help="run the daemon once under cProfile, into this file")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="sluiceway-csv-"))
    contenders = Rows(rows_file(options.bytes), folder)
    if options.profile:
        import pstats

        contenders.ours(profile=options.profile)
        pstats.Stats(str(options.profile)).sort_stats("tottime").print_stats(25)
        kept = True
    else:
        costs = measure.interleaved({"floor": contenders.floor, "ours": contenders.ours}, options.runs)
        kept = _report(costs, options.bytes)
    shutil.rmtree(folder)
    return 0 if kept else 1


def _report(costs: dict[str, list[Cost]], size: int) -> bool:
    floor, ours = measure.median(costs["floor"]), measure.median(costs["ours"])
    print(f"\n{size / 1e6:,.0f} MB of CSV with quoted newlines; medians")
    print(f"{'':22}{'cpu s':>9}{'wall s':>9}{'MB/s':>9}{'rss MB':>9}")
    for name, cost in (("csv.reader, bare loop", floor), ("the daemon, all of it", ours)):
        print(f"{name:22}{cost.cpu:9.2f}{cost.wall:9.2f}{size / 1e6 / cost.wall:9.1f}{cost.rss_mb:9.1f}")
    cpu = measure.ratio(costs["ours"], costs["floor"], lambda cost: cost.cpu)
    ratio = measure.ratio(costs["ours"], costs["floor"], lambda cost: cost.wall)
    print(f"{'ratio':22}{cpu:9.2f}{ratio:9.2f}  of neighbouring runs")
    if size < SIZE:
        return True  # start-up weighs more then
    print(f"promised: at most {RATE_RATIO} times as long as the floor: {'kept' if ratio <= RATE_RATIO else 'BROKEN'}")
    return ratio <= RATE_RATIO


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
