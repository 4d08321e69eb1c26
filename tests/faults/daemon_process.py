"""The daemon as a process: started, asked, stopped, killed, frozen."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.commands import SLUICEWAY, Command, sluiceway

PLUGINS = Path(__file__).with_name("plugins")

_DISTRIBUTION = """\
Metadata-Version: 2.1
Name: sluiceway-faults
Version: 1
"""
_ENTRY_POINTS = """\
[sluiceway.sinks]
wire = sluiceway_wire:WireSink
pulse = sluiceway_pulse:PulseSink
[sluiceway.sources]
leased_kafka = sluiceway_leases:LeasedKafkaSource
"""
_URL = re.compile(r"http://[0-9.]+:\d+(?=/metrics)")


def install_plugins(folder: Path) -> str:
    """Make a distribution of the plugins, as pip would leave it, in ``folder``; the PYTHONPATH that finds it."""
    info = folder / "sluiceway_faults-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(_DISTRIBUTION)
    (info / "entry_points.txt").write_text(_ENTRY_POINTS)
    return os.pathsep.join([str(folder), str(PLUGINS)])


class NotReady(Exception):
    """The daemon did not come up, or did not end, in time."""


class Daemon:
    """``sluiceway run`` with one configuration, as often as it is started. Its log goes to ``daemon.log`` beside it."""

    def __init__(self, config: Path, path: str = "", environment: Mapping[str, str] | None = None) -> None:
        self.config = config
        self.log = config.with_name("daemon.log")
        self.url = ""
        self.starts = 0
        self._environment = {"PYTHONPATH": path, **(environment or {})}
        self._process: Command | subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True, seconds: float = 30.0, options: Sequence[str] = ()) -> None:
        """Start it, and wait until its banner says where it is."""
        self.starts += 1
        with tempfile.TemporaryFile() as out, self.log.open("ab") as log:
            command = ["run", str(self.config), "--log-format", "json", *options]
            if "LD_PRELOAD" in self._environment:  # that takes a process which is executed
                environment = {**os.environ, **self._environment}
                self._process = subprocess.Popen([SLUICEWAY, *command], stdout=out, stderr=log, env=environment)
            else:
                where = Path.cwd()
                self._process = Command(*command, cwd=where, stdout=out, stderr=log, environment=self._environment)
            deadline = time.monotonic() + seconds
            while wait:
                out.seek(0)
                if found := _URL.search(out.read().decode()):
                    self.url = found[0]
                    return
                if not self.runs or time.monotonic() > deadline:
                    raise NotReady(self._tail())
                time.sleep(0.02)

    def kill(self) -> None:
        """``kill -9``, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        self.wait(10)

    def freeze(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def hang_up(self) -> None:
        """SIGHUP."""
        self._signal(signal.SIGHUP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM."""
        self._signal(signal.SIGTERM)

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM, and its exit status."""
        self.terminate()
        return self.wait(seconds)

    def wait(self, seconds: float) -> int:
        """Wait for its end; its exit status."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise NotReady(f"still there after {seconds:g} s: {self._tail()}") from error

    def _signal(self, number: signal.Signals) -> None:
        if self.runs:
            os.kill(self.pid, number)

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def status(self) -> dict[str, dict[str, dict[str, object]]]:
        """What ``/api/status`` says."""
        status: dict[str, dict[str, dict[str, object]]] = json.loads(self._get("/api/status"))
        return status

    def is_idle(self, *accounts: str, connected: bool = False) -> bool:
        """Whether no source and no sink has records in these accounts of its status (``unsettled``, ``queue``,
        ``buffer``), and, if asked, all are ``connected``. So it is when it does not run, and not when it does not
        answer."""
        if not self.runs:
            return True
        try:
            status = self.status()
        except OSError:
            return False
        parties: list[dict[str, Any]] = [*status["sources"].values(), *status["sinks"].values()]
        held = [party[name]["records"] for party in parties for name in accounts if party.get(name)]
        return not any(held) and (not connected or all(party["connected"] for party in parties))

    def metrics(self) -> dict[str, float]:
        """What ``/metrics`` says: ``name{label=value,...}``, labels sorted, without the quotes."""
        samples = {}
        for family in text_string_to_metric_families(self._get("/metrics")):
            for sample in family.samples:
                labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
                samples[f"{sample.name}{{{labels}}}"] = sample.value
        return samples

    def not_ready(self) -> str:
        """Why ``/readyz`` says no; empty when it does not."""
        try:
            self._get("/readyz")
        except urllib.error.HTTPError as error:
            return error.read().decode()
        return ""

    def _get(self, page: str) -> str:
        with urllib.request.urlopen(self.url + page, timeout=10) as answer:
            text: str = answer.read().decode()
        return text

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command with the same configuration: ``command("dead", "list")``."""
        return sluiceway(*arguments, self.config, cwd=Path.cwd(), environment=self._environment)


def total(metrics: dict[str, float], name: str, *labels: str) -> float:
    """The sum of a metric over all children that have these labels, each ``name=value``."""
    return sum(
        value
        for sample, value in metrics.items()
        if sample.startswith(name + "{") and _has(sample[len(name) + 1 : -1], labels)
    )


def _has(sample: str, labels: Sequence[str]) -> bool:
    return set(labels) <= set(sample.split(","))
