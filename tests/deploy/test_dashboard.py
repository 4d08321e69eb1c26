"""The dashboard is one that Grafana takes, and each of its queries finds what it asks for in a real Prometheus that
scrapes a real daemon with traffic and with troubles, each of which fires its alert."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from daemon_process import Daemon

from scripts import dashboard
from scripts.dashboard_panels import ROWS
from tests.servers.process import Unavailable
from tests.servers.prometheus import DEPLOYED, Prometheus, hastened

SECONDS = 60.0
CONFIG = """
http: {listen: 127.0.0.1:0}
sources:
  orders:
    type: generate
    rate: 200/s
    template:
      id: "{sequence}"
      amount: "{int:-1:9}"                     # below zero breaks the contract, zero the rule `share`
      kind: "{choice:order|visit|heartbeat|odd}"
      country: "{choice:de|fr}"
  past: {type: file, path: past.ndjson, follow: false}
  stuck: {type: generate, rate: 100/s, template: {n: "{sequence}"}}
  piling: {type: generate, rate: 100/s, template: {n: "{sequence}", text: "{word} {word} {word} {word} {word} {word}"}}
sinks:
  narrow: {type: http, url: "http://127.0.0.1:1/", queue: {records: 50}}
  small: {type: http, url: "http://127.0.0.1:1/", buffer: {type: disk, bytes: 32KiB}}
  all: {type: file, path: out/all.ndjson}
  away: {type: http, url: "http://127.0.0.1:1/", buffer: {type: disk, bytes: 1MiB}}
tables:
  countries: {type: csv, path: countries.csv, key: code, refresh: 1s}
flows: [orders.yaml, past.yaml, stuck.yaml, piling.yaml]
"""
FILES = {
    "sluiceway.yaml": CONFIG,
    "past.ndjson": '{"n": 1}\n',
    "countries.csv": "code,name\nde,Germany\nfr,France\n",
    "past.yaml": "from: [past]\nrules: [{name: all, to: all}]\n",
    "stuck.yaml": "from: [stuck]\nrules: [{name: all, to: narrow}]\n",
    "piling.yaml": "from: [piling]\nrules: [{name: all, to: small}]\n",
    "orders.yaml": """
from: [orders]
contract: {expect: {amount is not negative: event.amount >= 0}}
rules:
  - {name: noise, when: event.kind == "heartbeat", to: drop}
  - {name: share, when: event.kind == "visit" && 10 / event.amount > 0, to: all}
  - {name: once, when: event.kind == "order", dedupe: {key: event.id, within: 1m}, to: [all, away]}
otherwise: {unmatched: drop}
""",
}
NOT_HERE = {
    "no alert fires",
    "no lag shrinks",
    "no connector has counted anything",
    "no flow has `reject` in its `otherwise`",
    "there was no reload",
    "none was replayed",
    "none was moved",
    "none is stuck",
    "none has expired",
}
"""What this daemon does not do: queries that show nothing meanwhile, as their panels say, only have to be right."""
QUERIES = [
    pytest.param(query.expression, query.empty not in NOT_HERE, id=f"{row}: {panel.title} {number}")
    for row, panels in ROWS.items()
    for panel in panels
    for number, query in enumerate(panel.queries)
]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that scrapes a daemon with traffic, and with some trouble."""
    folder = tmp_path_factory.mktemp("dashboard")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    daemon = Daemon(folder / "sluiceway.yaml")
    daemon.start()
    try:
        with Prometheus(folder / "prometheus", [daemon.url.removeprefix("http://")]) as prometheus:
            yield prometheus
    except Unavailable as lacking:
        pytest.skip(str(lacking))
    finally:
        daemon.kill()


@pytest.mark.parametrize(("expression", "has_data"), QUERIES)
def test_each_query_finds_what_it_asks_for(prometheus: Prometheus, expression: str, has_data: bool) -> None:
    """With what Grafana would fill in for its variables."""
    filled = hastened(expression.replace("$__rate_interval", "5m").replace("$instance", ".+"))
    assert "$" not in filled
    deadline = time.monotonic() + SECONDS
    while not (found := prometheus.query(filled)) and has_data:
        assert time.monotonic() < deadline, filled
        time.sleep(0.2)
    assert not has_data or any(sample.value == sample.value for sample in found)  # not only NaN


