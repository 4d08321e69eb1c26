"""mq-bridge: a router in Rust, its switch by rules. ``python -m bench.peers.mq_bridge INPUT FOLDER``.

All its settings are the defaults but ``exit_on_empty``; its file sinks do not fsync then.
"""

from __future__ import annotations

import sys

from mq_bridge import Route


def main(source: str, folder: str) -> None:
    """Route the file to its end."""

    def sink(name: str) -> object:
        return {"file": {"path": f"{folder}/{name}.ndjson", "format": "raw"}}

    rules = [
        {"if": 'type == "order" and amount > 500.0', "to": sink("orders")},
        {"if": 'user.plan in ["pro", "team"]', "to": sink("paying")},
        {"if": 'startsWith(device, "sensor-")', "to": sink("sensors")},
        {"if": 'type in ["order", "view", "click", "reading"]', "to": sink("archive")},
    ]
    route = Route.from_config(
        {
            "input": {"file": {"path": source, "format": "raw"}},
            "output": {"switch": {"when": rules}},
            "exit_on_empty": True,
        }
    )
    route.start()
    route.join()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
