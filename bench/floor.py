"""The floor of ``bench.route``: what somebody would write by hand for these four rules and nothing else.

``python floor.py INPUT FOLDER``. It stops at the first malformed line, keeps no position, and answers nobody.
"""

import sys

import orjson


def main(source: str, folder: str) -> None:
    loads = orjson.loads
    with (
        open(source, "rb", buffering=1 << 20) as lines,
        open(f"{folder}/orders.ndjson", "wb", buffering=1 << 20) as orders,
        open(f"{folder}/paying.ndjson", "wb", buffering=1 << 20) as paying,
        open(f"{folder}/sensors.ndjson", "wb", buffering=1 << 20) as sensors,
        open(f"{folder}/archive.ndjson", "wb", buffering=1 << 20) as archive,
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
