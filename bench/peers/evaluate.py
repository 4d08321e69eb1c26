"""What the peers of ``bench.rules`` have in common: ``python -m bench.peers.NAME [MODE] EVENTS RUNS EXPRESSION...``.

Each prints JSON: for every expression its costs in each run and its answers about the events, or the reason why there
are none. Events are decoded once, before; what an engine does to see them in its own way is part of its cost.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from bench import loops
from bench.events import lines

Predicate = Callable[[Any], bool]
REASON = 160


def serve(compile_expression: Callable[[str], Predicate], arguments: Sequence[str]) -> None:
    """Do what the arguments ask for. A predicate must not raise: an error counts as false, as it does for a rule."""
    count, runs, *expressions = arguments
    events = [orjson.loads(line) for line in lines(int(count))]
    print(json.dumps({text: _measured(compile_expression, text, events, int(runs)) for text in expressions}))
    sys.stdout.flush()


def _measured(compile_expression: Callable[[str], Predicate], text: str, events: list[Any], runs: int) -> object:
    try:
        predicate = compile_expression(text)
        answers = [bool(predicate(event)) for event in events]
    except Exception as error:  # noqa: BLE001 - engines raise what they like
        return {"reason": (str(error) or repr(error)).partition("\n")[0][:REASON]}
    costs = loops.measure({text: loops.over(predicate, events)}, len(events), runs)[text]
    return {"costs": [[cost.cpu, cost.wall] for cost in costs], "answers": answers}
