"""The dashboard for Grafana, deploy/grafana/sluiceway.json, made from scripts/dashboard_panels.py.

``python -m scripts.dashboard`` writes it; with ``--check`` it fails if it is not what that file gives.
"""

from __future__ import annotations

import json
import string
import sys
from collections.abc import Iterator
from typing import Any

from scripts.dashboard_panels import ROWS, Panel
from scripts.environment import ROOT
from scripts.made_file import MadeFile

FILE = ROOT / "deploy" / "grafana" / "sluiceway.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
"""Of Grafana's grid."""
SIZES = {"stat": (3, 4), "timeseries": (8, 8), "table": (8, 8)}


def dashboard() -> dict[str, Any]:
    """All of it, as Grafana keeps it."""
    return {
        "uid": "sluiceway",
        "title": "Sluiceway",
        "description": "What comes in, what goes out, what waits, and what is wrong.",
        "tags": ["sluiceway"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_datasource(), _instance()]},
        "annotations": {"list": [_starts()]},
        "links": [],
        "panels": list(_panels()),
    }


def text() -> str:
    """The file."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}


def _instance() -> dict[str, Any]:
    return {
        "name": "instance",
        "type": "query",
        "label": "Daemon",
        "datasource": SOURCE,
        "query": {"query": "label_values(sluiceway_build_info, instance)", "refId": "instance"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _starts() -> dict[str, Any]:
    return {
        "name": "Starts",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "blue",
        "expr": 'changes(process_start_time_seconds{instance=~"$instance"}[1m]) > 0',
        "titleFormat": "{{instance}} was started",
    }


def _panels() -> Iterator[dict[str, Any]]:
    """From left to right and from top to bottom, under their rows."""
    number, y = 1, 0
    for title, panels in ROWS.items():
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
            "panels": [],
        }
        number, x, y, tallest = number + 1, 0, y + 1, 0
        for panel in panels:
            width, height = SIZES[panel.kind]
            if x + width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            yield _panel(panel, number, {"x": x, "y": y, "w": width, "h": height})
            number, x, tallest = number + 1, x + width, max(tallest, height)
        y += tallest


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": letter,
                "datasource": SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
                "instant": panel.kind == "table",
                "format": "table" if panel.kind == "table" else "time_series",
            }
            for letter, query in zip(string.ascii_uppercase, panel.queries, strict=False)
        ],
    }
    if about := _about(panel):
        made["description"] = about
    if panel.kind == "timeseries":
        made["options"] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    if panel.kind == "stat":
        made["options"] = {"colorMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}}
    return made


def _about(panel: Panel) -> str:
    """What the panel says of itself, and when it may show nothing."""
    reasons = dict.fromkeys(query.empty for query in panel.queries if query.empty)
    return " ".join([panel.about, *(f"Nothing is shown while {reason}." for reason in reasons)]).strip()


MADE = MadeFile(FILE, text, "dashboard", "scripts/dashboard_panels.py")


if __name__ == "__main__":
    MADE.main(sys.argv[1:])
