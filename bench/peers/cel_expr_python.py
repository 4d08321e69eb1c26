"""cel-expr-python: the CEL of C++."""

from __future__ import annotations

import sys

from cel_expr_python import cel

from bench.peers.evaluate import Predicate, serve

ENVIRONMENT = cel.NewEnv(variables={"event": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)})


def compiled(text: str) -> Predicate:
    """A predicate on the variable ``event``. An error is a value here, and not true."""
    expression = ENVIRONMENT.compile(text)
    return lambda event: expression.eval(data={"event": event}).value() is True


if __name__ == "__main__":
    serve(compiled, sys.argv[1:])
