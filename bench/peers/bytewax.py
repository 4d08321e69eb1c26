"""bytewax: dataflows in Python on an engine in Rust, here a ``branch`` and a ``FileSink`` for each rule.

``python -m bench.peers.bytewax INPUT FOLDER``. It decodes with orjson, as the floor does, and keeps no position.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.files import FileSink, FileSource
from bytewax.dataflow import Dataflow
from bytewax.testing import run_main

RULES: dict[str, Callable[[Any], bool]] = {
    "orders": lambda event: event["type"] == "order" and event["amount"] > 500.0,
    "paying": lambda event: event["user"]["plan"] in ("pro", "team"),
    "sensors": lambda event: event["device"].startswith("sensor-"),
    "archive": lambda event: event["type"] in ("order", "view", "click", "reading"),
}


def main(source: str, folder: str) -> None:
    """Route the file to its end."""
    flow = Dataflow("route")
    lines = op.input("lines", flow, FileSource(Path(source)))
    rest = op.map("decode", lines, lambda line: (orjson.loads(line), line))
    for name, rule in RULES.items():
        branch = op.branch(name, rest, lambda pair, rule=rule: rule(pair[0]))
        keyed = op.map(f"{name}-line", branch.trues, lambda pair: ("", pair[1]))
        op.output(f"{name}-file", keyed, FileSink(Path(folder, f"{name}.ndjson")))
        rest = branch.falses
    run_main(flow)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