TROUBLE = {
    ("SluicewaySinkDown", "away"),
    ("SluicewaySinkDown", "narrow"),
    ("SluicewaySinkDown", "small"),
    ("SluicewayQueueNearlyFull", "narrow"),
    ("SluicewayBufferNearlyFull", "small"),
    ("SluicewaySourceStalled", "stuck"),
    ("SluicewaySourceStalled", "piling"),
    ("SluicewayDeadLetters", "orders contract"),
    ("SluicewayDeadLetters", "orders rule"),
    ("SluicewayRuleErrors", "orders share"),
    ("SluicewayContractViolationsRising", "orders"),
}
"""What is wrong with this daemon, by alert and by what its labels name."""


def test_the_troubles_of_a_daemon_fire_their_alerts_and_what_is_well_fires_none(prometheus: Prometheus) -> None:
    """The rules as they are deployed, over what a daemon really shows. Of the source that has ended nobody is told."""
    deadline = time.monotonic() + SECONDS
    while not (fired := firing(prometheus)) >= TROUBLE:
        assert time.monotonic() < deadline, TROUBLE - fired
        time.sleep(0.2)
    assert {(alert, what) for alert, what in fired - TROUBLE if what in {"past", "all", "orders"}} == set()
    assert prometheus.failing_rules() == []


def firing(prometheus: Prometheus) -> set[tuple[str, str]]:
    names = ("source", "sink", "flow", "stage", "rule")
    return {
        (sample.labels["alertname"], " ".join(sample.labels[name] for name in names if name in sample.labels))
        for sample in prometheus.query('ALERTS{alertstate="firing"}')
    }


def panels() -> list[Any]:
    return list(json.loads(dashboard.FILE.read_text())["panels"])


def test_the_dashboard_is_what_its_panels_are_made_to() -> None:
    assert dashboard.FILE.read_text() == dashboard.text(), "run `make docs`"


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    """They lie on Grafana's grid, each under the row that it belongs to."""
    assert max(Counter(panel["id"] for panel in panels()).values()) == 1
    cells = [cell for panel in panels() for cell in cells_of(panel["gridPos"])]
    assert max(Counter(cells).values()) == 1
    assert max(x for x, _ in cells) < dashboard.WIDTH
    rows = [(panel["gridPos"]["y"], panel["title"]) for panel in panels() if panel["type"] == "row"]
    assert [title for _, title in sorted(rows)] == list(ROWS)


def cells_of(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    across = range(place["x"], place["x"] + place["w"])
    return itertools.product(across, range(place["y"], place["y"] + place["h"]))


def test_every_panel_asks_the_data_source_that_was_chosen() -> None:
    """The dashboard can be given to any Grafana: it names none of its own."""
    asked = [part["datasource"]["uid"] for panel in panels() for part in (panel, *panel.get("targets", [])) if "datasource" in part]  # noqa: E501  # fmt: skip
    assert set(asked) == {"${datasource}"}
    shown = [panel for panel in panels() if panel["type"] != "row"]
    assert [panel["title"] for panel in shown if not panel["targets"]] == []
    letters = [[target["refId"] for target in panel["targets"]] for panel in shown]
    assert [refs for refs in letters if len(set(refs)) < len(refs)] == []


def test_every_panel_that_may_be_empty_says_when() -> None:
    shown = [panel for panel in panels() if panel["type"] != "row"]
    drawn = [panel for row in ROWS.values() for panel in row]
    for panel, made in zip(drawn, shown, strict=True):
        for query in panel.queries:
            assert f"Nothing is shown while {query.empty}." in made.get("description", "") or not query.empty


def test_what_provisions_grafana_names_what_is_there() -> None:
    """The folder of the dashboards, and the interval at which Prometheus scrapes."""
    provisioning = dashboard.FILE.parent / "provisioning"
    assert dashboard.FILE.name in (provisioning / "dashboards" / "sluiceway.yaml").read_text()
    interval = "15s"
    assert f"timeInterval: {interval}" in (provisioning / "datasources" / "prometheus.yaml").read_text()
    assert f"scrape_interval: {interval}" in (DEPLOYED / "prometheus.yml").read_text()
