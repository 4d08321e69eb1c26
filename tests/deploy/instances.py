"""Instances of the template unit, as processes that run side by side."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.commands import Command
from tests.deploy.units import Host

TEMPLATE = "sluiceway@.service"
PATIENCE = 60.0
_URL = re.compile(r"http://[0-9.]+:\d+(?=/metrics)")

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(frozen=True, slots=True)
class Instance:
    """One that runs."""

    name: str
    process: Command
    url: str

    def metrics(self) -> Samples:
        """What it counts: by name and sorted labels. Raises OSError when it cannot be asked."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            samples = [sample for family in families for sample in family.samples]
        return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of all samples of a name that have these labels, as PromQL's ``sum(NAME{...})``."""
    wanted = set(labels.items())
    return sum(value for (of, has), value in samples.items() if of == name and wanted <= set(has))


@contextmanager
def running(host: Host, names: Sequence[str], environment: Mapping[str, str]) -> Iterator[list[Instance]]:
    """As many instances of the template as there are names, until the block ends, which kills those that still run."""
    with ExitStack() as stack:
        yield [_start(host, name, environment, stack) for name in names]


def stop(instances: Sequence[Instance]) -> list[int]:
    """Tell all of them to stop, as systemd does; their exit codes."""
    for instance in instances:
        instance.process.terminate()
    return [instance.process.wait(PATIENCE) for instance in instances]


def _start(host: Host, name: str, environment: Mapping[str, str], stack: ExitStack) -> Instance:
    started = host.started(TEMPLATE, name)
    log = host.root / f"{name}.log"
    output = stack.enter_context(log.open("wb"))
    process = stack.enter_context(
        Command(
            *started.command[1:],
            cwd=Path.cwd(),
            environment={**started.environment, **environment},
            stdout=output,
            stderr=output,
        )
    )
    stack.callback(process.kill)
    return Instance(name, process, _url(process, log))


def _url(process: Command, log: Path) -> str:
    """Where its pages are, once it says so."""
    end = time.monotonic() + PATIENCE
    while True:
        text = log.read_text(errors="replace")
        if found := _URL.search(text):
            return found[0]
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"an instance did not come up:\n{text[-3000:]}")
        time.sleep(0.05)
