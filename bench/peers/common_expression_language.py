"""common-expression-language: CEL in Rust. ``event``: the event is the variable; ``fields``: its fields are, and only
those that are asked for are converted, for which expressions are written without ``event.``.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from bench.peers.evaluate import Predicate, serve

cel: Any = importlib.import_module("cel")  # mypy would take a folder of the tests for it


def whole(text: str) -> Predicate:
    """A predicate on the variable ``event``, as everybody else's."""
    program = cel.compile(text)

    def holds(event: Any) -> bool:
        try:
            return program.execute({"event": event}) is True
        except Exception:  # noqa: BLE001 - an error counts as false
            return False

    return holds


def fields(text: str) -> Predicate:
    """A predicate on the fields of an event, each converted when it is read."""
    program = cel.compile(text.replace("event.", ""))

    def holds(event: Any) -> bool:
        context = cel.Context()
        context.set_variable_resolver(event.get)
        try:
            return program.execute(context) is True
        except Exception:  # noqa: BLE001 - an error counts as false
            return False

    return holds


if __name__ == "__main__":
    serve({"event": whole, "fields": fields}[sys.argv[1]], sys.argv[2:])
