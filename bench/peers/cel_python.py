"""cel-python: CEL in Python. ``interpreted`` or ``compiled``: the runner, of which a process can have but one."""

from __future__ import annotations

import logging
import sys
from typing import Any

import celpy

from bench.peers.evaluate import Predicate, serve

RUNNERS = {"interpreted": celpy.InterpretedRunner, "compiled": celpy.CompiledRunner}


def compiled(runner: type) -> Any:
    """What compiles for this runner."""

    def predicate(text: str) -> Predicate:
        environment = celpy.Environment(runner_class=runner)
        program = environment.program(environment.compile(text))

        def holds(event: Any) -> bool:
            try:
                return bool(program.evaluate({"event": celpy.json_to_cel(event)}))
            except celpy.CELEvalError:
                return False

        return holds

    return predicate


if __name__ == "__main__":
    logging.disable()  # it tells of each error that an expression ends in
    serve(compiled(RUNNERS[sys.argv[1]]), sys.argv[2:])
