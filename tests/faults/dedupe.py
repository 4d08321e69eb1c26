"""Faults over a flow that lets one record of each key pass: the first of every key arrives, and no other one does.

Keys belong to one source, or, some of them, to both. Of a key of one source, whatever happens, no other record than its
first one is ever delivered; that one may come again only where a kill or a lost answer found it in flight. Of a key of
both sources a kill may also find the first record in flight, and another one may then be the first to come again.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from zlib import crc32

from daemon_process import Daemon, install_plugins, total
from destination import Destination
from oracle import Id, lines_of

from router.settler import UNSETTLED_BYTES

SOURCES: Final = ("a", "b")
SINKS: Final = ("disk", "wire")
BURST: Final = 2_000

_CONFIG = """\
state_dir: ./state
drain_timeout: 20s
http: {{listen: "127.0.0.1:0"}}
defaults:
  sink: {{timeout: 2s, retry: {{backoff: 20ms, attempts: 20}}, batch: {{records: 500}}}}
sources:
  a: {{type: file, path: in/a.ndjson, follow: true, poll: 50ms}}
  b: {{type: file, path: in/b.ndjson, follow: true, poll: 50ms}}
sinks:
  disk: {{type: file, path: out/disk.ndjson}}
  wire: {{{wire}}}
flows: [once.yaml]
"""
_RULES = """\
flow: once
from: [a, b]
rules:
  - name: once
    dedupe: {key: event.key, within: 1h, persist: true}
  - {name: even, when: event.even, to: wire}
  - {name: rest, to: disk}
