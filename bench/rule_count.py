"""What a flow costs by the number of its rules: of equalities on one field, and of all kinds of conditions.

Whole flows from payload to decision, decoding included, in the batches that a daemon would route them in. Of the
equalities every rule takes as many records as any other, so that half of the rules would be asked before one matches.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import loops, plot
from bench.flows import compiled, routing, same_as_exactly
from bench.loops import PerRecord
from bench.report import Promise, Table, figure, judge
from rules.ruleset import Ruleset

COUNTS = (1, 10, 30, 100, 300, 1_000)
FEW, MANY = 10, 1_000
RATIO = 1.5
"""Times the CPU of ten equalities that a thousand cost at most."""

RECORDS = 4_000
EXACT = 25
"""Records of which it is seen that the exact interpreter decides the same; it takes its time."""

SINKS = ("a", "b", "c", "d", "e", "f", "g")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a flow of so many rules cost in each run, and the seconds of CPU that it took to compile."""

    costs: list[PerRecord]
    compile_seconds: float


Figures = dict[str, dict[int, Measured]]
"""By kind, ``equalities`` or ``mixed``, and number of rules."""


def equalities(count: int) -> Iterator[str]:
    """Conditions of which each takes one tenant in ``count``."""
    return (f'event.tenant == "t{number}"' for number in range(count))


def mixed(count: int) -> Iterator[str]:
    """Conditions of many kinds. Each sees to a share of its own of the amounts, and takes only some of that."""
    for number in range(count):
        low, high = 1000 * number / count, 1000 * (number + 1) / count
        within = f"event.amount >= {low!r} && event.amount < {high!r}"
        tenants = ", ".join(f'"t{number + step}"' for step in range(0, 500, 100))
        yield (
            within,
            f'{within} && event.user.plan in ["pro", "team"]',
            f'event.device.matches("^sensor-[{number % 10}-9]") && {within}',
            f'event.user.country == "de" && {within}',
            f'{within} && (event.user.plan == "free" || event.device.startsWith("phone-"))',
            f"event.tenant in [{tenants}] || ({within} && size(event.tags) > 1)",
            f'{within} && !(event.user.address.city == "Berlin")',
        )[number % 7]


KINDS = {"equalities": equalities, "mixed": mixed}


def rules_file(conditions: Iterator[str]) -> str:
    """A flow with a rule for each condition."""
    rules = "".join(
        f"  - {{name: rule {number}, when: '{condition}', to: {SINKS[number % len(SINKS)]}}}\n"
        for number, condition in enumerate(conditions)
    )
    return f"flow: events\nfrom: [events]\nrules:\n{rules}otherwise: {{unmatched: drop}}\n"


def payloads(tenants: int, records: int) -> list[bytes]:
    """Events of about 250 bytes, each of one of so many tenants."""
    rng = random.Random(tenants)
    return [_payload(rng, number, tenants) for number in range(records)]


def _payload(rng: random.Random, number: int, tenants: int) -> bytes:
    kind, plan = rng.choice(("sensor", "phone")), rng.choice(("free", "free", "pro", "team"))
    country, city = rng.choice((("de", "Berlin"), ("fr", "Paris"), ("us", "Boston")))
    return (
        f'{{"id":{number},"tenant":"t{rng.randrange(tenants)}","amount":{rng.randrange(100_000) / 100},'
        f'"user":{{"id":"u{number}","plan":"{plan}","country":"{country}","address":{{"city":"{city}"}}}},'
        f'"device":"{kind}-{rng.randrange(4096):03x}","tags":["new","mobile"],"session":"{rng.getrandbits(128):064x}"}}'
    ).encode()


def measured(counts: Sequence[int], records: int, runs: int) -> Figures:
    """Measure flows of so many rules of each kind. Raises ValueError where compiled and exact decisions differ."""
    return {kind: _measured(kind, counts, records, runs) for kind in KINDS}


def _measured(kind: str, counts: Sequence[int], records: int, runs: int) -> dict[int, Measured]:
    seconds, work = {}, {}
    for count in counts:
        began = time.process_time()
        ruleset = compiled(rules_file(KINDS[kind](count)), SINKS)
        seconds[count] = time.process_time() - began
        events = payloads(count if kind == "equalities" else MANY, records)
        _check(ruleset, events[:EXACT], f"{count} {kind}")
        work[f"{count}"] = routing(ruleset, events)
    costs = loops.measure(work, records, runs)
    return {count: Measured(costs[f"{count}"], seconds[count]) for count in counts}


def _check(ruleset: Ruleset, events: Sequence[bytes], what: str) -> None:
    if not same_as_exactly(ruleset, events):
        raise ValueError(f"{what}: compiled and exact decisions differ")


def promises(figures: Figures) -> list[Promise]:
    """That a thousand equalities cost hardly more than ten, if both were measured."""
    found = figures["equalities"]
    if FEW not in found or MANY not in found:
        return []
    times = loops.ratio(found[MANY].costs, found[FEW].costs)
    return [Promise(f"cpu of {MANY:,} equalities in times that of {FEW}", times, RATIO)]


def table(figures: Figures) -> Table:
    """A row for each number of rules."""
    header = ["rules"]
    for kind in figures:
        header += [f"{kind}: cpu us", "wall us", "compiled in s"]
    rows = []
    for count in next(iter(figures.values())):
        row = [f"{count:,}"]
        for of in figures.values():
            cost = loops.median(of[count].costs)
            row += [figure(cost.cpu), figure(cost.wall), f"{of[count].compile_seconds:.2f}"]
        rows.append(row)
    return Table(header, rows)


def drawing(figures: Figures) -> str:
    """The curves."""
    curves = {
        kind: [(float(count), loops.median(one.costs).cpu) for count, one in of.items()] for kind, of in figures.items()
    }
    return plot.lines("A record through a flow, decoding included", "rules of the flow", "µs of CPU", curves)


def main(arguments: list[str]) -> int:
    """Print a table; exit status 1 when a thousand equalities cost more than is promised."""
    parser = argparse.ArgumentParser(prog="python -m bench rule_count", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="numbers of rules")
    parser.add_argument("--plot", type=Path, help="write the curves to this file, as SVG")
    options = parser.parse_args(arguments)
    figures = measured(options.counts, options.records, options.runs)
    print(table(figures).text())
    if options.plot:
        options.plot.write_text(drawing(figures))
    return judge(promises(figures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
