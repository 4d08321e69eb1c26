"""Reloads under full load, right and wrong ones by turns: nothing is lost, repeated or held up, and each wrong one is
refused and told of until the next right one.

One source makes numbered records as fast as they are taken, so that the process is never idle. Every right reload
changes the rules; some add or remove a source, a flow and a sink beside, change how deliveries are made, or pause and
resume what is beside. The sink sees every record, in order, and how long it waited for it.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from daemon_process import Daemon, install_plugins

STALL_SECONDS: Final = 0.25
"""No delivery may wait for longer."""

_CONFIG = """\
state_dir: ./state
drain_timeout: 20s
http: {{listen: "127.0.0.1:0"}}
sources:
  numbers:
    type: generate
    template: {{n: "{{sequence}}", type: "{{choice:order|visit|click}}", amount: "{{float:1:900:2}}"}}
{source}
sinks:
  out: {{type: pulse, report: {report}{policy}}}
{sink}
flows: [rules/*.yaml]
"""
_SOURCE = '  beside: {type: generate, rate: 50/s, template: {n: "{sequence}"}}'
_SINK = "  beside: {type: file, path: beside.ndjson}"
_BESIDE = "from: [beside]\nrules: [{to: beside}]\n"


def rules(version: int, count: int) -> str:
    """A flow of so many rules, of which only the last one ever matches."""
    lines = ["flow: numbers", "from: [numbers]", "let: {cheap: event.amount < 0.0}", "rules:"]
    lines += [
        f'  - {{name: "r{number}", when: "cheap && event.amount > {version}.{number} + 1.0", to: out}}'
        for number in range(count - 1)
    ]
    lines.append(f'  - {{name: "rest of {version}", to: out}}')
    lines += ["tests:", "  - {name: everything goes out, given: [{event: {n: 1, amount: 2.5}}], then: {out: 1}}"]
    return "\n".join(lines) + "\n"


WRONG: Final[tuple[Callable[[str], str], ...]] = (
    lambda text: text.replace("to: out}", "to: outt}"),
    lambda text: text.replace("cheap:", "cheep:"),
    lambda text: text.replace("then: {out: 1}", "then: {drop: 1}"),
    lambda text: text + "  nonsense: [\n",
)
"""What is done to rules so that they are refused."""


@dataclass
class Rig:
    """A daemon under load whose configuration changes all the time."""

    seed: int
    count: int = 100
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="sluiceway-reload-")))
    taken: int = 0
    refused: int = 0
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        (self.folder / "rules").mkdir()
        self._write(is_beside=False)
        site = install_plugins(self.folder / "site")
        self.daemon = Daemon(self.folder / "sluiceway.yaml", site)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.daemon.runs:
            self.daemon.kill()
        if kind is None:
            shutil.rmtree(self.folder)

    @property
    def report(self) -> Path:
        """What the sink tells when it is closed."""
        return self.folder / "report.ndjson"

    def _write(self, *, is_beside: bool) -> None:
        policy = self.rng.choice(["", ", batch: {records: 5000}", ", queue: {records: 20000}"])
        source, sink = (_SOURCE, _SINK) if is_beside else ("", "")
        text = _CONFIG.format(report=self.report, policy=policy, source=source, sink=sink)
        (self.folder / "sluiceway.yaml").write_text(text)
        if is_beside:
            (self.folder / "rules/beside.yaml").write_text(_BESIDE)
        else:
            (self.folder / "rules/beside.yaml").unlink(missing_ok=True)
        self._write_rules(rules(self.taken, self.count))

    def _write_rules(self, text: str) -> None:
        (self.folder / "rules/numbers.yaml").write_text(text)

    def reload(self) -> list[str]:
        """A right one; what of it is not as promised."""
        self._write(is_beside=self.rng.random() < 0.5)
        self.taken += 1
        return self._ask()

    def refuse(self) -> list[str]:
        """A wrong one; the same."""
        self._write_rules(self.rng.choice(WRONG)(rules(self.taken, self.count)))
        self.refused += 1
        return self._ask()

    def _ask(self) -> list[str]:
        """Have it read its files, and wait until it says how that went."""
        began = time.monotonic()
        self.daemon.hang_up()
        while True:
            time.sleep(0.1)
            metrics = self.daemon.metrics()
            counts = [
                metrics.get(f"sluiceway_config_reloads_total{{result={result}}}", 0.0)
                for result in ("taken", "refused")
            ]
            if sum(counts) >= self.taken + self.refused:
                break
            if time.monotonic() > began + 60:
                return ["no answer in 60 s"]
        self.seconds.append(time.monotonic() - began)
        told = []
        if counts != [self.taken, self.refused]:
            told.append(f"{counts} reloads were taken and refused, not {[self.taken, self.refused]}")
        return told

    def gauge(self) -> float:
        """``sluiceway_config_last_reload_successful``."""
        return self.daemon.metrics()["sluiceway_config_last_reload_successful{}"]

    def finish(self) -> dict[str, Any]:
        """Stop it; what the sink tells."""
        status = self.daemon.stop(60)
        told = [json.loads(line) for line in self.report.read_text().splitlines()]
        assert status == 0
        assert len(told) == 1, "the sink was opened more than once"
        found: dict[str, Any] = told[0]
        return found


def run(rig: Rig, reloads: int) -> list[str]:
    """So many reloads, half of them wrong; what was not as promised."""
    told: list[str] = []
    for number in range(reloads):
        is_right = number % 2 == 1
        told += rig.reload() if is_right else rig.refuse()
        if rig.gauge() != float(is_right):
            told.append(f"after reload {number} the gauge is {rig.gauge()}")
    return told


def losses(found: dict[str, Any]) -> list[str]:
    """What the sink did not get, or not in order, or twice."""
    told: list[str] = list(found["broken"])
    if found["first"] != 0 or found["last"] - found["first"] + 1 != found["records"]:
        told.append(f"{found['records']} records from {found['first']} to {found['last']}")
    return told


def _spans(spans: list[tuple[float, float, float]]) -> str:
    shown = (f"{clock * 1000:.0f} ms ({used * 1000:.0f} of the processor's)" for clock, used, _ in spans[:-5:-1])
    return ", ".join(shown)


def main(arguments: list[str]) -> int:
    """Print figures; exit status 1 when something was lost or held up."""
    parser = argparse.ArgumentParser(prog="python tests/faults reload", description=__doc__)
    parser.add_argument("--reloads", type=int, default=200)
    parser.add_argument("--rules", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args(arguments)
    print(f"{options.reloads} reloads of {options.rules} rules, seed {options.seed}", flush=True)
    with Rig(options.seed, options.rules) as rig:
        rig.daemon.start()
        time.sleep(2)
        began = time.monotonic()
        told = run(rig, options.reloads)
        seconds = time.monotonic() - began
        found = rig.finish()
    told += losses(found)
    stall = max(min(found[kind][-1][:2]) for kind in ("gaps", "lags"))
    if stall > STALL_SECONDS:
        told.append(f"deliveries stalled for {stall * 1000:.0f} ms")
    times = sorted(rig.seconds)
    print(
        f"  {rig.taken} taken, {rig.refused} refused, in {times[len(times) // 2] * 1000:.0f} ms each "
        f"(at most {times[-1] * 1000:.0f} ms)\n"
        f"  {found['records']:,} records in about {seconds:.0f} s, in order, each once\n"
        f"  longest gaps between deliveries: {_spans(found['gaps'])}\n"
        f"  longest turns of the loop:       {_spans(found['lags'])}"
    )
    for line in told:
        print(f"    {line}")
    print("BROKEN" if told else "nothing was lost, repeated or held up")
    return int(bool(told))
