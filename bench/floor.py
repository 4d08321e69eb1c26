"""The floor of ``bench.route``: what somebody would write by hand for these four rules and nothing else.

``python floor.py INPUT FOLDER``. It stops at the first malformed line, keeps no position, and answers nobody.
"""

import sys
from pathlib import Path

import orjson


def main(source: str, folder: str) -> None:
    loads = orjson.loads
    with (
        Path(source).open("rb", buffering=1 << 20) as lines,
        Path(folder, "orders.ndjson").open("wb", buffering=1 << 20) as orders,
        Path(folder, "paying.ndjson").open("wb", buffering=1 << 20) as paying,
        Path(folder, "sensors.ndjson").open("wb", buffering=1 << 20) as sensors,
        Path(folder, "archive.ndjson").open("wb", buffering=1 << 20) as archive,
    ):
        for line in lines:
            event = loads(line)
            if event["type"] == "order" and event["amount"] > 500.0:
                orders.write(line)
            elif event["user"]["plan"] in ("pro", "team"):
                paying.write(line)
            elif event["device"].startswith("sensor-"):
                sensors.write(line)
            elif event["type"] in ("order", "view", "click", "reading"):
                archive.write(line)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
