"""Prometheus and Alertmanager, as Debian packages them, watching what a test starts.

The files that they run with are those of deploy/prometheus: addresses are those of the test, and every time is divided
by HASTE, so that what takes minutes in a deployment takes seconds here, in the same proportions. But for one: a scrape
has SCRAPE to be answered in, as long as the interval between two, which on a busy machine a daemon may need.

with Alertmanager(folder, "127.0.0.1:21099") as alertmanager:
    with Prometheus(folder, ["127.0.0.1:21600"], alertmanager.address) as prometheus:
        prometheus.query("up")           # [Sample({"__name__": "up", ...}, 1.0)]
"""

from __future__ import annotations

import json
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.servers.ports import claim_port
from tests.servers.process import ServerProcess, Unavailable

DEPLOYED = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
HASTE = 60
"""A minute of a deployment is a second here."""
SCRAPE = "1s"
NO_PROMETHEUS = "Prometheus is not installed: apt-get install prometheus prometheus-alertmanager"

_TIME = re.compile(r"(?<!\w)(\d+)([smhd])\b")
_MILLISECONDS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def program(name: str) -> str:
    """Where ``prometheus``, ``promtool``, ``prometheus-alertmanager`` or ``amtool`` is. Raises Unavailable."""
    found = shutil.which(name)
    if not found:
        raise Unavailable(NO_PROMETHEUS)
    return found


def hastened(text: str) -> str:
    """The text of a file with every time in it, such as ``5m``, divided by HASTE. Numbers without a unit, which are
    thresholds, and the names of recorded series stay."""
    return _TIME.sub(lambda found: f"{int(found[1]) * _MILLISECONDS[found[2]] // HASTE}ms", text)


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of the answer to a query."""

    labels: dict[str, str]
    value: float


class Alertmanager:
    """The one of deploy/prometheus/alertmanager.yml, whose receivers are at ``receiver``, a host and port."""

    def __init__(self, folder: Path, receiver: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        text = (DEPLOYED / "alertmanager.yml").read_text()
        config = folder / "alertmanager.yml"
        config.write_text(hastened(text.replace("127.0.0.1:9099", receiver)))
        port = claim_port()
        self.address = f"127.0.0.1:{port}"
        own = [f"--web.listen-address={self.address}", "--cluster.listen-address=", f"--storage.path={folder}"]
        command = [program("prometheus-alertmanager"), f"--config.file={config}", *own]
        self._process = ServerProcess(command, [port], folder / "alertmanager.log")

    def __enter__(self) -> Self:
        self._process.launch()
        self._process.wait_until_listening()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()


class Prometheus:
    """The one of deploy/prometheus/prometheus.yml and its rules, which scrapes ``targets`` and tells ``alertmanager``:
    hosts with ports."""

    def __init__(self, folder: Path, targets: Sequence[str], alertmanager: str = "127.0.0.1:1") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        text = (DEPLOYED / "prometheus.yml").read_text()
        text = text.replace("127.0.0.1:9600", ", ".join(targets)).replace("127.0.0.1:9093", alertmanager)
        config = folder / "prometheus.yml"
        interval = "scrape_interval: 15s"
        assert interval in text
        config.write_text(hastened(text).replace(hastened(interval), f"scrape_interval: {SCRAPE}"))
        rules = "sluiceway.rules.yaml"
        (folder / rules).write_text(hastened((DEPLOYED / rules).read_text()))
        port = claim_port()
        self._url = f"http://127.0.0.1:{port}"
        own = [f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={folder / 'data'}"]
        defaults = ["--query.lookback-delta=5m", "--rules.alert.resend-delay=1m"]
        command = [program("prometheus"), f"--config.file={config}", *own, *map(hastened, defaults)]
        self._process = ServerProcess(command, [port], folder / "prometheus.log")

    def __enter__(self) -> Self:
        self._process.launch()
        self._process.wait_until_listening()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()

    def query(self, expression: str) -> list[Sample]:
        """What an expression has now. Raises ValueError with what Prometheus says against it; nothing as long as
        Prometheus is not ready."""
        answer = self._get("query", query=expression)
        if answer is None:
            return []
        found = answer["result"]
        if answer["resultType"] == "scalar":
            return [Sample({}, float(found[1]))]
        return [Sample(sample["metric"], float(sample["value"][1])) for sample in found]

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        return {sample.labels["alertname"] for sample in self.query('ALERTS{alertstate="firing"}')}

    def failing_rules(self) -> list[str]:
        """What is wrong with rules whose evaluation fails."""
        groups = (self._get("rules") or {"groups": []})["groups"]
        return [f"{rule['name']}: {rule['lastError']}" for group in groups for rule in group["rules"]
                if rule.get("lastError")]  # fmt: skip

    def _get(self, page: str, **parameters: str) -> Any:
        url = f"{self._url}/api/v1/{page}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:
                return None
            raise ValueError(f"{parameters}: {error.read().decode()}") from error
