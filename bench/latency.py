"""How much longer a record takes from Kafka to Kafka through the daemon than through a relay written by hand.

``relay`` is the floor: ``getmany`` to ``send_batch`` without a look at any record. ``ours`` is the daemon as users run
it, with four content rules. Records are written at a steady rate, in small batches, and each holds the time when it was
sent; a consumer of the topics that they go to notes when it arrives. Each is run by turns, on topics of its own. The
machine must have nothing else to do: what waits for a processor is measured, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import measure
from bench.kafka import Topics, by_hand, reading, write_configuration
from bench.measure import Cost
from bench.route import SINKS
from tests.servers.kafka import own_cluster

RATE = 5_000
LEFT_OUT = 8.0
"""Seconds at the beginning of a turn in which processes start, join groups and connect."""
COMPRESSION = "zstd"
COMMIT_SECONDS = 0.5
"""What the daemon does if it is told nothing, and the relay therefore does, too."""
PROMISED = {"p50": 5.0, "p99": 25.0}
"""Milliseconds that the daemon may add to what the relay takes."""
PATIENCE = 60.0
PARTS = ("p50", "p90", "p99", "max")


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of one turn: milliseconds from being sent to arrival, by percentile, and what it cost."""

    took: Mapping[str, float]
    cost: Cost


class Relays:
    """The contenders, in a folder of their own."""

    def __init__(self, topics: Topics, folder: Path, options: argparse.Namespace) -> None:
        self._topics = topics
        self._folder = folder
        self._rate = options.rate
        self._count = int(options.rate * (LEFT_OUT + options.seconds))

    def relay(self) -> Turn:
        """The floor."""
        source, target = asyncio.run(self._topics.new(2))
        command = by_hand("relay", self._topics.brokers, source, self._count, COMPRESSION, COMMIT_SECONDS, [target])
        return self._run(command, source, [target], self._folder / "relay.log")

    def ours(self) -> Turn:
        """The daemon."""
        source, *targets = asyncio.run(self._topics.new(1 + len(SINKS)))
        config = write_configuration(self._folder / "ours", self._topics.brokers, reading(source), targets)
        return self._run([measure.SLUICEWAY, "run", str(config)], source, targets, self._folder / "ours.log")

    def _run(self, command: Sequence[str], source: str, targets: Sequence[str], log: Path) -> Turn:
        brokers, count = self._topics.brokers, str(self._count)

        def pass_through() -> str:
            with (
                _end("read", brokers, count, str(LEFT_OUT), *targets) as reader,
                _end("write", brokers, source, str(self._rate), count) as writer,
            ):
                try:
                    told, _ = reader.communicate(timeout=self._count / self._rate + PATIENCE)
                    if writer.wait(PATIENCE) or reader.returncode:
                        sys.exit("the records could not be written in time, or not be read")
                except subprocess.TimeoutExpired:
                    raise TimeoutError from None
                finally:
                    reader.kill()
                    writer.kill()
            return told

        told, cost = measure.run_during(command, pass_through, log=log)
        asyncio.run(self._topics.delete([source, *targets]))
        return Turn(json.loads(told), cost)


def _end(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.latency_ends", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def main(arguments: list[str]) -> int:
    """Print a table; exit status 1 when the daemon adds more than is promised."""
    parser = argparse.ArgumentParser(prog="python -m bench latency", description=__doc__)
    parser.add_argument("--rate", type=int, default=RATE, help="records a second")
    parser.add_argument("--seconds", type=int, default=20, help=f"of each turn, after {LEFT_OUT:g} that do not count")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sluiceway-latency-") as folder, own_cluster() as cluster:
        topics = Topics(cluster.addresses.plaintext, keyed=False)
        return 0 if _compare(Relays(topics, Path(folder), options), options) else 1


def _compare(relays: Relays, options: argparse.Namespace) -> bool:
    turns: dict[str, list[Turn]] = {"relay": [], "ours": []}
    for number in range(options.runs):
        for name, contender in (("relay", relays.relay), ("ours", relays.ours)):
            turn = contender()
            turns[name].append(turn)
            figures = "  ".join(f"{part} {took:8.2f} ms" for part, took in turn.took.items())
            print(f"  run {number + 1} of {options.runs}: {name:<8} {figures}  cpu {turn.cost.cpu:6.2f} s", flush=True)
    print(f"\n{options.rate:,} records/s for {options.seconds} s; milliseconds from being sent to arrival; medians")
    print(f"{'':8}" + "".join(f"{part:>9}" for part in PARTS) + f"{'cpu s':>9}")
    for name, runs in turns.items():
        took = "".join(f"{statistics.median(turn.took[part] for turn in runs):9.2f}" for part in PARTS)
        print(f"{name:8}{took}{measure.median([turn.cost for turn in runs]).cpu:9.2f}")
    added = {part: _added(turns, part) for part in PARTS}
    print(f"{'added':8}" + "".join(f"{milliseconds:9.2f}" for milliseconds in added.values()) + "")
    if options.json:
        written = {name: [asdict(turn) for turn in runs] for name, runs in turns.items()}
        options.json.write_text(json.dumps({"rate": options.rate, "added": added, "runs": written}, indent=2))
    kept = all(added[part] < most for part, most in PROMISED.items())
    promise = ", ".join(f"{part} under {most:g} ms" for part, most in PROMISED.items())
    print(f"promised: added {promise}: {'kept' if kept else 'BROKEN'}")
    return kept


def _added(turns: Mapping[str, Sequence[Turn]], part: str) -> float:
    """The median over turns of what the daemon took longer than the relay beside it."""
    pairs = zip(turns["ours"], turns["relay"], strict=True)
    return statistics.median(ours.took[part] - relay.took[part] for ours, relay in pairs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
