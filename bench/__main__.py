"""``python -m bench``: every benchmark at a moderate size. ``python -m bench NAME ...`` runs one with its options.

``python -m bench peers`` installs what some of them measure beside ours, ``python -m bench docs`` writes the page about
them.
"""

from __future__ import annotations

import importlib
import sys

from bench.peers import environment

NAMES = (
    "rules",
    "rule_count",
    "contract",
    "gates",
    "route",
    "tap",
    "buffer",
    "memory",
    "http",
    "csv_rows",
    "kafka",
    "latency",
    "mqtt",
    "dead",
    "scale",
    "idle",
    "console",
)
MODERATE = {
    "rules": [],
    "rule_count": [],
    "contract": [],
    "gates": [],
    "route": ["--lines", "3000000", "--runs", "3"],
    "tap": ["--lines", "3000000", "--runs", "3"],
    "buffer": ["--lines", "1000000", "--runs", "3"],
    "memory": ["--records", "2000000"],
    "http": ["--seconds", "5", "--runs", "3"],
    "csv_rows": ["--bytes", "200000000", "--runs", "3"],
    "kafka": ["--records", "1000000", "--runs", "3"],
    "latency": ["--seconds", "20", "--runs", "3"],
    "mqtt": ["--records", "100000", "--runs", "3"],
    "dead": ["--records", "500000", "--runs", "3"],
    "scale": ["--runs", "3"],
    "idle": [],
    "console": ["--seconds", "60", "--alone", "30"],
}

COMMANDS = ("docs", "peers")
"""What is no benchmark by itself."""


def main(arguments: list[str]) -> int:
    """Exit status 1 when a benchmark did not show what it must."""
    if not arguments:
        failed = [name for name in NAMES if _run(name, MODERATE[name])]
        return 1 if failed else 0
    name, *options = arguments
    if name not in (*NAMES, *COMMANDS):
        print(f"there is no benchmark {name!r}; there are {', '.join((*NAMES, *COMMANDS))}", file=sys.stderr)
        return 2
    return _run(name, options)


def _run(name: str, options: list[str]) -> int:
    if name == "peers":
        environment.install()
        return 0
    print(f"== {name}", flush=True)
    status: int = importlib.import_module(f"bench.{name}").main(options)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
