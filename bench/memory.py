"""Whether memory stays flat: over millions of records, and with a sink ten times slower than the source.

A file is read again and again under new names, which also shows whether the daemon remembers too much of each file.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import measure
from bench.events import events_file
from bench.measure import Sample
from bench.route import RULES, SINKS

PART = 500_000
"""Records in each of the files that are read."""
RECORDS = 20_000_000
GROWTH_MB = 12.0
"""More than this between the second and the last quarter of a run is growth."""
SLOWER = 10.0
PLUGINS = Path(__file__).with_name("plugins")

_DAEMON = """\
state_dir: ./state
http: {listen: "127.0.0.1:0"}
sources:
  events: {type: file, path: in/*.ndjson, follow: false}
"""


def run(folder: Path, records: int, rate: float | None) -> list[Sample]:
    """Route so many records; the memory over time. ``rate``: records a second that one of the sinks takes."""
    shutil.rmtree(folder, ignore_errors=True)
    config = _prepare(folder, records, rate)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder / "site"), str(PLUGINS)])}
    samples: list[Sample] = []
    measure.run([measure.SLUICEWAY, "run", str(config)], log=folder / "log", environment=environment, samples=samples)
    return samples


def _prepare(folder: Path, records: int, rate: float | None) -> Path:
    info = folder / "site" / "sluiceway_drain-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sluiceway-drain\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[sluiceway.sinks]\ndrain = sluiceway_drain:DrainSink\n")
    (folder / "in").mkdir()
    source = events_file(min(PART, records))
    for number in range(max(1, records // PART)):
        shutil.copyfile(source, folder / "in" / f"{number:04}.ndjson")
    (folder / "events.yaml").write_text(RULES)
    sinks = [f"  {sink}: {{type: drain}}\n" for sink in SINKS[1:]]
    slow = f"  {SINKS[0]}: {{type: drain{'' if rate is None else f', rate: {rate}'}}}\n"
    config = folder / "sluiceway.yaml"
    config.write_text(f"{_DAEMON}sinks:\n{slow}{''.join(sinks)}flows: [events.yaml]\n")
    return config


def growth(samples: Sequence[Sample]) -> float:
    """By how many MB the median of the last quarter is above that of the second; the first one warms up."""
    quarter = len(samples) // 4
    last = statistics.median(sample.rss_mb for sample in samples[-quarter - 1 :])
    return last - statistics.median(sample.rss_mb for sample in samples[quarter : 2 * quarter + 1])


def show(name: str, samples: Sequence[Sample]) -> bool:
    """Print the memory at twelve moments; whether it stayed flat."""
    print(f"\n{name}: {samples[-1].seconds:.1f} s, at most {max(sample.rss_mb for sample in samples):.1f} MB")
    for step in range(12):
        sample = samples[len(samples) * step // 12]
        print(f"  {sample.seconds:8.1f} s {sample.rss_mb:8.1f} MB  {'#' * int(sample.rss_mb / 4)}")
    grown = growth(samples)
    flat = grown <= GROWTH_MB
    print(f"  from the second to the last quarter: {grown:+.1f} MB, {'flat' if flat else 'GROWING'}", flush=True)
    return flat


def main(arguments: list[str]) -> int:
    """Print the memory over time; exit status 1 when it grows."""
    parser = argparse.ArgumentParser(prog="python -m bench memory", description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="sluiceway-memory-"))
    try:
        fast = run(folder / "fast", options.records, None)
        flat = show(f"{options.records:,} records", fast)
        rate = options.records / fast[-1].seconds
        held_back = options.records // 10
        slow = run(folder / "slow", held_back, rate / SLOWER / 5)  # a fifth of the records goes to the slow sink
        flat &= show(f"{held_back:,} records, one sink {SLOWER:g} times slower than the source", slow)
    finally:
        shutil.rmtree(folder)
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