"""
_LINE = re.compile(rb'\{"id":"([ab])/(\d+)","key":"([abx])(!?\d+)",')


def record(source: str, number: int, *, last: bool = False) -> bytes:
    """The record with this number, the same every time. ``last``: with a key that no other record has."""
    rng = random.Random(f"{source}/{number}")
    space = "x" if rng.random() < 0.1 else source
    back = rng.choice([0, int(rng.expovariate(1 / 50)), rng.randint(0, 5000)])
    key = f"{source}!{number}" if last else f"{space}{max(0, number - back)}"
    even = str(sink_of(key) == "wire").lower()
    return b'{"id":"%b/%d","key":"%b","even":%b}\n' % (source.encode(), number, key.encode(), even.encode())


def sink_of(key: str) -> str:
    """Where the records of a key go."""
    return SINKS[crc32(key.encode()) % 2]


def identify(line: bytes) -> Id | None:
    """Whose record this is."""
    found = _LINE.match(line)
    return (found[1].decode(), int(found[2])) if found else None


@dataclass(slots=True)
class Found:
    """What became of the keys that were fed."""

    keys: int = 0
    records: int = 0
    lost: int = 0
    others: int = 0
    """Keys of one source of which a record was delivered that is not the first one."""
    strays: int = 0
    """Lines that no source was given, or that are not where they should be."""
    repeats: int = 0
    """Deliveries of a record that had been delivered before."""
    exchanged: int = 0
    """Keys of both sources of which two different records were delivered."""
    examples: list[str] = field(default_factory=list)

    @property
    def broken(self) -> int:
        """How many promises, but for those about repeats."""
        return self.lost + self.others + self.strays

    def note(self, kind: str, example: object) -> None:
        """Count one."""
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.examples) < 5 and kind not in ("repeats", "exchanged"):
            self.examples.append(f"{kind}: {example}")


class Rig:
    """A folder with two growing files, one flow, two sinks, and a daemon. Use it as a context."""

    def __init__(self, seed: int = 1) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sluiceway-dedupe-"))
        for name in ("in", "out", "state"):
            (self.folder / name).mkdir()
        for source in SOURCES:
            (self.folder / "in" / f"{source}.ndjson").touch()
        self.destination = Destination(self.folder / "out" / "wire.ndjson", identify, lambda line: line)
        self.destination.start()
        config = self.folder / "sluiceway.yaml"
        config.write_text(_CONFIG.format(wire=self.destination.settings))
        (self.folder / "once.yaml").write_text(_RULES)
        self.daemon = Daemon(config, install_plugins(self.folder / "site"))
        self.rng = random.Random(seed)
        self.kills = 0
        self.given_up = 0
        self._first: dict[str, dict[str, Id]] = {source: {} for source in SOURCES}
        self._numbers = Counter[str]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.daemon.runs:
            self.daemon.thaw()
            self.daemon.kill()
        self.destination.stop()
        shutil.rmtree(self.folder)

    def feed(self, count: int = BURST, *, last: bool = False) -> None:
        """Append so many records to each file; with ``last``, one more by which one sees that all are read."""
        for source in SOURCES:
            start = self._numbers[source]
            self._numbers[source] += count + last
            lines = [record(source, start + number) for number in range(count)]
            lines += [record(source, start + count, last=True)] if last else []
            for line in lines:
                found = _LINE.match(line)
                assert found is not None
                self._first[source].setdefault((found[3] + found[4]).decode(), (source, int(found[2])))
            with (self.folder / "in" / f"{source}.ndjson").open("ab", buffering=0) as file:
                file.write(b"".join(lines))

    def kill(self) -> None:
        """kill -9, and start again."""
        self.daemon.kill()
        self.kills += 1
        self.daemon.start()

    @property
    def most_repeats(self) -> int:
        """What was in flight when it was killed, or not answered, may come again."""
        window = UNSETTLED_BYTES // len(record("a", 1))
        return len(SOURCES) * window * self.kills + self.destination.unanswered + self.given_up

    def settle(self, seconds: float = 60.0) -> Found:
        """Wait until everything is read and settled, at most so long; what became of it all."""
        self.feed(0, last=True)
        deadline = time.monotonic() + seconds
        while True:
            idle = self.daemon.is_idle("unsettled")
            found = self.judge()
            if (idle and not found.lost) or time.monotonic() > deadline:
                return found
            time.sleep(0.2)

    def judge(self) -> Found:
        """Look at every delivery so far."""
        found = Found(records=self._numbers.total())
        came: defaultdict[str, Counter[Id]] = defaultdict(Counter)
        for sink in SINKS:
            for line in lines_of(self.folder / "out" / f"{sink}.ndjson"):
                match = _LINE.match(line)
                key = "" if match is None else (match[3] + match[4]).decode()
                if match is None or sink_of(key) != sink or not any(key in first for first in self._first.values()):
                    found.note("strays", line)
                else:
                    came[key][match[1].decode(), int(match[2])] += 1
        firsts = {key: [first[key] for first in self._first.values() if key in first] for key in self._keys()}
        for key, first in firsts.items():
            found.keys += 1
            if not came[key]:
                found.note("lost", key)
            elif set(came[key]) - set(first):
                found.note("others", f"{key}: {dict(came[key])}, and the first was {first}")
            elif len(came[key]) > 1:
                found.note("exchanged", key)
            found.repeats += max(0, came[key].total() - 1)
        return found

    def _keys(self) -> list[str]:
        return list(dict.fromkeys(key for first in self._first.values() for key in first))


def kill(rig: Rig) -> None:
    """kill -9 in the middle of a burst."""
    rig.feed()
    time.sleep(rig.rng.uniform(0, 0.3))
    rig.kill()


def kill_again_and_again(rig: Rig) -> None:
    """kill -9 while it starts, and right after."""
    for _ in range(3):
        rig.feed(BURST // 4)
        rig.daemon.kill()
        rig.kills += 1
        rig.daemon.start(wait=False)
        time.sleep(rig.rng.uniform(0.2, 1.2))
    rig.kill()


def sink_away(rig: Rig) -> None:
    """A sink is away for a while."""
    rig.destination.refuse_connections()
    rig.feed()
    time.sleep(rig.rng.uniform(0.1, 1.0))
    rig.destination.listen()


def killed_while_sink_is_away(rig: Rig) -> None:
    """kill -9 while keys are pending because one of the sinks is away."""
    rig.destination.refuse_connections()
    rig.feed()
    time.sleep(rig.rng.uniform(0.1, 0.6))
    rig.kill()
    rig.feed(BURST // 2)
    time.sleep(rig.rng.uniform(0, 0.5))
    rig.destination.listen()


def answers_lost(rig: Rig) -> None:
    """The sink keeps what it gets, and does not say so."""
    rig.destination.forgotten_answers = 2
    rig.destination.drops = 1
    rig.feed()


def restart(rig: Rig) -> None:
    """SIGTERM, and start again: nothing comes twice."""
    rig.feed()
    time.sleep(rig.rng.uniform(0, 0.3))
    assert rig.daemon.stop() == 0
    rig.feed(BURST // 2)
    rig.daemon.start()


def freeze(rig: Rig) -> None:
    """SIGSTOP for longer than a write may take."""
    rig.feed()
    rig.daemon.freeze()
    time.sleep(rig.rng.uniform(0.5, 2.5))
    rig.daemon.thaw()
    rig.given_up += 2 * 500  # a write to each sink


FAULTS: Final[Mapping[str, Callable[[Rig], None]]] = {
    "kill": kill,
    "kill again and again": kill_again_and_again,
    "sink away": sink_away,
    "killed while the sink is away": killed_while_sink_is_away,
    "answers lost": answers_lost,
    "restart": restart,
    "freeze": freeze,
}


def complaints(rig: Rig, found: Found) -> list[str]:
    """What of it broke a promise."""
    told = list(found.examples)
    if found.repeats > rig.most_repeats:
        told.append(f"{found.repeats} repeats, and {rig.most_repeats} are promised at most")
    held = total(rig.daemon.metrics(), "sluiceway_gate_records_total", "result=held")
    dropped = total(rig.daemon.metrics(), "sluiceway_dropped_records_total", "rule=once")
    if held != dropped:
        told.append(f"{held} records are held, and {dropped} of them dropped")
    return told


def main(arguments: list[str]) -> int:
    """Print a line for each round; exit status 1 when a key is lost, or another record of it delivered."""
    parser = argparse.ArgumentParser(prog="python tests/faults dedupe", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args(arguments)
    print(f"dedupe for {options.seconds:g} s, seed {options.seed}", flush=True)
    wrong: list[str] = []
    times = Counter[str]()
    with Rig(options.seed) as rig:
        rig.daemon.start()
        deadline, found = time.monotonic() + options.seconds, Found()
        while time.monotonic() < deadline:
            kind = min(rig.rng.sample(list(FAULTS), len(FAULTS)), key=times.__getitem__)
            times[kind] += 1
            before = found
            FAULTS[kind](rig)
            rig.feed(rig.rng.randint(1, BURST))
            found = rig.settle()
            told = complaints(rig, found)
            wrong += told
            print(
                f"  {kind:30} {found.keys - before.keys:6} keys {found.records - before.records:6} records "
                f"{found.repeats - before.repeats:6} repeats  {'BAD' if told else 'ok'}", flush=True,
            )  # fmt: skip
            for line in told:
                print(f"    {line}", flush=True)
    print(
        f"{sum(times.values())} rounds, {rig.kills} kills, {found.records:,} records of {found.keys:,} keys: "
        f"{found.lost} lost, {found.others} with another record than the first, {found.strays} strays; "
        f"{found.repeats} repeats of what was in flight, {found.exchanged} of them by the other source's record"
    )
    print("BROKEN" if wrong else "every key came, and by its first record alone")
    return int(bool(wrong))
